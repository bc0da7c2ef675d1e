"""The host's VAE as the space of landmark diffusion: the layout is the host's own, and so are loading and freeing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from talkface_core.landmark_diffusion.denoiser import LandmarkDenoiser
from talkface_core.landmark_diffusion.kl_autoencoder import KLAutoencoder, KLConfig, kl_space
from tests.landmark_diffusion.small_landmark_diffusion import save_small_landmark_diffusion, stirred
from tests.landmark_diffusion.small_painter import SMALL

from .inside import run_inside
from .server import Host

SCRIPT = """
import logging
from types import SimpleNamespace
import comfy.sd
logging.getLogger().setLevel(logging.INFO)
from comfy.ldm.models.autoencoder import AutoencoderKL
core = of_pack("talkface_core.landmark_diffusion.kl_autoencoder")
host, loaders = of_pack("nodes.host"), of_pack("nodes.loaders")

def settings(channels):
    own = dict(double_z=True, z_channels=4, resolution=256, in_channels=3, out_ch=3, ch=channels, ch_mult=[1, 2, 4, 4],
               num_res_blocks=2, attn_resolutions=[], dropout=0.0)
    return dict(ddconfig=own, embed_dim=4)

with torch.device("meta"):
    theirs, ours = AutoencoderKL(**settings(128)).state_dict(), core.KLAutoencoder().state_dict()
shapes = [{key: list(value.shape) for key, value in state.items()} for state in (theirs, ours)]

torch.manual_seed(0)
net = core.KLAutoencoder(core.KLConfig(channels=32)).eval()
vae = comfy.sd.VAE(sd={key: value.clone() for key, value in net.state_dict().items()},
                   config={"params": settings(32)}, dtype=torch.float32)
drawn = torch.Generator().manual_seed(1)
faces, points = torch.rand(2, 3, 256, 256, generator=drawn), torch.rand(2, 68, 2, generator=drawn)
pixels = faces.movedim(1, -1)
latents = vae.encode(pixels)
away = [(latents - net.encode(pixels)).abs().max(), (vae.decode(latents) - net.decode(latents).clamp(0, 1)).abs().max()]

def refusal(*given):
    try:
        loaders.LoadLandmarkDiffusion.execute(*given)
    except Exception as error:
        return str(error)

told = refusal("base.safetensors", "float32")
other = SimpleNamespace(latent_channels=16, downscale_ratio=8)  # Flux has such a one
other_told = refusal("base.safetensors", "float32", other)
_, own = loaders.LoadLandmarkDiffusion.execute("own.safetensors", "float32", vae).result

asked, load = [], mm.load_models_gpu
def noted(models, *args, **named):
    asked.append([type(host.Component(one, "", None, {}).network).__name__ for one in models])
    return load(models, *args, **named)
mm.load_models_gpu = noted

_, painter = loaders.LoadLandmarkDiffusion.execute("base.safetensors", "float32", vae).result
network = host.load(painter)
def paint(model):
    references = model.encode_references(faces, points).at(torch.tensor([[0, 1], [1, 0]]))
    return model.paint(faces, points, references)[:, :3]
painted = paint(network)
together, after = asked[0], asked[1:]
model = of_pack("talkface_core.landmark_diffusion.painter").TalkFormerModel(core.kl_space(net), network.talkformer)
report({
    "shapes": shapes, "away": [float(one) for one in away], "told": told, "other told": other_told,
    "own": type(own.network.autoencoder).__name__, "own vae": own.vae is not None,
    "size": network.size, "weights": [name.split(".")[0] for name in network.state_dict()],
    "painted": float((painted - paint(model)).abs().max()), "changed": float((painted - faces).abs().max()),
    "together": sorted(together), "after": after,
})
"""


@pytest.fixture(scope="module")
def found(host: Host, pack: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What was seen with a small VAE of random weights in the host's own class."""
    base = tmp_path_factory.mktemp("vae")
    models = base / "models" / "talkface"
    models.mkdir(parents=True)
    torch.manual_seed(0)
    space = kl_space(KLAutoencoder(KLConfig(channels=8)))
    denoiser = stirred(LandmarkDenoiser(SMALL.within(space)))
    save_small_landmark_diffusion(models / "base.safetensors", "autoencoder", talkformer=denoiser)
    save_small_landmark_diffusion(models / "own.safetensors")
    return run_inside(host, pack, base, SCRIPT)


def test_the_layout_is_the_hosts_own(found: dict[str, Any]) -> None:
    theirs, ours = found["shapes"]
    assert ours == theirs
    assert max(found["away"]) < 1e-4


def test_a_checkpoint_without_an_autoencoder_paints_with_it(found: dict[str, Any]) -> None:
    assert found["size"] == 256
    assert set(found["weights"]) == {"talkformer"}
    assert found["painted"] < 1e-3 < found["changed"]


def test_the_host_loads_it_and_brings_back_what_it_put_away(found: dict[str, Any]) -> None:
    assert found["together"] == ["AutoencoderKL", "TalkFormerModel"]
    # Each time that it is asked it is loaded, and after it the painter.
    pairs = list(zip(found["after"][::2], found["after"][1::2], strict=True))
    assert len(pairs) >= 3
    assert all(pair == (["AutoencoderKL"], ["TalkFormerModel"]) for pair in pairs)


def test_what_does_not_fit_is_told(found: dict[str, Any]) -> None:
    assert "connect a VAE" in found["told"]
    assert "of 16 channels" in found["other told"]
    assert (found["own"], found["own vae"]) == ("ReferenceAutoencoder", False)
    assert "own has an autoencoder of its own: vae is not used" in found["log"]
