"""What a job takes of a machine, from the headers of the models that it loads."""

from __future__ import annotations

import argparse
import math
import os
from functools import lru_cache

from ..batch.job import Needs
from ..errors import InputError

_MIB = 2**20
_BASE = 650 * _MIB
"""Of a worker without models: torch and the other libraries, and the frames in hand."""
_GPU_BASE = 1500 * _MIB
"""Of a GPU: CUDA's context, its libraries and the activations of a window of frames."""
_COPIES = 3
"""Memory by the bytes of the weights in float32: the network, the mapped file, and activations, which grow with it."""

_STEP = 256 * _MIB

_BUNDLED = {
    "speak": ("dae_talker_tiny", "ear_tiny"),
    "ladtalk": ("ladtalk_tiny", "face_tiny", "ear_tiny"),
    "landmark-diffusion": ("landmark_tiny", "face_tiny", "ear_tiny"),
    "animate": ("see_the_speaker_tiny", "face_tiny", "ear_tiny"),
    "imagine": ("see_the_speaker_tiny", "face_tiny", "ear_tiny"),
    "prepare": ("face_tiny", "sync_tiny", "dae_talker_tiny"),
    "evaluate": ("face_tiny", "sync_tiny", "dae_talker_tiny", "landmark_probe"),
}
_MODELS = ("model", "motion", "ear", "sovqae", "vae", "evaluator")


def needs_of(args: argparse.Namespace) -> Needs:
    """Memory for the models that the arguments name, else the bundled ones; of a GPU's too where there is one."""
    command = args.run.__module__.rsplit(".", 1)[-1]
    names = [name for flag in _MODELS if (name := getattr(args, flag, None))]
    bundled = _BUNDLED.get(getattr(args, "system", None) or command, _BUNDLED.get(command, ()))
    names += bundled[1:] if getattr(args, "model", None) else bundled
    weights = 4 * sum(_parameters(str(name)) for name in names)
    weights += sum(os.path.getsize(name) for name in getattr(args, "weights", None) or () if os.path.isfile(name))
    gpu_memory = _GPU_BASE + _COPIES * weights if _on_gpu(args.device) else 0
    return Needs(_rounded(_BASE + _COPIES * weights), _rounded(gpu_memory))


def _rounded(count: int) -> int:
    """Up to a whole step, so that systems of about one size can take over each other's workers."""
    return math.ceil(count / _STEP) * _STEP


@lru_cache(maxsize=256)
def _parameters(name: str) -> int:
    """Of a checkpoint; 0 for what cannot be read, which the job's own check tells."""
    from ..checkpoints import find_checkpoint
    from ..tensor_file import read_shapes

    try:
        return sum(map(math.prod, read_shapes(find_checkpoint(name)).values()))
    except (InputError, OSError):
        return 0


@lru_cache(maxsize=4)
def _on_gpu(device: str) -> bool:
    import torch

    return device != "cpu" and torch.cuda.is_available()
