"""The bundled weights do what their card says, on the fixture: 30 frames of a clip that no training saw."""

from pathlib import Path

import numpy as np
import pytest
import torch

from talkface_core.correlation import pearson
from talkface_core.dae_talker.decode import decode, encode, fit_square, noise_from_seed
from talkface_core.dae_talker.model import load_dae_talker
from talkface_core.dae_talker.pipeline import speak
from talkface_core.dae_talker.windows import Control
from talkface_core.datasets.clips import ClipSet
from talkface_core.evaluation.metrics import open_share, psnr, sharpness_ratio, ssim
from talkface_core.evaluation.probe import load_probe
from talkface_core.media.audio import audio_source, load_audio
from talkface_core.media.video_reader import VideoReader

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(scope="module")
def talker():
    return load_dae_talker(device="cpu")


@pytest.fixture(scope="module")
def probe():
    return load_probe()


@pytest.fixture(scope="module")
def clip():
    return next(clip for clip in ClipSet.open(FIXTURES).clips if clip.name == "ada_talks")


@pytest.fixture(scope="module")
def real(clip):
    frames = torch.from_numpy(np.concatenate(list(VideoReader(clip.video).chunks(30))))
    assert frames.shape[1:3] == (128, 128)
    return frames


def spoken(talker, audio, control=None):
    """In one evaluation a frame, which shows what four do (the card's table), before they are enlarged."""
    return torch.cat(list(speak(talker, audio_source(audio), control=control, steps=1, size=talker.image_size)))


def decoded(talker, real, size=None):
    latents = torch.cat(list(encode(talker.autoencoder, [real])))
    return torch.cat(list(decode(talker.autoencoder, latents, noise_from_seed(talker.autoencoder, 0), size=size)))


def test_frames_come_back_from_their_latents(talker, real):
    back = decoded(talker, real, 128)
    assert psnr(back, real).mean() > 28
    assert ssim(back, real).mean() > 0.9


def test_frames_are_enlarged_and_sharpened_by_default(talker, real):
    """Twice as large, still the same picture, with detail that enlarging alone does not bring."""
    large, small = decoded(talker, real[:4]), decoded(talker, real[:4], 128)
    assert large.shape[1:] == (256, 256, 3)
    assert talker.output_size == 256

    def resized(frames, size):
        return fit_square(frames, size).mul(255).round().byte()

    assert psnr(resized(large, 128), small).mean() > 32

    assert sharpness_ratio(large, resized(small, 256)) > 2


def test_the_mouth_follows_the_words(talker, probe, clip, caplog):
    frames = spoken(talker, load_audio(clip.sound))
    truth = clip.truth()["mouth_open"]
    assert len(frames) == len(truth)
    assert pearson(probe.read(frames).mouth_open, truth) > 0.6
    assert not caplog.records


@pytest.mark.parametrize("level", [0.0, 0.003])
def test_the_mouth_is_shut_when_nobody_speaks(talker, probe, level, caplog):
    room = level * torch.randn(1, 1, 16_000, generator=torch.Generator().manual_seed(0))
    frames = spoken(talker, {"waveform": room, "sample_rate": 16_000})
    assert open_share(probe.read(frames).mouth_open) == 0
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "audio holds nothing that sounds like speech"
    ]


@pytest.mark.parametrize("yaw", [-15.0, 15.0])
def test_the_head_turns_as_it_is_told(talker, probe, clip, yaw):
    frames = spoken(talker, load_audio(clip.sound), Control(pose=torch.tensor([yaw, 0.0, 0.0])))
    assert abs(np.median(probe.read(frames).pose[:, 0]) - yaw) < 4
