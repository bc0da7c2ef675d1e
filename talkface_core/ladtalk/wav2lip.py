"""Wav2Lip's generator (Prajwal et al. 2020, section 3.3; sizes of its public code): speech repaints the lower face.

The face encoder reads the picture whose lower half is black, beside a reference picture of the same person from
another moment; the speech encoder reads 0.2 s of sound; the decoder starts from the sound's vector and joins the
face's features at each size. `base` is the published network (36.3M parameters). `tiny` has the same structure with
fewer channels, on pixels unshuffled by two, which makes it fast enough for a CPU. It also decides where to paint: its
output is blended with what it was shown (`config.blend`), so skin and background that need no change stay as sharp as
they were, in faces unlike any it was trained on too. And it moves what it was shown (`config.flow`): a dense flow warps
each of several references, a soft choice among them takes lips, beard and teeth from where they are shown (as the
warping networks of face animation do, Siarohin et al. 2019), and only what no reference shows is painted. Flow, choice
and mask are smooth, so pictures of more pixels than the net looks at keep all their detail. And it can hear by an
acoustic model, which knows what a mouth does in seconds of speech (`config.acoustic`), in place of the log-mel or
beside it (`config.also_mel`).

Pixels: aligned crops, 0..1, RGB, or BGR inside where weights were published so (`config.colour`).
BatchNorm is for training; `inference_copy` folds it away, so that only layers remain that a host can cast.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from ..components import Component
from ..config import LARGEST, Config
from ..device import Operations
from ..errors import InputError
from ..speech.mel_windows import WINDOW
from ..sync.blocks import ConvBNReLU, SpeechEncoder, check_speech, fold_batchnorm, sequential

SYSTEM = "ladtalk"
COMPONENT = "wav2lip"

DETAIL = 256
"""Side of the crops whose pixels are moved: that of the SOVQAE's, and about that of a face in most footage."""


