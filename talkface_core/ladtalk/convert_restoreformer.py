"""Converts the public networks of RestoreFormer and RestoreFormer++, and their dictionary ROHQD, to a SOVQAE of ours.

Source: github.com/wzhouxiff/RestoreFormerPlusPlus (Wang et al., CVPR 2022 and TPAMI 2023; Apache-2.0): ROHQD's
last.ckpt, RestoreFormer.ckpt, RestoreFormer++.ckpt. None is bundled, whoever holds a file may use it; FFHQ, from which
they learned, is CC BY-NC-SA.

ROHQD is a plain VQ auto-encoder, so all that is said of codes and noise (robustness.py) holds for it. The restorers
have the same codes, and a decoder that asks the encoder: more of their picture comes from the footage. What those
weights expect otherwise than ours is said here and nowhere else: faces are framed as FFHQ's, the encoder's last
convolution and the 1x1 behind it become one, queries, keys and values are kept together.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from ..checkpoints import save_checkpoint
from ..errors import InputError
from ..foreign import module_state, refuse, renamed_state, some
from ..quantisation.quantiser import CodebookConfig
from .sovqae import COMPONENT, SOVQAE, SOVQAEConfig
from .wav2lip import SYSTEM

LICENCE = "Apache-2.0, as published by its authors (github.com/wzhouxiff/RestoreFormerPlusPlus); learned from FFHQ, "
LICENCE += "whose pictures are CC BY-NC-SA"

IMAGE_SIZE = 512
HEADS = {0: 4, 1: 8, 2: 4}
"""Of all attention, by the number of scales at which the decoder asks the encoder: ROHQD's, RestoreFormer's, the ++'s.
No weight tells. RestoreFormer's own dictionary has ROHQD's layout and one head: it is not told from it by its keys."""

_NAMES = {0: "ROHQD", 1: "RestoreFormer", 2: "RestoreFormer++"}
_EXPECTED = "RestoreFormer++, RestoreFormer or ROHQD as published (RestoreFormer++.ckpt, RestoreFormer.ckpt, last.ckpt)"
_MARK = "encoder.down.0.block.0.norm1.weight"
_NOT_OURS = re.compile(r"^(loss\.|.*\.utility_counter$)")
"""The losses' networks of a training."""

_RESIDUAL = {"norm1": "norm_in", "conv1": "conv_in", "norm2": "norm_out", "conv2": "conv_out", "nin_shortcut": "skip"}


def recognises(path: str | Path) -> bool:
    """Whether a torch file looks like one of the public networks. Raises InputError for what is no torch file."""
    state = _state(Path(path))
    return _MARK in state and "quant_conv.weight" in state and "decoder.mid.attn_1.norm2.weight" in state


def convert_restoreformer(
    path_in: str | Path,
    path_out: str | Path | None = None,
    dtype: torch.dtype | None = None,
    heads: int | None = None,
) -> Path:
    """Convert a public network and return the new file's path: a checkpoint with the component "sovqae".

    `path_out` ends in .safetensors; None puts it beside `path_in`. `dtype` is what the weights are stored as; None
    keeps float32. `heads` as of `read_restoreformer`. Raises InputError for any other file.
    """
    path_in = Path(path_in)
    path_out = path_in.with_suffix(".safetensors") if path_out is None else Path(path_out)
    if path_out.suffix != ".safetensors":
        raise InputError(f"{path_out}: a checkpoint's name ends in .safetensors, not {path_out.suffix!r}.")
    net, provenance = read_restoreformer(path_in, heads)
    save_checkpoint(path_out, SYSTEM, {COMPONENT: net}, {COMPONENT: net.config.to_dict()}, provenance, dtype)
    return path_out


