"""Training inputs of the SOVQAE that Wav2Lip painted, beside the frames that they should be.

LaDTalk trains on sharp frames alone and counts on the codes to hold (v3). The mouths of a small Wav2Lip are softer than
few lines make them, and codes learnt without them do not bring their texture back.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from ..datasets.talking_faces import TalkingFaces
from ..dubbing.references import WIDE
from ..faces.landmarks import POSE, inner_lip_gap
from ..media.timebase import FPS
from .hearing import hear
from .model import Wav2LipModel
from .repaint import repaint

AWAY = 25  # frames between a face and its reference: its mouth must not tell the answer
_AT_ONCE = 32


@dataclass(frozen=True)
class Repainted:
    """frames uint8 [n,S,S,3] that say their own words; index [n]: the frames of the set that they are."""

    frames: NDArray[np.uint8]
    index: NDArray[np.int64]


def repaint_set(lips: Wav2LipModel, data: TalkingFaces, every: int = 7, quiet: bool = False) -> Repainted:
    """Each `every`-th face of a set, repainted with its own words, the reference being one of like pose elsewhere."""
    net, repainted, index = lips.wav2lip, [], []
    for clip in tqdm(range(len(data.lengths)), desc="repainting", disable=quiet):
        first, length = int(data.starts[clip]), int(data.lengths[clip])
        own = np.arange(clip % every, length, every)
        references = elsewhere(data.landmarks[first : first + length], net.config.references)[own]
        speech = hear(lips, [data.mels[clip][0].float()], FPS).at(own.tolist())
        faces, others = data.inner(first + own), data.inner(first + references.ravel())
        others = others.reshape(*references.shape, *others.shape[1:])
        repainted.append(repaint(net, np.ascontiguousarray(faces), speech, np.ascontiguousarray(others), _AT_ONCE))
        index.append(first + own)
    return Repainted(np.concatenate(repainted), np.concatenate(index))


def elsewhere(landmarks: NDArray[np.float32], count: int = 1) -> NDArray[np.int64]:
    """For each frame of a clip [T,68,2] `count` others, `AWAY` frames or more from it, of most alike pose: [T,count].

    The first is any, the others are among the clip's wide open mouths (`references.WIDE`).
    """
    gaps = inner_lip_gap(landmarks)
    wide = torch.from_numpy(gaps >= np.quantile(gaps, 1 - WIDE))
    points = torch.from_numpy(np.ascontiguousarray(landmarks[:, POSE])).flatten(1)
    far = torch.cdist(points, points)
    frames = torch.arange(len(points))
    near = (frames[:, None] - frames).abs() < AWAY
    # Where all wide open ones are near, the first stands for them.
    alike = [far.masked_fill(near, torch.inf), far.masked_fill(near, torch.inf) + 1e6 * ~wide]
    return torch.stack([alike[min(n, 1)].argmin(1) for n in range(count)], 1).numpy()
