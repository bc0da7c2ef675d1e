"""The networks of the bundled face detector: one finds faces, one reads landmarks, score and pose off a crop.

Finder: fully convolutional, a map of face centres with size and turn at each (Zhou et al., "Objects as Points", 2019).
Reader: a crop that is upright by the finder's word -> 68 landmarks as soft-argmax of heat maps (integral regression,
Sun et al., ECCV 2018), a score and the head's pose. Both work on a square around the face that `LandmarkNet.face`
defines: the mean face in that square. Sizes are small enough to be bundled and to run on a CPU.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..config import LARGEST, Config
from ..device import Operations, without_autocast
from ..errors import InputError
from .landmarks import MOUTH, POINTS

STRIDE = 8
"""Pixels between two cells of the finder's map."""

UNIT = 64.0
"""Side of a face's square, in pixels, at which the finder's size output is zero; it counts in doublings."""

POSE_UNIT = 20.0
"""Degrees that one unit of the reader's pose output means."""


@dataclass(frozen=True)
class FaceNetConfig(Config):
    """Channels of the finder at strides 4 to 64, of the reader at strides 4, 8 and 16, and the reader's crop side."""

    finder: tuple[int, ...] = (32, 48, 64, 64, 64)
    reader: tuple[int, ...] = (64, 72, 80)
    size: int = 128

    def __post_init__(self) -> None:
        if len(self.finder) != 5 or len(self.reader) != 3:
            raise InputError(f"{len(self.finder)} and {len(self.reader)} widths; a finder has 5, a reader 3")
        self.check_range(1, LARGEST, "finder", "reader")
        self.check_range(16, 1024, "size")
        if self.size % 16:
            raise InputError(f"crops of {self.size} px; give a multiple of 16")


class Residual(nn.Module):
    """x + conv(silu(conv(silu(x)))), the last convolution starting at zero."""

    def __init__(self, width: int, operations: Operations = nn) -> None:
        super().__init__()
        self.a = operations.Conv2d(width, width, 3, padding=1)
        self.b = operations.Conv2d(width, width, 3, padding=1)
        if self.b.weight is not None:
            nn.init.zeros_(self.b.weight)
            nn.init.zeros_(self.b.bias)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.b(F.silu(self.a(F.silu(x))))


class FaceDetectorNet(nn.Module):
    """Pictures [B,3,H,W] in -1..1, sides multiples of 64 -> [B,6,H/8,W/8], for each cell:

    the logit of a face's centre lying in it; the centre's place from the cell's middle, in cells (x, y); the side of
    the face's square in doublings of 64 px; cosine and sine of its turn (counter-clockwise in the picture counts up).
    """

    def __init__(self, config: FaceNetConfig | None = None, operations: Operations = nn) -> None:
        super().__init__()
        widths = (config or FaceNetConfig()).finder
        conv = operations.Conv2d
        self.stem = conv(3 * 16, widths[0], 3, padding=1)
        self.down = nn.ModuleList(conv(a, b, 3, stride=2, padding=1) for a, b in pairwise(widths))
        self.body = nn.ModuleList(Residual(width, operations) for width in widths[1:])
        self.up = nn.ModuleList(conv(b, a, 1) for a, b in pairwise(widths[1:]))
        self.join = conv(widths[1], widths[1], 3, padding=1)
        self.out = conv(widths[1], 6, 1)
        if self.out.bias is not None:
            nn.init.constant_(self.out.bias[:1], -4.0)  # faces are rare among cells (Lin et al., 2017)

    def forward(self, x: Tensor) -> Tensor:
        x = F.silu(self.stem(F.pixel_unshuffle(x, 4)))
        levels = []
        for down, body in zip(self.down, self.body, strict=True):
            x = body(down(F.silu(x)))
            levels.append(x)
        for up, level in zip(reversed(self.up), reversed(levels[:-1]), strict=True):
            # Nearest repetition keeps the bf16 convolution path.
            x = level + F.interpolate(up(F.silu(x)), scale_factor=2.0)
        return self.out(F.silu(self.join(F.silu(x))))


