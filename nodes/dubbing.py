"""A system in one node: a video of any length and a new sound to a finished video, streamed.

Sources: LaDTalk (Yang et al. 2024); landmark diffusion (Zhong et al., arXiv 2408.05416). The work is done in
talkface_core/dubbing with each system's mouths; here are the sockets and the words.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
from comfy_api.latest import InputImpl, io
from numpy.typing import NDArray
from torch import Tensor

from ..talkface_core.dubbing.pipeline import TRACKING, DubRequest, DubResult, dub_to_file
from ..talkface_core.ladtalk.pipeline import TEXTURE
from ..talkface_core.landmark_diffusion.painter import Sampling
from ..talkface_core.media.audio import audio_source
from ..talkface_core.media.source import AudioSource
from . import host
from .face_inputs import choice_inputs, chosen, detector_inputs, detector_of, mask_input, smoothing_input
from .ladtalk import managed_mouths
from .landmark_inputs import motion_input, sampling_inputs, speaking_mouths
from .repaint import ManagedMouths, length_input
from .sockets import COMPLETION, SOVQAE, TALKFORMER, WAV2LIP, encoder_input, schema
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
                *film_inputs(),
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
            outputs=[video_output()],
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
        mouths = managed_mouths(wav2lip, sovqae, None if match_texture else strength)
        result = dubbed(
            mouths,
            video,
            audio_source(audio),
            detector=detector_of(detector, threshold),
            choice=chosen(face, index, x, y, mask),
            smoothing=smoothing,
            length=length,
        )
        return finished(result, sovqae is not None and match_texture)


class DubVideoLandmarks(io.ComfyNode):
    """A video to one that says another sound, streamed: tracking, landmarks, TalkFormer and the encoder in one."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "DubVideoLandmarks",
            "Dub Video (Landmark Diffusion)",
            "Landmark Diffusion",
            "A video and a new sound to a finished video that says it, by landmarks and diffusion: same size and rate, "
            "written to disk as it is made: however long, only a few frames are in memory. Marked as synthetic.",
            inputs=[
                COMPLETION.Input(
                    "completion", tooltip="The network that says where lips and jaw lie, from Load Landmark Diffusion."
                ),
                TALKFORMER.Input(
                    "talkformer", tooltip="The network that paints the lower face, from Load Landmark Diffusion."
                ),
                *film_inputs(),
                *choice_inputs(),
                length_input("Sound that goes on after a video that is not repeated is cut off."),
                motion_input(),
                *sampling_inputs(),
                io.Boolean.Input(
                    "match_texture",
                    default=True,
                    tooltip="With a sovqae: restores mouths to the footage's own sharpness. Off restores them all the "
                    "way.",
                ),
                smoothing_input(),
                *detector_inputs(),
                SOVQAE.Input(
                    "sovqae",
                    optional=True,
                    tooltip="The network that restores texture, from Load LaDTalk. Without it mouths are as painted.",
                ),
                mask_input(),
                encoder_input(),
            ],
            outputs=[video_output()],
            search_aliases=["lip sync", "dubbing", "talkformer", "translate video", "long video"],
        )

    @classmethod
    def execute(
        cls,
        completion: host.Component,
        talkformer: host.Component,
        video: Any,
        audio: dict[str, Any],
        face: str,
        index: int,
        x: int,
        y: int,
        length: str,
        strength: float,
        sampler: str,
        steps: int,
        seed: int,
        guidance: float,
        match_texture: bool,
        smoothing: float,
        detector: str,
        threshold: float,
        sovqae: host.Component | None = None,
        mask: Tensor | None = None,
        audio_encoder_output: dict[str, Any] | None = None,
    ) -> io.NodeOutput:
        sampling = Sampling(sampler, steps, seed, guidance)
        texture = None if match_texture else 1.0
        mouths = speaking_mouths(completion, talkformer, sampling, strength, sovqae, texture, audio_encoder_output)
        result = dubbed(
            mouths,
            video,
            audio_source(audio),
            detector=detector_of(detector, threshold),
            choice=chosen(face, index, x, y, mask),
            smoothing=smoothing,
            length=length,
        )
        return finished(result, sovqae is not None and match_texture)


def film_inputs() -> list[io.Input]:
    """The footage and what is to be said."""
    return [
        io.Video.Input(
            "video",
            tooltip="Footage of a face: any size, rate and length. It is read from disk twice, footage of "
            "minutes once more; played to and fro, as often as that takes. Its own sound is not used.",
        ),
        io.Audio.Input(
            "audio",
            tooltip="The new speech: any length, rate and number of channels. It goes into the video as it "
            "is. Other voices count as speech, and some music is taken for it.",
        ),
    ]


def video_output() -> io.Output:
    """The finished video."""
    return io.Video.Output(
        display_name="video",
        tooltip="The video with its new sound, for Save Video. Until then it lies in ComfyUI's temp folder.",
    )


def dubbed(mouths: ManagedMouths, video: Any, source: AudioSource, **wanted: Any) -> DubResult:
    """The dubbed VIDEO in the temp folder; both passes move the node's bar. `wanted` is DubRequest's."""
    with film_of(video) as film:
        request = DubRequest(film=film, source=host.Interruptible(source), **wanted)
        most = request.needed or round(video.get_duration() * film.fps)
        progress, tracked = host.Progress(2 * most), 0

        def tell(step: str, done: int, total: int | None, frame: NDArray[np.generic]) -> None:
            nonlocal tracked
            if step == TRACKING:
                tracked = done
                progress.reach(done, frame)
            else:
                progress.total = tracked + (total or done)
                progress.reach(tracked + done, frame)

        return dub_to_file(mouths, request, host.temp_file(".mp4"), tell)


def finished(result: DubResult, matched: bool = False) -> io.NodeOutput:
    """The finished video; the log says how strongly its texture was restored, where it was `matched`."""
    if matched:
        strength = result.settings[TEXTURE] or 0
        log.info("TalkFace: texture restored with strength %.2f, which matches the footage", strength)
    return io.NodeOutput(marked(InputImpl.VideoFromFile(str(result.output))))
