"""DAE-Talker's networks as a checkpoint holds them: how they are built, loaded and joined.

Source: DAE-Talker (Du et al. 2023): stage 1 is the autoencoder, stage 2 the speech side. A host that manages memory
itself takes the two halves apart and hands in its own layers (`operations`); `load_dae_talker` is all that a program
without one needs.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..acoustic.hearing import Ears, OutsideEar, no_ear, pick_ear
from ..acoustic.model import ACOUSTIC, AcousticModel, heard_model
from ..checkpoints import Checkpoint, CheckpointError, Header, find_checkpoint, read_checkpoint
from ..components import Component, build, build_optional, table
from ..device import Operations, pick_layers, pick_place
from ..errors import InputError
from ..media.timebase import as_rate
from ..speech.frame_front import FrontEndConfig
from ..speech.vad import GATE, VoiceActivityGate
from .autoencoder import AutoencoderConfig, DiffusionAutoencoder
from .latents import LatentSpace
from .speech2latent import HEARD, Speech2Latent, Speech2LatentConfig
from .speech2lips import SPEECH2LIPS, Speech2Lips, Speech2LipsConfig
from .upsampler import UPSAMPLER, UpsamplerConfig

SYSTEM = "dae_talker"
BUNDLED = "dae_talker_tiny"

# The encoder stays float32: it is run once a picture, and every frame depends on its output.
AUTOENCODER = Component(
    "autoencoder", AutoencoderConfig, DiffusionAutoencoder, half=True, exact=("encoder",), streams=True
)
SPEECH2LATENT = Component("speech2latent", Speech2LatentConfig, Speech2Latent)
COMPONENTS = table(AUTOENCODER, SPEECH2LATENT, GATE, UPSAMPLER, SPEECH2LIPS, ACOUSTIC)


def _told(front: FrontEndConfig | None) -> str:
    if front is None:
        return "no features"
    return f"{front.dim} values a step, {front.rate} steps a second from {front.offset} s on"


class SpeechModel(nn.Module):
    """The speech side: speech2latent, the voice activity gate (None where a checkpoint has none), the acoustic model
    that listens for it (None: it hears the log-mel itself), and the ear that listens in the acoustic
    model's place (None: itself). Raises InputError for an acoustic model or an ear that is not its own."""

    def __init__(
        self,
        speech2latent: Speech2Latent,
        gate: VoiceActivityGate | None,
        acoustic: AcousticModel | None = None,
        ear: OutsideEar | None = None,
    ) -> None:
        super().__init__()
        wanted = speech2latent.config.fronts.get(HEARD)
        given = None if acoustic is None else acoustic.front_end
        if wanted != given:
            raise InputError(
                f"its speech2latent hears an acoustic model of {_told(wanted)}, found one of {_told(given)}; put both "
                "of one training run into the file."
            )
        if ear is not None:
            ear.check(acoustic)
        self.speech2latent, self.gate, self.acoustic, self.ear = speech2latent, gate, acoustic, ear

    @property
    def fps(self) -> Fraction:
        """Frames per second that the model was trained for."""
        return as_rate(self.speech2latent.config.fps)

    @property
    def compute_device(self) -> torch.device:
        """Where its weights lie; it is small and always computed there."""
        return self.speech2latent.latent_mean.device


@dataclass(frozen=True)
class DAETalker:
    """The system's networks, ready to run: one speaker. `name` is the checkpoint's, `provenance` its training."""

    name: str
    autoencoder: DiffusionAutoencoder
    speech: SpeechModel
    provenance: dict[str, Any]

    @property
    def fps(self) -> Fraction:
        """Frames per second that the model was trained for."""
        return self.speech.fps

    @property
    def image_size(self) -> int:
        """Height and width in pixels of the frames that the autoencoder encodes and draws."""
        return self.autoencoder.config.image_size

    @property
    def output_size(self) -> int:
        """Height and width of the video in pixels, unless another is asked for: the upsampler's, where there is one."""
        return self.autoencoder.frame_size()

    @property
    def device(self) -> torch.device:
        """Where the decoder computes."""
        return self.autoencoder.compute_device

    @property
    def dtype(self) -> torch.dtype:
        """What the decoder computes in."""
        return self.autoencoder.compute_dtype


