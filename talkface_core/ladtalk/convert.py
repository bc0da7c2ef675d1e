"""Converts the public Wav2Lip and expert checkpoints to ours.

Source: github.com/Rudrabha/Wav2Lip (Prajwal et al. 2020), files such as wav2lip.pth, wav2lip_gan.pth and
lipsync_expert.pth. Their licence is for personal, research and other non-commercial use only, and what is made with
them falls under it: nothing of them is bundled here, whoever holds a file may use it.

What those weights expect otherwise than ours is said here and nowhere else: BGR pixels, and the placement of the mel
window that their training used. The public inference code places the window 40 ms later than the public training code;
the training's is taken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoints import save_checkpoint
from ..errors import InputError
from ..foreign import module_state, refuse, renamed_state, some
from ..sync import syncnet
from ..sync.syncnet import SyncNet, SyncNetConfig
from . import wav2lip
from .wav2lip import Wav2Lip, Wav2LipConfig

LICENCE = "personal, research and other non-commercial use only, as its authors state (github.com/Rudrabha/Wav2Lip)"

GENERATOR_SHIFT = 0.035
"""The public trainer cuts frame k's window at int(80 (k - 1) / 25), so it is centred 35 ms after the frame's centre."""

EXPERT_SHIFT = -0.005
"""It cuts the window of frames k to k + 4 at int(80 k / 25): rounded down where ours goes to the nearest step."""

_EXPECTED = "a Wav2Lip generator (wav2lip.pth, wav2lip_gan.pth) or its expert (lipsync_expert.pth) as published"
_CONVERTIBLE = f"{_EXPECTED}, a network of RestoreFormer++, IP_LAP's landmark generator, or DiffAE's (last.ckpt)"
_UNIT = re.compile(r"^(face_encoder_blocks|face_decoder_blocks|face_encoder|audio_encoder|output_block)\.(.+)$")
_NAMES = {
    "face_encoder_blocks": "face_encoder",
    "face_decoder_blocks": "face_decoder",
    "face_encoder": "face_encoder",
    "audio_encoder": "speech_encoder",
    "output_block": "out",
}


def recognises(path: str | Path) -> bool:
    """Whether a torch file looks like a public Wav2Lip or expert. Raises InputError for what is no torch file."""
    return bool(_kind(module_state(Path(path), _CONVERTIBLE)))


def convert_wav2lip(path_in: str | Path, path_out: str | Path | None = None, dtype: torch.dtype | None = None) -> Path:
    """Convert a public generator or expert and return the new file's path.

    The generator becomes the component "wav2lip" of a checkpoint of the system "ladtalk", the expert the component
    "syncnet" of one of the system "sync"; the licence of the weights is written into it. `path_out` ends in
    .safetensors; None puts it beside `path_in`. `dtype` is what the weights are stored as; None keeps float32.
    Raises InputError for any other file.
    """
    path_in = Path(path_in)
    path_out = path_in.with_suffix(".safetensors") if path_out is None else Path(path_out)
    if path_out.suffix != ".safetensors":
        raise InputError(f"{path_out}: a checkpoint's name ends in .safetensors, not {path_out.suffix!r}.")
    module, provenance = read_wav2lip(path_in)
    expert = isinstance(module, SyncNet)
    home = syncnet if expert else wav2lip
    configs = {home.COMPONENT: module.config.to_dict()}
    save_checkpoint(path_out, home.SYSTEM, {home.COMPONENT: module}, configs, provenance, dtype)
    return path_out


def read_wav2lip(path: str | Path) -> tuple[Wav2Lip | SyncNet, dict[str, Any]]:
    """The network, in evaluation mode, and the provenance that a public checkpoint holds. Raises InputError."""
    path = Path(path)
    state = module_state(path, _EXPECTED)
    kind = _kind(state)
    if kind is None:
        refuse(path, f"weights of another network: {some(state)}", _EXPECTED)
    with torch.device("meta"):
        module: Wav2Lip | SyncNet
        if kind == "expert":
            config = replace(SyncNetConfig.preset("base"), colour="bgr", mel_shift=EXPERT_SHIFT)
            module = SyncNet(config)
        else:
            module = Wav2Lip(replace(Wav2LipConfig.preset("base"), colour="bgr", mel_shift=GENERATOR_SHIFT))
    module.load_state_dict(renamed_state(path, state, module.state_dict(), _renamed_key, _EXPECTED), assign=True)
    provenance = {
        "source": f"Wav2Lip's {kind} (Prajwal et al. 2020), github.com/Rudrabha/Wav2Lip",
        "licence": LICENCE,
        "file": path.name,
        "data": "LRS2",
    }
    return module.eval(), provenance


def _kind(state: Mapping[str, Tensor]) -> str | None:
    if "face_decoder_blocks.0.0.conv_block.0.weight" in state and "output_block.1.weight" in state:
        return "generator"
    first = state.get("face_encoder.0.conv_block.0.weight")
    return "expert" if first is not None and first.ndim == 4 and first.shape[1] == 15 else None


def _renamed_key(key: str) -> str | None:
    match = _UNIT.match(key)
    if match is None:
        return None
    room, rest = match.groups()
    if room == "output_block":
        # A unit, then the convolution that makes pixels.
        place, _, rest = rest.partition(".")
        if place == "1":
            return f"pixels.{rest}"
        rest = f".{rest}"
    else:
        rest = f".{rest}"
    return _NAMES[room] + rest.replace(".conv_block.0.", ".conv.").replace(".conv_block.1.", ".norm.")
