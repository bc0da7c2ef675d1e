"""What is usable and how it is cut: every frame under one reason, clips within bounds, validation kept apart."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkface_core.errors import InputError
from talkface_core.preparation.rules import (
    BESIDE,
    FPS,
    NO_FACE,
    NO_SOUND,
    PROFILE,
    SCENE,
    SHORT,
    SMALL,
    TAKEN,
    Measured,
    Rules,
    divide,
    plan,
    reasons,
    seconds_by_reason,
    val_start,
)

RULES = Rules()


def good(frames: int) -> Measured:
    """A film of one scene of a near face that looks at us and speaks."""
    level = -20 + 5 * np.sin(np.arange(frames))
    one = np.ones(frames)
    return Measured(0 * one.astype(int), one > 0, 100 * one, np.full((frames, 2), 80.0), 0 * one, level)


def marked(frames: int, **bad: tuple[slice, float]) -> Measured:
    """`good` with other values in some frames."""
    film = good(frames)
    for name, (where, value) in bad.items():
        array = getattr(film, name).copy()
        array[where] = value
        film = replace(film, **{name: array})
    return film


def test_a_good_film_is_taken_whole():
    spans, why = plan(good(150), RULES)
    assert [(span.start, span.stop, span.split) for span in spans] == [(0, 150, "train")]
    assert set(why) == {TAKEN}


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("level", -np.inf, NO_SOUND),
        ("scene", -1, SCENE),
        ("visible", False, NO_FACE),
        ("height", 63.0, SMALL),
        ("yaw", -46.0, PROFILE),
        ("yaw", np.nan, TAKEN),
    ],
)
def test_each_reason_takes_its_frames(name, value, reason):
    why = reasons(marked(200, **{name: (slice(90, 120), value)}), RULES)
    assert why == [TAKEN] * 90 + [reason] * 30 + [TAKEN] * 80


def test_the_first_of_several_reasons_is_told():
    film = marked(100, visible=(slice(0, 50), False), yaw=(slice(0, 80), 70.0), scene=(slice(0, 20), -1))
    assert reasons(film, RULES) == [SCENE] * 20 + [NO_FACE] * 30 + [PROFILE] * 30 + [TAKEN] * 20


def test_short_gaps_of_the_face_are_bridged_within_a_scene():
    assert set(reasons(marked(100, visible=(slice(50, 55), False)), RULES)) == {TAKEN}
    assert reasons(marked(100, visible=(slice(50, 56), False)), RULES).count(NO_FACE) == 6
    assert reasons(marked(100, visible=(slice(97, 100), False)), RULES).count(NO_FACE) == 3
    at_a_cut = marked(100, visible=(slice(50, 53), False), scene=(slice(52, 100), 1))
    assert reasons(at_a_cut, RULES).count(NO_FACE) == 3


def test_clips_end_at_cuts_and_where_the_face_jumps():
    spans, why = plan(marked(160, scene=(slice(100, 160), 1)), RULES)
    assert [(span.start, span.stop) for span in spans] == [(0, 100), (100, 160)]
    jump = marked(160, centre=(slice(90, 160), 120.0))
    assert [(span.start, span.stop) for span in plan(jump, RULES)[0]] == [(0, 90), (90, 160)]
    closer = marked(160, height=(slice(90, 160), 200.0))
    assert [(span.start, span.stop) for span in plan(closer, RULES)[0]] == [(0, 90), (90, 160)]
    assert set(why) == {TAKEN}


def test_what_is_left_too_short_is_told():
    spans, why = plan(marked(140, scene=(slice(100, 140), 1)), RULES)
    assert [(span.start, span.stop) for span in spans] == [(0, 100)]
    assert why.count(SHORT) == 40


def test_a_clip_without_any_sound_is_dropped():
    film = marked(300, level=(slice(0, 300), -80.0))
    spans, why = plan(film, RULES)
    assert spans == []
    assert set(why) == {NO_SOUND}


def test_long_stretches_are_parted_where_it_is_quiet():
    film = marked(450, level=(slice(170, 172), -60.0))
    parts = divide(film.level, 0, 450, RULES)
    assert parts[0] == (0, 170)
    assert parts[-1][1] == 450


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(0, 1500), st.integers(0, 400), st.integers(0, 10**6))
def test_parts_tile_a_stretch_within_the_bounds(length, start, seed):
    level = np.random.default_rng(seed).uniform(-60, 0, start + length)
    parts = divide(level, start, start + length, RULES)
    assert [a for a, _ in parts] == [start, *(b for _, b in parts[:-1])]
    assert parts[-1][1] == start + length
    sizes = [b - a for a, b in parts]
    assert max(sizes) <= RULES.longest_frames
    if length >= RULES.shortest_frames:
        assert min(sizes) >= RULES.shortest_frames


@settings(derandomize=True, deadline=None, max_examples=60)
@given(st.integers(1, 1200), st.integers(0, 10**6), st.sampled_from([0.0, 0.1, 0.3, 1.0]))
def test_every_frame_is_in_one_clip_or_under_one_reason(frames, seed, share):
    rng = np.random.default_rng(seed)
    film = good(frames)
    runs = np.repeat(rng.random(frames // 60 + 1), 60)[:frames]
    film = replace(film, visible=runs > 0.15, yaw=np.where(runs > 0.85, 60.0, 5.0), scene=(runs * 3).astype(int))
    spans, why = plan(film, RULES, val_start(reasons(film, RULES), share, RULES))
    assert len(why) == frames
    covered = np.zeros(frames, int)
    for span in spans:
        covered[span.start : span.stop] += 1
    assert covered.max(initial=0) <= 1
    assert [reason == TAKEN for reason in why] == (covered == 1).tolist()
    total = sum(seconds_by_reason(why).values()) + sum(map(len, spans)) / FPS
    assert total == pytest.approx(frames / FPS)
    train = [span.stop for span in spans if span.split == "train"]
    val = [span.start for span in spans if span.split == "val"]
    if train and val:
        assert min(val) - max(train) >= 2 * FPS


def test_the_end_of_a_film_is_for_validation():
    film = good(1000)
    why = reasons(film, RULES)
    assert val_start(why, 0.1, RULES) == 900
    assert val_start(why, 0.0, RULES) is None
    assert val_start(why, 1.0, RULES) == 0
    assert val_start(why[:200], 0.1, RULES) == 150  # a share shorter than a clip grows to one
    assert val_start(why[:190], 0.1, RULES) is None  # too little for both
    spans, why = plan(film, RULES, 900)
    assert sum(len(span) for span in spans if span.split == "val") == 100
    assert why[850:900] == [BESIDE] * 50
    assert {span.split for span in plan(film, RULES, 0)[0]} == {"val"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"crop": "round"}, "crop 'round' is unknown"),
        ({"size": 255}, "even side"),
        ({"size": 16}, "even side"),
        ({"shortest": 5.0}, "at most half of the longest"),
        ({"shortest": 0.0}, "at least 0.2 s"),
        ({"longest": float("inf")}, "at most 600 s"),
        ({"min_face": float("nan")}, "at least 16"),
        ({"max_yaw": 0.0}, "more than 0"),
    ],
)
def test_impossible_rules_are_refused(values, words):
    with pytest.raises(InputError, match=words):
        Rules(**values)
