"""The high-resolution decoder: the codes of the sharp face, predicted from the renderer's soft one, and their decoding.

Source: See the Speaker (Wang et al., arXiv 2510.26819), the discrete codebook of its high-resolution talking face; the
parts are CodeFormer's (Zhou et al. 2022): a vector-quantised auto-encoder of sharp faces (quantisation/), whose encoder
serves in training alone; an encoder of soft faces and a transformer that predict its codes; its decoder; and the
controllable feature transformation out = d + w (d scale + shift), in which features of the soft face have a say. w, the
fidelity, is 0 for what the codes tell alone and 1 for all that the input shows.

`base` has CodeFormer's published sizes, four times the input's 128 px. `tiny` doubles them: see `bypass` and `unseen`
of its auto-encoder. What the low band carries is the same at each w, so that a small book of codes costs no likeness.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..bands import low_band
from ..components import Component
from ..config import LARGEST, Config
from ..device import Operations
from ..diffusion.blocks import zero_init
from ..errors import InputError
from ..pixels import signed_to_unit
from ..quantisation.quantiser import CodebookConfig, Quantiser
from ..quantisation.vq_autoencoder import (
    Decoder,
    Encoder,
    ResBlock,
    VQAutoencoderConfig,
    channels_at_the_end,
    channels_first,
    seen,
)
from .code_predictor import CodePredictor, CodePredictorConfig

COMPONENT = "codebook"


@dataclass(frozen=True)
class CodebookDecoderConfig(Config):
    """Sizes.

    `autoencoder`: of sharp faces, whose decoder and codes these are; `scale`: how many times the input's side the
    output's is; `latent`: numbers of an encoding of the soft face, of which the first are its code as the encoder alone
    guesses it, the codebook's own `dim` where 0; `predictor`: the transformer; `fused`: the scales of the decoder
    (0: the finest) in which the soft face has a say; `fusion`: width of the layers between, 0 for CodeFormer's blocks;
    `fine`: channels of a last stage at the input's own pixels (see `Fine`), 0 for none;
    `adapt`: the codes take the mean and spread of the soft face's own (CodeFormer's AdaIN); `temperature`: 0 decodes
    the likeliest code, as published; above, the mean of all codes' vectors by their probabilities at that temperature,
    which does not jump from one frame to the next and lets gradients through; `fidelity`: the default w.
    """

    autoencoder: VQAutoencoderConfig = field(default_factory=VQAutoencoderConfig)
    scale: int = 4
    latent: int = 0
    predictor: CodePredictorConfig = field(default_factory=CodePredictorConfig)
    fused: tuple[int, ...] = (1, 2, 3, 4)
    fusion: int = 0
    fine: int = 0
    adapt: bool = True
    temperature: float = 0.0
    fidelity: float = 0.5

    def __post_init__(self) -> None:
        self.check_range(1, LARGEST, "scale")
        self.check_range(0, 1, "fidelity")
        self.check_range(0, 100, "temperature")
        size, dim = self.autoencoder.image_size, self.autoencoder.codebook.dim
        if size % self.scale or self.autoencoder.bypass > self.input_size:
            raise InputError(f"{size} px, {self.autoencoder.bypass} lines of by-pass: too much for a {self.scale}th.")
        if self.latent and self.latent < dim:
            raise InputError(f"encodings of {self.latent} numbers cannot hold a code of {dim}.")
        if any(scale >= len(self.autoencoder.channels) for scale in self.fused):
            raise InputError(f"scales {list(self.fused)} to fuse, but there are {len(self.autoencoder.channels)}.")

    @property
    def input_size(self) -> int:
        """Side of the soft pictures, in pixels."""
        return self.autoencoder.image_size // self.scale

    @property
    def folds(self) -> bool:
        """Whether the encoder reads the soft picture as it is, folded less; else it is enlarged first."""
        return self.autoencoder.patch % self.scale == 0

    @property
    def encoder(self) -> VQAutoencoderConfig:
        """The settings of the soft face's encoder: the sharp one's, for its own pictures."""
        sharp = self.autoencoder
        size, patch = (self.input_size, sharp.patch // self.scale) if self.folds else (sharp.image_size, sharp.patch)
        codebook = replace(sharp.codebook, dim=self.latent or sharp.codebook.dim)
        return replace(sharp, image_size=size, patch=patch, bypass=0, codebook=codebook)

    @classmethod
    def presets(cls) -> dict[str, CodebookDecoderConfig]:
        """ "base", of CodeFormer's sizes, and "tiny" (bundled)."""
        faces = VQAutoencoderConfig(
            image_size=256,
            patch=4,
            channels=(40, 64),
            blocks=1,
            attention=(False, False),
            middle=False,
            norm=False,
            bypass=128,
            unseen=32,
            codebook=CodebookConfig(codes=1024, dim=8, update="ema", sphere=True, whiten=True),
            fade=0.6,
        )
        tiny = cls(
            autoencoder=faces,
            scale=2,
            latent=64,
            predictor=CodePredictorConfig(width=96, layers=4, heads=4, hidden=192, merge=2, own=48),
            fused=(0, 1),
            fusion=32,
            fine=16,
            adapt=False,
            temperature=1.0,
        )
        return {"base": cls(), "tiny": tiny}


