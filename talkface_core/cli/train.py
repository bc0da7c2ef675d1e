"""`train`: a recipe over a set of clips; the same command on a CPU, a GPU, or under `accelerate launch`."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..installed import require_training
from ..recipes import RECIPES, make_plan, recipe_class
from .common import Parser, add_common, peak_rss_mb, report, seed_number


class RecipeParser(Parser):
    """The arguments of one recipe: its own flags are asked for when it is chosen, with the import of its module."""

    def __init__(self, *, recipe: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.recipe, self._whole = recipe, False

    def parse_known_args(
        self, args: Any = None, namespace: argparse.Namespace | None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        if not self._whole:
            require_training()
            recipe_class(self.recipe).add_arguments(self)
            self._whole = True
        parsed, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"{self.recipe} has no use for {unknown[0]}; leave it out")
        return parsed, unknown


def add_command(commands: Any) -> None:
    """Add the command, its recipes and the flags that all of them take."""
    parser = commands.add_parser("train", help="train a model", description=__doc__)
    recipes = parser.add_subparsers(
        dest="recipe",
        title="recipes",
        metavar="RECIPE",
        required=True,
        parser_class=RecipeParser,
        description="train RECIPE --help shows the flags of a recipe.",
    )
    for name, entry in RECIPES.items():
        about = entry.about
        chosen = recipes.add_parser(name, recipe=name, help=about, description=f"{about[0].upper()}{about[1:]}")
        _add_flags(chosen)
        chosen.set_defaults(run=run)


def _add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--data", metavar="DIR", required=True, help="folder of clips: <clip>.mp4, .flac and .npz")
    parser.add_argument("--out", metavar="RUN", required=True, help="folder of the run: state, log, samples, weights")
    parser.add_argument("--steps", type=int, metavar="N", help="steps in all (default: the recipe's)")
    parser.add_argument("--lr", type=float, help="learning rate (default: the recipe's)")
    parser.add_argument(
        "--precision",
        choices=("fp32", "bf16", "auto"),
        help="auto: bf16 where the device has units for it; default: the recipe's",
    )
    parser.add_argument("--seed", type=seed_number, default=0, metavar="N", help="default: 0")
    parser.add_argument("--init", metavar="NAME|FILE", help="weights to begin with, say to make them one person's own")
    parser.add_argument("--max-minutes", type=float, metavar="M", help="stop after so long, with the state saved")
    parser.add_argument("--resume", action="store_true", help="go on from the run's state")
    parser.add_argument("--allow-changes", action="store_true", help="resume with other settings than the run's")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="folder for decoded frames (default: RUN/cache)")
    for name, default in (("save", 1000), ("sample", 1000), ("log", 50)):
        parser.add_argument(f"--{name}-every", type=int, default=default, metavar="N", help=f"steps ({default})")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Train to the end, or for the time given."""
    for flag in ("steps", "lr", "max_minutes"):
        value = getattr(args, flag)
        if value is not None and not 0 < value < float("inf"):
            raise InputError(f"--{flag.replace('_', '-')} {value}: give a number above zero")
    for flag in ("save_every", "sample_every", "log_every"):
        if getattr(args, flag) < 0:
            raise InputError(f"--{flag.replace('_', '-')} {getattr(args, flag)}: give zero or more")
    if Path(args.out).is_file():
        raise InputError(f"run {args.out} is a file; give a folder for the run")
    from ..device import pick_device
    from ..training.engine import train

    pick_device(args.device)  # before the data is read
    args.cache = args.cache or Path(args.out) / "cache"
    plan = make_plan(args.recipe, args)
    changes = {name: getattr(args, name) for name in ("lr", "precision") if getattr(args, name) is not None}
    result = train(
        plan.recipe,
        args.out,
        args.steps or plan.steps,
        replace(plan.config, seed=args.seed, **changes),
        init=args.init,
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
