"""Exact time arithmetic: properties over odd rates, checked against plain fractions."""

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from talkface_core.errors import InputError
from talkface_core.media import timebase

RATES = {
    12: Fraction(12),
    23.976: Fraction(24000, 1001),
    24: Fraction(24),
    25: Fraction(25),
    29.97: Fraction(30000, 1001),
    30: Fraction(30),
    50: Fraction(50),
    60: Fraction(60),
}
FPS = st.sampled_from(list(RATES))
SAMPLE_RATES = st.integers(8000, 48000)


@pytest.mark.parametrize(
    ("given_rate", "exact"),
    [
        *RATES.items(),
        (23.98, Fraction(24000, 1001)),
        (59.94, Fraction(60000, 1001)),
        (119.88, Fraction(120000, 1001)),
        (14.985, Fraction(15000, 1001)),
        (30000 / 1001, Fraction(30000, 1001)),
        ("29.97", Fraction(30000, 1001)),
        ("30000/1001", Fraction(30000, 1001)),
        ("25", Fraction(25)),
        (" 12.5 ", Fraction(25, 2)),
        (12.5, Fraction(25, 2)),
        (29.9, Fraction(299, 10)),
        (25.0, Fraction(25)),
        (33.333333, Fraction(100, 3)),
        (0.1, Fraction(1, 10)),
        (Fraction(2997, 100), Fraction(2997, 100)),
        (44100, Fraction(44100)),
    ],
)
def test_rate_is_exact(given_rate: timebase.Rate, exact: Fraction) -> None:
    assert timebase.as_rate(given_rate) == exact


@pytest.mark.parametrize("wrong", [0, -25, 0.0, float("nan"), float("inf"), "fast", "", "25/0", None])
def test_impossible_rates_are_refused(wrong: object) -> None:
    with pytest.raises(InputError, match="rate"):
        timebase.as_rate(wrong)  # type: ignore[arg-type]


@given(samples=st.integers(0, 48000 * 3600), sample_rate=SAMPLE_RATES, fps=FPS)
@example(samples=0, sample_rate=8000, fps=25)
@example(samples=16000, sample_rate=16000, fps=29.97)
@example(samples=48048, sample_rate=48000, fps=29.97)
def test_frames_cover_the_audio_and_no_more(samples: int, sample_rate: int, fps: float) -> None:
    count = timebase.frame_count(samples, sample_rate, fps)
    seconds, rate = Fraction(samples, sample_rate), RATES[fps]
    assert count / rate >= seconds
    assert count == 0 or (count - 1) / rate < seconds


def test_frame_count_at_broadcast_rates() -> None:
    assert timebase.frame_count(48048, 48000, 29.97) == 30  # 1.001 s is exactly 30 frames
    assert timebase.frame_count(48049, 48000, 29.97) == 31
    assert timebase.frame_count(3600 * 44100, 44100, 23.976) == 86314  # 86313.69
    with pytest.raises(InputError):
        timebase.frame_count(-1, 16000, 25)


@given(index=st.integers(0, 60 * 3600), sample_rate=SAMPLE_RATES, fps=FPS)
def test_spans_tile_and_hold_their_centre(index: int, sample_rate: int, fps: float) -> None:
    start, stop = timebase.frame_samples(index, sample_rate, fps)
    assert stop == timebase.frame_samples(index + 1, sample_rate, fps)[0]
    assert start < stop
    for sample in (start, stop - 1):
        assert index <= Fraction(sample, sample_rate) * RATES[fps] < index + 1
    centre = timebase.frame_centre(index, fps)
    assert centre * RATES[fps] == index + Fraction(1, 2)
    assert abs(Fraction(start + stop, 2 * sample_rate) - centre) <= Fraction(1, sample_rate)


@given(index=st.integers(0, 60 * 3600), fps=FPS, rate=st.sampled_from([50, 80, 100, Fraction(16000, 441)]))
def test_nearest_step_is_nearest(index: int, fps: float, rate: int | Fraction) -> None:
    seconds = timebase.frame_centre(index, fps)
    step = timebase.step_at(seconds, rate)
    assert abs(Fraction(step) / rate - seconds) <= Fraction(1, 2) / rate
    assert timebase.step_at(seconds + Fraction(1, 80), rate, offset=Fraction(1, 80)) == step


@given(seconds=st.integers(0, 3599), sample_rate=SAMPLE_RATES, fps=FPS)
@example(seconds=3599, sample_rate=11025, fps=29.97)
@example(seconds=3599, sample_rate=44100, fps=23.976)
def test_an_hour_of_clicks_drifts_less_than_half_a_frame(seconds: int, sample_rate: int, fps: float) -> None:
    """A click goes source sample -> 16 kHz sample -> log-mel step -> frame, rounding each time; errors never add up."""
    click = Fraction(seconds * sample_rate, sample_rate)
    analysed = timebase.step_at(click, 16000)
    step = timebase.step_at(Fraction(analysed, 16000), 80)
    frame = timebase.step_at(Fraction(step, 80), fps, offset=timebase.frame_centre(0, fps))
    centre = timebase.frame_centre(frame, fps)
    assert abs(centre - click) <= Fraction(1, 2) / RATES[fps] + Fraction(1, 160) + Fraction(1, 32000)
    assert abs(Fraction(step, 80) - click) < Fraction(1, 2) / RATES[fps]


@given(samples=st.integers(0, 10**9), rate=SAMPLE_RATES)
def test_resampled_length_loses_no_sound(samples: int, rate: int) -> None:
    count = timebase.resampled_count(samples, rate, 16000)
    assert Fraction(count, 16000) >= Fraction(samples, rate) > Fraction(count - 1, 16000)
