"""What a generating system makes of silence, for `evaluate`: each system with the real clip and a sound of zeros."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..media.audio import AudioSource

Hush = Callable[[Path, float, Path], None]
"""Writes the film that a system makes of a real film, as long as so many seconds, and a silent sound."""

SYSTEMS = ("ladtalk", "landmark-diffusion", "dae-talker", "see-the-speaker")


def hush(system: str, model: str | None, device: str) -> Hush:
    """Loads the system. Raises InputError for a model that is none of it."""
    return {
        "ladtalk": _dubbed,
        "landmark-diffusion": _dubbed,
        "dae-talker": _spoken,
        "see-the-speaker": _animated,
    }[system](system, model, device)


def _dubbed(system: str, model: str | None, device: str) -> Hush:
    import argparse

    from ..dubbing.pipeline import DubRequest, dub_to_file
    from ..faces.detect import find_detector
    from ..media.playback import VideoFrameSource
    from ..media.video_reader import VideoReader
    from .dub_systems import OWN_FLAGS, load_mouths

    flags = dict.fromkeys(OWN_FLAGS)
    loaded = load_mouths(argparse.Namespace(**flags, system=system, model=model, device=device))
    detector = find_detector("bundled", loaded.device)

    def write(real: Path, seconds: float, output: Path) -> None:
        film = VideoFrameSource(VideoReader(real))
        dub_to_file(loaded.mouths, DubRequest(film, _silence(seconds), detector=detector, length="stop"), output)

    return write


def _spoken(system: str, model: str | None, device: str) -> Hush:
    from ..dae_talker.model import BUNDLED, load_dae_talker
    from ..dae_talker.pipeline import speak_to_file

    talker = load_dae_talker(model or BUNDLED, device)
    return lambda real, seconds, output: _ignore(speak_to_file(talker, _silence(seconds), output))


def _animated(system: str, model: str | None, device: str) -> Hush:
    import torch

    from ..faces.detect import find_detector
    from ..media.video_reader import VideoReader
    from ..see_the_speaker.model import BUNDLED, load_see_the_speaker
    from ..see_the_speaker.pipeline import animate_to_file, find_face

    speaker = load_see_the_speaker(model or BUNDLED, device)
    detector = find_detector("bundled", speaker.device)

    def write(real: Path, seconds: float, output: Path) -> None:
        picture = torch.from_numpy(next(iter(VideoReader(real).chunks(1)))[0])
        landmarks = find_face(picture, detector)
        animate_to_file(speaker.motion, speaker.renderer, picture, landmarks, _silence(seconds), output)

    return write


def _silence(seconds: float) -> AudioSource:
    import torch

    from ..media.audio import audio_source

    source = audio_source({"waveform": torch.zeros(1, 1, max(round(16000 * seconds), 1)), "sample_rate": 16000})
    source.name = "the silent sound"
    return source


def _ignore(made: object) -> None:
    return None
