"""Footage of a face that talks, a detector that knows it, and a person whose footage, the fixture's, is prepared."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from talkface_core.media.video_reader import VideoReader
from talkface_core.personalise import measure, run, stages
from talkface_core.personalise.footage import Look
from talkface_core.personalise.settings import Settings
from talkface_core.personalise.stages import bar_parts
from talkface_core.personalise.state import State
from talkface_core.personalise.watching import Watcher
from talkface_core.preparation.source_video import find_videos
from tests.preparation.conftest import film, stage, talking  # noqa: F401 (fixtures)

FIXTURES = Path(__file__).parents[1] / "fixtures"
FILM = FIXTURES / "ada_talks.mp4"
BUDGET = Settings(budget=60.0, least=1.0)


class Told(Watcher):
    """Remembers what it is told; asks for the end as soon as `until` has begun and moved."""

    def __init__(self, until: str | None = None) -> None:
        self.lines: list[str] = []
        self.stages: list[str] = []
        self.pictures = 0
        self.until, self.moved = until, False

    def says(self, line: str) -> None:
        self.lines.append(line)

    def stage(self, name: str, about: str) -> None:
        assert name in bar_parts()
        self.stages.append(name)
        self.moved = False

    def advance(self, share: float) -> None:
        assert 0 <= share <= 1
        self.moved = True

    def picture(self, picture: object) -> None:
        self.pictures += 1

    def stop(self) -> bool:
        return bool(self.stages) and self.stages[-1] == self.until and self.moved


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three steps of each stage, with batches of one; few metrics of few frames."""
    small = [replace(one, most=3, words=("--batch-size", "1")) for one in stages.STAGES]
    monkeypatch.setattr(stages, "TRIAL", 1)
    monkeypatch.setattr(stages, "LEAST_STEPS", 3)
    monkeypatch.setattr(run, "STAGES", tuple(small))
    few = ("psnr_face", "lmd", "opening", "sharpness_mouth")
    monkeypatch.setattr(measure, "MEASURED", dict.fromkeys(measure.KINDS, few))
    monkeypatch.setattr(run, "_MEASURED", 0.4)


@pytest.fixture
def prepared(tmp_path: Path) -> Path:
    """A person's folder of which the footage is prepared: the fixture's clip to train on, and held out."""
    folder = tmp_path / "ada"
    for name in ("train/a", "val/b"):
        for suffix in (".mp4", ".flac", ".npz"):
            clip = folder / run.DATA / f"{name}{suffix}"
            clip.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(FIXTURES / f"ada_talks{suffix}", clip)
    reader = VideoReader(FILM)
    state = State(folder, dict(vars(BUDGET)), {video.key: video.path.name for video in find_videos([FILM])})
    found = Look(
        1, float((reader.num_frames or 0) / reader.fps), 1.0, 25.0, 0.0, 0.0, 60.0, (-2.0, 2.0), 0.7, 0.6, 0, 0.2
    )
    state.finish("look", found.as_dict())
    state.finish("prepare", {"taken": {"train": 1.2, "val": 1.2}, "dropped": {}, "clips": {"train": 1, "val": 1}})
    return folder
