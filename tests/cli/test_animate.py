"""`animate`: the video and the JSON it gives; every wrong input is one clear line, status 2, and no file."""

import json
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from talkface_core.device import pick_dtype
from talkface_core.media.audio import open_audio
from talkface_core.media.video_reader import VideoReader
from talkface_core.media.video_writer import SYNTHETIC_MARK, VideoWriter
from tests.cli.metadata import metadata_of
from tests.see_the_speaker.small_see_the_speaker import SIZE, save_small_see_the_speaker

PORTRAIT = Path(__file__).parents[2] / "samples" / "portrait.jpg"


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> Path:
    return save_small_see_the_speaker(tmp_path_factory.mktemp("weights") / "small.safetensors")


@pytest.fixture
def animate(talkface, small, tmp_path):
    """animate(picture, audio, *flags): the run, with the small model and out.mp4 unless the flags name others."""

    def run(picture, audio, *flags):
        words = ["animate", picture, audio, *flags]
        words += [] if "-o" in flags else ["-o", tmp_path / "out.mp4"]
        words += [] if "--model" in flags else ["--model", small]
        words += [] if "--device" in flags else ["--device", "cpu"]
        words += [] if "--detector" in flags else ["--detector", "bundled"]
        return talkface(*words)

    return run


def frames_of(path: Path) -> np.ndarray:
    return np.concatenate(list(VideoReader(path).chunks()))


def test_json_says_what_was_made(animate, speech, tmp_path):
    ended = animate(PORTRAIT, speech, "--json", "--quiet")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.count("\n") == 1
    result = json.loads(ended.out)
    assert result["output"] == str(tmp_path / "out.mp4")
    assert (result["frames"], result["fps"], result["seconds_audio"]) == (25, 25.0, 1.0)
    parts = [result[f"seconds_{part}"] for part in ("load", "motion", "drawing", "pasting", "writing")]
    assert min(parts) > 0
    assert sum(parts) <= result["seconds_wall"] + 0.01
    assert 50 < result["peak_rss_mb"] < 4000
    assert 0 < result["seconds_first_frame"] < result["seconds_wall"] - result["seconds_load"]
    own = str(pick_dtype(torch.device("cpu"))).removeprefix("torch.")
    assert (result["model"], result["device"], result["dtype"], result["seed"]) == ("small", "cpu", own, 0)
    reader = VideoReader(tmp_path / "out.mp4")
    assert (reader.fps, reader.width, reader.height) == (25, 256, 256)
    assert len(frames_of(tmp_path / "out.mp4")) == 25
    assert open_audio(tmp_path / "out.mp4").num_samples() == 16000
    assert metadata_of(tmp_path / "out.mp4").items() >= SYNTHETIC_MARK.items()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "speech.wav"]


def test_for_people_there_is_a_bar_and_a_line(animate, speech):
    ended = animate(PORTRAIT, speech)
    assert (ended.status, ended.out) == (0, "")
    assert "25/25" in ended.err
    assert "out.mp4: 25 frames in" in ended.err.splitlines()[-1]


def test_only_the_head_moves(animate, speech, tmp_path):
    """What lies beside the head's square is the picture's; the square alone has the model's size."""
    wide = np.full((256, 600, 3), 90, np.uint8)
    wide[:, :256] = cv2.imread(str(PORTRAIT))
    cv2.imwrite(str(tmp_path / "wide.png"), wide)
    assert animate(tmp_path / "wide.png", speech, "--quiet").status == 0
    frames = frames_of(tmp_path / "out.mp4").astype(int)
    assert frames.shape[1:] == (256, 600, 3)
    assert np.abs(frames[:, :, 460:] - 90).max() <= 3
    assert np.abs(frames - frames[:1])[:, :, :256].max() > 20
    assert animate(tmp_path / "wide.png", speech, "--quiet", "--crop").status == 0
    assert frames_of(tmp_path / "out.mp4").shape[1:] == (SIZE, SIZE, 3)


def test_every_flag_changes_the_picture_and_a_repeat_does_not(animate, speech, tmp_path):
    results = {}
    changes = ("", "--head 2", "--expression 2", "--gaze 1,0", "--gaze 0,-1", "--pose 20,0,0", "--seed 1")
    for flags in (*changes, "--guidance 3", "--steps 2", "--fidelity 0"):
        ended = animate(PORTRAIT, speech, "--crop", "--quiet", "--duration", "0.4", *flags.split())
        assert ended.status == 0, ended.err
        results[flags] = frames_of(tmp_path / "out.mp4").astype(int)
    for one, other in combinations(results, 2):
        assert np.abs(results[one] - results[other]).max() > 3, (one, other)
    assert animate(PORTRAIT, speech, "--crop", "--quiet", "--duration", "0.4", "--seed", "1").status == 0
    # Some processors round a sum in bfloat16 now so, now so; the encoder then makes a step or two of it here and there.
    again = frames_of(tmp_path / "out.mp4")
    assert np.abs(again - results["--seed 1"]).mean() < 0.1
    assert np.abs(again - results[""]).mean() > 0.2


