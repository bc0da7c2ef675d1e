"""Converts IP_LAP's public landmark generator to a completion of ours.

Source: github.com/Weizhi-Zhong/IP_LAP (Zhong et al., CVPR 2023), landmarkgenerator_checkpoint.pth; trained on LRS2,
whose licence allows research only: nothing of it is bundled here, whoever holds a file may use it.

What those weights expect otherwise than ours is said here and nowhere else: the mesh's 131 points, coordinates within
the box of each face's landmarks, and the placement of the mel window.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ..checkpoints import save_checkpoint
from ..errors import InputError
from ..foreign import module_state, refuse, renamed_state, some
from .completion import COMPONENT, CompletionConfig, LandmarkCompletion
from .landmarks import IBUG_68, SYSTEM

LICENCE = "research only: trained on LRS2 (the code is Apache-2.0, github.com/Weizhi-Zhong/IP_LAP)"

MEL_SHIFT = -0.005
"""The public trainer cuts frame k's window at int(80 (k - 2) / 25): rounded down where ours goes to the nearest."""

_EXPECTED = "IP_LAP's landmark generator as published (landmarkgenerator_checkpoint.pth)"
_ENCODERS = {"mel_encoder": "speech", "ref_encoder": "reference", "pose_encoder": "pose"}
_UNIT = re.compile(r"^(mel_encoder|ref_encoder|pose_encoder)\.(\d+)\.conv_block\.([01])\.(.+)$")
_OTHERS = {
    "fusion_transformer.modality.": "kind.",
    "fusion_transformer.transformer_encoder.": "fusion.",
    "mouse_keypoint_map.": "lips.",
    "jaw_keypoint_map.": "jaw.",
    "Norm.": "norm.",
}
_COMPUTED = re.compile(r"^fusion_transformer\.position_[av]\.pe$")
"""Tables that ours computes."""


def recognises(path: str | Path) -> bool:
    """Whether a torch file looks like the public generator. Raises InputError for what is no torch file."""
    return "mouse_keypoint_map.weight" in module_state(Path(path), _EXPECTED)


def convert_completion(
    path_in: str | Path, path_out: str | Path | None = None, dtype: torch.dtype | None = None
) -> Path:
    """Convert the public generator and return the new file's path: a checkpoint with the component "completion".

    `path_out` ends in .safetensors; None puts it beside `path_in`. `dtype` is what the weights are stored as; None
    keeps float32. Raises InputError for any other file.
    """
    path_in = Path(path_in)
    path_out = path_in.with_suffix(".safetensors") if path_out is None else Path(path_out)
    if path_out.suffix != ".safetensors":
        raise InputError(f"{path_out}: a checkpoint's name ends in .safetensors, not {path_out.suffix!r}.")
    net, provenance = read_completion(path_in)
    save_checkpoint(path_out, SYSTEM, {COMPONENT: net}, {COMPONENT: net.config.to_dict()}, provenance, dtype)
    return path_out


def read_completion(path: str | Path) -> tuple[LandmarkCompletion, dict[str, Any]]:
    """The network, in evaluation mode, and the provenance of a public checkpoint. Raises InputError."""
    path = Path(path)
    state = module_state(path, _EXPECTED)
    if "mouse_keypoint_map.weight" not in state:
        refuse(path, f"weights of another network: {some(state)}", _EXPECTED)
    config = replace(CompletionConfig.preset("base"), boxed=True, mel_shift=MEL_SHIFT, track=IBUG_68.name)
    with torch.device("meta"):
        net = LandmarkCompletion(config)
    net.load_state_dict(renamed_state(path, state, net.state_dict(), _renamed_key, _EXPECTED, _COMPUTED), assign=True)
    source = "IP_LAP's landmark generator (Zhong et al. 2023), github.com/Weizhi-Zhong/IP_LAP"
    return net.eval(), {"source": source, "licence": LICENCE, "file": path.name, "data": "LRS2"}


def _renamed_key(key: str) -> str | None:
    if match := _UNIT.match(key):
        encoder, place, layer, rest = match.groups()
        return f"net.{_ENCODERS[encoder]}.{place}.{('conv', 'norm')[int(layer)]}.{rest}"
    for theirs, ours in _OTHERS.items():
        if key.startswith(theirs):
            return f"net.{ours}{key.removeprefix(theirs)}"
    return None
