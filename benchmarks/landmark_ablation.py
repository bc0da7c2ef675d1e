"""What each part of landmark diffusion is worth: the ablations that the paper's figure 4 names, equal steps and data.

    python -m benchmarks.landmark_ablation --data SET/train --val SPLIT… --autoencoder NAME --completion NAME --out DIR

Arms: full; w/o End2End (all steps with true landmarks, none through the picture); w/o M-Align; w/o R-Align. Every arm
begins with the same autoencoder and completion, is trained for `--steps` + `--joint-steps` steps once for each seed,
and dubs the same clips of people never seen with their own words through the pipeline, references elsewhere. Runs are
kept in DIR and resumed; the table has each arm's mean and, in [95 % intervals] over the clips of all seeds, what it
lies above the full system. The paper's identity score needs a face recogniser, of which none may be bundled: SSIM and
the lips' colour stand in its place.
"""

from __future__ import annotations

import argparse
import json
from argparse import Namespace
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from benchmarks.ending import run_program
from benchmarks.mouth_models import kept_away, load_mouths
from benchmarks.mouth_quality import AWAY, Footage
from talkface_core.checkpoints import find_checkpoint, read_checkpoint
from talkface_core.cli.main import make_parser
from talkface_core.datasets.clips import ClipSet
from talkface_core.evaluation.intervals import bootstrap
from talkface_core.faces.align import crop_faces
from talkface_core.faces.bundled import load_bundled
from talkface_core.joining import Joint
from talkface_core.media.audio import analysis_audio
from talkface_core.recipes import make_plan
from talkface_core.speech.features import LogMel
from talkface_core.sync.score import sync_score
from talkface_core.sync.syncnet import SyncNet, load_syncnet
from talkface_core.training.arguments import above_zero
from talkface_core.training.engine import train

MEASURES = {
    "sync confidence": "sync confidence",
    "opening": "opening r",
    "of the shut mouth's": "landmark error, of a shut mouth's",
    "mouth spread": "spread of the opening",
    "mouth psnr": "PSNR",
    "mouth ssim": "SSIM",
    "mouth colour": "colour distance of the lips",
}


Scores = dict[str, dict[int, dict[str, list[float]]]]
"""By arm, seed and measure, the value of each clip."""


@dataclass(frozen=True)
class Arm:
    """One ablation: alignments that are left out, and whether it is trained end to end."""

    name: str
    without: tuple[str, ...] = ()
    joint: bool = True


