"""Films of real people dubbed with other sounds: does the mouth follow, does the old one show, is there a seam?

    python -m benchmarks.dub_real FILM… --sounds FILE… --out DIR [--model NAME|FILE] [--each 2] [--seconds 8]

Films and sounds are files or folders. Each film is dubbed, as `dub` does it, with `--each` of the sounds in turn. An
.npz beside a sound, of the same name, with `mouth_open` at 25 frames per second is the truth. The bundled face reader,
told where the face is, reads mouths off the dubbed frames and off the film's own.

follows: correlation of the dubbed mouth's opening with the sound's truth. lag: frames by which it comes late. leak: its
correlation with the opening in the film; chance: that of the truth with the opening in the film, which a perfect mouth
would have. seam: how steep brightness is across the mask's edge, by the film's own. step: by how much colours differ
between outside and inside of that edge, beyond the film's, grey levels. flicker: change from frame to frame where the
mouth is, by the film's. texture: the strength that was matched. Frames that were left alone count in nothing else.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.ending import run_program
from benchmarks.mouth_models import load_mouths
from benchmarks.side_by_side import side_by_side
from talkface_core.correlation import mouth_lag, pearson
from talkface_core.dubbing.model import MouthModel
from talkface_core.dubbing.pipeline import Dubbing, DubRequest
from talkface_core.errors import InputError
from talkface_core.evaluation.metrics import flicker
from talkface_core.evaluation.seam import seam
from talkface_core.faces.align import FaceCrop, align, crop_faces
from talkface_core.faces.bundled import BundledDetector, load_bundled
from talkface_core.faces.landmarks import mouth_opening
from talkface_core.faces.paste import mouth_mask
from talkface_core.faces.track import in_sight
from talkface_core.ladtalk.model import BUNDLED
from talkface_core.ladtalk.pipeline import TEXTURE
from talkface_core.media.audio import open_audio
from talkface_core.media.playback import VideoFrameSource
from talkface_core.media.video_reader import VideoReader
from talkface_core.preparation.source_video import find_videos
from talkface_core.training.arguments import above_zero

SIDE, SHOWN, WINDOW = 256, 8, 16
SOUNDS = {".wav", ".flac", ".mp3", ".m4a", ".ogg"}


@dataclass(frozen=True)
class Measured:
    """One film with one sound; NaN where there is no truth. See the module."""

    film: str
    sound: str
    frames: int
    left_alone: int
    follows: float
    lag: int
    leak: float
    chance: float
    seam: float
    step: float
    flicker: float
    texture: float


@dataclass(frozen=True)
class Faces:
    """Crops [T,S,S,3] of a film's and of the dubbed film's faces, and the openings [T] read off the frames."""

    before: NDArray[np.uint8]
    after: NDArray[np.uint8]
    crop: FaceCrop
    old: NDArray[np.float32]
    new: NDArray[np.float32]
    visible: NDArray[np.bool_]
    fps: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", nargs="+", metavar="FILM", help="video files, or folders of them")
    parser.add_argument("--sounds", nargs="+", type=Path, required=True, metavar="FILE", help="files or folders")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for pictures and the table")
    parser.add_argument("--model", default=BUNDLED, metavar="NAME|FILE")
    parser.add_argument("--sovqae", metavar="NAME|FILE", help="whose texture (default: the model's own, or none)")
    parser.add_argument(
        "--each", type=above_zero(int), default=2, metavar="N", help="sounds for each film (default: 2)"
    )
    parser.add_argument("--seconds", type=float, default=8.0, metavar="S", help="of a film at most (default: 8)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    args = parser.parse_args()
    model, reader = load_mouths(args.model, args.device, args.sovqae), load_bundled()
    films, sounds = find_videos(args.films), find_sounds(args.sounds)
    args.out.mkdir(parents=True, exist_ok=True)
    rows = []
    for n, film in enumerate(tqdm(films, desc="films")):
        for k in range(args.each):
            sound = sounds[(n * args.each + k) % len(sounds)]
            faces, strength = dubbed(model, reader, film.path, sound, args.seconds)
            rows.append(measured(film.path.stem, sound, faces, strength))
            write_picture(args.out / f"{film.path.stem}_{sound.stem}.png", faces)
    text = table(rows)
    print(text)
    (args.out / "dub_real.md").write_text(text + "\n")
    (args.out / "dub_real.json").write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def find_sounds(paths: list[Path]) -> list[Path]:
    """The sound files that are named, and those in the folders that are named."""
    sounds = [
        f for p in paths for f in (sorted(p.iterdir()) if p.is_dir() else [p]) if p.is_file() or f.suffix in SOUNDS
    ]
    if not sounds:
        raise InputError(f"no sound in {', '.join(map(str, paths))}; give .flac, .wav or other sound files.")
    return sounds


def dubbed(
    model: MouthModel, reader: BundledDetector, path: Path, sound: Path, seconds: float
) -> tuple[Faces, float | None]:
    """A film's beginning with another sound, frame for frame, and the strength of its texture."""
    film, source = VideoFrameSource(VideoReader(path)), open_audio(sound, duration=seconds)
    dubbing = Dubbing(model, DubRequest(film, source, detector=reader, length="stop", window=WINDOW))
    track, crop = dubbing.track, align(dubbing.track, SIDE)
    parts: list[tuple[NDArray, ...]] = []
    done = 0
    for pair in side_by_side(film.forwards(WINDOW), dubbing.frames(), WINDOW):
        stop = done + len(pair[0])
        now, points = crop.part(done, stop), track.landmarks[done:stop]
        crops = (crop_faces(frames, now) for frames in pair)
        followed = ([face.landmarks.numpy() for face in reader.follow(frames, points)] for frames in pair)
        openings = (mouth_opening(np.stack(faces)) for faces in followed)
        parts.append((*crops, *openings))
        done = stop
    before, after, old, new = (np.concatenate(part) for part in zip(*parts, strict=True))
    visible = in_sight(track)[:done].numpy()
    return Faces(before, after, crop.part(0, done), old, new, visible, float(film.fps)), dubbing.settings.get(TEXTURE)


