"""The probe's recipe: frames and landmarks stay together, batches repeat, the net learns, the checkpoint reads."""

import json

import cv2
import numpy as np
import pytest
import torch

from talkface_core.checkpoints import read_checkpoint
from talkface_core.evaluation.probe import LandmarkProbe, ProbeConfig, Reading, load_probe
from talkface_core.evaluation.recipe_probe import ProbeRecipe, augment, probe_errors
from talkface_core.faces.geometry import mean_face


@pytest.fixture
def recipe(clips, tmp_path) -> ProbeRecipe:
    torch.manual_seed(0)
    return ProbeRecipe(clips, tmp_path / "cache", val=clips, config=ProbeConfig(width=16), quiet=True)


def test_augmentation_moves_landmarks_with_the_picture():
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(20):
        x, y = rng.uniform(40, 88, 2)
        grid_y, grid_x = np.mgrid[:128, :128] + 0.5
        blob = 255 * np.exp(-((grid_x - x) ** 2 + (grid_y - y) ** 2) / 18)
        frame = np.repeat(blob[..., None], 3, 2).astype(np.uint8)
        moved, landmarks = augment(frame, np.full((68, 2), (x, y), np.float32) / 128, rng)
        weight = cv2.GaussianBlur(moved.mean(-1) + 1, (0, 0), 3)
        weight = (weight - 0.4 * weight.max()).clip(0)
        centre = np.array([(weight * grid_x).sum(), (weight * grid_y).sum()]) / weight.sum()
        errors.append(np.abs(centre - 128 * landmarks[0]).max())
        assert moved.dtype == np.float32
        assert -1 <= moved.min() < moved.max() <= 1
    assert np.mean(errors) < 0.15


def test_a_batch_depends_on_the_generator_alone(recipe):
    one, same, other = (recipe.batch(3, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert one["pixels"].shape == (32, 3, 128, 128)
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["pixels"], other["pixels"])


def test_the_net_learns(recipe):
    batch = recipe.batch(0, np.random.default_rng(0))
    net = recipe.modules["probe"]
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)
    losses = []
    for step in range(15):
        loss = recipe.loss(batch, step)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]


def test_a_closed_mouth_may_be_read_as_anything_below_zero(recipe):
    class Answer(torch.nn.Module):
        opening = 0.0

        def forward(self, pixels):
            return {
                "landmarks": torch.zeros(2, 68, 2),
                "mouth_open": torch.full((2,), self.opening),
                "eye_open": torch.zeros(2),
                "pose": torch.zeros(2, 3),
            }

    answer = recipe.modules["probe"] = Answer()
    batch = {
        "pixels": torch.zeros(2, 3, 128, 128),
        "landmarks": torch.zeros(2, 68, 2),
        "mouth_open": torch.tensor([0.0, 0.04]),
        "eye_open": torch.zeros(2),
        "pose": torch.zeros(2, 3),
    }
    errors = {}
    for answer.opening in (-0.02, 0.02):
        errors[answer.opening] = recipe.loss(batch, 0)["mouth"].item()
    assert errors[-0.02] == pytest.approx(0.06 / 2 / 0.02)
    assert errors[0.02] == pytest.approx((0.02 + 0.02) / 2 / 0.02)


def test_the_checkpoint_holds_face_and_errors_and_reads_the_same(recipe, clips, frames, arrays, tmp_path):
    path = tmp_path / "probe.safetensors"
    recipe.save(path, {"probe": recipe.modules["probe"].eval()}, {"recipe": "landmark-probe"})
    stored = read_checkpoint(path, "landmark-probe")
    assert stored.states["probe"]["heat.weight"].dtype == torch.float16
    assert stored.provenance["recipe"] == "landmark-probe"
    assert stored.provenance["measured"].keys() == {"fixtures", "fixtures, blurred by 1 px"}
    loaded = load_probe(path)
    assert isinstance(loaded, LandmarkProbe)
    expected = mean_face(arrays["landmarks_3d"], arrays["pose"])
    np.testing.assert_allclose(loaded.face.numpy(), expected, atol=0.01)
    before = recipe.modules["probe"].read(frames)
    np.testing.assert_allclose(loaded.read(frames).landmarks, before.landmarks, atol=2e-3)


def test_errors_of_a_perfect_reading_are_none(clips, truth, arrays):
    perfect = Reading(truth.landmarks, truth.mouth_open, arrays["eye_open"], truth.pose)
    errors = probe_errors(perfect, clips)
    assert errors.pop("mouth_open_pearson_mean") == errors.pop("mouth_open_pearson_min") == 1.0
    assert set(errors.values()) == {0.0}
    json.dumps(errors, allow_nan=False)
    off = Reading(
        truth.landmarks + np.float32([3 / 128, 4 / 128]), truth.mouth_open, arrays["eye_open"], truth.pose + 2
    )
    assert probe_errors(off, clips)["mouth_px"] == pytest.approx(5.0, abs=1e-3)
    assert probe_errors(off, clips)["yaw_max"] == pytest.approx(2.0, abs=1e-3)


def test_the_sample_shows_four_frames(recipe):
    picture = recipe.sample({"probe": recipe.modules["probe"].eval()})
    assert picture.shape == (256, 1024, 3)
    green = (picture == (0, 255, 0)).all(-1)
    assert all(panel.any() for panel in np.split(green, 4, axis=1))