def load_dae_talker(
    name_or_path: str | Path = BUNDLED,
    device: str | torch.device = "auto",
    dtype: torch.dtype | None = None,
    ear: str | Path | None = None,
) -> DAETalker:
    """Load a bundled checkpoint by name, or a file. `dtype` is the decoder's (None: what suits the device). `ear`: who
    hears in the acoustic model's place, as `pick_ear` has it.

    Raises CheckpointError for a file that is not a whole DAE-Talker, InputError for a device that is not there.
    """
    device, dtype = pick_place(device, dtype)
    checkpoint, layers = read_whole(name_or_path), pick_layers(device, dtype)
    ears = pick_ear(ear, layers, dtype, device)
    speech = build_speech(checkpoint, ears).to(device)
    drawing = build_drawing(checkpoint, layers, dtype, device)
    return DAETalker(checkpoint.path.stem, drawing, speech, checkpoint.provenance)


@dataclass(frozen=True)
class DAEDubber:
    """The inpainting form, ready to dub anybody: what paints mouths and what hears (DiffDub, Liu et al. 2024)."""

    path: Path
    autoencoder: DiffusionAutoencoder
    speech: Speech2Lips
    provenance: dict[str, Any]

    @property
    def device(self) -> torch.device:
        """Where the decoder computes."""
        return self.autoencoder.compute_device

    @property
    def dtype(self) -> torch.dtype:
        """What the decoder computes in."""
        return self.autoencoder.compute_dtype


def load_dubber(
    name_or_path: str | Path, device: str | torch.device = "auto", dtype: torch.dtype | None = None
) -> DAEDubber:
    """Load a file that dubs; arguments and errors as in `load_dae_talker`."""
    device, dtype = pick_place(device, dtype)
    checkpoint = read_dubber(name_or_path)
    drawing = build(checkpoint, AUTOENCODER, pick_layers(device, dtype), dtype, device)
    return DAEDubber(checkpoint.path, drawing, build(checkpoint, SPEECH2LIPS).to(device), checkpoint.provenance)


def dubs(checkpoint: Header) -> bool:
    """Whether a checkpoint repaints the mouths of anybody, in place of drawing one speaker whole."""
    return SPEECH2LIPS.name in checkpoint.configs


def read_dubber(name_or_path: str | Path) -> Checkpoint:
    """The checkpoint of an inpainting DAE-Talker, unloaded. Raises CheckpointError for one that cannot dub."""
    checkpoint = read_checkpoint(find_checkpoint(name_or_path), SYSTEM)
    if not dubs(checkpoint) or AUTOENCODER.name not in checkpoint.configs:
        raise CheckpointError(
            f"{checkpoint.path}: found {', '.join(sorted(checkpoint.configs))}, which draws one speaker whole; "
            "expected one that repaints the mouths of anybody: convert DiffDub's public files (python -m talkface_core "
            "models --convert stage1_state_dict.ckpt stage2_state_dict.ckpt -o diffdub.safetensors)."
        )
    config = checkpoint.config(AUTOENCODER.name, AutoencoderConfig)
    speech_dim = checkpoint.config(SPEECH2LIPS.name, Speech2LipsConfig).latent_dim
    if not config.inpaints or speech_dim != config.latent_dim:
        raise CheckpointError(
            f"{checkpoint.path}: found lip latents of {speech_dim} values for a decoder of {config.latent_dim} that is "
            f"shown {config.unet.spatial_channels // 3} references; expected those of one training, and one reference."
        )
    return checkpoint


