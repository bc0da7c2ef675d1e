"""SyncNet, the lip expert of Wav2Lip (Prajwal et al. 2020, section 3.2): are five frames and 0.2 s of sound in step?

`base` has the published size (16.4M parameters) and ends in ReLUs, so that the cosine of the two vectors is a
probability. `tiny` works on pixels unshuffled by two and ends without ReLUs; its probability is a logistic function of
the cosine whose scale and offset are learnt, which lets the loss contrast many sounds at once (see recipe.py).

Pixels: the lower half of five aligned crops, 0..1, RGB, or BGR where weights were published so (`config.colour`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..checkpoints import find_checkpoint, read_checkpoint
from ..components import Component, build, table
from ..config import LARGEST, Config
from ..device import Operations
from ..errors import InputError
from ..pixels import resized_pictures
from ..speech.mel_windows import FRAMES
from .blocks import ConvBNReLU, SpeechEncoder, check_speech, fold_batchnorm

SYSTEM = "sync"
COMPONENT = "syncnet"


@dataclass(frozen=True)
class SyncNetConfig(Config):
    """Sizes of a `SyncNet`.

    size: side of the aligned crops in pixels; patch: pixels are unshuffled by so much (1: as published); face: channels
    of the picture's stages, the last is the vector's length; face_blocks: residual units of each stage but the last
    three; speech, speech_blocks: as `SpeechEncoder`; logistic: the vectors may be negative and the probability is a
    logistic function of the cosine; colour: "rgb" or "bgr"; mel_shift: seconds by which the sound's window lies later
    than speech/mel_windows.py has it.
    """

    size: int = 96
    patch: int = 2
    face: tuple[int, ...] = (32, 48, 64, 96, 128, 160)
    face_blocks: tuple[int, ...] = (0, 1, 1, 1, 1)
    speech: tuple[int, ...] = (24, 48, 64, 96, 160)
    speech_blocks: tuple[int, ...] = (0, 1, 1, 1)
    logistic: bool = True
    colour: str = "rgb"
    mel_shift: float = 0.0

    def __post_init__(self) -> None:
        if self.colour not in ("rgb", "bgr"):
            raise InputError(f"colour {self.colour!r} of a SyncNet is unknown; choose rgb or bgr.")
        self.check_range(1, LARGEST, "size", "patch", "face", "speech")
        self.check_range(-1, 1, "mel_shift")
        if not 3 <= len(self.face) <= 10 or len(self.face_blocks) < len(self.face) - 1:
            raise InputError(f"a SyncNet of {len(self.face)} stages needs 3 to 10, and a number of blocks for each.")
        check_speech(self.speech, self.speech_blocks)
        if self.size % (2 * self.patch) or self.size / self.patch < 3 * 2 ** (len(self.face) - 2):
            raise InputError(f"a SyncNet of size {self.size} and patch {self.patch} has no {len(self.face)} stages.")
        if self.face[-1] != self.speech[-1]:
            raise InputError(f"a SyncNet's vectors need one length, not {self.face[-1]} and {self.speech[-1]}.")

    @classmethod
    def presets(cls) -> dict[str, SyncNetConfig]:
        """ "tiny" (bundled) and "base", the published size."""
        base = cls(
            patch=1,
            face=(32, 64, 128, 256, 512, 512, 512),
            face_blocks=(0, 2, 3, 2, 2, 0),
            speech=(32, 64, 128, 256, 512),
            speech_blocks=(2, 2, 2, 2),
            logistic=False,
        )
        return {"tiny": cls(), "base": base}


class SyncNet(nn.Module):
    """Faces [B,5,3,S/2,S] in 0..1 (RGB) and mel windows [B,1,80,16] -> unit vectors [B,D] each.

    `norm` False builds it without BatchNorms, for a state that `blocks.fold_batchnorm` made.
    """

    def __init__(self, config: SyncNetConfig | None = None, *, norm: bool = True, operations: Operations = nn) -> None:
        super().__init__()
        self.config = config = config or SyncNetConfig()
        unit = partial(ConvBNReLU, norm=norm, operations=operations)
        face, blocks, relu = config.face, config.face_blocks, not config.logistic
        kernel = 7 if config.patch == 1 else 3
        layers: list[nn.Module] = [unit(3 * FRAMES * config.patch**2, face[0], kernel, 1, kernel // 2)]
        for i in range(1, len(face) - 1):
            first = unit(face[i - 1], face[i], 5, (1, 2), 1) if i == 1 else unit(face[i - 1], face[i], 3, 2, 1)
            layers += [first, *(unit(face[i], face[i], residual=True) for _ in range(blocks[i]))]
        layers.append(unit(face[-2], face[-1], 3, 1, 0))
        layers.append(unit(face[-1], face[-1], 1, 1, 0, relu=relu))
        self.face_encoder = nn.Sequential(*layers)
        self.speech_encoder = SpeechEncoder(
            config.speech, config.speech_blocks, relu=relu, norm=norm, operations=operations
        )
        if config.logistic:
            self.scale = nn.Parameter(torch.tensor(math.log(10.0)))
            self.offset = nn.Parameter(torch.tensor(-3.0))

    def faces(self, faces: Tensor) -> Tensor:
        """Unit vectors [B,D] of lower halves [B,5,3,S/2,S], RGB 0..1."""
        if self.config.colour == "bgr":
            faces = faces.flip(2)
        x = rearrange(faces, "b t c h w -> b (t c) h w")
        return self._unit(self.face_encoder(F.pixel_unshuffle(x, self.config.patch)))

    def speech(self, windows: Tensor) -> Tensor:
        """Unit vectors [B,D] of mel windows [B,1,80,16]."""
        return self._unit(self.speech_encoder(windows))

    def forward(self, faces: Tensor, windows: Tensor) -> tuple[Tensor, Tensor]:
        return self.faces(faces), self.speech(windows)

    def logits(self, cosine: Tensor) -> Tensor:
        """Logits of "in step" of cosines, any shape; of a published net, whose cosine is itself the probability."""
        if self.config.logistic:
            return self.scale.float().exp() * cosine + self.offset.float()
        return torch.logit(cosine, eps=1e-6)

    @staticmethod
    def _unit(x: Tensor) -> Tensor:
        return F.normalize(x.flatten(1).float(), dim=1)


def inference_copy(net: SyncNet, operations: Operations = nn) -> SyncNet:
    """The same function without BatchNorms, made of `operations`' layers, in evaluation mode and float32."""
    copy = SyncNet(net.config, norm=False, operations=operations)
    copy.load_state_dict(fold_batchnorm(net))
    return copy.eval().requires_grad_(False)


