"""`dub`: every wrong input is one clear line, status 2, and no file."""

import cv2
import numpy as np
import pytest
import torch

from talkface_core.checkpoints import save_checkpoint
from talkface_core.media.video_writer import VideoWriter
from tests.cli.dubbing import CLIP, refused
from tests.ladtalk.small_ladtalk import save_small_ladtalk


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("--steps 0", "0 sampling steps"),
        ("--guidance -1", "guidance -1.0; it lies between"),
        ("--guidance nan", "guidance nan; it lies between"),
        ("--strength 3", "strength 3.0; it lies between 0"),
        ("--seed -1", "--seed: -1: a seed is a whole number from 0"),
        ("--seed 99999999999999999999", "a seed is a whole number from 0"),
        ("--sovqae nobody", "nobody: found no such file"),
        ("--ear nobody", "nobody: found no such file"),
        ("--ear ladtalk_tiny", "expected the encoder of a Whisper (models --fetch whisper-base"),
        ("--vae some.safetensors", "landmarks.safetensors has an autoencoder of its own; leave it out"),
    ],
)
def test_wrong_settings_of_landmark_diffusion(dub, speech, small_landmark_diffusion, tmp_path, flags, message):
    words = ("--system", "landmark-diffusion", "--model", small_landmark_diffusion, "--quiet", *flags.split())
    refused(dub(CLIP, speech, *words), tmp_path, message)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ("-o {tmp}/missing/out.mp4", "missing does not exist"),
        ("-o {tmp}/out.avi", "must end in .mp4"),
        ("--model nobody", "nobody: found no such file"),
        ("--sovqae nobody", "nobody: found no such file"),
        ("--model {clip}", "that is no safetensors file"),
        ("--model dae_talker_tiny", "a model of dae-talker; give --system dae-talker"),
        ("--model dae_talker_tiny --system dae-talker", "--hubert is missing"),
        (
            "--model dae_talker_tiny --system dae-talker --hubert {tmp}/no.npy",
            "draws one speaker whole; expected one that repaints the mouths of anybody",
        ),
        ("--model sync_tiny", "found a checkpoint of the system 'sync'; expected the system 'ladtalk'"),
        ("--system wave", "'wave'"),
        (
            "--steps 4",
            "--steps 4: ladtalk has no use for it; leave it out, or give --system landmark-diffusion or dae-talker",
        ),
        ("--strength 0.5", "--strength 0.5: ladtalk has no use for it"),
        (
            "--system landmark-diffusion --model landmark_tiny --texture 0.5",
            "--texture 0.5: nothing restores it; give --sovqae",
        ),
        ("--system landmark-diffusion", "a model of ladtalk; give --system ladtalk"),
        ("--face prettiest", "give largest, leftmost, a number from the left such as 0, or x,y in pixels"),
        ("--face -1", "give largest, leftmost"),
        (f"--face {'9' * 5000}", f"--face '{'9' * 40}': give largest, leftmost"),
        ("--face 3", "face 3 from the left is asked for, but no frame shows more than 1"),
        ("--length loop", "length rule 'loop' is unknown; choose one of bounce, stop, once"),
        ("--texture 2", "--texture 2.0: give 0"),
        ("--texture nan", "--texture nan: give 0"),
        ("--texture soft", "--texture: invalid float value: 'soft'"),
        ("--smoothing -1", "--smoothing -1.0: give 0 (none) or more"),
        ("--smoothing nan", "--smoothing nan: give 0"),
        ("--detector eyes", "face detector 'eyes' is unknown; choose one of auto, bundled, face-alignment"),
        ("--start 5", "lies after the end"),
        ("--start nan", "start of nan s"),
        ("--duration 0", "duration of 0.0 s"),
    ],
)
def test_wrong_settings(dub, speech, tmp_path, flags, message):
    quiet = () if flags.startswith("--texture soft") else ("--quiet",)
    refused(dub(CLIP, speech, *quiet, *flags.format(tmp=tmp_path, clip=CLIP).split()), tmp_path, message)


