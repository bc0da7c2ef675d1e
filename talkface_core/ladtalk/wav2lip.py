"""Wav2Lip's generator (Prajwal et al. 2020, section 3.3; sizes of its public code): speech repaints the lower face.

The face encoder reads the picture whose lower half is black, beside a reference picture of the same person from
another moment; the speech encoder reads 0.2 s of sound; the decoder starts from the sound's vector and joins the
face's features at each size. `base` is the published network (36.3M parameters). `tiny` has the same structure with
fewer channels, on pixels unshuffled by two, which makes it fast enough for a CPU. It also decides where to paint: its
output is blended with what it was shown (`config.blend`), so skin and background that need no change stay as sharp as
they were, in faces unlike any it was trained on too.

Pixels: aligned crops, 0..1, RGB, or BGR inside where weights were published so (`config.colour`).
BatchNorm is for training; `inference_copy` folds it away, so that only layers remain that a host can cast.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ..components import Component
from ..config import LARGEST, Config
from ..device import Operations
from ..errors import InputError
from ..pixels import to_bytes, to_unit
from ..sync.blocks import ConvBNReLU, SpeechEncoder, check_speech, fold_batchnorm, sequential

SYSTEM = "ladtalk"
COMPONENT = "wav2lip"

_LIVE_MAPS = 4  # of the size of the widest one, at the peak: 3.1 and 3.3 were measured on the presets


@dataclass(frozen=True)
class Wav2LipConfig(Config):
    """Sizes of a `Wav2Lip`.

    size: side of the crops in pixels; patch: pixels are unshuffled by so much (1: as published); face: channels of the
    encoder from the full size down to 3x3 and of the 1x1 behind it; face_blocks: residual units of all but the last;
    speech, speech_blocks: as `SpeechEncoder`; decoder, decoder_blocks: from 1x1 up to the full size; out: channels of
    the last convolution but one; blend: the net predicts a mask as well, and where that is 0 the pixels are those
    shown: the face's upper half, the reference's lower half (False: as published); colour: "rgb" or "bgr"; mel_shift:
    seconds by which a frame's window of sound lies later than speech/mel_windows.py has it.
    """

    size: int = 96
    patch: int = 2
    face: tuple[int, ...] = (32, 64, 96, 128, 160, 192)
    face_blocks: tuple[int, ...] = (0, 1, 1, 1, 1)
    speech: tuple[int, ...] = (32, 48, 96, 128, 192)
    speech_blocks: tuple[int, ...] = (0, 1, 1, 1)
    decoder: tuple[int, ...] = (192, 160, 128, 96, 80, 64)
    decoder_blocks: tuple[int, ...] = (0, 1, 1, 1, 1, 2)
    out: int = 48
    blend: bool = True
    colour: str = "rgb"
    mel_shift: float = 0.0

    def __post_init__(self) -> None:
        if self.colour not in ("rgb", "bgr"):
            raise InputError(f"colour {self.colour!r} of a Wav2Lip is unknown; choose rgb or bgr.")
        self.check_range(1, LARGEST, "size", "patch", "face", "speech", "decoder", "out")
        self.check_range(-1, 1, "mel_shift")
        stages = len(self.face)
        if not 2 <= stages <= 10 or len(self.face_blocks) < stages - 1 or len(self.decoder_blocks) < stages:
            raise InputError(f"a Wav2Lip of {stages} stages needs 2 to 10 of them, and a number of blocks for each.")
        check_speech(self.speech, self.speech_blocks)
        if self.size != 3 * self.patch * 2 ** (stages - 2):
            raise InputError(
                f"size {self.size} of a Wav2Lip with patch {self.patch} and {stages} stages does not end in 3x3; "
                f"it would be {3 * self.patch * 2 ** (stages - 2)}."
            )
        if len(self.decoder) != stages or self.speech[-1] != self.decoder[0]:
            raise InputError(
                "a Wav2Lip's decoder has as many stages as its encoder, and its first width is the sound's."
            )

    @classmethod
    def presets(cls) -> dict[str, Wav2LipConfig]:
        """ "tiny" (bundled) and "base", the published size."""
        base = cls(
            patch=1,
            face=(16, 32, 64, 128, 256, 512, 512),
            face_blocks=(0, 2, 3, 2, 2, 1),
            speech=(32, 64, 128, 256, 512),
            speech_blocks=(2, 2, 2, 1),
            decoder=(512, 512, 512, 384, 256, 128, 64),
            decoder_blocks=(0, 1, 2, 2, 2, 2, 2),
            out=32,
            blend=False,
        )
        return {"tiny": cls(), "base": base}


class Wav2Lip(nn.Module):
    """Crops, references and sound -> crops that say it.

    `norm` False builds it without BatchNorms, for a state that `sync.blocks.fold` made.
    """

    def __init__(self, config: Wav2LipConfig | None = None, *, norm: bool = True, operations: Operations = nn) -> None:
        super().__init__()
        self.config = config = config or Wav2LipConfig()
        unit = partial(ConvBNReLU, norm=norm, operations=operations)
        residual = partial(unit, residual=True)
        face, decoder, squeezed = config.face, config.decoder, config.patch**2
        kernel = 7 if config.patch == 1 else 3
        stages = [sequential([unit(6 * squeezed, face[0], kernel, 1, kernel // 2)])]
        for i in range(1, len(face) - 1):
            down = unit(face[i - 1], face[i], 3, 2, 1)
            stages.append(sequential([down, *(residual(face[i], face[i]) for _ in range(config.face_blocks[i]))]))
        last = (unit(face[-2], face[-1], 3, 1, 0), unit(face[-1], face[-1], 1, 1, 0))
        self.face_encoder = nn.ModuleList([*stages, sequential(last)])
        self.speech_encoder = SpeechEncoder(config.speech, config.speech_blocks, norm=norm, operations=operations)
        skips = face[::-1]
        stages = [sequential([unit(config.speech[-1], decoder[0], 1, 1, 0)])]
        for i in range(1, len(decoder)):
            up = unit(decoder[i - 1] + skips[i - 1], decoder[i], 3, grow=min(i, 2))
            stages.append(
                sequential([up, *(residual(decoder[i], decoder[i]) for _ in range(config.decoder_blocks[i]))])
            )
        self.face_decoder = nn.ModuleList(stages)
        self.out = unit(decoder[-1] + skips[-1], config.out)
        self.pixels = operations.Conv2d(config.out, (4 if config.blend else 3) * squeezed, 1)

    def forward(self, faces: Tensor, references: Tensor, windows: Tensor) -> Tensor:
        """faces, references [B,3,S,S] RGB 0..1; windows [B,1,80,16] -> RGB 0..1 [B,3,S,S].

        The lower half of `faces` is blackened here, so it cannot be peeped at. The net computes in the dtype of
        `windows`; the pixels may be float32 all the same.
        """
        if self.config.colour == "bgr":
            faces, references = faces.flip(1), references.flip(1)
        faces = blackened(faces)
        x = F.pixel_unshuffle(torch.cat([faces, references], 1), self.config.patch).to(windows.dtype)
        skips = []
        for stage in self.face_encoder:
            x = stage(x)
            skips.append(x)
        x = self.speech_encoder(windows)
        for stage in self.face_decoder:
            x = torch.cat([stage(x), skips.pop()], 1)
        output = F.pixel_shuffle(self.pixels(self.out(x)), self.config.patch).sigmoid()
        if self.config.blend:
            visible = faces + references - blackened(references)
            # Of the pixels' own precision, so that what is kept stays exact when the net computes in less.
            output = visible + output[:, 3:].to(visible) * (output[:, :3].to(visible) - visible)
        return output.flip(1) if self.config.colour == "bgr" else output


def blackened(faces: Tensor) -> Tensor:
    """Pictures [...,H,W] with the lower half at zero."""
    rows = torch.arange(faces.shape[-2], device=faces.device) < faces.shape[-2] // 2
    return faces * rows[:, None].to(faces.dtype)


def inference_copy(net: Wav2Lip, operations: Operations = nn) -> Wav2Lip:
    """The same function without BatchNorms, made of `operations`' layers, in evaluation mode and float32.

    Equal but for rounding. A net without BatchNorms is copied as it is.
    """
    with torch.device("meta"):
        copy = Wav2Lip(net.config, norm=False, operations=operations)
    copy.load_state_dict(fold_batchnorm(net), assign=True)
    return copy.eval().requires_grad_(False)


WAV2LIP = Component(
    COMPONENT,
    Wav2LipConfig,
    lambda config, layers: Wav2Lip(config, operations=layers),
    half=True,
    for_inference=inference_copy,
)


@torch.no_grad()
def repaint_faces(net: Wav2Lip, faces: Tensor, windows: Tensor, references: Tensor | None = None) -> Tensor:
    """Aligned faces [T,3,S,S] in 0..1 that say the windows [T,1,80,16], float32 in 0..1 on the net's device.

    References [T,3,S,S] show what the mouth looks like; None: the faces themselves, as published. The net computes in
    its own dtype, every frame by itself. Raises InputError for faces of another size or count.
    """
    size, weight = net.config.size, net.pixels.weight
    references = faces if references is None else references
    expected = (len(windows), 3, size, size)
    if faces.shape != expected or references.shape != expected:
        raise InputError(f"{len(windows)} windows of sound need faces of shape {list(expected)}, not {[*faces.shape]}.")
    x, y = (p.to(weight.device).contiguous(memory_format=torch.channels_last) for p in (faces, references))
    return net(x, y, windows.to(weight)).float().clamp(0, 1)


def repaint(
    net: Wav2Lip,
    faces: NDArray[np.uint8],
    windows: Tensor,
    references: NDArray[np.uint8] | None = None,
    batch: int = 16,
) -> NDArray[np.uint8]:
    """`repaint_faces` of bytes [T,S,S,3], `batch` at a time: what data sets and measurements are made of."""
    references, device = faces if references is None else references, net.pixels.weight.device
    repainted = [np.empty((0, *faces.shape[1:]), np.uint8)]
    for start in range(0, max(len(faces), len(windows)), batch):
        part = slice(start, start + batch)
        x, y = (to_unit(torch.from_numpy(p[part]).to(device).permute(0, 3, 1, 2)) for p in (faces, references))
        repainted.append(to_bytes(repaint_faces(net, x, windows[part], y)).permute(0, 2, 3, 1).cpu().numpy())
    return np.concatenate(repainted)


def repaint_memory(net: Wav2Lip, frames: int) -> float:
    """Bytes of activations that `repaint` needs for so many frames at once, for a host that makes room beforehand."""
    config = net.config
    values = (config.size // config.patch) ** 2 * (config.decoder[-1] + config.face[0])
    return float(_LIVE_MAPS * values * frames * net.pixels.weight.element_size())
