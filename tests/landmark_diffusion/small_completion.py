"""A completion of random weights and a few kilobytes, and clips whose sound is their mouth, for tests."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from talkface_core.acoustic.model import COMPONENT, SYSTEM
from talkface_core.checkpoints import save_checkpoint
from talkface_core.faces.align import EYE_LEVEL, MARGIN
from talkface_core.faces.geometry import GENERIC_FACE
from talkface_core.landmark_diffusion.completion import CompletionConfig, LandmarkCompletion
from talkface_core.landmark_diffusion.training.completion_batches import LandmarkClip
from tests.acoustic.small_acoustic import small_acoustic

SMALL = CompletionConfig(audio=16, width=16, heads=2, blocks=2, ff=16, context=2, frames=20, references=5, dropout=0.0)


def save_small_acoustic(path: Path, **changes: int) -> Path:
    net = small_acoustic(**changes)
    save_checkpoint(path, SYSTEM, {COMPONENT: net}, {COMPONENT: net.config.to_dict()}, {})
    return path


def small_completion(seed: int = 0, config: CompletionConfig = SMALL) -> LandmarkCompletion:
    """One that moves mouths: its head is not zero."""
    torch.manual_seed(seed)
    net = LandmarkCompletion(config).eval()
    if not config.published:
        nn.init.normal_(net.net.head.weight, std=0.3)
    return net.requires_grad_(False)


def face(opening: Tensor, turn: Tensor | None = None) -> Tensor:
    """A generic face [T,68,2] in shares of the crop, its lower lip and jaw moved down by `opening` [T], its points by
    their depth to the side by `turn` [T]."""
    x, y, z = torch.tensor(GENERIC_FACE, dtype=torch.float32).T
    scale = MARGIN / 10.5
    points = torch.stack([0.5 + scale * x, EYE_LEVEL - scale * (y - 2.2)], -1).expand(len(opening), 68, 2).clone()
    lower = [*range(5, 12), *range(55, 60), 65, 66, 67]
    points[:, 65:68, 1] = points[:, [63, 62, 61], 1] + 0.002
    points[:, lower, 1] += opening[:, None]
    if turn is not None:
        points[..., 0] += scale * z * turn[:, None]
    return points


def clip(seed: int = 0, frames: int = 60) -> LandmarkClip:
    """Sound whose loudness is the mouth; the first quarter is silent."""
    rough = torch.rand(1, 1, frames // 5 + 2, generator=torch.Generator().manual_seed(seed))
    mouth = nn.functional.interpolate(rough, frames, mode="linear")[0, 0]
    mouth[: frames // 4] = 0.0
    steps = nn.functional.interpolate(mouth[None, None], frames * 16 // 5, mode="linear")[0, 0]
    return LandmarkClip(
        name=f"c{seed}",
        points=face(0.05 * mouth, 0.1 * torch.linspace(-1, 1, frames)),
        shut=mouth < 0.02,
        speech=(mouth > 0.02).numpy(),
        closures=np.array([frames // 8]),
        mels=(-3.5 + 5.0 * steps[:, None] * torch.linspace(1.0, 0.3, 80))[None].half(),
    )
