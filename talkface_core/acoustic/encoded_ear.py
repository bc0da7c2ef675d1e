"""A better ear for the same networks: a speech encoder's steps -> the features that the acoustic model has.

Source: ours, of Conformer blocks (Gulati et al. 2020) over Whisper's encoder (Radford et al. 2022), which heard 680,000
hours. The acoustic model heard a few; of voices that are new to it, it is told a little by what Whisper's layers
say. As the features are the acoustic model's own, whatever hears those hears by this ear as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..components import Component, table
from ..config import LARGEST, Config
from ..device import Operations
from ..errors import InputError
from ..sequences import StreamBuffer
from ..speech.conformer import Conformer
from .model import AcousticModel

SYSTEM = "whisper_ear"
BUNDLED = "whisper_ear"
BLOCK = 128
"""Frames that are computed together, at least."""

_SPACE = 16  # letters of a hash


@dataclass(frozen=True)
class EarConfig(Config):
    """Sizes of an `EncodedEar`. dim: values of an encoder's step; steps: those of a frame; features: what the acoustic
    model gives for a frame; spaces: of which acoustic models these are, see `feature_space`; context: frames to either
    side that attention sees."""

    dim: int = 512
    steps: int = 2
    features: int = 160
    spaces: tuple[str, ...] = ()
    width: int = 96
    heads: int = 4
    ff: int = 192
    blocks: int = 1
    kernel: int = 13
    max_distance: int = 50
    context: int = 12
    dropout: float = 0.1
    entry_dropout: float = 0.2

    def __post_init__(self) -> None:
        self.check_range(1, LARGEST, "dim", "features", "width", "ff", "max_distance")
        self.check_range(1, 1000, "heads", "blocks", "kernel", "steps")
        self.check_range(1, 200, "context")
        self.check_range(0, 1, "dropout", "entry_dropout")
        if self.width % (2 * self.heads):
            raise InputError(f"a width of {self.width} is no multiple of twice the {self.heads} heads")
        if not self.kernel % 2:
            raise InputError(f"a kernel of {self.kernel} frames has no middle; give an odd number")

    @property
    def reach(self) -> int:
        """Frames to either side that a frame's features depend on."""
        return self.blocks * (self.context + self.kernel // 2)


class EncodedEar(nn.Module):
    """Steps of an encoder, joined to frames -> acoustic features.

    Buffers hold mean and deviation of both in training.
    """

    mean: Tensor
    std: Tensor
    feature_mean: Tensor
    feature_std: Tensor

    def __init__(self, config: EarConfig | None = None, operations: Operations = nn) -> None:
        super().__init__()
        self.config = config = config or EarConfig()
        self.enter = operations.Linear(config.steps * config.dim, config.width)
        self.dropout = nn.Dropout(config.entry_dropout)
        self.encoder = Conformer(
            config.blocks,
            config.width,
            config.heads,
            config.ff,
            kernel=config.kernel,
            max_distance=config.max_distance,
            context=config.context,
            dropout=config.dropout,
            pre_norm=True,
            operations=operations,
        )
        self.out = operations.Linear(config.width, config.features)
        for name, size in (("", config.steps * config.dim), ("feature_", config.features)):
            self.register_buffer(f"{name}mean", torch.zeros(size))
            self.register_buffer(f"{name}std", torch.ones(size))

    def forward(self, frames: Tensor) -> Tensor:
        """Frames [B,T,steps * dim], as `joined` makes them -> features [B,T,features]."""
        return self.normalised((frames - self.mean) / self.std) * self.feature_std + self.feature_mean

    def normalised(self, frames: Tensor) -> Tensor:
        """The same of zero mean and unit deviation, in and out."""
        return self.out(self.encoder(self.dropout(self.enter(frames))))


def joined(steps: Tensor, per_frame: int) -> Tensor:
    """Steps [S,dim] -> frames [ceil(S / per_frame), per_frame * dim]; what the last one lacks is zero."""
    return rearrange(F.pad(steps, (0, 0, 0, -len(steps) % per_frame)), "(t s) d -> t (s d)", s=per_frame)


@torch.no_grad()
def stream_ear(ear: EncodedEar, steps: Iterable[Tensor]) -> Iterator[Tensor]:
    """Features [t,F] at the ear's rate, float32 on the CPU, as steps come in blocks [s,dim]: what the whole would give.

    Each block is computed with the frames on both sides that it depends on.
    """
    buffer, per_frame, reach = StreamBuffer(steps), ear.config.steps, ear.config.reach
    done = 0
    while True:
        first, stop = max(done - reach, 0), done + BLOCK
        rows, begin = buffer.read(first * per_frame, (stop + reach) * per_frame)
        if rows is None:
            return
        frames = joined(rows[max(first * per_frame - begin, 0) :], per_frame)
        if first + len(frames) <= done:
            return
        made = ear(frames[None].to(ear.mean))[0]
        yield made[done - first : stop - first].float().cpu()
        if first + len(frames) < stop + reach:
            if first + len(frames) > stop:  # the end is known, and computed
                yield made[stop - first :].float().cpu()
            return
        done = stop


def feature_space(acoustic: AcousticModel) -> str:
    """A word for what an acoustic model's features mean: a hash of the layers that read visemes and mouths of them."""
    digest = hashlib.sha256()
    for layer in (acoustic.viseme, acoustic.mouth):
        for weight in (layer.weight, layer.bias):
            digest.update(weight.detach().to("cpu", torch.float16).contiguous().numpy().tobytes())
    return digest.hexdigest()[:_SPACE]


def heard_settings(acoustic: AcousticModel | None) -> dict[str, Any] | None:
    """An acoustic model among the settings of a run that hears it, so that going on with another one is noticed."""
    return None if acoustic is None else {**acoustic.config.to_dict(), "space": feature_space(acoustic)}


EAR = Component("ear", EarConfig, lambda config, layers: EncodedEar(config, layers))
COMPONENTS = table(EAR)
