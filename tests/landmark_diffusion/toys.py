"""A painter that shows what it was given, landmarks, references and seed, and landmarks that nobody heard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from talkface_core.faces.landmarks import MOUTH

SIZE = 32


@dataclass(frozen=True)
class ToyReferences:
    """Mean colours [K,3] of pictures and landmarks [K,68,2]; those of frames [n,R,...]."""

    colours: Tensor
    landmarks: Tensor

    def at(self, index: Tensor) -> ToyReferences:
        return ToyReferences(self.colours[index], self.landmarks[index])


class ToyPainter(nn.Module):
    """As TalkFormerModel, made of nothing: the lower half is waves, moved by mouth, references and seed, and flatter
    where there is a rest. One shade would not do: what is pasted takes on the footage's colours. More than
    `most` faces are too much for the memory."""

    def __init__(self, most: int | None = None) -> None:
        super().__init__()
        self.size, self.references = SIZE, 2
        self.device, self.dtype = torch.device("cpu"), torch.float32
        self.live_values = 3 * 3 * 16 * (SIZE // 2) ** 2
        self.most, self.encoded, self.asked = most, 0, []
        self.shown: list[ToyReferences] = []

    def encode_references(self, pictures: Tensor, landmarks: Tensor) -> ToyReferences:
        assert pictures.shape == (len(landmarks), 3, SIZE, SIZE)
        self.encoded += len(pictures)
        return ToyReferences(pictures.mean((2, 3)), landmarks)

    def paint(self, faces, landmarks, references, settings, rest=None, callback=None) -> Tensor:
        self.asked.append(len(faces))
        if self.most is not None and len(faces) > self.most:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        assert landmarks.shape == (len(faces), 68, 2)
        assert references.colours.shape == (len(faces), 2, 3)
        self.shown.append(references)
        out = faces.clone()
        phase = 200 * landmarks[:, MOUTH, 1].mean(1) + 3 * references.colours.mean((1, 2)) + settings.seed
        rows = torch.arange(SIZE // 2, SIZE)
        waves = 0.4 + (0.2 if rest is None else 0.1) * torch.sin(phase[:, None] + rows)
        out[:, :, SIZE // 2 :] = waves[:, None, :, None]
        if rest is not None:
            assert rest.shape == landmarks.shape
        return out


class ToyLandmarks:
    """Landmarks of a film whose mouth sinks a little with each frame; stands in for `CompletedLandmarks`."""

    made: ClassVar[list[ToyLandmarks]] = []

    def __init__(self, model, source, landmarks, cuts, references, fps, strength, encoded=None) -> None:
        self.landmarks, self.cuts, self.references, self.fps = landmarks, cuts, references, fps
        self.strength = strength
        self.asked: list[int] = []
        ToyLandmarks.made.append(self)

    def at(self, frames) -> Tensor:
        self.asked += list(frames)
        points = self.landmarks[list(frames)].clone()
        points[:, MOUTH, 1] += 0.002 * torch.tensor(list(frames))[:, None] * self.strength
        return points
