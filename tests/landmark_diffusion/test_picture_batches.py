"""Batches of faces: shapes, references from elsewhere, stills under another mouth, the same for the same generator."""

import numpy as np
import pytest
import torch

from talkface_core.datasets.stills import StillFaces
from talkface_core.datasets.talking_faces import TalkingFaces
from talkface_core.errors import InputError
from talkface_core.faces.landmarks import EYES, NOSE, inner_lip_gap
from talkface_core.landmark_diffusion.training.picture_batches import PictureBatches, PictureSampler, disturbed_mouth
from tests.landmark_diffusion.small_completion import face

SIDE, PAD = 32, 4


def talkers(clips: int = 2, frames: int = 60, side: int = SIDE) -> TalkingFaces:
    """Faces whose mouth opens and shuts; each frame is as bright as its number, so that it is known again."""
    opening = 0.03 + 0.03 * torch.sin(torch.arange(frames) / 3.0)
    points = (face(opening) * side + PAD).numpy().astype(np.float32)
    shades = np.arange(frames, dtype=np.uint8)[:, None, None, None]
    pictures = np.broadcast_to(shades, (frames, side + 2 * PAD, side + 2 * PAD, 3))
    starts = np.arange(clips + 1) * frames
    mels = [torch.zeros(1, frames * 16 // 5, 80).half()] * clips
    return TalkingFaces(
        "made", np.concatenate([pictures] * clips), np.concatenate([points] * clips), side, PAD, starts, mels
    )


def stills(count: int = 3) -> StillFaces:
    drawn = np.random.default_rng(0)
    points = (face(torch.full((count,), 0.02)) * SIDE + PAD).numpy().astype(np.float32)
    pictures = drawn.integers(0, 256, (count, SIDE + 2 * PAD, SIDE + 2 * PAD, 3), dtype=np.uint8)
    return StillFaces(pictures, points, PAD)


PLAIN = PictureBatches(windows=2, singles=3, stills=2, augment=False)


def test_shapes_and_kinds() -> None:
    batch = PictureSampler(talkers(), PLAIN, stills()).batch(np.random.default_rng(0))
    count = 2 * 5 + 3 + 2
    assert batch["faces"].shape == (count, SIDE, SIDE, 3)
    assert batch["references"].shape == (count, 2, SIDE, SIDE, 3)
    assert batch["landmarks"].shape == (count, 68, 2)
    assert batch["reference_landmarks"].shape == (count, 2, 68, 2)
    assert batch["sync"].shape == (2, 1, 80, 16)
    assert batch["faces"].dtype == torch.uint8
    assert 0 < batch["landmarks"].min() < batch["landmarks"].max() < 1


def test_references_are_other_moments_of_other_openness() -> None:
    data = talkers()
    settings = PictureBatches(windows=0, singles=2, stills=0, any=0.0, same=0.0, augment=False)
    sampler = PictureSampler(data, settings)
    for seed in range(20):
        batch = sampler.batch(np.random.default_rng(seed))
        frames, shown = batch["faces"][:, 0, 0, 0].int(), batch["references"][:, :, 0, 0, 0].int()
        assert ((shown - frames[:, None]).abs() >= settings.away).all()
        gaps = inner_lip_gap(batch["reference_landmarks"].numpy())
        assert (gaps[:, 0] < gaps[:, 1]).all()


def test_windows_are_five_frames_in_order_and_named() -> None:
    batch = PictureSampler(talkers(), PLAIN).batch(np.random.default_rng(1))
    shades = batch["faces"][:10, 0, 0, 0].int().reshape(2, 5)
    assert (shades.diff(dim=1) == 1).all()
    assert torch.equal(shades[:, 0], batch["frames"].int())


def test_a_still_is_shown_with_another_mouth_and_its_own_eyes() -> None:
    batch = PictureSampler(talkers(), PictureBatches(windows=0, singles=1, stills=2, augment=False), stills()).batch(
        np.random.default_rng(2)
    )
    own, shown = batch["landmarks"][1:], batch["reference_landmarks"][1:]
    assert (shown[:, :, EYES] - own[:, None, EYES]).abs().max() < 1e-6
    assert (shown[:, :, NOSE] - own[:, None, NOSE]).abs().max() < 1e-6
    assert (shown[:, :, 48:] - own[:, None, 48:]).abs().amax((2, 3)).min() > 1e-3
    faces, references = batch["faces"][1:].float(), batch["references"][1:].float()
    brow, mouth = slice(0, 8), slice(20, 28)
    change = (references - faces[:, None]).abs()
    assert change[:, :, brow].mean() < change[:, :, mouth].mean()


def test_disturbed_lips_never_cross() -> None:
    points = face(torch.tensor([0.01]))[0].numpy()
    for seed in range(50):
        moved = disturbed_mouth(points, np.random.default_rng(seed))
        assert (moved[[67, 66, 65], 1] >= moved[[61, 62, 63], 1]).all()


def test_the_same_generator_draws_the_same() -> None:
    settings = PictureBatches(windows=1, singles=2, stills=1)
    one, other = (PictureSampler(talkers(), settings, stills()).batch(np.random.default_rng(7)) for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_clips_that_are_too_short_are_refused() -> None:
    with pytest.raises(InputError, match="record clips of 25"):
        PictureSampler(talkers(frames=10), PLAIN)
