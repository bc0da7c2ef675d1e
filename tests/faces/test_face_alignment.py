"""The backend of the library face-alignment, by a module that behaves as the library does."""

import sys
from enum import IntEnum
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.faces import face_alignment
from talkface_core.faces.bundled import BundledDetector
from talkface_core.faces.detect import find_detector
from talkface_core.faces.face_alignment import FaceAlignment


class Kinds(IntEnum):
    TWO_D = 1


class Library:
    """As face_alignment.FaceAlignment of 1.4 and 1.5: finds one face per white column block."""

    arguments: SimpleNamespace

    def __init__(
        self, landmarks_type, network_size=4, device="cuda", dtype=torch.float32, flip_input=True, compile=True
    ):
        type(self).arguments = SimpleNamespace(
            kind=landmarks_type, device=device, dtype=dtype, compile=compile, flip=flip_input
        )
        self.face_detector = SimpleNamespace(detect_from_image=self.boxes)

    @staticmethod
    def boxes(image):
        assert image.dtype == np.uint8
        columns = np.flatnonzero((image == 255).all((0, 2)))
        if not len(columns):
            return []
        parts = np.split(columns, np.flatnonzero(np.diff(columns) > 1) + 1)
        scores = np.linspace(0.99, 0.3, 3)
        return [np.array([p[0], 0, p[-1] + 1, len(image), s]) for p, s in zip(parts, scores, strict=False)]

    def get_landmarks_from_image(self, image, detected_faces=None):
        return [np.linspace(box[:2], box[2:4], 68) for box in detected_faces]


@pytest.fixture
def library(monkeypatch, tmp_path):
    module = ModuleType("face_alignment")
    module.LandmarksType, module.FaceAlignment = Kinds, Library
    monkeypatch.setitem(sys.modules, "face_alignment", module)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def weights(folder, *names):
    for name in names:
        (folder / name).write_bytes(b"x")


def test_it_is_used_where_its_weights_are(library, caplog):
    caplog.set_level("INFO")
    assert "allow the download" in face_alignment.missing()
    assert face_alignment.missing(download=True) is None
    weights(library, "s3fd-619a316812.pth")
    assert "2DFAN4" in face_alignment.missing()
    weights(library, "2DFAN4-cd938726ad.zip")
    assert face_alignment.missing() is None
    detector = find_detector("auto", "cpu", torch.float32)
    assert isinstance(detector, FaceAlignment)
    assert "face-alignment" in caplog.text


def test_device_and_dtype_are_the_callers_and_nothing_is_compiled(library):
    FaceAlignment(torch.device("cuda", 1), torch.float16)
    arguments = Library.arguments
    assert (arguments.device, arguments.dtype, arguments.kind, arguments.compile) == (
        "cuda:1",
        torch.float16,
        Kinds.TWO_D,
        False,
    )


def test_faces_come_out_as_ours(library):
    frames = np.zeros((3, 20, 60, 3), np.uint8)
    frames[1, :, 10:20] = 255
    frames[2, :, 5:15] = frames[2, :, 30:50] = 255
    detector = FaceAlignment()
    for given in (frames, torch.from_numpy(frames), torch.from_numpy(frames / 255).float()):
        detections = detector.detect(given)
        assert [len(faces) for faces in detections] == [0, 1, 2]
        assert detections[1][0].box.tolist() == [10, 0, 20, 20]
        assert detections[2][0].score == pytest.approx(0.99)
        assert detections[2][0].landmarks.shape == (68, 2)


def test_what_is_missing_is_said(monkeypatch, library):
    with pytest.raises(InputError, match="its weights s3fd"):
        find_detector("face-alignment")
    monkeypatch.setattr(face_alignment.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="pip install face-alignment"):
        find_detector("face-alignment")


def test_auto_falls_back_on_the_bundled_net(library, caplog, monkeypatch):
    caplog.set_level("INFO")
    fallback = object.__new__(BundledDetector)
    monkeypatch.setattr("talkface_core.faces.detect.load_bundled", lambda **_: fallback)
    assert find_detector("auto") is fallback
    assert "bundled net (its weights" in caplog.text


def test_a_library_that_breaks_is_an_input_error(library, monkeypatch):
    def broken(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr(sys.modules["face_alignment"], "FaceAlignment", broken)
    with pytest.raises(InputError, match="no route to host"):
        FaceAlignment()
