"""Speech2latent on recordings of any length and at any frame rate, steered by the user.

Source: ours (DAE-Talker trains and shows clips of about ten seconds). The model runs at its own 25 frames per second,
in windows; other output rates interpolate latents and pose. Memory holds one window.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..media.timebase import Rate, as_rate, frame_count
from ..sequences import StreamBuffer, retime, windowed
from ..speech.frame_front import frame_positions
from .pose import pose_degrees, pose_units
from .speech2latent import Speech2Latent, Speech2LatentOutput


@dataclass(frozen=True)
class LatentChunk:
    """Some frames in a row: latents [n, latent_dim] as the autoencoder's decoder reads them, pose [n, 3] in degrees."""

    latents: Tensor
    pose: Tensor

    def __len__(self) -> int:
        """Number of frames n."""
        return len(self.latents)


@dataclass(frozen=True)
class Control:
    """What the user may steer.

    pose: yaw, pitch, roll in degrees [frames, 3] or [3], or None for the predicted pose; strength 0..1 blends from the
    predicted to the given pose; pose_scale >= 0 stretches the predicted motion about the mean pose (0: still head);
    eyes: opening of the eyes [frames], 1 open, 0 shut, or None for open; sway: degrees [frames, 3] that are added to
    the predicted pose (see `pose.sway_track`); expression 0..2 stretches what the mouth does about its rest (0: shut,
    1: as predicted). Tracks have one row per frame of the output.
    """

    pose: Tensor | None = None
    strength: float = 1.0
    pose_scale: float = 1.0
    eyes: Tensor | None = None
    sway: Tensor | None = None
    expression: float = 1.0

    def checked(self, frames: int) -> Control:
        """The same with whole tracks of `frames` rows; raises InputError for any other shape or range."""
        if not 0.0 <= self.strength <= 1.0:
            raise InputError(f"pose strength {self.strength} is outside 0..1: 0 is the predicted pose, 1 the given one")
        if not 0.0 <= self.pose_scale <= 10.0:
            raise InputError(
                f"pose scale {self.pose_scale} is outside 0..10: 1 is the predicted motion, 0 a still head"
            )
        if not 0.0 <= self.expression <= 2.0:
            raise InputError(f"expression {self.expression} is outside 0..2: 1 is as predicted, 0 a mouth at rest")
        pose = _angles("pose", self.pose, frames)
        sway = _angles("sway", self.sway, frames)
        eyes = self.eyes
        if eyes is not None and eyes.shape != (frames,):
            raise InputError(f"eye track of shape {tuple(eyes.shape)} does not fit: give {frames} values in 0..1")
        eyes = None if eyes is None else eyes.float().clamp(0.0, 1.0)
        return replace(self, pose=pose, eyes=eyes, sway=sway)

    def part(self, first: int, stop: int) -> Control:
        """The same for frames first ... stop-1 alone."""

        def cut(track: Tensor | None) -> Tensor | None:
            return None if track is None else track[first:stop]

        return replace(self, pose=cut(self.pose), eyes=cut(self.eyes), sway=cut(self.sway))

    def retimed(self, source: Rate, target: Rate, frames: int) -> Control:
        """The same at another frame rate, `frames` rows long."""
        tracks = {
            name: None if track is None else torch.cat(list(retime([track], source, target, frames)))
            for name, track in (("pose", self.pose), ("eyes", self.eyes), ("sway", self.sway))
        }
        return replace(self, **tracks)


def _angles(name: str, track: Tensor | None, frames: int) -> Tensor | None:
    if track is None:
        return None
    track = track.float().expand(frames, 3) if track.shape == (3,) else track.float()
    if track.shape != (frames, 3) or not track.isfinite().all() or track.abs().max() > 90.0:
        raise InputError(
            f"{name} track of shape {tuple(track.shape)} does not fit: give {frames} rows (one per output frame) "
            "of yaw, pitch, roll within -90..90 degrees"
        )
    return track


