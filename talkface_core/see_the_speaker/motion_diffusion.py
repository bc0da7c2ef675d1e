"""Motion diffusion: what is heard in, the holistic motion of a face out; lips, eyes and head together.

Source: See the Speaker (Wang et al., arXiv 2510.26819), section on the high-resolution talking face, over the motion
of motion.py. `base` has the layout of JoyVASA's generator (Cao et al. 2024, after DiffPoseTalk, Sun et al. 2024): the
network says the clean motion of a window at any noise level, told the motion and the sound just before the window;
classifier-free guidance by a learnt vector that stands for no sound. `tiny` is the same class: it hears the acoustic
model's features and prosody in place of HuBERT's, in windows of two seconds, and tells motion about a face at rest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from ..components import Component
from ..config import LARGEST, Config
from ..device import Operations, to_device
from ..diffusion.guidance import guided_batch, paired
from ..diffusion.sampling import denoiser, get_sampler, noise
from ..diffusion.schedules import Schedule, timesteps
from ..errors import InputError
from .controls import CONTROLS, OPENING, ControlTable
from .motion import POSE_VALUES
from .motion_transformer import AlignedLayer, sinusoids
from .prosody import Prosody

COMPONENT = "motion"

STILL = 1e-6
"""The deviation of a value that never moved in training, such as the depth of keypoints that are tied to landmarks."""


@dataclass(frozen=True)
class MotionSampling(Config):
    """How a window is sampled: steps; eta of DDIM, 1 is ancestral (dpmpp_2m has none); guidance, see guidance.py.

    Few steps of a small network make calm faces. head: how many times as far as in a sample the head moves; blinks: a
    minute, by chance (style.py), in place of a sample's own, None: those. Both are measured on training clips. takes:
    samples whose mean the lips are, for the sound tells them; eyes and head are one sample's.
    """

    sampler: str = "ddim"
    steps: int = 12
    eta: float = 0.0
    guidance: float = 1.25
    head: float = 1.0
    blinks: float | None = None
    takes: int = 4

    def __post_init__(self) -> None:
        get_sampler(self.sampler)
        self.check_range(1, 1000, "steps")
        self.check_range(0, 1, "eta")
        self.check_range(0, 20, "guidance")
        self.check_range(0, 5, "head")
        self.check_range(1, 16, "takes")
        if self.blinks is not None:
            self.check_range(0, 60, "blinks")


@dataclass(frozen=True)
class MotionConfig(Config):
    """Sizes of a `MotionDiffusion`; `preset` gives `tiny` and `base`.

    keypoints K, so 3K + 7 values a frame; audio: values of a frame's sound, prosody: whether the last of them are
    prosody's; frames, previous: of a window, and before it; relative: the motion is about a face at rest, so scale is
    about 1 and all else about 0, or else a whole face's; delay: seconds by which it hears late; controls: what the
    table of controls knows; acoustic: the bundled checkpoint whose acoustic model it hears, "" where its own file has
    one or it hears a speech encoder.
    """

    keypoints: int = 21
    audio: int = 160 + Prosody.dim
    prosody: bool = True
    fps: int = 25
    frames: int = 50
    previous: int = 10
    width: int = 144
    heads: int = 4
    layers: int = 3
    ff: int = 288
    dropout: float = 0.1
    schedule: Schedule = field(default_factory=lambda: Schedule("cosine", 500))
    sampling: MotionSampling = field(default_factory=MotionSampling)
    relative: bool = True
    delay: float = 0.0
    controls: tuple[str, ...] = CONTROLS
    acoustic: str = ""

    def __post_init__(self) -> None:
        self.check_range(1, LARGEST, "audio", "width", "ff")
        self.check_range(1, 1000, "keypoints", "frames", "previous", "heads", "layers")
        self.check_range(1, 240, "fps")
        self.check_range(0, 1, "dropout")
        self.check_range(-1, 1, "delay")
        if self.width % (2 * self.heads):
            raise InputError(f"a width of {self.width} is no multiple of twice the {self.heads} heads")
        if self.previous > self.frames:
            raise InputError(f"{self.previous} frames before a window of {self.frames}: give no more than those")
        if self.prosody and self.audio <= Prosody.dim:
            raise InputError(f"{self.audio} values of a frame's sound, of which {Prosody.dim} are prosody's")
        if self.sampling.steps > self.schedule.steps:
            raise InputError(f"{self.sampling.steps} sampling steps of a schedule of {self.schedule.steps}")

    @classmethod
    def presets(cls) -> dict[str, MotionConfig]:
        """ "tiny" (bundled) and "base", the published size."""
        sampling = MotionSampling(steps=50, eta=1.0, guidance=2.8, takes=1)
        base = cls(audio=768, prosody=False, frames=100, width=512, heads=8, layers=8, ff=2048, sampling=sampling)
        return {"tiny": cls(), "base": replace(base, relative=False, controls=())}

    @property
    def values(self) -> int:
        """Of a frame of motion."""
        return 3 * self.keypoints + POSE_VALUES


@dataclass(frozen=True)
class Before:
    """What a window follows: normalised motion [B,P,V], and what was heard then, mapped [B,P,width]."""

    motion: Tensor
    heard: Tensor


class MotionDiffusion(nn.Module):
    """What is heard -> motion of a window. Buffers: `mean`, `std` [V] of motion in training."""

    mean: Tensor
    std: Tensor

    def __init__(self, config: MotionConfig | None = None, operations: Operations = nn) -> None:
        super().__init__()
        self.config = config = config or MotionConfig()
        width, values = config.width, config.values
        self.hear = operations.Linear(config.audio, width)
        self.enter = operations.Linear(values, width)
        self.step = nn.Sequential(operations.Linear(width, width), nn.GELU(), operations.Linear(width, width))
        self.layers = nn.ModuleList(
            [AlignedLayer(width, config.heads, config.ff, config.dropout, operations) for _ in range(config.layers)]
        )
        self.leave = nn.Sequential(
            operations.Linear(width, width // 2), nn.GELU(), operations.Linear(width // 2, values)
        )
        self.dropout = nn.Dropout(config.dropout)
        self.start_motion = nn.Parameter(torch.randn(1, config.previous, values))
        self.start_audio = nn.Parameter(torch.randn(1, config.previous, width))
        self.null_audio = nn.Parameter(torch.randn(1, 1, width))
        self.register_buffer("mean", torch.zeros(values))
        self.register_buffer("std", torch.ones(values))
        self.controls = ControlTable(config.controls, config.keypoints)

    def start(self, count: int) -> Before:
        """What the first window of a sound follows, for a batch of `count`."""
        return Before(self.start_motion.expand(count, -1, -1), self.start_audio.expand(count, -1, -1))

    def forward(self, noisy: Tensor, steps: Tensor, heard: Tensor, before: Before) -> Tensor:
        """The clean motion of a window and of the frames before it: [B,P+L,V], normalised.

        noisy [B,L,V] at time steps int64 [B] (0-based), heard [B,L,width] as `hear` maps a frame's sound. L is
        `config.frames` or less.
        """
        config = self.config
        x = torch.cat([before.motion.to(noisy), noisy], 1)
        table = to_device(
            sinusoids(max(config.schedule.steps + 1, config.previous + config.frames), config.width), x.device
        )
        level = self.step(table[steps + 1].to(x)[:, None])
        x = self.dropout(self.enter(x) + table[: x.shape[1]].to(x)) + level
        sound = torch.cat([before.heard.to(heard), heard], 1)
        for layer in self.layers:
            x = layer(x, sound)
        return self.leave(x)

    def normalise(self, values: Tensor) -> Tensor:
        """Values of motion [...,V] by their mean and deviation in training."""
        return (values - self.mean) / self.std

    def denormalise(self, values: Tensor) -> Tensor:
        """Undo `normalise`."""
        return values * self.std + self.mean

    @torch.no_grad()
    def sample(
        self,
        heard: Tensor,
        before: Before | None,
        seed: int | torch.Generator,
        sampling: MotionSampling | None = None,
        callback: Callable[[int, int, Tensor], None] | None = None,
    ) -> Tensor:
        """Normalised motion [B,L,V], float32, of mapped sound [B,L,width], after `before` (None: at the beginning).

        Noise is drawn on the CPU; `callback(step, steps, x0)` is called at each step.
        """
        sampling, schedule = sampling or self.config.sampling, self.config.schedule
        before = before or self.start(len(heard))
        guiding = sampling.guidance not in (0.0, 1.0)
        if sampling.guidance == 0:
            heard = self.null_audio.to(heard).expand_as(heard)
        both = paired(heard, self.null_audio) if guiding else heard
        twice = Before(*(torch.cat([part, part]) if guiding else part for part in (before.motion, before.heard)))
        length = heard.shape[1]

        def net(x: Tensor, steps: Tensor) -> Tensor:
            return self(x.to(both), steps, both, twice)[:, -length:].float()

        denoise = denoiser(net, "x0", schedule)
        if guiding:
            denoise = guided_batch(denoise, sampling.guidance)
        generator = seed if isinstance(seed, torch.Generator) else torch.Generator("cpu").manual_seed(seed)
        x = noise((len(heard), length, self.config.values), generator, heard.device)
        options = {"eta": sampling.eta, "generator": generator} if sampling.sampler == "ddim" else {}
        ts = timesteps(schedule, sampling.steps)
        return get_sampler(sampling.sampler)(denoise, x, schedule, ts, callback=callback, **options)

    def say(
        self,
        heard: Tensor,
        before: Before | None,
        seed: int | torch.Generator,
        sampling: MotionSampling | None = None,
    ) -> Tensor:
        """`sample` with the mean lips of `sampling.takes` samples, where the table of controls knows the mouth."""
        sampling = sampling or self.config.sampling
        takes = sampling.takes
        if takes == 1 or OPENING not in self.controls.names:
            return self.sample(heard, before, seed, sampling)
        if before is not None:
            before = Before(*(part.repeat_interleave(takes, 0) for part in (before.motion, before.heard)))
        made = self.sample(heard.repeat_interleave(takes, 0), before, seed, sampling).unflatten(0, (-1, takes))
        lips = self.controls.shares(OPENING).repeat_interleave(3)
        lips = torch.cat([lips, lips.new_zeros(POSE_VALUES)]).to(made)
        return torch.lerp(made[:, 0], made.mean(1), lips)


MOTION = Component(COMPONENT, MotionConfig, lambda config, layers: MotionDiffusion(config, layers))
