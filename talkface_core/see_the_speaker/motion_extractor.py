"""The motion encoder: what a picture of a face tells of its person's shape, and of how it stands and looks right now.

Source: See the Speaker's motion encoder; LivePortrait's motion extractor (Guo et al. 2024, section 3.1): ConvNeXt V2
(Woo et al. 2023) with a linear head for each part of motion.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..config import LARGEST, Config
from ..device import Operations
from ..errors import InputError

_STEP, _FIRST = 3.0, -97.5  # degrees: width of a bin of angles, and where the first of 66 lies
_WIDEST = 30.0  # degrees that 1 stands for where angles are not in bins
_EPS = 1e-6


@dataclass(frozen=True)
class MotionExtractorConfig(Config):
    """channels and blocks of the four stages; bins: of each angle, 0: it is a number; layout: channels at each place of
    the last maps that the heads read, 0: they read the maps' mean, which knows no places."""

    channels: tuple[int, ...] = (96, 192, 384, 768)
    blocks: tuple[int, ...] = (3, 3, 9, 3)
    bins: int = 66
    layout: int = 0

    def __post_init__(self) -> None:
        self.check_range(1, LARGEST, "channels")
        self.check_range(0, 64, "blocks")
        self.check_range(0, 512, "bins", "layout")
        if len(self.channels) != 4 or len(self.blocks) != 4:
            raise InputError(f"channels {self.channels} and blocks {self.blocks}: there are four stages")


@dataclass(frozen=True)
class Seen:
    """What was seen in B pictures: canonical keypoints [B,K,3] of the person, and the motion: expression [B,K,3],
    rotation [B,3] (yaw, pitch, roll in degrees), translation [B,3], scale [B,1]."""

    canonical: Tensor
    expression: Tensor
    rotation: Tensor
    translation: Tensor
    scale: Tensor


class MotionExtractor(nn.Module):
    """Pictures [B,3,S,S] in 0..1 -> `Seen`."""

    def __init__(self, config: MotionExtractorConfig, keypoints: int, size: int, operations: Operations = nn) -> None:
        super().__init__()
        self.config, self.keypoints, ops = config, keypoints, operations
        widths = config.channels
        stem = nn.Sequential(ops.Conv2d(3, widths[0], 4, 4), MapNorm(widths[0]))
        self.down = nn.ModuleList([stem])
        for narrow, wide in itertools.pairwise(widths):
            self.down.append(nn.Sequential(MapNorm(narrow), ops.Conv2d(narrow, wide, 2, 2)))
        self.stages = nn.ModuleList(
            nn.Sequential(*(ConvNeXtBlock(width, ops) for _ in range(count)))
            for width, count in zip(widths, config.blocks, strict=True)
        )
        values = widths[-1] if not config.layout else config.layout * (size // 32) ** 2
        self.layout = ops.Conv2d(widths[-1], config.layout, 1) if config.layout else None
        self.norm = ops.LayerNorm(values, eps=_EPS)
        self.canonical = ops.Linear(values, 3 * keypoints)
        self.expression = ops.Linear(values, 3 * keypoints)
        self.scale, self.translation = ops.Linear(values, 1), ops.Linear(values, 3)
        self.yaw, self.pitch, self.roll = (ops.Linear(values, config.bins or 1) for _ in range(3))

    def forward(self, pictures: Tensor) -> Seen:
        x = pictures
        for down, stage in zip(self.down, self.stages, strict=True):
            x = stage(down(x))
        x = self.norm(x.mean((2, 3)) if self.layout is None else self.layout(x).flatten(1))
        # HeadPose's yaw and roll count the other way round than the public network's.
        angles = (-self._angle(self.yaw(x)), self._angle(self.pitch(x)), -self._angle(self.roll(x)))
        points = (-1, self.keypoints, 3)
        return Seen(
            self.canonical(x).reshape(points),
            self.expression(x).reshape(points),
            torch.cat(angles, 1),
            self.translation(x),
            self.scale(x),
        )

    def _angle(self, values: Tensor) -> Tensor:
        """Degrees [B,1]: the mean of the bins as likely as they are."""
        if not self.config.bins:
            return _WIDEST * values
        places = torch.arange(self.config.bins, device=values.device, dtype=values.dtype)
        return (values.softmax(1) * places).sum(1, keepdim=True) * _STEP + _FIRST


class ConvNeXtBlock(nn.Module):
    """A block of ConvNeXt V2 on maps [B,C,H,W]: depthwise 7 x 7, LayerNorm, two linear layers, response norm."""

    def __init__(self, channels: int, operations: Operations = nn) -> None:
        super().__init__()
        self.depthwise = operations.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = operations.LayerNorm(channels, eps=_EPS)
        self.wider = operations.Linear(channels, 4 * channels)
        self.response = ResponseNorm(4 * channels)
        self.narrower = operations.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        h = rearrange(self.depthwise(x), "b c h w -> b h w c")
        h = self.narrower(self.response(F.gelu(self.wider(self.norm(h)))))
        return x + rearrange(h, "b h w c -> b c h w")


class ResponseNorm(nn.Module):
    """Global response normalisation (Woo et al. 2023, equation 3) of maps [B,H,W,C]: channels compete."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma, self.beta = nn.Parameter(torch.zeros(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        response = (x.float().square().sum((1, 2), keepdim=True) + 1e-12).sqrt()
        share = (response / (response.mean(-1, keepdim=True) + _EPS)).to(x)
        return torch.addcmul(self.beta.to(x), x, self.gamma.to(x) * share + 1)


class MapNorm(nn.Module):
    """LayerNorm over the channels of maps [B,C,H,W]."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.ones(channels)), nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        last = rearrange(x, "b c h w -> b h w c")
        normed = F.layer_norm(last, last.shape[-1:], self.weight.to(x), self.bias.to(x), _EPS)
        return rearrange(normed, "b h w c -> b c h w")
