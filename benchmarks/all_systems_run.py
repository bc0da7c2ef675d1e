"""What `benchmarks.all_systems` has each system make, in a process of its own: films, their speed, and the memory.

Every system is given what it takes of a film: dubbing its frames, the animation its first frame, the others nothing.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.ending import run_program
from benchmarks.mouth_models import kept_away, load_mouths
from talkface_core.cli.common import peak_rss_mb
from talkface_core.dubbing.model import MouthModel
from talkface_core.dubbing.pipeline import DubRequest, dub_to_file
from talkface_core.faces.bundled import load_bundled
from talkface_core.media.audio import audio_source, open_audio
from talkface_core.media.playback import FrameSource, TensorFrameSource, VideoFrameSource
from talkface_core.media.source import AudioSource
from talkface_core.media.timebase import FPS, SAMPLE_RATE
from talkface_core.media.video_reader import VideoReader

AWAY = 1.0
"""Seconds that references of a dubbed frame lie away at least: nearer ones would tell the answer."""

Make = Callable[[Path, AudioSource, Path], int]
"""Writes what a system makes of a film and a sound, and returns the number of its frames."""


def main() -> None:
    """Reads jobs [film, sound, seconds, output] as JSON lines; prints one JSON object with the speed and the memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("system", choices=SYSTEMS)
    parser.add_argument("jobs", type=Path, metavar="JOBS.jsonl")
    parser.add_argument("--ear", metavar="FILE", help="default: bundled; none: the acoustic model alone")
    args = parser.parse_args()
    make = SYSTEMS[args.system](args.ear)
    frames, spent = 0, 0.0
    for film, sound, seconds, output in read_jobs(args.jobs):
        source = silence(seconds) if sound is None else open_audio(sound, duration=seconds)
        began = time.process_time()
        made = make(film, source, output)
        if sound is not None:
            frames, spent = frames + made, spent + time.process_time() - began
    print(json.dumps({"frames": frames, "seconds": spent, "peak_rss_mb": peak_rss_mb()}))


def read_jobs(path: Path) -> Iterator[tuple[Path, Path | None, float, Path]]:
    """The jobs of a file; a sound that is null is silence."""
    for line in path.read_text().splitlines():
        film, sound, seconds, output = json.loads(line)
        yield Path(film), None if sound is None else Path(sound), float(seconds), Path(output)


def silence(seconds: float) -> AudioSource:
    """So many seconds of it."""
    count = round(SAMPLE_RATE * seconds)
    return audio_source({"waveform": torch.zeros(1, 1, count), "sample_rate": SAMPLE_RATE})


def dubbing(mouths: MouthModel) -> Make:
    """A film's frames with new mouths."""
    detector = load_bundled()

    def make(film: Path, source: AudioSource, output: Path) -> int:
        frames = VideoFrameSource(VideoReader(film))
        return _dubbed(kept_away(mouths, round(AWAY * float(frames.fps))), frames, source, detector, output)

    return make


def still_dubbing(mouths: MouthModel, portrait: Callable[[AudioSource], Tensor]) -> Make:
    """One picture's mouth, moved: the portrait that is guessed from the voice."""
    detector = load_bundled()

    def make(film: Path, source: AudioSource, output: Path) -> int:
        still = (portrait(source)[None].clamp(0, 1) * 255).round().byte()
        return _dubbed(mouths, TensorFrameSource(still, FPS), source, detector, output, length="bounce")

    return make


def speaking(ear: str | None) -> Make:
    """DAE-Talker's own speaker says it."""
    from talkface_core.dae_talker.model import load_dae_talker
    from talkface_core.dae_talker.pipeline import speak_to_file

    talker = load_dae_talker(ear=ear)
    return lambda film, source, output: speak_to_file(talker, source, output).frames


def animating(ear: str | None) -> Make:
    """The film's first frame moves."""
    from talkface_core.see_the_speaker.model import load_see_the_speaker
    from talkface_core.see_the_speaker.pipeline import animate_to_file, find_face

    speaker, detector = load_see_the_speaker(ear=ear), load_bundled()

    def make(film: Path, source: AudioSource, output: Path) -> int:
        picture = torch.from_numpy(next(iter(VideoReader(film).chunks(1)))[0])
        face = find_face(picture, detector)
        return animate_to_file(speaker.motion, speaker.renderer, picture, face, source, output).frames

    return make


def imagining(ear: str | None) -> Make:
    """A portrait is guessed from the voice, and moves."""
    from talkface_core.see_the_speaker.imagining import GUESS, face_in, imagine
    from talkface_core.see_the_speaker.model import load_see_the_speaker
    from talkface_core.see_the_speaker.pipeline import animate_to_file

    speaker, detector = load_see_the_speaker(ear=ear), load_bundled()
    assert speaker.portrait is not None
    draw = speaker.portrait

    def make(film: Path, source: AudioSource, output: Path) -> int:
        picture = imagine(draw, speaker.renderer, source)
        face = face_in(picture, detector)
        return animate_to_file(
            speaker.motion, speaker.renderer, picture, face, source, output, metadata=GUESS
        ).frames  # fmt: skip

    return make


def portrait_dubbing(ear: str | None) -> Make:
    """A portrait is guessed from the voice, and landmark diffusion moves its mouth."""
    from talkface_core.see_the_speaker.imagining import imagine
    from talkface_core.see_the_speaker.model import load_see_the_speaker

    speaker = load_see_the_speaker()
    assert speaker.portrait is not None
    draw = speaker.portrait
    return still_dubbing(load_mouths("landmark_tiny", ear=ear), lambda source: imagine(draw, speaker.renderer, source))


def _dubbed(
    mouths: MouthModel, film: FrameSource, source: AudioSource, detector: object, output: Path, length: str = "stop"
) -> int:
    request = DubRequest(film, source, detector=detector, length=length)  # type: ignore[arg-type]
    return dub_to_file(mouths, request, output).frames


SYSTEMS: dict[str, Callable[[str | None], Make]] = {
    "dae-talker": speaking,
    "wav2lip": lambda ear: dubbing(load_mouths("ladtalk_tiny", texture=False, ear=ear)),
    "ladtalk": lambda ear: dubbing(load_mouths("ladtalk_tiny", ear=ear)),
    "landmark-diffusion": lambda ear: dubbing(load_mouths("landmark_tiny", ear=ear)),
    "landmark-diffusion+sovqae": lambda ear: dubbing(load_mouths("landmark_tiny", sovqae="ladtalk_tiny", ear=ear)),
    "animate": animating,
    "imagine": imagining,
    "portrait+landmark-diffusion": portrait_dubbing,
}
"""By name: what loads a system and gives its `Make`, told the file of a Whisper to hear by, or None."""

HEARS = ("dae-talker", "ladtalk", "landmark-diffusion", "animate")
"""Those that are made a second time with --ear."""

NEEDS_SPEECH = ("imagine", "portrait+landmark-diffusion")
"""Those that refuse silence."""

OTHER_PEOPLE = ("dae-talker", *NEEDS_SPEECH)
"""Those that show another person than the film does."""

if __name__ == "__main__":
    run_program(main)
