"""Is a talking portrait in minute ten who it was in second ten? Sharpness, colour and likeness over the minutes.

    python -m benchmarks.animation_drift PICTURE SOUND --out DIR [--model NAME|FILE] [--minutes 10] [--sface FILE]

The sound, some seconds of speech, is said over and over in one stream, so that every stretch has the same words. Of the
time around second ten, and of each minute, one saying is drawn and its faces are aligned: sharpness (variance of the
Laplacian), colour (mean of red, green, blue) and likeness to the portrait, beside the first stretch's. Likeness is the
cosine of SFace's vectors where its file is given (`evaluate --weights` says which); else the correlation of the fine
structure, which a turn of the head changes as well: no face recogniser may be bundled. Every frame is drawn of the
portrait and its own motion alone, so leaving frames out changes nothing in the others. Writes OUT/animation_drift.json
and .md, and OUT/curve.png.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.ending import run_program
from benchmarks.renderer_quality import likeness
from talkface_core.evaluation.footage import Footage
from talkface_core.evaluation.sface import load_sface
from talkface_core.evaluation.table import Report, Row
from talkface_core.faces.align import align
from talkface_core.faces.bundled import BundledDetector, load_bundled
from talkface_core.faces.tracking import track_faces
from talkface_core.media.audio import analysis_audio, audio_source, load_audio
from talkface_core.media.picture import read_picture
from talkface_core.media.timebase import FPS, SAMPLE_RATE
from talkface_core.pixels import to_unit
from talkface_core.see_the_speaker.model import load_see_the_speaker
from talkface_core.see_the_speaker.motion import Motion
from talkface_core.see_the_speaker.pipeline import Animation, draw, find_face, on_portrait, speech_motion

BEGUN = 10.0
"""Seconds after which the first stretch begins."""

EVERY = 4
"""One frame of so many is drawn."""

LEAST = 2
"""Minutes, with which there are two stretches at least."""

SIDE = 128
Alike = Callable[[Footage, Footage], float]
MEASURES = ("sharpness", "red", "green", "blue", "likeness")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("picture", type=Path)
    parser.add_argument("sound", type=Path, help="speech of 2 to 50 s")
    parser.add_argument("--model", default="see_the_speaker_tiny", metavar="NAME|FILE")
    parser.add_argument("--minutes", type=float, default=10.0, metavar="M")
    parser.add_argument("--sface", type=Path, metavar="FILE", help="face_recognition_sface_2021dec.onnx")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    args = parser.parse_args()
    if not LEAST <= args.minutes <= 600:
        parser.error(f"--minutes {args.minutes:g}: {LEAST} to 600, so that there is something to compare")
    speaker, detector = load_see_the_speaker(args.model), load_bundled()
    assert speaker.motion is not None
    assert speaker.renderer is not None
    picture = torch.from_numpy(np.ascontiguousarray(read_picture(args.picture)[..., :3]))
    portrait = speaker.renderer.portrait(picture, find_face(picture, detector))
    passage = _whole_frames(analysis_audio(load_audio(args.sound)))
    frames = len(passage) * FPS // SAMPLE_RATE
    times = int(args.minutes * 60 * FPS / frames)
    waveform = passage.repeat(times)[None, None]
    source, how = audio_source({"waveform": waveform, "sample_rate": SAMPLE_RATE}), Animation(whole=False)
    moved = on_portrait(speaker.motion, portrait, speech_motion(speaker.motion, source, FPS, how), how)
    motion = Motion.join(list(tqdm(moved, "motion", total=frames * times // 8)))
    alike = _by_sface(args.sface) if args.sface else _by_structure
    own = _footage(picture[None].numpy(), detector)
    minutes, rows = [], []
    for number in _sayings(frames, times, args.minutes):
        stretch = motion[number * frames : (number + 1) * frames : EVERY]
        parts = (stretch[at : at + 8] for at in range(0, len(stretch), 8))
        drawn = torch.cat(list(draw(speaker.renderer, portrait, iter(parts)))).numpy()
        minutes.append(number * frames / FPS / 60)
        rows.append(_measured(_footage(drawn, detector), own, alike))
    table = np.array(rows)
    report = as_report(table, minutes, bool(args.sface))
    report.save(args.out, "animation_drift")
    curve(args.out / "curve.png", table, minutes)
    print(report.markdown())


def _whole_frames(sound: torch.Tensor) -> torch.Tensor:
    """A sound [N] cut to whole frames, so that each saying begins with one."""
    step = SAMPLE_RATE // FPS
    return sound[: len(sound) // step * step]


def _sayings(frames: int, times: int, minutes: float) -> list[int]:
    """Which sayings are looked at: the one that begins after ten seconds, and the last that begins in each minute."""
    at = [BEGUN, *(60 * (minute + 1) - frames / FPS for minute in range(int(minutes)))]
    return sorted({min(max(int(second * FPS // frames), 1), times - 1) for second in at})


def _footage(frames: NDArray[np.uint8], detector: BundledDetector) -> Footage:
    """Frames [T,H,W,3] with their face."""
    track = track_faces(iter([torch.from_numpy(frames)]), FPS, detector, smoothing=0.0)
    return Footage("drawn", lambda: iter([frames]), track, track.landmarks.numpy())


def _faces(clip: Footage) -> torch.Tensor:
    """Aligned faces [T,3,S,S] in 0..1."""
    return rearrange(to_unit(torch.from_numpy(clip.cut(align(clip.track, SIDE)))), "t h w c -> t c h w").float()


def _by_structure(clip: Footage, portrait: Footage) -> float:
    return float(likeness(_faces(clip), _faces(portrait)).mean())


def _by_sface(file: Path) -> Alike:
    vectors = load_sface(file)
    return lambda clip, portrait: float((vectors(clip) @ vectors(portrait)[0]).mean())


def _measured(clip: Footage, portrait: Footage, alike: Alike) -> list[float]:
    """`MEASURES` of a stretch."""
    faces = _faces(clip)
    sharp = float(np.mean([cv2.Laplacian(face, cv2.CV_32F).var() for face in faces.mean(1).numpy()]))
    return [sharp, *faces.mean((0, 2, 3)).tolist(), alike(clip, portrait)]


def as_report(table: NDArray[np.float64], minutes: list[float], recognised: bool) -> Report:
    """By how much the last stretch differs from the first, and the most that any does. Likeness has a target where a
    face recogniser tells it alone."""
    rows = []
    for name, values in zip(MEASURES, table.T, strict=True):
        change = values / values[0] - 1
        most = 0.02 if recognised or name != "likeness" else None
        rows.append(Row("last against first", name, abs(float(change[-1])), None, "", None, most))
        rows.append(Row("the farthest", name, float(np.abs(change).max()), None))
    about = {"stretches at minutes": [round(minute, 2) for minute in minutes]}
    return Report("A talking portrait over the minutes", rows, about, {})


def curve(path: Path, table: NDArray[np.float64], minutes: list[float]) -> None:
    """All measures by their first value, over the minutes."""
    from matplotlib.figure import Figure

    figure = Figure((9, 4))
    axes = figure.subplots()
    for name, values in zip(MEASURES, table.T, strict=True):
        axes.plot(minutes, values / values[0], label=name, marker="o", ms=3)
    axes.axhspan(0.98, 1.02, color="0.92")
    axes.set_xlabel("minutes")
    axes.legend(fontsize=7)
    figure.savefig(path, dpi=80, bbox_inches="tight")


if __name__ == "__main__":
    run_program(main)
