"""`imagine`: a portrait and a video of a voice alone; without speech there is neither."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from talkface_core.media.video_reader import VideoReader
from talkface_core.media.video_writer import SYNTHETIC_MARK
from tests.cli.metadata import metadata_of
from tests.cli.test_animate import frames_of, refused
from tests.see_the_speaker.small_see_the_speaker import PORTRAIT, SIZE, save_small_see_the_speaker


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    return save_small_see_the_speaker(tmp_path_factory.mktemp("weights") / "small.safetensors")


@pytest.fixture
def voice(wav) -> Path:
    """More than a second of noise, which is speech enough for a model without a gate."""
    return wav("voice.wav", np.random.default_rng(0).normal(0, 0.1, 19200).astype(np.float32))


@pytest.fixture
def imagine(talkface, small, tmp_path):
    """imagine(audio, *flags): the run, with the small model and out.mp4 unless the flags name others."""

    def run(audio, *flags):
        words = ["imagine", audio, *flags]
        words += [] if "-o" in flags else ["-o", tmp_path / "out.mp4"]
        words += [] if "--model" in flags else ["--model", small]
        words += [] if "--device" in flags else ["--device", "cpu"]
        words += [] if "--portrait-steps" in flags else ["--portrait-steps", "2"]
        return talkface(*words)

    return run


def test_json_says_what_was_made(imagine, voice, tmp_path):
    ended = imagine(voice, "--json", "--quiet", "--portrait", tmp_path / "face.png")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.count("\n") == 1
    result = json.loads(ended.out)
    assert result["output"] == str(tmp_path / "out.mp4")
    assert (result["frames"], result["fps"], result["seconds_audio"]) == (30, 25.0, 1.2)
    assert 0 < result["seconds_portrait"] < result["seconds_wall"]
    reader = VideoReader(tmp_path / "out.mp4")
    assert (reader.width, reader.height) == (SIZE, SIZE)
    assert len(frames_of(tmp_path / "out.mp4")) == 30
    assert cv2.imread(str(tmp_path / "face.png")).shape == (SIZE, SIZE, 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["face.png", "out.mp4", "voice.wav"]


def test_both_files_say_that_it_is_a_guess(imagine, voice, tmp_path):
    assert imagine(voice, "--quiet", "--portrait", tmp_path / "face.png").status == 0
    told = metadata_of(tmp_path / "out.mp4")
    assert "identifies nobody" in told["comment"]
    assert {**told, "comment": SYNTHETIC_MARK["comment"]}.items() >= SYNTHETIC_MARK.items()
    with Image.open(tmp_path / "face.png") as picture:
        assert "identifies nobody" in picture.info["Comment"]
        assert picture.info["Synthetic_media"] == "true"


def test_flags_change_the_portrait_and_a_repeat_does_not(imagine, voice, tmp_path):
    made = {}
    for flags in (
        "",
        "--seed 1",
        "--prior none",
        "--prior 0.5",
        "--portrait-guidance 5",
        "--portrait-steps 4",
        "--seed 1",
    ):
        target = tmp_path / "face.png"
        ended = imagine(voice, "--quiet", "--duration", "1.1", "--portrait", target, *flags.split())
        assert ended.status == 0, ended.err
        picture = cv2.imread(str(target)).astype(int)
        if flags in made:
            assert (picture == made[flags]).all()
        assert all(np.abs(picture - other).max() > 3 for name, other in made.items() if name != flags), flags
        made[flags] = picture


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("-o {tmp}/out.avi", "must end in .mp4"),
        ("--portrait {tmp}/face.jpg", "must end in .png"),
        ("--portrait {tmp}/missing/face.png", "missing does not exist"),
        ("--prior mean", "--prior 'mean': give adaptive, none, or a weight"),
        ("--prior 2", "2.0"),
        ("--portrait-steps 0", "0"),
        ("--seed -1", "--seed: -1: a seed is a whole number from 0"),
        ("--gaze 9,9", "both parts lie between -1 and 1"),
        ("--fps 1000", "1000 frames per second: choose 1 to 120"),
        ("--model nobody", "nobody: found no such file"),
    ],
)
def test_wrong_settings(imagine, voice, tmp_path, flags, message):
    refused(imagine(voice, *flags.format(tmp=tmp_path).split()), tmp_path, message)
    assert not [*tmp_path.glob("*.png")]


def test_no_portrait_without_speech(imagine, wav, tmp_path):
    for name, samples in (
        ("silent.wav", np.zeros(32000)),
        ("short.wav", np.random.default_rng(0).normal(0, 0.1, 6000)),
    ):
        ended = imagine(wav(name, samples.astype(np.float32)), "--quiet", "--portrait", tmp_path / "face.png")
        refused(ended, tmp_path, "a portrait needs speech")
        assert not [*tmp_path.glob("*.png")]


def test_a_model_that_makes_no_portraits(imagine, voice, tmp_path):
    model = save_small_see_the_speaker(tmp_path / "animates.safetensors", *PORTRAIT)
    refused(imagine(voice, "--model", model), tmp_path, "animates.safetensors makes no portraits")
