"""DAE-Talker from speech to video, as a stream: sound -> log-mel -> silence gate -> latents -> frames.

Source: DAE-Talker (Du et al. 2023), inference; the gate and the windows are ours. Every part works in windows and hands
its result on, so that an hour of sound needs no more memory than ten seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoints import Checkpoint, CheckpointError, find_checkpoint, read_checkpoint
from ..clock import NETWORK, PLUMBING, Clock
from ..device import pick_device, pick_dtype, pick_layers
from ..errors import InputError
from ..media.audio import AudioSource, analysis_blocks
from ..media.features import LogMel, mel_filters
from ..media.timebase import Rate, as_rate, frame_count
from ..media.video import VideoWriter
from .autoencoder import AutoencoderConfig, DiffusionAutoencoder
from .decode import decode, noise_from_seed
from .gate import GateConfig, SilenceGate
from .pose import blink_track, pose_degrees, sway_track
from .speech2latent import Speech2Latent, Speech2LatentConfig
from .windows import Control, LatentChunk, speech_to_latents

SYSTEM = "dae_talker"
BUNDLED = "dae_talker_tiny"
SLOWEST, FASTEST = 1, 120  # frames per second


@dataclass(frozen=True)
class DAETalker:
    """The system's networks, ready to run: one speaker. `provenance` says what they were trained on."""

    path: Path
    autoencoder: DiffusionAutoencoder
    speech2latent: Speech2Latent
    gate: SilenceGate | None
    device: torch.device
    dtype: torch.dtype
    provenance: dict[str, Any]

    @property
    def fps(self) -> Fraction:
        """Frames per second that the model was trained for."""
        return as_rate(self.speech2latent.config.fps)

    @property
    def image_size(self) -> int:
        """Height and width of its frames in pixels."""
        return self.autoencoder.config.image_size


def load_dae_talker(
    name_or_path: str | Path = BUNDLED, device: str | torch.device = "auto", dtype: torch.dtype | None = None
) -> DAETalker:
    """Load a bundled checkpoint by name, or a file. `dtype` is the decoder's (None: what suits the device).

    Raises CheckpointError for a file that is not a whole DAE-Talker, InputError for a device that is not there.
    """
    device = pick_device(device) if isinstance(device, str) else device
    dtype = pick_dtype(device) if dtype is None else dtype
    checkpoint = read_checkpoint(find_checkpoint(name_or_path), SYSTEM)
    missing = {"autoencoder", "speech2latent"} - checkpoint.configs.keys()
    if missing:
        raise CheckpointError(
            f"{checkpoint.path}: found only {', '.join(sorted(checkpoint.configs))}; expected {' and '.join(missing)} "
            "too: train the second stage on this autoencoder, then speak with its checkpoint."
        )
    autoencoder = _autoencoder(checkpoint, device, dtype)
    speech2latent = _loaded(checkpoint, "speech2latent", lambda c: Speech2Latent(Speech2LatentConfig.from_dict(c)))
    gate = None
    if "gate" in checkpoint.configs:
        gate = _loaded(checkpoint, "gate", lambda c: SilenceGate(GateConfig.from_dict(c))).to(device)
    spoken, shown = speech2latent.config.latent_dim, autoencoder.config.latent_dim
    if spoken != shown:
        raise CheckpointError(f"{checkpoint.path}: found latents of {spoken} values for a decoder that reads {shown}.")
    mel_filters()  # behind them is a slow import, which belongs to the loading
    return DAETalker(checkpoint.path, autoencoder, speech2latent.to(device), gate, device, dtype, checkpoint.provenance)


def load_autoencoder(
    name_or_path: str | Path, device: str | torch.device = "auto", dtype: torch.dtype | None = None
) -> DiffusionAutoencoder:
    """The autoencoder alone, of a whole DAE-Talker or of its first stage; arguments as in `load_dae_talker`."""
    device = pick_device(device) if isinstance(device, str) else device
    checkpoint = read_checkpoint(find_checkpoint(name_or_path), SYSTEM)
    return _autoencoder(checkpoint, device, pick_dtype(device) if dtype is None else dtype)


def _autoencoder(checkpoint: Checkpoint, device: torch.device, dtype: torch.dtype) -> DiffusionAutoencoder:
    layers = pick_layers(device, dtype)
    model = _loaded(checkpoint, "autoencoder", lambda c: DiffusionAutoencoder(AutoencoderConfig.from_dict(c), layers))
    # The encoder stays exact: it is run once a picture, and every frame hangs on what it says.
    model.to(device).unet.to(dtype, memory_format=torch.channels_last)
    return model


