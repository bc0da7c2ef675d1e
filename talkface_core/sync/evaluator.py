"""The published SyncNet (Chung and Zisserman, 2016), by which LSE-D and LSE-C are measured: its network and protocol.

It is another network than the lip expert of Wav2Lip (syncnet.py): 3-D convolutions over five whole faces of 224 px, and
13 cepstral coefficients of 0.2 s of sound; the vectors are not of unit length, distances are Euclidean. Its public
weights are brought by who has them (convert_evaluator.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..checkpoints import find_checkpoint, read_checkpoint
from ..components import Component, build, table
from ..config import LARGEST, Config
from ..device import Operations
from ..errors import InputError
from ..media.timebase import FPS, SAMPLE_RATE
from .mfcc import COEFFICIENTS, RATE, mfcc
from .score import MAX_SHIFT, SyncScore

SYSTEM, COMPONENT = "sync_evaluator", "evaluator"

SIZE, FRAMES, STEPS = 224, 5, 20
"""Side of its pictures; frames and steps of sound that it sees and hears at once."""

_STEPS_A_FRAME = RATE // FPS
_EPS = 1e-6  # that torch's pairwise_distance adds to each difference
_AT_ONCE = 8


@dataclass(frozen=True)
class EvaluatorConfig(Config):
    """vector: length of its vectors; width: channels of the first convolutions by the published ones."""

    vector: int = 1024
    width: float = 1.0

    def __post_init__(self) -> None:
        self.check_range(1, LARGEST, "vector")
        self.check_range(1 / 32, 1, "width")


class SyncEvaluator(nn.Module):
    """Pictures [B,3,5,224,224] (BGR, 0..255) and coefficients [B,1,13,20] -> vectors [B,1024] each."""

    def __init__(self, config: EvaluatorConfig | None = None, operations: Operations = nn) -> None:
        super().__init__()
        self.config = config = config or EvaluatorConfig()
        ops = operations

        def wide(channels: int) -> int:
            return max(round(channels * config.width), 1)

        def sound(inputs: int, outputs: int, kernel: int | tuple[int, int] = 3, padding: int = 1) -> list[nn.Module]:
            norm = nn.BatchNorm2d(wide(outputs))
            first = 1 if inputs == 1 else wide(inputs)
            return [ops.Conv2d(first, wide(outputs), kernel, padding=padding), norm, nn.ReLU()]

        def lips(
            inputs: int, outputs: int, kernel: tuple[int, int, int], stride: int = 1, padding: int = 1
        ) -> list[nn.Module]:
            first = 3 if inputs == 3 else wide(inputs)
            convolution = ops.Conv3d(first, wide(outputs), kernel, (1, stride, stride), (0, padding, padding))
            return [convolution, nn.BatchNorm3d(wide(outputs)), nn.ReLU()]

        def head() -> nn.Sequential:
            inner = wide(512)
            return nn.Sequential(
                ops.Linear(inner, inner), nn.BatchNorm1d(inner), nn.ReLU(), ops.Linear(inner, config.vector)
            )

        self.sound = nn.Sequential(
            *sound(1, 64),
            nn.MaxPool2d(1, 1),
            *sound(64, 192),
            nn.MaxPool2d(3, (1, 2)),
            *sound(192, 384),
            *sound(384, 256),
            *sound(256, 256),
            nn.MaxPool2d(3, 2),
            *sound(256, 512, (5, 4), 0),
        )
        self.lips = nn.Sequential(
            *lips(3, 96, (5, 7, 7), 2, 0),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *lips(96, 256, (1, 5, 5), 2),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2), (0, 1, 1)),
            *lips(256, 256, (1, 3, 3)),
            *lips(256, 256, (1, 3, 3)),
            *lips(256, 256, (1, 3, 3)),
            nn.MaxPool3d((1, 3, 3), (1, 2, 2)),
            *lips(256, 512, (1, 6, 6), 1, 0),
        )
        self.sound_head, self.lips_head = head(), head()

    def hear(self, coefficients: Tensor) -> Tensor:
        """Vectors of [B,1,13,20]."""
        return self.sound_head(self.sound(coefficients).flatten(1))

    def see(self, pictures: Tensor) -> Tensor:
        """Vectors of [B,3,5,224,224]."""
        return self.lips_head(self.lips(pictures).flatten(1))

    def forward(self, pictures: Tensor, coefficients: Tensor) -> tuple[Tensor, Tensor]:
        return self.see(pictures), self.hear(coefficients)


EVALUATOR = Component(COMPONENT, EvaluatorConfig, SyncEvaluator)
COMPONENTS = table(EVALUATOR)


def load_evaluator(model: str | Path) -> SyncEvaluator:
    """The evaluator of a converted file, to infer, in float32. Raises CheckpointError for a file that is none."""
    return build(read_checkpoint(find_checkpoint(model), SYSTEM), EVALUATOR)


@torch.no_grad()
def evaluator_score(
    net: SyncEvaluator, crops: NDArray[np.uint8], sound: Tensor, max_shift: int = MAX_SHIFT
) -> SyncScore:
    """LSE-D (`distance`), LSE-C (`confidence`) and the offset of crops [T,224,224,3] (RGB, 25 a second) and their sound
    [N] at 16 kHz.

    The protocol is the published script's: windows of five frames, all but the last of them; sound beyond the clip
    counts as a vector of zeros. The offset has our sign (above zero the sound is late), which is the opposite of what
    that script prints. Raises InputError for other crops and for fewer than six frames of both.
    """
    if crops.ndim != 4 or crops.shape[1:] != (SIZE, SIZE, 3):
        raise InputError(f"crops of shape {list(crops.shape)}; the evaluator needs [frames, {SIZE}, {SIZE}, 3].")
    count = min(len(crops), len(sound) * FPS // SAMPLE_RATE) - FRAMES
    if count < 1:
        raise InputError(f"{len(crops)} frames and {len(sound) / SAMPLE_RATE:.2f} s of sound; six frames are needed.")
    weight = next(net.parameters())
    heard = torch.from_numpy(mfcc(sound.numpy()).T).float()
    seen, said = [], []
    for start in range(0, count, _AT_ONCE):
        index = range(start, min(start + _AT_ONCE, count))
        pictures = np.stack([crops[k : k + FRAMES, :, :, ::-1] for k in index])
        seen.append(net.see(torch.from_numpy(pictures).permute(0, 4, 1, 2, 3).to(weight)).float().cpu())
        windows = [_window(heard, _STEPS_A_FRAME * k) for k in index]
        said.append(net.hear(torch.stack(windows)[:, None].to(weight)).float().cpu())
    faces, sounds = torch.cat(seen), F.pad(torch.cat(said), (0, 0, max_shift, max_shift))
    shifts = range(2 * max_shift + 1)
    curve = torch.stack([(faces - sounds[s : s + count] + _EPS).norm(dim=1).mean() for s in shifts])
    best = int(curve.argmin())
    least = float(curve[best])
    return SyncScore(best - max_shift, float(curve.median()) - least, least, curve.numpy())


def _window(heard: Tensor, start: int) -> Tensor:
    """Coefficients [13,20] from a step on; the last frame of a sound may lack a step, which repeats."""
    part = heard[:COEFFICIENTS, start : start + STEPS]
    return F.pad(part[None], (0, STEPS - part.shape[1]), mode="replicate")[0] if part.shape[1] < STEPS else part
