"""Music made by code, for training and measuring what must not be taken for speech: chords, melodies, strings, drums.

Source: ours, with textbook synthesis: additive tones, plucked strings (Karplus and Strong 1983), drums of noise and
falling sines. Every sound is mono at 16 kHz and reproducible from the generator it is given; loudness means nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from ..media.timebase import SAMPLE_RATE

Samples = NDArray[np.floating]
_SCALES = ((0, 2, 4, 5, 7, 9, 11), (0, 2, 3, 5, 7, 8, 10), (0, 2, 4, 7, 9), (0, 3, 5, 6, 7, 10))


def seconds(samples: int) -> Samples:
    """The time of each sample [samples] from 0."""
    return np.arange(samples) / SAMPLE_RATE


def swept(hertz: Samples) -> Samples:
    """A sine whose frequency is `hertz` [N] at each sample."""
    return np.sin(2 * np.pi * np.cumsum(hertz) / SAMPLE_RATE)


def lay(track: Samples, start: float, piece: Samples) -> None:
    """Add a piece to a track from the sample `start` on; what reaches beyond the end is left out."""
    first = int(start)
    track[first : first + len(piece)] += piece[: max(len(track) - first, 0)]


def level(piece: Samples, rms: float = 1.0) -> Samples:
    """The piece scaled to a root mean square; silence stays silence."""
    return piece * (rms / max(float(np.sqrt(np.mean(np.square(piece)))), 1e-9)) if len(piece) else piece


def chords(samples: int, rng: np.random.Generator) -> Samples:
    """Three or four tones at once, held like an organ's or dying like a piano's."""
    track, bar, notes = np.zeros(samples), rng.uniform(0.4, 2.5), _scale(rng, 110, 330)
    decay, timbre = rng.choice([0.0, rng.uniform(0.5, 4.0)]), _timbre(rng)
    for start in np.arange(0, samples, bar * SAMPLE_RATE):
        root, strum = rng.integers(0, len(notes)), rng.uniform(0, 0.04)
        for place, step in enumerate((0, 2, 4, 6)[: rng.integers(3, 5)]):
            hertz = notes[(root + step) % len(notes)] * 2 ** ((root + step) // len(notes))
            lay(track, start + place * strum * SAMPLE_RATE, _note(hertz, bar, rng, timbre, decay))
    return track


def melody(samples: int, rng: np.random.Generator) -> Samples:
    """One tone after the other with vibrato and glides, as of a flute, a violin, a whistle or a horn."""
    track, notes, timbre = np.zeros(samples), _scale(rng, 180, 900), _timbre(rng)
    beat, place, at = rng.uniform(0.12, 0.5), int(rng.integers(0, len(notes))), 0.0
    vibrato, decay = rng.choice([0.0, rng.uniform(0.003, 0.04)]), rng.choice([0.0, rng.uniform(1.0, 6.0)])
    while at < samples:
        length = beat * rng.choice([1, 1, 2, 3, 4])
        place = int(np.clip(place + rng.integers(-3, 4), 0, len(notes) - 1))
        if rng.random() < 0.85:
            lay(track, at, _note(notes[place], length, rng, timbre, decay, vibrato))
        at += length * SAMPLE_RATE
    return track


def strings(samples: int, rng: np.random.Generator) -> Samples:
    """Plucked strings: arpeggios and strummed chords of guitar, harp or banjo."""
    track, notes, at = np.zeros(samples), _scale(rng, 80, 400), 0.0
    beat, strummed = rng.uniform(0.1, 0.45), rng.random() < 0.4
    while at < samples:
        for string in range(rng.integers(3, 7) if strummed else 1):
            hertz = rng.choice(notes) * rng.choice([1, 2])
            lay(track, at + string * rng.uniform(0.005, 0.03) * SAMPLE_RATE, plucked(hertz, rng.uniform(0.5, 2.5), rng))
        at += beat * SAMPLE_RATE * (4 if strummed else 1)
    return track


def plucked(hertz: float, length: float, rng: np.random.Generator) -> Samples:
    """One plucked string of `length` seconds: a burst of noise in a loop that averages and loses a little each time."""
    period = max(int(SAMPLE_RATE / hertz), 2)
    burst = np.zeros(int(length * SAMPLE_RATE))
    burst[:period] = rng.uniform(-1, 1, min(period, len(burst)))
    loss = 0.5 * rng.uniform(0.98, 0.999)
    return signal.lfilter([1.0], np.r_[1.0, np.zeros(period - 1), -loss, -loss], burst)


def bass(samples: int, rng: np.random.Generator) -> Samples:
    """Low tones of one voice on a steady beat."""
    track, notes, timbre = np.zeros(samples), _scale(rng, 40, 90), _timbre(rng)
    beat = rng.uniform(0.15, 0.6)
    for start in np.arange(0, samples, beat * SAMPLE_RATE):
        if rng.random() < 0.8:
            lay(track, start, _note(rng.choice(notes), beat * rng.uniform(0.5, 1), rng, timbre, rng.uniform(0, 5)))
    return track


def drums(samples: int, rng: np.random.Generator) -> Samples:
    """Kick, snare, toms and cymbals in a pattern of sixteen steps that comes again."""
    track, step = np.zeros(samples), rng.uniform(0.08, 0.2) * SAMPLE_RATE
    kit = [_drum(rng, low, length, hiss) for low, length, hiss in ((55, 0.25, 0.1), (190, 0.2, 1.0), (120, 0.3, 0.2))]
    kit += [_drum(rng, 0.0, rng.uniform(0.03, 0.5), 0.6)]
    pattern = rng.random((len(kit), 16)) < np.array([[0.3], [0.2], [0.1], [0.6]])
    pattern[0, 0] = pattern[1, 4] = pattern[1, 12] = True
    for number, start in enumerate(np.arange(0, samples, step)):
        for piece in np.flatnonzero(pattern[:, number % 16]):
            lay(track, start, rng.uniform(0.5, 1.0) * kit[piece])
    return track


def band(samples: int, rng: np.random.Generator) -> Samples:
    """Two or more of the others together, each with its own loudness."""
    players = rng.choice(len(_PLAYERS), rng.integers(2, len(_PLAYERS) + 1), replace=False)
    parts = [rng.uniform(0.2, 1.0) * level(_PLAYERS[player](samples, rng)) for player in players]
    return np.sum(parts, axis=0)


def singing(samples: int, rng: np.random.Generator) -> Samples:
    """A voice without words: a melody with vibrato, sung on vowels that change with the notes. It is in no table: who
    hears it may want the mouth to move or not."""
    track, notes, at = np.zeros(samples), _scale(rng, 110, 260), 0.0
    place, beat = int(rng.integers(0, len(notes))), rng.uniform(0.25, 0.7)
    while at < samples:
        length = beat * rng.choice([1, 1, 2, 3])
        place = int(np.clip(place + rng.integers(-2, 3), 0, len(notes) - 1))
        voice = _note(notes[place], length, rng, np.arange(1, 40) ** -1.2, 0.0, 0.02)
        for hertz, width in zip(_VOWELS[rng.integers(0, len(_VOWELS))], (0.15, 0.1, 0.08), strict=True):
            voice = voice + 3 * signal.lfilter(*signal.iirpeak(hertz, 1 / width, fs=SAMPLE_RATE), voice)
        lay(track, at, voice)
        at += length * SAMPLE_RATE * rng.choice([1, 1, 1, 1.5])
    return track


_VOWELS = ((730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410))
_PLAYERS = (chords, melody, strings, bass, drums)
MUSIC: dict[str, Callable[[int, np.random.Generator], Samples]] = {
    "chords": chords,
    "melody": melody,
    "strings": strings,
    "bass": bass,
    "drums": drums,
    "band": band,
}
"""Each kind of music: number of samples and generator -> that many samples."""


def _scale(rng: np.random.Generator, low: float, high: float) -> Samples:
    """Frequencies of two octaves of a scale in some key whose root lies between `low` and `high`."""
    steps = np.array(_SCALES[rng.integers(0, len(_SCALES))])
    return rng.uniform(low, high) * 2 ** (np.r_[steps, steps + 12] / 12)


def _timbre(rng: np.random.Generator) -> Samples:
    """Amplitudes of the harmonics of an instrument."""
    count = int(rng.integers(1, 16))
    gains = np.arange(1, count + 1) ** -rng.uniform(0.3, 2.5) * rng.uniform(0.2, 1.0, count)
    if rng.random() < 0.3:
        gains[1::2] *= rng.uniform(0.0, 0.3)  # a clarinet's
    return gains


def _note(
    hertz: float, length: float, rng: np.random.Generator, timbre: Samples, decay: float, vibrato: float = 0.0
) -> Samples:
    """A tone of `length` seconds that falls by `decay` nepers a second, with `vibrato` as a share of its frequency."""
    time = seconds(max(int(length * SAMPLE_RATE), 64))
    bend = np.sin(2 * np.pi * rng.uniform(4.5, 7.0) * time + rng.uniform(0, 6)) * np.minimum(time / 0.2, 1)
    phase = 2 * np.pi * np.cumsum(hertz * (1 + vibrato * bend)) / SAMPLE_RATE
    harmonics = [
        gain * np.sin(k * phase + rng.uniform(0, 6))
        for k, gain in enumerate(timbre, 1)
        if k * hertz < 0.48 * SAMPLE_RATE
    ]
    rise, fall = rng.uniform(0.002, 0.08), rng.uniform(0.01, 0.1)
    envelope = np.minimum(time / rise, 1) * np.minimum((time[-1] - time) / fall, 1) * np.exp(-decay * time)
    return envelope * np.sum(harmonics, axis=0)


def _drum(rng: np.random.Generator, low: float, length: float, hiss: float) -> Samples:
    """A struck skin: a sine that falls to `low` Hz, and noise; `low` 0: a cymbal, high noise alone."""
    time = seconds(int(length * rng.uniform(0.7, 1.5) * SAMPLE_RATE))
    noise = rng.standard_normal(len(time)) * np.exp(-rng.uniform(4, 9) * time / length)
    if not low:
        return hiss * signal.lfilter([1, -0.95], [1], noise)
    skin = swept(low * rng.uniform(0.8, 1.3) * (1 + 2 * np.exp(-time * 40))) * np.exp(-6 * time / length)
    return skin + hiss * 0.5 * noise
