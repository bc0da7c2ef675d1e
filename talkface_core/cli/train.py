"""`train`: a recipe over a set of clips; the same command on a CPU, a GPU, or under `accelerate launch`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..installed import require_training
from .common import add_common, peak_rss_mb, report
from .recipes import RECIPES


def add_command(commands: Any) -> None:
    """Add the command and its flags."""
    parser = commands.add_parser("train", help="train a model", description=__doc__)
    parser.add_argument("recipe", metavar="RECIPE", choices=tuple(RECIPES), help=", ".join(RECIPES))
    parser.add_argument("--data", metavar="DIR", required=True, help="folder of clips: <clip>.mp4, .flac and .npz")
    parser.add_argument("--out", metavar="RUN", required=True, help="folder of the run: state, log, samples, weights")
    parser.add_argument("--preset", choices=("tiny", "base"), help="sizes (default: tiny)")
    parser.add_argument("--steps", type=int, metavar="N", help="steps in all (default: the recipe's)")
    parser.add_argument("--batch-size", type=int, metavar="N", help="default: the recipe's")
    parser.add_argument("--lr", type=float, help="learning rate (default: the recipe's)")
    parser.add_argument("--precision", choices=("fp32", "bf16"), help="default: the recipe's")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="default: 0")
    parser.add_argument("--max-minutes", type=float, metavar="M", help="stop after so long, with the state saved")
    parser.add_argument("--resume", action="store_true", help="go on from the run's state")
    parser.add_argument("--allow-changes", action="store_true", help="resume with other settings than the run's")
    parser.add_argument("--compile", action="store_true", help="torch.compile: faster after a slow start")
    parser.add_argument("--autoencoder", metavar="NAME|FILE", help="dae-talker: the trained autoencoder of stage 1")
    parser.add_argument("--expert", metavar="NAME|FILE", help="wav2lip: the trained lip expert (default: sync_tiny)")
    parser.add_argument(
        "--voices", metavar="DIR", action="append", help="dae-talker: other voices with truth; repeatable"
    )
    parser.add_argument(
        "--init", metavar="NAME|FILE", help="sovqae, wav2lip: weights to begin with, for one person's own"
    )
    parser.add_argument("--wav2lip", metavar="NAME|FILE", help="sovqae: half of the inputs are painted by this Wav2Lip")
    parser.add_argument("--soft", type=float, metavar="SHARE", help="sovqae: share of inputs made soft, 0 to 1")
    parser.add_argument("--cache", metavar="DIR", help="folder for decoded frames (default: RUN/cache)")
    for name, default in (("save", 1000), ("sample", 1000), ("log", 50)):
        parser.add_argument(f"--{name}-every", type=int, default=default, metavar="N", help=f"steps ({default})")
    add_common(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Train to the end, or for the time given."""
    require_training()
    for flag in ("steps", "batch_size", "lr", "max_minutes"):
        value = getattr(args, flag)
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"--{flag.replace('_', '-')} {value}: give a number above zero")
    if args.soft is not None and not 0 <= args.soft <= 1:
        raise InputError(f"--soft {args.soft}: give a share between 0 and 1")
    if args.recipe != "sovqae" and args.wav2lip is not None:
        raise InputError(f"{args.recipe} has no use for --wav2lip; leave it out")
    if args.recipe != "sovqae" and (args.init is not None or args.soft is not None):
        raise InputError(f"{args.recipe} has no use for --init or --soft; leave them out")
    for flag in ("seed", "save_every", "sample_every", "log_every"):
        if getattr(args, flag) < 0:
            raise InputError(f"--{flag.replace('_', '-')} {getattr(args, flag)}: give zero or more")
    if Path(args.out).is_file():
        raise InputError(f"run {args.out} is a file; give a folder for the run")
    from ..device import pick_device
    from ..training.engine import train

    pick_device(args.device)  # before the data is read
    plan = RECIPES[args.recipe](args)
    changes = {name: getattr(args, name) for name in ("lr", "precision") if getattr(args, name) is not None}
    result = train(
        plan.recipe,
        args.out,
        args.steps or plan.steps,
        replace(plan.config, seed=args.seed, **changes),
        save_every=args.save_every,
        sample_every=args.sample_every,
        log_every=args.log_every,
        max_seconds=None if args.max_minutes is None else 60 * args.max_minutes,
        resume=args.resume,
        allow_changes=args.allow_changes,
        device=args.device,
        prefetch=True,
        quiet=args.quiet,
    )
    summary = {
        "output": str(result.checkpoint),
        "state": str(result.state),
        "steps": result.step,
        "seconds_train": round(result.seconds, 1),
        "ended_by": result.reason,
        "peak_rss_mb": round(peak_rss_mb(), 1),
    }
    report(args, summary, f"{result.checkpoint}: {result.step} steps in {result.seconds:.0f} s")
    return 0
