"""The acoustic model: log-mel in, one vector per video frame out that knows the sound and what the mouth does in it.

Source: ours, of Conformer blocks (Gulati et al. 2020). Systems that repaint mouths hear 0.2 s at a time in their
papers (Wav2Lip), or borrow a speech encoder that was trained on thousands of hours (HuBERT in DAE-Talker's later code).
This one is small: it learns visemes and blendshapes of the mouth from sounds alone, so hours of it cost minutes, and a
picture network that is given its features need not learn to hear. It sees a second or two to either side, no more, so a
stream of any length gives what the whole gives.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..checkpoints import Checkpoint, find_checkpoint, list_checkpoints, read_checkpoint, read_header
from ..components import Component, build, build_optional, table
from ..config import LARGEST, Config
from ..datasets.labels import VISEMES
from ..device import Operations
from ..errors import InputError
from ..speech.conformer import Conformer
from ..speech.frame_front import MEL, FrameFront, FrontEndConfig

SYSTEM = "acoustic"
COMPONENT = "acoustic"

PRESSED = VISEMES.index("PP")
"""The class of p, b and m among the visemes."""


@dataclass(frozen=True)
class AcousticConfig(Config):
    """Sizes of an `AcousticModel`; `preset` gives `tiny`, `small` and `base`.

    width: of a frame's vector; inner: that of the blocks, 0: the same; context: frames to either side that attention
    sees, 0: all of them, which then cannot be streamed; visemes, mouths: how many classes of sounds and values of a
    mouth it tells.
    """

    fps: int = 25
    front_width: int = 80
    front_kernel: int = 5
    taps: int = 8
    width: int = 160
    heads: int = 4
    ff: int = 320
    blocks: int = 4
    kernel: int = 13
    max_distance: int = 50
    context: int = 12
    dropout: float = 0.1
    visemes: int = 22
    mouths: int = 14
    inner: int = 0

    def __post_init__(self) -> None:
        self.check_range(1, LARGEST, "front_width", "width", "ff", "visemes", "mouths", "max_distance")
        self.check_range(0, LARGEST, "inner")
        self.check_range(1, 1000, "heads", "blocks", "taps", "kernel", "front_kernel")
        self.check_range(0, 200, "context")  # more would make the blocks of a stream as long as the sound
        self.check_range(1, 240, "fps")
        self.check_range(0, 1, "dropout")
        if self.block_width % (2 * self.heads):
            raise InputError(f"a width of {self.block_width} is no multiple of twice the {self.heads} heads")
        if not self.kernel % 2 or not self.front_kernel % 2:
            raise InputError(f"kernels of {self.kernel} and {self.front_kernel} steps have no middle; give odd numbers")

    @classmethod
    def presets(cls) -> dict[str, AcousticConfig]:
        """ "tiny", "small" and "base". small gives vectors of tiny's width, for hours of speech: those it cannot learn
        by heart, so nothing is dropped."""
        small = cls(front_width=128, inner=256, ff=512, blocks=5, dropout=0.0)
        return {"tiny": cls(), "small": small, "base": cls(front_width=256, width=512, heads=8, ff=1024, blocks=8)}

    @property
    def block_width(self) -> int:
        """Width of the Conformer's blocks."""
        return self.inner or self.width

    @property
    def reach(self) -> int:
        """Frames to either side that a frame's vector depends on, beyond the reach of the front."""
        return self.blocks * (self.context + self.kernel // 2)


@dataclass(frozen=True)
class AcousticOutput:
    """features [B,T,width]; visemes, logits [B,T,visemes]; mouth [B,T,mouths], blendshapes of speech and the opening,
    by their mean and deviation in training."""

    features: Tensor
    visemes: Tensor
    mouth: Tensor


class AcousticModel(nn.Module):
    """Log-mel -> features, visemes and the mouth of each frame at `config.fps`.

    Buffers hold the mean and deviation of the mouths it was trained on.
    """

    mouth_mean: Tensor
    mouth_std: Tensor

    def __init__(self, config: AcousticConfig | None = None, operations: Operations = nn) -> None:
        super().__init__()
        self.config = config = config or AcousticConfig()
        self.front = FrameFront(
            MEL,
            config.fps,
            config.front_width,
            config.block_width,
            config.front_kernel,
            config.taps,
            operations=operations,
        )
        self.encoder = Conformer(
            config.blocks,
            config.block_width,
            config.heads,
            config.ff,
            kernel=config.kernel,
            max_distance=config.max_distance,
            context=config.context,
            dropout=config.dropout,
            pre_norm=True,
            operations=operations,
        )
        self.narrow = operations.Linear(config.inner, config.width) if config.inner else nn.Identity()
        self.viseme = operations.Linear(config.width, config.visemes)
        self.mouth = operations.Linear(config.width, config.mouths)
        self.register_buffer("mouth_mean", torch.zeros(config.mouths))
        self.register_buffer("mouth_std", torch.ones(config.mouths))

    @property
    def front_end(self) -> FrontEndConfig:
        """What its features are to a network that hears them."""
        return FrontEndConfig.of_frames(self.config.width, self.config.fps)

    def forward(
        self, mel: Tensor, frames: int, valid: Tensor | None = None, first_frame: int = 0, first_step: int = 0
    ) -> AcousticOutput:
        """Log-mel [B,S,80] that begins with step `first_step` -> frames `first_frame` to
        `first_frame + frames - 1`; `valid` bool [B,frames] marks real ones."""
        features = self.narrow(self.encoder(self.front(mel, frames, first_frame, first_step), valid))
        return AcousticOutput(features, self.viseme(features), self.mouth(features))

    def pressed(self, features: Tensor) -> Tensor:
        """How likely a p, b or m is said in frames of its features [...,width]: float32 [...]."""
        return self.viseme(features.to(self.viseme.weight)).float().softmax(-1)[..., PRESSED]


ACOUSTIC = Component(COMPONENT, AcousticConfig, lambda config, layers: AcousticModel(config, layers))
COMPONENTS = table(ACOUSTIC)


def load_acoustic(model: str | Path, operations: Operations = nn) -> AcousticModel:
    """The acoustic model of a checkpoint by name or path, whichever system it belongs to: to infer, float32, on the
    CPU. Raises CheckpointError for a file without one."""
    return build(read_checkpoint(find_checkpoint(model)), ACOUSTIC, operations)


def heard_model(checkpoint: Checkpoint, named: str = "") -> AcousticModel | None:
    """The acoustic model that a checkpoint's networks hear: its own, or that of the bundled one that they name; None
    where there is neither. Raises InputError for another name: files come from strangers."""
    if ACOUSTIC.name in checkpoint.configs or not named:
        return build_optional(checkpoint, ACOUSTIC)
    return _bundled(named)


def _bundled(name: str) -> AcousticModel:
    path = list_checkpoints().get(name)
    if path is None or ACOUSTIC.name not in read_header(path).configs:
        raise InputError(
            f"it hears by the acoustic model of {name[:40]!r}, and no bundled checkpoint of that name holds one."
        )
    return load_acoustic(path)
