"""The training stages of a person, each a recipe from the bundled weights, in the steps that its share of time allows.

How long a step takes is measured on the run's own first steps, on this machine, under what else it does now: they count
as training too. Then the number of steps is fixed, because the learning rate falls to its end over them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..acoustic.hearing import NO_EAR
from ..checkpoints import find_checkpoint, read_header
from ..dae_talker.autoencoder import AutoencoderConfig
from ..dae_talker.model import AUTOENCODER
from ..dae_talker.upsampler import UPSAMPLER, UpsamplerConfig
from ..datasets.clips import Clip, ClipSet
from ..preparation.rules import TRAIN
from ..recipes import make_plan, recipe_class
from ..training.engine import train
from ..training.state import read_progress
from .pictures import beneath, loss_picture, read_losses
from .settings import Settings, told
from .state import State
from .watching import Stopped, Watcher

TRIAL = 6
"""Steps by which a step is measured; the first third of them is slower and does not count."""

LEAST_STEPS = 6

_PREPARED, _TRAINED = 10.0, 92.0  # percent of a bar
_FILMED = 0.9  # of the larger frames' side: a face of 110 px, which the first look calls good, fills squares of 0.93
_OVERDRAWN = 1.3  # of its time, at which a stage ends where the machine has become slower
_SAVE, _SHOW, _LOG = 60.0, 60.0, 4.0  # seconds between states, samples and rows of the log


@dataclass(frozen=True)
class Stage:
    """share: of the training's time; most: steps beyond which this much footage teaches nothing more; begins: which of
    the settings' checkpoints it begins with; trained: other settings of its training; words: of the
    recipe's own flags."""

    name: str
    about: str
    recipe: str
    begins: str
    share: float
    most: int
    trained: Mapping[str, Any] = field(default_factory=dict)
    words: tuple[str, ...] = ()


FACE = Stage(
    "face", "how the person looks", "dae-talker-autoencoder", "talker", 0.5, 12_000, {"warmup": 50, "lr": 7e-4}
)
SPEECH = Stage("speech", "what the face does when it speaks", "dae-talker", "talker", 0.18, 2_000, {"lr": 4e-4})
SHARP = Stage("sharp", "the face twice as large, and sharp", "dae-talker-upsampler", "talker", 0.1, 3_000, {"lr": 5e-4})
TEXTURE = Stage("texture", "the person's fine texture, for LaDTalk", "sovqae", "texture", 0.22, 2_500)
STAGES = (FACE, SPEECH, SHARP, TEXTURE)

_STANDS_ON = {SPEECH.name: ("--autoencoder", FACE), SHARP.name: ("--talker", SPEECH)}
"""The flag by which a stage is told of the checkpoint of another."""


def bar_parts() -> dict[str, tuple[float, float]]:
    """Where each part of the work, as a watcher is told of it, begins and ends on one bar, in percent."""
    bounds, at = {"look": (0.0, 2.0), "prepare": (2.0, _PREPARED)}, _PREPARED
    for stage in STAGES:
        bounds[stage.name] = (at, at := at + (_TRAINED - _PREPARED) * stage.share)
    return {**bounds, "measure": (_TRAINED, 100.0)}


def checkpoint_of(folder: Path, stage: Stage) -> Path:
    """Where a stage's checkpoint lies."""
    return folder / stage.name / f"{stage.recipe}.safetensors"


def suits(stage: Stage, settings: Settings, data: Path) -> bool:
    """Whether footage teaches what a stage trains: frames twice as large are learnt of heads filmed as large."""
    if stage.name != SHARP.name:
        return True
    talker = read_header(find_checkpoint(settings.talker))
    drawn = talker.config(AUTOENCODER.name, AutoencoderConfig).image_size
    clips = ClipSet.open(data / TRAIN).clips
    # Clips are all of one size, to which `prepare` enlarges what was filmed smaller.
    filmed = np.median(np.repeat([_filmed(clip) for clip in clips], [clip.frames for clip in clips]))
    return bool(filmed >= _FILMED * UpsamplerConfig.preset("tiny").factor * drawn)


def _filmed(clip: Clip) -> float:
    """The side of a clip's square in pixels of the film that it was cut from; of one cut elsewhere its own."""
    told = clip.truth().get("meta") if clip.truth_file else None
    matrix = told.get("matrix") if isinstance(told, dict) else None
    return clip.width / float(np.hypot(matrix[0][0], matrix[1][0])) if matrix else float(clip.width)


