"""Labels of a clip's frames, from its truth: mouth, eyes and sounds, as numbers for each frame."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..faces.landmarks import MOUTH, face_height, mouth_opening
from ..media.timebase import FPS, frame_centre

IGNORE = -100
"""The label of a frame that no loss counts, as torch's cross entropy has it."""

# The blendshapes that speech moves, by ICT-FaceKit's names; smiles and frowns belong to the mood.
MOUTH_WEIGHTS = (
    *("jawOpen", "mouthFunnel", "mouthPucker", "mouthRollLower", "mouthShrugUpper"),
    *("mouthLowerDown_L", "mouthLowerDown_R", "mouthPress_L", "mouthPress_R"),
    *("mouthStretch_L", "mouthStretch_R", "mouthUpperUp_L", "mouthUpperUp_R"),
)
VISEMES = (
    *("sil", "PP", "FF", "TH", "DD", "KK", "CH", "SS", "RR", "LL", "HH", "W"),
    *("AA", "AE", "AH", "E", "ER", "I", "IH", "O", "OE", "U"),
)
_SAME = {"BV": "PP"}


def mouth_targets(truth: Mapping[str, Any]) -> NDArray[np.float32] | None:
    """What a mouth does, as numbers [T, M] that mean the same for every person where the truth has blendshapes.

    With `weights` and `names`: the blendshapes of speech and `mouth_open`. With `landmarks` alone: the 20 lip points
    about their mean in units of the face's height, and the opening of the inner lips. Without both: None.
    """
    if "weights" in truth and "mouth_open" in truth:
        names = [str(name) for name in truth.get("names", ())]
        if set(MOUTH_WEIGHTS) <= set(names) and truth["weights"].shape[1:] == (len(names),):
            chosen = truth["weights"][:, [names.index(name) for name in MOUTH_WEIGHTS]]
            return np.concatenate([chosen, truth["mouth_open"][:, None]], axis=1).astype(np.float32)
    if "landmarks" in truth:
        points = np.asarray(truth["landmarks"], np.float32)
        lips = points[:, MOUTH]
        lips = (lips - lips.mean(1, keepdims=True)) / face_height(points)[:, None, None]
        return np.concatenate([lips.reshape(len(lips), -1), mouth_opening(points)[:, None]], axis=1).astype(np.float32)
    return None


def viseme_track(phonemes: Sequence[Sequence[Any]], frames: int) -> Tensor:
    """Viseme at the centre of each frame, int64 [frames], from [[symbol, viseme, start_s, end_s], ...].

    Of a diphthong ("AA+I") the first part counts; times that no phoneme covers are `IGNORE`.
    """
    track = torch.full((frames,), IGNORE, dtype=torch.int64)
    centres = torch.tensor([float(frame_centre(k, FPS)) for k in range(frames)])
    try:
        said = [(str(viseme), float(start), float(end)) for _, viseme, start, end in phonemes]
    except (ValueError, TypeError, OverflowError) as error:
        told = " ".join(str(phonemes)[:60].split())
        raise InputError(f"phonemes are lists of [symbol, viseme, start_s, end_s], not {told}") from error
    for viseme, start, end in said:
        name = viseme.split("+")[0]
        name = _SAME.get(name, name)
        if name in VISEMES:
            track[(centres >= start) & (centres < end)] = VISEMES.index(name)
    return track


def eye_track(eye_open: NDArray[np.floating]) -> Tensor:
    """Opening of the eyes relative to the clip's usual open eye: [T], 1 open, 0 shut, at most 1.2."""
    usual = max(float(np.percentile(eye_open, 90)), 1e-3)
    return torch.from_numpy(np.clip(eye_open / usual, 0.0, 1.2).astype(np.float32))