@dataclass(frozen=True)
class Wav2LipConfig(Config):
    """Sizes of a `Wav2Lip`.

    size: side of the crops in pixels; patch: pixels are unshuffled by so much (1: as published); face: channels of the
    encoder from the full size down to 3x3 and of the 1x1 behind it; face_blocks: residual units of all but the last;
    speech, speech_blocks: as `SpeechEncoder`; decoder, decoder_blocks: from 1x1 up to the full size; out: channels of
    the last convolution but one; blend: the net predicts a mask as well, and where that is 0 the pixels are those
    shown: the face's upper half, the reference's lower half (False: as published); references: how many are shown;
    flow: how far the net may move what they show, as a share of the crop's side (0: it moves nothing); choice: factor
    of the references' logits before their softmax, above 1 they are mixed less; acoustic: width of the acoustic model's
    features (0: the net hears the log-mel, as published); acoustic_of: the bundled checkpoint whose acoustic model that
    is, where its own file has none; also_mel: with such features the net hears the log-mel as well; closing: how far
    what it hears goes to silence, in which lips are shut, where the acoustic model hears p, b or m (0: not at all);
    colour: "rgb" or "bgr"; mel_shift: seconds by which a frame's window of sound lies later than speech/mel_windows.py
    has it.
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
    references: int = 1
    flow: float = 0.0
    choice: float = 1.0
    acoustic: int = 0
    acoustic_of: str = ""
    also_mel: bool = False
    closing: float = 0.0
    colour: str = "rgb"
    mel_shift: float = 0.0

    def __post_init__(self) -> None:
        if self.colour not in ("rgb", "bgr"):
            raise InputError(f"colour {self.colour!r} of a Wav2Lip is unknown; choose rgb or bgr.")
        self.check_range(1, LARGEST, "size", "patch", "face", "speech", "decoder", "out")
        self.check_range(-1, 1, "mel_shift")
        self.check_range(0, LARGEST, "acoustic")
        self.check_range(1, 16, "references")
        self.check_range(0, 1, "flow", "closing")
        self.check_range(0, 100, "choice")
        if (self.flow or self.references > 1) and not (self.flow and self.blend):
            raise InputError("a Wav2Lip of several references, or one with a flow, needs blend and a flow above 0.")
        if (self.also_mel or self.closing) and not self.acoustic:
            raise InputError("also_mel and closing of a Wav2Lip are for one that hears acoustic features.")
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
        return {"tiny": cls(references=2, flow=0.25, choice=6.0), "base": base}

    @property
    def shown(self) -> int:
        """Channels of what the net is shown: the face and the references."""
        return 3 + 3 * self.references

    @property
    def outputs(self) -> int:
        """Channels that the net predicts for each pixel: colour, mask, and for each reference its flow and logit."""
        return 3 + self.blend + 3 * self.references * bool(self.flow)


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
        stages = [sequential([unit(config.shown * squeezed, face[0], kernel, 1, kernel // 2)])]
        for i in range(1, len(face) - 1):
            down = unit(face[i - 1], face[i], 3, 2, 1)
            stages.append(sequential([down, *(residual(face[i], face[i]) for _ in range(config.face_blocks[i]))]))
        last = (unit(face[-2], face[-1], 3, 1, 0), unit(face[-1], face[-1], 1, 1, 0))
        self.face_encoder = nn.ModuleList([*stages, sequential(last)])
        vector = config.speech[-1]
        mel_encoder = partial(SpeechEncoder, config.speech, config.speech_blocks, norm=norm, operations=operations)
        if config.acoustic:
            self.mel_encoder = mel_encoder() if config.also_mel else None
            width = config.acoustic + vector * config.also_mel
            self.speech_encoder = sequential((unit(width, vector, 1, 1, 0), unit(vector, vector, 1, 1, 0)))
        else:
            self.speech_encoder = mel_encoder()
        skips = face[::-1]
        stages = [sequential([unit(config.speech[-1], decoder[0], 1, 1, 0)])]
        for i in range(1, len(decoder)):
            up = unit(decoder[i - 1] + skips[i - 1], decoder[i], 3, grow=min(i, 2))
            stages.append(
                sequential([up, *(residual(decoder[i], decoder[i]) for _ in range(config.decoder_blocks[i]))])
            )
        self.face_decoder = nn.ModuleList(stages)
        self.out = unit(decoder[-1] + skips[-1], config.out)
        self.pixels = operations.Conv2d(config.out, config.outputs * squeezed, 1)
        if config.flow and self.pixels.weight is not None:
            # At first nothing moves and every reference counts the same.
            nn.init.zeros_(self.pixels.weight[4 * squeezed :])
            nn.init.zeros_(self.pixels.bias[4 * squeezed :])

    def forward(self, faces: Tensor, references: Tensor, speech: Tensor) -> Tensor:
        """faces [B,3,S,S] RGB 0..1; references [B,R,3,S,S], or one for all R [B,3,S,S]; speech as `encode_speech` has
        it -> RGB 0..1 [B,3,S,S].

        The lower half of `faces` is blackened here, so it cannot be peeped at. The net computes in the dtype of
        `speech`; the pixels may be float32 all the same.
        """
        return self.composite(self.predict(faces, references, speech), faces, references).frames

    def predict(self, faces: Tensor, references: Tensor, speech: Tensor) -> Tensor:
        """What `forward` composes its picture of: logits and flows [B,`config.outputs`,S,S], see `composite`."""
        if self.config.colour == "bgr":
            faces, references = faces.flip(1), references.flip(-3)
        shown = [blackened(faces), *self._each(references)]
        x = F.pixel_unshuffle(torch.cat(shown, 1), self.config.patch).to(speech.dtype)
        skips = []
        for stage in self.face_encoder:
            x = stage(x)
            skips.append(x)
        x = self.encode_speech(speech)
        for stage in self.face_decoder:
            x = torch.cat([stage(x), skips.pop()], 1)
        return F.pixel_shuffle(self.pixels(self.out(x)), self.config.patch)

    def encode_speech(self, speech: Tensor) -> Tensor:
        """What is heard -> vectors [B,`config.speech[-1]`,1,1].

        speech: windows [B,1,80,16]; or acoustic features [B,A], A = `config.acoustic`; or, for a net that hears both,
        rows of a window and features [B,1280 + A].
        """
        if not self.config.acoustic:
            return self.speech_encoder(speech)
        if self.mel_encoder is None:
            return self.speech_encoder(speech[..., None, None])
        windows, features = speech.split([speech.shape[1] - self.config.acoustic, self.config.acoustic], 1)
        vectors = self.mel_encoder(rearrange(windows, "b (m s) -> b 1 m s", s=WINDOW))
        return self.speech_encoder(torch.cat([vectors, features[..., None, None]], 1))

    def composite(self, predicted: Tensor, faces: Tensor, references: Tensor) -> Wav2LipOutput:
        """The picture that `predict`'s output means, of faces [B,3,H,H] and references of the net's size or any other.

        Pixels have the precision of `faces`, so that what is kept stays exact when the net computes in less.
        """
        config, size = self.config, faces.shape[-1]
        predicted = predicted.to(faces.dtype)
        painted = resized(predicted[:, :3].sigmoid(), size)
        painted = painted.flip(1) if config.colour == "bgr" else painted
        if not config.blend:
            return Wav2LipOutput(painted, painted, torch.ones_like(painted[:, :1]))
        mask = resized(predicted[:, 3:4].sigmoid(), size)
        upper = blackened(faces)
        shown = [upper + reference - blackened(reference) for reference in self._each(references)]
        carried = self._carried(shown, predicted[:, 4:]) if config.flow else shown[0]
        return Wav2LipOutput(torch.lerp(carried, painted, mask), carried, mask)

    def _carried(self, shown: list[Tensor], moves: Tensor) -> Tensor:
        """R pictures [B,3,H,H], each warped by its flow, and mixed by a softmax over them [B,3,H,H].

        moves [B,3R,S,S]: the flows x and y of each (tanh of them times `flow` sides of the picture), then their logits.
        """
        count, size = len(shown), shown[0].shape[-1]
        moves = _smooth(moves)
        # Made at the net's own size, which is quicker, and enlarged: both are smooth.
        flows = resized(2 * self.config.flow * moves[:, : 2 * count].tanh(), size)
        chosen = resized((self.config.choice * moves[:, 2 * count :]).softmax(1), size)
        # The centres of the pixels; the picture is two units wide.
        at = (2 * torch.arange(size, device=flows.device, dtype=flows.dtype) + 1) / size - 1
        grid = torch.stack(torch.meshgrid(at, at, indexing="xy"), -1)
        carried = torch.zeros_like(shown[0])
        for picture, flow, share in zip(shown, flows.split(2, 1), chosen.split(1, 1), strict=True):
            where = grid + rearrange(flow, "b c h w -> b h w c")
            # Linear sampling would blur what is carried over for its texture.
            carried = carried + share * F.grid_sample(picture, where, "bicubic", "border", align_corners=False)
        return carried

    def _each(self, references: Tensor) -> list[Tensor]:
        """The R references [B,3,H,H]."""
        return [references] * self.config.references if references.ndim == 4 else list(references.unbind(1))


@dataclass(frozen=True)
class Wav2LipOutput:
    """frames [B,3,H,H], made of what was `carried` over from the face and the references [B,3,H,H] and, where `mask`
    [B,1,H,H] is above 0, of what was painted."""

    frames: Tensor
    carried: Tensor
    mask: Tensor


def _smooth(moves: Tensor) -> Tensor:
    """Flows and choices [B,C,H,H] averaged over 5 x 5 pixels, so that lips move whole."""
    return F.avg_pool2d(F.pad(moves, (2, 2, 2, 2), "replicate"), 5, 1)


def resized(maps: Tensor, size: int) -> Tensor:
    """Maps [B,C,S,S] at another side."""
    if maps.shape[-1] == size:
        return maps
    return F.interpolate(maps, (size, size), mode="bilinear", align_corners=False)


def picture_size(config: Wav2LipConfig) -> int:
    """Side of the crops that are best cut out for a Wav2Lip: its own, or `DETAIL` where it moves pixels."""
    return max(config.size, DETAIL) if config.flow else config.size


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
