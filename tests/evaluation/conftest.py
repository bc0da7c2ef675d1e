"""The one real clip of the tests: 30 frames of the studio's speaker with their truth."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from talkface_core.datasets.clips import ClipSet
from talkface_core.evaluation.probe import LandmarkProbe, load_probe
from talkface_core.evaluation.report import Truth

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(scope="session")
def clips() -> ClipSet:
    return ClipSet.open(FIXTURES)


@pytest.fixture(scope="session")
def arrays(clips: ClipSet) -> dict[str, Any]:
    """The clip's npz, landmarks in pixels of the 128 px frame."""
    return clips.clips[0].truth()


@pytest.fixture(scope="session")
def truth(arrays: dict[str, Any]) -> Truth:
    return Truth.of(arrays, 128, 128)


@pytest.fixture(scope="session")
def frames(clips: ClipSet) -> NDArray[np.uint8]:
    """[30, 128, 128, 3]"""
    return np.stack(list(clips.clips[0].decode()))


@pytest.fixture(scope="session")
def probe() -> LandmarkProbe:
    return load_probe()
