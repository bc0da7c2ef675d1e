"""Speech and reference lips to lip latents, one per video frame: the speech side of the inpainting DAE-Talker.

Source: DiffDub (Liu et al., ICASSP 2024), second stage, by DAE-Talker's laboratory: all hidden states of a HuBERT,
mixed by learned weights; a convolution down to the frame rate; what the lips of references look like, by
cross-attention; N Conformer blocks twice; linear. `base` is the published layout, whose blocks are ESPnet's: they
normalise after each sum and once more at the end, and their BatchNorm is folded into the convolution.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..components import Component
from ..config import LARGEST, Config
from ..device import Operations
from ..errors import InputError
from ..media.timebase import Rate, as_rate
from ..sequences import StreamBuffer, retime, windowed
from ..speech.conformer import Conformer

FPS = 25
"""Frames a second; two steps of the features fall on one."""

STEPS_PER_FRAME = 2
WINDOW, OVERLAP = 250, 50
"""Frames that are heard at once, as in its training, and that neighbours share."""

_EPS = 1e-12  # of ESPnet's norms


@dataclass(frozen=True)
class Speech2LipsConfig(Config):
    """Sizes of the net; `preset` gives `base`, the published layout.

    features, layers: width and number of the speech encoder's hidden states; look_heads: of the attention to the
    references; max_distance: frames beyond which distances count alike.
    """

    latent_dim: int = 512
    features: int = 1024
    layers: int = 25
    heads: int = 2
    look_heads: int = 8
    ff: int = 512
    reference_blocks: int = 2
    encoder_blocks: int = 4
    decoder_blocks: int = 4
    kernel: int = 13
    max_distance: int = WINDOW
    dropout: float = 0.2

    def __post_init__(self) -> None:
        self.check_range(1, LARGEST, "latent_dim", "features", "layers", "ff", "kernel", "max_distance")
        self.check_range(1, LARGEST, "heads", "look_heads", "reference_blocks", "encoder_blocks", "decoder_blocks")
        self.check_range(0, 1, "dropout")
        if self.latent_dim % (2 * self.heads) or self.latent_dim % self.look_heads:
            raise InputError(f"latents of {self.latent_dim} values do not share out to {self.heads} heads, two each")
        if not self.kernel % 2:
            raise InputError(f"a kernel of {self.kernel} steps has no middle; give an odd number")

    @classmethod
    def presets(cls) -> dict[str, Speech2LipsConfig]:
        """ "base", the published layout."""
        return {"base": cls()}


@dataclass(frozen=True)
class LipReferences:
    """What references say of a person's lips, looked at once: keys and values [B, heads, K, d]."""

    keys: Tensor
    values: Tensor


class Speech2Lips(nn.Module):
    """Hidden states of a speech encoder and lip latents of references -> lip latents [B, T, latent_dim]."""

    def __init__(self, config: Speech2LipsConfig, operations: Operations = nn) -> None:
        super().__init__()
        self.config, ops, width = config, operations, config.latent_dim

        def blocks(count: int) -> Conformer:
            return Conformer(
                count,
                width,
                config.heads,
                config.ff,
                kernel=config.kernel,
                max_distance=config.max_distance,
                dropout=config.dropout,
                pre_norm=False,
                final_norm=True,
                conv_norm=False,
                eps=_EPS,
                operations=ops,
            )

        self.layers = nn.Parameter(torch.zeros(config.layers))
        self.enter = ops.Conv1d(config.features, width, 3, stride=STEPS_PER_FRAME)
        self.references = blocks(config.reference_blocks)
        self.query, self.key, self.value = (ops.Linear(width, width) for _ in range(3))
        self.looked, self.taken = ops.Linear(width, width), ops.Linear(width, width)
        self.norm = ops.LayerNorm(width)
        self.encoder, self.decoder = blocks(config.encoder_blocks), blocks(config.decoder_blocks)
        self.out = ops.Linear(width, config.latent_dim)

    @property
    def layer_weights(self) -> Tensor:
        """How much of each hidden state is heard: float32 [layers] on the CPU, their sum is 1."""
        return self.layers.detach().float().softmax(0).cpu()

    @property
    def scale(self) -> float:
        """By which ESPnet multiplies what enters a stack of its blocks."""
        return self.config.latent_dim**0.5

    def refer(self, latents: Tensor) -> LipReferences:
        """Lip latents [B, K, latent_dim] of frames in a row -> what is looked at for every window."""
        tokens = self.references(latents * self.scale)
        return LipReferences(self._heads(self.key(tokens)), self._heads(self.value(tokens)))

    def forward(self, features: Tensor, references: LipReferences) -> Tensor:
        """Mixed features [B, 2 T + 1, features], whose steps 1, 3, ... are the frames' own -> latents [B, T, D].

        A step beyond either end of the sound is zero.
        """
        heard = self.enter(features.transpose(1, 2)).transpose(1, 2)
        looked = F.scaled_dot_product_attention(self._heads(self.query(heard)), references.keys, references.values)
        x = self.norm(self.taken(self.looked(rearrange(looked, "b h t d -> b t (h d)"))))
        return self.out(self.decoder(self.encoder(x * self.scale) * self.scale))

    def _heads(self, x: Tensor) -> Tensor:
        return rearrange(x, "b t (h d) -> b h t d", h=self.config.look_heads)


SPEECH2LIPS = Component("speech2lips", Speech2LipsConfig, Speech2Lips)


def lip_latents(
    model: Speech2Lips,
    features: Iterable[Tensor],
    references: Tensor,
    frames: int,
    fps: Rate = FPS,
    window: int = WINDOW,
    overlap: int = OVERLAP,
) -> Iterator[Tensor]:
    """Latents float32 [n, D] on the CPU of `frames` frames at `fps`, chunk by chunk.

    features: mixed hidden states in blocks [s, features], 50 a second, see `EncodedAudio.mixed`; references [K, D].
    What fits one window is what one call of the model gives.
    Raises InputError for a sound without a step and for features of another width.
    """
    rate, weight = as_rate(fps), model.enter.weight
    total = frames if rate == FPS else -(-frames * FPS // rate)
    with torch.no_grad():
        looked_at = model.refer(references[None].to(weight))
    stream = StreamBuffer(features)

    @torch.no_grad()
    def heard(first: int, stop: int) -> Tensor:
        begin, end = STEPS_PER_FRAME * first - 1, STEPS_PER_FRAME * stop
        block, step = stream.read(max(begin, 0), end)
        if block is None:
            raise InputError("no speech features at all: the audio is empty; give at least one sample")
        if block.shape[1] != model.config.features:
            raise InputError(
                f"speech features of {block.shape[1]} values do not fit this model, which reads "
                f"{model.config.features}: take the hidden states of the encoder that it was trained on"
            )
        wanted = torch.arange(begin, end)
        inside = (wanted >= 0) & (wanted < step + len(block))
        rows = block[(wanted - step).clamp(0, len(block) - 1)] * inside[:, None].to(block)
        return model(rows[None].to(weight), looked_at)[0].float().cpu()

    rows = windowed(heard, int(total), window, overlap)
    return rows if rate == FPS else retime(rows, Fraction(FPS), rate, frames)
