"""Many films into one set: resumed, added to, split, in parallel, and refused where that would mix settings."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from talkface_core.datasets.clips import ClipSet
from talkface_core.errors import InputError
from talkface_core.preparation.contact_sheet import TILE, load_tiles, save_tiles, write_pages
from talkface_core.preparation.cut import Tools
from talkface_core.preparation.dataset import REPORT, State, prepare
from talkface_core.preparation.rules import Rules
from talkface_core.preparation.source_video import find_videos
from talkface_core.preparation.table import table

from .conftest import KnownFaces

RULES = Rules(size=64, shortest=0.4, longest=1.0)


@pytest.fixture
def films(film, tmp_path):
    """films(3): as many small films, and one detector for all."""

    def make(count: int, frames: int = 30) -> tuple[list, KnownFaces]:
        known: dict = {}
        for n in range(count):
            _, detector = film(f"film{n}.mp4", frames=frames, first=n * frames, where=lambda k, n=n: {"scene": n})
            known.update(detector.faces)
        return find_videos(sorted(tmp_path.glob("film*.mp4"))), KnownFaces(known)

    return make


def files(folder) -> dict[str, bytes]:
    """Every npz and flac of a set."""
    return {p.name: p.read_bytes() for p in sorted(folder.rglob("*")) if p.suffix == ".flac"}


def test_a_set_is_made_resumed_and_added_to(films, tmp_path):
    paths, detector = films(3)
    folder = tmp_path / "set"
    first = prepare(paths[:2], folder, RULES, Tools(detector), quiet=True)
    assert [film["film"] for film in first["films"]] == ["film0.mp4", "film1.mp4"]
    assert first["contact_sheets"] == ["contact_sheet.jpg"]
    detector.asked.clear()
    written = {p: p.stat().st_mtime_ns for p in (folder / "train").iterdir()}
    again = prepare(paths[:2], folder, RULES, Tools(detector), quiet=True)
    assert detector.asked == []
    assert again["films"] == first["films"]
    more = prepare(paths, folder, RULES, Tools(detector), quiet=True)
    assert set(detector.asked) == set(range(60, 90))
    assert {p: p.stat().st_mtime_ns for p in written} == written
    assert len(ClipSet.open(folder / "train").clips) == more["clips"]["train"] == 6
    kept = json.loads((folder / "prepare.json").read_text())
    assert kept["films"] == more["films"]
    assert kept["settings"]["size"] == 64


def test_other_settings_and_foreign_folders_are_refused(films, tmp_path):
    paths, detector = films(1)
    prepare(paths, tmp_path / "set", RULES, Tools(detector), quiet=True)
    with pytest.raises(InputError, match=r"set was made with other settings \(size 64, now 128\); give another folder"):
        prepare(paths, tmp_path / "set", replace(RULES, size=128), Tools(detector), quiet=True)
    with pytest.raises(InputError, match=r"sync None, now sync_tiny\); give another folder"):
        prepare(paths, tmp_path / "set", RULES, Tools(detector, sync=SimpleNamespace(name="sync_tiny")), quiet=True)
    (tmp_path / "mine" / "train").mkdir(parents=True)
    (tmp_path / "mine" / "train" / "a.mp4").write_bytes(b"")
    with pytest.raises(InputError, match=r"mine holds clips but no prepare\.json"):
        prepare(paths, tmp_path / "mine", RULES, Tools(detector), quiet=True)
    (tmp_path / "set" / "prepare.json").write_text("{")
    with pytest.raises(InputError, match=r"prepare\.json cannot be read"):
        prepare(paths, tmp_path / "set", RULES, Tools(detector), quiet=True)
    with pytest.raises(InputError, match="share of 1 for validation"):
        prepare(paths, tmp_path / "other", RULES, Tools(detector), val=1.0, quiet=True)


def test_films_at_once_give_what_they_give_one_by_one(films, tmp_path):
    paths, detector = films(3)
    one = prepare(paths, tmp_path / "one", RULES, Tools(detector), quiet=True)
    many = prepare(paths, tmp_path / "many", RULES, Tools(detector), workers=3, quiet=True)
    assert one == many
    assert files(tmp_path / "one") == files(tmp_path / "many")


def test_an_error_in_one_film_ends_all_and_what_is_done_stays(films, tmp_path):
    paths, detector = films(4)
    detect = detector.detect

    def fail(frames):
        faces = detect(frames)
        if detector.asked[-1] >= 90:
            raise RuntimeError("out of memory")
        return faces

    detector.detect = fail
    with pytest.raises(RuntimeError, match="out of memory"):
        prepare(paths[::-1], tmp_path / "set", RULES, Tools(detector), workers=2, quiet=True)
    assert not list((tmp_path / "set").glob(".*"))
    detector.detect = detect
    detector.asked.clear()
    report = prepare(paths, tmp_path / "set", RULES, Tools(detector), workers=2, quiet=True)
    assert len(report["films"]) == 4


def test_validation_by_films_is_drawn_once(films, tmp_path):
    paths, detector = films(4)
    report = prepare(paths[:3], tmp_path / "set", RULES, Tools(detector), val=0.34, quiet=True)
    val = [film["name"] for film in report["films"] if film["val"] == 1]
    assert len(val) == 1
    assert {clip["split"] for film in report["films"] for clip in film["clips"]} == {"train", "val"}
    assert all(p.name.startswith(val[0]) for p in (tmp_path / "set" / "val").iterdir())
    more = prepare(paths, tmp_path / "set", RULES, Tools(detector), val=0.34, quiet=True)
    assert [film["name"] for film in more["films"] if film["val"] == 1] == val
    assert (more["clips"]["train"], more["clips"]["val"]) == (6, 2)


def test_validation_by_time_is_the_end_of_each_film(films, tmp_path):
    paths, detector = films(1, frames=130)
    report = prepare(paths, tmp_path / "set", RULES, Tools(detector), val=0.2, quiet=True)
    (film,) = report["films"]
    train = [clip for clip in film["clips"] if clip["split"] == "train"]
    val = [clip for clip in film["clips"] if clip["split"] == "val"]
    assert max(c["start"] + c["seconds"] for c in train) <= 2.16
    assert min(c["start"] for c in val) == 4.16
    assert film["dropped"] == {"beside val": 2.0}
    assert report["taken"]["val"] == pytest.approx(1.04)


def test_nothing_usable_is_an_error_that_says_why(films, film, tmp_path):
    films(1)
    film("film1.mp4", frames=10, sound=None)
    everything = find_videos([tmp_path])
    with pytest.raises(
        InputError, match=r"no clip was taken from 2 videos \(no sound 0\.4 s, no face 1\.2 s; film1\.mp4"
    ):
        prepare(everything, tmp_path / "set", RULES, Tools(KnownFaces({})), quiet=True)


def test_the_table_adds_up_and_names_what_was_skipped(films, film, tmp_path):
    _, detector = films(2)
    film("a film whose name is longer than the table is wide.mp4", frames=20, sound=None)
    report = prepare(find_videos([tmp_path]), tmp_path / "set", RULES, Tools(detector), quiet=True)
    lines = table(report).splitlines()
    assert lines[0].split() == ["film", "seconds", "taken", "clips", "val", "no", "sound"]
    assert lines[1].startswith("a film whose name is longer…  ")
    assert lines[-2].split() == ["all", "3.2", "2.4", "4", "0", "0.8"]
    assert lines[-1].endswith("wide.mp4: skipped, it has no sound")
    assert len({len(line) for line in lines[:-1]}) == 1


def test_films_are_found_once_each_in_folders_and_by_name(films, tmp_path):
    films(2)
    (tmp_path / "more" / ".hidden").mkdir(parents=True)
    (tmp_path / "more" / "copy.MOV").write_bytes((tmp_path / "film0.mp4").read_bytes())
    (tmp_path / "more" / "notes.txt").write_text("no film")
    (tmp_path / "more" / ".hidden" / "x.mp4").write_bytes(b"x")
    assert [film.path.name for film in find_videos([tmp_path])] == ["film0.mp4", "film1.mp4"]
    assert [film.path.name for film in find_videos([tmp_path / "more", tmp_path / "film0.mp4"])] == ["copy.MOV"]
    with pytest.raises(InputError, match=r"video .*nowhere does not exist"):
        find_videos([tmp_path / "nowhere"])
    (tmp_path / "bare").mkdir()
    with pytest.raises(InputError, match="bare holds no video"):
        find_videos([tmp_path / "bare"])


def test_the_contact_sheet_holds_every_clip_on_pages(tmp_path):
    tiles = [np.full((*TILE, 3), 40 + 4 * n, np.uint8) for n in range(50)]
    save_tiles(tmp_path / "a.jpg", tiles[:30])
    save_tiles(tmp_path / "b.jpg", tiles[30:])
    assert np.abs(np.stack(load_tiles(tmp_path / "b.jpg")).astype(int) - np.stack(tiles[30:])).max() < 3
    (tmp_path / "contact_sheet_7.jpg").write_bytes(b"of an older run")
    pages = write_pages(tmp_path, [tmp_path / "a.jpg", tmp_path / "b.jpg"])
    assert [page.name for page in pages] == ["contact_sheet.jpg", "contact_sheet_2.jpg"]
    assert sorted(p.name for p in tmp_path.glob("contact*")) == ["contact_sheet.jpg", "contact_sheet_2.jpg"]


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"films": ' * 50, '{"films": 3, "settings": {}}', '{"films": [[]], "settings": {}}']
)
def test_a_report_of_a_stranger(tmp_path: Path, text: str) -> None:
    (tmp_path / REPORT).write_text(text)
    with pytest.raises(InputError, match=r"prepare\.json cannot be read"):
        State.open(tmp_path, {})


def test_a_film_whose_name_leads_elsewhere(tmp_path: Path) -> None:
    film = {"key": "k", "film": "a.mp4", "name": "../../a", "seconds": 1, "taken": 1, "val": 0}
    film |= {"clips": [], "dropped": {}}
    (tmp_path / REPORT).write_text(json.dumps({"films": [film], "settings": {}}))
    with pytest.raises(InputError, match="name is a path"):
        State.open(tmp_path, {})
    (tmp_path / REPORT).write_text(json.dumps({"films": [{**film, "name": "a"}], "settings": {}}))
    assert State.open(tmp_path, {}).films.keys() == {"k"}


def test_a_video_without_a_name_is_not_the_current_folder() -> None:
    with pytest.raises(InputError, match="without a name"):
        find_videos([""])
