"""A portrait from the voice: speech-conditioned latent diffusion with the face prior, and how it is sampled.

Source: See the Speaker (Wang et al., arXiv 2510.26819), speech-conditioned portrait generation with face prior
guidance: a U-Net attends to the tokens of speech (Rombach et al. 2022, section 3.3) and makes the residual to the
weighted prior (prior.py), which it is shown; one net serves all three arms, as it is trained under many weights.
v-prediction (Salimans & Ho 2022) over a schedule of zero terminal SNR (Lin et al. 2024): sampling begins with pure
noise. Guidance is classifier-free (Ho & Salimans 2022). A portrait is a guess at sex and age group, and nobody's face:
the voice tells no more.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..components import Component
from ..config import LARGEST, Config
from ..device import Operations
from ..diffusion.guidance import guided_batch, paired
from ..diffusion.parameterisation import check_kind
from ..diffusion.sampling import denoiser, get_sampler, noise
from ..diffusion.schedules import Schedule, timesteps
from ..diffusion.unet import UNet, UNetConfig
from ..errors import InputError
from ..pixels import signed_to_unit
from ..speech.vad import VoiceActivityGate
from .conre import SpeechCode, SpeechEncoder
from .portrait_space import PortraitSpace
from .prior import BETA, FacePrior, SampleAdaptiveWeight, SAWConfig, check_arm

COMPONENT = "portrait"


@dataclass(frozen=True)
class PortraitConfig(Config):
    """Sizes of a `PortraitDenoiser`.

    latent_size, latent_channels: of the portrait space; channels, attention: one entry a level of the U-Net, finest
    first; tokens, identity: of the speech encoder.
    """

    latent_size: int = 16
    latent_channels: int = 8
    channels: tuple[int, ...] = (80, 128)
    attention: tuple[bool, ...] = (False, True)
    blocks_down: int = 1
    blocks_up: int = 2
    time_dim: int = 128
    heads: int = 4
    tokens: int = 96
    identity: int = 256
    prediction: str = "v"
    schedule: Schedule = field(default_factory=lambda: Schedule("scaled_linear", 1000, True))
    saw: SAWConfig = field(default_factory=SAWConfig)

    def __post_init__(self) -> None:
        self.check_range(1, LARGEST, "latent_channels", "channels", "time_dim", "heads", "tokens", "identity")
        check_kind(self.prediction)
        if self.saw.identity != self.identity:
            raise InputError(f"SAW reads {self.saw.identity} numbers of an identity of {self.identity}")
        self.unet()  # raises where the levels do not fit

    def unet(self) -> UNetConfig:
        """The U-Net's own settings: the weighted prior is concatenated to the noisy residual."""
        return UNetConfig(
            image_size=self.latent_size,
            in_channels=self.latent_channels,
            out_channels=self.latent_channels,
            channels=self.channels,
            attention=self.attention,
            blocks_down=self.blocks_down,
            blocks_up=self.blocks_up,
            time_dim=self.time_dim,
            heads=self.heads,
            learned_position=True,
            context_dim=self.tokens,
            spatial_channels=self.latent_channels,
        )

    @classmethod
    def presets(cls) -> dict[str, PortraitConfig]:
        """ "tiny" (bundled); "base" for 512 px, of the width of latent diffusion's smaller models."""
        base = cls(
            latent_size=64,
            latent_channels=4,
            channels=(224, 448, 672, 896),
            attention=(False, True, True, True),
            blocks_down=2,
            blocks_up=3,
            time_dim=896,
            heads=8,
            tokens=768,
            identity=512,
            saw=SAWConfig(512, 256),
        )
        return {"tiny": cls(), "base": base}


class PortraitDenoiser(nn.Module):
    """Noisy residual [B,C,L,L], t [B], the weighted prior and what is heard -> the prediction [B,C,L,L]; with the face
    prior and SAW."""

    def __init__(self, config: PortraitConfig | None = None, operations: Operations = nn) -> None:
        super().__init__()
        self.config = config = config or PortraitConfig()
        self.prior = FacePrior((config.latent_channels, config.latent_size, config.latent_size))
        self.saw = SampleAdaptiveWeight(config.latent_channels, config.saw, operations)
        self.voice = operations.Linear(config.identity, config.tokens)
        self.nobody = nn.Parameter(torch.zeros(1, 1, config.tokens))
        self.unet = UNet(config.unet(), operations)

    def beta(self, identity: Tensor, arm: str = "adaptive", weight: float = BETA) -> Tensor:
        """The prior's weight [B,C] for voices [B,E]: 0, `weight`, or SAW's. Raises InputError for another arm."""
        if check_arm(arm) == "adaptive":
            return self.saw(identity)
        if not 0 <= weight <= 1:
            raise InputError(f"a prior's weight of {weight}; give 0 (none) to 1 (all of it)")
        return identity.new_full((len(identity), self.config.latent_channels), weight if arm == "fixed" else 0.0)

    def context(self, heard: SpeechCode, dropped: Tensor | None = None) -> Tensor:
        """Tokens to attend to [B,1+L,D]: the voice's vector, then the speech; where `dropped` (bool [B]), nobody's."""
        scale = heard.identity.shape[1] ** 0.5
        tokens = torch.cat([self.voice(heard.identity * scale)[:, None], heard.tokens.to(heard.identity)], 1)
        nobody = self.nobody.to(tokens).expand_as(tokens)
        return tokens if dropped is None else torch.where(dropped[:, None, None], nobody, tokens)

    def forward(self, residual: Tensor, t: Tensor, weighted: Tensor, context: Tensor) -> Tensor:
        """weighted [B,C,L,L]: beta p, not scaled by time; context: see `context`."""
        return self.unet(residual, t, context=context, spatial=weighted.to(residual.dtype))


