"""`prepare`: a video to a data set that recipes train on as it is, and what is refused before any work."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from talkface_core.datasets.clips import ClipSet
from talkface_core.media.audio import audio_source, load_audio
from talkface_core.media.video_reader import VideoReader
from talkface_core.media.video_writer import VideoWriter

FIXTURE = Path(__file__).parents[1] / "fixtures" / "ada_talks.mp4"


@pytest.fixture(scope="module")
def footage(tmp_path_factory) -> Path:
    """The fixture's face to and fro in a larger picture, 30 frames a second, with its own sound repeated."""
    path = tmp_path_factory.mktemp("footage") / "Ada speaks.mp4"
    frames = np.concatenate(list(VideoReader(FIXTURE).chunks()))
    frames = np.concatenate([frames, frames[-2:0:-1]])[:56]
    wave = load_audio(FIXTURE.with_suffix(".flac"))["waveform"][0, 0].repeat(2)[: round(56 / 30 * 16000)]
    sound = audio_source({"waveform": wave[None, None], "sample_rate": 16000})
    with VideoWriter(path, 320, 240, 30, sound, crf=8) as writer:
        for frame in frames:
            canvas = np.full((240, 320, 3), (90, 110, 120), np.uint8)
            canvas[20:212, 60:252] = cv2.resize(frame, (192, 192), interpolation=cv2.INTER_CUBIC)
            writer.write(canvas[None])
    return path


@pytest.fixture(scope="module")
def words(footage) -> tuple:
    small = ("--size", 128, "--min-seconds", 1, "--max-seconds", 3)
    return ("prepare", footage, *small, "--detector", "bundled", "--device", "cpu")


def test_a_video_becomes_a_set_that_recipes_train_on(talkface, words, tmp_path):
    ended = talkface(*words, "-o", tmp_path / "set", "--json", "--quiet")
    assert (ended.status, ended.err) == (0, "")
    result = json.loads(ended.out)
    assert result["clips"] == {"train": 1, "val": 0}
    assert result["seconds_video"] == pytest.approx(1.88, abs=0.05)
    assert sum(result["seconds_taken"].values()) + sum(result["seconds_dropped"].values()) == pytest.approx(
        result["seconds_video"]
    )
    assert result["detector"] == "bundled"
    assert Path(result["report"]).is_file()
    assert [Path(page).is_file() for page in result["contact_sheets"]] == [True]
    (clip,) = ClipSet.open(tmp_path / "set" / "train").clips
    assert clip.name.startswith("Ada_speaks-")
    assert clip.truth()["valid"].mean() > 0.9

    quick = ("--device", "cpu", "--quiet", "--steps", 1, "--batch-size", 1, "--sample-every", 0)
    train = ("train", "dae-talker-autoencoder", "--data", tmp_path / "set", "--out", tmp_path / "run")
    ended = talkface(*train, *quick)
    assert (ended.status, ended.err) == (0, "")


def test_the_table_is_for_people_and_a_second_run_has_nothing_to_do(talkface, words, tmp_path):
    first = talkface(*words, "-o", tmp_path / "set")
    assert first.status == 0
    assert not first.out
    assert "Ada speaks.mp4" in first.err
    assert f"{tmp_path / 'set'}: look at contact_sheet.jpg" in first.err
    before = (tmp_path / "set" / "prepare.json").read_bytes()
    assert talkface(*words, "-o", tmp_path / "set", "--quiet").status == 0
    assert (tmp_path / "set" / "prepare.json").read_bytes() == before
    other = talkface(*words, "-o", tmp_path / "set", "--crop", "aligned")
    assert other.status == 2
    assert "crop head, now aligned" in other.err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--size 7", "frames of 7 px"),
        ("--max-seconds 1", "clips of 1 to 1 s"),
        ("--min-face nan", "smallest face of nan px"),
        ("--max-yaw 100", "largest yaw of 100"),
        ("--face biggest", "--face biggest: give largest, leftmost, or a number"),
        (f"--face {'9' * 5000}", f"--face {'9' * 40}: give largest, leftmost, or a number"),
        ("--val 1", "share of 1 for validation"),
        ("--workers 0", "--workers 0: give 1 to 64"),
        ("--crop round", "'round'"),
        ("-o {tmp}/file", "file is a file; give a folder"),
    ],
)
def test_wrong_input_is_one_line_and_no_set(talkface, words, tmp_path, flags, message):
    (tmp_path / "file").write_text("x")
    ended = talkface(*words, "-o", tmp_path / "set", "--quiet", *flags.format(tmp=tmp_path).split())
    assert ended.status == 2
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert not ended.out
    assert not (tmp_path / "set").exists()


def test_footage_without_a_face_is_an_error_that_says_why(talkface, tmp_path):
    sound = audio_source({"waveform": torch.full((1, 1, 16000), 0.1), "sample_rate": 16000})
    with VideoWriter(tmp_path / "wall.mp4", 160, 120, 25, sound) as writer:
        writer.write(np.full((25, 120, 160, 3), 100, np.uint8))
    ended = talkface("prepare", tmp_path / "wall.mp4", "-o", tmp_path / "set", "--device", "cpu", "--quiet")
    assert ended.status == 2
    assert "no clip was taken from 1 videos (no face 1.0 s); give footage" in ended.err


def test_a_video_that_is_not_there(talkface, tmp_path):
    ended = talkface("prepare", tmp_path / "none.mp4", "-o", tmp_path / "set")
    assert (ended.status, ended.err.count("\n")) == (2, 1)
    assert "none.mp4 does not exist; check the name and the folder" in ended.err
