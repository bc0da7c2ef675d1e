"""Quality of the motion that a motion diffusion makes for people and voices it never heard, set by set.

    python -m benchmarks.motion_quality SET/val [SET/val ...] --model FILE [--ear FILE] [--seeds N] [--minutes M]
        [--out DIR]

Each clip's own sound goes through the whole stream (gate, windows, closing of lips, refinement where there is one), and
what comes out is read off its keypoints alone, beside the clip's true motion. Then silence and noise without speech, in
which mouths stay shut; and a passage said over and over for M minutes, whose first and last minute are compared. With
--out, the mouth's opening over the waveform of some clips of each set as pictures.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.ending import run_program
from talkface_core.acoustic.hearing import pick_ear
from talkface_core.checkpoints import find_checkpoint, read_checkpoint
from talkface_core.components import build
from talkface_core.datasets.clips import Clip, ClipSet
from talkface_core.evaluation.table import Report, Row
from talkface_core.media.audio import analysis_audio, audio_source
from talkface_core.media.timebase import SAMPLE_RATE
from talkface_core.see_the_speaker.model import build_motion
from talkface_core.see_the_speaker.motion import Motion
from talkface_core.see_the_speaker.motion_diffusion import MotionSampling
from talkface_core.see_the_speaker.motion_stream import MotionModel, stream_motion
from talkface_core.see_the_speaker.training.motion_clips import MotionClip, read_motion_clips
from talkface_core.see_the_speaker.training.motion_scores import (
    MotionScores,
    motion_scores,
    opening_track,
    shut_below,
)
from talkface_core.see_the_speaker.training.recipe_motion import open_renderer
from talkface_core.speech.vad import GATE

TARGETS: dict[str, tuple[float | None, float | None]] = {
    "opening": (0.75, None),
    "spread": (0.85, 1.15),
    "closed": (0.8, None),
    "nods": (0.2, None),
}
FACTOR = 1.5
"""How far blinks and the head's motion may be from the real ones."""

PASSAGE = 60.0
"""Seconds of speech that the long sound repeats."""

