"""Speech2latent: speech features to the latents of the diffusion autoencoder, one per video frame.

Source: DAE-Talker (arXiv 2303.17550), second stage: front end -> down-sampling to the frame rate -> N Conformer
blocks -> pose adaptor -> N Conformer blocks -> linear. `base` has the widths of the same laboratory's published code
(512, 2 heads, feed-forward 512, 4 + 4 blocks, kernel 13, post-norm, dropout 0.2); `tiny` is ours, for a CPU.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..config import LARGEST, Config
from ..device import Operations
from ..errors import InputError
from ..speech.conformer import Conformer
from ..speech.frame_front import MEL, WAV2VEC2, FrameFront, FrontEndConfig
from .pose import PoseAdaptor

HEARD = "acoustic"
"""The front end for the features of an acoustic model (acoustic/model.py)."""


@dataclass(frozen=True)
class Speech2LatentConfig(Config):
    """Sizes of the net; `preset` gives `tiny` (bundled) and `base` (the published layout).

    fronts: by name, the features it can hear; acoustic: the bundled checkpoint whose acoustic model it hears where its
    own file holds none.
    """

    latent_dim: int = 512
    fronts: dict[str, FrontEndConfig] = field(default_factory=lambda: {"mel": MEL})
    fps: int = 25
    front_width: int = 256
    front_kernel: int = 5
    front_planes: int = 0
    taps: int = 8
    width: int = 512
    heads: int = 2
    ff: int = 512
    encoder_blocks: int = 4
    decoder_blocks: int = 4
    kernel: int = 13
    max_distance: int = 100
    context: int = 0
    dropout: float = 0.2
    pre_norm: bool = False
    pose_hidden: int = 128
    pose_layers: int = 2
    eyes: bool = False
    acoustic: str = ""

    def __post_init__(self) -> None:
        widths = ("latent_dim", "front_width", "width", "ff", "pose_hidden", "max_distance")
        self.check_range(1, LARGEST, *widths, "heads", "taps", "kernel", "front_kernel", "pose_layers")
        self.check_range(1, 240, "fps")
        self.check_range(0, 1, "dropout")
        if self.width % self.heads:
            raise InputError(f"a width of {self.width} does not share out to {self.heads} heads")
        if not self.kernel % 2 or not self.front_kernel % 2:
            raise InputError(f"kernels of {self.kernel} and {self.front_kernel} steps have no middle; give odd numbers")
        if not self.fronts or self.fronts.get("mel", MEL) != MEL:
            raise InputError(f"front ends {', '.join(self.fronts) or 'are missing'}: mel is {MEL.dim} bands at 80 Hz")

    @property
    def hears(self) -> str:
        """The front end by which it hears a sound by itself: an acoustic model's features, or the log-mel."""
        return HEARD if HEARD in self.fronts else "mel"

    @classmethod
    def presets(cls) -> dict[str, Speech2LatentConfig]:
        """ "tiny" (bundled) and "base", the published layout."""
        tiny = cls(
            latent_dim=128,
            front_width=64,
            width=128,
            heads=2,
            ff=128,
            encoder_blocks=2,
            decoder_blocks=2,
            dropout=0.1,
            pre_norm=True,
            pose_hidden=32,
            pose_layers=1,
            eyes=True,
        )
        return {"tiny": tiny, "base": cls(fronts={"mel": MEL, "wav2vec2": WAV2VEC2})}


@dataclass(frozen=True)
class Speech2LatentOutput:
    """latents [B, T, latent_dim] z-normalised; pose used and pose predicted [B, T, 3] in units of 90 degrees;
    hidden [B, T, width], the sequence before the pose adaptor (auxiliary training heads read it)."""

    latents: Tensor
    pose: Tensor
    predicted_pose: Tensor
    hidden: Tensor


class Speech2Latent(nn.Module):
    """The second stage of DAE-Talker. Buffers hold the mean and deviation of the training set's latents."""

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, config: Speech2LatentConfig, operations: Operations = nn):
        super().__init__()
        self.config = config
        blocks = {
            "width": config.width,
            "heads": config.heads,
            "ff": config.ff,
            "kernel": config.kernel,
            "max_distance": config.max_distance,
            "context": config.context,
            "dropout": config.dropout,
            "pre_norm": config.pre_norm,
            "operations": operations,
        }
        sizes = (config.fps, config.front_width, config.width, config.front_kernel, config.taps, config.front_planes)
        fronts = {name: FrameFront(front, *sizes, operations) for name, front in config.fronts.items()}
        self.fronts = nn.ModuleDict(fronts)
        self.encoder = Conformer(config.encoder_blocks, **blocks)
        self.adaptor = PoseAdaptor(config.width, config.pose_hidden, config.pose_layers, config.eyes, operations)
        self.decoder = Conformer(config.decoder_blocks, **blocks)
        self.out = operations.Linear(config.width, config.latent_dim)
        self.register_buffer("latent_mean", torch.zeros(config.latent_dim))
        self.register_buffer("latent_std", torch.ones(config.latent_dim))

    def front(self, name: str, dim: int | None = None) -> FrameFront:
        """The projection of one kind of features, or a clear refusal of features that no projection was made for."""
        if name not in self.fronts or dim not in (None, self.fronts[name].config.dim):
            known = ", ".join(f"{n} ({f.dim} values at {f.rate}/s)" for n, f in self.config.fronts.items())
            size = "" if dim is None else f" with {dim} values per step"
            raise InputError(
                f"speech features {name!r}{size} do not fit this model, which reads {known}: "
                "use its own features or a model trained on these"
            )
        return self.fronts[name]

    def forward(
        self,
        features: Tensor,
        frames: int,
        front: str = "mel",
        pose: Tensor | None = None,
        strength: float = 1.0,
        pose_scale: float = 1.0,
        eyes: Tensor | None = None,
        sway: Tensor | None = None,
        valid: Tensor | None = None,
        first_frame: int = 0,
        first_step: int = 0,
    ) -> Speech2LatentOutput:
        """One window.

        features [B, S, dim] of the front end `front`, S >= 1, beginning with step `first_step`; the window shows
        frames `first_frame` to `first_frame + frames - 1` of the clip. `pose` [B, frames, 3] in units of 90 degrees,
        `strength`, `pose_scale`, `eyes` and `sway` as in `PoseAdaptor`; `valid` bool [B, frames] marks real frames.
        """
        x = self.front(front, features.shape[-1])(features, frames, first_frame, first_step)
        hidden = self.encoder(x, valid)
        x, used, predicted = self.adaptor(hidden, pose, strength, pose_scale, eyes, sway)
        return Speech2LatentOutput(self.out(self.decoder(x, valid)), used, predicted, hidden)

    def set_statistics(self, latents: Tensor, pose: Tensor, motion: Tensor | None = None) -> None:
        """Fix the normalisers from the training set: latents [N, latent_dim], pose [N, 3] in units of 90 degrees, and
        the pose's deviation within a clip, motion [3]."""
        self.latent_mean.copy_(latents.mean(0))
        self.latent_std.copy_(latents.std(0).clamp_min(1e-6))
        self.adaptor.pose_mean.copy_(pose.mean(0))
        self.adaptor.pose_std.copy_(pose.std(0).clamp_min(1e-3))
        if motion is not None:
            self.adaptor.motion_std.copy_(motion)

    def normalise(self, latents: Tensor) -> Tensor:
        """The autoencoder's latents -> zero mean, unit deviation."""
        return (latents - self.latent_mean) / self.latent_std

    def denormalise(self, latents: Tensor) -> Tensor:
        """The inverse of `normalise`."""
        return latents * self.latent_std + self.latent_mean
