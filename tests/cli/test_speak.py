"""`speak`: the video and the JSON it gives; every wrong input is one clear line, status 2, and no file."""

import json
import pickle
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from talkface_core.checkpoints import save_checkpoint
from talkface_core.media.audio import open_audio
from talkface_core.media.video_reader import VideoReader
from tests.acoustic.small_acoustic import small_acoustic
from tests.acoustic.small_ear import save_small_whisper
from tests.dae_talker.small import SIZE, listening, save_small_talker

HELLO = Path(__file__).parents[2] / "samples" / "hello.flac"


@pytest.fixture
def speak(talkface, small_checkpoint, tmp_path):
    """speak(audio, *flags): the run, with the small model and out.mp4 unless the flags name others."""

    def run(audio, *flags):
        words = ["speak", audio, *flags]
        words += [] if "-o" in flags else ["-o", tmp_path / "out.mp4"]
        words += [] if "--model" in flags else ["--model", small_checkpoint]
        words += [] if "--device" in flags else ["--device", "cpu"]
        return talkface(*words)

    return run


def frames_of(path: Path) -> np.ndarray:
    return np.concatenate(list(VideoReader(path).chunks()))


def test_json_says_what_was_made(speak, speech, tmp_path):
    ended = speak(speech, "--json", "--quiet")
    assert (ended.status, ended.err) == (0, "")
    result = json.loads(ended.out)
    assert ended.out.count("\n") == 1
    assert result["output"] == str(tmp_path / "out.mp4")
    assert (result["frames"], result["fps"], result["seconds_audio"]) == (25, 25.0, 1.0)
    assert 0 < result["seconds_network"] + result["seconds_plumbing"] <= result["seconds_wall"]
    assert 0 < result["seconds_first_frame"] < result["seconds_wall"] - result["seconds_load"]
    assert 50 < result["peak_rss_mb"] < 4000
    assert (result["model"], result["device"], result["seed"]) == ("small", "cpu", 0)
    reader = VideoReader(tmp_path / "out.mp4")
    assert (reader.fps, reader.width, reader.height) == (25, SIZE, SIZE)
    assert len(frames_of(tmp_path / "out.mp4")) == 25
    sound = open_audio(tmp_path / "out.mp4")
    assert (sound.sample_rate, sound.num_samples()) == (16000, 16000)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "speech.wav"]


def test_for_people_there_is_a_bar_and_a_line(speak, speech):
    ended = speak(speech)
    assert (ended.status, ended.out) == (0, "")
    assert "25/25" in ended.err
    assert "out.mp4: 25 frames in" in ended.err.splitlines()[-1]


def test_quiet_is_quiet(speak, speech):
    ended = speak(speech, "--quiet")
    assert (ended.status, ended.out, ended.err) == (0, "", "")


def test_every_flag_changes_the_picture_and_a_repeat_does_not(speak, speech, tmp_path, monkeypatch):
    # Several workers round differently now and then, and random weights make much of it.
    monkeypatch.setattr("talkface_core.parallel.pick_workers", lambda device: 1)
    picture = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "face.png"), picture)
    (tmp_path / "turn.csv").write_text("0: 0,0,0\n1: 30,0,0\n")
    turn, reference = f"--pose {tmp_path}/turn.csv", f"--reference {tmp_path}/face.png"
    poses = ("--pose -20,0,0", "--pose -20,0,0 --pose-strength 0.5", turn)
    results = {}
    changes = (
        "",
        "--no-idle",
        "--expression 0",
        "--seed 1",
        "--steps 6",
        "--steps 6 --sampler ddim",
        *poses,
        reference,
    )
    for flags in changes:
        assert speak(speech, "--quiet", *flags.split()).status == 0
        results[flags] = frames_of(tmp_path / "out.mp4")
    for one, other in combinations(results, 2):
        assert np.abs(results[one].astype(int) - results[other]).mean() > 0.3, (one, other)
    assert speak(speech, "--quiet", "--seed", "1").status == 0
    assert np.array_equal(frames_of(tmp_path / "out.mp4"), results["--seed 1"])


@pytest.mark.parametrize(("fps", "rate", "frames"), [("30", 30, 30), ("29.97", 30000 / 1001, 30), ("12.5", 12.5, 13)])
def test_rates(speak, speech, tmp_path, fps, rate, frames):
    result = json.loads(speak(speech, "--json", "--quiet", "--fps", fps).out)
    assert (result["fps"], result["frames"]) == (rate, frames)
    assert len(frames_of(tmp_path / "out.mp4")) == frames


