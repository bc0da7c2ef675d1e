"""LaDTalk nodes: lip synchronisation with Wav2Lip, and texture restored by the SOVQAE.

Source: LaDTalk (Yang et al. 2024). The work is done in talkface_core/ladtalk; here are the sockets and the words.
"""

from __future__ import annotations

import logging
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..talkface_core.errors import InputError
from ..talkface_core.faces.even import on_frames, size_of
from ..talkface_core.faces.track import FaceTrack
from ..talkface_core.ladtalk.enhance import WINDOW, enhance, enhance_memory, enhance_track, landmarks_by
from ..talkface_core.ladtalk.pipeline import LaDTalkMouths
from ..talkface_core.ladtalk.robustness_report import report_steps
from ..talkface_core.media.audio import audio_source
from . import host
from .face_inputs import detector_of
from .faces import warn_of_odd_sides
from .repaint import ManagedMouths, footage, length_input, repaint
from .sockets import FACE_TRACK, SOVQAE, WAV2LIP, advanced, is_a, schema

log = logging.getLogger(__name__)

SYSTEM = "LaDTalk"


class Wav2Lip(io.ComfyNode):
    """Frames whose tracked face says another sound (LaDTalk, first stage)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "Wav2Lip",
            "Wav2Lip (LaDTalk)",
            SYSTEM,
            "Repaints the mouth of the tracked face so that it says the audio. Everything else in the frames stays, "
            "pixel by pixel. In silence the mouth is shut. New mouths are a little soft: SOVQAE Enhance comes next.",
            inputs=[
                WAV2LIP.Input("wav2lip", tooltip="The network that repaints mouths, from Load LaDTalk."),
                io.Image.Input("images", tooltip="The frames that the face was tracked in."),
                FACE_TRACK.Input(
                    "face_track",
                    tooltip="Whose mouth is repainted, from Detect Faces. Its frame rate is that of the result; set "
                    "fps there.",
                ),
                io.Audio.Input(
                    "audio",
                    tooltip="What is to be said: any length, rate and number of channels. It is only listened to; give "
                    "the same sound to Create Video. Other voices count as speech, and some music is taken for it.",
                ),
                length_input(),
            ],
            outputs=[
                io.Image.Output(
                    display_name="images",
                    tooltip="Whole frames with the new mouths. Odd sides have grown by one pixel, for Save Video.",
                ),
                FACE_TRACK.Output(
                    display_name="face_track",
                    tooltip="The face in these frames, in their order, for SOVQAE Enhance, or for a second person's "
                    "turn.",
                ),
                io.Float.Output(display_name="fps", tooltip="The frame rate, for Create Video."),
                io.Audio.Output(display_name="audio", tooltip="The sound that was given, as it is, for Create Video."),
                io.Mask.Output(
                    display_name="mask",
                    tooltip="White where a mouth was painted, black where pixels are the footage's, moved or not: for "
                    "the mask of SOVQAE Enhance, which then leaves the footage's texture alone.",
                ),
            ],
            search_aliases=["lip sync", "dubbing", "talking head", "new speech for a video"],
        )

    @classmethod
    def execute(
        cls,
        wav2lip: host.Component | None,
        images: Tensor,
        face_track: FaceTrack,
        audio: dict[str, Any],
        length: str,
    ) -> io.NodeOutput:
        mouths = managed_mouths(wav2lip)
        frames, track = footage(images, face_track)
        made = repaint(mouths, frames, track, host.Interruptible(audio_source(audio)), length)
        return io.NodeOutput(made.images, made.track, float(track.fps), audio, made.mask)


class SOVQAEEnhance(io.ComfyNode):
    """Any frames with their faces' texture restored, and how firmly the codes stand (LaDTalk, second stage)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "SOVQAEEnhance",
            "SOVQAE Enhance (LaDTalk)",
            SYSTEM,
            "Restores fine texture of soft faces, from whatever made them, frame by frame and without flicker. A guard "
            "measures whether mouths kept their shape, and a report says how firmly the result stands against noise.",
            inputs=[
                SOVQAE.Input("sovqae", tooltip="The network that restores, from Load LaDTalk."),
                io.Image.Input(
                    "images",
                    tooltip="Frames of any size with a face. Without a face_track each is taken for a face, as Crop "
                    "Face cuts them out.",
                ),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=1.0,
                    step=0.05,
                    tooltip="How far texture is restored: 0 changes nothing, 1 is the network's result. Not used where "
                    "match_texture is.",
                ),
                io.Combo.Input(
                    "region",
                    options=["mouth", "face"],
                    default="mouth",
                    tooltip="With a face_track, what is restored: mouth and jaw, or the whole face. Both end in a soft "
                    "edge.",
                ),
                advanced(
                    io.Int.Input(
                        "window",
                        default=WINDOW,
                        min=1,
                        max=256,
                        tooltip="Frames computed at a time. The result is the same whatever it is; more need more "
                        "memory, and when that runs out the window is halved.",
                    )
                ),
                advanced(
                    io.Int.Input(
                        "look_at",
                        default=1,
                        min=0,
                        max=100,
                        tooltip="Frames that the report on noise looks at, spread evenly; 0 leaves it out. Each takes "
                        "seconds on a CPU.",
                    )
                ),
                FACE_TRACK.Input(
                    "face_track", optional=True, tooltip="Where the face is, from Detect Faces or Wav2Lip."
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="Holds the change to where it is white, in the frames: one for all or one a frame. "
                    "Elsewhere every pixel stays. Behind Wav2Lip connect its mask.",
                ),
                io.Boolean.Input(
                    "match_texture",
                    default=True,
                    optional=True,
                    tooltip="Restores mouths just so far that they are as fine as the footage around them, which is "
                    "measured on its first frames. For region = mouth with a face_track; otherwise strength counts.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The frames, restored."),
                io.String.Output(
                    display_name="report",
                    tooltip="In words: what was done, whether mouths kept their shape, how steady details are; the "
                    "numbers below. For Preview Any.",
                ),
            ],
            search_aliases=["face restoration", "sharpen face", "codeformer", "gfpgan", "deblur"],
        )

    @classmethod
    def execute(
        cls,
        sovqae: host.Component | None,
        images: Tensor,
        strength: float,
        region: str,
        window: int,
        look_at: int,
        face_track: FaceTrack | None = None,
        mask: Tensor | None = None,
        match_texture: bool = False,  # as it was before there was a choice, for prompts of that time
    ) -> io.NodeOutput:
        component, frames = require_component(sovqae, "sovqae", "SOVQAE"), images[..., :3]
        host.check_room(len(frames), frames.shape[1], frames.shape[2], "give fewer frames at a time")
        memory, model = enhance_memory(component.network, window, look_at), component.network
        reader = landmarks_by(detector_of("bundled", beside=[component], memory=memory))
        progress = host.Progress(len(frames) + report_steps(min(look_at, len(frames))))
        warn_of_odd_sides(frames)
        shown: list[Tensor] = []

        def show(done: int, total: int, frame: Tensor) -> None:
            progress.total, shown[:] = total + report_steps(min(look_at, total)), [frame]
            progress.reach(done, frame)

        matched = match_texture and region == "mouth" and face_track is not None
        settings: dict[str, Any] = {
            **{"region": region, "window": window, "look_at": look_at, "landmarks": reader, "callback": show},
            **{"strength": None if matched else strength},
            "check": lambda: progress.reach(progress.done + 1, *shown),
        }
        unmatched = [f"Strength {strength:.2f} counted: match_texture needs a face_track and region = mouth."]
        notes = unmatched if match_texture and not matched else []
        if face_track is None:
            output, report = enhance(model, frames, None, mask, **settings)
            return io.NodeOutput(output, "\n".join([str(report), *notes]))
        track = on_frames(is_a(FaceTrack, face_track, "face_track"), size_of(frames))
        output, report, detected = enhance_track(model, frames, track, mask, **settings)
        log.info("TalkFace: texture restored with strength %.2f", report.strength)
        left = len(frames) - len(detected)
        lines = [f"{left} of {len(frames)} frames do not show the face and stay as they are."] if left else []
        return io.NodeOutput(output, "\n".join([*lines, *report.lines(), *notes]))


def managed_mouths(
    wav2lip: host.Component | None, sovqae: host.Component | None = None, strength: float | None = None
) -> ManagedMouths:
    """The mouths of a node's inputs. Raises InputError where the checkpoint has no Wav2Lip."""
    speaking = require_component(wav2lip, "wav2lip", "Wav2Lip")
    restoring = None if sovqae is None else is_a(host.Component, sovqae, "sovqae")
    components = (speaking,) if restoring is None else (speaking, restoring)
    texture = None if restoring is None else restoring.network
    mouths = LaDTalkMouths(speaking.network, texture, strength)
    return ManagedMouths(mouths, components, mouths.memory)


def require_component(component: host.Component | None, socket: str, what: str) -> host.Component:
    """The component. Raises InputError where the checkpoint had none."""
    if component is None:
        raise InputError(
            f"{socket} is empty: the checkpoint in Load LaDTalk holds no {what}; choose one that does, such as the "
            "bundled one"
        )
    return is_a(host.Component, component, socket)
