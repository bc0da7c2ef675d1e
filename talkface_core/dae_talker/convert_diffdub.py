"""Converts DiffDub's public checkpoints to an inpainting DAE-Talker, which dubs any face.

Source: huggingface.co/taocode/diffdub (Liu et al., ICASSP 2024; Apache-2.0), stage1_state_dict.ckpt (the autoencoder,
a DiffAE with a wider first convolution) and stage2_state_dict.ckpt (speech to lip latents). Neither is bundled, whoever
holds the files may use them.

What those weights expect otherwise than ours is said here and nowhere else: ESPnet's sinusoids alternate sine and
cosine, so the positions' weights change places, and the BatchNorms are folded into the convolutions before them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoints import save_checkpoint
from ..errors import InputError
from ..foreign import load_foreign, refuse, renamed_state, some, tensors_of
from .autoencoder import AutoencoderConfig, DiffusionAutoencoder
from .convert import read_autoencoder
from .model import AUTOENCODER, SYSTEM
from .speech2lips import SPEECH2LIPS, Speech2Lips, Speech2LipsConfig

LICENCE = (
    "Apache-2.0, as published by its authors (huggingface.co/taocode/diffdub); trained on HDTF (YouTube footage), "
    "begun from FFHQ, whose pictures are CC BY-NC-SA"
)
LIMITS = (
    "faces near the front, speech best in English, 256 px; draws no whole frames (dub it, do not speak it); needs the "
    "hidden states of the HuBERT-large it was trained on"
)
HEADS = {"heads": 2, "look_heads": 8}
"""Of its attentions; the weights do not tell."""

_STAGE_1 = "DiffDub's stage 1 as published (stage1_state_dict.ckpt)"
_STAGE_2 = "DiffDub's stage 2 as published (stage2_state_dict.ckpt)"
_INSIDE = "seq2seq.encoder."
_MARK = f"{_INSIDE}reference_encoder.encoders.0.self_attn.linear_pos.weight"
_STEM = "ema_model.input_blocks.0.0.weight"
_BATCH_NORM_EPS = 1e-5
_STACKS = {"reference_encoder": "references", "speech_encoder": "encoder", "coarse_decoder": "decoder"}
_OTHERS = {
    "weights": "layers",
    "down_sample_audio_nar.": "enter.",
    "cross_attention.self_attn.out_proj.": "looked.",
    "cross_attention.linear1.": "taken.",
    "cross_attention.norm1.": "norm.",
    "out_proj.": "out.",
}
_BLOCK = {
    "feed_forward_macaron.w_1": "first.0",
    "feed_forward_macaron.w_2": "first.2",
    "self_attn.linear_pos": "attention.position",
    "self_attn.linear_out": "attention.out",
    "conv_module.pointwise_conv1": "conv.expand",
    "conv_module.depthwise_conv": "conv.depthwise",
    "conv_module.pointwise_conv2": "conv.out",
    "feed_forward.w_1": "second.0",
    "feed_forward.w_2": "second.2",
    "norm_ff_macaron": "norms.0",
    "norm_mha": "norms.1",
    "norm_conv": "norms.2",
    "norm_ff": "norms.3",
    "norm_final": "norms.4",
}
_UNUSED = re.compile(r"^cross_attention\.(linear2|norm2)\.|\.num_batches_tracked$|\.embed\.0\.pe$")
"""Layers that its forward pass leaves out, counters, and tables that ours computes."""


def recognises(path: str | Path) -> int | None:
    """Which stage of DiffDub a file looks like, 1 or 2; None for neither. Raises InputError for what is no torch file.

    A first stage is told from DiffAE's by its first convolution, which looks at more than it draws.
    """
    path = Path(path)
    container = load_foreign(path, _STAGE_1)
    state = tensors_of(path, container.get("state_dict", container), _STAGE_1)
    if any(key.startswith(f"{_INSIDE}cross_attention.") for key in state):
        return 2
    stem, last = state.get(_STEM), state.get("ema_model.out.2.weight")
    if stem is None or last is None or stem.ndim != 4 or not last.ndim:
        return None
    return 1 if stem.shape[1] != last.shape[0] else None


def convert_diffdub(paths: Sequence[str | Path], path_out: str | Path, dtype: torch.dtype | None = None) -> Path:
    """Convert both stages, in any order, and return the new file's path: a checkpoint of the components "autoencoder"
    and "speech2lips".

    `path_out` ends in .safetensors; `dtype` is what the weights are stored as, None: float32. Raises InputError for
    other files, and where one is missing.
    """
    path_out = Path(path_out)
    if path_out.suffix != ".safetensors":
        raise InputError(f"{path_out}: a checkpoint's name ends in .safetensors, not {path_out.suffix!r}.")
    stages: dict[int, Path] = {}
    for path in map(Path, paths):
        stage = recognises(path)
        if stage is None:
            refuse(path, "neither of DiffDub's stages", f"{_STAGE_1} with stage2_state_dict.ckpt")
        if stage in stages:
            refuse(path, f"stage {stage} a second time, after {stages[stage].name}", "each stage once")
        stages[stage] = path
    if missing := {1, 2} - stages.keys():
        given = next(iter(stages.values()))
        name = f"stage{missing.pop()}_state_dict.ckpt"
        refuse(given, f"one stage of DiffDub without {name}", "both stages: give both files")
    drawing, provenance = read_renderer(stages[1])
    hearing = read_speech2lips(stages[2])
    if hearing.config.latent_dim != drawing.config.latent_dim:
        refuse(
            stages[2],
            f"latents of {hearing.config.latent_dim} values",
            f"those of {stages[1].name}, {drawing.config.latent_dim}: take both stages of one training",
        )
    provenance["file"] = f"{stages[1].name}, {stages[2].name}"
    modules = {AUTOENCODER.name: drawing, SPEECH2LIPS.name: hearing}
    configs = {name: module.config.to_dict() for name, module in modules.items()}
    save_checkpoint(path_out, SYSTEM, modules, configs, provenance, dtype)
    return path_out


def read_renderer(path: str | Path) -> tuple[DiffusionAutoencoder, dict[str, Any]]:
    """The inpainting autoencoder of stage 1, in evaluation mode, and the provenance. Raises InputError."""
    path = Path(path)
    config, state, settings = read_autoencoder(path, load_foreign(path, _STAGE_1), _STAGE_1)
    if not config.inpaints:
        refuse(path, "an autoencoder that is shown no reference", _STAGE_1)
    net = _filled(DiffusionAutoencoder, config, state)
    provenance = {
        "source": "DiffDub (Liu et al. 2024), github.com/liutaocode/DiffDub, averaged weights",
        "licence": LICENCE,
        "limits": LIMITS,
        "file": path.name,
        "data": "HDTF, begun from FFHQ256",
        "steps": settings["global_step"],
    }
    return net, provenance


def read_speech2lips(path: str | Path) -> Speech2Lips:
    """The speech side of stage 2, in evaluation mode. Raises InputError, also for its kind that hears MFCCs."""
    path = Path(path)
    container = load_foreign(path, _STAGE_2)
    everything = tensors_of(path, container.get("state_dict", container), _STAGE_2)
    state = {key.removeprefix(_INSIDE): value for key, value in everything.items() if key.startswith(_INSIDE)}
    if not state:
        refuse(path, f"weights of another network: {some(everything)}", _STAGE_2)
    if "weights" not in state:
        refuse(path, "a speech side that hears MFCCs, without weights of a HuBERT's hidden states", _STAGE_2)
    try:
        ready = _ready(state)
        config = _config(state)
    except (KeyError, IndexError, ValueError, RuntimeError, ArithmeticError) as error:
        refuse(path, f"weights of another network: {str(error)[:200]}", _STAGE_2, error)
    with torch.device("meta"):
        wanted = Speech2Lips(config).state_dict()
    return _filled(Speech2Lips, config, renamed_state(path, ready, wanted, str, _STAGE_2))


def _filled(network: Any, config: AutoencoderConfig | Speech2LipsConfig, state: Mapping[str, Tensor]) -> Any:
    with torch.device("meta"):
        net = network(config)
    net.load_state_dict(state, assign=True)
    return net.eval()


def _config(state: Mapping[str, Tensor]) -> Speech2LipsConfig:
    """Sizes read off the weights."""
    latent, features, _ = state["down_sample_audio_nar.weight"].shape
    blocks = {
        stack: 1 + max(int(key.split(".")[2]) for key in state if key.startswith(f"{stack}.encoders."))
        for stack in _STACKS
    }
    first = "speech_encoder.encoders.0."
    return Speech2LipsConfig(
        latent_dim=latent,
        features=features,
        layers=len(state["weights"]),
        ff=len(state[f"{first}feed_forward.w_1.weight"]),
        reference_blocks=blocks["reference_encoder"],
        encoder_blocks=blocks["speech_encoder"],
        decoder_blocks=blocks["coarse_decoder"],
        kernel=state[f"{first}conv_module.depthwise_conv.weight"].shape[-1],
        **HEADS,
    )


def _ready(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights under our names, in our order; what is not known keeps its name."""
    ready: dict[str, Tensor] = {}
    blocks: dict[str, dict[str, Tensor]] = {}
    for key, value in state.items():
        if _UNUSED.search(key):
            continue
        if match := re.match(r"^(\w+)\.encoders\.(\d+)\.(.+)$", key):
            stack, number, rest = match.groups()
            blocks.setdefault(f"{_STACKS.get(stack, stack)}.blocks.{number}", {})[rest] = value.float()
        elif key.startswith("cross_attention.self_attn.in_proj_"):
            kind = key.removeprefix("cross_attention.self_attn.in_proj_")
            ready |= {f"{n}.{kind}": part for n, part in zip(("query", "key", "value"), value.chunk(3), strict=True)}
        else:
            theirs = next((name for name in _OTHERS if key.startswith(name)), "")
            ready[_OTHERS.get(theirs, "") + key.removeprefix(theirs)] = value
    for ours, block in blocks.items():
        ready |= {f"{ours}.{key}": value for key, value in _block(block).items()}
    return ready