def test_a_part_of_the_sound(speak, speech):
    result = json.loads(speak(speech, "--json", "--quiet", "--start", "0.5", "--duration", "0.25").out)
    assert (result["seconds_audio"], result["frames"]) == (0.25, 7)


@pytest.mark.parametrize("samples", [np.zeros(8000, np.float32), np.ones(1, np.float32), np.full(500, 2.0, np.float32)])
def test_silence_one_sample_and_clipping_make_a_video(speak, wav, tmp_path, samples):
    ended = speak(wav("odd.wav", samples), "--json", "--quiet")
    assert ended.status == 0
    assert json.loads(ended.out)["frames"] == len(frames_of(tmp_path / "out.mp4")) == -(-len(samples) * 25 // 16000)


def test_an_older_video_is_replaced_only_by_a_whole_one(speak, speech, tmp_path):
    (tmp_path / "out.mp4").write_bytes(b"older")
    assert speak(speech, "--steps", "0").status == 2
    assert (tmp_path / "out.mp4").read_bytes() == b"older"
    assert speak(speech, "--quiet").status == 0
    assert len(frames_of(tmp_path / "out.mp4")) == 25


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
        ("-o {tmp}", "must end in .mp4"),
        ("--model nobody", "nobody: found no such file"),
        ("--model {tmp}", "found a folder"),
        ("--pose left", "neither yaw,pitch,roll in degrees"),
        ("--pose 1,2", "has 2 numbers"),
        ("--pose nan,0,0", "NaN"),
        ("--pose 0,95,0", "beyond 90 degrees"),
        ("--pose-strength 2", "pose strength 2.0 is outside 0..1"),
        ("--expression 3", "expression 3.0 is outside 0..2"),
        ("--pose-strength nan --pose 1,2,3", "pose strength nan is outside"),
        ("--steps 0", "cannot take 0 sampling steps"),
        ("--steps -3", "cannot take -3 sampling steps"),
        ("--steps 10000", "choose 1 to 1000"),
        ("--sampler euler", "choose one of ddim, dpmpp_2m"),
        ("--fps 0", "rate 0 is not above zero"),
        ("--fps -1", "rate -1 is not above zero"),
        ("--fps nan", "rate 'nan' is not a number"),
        ("--fps fast", "rate 'fast' is not a number"),
        ("--fps 1000", "1000 frames per second: choose 1 to 120"),
        ("--fps 0.1", "choose 1 to 120"),
        ("--seed -1", "--seed: -1: a seed is a whole number from 0"),
        ("--seed 99999999999999999999", "a seed is a whole number"),
        ("--reference {tmp}/none.png", "none.png does not exist"),
        ("--reference {tmp}/speech.wav", "cannot be read; give a whole .png or .jpg"),
        ("--start 5", "lies after the end"),
        ("--start -1", "audio starts at 0"),
        ("--start nan", "start of nan s"),
        ("--duration 0", "duration of 0.0 s"),
    ],
)
def test_wrong_settings(speak, speech, tmp_path, flags, message):
    refused(speak(speech, *flags.format(tmp=tmp_path).split()), tmp_path, message)


def test_wrong_sounds(speak, wav, tmp_path):
    refused(speak(tmp_path / "none.wav"), tmp_path, "none.wav does not exist")
    refused(speak(tmp_path), tmp_path, "is a folder")
    (tmp_path / "text.wav").write_text("Dear diary, " * 100)
    refused(speak(tmp_path / "text.wav"), tmp_path, "text.wav cannot be read as audio")
    (tmp_path / "nothing.wav").write_bytes(b"")
    refused(speak(tmp_path / "nothing.wav"), tmp_path, "nothing.wav cannot be read as audio")
    refused(speak(wav("empty.wav", np.zeros(0, np.float32))), tmp_path, "empty.wav holds no sound")
    broken = np.zeros(16000, np.float32)
    broken[9000] = np.nan
    refused(speak(wav("nan.wav", broken)), tmp_path, "nan.wav holds 1 samples that are NaN or infinite")


def test_nan_late_in_a_long_sound_leaves_no_file(speak, wav, tmp_path):
    broken = np.zeros(16000 * 40, np.int16).astype(np.float32)
    broken[-1] = np.inf
    ended = speak(wav("late.wav", broken), "--quiet", "--steps", "1")
    refused(ended, tmp_path, "late.wav holds 1 samples that are NaN or infinite")