def measured(film: str, sound: Path, faces: Faces, strength: float | None) -> Measured:
    """All that is said of one film with one sound."""
    visible, follows, chance, lag = faces.visible, float("nan"), float("nan"), 0
    if sound.with_suffix(".npz").is_file():
        with np.load(sound.with_suffix(".npz")) as file:
            truth = file["mouth_open"]
        # What the truth says at the middle of each frame.
        truth = truth[np.minimum(((np.arange(len(visible)) + 0.5) * 25 / faces.fps).astype(int), len(truth) - 1)]
        follows, chance = pearson(faces.new[visible], truth[visible]), pearson(faces.old[visible], truth[visible])
        lag = mouth_lag(faces.new, truth)[0]
    masks = mouth_mask(faces.crop).numpy()[visible]
    before, after = faces.before[visible], faces.after[visible]
    mouth = torch.from_numpy(masks.mean(0) > 0.5)
    return Measured(
        *(
            film,
            sound.stem,
            len(visible),
            int((~visible).sum()),
            follows,
            lag,
            pearson(faces.new[visible], faces.old[visible]),
        ),
        *(chance, *seam(before, after, masks), flicker(after, mouth) / max(flicker(before, mouth), 1e-6)),
        float("nan") if strength is None else strength,
    )


def write_picture(path: Path, faces: Faces) -> None:
    """Some crops of the film above those of the dubbed one."""
    chosen = np.linspace(0, len(faces.before) - 1, SHOWN + 2).round().astype(int)[1:-1]
    rows = [np.concatenate(list(crops[chosen]), axis=1) for crops in (faces.before, faces.after)]
    cv2.imwrite(str(path), cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR))


def table(rows: list[Measured]) -> str:
    """The rows as a Markdown table, their means below."""
    names = [field.name for field in fields(Measured)]
    lines = [names, ["---", "---", *["---:"] * (len(names) - 2)]]
    lines += [[formatted(value) for value in asdict(row).values()] for row in rows]
    means = [
        np.nanmean([np.abs(getattr(row, name)) if name == "lag" else getattr(row, name) for row in rows])
        for name in names[2:]
    ]
    lines.append(["mean", "", *(formatted(float(mean)) for mean in means)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def formatted(value: object) -> str:
    return f"{value:.2f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    run_program(main)
