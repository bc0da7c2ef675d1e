"""The clock: every moment counts once, for the innermost part."""

import pytest

from talkface_core import clock as module
from talkface_core.clock import NETWORK, PLUMBING, Clock


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """A time that moves only when a test says so."""
    time = [100.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: time[0])
    return time


def test_parts_within_parts_count_once(now):
    clock = Clock()
    now[0] += 1
    with clock.part(NETWORK):
        now[0] += 2
        with clock.part(PLUMBING):
            now[0] += 4
        now[0] += 8
    now[0] += 16
    assert clock.read() == {NETWORK: 10.0, PLUMBING: 21.0}


def test_a_stream_counts_the_making_of_its_items_and_nothing_else(now):
    def made():
        for item in "ab":
            now[0] += 3
            yield item
        now[0] += 3

    clock, seen = Clock(), []
    for item in clock.stream(NETWORK, made()):
        now[0] += 10
        seen.append(item)
    assert seen == ["a", "b"]
    assert clock.read() == {NETWORK: 9.0, PLUMBING: 20.0}


def test_an_error_leaves_the_part(now):
    clock = Clock()
    with pytest.raises(KeyError), clock.part(NETWORK):
        raise KeyError
    now[0] += 5
    assert clock.read() == {NETWORK: 0.0, PLUMBING: 5.0}
