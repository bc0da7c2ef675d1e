"""Whisper's encoder: thirty seconds of sound in, a vector for every 20 ms out.

Source: Robust Speech Recognition via Large-Scale Weak Supervision (Radford et al. 2022, section 2.2): two convolutions,
the second of stride 2, sinusoidal positions, pre-norm Transformer blocks and a last norm. It was trained on 680,000
hours of speech in many languages; its weights are MIT. The first two blocks are bundled (ear_tiny); all of them a user
brings (`models --fetch whisper-base`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..components import Component, table
from ..config import LARGEST, Config
from ..device import Operations
from ..errors import InputError

SYSTEM = "whisper"
"""The system's name in a converted file, which holds the encoder alone."""

MELS = 80
STEPS = 1500
"""Vectors of half a minute, the most that the encoder hears at once."""

LEAST_STEPS = 100
"""Of two seconds: less would be heard without what is around it."""


@dataclass(frozen=True)
class WhisperConfig(Config):
    """Sizes of the encoder; `preset` gives OpenAI's `tiny` to `medium`, `base` among them. steps: vectors of 20 ms that
    it hears at once; OpenAI's hear half a minute."""

    width: int = 512
    heads: int = 8
    blocks: int = 6
    steps: int = STEPS

    def __post_init__(self) -> None:
        self.check_range(4, LARGEST, "width")
        self.check_range(1, 1000, "heads", "blocks")
        self.check_range(LEAST_STEPS, STEPS, "steps")
        if self.width % self.heads or self.width % 2:
            raise InputError(f"a width of {self.width} is no even multiple of the {self.heads} heads")

    @classmethod
    def presets(cls) -> dict[str, WhisperConfig]:
        """ "tiny", "base", "small" and "medium"."""
        return {"tiny": cls(384, 6, 4), "base": cls(), "small": cls(768, 12, 12), "medium": cls(1024, 16, 24)}


def positions(width: int, steps: int = STEPS) -> Tensor:
    """Whisper's table [steps, width]: sines, then cosines, of wavelengths from 2 pi to 10,000 times that."""
    half = width // 2
    # In numpy: on the meta device torch would bring its compiler, a second of loading.
    frequencies = np.exp(np.arange(half, dtype=np.float32) * np.float32(-math.log(10000.0) / max(half - 1, 1)))
    angles = np.arange(steps, dtype=np.float32)[:, None] * frequencies
    return torch.from_numpy(np.concatenate([np.sin(angles), np.cos(angles)], 1))


class Attention(nn.Module):
    """Self-attention of all steps; keys have no bias."""

    def __init__(self, width: int, heads: int, operations: Operations = nn) -> None:
        super().__init__()
        self.heads = heads
        self.query = operations.Linear(width, width)
        self.key = operations.Linear(width, width, bias=False)
        self.value = operations.Linear(width, width)
        self.out = operations.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, width] -> [B, T, width]."""
        q, k, v = (
            rearrange(part(x), "b t (h d) -> b h t d", h=self.heads) for part in (self.query, self.key, self.value)
        )
        return self.out(rearrange(F.scaled_dot_product_attention(q, k, v), "b h t d -> b t (h d)"))


class Block(nn.Module):
    """x + attention, + feed-forward, each after a norm."""

    def __init__(self, width: int, heads: int, operations: Operations = nn) -> None:
        super().__init__()
        self.attention_norm = operations.LayerNorm(width)
        self.attention = Attention(width, heads, operations)
        self.norm = operations.LayerNorm(width)
        self.enter = operations.Linear(width, 4 * width)
        self.out = operations.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, width] -> [B, T, width]."""
        x = x + self.attention(self.attention_norm(x))
        return x + self.out(F.gelu(self.enter(self.norm(x))))


class WhisperEncoder(nn.Module):
    """Whisper's log-mel -> its last layer, normalised."""

    positions: Tensor

    def __init__(self, config: WhisperConfig | None = None, operations: Operations = nn) -> None:
        super().__init__()
        self.config = config = config or WhisperConfig()
        self.first = operations.Conv1d(MELS, config.width, 3, padding=1)
        self.second = operations.Conv1d(config.width, config.width, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList([Block(config.width, config.heads, operations) for _ in range(config.blocks)])
        self.norm = operations.LayerNorm(config.width)
        self.register_buffer("positions", positions(config.width, config.steps), persistent=False)

    def forward(self, mel: Tensor) -> Tensor:
        """Log-mel [B, 80, S], S up to twice `config.steps` of 10 ms, as `whisper_mel` makes it -> [B, S / 2, width]."""
        x = F.gelu(self.second(F.gelu(self.first(mel)))).transpose(1, 2)
        x = x + self.positions[: x.shape[1]].to(x)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)


def first_blocks(encoder: WhisperEncoder, blocks: int, steps: int | None = None) -> WhisperEncoder:
    """An encoder of the first `blocks` of another's blocks; the weights are shared. steps: what it hears at once, None:
    as much as the other. Few blocks look less far around, and cost a third as much in windows of ten seconds.

    Source: layers that are left out of a trained network (Fan et al. 2020; Distil-Whisper, Gandhi et al. 2023). Raises
    InputError for more blocks or steps than there are.
    """
    if not 1 <= blocks <= encoder.config.blocks:
        raise InputError(f"{blocks} blocks of a Whisper that has {encoder.config.blocks}; give 1 to as many.")
    steps = encoder.config.steps if steps is None else steps
    if steps > encoder.config.steps:
        raise InputError(f"{steps} steps at once of a Whisper that hears {encoder.config.steps}; give as many or less.")
    with torch.device("meta"):
        net = WhisperEncoder(replace(encoder.config, blocks=blocks, steps=steps))
    kept = {name: weight for name, weight in encoder.state_dict().items() if name in net.state_dict()}
    net.load_state_dict(kept, assign=True)
    net.positions = encoder.positions[:steps]
    return net.train(encoder.training)


WHISPER = Component("whisper", WhisperConfig, lambda config, layers: WhisperEncoder(config, layers), half=True)
COMPONENTS = table(WHISPER)