class LandmarkNet(nn.Module):
    """Crops [B,3,128,128] in -1..1 -> a dict: landmarks [B,68,2] as shares of the crop, score [B] (logit of a face
    being there), pose [B,3] (yaw, pitch, roll in the crop, degrees), certainty [B] (0..1: how much of the lips' heat
    lies in their peaks; see readable.py).

    The buffer `face` [68,2] is the mean face in the crop: what a crop that fits shows where.
    """

    face: Tensor

    def __init__(self, config: FaceNetConfig | None = None, operations: Operations = nn) -> None:
        super().__init__()
        self.config = config or FaceNetConfig()
        a, b, c = self.config.reader
        conv, linear = operations.Conv2d, operations.Linear
        cells = (self.config.size // 16) ** 2
        self.stem = conv(3 * 16, a, 3, padding=1)
        self.fine = Residual(a, operations)
        self.down1 = conv(a, b, 3, stride=2, padding=1)
        self.middle = Residual(b, operations)
        self.down2 = conv(b, c, 3, stride=2, padding=1)
        self.coarse1 = Residual(c, operations)
        self.mix = linear(cells, cells)  # mixes all cells of the map (Tolstikhin et al., 2021)
        self.coarse2 = Residual(c, operations)
        self.up2, self.up1 = conv(c, b, 1), conv(b, a, 1)
        self.join = conv(a, a, 3, padding=1)
        self.heat = conv(a, POINTS, 1)
        self.verdict = nn.Sequential(linear(c + POINTS, 48), nn.SiLU(), linear(48, 1))
        self.pose = nn.Sequential(linear(c + 2 * POINTS, 64), nn.SiLU(), linear(64, 3))
        self.register_buffer("face", torch.zeros(POINTS, 2))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        fine = self.fine(self.stem(F.pixel_unshuffle(x, 4)))
        middle = self.middle(self.down1(F.silu(fine)))
        coarse = self.coarse1(self.down2(F.silu(middle)))
        height = coarse.shape[2]
        mixed = self.mix(F.silu(rearrange(coarse, "b c h w -> b c (h w)")))
        coarse = self.coarse2(coarse + rearrange(mixed, "b c (h w) -> b c h w", h=height))
        middle = middle + F.interpolate(self.up2(F.silu(coarse)), scale_factor=2.0)
        fine = fine + F.interpolate(self.up1(F.silu(middle)), scale_factor=2.0)
        heat = self.heat(F.silu(self.join(F.silu(fine))))
        pooled = F.silu(coarse).mean((2, 3))
        with without_autocast(x.device):
            points, maps = soft_argmax(heat.float())
            width = spread(maps, points)
            certainty = peaks(maps[:, MOUTH])
        shape = (points - points.mean(1, keepdim=True)).flatten(1).to(pooled.dtype)
        return {
            "landmarks": points,
            # Where no face is, the maps have no peaks: that holds for pictures of any kind.
            "score": self.verdict(torch.cat([pooled, width.detach().to(pooled.dtype)], 1)).squeeze(1).float(),
            "pose": POSE_UNIT * self.pose(torch.cat([pooled, 5 * shape], 1)).float(),
            "certainty": certainty,
        }


def soft_argmax(heat: Tensor) -> tuple[Tensor, Tensor]:
    """Mean place [B,P,2] (x, y as shares of the picture) of the mass of heat maps' logits [B,P,S,S]; the maps [B,P,S*S]
    themselves, each of which sums to one (integral regression, Sun et al., ECCV 2018)."""
    maps = rearrange(heat, "b p h w -> b p (h w)").softmax(-1)
    return maps @ cell_centres(heat.shape[-1], heat.device), maps


def cell_centres(side: int, device: torch.device) -> Tensor:
    """Centres of a square map's cells [side*side,2]: x, y in 0..1."""
    centres = (torch.arange(side, device=device, dtype=torch.float32) + 0.5) / side
    y, x = torch.meshgrid(centres, centres, indexing="ij")
    return torch.stack([x.flatten(), y.flatten()], -1)


def spread(maps: Tensor, places: Tensor) -> Tensor:
    """How far maps [B,P,S*S] reach around their mean places [B,P,2]: the variance's logarithm [B,P], near -1 to 3."""
    squares = cell_centres(math.isqrt(maps.shape[-1]), maps.device).square()
    variance = (maps @ squares - places.square()).sum(-1)
    return (variance.clamp(min=1e-5).log() + 6) / 2


def peaks(maps: Tensor) -> Tensor:
    """Height of the peaks of maps [B,P,S*S]: the geometric mean [B] of the shares that their highest cells hold."""
    return maps.amax(-1).clamp(min=1e-12).log().mean(1).exp()
