"""Pictures to look at: rows of frames beside the truth, and the mouth's opening over the waveform."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray


def contact_sheet(path: Path, rows: Mapping[str, NDArray[np.uint8]], columns: int = 10, scale: int = 1) -> None:
    """Write `columns` frames, evenly spread, of each row's clip [T, H, W, 3] as one PNG; rows lie below each other."""
    lines = []
    for frames in rows.values():
        chosen = np.linspace(0, len(frames) - 1, columns).round().astype(int)
        lines.append(np.concatenate(list(frames[chosen]), axis=1))
    sheet = np.concatenate(lines).repeat(scale, 0).repeat(scale, 1)
    cv2.imwrite(str(path), cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR))


def timing_plot(path: Path, audio: Mapping[str, Any], openings: Mapping[str, ArrayLike], fps: float) -> None:
    """Plot the mouth's openings [T], frame k at (k + 1/2) / fps, over the waveform of an AUDIO."""
    from matplotlib.figure import Figure

    wave = audio["waveform"][0].mean(0).numpy()
    figure = Figure(figsize=(12, 4), layout="constrained")
    axes = figure.subplots()
    seconds = np.arange(len(wave)) / audio["sample_rate"]
    axes.fill_between(seconds, -wave, wave, color="0.85", step="mid")
    axes.set(xlabel="seconds", ylabel="amplitude", ylim=(-1, 1))
    mouth = axes.twinx()
    for name, opening in openings.items():
        opening = np.asarray(opening)
        mouth.plot((np.arange(len(opening)) + 0.5) / fps, opening, label=name, linewidth=1)
    mouth.set(ylabel="mouth opening", ylim=(-0.12, 0.12))
    mouth.legend(loc="lower right")
    figure.savefig(path, dpi=90)
