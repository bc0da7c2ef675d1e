"""The motion wrapper: where in the source each place of the driven face lies, and its features moved there.

Source: See the Speaker's motion wrapper; LivePortrait's warping module (Guo et al. 2024, section 3.1), which is
face-vid2vid's (Wang et al. 2021, section 3.2): every keypoint proposes a move of the whole volume, an hourglass chooses
between them place by place. Ours, where the settings ask for it: proposals turn and grow with the head (of first order,
as FOMM's are, but known from the pose), near keypoints are likelier from the start (`prior`), and the flow of what is
seen of the volume also moves the picture itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..config import LARGEST, Config
from ..device import Operations
from ..errors import InputError
from .appearance import AppearanceConfig
from .volumes import ConvNorm, GrowConvNorm, convolution, grid

_LEAK = 0.01
_STAYS = 0.35
"""How far from all keypoints, by half the crop's side, it is as likely to stay as to go along with the nearest."""


@dataclass(frozen=True)
class WarpingConfig(Config):
    """Sizes of a `WarpingNetwork`.

    channels, blocks, most: of the hourglass, doubled by each block; compress: channels of the volume that it is shown;
    mask: side of the last kernel; kernel_depth: of the hourglass's kernels, 1: layers of the volume do not mix (then
    the mask's kernel is flat too); shown: it sees its input once more at the end; features: channels of the warped
    maps; variance: of a keypoint's bump in the plane, depth_variance: along z; difference: the source's bumps are taken
    off the driven ones; prior: width of keypoints' own likelihood, 0: none; centred: cells' places are their centres
    (see `grid`); plane: the picture's own flow is wanted; guide: the warped maps know where keypoints are,
    driven and in the source.
    """

    channels: int = 32
    blocks: int = 5
    most: int = 1024
    compress: int = 4
    mask: int = 7
    kernel_depth: int = 3
    shown: bool = True
    features: int = 256
    variance: float = 0.01
    depth_variance: float = 0.01
    difference: bool = True
    prior: float = 0.0
    centred: bool = False
    plane: bool = False
    guide: bool = False

    def __post_init__(self) -> None:
        self.check_range(1, LARGEST, "channels", "most", "compress", "features")
        self.check_range(1, 8, "blocks")
        self.check_range(1, 9, "mask")
        self.check_range(1e-5, 100, "variance", "depth_variance")
        self.check_range(0, 10, "prior")
        if self.kernel_depth not in (1, 3) or self.mask % 2 == 0:
            raise InputError(f"kernels {self.kernel_depth} deep and {self.mask} wide; give 1 or 3, and odd")


@dataclass(frozen=True)
class Warped:
    """Of B driven faces: features [B,F,h,w] as far as the source shows them; occlusion [B,1,h,w], 1 where it does;
    deformation [B,D,h,w,3], where in the source's volume each place lies; plane [B,h,w,2], how far (-1..1 being the
    crop) what is seen there lies away in the picture, or None."""

    features: Tensor
    occlusion: Tensor
    deformation: Tensor
    plane: Tensor | None


class WarpingNetwork(nn.Module):
    """Source volume, source and driven keypoints -> `Warped`."""

    def __init__(
        self,
        config: WarpingConfig,
        appearance: AppearanceConfig,
        keypoints: int,
        norm: bool = True,
        operations: Operations = nn,
    ) -> None:
        super().__init__()
        self.config, ops = config, operations
        self.motion = DenseMotion(config, appearance.volume, appearance.depth, keypoints, norm, ops)
        flat, features = appearance.volume * appearance.depth, config.features
        flat += 2 * keypoints if config.guide else 0
        self.third = ConvNorm(flat, features, leak=_LEAK, norm=norm, operations=ops)
        self.fourth = ops.Conv2d(features, features, 1)

    def forward(self, volume: Tensor, shown: Tensor, source: Tensor, driven: Tensor, turn: Tensor | None) -> Warped:
        """volume [B or 1,C,D,h,w] and what `motion.shown` makes of it; keypoints [B,K,3]; turn [B,3,3]: what takes
        differences between driven places to those in the source, None where they stay as they are."""
        deformation, occlusion, plane = self.motion(shown, source, driven, turn)
        moved = look_up(volume.expand(len(driven), *volume.shape[1:]), deformation, self.config.centred)
        maps = moved.flatten(1, 2)
        if self.config.guide:
            depth, height, width = moved.shape[2:]
            places = grid(depth, height, width, self.config.centred, driven)
            bumps = [self.motion.bumps(places, points).mean(2) for points in (driven, source)]
            maps = torch.cat([maps, *(bump.expand(len(driven), *bump.shape[1:]).to(maps) for bump in bumps)], 1)
        features = self.fourth(self.third(maps))
        return Warped(features * occlusion, occlusion, deformation, plane)


