"""A painter of random weights and a few kilobytes, for tests."""

from pathlib import Path

import torch
from torch import nn

from talkface_core.checkpoints import save_checkpoint
from talkface_core.landmark_diffusion.autoencoder import AutoencoderConfig, ReferenceAutoencoder
from talkface_core.landmark_diffusion.completion import CompletionConfig, LandmarkCompletion
from talkface_core.landmark_diffusion.denoiser import DenoiserConfig, LandmarkDenoiser
from talkface_core.landmark_diffusion.landmarks import SYSTEM
from talkface_core.landmark_diffusion.painter import TalkFormerModel
from tests.acoustic.small_acoustic import small_acoustic

SPACE = AutoencoderConfig(size=32, channels=(8, 16), skip=(4, 4), blocks=1)
SMALL = DenoiserConfig(
    latent_size=8, channels=(8, 16), attention=(False, True), time_dim=16, heads=2, token_dim=16, blocks_up=1
)


def small_painter(seed: int = 0, config: DenoiserConfig = SMALL) -> TalkFormerModel:
    """One whose layers that begin with zeros are not zero."""
    torch.manual_seed(seed)
    model = TalkFormerModel(ReferenceAutoencoder(SPACE), LandmarkDenoiser(config)).eval()
    for weight in model.parameters():
        if weight.ndim > 1 and not weight.any():
            nn.init.normal_(weight, std=0.05)
    return model.requires_grad_(False)


def save_small_painter(path: Path, **more: nn.Module) -> Path:
    """Its checkpoint, with further components by name."""
    model = small_painter()
    parts = {"autoencoder": model.autoencoder, "talkformer": model.talkformer, **more}
    save_checkpoint(path, SYSTEM, parts, {name: part.config.to_dict() for name, part in parts.items()}, {})
    return path


def save_small_listener(path: Path) -> Path:
    """A completion and the acoustic model that it hears."""
    acoustic = small_acoustic()
    torch.manual_seed(0)
    config = CompletionConfig(
        audio=acoustic.config.width, width=16, heads=2, blocks=1, ff=16, context=2, frames=20, references=3, dropout=0.0
    )
    parts = {"completion": LandmarkCompletion(config), "acoustic": acoustic}
    save_checkpoint(path, SYSTEM, parts, {name: part.config.to_dict() for name, part in parts.items()}, {})
    return path