def load_autoencoder(
    name_or_path: str | Path, device: str | torch.device = "auto", dtype: torch.dtype | None = None
) -> DiffusionAutoencoder:
    """The autoencoder alone, of a whole DAE-Talker or of its first stage; arguments as in `load_dae_talker`."""
    device, dtype = pick_place(device, dtype)
    checkpoint = read_checkpoint(find_checkpoint(name_or_path), SYSTEM)
    return build(checkpoint, AUTOENCODER, pick_layers(device, dtype), dtype, device)


def read_whole(name_or_path: str | Path) -> Checkpoint:
    """The checkpoint of a whole DAE-Talker, unloaded. Raises CheckpointError where a stage is missing or unfit."""
    checkpoint = read_checkpoint(find_checkpoint(name_or_path), SYSTEM)
    missing = {AUTOENCODER.name, SPEECH2LATENT.name} - checkpoint.configs.keys()
    if missing and dubs(checkpoint):
        raise CheckpointError(
            f"{checkpoint.path}: found a model that repaints mouths in a video; expected one that draws a speaker "
            "whole: dub with it (Dub Video (DAE-Talker), on the command line dub --system dae-talker)."
        )
    if missing:
        raise CheckpointError(
            f"{checkpoint.path}: found only {', '.join(sorted(checkpoint.configs))}; expected {' and '.join(missing)} "
            "too: train the second stage on this autoencoder, then speak with its checkpoint."
        )
    decoder_dim = checkpoint.config("autoencoder", AutoencoderConfig).latent_dim
    speech_dim = checkpoint.config("speech2latent", Speech2LatentConfig).latent_dim
    if speech_dim != decoder_dim:
        raise CheckpointError(
            f"{checkpoint.path}: found latents of {speech_dim} values for a decoder that reads {decoder_dim}."
        )
    return checkpoint


def build_speech(checkpoint: Checkpoint, ears: Ears = no_ear) -> SpeechModel:
    """The speech side with its weights, in float32 on the CPU; `ears` says who hears in its acoustic model's place.
    Raises CheckpointError, also where the acoustic model is missing, and for an ear of another."""
    net = build(checkpoint, SPEECH2LATENT)
    try:
        acoustic = _acoustic(checkpoint, net.config)
        return SpeechModel(net, build_optional(checkpoint, GATE), acoustic, ears(acoustic)).eval()
    except CheckpointError:
        raise
    except InputError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from error


def _acoustic(checkpoint: Checkpoint, config: Speech2LatentConfig) -> AcousticModel | None:
    """The acoustic model that a speech2latent hears: the file's own, or that of a bundled checkpoint it names."""
    return heard_model(checkpoint, config.acoustic) if HEARD in config.fronts else None


def build_drawing(
    checkpoint: Checkpoint,
    operations: Operations = nn,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> DiffusionAutoencoder:
    """The autoencoder with its upsampler, where the checkpoint has one. Raises CheckpointError, also where one is not
    made for the other."""
    autoencoder: DiffusionAutoencoder = build(checkpoint, AUTOENCODER, operations, dtype, device)
    if UPSAMPLER.name in checkpoint.configs:
        size = checkpoint.config(UPSAMPLER.name, UpsamplerConfig).image_size
        if size != autoencoder.config.image_size:
            raise CheckpointError(
                f"{checkpoint.path}: found an upsampler of frames of {size} px beside an autoencoder that draws "
                f"{autoencoder.config.image_size} px; put both of one training into the file."
            )
        autoencoder.upsampler = build(checkpoint, UPSAMPLER, operations, dtype, device)
    return autoencoder


def latent_space(checkpoint: Checkpoint) -> LatentSpace:
    """What tells this autoencoder's latents from others': a fingerprint of the encoder that defines them.

    Both stages of one model share it, also where one file keeps its weights in half precision.
    """
    state = checkpoint.states["autoencoder"]
    digest = hashlib.sha256()
    for key in sorted(key for key in state if key.startswith("encoder.")):
        digest.update(key.encode())
        digest.update(state[key].half().contiguous().numpy().tobytes())
    dim = checkpoint.config("autoencoder", AutoencoderConfig).latent_dim
    return LatentSpace(checkpoint.path.stem, digest.hexdigest()[:12], dim)
