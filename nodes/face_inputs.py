"""The inputs that all face-finding nodes share, and what they mean."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache

import torch
from comfy_api.latest import io
from torch import Tensor, nn

from ..talkface_core.device import pick_dtype
from ..talkface_core.faces.bundled import THRESHOLD, BundledDetector, load_bundled
from ..talkface_core.faces.choose import CHOICES, FaceChoice
from ..talkface_core.faces.detect import DETECTORS, pick_detector
from ..talkface_core.faces.face import Detector
from ..talkface_core.faces.face_alignment import FaceAlignment
from ..talkface_core.faces.tracking import SMOOTHING
from . import host
from .sockets import advanced

log = logging.getLogger(__name__)


def choice_inputs() -> list[io.Input]:
    """Which of several faces is meant."""
    return [
        io.Combo.Input(
            "face",
            options=list(CHOICES),
            default="largest",
            tooltip="Which face, where there are several: the largest, the leftmost, by index from the left, "
            "nearest to a point, or under a mask. It is chosen in the first frame of a scene, then kept.",
        ),
        io.Int.Input("index", default=0, min=0, max=99, tooltip="For face = index: 0 is the leftmost."),
        io.Int.Input("x", default=0, min=0, max=16384, tooltip="For face = point: pixels from the left."),
        io.Int.Input("y", default=0, min=0, max=16384, tooltip="For face = point: pixels from the top."),
    ]


def smoothing_input() -> io.Input:
    """How still the landmarks are to be."""
    return io.Float.Input(
        "smoothing",
        default=SMOOTHING,
        min=0.0,
        max=3.0,
        step=0.05,
        tooltip="Takes the jitter out of the landmarks, without delay: 0 none, 1 strong. Too much rounds "
        "off quick lips.",
    )


def detector_inputs() -> list[io.Input]:
    """What finds faces."""
    return [
        advanced(
            io.Combo.Input(
                "detector",
                options=list(DETECTORS),
                default="auto",
                tooltip="auto: the library face-alignment if its weights are on this machine, else the bundled "
                "network; the log says which. face-alignment never downloads here.",
            )
        ),
        advanced(
            io.Float.Input(
                "threshold",
                default=THRESHOLD,
                min=0.05,
                max=0.99,
                step=0.01,
                tooltip="Score from which on something is a face. Lower finds fainter faces, and more that are none.",
            )
        ),
    ]


def mask_input() -> io.Input:
    """The face by a mask."""
    return io.Mask.Input(
        "mask",
        optional=True,
        tooltip="For face = mask: white over the face that is meant. Of the frames' size, or scaled to it.",
    )


def chosen(face: str, index: int, x: int, y: int, mask: Tensor | None) -> FaceChoice:
    """What the inputs say. Raises InputError."""
    if mask is not None and face != "mask":
        log.warning("a mask is connected, but face is %s: the mask counts only with face = mask", face)
    return FaceChoice(face, index, (x + 0.5, y + 0.5), mask)


def detector_of(
    name: str, threshold: float = THRESHOLD, beside: Sequence[host.Component] = (), memory: float = 0.0
) -> Detector:
    """The detector, its networks under the host's management where they are the pack's own.

    Networks `beside` it, which need `memory` bytes of activations, are loaded with it, so that none is put away for
    another.
    """
    if pick_detector(name) != "bundled":
        host.load_all(beside, memory)
        detector = FaceAlignment(host.device())
        detector.threshold = threshold
        return detector
    finder, reader = host.load_all([_bundled(host.device()), *beside], memory)[0]
    return BundledDetector(finder, reader, threshold)


@cache
def _bundled(device: torch.device) -> host.Component:
    """The pack's own networks, read once: small, needed by many nodes, and the host's to move as any other."""
    bundled = load_bundled(dtype=pick_dtype(device))
    networks = nn.ModuleList([bundled.finder, bundled.reader])
    return host.Component(host.managed(networks), bundled.name, None, {})