def _loaded(checkpoint: Checkpoint, component: str, build: Callable[[dict[str, Any]], Any]) -> Any:
    try:
        module = build(checkpoint.configs[component])
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{checkpoint.path}: found unreadable settings of {component!r} ({error}).") from error
    return checkpoint.load_into(module, component).eval().requires_grad_(False)


def output_rate(talker: DAETalker, fps: Rate | None = None) -> Fraction:
    """The rate of the video: the model's own for None. Raises InputError outside 1..120 frames per second."""
    rate = talker.fps if fps is None else as_rate(fps)
    if not SLOWEST <= rate <= FASTEST:
        raise InputError(f"{float(rate):g} frames per second: choose {SLOWEST} to {FASTEST}, such as 25")
    return rate


def speech_latents(
    talker: DAETalker,
    source: AudioSource,
    fps: Rate | None = None,
    control: Control | None = None,
    clock: Clock | None = None,
) -> Iterator[LatentChunk]:
    """Latents and pose of all ceil(seconds * fps) frames of the sound, chunk by chunk."""
    clock = clock or Clock()
    features: Iterable[Tensor] = clock.stream(PLUMBING, LogMel().stream(analysis_blocks(source)))
    if talker.gate is not None:
        features = talker.gate.stream(block.to(talker.device) for block in features)
    rate = output_rate(talker, fps)
    return speech_to_latents(
        talker.speech2latent, features, source.num_samples(), source.sample_rate, fps=rate, control=control
    )


def speak(
    talker: DAETalker,
    source: AudioSource,
    fps: Rate | None = None,
    control: Control | None = None,
    noise: Tensor | None = None,
    sampler: str | None = None,
    steps: int | None = None,
    window: int | None = None,
    workers: int = 1,
    clock: Clock | None = None,
) -> Iterator[Tensor]:
    """Frames uint8 [n, H, W, 3] on the CPU, chunk by chunk: exactly ceil(seconds * fps) in all.

    `noise` is the x_T [C, H, W] that all frames share (None: seed 0). `fps`, `sampler` and `steps` are the model's own
    where None; `window` and `workers` as in `decode`. `clock` counts the networks' time apart.
    Raises InputError, at the latest with the first chunk, for impossible settings and for sound that cannot be read.
    """
    clock = clock or Clock()
    noise = noise_from_seed(talker.autoencoder, 0) if noise is None else noise
    chunks = speech_latents(talker, source, fps, control, clock)
    latents = (chunk.latents for chunk in chunks)
    frames = decode(talker.autoencoder, latents, noise, sampler, steps, window, workers=workers)
    return clock.stream(NETWORK, (chunk.cpu() for chunk in frames))


@dataclass(frozen=True)
class Spoken:
    """A video that was written: its frames and rate, seconds of sound, seconds of work by part."""

    output: Path
    frames: int
    fps: Fraction
    seconds_audio: float
    seconds: dict[str, float]


def speak_to_file(
    talker: DAETalker,
    source: AudioSource,
    path: str | Path,
    fps: Rate | None = None,
    control: Control | None = None,
    noise: Tensor | None = None,
    sampler: str | None = None,
    steps: int | None = None,
    window: int | None = None,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Spoken:
    """Write the speaking face with its sound as a video, whole or not at all; arguments as in `speak`.

    `progress(frames)` is called with the number of frames of each chunk.
    """
    clock, rate = Clock(), output_rate(talker, fps)
    frames = speak(talker, source, rate, control, noise, sampler, steps, window, workers, clock)
    size = talker.image_size
    with VideoWriter(path, size, size, rate, source) as writer:
        for chunk in frames:
            writer.write(chunk)
            if progress is not None:
                progress(len(chunk))
    seconds = source.num_samples() / source.sample_rate
    return Spoken(writer.path, writer.frames, rate, seconds, clock.read())


def idle_motion(
    talker: DAETalker, source: AudioSource, fps: Rate | None = None, seed: int = 0, control: Control | None = None
) -> Control:
    """`control` with what speech says nothing of, drawn from `seed`: blinks, and a slow sway of the head.

    A given pose stays as it is given, in so far as `control.strength` lets it.
    """
    rate = output_rate(talker, fps)
    frames = frame_count(source.num_samples(), source.sample_rate, rate)
    motion = pose_degrees(talker.speech2latent.adaptor.motion_std)
    sway, eyes = sway_track(motion, frames, float(rate), seed), blink_track(frames, float(rate), seed)
    return replace(control or Control(), sway=sway, eyes=eyes)
