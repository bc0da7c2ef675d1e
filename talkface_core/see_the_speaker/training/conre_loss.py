"""ConRe's losses: symmetric InfoNCE with look-alikes masked, and the reconstruction of the face's latent from speech.

Source: See the Speaker (Wang et al., arXiv 2510.26819), whose form is not public; InfoNCE in CLIP's form (Radford et
al. 2021) with a learned temperature. A pair is made of attributes: a face of the same sex and age group suits a voice
as well as the one drawn, so it is neither a match nor a mismatch, and is left out.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..conre import SpeechCode, SpeechEncoder
from .people import UNKNOWN

TEMPERATURE = 0.07
"""At first; the largest scale that is learned is 100, as in CLIP."""

COARSE = 4
"""Side of the grid that the face's latent is averaged over before it is reconstructed: a voice tells no detail."""


class ConReHead(nn.Module):
    """What only training needs: the temperature, and speech to the face's coarse latent."""

    def __init__(self, identity: int, channels: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(-math.log(TEMPERATURE)))
        self.to_latent = nn.Linear(identity, channels * COARSE**2)

    @property
    def scale(self) -> Tensor:
        """One over the temperature."""
        return self.log_scale.clamp(max=math.log(100)).exp()

    def reconstructed(self, identity: Tensor) -> Tensor:
        """Coarse latents [B,C*16] of voices [B,E]."""
        return self.to_latent(identity * identity.shape[1] ** 0.5)


def coarse(latents: Tensor) -> Tensor:
    """Latents [B,C,L,L] as the reconstruction knows them [B,C*16]."""
    return F.adaptive_avg_pool2d(latents, COARSE).flatten(1)


def mismatches(sex: Tensor, age: Tensor, sex_of_face: Tensor, age_of_face: Tensor) -> Tensor:
    """Whether voice i (row) and face j do not suit each other, bool [B,B]: another sex, or two known age groups that
    differ. All that is not known, as all that is alike, is no mismatch."""

    def differ(one: Tensor, other: Tensor) -> Tensor:
        known = (one != UNKNOWN)[:, None] & (other != UNKNOWN)[None]
        return known & (one[:, None] != other[None])

    return differ(sex, sex_of_face) | differ(age, age_of_face)


def info_nce(voices: Tensor, faces: Tensor, scale: Tensor, against: Tensor) -> Tensor:
    """Symmetric InfoNCE of unit vectors [B,E], pair i being a match; against bool [B,B]: which others count."""
    logits = scale * voices @ faces.T
    counted = against | torch.eye(len(logits), dtype=torch.bool, device=logits.device)
    lowest = torch.finfo(logits.dtype).min
    logits = logits.masked_fill(~counted, lowest)
    target = torch.arange(len(logits), device=logits.device)
    return 0.5 * (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target))


def attribute_loss(net: SpeechEncoder, heard: SpeechCode, sex: Tensor, age: Tensor) -> Tensor:
    """Cross-entropy of the two heads, of what is known."""
    male, groups = net.attributes(heard.identity)
    known = (age != UNKNOWN).to(groups.dtype)
    each = F.cross_entropy(groups, age.clamp(min=0), reduction="none")
    by_age = (known * each).sum() / known.sum().clamp(min=1)
    return F.binary_cross_entropy_with_logits(male, sex.to(male)) + by_age
