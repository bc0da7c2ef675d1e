"""The systems that `dub` knows: which flags are each one's own, and how its mouths are loaded."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import InputError
from ..kept import kept
from .common import EAR_HELP, check_models, seed_number

if TYPE_CHECKING:
    import torch

    from ..dubbing.model import MouthModel


@dataclass(frozen=True)
class Loaded:
    """Mouths, of which file they are, and where and in what their networks compute."""

    mouths: MouthModel
    path: Path
    device: torch.device
    dtype: torch.dtype


@dataclass(frozen=True)
class System:
    """flags: those among `OWN_FLAGS` that it has a use for; load: its mouths, as the flags say; check: raises
    InputError for flags that do not go together."""

    flags: tuple[str, ...]
    load: Callable[[argparse.Namespace], Loaded]
    check: Callable[[argparse.Namespace], None] | None = None


def _ladtalk(args: argparse.Namespace) -> Loaded:
    from ..ladtalk.model import BUNDLED, load_ladtalk
    from ..ladtalk.pipeline import LaDTalkMouths

    model = kept(load_ladtalk, args.model or BUNDLED, args.device, sovqae=args.sovqae, ear=args.ear)
    if args.texture is not None and model.sovqae is None:
        raise InputError(f"--texture {args.texture}: {model.path.name} has no SOVQAE to restore it with; give --sovqae")
    return Loaded(LaDTalkMouths.of(model, args.texture), model.path, model.device, model.dtype)


def _landmark_diffusion(args: argparse.Namespace) -> Loaded:
    from ..landmark_diffusion.model import BUNDLED, load_landmark_diffusion
    from ..landmark_diffusion.painter import Sampling
    from ..landmark_diffusion.pipeline import LandmarkMouths

    asked = {name: getattr(args, name) for name in ("steps", "seed", "guidance") if getattr(args, name) is not None}
    sampling, strength = Sampling(**asked), 1.0 if args.strength is None else args.strength
    model = kept(load_landmark_diffusion, args.model or BUNDLED, args.device, vae=args.vae, ear=args.ear)
    mouths: MouthModel = LandmarkMouths.of(model, sampling, strength)
    if args.sovqae is not None:
        from ..ladtalk.model import load_sovqae
        from ..ladtalk.restored import RestoredMouths

        mouths = RestoredMouths(mouths, kept(load_sovqae, args.sovqae, args.device), args.texture)
    return Loaded(mouths, model.path, model.device, model.dtype)


def _check_landmark_diffusion(args: argparse.Namespace) -> None:
    if args.texture is not None and args.sovqae is None:
        raise InputError(f"--texture {args.texture}: nothing restores it; give --sovqae, say ladtalk_tiny")


def _check_dae_talker(args: argparse.Namespace) -> None:
    if args.model is None:
        raise InputError(
            "dae-talker: no model that dubs is bundled; convert DiffDub's public files (models --convert "
            "stage1_state_dict.ckpt stage2_state_dict.ckpt -o diffdub.safetensors) and give it with --model"
        )
    if args.hubert is None:
        raise InputError(
            "dae-talker: --hubert is missing: the folder of the HuBERT-large that the model was trained on (in "
            "transformers' form), or its hidden states of this sound as .npy"
        )


def _dae_talker(args: argparse.Namespace) -> Loaded:
    from ..dae_talker.inpainting import Inpainting
    from ..dae_talker.model import load_dubber
    from ..dae_talker.mouths import InpaintedMouths
    from ..speech.hidden_states import hidden_states_from

    settings = Inpainting(steps=args.steps, seed=args.seed or 0)
    model = kept(load_dubber, args.model, args.device)
    mouths = InpaintedMouths.of(model, kept(hidden_states_from, args.hubert, model.device), settings)
    return Loaded(mouths, model.path, model.device, model.dtype)


SYSTEMS = {
    "ladtalk": System(("sovqae", "texture", "ear"), _ladtalk),
    "landmark-diffusion": System(
        ("sovqae", "texture", "steps", "seed", "guidance", "strength", "vae", "ear"),
        _landmark_diffusion,
        _check_landmark_diffusion,
    ),
    "dae-talker": System(("steps", "seed", "hubert"), _dae_talker, _check_dae_talker),
}
DEFAULT = "ladtalk"
OWN_FLAGS = tuple(dict.fromkeys(flag for system in SYSTEMS.values() for flag in system.flags))


def add_own_flags(parser: argparse.ArgumentParser) -> None:
    """The flags that not all systems have a use for; none has a default here."""
    parser.add_argument("--system", choices=tuple(SYSTEMS), default=DEFAULT, help=f"who does it (default: {DEFAULT})")
    parser.add_argument(
        "--sovqae",
        metavar="NAME|FILE",
        help="take texture from this checkpoint: one person's own (default: --model's; landmark-diffusion: none)",
    )
    parser.add_argument(
        "--texture", type=float, metavar="0..1", help="how far texture is restored (default: to the video's sharpness)"
    )
    parser.add_argument("--ear", metavar="NAME|FILE", help=f"ladtalk, landmark-diffusion: {EAR_HELP}")
    group = parser.add_argument_group("of dae-talker, which dubs with a model that you bring")
    group.add_argument(
        "--hubert",
        metavar="FOLDER|FILE",
        help="the HuBERT-large that --model was trained on, in transformers' form, or its hidden states (.npy)",
    )
    group = parser.add_argument_group("of landmark-diffusion and dae-talker")
    group.add_argument("--steps", type=int, metavar="N", help="of diffusion (default: 4; dae-talker: the model's, 20)")
    group.add_argument("--seed", type=seed_number, metavar="N", help="of the noise that all frames share (default: 0)")
    group = parser.add_argument_group("of landmark-diffusion")
    group.add_argument("--guidance", type=float, metavar="N", help="against the mouth at rest (default: the model's)")
    group.add_argument(
        "--vae", metavar="FILE", help="Stable Diffusion's VAE, for a --model that was trained in its space"
    )
    group.add_argument("--strength", type=float, metavar="N", help="of the mouth's motion, 0 to 2 (default: 1)")


def check_mouths(args: argparse.Namespace) -> None:
    """Raises InputError for flags that the chosen system has no use for, or lacks, and for files that are no models;
    loads nothing."""
    system = SYSTEMS[args.system]
    for flag in OWN_FLAGS:
        if getattr(args, flag) is not None and flag not in system.flags:
            others = " or ".join(name for name, other in SYSTEMS.items() if flag in other.flags)
            raise InputError(
                f"--{flag} {getattr(args, flag)}: {args.system} has no use for it; leave it out, or give --system "
                f"{others}"
            )
    check_models(args)
    if args.model is not None:
        from ..checkpoints import find_checkpoint, read_header

        found = [name.replace("_", "-") for name in read_header(find_checkpoint(args.model)).systems]
        if args.system not in found and found[0] in SYSTEMS:
            raise InputError(f"--model {args.model}: a model of {found[0]}; give --system {found[0]}")
    if args.texture is not None and not 0 <= args.texture <= 1:
        raise InputError(f"--texture {args.texture}: give 0 (nothing is restored) to 1, or leave it out")
    if system.check is not None:
        system.check(args)


def load_mouths(args: argparse.Namespace) -> Loaded:
    """The mouths of the chosen system. Raises InputError, also as `check_mouths` does."""
    check_mouths(args)
    return SYSTEMS[args.system].load(args)