ARMS = (
    Arm("full"),
    Arm("w/o End2End", joint=False),
    Arm("w/o M-Align", ("m-align",)),
    Arm("w/o R-Align", ("r-align",)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="clips to train on")
    parser.add_argument("--val", nargs="+", type=Path, required=True, metavar="SPLIT", help="clips to measure on")
    parser.add_argument("--autoencoder", required=True, metavar="NAME|FILE")
    parser.add_argument("--completion", required=True, metavar="NAME|FILE")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--steps", type=int, default=1000, metavar="N", help="with true landmarks (default: 1000)")
    parser.add_argument("--joint-steps", type=int, default=300, metavar="N", help="end to end (default: 300)")
    parser.add_argument("--batch-size", type=int, metavar="N", help="faces of the first stage (default: the recipe's)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1], metavar="N", help="default: 0 1")
    parser.add_argument("--clips", type=above_zero(int), default=4, metavar="N", help="of each split (default: 4)")
    parser.add_argument("--frames", type=above_zero(int), default=75, metavar="N", help="of each clip (default: 75)")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="folder for decoded frames (default: OUT/cache)")
    args = parser.parse_args()
    for name in (args.autoencoder, args.completion):
        read_checkpoint(find_checkpoint(name))  # the completion is needed only when an arm has been trained
    args.out.mkdir(parents=True, exist_ok=True)
    args.cache = args.cache or args.out / "cache"
    reader, expert = load_bundled(), load_syncnet("sync_tiny")
    clips = [clip for split in args.val for clip in _spread(ClipSet.open(split).clips, args.clips)]
    footage = [Footage(clip, reader, args.frames) for clip in tqdm(clips, desc="footage")]
    scores: Scores = {arm.name: {} for arm in ARMS}
    for seed in args.seeds:
        for arm in ARMS:
            file = trained(arm, seed, args)
            scores[arm.name][seed] = measured(file, footage, expert, args.out / f"{file.stem}.png")
    about = {"steps": f"{args.steps} + {args.joint_steps}", "seeds": args.seeds, "clips": len(footage)}
    text = json.dumps({"about": about, "scores": scores}, indent=2) + "\n"
    (args.out / "landmark_ablation.json").write_text(text, encoding="utf-8")
    print(table(scores))


def trained(arm: Arm, seed: int, args: Namespace) -> Path:
    """The checkpoint of an arm, with everything in it that dubbing needs."""
    label = f"{arm.name.replace('/', '').replace(' ', '_')}_{seed}"
    file = args.out / f"{label}.safetensors"
    if file.is_file():
        return file
    left_out = [word for name in arm.without for word in ("--without", name)]
    steps = args.steps if arm.joint else args.steps + args.joint_steps
    size = ["--batch-size", args.batch_size] if args.batch_size else []
    first = _run("landmark-diffusion", label, seed, steps, ["--autoencoder", args.autoencoder, *left_out, *size], args)
    listener = read_checkpoint(find_checkpoint(args.completion))
    if arm.joint:
        parts = ["--completion", args.completion, "--painter", first]
        joint = Joint.of(_run("landmark-end-to-end", f"{label}_joint", seed, args.joint_steps, parts, args))
    else:
        joint = Joint.of(first)
        joint.states, joint.configs = {**listener.states, **joint.states}, {**listener.configs, **joint.configs}
    joint.save(file)
    return file


def _run(recipe: str, label: str, seed: int, steps: int, more: list[object], args: Namespace) -> Path:
    out = args.out / label
    words = [
        "train",
        recipe,
        "--data",
        args.data,
        "--out",
        out,
        "--cache",
        args.cache,
        "--seed",
        seed,
        "--quiet",
        *more,
    ]
    planned = make_plan(recipe, make_parser().parse_args([str(word) for word in words]))
    options = {"save_every": 50, "sample_every": 0, "log_every": 25, "prefetch": True, "quiet": True}
    began = (out / "state.safetensors").is_file()
    return train(planned.recipe, out, steps, planned.config, resume=began, **options).checkpoint


def measured(file: Path, footage: list[Footage], expert: SyncNet, picture: Path) -> dict[str, list[float]]:
    """Each measure of each clip, dubbed with its own words."""
    mouths, values, rows = load_mouths(file), defaultdict(list), []
    for clip in footage:
        frames = clip.dubbed(kept_away(mouths, round(AWAY * float(clip.clip.fps))), clip.words())
        found = clip.measured(frames)
        mel = LogMel()(analysis_audio(clip.clip.audio()))
        crops = crop_faces(frames, clip.crop.resized(expert.config.size))
        found["sync confidence"] = sync_score(expert, crops, mel).confidence
        for name in MEASURES:
            values[name].append(found[name])
        rows.append(clip.picture([clip.frames, frames]))
    cv2.imwrite(str(picture), cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR))
    return {MEASURES[name]: numbers for name, numbers in values.items()}


def table(scores: Scores) -> str:
    """Measures by arms: means over seeds and clips, their differences to the full system clip by clip in intervals,
    and where there are several seeds how far their means lie apart."""
    full, *others = (arm.name for arm in ARMS)
    lines = [f"| measure | {full} | {' | '.join(others)} |", "|---|" + "---|" * len(ARMS)]
    for measure in MEASURES.values():
        each = {arm: np.array([of[measure] for of in scores[arm].values()]) for arm in (full, *others)}
        cells = []
        for arm, values in each.items():
            cell = f"{np.nanmean(values):.3g}"
            if len(values) > 1:
                cell += f" (seeds {np.ptp(np.nanmean(values, 1)):.2g} apart)"
            apart = None if arm == full else bootstrap((values - each[full]).ravel().tolist())
            cells.append(cell if apart is None else f"{cell} [{apart[0]:+.2g}, {apart[1]:+.2g}]")
        lines.append(f"| {measure} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _spread(clips: tuple, count: int) -> list:
    """So many clips, evenly spread over all."""
    return [clips[n] for n in np.unique(np.linspace(0, len(clips) - 1, count).round().astype(int))]


if __name__ == "__main__":
    run_program(main)
