"""The holistic motion of a face: expression, eyes and head of each frame in one representation.

Source: See the Speaker (Wang et al., arXiv 2510.26819), section on the high-resolution talking face: one latent that
speech drives as a whole. Ours is LivePortrait's (Guo et al. 2024): implicit keypoints x = s (x_c R + expression) + t,
where x_c are a person's canonical keypoints and everything else is motion.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import InputError
from ..media.timebase import Rate, as_rate

POSE_VALUES = 7
"""Values of a frame besides its expression: scale 1, translation 3, rotation 3."""


@dataclass(frozen=True)
class Motion:
    """Motion of T frames, float32.

    expression [T,K,3]: how far each implicit keypoint is from the canonical one; rotation [T,3]: yaw, pitch, roll in
    degrees (HeadPose's axes); translation [T,3] and scale [T,1]: of the head in the crop, whose sides are -1..1; fps.
    """

    expression: Tensor
    rotation: Tensor
    translation: Tensor
    scale: Tensor
    fps: Rate = 25

    def __post_init__(self) -> None:
        frames = len(self.expression)
        shapes = [tuple(part.shape) for part in (self.rotation, self.translation, self.scale)]
        if (
            self.expression.ndim != 3
            or self.expression.shape[2] != 3
            or shapes != [(frames, 3), (frames, 3), (frames, 1)]
        ):
            raise InputError(
                f"motion of shapes {list(self.expression.shape)}, {shapes}; expected [T,K,3], [T,3], [T,3] and [T,1]."
            )
        as_rate(self.fps)

    def __len__(self) -> int:
        return len(self.expression)

    @property
    def keypoints(self) -> int:
        """How many implicit keypoints it moves."""
        return self.expression.shape[1]

    def values(self) -> Tensor:
        """[T, 3K + 7]: expression, scale, translation, rotation, as a motion diffusion reads them."""
        return torch.cat([self.expression.flatten(1), self.scale, self.translation, self.rotation], 1)

    @classmethod
    def from_values(cls, values: Tensor, fps: Rate = 25) -> Motion:
        """Undo `values`. Raises InputError where the width is not 3K + 7."""
        points, rest = divmod(values.shape[-1] - POSE_VALUES, 3)
        if values.ndim != 2 or points < 1 or rest:
            raise InputError(f"motion values of shape {list(values.shape)}; expected [T, 3K + {POSE_VALUES}].")
        expression, scale, translation, rotation = values.split([3 * points, 1, 3, 3], 1)
        return cls(expression.unflatten(1, (points, 3)), rotation, translation, scale, fps)

    def __getitem__(self, frames: slice) -> Motion:
        expression, rotation, translation = self.expression[frames], self.rotation[frames], self.translation[frames]
        return Motion(expression, rotation, translation, self.scale[frames], self.fps)

    @classmethod
    def join(cls, parts: Sequence[Motion]) -> Motion:
        """Parts one after the other. Raises InputError for none."""
        if not parts:
            raise InputError("no motion to join.")
        values = torch.cat([part.values() for part in parts])
        return cls.from_values(values, parts[0].fps)