class Fusion(nn.Module):
    """The controllable feature transformation of one scale: maps of decoder and encoder [B, C, h, w] -> [B, C, h, w].

    out = d + w (d scale + shift), scale and shift made of both maps: by a residual block and two pairs of convolutions
    as published, or by two convolutions with `width` channels between them. Begins as the identity.
    """

    def __init__(self, channels: int, width: int = 0, norm: bool = True, operations: Operations = nn) -> None:
        super().__init__()
        ops = operations
        self.slim = bool(width)
        self.both: nn.Module
        if width:
            last = zero_init(ops.Conv2d(width, 2 * channels, 3, padding=1))
            self.both = nn.Sequential(ops.Conv2d(2 * channels, width, 3, padding=1), nn.SiLU(), last)
            return
        self.both = ResBlock(2 * channels, channels, norm, ops)
        self.scale, self.shift = (_pair(channels, ops) for _ in range(2))

    def forward(self, decoded: Tensor, encoded: Tensor, fidelity: float | Tensor) -> Tensor:
        """fidelity: w, one number, or [B,1,1,1]."""
        h = self.both(torch.cat([encoded, decoded], 1))
        scale, shift = h.chunk(2, 1) if self.slim else (self.scale(h), self.shift(h))
        return decoded + fidelity * torch.addcmul(shift, decoded, scale)


class Fine(nn.Module):
    """Mends decoded pictures [B, 3, S, S] where they are folded coarsely (ours): a decoder whose pixels are channels of
    large patches combs edges. Here `scale` x `scale` of them lie beside the soft picture's own pixel [B, 3, s, s], of
    which w counts. Begins as the identity."""

    def __init__(self, scale: int, width: int, operations: Operations = nn) -> None:
        super().__init__()
        ops, folded = operations, 3 * scale**2
        self.fold, self.unfold = nn.PixelUnshuffle(scale), nn.PixelShuffle(scale)
        self.layers = nn.Sequential(
            ops.Conv2d(folded + 3, width, 3, padding=1),
            nn.SiLU(),
            ops.Conv2d(width, width, 3, padding=1),
            nn.SiLU(),
            zero_init(ops.Conv2d(width, folded, 3, padding=1)),
        )

    def forward(self, decoded: Tensor, pictures: Tensor, fidelity: float | Tensor) -> Tensor:
        maps = torch.cat([self.fold(decoded), fidelity * pictures], 1).to(self.layers[0].weight.dtype)
        return decoded + self.unfold(self.layers(maps)).to(decoded.dtype)


class Enhanced(NamedTuple):
    """Pictures [B, 3, S, S] in -1..1, the logits [B, g, g, codes] of their codes, and the soft face's own encodings
    [B, g, g, D] in the place of the codes."""

    pictures: Tensor
    logits: Tensor
    guess: Tensor


