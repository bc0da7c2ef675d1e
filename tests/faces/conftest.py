"""A face's landmarks that need no footage: the mean face of the crop's template, completed by a plain drawing."""

import numpy as np
import pytest
import torch


def drawn_face() -> torch.Tensor:
    """68 points of a plain face [68,2] in a square of side 1: eyes at 0.365, mouth at 0.7, chin at 0.905."""
    jaw = [(0.5 - 0.34 * np.cos(a), 0.38 + 0.525 * np.sin(a)) for a in np.linspace(0, np.pi, 17)]
    brow = [(0.21 + 0.05 * k, 0.25 - 0.02 * np.sin(k * np.pi / 4)) for k in range(5)]
    brow += [(1 - x, y) for x, y in brow[::-1]]
    nose = [(0.5, y) for y in (0.341, 0.396, 0.448, 0.512)]
    nose += [(x, y) for x, y in ((0.434, 0.587), (0.469, 0.589), (0.5, 0.594), (0.531, 0.589), (0.566, 0.587))]
    eye = [(0.282, 0.366), (0.32, 0.345), (0.37, 0.345), (0.41, 0.372), (0.37, 0.385), (0.32, 0.385)]
    mirrored = [eye[k] for k in (3, 2, 1, 0, 5, 4)]
    eyes = eye + [(1 - x, y) for x, y in mirrored]
    outer = [(0.5 - 0.13 * np.cos(a), 0.7 - 0.04 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 13)[:12]]
    inner = [(0.5 - 0.1 * np.cos(a), 0.7 - 0.01 * np.sin(a)) for a in np.linspace(0, 2 * np.pi, 9)[:8]]
    return torch.tensor(jaw + brow + nose + eyes + outer + inner, dtype=torch.float64)


@pytest.fixture
def face() -> torch.Tensor:
    return drawn_face()


def turned(points: torch.Tensor, scale: float, degrees: float, shift: tuple[float, float]) -> torch.Tensor:
    """Points scaled, turned (clockwise in the picture) about their mean and moved so that the mean lies at `shift`."""
    a = np.radians(degrees)
    turn = torch.tensor([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]])
    return (points - points.mean(0)) @ (scale * turn).T + torch.tensor(shift, dtype=torch.float64)


@pytest.fixture
def place():
    return turned
