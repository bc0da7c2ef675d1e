"""The bundled weights on the rendered clip of the fixtures, of the validation split."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.faces.bundled import BundledDetector, load_bundled
from talkface_core.faces.choose import FaceChoice
from talkface_core.faces.solve_pose import head_pose
from talkface_core.faces.tracking import track_faces
from talkface_core.media.video_reader import VideoReader

CLIP = Path(__file__).parents[1] / "fixtures" / "ada_talks.mp4"


@pytest.fixture(scope="module")
def detector() -> BundledDetector:
    return load_bundled(dtype=torch.float32)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return np.concatenate(list(VideoReader(CLIP).chunks(8)))


@pytest.fixture(scope="module")
def truth() -> dict[str, np.ndarray]:
    with np.load(CLIP.with_suffix(".npz")) as file:
        return {key: file[key].astype(np.float64) for key in ("landmarks", "pose")}


def nme(predicted, true) -> float:
    predicted, true = np.asarray(predicted, np.float64), np.asarray(true, np.float64)
    eyes = np.linalg.norm(true[..., 45, :] - true[..., 36, :], axis=-1)
    return float((np.linalg.norm(predicted - true, axis=-1).mean(-1) / eyes).mean())


def placed(frame, truth, size, scale, degrees, centre) -> tuple[np.ndarray, np.ndarray]:
    """The frame on a larger grey picture, scaled and turned, and where its landmarks lie there."""
    matrix = cv2.getRotationMatrix2D((64, 64), degrees, scale)
    matrix[:, 2] += np.array(centre) - 64
    picture = np.full((*size, 3), 110, np.uint8)
    cv2.warpAffine(frame, matrix, size[::-1], picture, borderMode=cv2.BORDER_TRANSPARENT)
    return picture, truth @ matrix[:, :2].T + matrix[:, 2]


def test_it_is_read_well(detector, frames, truth):
    chosen = [0, 12, 29]
    detections = detector.detect(frames[chosen])
    assert [len(faces) for faces in detections] == [1, 1, 1]
    points = np.stack([faces[0].landmarks for faces in detections])
    assert nme(points, truth["landmarks"][chosen]) < 0.035
    turn = np.stack([faces[0].pose for faces in detections]) - truth["pose"][chosen]
    assert np.abs(turn).max() < 4


@pytest.mark.parametrize(
    ("size", "scale", "degrees", "centre"),
    [
        ((240, 426), 0.72, 0, (300, 150)),  # a face 41 pixels high
        ((360, 640), 1.5, 35, (200, 170)),
        ((720, 1280), 3.0, -35, (700, 350)),
        ((512, 512), 4.0, 0, (256, 256)),
    ],
)
def test_faces_of_any_size_and_turn_are_found(detector, frames, truth, size, scale, degrees, centre):
    picture, points = placed(frames[5], truth["landmarks"][5], size, scale, degrees, centre)
    faces = detector.detect(picture[None])[0]
    assert len(faces) == 1
    assert nme(faces[0].landmarks, points) < 0.05


def test_grey_light_and_noise_are_no_hindrance(detector, frames, truth):
    rng = np.random.default_rng(0)
    frame = cv2.resize(frames[5], (256, 256), interpolation=cv2.INTER_CUBIC).astype(np.float64)
    grey = frame.mean(2, keepdims=True).repeat(3, 2)
    for changed in (grey, frame * 0.4, frame * 0.6 + 100, frame + rng.normal(0, 15, frame.shape)):
        faces = detector.detect(changed.clip(0, 255).astype(np.uint8)[None])[0]
        assert len(faces) == 1
        assert nme(faces[0].landmarks, 2 * truth["landmarks"][5]) < 0.06


def test_a_clip_is_followed_with_one_search(detector, frames, truth, monkeypatch):
    searched = []
    search = detector.detect
    monkeypatch.setattr(detector, "detect", lambda frames: searched.append(len(frames)) or search(frames))
    track = track_faces([frames[:11], frames[11:]], 25, detector)
    assert searched == [1]
    assert track.valid.all()
    assert nme(track.landmarks, truth["landmarks"]) < 0.035
    assert np.abs(head_pose(track).degrees.numpy() - truth["pose"]).mean(0).max() < 4


def test_two_people_are_told_apart(detector, frames, truth):
    picture, left = placed(frames[0], truth["landmarks"][0], (256, 512), 1.2, 0, (120, 128))
    other, right = placed(frames[0], truth["landmarks"][0], (256, 512), 1.7, 0, (380, 128))
    picture[:, 256:] = other[:, 256:]
    for choice, points in ((FaceChoice("leftmost"), left), (FaceChoice("largest"), right)):
        assert nme(track_faces([picture[None]], 1, detector, choice).landmarks[0], points) < 0.05


def test_no_face_is_an_error_that_says_what_to_do(detector):
    rng = np.random.default_rng(0)
    noise = cv2.resize(rng.integers(0, 256, (12, 16, 3)).astype(np.uint8), (320, 240), interpolation=cv2.INTER_CUBIC)
    for picture in (noise, np.zeros((100, 60, 3), np.uint8)):
        with pytest.raises(InputError, match=r"no face in the picture.*at least 40 px"):
            track_faces([picture[None]], 1, detector)
