"""Quality of a Wav2Lip generator on people it never saw: the table of the model card, and pictures to look at.

    python -m benchmarks.wav2lip_quality --data DATASET/val --out DIR [--model NAME|FILE] [--expert NAME|FILE]

Every clip is dubbed three times over its own footage, cut out by the landmarks of the truth and pasted back: with its
own words, the references being frames of like pose a second or more away so that they cannot tell the answer; with
another person's words, the references being those of the pipeline; and with silence. The bundled face reader, told
where the face is, reads mouths off the pasted frames; the real frames are read beside. A mouth is open a quarter of the
way from shut lips to speaking ones, as read in the real frames.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.ending import run_program
from talkface_core.acoustic.hearing import pick_ear
from talkface_core.checkpoints import find_checkpoint, read_checkpoint
from talkface_core.correlation import mouth_lag, pearson
from talkface_core.datasets.aligned_faces import clip_crop
from talkface_core.datasets.clips import Clip, ClipSet
from talkface_core.dubbing.reference_mouths import ReferenceMouths
from talkface_core.dubbing.references import choose_references
from talkface_core.evaluation.metrics import open_share, psnr
from talkface_core.evaluation.mouths import MouthScores, compare_mouths
from talkface_core.evaluation.table import Report, Row
from talkface_core.faces.align import FaceCrop, crop_faces
from talkface_core.faces.bundled import BundledDetector, load_bundled
from talkface_core.faces.geometry import transform
from talkface_core.faces.landmarks import MOUTH, landmark_distance, mouth_opening
from talkface_core.faces.paste import paste_faces
from talkface_core.ladtalk.hearing import listen
from talkface_core.ladtalk.model import Wav2LipModel, build_wav2lip_model
from talkface_core.ladtalk.repaint import repaint
from talkface_core.ladtalk.training_repainted import elsewhere
from talkface_core.ladtalk.wav2lip import SYSTEM, picture_size
from talkface_core.media.audio import analysis_audio
from talkface_core.media.source import MemoryAudio
from talkface_core.media.timebase import SAMPLE_RATE
from talkface_core.pixels import to_bytes, to_unit
from talkface_core.speech.features import LogMel
from talkface_core.sync.score import sync_score
from talkface_core.sync.syncnet import load_syncnet
from talkface_core.training.arguments import above_zero

PSNR_SIDE = 96
SHOWN = 8  # frames of a clip in the pictures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="SPLIT", help="folder of clips with truth")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--model", default="ladtalk_tiny", metavar="NAME|FILE")
    parser.add_argument("--expert", default="sync_tiny", metavar="NAME|FILE")
    parser.add_argument("--clips", type=above_zero(int), metavar="N", help="the first N clips (default: all)")
    parser.add_argument("--every", type=above_zero(int), default=1, metavar="K", help="each K-th clip (default: 1)")
    parser.add_argument("--ear", metavar="NAME|FILE", help="default: bundled; none: the acoustic model alone")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    checkpoint = read_checkpoint(find_checkpoint(args.model), SYSTEM)
    lips = build_wav2lip_model(checkpoint, dtype=torch.bfloat16, ears=pick_ear(args.ear, dtype=torch.bfloat16))
    expert, reader = load_syncnet(args.expert), load_bundled()
    clips = ClipSet.open(args.data)
    chosen = clips.clips[:: args.every][: args.clips]
    waves = [analysis_audio(clip.audio()) for clip in chosen]
    sounds = [LogMel()(wave) for wave in waves]
    values: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    for index, clip in enumerate(tqdm(chosen, desc=clips.name)):
        other = (index + len(chosen) // 2) % len(chosen)
        dubbed = Dubbing(lips, clip)
        truth = dubbed.truth
        generated = dubbed.speak(waves[index], dubbed.elsewhere())
        theirs = dubbed.speak(waves[other], dubbed.hushed())
        hushed = dubbed.speak(torch.zeros_like(waves[index]), dubbed.hushed())
        real, own, new, still = (dubbed.read(reader, frames) for frames in (dubbed.frames, generated, theirs, hushed))
        # A quarter of the way from shut lips to speaking ones, as the reader sees them in the real frames.
        shut = truth["mouth_open"] <= 0
        threshold = float(0.75 * mouth_opening(real)[shut].mean() + 0.25 * mouth_opening(real)[~shut].mean())
        scores = {
            "own words": {
                **mouth_errors(own, real, truth, dubbed.closed()),
                "psnr": float(dubbed.inside(generated)),
                "closed": closures(own, truth, threshold),
                **{f"mouth {name}": value for name, value in asdict(dubbed.compare(generated, own, real)).items()},
                **sync(expert, dubbed, generated, sounds[index]),
            },
            "other words": {
                "opening": pearson(*equal(mouth_opening(new), chosen[other].truth()["mouth_open"])),
                "lag": float(mouth_lag(*equal(mouth_opening(new), chosen[other].truth()["mouth_open"]))[0]),
                "opening of the footage": pearson(mouth_opening(new), truth["mouth_open"]),
                **sync(expert, dubbed, theirs, sounds[other]),
            },
            "silence": {"open": open_share(mouth_opening(still), threshold=threshold)},
            "real": {
                "opening": pearson(mouth_opening(real), truth["mouth_open"]),
                "mouth error": float(landmark_distance(real, truth["landmarks"]).mean()),
                "open": open_share(mouth_opening(real), threshold=threshold),
                "closed": closures(real, truth, threshold),
                **sync(expert, dubbed, dubbed.frames, sounds[index]),
            },
        }
        for group, measures in scores.items():
            for name, value in measures.items():
                values[group, name][clip.name] = value
        picture = dubbed.picture((dubbed.frames, generated, theirs, hushed))
        cv2.imwrite(str(args.out / f"{clip.name}.png"), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    report = as_report(values, {"model": str(args.model), "data": clips.name, "provenance": checkpoint.provenance})
    report.save(args.out, "quality")
    print(report.markdown())


class Dubbing:
    """One clip, its face cut out, ready to be given other words."""

    def __init__(self, lips: Wav2LipModel, clip: Clip) -> None:
        self.lips, self.net, self.truth = lips, lips.wav2lip, clip.truth()
        self.frames = np.stack(list(clip.decode()))
        self.crop: FaceCrop = clip_crop(clip, picture_size(self.net.config))
        self.crops = crop_faces(self.frames, self.crop)

    def elsewhere(self) -> NDArray[np.uint8]:
        """For each frame crops of the most alike poses among those a second or more away [T,R,S,S,3]."""
        return self.crops[elsewhere(self.crop.landmarks.numpy(), self.net.config.references)]

    def hushed(self) -> NDArray[np.uint8]:
        """For each frame what the pipeline shows beside it: itself with a shut mouth from another moment."""
        count = len(self.crops)
        everywhere, whole = np.ones(count, bool), [slice(0, count)]
        chosen = choose_references(self.crop, everywhere, whole, self.net.config.references)
        cut = {int(k): self.crops[k] for k in np.unique(chosen)}
        faces = rearrange(to_unit(torch.from_numpy(self.crops)), "n h w c -> n c h w")
        references = ReferenceMouths(self.crop, chosen, cut).composite(faces, range(count))
        return to_bytes(rearrange(references, "n r c h w -> n r h w c")).numpy()

    def speak(self, wave: torch.Tensor, references: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Whole frames that say a sound [n] at 16 kHz."""
        speech = listen(self.lips, MemoryAudio(wave[None, None], SAMPLE_RATE), 25).at(range(len(self.crops)))
        return paste_faces(self.frames, repaint(self.net, self.crops, speech, references), self.crop)

    def closed(self) -> NDArray[np.float32]:
        """The landmarks [T,68,2] in pixels of somebody who never opens the mouth: the baseline."""
        points, shut = self.crop.landmarks.numpy().copy(), self.truth["mouth_open"] <= 0
        points[:, MOUTH] = points[shut if shut.any() else slice(None), MOUTH].mean(0)
        back = self.crop.inverse().numpy()
        return np.einsum("tij,tnj->tni", back[:, :, :2], points) + back[:, None, :, 2]

    def read(self, reader: BundledDetector, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Landmarks [T,68,2] that the reader finds in frames, told where the face is."""
        faces = reader.follow(frames, torch.from_numpy(self.closed()))
        return np.stack([face.landmarks.numpy() for face in faces])

    def inside(self, frames: NDArray[np.uint8]) -> float:
        """PSNR of the crop's lower half against the real one, in dB."""
        crop, half = self.crop.resized(PSNR_SIDE), PSNR_SIDE // 2
        made, real = (crop_faces(pictures, crop)[:, half:] for pictures in (frames, self.frames))
        return float(psnr(made, real).mean())

    def compare(self, frames: NDArray[np.uint8], read: NDArray[np.float32], real: NDArray[np.float32]) -> MouthScores:
        """The scores of whole frames beside the real ones, of which landmarks [T,68,2] were read."""
        crop = self.crop.resized(256)
        points = (transform(crop.matrices, torch.from_numpy(part)).numpy() for part in (read, real))
        return compare_mouths(crop_faces(frames, crop), crop_faces(self.frames, crop), *points)

    def picture(self, rows: tuple[NDArray[np.uint8], ...]) -> NDArray[np.uint8]:
        """Some crops of each set of frames: real, own words, other words, silence."""
        at = np.linspace(5, len(self.frames) - 6, SHOWN).astype(int)
        large = self.crop.resized(192).at(at.tolist())
        return np.concatenate([np.concatenate(list(crop_faces(frames[at], large)), 1) for frames in rows])


def mouth_errors(
    read: NDArray[np.float32], real: NDArray[np.float32], truth: dict, closed: NDArray[np.float32]
) -> dict[str, float]:
    """How mouths that were read off frames agree with those of the real frames, beside a mouth that stays shut.

    Distances are those between two readings, so that what the reader always sees a little aside does not count; the
    column of the real video is the reader's own distance from the truth.
    """
    error = landmark_distance(read, real).mean()
    baseline = landmark_distance(closed, truth["landmarks"]).mean()
    return {
        "opening": pearson(mouth_opening(read), truth["mouth_open"]),
        "lag": float(mouth_lag(mouth_opening(read), truth["mouth_open"])[0]),
        "mouth error": float(error),
        "of the shut mouth's": float(error / baseline),
    }


def closures(read: NDArray[np.float32], truth: dict, threshold: float) -> float:
    """Share of p, b and m (`pp_frames` of the truth) at which the mouth is shut, a frame early or late at most."""
    opening, frames = mouth_opening(read), truth["pp_frames"]
    if not len(frames):
        return float("nan")
    near = np.clip(frames[:, None] + np.arange(-1, 2), 0, len(opening) - 1)
    return float((opening[near].min(1) <= threshold).mean())


def sync(expert, dubbed: Dubbing, frames: NDArray[np.uint8], mel: torch.Tensor) -> dict[str, float]:
    """The expert's opinion on whole frames."""
    score = sync_score(expert, crop_faces(frames, dubbed.crop.resized(expert.config.size)), mel)
    return {"sync offset": float(score.offset), "sync confidence": score.confidence, "sync distance": score.distance}


def equal(a: NDArray, b: NDArray) -> tuple[NDArray, NDArray]:
    """Both cut to the shorter one."""
    count = min(len(a), len(b))
    return a[:count], b[:count]


def as_report(values: dict[tuple[str, str], dict[str, float]], about: dict) -> Report:
    """Means over the clips with their targets; |offsets| and |lags| as means of absolute values."""
    targets = {
        ("own words", "opening"): (0.8, None),
        ("own words", "of the shut mouth's"): (None, 0.5),
        ("own words", "psnr"): (34, None),
        ("own words", "closed"): (0.85, None),
        ("own words", "mouth spread"): (0.85, 1.1),
        ("own words", "mouth chroma"): (0.95, 1.05),
        ("own words", "mouth colour"): (None, 2.5),
        ("silence", "open"): (None, 0.02),
    }
    rows = []
    for (group, name), clips in values.items():
        if group == "real":
            continue

        def mean(numbers: dict[str, float], absolute: bool = name in ("lag", "sync offset")) -> float:
            values = np.array(list(numbers.values()))
            return float(np.nanmean(np.abs(values) if absolute else values))

        beside = values.get(("real", name))
        real = None if beside is None else mean(beside)
        low, high = targets.get((group, name), (None, None))
        rows.append(Row(group, name, mean(clips), real, "", low, high, clips))
    return Report("Wav2Lip on unseen people", rows, about, {})


if __name__ == "__main__":
    run_program(main)
