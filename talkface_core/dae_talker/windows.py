"""Speech2latent on recordings of any length: windows that overlap and fade into each other, and other frame rates.

Source: ours (DAE-Talker trains and shows clips of about ten seconds). The model runs at its own 25 frames per second;
other output rates interpolate latents and pose at the centres of the output's frames. Memory holds one window.
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
from ..speech.vad import SILENCE
from .pose import pose_degrees, pose_units
from .speech2latent import Speech2Latent, Speech2LatentOutput, frame_positions


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
) -> Iterator[LatentChunk]:
    """Latents and pose of a recording, chunk by chunk.

    `features` are blocks [s, dim] of the front end (already gated, see `gate.SilenceGate.stream`) of a recording of
    `samples` at `sample_rate`; the chunks together have exactly ceil(samples / sample_rate * fps) frames. `fps` is the
    output's rate (None: the model's). `window` and `overlap` count frames of the model. A recording that fits one
    window gives what one call of the model gives.
    """
    own = as_rate(model.config.fps)
    rate = own if fps is None else as_rate(fps)
    total, shown = frame_count(samples, sample_rate, own), frame_count(samples, sample_rate, rate)
    control = (control or Control()).checked(shown)
    if rate != own:
        control = control.retimed(rate, own, total)
    chunks = _windows(model, features, total, front, control, window, overlap)
    if rate == own:
        yield from chunks
        return
    rows = retime((torch.cat([c.latents, c.pose], dim=1) for c in chunks), own, rate, shown)
    for row in rows:
        yield LatentChunk(row[:, :-3], row[:, -3:])


def retime(blocks: Iterable[Tensor], source: Rate, target: Rate, frames: int) -> Iterator[Tensor]:
    """Interpolate a track from one frame rate to another, linearly, at the centres of the frames.

    blocks [n, ...] at `source` frames per second -> blocks at `target`, `frames` rows in all; before the first centre
    and after the last the end values hold.
    """
    ratio = as_rate(source) / as_rate(target)
    done, start, held = 0, 0, None

    def rows(first: int, stop: int) -> Tensor:
        # Frame k of the target lies at (k + 1/2) * ratio - 1/2 of the source.
        numerator = (2 * torch.arange(first, stop) + 1) * ratio.numerator - ratio.denominator
        position = numerator.double() / (2 * ratio.denominator) - start
        position = position.clamp(0, len(held) - 1).to(held.device)
        low = position.floor().long()
        weight = (position - low).to(held).reshape(-1, *[1] * (held.ndim - 1))
        return torch.lerp(held[low], held[(low + 1).clamp_max(len(held) - 1)], weight)

    for block in blocks:
        held = block if held is None else torch.cat([held, block])
        # All frames k whose upper neighbour has come: (k + 1/2) * ratio - 1/2 <= start + len(held) - 1.
        stop = min(frames, int((Fraction(start + len(held)) - Fraction(1, 2)) / ratio - Fraction(1, 2)) + 1)
        if stop > done:
            yield rows(done, stop)
            done = stop
            keep = max(0, int((done + Fraction(1, 2)) * ratio - Fraction(1, 2)) - start)
            held, start = held[min(keep, len(held) - 1) :], start + min(keep, len(held) - 1)
    if held is not None and done < frames:
        yield rows(done, frames)


class _Features:
    """The stretch of a feature stream that the next windows may need."""

    def __init__(self, blocks: Iterable[Tensor]):
        self.blocks, self.start, self.held = iter(blocks), 0, None

    def read(self, low: int, high: int) -> tuple[Tensor, int]:
        """Steps low ... high-1 as far as they exist, and the number of the first. Steps below `low` are forgotten."""
        low = max(low, 0)
        while self.held is None or self.start + len(self.held) < high:
            block = next(self.blocks, None)
            if block is None:
                break
            self.held = block if self.held is None else torch.cat([self.held, block])
        if self.held is None or not len(self.held):
            raise InputError("no speech features at all: the audio is empty; give at least one sample")
        drop = min(max(low - self.start, 0), len(self.held) - 1)
        self.held, self.start = self.held[drop:], self.start + drop
        return self.held[: max(high - self.start, 1)], self.start


def _windows(
    model: Speech2Latent,
    blocks: Iterable[Tensor],
    total: int,
    front: str,
    control: Control,
    window: int,
    overlap: int,
) -> Iterator[LatentChunk]:
    if not 0 < overlap <= window // 2:
        raise InputError(f"overlap of {overlap} frames does not fit windows of {window}: give 1 to {window // 2}")
    features, held, first, begin = _Features(blocks), None, 0, 0
    ramp = (torch.arange(overlap) + 0.5) / overlap
    while first < total:
        stop = min(first + window, total)
        rows = _one_window(model, features, first, stop, front, control)
        done = begin
        if held is not None:
            weight = ramp.to(rows)[:, None]
            fresh = rows[done - first : done - first + overlap]
            rows = torch.cat([torch.lerp(held, fresh, weight), rows[done - first + overlap :]])
        last = stop == total
        ready = len(rows) if last else len(rows) - overlap
        yield LatentChunk(rows[:ready, :-3], rows[:ready, -3:])
        held, begin = rows[ready:], done + ready
        if last:
            return
        # The last window moves back so that it too has its full length of context.
        first = min(begin, max(total - window, 0))


@torch.no_grad()
def _one_window(
    model: Speech2Latent, features: _Features, first: int, stop: int, front: str, control: Control
) -> Tensor:
    """Latents (the autoencoder's scale) and pose in degrees of frames first ... stop-1: [frames, latent_dim + 3]."""
    net = model.front(front)
    kind = net.config
    if control.expression != 1.0 and front != "mel":
        raise InputError("expression other than 1 needs the model's own log-mel: only there is silence known")
    below, _ = frame_positions(stop - first, kind.exact_rate, model.config.fps, Fraction(kind.offset), first)
    block, step = features.read(int(below[0]) - net.reach, int(below[-1]) + net.reach + 2)
    weight = model.out.weight
    options = {"device": weight.device, "dtype": weight.dtype}

    def part(track: Tensor | None) -> Tensor | None:
        return None if track is None else track[None, first:stop].to(**options)

    def run(features: Tensor, **posed: Any) -> Speech2LatentOutput:
        return model(
            features[None].to(**options),
            stop - first,
            front=front,
            eyes=part(control.eyes),
            first_frame=first,
            first_step=step,
            **posed,
        )

    output = run(
        block,
        pose=None if control.pose is None else pose_units(part(control.pose)),
        strength=control.strength,
        pose_scale=control.pose_scale,
        sway=None if control.sway is None else pose_units(part(control.sway)),
    )
    rows = output.latents
    if control.expression != 1.0:
        # The same head in silence is the rest from which the mouth moves.
        rest = run(torch.full_like(block, SILENCE), pose=output.pose).latents
        rows = torch.lerp(rest, rows, control.expression)
    latents = model.denormalise(rows[0])
    return torch.cat([latents, pose_degrees(output.pose[0])], dim=1).float().cpu()
