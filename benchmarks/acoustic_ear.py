"""How well voices never heard are heard, by the bundled acoustic model and by another ear, set by set.

    python -m benchmarks.acoustic_ear SET/val [SET/val ...] --ear FILE [--acoustic NAME|FILE] [--most N] [--out DIR]

Each clip's own sound, clean, without the gate; both give the same kind of features, which the acoustic model's own
layers read. `opening`: correlation of the mouth's opening with the truth; `spread`: its deviation by the truth's;
`visemes`: share of frames whose sound is told right.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.ending import run_program
from talkface_core.acoustic.hearing import OutsideEar, load_ear
from talkface_core.acoustic.model import AcousticModel, load_acoustic
from talkface_core.acoustic.stream import acoustic_features
from talkface_core.datasets.labelled_sounds import SpeechClip, read_voices
from talkface_core.datasets.labels import IGNORE
from talkface_core.evaluation.table import Report, Row
from talkface_core.media.audio import analysis_audio, load_audio


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", metavar="SPLIT", help="folders of sounds with truth")
    parser.add_argument("--ear", required=True, metavar="NAME|FILE", help="a converted Whisper")
    parser.add_argument("--acoustic", default="landmark_tiny", metavar="NAME|FILE")
    parser.add_argument("--most", type=int, default=1000, metavar="N", help="clips of each set, evenly chosen")
    parser.add_argument("--out", type=Path, metavar="DIR")
    args = parser.parse_args()
    acoustic, ear = load_acoustic(args.acoustic), load_ear(args.ear)
    ear.check(acoustic)
    rows: list[Row] = []
    for folder in args.data:
        clips = read_voices(folder)
        rows += set_rows(folder, clips[:: max(len(clips) // args.most, 1)], acoustic, ear)
    report = Report("Voices that were never heard", rows, {"ear": str(args.ear), "acoustic": str(args.acoustic)})
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        report.save(args.out, "ear")
    print(report.markdown())


@torch.no_grad()
def set_rows(folder: Path, clips: list[SpeechClip], acoustic: AcousticModel, ear: OutsideEar) -> list[Row]:
    """The measures of one set, of both."""
    found: dict[str, dict[str, float]] = {}
    for clip in clips:
        sound = next(path for path in sorted(folder.glob(f"{clip.name}.*")) if path.suffix in (".flac", ".wav"))
        heard = {
            "acoustic model": acoustic_features(acoustic, clip.mels[0].float()),
            "ear": torch.cat(list(ear.stream([analysis_audio(load_audio(sound))]))),
        }
        for who, features in heard.items():
            features = features[torch.arange(clip.frames).clamp_max(len(features) - 1)]
            for measure, value in measured(acoustic, features, clip).items():
                found.setdefault(f"{measure}, {who}", {})[clip.name] = value
    name = f"{folder.parent.name}/{folder.name}"
    return [
        Row(name, measure, sum(by_clip.values()) / len(by_clip), None, "", None, None, by_clip)
        for measure, by_clip in sorted(found.items())
    ]


def measured(acoustic: AcousticModel, features: Tensor, clip: SpeechClip) -> dict[str, float]:
    """What the acoustic model's layers read of features [T,W], beside the truth."""
    told: dict[str, float] = {}
    if clip.mouth is not None and clip.mouth.shape[1] == len(acoustic.mouth_mean):
        opening = acoustic.mouth(features)[:, -1]
        truth = (clip.mouth[:, -1] - acoustic.mouth_mean[-1]) / acoustic.mouth_std[-1]
        told["opening"] = float(torch.corrcoef(torch.stack([opening, truth]))[0, 1])
        told["spread"] = float(opening.std() / truth.std())
    if clip.visemes is not None and (known := clip.visemes != IGNORE).any():
        told["visemes"] = float((acoustic.viseme(features).argmax(-1) == clip.visemes)[known].float().mean())
    return told


if __name__ == "__main__":
    run_program(main)
