"""A talking face while the sound is still coming: frames leave step by step, and some are held when time runs short.

Source: ours; how the stream is cut stands in live_latents.py. Nobody speaks: the voice activity gate shuts the mouth,
blinks and the sway of the head go on.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from ..media.timebase import SAMPLE_RATE, frame_centre
from ..parallel import worker_pool
from .decode import decode, noise_from_seed
from .live_latents import Idle, LatentStep, LiveSettings, live_latents
from .model import DAETalker
from .windows import Control

LATE, VERY_LATE = 0.2, 0.6
"""Seconds behind the sound from which a step shows one new picture, and none."""


@dataclass(frozen=True)
class LiveFrame:
    """One frame: its number, the moment of the sound that it shows in seconds, the picture uint8 [H, W, 3] on the CPU,
    whether it is an earlier picture held for want of time, how many seconds of sound had to come for it, and whether it
    is the last of those that were drawn together."""

    index: int
    seconds: float
    picture: Tensor
    held: bool
    heard: Fraction
    last: bool


def live_frames(
    talker: DAETalker,
    chunks: Iterable[Tensor],
    settings: LiveSettings | None = None,
    control: Control | None = None,
    idle: Idle | None = None,
    noise: Tensor | None = None,
    sampler: str | None = None,
    steps: int | None = None,
    size: int | None = None,
    workers: int = 1,
    behind: Callable[[Fraction], float] | None = None,
) -> Generator[LiveFrame, None, None]:
    """Frames of mono sound at 16 kHz that comes in chunks [n], each as soon as it can be drawn: ceil(seconds * fps).

    `settings`, `control` and `idle` as in `live_latents`; `noise`, `sampler` and `size` as in `speak`; `steps` is
    `live_steps` where None. `workers` share the frames of a step. `behind(seconds)` tells for how long
    work on sound up to `seconds` has been due: beyond `LATE` a step shows one new picture, beyond `VERY_LATE` none, so
    that picture and sound stay together; without it every frame is drawn, and frames depend on the sound alone.
    Raises InputError for impossible settings and for a stream without a sample.
    """
    noise = noise_from_seed(talker.autoencoder, 0) if noise is None else noise
    steps = live_steps(talker) if steps is None else steps
    fps = talker.fps

    def draw(latents: Tensor) -> Tensor:
        return torch.cat(
            list(decode(talker.autoencoder, latents, noise, sampler, steps, len(latents), size=size))
        ).cpu()

    picture: Tensor | None = None
    with worker_pool(workers) as pool:
        for step in live_latents(talker.speech, chunks, settings, control, idle):
            heard = Fraction(step.heard, SAMPLE_RATE)
            chosen = _chosen(step, 0.0 if behind is None or picture is None else behind(heard))
            if chosen:
                parts = step.latents[chosen].chunk(workers)
                pictures = dict(zip(chosen, torch.cat(list(pool.map(draw, parts))), strict=True))
            else:
                pictures = {}
            for n in range(len(step.latents)):
                picture = pictures.get(n, picture)
                assert picture is not None  # the first step is always drawn
                index, last = step.first + n, n + 1 == len(step.latents)
                yield LiveFrame(index, float(frame_centre(index, fps)), picture, n not in pictures, heard, last)


def _chosen(step: LatentStep, behind: float) -> list[int]:
    """Which of a step's frames are drawn."""
    if behind >= VERY_LATE:
        return []
    return [0] if behind >= LATE else list(range(len(step.latents)))


def live_steps(talker: DAETalker) -> int:
    """Network evaluations of a frame: one where the network predicts the picture itself, else the model's own number.

    Of such a network one evaluation is as good as four, see the bundled model's card.
    """
    config = talker.autoencoder.config
    return 1 if config.prediction == "x0" else config.sampling.steps


def warm_up(talker: DAETalker, settings: LiveSettings, **options: object) -> None:
    """Draw a step of silence: what libraries prepare at their first call is then ready when the sound comes."""
    silence = torch.zeros(int(SAMPLE_RATE * (2 * settings.hop / talker.fps)))
    for _ in live_frames(talker, [silence], settings, **options):  # type: ignore[arg-type]
        pass
