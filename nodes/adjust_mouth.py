"""Adjust Mouth: the goal as an artist wants it, between the network that hears and the one that paints.

The work is done in talkface_core/landmark_diffusion/adjust_track.py.
"""

from __future__ import annotations

import torch
from comfy_api.latest import io
from torch import Tensor

from ..talkface_core.errors import InputError
from ..talkface_core.faces.even import on_frames, size_of
from ..talkface_core.faces.track import FaceTrack
from ..talkface_core.landmark_diffusion.adjust_track import LARGEST_SHIFT, adjust_mouth
from ..talkface_core.landmark_diffusion.completion_stream import LARGEST_STRENGTH
from ..talkface_core.media.playback import frame_order
from .landmark_inputs import SYSTEM, smoothing_input
from .sockets import FACE_TRACK, is_a, schema
from .track_preview import TrackPreview, drawn_on_input, preview_input


class AdjustMouth(io.ComfyNode):
    """A face track whose mouth moves further, more calmly or at another time (between landmark diffusion's stages)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "AdjustMouth",
            "Adjust Mouth",
            SYSTEM,
            "Changes how lips and jaw of a face track move: how far, how calmly, and when; the other landmarks stay. "
            "It takes a moment, so adjust here until the preview looks right, and paint then.",
            inputs=[
                FACE_TRACK.Input("goal", tooltip="The landmarks that are to be changed, from Landmark Complete."),
                io.Float.Input(
                    "strength",
                    default=1.0,
                    min=0.0,
                    max=LARGEST_STRENGTH,
                    step=0.05,
                    tooltip="How far the mouth moves from rest: 1 as it is, 0 shut, 1.3 opens wider. What is shut "
                    "stays shut.",
                ),
                smoothing_input(),
                io.Int.Input(
                    "shift",
                    default=0,
                    min=-LARGEST_SHIFT,
                    max=LARGEST_SHIFT,
                    tooltip="Frames by which the mouth comes later; below 0 earlier. The head stays where it is.",
                ),
                preview_input(),
                FACE_TRACK.Input(
                    "face_track",
                    optional=True,
                    tooltip="The person's own track, from Detect Faces: where its mouth is shut is rest. Without it "
                    "the goal shows it, which then has to be shut in some frame.",
                ),
                drawn_on_input(),
            ],
            outputs=[
                FACE_TRACK.Output(
                    display_name="goal",
                    tooltip="The changed landmarks, for TalkFormer Sampler or another Adjust Mouth.",
                ),
                io.Image.Output(display_name="preview", tooltip="The landmarks drawn on the frames, lips yellow."),
            ],
            search_aliases=["lip sync", "landmarks", "mouth strength", "delay", "offset", "smooth"],
        )

    @classmethod
    def execute(
        cls,
        goal: FaceTrack,
        strength: float,
        smoothing: float,
        shift: int,
        preview_every: int,
        face_track: FaceTrack | None = None,
        images: Tensor | None = None,
    ) -> io.NodeOutput:
        track = is_a(FaceTrack, goal, "goal")
        rest = None if face_track is None else is_a(FaceTrack, face_track, "face_track")
        frames, count = None, len(track)
        if images is not None:
            frames = images[..., :3]
            track, count = on_frames(track, size_of(frames)), len(frames)
            if track.size != size_of(frames):
                raise InputError("goal and images are of two films; give the frames that the face was tracked in.")
        order = torch.from_numpy(frame_order(count, len(track), "bounce"))
        preview = TrackPreview(frames, track.size, order, preview_every)
        changed = adjust_mouth(track, rest, strength, smoothing, shift)
        return io.NodeOutput(changed, preview.draw(changed))
