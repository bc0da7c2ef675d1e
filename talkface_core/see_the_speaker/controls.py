"""Controls of a face's expression: where the opening of the mouth, the eyelids and the gaze lie among the keypoints.

Source: ours. Implicit keypoints have no names (LivePortrait retargets eyes and lips by small nets of their own). What a
motion extractor makes of a thousand clips with known mouths and eyes is a linear matter: `read` tells how far a mouth
is open, `write` what to add to open it. Both are fitted by least squares.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..errors import InputError

OPENING, BLINK_RIGHT, BLINK_LEFT, GAZE_RIGHT, GAZE_DOWN = (
    "opening",
    "blink_right",
    "blink_left",
    "gaze_right",
    "gaze_down",
)
CONTROLS = (OPENING, BLINK_RIGHT, BLINK_LEFT, GAZE_RIGHT, GAZE_DOWN)
"""opening: 0 lips shut, 1 wide open (the largest opening of most speakers); blinks: 0 open, 1 shut, of the subject's
right and left eye; gaze: to the right of the picture and down, 1 as far as people look while they talk."""


ALIKE = 0.8
"""Controls go together from this correlation on."""


class ControlTable(nn.Module):
    """Buffers for expressions [...,K,3] about a face at rest: read [C,3K], bias [C], write [C,3K]."""

    read: Tensor
    bias: Tensor
    write: Tensor

    def __init__(self, names: Sequence[str], keypoints: int) -> None:
        super().__init__()
        self.names = tuple(names)
        if not self.names:
            return
        for name in ("read", "write"):
            self.register_buffer(name, torch.zeros(len(self.names), 3 * keypoints))
        self.register_buffer("bias", torch.zeros(len(self.names)))

    def values(self, expression: Tensor) -> Tensor:
        """How far each control is turned in expressions [...,K,3]: [...,C]."""
        return expression.flatten(-2) @ self.read.to(expression).T + self.bias.to(expression)

    def value(self, expression: Tensor, name: str) -> Tensor:
        """The same of one control: [...]. Raises InputError for one that this table does not know."""
        place = self.place(name)
        return self.values(expression)[..., place]

    def moved(self, expression: Tensor, name: str, by: Tensor | float) -> Tensor:
        """Expressions [...,K,3] with a control turned further, `by` a number or [...]. Raises InputError."""
        place = self.place(name)
        along = self.write[place].to(expression).unflatten(0, expression.shape[-2:])
        return expression + torch.as_tensor(by, dtype=expression.dtype)[..., None, None] * along

    def shares(self, name: str) -> Tensor:
        """How much each keypoint [K] has to do with a control, 0..1, by how far it goes. Raises InputError."""
        along = self.write[self.place(name)].unflatten(0, (-1, 3)).norm(dim=1)
        share = (2 * along / along.max().clamp_min(1e-9)).clamp(0, 1)
        return torch.where(share < 0.1, 0.0, share)

    def place(self, name: str) -> int:
        """The row of a control. Raises InputError for one that this table does not know."""
        if name not in self.names:
            raise InputError(
                f"this motion model has no control {name!r}: "
                + (f"only {', '.join(self.names)}." if self.names else "its keypoints were never read.")
            )
        return self.names.index(name)

    @torch.no_grad()
    def fit(self, expression: Tensor, values: Tensor, ridge: float = 1e-2) -> Tensor:
        """Learn from expressions [N,K,3] and what their controls are, [N,C]; returns each control's correlation [C].

        ridge: of the deviation of the keypoints, against noise in those that hardly move.
        """
        x, y = expression.flatten(1).double(), values.double()
        x_mean, y_mean = x.mean(0), y.mean(0)
        x, y = x - x_mean, y - y_mean
        square = x.T @ x / len(x)
        noise = ridge * square.diagonal().mean() * torch.eye(len(square), dtype=torch.float64)
        read = torch.linalg.solve(square + noise, x.T @ y / len(x)).T
        self.read.copy_(read)
        self.bias.copy_(y_mean - read @ x_mean)
        inner = y.T @ y / len(y)
        deviation = inner.diagonal().sqrt().clamp_min(1e-9)
        # Eyes blink together: without it the little in which they differ would be blown up into wild motion.
        likely = inner + 0.02 * inner.diagonal().mean() * torch.eye(len(inner), dtype=torch.float64)
        write = torch.linalg.solve(likely, y.T @ x / len(x))
        # What is written is read back whole, of controls that go together where all of them are written.
        alike = (inner / deviation[:, None] / deviation).abs() > ALIKE
        told = ((write @ read.T) * alike).sum(0).clamp_min(0.1)
        self.write.copy_(write / told[:, None])
        said = x @ read.T
        return ((said * y).mean(0) / (said.std(0) * y.std(0)).clamp_min(1e-9)).float()
