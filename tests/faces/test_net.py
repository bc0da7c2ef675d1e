"""The face net's shapes, its squares, and the detector around it, on nets that were not trained."""

import numpy as np
import pytest
import torch

from talkface_core.checkpoints import save_checkpoint
from talkface_core.errors import InputError
from talkface_core.faces.bundled import BundledDetector, load_bundled
from talkface_core.faces.geometry import transform, turns
from talkface_core.faces.net import STRIDE, FaceDetectorNet, FaceNetConfig, LandmarkNet, peaks, soft_argmax, spread
from talkface_core.faces.rotated_box import SYSTEM, RotatedBox

SMALL = FaceNetConfig((8, 8, 8, 8, 8), (8, 8, 8), 64)


def nets(face: torch.Tensor) -> tuple[FaceDetectorNet, LandmarkNet]:
    torch.manual_seed(0)
    finder, reader = FaceDetectorNet(SMALL).eval(), LandmarkNet(SMALL).eval()
    reader.face.copy_(face)
    return finder, reader


def test_shapes_and_size(face):
    finder, reader = nets(face)
    assert finder(torch.zeros(2, 3, 128, 192)).shape == (2, 6, 16, 24)
    out = reader(torch.zeros(3, 3, 64, 64))
    shapes = {"landmarks": (3, 68, 2), "score": (3,), "pose": (3, 3), "certainty": (3,)}
    assert {k: tuple(v.shape) for k, v in out.items()} == shapes
    assert 0 < out["landmarks"].min() < out["landmarks"].max() < 1
    full = sum(p.numel() for net in (FaceDetectorNet(), LandmarkNet()) for p in net.parameters())
    assert full * 2 < 2 * 2**20
    assert FaceNetConfig.from_dict(SMALL.to_dict()) == SMALL


def test_landmarks_are_where_the_heat_is():
    heat = torch.full((1, 68, 16, 16), -50.0)
    heat[:, :, 3, 12] = 50
    places, maps = soft_argmax(heat)
    assert torch.allclose(places, torch.tensor([12.5, 3.5]) / 16)
    middle, even = soft_argmax(torch.zeros(1, 68, 16, 16))
    assert torch.allclose(middle, torch.tensor(0.5))
    assert (spread(even, middle) > spread(maps, places) + 1).all()
    assert torch.allclose(peaks(maps), torch.ones(1))
    assert torch.allclose(peaks(even), torch.tensor(1 / 256))
    assert torch.allclose(peaks(torch.cat([maps, even], 1)), torch.tensor(1 / 16))


@pytest.mark.parametrize(("side", "degrees"), [(40, 0), (200, 30), (90, -170)])
def test_a_square_is_where_the_face_is(face, place, side, degrees):
    points = place(face, side, degrees, (300, 200))
    square = RotatedBox.of(points, face)
    assert square.side == pytest.approx(side, rel=1e-6)
    assert np.degrees(square.turn) == pytest.approx(-degrees, abs=1e-6)
    matrix, angle = square.matrix(64)
    assert angle == square.turn
    moved = transform(torch.from_numpy(matrix)[None], points[None])[0]
    assert torch.allclose(moved, 64 * face, atol=1e-6)
    corners = transform(torch.from_numpy(matrix)[None], torch.from_numpy(square.corners())[None])[0]
    assert torch.allclose(corners, torch.tensor([[0, 0], [64, 0], [64, 64], [0, 64]]).double(), atol=1e-6)


def test_squares_move_scale_and_decode(face):
    square = RotatedBox(100.0, 50.0, 128.0, 0.2)
    double = square.scaled(2)
    assert (double.x, double.side, double.turn) == (200, 256, 0.2)
    there = RotatedBox(10.0, 20.0, 32.0, -0.4)
    carried = (there.from_square(square)[:, :2] @ square.corners().T).T + there.from_square(square)[:, 2]
    assert np.allclose(carried, there.corners())
    nearer = square.moved(2.0, 10, (0.25, 0))
    assert (nearer.side, nearer.x) == (64, 100 - 32)
    assert nearer.turn == pytest.approx(0.2 - np.radians(10))
    values = [0.25, -0.5, 1.0, np.cos(0.3), np.sin(0.3)]
    decoded = RotatedBox.decode(values, column=4, row=6)
    assert (decoded.x, decoded.y) == (4.75 * STRIDE, 6.0 * STRIDE)
    assert (decoded.side, decoded.turn) == (128, pytest.approx(0.3))


class OneFace(FaceDetectorNet):
    """Sees one face, always at the same place of the picture."""

    def forward(self, x):
        out = torch.full((1, 6, x.shape[2] // 8, x.shape[3] // 8), -9.0)
        out[0, :, 5, 7] = torch.tensor([9.0, 0.0, 0.0, 0.0, 1.0, 0.0])
        return out


class SureReader(LandmarkNet):
    """Finds the mean face in every crop."""

    score = 10.0

    def forward(self, x):
        count = len(x)
        return {
            "landmarks": self.face.expand(count, -1, -1),
            "score": torch.full((count,), self.score),
            "pose": torch.tensor([10.0, 5.0, 0.0]).expand(count, 3),
            "certainty": torch.full((count,), 0.4),
        }


def sure_detector(face: torch.Tensor) -> BundledDetector:
    reader = SureReader(SMALL)
    reader.face.copy_(face)
    return BundledDetector(OneFace(SMALL).eval(), reader.eval())


def test_what_the_finder_says_is_read(face):
    detector = sure_detector(face)
    for frames in (np.zeros((2, 96, 120, 3), np.uint8), torch.zeros(2, 96, 120, 3)):
        detections = detector.detect(frames)
        assert [len(faces) for faces in detections] == [1, 1]
        one = detections[0][0]
        expected = (face - 0.5) * 64 + torch.tensor([60, 44])
        assert torch.allclose(one.landmarks.double(), expected, atol=1e-3)
        assert torch.allclose(one.pose, torch.tensor([10.0, 5.0, 0.0]), atol=1e-3)
        assert one.score > 0.99
        assert one.certainty == pytest.approx(0.4)
    detector.threshold = 0.9999
    assert detector.detect(frames) == [[], []]


def test_a_turned_face_is_read_upright_and_its_pose_turned_back(face, place):
    detector = sure_detector(face)
    points = place(face, 60, 30, (60, 44)).float()
    followed = detector.follow(np.zeros((3, 96, 120, 3), np.uint8), points)
    assert len(followed) == 3
    assert torch.allclose(followed[1].landmarks, points, atol=1e-3)
    assert followed[0].pose[2] == pytest.approx(-30, abs=6)


def test_wrong_frames_are_refused(face):
    with pytest.raises(InputError, match="shape"):
        sure_detector(face).detect(np.zeros((4, 4, 3), np.uint8))


def test_nets_go_through_a_file(face, tmp_path):
    finder, reader = nets(face)
    path = tmp_path / "net.safetensors"
    configs = {"finder": SMALL.to_dict(), "reader": SMALL.to_dict()}
    save_checkpoint(path, SYSTEM, {"finder": finder, "reader": reader}, configs, {"data": "none"})
    detector = load_bundled(path, dtype=torch.float32)
    x = torch.randn(1, 3, 64, 64)
    assert torch.allclose(detector.reader(x)["landmarks"], reader(x)["landmarks"], atol=1e-6)
    assert turns(np.eye(3), 0.0).tolist() == [0, 0, 0]
