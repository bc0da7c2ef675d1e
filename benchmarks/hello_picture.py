"""README's picture: frames of a video above the mouth's opening, measured on the frames, over the waveform.

python -m benchmarks.hello_picture hello.mp4 assets/hello.jpg
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from benchmarks.ending import run_program
from talkface_core.evaluation.probe import load_probe
from talkface_core.media.audio import load_audio
from talkface_core.media.video_reader import VideoReader


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("picture", type=Path)
    parser.add_argument("--columns", type=int, default=5)
    args = parser.parse_args()
    from matplotlib.figure import Figure

    reader = VideoReader(args.video)
    frames = np.concatenate(list(reader.chunks(64)))
    audio = load_audio(args.video)
    wave = audio["waveform"][0].mean(0).numpy()
    opening = load_probe().read(frames).mouth_open
    fps = float(reader.fps)
    length = len(frames) / fps

    # Frames stand above their own times, so that picture and plot are read together.
    chosen = ((np.arange(args.columns) + 0.5) / args.columns * len(frames)).astype(int)
    figure = Figure(figsize=(args.columns * 2.56, 3.86), dpi=100)
    for column, index in enumerate(chosen):
        axes = figure.add_axes((column / args.columns, 0.337, 1 / args.columns, 0.663))
        axes.imshow(frames[index], interpolation="lanczos")
        axes.axis("off")
    axes = figure.add_axes((0, 0.07, 1, 0.267))
    loud = np.abs(wave[: len(wave) // 100 * 100]).reshape(-1, 100).max(1)
    axes.fill_between(np.linspace(0, length, len(loud)), -loud, loud, color="0.8", linewidth=0)
    axes.set(xlim=(0, length), ylim=(-1, 1), yticks=[])
    axes.tick_params(axis="x", labelsize=7, pad=1)
    mouth = axes.twinx()
    mouth.plot((np.arange(len(opening)) + 0.5) / fps, opening, color="#207040", linewidth=1.2)
    mouth.vlines((chosen + 0.5) / fps, 0, opening.max(), color="#207040", linewidth=0.4)
    mouth.set(ylim=(-0.005, 1.1 * opening.max()), yticks=[])
    args.picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.picture, pil_kwargs={"quality": 88})


if __name__ == "__main__":
    run_program(main)