SYNCNET = Component(
    COMPONENT, SyncNetConfig, lambda config, layers: SyncNet(config, operations=layers), for_inference=inference_copy
)
COMPONENTS = table(SYNCNET)


def load_syncnet(model: str | Path, operations: Operations = nn) -> SyncNet:
    """A bundled expert by name, or one from a file, to infer or as a loss: no BatchNorms, float32, on the CPU.

    Raises CheckpointError for a file that is none.
    """
    return build(read_checkpoint(find_checkpoint(model), SYSTEM), SYNCNET, operations)


def lower_half(crops: Tensor) -> Tensor:
    """The lower half of pictures [..., H, W]."""
    return crops[..., crops.shape[-2] // 2 :, :]


def sync_loss(
    net: SyncNet, faces: Tensor, windows: Tensor, same: Tensor | None = None, share: Tensor | None = None
) -> Tensor:
    """Mean binary cross-entropy of "in step" (Wav2Lip, equation 3), 0.693 by chance.

    faces [B,5,3,S/2,S]; windows [B,1,80,16]; same [B] 1 or 0, None: all are in step, as the generator wishes; share
    [B]: how much each counts in the mean, None: all alike.
    """
    a, b = net(faces, windows)
    cosine = (a * b).sum(1)
    same = torch.ones_like(cosine) if same is None else same.to(cosine)
    if share is None:
        return F.binary_cross_entropy_with_logits(net.logits(cosine), same)
    each = F.binary_cross_entropy_with_logits(net.logits(cosine), same, reduction="none")
    return (share * each).sum() / share.sum().clamp(min=1e-3)


def drawn_sync_loss(net: SyncNet, drawn: Tensor, windows: Tensor, share: Tensor | None = None) -> Tensor:
    """`sync_loss` of aligned faces [5 B,3,S,S] in 0..1, five in a row to each window; S may be other than the net's."""
    halves = lower_half(resized_pictures(drawn, net.config.size))
    return sync_loss(net, rearrange(halves, "(b t) c h w -> b t c h w", t=FRAMES), windows, share=share)