SILENCE = 20.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", metavar="SPLIT", help="folders of clips with truth")
    parser.add_argument("--model", required=True, metavar="NAME|FILE", help="with its motion and, if any, lips")
    parser.add_argument(
        "--gate", default="landmark_tiny", metavar="NAME|FILE", help="where the gate is from, for a model without one"
    )
    parser.add_argument("--ear", metavar="FILE", help="default: bundled; none: the acoustic model alone")
    parser.add_argument("--renderer", metavar="NAME|FILE", help="read the true motion off the pictures")
    parser.add_argument("--seeds", type=int, default=1, metavar="N")
    parser.add_argument("--steps", type=int, help="sampling steps, default: the model's")
    parser.add_argument("--guidance", type=float, help="default: the model's")
    parser.add_argument("--minutes", type=float, default=10.0, metavar="M", help="of the long sound; 0: none")
    parser.add_argument("--no-lips", action="store_true", help="leave the refinement out")
    parser.add_argument("--cache", type=Path, default=Path("cache"), metavar="DIR")
    parser.add_argument("--out", type=Path, metavar="DIR")
    args = parser.parse_args()
    checkpoint = read_checkpoint(find_checkpoint(args.model))
    model = build_motion(checkpoint, pick_ear(args.ear))
    if model.gate is None:
        model.gate = build(read_checkpoint(find_checkpoint(args.gate)), GATE)
    if args.no_lips:
        model.lips = None
    own = model.diffusion.config.sampling
    guidance = own.guidance if args.guidance is None else args.guidance
    sampling = replace(own, steps=args.steps or own.steps, guidance=guidance)
    renderer, stamp = open_renderer(args.renderer)
    rows: list[Row] = []
    speech: list[Tensor] = []
    for folder in args.data:
        clips = read_motion_clips(folder, args.cache, renderer=renderer, stamp=stamp)
        files = ClipSet.open(folder).clips
        speech += [analysis_audio(clip.audio()) for clip in files[:: max(len(files) // 6, 1)]]
        rows += set_rows(folder, clips, files, model, sampling, args.seeds, args.out)
    limit = float(np.mean([shut_below(opening_track(clip.values, model.diffusion.controls)) for clip in clips]))
    rows += silence_rows(model, sampling, limit)
    if args.minutes:
        rows += long_rows(model, sampling, torch.cat(speech), args.minutes, args.out)
    about = {"model": str(args.model), "sampling": sampling.to_dict(), "provenance": checkpoint.provenance}
    report = Report("Motion of unseen people", rows, about)
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        report.save(args.out, "motion")
    print(report.markdown())


def made_for(wave: Tensor, model: MotionModel, sampling: MotionSampling, seed: int) -> Motion:
    """The motion of a wave [N] at 16 kHz, without the seconds behind it."""
    source = audio_source({"waveform": wave[None, None], "sample_rate": SAMPLE_RATE})
    frames = math.ceil(len(wave) / SAMPLE_RATE * 25)
    return Motion.join(list(stream_motion(model, source, seed, sampling=sampling)))[:frames]


def set_rows(
    folder: Path,
    clips: list[MotionClip],
    files: tuple[Clip, ...],
    model: MotionModel,
    sampling: MotionSampling,
    seeds: int,
    out: Path | None,
) -> list[Row]:
    """The measures of one set."""
    controls, name = model.diffusion.controls, f"{folder.parent.name}/{folder.name}"
    scores: dict[str, list[MotionScores]] = {}
    for number, (clip, file) in enumerate(zip(clips, files, strict=True)):
        wave = analysis_audio(file.audio())
        for seed in range(seeds):
            # Blinks come by the seed and the time: of one seed, all clips would have the same.
            values = made_for(wave, model, sampling, seeds * number + seed).values()
            values = values[torch.arange(len(clip)).clamp_max(len(values) - 1)]
            scores.setdefault(clip.name, []).append(motion_scores(values, clip, controls))
            if out is not None and seed == 0 and number % max(len(clips) // 4, 1) == 0:
                tracks = (opening_track(clip.values, controls), opening_track(values, controls))
                turns = (clip.values[:, -2].numpy(), values[:, -2].numpy())
                picture(out / f"{folder.parent.name}_{clip.name}.png", wave.numpy(), tracks, turns, clip)
    every = [score for found in scores.values() for score in found]
    mean, rows = MotionScores.mean(every), []
    for field in fields(MotionScores):
        if field.name.endswith("_real"):
            continue
        by_clip = {clip: float(np.nanmean([getattr(s, field.name) for s in found])) for clip, found in scores.items()}
        real = mean.get(f"{field.name}_real")
        low, high = TARGETS.get(field.name, (None, None))
        if field.name in ("blinks", "head") and real:
            low, high = real / FACTOR, real * FACTOR
        value = mean.get(field.name, float("nan"))
        if math.isnan(value):  # a set whose truth does not tell
            low = high = None
        rows.append(Row(name, field.name, value, real, "", low, high, by_clip))
    return rows


def silence_rows(model: MotionModel, sampling: MotionSampling, limit: float) -> list[Row]:
    """Where nobody speaks the mouth is shut, lids blink, and the head goes on."""
    count, rows = int(SILENCE * SAMPLE_RATE), []
    generator = np.random.default_rng(0)
    sounds = {
        "silence": np.zeros(count),
        "room noise": 0.003 * generator.standard_normal(count),
        "hum": 0.05 * np.sin(2 * np.pi * 100 * np.arange(count) / SAMPLE_RATE),
    }
    for name, sound in sounds.items():
        values = made_for(torch.from_numpy(sound).float(), model, sampling, 0).values()
        opening = opening_track(values, model.diffusion.controls)
        head = float(values[:, -3:].double().std(0).square().sum().sqrt())
        rows.append(Row(name, "open", float((opening > limit).mean()), None, "", None, 0.02))
        rows.append(Row(name, "head", head, None, "degrees", 0.05))
    return rows


def long_rows(
    model: MotionModel, sampling: MotionSampling, speech: Tensor, minutes: float, out: Path | None
) -> list[Row]:
    """One passage over and over: its first and its last minute, beside how much one minute differs from another."""
    passage = speech[: int(PASSAGE * SAMPLE_RATE)]
    times = max(int(minutes * 60 / (len(passage) / SAMPLE_RATE)), 3)
    values = made_for(passage.repeat(times), model, sampling, 0).values().double()
    count = len(values) // times
    every = values[: count * times].unflatten(0, (times, count))
    opening = np.stack([opening_track(part.float(), model.diffusion.controls) for part in every])
    std = model.diffusion.std.double()
    measures = {
        "mean opening": torch.from_numpy(opening.mean(1)),
        "deviation of the opening": torch.from_numpy(opening.std(1)),
        "deviation of all values": (every.std(1) / std)[:, std != 1].mean(1),
        "deviation of the head": every[..., -3:].std(1).square().sum(1).sqrt(),
    }
    rows = []
    for name, track in measures.items():
        change = float(track[-1] / track[0] - 1)
        usual = float((track[1:-1].std() / track.mean()) if times > 3 else torch.tensor(math.nan))
        tight = 0.02 if "opening" in name else None
        rows.append(Row(f"minute {times} against 1", name, abs(change), usual, "", None, tight))
    # Where all values lie on average, by their deviation: a drift would grow with the minutes.
    away = ((every.mean(1) - every.mean((0, 1))) / std)[:, std != 1].abs().mean(1)
    rows.append(Row(f"minute {times} against 1", "mean of all values", float(away[-1]), float(away[:-1].mean())))
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        np.savetxt(out / "minutes.csv", torch.stack([*measures.values(), away], 1).numpy(), delimiter=",")
    return rows


def picture(path: Path, wave: NDArray[Any], tracks: tuple[Any, Any], turns: tuple[Any, Any], clip: MotionClip) -> None:
    """The opening over the waveform, and the head's pitch below: the truth grey, what was made in colour."""
    from matplotlib.figure import Figure

    path.parent.mkdir(parents=True, exist_ok=True)
    figure = Figure((14, 5))
    upper, lower = figure.subplots(2, 1, sharex=True)
    seconds = np.arange(len(wave)) / SAMPLE_RATE
    upper.plot(seconds, 0.5 * wave / max(np.abs(wave).max(), 1e-6), color="0.88", lw=0.4)
    frames = (np.arange(len(clip)) + 0.5) / 25
    for axes, (real, made), what in ((upper, tracks, "opening"), (lower, turns, "pitch, degrees")):
        axes.plot(frames, real, color="0.45", lw=1.2, label="true")
        axes.plot(frames, made, color="tab:red", lw=1.2, label="made")
        axes.set_ylabel(what)
    for frame in clip.closures:
        upper.axvline((frame + 0.5) / 25, color="tab:blue", lw=0.6)
    if clip.prominence is not None:
        lower.plot(frames, clip.prominence.numpy(), color="tab:green", lw=0.6, label="stress")
    lower.legend(loc="upper right", fontsize=7)
    figure.savefig(path, dpi=80, bbox_inches="tight")


if __name__ == "__main__":
    run_program(main)
