"""The sync score: by how many frames lips and sound are apart, and how sure that is.

The protocol of LSE-D and LSE-C (Chung and Zisserman 2016; Prajwal et al. 2020): distances between the vectors of every
five frames and of the sound at each shift, averaged over the clip. The distance is the least mean, the
confidence the median over the shifts minus it. The numbers belong to one expert and one crop: compare them only with
those of the real clip, measured the same way.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..media.timebase import FPS
from ..pixels import to_unit
from ..speech.mel_windows import FRAMES, mel_windows
from .syncnet import SyncNet, lower_half

MAX_SHIFT = 15
_AT_ONCE = 64


@dataclass(frozen=True)
class SyncScore:
    """offset: frames by which the sound lags behind the lips (below zero: it leads); confidence and distance as in
    LSE-C and LSE-D, but of unit vectors (0 to 2); curve [31]: mean distance at shifts -15 to 15."""

    offset: int
    confidence: float
    distance: float
    curve: NDArray[np.float32]


@torch.no_grad()
def vectors(
    net: SyncNet, crops: Tensor | NDArray[np.uint8], mel: Tensor, max_shift: int = MAX_SHIFT
) -> tuple[Tensor, Tensor]:
    """Vectors of every five frames and of the sound around them: [T-4,D] and [T-4+2 max_shift,D], float32 on the CPU.

    crops [T,S,S,3] uint8, aligned, at 25 frames per second; mel [steps,80]. Row i of the first belongs to row
    i + max_shift of the second. Raises InputError for fewer than five frames or crops of another size.
    """
    size = net.config.size
    if len(crops) < FRAMES or tuple(crops.shape[1:]) != (size, size, 3):
        raise InputError(f"crops of shape {list(crops.shape)}; the lip expert needs 5 or more of [{size}, {size}, 3].")
    weight = next(net.parameters())
    halves = rearrange(torch.as_tensor(np.asarray(crops)), "t h w c -> t c h w")
    halves = lower_half(halves).contiguous()
    count, faces = len(crops) - FRAMES + 1, []
    for start in range(0, count, _AT_ONCE):
        index = torch.arange(start, min(start + _AT_ONCE, count))[:, None] + torch.arange(FRAMES)
        faces.append(net.faces(to_unit(halves[index].to(weight.device)).to(weight.dtype)).cpu())
    middles = range(FRAMES // 2 - max_shift, count + FRAMES // 2 + max_shift)
    windows = mel_windows(mel.float(), middles, FPS, net.config.mel_shift)
    sounds = [net.speech(part.to(weight.device, weight.dtype)).cpu() for part in windows.split(4 * _AT_ONCE)]
    return torch.cat(faces), torch.cat(sounds)


def cosines(faces: Tensor, sounds: Tensor) -> Tensor:
    """Cosines [T-4, shifts] of each five frames with the sounds around them, from `vectors`."""
    return torch.einsum("td,tsd->ts", faces, sounds.unfold(0, len(sounds) - len(faces) + 1, 1).transpose(1, 2))


def sync_score(net: SyncNet, crops: Tensor | NDArray[np.uint8], mel: Tensor, max_shift: int = MAX_SHIFT) -> SyncScore:
    """Score aligned crops [T,S,S,3] against their sound's log-mel [steps,80]. See `vectors`."""
    distance = (2 - 2 * cosines(*vectors(net, crops, mel, max_shift))).clamp_min(0).sqrt().mean(0)
    best = int(distance.argmin())
    least = float(distance[best])
    return SyncScore(best - max_shift, float(distance.median()) - least, least, distance.numpy())
