"""Benchmarks end as the command line does: what their user can mend is one line and exit status 2."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from benchmarks.all_systems import OF_THE_PERSON, comparable
from benchmarks.ending import files_in, run_program
from benchmarks.side_by_side import side_by_side
from talkface_core.errors import InputError

ROOT = Path(__file__).parents[1]
ELSEWHERE = {"mesh_mediapipe", "second_opinion_mediapipe"}
"""Scripts for an environment of another package, in which the pack is not installed."""


def raising(error: Exception):
    def main() -> None:
        raise error

    return main


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (InputError("film.mp4: no\n  face"), "film.mp4: no face"),
        (FileNotFoundError(2, "No such file", "index.json"), "index.json: No such file"),
        (subprocess.CalledProcessError(2, ["talkface", "dub"], stderr=b"first\ntalkface: no face\n"), "talkface dub "
         "ended with status 2: talkface: no face"),
        (subprocess.CalledProcessError(1, "talkface dub"), "talkface dub ended with status 1"),
        (ModuleNotFoundError("No module named 'person.skin'", name="person.skin"), "'person.skin' is not there"),
    ],
)  # fmt: skip
def test_what_can_be_mended_is_one_line(capsys: pytest.CaptureFixture[str], error: Exception, words: str):
    with pytest.raises(SystemExit) as ended:
        run_program(raising(error))
    assert ended.value.code == 2
    told = capsys.readouterr()
    assert words in told.err
    assert (told.err.count("\n"), told.out) == (1, "")


@pytest.mark.parametrize("error", [KeyError("x"), ModuleNotFoundError("no", name="talkface_core.gone")])
def test_a_bug_of_ours_is_traced(error: Exception):
    with pytest.raises(type(error)):
        run_program(raising(error))


@pytest.mark.parametrize(("status", "code"), [(None, None), (0, 0), (3, 3)])
def test_it_exits_with_what_main_returns(status: int | None, code: int | None):
    with pytest.raises(SystemExit) as ended:
        run_program(lambda: status)
    assert ended.value.code == code


def test_files_of_a_folder(tmp_path: Path):
    with pytest.raises(InputError, match="no such folder"):
        files_in(tmp_path / "none", ".flac")
    (tmp_path / "b.FLAC").touch()
    (tmp_path / "a.wav").touch()
    with pytest.raises(InputError, match=r"no file that ends in \.mp4 or \.mov"):
        files_in(tmp_path, ".mp4", ".mov")
    assert [path.name for path in files_in(tmp_path, ".flac", ".wav")] == ["a.wav", "b.FLAC"]


@pytest.mark.parametrize("path", sorted((ROOT / "benchmarks").glob("*.py")), ids=lambda path: path.stem)
def test_every_benchmark_ends_so(path: Path):
    text = path.read_text(encoding="utf-8")
    if path.stem in ELSEWHERE or not re.search(r"^def main\(", text, re.M):
        return
    assert text.endswith('\n\nif __name__ == "__main__":\n    run_program(main)\n')


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("voice_activity --speech {tmp} --out {tmp}/out", "holds no file that ends in .flac"),
        ("bundle {tmp}/gone.safetensors name", "found no such file"),
        ("diffdub {tmp}", "give the folder that holds it"),
        ("peers {tmp} --only wav2lip", "holds no Wav2Lip; name what is there with --only"),
        ("mesh_adapter {tmp} {tmp} {tmp}", "holds no file that ends in .npz"),
        ("frames_picture {tmp}/out.gif {tmp}/gone.mp4", "a picture ends in .jpg or .jpeg or .png"),
        ("frames_picture {tmp}/out.png {tmp}/gone.mp4 --side 0", "give 1 to 2048 pixels"),
        ("codebook_quality see_the_speaker_tiny {tmp}", "there is nothing to measure"),
        ("landmark_ablation --data {tmp} --val {tmp} --autoencoder landmark_tiny --completion gone --out {tmp}/out",
         "gone: found no such file"),
    ],
)  # fmt: skip
def test_as_a_program(tmp_path: Path, words: str, said: str):
    command = [sys.executable, "-m", *f"benchmarks.{words}".format(tmp=tmp_path).split()]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"{words.split()[0]}: ")
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("theirs", "ours"), [((3, 3, 3), (4, 4)), ((8,), (1,) * 9), ((5, 5), (5, 2, 1))])
def test_frames_stand_beside_those_made_of_them_however_they_are_read(
    theirs: tuple[int, ...], ours: tuple[int, ...]
) -> None:
    def chunks(sizes: tuple[int, ...]) -> Iterator[np.ndarray]:
        yield from np.split(np.arange(sum(sizes))[:, None, None, None], np.cumsum(sizes)[:-1])

    pairs = list(side_by_side(chunks(theirs), chunks(ours), 4))
    assert all(np.array_equal(film, made) and len(film) <= 4 for film, made in pairs)
    assert sum(len(film) for film, _ in pairs) == min(sum(theirs), sum(ours))


def test_pixels_of_another_person_are_not_compared() -> None:
    clip = {"opening": 0.9, "sharpness_mouth": 1.0} | dict.fromkeys(OF_THE_PERSON, 0.5)
    scores = {"frames": 25, "clips": {"a": clip}}
    assert comparable(scores, "animate") == scores
    assert comparable(scores, "dae-talker") == {"frames": 25, "clips": {"a": {"opening": 0.9, "sharpness_mouth": 1.0}}}
