"""The choice of a face detector by name."""

from __future__ import annotations

import logging

import torch

from ..errors import InputError
from . import face_alignment
from .bundled import load_bundled
from .face import Detector

log = logging.getLogger(__name__)

DETECTORS = ("auto", "bundled", "face-alignment")


def pick_detector(name: str = "auto", download: bool = False) -> str:
    """Which detector `name` means: "bundled" or "face-alignment".

    "auto" takes face-alignment when the library and its weights are there, else the bundled net; the log says which.
    `download` allows face-alignment to fetch its weights. Raises InputError for an unknown name, and when
    face-alignment is asked for by name and is missing.
    """
    if name not in DETECTORS:
        raise InputError(f"face detector {name!r} is unknown; choose one of {', '.join(DETECTORS)}.")
    missing = face_alignment.missing(download)
    if name == "face-alignment" and missing:
        raise InputError(f"face-alignment cannot be used: {missing}; or choose the detector 'bundled'.")
    if name == "bundled" or missing:
        reason = f" ({missing})" if name == "auto" else ""
        log.info("faces are found by the bundled net%s", reason)
        return "bundled"
    log.info("faces are found by the library face-alignment")
    return "face-alignment"


def find_detector(
    name: str = "auto", device: torch.device | str = "cpu", dtype: torch.dtype | None = None, download: bool = False
) -> Detector:
    """The detector that `pick_detector` names, on a device and in a dtype (None: what suits the device)."""
    if pick_detector(name, download) == "bundled":
        return load_bundled(device=device, dtype=dtype)
    return face_alignment.FaceAlignment(device, dtype or torch.float32)