def train_stage(
    stage: Stage,
    state: State,
    settings: Settings,
    data: Path,
    allowed: float,
    device: str = "auto",
    quiet: bool = False,
    watcher: Watcher | None = None,
) -> dict[str, Any]:
    """Train a stage in `allowed` seconds, or go on with it; gives its steps, seconds and how it ended.

    Raises Stopped, with the state saved, where the watcher asks for the end.
    """
    watcher = watcher or Watcher()
    run = state.folder / stage.name
    init = _beginning(stage, getattr(settings, stage.begins))
    args = _arguments(stage, run, data, init, settings.seed, device, quiet)
    plan = make_plan(stage.recipe, args)
    config = replace(plan.config, seed=settings.seed, **stage.trained)
    common: dict[str, Any] = {"init": init, "device": device, "prefetch": True, "quiet": quiet}

    def go(steps: int, **options: Any) -> Any:
        begun = read_progress(run) is not None
        return train(plan.recipe, run, steps, config, resume=begun, **common, **options)

    if stage.name not in state.plan:
        clock = _Clock(watcher)
        # Of a run that is to go on for longer too: the machine may do other things now than it did then.
        begun = read_progress(run) or {"step": 0}
        go(begun["step"] + TRIAL, save_every=0, sample_every=0, log_every=TRIAL, watch=clock)
        clock.check()
        progress = read_progress(run)
        assert progress is not None
        step = clock.seconds() or progress["seconds"] / max(progress["step"], 1)
        left = max(allowed - progress["seconds"], 0.0)
        steps = max(min(progress["step"] + int(left / step), stage.most), LEAST_STEPS, progress["step"])
        state.plan[stage.name] = {"steps": steps, "seconds_step": round(step, 4)}
        state.save()
        more = steps - progress["step"]
        rest = f"{more} steps more of {step:.2f} s, about {told(more * step)}"
        if not more and steps < stage.most:
            rest = f"no more than the {steps} steps that took its time, as its share of the budget is {told(allowed)}"
        watcher.says(f"{stage.name}: {stage.about}: {rest}")
    steps, step = (state.plan[stage.name][key] for key in ("steps", "seconds_step"))
    before = (read_progress(run) or {"seconds": 0.0})["seconds"]
    shown = _Shown(stage, run, steps, watcher)
    result = go(
        steps,
        save_every=max(round(_SAVE / step), 1),
        sample_every=max(round(_SHOW / step), 1),
        log_every=max(round(_LOG / step), 1),
        max_seconds=max(_OVERDRAWN * max(allowed, steps * step) - before, 1.0),
        watch=shown,
    )
    shown.check()
    return {"steps": result.step, "planned": steps, "seconds": round(result.seconds, 1), "ended_by": result.reason}


def _beginning(stage: Stage, name: str) -> str | None:
    """The checkpoint that a stage begins with; None, random weights, where it has no upsampler of our layout."""
    if stage.name != SHARP.name:
        return name
    begun, ours = read_header(find_checkpoint(name)), UpsamplerConfig.preset("tiny")
    if UPSAMPLER.name not in begun.configs:
        return None
    theirs = begun.config(UPSAMPLER.name, UpsamplerConfig)
    return name if replace(theirs, image_size=ours.image_size) == ours else None


def _arguments(
    stage: Stage, run: Path, data: Path, init: str | None, seed: int, device: str, quiet: bool
) -> argparse.Namespace:
    """What `train` would be told on a command line."""
    parser = argparse.ArgumentParser()
    recipe_class(stage.recipe).add_arguments(parser)
    before = _STANDS_ON.get(stage.name)
    words = [before[0], str(checkpoint_of(run.parent, before[1]))] if before else []
    args = parser.parse_args([*words, *stage.words])
    begun = read_progress(run)
    if hasattr(args, "ear") and begun is not None and not begun["settings"]["config"].get("ear"):
        args.ear = NO_EAR  # it began before the bundled ear was learnt with, and goes on so
    for name, value in (("data", str(data)), ("cache", run / "cache"), ("init", init), ("device", device)):
        setattr(args, name, value)
    args.seed, args.quiet = seed, quiet
    return args


class _Clock:
    """Takes the time of steps."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher, self.asked, self._times = watcher, False, [time.monotonic()]

    def __call__(self, step: int, means: Mapping[str, float] | None, picture: NDArray[np.uint8] | None) -> bool:
        self._times.append(time.monotonic())
        self.asked = self.watcher.stop()
        return self.asked

    def check(self) -> None:
        if self.asked:
            raise Stopped

    def seconds(self) -> float | None:
        """Of a step, the median; None where too few were seen."""
        spans = [b - a for a, b in zip(self._times, self._times[1:], strict=False)][TRIAL // 3 :]
        return statistics.median(spans) if len(spans) > 2 else None


class _Shown:
    """Shows a run's loss and samples as they come."""

    def __init__(self, stage: Stage, run: Path, steps: int, watcher: Watcher) -> None:
        self.stage, self.steps, self.watcher, self.asked = stage, steps, watcher, False
        self._losses = read_losses(run / "log.csv")
        self._sample: NDArray[np.uint8] | None = None

    def __call__(self, step: int, means: Mapping[str, float] | None, picture: NDArray[np.uint8] | None) -> bool:
        self.watcher.advance(step / self.steps)
        if picture is not None:
            self._sample = picture
        if means is not None:
            self._losses.append((step, means["loss"]))
        if means is not None or picture is not None:
            self.watcher.picture(beneath(loss_picture(self._losses, self.stage.name, self.steps), self._sample))
        self.asked = self.watcher.stop()
        return self.asked

    def check(self) -> None:
        if self.asked:
            raise Stopped
