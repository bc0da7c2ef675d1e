"""Which stages a person's footage suits, and what each begins with."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from talkface_core.media.video_writer import VideoWriter
from talkface_core.personalise import stages
from talkface_core.personalise.settings import Settings
from talkface_core.personalise.stages import FACE, SHARP, SPEECH, STAGES, TEXTURE, suits
from talkface_core.preparation.crop import square_matrix
from tests.personalise.conftest import FIXTURES


def head_clips(folder: Path, sides: Sequence[int], made_by_prepare: bool = True) -> Path:
    """Clips of 256 px to train on, each of a head that was filmed in a square of one of the sides."""
    frames = np.zeros((4, 256, 256, 3), np.uint8)
    for k, side in enumerate(sides):
        clip = folder / "train" / f"{k}.mp4"
        clip.parent.mkdir(exist_ok=True)
        with VideoWriter(clip, 256, 256, 25, mark=False) as writer:
            writer.write(frames)
        told = {"matrix": square_matrix((40, 20, side), 256)[0].tolist()} if made_by_prepare else {}
        np.savez(clip.with_suffix(".npz"), speech=np.ones(4, np.float32), meta=json.dumps(told))
    return folder


@pytest.mark.parametrize(
    ("sides", "suited"), [([139], False), ([200, 200, 600], False), ([239], True), ([200, 256, 300], True)]
)
def test_a_larger_face_is_learnt_of_heads_that_were_filmed_as_large(tmp_path: Path, sides: list[int], suited: bool):
    data = head_clips(tmp_path, sides)
    assert suits(SHARP, Settings(), data) is suited
    assert all(suits(stage, Settings(), data) for stage in STAGES if stage != SHARP)


def test_clips_that_were_cut_elsewhere_are_as_large_as_they_are(tmp_path: Path):
    assert suits(SHARP, Settings(), head_clips(tmp_path, [256], made_by_prepare=False))


def test_the_clips_of_the_fixture_are_too_small(tmp_path: Path):
    (tmp_path / "train").mkdir()
    for file in FIXTURES.glob("ada_talks.*"):
        shutil.copy(file, tmp_path / "train")
    assert not suits(SHARP, Settings(), tmp_path)


def test_an_upsampler_begins_with_the_bundled_one_or_with_random_weights():
    assert stages._beginning(SHARP, "dae_talker_tiny") == "dae_talker_tiny"
    assert stages._beginning(SHARP, "ladtalk_tiny") is None  # it has none
    for stage in (FACE, TEXTURE):
        assert stages._beginning(stage, "ladtalk_tiny") == "ladtalk_tiny"


def test_an_upsampler_of_another_layout_is_not_begun_with(monkeypatch):
    preset = stages.UpsamplerConfig.preset("tiny")
    monkeypatch.setattr(stages.UpsamplerConfig, "preset", lambda name: replace(preset, wide=8))
    assert stages._beginning(SHARP, "dae_talker_tiny") is None


def test_stages_share_the_time():
    assert sum(stage.share for stage in STAGES) == pytest.approx(1)


def test_one_bar_shows_all_parts_of_the_work():
    parts = stages.bar_parts()
    assert list(parts) == ["look", "prepare", *(stage.name for stage in STAGES), "measure"]
    assert [first for first, _ in parts.values()] == pytest.approx([0, *(last for _, last in parts.values())][:-1])
    assert parts["measure"][1] == 100


@pytest.mark.parametrize(("heard", "wanted"), [(None, "none"), ("bundled", "bundled")])
def test_a_run_begun_without_an_ear_goes_on_without(monkeypatch, tmp_path, heard, wanted):
    config = {} if heard is None else {"ear": heard}
    monkeypatch.setattr(stages, "read_progress", lambda run: {"settings": {"config": config}})
    args = stages._arguments(SPEECH, tmp_path / "speech", tmp_path, None, 0, "cpu", True)
    assert args.ear == wanted
    monkeypatch.setattr(stages, "read_progress", lambda run: None)
    assert stages._arguments(SPEECH, tmp_path / "speech", tmp_path, None, 0, "cpu", True).ear == "bundled"
