"""The rate that fits time stamps, whatever the header says of it."""

from fractions import Fraction

import numpy as np
import pytest

from talkface_core.errors import InputError
from talkface_core.media.frame_rate import fitting_rate, frames_before

RATES = [Fraction(24000, 1001), 24, 25, Fraction(30000, 1001), 30, 50, Fraction(60000, 1001), 60, 12, Fraction(15, 2)]


def stamps(rate, count=300, unit=90000, jitter=0.0, seed=0):
    """Times of a film in a container's unit, each off by up to `jitter` of a frame."""
    off = np.random.default_rng(seed).uniform(-jitter, jitter, count)
    off[0] = 0
    return sorted(Fraction(round((k + float(off[k])) / rate * unit), unit) for k in range(count))


@pytest.mark.parametrize("unit", [1000, 12800, 90000])
@pytest.mark.parametrize("rate", RATES, ids=str)
def test_a_steady_film_keeps_the_rate_of_its_header(rate, unit):
    assert fitting_rate(stamps(rate, unit=unit), Fraction(rate), "a") == rate
    odd = Fraction(2998, 100)
    assert fitting_rate(stamps(odd), odd, "a") == odd


@pytest.mark.parametrize("declared", [None, Fraction(1000), Fraction(90000), Fraction(25, 11)], ids=str)
@pytest.mark.parametrize("rate", RATES, ids=str)
def test_headers_that_lie_are_not_believed(rate, declared):
    fitted = fitting_rate(stamps(rate, unit=1000, jitter=0.3), declared, "a")
    assert abs(fitted / rate - 1) < Fraction(2, 1000)


def test_a_still_in_the_middle_and_lost_frames_do_not_count():
    steady = stamps(25, 100)
    gap = steady[:50] + [time + 20 for time in steady[50:]]
    lost = [time for k, time in enumerate(steady) if k % 17]
    for times in (gap, lost):
        average = (len(times) - 1) / (times[-1] - times[0])
        assert fitting_rate(times, average, "a") == 25


def test_of_two_rates_the_faster():
    times = [Fraction(k, 25) for k in range(50)] + [2 + Fraction(k, 10) for k in range(50)]
    assert fitting_rate(times, Fraction(99) / times[-1], "a") == 25


def test_two_fields_a_frame():
    assert fitting_rate(stamps(50), Fraction(25), "a") == 25


def test_a_single_picture():
    assert fitting_rate([Fraction(3)], Fraction(30), "a") == 30
    assert fitting_rate([Fraction(3)], Fraction(90000), "a") == 25
    assert fitting_rate([Fraction(3)], None, "a") == 25


@pytest.mark.parametrize(("rate", "read"), [(1000, "1000"), (Fraction(1, 5), "0.2")])
def test_what_cannot_be_played_is_said(rate, read):
    with pytest.raises(InputError, match=rf"a\.mp4 shows {read} frames a second by its time stamps; 1 to 240"):
        fitting_rate(stamps(rate, 100), Fraction(rate), "a.mp4")


def test_frames_before_counts_centres():
    for rate in (Fraction(25), Fraction(30000, 1001)):
        for k in range(100):
            assert frames_before(Fraction(k) / rate, rate) == k
            assert frames_before((k + Fraction(1, 2)) / rate, rate) == k
            assert frames_before((k + Fraction(51, 100)) / rate, rate) == k + 1
    assert frames_before(Fraction(-1), Fraction(25)) == 0
