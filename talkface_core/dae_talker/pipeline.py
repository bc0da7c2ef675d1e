"""DAE-Talker from speech to video, as a stream: sound -> what is heard of it (hearing.py) -> latents -> frames.

Source: DAE-Talker (Du et al. 2023), inference; the gate and the windows are ours. Every part works in windows and hands
its result on, so that an hour of sound needs no more memory than ten seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from torch import Tensor

from ..diffusion.sampling import Callback
from ..errors import InputError
from ..faces.head_pose import ANGLES
from ..media.audio import AudioSource
from ..media.timebase import Rate, as_rate, frame_count
from ..media.video_writer import VideoWriter
from ..speech.features import EncodedAudio
from ..stage_timer import NETWORK, StageTimer
from .decode import decode, noise_from_seed
from .hearing import listen, silent_step
from .model import DAETalker, SpeechModel
from .pose import blink_track, pose_degrees, sway_track
from .windows import Control, LatentChunk, speech_to_latents

SLOWEST, FASTEST = 1, 120  # frames per second
_FIRST = 4  # frames that are drawn at first, so that they are there soon


def output_rate(speech: SpeechModel, fps: Rate | None = None) -> Fraction:
    """The rate of the video: the model's own for None. Raises InputError outside 1..120 frames per second."""
    rate = speech.fps if fps is None else as_rate(fps)
    if not SLOWEST <= rate <= FASTEST:
        raise InputError(f"{float(rate):g} frames per second: choose {SLOWEST} to {FASTEST}, such as 25")
    return rate


def speech_latents(
    speech: SpeechModel,
    source: AudioSource,
    fps: Rate | None = None,
    control: Control | None = None,
    timer: StageTimer | None = None,
    encoded: EncodedAudio | None = None,
) -> Iterator[LatentChunk]:
    """Latents and pose of all ceil(seconds * fps) frames of the sound, chunk by chunk.

    `encoded`: features of the same sound from a large speech encoder, in place of what the model hears itself, for one
    that was trained on them. Raises InputError where it was not.
    """
    heard = listen(speech, source, encoded, timer)
    silence = None
    if control is not None and control.expression != 1.0 and encoded is None:
        silence = silent_step(speech)
    rate = output_rate(speech, fps)
    samples, sample_rate = source.num_samples(), source.sample_rate
    return speech_to_latents(
        speech.speech2latent, heard.features, samples, sample_rate, rate, heard.front, control, silence=silence
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
    timer: StageTimer | None = None,
    encoded: EncodedAudio | None = None,
    callback: Callback | None = None,
    size: int | None = None,
) -> Iterator[Tensor]:
    """Frames uint8 [n, H, W, 3] on the CPU, chunk by chunk: exactly ceil(seconds * fps) in all.

    `noise` is the x_T [C, H, W] that all frames share (None: seed 0). `fps`, `sampler` and `steps` are the model's own
    where None; `window`, `workers`, `callback` and `size` as in `decode`, `encoded` as in `speech_latents`. `timer`
    counts the networks' time apart.
    Raises InputError, at the latest with the first chunk, for impossible settings and for sound that cannot be read.
    """
    timer = timer or StageTimer()
    noise = noise_from_seed(talker.autoencoder, 0) if noise is None else noise
    chunks = speech_latents(talker.speech, source, fps, control, timer, encoded)
    latents = (chunk.latents for chunk in chunks)
    settings = (noise, sampler, steps, window, callback)
    frames = decode(talker.autoencoder, latents, *settings, workers=workers, size=size, first=_FIRST)
    return timer.stream(NETWORK, (chunk.cpu() for chunk in frames))


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
    size: int | None = None,
) -> Spoken:
    """Write the speaking face with its sound as a video, whole or not at all; arguments as in `speak`.

    `progress(frames)` is called with the number of frames of each chunk.
    """
    timer, rate = StageTimer(), output_rate(talker.speech, fps)
    side = talker.autoencoder.frame_size(size)
    frames = speak(talker, source, rate, control, noise, sampler, steps, window, workers, timer, size=side)
    with VideoWriter(path, side, side, rate, source) as writer:
        for chunk in frames:
            writer.write(chunk)
            if progress is not None:
                progress(len(chunk))
    seconds = source.num_samples() / source.sample_rate
    return Spoken(writer.path, writer.frames, rate, seconds, timer.read())


def idle_motion(
    speech: SpeechModel, source: AudioSource, fps: Rate | None = None, seed: int = 0, control: Control | None = None
) -> Control:
    """`control` with what speech says nothing of, drawn from `seed`: blinks, and a slow sway of the head.

    A given pose stays as it is given, in so far as `control.strength` lets it.
    """
    rate = output_rate(speech, fps)
    frames = frame_count(source.num_samples(), source.sample_rate, rate)
    motion = pose_degrees(speech.speech2latent.adaptor.motion_std)
    sway, eyes = sway_track(motion, frames, float(rate), seed), blink_track(frames, float(rate), seed)
    return replace(control or Control(), sway=sway, eyes=eyes)


def beyond_training(speech: SpeechModel, pose: Tensor) -> str | None:
    """Where a pose [frames, 3] in degrees leaves what the model has seen, that in words with the numbers; else None.

    Seen: within 2.5 deviations of the training set's mean.
    """
    adaptor = speech.speech2latent.adaptor
    mean, reach = pose_degrees(adaptor.pose_mean).cpu(), 2.5 * pose_degrees(adaptor.pose_std).cpu()
    if not len(pose) or not bool(((pose - mean).abs() > reach).any()):
        return None
    far = pose.gather(0, (pose - mean).abs().argmax(0)[None])[0]
    asked = ", ".join(f"{a} {v:.0f}" for a, v in zip(ANGLES, far.tolist(), strict=True))
    ranges = ", ".join(f"{a} {m - r:.0f}..{m + r:.0f}" for a, m, r in zip(ANGLES, mean, reach, strict=True))
    return f"the head pose goes to {asked} degrees; this model has seen about {ranges}: beyond, its head stays behind"
