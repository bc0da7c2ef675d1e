"""The bundled LaDTalk on the rendered clip of the fixtures, whose person no training saw: speech moves the mouth,
silence shuts it, and the footage's own movement goes."""

from pathlib import Path

import numpy as np
import pytest
import torch

from talkface_core.correlation import pearson
from talkface_core.dubbing.pipeline import DubRequest, dub
from talkface_core.faces.bundled import load_bundled
from talkface_core.faces.landmarks import mouth_opening
from talkface_core.faces.track import FaceTrack
from talkface_core.ladtalk.model import load_ladtalk
from talkface_core.ladtalk.pipeline import LaDTalkMouths
from talkface_core.media.audio import audio_source, load_audio
from talkface_core.media.playback import TensorFrameSource
from talkface_core.media.video_reader import VideoReader

CLIP = Path(__file__).parents[1] / "fixtures" / "ada_talks.mp4"


@pytest.fixture(scope="module")
def says():
    """says(wave [N] at 16 kHz): how open the mouth of the dubbed clip is, frame by frame, as a detector reads it."""
    model, reader = load_ladtalk(), load_bundled()
    frames = np.concatenate(list(VideoReader(CLIP).chunks()))
    with np.load(CLIP.with_suffix(".npz")) as truth:
        track = FaceTrack(truth["landmarks"], torch.ones(len(frames), dtype=torch.bool), (128, 128), 25)

    def run(wave: torch.Tensor) -> np.ndarray:
        source = audio_source({"waveform": wave[None, None], "sample_rate": 16000})
        film = TensorFrameSource(torch.from_numpy(frames), 25)
        repainted = np.concatenate(list(dub(LaDTalkMouths.of(model), DubRequest(film, source, track))))
        return mouth_opening(
            np.stack([face.landmarks.numpy() for face in reader.follow(repainted, track.landmarks[: len(repainted)])])
        )

    return run


def test_the_mouth_follows_another_sound_than_the_footages(says):
    wave = load_audio(CLIP.with_suffix(".flac"))["waveform"][0, 0]
    with np.load(CLIP.with_suffix(".npz")) as truth:
        original = truth["mouth_open"]
    frames = len(original) // 2
    opening = says(wave.roll(frames * 640))
    assert pearson(opening, np.roll(original, frames)[: len(opening)]) > 0.6
    assert pearson(opening, original[: len(opening)]) < 0.4
    assert opening.max() > 0.06


def test_in_silence_and_in_hiss_the_mouth_stays_shut(says, caplog):
    hiss = 0.003 * torch.randn(9600, generator=torch.Generator().manual_seed(0))
    for wave in (torch.zeros(9600), hiss):
        caplog.clear()
        assert says(wave).max() < 0.04
        assert "audio holds nothing that sounds like speech" in caplog.text
