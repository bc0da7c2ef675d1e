"""Why tests of the host are skipped: said with the command that has them run."""

import sys
from pathlib import Path

import pytest

from . import server


def test_a_host_that_cannot_train_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "TRAINING", ("json", "no_such_package", "nor_this"))
    reason = server.cannot_train(Path(sys.executable))
    assert reason is not None
    assert "lacks no_such_package, nor_this, which training needs" in reason
    assert reason.endswith(f"{sys.executable} -m pip install -r {server.ROOT / 'requirements-train.txt'}")
    assert (server.ROOT / "requirements-train.txt").is_file()
    monkeypatch.setattr(server, "TRAINING", ("json",))
    assert server.cannot_train(Path(sys.executable)) is None


def test_what_training_needs_is_what_its_requirements_name() -> None:
    lines = (server.ROOT / "requirements-train.txt").read_text(encoding="utf-8").splitlines()
    assert {line for line in lines if line and not line.startswith("#")} == set(server.TRAINING)
