"""The input `ear` of loaders: what hears in place of a checkpoint's acoustic model, a Whisper that a user brings."""

from __future__ import annotations

import logging

from comfy_api.latest import io

from ..talkface_core.acoustic.hearing import OutsideEar, load_ear
from ..talkface_core.checkpoints import read_checkpoint
from ..talkface_core.speech.whisper import SYSTEM, WHISPER
from . import host
from .sockets import advanced

log = logging.getLogger(__name__)

OWN_EAR = "bundled"
"""The acoustic model of the checkpoint."""


def ear_input() -> io.Input:
    """The combo of it and of the converted Whispers at hand."""
    return advanced(
        io.Combo.Input(
            "ear",
            options=[OWN_EAR, *host.checkpoint_names(SYSTEM)],
            default=OWN_EAR,
            optional=True,
            tooltip="What hears the speech. bundled: the small acoustic model of the checkpoint. A converted Whisper "
            "base in models/talkface hears voices it never met far better, so lips follow better, for some seconds of "
            "computing per half minute: python -m talkface_core models --fetch whisper-base.",
        )
    )


def ear_of(name: str, dtype: str) -> OutsideEar | None:
    """The ear of that name, Whisper in the format of `dtype`; None for the checkpoint's own. Raises InputError."""
    if name == OWN_EAR:
        return None
    path = host.checkpoint_path(name, SYSTEM)
    _, computed = host.pick_dtype(dtype, read_checkpoint(path).states.get(WHISPER.name, {}))
    log.info("TalkFace: %s hears in %s on %s", path.stem, str(computed).removeprefix("torch."), host.device())
    return load_ear(path, host.layers(computed, computed, streams=False), computed)


def ear_fingerprint(checkpoint: str, system: str, ear: str) -> str:
    """Of a checkpoint, and of the file that hears in its acoustic model's place: what was made anew is loaded anew."""
    files = [(checkpoint, system), *([] if ear == OWN_EAR else [(ear, SYSTEM)])]
    return " ".join(str(host.fingerprint(host.checkpoint_path(*file))) for file in files)