def read_restoreformer(path: str | Path, heads: int | None = None) -> tuple[SOVQAE, dict[str, Any]]:
    """The network, in evaluation mode, and the provenance of a public checkpoint. `heads`: how many its attention has;
    None: `HEADS`. Raises InputError."""
    path = Path(path)
    state = _state(path)
    if not recognises(path):
        refuse(path, f"weights of another network: {some(state)}", _EXPECTED)
    asking = _asking(state)
    try:
        config = _config(state, asking, HEADS[asking] if heads is None else heads)
    except (KeyError, IndexError, ValueError) as error:
        refuse(path, f"a network of other sizes ({str(error)[:200]})", _EXPECTED, error)
    with torch.device("meta"):
        net = SOVQAE(config)
    try:
        named = _named(state, config)
    except (KeyError, RuntimeError) as error:
        refuse(path, f"no weights, or of other shapes, for {str(error)[:200]}", _EXPECTED, error)
    net.load_state_dict(renamed_state(path, named, net.state_dict(), str, _EXPECTED, _NOT_OURS), assign=True)
    provenance = {
        "source": f"{_NAMES[asking]} (Wang et al.), github.com/wzhouxiff/RestoreFormerPlusPlus",
        "licence": LICENCE,
        "file": path.name,
        "data": "FFHQ",
    }
    return net.eval(), provenance


def _state(path: Path) -> dict[str, Tensor]:
    """The tensors without the training's prefix."""
    return {key.removeprefix("vqvae."): value for key, value in module_state(path, _EXPECTED).items()}


def _asking(state: Mapping[str, Tensor]) -> int:
    """At how many scales the decoder asks the encoder. The norm of what is asked stays as it began where nothing is."""
    norms = {key: value for key, value in state.items() if re.match(r"decoder\..*attn.*\.norm2\.", key)}
    if all(torch.equal(value, torch.full_like(value, float(key.endswith("weight")))) for key, value in norms.items()):
        return 0
    return len({key.split(".")[2] for key in norms if key.startswith("decoder.up.")})


def _config(state: Mapping[str, Tensor], asking: int, heads: int) -> SOVQAEConfig:
    """Sizes read off the weights. Raises KeyError and ValueError for those of which no network can be made."""
    scales = 1 + max(int(key.split(".")[2]) for key in state if key.startswith("encoder.down."))
    blocks = len({key for key in state if re.fullmatch(r"encoder\.down\.0\.block\.\d+\.conv1\.weight", key)})
    codes, dim = state["quantize.embedding.weight"].shape
    return SOVQAEConfig(
        image_size=IMAGE_SIZE,
        channels=tuple(len(state[f"encoder.down.{scale}.block.0.conv1.weight"]) for scale in range(scales)),
        blocks=blocks,
        attention=tuple(f"encoder.down.{scale}.attn.0.q.weight" in state for scale in range(scales)),
        codebook=CodebookConfig(codes=codes, dim=dim),
        taming=True,
        framing="ffhq",
        heads=heads,
        guided=tuple(f"decoder.up.{scale}.attn.0.q.weight" in state for scale in range(scales)) if asking else (),
    )


def _layers(config: SOVQAEConfig) -> dict[str, str]:
    """The public names of the layers, attention and residual blocks whole, and ours."""
    scales, seen = range(len(config.channels)), config.attention
    drawn = config.guided or seen
    names = {"encoder.conv_in": "encoder.layers.0"}
    place = 1
    for scale in scales:
        if scale:  # zeros at two edges come before the convolution
            names[f"encoder.down.{scale - 1}.downsample.conv"] = f"encoder.layers.{place + 1}"
            place += 2
        place = _add_blocks(names, f"encoder.down.{scale}", "encoder.layers", place, config.blocks, seen[scale])
    names |= _middle("encoder", "encoder.layers", place)
    names |= {"encoder.norm_out": f"encoder.layers.{place + 3}", "encoder.conv_out": f"encoder.layers.{place + 5}"}
    names |= {"post_quant_conv": "decoder.stem.0", "decoder.conv_in": "decoder.stem.1"}
    names |= _middle("decoder", "decoder.stem", 2)
    for n, scale in enumerate(reversed(scales)):
        ours = f"decoder.scales.{n}"
        place = _add_blocks(names, f"decoder.up.{scale}", ours, 0, config.blocks + 1, drawn[scale])
        if scale:
            names[f"decoder.up.{scale}.upsample.conv"] = f"{ours}.{place + 1}"
    return {**names, "decoder.norm_out": "decoder.out.0", "decoder.conv_out": "decoder.out.2"}


