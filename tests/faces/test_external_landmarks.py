"""Faces found elsewhere: tracks, points, and the face landmarks of newer ComfyUI."""

import numpy as np
import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.faces.choose import FaceChoice
from talkface_core.faces.external_landmarks import VERTICES, WEIGHTS, external_track, to_ibug
from talkface_core.faces.track import FaceTrack


def mesh(points: torch.Tensor, shift=(0.0, 0.0)) -> np.ndarray:
    """A mesh of 478 vertices whose 68 points are nearly these: a vertex lies at the point that it counts for most."""
    out = np.zeros((478, 2), np.float32)
    for point, vertices, weights in zip(points.numpy(), VERTICES, WEIGHTS, strict=True):
        out[vertices[weights.argmax()]] = point + shift
        for vertex in vertices:
            if not out[vertex].any():
                out[vertex] = point + shift
    return out


def landmarks(*frames, size=(200, 300)) -> dict:
    return {
        "frames": [[{"landmarks_xy": face, "score": 0.9} for face in row] for row in frames],
        "image_size": size,
        "connection_sets": {},
    }


def test_the_mapping_is_one_of_places():
    """Weights sum to one: a mesh that is moved, turned or enlarged gives points that are."""
    assert VERTICES.shape == WEIGHTS.shape == (68, 3)
    assert np.allclose(WEIGHTS.sum(1), 1, atol=1e-6)
    assert VERTICES.min() >= 0
    assert VERTICES.max() < 478
    points = np.random.default_rng(0).random((2, 478, 2))
    assert np.allclose(to_ibug(points * 3 + 7), to_ibug(points) * 3 + 7, atol=1e-6)
    assert to_ibug(points[:, :68]) is not None


def test_a_track_stays_what_it_is():
    track = FaceTrack(torch.zeros(2, 68, 2), torch.ones(2), (20, 30), 25)
    assert external_track(track, 25, (20, 30)) is track
    with pytest.raises(InputError, match="30x20 px, these are of 50x40"):
        external_track(track, 25, (40, 50))


def test_points_of_every_frame(face):
    points = (face * 100)[None].repeat(3, 1, 1)
    points[1] = float("nan")
    track = external_track(points, 25, (120, 120))
    assert track.valid.tolist() == [True, False, True]
    assert torch.allclose(track.landmarks[1], points[0].float())
    with pytest.raises(InputError, match="without the size"):
        external_track(points, 25)
    with pytest.raises(InputError, match="17 landmarks"):
        external_track(points[:, :17], 25, (9, 9))


def test_face_landmarks_keep_the_chosen_face(face):
    here, there = mesh(face * 80 + 10), mesh(face * 100 + 150)
    output = landmarks([here, there], [there + 2, here + 2], [], [there + 5], [here + 4, there + 4])
    largest = external_track(output, 25)
    assert largest.size == (200, 300)
    assert largest.valid.tolist() == [True, True, False, True, True]
    assert largest.landmarks[:, :, 0].mean(1).diff().abs().max() < 4
    left = external_track(output, 25, (200, 300), FaceChoice("leftmost"))
    assert left.valid.tolist() == [True, True, False, False, True]
    assert (left.landmarks[:, :, 0].mean(1) < 100).all()


def test_unreadable_landmarks_are_refused(face):
    with pytest.raises(InputError, match="cannot be read"):
        external_track({"frames": [[{}]], "image_size": (2, 2)}, 25)
    with pytest.raises(InputError, match="found in pictures of 300x200 px, the frames have 64x64"):
        external_track(landmarks([mesh(face)]), 25, (64, 64))
    with pytest.raises(InputError, match="no face in any of 2 frames"):
        external_track(landmarks([], []), 25)
