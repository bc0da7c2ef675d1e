"""What opens a mouth: false openings on sounds that are no speech, and speech that is missed, by voice activity gates.

    python -m benchmarks.voice_activity --speech SET … --out DIR [--model NAME|FILE …] [--silero] [--recordings DIR …]

A set is a folder of clips with truth (`speech` flags). Sounds are made by code, each kind at several levels of its loud
part below full scale; a crowd is made of the first set's voices. `--silero` measures the package silero-vad, if it is
installed, behind the same thresholds and times. `--recordings` are folders of sounds that hold no speech.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.ending import files_in, run_program
from talkface_core.arrays import read_npz
from talkface_core.checkpoints import find_checkpoint, read_checkpoint
from talkface_core.components import build
from talkface_core.dae_talker.model import BUNDLED
from talkface_core.datasets.made_music import singing
from talkface_core.datasets.made_sounds import KINDS, by_loud_part, crowd, made_sound
from talkface_core.media.audio import analysis_audio, load_audio
from talkface_core.media.timebase import FPS, SAMPLE_RATE
from talkface_core.speech.features import LogMel
from talkface_core.speech.vad import GATE, GateConfig, gain_of
from talkface_core.speech.wave_augment import NOISES, Wave, add_noise, noise

LEVELS = (-40, -30, -20, -12, -6)
LENGTH = 10 * SAMPLE_RATE
SNRS = (20, 10, 5)
FIRST_SEED = 10_000  # far from those of any training

Listener = Callable[[Wave], NDArray[np.float32]]
"""A wave at 16 kHz -> the gain of the gate at each of its mel steps, 0..1."""


@dataclass(frozen=True)
class Spoken:
    """A clip: its wave, and at each mel step whether somebody speaks."""

    wave: Wave
    speech: NDArray[np.bool_]


def bundled(name: str) -> Listener:
    """The gate of a checkpoint."""
    gate, front = build(read_checkpoint(find_checkpoint(name)), GATE), LogMel()
    return lambda wave: gate.gain(front(torch.from_numpy(wave))[None])[0].numpy()


def silero() -> Listener:
    """The package silero-vad, its chances of speech (one for 32 ms) behind the times of our gate."""
    from silero_vad import load_silero_vad

    net, block, config = load_silero_vad(), 512, GateConfig()

    def listen(wave: Wave) -> NDArray[np.float32]:
        net.reset_states()
        blocks = torch.from_numpy(np.pad(wave, (0, -len(wave) % block))).split(block)
        chances = torch.stack([net(piece, SAMPLE_RATE).reshape(()) for piece in blocks])
        steps = -(-len(wave) // LogMel.HOP)
        at = (torch.arange(steps) * LogMel.HOP // block).clamp_max(len(chances) - 1)
        return gain_of(chances[at][None], config)[0].numpy()

    return listen


def read_set(folder: Path) -> list[Spoken]:
    """The clips of a folder."""
    clips = []
    for path in files_in(folder, ".flac"):
        wave = analysis_audio(load_audio(path)).numpy()
        flags = np.asarray(read_npz(path.with_suffix(".npz"))["speech"], bool)
        steps = np.arange(-(-len(wave) // LogMel.HOP))
        clips.append(Spoken(wave, flags[(steps * FPS // int(LogMel.rate)).clip(0, len(flags) - 1)]))
    return clips


def opened(listen: Listener, waves: Sequence[Wave]) -> float:
    """Share of steps at which the mouth is more open than not."""
    return float(np.concatenate([listen(wave) > 0.5 for wave in waves]).mean())


def at_level(wave: Wave, decibels: float) -> Wave:
    """The wave with its loud part at a level below full scale, clipped there as a recording would be."""
    return np.clip(by_loud_part(wave) * np.float32(10 ** (decibels / 20)), -1.0, 1.0)


def false_openings(listen: Listener, sounds: dict[str, list[Wave]]) -> dict[str, float]:
    """Share of steps open by kind of sound, over all levels."""
    return {kind: opened(listen, [at_level(w, db) for w in waves for db in LEVELS]) for kind, waves in sounds.items()}


def missed_speech(listen: Listener, clips: Sequence[Spoken], voices: Sequence[Wave]) -> dict[str, float]:
    """Share of steps of speech at which the gate is more shut than not: clean; with music, a crowd, rain under it."""
    under: dict[str, Callable[[int, np.random.Generator], Wave]] = {
        "music": partial(made_sound, "band"),
        "crowd": partial(crowd, voices),
        "rain": partial(made_sound, "rain"),
    }
    conditions: list[tuple[str, float]] = [("clean", np.inf), *((kind, snr) for kind in under for snr in SNRS)]
    missed = {}
    for kind, snr in conditions:
        shut = []
        for number, clip in enumerate(clips):
            wave = clip.wave
            if kind in under:
                wave = add_noise(wave, under[kind](len(wave), np.random.default_rng(FIRST_SEED + number)), snr)
            shut.append(listen(wave)[clip.speech] < 0.5)
        missed[kind if kind == "clean" else f"{kind}, {snr} dB"] = float(np.concatenate(shut).mean())
    return missed


def silences() -> list[Wave]:
    """Digital silence, and floors of every noise at -60 to -30 dB."""
    floors = [
        np.float32(10 ** (db / 20)) * noise(kind, LENGTH, np.random.default_rng(FIRST_SEED))
        for kind in NOISES
        for db in (-60, -45, -30)
    ]
    return [np.zeros(LENGTH, np.float32), *floors]


def make_sounds(voices: Sequence[Wave], count: int) -> dict[str, list[Wave]]:
    """`count` of each kind that is no speech, then singing."""
    makers: dict[str, Callable[[np.random.Generator], Wave]] = {
        kind: partial(made_sound, kind, LENGTH) for kind in KINDS
    }
    makers["crowd"] = partial(crowd, voices, LENGTH)
    makers["(singing)"] = lambda rng: by_loud_part(singing(LENGTH, rng))
    return {k: [make(np.random.default_rng(FIRST_SEED + n)) for n in range(count)] for k, make in makers.items()}


def read_recordings(folder: Path, longest: int = 60 * SAMPLE_RATE) -> list[Wave]:
    """The sounds of a folder at 16 kHz, the first minute of each, with half a second of silence round it."""
    paths = [path for path in sorted(folder.rglob("*")) if path.suffix in (".wav", ".ogg", ".mp3", ".flac")]
    return [np.pad(analysis_audio(load_audio(path)).numpy()[:longest], SAMPLE_RATE // 2) for path in paths]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, nargs="+", required=True, metavar="SET")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--model", nargs="+", default=[BUNDLED], metavar="NAME|FILE")
    parser.add_argument("--silero", action="store_true")
    parser.add_argument("--recordings", type=Path, nargs="+", default=[], metavar="DIR")
    parser.add_argument("--count", type=int, default=4, help="sounds of each kind (default: 4)")
    args = parser.parse_args()
    listeners = {Path(name).stem: bundled(name) for name in args.model} | ({"silero": silero()} if args.silero else {})
    sets = {f"{path.absolute().parent.name}/{path.name}": read_set(path) for path in args.speech}
    voices = [clip.wave for clip in next(iter(sets.values()))]
    sounds = make_sounds(voices, args.count) | {path.name: read_recordings(path) for path in args.recordings}
    report: dict[str, dict[str, float]] = {}
    with torch.inference_mode():
        for name, listen in listeners.items():
            rows = {"open, silence": opened(listen, silences())}
            rows |= {f"open, {kind}": share for kind, share in false_openings(listen, sounds).items()}
            for title, clips in sets.items():
                rows |= {f"missed, {title}, {k}": share for k, share in missed_speech(listen, clips, voices).items()}
            report[name] = rows
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "voice_activity.json").write_text(json.dumps(report, indent=2), encoding="utf-8")
    print("| share of steps | " + " | ".join(report) + " |\n|---|" + "---|" * len(report))
    for row in next(iter(report.values())):
        print(f"| {row} | " + " | ".join(f"{100 * rows[row]:.1f} %" for rows in report.values()) + " |")


if __name__ == "__main__":
    run_program(main)
