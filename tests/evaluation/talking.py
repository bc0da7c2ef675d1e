"""The fixture's clip as footage: its truth's landmarks are its track, so that nothing has to be found."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from talkface_core.evaluation.footage import Footage, held_frames
from talkface_core.faces.track import FaceTrack

CLOSURES = np.array([4, 17])


def footage(frames: NDArray[np.uint8], landmarks: NDArray[Any], sound: Tensor | None, name: str = "clip") -> Footage:
    """Frames [T,H,W,3] with landmarks [T,68,2] in their pixels."""
    points = torch.from_numpy(np.asarray(landmarks, np.float32))
    size = (frames.shape[1], frames.shape[2])
    track = FaceTrack(points, torch.ones(len(points), dtype=torch.bool), size, 25)
    return Footage(name, held_frames(torch.from_numpy(frames)), track, points.numpy(), sound)


def later(sound: Tensor, frames: int) -> Tensor:
    """A sound that comes so many frames later, equally long."""
    moved = torch.zeros_like(sound)
    step = 640 * frames
    if step >= 0:
        moved[step:] = sound[: len(sound) - step]
    else:
        moved[:step] = sound[-step:]
    return moved