def test_the_output_is_never_the_input(speak, speech, tmp_path):
    own = tmp_path / "film.mp4"
    assert speak(speech, "-o", own, "--quiet").status == 0
    before = own.read_bytes()
    ended = speak(own, "-o", own)
    assert ended.status == 2
    assert "is also an input" in ended.err
    assert own.read_bytes() == before
    (tmp_path / "link.mp4").symlink_to(own)
    assert speak(own, "-o", tmp_path / "link.mp4").status == 2
    assert own.read_bytes() == before


def test_wrong_models(speak, speech, small_checkpoint, tmp_path):
    whole = small_checkpoint.read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(whole[:-1000])
    (tmp_path / "empty.safetensors").write_bytes(b"")
    (tmp_path / "text.safetensors").write_text("weights, " * 50)
    (tmp_path / "old.pt").write_bytes(pickle.dumps({"state_dict": [1.0, 2.0]}))
    torch.save({"weight": torch.zeros(3)}, tmp_path / "zip.safetensors")
    save_checkpoint(tmp_path / "other.safetensors", "ladtalk", {"n": torch.nn.Linear(1, 1)}, {"n": {}}, {})
    for name, message in (
        ("cut.safetensors", "found a cut-off file"),
        ("empty.safetensors", "found an empty file"),
        ("text.safetensors", "that is no safetensors file"),
        ("old.pt", "found a pickled file"),
        ("zip.safetensors", "found a pickled file"),
        ("other.safetensors", "found a checkpoint of the system 'ladtalk'; expected the system 'dae_talker'"),
    ):
        ended = speak(speech, "--model", tmp_path / name)
        refused(ended, tmp_path, message)
        assert name in ended.err


def test_another_ear(speak, speech, small_checkpoint, tmp_path):
    acoustic = small_acoustic()
    model = save_small_talker(tmp_path / "ears.safetensors", speech2latent=listening(acoustic), acoustic=acoustic)
    ear = save_small_whisper(tmp_path / "whisper.safetensors", acoustic)
    shown = []
    for more in ((), ("--ear", "none"), ("--ear", ear)):
        assert speak(speech, "--quiet", "--model", model, *more).status == 0
        shown.append(frames_of(tmp_path / "out.mp4"))
    assert (shown[0] == shown[1]).all()  # the bundled ear is another acoustic model's
    assert (shown[0] != shown[2]).any()
    (tmp_path / "out.mp4").unlink()
    for flags, message in (
        (("--ear", ear), "this model hears no acoustic features"),
        (("--model", model, "--ear", small_checkpoint), "expected the encoder of a Whisper"),
        (
            ("--model", model, "--ear", tmp_path / "none.safetensors"),
            "found no such file; expected the encoder of",
        ),
        (("--model", model, "--ear", ear, "--live"), "--ear hears seconds at a time"),
    ):
        ended = speak(speech, *flags)
        assert (ended.status, (tmp_path / "out.mp4").exists()) == (2, False)
        assert message in ended.err


def test_the_bundled_ear_hears_for_the_bundled_speaker(speak, tmp_path):
    shown, plain = [], ("--model", "dae_talker_tiny", "--quiet", "--duration", "0.6", "--steps", "1", "--size", "128")
    for more in ((), ("--ear", "ear_tiny"), ("--ear", "bundled"), ("--ear", "none")):
        assert speak(HELLO, *plain, *more).status == 0
        shown.append(frames_of(tmp_path / "out.mp4"))
    assert (shown[0] == shown[1]).all()
    assert (shown[0] == shown[2]).all()
    assert (shown[0] != shown[3]).any()


def test_wrong_pose_files(speak, speech, tmp_path):
    (tmp_path / "nan.csv").write_text("0: 0,0,0\n1: nan,0,0\n")
    refused(speak(speech, "--pose", tmp_path / "nan.csv"), tmp_path, "nan.csv at 1 s: (nan, 0.0, 0.0) holds NaN")
    np.save(tmp_path / "wide.npy", np.zeros((10, 4)))
    refused(speak(speech, "--pose", tmp_path / "wide.npy"), tmp_path, "give numbers [frames, 3]")


def test_cuda_where_there_is_none(speak, speech, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(speak(speech, "--device", "cuda"), tmp_path, "torch finds no CUDA GPU here")
