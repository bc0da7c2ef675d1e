"""The table: targets, Markdown, JSON, files."""

import json
import math

import pytest

from talkface_core.evaluation.table import Report, Row


@pytest.mark.parametrize(
    ("value", "bounds", "passed", "target"),
    [
        (28.0, {"at_least": 28.0}, True, ">= 28.0"),
        (27.9, {"at_least": 28.0}, False, ">= 28.0"),
        (0.05, {"at_most": 0.05}, True, "<= 0.05"),
        (0.06, {"at_most": 0.05}, False, "<= 0.05"),
        (math.nan, {"at_least": 0.0}, False, ">= 0"),
        (math.inf, {"at_least": 28.0}, True, ">= 28.0"),
        (1.0, {}, None, ""),
    ],
)
def test_a_row_knows_whether_its_target_is_met(value, bounds, passed, target):
    row = Row("section", "measure", value, None, **bounds)
    assert row.passed is passed
    assert row.target == target


@pytest.fixture
def report() -> Report:
    rows = [
        Row("picture", "PSNR", 31.26, None, "dB", at_least=28.0, clips={"a": 30.0, "b": math.inf}),
        Row("speech", "correlation", 0.7312, 0.991, at_least=0.8),
        Row("speech", "lag", math.nan, 0.0, "frames"),
    ]
    return Report("A system", rows, {"steps": 10}, {"PSNR": "in decibels."})


def test_markdown_shows_value_real_video_and_target(report):
    lines = report.markdown().splitlines()
    assert lines[:3] == ["## A system", "", "- steps: 10"]
    assert "| picture | PSNR | 31.3 dB |  | >= 28.0 | yes |" in lines
    assert "| speech | correlation | 0.731 | 0.991 | >= 0.8 | no |" in lines
    assert "| speech | lag | nan frames | 0 frames |  |  |" in lines
    assert "- PSNR: in decibels." in lines


def test_one_missed_target_fails_the_report(report):
    assert not report.passed
    assert Report("", report.rows[:1]).passed


def test_json_has_null_where_there_is_no_number(report):
    table = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    assert table["rows"][0]["clips"] == {"a": 30.0, "b": None}
    assert table["rows"][2]["value"] is None
    assert [row["passed"] for row in table["rows"]] == [True, False, None]


def test_both_files_are_written(report, tmp_path):
    markdown, numbers = report.save(tmp_path / "new", "tiny")
    assert markdown.read_text(encoding="utf-8") == report.markdown()
    assert json.loads(numbers.read_text(encoding="utf-8")) == json.loads(json.dumps(report.as_dict()))
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == ["tiny.json", "tiny.md"]
