"""`models`: the checkpoints at hand and what they were made from; fetches and converts published ones."""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections import ChainMap
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from .common import add_common, report
from .public_weights import PUBLIC, find_public, public_table

if TYPE_CHECKING:
    from ..checkpoints import Checkpoint, Header


TABLES = {
    "dae_talker": "dae_talker.model",
    "ladtalk": "ladtalk.model",
    "landmark_diffusion": "landmark_diffusion.model",
    "see_the_speaker": "see_the_speaker.model",
    "sync": "sync.syncnet",
    "sync_evaluator": "sync.evaluator",
    "faces": "faces.bundled",
    "landmark-probe": "evaluation.probe",
    "whisper": "acoustic.hearing",
    "whisper_ear": "acoustic.encoded_ear",
}
"""System -> the module that holds the table of its components."""

_WIDTH = 54
"""Characters of licence and data in the list."""


def add_command(commands: Any) -> None:
    """Add the command and its flags."""
    parser = commands.add_parser("models", help="list, describe, fetch and convert models", description=__doc__)
    parser.add_argument("model", nargs="?", metavar="NAME|FILE", help="describe this one (default: list the bundled)")
    parser.add_argument(
        "--convert",
        metavar="FILE",
        nargs="+",
        help="a public checkpoint to convert: DiffAE's autoencoder (last.ckpt), Wav2Lip's generator or lip expert "
        "(wav2lip.pth, wav2lip_gan.pth, lipsync_expert.pth), whose licence allows non-commercial use only, the "
        "SyncNet that evaluates (syncnet_v2.model), Whisper's encoder (model.safetensors, base.pt), IP_LAP's landmark "
        "generator (landmarkgenerator_checkpoint.pth), "
        "for research only, RestoreFormer++, RestoreFormer or ROHQD (RestoreFormer++.ckpt, RestoreFormer.ckpt, "
        "last.ckpt), LivePortrait's networks (all files, or their folder), JoyVASA's motion generator and its template "
        "(two files), or both stages of DiffDub (stage1_state_dict.ckpt stage2_state_dict.ckpt)",
    )
    parser.add_argument(
        "--fetch",
        metavar="NAME",
        help="public weights of the list to download and convert: says what they are, their size and licence, and asks",
    )
    parser.add_argument("--yes", action="store_true", help="of --fetch: agree beforehand, for scripts")
    parser.add_argument(
        "-o",
        "--output",
        metavar="OUT.safetensors",
        help="where the converted model goes (of --fetch by default: ComfyUI's models/talkface, else here)",
    )
    add_common(parser, device=False)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """List, describe, fetch or convert."""
    from ..checkpoints import find_checkpoint, list_checkpoints, read_checkpoint, read_header

    if args.convert is not None and args.fetch is not None:
        raise InputError("--convert takes files at hand, --fetch brings them; give one of the two")
    if args.yes and args.fetch is None:
        raise InputError("--yes belongs to --fetch; name the weights to fetch")
    if args.fetch is not None:
        return _fetch(args)
    if args.convert is not None:
        return _convert(args)
    if args.output is not None:
        raise InputError("-o belongs to --convert and --fetch; name the file to convert")
    if args.model is not None:
        checkpoint = read_checkpoint(find_checkpoint(args.model))
        description = {**_described(checkpoint), "problem": _problem(checkpoint)}
        _show(args, description, json.dumps(description, indent=2))
        return 0
    models = [_described(read_header(path)) for path in list_checkpoints().values()]
    lines = [_line(model) for model in models]
    more = "models NAME tells all of one: its parts, data, licences and measured numbers"
    listed = "\n".join([*lines, more]) if lines else "no bundled models"
    _show(args, {"models": models, "public": [asdict(weights) for weights in PUBLIC]}, f"{listed}\n\n{public_table()}")
    return 0


def _fetch(args: argparse.Namespace) -> int:
    if args.model is not None:
        raise InputError(f"--fetch takes one name; what is {args.model!r} for?")
    from .fetch import ask_on_terminal, fetch

    def agreed(text: str) -> bool:
        if not args.quiet:
            print(text, file=sys.stderr)
        return True

    weights = find_public(args.fetch)
    path = fetch(weights, args.output, agreed if args.yes else ask_on_terminal, args.quiet)
    result = {"output": str(path), "public": asdict(weights)}
    report(args, result, f"{path}: written; licence of the weights: {weights.licence} ({weights.terms})")
    return 0


def _convert(args: argparse.Namespace) -> int:
    if args.model is not None:
        raise InputError(f"--convert takes files; what is {args.model!r} for?")
    if args.output is None:
        raise InputError("--convert needs -o OUT.safetensors, where the converted model goes")
    if not Path(args.output).parent.is_dir():
        raise InputError(f"output folder {Path(args.output).parent} does not exist; create it first or choose another")
    if any(Path(file).exists() and Path(args.output).resolve() == Path(file).resolve() for file in args.convert):
        raise InputError(f"-o {args.output} is the file to convert, which would be lost; name another")
    from ..checkpoints import read_header
    from .conversions import convert

    path = convert(args.convert, args.output)
    description = _described(read_header(path))
    licence, limits = (description["provenance"].get(name) for name in ("licence", "limits"))
    said = f"{path}: written; licence of the weights: {licence or 'unknown'}" + (
        f"; limits: {limits}" if limits else ""
    )
    report(args, {"output": str(path), **description}, said)
    return 0


def _described(checkpoint: Header) -> dict[str, Any]:
    counts = {name: sum(map(math.prod, shapes.values())) for name, shapes in checkpoint.shapes.items()}
    return {
        "name": checkpoint.path.stem,
        "path": str(checkpoint.path),
        "system": checkpoint.system,
        "bytes": checkpoint.path.stat().st_size,
        "parameters": sum(counts.values()),
        "components": counts,
        "provenance": checkpoint.provenance,
        "configs": checkpoint.configs,
    }


def _problem(checkpoint: Checkpoint) -> str | None:
    """Why it would not load."""
    from ..components import problem

    if unknown := [system for system in checkpoint.systems if system not in TABLES]:
        return f"the system {unknown[0]!r} is none of {', '.join(TABLES)}"
    tables = [import_module(f"..{TABLES[system]}", __package__).COMPONENTS for system in checkpoint.systems]
    return problem(checkpoint, ChainMap(*(dict(table) for table in tables)))


def _line(model: dict[str, Any]) -> str:
    """Name, system, weights, bytes, licence and data in one line."""
    provenance = model["provenance"]
    licence = str(provenance.get("licence", "licence unknown")).removeprefix("weights: ").partition(";")[0]
    origin = shorten(f"{licence}; {provenance.get('data', 'data unknown')}", _WIDTH, placeholder=" …")
    size = f"{model['parameters'] / 1e6:5.1f} M {model['bytes'] / 2**20:6.1f} MiB"
    return f"{model['name']:<24} {model['system']:<20} {size}  {origin}"


def _show(args: argparse.Namespace, result: dict[str, Any], text: str) -> None:
    # What was asked for is the output here, so it goes to stdout, for people too.
    print(json.dumps(result) if args.json else text)
