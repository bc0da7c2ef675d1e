"""A portrait of a voice: arms, guidance, seeds, and what is refused."""

from dataclasses import replace

import pytest
import torch

from talkface_core.checkpoints import read_checkpoint
from talkface_core.components import build
from talkface_core.errors import InputError
from talkface_core.see_the_speaker.conre import SPEECH_ENCODER, SpeechCode
from talkface_core.see_the_speaker.portrait import PORTRAIT, PortraitConfig, PortraitDenoiser, PortraitModel
from talkface_core.see_the_speaker.portrait_space import PORTRAIT_SPACE
from tests.see_the_speaker.small_portrait import PORTRAIT_SIZES, save_small_portrait, small_model


def mel(seed: int = 0) -> torch.Tensor:
    return torch.randn(160, 80, generator=torch.Generator().manual_seed(seed))


def test_the_same_seed_and_voice_give_the_same_portrait_and_others_another() -> None:
    model = small_model()
    first = model.imagine(mel(), steps=4, seed=3)
    assert first.shape == (1, 3, 32, 32)
    assert first.min() >= 0
    assert first.max() <= 1
    assert torch.equal(model.imagine(mel(), steps=4, seed=3), first)
    assert not torch.allclose(model.imagine(mel(), steps=4, seed=4), first, atol=1e-3)
    assert not torch.allclose(model.imagine(mel(1), steps=4, seed=3), first, atol=1e-3)


def test_voices_of_a_batch_are_each_their_own() -> None:
    model = small_model()
    code = model.hear(torch.stack([mel(), mel(1)]))
    both = model.portraits(code, [5, 6], steps=3)
    # Steps carry on what a CPU sums in another order for a batch: seen 1.3e-4, where another voice is 0.8 away.
    torch.testing.assert_close(both[1:], model.imagine(mel(1), steps=3, seed=6), atol=1e-3, rtol=0)


def test_guidance_of_one_is_the_condition_alone_and_of_none_hears_nobody() -> None:
    model = small_model()
    plain = model.imagine(mel(), guidance=1.0, steps=3, arm="none")
    torch.testing.assert_close(model.imagine(mel(), guidance=1.0001, steps=3, arm="none"), plain, atol=1e-2, rtol=0)
    one, other = (model.imagine(mel(n), guidance=0.0, steps=3, arm="none") for n in (0, 1))
    torch.testing.assert_close(one, other)
    assert not torch.allclose(one, plain, atol=1e-3)


def test_the_three_arms() -> None:
    model = small_model()
    net, identity = model.denoiser, model.hear(mel()[None]).identity
    assert net.beta(identity, "none", 0.7).tolist() == [[0.0] * 4]
    torch.testing.assert_close(net.beta(identity, "fixed", 0.7), torch.full((1, 4), 0.7))
    torch.testing.assert_close(net.beta(identity, "adaptive", 0.7), net.saw(identity))
    made = {arm: model.imagine(mel(), arm, steps=3) for arm in ("none", "fixed", "adaptive")}
    assert not torch.allclose(made["none"], made["fixed"], atol=1e-3)
    torch.testing.assert_close(model.imagine(mel(), "fixed", 0.0, steps=3), made["none"])
    with pytest.raises(InputError, match="none, fixed, adaptive"):
        model.imagine(mel(), "some")
    with pytest.raises(InputError, match=r"prior's weight of 1\.5"):
        model.imagine(mel(), "fixed", 1.5)


class _Knowing(PortraitDenoiser):
    """A denoiser that is told the clean residual."""

    known: torch.Tensor

    def forward(self, residual: torch.Tensor, t: torch.Tensor, *_: torch.Tensor) -> torch.Tensor:
        alpha, sigma = (level[:, None, None, None] for level in self.config.schedule.alpha_sigma(t))
        return alpha * (residual - alpha * self.known) / sigma - sigma * self.known


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_a_denoiser_that_knows_the_residual_gives_the_face_back_whatever_the_weight(weight: float) -> None:
    """To subtract the prior and to add it again cancel out."""
    model = small_model()
    net = _Knowing(PORTRAIT_SIZES).eval().requires_grad_(False)
    net.load_state_dict(model.denoiser.state_dict())
    truth, code = model.space.encode(torch.rand(1, 3, 32, 32) * 2 - 1), model.hear(mel()[None])
    net.known = net.prior.residual(truth, net.beta(code.identity, "fixed", weight))
    made = PortraitModel(model.speech, model.space, net).portraits(code, [1], "fixed", weight, guidance=1.0, steps=5)
    torch.testing.assert_close(made, (model.space.decode(truth) / 2 + 0.5).clamp(0, 1), atol=1e-3, rtol=0)


def test_who_is_dropped_hears_nobody() -> None:
    net = small_model().denoiser
    code = SpeechCode(torch.randn(2, 7, 16), torch.nn.functional.normalize(torch.randn(2, 24), dim=1))
    context = net.context(code, torch.tensor([True, False]))
    assert context.shape == (2, 8, 16)
    torch.testing.assert_close(context[0], net.nobody[0].expand(8, -1))
    torch.testing.assert_close(context[1], net.context(code)[1])


def test_every_step_is_told_with_a_preview() -> None:
    seen: list[tuple[int, int, tuple[int, ...]]] = []
    small_model().imagine(mel(), steps=3, callback=lambda k, n, picture: seen.append((k, n, tuple(picture.shape))))
    assert seen == [(k, 3, (1, 3, 32, 32)) for k in range(3)]


def test_parts_that_do_not_fit_are_refused(tmp_path) -> None:
    model = small_model()
    other = PortraitDenoiser(replace(PORTRAIT_SIZES, latent_size=8))
    with pytest.raises(InputError, match="latents"):
        PortraitModel(model.speech, model.space, other)
    with pytest.raises(InputError, match="hears"):
        PortraitModel(model.speech, model.space, PortraitDenoiser(replace(PORTRAIT_SIZES, tokens=32)))
    with pytest.raises(InputError, match="SAW reads"):
        replace(PORTRAIT_SIZES, identity=12)
    with pytest.raises(InputError, match="one for each"):
        model.portraits(model.hear(mel()[None]), [1, 2])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_checkpoint_makes_the_same_portraits(tmp_path, dtype: torch.dtype) -> None:
    stored = read_checkpoint(save_small_portrait(tmp_path / "small.safetensors"))
    parts = [build(stored, part, dtype=dtype) for part in (SPEECH_ENCODER, PORTRAIT_SPACE, PORTRAIT)]
    loaded, model = PortraitModel(*parts), small_model()
    assert loaded.denoiser.saw.enter.weight.dtype == torch.float32
    mine, theirs = (one.imagine(mel(), steps=3, guidance=1.0) for one in (model, loaded))
    assert theirs.dtype == torch.float32
    other = model.imagine(mel(), steps=3, guidance=1.0, seed=1)
    apart, far = (float((mine - one).abs().mean()) for one in (theirs, other))
    assert apart < (1e-5 if dtype == torch.float32 else 0.9 * far)


def test_sizes() -> None:
    assert sum(weight.numel() for weight in PortraitDenoiser().parameters()) < 3.6e6
    with torch.device("meta"):
        base = PortraitDenoiser(PortraitConfig.preset("base"))
    assert 200e6 < sum(weight.numel() for weight in base.parameters()) < 500e6
