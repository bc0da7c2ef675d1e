"""The page of a person: what the footage was good for, what the training did, and the held-out end before and after.

One HTML file that needs no other: pictures lie inside, and a policy in its head forbids everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..atomic import whole_file
from ..evaluation.catalogue import METRICS
from ..evaluation.evaluate import ClipScores
from ..evaluation.page_drawing import BETTER, clip_label, curves, document, picture
from ..evaluation.table import number
from .measure import AFTER, BEFORE, DRAWN, KINDS, REAL, RESTORED, SPOKEN, Measured, numbers
from .pictures import loss_picture, read_losses
from .settings import told
from .stages import STAGES
from .state import State

_MOST_CLIPS = 6
_TOLD = (
    *((SPOKEN, "opening"), (SPOKEN, "lmd"), (SPOKEN, "psnr_face"), (SPOKEN, "sharpness_mouth")),
    *((DRAWN, "psnr_face"), (DRAWN, "sharpness_mouth"), (RESTORED, "psnr_face"), (RESTORED, "sharpness_mouth")),
)


def write_page(
    path: Path, name: str, checkpoint: Path, footage: Sequence[str], state: State, measured: Sequence[Measured]
) -> Path:
    """Write the page, whole or not at all."""
    with whole_file(path) as part:
        part.write_text(page(name, checkpoint, footage, state, measured), encoding="utf-8")
    return path


def page(name: str, checkpoint: Path, footage: Sequence[str], state: State, measured: Sequence[Measured]) -> str:
    """The page as text. footage: the lines of the first look."""
    seen = "".join(f"<li>{clip_label(line)}</li>" for line in footage)
    prepared = state.done.get("prepare", {})
    taken = ", ".join(f"{split} {seconds:.1f} s" for split, seconds in prepared.get("taken", {}).items())
    dropped = ", ".join(f"{reason} {seconds:.1f} s" for reason, seconds in prepared.get("dropped", {}).items())
    values = numbers(measured)
    kinds = "".join(_kind(one, values[one.kind]) for one in measured)
    body = f"""<p class="soft">Weights: {clip_label(checkpoint.name)}, for Load DAE-Talker and Load LaDTalk. Spent:
{told(state.seconds)} of a budget of {told(state.settings["budget"])}; {told(sum(state.computed.values()))} of processor
cores.</p>
<h2>The footage</h2>
<ul>{seen}</ul>
<p>Taken: {taken or "nothing"}; the val part is the footage's end, on which nothing was trained.
{f"Left out: {dropped}." if dropped else ""}</p>
<h2>The training</h2>
<div class="wide">{_training(state)}</div>
{"".join(_loss(state, stage.name) for stage in STAGES)}
<h2>Before and after, on the held-out end</h2>
<p>Before: the weights it began with, which know another person. After: this person's. Real: the footage itself,
measured in the same way.</p>
{kinds}
<h2>How it is measured</h2>
<dl>{_protocol(values)}</dl>"""
    return document(f"{name}: a person of one's own", body)


def sheet(measured: Sequence[Measured]) -> NDArray[np.uint8]:
    """Faces of the first held-out clip, RGB uint8 [H,W,3]: real, after and before, as they speak, then restored."""
    rows = [
        np.concatenate(list(faces), axis=1)
        for one in measured
        if one.kind != DRAWN
        for pair in one.pairs()[:1]
        for _, faces in _strips(*pair)
    ]
    return np.ascontiguousarray(np.concatenate(rows)) if rows else np.zeros((64, 64, 3), np.uint8)


def _strips(before: ClipScores | None, after: ClipScores | None) -> list[tuple[str, NDArray[np.uint8]]]:
    """Faces [n,S,S,3] of a clip, by whose they are: real, after, before, where there are any."""
    strips: list[tuple[str, NDArray[np.uint8]]] = []
    if known := after or before:
        strips.append((REAL, known.strip[1]))
    if after is not None:
        strips.append((AFTER, after.strip[0]))
    if before is not None:
        strips.append((BEFORE, before.strip[0]))
    return strips


def summary(state: State, values: dict[str, Any]) -> list[str]:
    """What was trained and the weightiest numbers before and after, in lines for people."""
    lines = []
    for stage in STAGES:
        if (done := state.done.get(stage.name)) is None:
            lines.append(f"{stage.name}: left out, as the clips are smaller than what it would draw: {stage.about}")
            continue
        lines.append(f"{stage.name}: {done.get('steps', 0)} steps in {told(done.get('seconds', 0.0))}: {stage.about}")
    for kind, key in _TOLD:
        if sides := values.get(kind, {}).get(key):
            shown = ["not comparable" if sides[side] is None else number(sides[side]) for side in (BEFORE, AFTER)]
            metric = METRICS[key]
            lines.append(f"{kind}, {metric.title}: before {shown[0]}, after {shown[1]} {metric.unit}".rstrip())
    return lines


def _training(state: State) -> str:
    head = "".join(
        f'<th scope="col">{title}</th>' for title in ("stage", "what", "steps", "a step", "time", "ended by")
    )
    rows = []
    for stage in STAGES:
        done = state.done.get(stage.name, {"ended_by": "left out: the clips are smaller"})
        plan = state.plan.get(stage.name, {})
        cells = [stage.name, stage.about, f"{done.get('steps', 0)} of {plan.get('steps', 0)}"]
        cells += [f"{plan.get('seconds_step', 0):.2f} s", told(done.get("seconds", 0.0)), done.get("ended_by", "")]
        rows.append("<tr>" + "".join(f"<td>{clip_label(str(cell))}</td>" for cell in cells) + "</tr>")
    return f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _loss(state: State, stage: str) -> str:
    losses = read_losses(state.folder / stage / "log.csv")
    if not losses:
        return ""
    drawn = loss_picture(losses, stage, state.plan.get(stage, {}).get("steps", losses[-1][0]))
    return f"<figure>{picture(drawn, f'loss of {stage}')}</figure>"


def _kind(one: Measured, values: dict[str, dict[str, float | None]]) -> str:
    columns = [("metric", ""), *((side, "number") for side in (BEFORE, AFTER, REAL)), ("unit", ""), ("wanted", "")]
    head = "".join(f'<th scope="col" class="{kind}">{title}</th>' for title, kind in columns)
    rows = "".join(_row(key, sides) for key, sides in values.items())
    left_out = one.after.report().reasons()
    reasons = [f"{', '.join(titles)}: {reason}" for reason, titles in left_out.items()]
    told_out = "".join(f"<li>{clip_label(reason)}</li>" for reason in reasons)
    clips = one.pairs()[:_MOST_CLIPS]
    return f"""<h3>{clip_label(KINDS[one.kind])}</h3>
