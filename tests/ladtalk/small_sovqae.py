"""SOVQAEs of a few thousand weights for the tests, and pictures that have something to code."""

import numpy as np
import torch
from torch import nn

from talkface_core.ladtalk.sovqae import SOVQAE, SOVQAEConfig
from talkface_core.quantisation.quantiser import CodebookConfig

SMALL = SOVQAEConfig(
    image_size=32,
    patch=2,
    channels=(8, 16),
    blocks=1,
    attention=(False, False),
    middle=False,
    norm=False,
    bypass=12,
    unseen=4,
    codebook=CodebookConfig(codes=16, dim=4, sphere=True, whiten=True),
)
"""As `tiny`: a by-pass, no normalisation, encodings on the sphere."""

PLAIN = SOVQAEConfig(
    image_size=32,
    patch=1,
    channels=(8, 8, 16),
    blocks=1,
    attention=(False, False, True),
    codebook=CodebookConfig(codes=16, dim=4),
)
"""As `base`: attention, group normalisation, the plain codebook."""


def sovqae(config: SOVQAEConfig = SMALL, seed: int = 0) -> SOVQAE:
    """Fresh weights, but for those that start at zero and would hide the rest; codes as of one batch."""
    torch.manual_seed(seed)
    net = SOVQAE(config)
    for parameter in net.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.05)
    net(torch.from_numpy(pictures(8, config.image_size, seed)).permute(0, 3, 1, 2).float() / 127.5 - 1)
    return net.eval()


def pictures(count: int, size: int, seed: int = 0) -> np.ndarray:
    """Stripes and spots, uint8 [count, size, size, 3]: different from picture to picture and sharp."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size
    frames = []
    for _ in range(count):
        waves = [np.sin(2 * np.pi * (rng.uniform(1, size / 3) * x + rng.uniform(1, size / 3) * y + rng.random()))]
        waves += [np.sin(2 * np.pi * (rng.uniform(0, 3) * x + rng.uniform(0, 3) * y)) for _ in range(3)]
        frames.append(np.stack([0.5 * waves[0] + waves[n] for n in (1, 2, 3)], -1))
    return ((np.stack(frames) + 1.5) * 85).clip(0, 255).astype(np.uint8)


def frames(count: int, size: int = 32, seed: int = 0, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """`pictures` as a net sees them: [count, 3, size, size] in -1..1."""
    return torch.from_numpy(pictures(count, size, seed)).permute(0, 3, 1, 2).to(dtype) / 127.5 - 1
