"""Quality of any system's mouths on people it never saw, through the pipeline that dubs: a model card's table.

    python -m benchmarks.mouth_quality --data SPLIT… --out DIR [--model NAME|FILE …] [--sovqae NAME|FILE]

Every clip is dubbed over its own footage, whose face lies where the truth says: with its own words, the references
being frames a second or more away so that they cannot tell the answer, and with silence. Each model comes as it paints
and, where there is a SOVQAE (its own, or `--sovqae`), restored. The bundled face reader, told where the face is, reads
mouths off the frames; the real frames are read beside. A mouth is open a quarter of the way from shut lips to speaking
ones, as read in the real frames. Measures of the mouth's box: `talkface_core.evaluation.mouths`.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.ending import run_program
from benchmarks.mouth_models import kept_away, load_mouths, system_of
from benchmarks.wav2lip_quality import closures, mouth_errors
from talkface_core.datasets.clips import Clip, ClipSet
from talkface_core.dubbing.model import MouthModel
from talkface_core.dubbing.pipeline import Dubbing, DubRequest
from talkface_core.errors import InputError
from talkface_core.evaluation.metrics import open_share
from talkface_core.evaluation.mouths import compare_mouths
from talkface_core.evaluation.table import Report, Row
from talkface_core.faces.align import align, crop_faces
from talkface_core.faces.bundled import BundledDetector, load_bundled
from talkface_core.faces.geometry import transform
from talkface_core.faces.landmarks import MOUTH, mouth_opening
from talkface_core.faces.track import FaceTrack, smooth
from talkface_core.faces.tracking import SMOOTHING
from talkface_core.media.audio import audio_source
from talkface_core.media.playback import TensorFrameSource
from talkface_core.media.source import AudioSource
from talkface_core.training.arguments import above_zero

SIDE, SHOWN, WINDOW, AWAY = 256, 8, 16, 1.0
TARGETS = {
    "opening": (0.8, None),
    "of the shut mouth's": (None, 0.5),
    "closed": (0.85, None),
    "mouth spread": (0.85, 1.1),
    "mouth chroma": (0.95, 1.05),
    "mouth colour": (None, 2.5),
    "open in silence": (None, 0.02),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", type=Path, required=True, metavar="SPLIT", help="clips with truth")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="for pictures and the table")
    parser.add_argument("--model", nargs="+", default=["landmark_tiny"], metavar="NAME|FILE")
    parser.add_argument("--sovqae", default="ladtalk_tiny", metavar="NAME|FILE", help="of models without their own")
    parser.add_argument("--steps", type=int, metavar="N", help="of diffusion (default: the model's)")
    parser.add_argument("--guidance", type=float, metavar="N", help="of diffusion (default: the model's)")
    parser.add_argument(
        "--clips", type=above_zero(int), metavar="N", help="the first N clips of each set (default: all)"
    )
    parser.add_argument("--every", type=above_zero(int), default=1, metavar="K", help="each K-th clip (default: 1)")
    parser.add_argument("--frames", type=above_zero(int), metavar="N", help="of a clip at most (default: all)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    models, reader = loaded(args), load_bundled()
    values: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for folder in args.data:
        clips = ClipSet.open(folder)
        for clip in tqdm(clips.clips[:: args.every][: args.clips], desc=clips.name):
            footage = Footage(clip, reader, args.frames)
            rows = [footage.frames]
            for name, mouths in models.items():
                generated = footage.dubbed(kept_away(mouths, round(AWAY * float(clip.fps))), footage.words())
                rows.append(generated)
                measures = footage.measured(generated)
                if not name.endswith(RESTORED):
                    measures["open in silence"] = footage.open_share(footage.dubbed(mouths, footage.silence()))
                for measure, value in measures.items():
                    values[name, measure][clip.name] = value
            for measure, value in footage.measured(footage.frames).items():
                values["real", measure][clip.name] = value
            cv2.imwrite(str(args.out / f"{clip.name}.png"), cv2.cvtColor(footage.picture(rows), cv2.COLOR_RGB2BGR))
    report = as_report(values, {"models": ", ".join(args.model), "data": ", ".join(map(str, args.data))})
    report.save(args.out, "mouth_quality")
    print(report.markdown())


TRUTH = ("landmarks", "mouth_open", "pp_frames")
RESTORED = " restored"


def loaded(args: argparse.Namespace) -> dict[str, MouthModel]:
    """The models as they paint, and restored."""
    models: dict[str, MouthModel] = {}
    for name in args.model:
        own = system_of(name) == "ladtalk"
        asked = {key: value for key in ("steps", "guidance") if (value := getattr(args, key)) is not None and not own}
        models[Path(name).stem] = load_mouths(name, texture=False, **asked)
        models[Path(name).stem + RESTORED] = load_mouths(name, sovqae=None if own else args.sovqae, **asked)
    return models


class Footage:
    """One clip, its truth and what the reader sees in it."""

    def __init__(self, clip: Clip, reader: BundledDetector, most: int | None) -> None:
        self.clip, self.reader = clip, reader
        self.frames = np.stack(list(clip.decode()))[:most]
        count = len(self.frames)
        truth = clip.truth()
        if missing := [key for key in TRUTH if key not in truth]:
            raise InputError(f"{clip.truth_file}: holds no {', '.join(missing)}; give clips whose truth is known")
        self.truth = {
            "landmarks": truth["landmarks"][:count],
            "mouth_open": truth["mouth_open"][:count],
            "pp_frames": (pp := np.asarray(truth["pp_frames"]))[pp < count],
        }
        points = torch.from_numpy(self.truth["landmarks"])
        seen = torch.ones(count, dtype=torch.bool)
        self.track = smooth(FaceTrack(points, seen, (clip.height, clip.width), clip.fps), SMOOTHING)
        self.crop = align(self.track, SIDE)
        self.real = self.read(self.frames)
        shut = self.truth["mouth_open"] <= 0
        opening = mouth_opening(self.real)
        self.threshold = float(0.75 * opening[shut].mean() + 0.25 * opening[~shut].mean())

    def words(self) -> AudioSource:
        """The clip's own sound."""
        return audio_source(self.clip.audio())

    def silence(self) -> AudioSource:
        """As long as the clip."""
        samples = round(16000 * len(self.frames) / float(self.clip.fps))
        return audio_source({"waveform": torch.zeros(1, 1, samples), "sample_rate": 16000})

    def dubbed(self, mouths: MouthModel, source: AudioSource) -> NDArray[np.uint8]:
        """All frames, as `dub` makes them; mouths rest where the sound is shorter."""
        film = TensorFrameSource(torch.from_numpy(self.frames), self.clip.fps)
        request = DubRequest(film, source, self.track, length="once", window=WINDOW)
        return np.concatenate(list(Dubbing(mouths, request).frames()))

    def read(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Landmarks [T,68,2] that the reader finds in frames, told where the face is but not how its mouth stands."""
        faces = self.reader.follow(frames, torch.from_numpy(self.closed()))
        return np.stack([face.landmarks.numpy() for face in faces])

    def closed(self) -> NDArray[np.float32]:
        """The landmarks [T,68,2] in pixels of somebody who never opens the mouth."""
        points, shut = self.crop.landmarks.numpy().copy(), self.truth["mouth_open"] <= 0
        points[:, MOUTH] = points[shut if shut.any() else slice(None), MOUTH].mean(0)
        return transform(self.crop.inverse(), torch.from_numpy(points)).numpy()

    def measured(self, frames: NDArray[np.uint8]) -> dict[str, float]:
        """Everything but silence, of whole frames that say the clip's own words."""
        read = self.read(frames)
        crops = (crop_faces(part, self.crop) for part in (frames, self.frames))
        points = (transform(self.crop.matrices, torch.from_numpy(part)).numpy() for part in (read, self.real))
        compared = asdict(compare_mouths(*crops, *points))
        return {
            **mouth_errors(read, self.real, self.truth, self.closed()),
            "closed": closures(read, self.truth, self.threshold),
            **{f"mouth {name}": value for name, value in compared.items()},
        }

    def open_share(self, frames: NDArray[np.uint8]) -> float:
        """Share of frames whose mouth is open."""
        return open_share(mouth_opening(self.read(frames)), threshold=self.threshold)

    def picture(self, rows: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """Some crops of each set of frames, the real ones above."""
        at = np.linspace(0, len(self.frames) - 1, SHOWN + 2).round().astype(int)[1:-1]
        large = self.crop.resized(192).at(at.tolist())
        return np.concatenate([np.concatenate(list(crop_faces(frames[at], large)), 1) for frames in rows])


def as_report(values: dict[tuple[str, str], dict[str, float]], about: dict[str, str]) -> Report:
    """Means over the clips beside those of the real frames; of lags the means of absolute values."""
    rows = []
    for (group, name), clips in values.items():
        if group != "real":
            beside = values.get(("real", name))
            real = None if beside is None or name == "mouth psnr" else _mean(name, beside)
            rows.append(Row(group, name, _mean(name, clips), real, "", *TARGETS.get(name, (None, None)), clips))
    return Report("Mouths of unseen people", rows, about, {})


def _mean(name: str, numbers: dict[str, float]) -> float:
    values = np.array(list(numbers.values()))
    return float(np.nanmean(np.abs(values) if name == "lag" else values))


if __name__ == "__main__":
    run_program(main)
