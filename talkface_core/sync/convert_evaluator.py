"""Converts the published SyncNet evaluator (syncnet_v2.model) to ours.

Source: robots.ox.ac.uk/~vgg/software/lipsync (Chung and Zisserman, 2016), with code at
github.com/joonson/syncnet_python under MIT; the weights come without a licence of their own. None of them is bundled.
"""

from __future__ import annotations

from pathlib import Path

import torch

from ..checkpoints import save_checkpoint
from ..errors import InputError
from ..foreign import module_state, renamed_state
from .evaluator import COMPONENT, SYSTEM, EvaluatorConfig, SyncEvaluator

LICENCE = "code MIT (github.com/joonson/syncnet_python); the weights are published without a licence"

_EXPECTED = "the published SyncNet evaluator (syncnet_v2.model)"
_NAMES = {"netcnnaud": "sound", "netfcaud": "sound_head", "netcnnlip": "lips", "netfclip": "lips_head"}


def recognises(path: str | Path) -> bool:
    """Whether a torch file looks like the evaluator. Raises InputError for what is no torch file."""
    return {"netcnnlip.0.weight", "netfcaud.0.weight"} <= module_state(Path(path), _EXPECTED).keys()


def convert_evaluator(path_in: str | Path, path_out: str | Path) -> Path:
    """Convert the public file to the checkpoint `path_out`, and return it. Raises InputError for any other file."""
    path_in, path_out = Path(path_in), Path(path_out)
    if path_out.suffix != ".safetensors":
        raise InputError(f"{path_out}: a checkpoint's name ends in .safetensors, not {path_out.suffix!r}.")
    net, config = read_evaluator(path_in)
    provenance = {
        "source": "SyncNet (Chung and Zisserman 2016), robots.ox.ac.uk/~vgg/software/lipsync",
        "licence": LICENCE,
        "file": path_in.name,
    }
    save_checkpoint(path_out, SYSTEM, {COMPONENT: net}, {COMPONENT: config.to_dict()}, provenance)
    return path_out


def read_evaluator(path: Path) -> tuple[SyncEvaluator, EvaluatorConfig]:
    """The network of a public file, in evaluation mode. Raises InputError."""
    state, config = module_state(path, _EXPECTED), EvaluatorConfig()
    with torch.device("meta"):
        net = SyncEvaluator(config)
    net.load_state_dict(renamed_state(path, state, net.state_dict(), _renamed, _EXPECTED), assign=True)
    return net.eval(), config


def _renamed(key: str) -> str | None:
    part, _, rest = key.partition(".")
    return f"{_NAMES[part]}.{rest}" if part in _NAMES else None
