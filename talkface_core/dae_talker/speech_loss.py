"""The losses of speech2latent: latents, the mouth inside them, head pose, and visemes.

Source: DAE-Talker's second stage (latent regression and L_pose; the norm is not published, mean squared error is that
of the same laboratory's later code). Added by us: a linear read-out of the mouth from the latents, because the mouth
is a small part of a latent's variance and the whole of lip-sync; and two small heads on the speech encoder (sounds by
viseme, mouth), which let voices without latents teach it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..acoustic.losses import masked_mean, viseme_loss
from .speech2latent import Speech2LatentOutput


@dataclass(frozen=True)
class Speech2LatentLossWeights:
    """Weights of the terms; `velocity` compares frame-to-frame changes of the read-out mouth."""

    latent: float = 1.0
    readout: float = 1.0
    velocity: float = 0.0
    pose: float = 0.3
    viseme: float = 0.3
    mouth: float = 0.3


class MouthReadout(nn.Module):
    """Two linear maps fitted on the training set, never trained: z -> mouth, and the change of z that a mouth makes.

    Both live in normalised units (zero mean, unit deviation over the training set).
    """

    weight: Tensor
    bias: Tensor
    direction: Tensor
    mouth_mean: Tensor
    mouth_std: Tensor
    closed: Tensor

    def __init__(self, latent_dim: int, mouth_dim: int):
        super().__init__()
        self.register_buffer("weight", torch.zeros(latent_dim, mouth_dim))
        self.register_buffer("bias", torch.zeros(mouth_dim))
        self.register_buffer("direction", torch.zeros(mouth_dim, latent_dim))
        self.register_buffer("mouth_mean", torch.zeros(mouth_dim))
        self.register_buffer("mouth_std", torch.ones(mouth_dim))
        self.register_buffer("closed", torch.zeros(mouth_dim))
        self.fitted = False

    @classmethod
    def fit(cls, latents: Tensor, mouth: Tensor, others: Tensor, silent: Tensor, ridge: float = 1e-3) -> MouthReadout:
        """Ridge regressions on latents [N, Z] (normalised), mouth [N, M], other causes [N, K] (pose, eyes; K may be 0)
        of the same frames; `silent` bool [N] are frames well inside pauses: their mean mouth is `closed`."""
        self = cls(latents.shape[1], mouth.shape[1])
        self.mouth_mean, self.mouth_std = mouth.mean(0), mouth.std(0).clamp_min(1e-6)
        normal = self.normalise(mouth)
        fitted = _ridge(latents, normal, ridge)
        self.weight, self.bias = fitted[:-1], fitted[-1]
        causes = torch.cat([normal, (others - others.mean(0)) / others.std(0).clamp_min(1e-6)], dim=1)
        self.direction = _ridge(causes, latents, ridge)[: mouth.shape[1]]
        chosen = silent if silent.any() else mouth[:, -1] <= mouth[:, -1].quantile(0.1)
        self.closed = normal[chosen].mean(0)
        self.fitted = True
        return self

    def normalise(self, mouth: Tensor) -> Tensor:
        """Mouth targets -> zero mean, unit deviation."""
        return (mouth - self.mouth_mean) / self.mouth_std

    def forward(self, latents: Tensor) -> Tensor:
        """Normalised latents [..., Z] -> normalised mouth [..., M]."""
        return latents @ self.weight + self.bias

    def opening(self, latents: Tensor) -> Tensor:
        """Normalised latents [..., Z] -> mouth opening [...] in the truth's units."""
        return self(latents)[..., -1] * self.mouth_std[-1] + self.mouth_mean[-1]

    def close(self, latents: Tensor, mouth: Tensor | None = None) -> Tensor:
        """The same latents with the mouth at rest; `mouth` is theirs (normalised) where the truth is known."""
        mouth = self(latents) if mouth is None else mouth
        return latents + (self.closed - mouth) @ self.direction


def _ridge(x: Tensor, y: Tensor, ridge: float) -> Tensor:
    """[N, P], [N, Q] -> [P + 1, Q], the last row the intercept, which is not shrunk."""
    x = torch.cat([x, torch.ones(len(x), 1)], dim=1).double()
    penalty = torch.full((x.shape[1],), ridge * len(x), dtype=torch.float64)
    penalty[-1] = 0.0
    return torch.linalg.solve(x.T @ x + torch.diag(penalty), x.T @ y.double()).float()


class SpeechHeads(nn.Module):
    """Viseme and mouth from the speech encoder's hidden sequence; used in training only."""

    def __init__(self, width: int, visemes: int, mouth_dim: int):
        super().__init__()
        self.viseme = nn.Linear(width, visemes)
        self.mouth = nn.Linear(width, mouth_dim)


def speech2latent_loss(
    output: Speech2LatentOutput,
    batch: dict[str, Tensor],
    readout: MouthReadout,
    pose_mean: Tensor,
    motion_std: Tensor,
    weights: Speech2LatentLossWeights,
    heads: SpeechHeads | None = None,
) -> dict[str, Tensor]:
    """The terms by name, "loss" their weighted sum.

    batch: latents [B, T, Z] (normalised) with `has_latents` [B, T]; mouth [B, T, M] (normalised) with `has_mouth`;
    motion [B, T, 3], the pose about its mean in the clip in units of 90 degrees, with `has_pose`; visemes int64
    [B, T], -100 where unknown. Masks are 0..1. `pose_mean` [3] and `motion_std` [3] are the training set's.

    The pose is learnt about its own mean in each clip: where a speaker happens to look is not in the speech, and a
    net that tries remembers clips.
    """
    predicted = output.latents.float()
    terms = {"latent": masked_mean((predicted - batch["latents"]) ** 2, batch["has_latents"])}
    mouth = readout(predicted)
    terms["readout"] = masked_mean((mouth - batch["mouth"]) ** 2, batch["has_mouth"])
    both = batch["has_mouth"][:, 1:] * batch["has_mouth"][:, :-1]
    terms["velocity"] = masked_mean((mouth.diff(dim=1) - batch["mouth"].diff(dim=1)) ** 2, both)
    motion = output.predicted_pose.float() - pose_mean
    terms["pose"] = masked_mean(((motion - batch["motion"]) / motion_std) ** 2, batch["has_pose"])
    if heads is not None:
        hidden = output.hidden
        terms["viseme"] = viseme_loss(heads.viseme(hidden), batch["visemes"])
        terms["mouth"] = masked_mean((heads.mouth(hidden).float() - batch["mouth"]) ** 2, batch["has_mouth"])
    terms["loss"] = sum(getattr(weights, name) * value for name, value in terms.items())
    return terms
