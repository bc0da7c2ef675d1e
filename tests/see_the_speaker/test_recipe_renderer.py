"""Training of the renderer: batches whose camera takes motion along, losses, and what of the net is trained."""

from argparse import Namespace

import numpy as np
import pytest
import torch

from talkface_core.checkpoints import read_checkpoint
from talkface_core.errors import InputError
from talkface_core.see_the_speaker.keypoints import place, rotation_matrix, tied_points
from talkface_core.see_the_speaker.landmark_motion import landmark_motion, mean_shape
from talkface_core.see_the_speaker.renderer import COMPONENT, RendererConfig
from talkface_core.see_the_speaker.training.moving_heads import MovingHeads, true_gaze
from talkface_core.see_the_speaker.training.recipe_renderer import RendererLoss, RendererRecipe, face_weights
from talkface_core.see_the_speaker.training.renderer_batches import PARTS, PairSampler, RendererBatches
from talkface_core.training.adversarial import AdversarialLoss
from tests.see_the_speaker.small_renderer import small_base, small_tiny

SIDE, PAD = 64, 8


def heads(clips: int = 2, frames: int = 6) -> MovingHeads:
    """Heads that nod and shift; a bright dot marks the nose's tip."""
    count, random = clips * frames, np.random.default_rng(0)
    pose = torch.tensor(random.uniform(-15, 15, (count, 3)))
    shift = torch.tensor(random.uniform(-0.1, 0.1, (count, 1, 2)))
    landmarks = 0.8 * (mean_shape().points @ rotation_matrix(pose))[..., :2] + shift
    pixels = ((landmarks + 1) * SIDE / 2 + PAD).numpy().astype(np.float32)
    pictures = np.zeros((count, SIDE + 2 * PAD, SIDE + 2 * PAD, 3), np.uint8)
    ys, xs = np.mgrid[: pictures.shape[1], : pictures.shape[2]] + 0.5
    for picture, points in zip(pictures, pixels, strict=True):
        x, y = points[30]
        picture[...] = (255 * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / 8))[..., None]
    seen = landmark_motion(landmarks, pose, mean_shape())
    starts = np.arange(clips + 1) * frames
    return MovingHeads("made", pictures, pixels, seen, np.ones(count, bool), SIDE, PAD, starts)


def recipe(**changes) -> RendererRecipe:
    torch.manual_seed(0)
    return RendererRecipe(heads(), small_tiny(), batches=RendererBatches(pairs=4), **changes)


def test_the_camera_takes_motion_and_landmarks_along():
    batch = PairSampler(heads(), RendererBatches(pairs=24)).batch(np.random.default_rng(1))
    points = place(*(batch[f"driven_{part}"] for part in PARTS), True)
    tied = 2 * tied_points(batch["landmarks"]) - 1
    assert torch.allclose(points[..., :2], tied, atol=1e-5)
    # The dot in the picture lies where the landmark says.
    bright = batch["driven_frames"].float().sum(-1)
    bright = bright - bright.amin((1, 2), keepdim=True)
    bright[bright < 0.3 * bright.amax((1, 2), keepdim=True)] = 0
    at = (torch.arange(SIDE) + 0.5) / SIDE
    total = bright.sum((1, 2))
    seen = torch.stack([(bright.sum(1) * at).sum(1) / total, (bright.sum(2) * at).sum(1) / total], 1)
    assert (seen - batch["landmarks"][:, 30]).abs().max() < 0.5 / SIDE


def test_pairs_are_of_one_clip_and_the_same_for_the_same_generator():
    sampler = PairSampler(heads(), RendererBatches(pairs=6))
    one, again = (sampler.batch(np.random.default_rng(3)) for _ in range(2))
    assert all(torch.equal(one[name], again[name]) for name in one)
    for _ in range(20):
        source, driven = sampler._pair(np.random.default_rng(_))
        assert source // 6 == driven // 6
    alone = heads(12, 1)
    with pytest.raises(InputError, match="one frame each"):
        PairSampler(alone, RendererBatches())


@pytest.mark.parametrize("part", ["all", "motion", "picture", "paint"])
def test_every_trained_weight_takes_part(part):
    one = recipe(part=part)
    losses = one.loss(one.batch(0, np.random.default_rng(0)), 0)
    losses["loss"].backward()
    for name, weight in one.net.named_parameters():
        assert (weight.grad is not None) == weight.requires_grad, name
    trained = {name.split(".")[0] for name, weight in one.net.named_parameters() if weight.requires_grad}
    others = {"appearance", "warping", "decoder"}
    expected = {"all": others | {"motion_extractor"}, "motion": {"motion_extractor"}, "picture": others}
    assert trained == expected.get(part, {"warping", "decoder"})
    assert one.net.warping.motion.mask.weight.requires_grad == (part in ("all", "picture"))


