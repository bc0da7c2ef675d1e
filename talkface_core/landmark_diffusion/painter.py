"""The painter: autoencoder and denoiser together, from landmarks and references to lower faces.

Source: Zhong et al. 2024, inference. All frames of a film begin with one noise (as Diff2Lip does, Mukhopadhyay et al.
2024), so that they hold together. Guidance (Ho & Salimans 2022) is away from the face whose mouth rests, not from one
without landmarks: it exaggerates how the mouth moves and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..device import without_autocast
from ..diffusion.guidance import guided
from ..diffusion.sampling import Denoise, denoiser, get_sampler, shared_noise
from ..diffusion.schedules import timesteps
from ..errors import InputError
from ..pixels import resized_pictures
from .denoiser import LandmarkDenoiser, inpainted
from .latent_space import LatentSpace, ReferenceMaps, known_part
from .talkformer import Condition

EDGE = 0.06
"""Height of the soft edge between the half of a crop that is the footage's and the one that is painted, by its side."""

_LIVE_MAPS = 3  # of all levels of the autoencoder, of each picture, at the peak: 2.3 were measured
_LIVE_SCORES = 2  # of the finest level: as they are and in the net's own type

Callback = Callable[[int, int, Tensor], None]
"""Is told of each step: its number, how many there are, and the clean latents as they stand [n,C,H,W]."""


@dataclass(frozen=True)
class Sampling:
    """How lower faces are sampled.

    sampler: one of `diffusion.sampling.SAMPLERS`; steps: evaluations of the denoiser; seed: of the noise that all
    frames begin with; guidance: how far the landmarks count beyond the mouth at rest, 1: as trained.
    """

    sampler: str = "dpmpp_2m"
    steps: int = 4
    seed: int = 0
    guidance: float = 1.0

    def __post_init__(self) -> None:
        get_sampler(self.sampler)
        if not 1 <= self.steps <= 1000:
            raise InputError(f"{self.steps} sampling steps; give 1 to 1000, 4 are enough.")
        if not 0 <= self.guidance <= 10:
            raise InputError(f"guidance {self.guidance}; it lies between 0 (the mouth rests) and 10, 1 is as trained.")


@dataclass(frozen=True)
class References:
    """Reference pictures as decoder and TalkFormer look at them, encoded once: maps [K,1,...], keys and values [K,L,C]
    of each TalkFormer."""

    maps: ReferenceMaps
    keys_values: tuple[tuple[Tensor, Tensor], ...]

    def at(self, index: Tensor) -> References:
        """Those of frames, by their numbers [n,R]: maps [n,R,...], keys and values [n,R L,C], one reference after the
        other."""
        maps = {name: getattr(self.maps, name)[index, 0] for name in ("pictures", "fine", "coarse", "landmarks")}
        return References(
            ReferenceMaps(**maps),
            tuple((k[index].flatten(1, 2), v[index].flatten(1, 2)) for k, v in self.keys_values),
        )


