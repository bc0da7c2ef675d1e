"""Quality of a landmark completion on people and voices it never saw, set by set.

    python -m benchmarks.landmark_completion SET/val [SET/val ...] --model NAME|FILE [--ear FILE] [--out DIR]

Each clip's own sound, clean, over its own pose, with references from its other half, which cannot tell the answer; the
same in silence and with another clip's sound, whose words nothing but the sound can tell. No picture is made or read. A
mouth is open a quarter of the way from shut lips to speaking ones, in the true landmarks.
"""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.ending import run_program
from talkface_core.acoustic.hearing import OutsideEar, pick_ear
from talkface_core.acoustic.model import ACOUSTIC
from talkface_core.checkpoints import find_checkpoint, read_checkpoint
from talkface_core.components import build
from talkface_core.datasets.clips import ClipSet
from talkface_core.evaluation.table import Report, Row
from talkface_core.landmark_diffusion.completion import COMPLETION
from talkface_core.landmark_diffusion.completion_stream import CompletionModel
from talkface_core.landmark_diffusion.training.completion_batches import LandmarkClip, read_landmark_clips
from talkface_core.landmark_diffusion.training.completion_scores import LandmarkScores, completion_scores
from talkface_core.landmark_diffusion.training.recipe_completion import hear_clips
from talkface_core.media.audio import analysis_audio

TARGETS = {
    "opening": (0.85, None),
    "spread": (0.85, 1.1),
    "error": (None, 0.45),
    "closed": (0.9, None),
    "shut": (None, None),
    "silence": (None, 0.02),
    "jitter": (None, 1.1),
    "other": (None, None),
    "other_closed": (None, None),
    "footage": (None, 0.05),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, nargs="+", metavar="SPLIT", help="folders of clips with truth")
    parser.add_argument("--model", required=True, metavar="NAME|FILE")
    parser.add_argument("--acoustic", metavar="NAME|FILE", help="default: the model's own")
    parser.add_argument("--ear", metavar="FILE", help="default: bundled; none: the acoustic model alone")
    parser.add_argument("--most", type=int, default=1000, metavar="N", help="clips of each set, evenly chosen")
    parser.add_argument("--out", type=Path, metavar="DIR")
    args = parser.parse_args()
    checkpoint = read_checkpoint(find_checkpoint(args.model))
    net = build(checkpoint, COMPLETION)
    hears = read_checkpoint(find_checkpoint(args.acoustic)) if args.acoustic else checkpoint
    acoustic = None if net.config.published else build(hears, ACOUSTIC)
    ear = pick_ear(args.ear)(acoustic)
    if ear is not None:
        ear.check(acoustic)
    rows = []
    for folder in args.data:
        clips = read_landmark_clips(folder)
        clips = clips[:: max(len(clips) // args.most, 1)]
        with torch.inference_mode():
            heard = hear_clips(acoustic, clips)
            if ear is not None:
                heard = replace(heard, clips=heard_by(ear, folder, clips))
            scores = completion_scores(CompletionModel(net, acoustic).eval(), clips, heard)
        mean = LandmarkScores.mean(scores)
        for field in fields(LandmarkScores):
            by_clip = {clip.name: getattr(score, field.name) for clip, score in zip(clips, scores, strict=True)}
            name = f"{folder.parent.name}/{folder.name}"
            value = mean.get(field.name, float("nan"))
            rows.append(Row(name, field.name, value, None, "", *TARGETS[field.name], by_clip))
    about = {"model": str(args.model), "provenance": checkpoint.provenance}
    report = Report("Completed landmarks of unseen people", rows, about)
    if args.out is not None:
        args.out.mkdir(parents=True, exist_ok=True)
        report.save(args.out, "landmarks")
    print(report.markdown())


def heard_by(ear: OutsideEar, folder: Path, clips: list[LandmarkClip]) -> list[Tensor]:
    """The features [1,T,W] that an ear has of each clip's sound."""
    files, heard = {clip.name: clip for clip in ClipSet.open(folder).clips}, []
    for clip in clips:
        features = torch.cat(list(ear.stream([analysis_audio(files[clip.name].audio())])))
        heard.append(features[torch.arange(clip.frames).clamp_max(len(features) - 1)][None])
    return heard


if __name__ == "__main__":
    run_program(main)