class DenseMotion(nn.Module):
    """The choice between keypoints' proposals, place by place."""

    def __init__(
        self, config: WarpingConfig, volume: int, depth: int, keypoints: int, norm: bool, operations: Operations
    ) -> None:
        super().__init__()
        self.config, self.keypoints, ops = config, keypoints, operations
        self.compress = ops.Conv3d(volume, config.compress, 1)
        self.norm = nn.BatchNorm3d(config.compress) if norm else nn.Identity()
        self.hourglass = Hourglass(config, (keypoints + 1) * (config.compress + 1), norm, ops)
        width = self.hourglass.outputs
        mask_depth = config.mask if config.kernel_depth > 1 else 1
        self.mask = convolution(width, keypoints + 1, config.mask, mask_depth, ops)
        # Of what is seen: whether the source shows it and, for a flow in the plane, how deep it lies.
        self.occlusion = ops.Conv2d(width * depth, 1, 7, padding=3)
        self.seen = ops.Conv2d(width * depth, depth, 3, padding=1) if config.plane else None

    def shown(self, volume: Tensor) -> Tensor:
        """What the hourglass is shown of a volume [B,C,D,h,w]: [B,c,D,h,w], once for a source."""
        return F.relu(self.norm(self.compress(volume)))

    def forward(
        self, shown: Tensor, source: Tensor, driven: Tensor, turn: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        config, size = self.config, tuple(shown.shape[2:])
        depth, height, width = size
        places = grid(depth, height, width, config.centred, driven)
        proposals = self._proposals(places, source, driven, turn)
        asked = rearrange(proposals, "b k d h w c -> b (k d) h w c")
        moved = look_up(shown.expand(len(driven), *shown.shape[1:]), asked, config.centred)
        moved = rearrange(moved, "b c (k d) h w -> b k c d h w", d=size[0])
        bumps = self.bumps(places, driven)
        if config.difference:
            bumps = bumps - self.bumps(places, source)
        bumps = F.pad(bumps, (0, 0, 0, 0, 0, 0, 1, 0))
        x = self.hourglass(torch.cat([bumps[:, :, None].to(moved), moved], 2).flatten(1, 2))
        logits = self.mask(x).float()
        if config.prior:
            logits = logits + self._prior(places, driven)
        deformation = (logits.softmax(1)[..., None] * proposals).sum(1)
        layers = x.flatten(1, 2)
        occlusion, plane = self.occlusion(layers).sigmoid(), None
        if self.seen is not None:
            share = self.seen(layers).float().softmax(1)[..., None]
            plane = (share * (deformation - places)[..., :2]).sum(1)
        return deformation, occlusion, plane

    @staticmethod
    def _proposals(places: Tensor, source: Tensor, driven: Tensor, turn: Tensor | None) -> Tensor:
        """Where each keypoint says that places come from, the background's "from where they are" first:
        [B,K+1,D,h,w,3]."""
        if turn is None:
            shift, turned = source - driven, places[None]
        else:
            shift = source - driven @ turn
            turned = (places.flatten(0, 2) @ turn).unflatten(1, places.shape[:3])
        moved = turned[:, None] + shift[:, :, None, None, None]
        stay = places.expand(len(driven), 1, *places.shape)
        return torch.cat([stay, moved], 1)

    def bumps(self, places: Tensor, points: Tensor) -> Tensor:
        """A Gaussian about each keypoint [B,K,D,h,w]."""
        config = self.config
        away = (places - points[:, :, None, None, None]).square()
        flat = away[..., :2].sum(-1) / config.variance + away[..., 2] / config.depth_variance
        return (-0.5 * flat).exp()

    def _prior(self, places: Tensor, driven: Tensor) -> Tensor:
        """Logarithms of how likely each keypoint is for its distance alone, the background first."""
        away = (places[:1, :, :, :2] - driven[:, :, None, None, None, :2]).square().sum(-1)
        unit = -0.5 / self.config.prior**2
        return F.pad(unit * away, (0, 0, 0, 0, 0, 0, 1, 0), value=unit * _STAYS**2)


class Hourglass(nn.Module):
    """Down and up again with skips; layers of the volume stay as many as they are."""

    def __init__(self, config: WarpingConfig, inputs: int, norm: bool, operations: Operations) -> None:
        super().__init__()
        depth, self.shown = config.kernel_depth, config.shown

        def width(halvings: int) -> int:
            return min(config.most, config.channels * 2**halvings)

        self.down = nn.ModuleList(
            ConvNorm(inputs if n == 0 else width(n), width(n + 1), depth, True, norm=norm, operations=operations)
            for n in range(config.blocks)
        )
        last = config.blocks - 1
        self.up = nn.ModuleList(
            GrowConvNorm(width(n + 1) * (1 if n == last else 2), width(n), depth, norm=norm, operations=operations)
            for n in range(last, -1, -1)
        )
        self.outputs = width(0) + (inputs if config.shown else 0)
        self.last = ConvNorm(self.outputs, self.outputs, depth, norm=norm, operations=operations)

    def forward(self, x: Tensor) -> Tensor:
        """[B,C,D,h,w] -> [B,outputs,D,h,w]."""
        skips = [x] if self.shown else []
        for down in self.down:
            x = down(x)
            skips.append(x)
        skips.pop()
        for up in self.up:
            x = up(x)
            x = torch.cat([x, skips.pop()], 1) if skips else x
        return self.last(x)


def look_up(volume: Tensor, places: Tensor, centred: bool) -> Tensor:
    """A volume [B,C,D,h,w] at places [B,D',h',w',3] in -1..1; outside it is empty or, of centred cells, as at its
    edge. In float32: torch's kernels for halves make NaN of some."""
    padding = "border" if centred else "zeros"
    return F.grid_sample(volume.float(), places.float(), "bilinear", padding, align_corners=False).to(volume.dtype)
