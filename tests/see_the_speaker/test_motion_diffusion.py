"""Motion diffusion: sizes, what it depends on, guidance, and that it can learn to follow a sound."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from talkface_core.checkpoints import read_checkpoint, save_checkpoint
from talkface_core.components import build
from talkface_core.diffusion.parameterisation import diffuse
from talkface_core.errors import InputError
from talkface_core.see_the_speaker.motion_diffusion import (
    MOTION,
    Before,
    MotionConfig,
    MotionDiffusion,
    MotionSampling,
)
from talkface_core.see_the_speaker.system import SYSTEM
from tests.see_the_speaker.small_motion import small_diffusion


def test_tiny_is_small_and_base_is_the_published_size() -> None:
    tiny, base = (MotionDiffusion(MotionConfig.preset(name)) for name in ("tiny", "base"))
    assert sum(weight.numel() for weight in tiny.parameters()) < 750_000
    assert base.start_motion.shape == (1, 10, 70)
    # 8 layers of 4d^2 + 2d^2 + 8d^2 weights, and what leads in and out.
    assert 29e6 < sum(weight.numel() for weight in base.parameters()) < 31e6


def test_settings_that_do_not_fit_are_refused() -> None:
    for changes, what in (
        ({"width": 30, "heads": 4}, "multiple"),
        ({"previous": 60}, "no more"),
        ({"audio": 5}, "prosody"),
        ({"sampling": MotionSampling(steps=900)}, "sampling steps"),
    ):
        with pytest.raises(InputError, match=what):
            MotionConfig(**changes)


def test_the_seed_decides_and_the_sound_and_what_was_before_count() -> None:
    torch.manual_seed(0)
    net = small_diffusion()
    heard = net.hear(torch.randn(2, 12, net.config.audio))
    made = net.sample(heard, None, 5)
    assert made.shape == (2, 12, net.config.values)
    assert torch.equal(made, net.sample(heard, None, 5))
    assert not torch.allclose(made, net.sample(heard, None, 6), atol=1e-3)
    assert not torch.allclose(made, net.sample(heard.flip(1), None, 5), atol=1e-4)
    start = net.start(2)
    moved = Before(start.motion + 1, start.heard)
    assert not torch.allclose(made, net.sample(heard, moved, 5), atol=1e-4)


def test_guidance_leads_from_no_sound_to_the_sound_and_beyond() -> None:
    """With one step the sample is the clean motion itself, which guidance mixes linearly."""
    torch.manual_seed(0)
    net = small_diffusion()
    heard = net.hear(torch.randn(1, 12, net.config.audio))
    free, plain, guided = (net.sample(heard, None, 1, MotionSampling(steps=1, guidance=g)) for g in (0.0, 1.0, 3.0))
    assert torch.allclose(guided, free + 3 * (plain - free), atol=1e-5)
    assert not torch.allclose(free, plain, atol=1e-4)
    nothing = net.null_audio.expand_as(heard)
    assert torch.allclose(free, net.sample(nothing, None, 1, MotionSampling(steps=1)), atol=1e-6)


def test_a_checkpoint_comes_back(tmp_path: Path) -> None:
    net = small_diffusion()
    net.mean.fill_(2.0)
    path = tmp_path / "motion.safetensors"
    save_checkpoint(path, SYSTEM, {MOTION.name: net}, {MOTION.name: net.config.to_dict()}, {})
    again = build(read_checkpoint(path), MOTION)
    assert again.config == net.config
    assert all(torch.equal(value, again.state_dict()[key]) for key, value in net.state_dict().items())


def test_it_learns_to_follow_a_sound() -> None:
    """A motion that is a function of the sound is sampled after a few hundred steps; an untrained net knows nothing."""
    torch.manual_seed(0)
    net = small_diffusion(keypoints=1, audio=9, controls=(), dropout=0.0).train()
    net.config = replace(net.config, prosody=False)
    schedule = net.config.schedule

    def clips(count: int) -> tuple[torch.Tensor, torch.Tensor]:
        features = torch.randn(count, 12, 9)
        motion = torch.zeros(count, 12, net.config.values)
        motion[..., 0] = features[..., 0].tanh() * 1.5
        return features, motion

    def correlation() -> float:
        features, motion = clips(16)
        made = net.eval().sample(net.hear(features), None, 0, MotionSampling(steps=4))
        net.train()
        return float(torch.corrcoef(torch.stack([made[..., 0].flatten(), motion[..., 0].flatten()]))[0, 1])

    before = correlation()
    optimiser = torch.optim.AdamW(net.parameters(), 3e-3)
    for _ in range(160):
        features, motion = clips(16)
        steps = torch.randint(schedule.steps, (16,))
        noisy = diffuse(motion, torch.randn_like(motion), *schedule.alpha_sigma(steps))
        said = net(noisy, steps, net.hear(features), net.start(16))[:, 4:]
        loss = (said - motion).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert before < 0.5
    assert correlation() > 0.8
