"""Converts JoyVASA's public motion generator to a motion diffusion of ours.

Source: huggingface.co/jdh-algo/JoyVASA (Cao et al. 2024; MIT), motion_generator_hubert_chinese.pt and
motion_template.pkl; neither is bundled, whoever holds the files may use them.

What those weights expect otherwise than ours is said here and nowhere else: pitch before yaw, angles counted the other
way round, a template of means and ranges, and sound that comes two frames late. The queries and keys of the attention
to the sound are left out: behind its mask they have no say (motion_transformer.py). The file's speech encoder, a HuBERT
that was trained along, is no part of the diffusion: `write_encoder` takes it out for a host's or transformers' loader.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from ..atomic import whole_file
from ..checkpoints import save_checkpoint
from ..errors import InputError
from ..foreign import load_foreign, refuse, renamed_state, some, tensors_of
from ..foreign_arrays import read_pickled_arrays
from .motion import POSE_VALUES
from .motion_diffusion import COMPONENT, MotionConfig, MotionDiffusion
from .system import SYSTEM

LICENCE = "MIT, as published by its authors (huggingface.co/jdh-algo/JoyVASA)"
DELAY = 0.08
"""Seconds: the public program lets a sound begin with 1280 samples of silence."""

HEADS = 8
"""Of its attention; the weights do not tell."""

_EXPECTED = "JoyVASA's motion generator as published (motion_generator_hubert_chinese.pt)"
_TEMPLATE = "JoyVASA's motion template (motion_template.pkl)"
_MARK = "denoising_net.feature_proj.weight"
_ENCODER = "audio_encoder."
_NAMES = {
    "audio_feature_map.": "hear.",
    "denoising_net.feature_proj.": "enter.",
    "denoising_net.diff_step_map.": "step.",
    "denoising_net.motion_dec.": "leave.",
    "start_motion_feat": "start_motion",
    "start_audio_feat": "start_audio",
    "null_audio_feat": "null_audio",
}
_LAYER_NAMES = {
    "self_attn.in_proj_": "qkv.",
    "self_attn.out_proj.": "attended.",
    "multihead_attn.in_proj_": "value.",
    "multihead_attn.out_proj.": "heard.",
    "linear1.": "wide.",
    "linear2.": "narrow.",
    "norm1.": "norms.0.",
    "norm2.": "norms.1.",
    "norm3.": "norms.2.",
}
_COMPUTED = re.compile(r"^(denoising_net\.(TE\.pe|PE\.pe|alignment_mask)$|diffusion_sched\.|audio_encoder\.)")
"""Tables that ours computes, and the speech encoder."""


def recognises(path: str | Path) -> bool:
    """Whether a torch file looks like the public generator. Raises InputError for what is no torch file."""
    return _MARK in _state(Path(path))[0]


def convert_joyvasa(
    path_in: str | Path,
    template: str | Path,
    path_out: str | Path | None = None,
    dtype: torch.dtype | None = None,
) -> Path:
    """Convert the public generator with its template and return the new file's path: a checkpoint of the component
    "motion", of the preset `base`.

    `path_out` ends in .safetensors; None puts it beside `path_in`. `dtype` is what the weights are stored as; None
    keeps float32. Raises InputError for any other file.
    """
    path_in = Path(path_in)
    path_out = path_in.with_suffix(".safetensors") if path_out is None else Path(path_out)
    if path_out.suffix != ".safetensors":
        raise InputError(f"{path_out}: a checkpoint's name ends in .safetensors, not {path_out.suffix!r}.")
    net, provenance = read_joyvasa(path_in, template)
    save_checkpoint(path_out, SYSTEM, {COMPONENT: net}, {COMPONENT: net.config.to_dict()}, provenance, dtype)
    return path_out


def read_joyvasa(path: str | Path, template: str | Path) -> tuple[MotionDiffusion, dict[str, Any]]:
    """The network, in evaluation mode, and the provenance of a public checkpoint. Raises InputError."""
    path = Path(path)
    state, settings = _state(path)
    if _MARK not in state:
        refuse(path, f"weights of another network: {some(state)}", _EXPECTED)
    mask = state.get("denoising_net.alignment_mask")
    if mask is not None and not (
        mask.ndim == 2 and torch.equal(mask.bool(), ~torch.eye(*mask.shape, dtype=torch.bool))
    ):
        refuse(path, "a mask by which a frame sees more of the sound than its own moment", _EXPECTED)
    try:
        config = _config(state, settings)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        refuse(path, f"weights or settings of another network: {str(error)[:200]}", _EXPECTED, error)
    for key in [key for key in state if "multihead_attn.in_proj_" in key]:
        state[key] = state[key][2 * config.width :]
    net = MotionDiffusion(config)
    wanted = {key: value for key, value in net.state_dict().items() if key not in ("mean", "std")}
    renamed = renamed_state(path, state, wanted, _renamed_key, _EXPECTED, _COMPUTED)
    order, signs = reordered(config.values)
    for name in ("leave.2.weight", "leave.2.bias"):
        renamed[name] = renamed[name][order] * signs.reshape(-1, *[1] * (renamed[name].ndim - 1))
    for name in ("enter.weight", "start_motion"):
        renamed[name] = renamed[name][..., order] * signs
    mean, std = read_template(template, config.keypoints)
    net.load_state_dict(renamed | {"mean": mean, "std": std}, strict=False)
    source = "JoyVASA's motion generator (Cao et al. 2024), github.com/jdh-algo/JoyVASA"
    return net.eval(), {"source": source, "licence": LICENCE, "file": path.name, "data": "as published"}


def read_template(path: str | Path, keypoints: int) -> tuple[Tensor, Tensor]:
    """What a generator's values are multiplied by and what is added, in our order: mean and deviation [3K + 7].

    Nothing of the file is run. Raises InputError for another file.
    """
    path = Path(path)
    arrays = read_pickled_arrays(path, _TEMPLATE)

    def part(name: str, size: int) -> NDArray[np.float64]:
        value = arrays.get(name)
        if value is None or value.size != size or not np.isfinite(value).all():
            refuse(path, f"no {size} numbers named {name!r} among {some(arrays)}", _TEMPLATE)
        return np.asarray(value, np.float64).reshape(-1)

    means, deviations = [part("mean_exp", 3 * keypoints)], [part("std_exp", 3 * keypoints)]
    for name, size in (("scale", 1), ("t", 3), ("pitch", 1), ("yaw", 1), ("roll", 1)):
        low, high = part(f"min_{name}", size), part(f"max_{name}", size)
        means.append(low)
        deviations.append(high - low)
    order, signs = reordered(3 * keypoints + POSE_VALUES)
    mean, std = (torch.from_numpy(np.concatenate(parts)).float()[order] for parts in (means, deviations))
    # The network's values have our signs already; the ranges of angles are the public ones'.
    return mean * signs, std


def write_encoder(path_in: str | Path, path_out: str | Path) -> Path:
    """The speech encoder inside a public generator, as a state of transformers' HubertModel (model.safetensors).

    Its features are what the generator hears: last hidden states, 768 values, 50 a second. Raises InputError.
    """
    path_in, path_out = Path(path_in), Path(path_out)
    state, _ = _state(path_in)
    encoder = {key.removeprefix(_ENCODER): value for key, value in state.items() if key.startswith(_ENCODER)}
    if not encoder:
        refuse(path_in, "no speech encoder", _EXPECTED)
    with whole_file(path_out) as part:
        save_file({key: value.contiguous().clone() for key, value in encoder.items()}, part)
    return path_out


def reordered(values: int) -> tuple[list[int], Tensor]:
    """Which of the public values each of ours is, and its sign [values]: yaw, pitch, roll of pitch, yaw, roll."""
    pitch, yaw, roll = values - 3, values - 2, values - 1
    signs = torch.ones(values)
    signs[[values - 3, values - 1]] = -1.0  # HeadPose's yaw and roll count the other way round
    return [*range(values - 3), yaw, pitch, roll], signs


def _state(path: Path) -> tuple[dict[str, Tensor], Mapping[str, Any]]:
    container = load_foreign(path, _EXPECTED)
    settings = container.get("args")
    known = vars(settings) if hasattr(settings, "__dict__") else {}
    return tensors_of(path, container.get("model", container), _EXPECTED), known


def _config(state: Mapping[str, Tensor], settings: Mapping[str, Any]) -> MotionConfig:
    """Sizes read off the weights; the number of noise levels is in the settings."""
    base = MotionConfig.preset("base")
    _, previous, values = state["start_motion_feat"].shape
    width, audio = state["audio_feature_map.weight"].shape
    ff = state["denoising_net.transformer.layers.0.linear1.weight"].shape[0]
    layers = sum(key.endswith(".linear1.weight") and "transformer" in key for key in state)
    keypoints, left = divmod(values - POSE_VALUES, 3)
    if left or keypoints < 1:
        raise ValueError(f"{values} values of motion a frame, which are not 3 for each keypoint and 7")
    mask = state.get("denoising_net.alignment_mask")
    frames = settings.get("n_motions", base.frames if mask is None else len(mask) - previous)
    steps = settings.get("n_diff_steps", base.schedule.steps)
    if not all(type(number) is int and 0 < number <= 10_000 for number in (frames, steps)):
        raise ValueError(f"{frames!r} frames and {steps!r} noise levels")
    sampling = replace(base.sampling, steps=min(base.sampling.steps, steps))
    return replace(
        base,
        keypoints=keypoints,
        audio=audio,
        frames=frames,
        previous=previous,
        width=width,
        heads=HEADS,
        layers=layers,
        ff=ff,
        schedule=replace(base.schedule, steps=steps),
        sampling=sampling,
        delay=DELAY,
    )


def _renamed_key(key: str) -> str | None:
    if match := re.match(r"^denoising_net\.transformer\.layers\.(\d+)\.(.+)$", key):
        layer, rest = match.groups()
        for theirs, ours in _LAYER_NAMES.items():
            if rest.startswith(theirs):
                return f"layers.{layer}.{ours}{rest.removeprefix(theirs)}"
        return None
    for theirs, ours in _NAMES.items():
        if key.startswith(theirs):
            return ours + key.removeprefix(theirs)
    return None
