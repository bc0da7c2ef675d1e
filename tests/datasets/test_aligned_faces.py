"""The faces of a data set: aligned as in inference, built once, landmarks where the face is."""

from pathlib import Path

import numpy as np
import pytest
import torch

from talkface_core.datasets.aligned_faces import clip_crop, face_crops
from talkface_core.datasets.clips import ClipSet
from talkface_core.errors import InputError
from talkface_core.faces.align import EYE_LEVEL, align, crop_faces, warp
from talkface_core.faces.track import FaceTrack, smooth
from talkface_core.faces.tracking import SMOOTHING

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(scope="module")
def clips():
    return ClipSet.open(FIXTURES)


@pytest.fixture(scope="module")
def crops(clips, tmp_path_factory):
    return face_crops(clips, 64, tmp_path_factory.mktemp("cache"), pad=8, quiet=True)


def test_shapes_and_levels(clips, crops):
    assert crops.frames.shape == (len(clips), 80, 80, 3)
    assert crops.frames.dtype == np.uint8
    assert crops.landmarks.shape == (len(clips), 68, 2)
    inner = crops.landmarks - crops.pad
    eyes = inner[:, 36:48].mean(1)
    assert abs(eyes[:, 1].mean() / 64 - EYE_LEVEL) < 0.02
    assert abs(eyes[:, 0].mean() / 64 - 0.5) < 0.05
    # What Wav2Lip repaints is the lower half: the mouth lies in it, the eyes do not.
    assert inner[:, 48:68, 1].min() > 32
    assert inner[:, 36:48, 1].max() < 32


def test_it_is_the_crop_of_inference(clips, crops):
    """Cut by the public functions of faces, without a margin."""
    clip = clips.clips[0]
    points = torch.from_numpy(clip.truth()["landmarks"])
    track = FaceTrack(points, torch.ones(len(points), dtype=torch.bool), (clip.height, clip.width), clip.fps)
    expected = crop_faces(np.stack(list(clip.decode())), align(smooth(track, SMOOTHING), 64))
    assert np.abs(crops.inner(slice(None)).astype(int) - expected.astype(int)).mean() < 0.2
    np.testing.assert_array_equal(crops.inner(slice(3, 5)), crops.inner(np.array([3, 4])))


def test_the_landmarks_are_on_the_lips(clips, crops):
    """A dot on the lower lip lands where its landmark does."""
    crop = clip_crop(clips.clips[0], 64, 8)
    frame = next(iter(clips.clips[0].decode())).copy()
    x, y = clips.clips[0].truth()["landmarks"][0, 57]
    frame[int(y), int(x)] = (255, 0, 255)
    marked = warp(frame, crop.matrices[0].numpy(), 80).astype(int)
    change = np.abs(marked - crops.frames[0].astype(int)).sum(-1)
    row, column = np.unravel_index(change.argmax(), change.shape)
    assert np.linalg.norm(crops.landmarks[0, 57] - [column + 0.5, row + 0.5]) < 1.5


def test_the_cache_is_built_once(clips, tmp_path, monkeypatch):
    first = face_crops(clips, 32, tmp_path, quiet=True)
    assert len(list(tmp_path.glob("*.npy"))) == 1
    monkeypatch.setattr("talkface_core.datasets.aligned_faces.warp", lambda *a: pytest.fail("built again"))
    np.testing.assert_array_equal(face_crops(clips, 32, tmp_path, quiet=True).frames, first.frames)


def test_a_set_without_landmarks_is_refused(clips, tmp_path, monkeypatch):
    monkeypatch.setattr("talkface_core.datasets.clips.Clip.truth", lambda self: {"mouth_open": np.zeros(3)})
    with pytest.raises(InputError, match="landmarks"):
        face_crops(clips, 32, tmp_path, quiet=True)
    with pytest.raises(InputError, match="margin of -1"):
        face_crops(clips, 32, tmp_path, pad=-1)
