"""Stable Diffusion's autoencoder: the public layout, files of it, and what is refused."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from talkface_core.checkpoints import CheckpointError
from talkface_core.errors import InputError
from talkface_core.landmark_diffusion.kl_autoencoder import (
    PREFIX,
    KLAutoencoder,
    KLConfig,
    is_kl_autoencoder,
    kl_space,
    read_kl_autoencoder,
)
from talkface_core.landmark_diffusion.vae_space import VaeSpace

TINY = KLConfig(channels=8)
PUBLIC = {
    "encoder.conv_in.weight": (128, 3, 3, 3),
    "encoder.down.0.block.1.conv2.bias": (128,),
    "encoder.down.1.block.0.nin_shortcut.weight": (256, 128, 1, 1),
    "encoder.down.2.downsample.conv.weight": (512, 512, 3, 3),
    "encoder.mid.attn_1.q.weight": (512, 512, 1, 1),
    "encoder.mid.block_2.norm1.weight": (512,),
    "encoder.conv_out.weight": (8, 512, 3, 3),
    "quant_conv.weight": (8, 8, 1, 1),
    "post_quant_conv.weight": (4, 4, 1, 1),
    "decoder.conv_in.weight": (512, 4, 3, 3),
    "decoder.mid.attn_1.proj_out.weight": (512, 512, 1, 1),
    "decoder.up.0.block.0.nin_shortcut.weight": (128, 256, 1, 1),
    "decoder.up.1.block.0.conv1.weight": (256, 512, 3, 3),
    "decoder.up.3.upsample.conv.weight": (512, 512, 3, 3),
    "decoder.up.0.block.2.conv1.weight": (128, 128, 3, 3),
    "decoder.norm_out.weight": (128,),
    "decoder.conv_out.weight": (3, 128, 3, 3),
}
"""A few of the public files' keys and shapes."""


def tiny(seed: int = 0) -> KLAutoencoder:
    """One of random weights that keeps its input's size about."""
    torch.manual_seed(seed)
    return KLAutoencoder(TINY).eval()


def saved(path: Path, prefix: str = "", **changes: torch.Tensor | None) -> Path:
    state = {prefix + key: value for key, value in tiny().state_dict().items()}
    state |= {key.replace("__", "."): value for key, value in changes.items()}
    save_file({key: value for key, value in state.items() if value is not None}, path)
    return path


def test_the_public_layout() -> None:
    with torch.device("meta"):
        net = KLAutoencoder()
    state = net.state_dict()
    assert len(state) == 248
    assert sum(value.numel() for value in state.values()) == 83_653_863
    assert {key: tuple(state[key].shape) for key in PUBLIC} == PUBLIC
    assert not {"encoder.down.3.downsample.conv.weight", "decoder.up.0.upsample.conv.weight"} & state.keys()


@pytest.mark.parametrize("prefix", ["", PREFIX])
def test_a_file_comes_back(tmp_path: Path, prefix: str) -> None:
    more = {"model__diffusion": torch.ones(2)} if prefix else {"loss__logvar": torch.ones(())}
    path = saved(tmp_path / "vae.safetensors", prefix, **more)
    assert is_kl_autoencoder(path)
    net = read_kl_autoencoder(path, TINY)
    pixels = torch.rand(3, 32, 32, 3)
    torch.testing.assert_close(net.encode(pixels), tiny().encode(pixels))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"quant_conv__bias": None}, "found no 'quant_conv.bias' among 247 weights"),
        ({"encoder__more": torch.ones(2)}, "found also 'encoder.more'"),
        ({"quant_conv__bias": torch.ones(4)}, r"quant_conv.bias of shape \[4\], not \[8\]"),
        ({"quant_conv__bias": torch.full((8,), torch.nan)}, "NaN or infinite weights in quant_conv.bias"),
        ({"decoder__up_blocks__0__weight": torch.ones(2)}, "layout of diffusers"),
    ],
)
def test_others_are_refused(tmp_path: Path, changes: dict, told: str) -> None:
    with pytest.raises(CheckpointError, match=told) as caught:
        read_kl_autoencoder(saved(tmp_path / "vae.safetensors", **changes), TINY)
    assert "\n" not in str(caught.value)
    assert "vae-ft-mse" in str(caught.value)