class TalkFormerModel(nn.Module):
    """Aligned faces and landmarks to faces whose lower half lies where the landmarks say."""

    autoencoder: LatentSpace
    talkformer: LandmarkDenoiser

    def __init__(self, autoencoder: LatentSpace, talkformer: LandmarkDenoiser) -> None:
        """Raises InputError where one is not made for the other's latents."""
        super().__init__()
        own, other = autoencoder, talkformer.config
        if own.name != other.space:
            raise InputError(f"a denoiser for the latent space {other.space!r}, given is {own.name!r}")
        if (own.latent_size, own.latent_channels) != (other.latent_size, other.latent_channels):
            raise InputError(
                f"a denoiser of latents {other.latent_channels} x {other.latent_size}^2 for an autoencoder of "
                f"{own.latent_channels} x {own.latent_size}^2: take both from one training run."
            )
        self.autoencoder, self.talkformer = autoencoder, talkformer

    @property
    def size(self) -> int:
        """Side of the crops that are to be cut out, in pixels."""
        return self.autoencoder.picture_size

    @property
    def references(self) -> int:
        """How many references each frame is shown."""
        return self.autoencoder.references

    @property
    def live_values(self) -> int:
        """Numbers that each frame has in memory at the peak: maps of its pictures, or what its references are worth to
        R-Align's places."""
        config, shown = self.talkformer.config, self.references
        side = config.latent_size >> config.attention.index(True) if any(config.attention) else 0
        return max(_LIVE_MAPS * (1 + shown) * self.autoencoder.values, _LIVE_SCORES * config.heads * shown * side**4)

    @property
    def _weight(self) -> Tensor:
        return next(self.talkformer.parameters())

    @property
    def device(self) -> torch.device:
        return self._weight.device

    @property
    def dtype(self) -> torch.dtype:
        return self._weight.dtype

    @torch.no_grad()
    def encode_references(self, pictures: Tensor, landmarks: Tensor) -> References:
        """Pictures [K,3,H,H] in 0..1, as large as the faces will be, with landmarks [K,68,2] in shares of the crop, as
        `paint` looks at them."""
        self._check(pictures, landmarks)
        shown = (2 * pictures[:, None] - 1).to(self.device, self.dtype)
        landmarks = landmarks.to(self.device, torch.float32)
        maps, latents = self.autoencoder.reference_latents(shown, landmarks[:, None])
        return References(maps, self.talkformer.keys_values(latents[:, 0], landmarks))

    @torch.no_grad()
    def paint(
        self,
        faces: Tensor,
        landmarks: Tensor,
        references: References,
        sampling: Sampling | None = None,
        rest: Tensor | None = None,
        callback: Callback | None = None,
    ) -> Tensor:
        """Faces [n,4,H,H] in 0..1, float32 on the painter's device, whose lower half is painted and whose upper half is
        their own; the fourth channel tells how far a pixel is paint, and not a reference's or its own. H is at least
        the latent space's `size`, which the networks look at.

        landmarks [n,68,2] in shares of the crop; references of these frames (`References.at`); rest [n,68,2]: the same
        with the mouth at rest, for guidance other than 1. Raises InputError for shapes that do not fit, and for such
        guidance without `rest`.
        """
        sampling = sampling or Sampling()
        self._check(faces, landmarks)
        if sampling.guidance != 1 and rest is None:
            raise InputError("guidance other than 1 needs landmarks of the mouth at rest")
        faces = faces.to(self.device, torch.float32)
        landmarks = landmarks.to(self.device, torch.float32)
        shown = (2 * resized_pictures(faces, self.autoencoder.size) - 1).to(self.dtype)
        latents = self.sample(shown, landmarks, references, sampling, rest, callback)
        decoded = self.autoencoder.decode(latents.to(self.dtype), known_part(shown), landmarks, references.maps)
        painted = resized_pictures((decoded.pictures.float() / 2 + 0.5).clamp(0, 1), faces.shape[-1])
        lower = lower_half(faces.shape[-1]).to(faces)
        share = lower * resized_pictures(decoded.paint.float(), faces.shape[-1])
        return torch.cat([torch.lerp(faces, painted, lower), share], 1)

    def sample(
        self,
        faces: Tensor,
        landmarks: Tensor,
        references: References,
        sampling: Sampling,
        rest: Tensor | None = None,
        callback: Callback | None = None,
    ) -> Tensor:
        """Normalised latents [n,C,H,W] of faces [n,3,S,S] in -1..1 in the net's own type; the rest as in `paint`."""
        net, config = self.talkformer, self.talkformer.config
        known = self.autoencoder.encode(known_part(faces))
        x_T = shared_noise(known.shape[1:], sampling.seed, len(faces), known.device)

        def model(points: Tensor) -> Denoise:
            condition = net.condition(points, references.keys_values, references.maps.landmarks)
            return held(denoiser(predicting(condition), config.prediction, config.schedule, dtype=self.dtype))

        def predicting(condition: Condition) -> Callable[[Tensor, Tensor], Tensor]:
            return lambda x, t: net(x, t, known, condition)

        def held(denoise: Denoise) -> Denoise:
            """The same with the known region kept as it is."""

            def kept(x_t: Tensor, t: int) -> tuple[Tensor, Tensor]:
                x0, eps = denoise(x_t, t)
                return inpainted(x0, known.float()), eps

            return kept

        with without_autocast(known.device):
            wanted = model(landmarks)
            if sampling.guidance != 1 and rest is not None:
                wanted = guided(wanted, model(rest.to(landmarks)), sampling.guidance)
            ts = timesteps(config.schedule, sampling.steps)
            return get_sampler(sampling.sampler)(wanted, x_T, config.schedule, ts, callback=callback)

    def _check(self, pictures: Tensor, landmarks: Tensor) -> None:
        least = self.autoencoder.size
        if pictures.ndim != 4 or pictures.shape[1] != 3 or pictures.shape[2] != pictures.shape[3]:
            raise InputError(f"faces of shape {[*pictures.shape]}; this painter takes [n, 3, side, side].")
        if pictures.shape[3] < least:
            raise InputError(f"faces of {pictures.shape[3]} px; this painter takes {least} or more.")
        if tuple(landmarks.shape) != (len(pictures), self.talkformer.config.points, 2):
            raise InputError(
                f"landmarks of shape {[*landmarks.shape]} for {len(pictures)} faces; give "
                f"[{len(pictures)}, {self.talkformer.config.points}, 2]."
            )


def lower_half(size: int) -> Tensor:
    """Which rows of a crop are painted, with a soft edge below the middle: float32 [S,S] in 0..1."""
    rows = (torch.arange(size, dtype=torch.float32) + 0.5) / size
    rise = ((rows - 0.5) / EDGE).clamp(0, 1)
    return (rise * rise * (3 - 2 * rise))[:, None].expand(size, size)