def _block(block: dict[str, Tensor]) -> dict[str, Tensor]:
    """One block of ESPnet's under the names of our `ConformerBlock`."""
    norm = {name: block.pop(f"conv_module.norm.{name}") for name in ("weight", "bias", "running_mean", "running_var")}
    factor = norm["weight"] / (norm["running_var"] + _BATCH_NORM_EPS).sqrt()
    depthwise = "conv_module.depthwise_conv"
    block[f"{depthwise}.bias"] = (block[f"{depthwise}.bias"] - norm["running_mean"]) * factor + norm["bias"]
    block[f"{depthwise}.weight"] = block[f"{depthwise}.weight"] * factor[:, None, None]
    ours = {}
    for kind in ("weight", "bias"):
        parts = [block.pop(f"self_attn.linear_{name}.{kind}") for name in "qkv"]
        ours[f"attention.qkv.{kind}"] = torch.cat(parts)
    for theirs, name in (("u", "content"), ("v", "position")):
        ours[f"attention.{name}_bias"] = block.pop(f"self_attn.pos_bias_{theirs}")[:, None]
    position = block["self_attn.linear_pos.weight"]
    block["self_attn.linear_pos.weight"] = torch.cat([position[:, ::2], position[:, 1::2]], 1)
    for key, value in block.items():
        module, _, kind = key.rpartition(".")
        flat = value[..., 0] if module.startswith("conv_module.pointwise") and value.ndim == 3 else value
        ours[f"{_BLOCK.get(module, module)}.{kind}"] = flat
    return ours
