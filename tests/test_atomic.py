"""Whole files: after a failure or a kill in the middle the old file stands and nothing is left beside it."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from talkface_core.atomic import whole_file


def test_the_file_appears_at_the_end(tmp_path: Path) -> None:
    target = tmp_path / "new" / "a.bin"
    with whole_file(target) as part:
        assert part.suffix == target.suffix
        part.write_bytes(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert [file.name for file in target.parent.iterdir()] == ["a.bin"]


def test_what_a_link_points_to_is_written(tmp_path: Path) -> None:
    target, link = tmp_path / "there" / "a.bin", tmp_path / "link.bin"
    target.parent.mkdir()
    target.write_bytes(b"old")
    link.symlink_to(target)
    with whole_file(link) as part:
        part.write_bytes(b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_an_error_keeps_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")

    def fail_half_way() -> None:
        with whole_file(target) as part:
            part.write_bytes(b"half")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_half_way()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX")
def test_the_umask_decides_who_may_read(tmp_path: Path) -> None:
    plain, target = tmp_path / "plain", tmp_path / "a.bin"
    plain.touch()
    with whole_file(target) as part:
        part.write_bytes(b"x")
        part.chmod(0o600)
    assert target.stat().st_mode == plain.stat().st_mode


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL is POSIX")
def test_a_kill_in_the_middle(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    code = (
        "import os, signal, sys; from talkface_core.atomic import whole_file\n"
        "with whole_file(sys.argv[1]) as part: part.write_bytes(b'half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    root = Path(__file__).parents[1]
    result = subprocess.run([sys.executable, "-c", code, str(target)], cwd=root, check=False)
    assert result.returncode == -signal.SIGKILL
    assert target.read_bytes() == b"old"
    with whole_file(target) as part:
        part.write_bytes(b"new")
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]