<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>
{"".join(_clip(one.kind, before, after) for before, after in clips)}
{f'<details class="soft"><summary>What is left out</summary><ul>{told_out}</ul></details>' if told_out else ""}
"""


def _row(key: str, sides: dict[str, float | None]) -> str:
    metric = METRICS.get(key)
    title, unit = (metric.title, metric.unit) if metric else (key, "")
    known = [sides[side] for side in (BEFORE, AFTER, REAL)]
    cells = "".join(f'<td class="number">{"–" if value is None else number(value)}</td>' for value in known)
    wanted = BETTER.get(metric.better, "") if metric else ""
    return f"<tr><td>{clip_label(title)}</td>{cells}<td>{clip_label(unit)}</td><td class='soft'>{wanted}</td></tr>"


def _clip(kind: str, before: ClipScores | None, after: ClipScores | None) -> str:
    known = after or before
    assert known is not None
    name, rows = clip_label(known.name), []
    strips = _strips(before, after)
    for side, faces in strips:
        shown = "".join(picture(np.ascontiguousarray(face), f"{side}, {name}") for face in faces)
        rows.append(f'<div class="strip">{shown}</div>')
    drawn = curves(after) if kind == SPOKEN and after is not None else ""
    said = f"{', '.join(side for side, _ in strips)}, from above"
    said += "" if before and after else f"; no face {BEFORE if before is None else AFTER}"
    said += "; the mouth's opening, real dashed" if drawn else ""
    return f"<figure>{''.join(rows)}{drawn}<figcaption>{name}: {said}</figcaption></figure>"


def _protocol(values: dict[str, Any]) -> str:
    keys = dict.fromkeys(key for sides in values.values() for key in sides if key in METRICS)
    lines = [(METRICS[key].title, METRICS[key].protocol) for key in keys]
    return "".join(f"<dt>{clip_label(title)}</dt><dd>{clip_label(text)}</dd>" for title, text in lines)
