"""The recipe on three drawn pictures: data, batches that repeat, targets that decode, and steps that learn."""

import cv2
import numpy as np
import pytest
import torch

from talkface_core.checkpoints import read_checkpoint
from talkface_core.errors import InputError
from talkface_core.faces import recipe_batches, recipe_faces
from talkface_core.faces.augment import mirrored, photograph, texture
from talkface_core.faces.bundled import load_bundled
from talkface_core.faces.net import STRIDE, FaceNetConfig
from talkface_core.faces.recipe_batches import finder_targets, mean_crop
from talkface_core.faces.recipe_data import FacePictures, spread
from talkface_core.faces.recipe_faces import FaceRecipe
from talkface_core.faces.rotated_box import SYSTEM, RotatedBox
from talkface_core.training.config import TrainConfig
from talkface_core.training.engine import train

SMALL = FaceNetConfig((8, 8, 8, 8, 8), (8, 8, 8))


@pytest.fixture
def folder(tmp_path, face, place):
    """A set with a split, two stills with outlines and one without."""
    split = tmp_path / "set" / "people" / "train"
    split.mkdir(parents=True)
    for number, turn in enumerate((0, 12, -9)):
        points = place(face, 90, turn, (64, 64)).numpy()
        picture = np.full((128, 128, 3), 90, np.uint8)
        cv2.fillPoly(picture, [points[:27].astype(np.int32)], (200, 160, 140))
        for x, y in points:
            cv2.circle(picture, (int(x), int(y)), 2, (30, 20, 20), -1)
        cv2.imwrite(str(split / f"p{number}.jpg"), picture[..., ::-1])
        extra = {"mask": ((picture[..., 0] != 90) * 255).astype(np.uint8)[None]} if number else {}
        pose = np.array([[0.0, 0, -turn]])
        if number == 2:
            extra["landmark_weights"] = np.linspace(0, 1, 68)
        np.savez(split / f"p{number}.npz", landmarks=points[None], pose=pose, **extra)
    return tmp_path / "set"


@pytest.fixture
def pictures(folder, tmp_path):
    return FacePictures.open(folder, tmp_path / "cache", size=128, quiet=True)


@pytest.fixture
def recipe(pictures, monkeypatch):
    monkeypatch.setattr(recipe_batches, "TEXTURES", 3)
    monkeypatch.setattr(recipe_faces, "CROPS", 4)
    monkeypatch.setattr(recipe_faces, "CANVASES", 2)
    torch.manual_seed(0)
    return FaceRecipe(pictures, SMALL)


def test_pictures_are_read_once(pictures, folder, tmp_path):
    assert pictures.name == "people/train"
    assert len(pictures) == 3
    assert pictures.masked.tolist() == [False, True, True]
    assert pictures.picture(0)[..., 3].min() == 255
    assert pictures.picture(1)[..., 3].min() == 0
    assert pictures.chance.sum() == pytest.approx(1)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    small = FacePictures.open(folder / "people", tmp_path / "cache", size=64, quiet=True)
    assert np.allclose(small.landmarks * 2, pictures.landmarks, atol=1e-3)
    assert spread(200, 4).tolist() == [0, 66, 133, 199]
    assert spread(1, 16).tolist() == [0]


def test_labels_count_as_their_file_says(pictures, folder, tmp_path):
    assert (pictures.weights[:2] == 1).all()
    assert np.allclose(pictures.weights[2], np.linspace(0, 1, 68))
    path = folder / "people" / "train" / "p2.npz"
    with np.load(path) as file:
        np.savez(path, **{**file, "landmark_weights": np.full(68, 2.0)})
    with pytest.raises(InputError, match=r"landmark_weights.*from 0 to 1"):
        FacePictures.open(folder, tmp_path / "other", size=64, quiet=True)


def test_points_that_count_nothing_change_no_loss(recipe):
    batch = recipe.batch(0, np.random.default_rng(0))
    batch["weights"] = torch.ones(4, 68)
    batch["weights"][:, :17] = 0
    before = recipe.loss(batch, 0)["points"].item()
    batch["landmarks"][:, :17] += 0.01
    assert recipe.loss(batch, 0)["points"].item() == pytest.approx(before)
    batch["landmarks"][:, 17:] += 0.01
    assert recipe.loss(batch, 0)["points"].item() != pytest.approx(before)


def test_a_folder_without_truth_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"no \.npz with the truth"):
        FacePictures.open(tmp_path, tmp_path / "cache")