def test_files_of_another_kind_are_refused(tmp_path: Path) -> None:
    save_file({"weight": torch.ones(2)}, tmp_path / "other.safetensors")
    torch.save(tiny().state_dict(), tmp_path / "vae.ckpt")
    assert not is_kl_autoencoder(tmp_path / "other.safetensors")
    for name, told in (("other.safetensors", "found no"), ("vae.ckpt", "pickled"), ("none.safetensors", "no such")):
        with pytest.raises(CheckpointError, match=told):
            read_kl_autoencoder(tmp_path / name, TINY)


def test_its_space() -> None:
    space = kl_space(tiny(), size=64)
    assert (space.size, space.latent_size, space.latent_channels, space.references) == (64, 8, 4, 2)
    pictures = torch.rand(9, 3, 64, 64) * 2 - 1
    latents = space.encode(pictures)
    assert latents.shape == (9, 4, 8, 8)
    maps, shown = space.reference_latents(pictures[:4].unflatten(0, (2, 2)), torch.rand(2, 2, 68, 2))
    torch.testing.assert_close(shown.flatten(0, 1), latents[:4])
    asked = latents.clone().requires_grad_()
    decoded = space.decode(asked, pictures, torch.rand(9, 68, 2), maps)
    assert decoded.pictures.shape == pictures.shape
    assert decoded.carried is decoded.pictures
    assert (decoded.paint == 1).all()
    decoded.pictures.sum().backward()
    assert asked.grad is not None
    assert asked.grad.abs().min() > 0
    assert not any(weight.requires_grad for weight in space.parameters())


def test_pixels_and_scale_are_the_hosts() -> None:
    """Two functions as a host has them: 0..1 with the colours last, latents as its VAE makes them."""
    asked = []

    def encode(pixels: torch.Tensor) -> torch.Tensor:
        asked.append(pixels)
        return pixels[:, ::8, ::8, :1].permute(0, 3, 1, 2).expand(-1, 4, -1, -1)

    def decode(latents: torch.Tensor) -> torch.Tensor:
        return latents[:, :1].repeat_interleave(8, 2).repeat_interleave(8, 3).permute(0, 2, 3, 1).expand(-1, -1, -1, 3)

    space = VaeSpace(encode, decode, size=32)
    assert not list(space.parameters())
    assert space.values == 0
    pictures = torch.rand(2, 3, 32, 32) * 2 - 1
    latents = space.encode(pictures.bfloat16())
    assert asked[0].dtype == torch.float32
    assert asked[0].shape == (2, 32, 32, 3)
    assert 0 <= asked[0].min() <= asked[0].max() <= 1
    assert latents.dtype == torch.bfloat16
    latents = space.encode(pictures)
    torch.testing.assert_close(latents[:, 0], 0.18215 * (pictures[:, 0, ::8, ::8] / 2 + 0.5))
    maps, _ = space.reference_latents(pictures[:, None], torch.rand(2, 1, 68, 2))
    decoded = space.decode(latents, pictures, torch.rand(2, 68, 2), maps).pictures
    torch.testing.assert_close(decoded[:, :, ::8, ::8], pictures[:, :1, ::8, ::8].expand(-1, 3, -1, -1))


def test_another_vae_is_refused() -> None:
    space = VaeSpace(lambda pixels: torch.zeros(len(pixels), 16, 4, 4), lambda latents: latents, size=32)
    with pytest.raises(InputError, match="Stable Diffusion 1's"):
        space.encode(torch.zeros(1, 3, 32, 32))
    with pytest.raises(InputError, match="multiple of 16"):
        VaeSpace(lambda pixels: pixels, lambda latents: latents, size=40)
