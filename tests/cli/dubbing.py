"""The film that tests of `dub` dub, and what a refusal is."""

from pathlib import Path

import numpy as np

from talkface_core.media.video_reader import VideoReader

CLIP = Path(__file__).parents[1] / "fixtures" / "ada_talks.mp4"


def frames_of(path: Path) -> np.ndarray:
    return np.concatenate(list(VideoReader(path).chunks()))


def refused(ended, folder: Path, message: str) -> None:
    """Status 2, one line that says so, nothing on stdout, no file but the inputs."""
    assert ended.status == 2
    assert message in ended.err
    assert ended.err.startswith("talkface: ")
    assert ended.err.count("\n") == 1
    assert not ended.out
    assert not [path for path in folder.rglob("*") if path.name == "out.mp4" or ".part" in path.name]
