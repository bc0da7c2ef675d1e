"""What a live face loses by hearing little of the future: the mouth's opening live beside offline, by look-ahead.

    python -m benchmarks.live_follow CLIPS … --out DIR [--clips 3] [--look-ahead 0.1 0.2 0.4 0.8] [--model NAME|FILE]

CLIPS are folders of sounds (.flac) with the truth beside them (.npz, `mouth_open`), or without. Both ways draw with one
evaluation and the same idle motion; the landmark probe reads the openings off the frames. Besides the table, DIR gets a
plot of the openings over the waveform and a sheet of the frames round joins of steps, live above offline, of the first
clip at the second look-ahead.

Follows: correlation of the openings live with those offline. Truth: with the true ones, where there are any. Lag: by
how many frames the live mouth comes late. Joins: how much the picture changes from the last frame of a step to the
first of the next, by how much it changes within steps; divided by the same of the offline film, which has no steps.
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from benchmarks.ending import files_in, run_program
from benchmarks.pictures import contact_sheet, timing_plot
from benchmarks.speak import table_of
from talkface_core.correlation import mouth_lag, pearson
from talkface_core.dae_talker.decode import decode, noise_from_seed
from talkface_core.dae_talker.live import live_steps
from talkface_core.dae_talker.live_latents import Idle, LiveSettings, live_latents
from talkface_core.dae_talker.model import BUNDLED, DAETalker, load_dae_talker
from talkface_core.dae_talker.pipeline import idle_motion, speech_latents
from talkface_core.evaluation.probe import LandmarkProbe, load_probe
from talkface_core.media.audio import analysis_audio, audio_source, load_audio
from talkface_core.training.arguments import above_zero

COLUMNS = {
    "look_ahead": ("look-ahead s", "{}"),
    "follows": ("follows offline", "{:.3f}"),
    "worst": ("worst clip", "{:.3f}"),
    "truth": ("truth", "{:.3f}"),
    "lag": ("lag, frames", "{:.2f}"),
    "joins": ("joins", "{:.2f}"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", metavar="CLIPS")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--clips", type=above_zero(int), default=3, metavar="N", help="of each folder (default: 3)")
    parser.add_argument("--look-ahead", type=float, nargs="+", default=[0.1, 0.2, 0.4, 0.8], metavar="S")
    parser.add_argument("--model", default=BUNDLED, metavar="NAME|FILE")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    talker, probe = load_dae_talker(args.model, "cpu"), load_probe()
    sounds = [sound for folder in args.folders for sound in files_in(folder, ".flac")[: args.clips]]
    offline = [recorded(talker, probe, sound) for sound in tqdm(sounds, desc="offline")]
    truths = [truth_of(sound, len(opening)) for sound, (_, opening) in zip(sounds, offline, strict=True)]
    known = [(opening, truth) for (_, opening), truth in zip(offline, truths, strict=True) if truth is not None]
    rows = []
    for n, look_ahead in enumerate(args.look_ahead):
        settings = LiveSettings(look_ahead)
        made = [streamed(talker, probe, sound, settings) for sound in tqdm(sounds, desc=f"{look_ahead:g} s")]
        rows.append({"look_ahead": look_ahead, **compared(made, offline, truths, settings.hop)})
        if n == min(1, len(args.look_ahead) - 1):
            pictures(args.out, sounds[0], made[0], offline[0], settings)
    best = float(np.mean([pearson(opening, truth) for opening, truth in known])) if known else float("nan")
    rows.append({"look_ahead": "offline", "follows": 1.0, "worst": 1.0, "truth": best, "lag": 0.0, "joins": 1.0})
    print(table_of(rows, COLUMNS))
    (args.out / "live_follow.json").write_text(json.dumps({"clips": len(sounds), "rows": rows}, indent=2) + "\n")


Film = tuple[Tensor, NDArray[np.float32]]
"""Frames uint8 [T,H,W,3] and the mouth's openings [T]."""


def drawn(talker: DAETalker, probe: LandmarkProbe, latents: Tensor) -> Film:
    noise = noise_from_seed(talker.autoencoder, 0)
    frames = torch.cat(list(decode(talker.autoencoder, latents, noise, steps=live_steps(talker))))
    return frames, np.asarray(probe.read(frames).mouth_open, np.float32)


def recorded(talker: DAETalker, probe: LandmarkProbe, sound: Path) -> Film:
    source = audio_source(load_audio(sound))
    control = idle_motion(talker.speech, source)
    return drawn(talker, probe, torch.cat([c.latents for c in speech_latents(talker.speech, source, control=control)]))


def streamed(talker: DAETalker, probe: LandmarkProbe, sound: Path, settings: LiveSettings) -> Film:
    steps = live_latents(talker.speech, [analysis_audio(load_audio(sound))], settings, idle=Idle(talker.speech))
    return drawn(talker, probe, torch.cat([step.latents for step in steps]))


def truth_of(sound: Path, frames: int) -> NDArray[np.float32] | None:
    path = sound.with_suffix(".npz")
    return np.load(path)["mouth_open"][:frames] if path.is_file() else None


def compared(made: list[Film], offline: list[Film], truths: list[Any], hop: int) -> dict[str, float]:
    follows = [pearson(live[1], still[1]) for live, still in zip(made, offline, strict=True)]
    true = [pearson(live[1], truth) for live, truth in zip(made, truths, strict=True) if truth is not None]
    return {
        "follows": float(np.mean(follows)),
        "worst": min(follows),
        "truth": float(np.mean(true)) if true else float("nan"),
        "lag": float(np.mean([mouth_lag(a[1], b[1])[0] for a, b in zip(made, offline, strict=True)])),
        "joins": float(np.mean([joins(a[0], hop) / joins(b[0], hop) for a, b in zip(made, offline, strict=True)])),
    }


def joins(frames: Tensor, hop: int) -> float:
    """The mean change of pixels from one step to the next by that within steps."""
    changes = torch.stack([(b.float() - a.float()).abs().mean() for a, b in pairwise(frames)])
    between = torch.arange(1, len(frames)) % hop == 0
    return float(changes[between].mean() / changes[~between].mean())


def pictures(out: Path, sound: Path, live: Film, offline: Film, settings: LiveSettings) -> None:
    audio = load_audio(sound)
    timing_plot(out / "openings.png", audio, {"offline": offline[1], "live": live[1]}, 25)
    # Two joins in the middle of the clip, four frames on each side.
    first = (len(live[0]) // 2) // settings.hop * settings.hop - settings.hop
    part = slice(first, first + 4 * settings.hop)
    rows = {"live": live[0][part].numpy(), "offline": offline[0][part].numpy()}
    contact_sheet(out / "joins.png", rows, columns=4 * settings.hop)


if __name__ == "__main__":
    run_program(main)
