"""A landmark diffusion of random weights and a few kilobytes, for tests of the plumbing: its mouths are noise."""

from pathlib import Path

import torch
from torch import nn

from talkface_core.checkpoints import save_checkpoint
from talkface_core.landmark_diffusion.autoencoder import AutoencoderConfig, ReferenceAutoencoder
from talkface_core.landmark_diffusion.completion_stream import CompletionModel
from talkface_core.landmark_diffusion.denoiser import DenoiserConfig, LandmarkDenoiser
from talkface_core.landmark_diffusion.model import SYSTEM
from talkface_core.landmark_diffusion.painter import TalkFormerModel
from tests.acoustic.small_acoustic import small_acoustic
from tests.ladtalk.small_ladtalk import small_gate
from tests.landmark_diffusion.small_completion import small_completion

AUTOENCODER = AutoencoderConfig(size=32, channels=(8, 8), skip=(8, 8), blocks=1)
DENOISER = DenoiserConfig(
    latent_size=8,
    channels=(8, 8),
    attention=(False, True),
    blocks_up=1,
    time_dim=16,
    heads=2,
    token_dim=8,
)


def small_autoencoder(config: AutoencoderConfig = AUTOENCODER) -> ReferenceAutoencoder:
    """One that paints: nothing of it is zero."""
    torch.manual_seed(0)
    return stirred(ReferenceAutoencoder(config)).eval()


def small_denoiser(config: DenoiserConfig = DENOISER) -> LandmarkDenoiser:
    torch.manual_seed(1)
    return stirred(LandmarkDenoiser(config)).eval()


def stirred(net: nn.Module) -> nn.Module:
    """The same where layers that begin as zero do something, so that what is asked for shows."""
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)) and not module.weight.any():
            nn.init.normal_(module.weight, std=0.3)
    return net


def small_painter() -> TalkFormerModel:
    return TalkFormerModel(small_autoencoder(), small_denoiser()).eval().requires_grad_(False)


def small_completions() -> CompletionModel:
    return CompletionModel(small_completion(), small_acoustic()).eval()


def save_small_landmark_diffusion(path: Path, *without: str, **instead: nn.Module) -> Path:
    """Write the checkpoint of a whole small system, `without` some of its components or with others `instead`."""
    modules = {
        "autoencoder": small_autoencoder(),
        "talkformer": small_denoiser(),
        "completion": small_completion(),
        "acoustic": small_acoustic(),
        "gate": small_gate(),
        **instead,
    }
    components = {name: module for name, module in modules.items() if name not in without}
    configs = {name: module.config.to_dict() for name, module in components.items()}
    save_checkpoint(path, SYSTEM, components, configs, {"data": "none", "licence": "Apache-2.0"})
    return path
