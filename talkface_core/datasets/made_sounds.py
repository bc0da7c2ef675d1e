"""Sounds that are no speech, made by code: animals, doors, machines, weather, hands at work; and music (`made_music`).

Source: ours: bursts of noise and pulses through resonances, each kind with its parameters drawn wide. They train the
voice activity gate and measure it; a crowd is made of recordings (`crowd`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from scipy import signal

from ..media.timebase import SAMPLE_RATE
from ..speech.wave_augment import Wave, babble, coloured_noise, reverberate
from .made_music import MUSIC, Samples, lay, level, seconds, swept

_BLOCK = SAMPLE_RATE // 40


def made_sound(kind: str, samples: int, rng: np.random.Generator) -> Wave:
    """One of `KINDS`, [samples]; the loud part of it (the loudest tenth of blocks of 25 ms) has rms 1."""
    return by_loud_part(KINDS[kind](samples, rng))


def crowd(voices: Sequence[Wave], samples: int, rng: np.random.Generator) -> Wave:
    """A crowd in a hall: 8 to 30 of `voices` at once, none nearer than the others; no words can be followed in it."""
    far = reverberate(babble(voices, samples, rng, int(rng.integers(8, 31))), rng, rng.uniform(0.3, 1.5), 0.0)
    return by_loud_part(far)


def by_loud_part(wave: Samples | Wave) -> Wave:
    """Scaled so that the loudest tenth of its blocks of 25 ms has rms 1."""
    blocks = np.square(wave[: len(wave) // _BLOCK * _BLOCK]).reshape(-1, _BLOCK).mean(1)
    loud = np.sort(blocks)[-max(len(blocks) // 10, 1) :].mean()
    return (wave / max(float(np.sqrt(loud)), 1e-9)).astype(np.float32)


def dog(samples: int, rng: np.random.Generator) -> Samples:
    """Barks, alone or in rows: a harsh glottis whose pitch rises and falls, through one or two formants."""
    size = rng.uniform(0.6, 1.8)

    def bark() -> Samples:
        time = seconds(int(rng.uniform(0.08, 0.3) * SAMPLE_RATE))
        arc = np.sin(np.pi * np.arange(len(time)) / len(time))
        pitch = rng.uniform(250, 550) * size * (0.7 + 0.6 * arc)
        source = signal.sawtooth(2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE)
        source = source + rng.uniform(0.2, 1.0) * rng.standard_normal(len(time))
        formants = (rng.uniform(500, 1000) * size, rng.uniform(1200, 2400) * size)
        parts = [level(_resonant(source, hertz, rng.uniform(0.1, 0.4))) for hertz in formants]
        return arc ** rng.uniform(0.4, 1.5) * np.sum(parts, axis=0)

    return _in_rows(samples, rng, bark, (1, 6), (0.12, 0.5), (0.4, 2.5))


def door(samples: int, rng: np.random.Generator) -> Samples:
    """Doors that slam and knocks on wood: a thump of low modes, a click of the latch, a rattle."""

    def slam() -> Samples:
        time = seconds(int(rng.uniform(0.15, 0.8) * SAMPLE_RATE))
        thump = _modes(time, rng, (50, 500), 6, (8, 40))
        return thump + rng.uniform(0.1, 0.8) * rng.standard_normal(len(time)) * np.exp(-time * rng.uniform(15, 80))

    return _in_rows(samples, rng, slam, (1, 4), (0.1, 0.3), (0.6, 3.0))


def claps(samples: int, rng: np.random.Generator) -> Samples:
    """Hands: from one pair in time to applause."""
    track, hands = np.zeros(samples), int(rng.choice([1, 1, 3, 20, 80]))
    for _ in range(hands):
        centre, spacing = rng.uniform(700, 2800), rng.uniform(0.16, 0.6) * SAMPLE_RATE
        for start in np.arange(rng.uniform(0, spacing), samples, spacing):
            time = seconds(int(0.05 * SAMPLE_RATE))
            burst = rng.standard_normal(len(time)) * np.exp(-time * rng.uniform(80, 250))
            lay(track, max(start + rng.normal(0, 0.03) * spacing, 0), level(_resonant(burst, centre, 0.5)))
    return track


def siren(samples: int, rng: np.random.Generator) -> Samples:
    """Wails, yelps and two-tone horns, with harmonics."""
    time, low, high = seconds(samples), rng.uniform(300, 900), rng.uniform(1.2, 2.4)
    shape = (np.sin, signal.square, signal.sawtooth)[rng.integers(0, 3)](2 * np.pi * rng.uniform(0.1, 5.0) * time)
    pitch = low * high ** (0.5 + 0.5 * signal.lfilter([0.01], [1, -0.99], shape))
    return np.sum([rng.uniform(0, 1) / k * swept(k * pitch) for k in range(1, int(rng.integers(2, 6)))], axis=0)


def engine(samples: int, rng: np.random.Generator) -> Samples:
    """A motor that idles, speeds up and slows down: uneven pulses through a body, with hiss."""
    rate = rng.uniform(15, 120) * (1 + rng.uniform(0, 0.6) * _wander(samples, rng, 0.5))
    pulses = np.exp(rng.uniform(1, 6) * (swept(rate) - 1)) * (1 + 0.3 * rng.standard_normal(samples))
    body = [_resonant(pulses, rng.uniform(60, 1500), rng.uniform(0.1, 0.6)) for _ in range(3)]
    return level(np.sum(body, axis=0)) + rng.uniform(0.02, 0.5) * coloured_noise(samples, rng.uniform(0, 1), rng)


def rain(samples: int, rng: np.random.Generator) -> Samples:
    """A wash of noise with single drops that ring."""
    track = (0.7 + 0.3 * _wander(samples, rng, 1.0)) * coloured_noise(samples, rng.uniform(0, 0.6), rng)
    for start in rng.uniform(0, samples, int(rng.uniform(2, 60) * samples / SAMPLE_RATE)):
        lay(track, start, rng.uniform(0.5, 6) * _modes(seconds(480), rng, (800, 6000), 2, (100, 400)))
    return track


def wind(samples: int, rng: np.random.Generator) -> Samples:
    """Gusts: brown noise, and a whistle that wanders with them."""
    gust = np.square(0.5 + 0.5 * _wander(samples, rng, rng.uniform(0.3, 2.0)))
    whistle = swept(rng.uniform(300, 1200) * (0.7 + gust)) * coloured_noise(samples, 1.0, rng)
    return gust * (coloured_noise(samples, rng.uniform(0.6, 1.2), rng) + rng.uniform(0, 0.6) * whistle)


def keyboard(samples: int, rng: np.random.Generator) -> Samples:
    """Typing: two clicks a key, through a desk."""

    def key() -> Samples:
        piece, time = np.zeros(int(0.15 * SAMPLE_RATE)), seconds(int(0.03 * SAMPLE_RATE))
        for start in (0.0, rng.uniform(0.04, 0.11)):
            lay(piece, start * SAMPLE_RATE, rng.uniform(0.3, 1) * _modes(time, rng, (200, 5000), 5, (80, 400)))
        return piece

    return _in_rows(samples, rng, key, (3, 20), (0.08, 0.25), (0.2, 1.5)) + 0.002 * rng.standard_normal(samples)


def telephone(samples: int, rng: np.random.Generator) -> Samples:
    """Rings and beeps: bells that are struck fast, two tones at once, ring tones of three notes."""
    pair, fast = rng.uniform(350, 2500, 2), rng.uniform(12, 30)
    on, off, bell = rng.uniform(0.1, 2.0), rng.uniform(0.1, 3.0), rng.random() < 0.5
    time = seconds(samples)
    tones = np.sin(2 * np.pi * pair[0] * time) + np.sin(2 * np.pi * pair[1] * time)
    struck = np.exp(-rng.uniform(1, 5) * (time * fast % 1)) if bell else 1.0
    gate = ((time + rng.uniform(0, on + off)) % (on + off) < on).astype(float)
    return tones * struck * signal.lfilter([0.02], [1, -0.98], gate)


def bird(samples: int, rng: np.random.Generator) -> Samples:
    """Chirps and trills between 1.5 and 7 kHz."""
    centre = rng.uniform(1500, 6000)

    def chirp() -> Samples:
        count = int(rng.uniform(0.03, 0.4) * SAMPLE_RATE)
        arc = np.sin(np.pi * np.arange(count) / count)
        bend = np.interp(np.linspace(0, 3, count), range(4), rng.uniform(0.8, 1.25, 4))
        return arc * swept(centre * bend * (1 + rng.uniform(0, 0.05) * np.sin(seconds(count) * rng.uniform(50, 400))))

    return _in_rows(samples, rng, chirp, (1, 9), (0.05, 0.3), (0.3, 2.0))


def breath(samples: int, rng: np.random.Generator) -> Samples:
    """Somebody breathes, sniffs or blows: noise through a wide throat, no voice."""

    def pull() -> Samples:
        count = int(rng.uniform(0.25, 1.6) * SAMPLE_RATE)
        arc = np.sin(np.pi * np.arange(count) / count) ** rng.uniform(0.7, 2)
        air = coloured_noise(count, rng.uniform(0, 0.5), rng)
        throat = [level(_resonant(air, rng.uniform(400, 4500), rng.uniform(0.3, 0.9))) for _ in range(3)]
        return arc * np.sum(throat, axis=0)

    return _in_rows(samples, rng, pull, (1, 3), (0.5, 1.5), (0.4, 2.0))


def dishes(samples: int, rng: np.random.Generator) -> Samples:
    """Glass, plates, cutlery, keys: struck things that ring."""

    def strike() -> Samples:
        return _modes(seconds(int(rng.uniform(0.1, 0.8) * SAMPLE_RATE)), rng, (600, 7500), 8, (6, 60))

    return _in_rows(samples, rng, strike, (1, 8), (0.05, 0.3), (0.3, 2.0))


KINDS: dict[str, Callable[[int, np.random.Generator], Samples]] = {
    **MUSIC,
    **{make.__name__: make for make in (dog, door, claps, siren, engine, rain, wind, keyboard)},
    **{make.__name__: make for make in (telephone, bird, breath, dishes)},
}
"""Each kind of sound: number of samples and generator -> that many samples, of any loudness."""


def _resonant(wave: Samples, hertz: float, width: float) -> Samples:
    """Through one resonance at `hertz`, `width` of it wide."""
    return signal.lfilter(*signal.iirpeak(min(hertz, 0.45 * SAMPLE_RATE), 1 / width, fs=SAMPLE_RATE), wave)


def _modes(
    time: Samples, rng: np.random.Generator, hertz: tuple[float, float], count: int, damping: tuple[float, float]
) -> Samples:
    """A struck thing: `count` modes between two frequencies, each with its damping in nepers a second."""
    low, high = np.log(hertz).tolist()
    modes = [
        rng.uniform(0.2, 1) * np.sin(2 * np.pi * mode * time) * np.exp(-rng.uniform(*damping) * time)
        for mode in np.exp(rng.uniform(low, high, count))
    ]
    return np.sum(modes, axis=0)


def _wander(samples: int, rng: np.random.Generator, rate: float) -> Samples:
    """A smooth random curve between -1 and 1 that turns about `rate` times a second."""
    knots = int(samples / SAMPLE_RATE * rate) + 3
    return np.interp(np.linspace(0, knots - 1, samples), np.arange(knots), rng.uniform(-1, 1, knots))


def _in_rows(
    samples: int,
    rng: np.random.Generator,
    make: Callable[[], Samples],
    count: tuple[int, int],
    apart: tuple[float, float],
    pause: tuple[float, float],
) -> Samples:
    """Rows of `count` sounds, `apart` seconds from one to the next, with a `pause` between the rows."""
    track, at = np.zeros(samples), rng.uniform(0, 0.3) * SAMPLE_RATE
    while at < samples:
        beat = rng.uniform(*apart)
        for _ in range(rng.integers(count[0], count[1] + 1)):
            lay(track, at, rng.uniform(0.5, 1.0) * make())
            at += beat * rng.uniform(0.8, 1.2) * SAMPLE_RATE
        at += rng.uniform(*pause) * SAMPLE_RATE
    return track
