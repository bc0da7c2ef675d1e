"""Every registered recipe on a toy set, a few steps of it.

Also as a program, one of several processes that train together: `python -m tests.training.every FOLDER MEETING`.
"""

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import torch

from talkface_core.acoustic.model import load_acoustic
from talkface_core.cli.main import make_parser
from talkface_core.recipes import RECIPES, make_plan
from talkface_core.training.engine import TrainResult, train
from talkface_core.training.recipe import Plan
from tests.acoustic.small_ear import save_small_whisper
from tests.dae_talker.small import save_small_talker
from tests.ladtalk.small_ladtalk import save_small_ladtalk
from tests.landmark_diffusion.small_completion import save_small_acoustic
from tests.landmark_diffusion.small_painter import save_small_listener, save_small_painter
from tests.see_the_speaker.small_motion import save_small_motion
from tests.see_the_speaker.small_portrait import save_small_portrait, write_people, write_voices

FIXTURES = Path(__file__).parents[1] / "fixtures"
STEPS = 2
COMPARED = {"sync", "see-the-speaker-conre"}
"""Recipes whose loss compares the samples of a batch with each other."""
NEEDED: dict[str, Callable[[Path], Sequence[object]]] = {
    "dae-talker": lambda folder: (
        *("--autoencoder", save_small_talker(folder / "talker.safetensors")),
        *("--acoustic", save_small_acoustic(folder / "acoustic.safetensors")),
    ),
    "landmark-completion": lambda folder: ("--acoustic", save_small_acoustic(folder / "acoustic.safetensors")),
    "landmark-diffusion": lambda folder: ("--autoencoder", save_small_painter(folder / "painter.safetensors")),
    "landmark-end-to-end": lambda folder: (
        *("--completion", save_small_listener(folder / "listener.safetensors")),
        *("--painter", save_small_painter(folder / "painter.safetensors")),
    ),
    "see-the-speaker-codebook": lambda _: ("--autoencoder", "ladtalk_tiny"),
    "see-the-speaker-portrait-space": lambda folder: ("--data", people(folder)),
    "see-the-speaker-conre": lambda folder: portrait_files(folder),
    "see-the-speaker-portrait": lambda folder: (
        *portrait_files(folder),
        *("--conre", folder / "portrait.safetensors"),
    ),
    "see-the-speaker-motion": lambda folder: ("--acoustic", save_small_acoustic(folder / "acoustic.safetensors")),
    "see-the-speaker-renderer": lambda _: ("--adversarial",),
    "see-the-speaker-lips": lambda folder: (
        *("--motion", save_small_motion(folder / "motion.safetensors")),
        *("--expert", "sync_tiny"),
    ),
    "wav2lip-hearing": lambda folder: (
        *("--lips", save_small_ladtalk(folder / "ladtalk.safetensors")),
        *("--acoustic", save_small_acoustic(folder / "acoustic.safetensors")),
    ),
    "whisper-ear": lambda folder: (
        *("--whisper", save_small_whisper(folder / "whisper.safetensors")),
        *("--acoustic", save_small_acoustic(folder / "of_points.safetensors", mouths=41)),  # as the clip's truth
    ),
    "whisper-ear-tuning": lambda folder: of_points(folder),
    "dae-talker-upsampler": lambda folder: ("--talker", save_small_talker(folder / "talker.safetensors")),
}
"""What a recipe's command line needs besides the data, made in a folder."""


def of_points(folder: Path) -> Sequence[object]:
    """A small ear of a small acoustic model whose mouths are the clip's truth, and both files."""
    acoustic = save_small_acoustic(folder / "of_points.safetensors", mouths=41)
    ear = save_small_whisper(folder / "ear.safetensors", load_acoustic(acoustic))
    return "--ear", ear, "--acoustic", acoustic


def people(folder: Path) -> Path:
    """Stills of two people in `folder`/people/train, and their voices in `folder`/voices."""
    made = folder / "people" / "train"
    if not made.is_dir():
        write_people(made, 2, 256)
        write_voices(folder / "voices", 2)
    return made.parent


def portrait_files(folder: Path) -> Sequence[object]:
    """What both later stages of portraits need: people, voices, and a small space."""
    made, space = people(folder), save_small_portrait(folder / "portrait.safetensors")
    return "--data", made, "--space", space, "--voices", folder / "voices"


def toy_set(folder: Path) -> None:
    """A set of the fixture's clip in `folder`/set: twice to train on, once to measure on."""
    for name in ("train/a", "train/b", "val/c"):
        for suffix in (".mp4", ".flac", ".npz"):
            clip = folder / "set" / f"{name}{suffix}"
            clip.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(FIXTURES / f"ada_talks{suffix}", clip)


def plan(name: str, folder: Path, *more: object) -> Plan:
    """A registered recipe on the toy set, as its command line makes it, with the smallest batches and in float32."""
    words = ["train", name, "--data", folder / "set", "--out", folder / name, "--cache", folder / "cache"]
    words += ["--device", "cpu", "--quiet", *NEEDED.get(name, lambda _: ())(folder), *more]
    args = make_parser().parse_args([str(word) for word in words])
    if hasattr(args, "batch_size"):
        args.batch_size = 2 if name in COMPARED else 1
    with patch("talkface_core.faces.recipe_batches.TEXTURES", 4):  # 400 take seconds to draw
        planned = make_plan(name, args)
    return replace(planned, config=replace(planned.config, precision="fp32", warmup=0))


def begin(name: str, folder: Path) -> Path:
    """Where the checkpoint to begin with lies: with it, no recipe puts any of its losses off until later."""
    return folder / "begin" / f"{name}.safetensors"


def run(name: str, folder: Path, out: Path, **options: object) -> TrainResult:
    """Train for a few steps from `begin`, up to state and checkpoint."""
    planned = plan(name, folder, "--init", begin(name, folder))
    settings = {"sample_every": 0, "log_every": 1, "device": "cpu", "quiet": True, **options}
    return train(planned.recipe, out, STEPS, planned.config, init=begin(name, folder), **settings)


if __name__ == "__main__":
    folder, meeting = map(Path, sys.argv[1:])
    rank, size = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE"))
    torch.distributed.init_process_group("gloo", f"file://{meeting}", rank=rank, world_size=size)
    for name in RECIPES:
        print(name, flush=True)
        run(name, folder, folder / "pair" / name, sample_every=1)
    torch.distributed.destroy_process_group()
