"""The painter: the upper half stays, batches do not matter, guidance, references are picked, wrong shapes."""

import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.landmark_diffusion.autoencoder import AutoencoderConfig, ReferenceAutoencoder
from talkface_core.landmark_diffusion.denoiser import LandmarkDenoiser
from talkface_core.landmark_diffusion.painter import Sampling, TalkFormerModel
from tests.landmark_diffusion.small_painter import SMALL, small_painter


@pytest.fixture
def scene() -> dict[str, torch.Tensor]:
    drawn = torch.Generator().manual_seed(3)
    return {
        "faces": torch.rand(3, 3, 32, 32, generator=drawn),
        "landmarks": torch.rand(3, 68, 2, generator=drawn),
        "pictures": torch.rand(4, 3, 32, 32, generator=drawn),
        "theirs": torch.rand(4, 68, 2, generator=drawn),
        "index": torch.tensor([[0, 1], [2, 3], [3, 0]]),
    }


def painted(model: TalkFormerModel, scene: dict, rows: slice = slice(None), **more) -> torch.Tensor:
    references = model.encode_references(scene["pictures"], scene["theirs"]).at(scene["index"][rows])
    return model.paint(scene["faces"][rows], scene["landmarks"][rows], references, **more)[:, :3]


def test_the_upper_half_is_the_frames_own(scene: dict) -> None:
    made = painted(small_painter(), scene)
    assert torch.equal(made[:, :, :16], scene["faces"][:, :, :16])
    assert not torch.equal(made[:, :, 20:], scene["faces"][:, :, 20:])
    assert 0 <= made.min() <= made.max() <= 1


def test_a_frame_is_the_same_in_any_batch(scene: dict) -> None:
    model = small_painter()
    together = painted(model, scene)
    torch.testing.assert_close(together[1:2], painted(model, scene, slice(1, 2)), atol=2e-5, rtol=0)


def test_seeds_steps_and_samplers_matter(scene: dict) -> None:
    model = small_painter()
    plain = painted(model, scene)
    assert torch.equal(plain, painted(model, scene, sampling=Sampling()))
    for sampling in (Sampling(seed=1), Sampling(steps=2), Sampling(sampler="ddim", steps=9)):
        assert not torch.equal(plain, painted(model, scene, sampling=sampling))


def test_guidance_is_away_from_the_mouth_at_rest(scene: dict) -> None:
    model = small_painter()
    rest = scene["landmarks"] + 0.05
    plain = painted(model, scene)
    resting = painted(model, {**scene, "landmarks": rest})
    guided = painted(model, scene, sampling=Sampling(guidance=0.0), rest=rest)
    # The decoder is still told the landmarks themselves.
    assert (guided - resting).abs().mean() < (plain - resting).abs().mean() + 0.05
    torch.testing.assert_close(painted(model, scene, sampling=Sampling(guidance=1.0), rest=rest), plain)
    with pytest.raises(InputError, match="rest"):
        painted(model, scene, sampling=Sampling(guidance=2.0))


def test_steps_are_told_of(scene: dict) -> None:
    seen = []
    painted(small_painter(), scene, callback=lambda step, total, x0: seen.append((step, total, tuple(x0.shape))))
    assert seen == [(n, 4, (3, 4, 8, 8)) for n in range(4)]


def test_what_does_not_fit_is_refused(scene: dict) -> None:
    model = small_painter()
    with pytest.raises(InputError, match="faces of 16 px"):
        painted(model, {**scene, "faces": torch.rand(3, 3, 16, 16)})
    with pytest.raises(InputError, match="landmarks of shape"):
        painted(model, {**scene, "landmarks": torch.rand(3, 5, 2)})
    for wrong in ({"steps": 0}, {"sampler": "euler"}, {"guidance": -1.0}):
        with pytest.raises(InputError):
            Sampling(**wrong)
    with pytest.raises(InputError, match="latents"):
        TalkFormerModel(ReferenceAutoencoder(AutoencoderConfig(size=64)), LandmarkDenoiser(SMALL))


def test_larger_pictures_keep_their_detail_and_look_the_same(scene: dict) -> None:
    model = small_painter()
    small = painted(model, scene)
    large = {name: scene[name].repeat_interleave(2, -1).repeat_interleave(2, -2) for name in ("faces", "pictures")}
    made = painted(model, {**scene, **large})
    assert made.shape == (3, 3, 64, 64)
    assert torch.equal(made[:, :, :32], large["faces"][:, :, :32])
    shrunk = torch.nn.functional.avg_pool2d(made, 2)
    assert (shrunk - small).abs().mean() < 0.03


def test_the_share_of_paint_is_told(scene: dict) -> None:
    model = small_painter()
    references = model.encode_references(scene["pictures"], scene["theirs"]).at(scene["index"])
    share = model.paint(scene["faces"], scene["landmarks"], references)[:, 3]
    assert share[:, :16].max() == 0
    assert 0 < share[:, 20:].min() < share[:, 20:].max() < 1
