"""The autoencoder with references: shapes, what is carried, what it refuses, its sizes."""

from dataclasses import replace

import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.faces.landmarks import INNER_LIP_PAIRS
from talkface_core.landmark_diffusion.autoencoder import AutoencoderConfig, ReferenceAutoencoder
from talkface_core.landmark_diffusion.latent_space import known_part
from tests.landmark_diffusion.small_painter import SPACE, small_painter


def inputs(seed: int = 0) -> dict[str, torch.Tensor]:
    drawn = torch.Generator().manual_seed(seed)
    return {
        "faces": torch.rand(2, 3, 32, 32, generator=drawn) * 2 - 1,
        "references": torch.rand(2, 2, 3, 32, 32, generator=drawn) * 2 - 1,
        "landmarks": torch.rand(2, 68, 2, generator=drawn),
        "theirs": torch.rand(2, 2, 68, 2, generator=drawn),
    }


def test_shapes_of_latents_and_pictures() -> None:
    net, given = small_painter().autoencoder, inputs()
    latents = net.encode(given["faces"])
    assert latents.shape == (2, 4, 8, 8)
    maps = net.reference(given["references"], given["theirs"])
    decoded = net.decode(latents, known_part(given["faces"]), given["landmarks"], maps)
    assert decoded.pictures.shape == decoded.carried.shape == (2, 3, 32, 32)
    assert decoded.paint.shape == (2, 1, 32, 32)
    assert ((decoded.paint > 0) & (decoded.paint < 1)).all()


def test_what_is_carried_is_made_of_the_references_alone() -> None:
    net, given = small_painter().autoencoder, inputs()
    grey = torch.full_like(given["references"], 0.25)
    made = net.decode(
        net.encode(given["faces"]), known_part(given["faces"]), given["landmarks"], net.reference(grey, given["theirs"])
    )
    torch.testing.assert_close(made.carried, torch.full_like(made.carried, 0.25))


def test_references_give_way_to_one_whose_lips_are_more_alike() -> None:
    plain, given = small_painter().autoencoder, inputs()
    firm = ReferenceAutoencoder(replace(plain.config, nearness=100.0))
    firm.load_state_dict(plain.state_dict())
    lower = [pair[1] for pair in INNER_LIP_PAIRS]
    pictures = torch.stack([torch.full((2, 3, 32, 32), -1.0), torch.full((2, 3, 32, 32), 1.0)], 1)

    def with_gap(gap: float) -> torch.Tensor:
        points = given["landmarks"].clone()
        points[:, 48:] = torch.tensor([0.5, 0.6])
        points[:, lower] += torch.tensor([0.0, 0.01 + gap])  # shut lips are read a little apart
        return points

    def carried(net: ReferenceAutoencoder, gap: float) -> torch.Tensor:
        maps = net.reference(pictures, torch.stack([with_gap(0.0), with_gap(0.06)], 1))
        return net.decode(torch.zeros(2, 4, 8, 8), known_part(given["faces"]), with_gap(gap), maps).carried

    shut, half, apart = (carried(firm, gap)[..., 18:21, 15:18] for gap in (0.0, 0.015, 0.08))
    assert shut.max() < -0.99
    assert half.min() > 0.99, "half open is nearer to open: a shut mouth that is drawn apart shows no mouth"
    assert apart.min() > 0.99
    assert carried(plain, 0.0)[..., 18:21, 15:18].min() > -0.9
    assert carried(plain, 0.08)[..., 18:21, 15:18].max() < 0.9
    # Cheeks go on as they were: they show no lips.
    torch.testing.assert_close(carried(firm, 0.0)[..., -4:, :4], carried(plain, 0.0)[..., -4:, :4], atol=0.02, rtol=0)


def test_settings_of_before_are_read() -> None:
    assert AutoencoderConfig.from_dict({**AutoencoderConfig().to_dict(), "sealing": 30.0}) == AutoencoderConfig()
    with pytest.raises(InputError, match="ceiling is unknown"):
        AutoencoderConfig.from_dict({"ceiling": 30.0})


def test_the_picture_answers_to_landmarks_and_the_encoder_not_to_references() -> None:
    net, given = small_painter(), inputs()
    auto = net.autoencoder.requires_grad_(True)
    where = given["landmarks"].requires_grad_()
    maps = auto.reference(given["references"], given["theirs"])
    auto.decode(torch.zeros(2, 4, 8, 8), known_part(given["faces"]), where, maps).pictures.square().sum().backward()
    assert where.grad is not None
    assert (where.grad.abs().sum(-1) > 0).all()
    assert auto.stem.weight.grad is None
    assert auto.keep_fine.weight.grad is not None


def test_known_part_is_the_upper_half() -> None:
    picture = torch.ones(1, 3, 8, 8)
    assert known_part(picture)[..., :4, :].min() == 1
    assert known_part(picture)[..., 4:, :].max() == 0


def test_normalised_latents() -> None:
    net = ReferenceAutoencoder(SPACE)
    net.mean.fill_(2.0)
    net.deviation.fill_(4.0)
    torch.testing.assert_close(net.normalised(torch.full((1, 4, 2, 2), 6.0)), torch.ones(1, 4, 2, 2))


def test_sizes() -> None:
    net = ReferenceAutoencoder(AutoencoderConfig.preset("tiny"))
    assert net.config.latent_size == 32
    assert 0.6e6 < sum(p.numel() for p in net.parameters()) < 0.7e6
    for odd in ({"size": 130}, {"channels": (8,)}, {"references": 0}):
        with pytest.raises(InputError):
            AutoencoderConfig.preset("tiny", **odd)
