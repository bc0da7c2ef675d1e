"""Squares of a clip: how large the face is in them, that they hold the head, lie in the frame, and are shared."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from talkface_core.faces.align import crop_faces
from talkface_core.faces.track import FaceTrack
from talkface_core.preparation.crop import FACE_SHARE, clip_crops, head_square
from talkface_core.preparation.rules import Rules, Span

SIZE = (720, 1280)


def moving(talking, frames: int, side: float, sway: float = 0.0, at: tuple[float, float] = (500, 200)) -> np.ndarray:
    """Landmarks [T,68,2] of the fixture's face drawn `side` px large, swaying sideways."""
    rows = np.stack([talking.landmarks[talking.at(k)] for k in range(frames)]) * (side / 128)
    return rows + np.float32(at) + np.stack([sway * np.sin(np.arange(frames) / 9), np.zeros(frames)], 1)[:, None]


def track_of(points: np.ndarray, size: tuple[int, int] = SIZE) -> FaceTrack:
    return FaceTrack(torch.from_numpy(points), torch.ones(len(points), dtype=torch.bool), size, Fraction(25))


def test_a_still_head_fills_its_share_in_the_middle(talking):
    points = moving(talking, 60, 256)
    left, top, side = head_square(points, SIZE)
    cropped = (points - [left, top]) / side
    height = np.median(np.ptp(cropped[..., 1], axis=1))
    assert height == pytest.approx(FACE_SHARE, abs=0.02)
    middle = (cropped.min((0, 1)) + cropped.max((0, 1))) / 2
    assert middle == pytest.approx([0.5, 0.545], abs=0.02)
    # The fixture is framed as all of the studio's footage: its own frame is what the square finds again.
    assert (left, top, side) == pytest.approx((500, 200, 256), abs=13)


def test_a_head_that_moves_stays_inside(talking):
    points = moving(talking, 100, 256, sway=150)
    left, top, side = head_square(points, SIZE)
    cropped = (points - [left, top]) / side
    assert side > 400
    assert cropped.min() > 0
    assert cropped.max() < 1


@pytest.mark.parametrize("at", [(-30, -20), (1100, 550), (0, 500)])
def test_the_square_lies_in_the_frame(talking, at):
    left, top, side = head_square(moving(talking, 30, 200, at=at), SIZE)
    assert left >= 0
    assert top >= 0
    assert left + side <= SIZE[1]
    assert top + side <= SIZE[0]


def test_a_frame_smaller_than_the_square_is_used_to_its_edges(talking):
    points = moving(talking, 30, 700, at=(0, 0))
    left, top, side = head_square(points, (600, 640))
    assert side == 600
    assert (top, 0 <= left <= 40) == (0, True)


def test_clips_of_a_scene_share_a_square_unless_that_costs_much(talking):
    calm, far = moving(talking, 200, 256, sway=6), moving(talking, 100, 256, at=(900, 200))
    points = np.concatenate([calm, far])
    spans = [Span(0, 100), Span(100, 200), Span(200, 300)]
    scene = np.zeros(300, int)
    crops = clip_crops(track_of(points[:200]), spans[:2], scene, Rules())
    assert torch.equal(crops[0].matrices[0], crops[1].matrices[0])
    crops = clip_crops(track_of(points), spans, scene, Rules())
    assert not torch.equal(crops[0].matrices[0], crops[2].matrices[0])
    assert crops[0].scales()[0] > 0.9
    assert all((crop.matrices == crop.matrices[0]).all() for crop in crops)


@pytest.mark.parametrize("kind", ["head", "aligned"])
def test_landmarks_go_with_the_pixels(talking, kind):
    points = moving(talking, 12, 256, sway=20)
    frames = np.zeros((12, *SIZE, 3), np.uint8)
    for frame, shape in zip(frames, points, strict=True):
        x, y = shape[30].round().astype(int)
        frame[y - 3 : y + 3, x - 3 : x + 3] = 255
    crop = clip_crops(track_of(points), [Span(0, 12)], np.zeros(12, int), Rules(crop=kind))[0]
    assert crop.size == 256
    small = crop_faces(frames, crop).mean(-1)
    weight = small / small.sum((1, 2), keepdims=True)
    centres = np.stack(
        [(weight.sum(1) * (np.arange(256) + 0.5)).sum(1), (weight.sum(2) * (np.arange(256) + 0.5)).sum(1)], 1
    )
    assert np.abs(centres - crop.landmarks[:, 30].numpy()).max() < 1.0
    steady = crop.landmarks[:, 30].numpy().std(0).max()
    assert (steady < 1.5) == (kind == "aligned")
