"""See the Speaker's networks as a checkpoint holds them: how they are loaded and joined.

Source: See the Speaker (Wang et al., arXiv 2510.26819): a portrait from the voice; the motion that the voice drives;
and the renderer with its discrete codebook, which shows the one in the other. A checkpoint may hold one of these sides
or all three; a host that manages memory itself builds them one by one with its own layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..acoustic.hearing import Ears, no_ear, pick_ear
from ..acoustic.model import ACOUSTIC, heard_model
from ..checkpoints import Checkpoint, CheckpointError, Header, find_checkpoint, read_checkpoint
from ..components import build, build_optional, table
from ..device import Operations, pick_layers, pick_place
from ..errors import InputError
from ..speech.vad import GATE
from .codebook import CODEBOOK
from .conre import FACE_ENCODER, SPEECH_ENCODER
from .lip_refinement import LIP_REFINEMENT
from .motion_diffusion import MOTION
from .motion_stream import MotionModel
from .portrait import PORTRAIT, PortraitModel
from .portrait_space import PORTRAIT_SPACE
from .renderer import RENDERER
from .rendering import PortraitRenderer
from .stitching import STITCHING
from .system import SYSTEM

BUNDLED = "see_the_speaker_tiny"
COMPONENTS = table(
    *(SPEECH_ENCODER, FACE_ENCODER, PORTRAIT_SPACE, PORTRAIT),
    *(RENDERER, STITCHING, CODEBOOK, MOTION, LIP_REFINEMENT, GATE, ACOUSTIC),
)

IMAGINE = (SPEECH_ENCODER, PORTRAIT_SPACE, PORTRAIT)
"""What a portrait from the voice needs."""

_WHOSE = {True: "of the pack's own kind", False: "of LivePortrait's kind"}

__all__ = [
    "BUNDLED",
    "COMPONENTS",
    "SYSTEM",
    "SeeTheSpeaker",
    "build_motion",
    "build_portrait",
    "build_renderer",
    "can_imagine",
    "check_together",
    "load_see_the_speaker",
]


@dataclass(frozen=True)
class SeeTheSpeaker:
    """The system's sides, ready to run: who guesses a portrait (None: this checkpoint cannot), how a voice moves a
    face, and who draws it. `provenance` says what they were trained on."""

    path: Path
    portrait: PortraitModel | None
    motion: MotionModel
    renderer: PortraitRenderer
    provenance: dict[str, Any]

    @property
    def dtype(self) -> torch.dtype:
        """What the renderer computes in."""
        return self.renderer.dtype

    @property
    def device(self) -> torch.device:
        """Where the networks compute."""
        return self.renderer.device


def load_see_the_speaker(
    name_or_path: str | Path = BUNDLED,
    device: str | torch.device = "auto",
    dtype: torch.dtype | None = None,
    motion: str | Path | None = None,
    ear: str | Path | None = None,
) -> SeeTheSpeaker:
    """Load a bundled checkpoint by name, or a file. `dtype` is the renderer's and the portrait's; None: what suits the
    device. motion: the checkpoint whose motion side is taken, None: the same. ear: who hears in the acoustic model's
    place, as `pick_ear` has it, in `dtype` too.

    Raises CheckpointError for a file that is not whole, InputError for a device that is not there.
    """
    device, dtype = pick_place(device, dtype)
    checkpoint, layers = read_checkpoint(find_checkpoint(name_or_path), SYSTEM), pick_layers(device, dtype)
    portrait = build_portrait(checkpoint, layers, dtype, device) if can_imagine(checkpoint) else None
    other = checkpoint if motion is None else read_checkpoint(find_checkpoint(motion), SYSTEM)
    ears = pick_ear(ear, layers, dtype, device)
    moving, renderer = build_motion(other, ears).to(device), build_renderer(checkpoint, layers, dtype, device)
    check_together(moving, renderer, str(checkpoint.path))
    return SeeTheSpeaker(checkpoint.path, portrait, moving, renderer, checkpoint.provenance)


def can_imagine(checkpoint: Header) -> bool:
    """Whether it makes portraits of voices; one that a user converted from public weights may not."""
    return all(part.name in checkpoint.configs for part in IMAGINE)


def build_portrait(
    checkpoint: Checkpoint,
    operations: Operations = nn,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> PortraitModel:
    """The portrait side with its weights. Raises CheckpointError, also where a stage of training is missing."""
    _check_whole(checkpoint, *(part.name for part in IMAGINE))
    speech, space, denoiser = (build(checkpoint, part, operations, dtype, device) for part in IMAGINE)
    try:
        return PortraitModel(speech, space, denoiser, build_optional(checkpoint, GATE))
    except InputError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from error


def build_motion(checkpoint: Checkpoint, ears: Ears = no_ear) -> MotionModel:
    """The motion side with its weights, float32, on the CPU; `ears` says who hears in its acoustic model's place.
    Raises CheckpointError, also for an ear of another acoustic model."""
    _check_whole(checkpoint, MOTION.name)
    gate, lips = (build_optional(checkpoint, part) for part in (GATE, LIP_REFINEMENT))
    try:
        diffusion = build(checkpoint, MOTION)
        acoustic = heard_model(checkpoint, diffusion.config.acoustic)
        return MotionModel(diffusion, acoustic, gate, lips, ears(acoustic)).eval()
    except CheckpointError:
        raise
    except InputError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from error


def build_renderer(
    checkpoint: Checkpoint,
    operations: Operations = nn,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> PortraitRenderer:
    """The renderer, and the codebook if there is one, with their weights. Raises CheckpointError."""
    _check_whole(checkpoint, RENDERER.name)
    net = build(checkpoint, RENDERER, operations, dtype, device)
    codebook = build_optional(checkpoint, CODEBOOK, operations, dtype, device)
    stitching = build_optional(checkpoint, STITCHING, operations, torch.float32, device)
    try:
        return PortraitRenderer(net, codebook, stitching)
    except InputError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from error


def _check_whole(checkpoint: Header, *names: str) -> None:
    missing = [name for name in names if name not in checkpoint.configs]
    if missing:
        raise CheckpointError(
            f"{checkpoint.path}: found only {', '.join(sorted(checkpoint.configs))}; expected {' and '.join(missing)} "
            "too: put what each stage of training made into one file."
        )


def check_together(motion: MotionModel, renderer: PortraitRenderer, name: str) -> None:
    """Raises CheckpointError that begins with `name` for a motion that is not told in this renderer's keypoints."""
    moved, drawn = motion.diffusion.config, renderer.net.config
    if (moved.keypoints, moved.relative) == (drawn.keypoints, drawn.turns):
        return
    raise CheckpointError(
        f"{name}: its renderer has {drawn.keypoints} keypoints {_WHOSE[drawn.turns]}, the motion was learnt for "
        f"{moved.keypoints} {_WHOSE[moved.relative]}; take both from one checkpoint, or LivePortrait's with JoyVASA's."
    )