class CodebookDecoder(nn.Module):
    """Soft faces [B, 3, s, s] to sharp ones, `config.scale` times as large."""

    def __init__(self, config: CodebookDecoderConfig | None = None, operations: Operations = nn) -> None:
        super().__init__()
        self.config = config = config or CodebookDecoderConfig.preset("tiny")
        sharp, codes = config.autoencoder, config.autoencoder.codebook
        self.encoder = Encoder(config.encoder, operations)
        latent = config.latent or codes.dim
        self.predictor = CodePredictor(config.predictor, latent, sharp.grid, codes.codes, operations)
        self.quantiser = Quantiser(codes)
        self.decoder = Decoder(sharp, operations)
        channels = [sharp.channels[scale] for scale in config.fused]
        self.fusions = nn.ModuleList(Fusion(width, config.fusion, sharp.norm, operations) for width in channels)
        self.fine = Fine(config.scale, config.fine, operations) if config.fine else None

    @property
    def dtype(self) -> torch.dtype:
        """What the networks compute in; pictures may come in float32 all the same."""
        return next(self.encoder.parameters()).dtype

    def encode(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Encodings [B, L, g, g] of soft pictures [B, 3, s, s] in -1..1, and the maps of the scales, finest first."""
        view = seen(pictures, self.config.autoencoder.unseen / self.config.input_size)
        if not self.config.folds:
            view = F.interpolate(view, scale_factor=self.config.scale, mode="bicubic", align_corners=False)
        return self.encoder.with_maps(view.to(self.dtype))

    def guess(self, latent: Tensor) -> Tensor:
        """The codes' vectors [B, g, g, D] as the encoder alone guesses them, on the sphere where the codebook is."""
        codebook = self.config.autoencoder.codebook
        vectors = channels_at_the_end(latent[:, : codebook.dim]).float()
        return F.normalize(vectors, dim=-1) if codebook.sphere else vectors

    def vectors(self, logits: Tensor, guess: Tensor) -> Tensor:
        """What is decoded of logits [B, g, g, codes]: [B, g, g, D], where the config says so adapted to the guess."""
        if self.config.temperature:
            # A pass over so many logits takes as long as a convolution.
            sharpened = logits if self.config.temperature == 1 else logits / self.config.temperature
            z_q = sharpened.float().softmax(-1) @ self.quantiser.vectors
        else:
            # max is several times as fast as argmax on a CPU, and the same.
            z_q = self.quantiser.lookup(logits.max(-1).indices)
        return adapted(z_q, guess) if self.config.adapt else z_q

    def low(self, pictures: Tensor) -> Tensor | None:
        """The low band of soft pictures [B, 3, s, s] at the output's size, [B, 3, S, S]; None without a by-pass."""
        sharp, share = self.config.autoencoder, self.config.autoencoder.bypass / self.config.input_size
        return low_band(pictures, share, sharp.image_size, sharp.fade) if sharp.bypass else None

    def decode(self, z_q: Tensor, pictures: Tensor, maps: list[Tensor], fidelity: float | Tensor) -> Tensor:
        """Pictures [B, 3, S, S] in -1..1 of codes' vectors [B, g, g, D] and of the soft pictures with their maps."""

        def fuse(scale: int, h: Tensor) -> Tensor:
            if scale not in self.config.fused:
                return h
            return self.fusions[self.config.fused.index(scale)](h, maps[scale], fidelity)

        by_codes_alone = not isinstance(fidelity, Tensor) and not fidelity
        vectors = channels_first(z_q).to(self.dtype)
        decoded = self.decoder(vectors, self.low(pictures), None if by_codes_alone else fuse)
        return decoded if self.fine is None else self.fine(decoded, pictures, fidelity)

    def forward(self, pictures: Tensor, fidelity: float | Tensor = 1.0) -> Enhanced:
        """pictures [B, 3, s, s] in -1..1; fidelity: w in 0..1, one number or [B,1,1,1]."""
        latent, maps = self.encode(pictures)
        logits = self.predictor(latent)
        guess = self.guess(latent)
        return Enhanced(self.decode(self.vectors(logits, guess), pictures, maps, fidelity), logits, guess)

    @torch.no_grad()
    def enhance(self, pictures: Tensor, fidelity: float | None = None) -> Tensor:
        """Soft pictures [B, 3, s, s] in 0..1 to sharp ones, float32 [B, 3, S, S] in 0..1.

        fidelity: w in 0..1, from what the codes tell to all that the input shows; None: the default of these weights.
        Raises InputError for pictures of another size and for a fidelity out of its range.
        """
        size = self.config.input_size
        if pictures.ndim != 4 or pictures.shape[1:] != (3, size, size):
            raise InputError(f"pictures of shape {list(pictures.shape)}; the codebook takes [B, 3, {size}, {size}].")
        fidelity = self.config.fidelity if fidelity is None else fidelity
        if not 0 <= fidelity <= 1:
            raise InputError(f"fidelity {fidelity}; it lies between 0 (the codes alone) and 1 (all of the input).")
        return signed_to_unit(self(pictures.float() * 2 - 1, float(fidelity)).pictures)


def adapted(z_q: Tensor, like: Tensor) -> Tensor:
    """Codes' vectors [B, g, g, D] with mean and spread of others over the picture (AdaIN, Huang & Belongie 2017)."""
    (mean, std), (its_mean, its_std) = (_moments(vectors) for vectors in (z_q, like))
    return (z_q - mean) / std * its_std + its_mean


def _moments(vectors: Tensor) -> tuple[Tensor, Tensor]:
    return vectors.mean((1, 2), keepdim=True), (vectors.var((1, 2), keepdim=True) + 1e-5).sqrt()


def _pair(channels: int, ops: Operations) -> nn.Module:
    first = ops.Conv2d(channels, channels, 3, padding=1)
    return nn.Sequential(first, nn.LeakyReLU(0.2), zero_init(ops.Conv2d(channels, channels, 3, padding=1)))


CODEBOOK = Component(COMPONENT, CodebookDecoderConfig, CodebookDecoder, half=True, exact=("quantiser",))
