"""The landmark probe: a small net that reads landmarks, mouth and eye opening and head pose off a frame.

Landmarks are soft-argmax positions of heat maps (integral regression, Sun et al., ECCV 2018). The mouth's
opening is read from the features under the inner lips' own heat maps and from those landmarks, so that it sees the lips
and does not guess from the pose. It measures; nothing is ever trained against it.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from ..checkpoints import find_checkpoint, read_checkpoint
from ..components import Component, build, table
from ..config import LARGEST, Config
from ..device import channels_last, without_autocast
from ..errors import InputError
from ..faces.landmarks import EYES, INNER_LIPS
from ..faces.net import Residual, soft_argmax
from .metrics import as_pictures

SYSTEM = "landmark-probe"
COMPONENT = "probe"
BUNDLED = "landmark_probe"


@dataclass(frozen=True)
class ProbeConfig(Config):
    """Sizes of a `LandmarkProbe`: side of the square frames in pixels, stem patch, channels and landmarks."""

    size: int = 128
    patch: int = 4
    width: int = 64
    points: int = 68

    def __post_init__(self) -> None:
        self.check_range(1, LARGEST, "patch", "width", "points")
        self.check_range(self.patch, 1024, "size")
        if self.points != 68 or self.size % (4 * self.patch):
            raise InputError(f"{self.points} points and {self.size} px; give 68, and a multiple of four patches")


@dataclass(frozen=True)
class Reading:
    """What the probe read off T frames, all float32.

    landmarks [T,68,2] as shares of the frame's width and height (0..1, iBUG order); mouth_open [T], the inner lips'
    gap by the face's brow-to-chin height, 0 when closed; eye_open [T], the lids' gap by the eye's width; pose [T,3],
    yaw, pitch and roll in degrees (right of the picture, down and counter-clockwise count up).
    """

    landmarks: NDArray[np.float32]
    mouth_open: NDArray[np.float32]
    eye_open: NDArray[np.float32]
    pose: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.mouth_open)

    @classmethod
    def join(cls, parts: Iterable["Reading"]) -> "Reading":
        """Readings of consecutive chunks as one. Raises InputError for none at all."""
        parts = list(parts)
        if not parts:
            raise InputError("no frames to read; the clip is empty.")
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)})


def head(inputs: int, outputs: int, hidden: int = 64) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, hidden), nn.SiLU(), nn.Linear(hidden, outputs))


class LandmarkProbe(nn.Module):
    """Frames [B,3,128,128] in -1..1 -> a dict: landmarks [B,68,2] in 0..1, mouth_open [B] (below zero: firmly closed),
    eye_open [B], pose [B,3] in degrees.

    The buffer `face` [68,3] is the mean face of the training set in the head's frame, cm (`faces.geometry.mean_face`).
    """

    # What one unit of a head's output means, near the spread of the footage: all heads then learn at one rate.
    POSE_UNIT, OPEN_UNIT = 5.0, 0.05

    face: Tensor

    def __init__(self, config: ProbeConfig | None = None) -> None:
        super().__init__()
        self.config = config or ProbeConfig()
        w, points = self.config.width, self.config.points
        self.stem = nn.Conv2d(3 * self.config.patch**2, w, 3, padding=1)
        self.fine = Residual(w)
        self.down1 = nn.Conv2d(w, w, 3, stride=2, padding=1)
        self.middle = Residual(w)
        self.down2 = nn.Conv2d(w, w, 3, stride=2, padding=1)
        self.coarse = Residual(w)
        self.join = nn.Conv2d(w, w, 3, padding=1)
        self.heat = nn.Conv2d(w, points, 1)
        self.mouth = head(w + 16, 1)
        self.eyes = head(w + 24, 1)
        self.pose = head(w + 2 * points, 3)
        self.register_buffer("face", torch.zeros(points, 3))

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        fine = self.fine(self.stem(F.pixel_unshuffle(x, self.config.patch)))
        middle = self.middle(self.down1(F.silu(fine)))
        coarse = self.coarse(self.down2(F.silu(middle)))
        # Nearest repetition keeps the bf16 convolution path; the joining convolution smooths it.
        up = F.interpolate(middle + F.interpolate(coarse, scale_factor=2.0), scale_factor=2.0)
        features = F.silu(self.join(F.silu(fine + up)))

        with without_autocast(x.device):
            points, maps = soft_argmax(self.heat(features.float()))
            features = rearrange(features.float(), "b c h w -> b (h w) c")
            mouth = self._under(maps, points, features, INNER_LIPS)
            eyes = self._under(maps, points, features, EYES)
            centred = points - points.mean(1, keepdim=True)
            pose = torch.cat([coarse.float().mean((2, 3)), 10 * centred.flatten(1)], 1)
            return {
                "landmarks": points,
                "mouth_open": self.OPEN_UNIT * self.mouth(mouth).squeeze(1),
                "eye_open": self.OPEN_UNIT * self.eyes(eyes).squeeze(1),
                "pose": self.POSE_UNIT * self.pose(pose),
            }

    @staticmethod
    def _under(maps: Tensor, points: Tensor, features: Tensor, part: slice) -> Tensor:
        """Features under the part's heat maps and the part's landmarks around their mean: [B, c + 2n]."""
        pooled = (maps[:, part].mean(1, keepdim=True) @ features).squeeze(1)
        own = points[:, part]
        return torch.cat([pooled, 20 * (own - own.mean(1, keepdim=True)).flatten(1)], 1)

    @torch.inference_mode()
    def read(self, frames: ArrayLike | Tensor, batch: int = 50) -> Reading:
        """Read frames [T,H,W,3] (RGB, uint8 or float 0..1, square; other sizes are area-resized to 128 px)."""
        frames = frames if isinstance(frames, Tensor) else np.asarray(frames)
        parts = []
        for start in range(0, len(frames), batch):
            chunk = as_pictures(frames[start : start + batch])
            if chunk.shape[-1] != chunk.shape[-2]:
                raise InputError(f"frames of {chunk.shape[-1]}x{chunk.shape[-2]} px; the probe reads square frames.")
            if chunk.shape[-1] != self.config.size:
                chunk = F.interpolate(chunk, (self.config.size, self.config.size), mode="area")
            weight = self.heat.weight
            out = self((2 * chunk - 1).to(weight.device, weight.dtype, memory_format=torch.channels_last))
            arrays = {name: value.float().cpu().numpy() for name, value in out.items()}
            arrays["mouth_open"] = arrays["mouth_open"].clip(min=0)
            parts.append(Reading(**arrays))
        return Reading.join(parts)


PROBE = Component(COMPONENT, ProbeConfig, lambda config, _: LandmarkProbe(config))
COMPONENTS = table(PROBE)


def load_probe(name_or_path: str | Path = BUNDLED) -> LandmarkProbe:
    """The bundled probe, or the one of a checkpoint file, in float32 and ready to read. Raises CheckpointError."""
    probe = build(read_checkpoint(find_checkpoint(name_or_path), SYSTEM), PROBE)
    return channels_last(probe)
