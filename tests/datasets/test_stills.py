"""Stills are cut out as frames are, and what has no landmarks is refused."""

import cv2
import numpy as np
import pytest

from talkface_core.datasets.aligned_faces import clip_crop
from talkface_core.datasets.clips import ClipSet
from talkface_core.datasets.stills import still_crops
from talkface_core.errors import InputError
from talkface_core.faces.align import crop_faces
from tests.training.every import toy_set


def test_a_still_is_cut_out_as_a_frame_is(tmp_path):
    toy_set(tmp_path)
    clip = ClipSet.open(tmp_path / "set" / "val").clips[0]
    frame, points = next(iter(clip.decode())), clip.truth()["landmarks"][:1].astype(np.float32)
    cv2.imwrite(str(tmp_path / "one.png"), frame[..., ::-1])
    np.savez(tmp_path / "one.npz", landmarks=points)
    (crop,) = still_crops(tmp_path, 64)
    film = crop_faces(frame[None], clip_crop(clip, 64).part(0, 1))[0]
    # The film's own is smoothed over neighbours.
    assert np.abs(crop.astype(int) - film).mean() < 12
    assert crop.shape == (64, 64, 3)


def test_what_is_no_still_is_refused(tmp_path):
    with pytest.raises(InputError, match="no picture"):
        still_crops(tmp_path, 64)
    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((32, 32, 3), np.uint8))
    np.savez(tmp_path / "a.npz", landmarks=np.zeros((2, 68, 2), np.float32))
    with pytest.raises(InputError, match=r"a still has \[1,68,2\]"):
        still_crops(tmp_path, 64)
    np.savez(tmp_path / "a.npz", landmarks=np.float32(1))
    with pytest.raises(InputError, match=r"a still has \[1,68,2\]"):
        still_crops(tmp_path, 64)
    np.savez(tmp_path / "a.npz", landmarks=np.full((1, 68, 2), "x"))
    with pytest.raises(InputError, match="holds no numbers"):
        still_crops(tmp_path, 64)
