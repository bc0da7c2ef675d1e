"""LaDTalk's parts on frames in memory: the same mouths as in a film, and nothing else is touched, not by rounding."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from talkface_core.errors import InputError
from talkface_core.faces.align import align
from talkface_core.faces.paste import frame_mask
from talkface_core.faces.track import FaceTrack, fill
from talkface_core.ladtalk.enhance import enhance
from talkface_core.ladtalk.frames import dubbed_order, enhance_track, repaint_frames
from talkface_core.ladtalk.pipeline import Painter, dub
from talkface_core.media.audio import AudioSource, audio_source
from talkface_core.media.playback import FilmBatch
from talkface_core.media.video_reader import VideoReader
from talkface_core.pixels import as_byte_array
from tests.ladtalk.small_ladtalk import small_lips
from tests.ladtalk.small_sovqae import sovqae

CLIP = Path(__file__).parents[1] / "fixtures" / "ada_talks.mp4"
FRAMES = 8


@pytest.fixture(scope="module")
def frames() -> Tensor:
    """Floats that bytes cannot hold."""
    given = torch.from_numpy(next(VideoReader(CLIP).chunks(FRAMES))) / 255
    return (given + 0.3 / 255 * torch.rand(given.shape, generator=torch.Generator().manual_seed(0))).clamp(0, 1)


def tracked(*missing: int) -> FaceTrack:
    with np.load(CLIP.with_suffix(".npz")) as truth:
        points = torch.from_numpy(truth["landmarks"][:FRAMES].astype(np.float32))
    valid = torch.tensor([k not in missing for k in range(FRAMES)])
    return fill(points, valid, (128, 128), 12)  # at which the face may be out of sight for three frames


def sound(seconds: float) -> AudioSource:
    noise = torch.randn(1, 1, round(16000 * seconds), generator=torch.Generator().manual_seed(0)) * 0.1
    return audio_source({"waveform": noise, "sample_rate": 16000})


@pytest.mark.parametrize("length", ["bounce", "stop", "once"])
def test_mouths_are_those_of_a_film(frames: Tensor, length: str) -> None:
    lips, source, track = small_lips(), sound(1.0), tracked()
    order = dubbed_order(track, source, length)
    whole = torch.from_numpy(as_byte_array(frames))
    made = torch.cat(list(repaint_frames(lips, whole, track, source, order, window=5)))
    film = dub(Painter(lips, None), FilmBatch(whole, track.fps), track, source, length)
    assert torch.equal(made, torch.from_numpy(np.concatenate(list(film))))
    assert len(made) == {"bounce": 12, "stop": 8, "once": 8}[length]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_floats_stay_as_they_are_outside_of_the_mouth(frames: Tensor, dtype: torch.dtype) -> None:
    given, track, source = frames.to(dtype), tracked(), sound(1.0)
    before = given.clone()
    order = dubbed_order(track, source, "bounce")
    made = torch.cat(list(repaint_frames(small_lips(), given, track, source, order)))
    assert torch.equal(given, before)
    assert made.dtype == dtype
    mouth = frame_mask(align(track.at(order), 24)) > 0
    assert torch.equal(made[~mouth], given[order][~mouth])
    assert (made[mouth] - given[order][mouth]).abs().mean() > 0.02


def test_frames_without_the_face_stay(frames: Tensor) -> None:
    track, source = tracked(2, 3, 4, 5), sound(1.0)
    order = dubbed_order(track, source, "stop")
    made = torch.cat(list(repaint_frames(small_lips(), frames, track, source, order)))
    changed = (made != frames).flatten(1).any(1)
    assert changed.tolist() == [k not in (2, 3, 4, 5) for k in range(FRAMES)]

    model, mask = sovqae(), torch.ones(FRAMES, 128, 128)
    mask[7] = 0
    sharp, report, seen = enhance_track(model, frames, track, mask, look_at=1)
    assert seen == [0, 1, 6, 7]
    assert report.frames == 4
    assert (sharp != frames).flatten(1).any(1).nonzero().flatten().tolist() == [0, 1, 6]
    every, _, seen = enhance_track(model, frames, tracked(), look_at=0)
    assert seen == list(range(FRAMES))
    assert torch.equal(every, enhance(model, frames, tracked(), look_at=0)[0])


def test_other_frames_than_the_tracks_are_refused(frames: Tensor) -> None:
    source, track = sound(0.2), tracked()
    for wrong in (frames[:3], frames[:, :64]):
        with pytest.raises(InputError, match="the face was tracked in 8 of 128x128"):
            list(repaint_frames(small_lips(), wrong, track, source, [0]))
        with pytest.raises(InputError, match="the face was tracked in 8 of 128x128"):
            enhance_track(sovqae(), wrong, track)
