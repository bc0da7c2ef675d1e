"""`evaluate`: the table, the JSON and the page of a clip beside itself; every wrong input is one line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from talkface_core.evaluation.clip_files import pair_files, read_truth
from talkface_core.evaluation.footage import known_closures
from tests.evaluation.test_weights import publish, save_onnx, saved, torchvision_state
from tests.ladtalk.small_ladtalk import save_small_ladtalk

CLIP = Path(__file__).parents[1] / "fixtures" / "ada_talks.mp4"


def test_a_clip_beside_itself(talkface, tmp_path):
    """With a system that is asked what it does with silence, a page, and phonemes beside the real clip."""
    for folder in ("made", "real"):
        (tmp_path / folder).mkdir()
        shutil.copy(CLIP, tmp_path / folder / "ada.mp4")
    shutil.copy(CLIP, tmp_path / "made" / "alone.mp4")
    shutil.copy(CLIP.with_suffix(".flac"), tmp_path / "real" / "ada.flac")  # the generated clip has no sound of its own
    np.savez(tmp_path / "real" / "ada.npz", phonemes=json.dumps([["b", "PP", 0.2, 0.28]]))
    model = save_small_ladtalk(tmp_path / "small.safetensors", "sovqae")
    ended = talkface(
        *("evaluate", tmp_path / "made", "--reference", tmp_path / "real", "--html", tmp_path / "page.html"),
        *("--system", "ladtalk", "--model", model, "--silent-seconds", "0.4", "--seconds", "0.6", "--device", "cpu"),
        *("--metrics", "mouth,silence,offset,psnr_mouth,lse_d", "--json"),
    )
    assert ended.status == 0
    result = json.loads(ended.out)
    assert (result["clips"], result["without_partner"]) == (["ada"], ["alone"])
    rows = {row["key"]: row for row in result["rows"]}
    assert (rows["opening"]["value"], rows["lmd"]["value"], rows["lag"]["value"]) == (1, pytest.approx(0, abs=1e-9), 0)
    assert rows["psnr_mouth"]["value"] == rows["psnr_mouth"]["real"] == 100
    assert rows["offset"]["value"] == rows["offset"]["real"]
    assert 0 <= rows["open_silence"]["value"] <= 1
    assert "closures" in rows
    assert "models --convert" in result["left_out"]["LSE-D (SyncNet)"]
    assert result["about"]["frames"] == 15
    assert Path(result["page"]).read_text(encoding="utf-8").startswith("<!doctype html>")


def test_for_people_there_is_a_table(talkface):
    ended = talkface("evaluate", CLIP, "--reference", CLIP, "--metrics", "opening", "--seconds", "0.4", "--quiet")
    assert (ended.status, ended.out) == (0, "")
    ended = talkface("evaluate", CLIP, "--reference", CLIP, "--metrics", "opening,fid", "--seconds", "0.4")
    assert "mouth opening, correlation" in ended.out
    assert "left out:" in ended.out


def test_instruments_of_files(talkface, tmp_path, monkeypatch):
    """A clip beside itself, by a network that tells faces apart and by LPIPS."""
    face = publish(save_onnx(tmp_path / "face.onnx"), monkeypatch)
    alex = saved(tmp_path, "alex.pth", torchvision_state(0.01))
    ended = talkface(
        *("evaluate", CLIP, "--reference", CLIP, "--metrics", "identity,lpips_alex,fid", "--seconds", "0.4", "--json"),
        *("--weights", alex, face),
    )
    result = json.loads(ended.out)
    rows = {row["key"]: row for row in result["rows"]}
    assert (rows["identity"]["value"], rows["lpips_alex"]["value"]) == (rows["identity"]["real"], 0)
    assert rows["identity_drift"]["value"] == pytest.approx(0, abs=0.1)
    assert result["left_out"].keys() == {"FID, face"}
    assert "--weights pt_inception" in result["left_out"]["FID, face"]
    assert "SFace" in result["protocol"]["likeness"]
    ended = talkface("evaluate", CLIP, "--reference", CLIP, "--weights", face, CLIP)
    assert ended.status == 2
    assert "ada_talks.mp4: found no readable torch file" in ended.err


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("--reference", "nowhere"), "reference nowhere does not exist"),
        (("--reference", CLIP, "--html", "page.txt"), "ends in .html"),
        (("--reference", CLIP, "--html", "nowhere/page.html"), "does not exist; create it first"),
        (("--reference", CLIP, "--metrics", "beauty"), "'beauty' is unknown"),
        (("--reference", CLIP, "--metrics", ","), "no metric is named; choose"),
        (("--reference", CLIP, "--silent", "2"), "--silent 2 belongs to the run with silence; give --system too"),
        (("--reference", CLIP, "--system", "ladtalk", "--silent", "0"), "--silent 0: give 1 or more"),
        (("--reference", CLIP, "--seconds", "nan"), "give 0.2 or more"),
        (("--reference", CLIP, "--model", "x"), "give --system too"),
        (
            ("--reference", CLIP, "--metrics", "fid"),
            "nothing of what was asked for can be measured (FID",
        ),
    ],
)
def test_wrong_input(talkface, flags, said):
    ended = talkface("evaluate", CLIP, *flags, "--quiet")
    assert ended.status == 2
    assert said in ended.err
    assert ended.err.count("\n") == 1


def test_a_page_that_cannot_be_written(talkface, tmp_path, monkeypatch):
    from talkface_core.media import video_writer

    (tmp_path / "page.html").mkdir()
    ended = talkface("evaluate", CLIP, "--reference", CLIP, "--html", tmp_path / "page.html", "--quiet")
    assert (ended.status, "is a folder" in ended.err) == (2, True)
    monkeypatch.setattr(video_writer.os, "access", lambda *_: False)
    ended = talkface("evaluate", CLIP, "--reference", CLIP, "--html", tmp_path / "other.html", "--quiet")
    assert (ended.status, "cannot be written to" in ended.err) == (2, True)


def test_pairs_by_name(tmp_path):
    for name in ("made/x/one.mp4", "made/two.mkv", "real/x/one.mov", "real/two.mp4", "real/three.mp4"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    pairs, alone = pair_files(tmp_path / "made", tmp_path / "real")
    assert [(pair.name, pair.generated.suffix, pair.real.suffix) for pair in pairs] == [
        ("two", ".mkv", ".mp4"),
        (str(Path("x/one")), ".mp4", ".mov"),
    ]
    assert alone == ["three"]
    pairs, _ = pair_files(tmp_path / "made" / "two.mkv", tmp_path / "real")
    assert [pair.real.name for pair in pairs] == ["two.mp4"]


def test_closures_of_a_truth(tmp_path):
    np.savez(tmp_path / "a.npz", phonemes=json.dumps([["m", "PP", 0.0, 0.2], ["a", "AA", 0.2, 0.3], ["b", "BV", 9, 9]]))
    assert known_closures(read_truth(tmp_path / "a.npz"), 30).tolist() == [2]
    np.savez(tmp_path / "b.npz", pp_frames=np.array([3, 7]))
    assert known_closures(read_truth(tmp_path / "b.npz"), 30).tolist() == [3, 7]
    assert known_closures(read_truth(tmp_path / "none.npz"), 30) is None
