"""Speech features at any rate -> one vector per video frame, aligned on the frame's centre.

Source: the down-sampling before the first Conformer of DAE-Talker (arXiv 2303.17550), for any ratio of rates.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..config import LARGEST, Config
from ..device import Operations, to_device
from ..errors import InputError


@dataclass(frozen=True)
class FrontEndConfig(Config):
    """One kind of speech features: values per step, steps per second, time of step 0 in seconds."""

    dim: int = 80
    rate: str = "80"
    offset: str = "0"

    def __post_init__(self) -> None:
        self.check_range(1, LARGEST, "dim")
        for text in (self.rate, self.offset):
            if not re.fullmatch(r"[0-9]{1,9}(/[0-9]{1,9})?", text):
                raise InputError(f"{text[:40]!r} of a front end is no fraction such as 50 or 399/32000")
        if not 1 <= Fraction(self.rate) <= 1000 or Fraction(self.offset) > 1:
            raise InputError(f"a front end of {self.rate} steps per second that begins at {self.offset} s")

    @classmethod
    def of_frames(cls, dim: int, fps: int) -> FrontEndConfig:
        """Features of video frames themselves: a step is a frame, which lies at its centre."""
        return cls(dim, str(fps), f"1/{2 * fps}")

    @property
    def exact_rate(self) -> Fraction:
        return Fraction(self.rate)


MEL = FrontEndConfig()
WAV2VEC2 = FrontEndConfig(dim=768, rate="50", offset="399/32000")


def frame_positions(
    frames: int, rate: Fraction, fps: int, offset: Fraction = Fraction(0), first_frame: int = 0, first_step: int = 0
) -> tuple[Tensor, Tensor]:
    """Where the centres of frames `first_frame`... fall among feature steps counted from `first_step`.

    Frame k shows the time (k + 1/2) / fps; step s is centred on offset + s / rate. Exact in integers, then split into
    the step below (int64 [frames], may lie outside the features) and the fraction of a step above it (float [frames]).
    """
    scale = rate / (2 * fps)
    shift = offset * rate + first_step
    denominator = scale.denominator * shift.denominator
    odd = 2 * (torch.arange(frames, dtype=torch.int64) + first_frame) + 1
    numerator = odd * int(scale * denominator) - int(shift * denominator)
    below = torch.div(numerator, denominator, rounding_mode="floor")
    return below, (numerator - below * denominator).float() / denominator


class BandFront(nn.Module):
    """Two convolutions over steps and bands with shared weights, a quarter of the bands left.

    A formant that lies higher in another voice meets the same weights there: what is learnt from few voices holds for
    others. The subsampling of speech recognisers, without the subsampling in time.
    """

    def __init__(self, bands: int, planes: int, channels: int, operations: Operations = nn):
        super().__init__()
        self.first = operations.Conv2d(1, planes, 3, stride=(1, 2), padding=(0, 1))
        self.second = operations.Conv2d(planes, planes, 3, stride=(1, 2), padding=(0, 1))
        self.out = operations.Linear(planes * -(-bands // 4), channels)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, S, bands] -> [B, S, channels]; beyond the ends the last step holds."""
        x = x[:, None]
        for conv in (self.first, self.second):
            x = F.gelu(conv(F.pad(x, (0, 0, 1, 1), mode="replicate")))
        return self.out(rearrange(x, "b c s f -> b s (c f)"))


class FrameFront(nn.Module):
    """Features at any rate -> one vector per video frame, aligned on the frame's centre.

    Two residual convolutions over the steps, then `taps` neighbouring positions, one step apart and symmetric about
    the frame's centre (linear between steps), joined by a linear layer. Works for any ratio of rates (mel: 3.2 steps
    per frame); DiffDub's stride-2 convolution is the special case of 2 steps per frame.
    """

    def __init__(
        self,
        config: FrontEndConfig,
        fps: int,
        channels: int,
        width: int,
        kernel: int = 5,
        taps: int = 8,
        planes: int = 0,
        operations: Operations = nn,
    ):
        super().__init__()
        self.config, self.fps = config, fps
        self.bands = BandFront(config.dim, planes, channels, operations) if planes else None
        options = {"padding": kernel // 2, "padding_mode": "replicate"}
        self.norm = operations.LayerNorm(config.dim) if config.dim > 80 else nn.Identity()
        self.enter = operations.Conv1d(channels if planes else config.dim, channels, kernel, **options)
        self.mix = operations.Conv1d(channels, channels, kernel, **options)
        self.join = operations.Linear(taps * channels, width)
        self.taps = taps

    @property
    def reach(self) -> int:
        """Steps on each side of a frame's centre that its vector depends on."""
        return self.taps // 2 + 1 + 2 * (self.enter.kernel_size[0] // 2) + (2 if self.bands else 0)

    def forward(self, features: Tensor, frames: int, first_frame: int = 0, first_step: int = 0) -> Tensor:
        """features [B, S, dim] from step `first_step` on -> [B, frames, width] for frames `first_frame`... ."""
        x = self.norm(features)
        x = x if self.bands is None else self.bands(x)
        x = F.gelu(self.enter(x.transpose(1, 2)))
        x = (x + F.gelu(self.mix(x))).transpose(1, 2)
        rate, offset = self.config.exact_rate, Fraction(self.config.offset)
        below, fraction = frame_positions(frames, rate, self.fps, offset, first_frame, first_step)
        # Steps are counted in whole numbers: in float32 an hour's would be a hundredth off.
        position = fraction[:, None] + (torch.arange(self.taps) - (self.taps - 1) / 2)
        floor = position.floor()
        low = to_device(below[:, None] + floor.long(), x.device)
        weight = to_device((position - floor)[..., None].to(x.dtype), x.device)
        last = x.shape[1] - 1
        taps = torch.lerp(x[:, low.clamp(0, last)], x[:, (low + 1).clamp(0, last)], weight)
        return self.join(rearrange(taps, "b t k c -> b t (k c)"))
