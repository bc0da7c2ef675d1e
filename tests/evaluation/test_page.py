"""The page: one file, nothing from elsewhere, names that cannot break it, the worst moments first."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from talkface_core.evaluation.page import page, write_page
from talkface_core.evaluation.page_drawing import curves
from tests.evaluation.scores import clip, evaluation


def test_nothing_comes_from_elsewhere(tmp_path):
    path = write_page(tmp_path / "page.html", evaluation(1.0, 3.0, 2.0))
    text = path.read_text(encoding="utf-8")
    assert [entry.name for entry in tmp_path.iterdir()] == ["page.html"]
    assert not re.search(r"(src|href)=\"(?!data:)", text)
    assert not re.search(r"https?://|@import|url\(", text)
    assert "default-src 'none'" in text
    assert text.count('src="data:image/jpeg;base64,') == 3 * (2 + 6)


def test_the_worst_moments_come_first():
    text = page(evaluation(1.0, 3.0, 2.0))
    captions = re.findall(r"<figcaption>(\w), 0\.48 s: landmark distance \(LMD\) (\S+)", text)
    assert captions == [("b", "6"), ("c", "4"), ("a", "2")]
    assert "mouth shut at p, b, m: it is not known where p, b and m are" in text


def test_names_are_told_as_they_are():
    text = page(evaluation(1.0))
    assert "generated: &lt;made&gt;" in text
    named = evaluation(1.0)
    text = page(replace(named, clips=(replace(named.clips[0], name='<script>"&'),)))
    assert "<h3>&lt;script&gt;&quot;&amp;</h3>" in text
    assert text.count("<script>") == 1


def test_curves_of_long_clips_without_sound_stay_small():
    long = replace(clip("long", 1.0, frames=30_000), envelope=None, pauses=None, closures=None)
    long = replace(long, openings=np.abs(np.random.default_rng(0).normal(0, 0.1, (2, 30_000))))
    drawn = curves(long)
    assert len(drawn) < 60_000
    assert drawn.count("<polyline") == 2
    assert ">1200 s<" not in drawn
    assert ">1080 s<" not in drawn or ">960 s<" in drawn


def test_all_that_is_known_is_drawn():
    drawn = curves(clip("one", 1.0))
    assert re.search(r'class="pause" x="0\.0" y="0" width="160\.0"', drawn)
    assert 'class="closure" x1="410.0"' in drawn
    assert 'class="moment" cx="250.0"' in drawn
    assert re.findall(r">(\S+) s<", drawn) == ["0", "0.5", "1", "1.5"]