def test_an_older_video_is_replaced_only_by_a_whole_one(animate, speech, wav, tmp_path):
    (tmp_path / "out.mp4").write_bytes(b"older")
    broken = np.zeros(40 * 16000, np.float32)
    broken[-1] = np.nan
    assert animate(PORTRAIT, wav("late.wav", broken), "--quiet", "--crop").status == 2
    assert (tmp_path / "out.mp4").read_bytes() == b"older"
    assert not [*tmp_path.glob("*.part*")]


def test_the_output_is_never_an_input(animate, speech, tmp_path):
    own = tmp_path / "film.mp4"
    with VideoWriter(own, 64, 64, 25, open_audio(speech)) as writer:
        writer.write(np.zeros((25, 64, 64, 3), np.uint8))
    before = own.read_bytes()
    ended = animate(PORTRAIT, own, "-o", own)
    assert ended.status == 2
    assert "is also an input" in ended.err
    assert own.read_bytes() == before


def refused(ended, folder: Path, message: str) -> None:
    """Status 2, one line that says so, nothing on stdout, no file but the inputs."""
    assert ended.status == 2
    assert message in ended.err
    assert ended.err.startswith("talkface: ")
    assert ended.err.count("\n") == 1
    assert not ended.out
    assert not [path for path in folder.rglob("*") if path.suffix == ".mp4" or ".part" in path.name]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("-o {tmp}/missing/out.mp4", "missing does not exist"),
        ("-o {tmp}/out.avi", "must end in .mp4"),
        ("--model nobody", "nobody: found no such file"),
        ("--head 9", "head is 9.0; it lies between 0 and 3"),
        ("--expression -1", "expression is -1.0"),
        ("--blink nan", "blink is nan"),
        ("--blink-rate 200", "200.0 blinks a minute; give 0 to 60"),
        ("--gaze right", "--gaze 'right': give two numbers"),
        ("--gaze 2,0", "both parts lie between -1 and 1"),
        ("--pose left", "neither yaw,pitch,roll in degrees"),
        ("--guidance 99", "99"),
        ("--steps 0", "0"),
        ("--fidelity 2", "--fidelity 2.0: give 0"),
        ("--seed -1", "--seed: -1: a seed is a whole number from 0"),
        ("--fps 0", "rate 0 is not above zero"),
        ("--fps 1000", "1000 frames per second: choose 1 to 120"),
        ("--face tallest", "tallest"),
        ("--start 5", "lies after the end"),
        ("--duration 0", "duration of 0.0 s"),
    ],
)
def test_wrong_settings(animate, speech, tmp_path, flags, message):
    refused(animate(PORTRAIT, speech, *flags.format(tmp=tmp_path).split()), tmp_path, message)


def test_wrong_pictures(animate, speech, tmp_path):
    refused(animate(tmp_path / "none.png", speech), tmp_path, "none.png does not exist")
    refused(animate(speech, speech), tmp_path, "cannot be read; give a whole .png or .jpg")
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "noise.png"), noise)
    refused(animate(tmp_path / "noise.png", speech), tmp_path, "noise.png: no face in")


def test_wrong_sounds(animate, wav, tmp_path):
    refused(animate(PORTRAIT, tmp_path / "none.wav"), tmp_path, "none.wav does not exist")
    refused(animate(PORTRAIT, wav("empty.wav", np.zeros(0, np.float32))), tmp_path, "empty.wav holds no sound")
    (tmp_path / "text.wav").write_text("Dear diary, " * 100)
    refused(animate(PORTRAIT, tmp_path / "text.wav"), tmp_path, "text.wav cannot be read as audio")


def test_wrong_models(animate, speech, tmp_path):
    for name, without, message in (
        ("still", ("motion", "lip_refinement"), "expected motion too"),
        ("dark", ("renderer", "codebook"), "expected renderer too"),
        ("deaf", ("acoustic",), "acoustic model is missing"),
    ):
        model = save_small_see_the_speaker(tmp_path / f"{name}.safetensors", *without)
        ended = animate(PORTRAIT, speech, "--model", model)
        refused(ended, tmp_path, message)
        assert f"{name}.safetensors" in ended.err
    plain = save_small_see_the_speaker(tmp_path / "plain.safetensors", "codebook")
    refused(animate(PORTRAIT, speech, "--model", plain, "--fidelity", "0.5"), tmp_path, "has no codebook; leave it out")
