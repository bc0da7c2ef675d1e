"""A small random system on disk, for tests of the plumbing."""

from pathlib import Path

import pytest

from tests.dae_talker.small import save_small_talker


@pytest.fixture(scope="session")
def small_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole DAE-Talker checkpoint with random weights."""
    return save_small_talker(tmp_path_factory.mktemp("weights") / "small.safetensors")
