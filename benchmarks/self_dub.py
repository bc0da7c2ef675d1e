"""Films dubbed with their own sound: how near the repainted mouth comes to the film's own, which it never sees.

    python -m benchmarks.self_dub FILM… --out DIR [--model NAME|FILE …] [--sovqae NAME|FILE] [--ear FILE]
        [--seconds 8]

Films are files or folders; each is dubbed as `dub` does it, with models of any system, but references are taken a
second or more away. Beside each model stands what the plumbing alone leaves of the film: its own faces, cut out and
pasted back. Of the film's own mouth a model sees what lies beside the part that it repaints; landmark diffusion follows
the sides of its jaw. Measures: see `talkface_core.evaluation.mouths`. For each film a picture: the film above, each
model below.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.ending import run_program
from benchmarks.mouth_models import kept_away, load_mouths, takes_ear
from benchmarks.side_by_side import side_by_side
from talkface_core.dubbing.model import MouthModel
from talkface_core.dubbing.pipeline import Dubbing, DubRequest
from talkface_core.evaluation.mouths import MouthScores, compare_mouths
from talkface_core.evaluation.table import Report, Row
from talkface_core.faces.align import align, crop_faces
from talkface_core.faces.bundled import BundledDetector, load_bundled
from talkface_core.faces.geometry import transform
from talkface_core.faces.paste import paste_faces
from talkface_core.faces.track import in_sight
from talkface_core.ladtalk.model import BUNDLED
from talkface_core.media.audio import open_audio
from talkface_core.media.playback import VideoFrameSource
from talkface_core.media.video_reader import VideoReader
from talkface_core.preparation.source_video import find_videos
from talkface_core.training.arguments import above_zero

SIDE, SHOWN, WINDOW = 256, 8, 16
PLAIN = "cut out and pasted back"
TARGETS = {
    "opening": (0.4, None),
    "spread": (0.8, None),
    "chroma": (0.95, 1.05),
    "colour": (None, 2.5),
    "sharpness": (0.85, None),
    "psnr": (29.5, None),
    "ssim": (0.92, None),
    "flicker": (None, None),
}

Frames = NDArray[np.uint8]


@dataclass(frozen=True)
class Side:
    """Crops [T,S,S,3] of one film, and the landmarks [T,68,2] that the reader finds, in their pixels."""

    crops: Frames
    points: NDArray[np.float32]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", nargs="+", metavar="FILM", help="video files, or folders of them")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for pictures and the table")
    parser.add_argument("--model", nargs="+", default=[BUNDLED], metavar="NAME|FILE")
    parser.add_argument("--sovqae", metavar="NAME|FILE", help="whose texture (default: each model's own, or none)")
    parser.add_argument(
        "--ear",
        metavar="FILE",
        help="models that can hear by it once more: a converted Whisper, or none (they hear by ear_tiny)",
    )
    parser.add_argument("--sound", metavar="SUFFIX", help="of the sound beside each film that has none, say .flac")
    parser.add_argument("--first", type=above_zero(int), metavar="N", help="the first N films (default: all)")
    parser.add_argument("--seconds", type=float, default=8.0, metavar="S", help="of a film at most (default: 8)")
    parser.add_argument("--away", type=float, default=1.0, metavar="S", help="of references (default: 1)")
    args = parser.parse_args()
    models, reader = {Path(name).stem: load_mouths(name, sovqae=args.sovqae) for name in args.model}, load_bundled()
    for name in args.model:
        if args.ear and takes_ear(name):
            models[f"{Path(name).stem} by ear"] = load_mouths(name, sovqae=args.sovqae, ear=args.ear)
    scores: dict[str, dict[str, MouthScores]] = {name: {} for name in (PLAIN, *models)}
    for film in tqdm(find_videos(args.films)[: args.first], desc="films"):
        sound = film.path.with_suffix(args.sound) if args.sound else film.path
        rows: list[Frames] = []
        for name, model in models.items():
            real, plain, generated = dubbed(model, reader, film.path, sound, args.seconds, args.away)
            if not rows:
                rows = [real.crops]
                scores[PLAIN][film.path.stem] = compared(plain, real)
            scores[name][film.path.stem] = compared(generated, real)
            rows.append(generated.crops)
        write_picture(args.out / f"{film.path.stem}.png", rows)
    report = as_report(scores)
    report.save(args.out, "self_dub")
    print(report.markdown())


def dubbed(
    model: MouthModel, reader: BundledDetector, path: Path, sound: Path, seconds: float, away: float
) -> tuple[Side, Side, Side]:
    """A film's beginning: itself, its faces cut out and pasted back, and dubbed with its own sound; frames that show
    the face."""
    film, source = VideoFrameSource(VideoReader(path)), open_audio(sound, duration=seconds)
    mouths = kept_away(model, round(away * float(film.fps)))
    dubbing = Dubbing(mouths, DubRequest(film, source, detector=reader, length="stop", window=WINDOW))
    track, place = dubbing.track, align(dubbing.track, SIDE)
    visible, parts, done = in_sight(track).numpy(), ([], [], []), 0
    for real, generated in side_by_side(film.forwards(WINDOW), dubbing.frames(), WINDOW):
        shown = np.flatnonzero(visible[done : done + len(real)])
        now, points = place.at((done + shown).tolist()), track.landmarks[done + shown]
        done += len(real)
        if not len(shown):
            continue
        plain = paste_faces(real[shown], crop_faces(real[shown], now), now)
        for part, frames in zip(parts, (real[shown], plain, generated[shown]), strict=True):
            found = torch.stack([face.landmarks for face in reader.follow(frames, points)]).float()
            part.append((crop_faces(frames, now), transform(now.matrices, found).numpy()))
    real, plain, generated = (Side(*map(np.concatenate, zip(*part, strict=True))) for part in parts)
    return real, plain, generated


def compared(side: Side, real: Side) -> MouthScores:
    """The scores of a film's frames beside the film's own."""
    return compare_mouths(side.crops, real.crops, side.points, real.points)


def write_picture(path: Path, rows: list[Frames]) -> None:
    """Some crops of the film above those of each model."""
    chosen = np.linspace(0, len(rows[0]) - 1, SHOWN + 2).round().astype(int)[1:-1]
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.concatenate([np.concatenate(list(crops[chosen]), axis=1) for crops in rows])
    cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


def as_report(scores: dict[str, dict[str, MouthScores]]) -> Report:
    """Means over the films, model by model, beside those of the plumbing alone."""
    plain = MouthScores.mean(list(scores[PLAIN].values()))
    rows = []
    for name, films in scores.items():
        mean = MouthScores.mean(list(films.values()))
        for measure in (field.name for field in fields(MouthScores)):
            clips = {film: getattr(one, measure) for film, one in films.items()}
            limits = (None, None) if name == PLAIN else TARGETS[measure]
            rows.append(Row(name, measure, getattr(mean, measure), getattr(plain, measure), "", *limits, clips))
    return Report("Films dubbed with their own sound", rows, {"films": len(scores[PLAIN])}, {})


if __name__ == "__main__":
    run_program(main)
