"""The timer: every moment counts once, for the innermost part."""

import pytest

from talkface_core import stage_timer as module
from talkface_core.stage_timer import NETWORK, OTHER, StageTimer


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A time that moves only when a test says so."""
    time = [100.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: time[0])
    return time


def test_parts_within_parts_count_once(now):
    timer = StageTimer()
    now[0] += 1
    with timer.part(NETWORK):
        now[0] += 2
        with timer.part(OTHER):
            now[0] += 4
        now[0] += 8
    now[0] += 16
    assert timer.read() == {NETWORK: 10.0, OTHER: 21.0}


def test_a_stream_counts_the_making_of_its_items_and_nothing_else(now):
    def produce():
        for item in "ab":
            now[0] += 3
            yield item
        now[0] += 3

    timer, items = StageTimer(), []
    for item in timer.stream(NETWORK, produce()):
        now[0] += 10
        items.append(item)
    assert items == ["a", "b"]
    assert timer.read() == {NETWORK: 9.0, OTHER: 20.0}


def test_an_error_leaves_the_part(now):
    timer = StageTimer()
    with pytest.raises(KeyError), timer.part(NETWORK):
        raise KeyError
    now[0] += 5
    assert timer.read() == {NETWORK: 0.0, OTHER: 5.0}
