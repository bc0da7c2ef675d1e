"""What is looked at while a stage trains: the loss so far above the newest sample."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 768, 160
_INK, _SOFT = (194, 65, 12), (100, 116, 139)


def read_losses(log: Path) -> list[tuple[int, float]]:
    """Step and mean loss of each row of a run's log; none where there is no log."""
    if not log.is_file():
        return []
    with log.open(newline="", encoding="utf-8") as file:
        rows = [(row.get("step") or "", row.get("loss") or "") for row in csv.DictReader(file)]
    found = []
    for step, loss in rows:
        try:
            found.append((int(step), float(loss)))
        except ValueError:  # a line that a kill has torn
            continue
    return found


def loss_picture(losses: Sequence[tuple[int, float]], title: str, steps: int) -> NDArray[np.uint8]:
    """The loss over the steps of a stage, RGB uint8 [160,768,3]: logarithmic upwards, its newest value in words."""
    picture = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    known = [(step, math.log(loss)) for step, loss in losses if loss > 0 and math.isfinite(loss)]
    said = (
        f"{title}: step {losses[-1][0]} of {steps}, loss {losses[-1][1]:.4g}" if losses else f"{title}: {steps} steps"
    )
    cv2.putText(picture, said, (8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, _SOFT, 1, cv2.LINE_AA)
    if len(known) > 1:
        values = [value for _, value in known]
        low, high = min(values), max(values)
        x = [8 + (WIDTH - 16) * step / max(steps, known[-1][0]) for step, _ in known]
        y = [HEIGHT - 10 - (HEIGHT - 44) * (value - low) / max(high - low, 1e-6) for value in values]
        line = np.stack([x, y], 1).round().astype(np.int32)
        cv2.polylines(picture, [line], False, _INK, 2, cv2.LINE_AA)
    return picture


def beneath(above: NDArray[np.uint8], below: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
    """Two pictures as one, the lower one brought to the width of the upper one."""
    if below is None:
        return above
    height = max(round(below.shape[0] * above.shape[1] / below.shape[1]), 1)
    return np.concatenate([above, cv2.resize(below, (above.shape[1], height), interpolation=cv2.INTER_AREA)])
