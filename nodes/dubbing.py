"""LaDTalk in one node: a video of any length and a new sound to a finished video, streamed.

Source: LaDTalk (Yang et al. 2024). The work is done in talkface_core/ladtalk/pipeline.py; here are the sockets and the
words.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
from comfy_api.latest import InputImpl, io
from numpy.typing import NDArray
from torch import Tensor

from ..talkface_core.faces.face import Detector
from ..talkface_core.ladtalk.enhance import enhance_memory
from ..talkface_core.ladtalk.frames import dubbed_order
from ..talkface_core.ladtalk.pipeline import Painter, dub, needed, track_film
from ..talkface_core.ladtalk.wav2lip import repaint_memory
from ..talkface_core.media.audio import audio_source
from ..talkface_core.media.playback import Film
from ..talkface_core.media.source import FirstSeconds
from ..talkface_core.media.video import VideoWriter
from . import host
from .finding import choice_inputs, chosen, detector_inputs, detector_of, mask_input, smoothing_input
from .ladtalk import AT_ONCE, held, length_input
from .sockets import SOVQAE, WAV2LIP, is_a, schema
from .video import film_of, marked

log = logging.getLogger(__name__)


class DubVideo(io.ComfyNode):
    """A video to one that says another sound, streamed: tracking, Wav2Lip, SOVQAE and the encoder in one."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "DubVideo",
            "Dub Video (LaDTalk)",
            "LaDTalk",
            "A video and a new sound to a finished video that says it, of the same size and rate, written to disk as "
            "it is made: however long, only a few frames are in memory. Marked as synthetic.",
            inputs=[
                WAV2LIP.Input("wav2lip", tooltip="The network that repaints mouths, from Load LaDTalk."),
                io.Video.Input(
                    "video",
                    tooltip="Footage of a face: any size, rate and length. It is read twice, from disk. Its own sound "
                    "is not used.",
                ),
                io.Audio.Input(
                    "audio",
                    tooltip="The new speech: any length, rate and number of channels. It goes into the video as it "
                    "is. Music and other voices count as speech.",
                ),
                *choice_inputs(),
                length_input("Sound that goes on after a video that is not repeated is cut off."),
                io.Boolean.Input(
                    "match_texture",
                    default=True,
                    tooltip="Restores mouths to the footage's own sharpness. Off takes strength as it stands.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="With match_texture off, how far SOVQAE restores texture: 0 not at all, 1 all the way.",
                ),
                smoothing_input(),
                *detector_inputs(),
                SOVQAE.Input(
                    "sovqae",
                    optional=True,
                    tooltip="The network that restores texture, from Load LaDTalk. Without it mouths stay a little "
                    "soft.",
                ),
                mask_input(),
            ],
            outputs=[
                io.Video.Output(
                    display_name="video",
                    tooltip="The video with its new sound, for Save Video. Until then it lies in ComfyUI's temp "
                    "folder.",
                )
            ],
            search_aliases=["lip sync", "dubbing", "wav2lip", "translate video", "long video"],
        )

    @classmethod
    def execute(
        cls,
        wav2lip: host.Component | None,
        video: Any,
        audio: dict[str, Any],
        face: str,
        index: int,
        x: int,
        y: int,
        length: str,
        match_texture: bool,
        strength: float,
        smoothing: float,
        detector: str,
        threshold: float,
        sovqae: host.Component | None = None,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        speaking = held(wav2lip, "wav2lip", "Wav2Lip")
        restoring = None if sovqae is None else is_a(host.Component, sovqae, "sovqae")
        choice = chosen(face, index, x, y, mask)
        source = host.Interruptible(audio_source(audio))
        with film_of(video) as film:
            most = needed(source, film.fps, length)
            progress = host.Progress(2 * (most or round(video.get_duration() * film.fps)))
            shown = _Shown(film, detector_of(detector, threshold))
            track = track_film(
                *(shown, shown.detector, choice, smoothing),
                progress=lambda done: progress.reach(done, shown.newest),
                most=most,
            )
            order = dubbed_order(track, source, length)
            progress.total = len(track) + len(order)
            memory = repaint_memory(speaking.network.wav2lip, AT_ONCE)
            if restoring is not None:
                memory = max(memory, enhance_memory(restoring.network, AT_ONCE))
            lips, *model = host.load_all([speaking] if restoring is None else [speaking, restoring], memory)
            painter = Painter(lips, model[0] if model else None, None if match_texture else strength)
            heard = source if length == "bounce" else FirstSeconds(source, len(order) / film.fps)
            path = host.temp_file(".mp4")
            with VideoWriter(path, film.width, film.height, film.fps, heard) as writer:
                for chunk in progress.follow(dub(painter, film, track, source, length, AT_ONCE)):
                    writer.write(chunk)
        if restoring is not None and match_texture:
            log.info("TalkFace: texture restored with strength %.2f, which matches the footage", painter.strength or 0)
        return io.NodeOutput(marked(InputImpl.VideoFromFile(str(path))))


class _Shown:
    """A film whose newest frame can be shown while a detector goes through it, and that is handed on in small parts."""

    def __init__(self, film: Film, detector: Detector) -> None:
        self.film, self.detector = film, detector
        self.fps, self.width, self.height = film.fps, film.width, film.height
        self.newest: NDArray[np.uint8] | None = None
        # One that cannot follow a face takes long for a frame, and no less where it is given several.
        self._most = AT_ONCE if detector.follows else 1

    def forwards(self, n: int = AT_ONCE) -> Iterator[NDArray[np.uint8]]:
        for chunk in self.film.forwards(min(n, self._most)):
            self.newest = chunk[-1]
            yield chunk

    def backwards(self, n: int = AT_ONCE) -> Iterator[NDArray[np.uint8]]:
        return self.film.backwards(n)