def speech_to_latents(
    model: Speech2Latent,
    features: Iterable[Tensor],
    samples: int,
    sample_rate: int,
    fps: Rate | None = None,
    front: str = "mel",
    control: Control | None = None,
    window: int = 250,
    overlap: int = 50,
    silence: Tensor | None = None,
) -> Iterator[LatentChunk]:
    """Latents and pose of a recording, chunk by chunk.

    `features` are blocks [s, dim] of the front end (already gated, see `VoiceActivityGate.stream`) of a recording of
    `samples` at `sample_rate`; the chunks together have exactly ceil(samples / sample_rate * fps) frames. `fps` is the
    output's rate (None: the model's). `window` and `overlap` count frames of the model. A recording that fits one
    window gives what one call of the model gives. `silence`: see `window_rows`.
    """
    own = as_rate(model.config.fps)
    rate = own if fps is None else as_rate(fps)
    total, output_frames = frame_count(samples, sample_rate, own), frame_count(samples, sample_rate, rate)
    control = (control or Control()).checked(output_frames)
    if rate != own:
        control = control.retimed(rate, own, total)
    stream = StreamBuffer(features)

    def rows_of(first: int, stop: int) -> Tensor:
        begin, end = feature_span(model, front, first, stop)
        block, step = stream.read(begin, end)
        if block is None:
            raise InputError("no speech features at all: the audio is empty; give at least one sample")
        return window_rows(model, block, step, first, stop, front, control.part(first, stop), silence)

    rows = windowed(rows_of, total, window, overlap)
    if rate != own:
        rows = retime(rows, own, rate, output_frames)
    for row in rows:
        yield LatentChunk(row[:, :-3], row[:, -3:])


def feature_span(model: Speech2Latent, front: str, first: int, stop: int) -> tuple[int, int]:
    """The steps [begin, end) of the features that frames first ... stop-1 are read from; may lie beyond both ends."""
    net = model.front(front)
    kind = net.config
    below, _ = frame_positions(stop - first, kind.exact_rate, model.config.fps, Fraction(kind.offset), first)
    return int(below[0]) - net.reach, int(below[-1]) + net.reach + 2


@torch.no_grad()
def window_rows(
    model: Speech2Latent,
    block: Tensor,
    step: int,
    first: int,
    stop: int,
    front: str,
    control: Control,
    silence: Tensor | None = None,
) -> Tensor:
    """Latents (the autoencoder's scale) and pose in degrees of frames first ... stop-1: [frames, latent_dim + 3].

    `block` [s, dim] are features that begin with step `step`, `silence` [dim] a step of silence; the tracks of
    `control` have a row for each frame. Raises InputError for an expression other than 1 where silence is not known.
    """
    if control.expression != 1.0 and silence is None:
        raise InputError("expression other than 1 needs the model's own hearing: only there is silence known")
    weight = model.out.weight
    options = {"device": weight.device, "dtype": weight.dtype}

    def batch(track: Tensor | None) -> Tensor | None:
        return None if track is None else track[None].to(**options)

    def run(features: Tensor, **posed: Any) -> Speech2LatentOutput:
        return model(
            features[None].to(**options),
            stop - first,
            front=front,
            eyes=batch(control.eyes),
            first_frame=first,
            first_step=step,
            **posed,
        )

    output = run(
        block,
        pose=None if control.pose is None else pose_units(batch(control.pose)),
        strength=control.strength,
        pose_scale=control.pose_scale,
        sway=None if control.sway is None else pose_units(batch(control.sway)),
    )
    rows = output.latents
    if control.expression != 1.0 and silence is not None:
        # The same head in silence is the rest from which the mouth moves.
        rest = run(silence.to(block).expand_as(block), pose=output.pose).latents
        rows = torch.lerp(rest, rows, control.expression)
    latents = model.denormalise(rows[0])
    return torch.cat([latents, pose_degrees(output.pose[0])], dim=1).float().cpu()
