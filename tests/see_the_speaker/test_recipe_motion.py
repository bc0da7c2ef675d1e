"""Training the motion: clips whose motion is known, windows, losses, and checkpoints of both recipes."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from talkface_core.acoustic.training_features import HeardFeatures
from talkface_core.checkpoints import read_checkpoint
from talkface_core.components import build
from talkface_core.errors import InputError
from talkface_core.see_the_speaker.controls import CONTROLS, OPENING
from talkface_core.see_the_speaker.lip_refinement import LIP_REFINEMENT
from talkface_core.see_the_speaker.motion import Motion
from talkface_core.see_the_speaker.motion_diffusion import MOTION, STILL, MotionConfig, MotionDiffusion, MotionSampling
from talkface_core.see_the_speaker.prosody import SILENT, Prosody
from talkface_core.see_the_speaker.training.motion_batches import MotionBatches
from talkface_core.see_the_speaker.training.motion_clips import MotionClip, at_tempo, mirrored, read_motion_clips
from talkface_core.see_the_speaker.training.motion_losses import MotionWeights, motion_losses
from talkface_core.see_the_speaker.training.motion_scores import motion_scores, nodding
from talkface_core.see_the_speaker.training.recipe_lip_refinement import LipRecipe, LipTraining
from talkface_core.see_the_speaker.training.recipe_motion import MotionData, MotionRecipe, fit_network
from tests.see_the_speaker.small_motion import WIDTH, small_acoustic, small_diffusion

FIXTURES = Path(__file__).parents[1] / "fixtures"
KEYPOINTS = 21


def clip(name: str, seed: int, frames: int = 60, known: bool = True) -> MotionClip:
    """A clip whose controls are coordinates of the first keypoints; its mouth opens and shuts, its head nods."""
    generator = torch.Generator().manual_seed(seed)
    t = torch.arange(frames) / 25
    controls = 0.02 * torch.randn(frames, len(CONTROLS), generator=generator)
    controls[:, 0] += 0.5 + 0.5 * torch.sin(2 * torch.pi * 2 * t + seed)
    controls[:, 1:3] += (torch.remainder(t, 1.5) < 0.2).float()[:, None]
    controls[:, 3:] += torch.randn(2, generator=generator)
    stress = torch.sin(2 * torch.pi * 0.8 * t + seed)
    values = 0.001 * torch.randn(frames, 3 * KEYPOINTS + 7, generator=generator)
    values[:, : len(CONTROLS)] += 0.1 * controls
    values[:, -6:-3] = 0.0
    values[:, -7] += 1
    values[:, -2] += 3 * stress
    shut = np.flatnonzero((controls[:, 0] < 0.1).numpy())
    mask = torch.ones(values.shape[1])
    told = controls.clone()
    if not known:
        mask[3:5], told[:, 3:] = 0, torch.nan
    return MotionClip(
        name,
        values,
        mask,
        np.ones(frames, bool),
        shut[:3],
        told,
        stress,
        SILENT.expand(frames, -1) + 0.3,
        torch.zeros(1, 200, 80).half(),
    )


@pytest.fixture(scope="module")
def data() -> MotionData:
    clips = [clip("a", 0), clip("b", 1), clip("c", 2, 30, known=False)]
    features = [torch.randn(2, len(one), WIDTH).half() for one in clips]
    return MotionData(clips, HeardFeatures(features, torch.zeros(WIDTH)), "made")


@pytest.fixture(scope="module")
def recipe(data: MotionData) -> MotionRecipe:
    torch.manual_seed(0)
    config = replace(small_diffusion().config, keypoints=KEYPOINTS, sampling=MotionSampling(steps=2))
    return MotionRecipe(data, small_acoustic(), config, data, MotionBatches(windows=6, mirror=0.0))


def test_the_motion_of_a_clip_with_truth(tmp_path: Path) -> None:
    for suffix in (".mp4", ".flac", ".npz"):
        shutil.copy(FIXTURES / f"ada_talks{suffix}", tmp_path / f"ada{suffix}")
    (one,) = read_motion_clips(tmp_path, tmp_path / "cache", versions=2)
    motion = Motion.from_values(one.values)
    assert (len(one), motion.keypoints) == (30, KEYPOINTS)
    assert one.mels.shape[0] == 2
    with np.load(tmp_path / "ada.npz") as truth:
        mouth, pose = truth["mouth_open"].astype(np.float32), truth["pose"].astype(np.float32)
    # The middles of the inner lips are the fifth and the sixth keypoint.
    gap = motion.expression[:, 5, 1] - motion.expression[:, 4, 1]
    assert float(torch.corrcoef(torch.stack([gap, torch.from_numpy(mouth)]))[0, 1]) > 0.9
    assert np.allclose(np.diff(motion.rotation.numpy(), axis=0), np.diff(pose, axis=0), atol=1e-4)
    assert float(motion.rotation.median(0).values.abs().max()) < 1e-4
    assert float(motion.scale.median()) == pytest.approx(1.0, abs=1e-3)
    assert torch.isnan(one.controls[:, 3:]).all()
    assert one.known.sum() == len(one.known) - 6  # its eyes are not told of
    again = read_motion_clips(tmp_path, tmp_path / "cache", versions=2)[0]
    assert torch.equal(again.values, one.values)
    assert len(list((tmp_path / "cache").iterdir())) == 1
    with pytest.raises(InputError, match="gaze"):
        fit_network(MotionDiffusion(MotionConfig.preset("tiny")), [one])


def test_a_mirror_turns_a_motion_over_and_back() -> None:
    values = torch.randn(4, 70)
    turned = mirrored(values)
    assert torch.allclose(mirrored(turned), values)
    motion, other = Motion.from_values(values), Motion.from_values(turned)
    assert torch.equal(other.rotation, motion.rotation * torch.tensor([-1.0, 1.0, -1.0]))
    assert torch.equal(other.translation, motion.translation * torch.tensor([-1.0, 1.0, 1.0]))
    # Corners of the mouth change places, its middles stay.
    assert torch.equal(other.expression[:, 0], motion.expression[:, 1] * torch.tensor([-1.0, 1.0, 1.0]))
    assert torch.equal(other.expression[:, 4, 1], motion.expression[:, 4, 1])


def test_another_tempo() -> None:
    one = clip("a", 0)
    fast = at_tempo(one, 1.2)
    assert len(fast) == 50
    assert fast.mels.shape == (1, 166, 80)
    assert torch.allclose(fast.values[10], torch.lerp(one.values[12], one.values[13], 0.1), atol=1e-5)


def test_the_network_is_fitted_to_its_clips(recipe: MotionRecipe, data: MotionData) -> None:
    net = recipe.net
    values = data.clips[0].values
    told = net.controls.values(Motion.from_values(values).expression)
    assert float((told - data.clips[0].controls).abs().mean()) < 0.1
    # What never moves stays where it is, whatever a sample says.
    assert net.std[-5:-3].tolist() == pytest.approx([STILL, STILL])
    wild = net.denormalise(torch.full_like(net.mean, 9.0))
    torch.testing.assert_close(wild[-5:-3], net.mean[-5:-3], atol=1e-4, rtol=0)
    both = torch.cat([one.values[:, 3] for one in data.clips[:2]])
    assert float(net.mean[3]) == pytest.approx(float(both.mean()), abs=1e-5)  # the third clip does not know it


def test_batches_follow_from_their_seed(recipe: MotionRecipe) -> None:
    one, again = (recipe.batch(3, np.random.default_rng(7)) for _ in range(2))
    assert all(torch.equal(value, again[name]) for name, value in one.items())
    other = recipe.batch(3, np.random.default_rng(8))
    assert not torch.equal(one["motion"], other["motion"])
    config = recipe.net.config
    assert one["features"].shape == (6, config.previous + config.frames, WIDTH + Prosody.dim)
    assert one["motion"].shape == (6, config.frames, config.values)


def test_silent_windows_keep_the_mouth_shut(data: MotionData, recipe: MotionRecipe) -> None:
    sampler = recipe.sampler
    kept, sampler.settings = sampler.settings, MotionBatches(windows=8, silence=1.0, mirror=0.0)
    batch = sampler.batch(np.random.default_rng(0))
    sampler.settings = kept
    opening = recipe.net.controls.value(batch["motion"][..., :-7].unflatten(-1, (-1, 3)), OPENING)
    assert float(opening.max()) < 0.05
    assert not batch["features"][..., :WIDTH].any()
    assert float(batch["motion"][..., -2].std()) > 0.5


def test_losses_fall_and_reach_every_weight(recipe: MotionRecipe) -> None:
    net = recipe.net.train()
    optimiser = torch.optim.AdamW(net.parameters(), 3e-3)
    rng, losses = np.random.default_rng(0), []
    for step in range(32):
        terms = recipe.loss(recipe.batch(step, rng), step)
        optimiser.zero_grad()
        terms["loss"].backward()
        if step == 0:
            assert all(weight.grad is not None for weight in net.parameters())
        optimiser.step()
        losses.append(float(terms["opening"].detach()))
    net.eval()
    assert np.mean(losses[-8:]) < 0.9 * np.mean(losses[:8])


def test_what_a_clip_does_not_know_is_not_judged(recipe: MotionRecipe) -> None:
    net, truth = recipe.net, torch.randn(2, 6, recipe.net.config.values)
    known = torch.ones(2, net.config.values)
    known[0, 3:5] = 0

    def points(predicted: Tensor) -> Tensor:
        arguments = (
            truth[:, 0],
            torch.ones(2, 6),
            known,
            net.std,
            net.controls,
            torch.ones(2),
            torch.ones(2),
            MotionWeights(),
        )
        return motion_losses(predicted, truth, *arguments)["points"]

    off, seen = truth.clone(), truth.clone()
    off[0, :, 3:5] += 1
    seen[1, :, 3:5] += 1
    assert float(points(off)) == 0
    assert float(points(seen)) > 0


def test_scores_of_the_truth_and_of_a_mouth_that_mumbles(recipe: MotionRecipe, data: MotionData) -> None:
    one, controls = data.clips[0], recipe.net.controls
    same = motion_scores(one.values, one, controls)
    assert same.opening == pytest.approx(1.0)
    assert (same.closed, same.spread) == (1.0, pytest.approx(1.0))
    assert same.blinks == same.blinks_real > 10
    assert same.nods > 0.3
    dull = one.values.clone()
    dull[:, 0] = 0.3 * dull[:, 0] + 0.7 * dull[:, 0].mean()
    assert motion_scores(dull, one, controls).spread < 0.5
    assert motion_scores(dull, one, controls).closed < 0.5
    noise = np.random.default_rng(0).standard_normal(60)
    assert abs(nodding(noise, one.prominence.numpy())) < 0.35  # type: ignore[union-attr]


def test_a_run_saves_what_a_stream_needs(recipe: MotionRecipe, data: MotionData, tmp_path: Path) -> None:
    path = tmp_path / "motion.safetensors"
    recipe.save(path, recipe.modules, {"steps": 1})
    checkpoint = read_checkpoint(path, "see_the_speaker")
    assert set(checkpoint.configs) == {"motion", "acoustic"}
    assert 0 <= checkpoint.provenance["measured"]["closed"] <= 1
    sampling = MotionConfig.from_dict(checkpoint.configs["motion"]).sampling
    assert 1 <= sampling.head <= 2.5
    assert sampling.blinks is None or sampling.blinks > 10
    net = build(checkpoint, MOTION)
    assert torch.allclose(net.controls.read, recipe.net.controls.read, rtol=1e-2, atol=1e-2)
    assert recipe.sample(recipe.modules).shape == (480, 800, 3)

    lips = LipRecipe(data, net, small_acoustic(), data, LipTraining(windows=4, frames=12, takes=1))
    masks = lips.net.masks
    assert float(masks[0, 0]) == 1.0
    assert not masks[0, 5:].any()
    first, again = (lips.batch(0, np.random.default_rng(1)) for _ in range(2))
    assert all(torch.equal(value, again[name]) for name, value in first.items())
    optimiser, losses = torch.optim.AdamW(lips.net.parameters(), 3e-3), []
    for step in range(30):
        loss = lips.loss(lips.batch(step, np.random.default_rng(step % 3)), step)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-3:]) < 0.95 * np.mean(losses[:3])
    path = tmp_path / "lips.safetensors"
    lips.save(path, {"lip_refinement": lips.net.eval()}, {})
    checkpoint = read_checkpoint(path, "see_the_speaker")
    assert {"unrefined", "measured"} <= set(checkpoint.provenance)
    refined = build(checkpoint, LIP_REFINEMENT)
    assert torch.allclose(refined.masks, masks, atol=1e-3)
    assert lips.sample(lips.modules).shape == (480, 800, 3)


def test_no_clips_are_refused() -> None:
    nothing = MotionData([], HeardFeatures([], torch.zeros(WIDTH)))
    with pytest.raises(InputError, match="no clip"):
        MotionRecipe(nothing, small_acoustic(), MotionConfig.preset("tiny"))
