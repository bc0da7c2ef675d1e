"""Frames with odd sides grow, and their faces stay where they were."""

import pytest
import torch

from talkface_core.faces.align import align, crop_faces
from talkface_core.faces.even import even_size, grow_even, on_frames
from talkface_core.faces.track import FaceTrack


@pytest.mark.parametrize(("height", "width"), [(180, 200), (181, 200), (180, 201), (181, 201)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_last_row_and_column_come_once_more(height, width, dtype):
    frames = torch.rand(2, height, width, 3).to(dtype)
    grown = grow_even(frames)
    assert grown.shape == (2, *even_size((height, width)), 3)
    assert grown.dtype == dtype
    assert torch.equal(grown[:, :height, :width], frames)
    assert torch.equal(grown[:, -1, :width], frames[:, -1])
    assert torch.equal(grown[:, :height, -1], frames[:, :, -1])


def test_the_face_stays_where_it_was(face, place):
    track = FaceTrack(place(face, 90, 10, (100, 90))[None], torch.ones(1), (181, 201), 25)
    frames = torch.rand(1, 181, 201, 3)
    grown = on_frames(track, (182, 202))
    assert grown.size == (182, 202)
    crop = align(track, 64)
    assert on_frames(crop, (182, 202)).image_size == (182, 202)
    assert torch.allclose(crop_faces(grow_even(frames), align(grown, 64)), crop_faces(frames, crop), atol=1e-6)
    assert on_frames(track, (181, 201)) is track
    assert on_frames(track, (182, 201)) is track, "not what growing makes: other frames"
