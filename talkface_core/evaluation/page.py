"""The page of an evaluation: one HTML file that needs no other, whose tables are sorted by a click.

Worst moments come first. Pictures, curves, style and script lie inside; a policy in its head forbids everything else.
"""

from __future__ import annotations

import math
from pathlib import Path

from ..atomic import whole_file
from ..media.timebase import FPS
from .evaluate import ClipScores, Evaluation, Moment
from .page_drawing import BETTER, clip_label, curves, document, picture
from .registry import Metric
from .table import Report, Row, number

_MOST_CLIPS = 100  # that are drawn; all stand in the table


def write_page(path: str | Path, evaluation: Evaluation) -> Path:
    """Write the page, whole or not at all."""
    with whole_file(path) as part:
        part.write_text(page(evaluation), encoding="utf-8")
    return Path(path)


def page(evaluation: Evaluation) -> str:
    """The page as text."""
    report = evaluation.report()
    about = ", ".join(f"{key}: {clip_label(str(value))}" for key, value in report.about.items())
    left_out = "".join(
        f"<li>{', '.join(map(clip_label, titles))}: {clip_label(reason)}</li>"
        for reason, titles in report.reasons().items()
    )
    moments = "".join(_moment(moment, evaluation) for moment in evaluation.moments())
    clips = "".join(_clip(clip) for clip in evaluation.clips[:_MOST_CLIPS])
    protocol = "".join(f"<dt>{clip_label(k)}</dt><dd>{clip_label(v)}</dd>" for k, v in report.protocol.items())
    body = f"""<p class="soft">{about}</p>
<p>Everywhere: <span class="made">generated</span> beside <span class="real">real</span>, measured in the same way.
Only differences within one such table mean anything.</p>
<div class="wide">{_summary(report)}</div>
{f'<h3>Left out</h3><ul class="soft">{left_out}</ul>' if left_out else ""}
{f'<h2>Worst moments</h2><div class="moments">{moments}</div>' if moments else ""}
<h2>Clips</h2>
<p class="soft">The mouth's opening over the waveform: <span class="made">generated</span>, <span class="real">real
(dashed)</span>; pauses are shaded, the dotted line is where a mouth counts as open, ticks at the bottom are p, b and m,
dots at the top the worst moments. Faces: generated above, real below.</p>
{clips}
<h2>Clip by clip</h2>
<div class="wide">{_by_clip(evaluation)}</div>
<h2>How it is measured</h2>
<dl>{protocol}</dl>"""
    return document(report.title, body, Path(__file__).with_suffix(".js").read_text(encoding="utf-8"))


def _summary(report: Report) -> str:
    head = _heading("section") + _heading("metric")
    head += "".join(_heading(title, numeric=True) for title in ("generated", "real"))
    rows = "".join(_summary_row(row) for row in report.rows)
    head += _heading("unit") + _heading("wanted")
    return f'<table id="summary"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'


def _summary_row(row: Row) -> str:
    cells = _cell(row.value, row.interval) + _cell(math.nan if row.real is None else row.real, row.real_interval)
    wanted = BETTER.get(row.better, "")
    return (
        f"<tr><td>{row.section}</td><td>{clip_label(row.measure)}</td>{cells}<td>{clip_label(row.unit)}</td>"
        f'<td class="soft">{wanted}</td></tr>'
    )


def _by_clip(evaluation: Evaluation) -> str:
    shown: list[Metric] = [m for m in evaluation.metrics.values() if any(m.key in c.values for c in evaluation.clips)]
    head = _heading("clip") + _heading("frames", numeric=True)
    head += "".join(_heading(metric.title, numeric=True) for metric in shown)
    rows = []
    for clip in evaluation.clips:
        cells = "".join(_cell(clip.values.get(metric.key, math.nan)) for metric in shown)
        name = clip_label(clip.name)
        rows.append(f'<tr><td>{name}</td><td class="number" data-value="{clip.frames}">{clip.frames}</td>{cells}</tr>')
    return f'<table id="clips"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table>'


def _heading(title: str, numeric: bool = False) -> str:
    kind = ' class="number"' if numeric else ""
    return f'<th scope="col"{kind}><button type="button">{clip_label(title)}</button></th>'


def _cell(value: float, interval: tuple[float, float] | None = None) -> str:
    if not math.isfinite(value):
        return '<td class="number" data-value=""></td>'
    around = (
        "" if interval is None else f' <span class="interval">[{number(interval[0])}, {number(interval[1])}]</span>'
    )
    return f'<td class="number" data-value="{value!r}">{number(value)}{around}</td>'


def _moment(moment: Moment, evaluation: Evaluation) -> str:
    name, time = clip_label(moment.clip), f"{moment.frame / FPS:.2f} s"
    metric = evaluation.metrics[moment.metric]
    faces = picture(moment.generated, f"generated, {name}, {time}") + picture(moment.real, f"real, {name}, {time}")
    said = f"{name}, {time}: {clip_label(metric.title)} {number(moment.value)} {clip_label(metric.unit)}"
    return f'<figure><div class="faces">{faces}</div><figcaption>{said}</figcaption></figure>'


def _clip(clip: ClipScores) -> str:
    name = clip_label(clip.name)
    rows = []
    for side, faces in zip(("generated", "real"), clip.strip, strict=True):
        shown = (picture(face, f"{side}, {at / FPS:.2f} s") for face, at in zip(faces, clip.strip_at, strict=True))
        rows.append(f'<div class="strip">{"".join(shown)}</div>')
    times = ", ".join(f"{at / FPS:.2f}" for at in clip.strip_at)
    return f"<h3>{name}</h3>{curves(clip)}<figure>{''.join(rows)}<figcaption>at {times} s</figcaption></figure>"
