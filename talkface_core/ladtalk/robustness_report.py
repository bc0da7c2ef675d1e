"""The robustness report: how firmly the codes of some footage stand (LaDTalk's noise bound), whether mouths moved."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor

from ..quantisation.quantiser import perplexity
from .robustness import Certificate, Check, certify, exact_encoder, go_on, likely_survival, noise_gain, same_codes
from .sovqae import SOVQAE

SAME_MOUTH = 0.06
"""Mean distance of the mouth's points, by the distance of the eyes, above which its shape counts as changed."""

NOISE_LEVELS = (0.5, 1.0, 2.0, 4.0)
"""Deviations of the noise that the report speaks of, in grey levels of 255."""

_SLIGHT, _VISIBLE = 1.0, 4.0  # of these: what the eye does not see, and what it sees in flat places
_STEADY, _FAIR = 0.9, 0.7  # shares of the codes that slight noise leaves, from which on the result is called so
_ITERATIONS, _PROBES = 8, 8


def report_steps(looked_at: int) -> int:
    """How often the making of a report on so many frames calls its `check`: the length of its progress bar."""
    return looked_at * (_ITERATIONS + _PROBES)


@dataclass(frozen=True)
class RobustnessReport:
    """How firmly the codes stand, from some of the frames, and whether the mouth kept its shape in all of them.

    `margin`: mean distance of the encodings from the walls of their cells; `lipschitz`: the largest local constant of
    the encoder among the frames looked at; `bound`: the median of m / K over positions, an L2 norm in frames of -1..1.
    `certified`: noise deviation in grey levels of 255 -> share of positions that the bound keeps (to first order: it is
    no proof for noise of finite size);
    `likely`: the share that Gaussian noise of that deviation should leave on average, to first order;
    `surviving`: the same noises, one drawing each -> share whose code in fact stayed; `blur`: the share that a blur of
    half a pixel leaves. `perplexity`: how many codes were in even use. `looked_at`: the frames of all this.
    `mouth_moved`: mouth's mean displacement per frame by the eyes' distance, NaN where no face was read, None where
    nothing could measure it. `strength`: how far texture was restored, and `matched` whether the footage said so.
    `guided`: whether the decoder asks the footage beside the codes, so that these numbers tell of a part alone.
    """

    frames: int
    looked_at: tuple[int, ...]
    margin: float
    lipschitz: float
    bound: float
    certified: dict[float, float]
    likely: dict[float, float]
    surviving: dict[float, float]
    blur: float
    perplexity: float
    mouth_moved: tuple[float, ...] | None = None
    strength: float = 1.0
    matched: bool = False
    guided: bool = False

    @property
    def changed_mouths(self) -> tuple[int, ...]:
        """Frames whose mouth changed by more than `SAME_MOUTH`."""
        return tuple(k for k, moved in enumerate(self.mouth_moved or ()) if moved > SAME_MOUTH)

    def lines(self) -> list[str]:
        """The report in words: what was done, whether mouths and details hold, and the numbers behind that."""
        lines = [self._done(), *self.mouth_lines()]
        if not self.looked_at:
            return [*lines, "How steady the details are was not looked at."]
        asked = ["This network asks the footage too: what is said here is of its codes alone."] if self.guided else []
        return [*lines, self._steadiness(), *asked, "", "In numbers:", *self._numbers()]

    def mouth_lines(self) -> list[str]:
        """What is said of the mouth's shape."""
        if self.mouth_moved is None:
            return ["The mouth's shape was not measured: no landmarks were at hand."]
        read = [moved for moved in self.mouth_moved if moved == moved]
        worst, changed, unread = max(read, default=0.0), len(self.changed_mouths), self.frames - len(read)
        lines = [
            f"The mouth kept its shape: it moved by at most {100 * worst:.1f} % of the distance of the eyes."
            if not changed
            else f"The mouth changed its shape in {changed} of {self.frames} frames, by up to {100 * worst:.1f} % "
            "of the distance of the eyes; lower the strength, or train on footage of this person."
        ]
        if unread:
            lines.append(f"In {unread} of {self.frames} frames no face could be read before and after.")
        return lines

    def _done(self) -> str:
        if self.matched and not self.strength:
            return "Nothing was restored: the mouths are as fine as the footage around them already."
        why = ", which makes mouths as fine as the footage around them" if self.matched else ""
        return f"Texture was restored with strength {self.strength:.2f}{why}."

    def _steadiness(self) -> str:
        """How much of what is drawn stays when the footage has a little noise, or less sharpness."""
        slight, visible = self.surviving[_SLIGHT], self.surviving[_VISIBLE]
        verdict = (
            "The details are steady"
            if slight >= _STEADY
            else "The details are fairly steady"
            if slight >= _FAIR
            else "The details are restless and may shimmer: take noise out of the footage, or lower the strength"
        )
        return (
            f"{verdict}. Of 100 of them {100 * slight:.0f} stay as they are under grain that the eye does not see, "
            f"{100 * visible:.0f} under grain that it sees, {100 * self.blur:.0f} when the picture is half a pixel "
            f"softer. Looked at {len(self.looked_at)} of {self.frames} frames."
        )

    def _numbers(self) -> list[str]:
        pairs = [
            f"{level:g}: {100 * self.certified[level]:.0f} %, {100 * self.likely[level]:.0f} %, "
            f"{100 * self.surviving[level]:.0f} %"
            for level in NOISE_LEVELS
        ]
        return [
            f"Margin {self.margin:.3f}, encoder's local Lipschitz constant {self.lipschitz:.3g}: the median "
            f"code keeps its place under noise of norm {self.bound:.3g}.",
            "Codes that stay under noise of so many grey levels, by the bound for the worst noise, as expected of "
            "Gaussian noise, and when tried: " + "; ".join(pairs) + ".",
            f"A blur of half a pixel leaves {100 * self.blur:.0f} % of the codes. {self.perplexity:.0f} codes were "
            "in even use.",
        ]

    def __str__(self) -> str:
        return "\n".join(self.lines())


