"""Time: seconds, audio samples, feature steps and frame indexes, converted in exact rational arithmetic.

Every path of the package takes its numbers from here, so a clip of s seconds at f frames per second has
ceil(s * f) frames everywhere, and nothing drifts however long the audio is. Frame k fills the interval
[k / f, (k + 1) / f) and shows its middle, (k + 1/2) / f. Sample n fills [n / r, (n + 1) / r).
"""

import math
import re
from fractions import Fraction

from ..errors import InputError

Rate = float | int | Fraction | str

SAMPLE_RATE = 16000
"""What the models hear: mono sound of so many samples a second."""

FPS = 25
"""What the models see and what data sets are cut to, frames a second; other outputs are interpolated."""

# A float or a decimal string cannot name 30000/1001. Anything this close to an NTSC rate is meant to be one:
# wide enough for 23.98, narrow enough to leave 24 and 29.9 alone.
_NTSC_TOLERANCE = Fraction(5, 1000)
_LARGEST_DENOMINATOR = 10_000
_LONGEST_RATE = 60  # characters


def as_rate(fps: Rate) -> Fraction:
    """Exact rate, in events per second.

    Integers, fractions and strings such as "30000/1001" are kept exactly. Decimals near a broadcast rate become that
    rate (29.97 -> 30000/1001, 23.976 and 23.98 -> 24000/1001, 59.94 -> 60000/1001); other decimals become the nearest
    fraction with a denominator of at most 10000.

    Raises InputError for zero, negative, infinite and NaN rates and for text that is no number.
    """
    try:
        if isinstance(fps, float) and not math.isfinite(fps):
            raise ValueError("not finite")
        if len(str(fps)) > _LONGEST_RATE or re.search(r"[eE][+-]?[0-9]{4}", str(fps)):
            raise ValueError("an exponent that would take for ever")
        rate = Fraction(fps) if isinstance(fps, int | Fraction) else Fraction(str(fps).strip())
    except (ValueError, TypeError, ZeroDivisionError) as error:
        raise InputError(f"rate {fps!r} is not a number; give frames per second such as 25 or 30000/1001") from error
    if rate <= 0:
        raise InputError(f"rate {fps} is not above zero; give frames per second such as 25 or 30000/1001")
    exact = isinstance(fps, int | Fraction) or "/" in str(fps) or rate.denominator == 1
    return rate if exact else _nearest_rate(rate)


def _nearest_rate(rate: Fraction) -> Fraction:
    whole = round(rate * 1001 / 1000)
    ntsc = Fraction(whole * 1000, 1001)
    if (whole % 12 == 0 or whole % 15 == 0) and whole > 0 and abs(rate - ntsc) <= _NTSC_TOLERANCE:
        return ntsc
    nearest = rate.limit_denominator(_LARGEST_DENOMINATOR)
    return nearest if nearest > 0 else rate


def frame_count(samples: int, sample_rate: int, fps: Rate) -> int:
    """Frames that cover `samples` audio samples: exactly ceil(samples / sample_rate * fps)."""
    if samples < 0:
        raise InputError(f"{samples} samples: an audio length cannot be negative")
    return math.ceil(Fraction(samples) / as_rate(sample_rate) * as_rate(fps))


def resampled_count(samples: int, from_rate: int, to_rate: int) -> int:
    """Samples after resampling: exactly ceil(samples * to_rate / from_rate), so no sound is cut off."""
    return frame_count(samples, from_rate, to_rate)


def frame_centre(index: int, fps: Rate) -> Fraction:
    """The moment that frame `index` shows, in seconds: (index + 1/2) / fps."""
    return Fraction(2 * index + 1, 2) / as_rate(fps)


def step_at(seconds: Fraction, rate: Rate, offset: Fraction = Fraction(0)) -> int:
    """Index of the step (feature vector or sample) nearest to a time in seconds; a tie goes to the later one.

    Step s is centred on offset + s / rate. The result may be -1 or lower, or past the end: the caller clamps.
    """
    return math.floor((seconds - offset) * as_rate(rate) + Fraction(1, 2))


def frame_samples(index: int, sample_rate: int, fps: Rate) -> tuple[int, int]:
    """Samples [start, stop) that begin while frame `index` is on screen. The spans of all frames tile the audio."""
    per_frame = as_rate(sample_rate) / as_rate(fps)
    return math.ceil(index * per_frame), math.ceil((index + 1) * per_frame)
