"""Which stages a person's footage suits, and what each begins with."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from talkface_core.personalise import stages
from talkface_core.personalise.settings import Settings
from talkface_core.personalise.stages import FACE, SHARP, STAGES, TEXTURE, suits
from tests.personalise.conftest import FIXTURES


@pytest.mark.parametrize(("width", "suited"), [(128, False), (255, False), (256, True), (720, True)])
def test_a_larger_face_is_learnt_of_clips_that_are_as_large(monkeypatch, width, suited):
    monkeypatch.setattr(stages.ClipSet, "open", lambda folder: SimpleNamespace(clips=[SimpleNamespace(width=width)]))
    assert suits(SHARP, Settings(), Path("data")) is suited
    assert all(suits(stage, Settings(), Path("data")) for stage in STAGES if stage != SHARP)


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
