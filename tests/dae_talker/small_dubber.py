"""An inpainting DAE-Talker of random weights and a few kilobytes, for tests of the plumbing: its mouths are noise."""

from dataclasses import replace
from pathlib import Path

import torch

from talkface_core.checkpoints import save_checkpoint
from talkface_core.dae_talker.autoencoder import AutoencoderConfig, DiffusionAutoencoder, SamplingConfig
from talkface_core.dae_talker.model import SYSTEM
from talkface_core.dae_talker.speech2lips import Speech2Lips, Speech2LipsConfig
from talkface_core.diffusion.unet import EncoderConfig, UNetConfig

LATENT, SIZE, LAYERS, FEATURES = 16, 32, 3, 8
AUTOENCODER = AutoencoderConfig(
    unet=UNetConfig(
        SIZE,
        in_channels=3,
        out_channels=3,
        channels=(32, 32),
        attention=(False, False),
        blocks_down=1,
        blocks_up=1,
        time_dim=LATENT,
        time_frequencies=8,
        cond_dim=LATENT,
        spatial_channels=3,
    ),
    encoder=EncoderConfig(SIZE, 3, LATENT, channels=(32, 32), attention=(False, False), blocks=1),
    sampling=SamplingConfig("ddim", 2, "leading"),
)
SPEECH = Speech2LipsConfig(
    latent_dim=LATENT,
    features=FEATURES,
    layers=LAYERS,
    look_heads=2,
    ff=8,
    reference_blocks=1,
    encoder_blocks=1,
    decoder_blocks=1,
    kernel=3,
)


def small_autoencoder() -> DiffusionAutoencoder:
    """One that paints: nothing of it is zero."""
    torch.manual_seed(0)
    net = DiffusionAutoencoder(AUTOENCODER)
    for module in net.modules():
        if isinstance(module, (torch.nn.Conv2d, torch.nn.Linear)) and not module.weight.any():
            torch.nn.init.normal_(module.weight, std=0.1)
    return net.eval().requires_grad_(False)


def small_speech(**sizes: int) -> Speech2Lips:
    torch.manual_seed(1)
    return Speech2Lips(replace(SPEECH, **sizes)).eval().requires_grad_(False)


def save_small_dubber(path: Path, **sizes: int) -> Path:
    """Write the checkpoint of a whole small one, its speech side of other `sizes`."""
    components = {"autoencoder": small_autoencoder(), "speech2lips": small_speech(**sizes)}
    configs = {name: module.config.to_dict() for name, module in components.items()}
    save_checkpoint(path, SYSTEM, components, configs, {"data": "none", "licence": "Apache-2.0"})
    return path
