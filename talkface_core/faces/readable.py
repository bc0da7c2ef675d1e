"""Whether a face is of the kind that the landmark net knows: where it reads the lips with certainty.

A known mouth has narrow peaks in its heat maps. Behind a hand or a mask, and where nothing is drawn as people are, the
net guesses and its heat lies scattered: the certainty is the height of the lips' peaks (their geometric mean, 0..1).
The model card of `face_tiny` says how well it tells the two apart.
"""

from __future__ import annotations

import logging

import torch
import torch.nn.functional as F
from torch import Tensor

from .track import FaceTrack

log = logging.getLogger(__name__)

KNOWN = 0.23
"""Certainty that 99 of 100 faces of a known kind reach: below it the lips may lie elsewhere."""

HOPELESS = 0.2
"""Certainty below which mouths are left as they are: what is painted there would smear."""

TURNED = 45.0
"""Degrees of yaw beyond which half of the mouth is out of sight, and it is left as it is."""

_AROUND = 0.12  # seconds before and after a frame that are averaged with it: painting must not flicker


def mark_readable(track: FaceTrack, certainty: Tensor, yaw: Tensor) -> Tensor:
    """Which frames' mouths can be repainted [T], by the detector's certainty [T] and yaw [T] in degrees.

    NaN where the detector does not say: such a mouth counts as readable. Warns, with numbers, of those that cannot be
    read and of those that are read with less certainty than known faces.
    """
    reach = round(_AROUND * float(track.fps))
    sure, turned = (torch.full((len(track),), torch.nan) for _ in range(2))
    for scene in track.scenes:
        sure[scene] = _averaged(certainty[scene].where(track.valid[scene], torch.nan), reach)
        turned[scene] = _averaged(yaw[scene].where(track.valid[scene], torch.nan), reach)
    away, hopeless, doubtful = turned.abs() > TURNED, sure < HOPELESS, sure < KNOWN
    readable = ~(away | hopeless)
    if away.any():
        log.warning(
            "the head turns up to %.0f degrees from the front; in %d of %d frames further than %g: the mouth is left "
            "as it is there",
            float(turned[away].abs().max()),
            int(away.sum()),
            len(track),
            TURNED,
        )
    if doubtful.any():
        log.warning(
            "the lips are read with a certainty of %.2f in %d of %d frames, where known faces have %g or more: hidden, "
            "blurred, or not drawn as people are; %s",
            float(sure[doubtful].mean()),
            int(doubtful.sum()),
            len(track),
            KNOWN,
            f"{int(hopeless.sum())} of them, below {HOPELESS:g}, are left as they are"
            if hopeless.any()
            else "expect a poorer mouth there",
        )
    return readable


def _averaged(values: Tensor, reach: int) -> Tensor:
    """The mean of values [T] over `reach` places before and after each, NaN left out; NaN where there is none."""
    known = ~values.isnan()
    window = torch.ones(1, 1, 2 * reach + 1)
    total, count = (
        F.conv1d(x.float()[None, None], window, padding=reach)[0, 0] for x in (values.nan_to_num(0.0), known)
    )
    return torch.where(count > 0, total / count.clamp(min=1), torch.nan)