def test_texture_for_a_model_that_has_none(dub, speech, tmp_path):
    model = save_small_ladtalk(tmp_path / "soft.safetensors", "sovqae")
    refused(dub(CLIP, speech, "--model", model, "--texture", "0.5"), tmp_path, "soft.safetensors has no SOVQAE")


def test_wrong_sounds(dub, wav, tmp_path):
    refused(dub(CLIP, tmp_path / "none.wav"), tmp_path, "none.wav does not exist")
    refused(dub(CLIP, tmp_path), tmp_path, "is a folder")
    (tmp_path / "text.wav").write_text("Dear diary, " * 100)
    refused(dub(CLIP, tmp_path / "text.wav"), tmp_path, "text.wav cannot be read as audio")
    refused(dub(CLIP, CLIP), tmp_path, "ada_talks.mp4 has no audio stream")
    refused(dub(CLIP, wav("empty.wav", np.zeros(0, np.float32))), tmp_path, "empty.wav holds no sound")
    broken = np.zeros(16000, np.float32)
    broken[9000] = np.nan
    refused(dub(CLIP, wav("nan.wav", broken)), tmp_path, "nan.wav holds 1 samples that are NaN or infinite")


def test_nan_late_in_a_long_sound_leaves_no_file(dub, wav, tmp_path):
    broken = np.zeros(16000 * 8, np.float32)
    broken[-1] = np.inf
    refused(dub(CLIP, wav("late.wav", broken), "--quiet"), tmp_path, "late.wav holds 1 samples that are NaN")


def test_wrong_videos(dub, speech, tmp_path):
    refused(dub(tmp_path / "none.mp4", speech), tmp_path, "none.mp4 does not exist; check the name and the folder")
    refused(dub(tmp_path / "none.png", speech), tmp_path, "none.png does not exist; check the name and the folder")
    refused(dub(speech, speech), tmp_path, "speech.wav has no pictures; give a video file")
    (tmp_path / "text.mp4").write_text("Dear diary, " * 100)
    refused(dub(tmp_path / "text.mp4", speech), tmp_path, "text.mp4 cannot be read as video")
    (tmp_path / "text.jpg").write_text("Dear diary, " * 100)
    refused(dub(tmp_path / "text.jpg", speech), tmp_path, "text.jpg cannot be read; give a whole .png or .jpg")
    whole = CLIP.read_bytes()
    (tmp_path / "cut.mp4").write_bytes(whole[: len(whole) // 50])
    refused(dub(tmp_path / "cut.mp4", speech), tmp_path, "cut.mp4")


def test_nobody_is_there(dub, speech, tmp_path):
    with VideoWriter(tmp_path / "wall.mp4", 160, 120, 25) as writer:
        writer.write(np.full((30, 120, 160, 3), 100, np.uint8))
    refused(dub(tmp_path / "wall.mp4", speech, "--quiet"), tmp_path, "no face in any of 25 frames of 160x120 px")
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((120, 160, 3), 100, np.uint8))
    refused(dub(tmp_path / "wall.png", speech, "--quiet"), tmp_path, "no face in the picture of 160x120 px")


def test_the_output_is_never_an_input(dub, speech, tmp_path):
    film = tmp_path / "film.mp4"
    film.write_bytes(CLIP.read_bytes())
    for video, audio in ((film, speech), (CLIP, film)):
        ended = dub(video, audio, "-o", film)
        assert ended.status == 2
        assert "is also an input" in ended.err
        assert film.read_bytes() == CLIP.read_bytes()


def test_wrong_models(dub, speech, tmp_path):
    save_checkpoint(tmp_path / "empty.safetensors", "ladtalk", {"n": torch.nn.Linear(1, 1)}, {"n": {}}, {})
    refused(dub(CLIP, speech, "--model", tmp_path / "empty.safetensors"), tmp_path, "holds no 'wav2lip', only n")


def test_cuda_where_there_is_none(dub, speech, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(dub(CLIP, speech, "--device", "cuda"), tmp_path, "torch finds no CUDA GPU here")


def test_a_model_of_the_other_system_names_the_flag(dub, speech):
    ended = dub(CLIP, speech, "--model", "landmark_tiny")
    assert ended.status == 2
    assert "--system landmark-diffusion" in ended.err
