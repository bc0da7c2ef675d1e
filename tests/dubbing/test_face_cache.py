"""Faces that are kept while a film goes by: cut as from the film itself, within the room, the best the longest."""

import numpy as np
import pytest
import torch

from talkface_core.dubbing.face_cache import FaceCache
from talkface_core.faces.align import FaceCrop, align, crop_faces
from talkface_core.faces.track import FaceTrack
from tests.dubbing.toys import FRAMES, HIGH, WIDE, face_points, pictures


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return pictures()


def crop_of(points: torch.Tensor, size: int) -> FaceCrop:
    return align(FaceTrack(points, torch.ones(len(points), dtype=torch.bool), (HIGH, WIDE), 25), size)


def filled(frames, points, rank=lambda landmarks, numbers: numbers, budget=2**30, first=0) -> FaceCache:
    cache = FaceCache(rank, budget)
    for k in range(0, len(frames), 4):
        valid = torch.ones(len(points[k : k + 4]), dtype=torch.bool)
        cache.add(first + k, frames[k : k + 4], points[k : k + 4], valid)
    return cache


@pytest.mark.parametrize("size", [16, 24, 96, 200])
@pytest.mark.parametrize("floats", [False, True])
def test_crops_are_those_of_the_frames(frames, size, floats):
    """Also where smoothing has moved them since, and where they reach beyond the frame."""
    given, points = frames.astype(np.float32) / 255 if floats else frames, face_points()
    points[5] += torch.tensor([40.0, 30.0])
    moved = points + 1.5 * torch.randn(FRAMES, 1, 2, generator=torch.Generator().manual_seed(0))
    cache, place = filled(given, points), crop_of(moved, size)
    wanted = crop_faces(given, place)
    for k in range(FRAMES):
        cropped = cache.crop(k, place)
        assert cropped.dtype == given.dtype
        assert np.abs(cropped.astype(float) - wanted[k]).max() <= (1e-3 if floats else 1)


def test_it_keeps_no_whole_frames(frames):
    """Of a face that fills a part of the frame only that part is held."""
    wide = np.pad(frames, ((0, 0), (0, 0), (0, 1000), (0, 0)))
    points = face_points()
    cache = filled(wide, points)
    assert sum(piece.picture.nbytes for piece in cache._pieces.values()) < 0.15 * wide.nbytes
    assert all(piece.picture.base is None for piece in cache._pieces.values())


def test_a_crop_that_moved_out_of_what_was_kept_is_not_given(frames):
    points = face_points() * 0.4
    cache = filled(frames, points)
    assert cache.crop(0, crop_of(points, 24)) is not None
    assert cache.crop(0, crop_of(points + 12, 24)) is None
    assert cache.crop(FRAMES, crop_of(torch.cat([points, points]), 24)) is None


def test_the_room_is_kept_to_and_the_lowest_go_first(frames):
    ranks = torch.tensor([3.0, 9, 1, 7, 5, 8, 2, 6, 0, 4])
    points = face_points()[:1].expand(FRAMES, -1, -1)
    one = filled(frames[:1], points[:1])._pieces[0].picture.nbytes
    cache = filled(frames, points, lambda landmarks, numbers: ranks[numbers - 100], 4 * one + 1, first=100)
    place = crop_of(points[:1].expand(200, -1, -1), 24)
    kept = [k for k in range(100, 110) if cache.crop(k, place) is not None]
    assert kept == [101, 103, 105, 107]
    assert filled(frames, points, budget=one - 1)._pieces == {}


def test_frames_without_a_face_are_not_kept(frames):
    cache, asked = FaceCache(lambda landmarks, numbers: asked.append(numbers.tolist()) or numbers), []
    valid = torch.tensor([True, False] * 5)
    cache.add(0, frames, face_points(), valid)
    cache.add(10, frames, torch.zeros(FRAMES, 68, 2), torch.zeros(FRAMES, dtype=torch.bool))
    assert sorted(cache._pieces) == [0, 2, 4, 6, 8]
    assert asked == [[0, 2, 4, 6, 8]]