def build_robustness_report(
    model: SOVQAE,
    count: int,
    chosen: list[int],
    samples: list[Tensor],
    moved: tuple[float, ...] | None,
    check: Check = go_on,
) -> RobustnessReport:
    """The report on `samples`, the faces [S,S,3] in 0..1 that were encoded at the frames `chosen` of `count`.

    `check` is called between the steps, which take seconds; what it raises stops them.
    """
    if not chosen:
        nothing = float("nan")
        return RobustnessReport(count, (), nothing, nothing, nothing, {}, {}, {}, nothing, nothing, moved)
    pixels = rearrange(torch.stack(samples), "t h w c -> t c h w") * 2 - 1
    certificates: list[Certificate] = [
        certify(model, one[None], _ITERATIONS, check=check) for one in pixels
    ]  # one at a time: memory
    together = Certificate(torch.cat([c.margins for c in certificates]), torch.cat([c.lipschitz for c in certificates]))
    encode, _ = exact_encoder(model, pixels.dtype)
    gain = torch.cat([noise_gain(encode, one[None], _PROBES, check=check) for one in pixels])
    codebook = model.config.codebook
    freedoms = codebook.dim - codebook.sphere
    generator = torch.Generator().manual_seed(0)
    white = torch.randn(pixels.shape, generator=generator).to(pixels)
    per_level = 2 / 255
    norm = (pixels[0].numel() ** 0.5) * per_level
    blurred = F.avg_pool2d(F.pad(pixels, (0, 1, 0, 1), mode="replicate"), 2, 1)
    counts = torch.bincount(model.codes(pixels).flatten(), minlength=codebook.codes).float()
    return RobustnessReport(
        frames=count,
        looked_at=tuple(chosen),
        margin=together.margins.mean().item(),
        lipschitz=together.lipschitz.max().item(),
        bound=together.bounds.median().item(),
        certified={level: together.surviving(level * norm).mean().item() for level in NOISE_LEVELS},
        likely={
            level: likely_survival(together.margins, gain, level * per_level, freedoms).mean().item()
            for level in NOISE_LEVELS
        },
        surviving={
            level: same_codes(model, pixels, pixels + level * per_level * white).float().mean().item()
            for level in NOISE_LEVELS
        },
        blur=same_codes(model, pixels, blurred).float().mean().item(),
        perplexity=perplexity(counts).item(),
        mouth_moved=moved,
        guided=bool(model.config.guided),
    )
