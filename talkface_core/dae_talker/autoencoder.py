"""The diffusion autoencoder: a semantic encoder and a conditional U-Net that makes a frame from (z, x_T).

Source: Preechakul et al. 2022 (DiffAE), section 3, which DAE-Talker trains on the frames of one speaker (Du et al.
2023, stage 1). `base` is the published FFHQ256 layout. `tiny` is made for a CPU: 128 px, pixels folded 4 x 4 into
channels, and a zero-terminal-SNR schedule, so that sampling starts from pure noise and few steps do. It predicts x0: of
one speaker z tells nearly the whole picture, and a small net that predicts eps or v spends itself on passing noise
through (after 4 minutes of training on 2 cores, 4 DDIM steps gave 24.3 dB with x0, 13.9 dB with v).
The inpainting form (DiffDub, Liu et al. 2024) is shown a reference of the same person beside each noisy picture
(`unet.spatial_channels` 3), and z of the lips alone: it repaints mouths of anybody, see inpainting.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from ..config import Config
from ..device import Operations
from ..diffusion.parameterisation import check_kind
from ..diffusion.sampling import Denoise, denoiser, get_sampler
from ..diffusion.schedules import Schedule, timesteps
from ..diffusion.unet import EncoderConfig, ImageEncoder, UNet, UNetConfig
from ..errors import InputError
from .upsampler import Upsampler

_USES = {
    True: "use it with Dub Video (DAE-Talker), on the command line dub --system dae-talker",
    False: "use it with DAE Decode or Talking Video, on the command line speak",
}


@dataclass(frozen=True)
class SamplingConfig(Config):
    """Default sampling, kept with the weights: the sampler's name, network evaluations, spacing of the time steps."""

    sampler: str = "ddim"
    steps: int = 20
    spacing: str = "trailing"


@dataclass(frozen=True)
class AutoencoderConfig(Config):
    """Sizes, noise schedule, what the U-Net predicts ("eps", "v" or "x0") and how to sample by default."""

    unet: UNetConfig
    encoder: EncoderConfig
    schedule: Schedule = field(default_factory=Schedule)
    prediction: str = "eps"
    sampling: SamplingConfig = field(default_factory=SamplingConfig)

    def __post_init__(self) -> None:
        check_kind(self.prediction)
        get_sampler(self.sampling.sampler)
        if self.prediction == "eps" and self.schedule.zero_terminal_snr:
            raise InputError("a network that predicts eps cannot start from zero_terminal_snr; choose v or x0")
        timesteps(self.schedule, self.sampling.steps, self.sampling.spacing)
        shapes = {(net.image_size, net.in_channels) for net in (self.unet, self.encoder)}
        if shapes != {(self.image_size, 3)} or self.unet.out_channels != 3:
            raise InputError("encoder and decoder take RGB pictures of one size, and the decoder makes such")
        if self.unet.spatial_channels not in (0, 3):
            raise InputError(
                f"a decoder that is shown {self.unet.spatial_channels} channels beside a picture; it is none, or one "
                "reference's 3"
            )
        if self.unet.cond_dim != self.latent_dim:
            raise InputError(f"latents of {self.latent_dim} values for a decoder that reads {self.unet.cond_dim}")

    @property
    def image_size(self) -> int:
        return self.unet.image_size

    @property
    def latent_dim(self) -> int:
        return self.encoder.out_dim

    @property
    def inpaints(self) -> bool:
        """Whether it repaints the mouths of given faces beside a reference, in place of drawing whole frames."""
        return self.unet.spatial_channels > 0

    @classmethod
    def presets(cls) -> dict[str, AutoencoderConfig]:
        """ "tiny" (bundled) and "base", DiffAE's FFHQ256 layout (138.3M parameters in the U-Net, 30.2M before it)."""
        tiny = cls(
            unet=UNetConfig(
                image_size=128,
                in_channels=3,
                out_channels=3,
                channels=(128, 128, 64),
                attention=(False, False, False),
                blocks_down=1,
                blocks_up=2,
                time_dim=128,
                time_frequencies=64,
                cond_dim=128,
                patch=4,
                learned_position=True,
            ),
            encoder=EncoderConfig(
                image_size=128,
                in_channels=3,
                out_dim=128,
                channels=(64, 64, 96, 96),
                attention=(False, False, False, False),
                blocks=1,
                patch=4,
                learned_position=True,
            ),
            schedule=Schedule("linear", 1000, zero_terminal_snr=True),
            prediction="x0",
            sampling=SamplingConfig("ddim", 4, "trailing"),
        )
        base = cls(
            unet=UNetConfig(
                image_size=256,
                in_channels=3,
                out_channels=3,
                channels=(128, 128, 256, 256, 512, 512),
                attention=(False, False, False, False, True, False),
                cond_dim=512,
                dropout=0.1,
            ),
            encoder=EncoderConfig(
                image_size=256,
                in_channels=3,
                out_dim=512,
                channels=(128, 128, 256, 256, 512, 512, 512),
                attention=(False, False, False, False, True, False, False),
            ),
            schedule=Schedule("linear", 1000),
            prediction="eps",
            sampling=SamplingConfig("ddim", 20, "leading"),
        )
        return {"tiny": tiny, "base": base}