@pytest.mark.parametrize("part", ["motion", "picture"])
def test_it_learns(part):
    one = recipe(part=part)
    batch = one.batch(0, np.random.default_rng(0))
    optimiser = torch.optim.Adam([weight for weight in one.net.parameters() if weight.requires_grad], 5e-3)
    losses = []
    for step in range(25):
        optimiser.zero_grad()
        loss = one.loss(batch, step)["loss"]
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.75 * losses[0]


def test_a_discriminator_judges_what_is_painted_and_learns_beside_it():
    tested = recipe(part="paint", weights=RendererLoss(adversarial=AdversarialLoss(start=3), side=32))
    batch = tested.batch(0, np.random.default_rng(0))
    assert batch["corners"].shape == (4, 2, 2)
    assert "judge" not in tested.loss(batch, 2)
    losses = tested.loss(batch, 3)
    assert {"judge", "judge_own", "matching"} <= losses.keys()
    losses["loss"].backward()
    judge = tested.modules["judge"]
    assert all(layer[0].weight.grad.any() for layer in judge.layers)
    plain = recipe(part="paint")
    plain.net.load_state_dict(tested.net.state_dict())
    plain.loss(batch, 3)["loss"].backward()
    moved, alone = (net.decoder.out.weight.grad for net in (tested.net, plain.net))
    assert not torch.allclose(moved, alone)
    with pytest.raises(InputError, match="part motion makes none"):
        recipe(part="motion", weights=RendererLoss(adversarial=AdversarialLoss()))


def test_a_part_that_no_discriminator_can_judge_is_refused_before_footage_is_read(tmp_path):
    args = Namespace(preset="tiny", part="motion", adversarial=True, data=tmp_path / "gone", batch_size=None)
    with pytest.raises(InputError, match="part motion makes none"):
        RendererRecipe.from_args(args)


def test_an_untrained_extractor_sees_the_mean_face():
    one = recipe()
    seen = one.net.eval().motion_extractor(torch.rand(2, 3, SIDE, SIDE))
    assert (seen.canonical - heads().seen.canonical.mean(0)).abs().max() < 0.2
    assert (seen.scale - 0.8).abs().max() < 0.2


def test_samples_and_checkpoint(tmp_path):
    one = recipe()
    one.net.eval()
    assert one.sample(one.modules).shape == (6 * SIDE, 10 * SIDE, 3)
    one.save(tmp_path / "r.safetensors", one.modules, {})
    assert read_checkpoint(tmp_path / "r.safetensors").config(COMPONENT, RendererConfig) == small_tiny()


def test_pixels_of_mouth_and_eyes_count_more():
    points = torch.from_numpy(heads().landmarks[:1] - PAD) / SIDE
    weights = face_weights(points, SIDE, 4.0, 2.0)[0, 0]
    assert torch.allclose(weights.mean(), torch.tensor(1.0))
    x, y = (points[0, 48:68].mean(0) * SIDE).long().tolist()
    assert weights[y, x] > 3 * weights[2, 2]


def test_gaze_of_a_clip_in_the_picture():
    names = [f"eyeLook{way}_{side}" for way in ("In", "Out", "Up", "Down") for side in "LR"]
    weights = np.zeros((1, 8), np.float32)
    weights[0, names.index("eyeLookOut_R")] = weights[0, names.index("eyeLookIn_L")] = 0.5
    weights[0, [names.index("eyeLookUp_L"), names.index("eyeLookUp_R")]] = 0.25
    truth = {"names": np.array(names), "weights": weights, "visible": np.ones((1, 68), bool)}
    assert true_gaze(truth).tolist() == [[[-0.5, -0.25], [-0.5, -0.25]]]  # both to the left, and up
    assert true_gaze({"names": truth["names"], "weights": weights}) is None


def test_what_cannot_be_trained_is_refused():
    with pytest.raises(InputError, match="tied to landmarks"):
        RendererRecipe(heads(), small_base())
    with pytest.raises(InputError, match="all, motion, picture, paint"):
        recipe(part="nose")