def _add_blocks(names: dict[str, str], theirs: str, ours: str, place: int, blocks: int, attends: bool) -> int:
    """Name a scale's blocks, which begin at a place of ours; where they end."""
    for block in range(blocks):
        names[f"{theirs}.block.{block}"] = f"{ours}.{place}"
        place += 1
        if attends:
            names[f"{theirs}.attn.{block}"] = f"{ours}.{place}"
            place += 1
    return place


def _middle(half: str, ours: str, place: int) -> dict[str, str]:
    return {f"{half}.mid.{name}": f"{ours}.{place + n}" for n, name in enumerate(("block_1", "attn_1", "block_2"))}


def _named(state: Mapping[str, Tensor], config: SOVQAEConfig) -> dict[str, Tensor]:
    """The weights under our names, joined as ours are; what is not known keeps its name. Raises KeyError and
    RuntimeError where some are missing or do not fit together."""
    left = dict(state)
    named: dict[str, Tensor] = {}
    folded = _folded(left)
    for theirs, ours in _layers(config).items():
        if ".attn" in theirs:
            named |= {f"{ours}.{key}": value for key, value in _attention(left, theirs, config).items()}
            continue
        for key in [key for key in left if key.startswith(f"{theirs}.")]:
            layer, _, kind = key.removeprefix(f"{theirs}.").rpartition(".")
            if layer in _RESIDUAL or not layer:
                named[".".join(filter(None, (ours, _RESIDUAL.get(layer, ""), kind)))] = left.pop(key)
    last = _layers(config)["encoder.conv_out"]
    named |= {f"{last}.{kind}": value for kind, value in folded.items()}
    named["quantiser.embedding"] = left.pop("quantize.embedding.weight")
    # Codes of which none counts as dead.
    named["quantiser.usage"] = torch.ones(config.codebook.codes)
    return {**left, **named}


def _folded(left: dict[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's last convolution and the 1x1 behind it as one."""
    kernel, bias = (left.pop(f"encoder.conv_out.{kind}").double() for kind in ("weight", "bias"))
    after, shift = (left.pop(f"quant_conv.{kind}").double() for kind in ("weight", "bias"))
    mixed = torch.einsum("om, mihw -> oihw", after[:, :, 0, 0], kernel)
    return {"weight": mixed.float(), "bias": (after[:, :, 0, 0] @ bias + shift).float()}


def _attention(left: dict[str, Tensor], theirs: str, config: SOVQAEConfig) -> dict[str, Tensor]:
    """An attention's weights with queries, keys and values joined head by head; the norm of what is asked only where
    something is."""
    parts: dict[str, dict[str, Tensor]] = {
        name: {kind: left.pop(f"{theirs}.{name}.{kind}") for kind in ("weight", "bias")}
        for name in ("norm1", "norm2", "q", "k", "v", "proj_out")
    }
    guided = bool(config.guided) and theirs.startswith("decoder.")
    joined = {"norm": parts["norm1"], "proj": parts["proj_out"]}
    if guided:
        joined |= {"norm_guide": parts["norm2"], "query": parts["q"]}
    several = ("k", "v") if guided else ("q", "k", "v")
    joined["key_value" if guided else "qkv"] = {
        kind: rearrange([parts[name][kind] for name in several], "p (n d) ... -> (n p d) ...", n=config.heads)
        for kind in ("weight", "bias")
    }
    # Their 1x1 convolutions are over two dimensions.
    return {
        f"{name}.{kind}": value.flatten(2) if value.ndim == 4 else value
        for name, values in joined.items()
        for kind, value in values.items()
    }