class DiffusionAutoencoder(nn.Module):
    """Frames [B, 3, H, W] in -1..1 <-> latents z [B, D] and noise x_T [B, 3, H, W].

    `upsampler` enlarges what is decoded; None, as it is built, where a checkpoint has none.
    """

    def __init__(self, config: AutoencoderConfig, operations: Operations = nn) -> None:
        super().__init__()
        self.config = config
        self.encoder = ImageEncoder(config.encoder, operations)
        self.unet = UNet(config.unet, operations)
        self.upsampler: Upsampler | None = None
        self._place: tuple[torch.device, torch.dtype] | None = None

    def compute_on(self, device: torch.device, dtype: torch.dtype) -> None:
        """Say where to compute and in which type, for a host whose layers fetch and cast their weights as they go."""
        self._place = device, dtype

    @property
    def compute_device(self) -> torch.device:
        """Where frames and latents are computed: where the weights lie, unless `compute_on` says otherwise."""
        return next(self.unet.parameters()).device if self._place is None else self._place[0]

    @property
    def compute_dtype(self) -> torch.dtype:
        """What the U-Net computes in: its weights' type, unless `compute_on` says otherwise."""
        return next(self.unet.parameters()).dtype if self._place is None else self._place[1]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Sides in pixels that frames can be decoded at, the smallest first: its own, and the upsampler's."""
        own = self.config.image_size
        return (own,) if self.upsampler is None else (own, self.upsampler.config.output_size)

    def frame_size(self, size: int | None = None) -> int:
        """`size` where frames can be decoded at it; the largest for None. Raises InputError."""
        if size is not None and size not in self.sizes:
            known = " or ".join(map(str, self.sizes))
            raise InputError(f"frames of {size} px: this model draws {known}; resize the video for other sizes")
        return self.sizes[-1] if size is None else size

    def encode(self, frames: Tensor) -> Tensor:
        """Frames [B, 3, H, W] in -1..1 -> semantic latents [B, D]."""
        return self.encoder(frames)

    def forward(self, x_t: Tensor, t: Tensor, z: Tensor, reference: Tensor | None = None) -> Tensor:
        """The U-Net's prediction (eps, v or x0, as the config says) for x_t [B, 3, H, W], t [B], z [B, D].

        reference [B, 3, H, W] is what an inpainting decoder is shown beside them, and no other.
        """
        return self.unet(x_t, t, z, spatial=reference)

    def denoiser(self, z: Tensor, reference: Tensor | None = None) -> Denoise:
        """The model that the samplers call, for the latents z [B, D] and, of an inpainting decoder, references
        [B, 3, H, W]: pixels are held within -1..1. Raises InputError where a reference is missing or not wanted."""
        dtype = self.compute_dtype
        z, shown = z.to(dtype), None if reference is None else reference.to(dtype)
        if self.config.inpaints != (shown is not None):
            form = "repaints mouths beside a reference" if self.config.inpaints else "draws whole frames"
            raise InputError(f"this autoencoder {form}: {_USES[self.config.inpaints]}")
        net = self.unet
        return denoiser(
            lambda x, t: net(x, t, z, spatial=shown),
            self.config.prediction,
            self.config.schedule,
            clip=1.0,
            dtype=dtype,
        )
