"""A face that turns and speaks, as an aligned crop."""

import numpy as np
import pytest
import torch

from talkface_core.faces.align import FaceCrop

SIZE, FRAMES = 96, 60


@pytest.fixture
def crop():
    """A face that turns slowly to the right and opens its mouth every fifth frame but one."""
    chance = np.random.default_rng(0)
    points = np.repeat(chance.uniform(20, 76, (1, 68, 2)), FRAMES, 0)
    points[:, :48, 0] += np.linspace(0, 6, FRAMES)[:, None]
    points[:, 61:64] = points[:, [67, 66, 65]]
    points[np.arange(FRAMES) % 5 != 0, 65:68, 1] += 8
    matrices = torch.tensor([[1.0, 0, -3], [0, 1, -2]]).repeat(FRAMES, 1, 1)
    return FaceCrop(matrices, SIZE, (110, 120), torch.from_numpy(points).float())
