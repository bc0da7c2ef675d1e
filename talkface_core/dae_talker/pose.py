"""Head pose in DAE-Talker: the pose adaptor, and the small tracks (pose, sway, eyes) that may be given to it.

Source: DAE-Talker, speech2latent's pose adaptor: a predictor reads the hidden sequence and predicts the pose, a
projection maps a pose back to the hidden width and is added to the sequence. Training projects the true pose.
Pose = yaw, pitch, roll in degrees (+ yaw turns the face to the right of the picture, + pitch nods down, + roll turns
counter-clockwise), divided by 90 and clamped to -1..1 inside (as the same laboratory's later code does).

One addition of ours: the projection may also read the opening of the eyes. Blinks do not follow from speech, so a
regression on speech alone shows lids at the mean of open and shut; told the truth, it keeps them crisp, and at run
time the eyes become a control.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..device import Operations
from ..errors import InputError

POSE_UNIT = 90.0


def pose_units(degrees: Tensor) -> Tensor:
    """Degrees [..., 3] -> the adaptor's units, -1..1."""
    return (degrees / POSE_UNIT).clamp(-1.0, 1.0)


def pose_degrees(units: Tensor) -> Tensor:
    """The adaptor's units -> degrees."""
    return units * POSE_UNIT


class PosePredictor(nn.Module):
    """Bidirectional LSTM over the hidden sequence -> yaw, pitch, roll in deviations of the training set's motion."""

    def __init__(self, width: int, hidden: int, layers: int = 1, operations: Operations = nn):
        super().__init__()
        self.lstm = nn.LSTM(width, hidden, layers, batch_first=True, bidirectional=True)
        self.out = operations.Linear(2 * hidden, 3)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, T, width] -> [B, T, 3]."""
        return self.out(self.lstm(x)[0])


class PoseAdaptor(nn.Module):
    """Adds the pose (and, where `eyes`, the opening of the eyes) to the hidden sequence."""

    pose_mean: Tensor
    pose_std: Tensor
    motion_std: Tensor

    def __init__(self, width: int, hidden: int, layers: int = 1, eyes: bool = False, operations: Operations = nn):
        super().__init__()
        self.eyes = eyes
        self.predictor = PosePredictor(width, hidden, layers, operations)
        self.projection = nn.Sequential(
            operations.Linear(3 + int(eyes), 2 * hidden), nn.SiLU(), operations.Linear(2 * hidden, width)
        )
        self.register_buffer("pose_mean", torch.zeros(3))
        self.register_buffer("pose_std", torch.full((3,), 5.0 / POSE_UNIT))
        self.register_buffer("motion_std", torch.full((3,), 2.0 / POSE_UNIT))

    def forward(
        self,
        x: Tensor,
        pose: Tensor | None = None,
        strength: float = 1.0,
        pose_scale: float = 1.0,
        eyes: Tensor | None = None,
        sway: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Predict the pose and add one to the sequence.

        x [B, T, width]; `pose` [B, T, 3] in units of 90 degrees (None: the predicted one); `strength` 0..1 blends from
        the predicted pose (0) to the given one (1); `pose_scale` >= 0 stretches the predicted motion about the mean
        pose of the training set (0 holds the head still); `eyes` [B, T] opening, 1 = open, 0 = shut (None: open);
        `sway` [B, T, 3] in units of 90 degrees is added to the predicted motion.
        Returns the sequence, the pose used and the pose predicted (before the scale), both [B, T, 3].
        """
        predicted = (self.pose_mean + self.motion_std * self.predictor(x)).clamp(-1.0, 1.0)
        motion = predicted - self.pose_mean
        motion = motion if sway is None else motion + sway.to(motion.dtype)
        own = (self.pose_mean + pose_scale * motion).clamp(-1.0, 1.0)
        used = own if pose is None else own + strength * (pose.to(own.dtype) - own)
        # Standardised, so that a degree weighs as much as the other features of the sequence.
        control = (used - self.pose_mean) / self.pose_std
        if self.eyes:
            opening = torch.ones_like(used[..., 0]) if eyes is None else eyes.to(used.dtype)
            control = torch.cat([control, 2.0 * opening[..., None] - 1.0], dim=-1)
        return x + self.projection(control), used, predicted


def sway_track(motion: Tensor, frames: int, fps: float = 25.0, seed: int = 0, first: int = 0) -> Tensor:
    """Idle motion of the head [frames, 3] in degrees from frame `first` on, to be added to the predicted pose.

    `motion` [3] is the deviation of each angle in degrees (`motion_std` of the adaptor holds the training set's within
    a clip). A regression predicts only what speech decides, mostly nods; what it cannot know it leaves at the mean, and
    the head looks stiff. Seven slow sine waves (0.05 to 0.5 Hz) per angle, drawn from `seed`; a longer track begins
    with the shorter.
    """
    generator = torch.Generator().manual_seed(seed)
    hertz, phase, size = torch.rand(3, 3, 7, generator=generator, dtype=torch.float64)
    times = (torch.arange(first, first + frames, dtype=torch.float64) + 0.5) / fps
    size = (0.5 + size) / (0.5 + size).square().sum(1, keepdim=True).mul(0.5).sqrt()
    waves = torch.sin(2 * torch.pi * (times[:, None, None] * 0.05 * 10**hertz + phase)) * size
    return (waves.sum(2) * motion.double().cpu()).float()


class Blinks:
    """Opening of the eyes in 0..1 with a blink every `mean_seconds` or so, drawn from `seed`, without an end.

    Intervals are 1 s plus an exponential; a blink shuts the lids in 0.08 s and opens them in 0.16 s, about the speeds
    of human blinks. Holds the blinks of the stretch that was asked for last.
    """

    def __init__(self, fps: float = 25.0, seed: int = 0, mean_seconds: float = 3.5) -> None:
        if fps <= 0 or mean_seconds <= 1.0:
            raise InputError(f"blinks need fps > 0 and more than 1 s between blinks, not {fps} and {mean_seconds}")
        self._fps, self._pause = fps, mean_seconds - 1.0
        self._generator = torch.Generator().manual_seed(seed)
        self._starts = [self._next(0.0)]

    def __call__(self, first: int, stop: int) -> Tensor:
        """Frames first ... stop-1 as float32 [stop - first]; `first` must be no less than the one before."""
        while self._starts[-1] * self._fps < stop:
            self._starts.append(self._next(self._starts[-1]))
        times = (torch.arange(first, stop, dtype=torch.float64) + 0.5) / self._fps
        self._starts = [start for start in self._starts if (start + 0.5) * self._fps > first]
        track = torch.ones(stop - first, dtype=torch.float64)
        for start in self._starts:
            shutting, opening = ((times - start) / 0.08).clamp(0, 1), ((times - start - 0.08) / 0.16).clamp(0, 1)
            track = torch.minimum(track, 1.0 - shutting + opening)
        return track.float()

    def _next(self, start: float) -> float:
        pause = torch.empty(1, dtype=torch.float64).exponential_(generator=self._generator).item() * self._pause
        return start + 1.0 + pause


def blink_track(frames: int, fps: float = 25.0, seed: int = 0, mean_seconds: float = 3.5) -> Tensor:
    """Opening of the eyes [frames] in 0..1, the first of `Blinks`; a longer track begins with the shorter."""
    if frames < 0:
        raise InputError(f"blinks need frames >= 0, not {frames}")
    return Blinks(fps, seed, mean_seconds)(0, frames)
