"""The voice activity gate: fades all but speech to silence, whatever the noise floor, so that the mouth closes.

Source: ours. A regression from speech to latents was trained on clean pauses; the hiss, hum and room tone of real
recordings are none, and the mouth would tremble on them. A small net therefore tells speech from everything else on
the log-mel, step by step, and the mel fades to digital silence (-4) where nobody speaks. A talking head then hears the
silence it knows. The net is trained on the `speech` flags of the truth, with noise, rooms, levels and telephone bands,
and on music, crowds, animals, machines and whatever else is loud and says nothing.

Everything is local in time: a stack of dilated convolutions, then maximum and mean filters. So the gate streams with
a bounded look-ahead and a stream gives the very result of the whole.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..components import Component
from ..config import LARGEST, Config
from ..device import Operations
from ..errors import InputError
from ..media.audio import AudioSource, analysis_blocks
from .features import LogMel

_SMOOTH = 5
_LONGEST = 1000  # steps, 12 seconds


@dataclass(frozen=True)
class GateConfig(Config):
    """Sizes of the net and times of the gate, in mel steps (80 per second).

    memory: the noise floor of a step is the lowest mel within so many steps before and after it;
    shut, open: probabilities of speech that give gain 0 and 1; shortest: bursts below this length are no speech;
    lead, hang: the gate opens that much before speech (lips move before the sound) and shuts that much after it;
    fade: length of the ramp between shut and open.
    """

    dim: int = 80
    width: int = 48
    kernel: int = 5
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    memory: int = 120
    shut: float = 0.3
    open: float = 0.6
    shortest: int = 4
    lead: int = 12
    hang: int = 10
    fade: int = 7

    def __post_init__(self) -> None:
        if self.dim != LogMel.dim:
            raise InputError(f"a gate for {self.dim} bands; the mel has {LogMel.dim}")
        self.check_range(1, LARGEST, "width", "kernel", "dilations")
        self.check_range(1, _LONGEST, "shortest", "fade")
        self.check_range(0, _LONGEST, "memory", "lead", "hang", "dilations")
        if not self.kernel % 2 or not self.fade % 2:
            raise InputError(f"a kernel of {self.kernel} and a fade of {self.fade} steps have no middle; give odd ones")
        if not 0 <= self.shut < self.open <= 1:
            raise InputError(f"a gate that is shut at {self.shut} and open at {self.open}; give rising chances")


class DilatedBlock(nn.Module):
    """Residual: depthwise dilated convolution over time, norm, SiLU, pointwise."""

    def __init__(self, width: int, kernel: int, dilation: int, operations: Operations = nn):
        super().__init__()
        self.spread = operations.Conv1d(
            width, width, kernel, padding=dilation * (kernel // 2), dilation=dilation, groups=width
        )
        self.norm = operations.LayerNorm(width)
        self.out = operations.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """x [B, S, width] -> [B, S, width]."""
        return x + self.out(F.silu(self.norm(self.spread(x.transpose(1, 2)).transpose(1, 2))))


class VoiceActivityGate(nn.Module):
    """Log-mel [B, S, dim] -> logits of speech, gain of the gate, or the faded mel."""

    BLOCK = 800

    def __init__(self, config: GateConfig | None = None, operations: Operations = nn):
        super().__init__()
        self.config = config = config or GateConfig()
        self.enter = operations.Linear(2 * config.dim, config.width)
        self.blocks = nn.ModuleList(
            [DilatedBlock(config.width, config.kernel, d, operations) for d in config.dilations]
        )
        self.out = operations.Linear(config.width, 1)

    def forward(self, mel: Tensor) -> Tensor:
        """Logits of speech [B, S].

        The net reads the mel and how far each band rises above its own noise floor (minimum statistics, Martin 2001):
        a steady noise of any colour and level rises nowhere.
        """
        smooth = _mean(mel, _SMOOTH)
        floor = -_maximum(-smooth, self.config.memory, self.config.memory)
        x = self.enter(torch.cat([mel, smooth - floor], dim=-1))
        for block in self.blocks:
            x = block(x)
        return self.out(x)[..., 0]

    @property
    def reach(self) -> int:
        """Steps on each side that the gain of one step depends on: the look-ahead of the stream."""
        c = self.config
        net = sum(c.dilations) * (c.kernel // 2) + c.memory + _SMOOTH // 2
        return net + 2 * c.shortest + c.lead + c.hang + 2 * c.fade

    def gain(self, mel: Tensor) -> Tensor:
        """Gain of the gate [B, S] in 0..1 for mel [B, S, dim]: 1 lets the sound through, 0 is silence."""
        return gain_of(self(mel).sigmoid(), self.config)

    def fade(self, mel: Tensor) -> Tensor:
        """The mel with everything but speech faded to digital silence, [B, S, dim]."""
        return LogMel.SILENCE + self.gain(mel)[..., None] * (mel - LogMel.SILENCE)

    @torch.no_grad()
    def stream(self, blocks: Iterable[Tensor]) -> Iterator[Tensor]:
        """Fade a recording as it comes: mel blocks [s, dim] of any length -> faded blocks, the same steps in all.

        Keeps `reach` steps of past and waits for `reach` steps of future; equal to `fade` of the whole.
        """
        reach, past, buffer = self.reach, 0, None
        for block in blocks:
            buffer = block if buffer is None else torch.cat([buffer, block])
            ready = len(buffer) - past - reach
            if ready >= max(reach, self.BLOCK):
                yield self.fade(buffer[None])[0, past : past + ready]
                drop = max(0, past + ready - reach)
                buffer, past = buffer[drop:], past + ready - drop
        if buffer is not None and len(buffer) > past:
            yield self.fade(buffer[None])[0, past:]


GATE = Component("gate", GateConfig, VoiceActivityGate)
"""It decides when a mouth is shut, and stays exact."""


def warn_of_no_speech(source: AudioSource, gate: VoiceActivityGate | None, device: torch.device) -> None:
    """A warning, once for each source, if nothing in it sounds like speech: the mouth will stay shut.

    It is read as far as the first speech. The gate (None: only digital silence is none) runs on `device`.
    """
    features: Iterable[Tensor] = LogMel().stream(analysis_blocks(source))
    if gate is not None:
        features = gate.stream(block.to(device) for block in features)
    if not any(bool((block > LogMel.SILENCE).any()) for block in features):
        source.warn("holds nothing that sounds like speech: the mouth stays shut")


def gated_mel(source: AudioSource, gate: VoiceActivityGate | None, device: torch.device) -> Iterator[Tensor]:
    """The log-mel of a sound in blocks [s,80] on the CPU, in which all but speech is faded to silence.

    The gate (None: nothing is faded) runs on `device`. Warns of a sound without speech.
    """
    warn_of_no_speech(source, gate, device)
    features = LogMel().stream(analysis_blocks(source))
    if gate is None:
        return iter(features)
    return (block.cpu() for block in gate.stream(block.to(device) for block in features))


def gain_of(chance: Tensor, config: GateConfig) -> Tensor:
    """Gain [B, S] in 0..1 for chances of speech [B, S] in 0..1: bursts are left out, the rest is opened around."""
    x = ((chance - config.shut) / (config.open - config.shut)).clamp(0.0, 1.0)[..., None]
    x = -_maximum(-x, 0, config.shortest - 1)
    x = _maximum(x, config.shortest - 1, 0)
    return open_around(x[..., 0], config)


def open_around(speech: Tensor, config: GateConfig) -> Tensor:
    """Gain [B, S] in 0..1 round speech [B, S] in 0..1: opened by `lead`, held by `hang`, with ramps of `fade`."""
    half = config.fade // 2
    x = _maximum(speech[..., None], config.hang + half, config.lead + half)
    return _mean(x, config.fade)[..., 0]


def _maximum(x: Tensor, before: int, after: int) -> Tensor:
    """Maximum over steps t-before ... t+after of x [B, S, C]; the ends repeat."""
    steps, length = x.shape[1], before + after + 1
    x = F.pad(x.transpose(1, 2), (before, after), mode="replicate").transpose(1, 2)
    reach = 1
    while 2 * reach <= length:  # the maximum over `reach` steps gives that over twice as many
        x, reach = torch.maximum(x[:, :-reach], x[:, reach:]), 2 * reach
    return torch.maximum(x[:, :steps], x[:, length - reach :])


def _mean(x: Tensor, length: int) -> Tensor:
    """Mean over `length` (odd) steps round each step of x [B, S, C]; the ends repeat."""
    padded = F.pad(x.transpose(1, 2), (length // 2, length // 2), mode="replicate")
    return F.avg_pool1d(padded, length, 1).transpose(1, 2)


def gate_loss(logits: Tensor, speech: Tensor) -> Tensor:
    """Binary cross-entropy; speech bool [B, S]. Steps near a change of label count less: nobody can place it exactly.

    The weight of missed speech is twice that of a false alarm: a word that is swallowed shows more than a twitch.
    """
    label = speech.to(logits)
    column = label[..., None]
    near = (_maximum(column, 4, 4) + _maximum(-column, 4, 4))[..., 0]
    weight = (1.0 - 0.8 * near) * (1.0 + label)
    return (F.binary_cross_entropy_with_logits(logits, label, reduction="none") * weight).mean()
