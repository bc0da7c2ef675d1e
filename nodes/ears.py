"""The input `ear` of loaders: what hears in place of a checkpoint's acoustic model, the bundled ear or a Whisper."""

from __future__ import annotations

import logging

from comfy_api.latest import io

from ..talkface_core.acoustic.hearing import NO_EAR, SMALL_EAR, Ears, no_ear, pick_ear
from ..talkface_core.checkpoints import find_checkpoint, read_checkpoint
from ..talkface_core.speech.whisper import SYSTEM, WHISPER
from . import host
from .sockets import advanced

log = logging.getLogger(__name__)

OWN_EAR = "bundled"
"""The bundled ear, where it fits the checkpoint's acoustic model."""


def ear_input() -> io.Input:
    """The combo of it, of none, and of the converted Whispers at hand."""
    brought = [name for name in host.checkpoint_names(SYSTEM) if name != SMALL_EAR]
    return advanced(
        io.Combo.Input(
            "ear",
            options=[OWN_EAR, NO_EAR, *brought],
            default=OWN_EAR,
            optional=True,
            tooltip="What hears the speech. bundled: the pack's small ear. none: the checkpoint's own acoustic model "
            "alone, which hears new voices worse. A converted Whisper base in models/talkface hears a little better "
            "than the bundled ear and takes three times as long: python -m talkface_core models --fetch whisper-base.",
        )
    )


def ears_of(name: str, dtype: str) -> Ears:
    """The ear of that name, Whisper in the format of `dtype`. Raises InputError."""
    if name == NO_EAR:
        return no_ear
    path = find_checkpoint(SMALL_EAR) if name == OWN_EAR else host.checkpoint_path(name, SYSTEM)
    _, computed = host.pick_dtype(dtype, read_checkpoint(path).states.get(WHISPER.name, {}))
    layers = host.layers(computed, computed, streams=False)
    if name == OWN_EAR:
        return pick_ear(None, layers, computed)
    log.info("TalkFace: %s hears in %s on %s", path.stem, str(computed).removeprefix("torch."), host.device())
    return pick_ear(path, layers, computed)


def ear_fingerprint(checkpoint: str, system: str, ear: str) -> str:
    """Of a checkpoint, and of the file that hears in its acoustic model's place: what was made anew is loaded anew."""
    files = [(checkpoint, system), *([] if ear in (OWN_EAR, NO_EAR) else [(ear, SYSTEM)])]
    return " ".join(str(host.fingerprint(host.checkpoint_path(*file))) for file in files)
