"""The read-out of the mouth recovers a planted mouth; each term of the loss answers to its own error and mask."""

import pytest
import torch

from talkface_core.dae_talker.speech2latent import Speech2LatentOutput
from talkface_core.dae_talker.speech_loss import (
    MouthReadout,
    Speech2LatentLossWeights,
    SpeechHeads,
    speech2latent_loss,
)


@pytest.fixture(scope="module")
def planted():
    """Latents that are a linear mix of mouth and pose, as normalised latents are."""
    torch.manual_seed(0)
    mouth, pose = torch.randn(800, 3) * torch.tensor([1.0, 2.0, 0.5]) + 1.0, torch.randn(800, 2)
    mouth[:100] = torch.tensor([0.5, -1.0, 0.0])
    latents = (mouth - mouth.mean(0)) @ torch.randn(3, 8) + pose @ torch.randn(2, 8)
    silent = torch.arange(800) < 100
    return latents, mouth, pose, silent, MouthReadout.fit(latents, mouth, pose, silent, ridge=1e-6)


def test_the_readout_reads_the_mouth(planted):
    latents, mouth, _, _, readout = planted
    torch.testing.assert_close(readout(latents), readout.normalise(mouth), rtol=0, atol=1e-2)
    torch.testing.assert_close(readout.opening(latents), mouth[:, -1], rtol=0, atol=1e-2)


def test_closing_moves_the_mouth_alone(planted):
    latents, mouth, pose, _, readout = planted
    closed = readout.close(latents)
    torch.testing.assert_close(readout(closed), readout.closed.expand(800, -1), rtol=0, atol=2e-2)
    torch.testing.assert_close(readout.closed, readout.normalise(mouth)[0], rtol=0, atol=1e-3)
    # What pose made of the latents is still there, to the same linear reading.
    ones = torch.ones(800, 1)
    reading = torch.linalg.lstsq(torch.cat([latents, ones], 1), pose).solution
    torch.testing.assert_close(torch.cat([closed, ones], 1) @ reading, pose, rtol=0, atol=5e-2)
    torch.testing.assert_close(readout.close(latents, readout.normalise(mouth)), closed, rtol=0, atol=2e-2)


def batch_and_output(planted):
    latents, mouth, _, _, readout = planted
    z = latents[100:120][None]
    batch = {
        "latents": z,
        "has_latents": torch.ones(1, 20),
        "mouth": readout.normalise(mouth[100:120])[None],
        "has_mouth": torch.ones(1, 20),
        "motion": torch.full((1, 20, 3), 0.02),
        "has_pose": torch.ones(1, 20),
        "visemes": torch.full((1, 20), 2),
    }
    pose_mean = torch.tensor([0.1, 0.0, 0.0])
    right = Speech2LatentOutput(z.clone(), torch.zeros(1, 20, 3), pose_mean + batch["motion"], torch.randn(1, 20, 16))
    return batch, right, pose_mean, readout


def test_the_right_answer_costs_nothing_and_each_error_shows_in_its_term(planted):
    batch, right, mean, readout = batch_and_output(planted)
    weights, std = Speech2LatentLossWeights(viseme=0.0, mouth=0.0), torch.full((3,), 0.02)
    terms = speech2latent_loss(right, batch, readout, mean, std, weights)
    assert set(terms) == {"latent", "readout", "velocity", "pose", "loss"}
    assert terms["loss"] < 1e-3
    turned = Speech2LatentOutput(right.latents, right.pose, right.predicted_pose + 0.02, right.hidden)
    assert speech2latent_loss(turned, batch, readout, mean, std, weights)["pose"] == pytest.approx(1.0, rel=1e-4)
    torch.manual_seed(1)
    off = Speech2LatentOutput(right.latents + torch.randn(1, 20, 8), right.pose, right.predicted_pose, right.hidden)
    wrong = speech2latent_loss(off, batch, readout, mean, std, weights)
    assert wrong["latent"] > 0.5
    assert wrong["readout"] > 0.01
    expected = sum(getattr(weights, name) * wrong[name] for name in ("latent", "readout", "velocity", "pose"))
    torch.testing.assert_close(wrong["loss"], expected)


def test_voices_without_latents_are_judged_by_the_mouth_alone(planted):
    batch, right, mean, readout = batch_and_output(planted)
    batch["has_latents"] = torch.zeros(1, 20)
    off = Speech2LatentOutput(right.latents + 5.0, right.pose, right.predicted_pose, right.hidden)
    terms = speech2latent_loss(off, batch, readout, mean, torch.ones(3), Speech2LatentLossWeights())
    assert terms["latent"] == 0.0
    assert terms["readout"] > 0.1


def test_heads_learn_from_known_frames_only(planted):
    batch, right, mean, readout = batch_and_output(planted)
    heads = SpeechHeads(16, 5, 3)
    weights = Speech2LatentLossWeights()
    known = speech2latent_loss(right, batch, readout, mean, torch.ones(3), weights, heads)["viseme"]
    logits = heads.viseme(right.hidden)[0]
    torch.testing.assert_close(known, -logits.log_softmax(1)[:, 2].mean())
    batch["visemes"][0, 10:] = -100
    some = speech2latent_loss(right, batch, readout, mean, torch.ones(3), weights, heads)["viseme"]
    torch.testing.assert_close(some, -logits[:10].log_softmax(1)[:, 2].mean())
    batch["visemes"][:] = -100
    assert speech2latent_loss(right, batch, readout, mean, torch.ones(3), weights, heads)["viseme"] == 0.0
