"""Previews: dots at the landmarks, in another colour where they were held, and the crop's square around them."""

import numpy as np
import pytest
import torch

from talkface_core.faces.align import align
from talkface_core.faces.draw import CROP, DETECTED, INTERPOLATED, LIPS, draw_track
from talkface_core.faces.geometry import transform
from talkface_core.faces.track import FaceTrack


def near(picture: torch.Tensor, point: torch.Tensor, colour: tuple[int, int, int]) -> bool:
    """Whether the pixel at a point has a colour, nearly."""
    x, y = (int(v) for v in point)
    return bool((picture[y, x].int() - torch.tensor(colour)).abs().max() < 60)


@pytest.mark.parametrize("kind", ["uint8", "float", "array", "channels first", "every other"])
def test_dots_and_square(face, place, kind):
    points = torch.stack([place(face, 120, 10, (100, 90))] * 2)
    track = FaceTrack(points, torch.tensor([1, 0]), (180, 200), 25)
    frames = torch.zeros(2, 180, 200, 3, dtype=torch.uint8)
    given = {
        **{"uint8": frames, "float": frames.float(), "array": frames.numpy()},
        "channels first": frames.movedim(-1, 1).contiguous().movedim(1, -1),
        "every other": torch.zeros(2, 180, 400, 4, dtype=torch.uint8)[:, :, ::2, :3],
    }[kind]
    crop = align(track, 96)
    out = draw_track(given, track, crop)
    assert type(out) is type(given)
    assert out.dtype == given.dtype
    assert not np.asarray(given).any()
    pixels = torch.as_tensor(out) if kind != "float" else (out * 255).round().to(torch.uint8)
    assert near(pixels[0], points[0, 36], DETECTED)
    assert near(pixels[0], points[0, 51], LIPS)
    assert near(pixels[1], points[1, 36], INTERPOLATED)
    middle_left = transform(crop.inverse(), torch.tensor([[[0.0, 48.0]]]).expand(2, 1, 2))[0, 0]
    assert near(pixels[0], middle_left, CROP)
    assert draw_track(given, track) is not given


def test_lips_that_cannot_be_read_look_like_held_ones(face, place):
    points = place(face, 120, 10, (100, 90))
    track = FaceTrack(points[None], torch.ones(1), (180, 200), 25, readable=torch.zeros(1))
    picture = draw_track(torch.zeros(1, 180, 200, 3, dtype=torch.uint8), track)[0]
    assert near(picture, points[36], DETECTED)
    assert near(picture, points[51], INTERPOLATED)
