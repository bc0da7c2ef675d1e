"""IP_LAP's landmark generator in its published layout.

Source: IP_LAP (Zhong et al., CVPR 2023), sizes of its public code: Wav2Lip's ear on 16 mel steps a frame, two encoders
of landmarks by one-dimensional convolutions over the points, four Transformer layers over the tokens of references,
sound and pose, 13.7 M weights for 131 points. The sound's tokens tell the lips, the pose's tokens the jaw.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from einops import rearrange
from torch import Tensor, nn

from ..device import Operations
from ..speech.conformer import sinusoids
from ..sync.blocks import SpeechEncoder
from .landmarks import LandmarkSet, pick

POSE, AUDIO, REFERENCE = 1, 2, 3
"""Rows of the embedding of kinds; the first is used by none."""

_WIDTHS = (4, 8, 16, 32, 64, 128, 256)
_SHORT = 3  # points that are left for the last convolution


class PublishedGenerator(nn.Module):
    """Mel windows, pose points and references -> jaw and lips, as `LandmarkSet.content` orders them."""

    def __init__(
        self,
        landmarks: LandmarkSet,
        width: int = 512,
        heads: int = 4,
        blocks: int = 4,
        ff: int = 1024,
        dropout: float = 0.1,
        operations: Operations = nn,
    ) -> None:
        super().__init__()
        self.landmarks = landmarks
        # Its vector ends in a tanh in place of the ReLU.
        self.speech = SpeechEncoder((32, 64, 128, 256, width), (2, 2, 2, 1), relu=False, operations=operations)
        self.reference = PointEncoder(landmarks.count, width, 1, residual=False, operations=operations)
        self.pose = PointEncoder(len(landmarks.pose), width, 2, residual=True, operations=operations)
        self.kind = nn.Embedding(4, width, padding_idx=0)
        layer = nn.TransformerEncoderLayer(width, heads, ff, dropout, batch_first=True)
        self.fusion = nn.TransformerEncoder(layer, blocks, enable_nested_tensor=False)
        self.dropout = nn.Dropout(dropout)
        self.lips = operations.Linear(width, 2 * len(landmarks.lips))
        self.jaw = operations.Linear(width, 2 * len(landmarks.jaw))
        self.norm = operations.LayerNorm(width)

    def forward(self, windows: Tensor, pose: Tensor, references: Tensor) -> Tensor:
        """windows [B,T,80,16], pose points [B,T,K,2], references [B,N,P,2] -> [B,T,C,2]."""
        batch, frames, count = *pose.shape[:2], references.shape[1]
        kind = windows.dtype
        shown = pick(references, self.landmarks.pose + self.landmarks.content)
        heard = self.speech(rearrange(windows, "b t f s -> (b t) 1 f s")).flatten(1).tanh()
        posed = self.pose(rearrange(pose.to(kind), "b t k c -> (b t) c k"))
        shown = self.reference(rearrange(shown.to(kind), "b n p c -> (b n) c p"))
        tokens = [rearrange(self.norm(x), "(b n) w -> b n w", b=batch) for x in (shown, heard, posed)]
        place = sinusoids_interleaved(frames, heard).to(kind)
        for index, (row, position) in enumerate(((REFERENCE, 0), (AUDIO, place), (POSE, place))):
            tokens[index] = tokens[index] + self.kind.weight[row].to(kind) + position
        said = self.fusion(self.dropout(torch.cat(tokens, 1)))
        jaw, lips = self.jaw(said[:, count + frames :]), self.lips(said[:, count : count + frames])
        return rearrange(torch.cat([jaw, lips], -1), "b t (p c) -> b t p c", c=2)


class PointEncoder(nn.Sequential):
    """Points [B,2,P] -> [B,width], by convolutions over the points, halved until three are left.

    last: residual units of the last halving, the others have two; residual: whether the unit that ends it is one.
    """

    def __init__(self, points: int, width: int, last: int, residual: bool, operations: Operations = nn) -> None:
        lengths = [points]
        while lengths[-1] > _SHORT:
            lengths.append(-(-lengths[-1] // 2))
        whole = len(_WIDTHS) - len(lengths)  # stages that keep the number of points
        layers: list[nn.Module] = [PointUnit(2, _WIDTHS[0], operations=operations)]
        for stage, (before, after) in enumerate(pairwise(_WIDTHS)):
            layers.append(PointUnit(before, after, stride=1 if stage < whole else 2, operations=operations))
            units = last if after == _WIDTHS[-1] else 2
            layers += [PointUnit(after, after, residual=True, operations=operations) for _ in range(units)]
        layers.append(PointUnit(_WIDTHS[-1], width, padding=0, operations=operations))
        layers.append(PointUnit(width, width, 1, padding=0, residual=residual, tanh=True, operations=operations))
        super().__init__(*layers, nn.Flatten())


class PointUnit(nn.Module):
    """Convolution, BatchNorm, ReLU or tanh; with `residual` the input is added before it. [B,C,P] -> [B,C',P']."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        padding: int = 1,
        residual: bool = False,
        tanh: bool = False,
        operations: Operations = nn,
    ) -> None:
        super().__init__()
        self.conv = operations.Conv1d(inputs, outputs, kernel, stride, padding)
        self.norm = nn.BatchNorm1d(outputs)
        self.residual, self.tanh = residual, tanh

    def forward(self, x: Tensor) -> Tensor:
        out = self.norm(self.conv(x))
        if self.residual:
            out = out + x
        return out.tanh() if self.tanh else out.relu()


def sinusoids_interleaved(frames: int, like: Tensor) -> Tensor:
    """[frames, width of `like`]: sine and cosine of each frequency side by side, as the published positions are."""
    halves = sinusoids(torch.arange(frames, device=like.device), like.shape[-1])
    return rearrange(halves, "t (two k) -> t (k two)", two=2)
