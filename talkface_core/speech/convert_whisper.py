"""Converts the encoder of a published Whisper to ours: OpenAI's own file, or Hugging Face's of the same weights.

Source: github.com/openai/whisper (base.pt: `dims`, `model_state_dict`) and huggingface.co/openai/whisper-base
(model.safetensors, pytorch_model.bin). Both are MIT. The decoder, which writes what is said, is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from ..checkpoints import save_checkpoint
from ..errors import InputError
from ..foreign import load_foreign, refuse, renamed_state, tensors_of
from ..tensor_file import opened, read_shapes
from .whisper import MELS, STEPS, SYSTEM, WHISPER, WhisperConfig, WhisperEncoder, positions

LICENCE = "MIT (OpenAI, github.com/openai/whisper)"

_EXPECTED = "a published Whisper (model.safetensors of openai/whisper-base, or base.pt)"
_SAFE = ".safetensors"
_HALF = torch.float16  # what OpenAI's own files hold
_HEAD = 64
"""Values of an attention head, in every Whisper: no published file of weights says how many heads there are."""

_HUGGING_FACE = {
    **{"conv1": "first", "conv2": "second", "layer_norm": "norm"},
    **{f"self_attn.{short}_proj": f"attention.{part}" for short, part in (("q", "query"), ("k", "key"))},
    **{"self_attn.v_proj": "attention.value", "self_attn.out_proj": "attention.out"},
    **{"self_attn_layer_norm": "attention_norm", "final_layer_norm": "norm", "fc1": "enter", "fc2": "out"},
}
_OPENAI = {
    **{"conv1": "first", "conv2": "second", "ln_post": "norm"},
    **{f"attn.{part}": f"attention.{part}" for part in ("query", "key", "value", "out")},
    **{"attn_ln": "attention_norm", "mlp_ln": "norm", "mlp.0": "enter", "mlp.2": "out"},
}
_NAMES = {**_HUGGING_FACE, **_OPENAI}
_KEY = re.compile(r"(?:model\.)?encoder\.(?:(?:layers|blocks)\.(\d{1,3})\.)?(.+)\.(weight|bias)")
_POSITIONS = ("embed_positions.weight", "positional_embedding")


def recognises(path: str | Path) -> bool:
    """Whether a file looks like a Whisper with its encoder. Raises InputError for what cannot be read."""
    path = Path(path)
    keys = read_shapes(path, _EXPECTED).keys() if path.suffix == _SAFE else _torch_state(path).keys()
    return _encoder_of(keys) is not None


def convert_whisper(path_in: str | Path, path_out: str | Path) -> Path:
    """Convert the encoder to the checkpoint `path_out`, as float16, and return it. Raises InputError."""
    path_in, path_out = Path(path_in), Path(path_out)
    if path_out.suffix != _SAFE:
        raise InputError(f"{path_out}: a checkpoint's name ends in {_SAFE}, not {path_out.suffix!r}.")
    net = read_whisper(path_in)
    provenance = {"source": "Whisper (Radford et al. 2022), its encoder", "licence": LICENCE, "file": path_in.name}
    save_checkpoint(path_out, SYSTEM, {WHISPER.name: net}, {WHISPER.name: net.config.to_dict()}, provenance, _HALF)
    return path_out


def read_whisper(path: Path) -> WhisperEncoder:
    """The encoder of a published file, in evaluation mode. Raises InputError."""
    state = _safe_state(path) if path.suffix == _SAFE else _torch_state(path)
    prefix = _encoder_of(state.keys())
    if prefix is None:
        refuse(path, "no encoder of a Whisper in it", _EXPECTED)
    state = {key: value for key, value in state.items() if key.startswith(prefix)}
    entry = state.get(f"{prefix}conv1.weight")
    if entry is None or entry.ndim != 3 or entry.shape[1] != MELS:
        told = "none" if entry is None else str(list(entry.shape))
        refuse(path, f"a first convolution of shape {told}", f"{_EXPECTED}, which hears {MELS} mels; large-v3 does not")
    blocks = {match[1] for key in state if (match := _KEY.fullmatch(key)) and match[1] is not None}
    width = entry.shape[0]
    if width % _HEAD or not blocks:
        refuse(path, f"{len(blocks)} blocks of width {width}", f"{_EXPECTED}, whose heads have {_HEAD} values each")
    config = WhisperConfig(width, width // _HEAD, len(blocks))
    _check_positions(path, state, prefix, width)
    with torch.device("meta"):
        net = WhisperEncoder(config)
    left_out = re.compile("|".join(re.escape(prefix + name) for name in _POSITIONS))
    net.load_state_dict(renamed_state(path, state, net.state_dict(), _renamed, _EXPECTED, left_out), assign=True)
    net.positions = positions(width)
    return net.eval()


def _check_positions(path: Path, state: Mapping[str, Tensor], prefix: str, width: int) -> None:
    """Raises InputError for positions other than the sines that Whisper's are."""
    for name in _POSITIONS:
        table = state.get(prefix + name)
        if table is None:
            continue
        if table.shape != (STEPS, width) or not torch.allclose(table.float(), positions(width), atol=2e-3):
            refuse(path, f"positions of shape {list(table.shape)} that are not Whisper's sines", _EXPECTED)


def _encoder_of(keys: Iterable[str]) -> str | None:
    """What the encoder's keys begin with, None where there is none."""
    known = set(keys)
    for prefix in ("model.encoder.", "encoder."):
        marks = {f"{prefix}layer_norm.weight", f"{prefix}ln_post.weight"}
        if f"{prefix}conv2.weight" in known and marks & known:
            return prefix
    return None


def _renamed(key: str) -> str | None:
    match = _KEY.fullmatch(key)
    if match is None or match[2] not in _NAMES:
        return None
    block = "" if match[1] is None else f"blocks.{match[1]}."
    return f"{block}{_NAMES[match[2]]}.{match[3]}"


def _torch_state(path: Path) -> dict[str, Tensor]:
    container = load_foreign(path, _EXPECTED)
    return tensors_of(path, container.get("model_state_dict", container), _EXPECTED)


def _safe_state(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file that belong to the encoder."""
    prefix = _encoder_of(read_shapes(path, _EXPECTED)) or ""
    with opened(path, _EXPECTED) as file:
        return {key: file.get_tensor(key) for key in file.keys() if key.startswith(prefix)}  # noqa: SIM118
