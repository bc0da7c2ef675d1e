"""The bundled probe on a clip it has never seen, and that it looks at the mouth when it reads the mouth."""

import numpy as np
import pytest
import torch

from talkface_core.checkpoints import CheckpointError, find_checkpoint, save_checkpoint
from talkface_core.correlation import pearson
from talkface_core.errors import InputError
from talkface_core.evaluation import metrics
from talkface_core.evaluation.probe import LandmarkProbe, Reading, load_probe


@pytest.fixture(scope="module")
def reading(probe, frames) -> Reading:
    return probe.read(frames)


def test_it_is_small():
    assert sum(p.numel() for p in LandmarkProbe().parameters()) <= 400_000
    assert find_checkpoint("landmark_probe").stat().st_size < 900_000


def test_it_finds_the_landmarks_to_a_quarter_of_a_pixel(reading, truth):
    assert 128 * np.linalg.norm(reading.landmarks - truth.landmarks, axis=-1).mean() < 0.25


def test_it_reads_the_mouth(reading, truth):
    assert pearson(reading.mouth_open, truth.mouth_open) > 0.995
    assert np.abs(reading.mouth_open - truth.mouth_open).mean() < 0.002
    assert metrics.open_share(reading.mouth_open, truth.mouth_open == 0) == 0.0


def test_it_reads_the_pose_and_the_eyes(reading, truth, arrays):
    assert np.abs(reading.pose - truth.pose).mean(0).max() < 0.4
    assert np.abs(reading.eye_open - arrays["eye_open"]).mean() < 0.015


def test_a_mouth_put_into_another_frame_is_read_there(probe, frames, truth):
    """The opening comes from the lips: the rest of the frame stays, only the mouth is exchanged."""
    shut, wide = int(np.argmin(truth.mouth_open)), int(np.argmax(truth.mouth_open))

    def mixed(base: int, mouth: int) -> np.ndarray:
        (x, y), (u, v) = ((truth.landmarks[k, 48:68].mean(0) * 128).round().astype(int) for k in (base, mouth))
        frame = frames[base].copy()
        frame[y - 12 : y + 14, x - 18 : x + 18] = frames[mouth][v - 12 : v + 14, u - 18 : u + 18]
        return frame

    opened, closed = probe.read(np.stack([mixed(shut, wide), mixed(wide, shut)])).mouth_open
    assert opened > 0.85 * truth.mouth_open[wide]
    assert closed < 0.05 * truth.mouth_open[wide]


def test_a_moved_picture_moves_the_landmarks_and_nothing_else(probe, frames, reading):
    moved = probe.read(np.roll(frames, (3, -2), (1, 2)))
    np.testing.assert_allclose(128 * (moved.landmarks - reading.landmarks).mean((0, 1)), (-2, 3), atol=0.2)
    assert pearson(moved.mouth_open, reading.mouth_open) > 0.99


def test_soft_frames_are_read_too(probe, frames, truth):
    soft = sum(np.roll(frames.astype(np.float32), (dy, dx), (1, 2)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)) / 9 / 255
    assert pearson(probe.read(soft).mouth_open, truth.mouth_open) > 0.99


def test_chunks_and_larger_pictures_give_the_same_reading(probe, frames, reading):
    np.testing.assert_allclose(probe.read(frames, batch=7).mouth_open, reading.mouth_open, atol=1e-4)
    larger = probe.read(np.repeat(np.repeat(frames, 2, 1), 2, 2))
    np.testing.assert_allclose(larger.landmarks, reading.landmarks, atol=1e-4)


def test_frames_that_cannot_be_read_are_refused(probe, frames):
    with pytest.raises(InputError, match="square"):
        probe.read(frames[:, :100])
    with pytest.raises(InputError, match="no frames"):
        probe.read(frames[:0])


def test_an_untrained_net_answers_within_the_frame_and_trains():
    net = LandmarkProbe()
    out = net(torch.rand(2, 3, 128, 128) * 2 - 1)
    assert {name: tuple(value.shape) for name, value in out.items()} == {
        "landmarks": (2, 68, 2),
        "mouth_open": (2,),
        "eye_open": (2,),
        "pose": (2, 3),
    }
    assert 0 < out["landmarks"].min() < out["landmarks"].max() < 1
    sum(value.sum() for value in out.values()).backward()
    assert all(p.grad is not None for p in net.parameters())


def test_another_systems_checkpoint_is_refused(tmp_path):
    net = torch.nn.Linear(2, 2)
    save_checkpoint(tmp_path / "x.safetensors", "dae-talker", {"probe": net}, {"probe": {}}, {})
    with pytest.raises(CheckpointError, match="landmark-probe"):
        load_probe(tmp_path / "x.safetensors")