def test_mirroring_renames_the_points(face):
    picture = np.zeros((10, 20, 3), np.uint8)
    picture[:, 0] = 255
    points = (face.numpy() * 10).astype(np.float32)
    other, moved = mirrored(picture, points)
    assert other[0, 19, 0] == 255
    assert moved[36, 0] == pytest.approx(20 - points[45, 0])
    assert moved[8, 1] == points[8, 1]


def test_the_mean_face_stands_upright_in_its_crop(pictures):
    mean = mean_crop(pictures.landmarks, np.zeros((3, 3), np.float32))
    low, high = mean.amin(0), mean.amax(0)
    assert torch.allclose((low + high) / 2, torch.tensor([0.5, 0.5]), atol=1e-3)
    assert float(high[1] - low[1]) == pytest.approx(recipe_batches.HEIGHT, abs=1e-4)
    assert mean[36, 1] == pytest.approx(float(mean[45, 1]), abs=2e-3)


def test_batches_repeat_and_have_their_shapes(recipe):
    one, two = (recipe.batch(3, np.random.default_rng(5)) for _ in range(2))
    assert all(torch.equal(one[key], two[key]) for key in one)
    shapes = {key: tuple(value.shape) for key, value in one.items()}
    assert shapes == {
        "crops": (4, 128, 128, 3),
        "landmarks": (4, 68, 2),
        "weights": (4, 68),
        "pose": (4, 3),
        "there": (4,),
        "canvases": (2, 256, 256, 3),
        "heat": (2, 32, 32),
        "targets": (2, 5, 32, 32),
        "sure": (2, 32, 32),
    }


def test_crops_show_the_face_where_the_landmarks_say(recipe, monkeypatch):
    """With a plain camera, the dots drawn on the face lie under its landmarks, however the crop was jittered."""
    monkeypatch.setattr(recipe_batches, "photograph", lambda picture, rng, face: picture)
    monkeypatch.setattr(recipe_batches, "dress", lambda picture, points, rng: None)
    monkeypatch.setattr(recipe_batches, "WRONG", 0.0)
    rng, dark = np.random.default_rng(0), []
    for _ in range(12):
        crop, points, _, _, there = recipe._samples.crop(rng)
        assert there == 1
        inside = ((points > 0.03) & (points < 0.97)).all(1)
        at = (points[inside] * 128).astype(int)
        dark.append((crop[at[:, 1], at[:, 0]].max(1) < 110).mean())
    assert np.mean(dark) > 0.85


def test_finder_targets_decode_to_their_squares():
    squares = [RotatedBox(60.0, 90.0, 50.0, 0.3), RotatedBox(190.0, 150.0, 120.0, -0.6)]
    heat, targets, sure = finder_targets(squares, 32)
    assert (heat == 1).sum() == 2
    for square in squares:
        column, row = int(square.x // STRIDE), int(square.y // STRIDE)
        assert heat[row, column] == 1
        for dx in (0, 1):
            decoded = RotatedBox.decode(targets[:, row, column + dx], column + dx, row)
            assert sure[row, column + dx] == 1
            assert np.allclose(
                [decoded.x, decoded.y, decoded.side, decoded.turn], [square.x, square.y, square.side, square.turn]
            )


def test_photographs_repeat_and_differ():
    picture = texture(64, np.random.default_rng(0))
    photographs = [photograph(picture, np.random.default_rng(seed), 30) for seed in (1, 1, 2)]
    assert photographs[0].shape == picture.shape
    assert photographs[0].dtype == np.uint8
    assert np.array_equal(photographs[0], photographs[1])
    assert not np.array_equal(photographs[0], photographs[2])


def test_training_lowers_the_loss_and_its_file_loads(recipe, tmp_path, monkeypatch):
    batch = recipe.batch(0, np.random.default_rng(0))
    monkeypatch.setattr(recipe, "batch", lambda step, rng: batch)
    before = recipe.loss(batch, 0)
    result = train(recipe, tmp_path / "run", 20, TrainConfig(lr=1e-2, ema_decay=0.5), sample_every=20, quiet=True)
    after = recipe.loss(batch, 0)
    assert after["loss"].item() < 0.9 * before["loss"].item()
    assert read_checkpoint(result.checkpoint, SYSTEM).provenance["data"] == "people/train"
    assert load_bundled(result.checkpoint).detect(np.zeros((1, 64, 64, 3), np.uint8)) is not None
    assert len(list((tmp_path / "run" / "samples").iterdir())) == 1