PORTRAIT = Component(
    COMPONENT, PortraitConfig, lambda config, layers: PortraitDenoiser(config, layers), half=True, exact=("saw",)
)
"""SAW stays exact: it is a few thousand weights that decide how much of a face is the mean."""


class PortraitModel(nn.Module):
    """From a voice to a portrait: the speech encoder, the space and the denoiser that works in it, and the voice
    activity gate that tells whether anybody speaks (None: only digital silence is no speech).

    Raises InputError for parts that do not belong together.
    """

    def __init__(
        self,
        speech: SpeechEncoder,
        space: PortraitSpace,
        denoiser: PortraitDenoiser,
        gate: VoiceActivityGate | None = None,
    ) -> None:
        super().__init__()
        config, hearing = denoiser.config, speech.config
        if space.shape != (config.latent_channels, config.latent_size, config.latent_size):
            raise InputError(f"a portrait space of latents {list(space.shape)}, which the denoiser was not made for")
        if (hearing.tokens, hearing.identity) != (config.tokens, config.identity):
            raise InputError(
                f"a speech encoder of {hearing.tokens} and {hearing.identity}, not what the denoiser hears"
            )
        self.speech, self.space, self.denoiser, self.gate = speech, space, denoiser, gate

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.space.mean.device

    @torch.no_grad()
    def imagine(
        self,
        features: Tensor,
        arm: str = "adaptive",
        weight: float = BETA,
        guidance: float = 2.0,
        steps: int = 25,
        seed: int = 0,
        sampler: str = "ddim",
        callback: Callable[[int, int, Tensor], None] | None = None,
    ) -> Tensor:
        """A portrait [1,3,S,S] in 0..1 of a voice's log-mel [S,80] (`speech_features`, or 1 to 10 s of any).

        arm and weight: how much of the face prior counts (`beta`); guidance: 1 as trained, above it the voice counts
        for more; steps of the sampler; the same seed gives the same portrait. Raises InputError.
        """
        code = self.hear(features[None] if features.ndim == 2 else features)
        return self.portraits(code, [seed], arm, weight, guidance, steps, sampler, callback)

    def hear(self, mel: Tensor) -> SpeechCode:
        """What is heard in log-mels [B,S,80] on any device."""
        return self.speech(mel.to(self.device, self.space.mean.dtype))

    @torch.no_grad()
    def portraits(
        self,
        code: SpeechCode,
        seeds: list[int],
        arm: str = "adaptive",
        weight: float = BETA,
        guidance: float = 2.0,
        steps: int = 25,
        sampler: str = "ddim",
        callback: Callable[[int, int, Tensor], None] | None = None,
    ) -> Tensor:
        """Portraits [B,3,S,S] in 0..1 of B voices, each with its own seed. `callback` gets step, steps and portrait."""
        net, schedule = self.denoiser, self.denoiser.config.schedule
        if len(seeds) != len(code.identity):
            raise InputError(f"{len(seeds)} seeds for {len(code.identity)} voices; give one for each")
        beta = net.beta(code.identity.float(), arm, weight)
        weighted, context = net.prior.weighted(beta), net.context(code)
        if guidance == 1.0:
            shown, told = weighted, context
        else:
            nobody = net.context(code, torch.ones(len(seeds), dtype=torch.bool, device=context.device))
            shown, told = weighted.repeat(2, 1, 1, 1), paired(context, nobody)
        dtype = told.dtype
        denoise = denoiser(lambda x, t: net(x, t, shown, told), net.config.prediction, schedule, dtype=dtype)
        if guidance != 1.0:
            denoise = guided_batch(denoise, guidance)
        start = torch.cat([noise((1, *self.space.shape), seed) for seed in seeds]).to(self.device)

        def preview(step: int, count: int, x0: Tensor) -> None:
            if callback is not None:
                callback(step, count, self._decoded(x0, beta, dtype))

        made = get_sampler(sampler)(denoise, start, schedule, timesteps(schedule, steps), callback=preview)
        return self._decoded(made, beta, dtype)

    def _decoded(self, residual: Tensor, beta: Tensor, dtype: torch.dtype) -> Tensor:
        latents = self.denoiser.prior.restored(residual, beta)
        if not math.isfinite(float(latents.sum())):
            raise InputError("the portrait's latents hold NaN or infinite values; use a wider number format")
        return signed_to_unit(self.space.decode(latents.to(dtype)))
