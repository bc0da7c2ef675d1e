"""The denoiser: a U-Net over latents of the lower face, conditioned by TalkFormer, and how it is sampled.

Source: Zhong et al. 2024 (inpainting of the lower half in a latent space), in the layout of DiffTalk's inpainting U-Net
(Shen et al. 2023: the known part beside x_t); x_0-prediction over a schedule of zero terminal SNR (Lin et al. 2024), so
that the first of few steps begins with pure noise. The upper half of x_t is that of the known latents in training and
in sampling alike; they are encoded of pictures without their lower half, so that they tell nothing of the mouth.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace

import torch
from einops import rearrange, repeat
from torch import Tensor, nn

from ..components import Component
from ..config import LARGEST, Config
from ..device import Operations
from ..diffusion.parameterisation import check_kind
from ..diffusion.schedules import Schedule
from ..diffusion.unet import UNet, UNetConfig
from ..errors import InputError
from ..faces.landmarks import POINTS
from .latent_space import OWN, SPACES, LatentSpace
from .talkformer import Condition, LandmarkTokens, Motion, ReferenceEncoder, TalkFormer, reference_nearness
from .warping import landmark_flow, pixel_centres, shrunk

COMPONENT = "talkformer"


@dataclass(frozen=True)
class DenoiserConfig(Config):
    """Sizes of a `LandmarkDenoiser`.

    space: whose latents they are, one of `SPACES`; latent_size, latent_channels: theirs; channels, attention: one entry
    a level of the U-Net, finest first; token_dim: of a landmark's token; motion, reference: whether there are M-Align
    and R-Align (without: ablations).
    """

    latent_size: int = 32
    latent_channels: int = 4
    channels: tuple[int, ...] = (48, 72, 96)
    attention: tuple[bool, ...] = (False, True, True)
    blocks_down: int = 1
    blocks_up: int = 1
    time_dim: int = 192
    heads: int = 4
    token_dim: int = 96
    points: int = POINTS
    motion: bool = True
    reference: bool = True
    prediction: str = "x0"
    schedule: Schedule = field(default_factory=lambda: Schedule("scaled_linear", 1000, True))
    space: str = OWN

    def __post_init__(self) -> None:
        self.check_range(1, LARGEST, "latent_channels", "channels", "token_dim", "points", "time_dim", "heads")
        self.check_range(8, 512, "latent_size")
        if self.latent_size % 2:
            raise InputError(f"a latent of {self.latent_size} rows has no lower half")
        check_kind(self.prediction)
        if self.space not in SPACES:
            raise InputError(f"a latent space {self.space[:40]!r}; known are {', '.join(SPACES)}")
        self.unet()  # raises where the levels do not fit

    def unet(self) -> UNetConfig:
        """The U-Net's own settings: the known latents and the mask are concatenated to x_t."""
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
            spatial_channels=self.latent_channels + 1,
        )

    def within(self, space: LatentSpace) -> DenoiserConfig:
        """The same for the latents of a space."""
        return replace(self, latent_size=space.latent_size, latent_channels=space.latent_channels, space=space.name)

    @classmethod
    def presets(cls) -> dict[str, DenoiserConfig]:
        """ "tiny" (bundled); "base" for 256 px in Stable Diffusion's f8 space, of DiffTalk's width."""
        base = cls(
            channels=(256, 512, 768, 1024),
            attention=(True, True, True, True),
            blocks_down=2,
            blocks_up=3,
            time_dim=1024,
            heads=8,
            token_dim=512,
        )
        return {"tiny": cls(), "base": base}


class LandmarkDenoiser(nn.Module):
    """x_t [B,C,H,W], t [B], known latents and a `Condition` -> the prediction [B,C,H,W]."""

    def __init__(self, config: DenoiserConfig | None = None, operations: Operations = nn) -> None:
        super().__init__()
        self.config = config = config or DenoiserConfig()
        self.tokens = LandmarkTokens(config.points, config.token_dim, operations)
        self.references = ReferenceEncoder(config.latent_channels, config.channels, operations)
        count = itertools.count()

        def cross(channels: int, level: int) -> TalkFormer:
            return TalkFormer(next(count), channels, level, config.token_dim, config.heads, operations)

        self.unet = UNet(config.unet(), operations, cross)

    def train_all(self) -> LandmarkDenoiser:
        """Wants a gradient for every weight but those of an alignment that the settings leave out."""
        self.requires_grad_(True)
        for module in self.alignments:
            module.motion.requires_grad_(self.config.motion)
            module.reference.requires_grad_(self.config.reference)
        self.tokens.requires_grad_(self.config.motion)
        self.references.requires_grad_(self.config.reference)
        return self

    @property
    def alignments(self) -> list[TalkFormer]:
        """The TalkFormers in the order of their numbers."""
        found = [module for module in self.unet.modules() if isinstance(module, TalkFormer)]
        return sorted(found, key=lambda module: module.index)

    def motion(self, landmarks: Tensor) -> Motion:
        """Tokens of landmarks [B,N,2] in shares of the crop."""
        return self.tokens(landmarks)

    def keys_values(self, latents: Tensor, landmarks: Tensor) -> tuple[tuple[Tensor, Tensor], ...]:
        """Of reference latents [K,C,H,W] under their landmarks [K,N,2] what each TalkFormer looks up: keys and values
        [K,L,C], once for each reference."""
        maps, motion = self.references(latents), self.motion(landmarks) if self.config.motion else None
        return tuple(module.keys_values(maps[module.level], motion) for module in self.alignments)

    def condition(self, landmarks: Tensor, references: tuple[tuple[Tensor, Tensor], ...], theirs: Tensor) -> Condition:
        """What is told of faces with these landmarks [B,N,2], references [B,R L,C] and their landmarks [B,R,N,2];
        without what the settings leave out."""
        config, near = self.config, {}
        if config.motion and config.reference:
            count, sides = theirs.shape[1], [config.latent_size >> n for n, on in enumerate(config.attention) if on]
            flow = landmark_flow(repeat(landmarks, "b n d -> (b r) n d", r=count), theirs.flatten(0, 1), max(sides))
            for side in sides:
                there = pixel_centres(side, flow.device) + shrunk(flow, side)
                places = rearrange(there, "(b r) h w d -> b r (h w) d", r=count)
                near[side] = reference_nearness(places, side, config.heads)
        return Condition(
            motion=self.motion(landmarks) if config.motion else None,
            references=references if config.reference else None,
            near=near,
        )

    def forward(self, x_t: Tensor, t: Tensor, known: Tensor, condition: Condition | None) -> Tensor:
        """known [B,C,H,W]: latents of the picture without its lower half."""
        x = inpainted(x_t, known)
        spatial = torch.cat([known, lower_mask(known)], 1).to(x.dtype)
        return self.unet(x, t, context=condition, spatial=spatial)


def lower_mask(latents: Tensor) -> Tensor:
    """1 where inpainting paints, 0 where it knows [B,1,H,W]: the lower half of latents [B,C,H,W]."""
    mask = torch.zeros_like(latents[:, :1])
    mask[:, :, latents.shape[-2] // 2 :] = 1
    return mask


def inpainted(latents: Tensor, known: Tensor) -> Tensor:
    """The lower half of latents [B,C,H,W] below the upper half of the known ones."""
    half = latents.shape[-2] // 2
    return torch.cat([known[..., :half, :].to(latents), latents[..., half:, :]], -2)


TALKFORMER = Component(COMPONENT, DenoiserConfig, lambda config, layers: LandmarkDenoiser(config, layers), half=True)
