"""The strength at which restored mouths are as fine as the footage they stand in: soft footage gets a soft mouth.

One number for all frames, so that nothing flickers. The power around Nyquist is what is compared. While a film is
dubbed its own faces are at hand; in frames that somebody else repainted only their upper halves are the footage's. The
two agree: 0.79 and 0.82 on two people's footage, 0.41 and 0.45 on a painting, 1.00 and 0.95 on sharp footage.
"""

from __future__ import annotations

from einops import rearrange
from torch import Tensor

from ..bands import sharpest

_UPPER, _MOUTH = (0.0, 1 / 2, 1 / 6, 5 / 6), (0.6, 0.85, 0.3, 0.7)
"""Top, bottom, left and right of what is compared, by the sides of an aligned crop."""


def matching_strength(inputs: Tensor, outputs: Tensor, real: Tensor) -> float:
    """The strength (0..1) at which restored faces are as fine as the footage they go into.

    `inputs` and `outputs` are `enhance.restore`'s of repainted faces at strength 1, `real` the footage's own faces, all
    [T,S,S,3] in 0..1. The upper half is compared, which the repainting should not have changed.
    """
    soft, sharp, goal = (_finest(faces, _UPPER) for faces in (inputs, outputs, real))
    return _reaching(soft, sharp, goal.square().mean())


def matching_strength_in(inputs: Tensor, outputs: Tensor) -> float:
    """The same where the faces [T,S,S,3] are those of the result, of which only the mouth was repainted.

    The network draws all of a face alike; how much finer or softer the upper half was than it draws it, so much finer
    or softer is the mouth to be.
    """
    own, drawn = (_finest(faces, _UPPER).square().mean() for faces in (inputs, outputs))
    soft, sharp = (_finest(faces, _MOUTH) for faces in (inputs, outputs))
    return _reaching(soft, sharp, sharp.square().mean() * own / drawn.clamp(min=1e-12))


def _finest(faces: Tensor, part: tuple[float, float, float, float]) -> Tensor:
    height, width = faces.shape[1:3]
    top, bottom, left, right = (
        int(share * side) for share, side in zip(part, (height, height, width, width), strict=True)
    )
    return sharpest(rearrange(faces[:, top:bottom, left:right], "t h w c -> t c h w").float())


def _reaching(soft: Tensor, sharp: Tensor, power: Tensor) -> float:
    """The s of |soft + s (sharp - soft)|^2 = power, within 0..1; 0 where nothing is missing."""
    added = sharp - soft
    a, b, c = added.square().mean(), (soft * added).mean(), soft.square().mean() - power
    if c >= 0 or a <= 0:
        return 0.0
    return float(((-b + (b * b - a * c).sqrt()) / a).clamp(0, 1))
