"""The input `ear` of loaders: what hears in place of a checkpoint's acoustic model, the bundled ear or a Whisper."""

from __future__ import annotations

import logging

from comfy_api.latest import io

from ..talkface_core.acoustic.hearing import DEFAULT_EAR, NO_EAR, SMALL_EAR, Ears, OutsideEar, no_ear, pick_ear
from ..talkface_core.acoustic.model import AcousticModel
from ..talkface_core.checkpoints import list_checkpoints, read_checkpoint
from ..talkface_core.speech.whisper import SYSTEM, WHISPER
from . import host
from .sockets import advanced

log = logging.getLogger(__name__)

OWN_EAR = DEFAULT_EAR
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
            "alone, which hears new voices worse. A converted Whisper base in models/talkface hears real voices a "
            "little better than the bundled ear and takes several times as long: python -m talkface_core models "
            "--fetch whisper-base.",
        )
    )


def ears_of(name: str, dtype: str) -> Ears:
    """The ear of that name, its encoder in the format of `dtype`; loaded when an acoustic model is at hand. Raises
    InputError."""
    own = name == OWN_EAR
    path = list_checkpoints().get(SMALL_EAR) if own else None if name == NO_EAR else host.checkpoint_path(name, SYSTEM)
    if path is None:
        return no_ear

    def ears(acoustic: AcousticModel | None) -> OutsideEar | None:
        _, computed = host.pick_dtype(dtype, read_checkpoint(path).states.get(WHISPER.name, {}))
        ear = pick_ear(None if own else path, host.layers(computed, computed, streams=False), computed)(acoustic)
        if ear is not None:
            kind = str(computed).removeprefix("torch.")
            log.info("TalkFace: %s hears in %s on %s", path.stem, kind, host.device())
        return ear

    return ears


def ear_fingerprint(checkpoint: str, system: str, ear: str) -> str:
    """Of a checkpoint, and of the file that hears in its acoustic model's place: what was made anew is loaded anew."""
    files = [(checkpoint, system), *([] if ear in (OWN_EAR, NO_EAR) else [(ear, SYSTEM)])]
    return " ".join(str(host.fingerprint(host.checkpoint_path(*file))) for file in files)
