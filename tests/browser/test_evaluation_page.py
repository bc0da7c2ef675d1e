"""The page of an evaluation in Chromium: it shows its pictures, asks for nothing, and sorts its tables by a click."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from talkface_core.evaluation.page import write_page
from tests.evaluation.scores import evaluation

from .page import NoBrowser, chromium

COLUMN = "rows => rows.map(row => row.cells[0].textContent)"


def test_it_sorts_and_asks_for_nothing(tmp_path: Path) -> None:
    path = write_page(tmp_path / "page.html", evaluation(2.0, 10.0, 3.5))
    try:
        # In a thread of its own: Playwright runs once in each, and the page of the host may be open in this one.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(_look, path).result()
    except NoBrowser as reason:
        pytest.skip(str(reason))


def _look(path: Path) -> None:
    with chromium() as context:
        opened, asked, troubles = context.new_page(), [], []
        opened.on("request", lambda request: asked.append(request.url))
        opened.on("console", lambda message: troubles.append(message.text))
        opened.on("pageerror", lambda error: troubles.append(str(error)))
        opened.goto(path.as_uri())
        rows = opened.locator("#clips tbody tr")
        heading = opened.locator("#clips th", has_text="LMD")
        assert rows.evaluate_all(COLUMN) == ["a", "b", "c"]
        heading.locator("button").click()
        assert rows.evaluate_all(COLUMN) == ["a", "c", "b"]  # numbers, not words: 10 comes last
        assert heading.get_attribute("aria-sort") == "ascending"
        heading.locator("button").click()
        assert rows.evaluate_all(COLUMN) == ["b", "c", "a"]
        opened.locator("#clips th", has_text="clip").locator("button").click()
        assert rows.evaluate_all(COLUMN) == ["a", "b", "c"]
        assert heading.get_attribute("aria-sort") is None
        opened.locator("#summary th", has_text="metric").locator("button").click()
        names = opened.locator("#summary tbody tr").evaluate_all("rows => rows.map(r => r.cells[1].textContent)")
        assert names == sorted(names, key=str.lower)
        widths = opened.locator("img").evaluate_all("all => all.map(one => one.naturalWidth)")
        assert widths == [32] * 24
        assert opened.locator("svg").first.bounding_box()["width"] > 500
        assert opened.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert [url for url in asked if not url.startswith("data:")] == [path.as_uri()]
        assert not troubles
