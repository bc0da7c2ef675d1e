"""Face nodes: detection and tracking, cropping, pasting back.

The work is done in talkface_core/faces; here are the sockets, the words, and what a person checks it by.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..talkface_core.errors import InputError
from ..talkface_core.faces.align import FaceCrop, align, check_shape, crop_faces
from ..talkface_core.faces.draw import draw_track
from ..talkface_core.faces.even import even_size, on_frames, size_of
from ..talkface_core.faces.external_landmarks import external_track
from ..talkface_core.faces.paste import FEATHER, frame_mask, mouth_mask, paste_into
from ..talkface_core.faces.solve_pose import warn_of_yaw
from ..talkface_core.faces.track import FaceTrack, smooth
from ..talkface_core.faces.tracking import track_faces
from . import host
from .face_inputs import choice_inputs, chosen, detector_inputs, detector_of, mask_input, smoothing_input
from .footage_rate import HIDDEN, footage_rate, fps_input, video_input
from .sockets import FACE_CROP, FACE_LANDMARKS, FACE_TRACK, is_a, schema
from .track_preview import preview_input

log = logging.getLogger(__name__)

SYSTEM = "Faces"

_AT_ONCE = 32  # frames that are looked at together


class DetectFaces(io.ComfyNode):
    """One face followed through the frames: 68 landmarks in each."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "DetectFaces",
            "Detect Faces",
            SYSTEM,
            "Finds a face, keeps to it through the frames, and marks 68 landmarks in each. Where a frame shows no "
            "face, the neighbours' is held, and the log counts such frames. Nothing is downloaded.",
            inputs=[
                io.Image.Input("images", tooltip="Frames of a video, or one picture. Faces from about 40 pixels on."),
                *choice_inputs(),
                smoothing_input(),
                fps_input("Goes with the track."),
                *detector_inputs(),
                preview_input(),
                mask_input(),
                FACE_LANDMARKS.Input(
                    "face_landmarks",
                    optional=True,
                    tooltip="Landmarks that newer ComfyUI's MediaPipe Face Landmarker found in these images, to be "
                    "used in place of the detector.",
                ),
                video_input(),
            ],
            hidden=list(HIDDEN),
            outputs=[
                FACE_TRACK.Output(
                    display_name="face_track", tooltip="68 landmarks a frame, for Wav2Lip, Crop Face or Head Pose."
                ),
                io.Image.Output(
                    display_name="preview",
                    tooltip="The frames with the landmarks: green where seen (lips yellow), orange where held or, of "
                    "lips, not readable.",
                ),
                io.Float.Output(display_name="fps", tooltip="The frame rate of the track, for Create Video."),
            ],
            search_aliases=["face detection", "landmarks", "face tracking", "68 points"],
        )

    @classmethod
    def execute(
        cls,
        images: Tensor,
        face: str,
        index: int,
        x: int,
        y: int,
        smoothing: float,
        fps: float,
        detector: str,
        threshold: float,
        preview_every: int,
        mask: Tensor | None = None,
        face_landmarks: dict[str, Any] | None = None,
        video: Any = None,
    ) -> io.NodeOutput:
        progress = host.Progress(len(images))
        choice = chosen(face, index, x, y, mask)
        rate = footage_rate(cls, len(images), fps, video)
        frames = images[..., :3]
        if face_landmarks is not None:
            track = smooth(external_track(face_landmarks, rate, size_of(frames), choice), smoothing)
        else:

            def show(first: int, chunk: Tensor, landmarks: Tensor, valid: Tensor) -> None:
                newest, seen = chunk[-1:], FaceTrack(landmarks[-1:], valid[-1:], size_of(chunk), rate)
                progress.reach(first + len(chunk), (draw_track(newest, seen) if valid[-1] else newest)[0])

            found = detector_of(detector, threshold)
            track = track_faces(
                iter(frames.split(_AT_ONCE)), rate, found, choice, smoothing if len(frames) > 1 else 0.0, show
            )
        warn_of_yaw(track)
        previewed = list(range(0, len(track), preview_every))
        host.check_room(len(previewed), *track.size, "raise preview_every, or give fewer frames at a time")
        preview = host.gather(_drawn(frames, track, previewed), len(previewed))
        return io.NodeOutput(track, preview, float(track.fps))


class CropFace(io.ComfyNode):
    """The tracked face, cut out level and centred, the same in every frame."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "CropFace",
            "Crop Face",
            SYSTEM,
            "Cuts the tracked face out of every frame: level, centred, of one size, still while the mouth moves. The "
            "same crop that the pack's networks were trained on.",
            inputs=[
                io.Image.Input("images", tooltip="The frames that the face was tracked in."),
                FACE_TRACK.Input("face_track", tooltip="From Detect Faces."),
                io.Int.Input(
                    "size",
                    default=256,
                    min=32,
                    max=2048,
                    step=8,
                    tooltip="Side of the square crops in pixels. Larger than the face in the frame adds no detail.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="faces", tooltip="The crops, one a frame."),
                FACE_CROP.Output(display_name="face_crop", tooltip="Where they came from, for Paste Face."),
            ],
            search_aliases=["align face", "face crop"],
        )

    @classmethod
    def execute(cls, images: Tensor, face_track: FaceTrack, size: int) -> io.NodeOutput:
        frames, crop = _frames_of(align(is_a(FaceTrack, face_track, "face_track"), size), images)
        host.check_room(len(crop), size, size, "make size smaller, or give fewer frames at a time")
        faces = (crop_faces(frames[a:b], crop.part(a, b)) for a, b in _parts(len(frames)))
        return io.NodeOutput(host.gather(host.Progress(len(frames)).follow(faces), len(frames)), crop)


class PasteFace(io.ComfyNode):
    """New faces laid into the frames where the crops were cut out."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "PasteFace",
            "Paste Face",
            SYSTEM,
            "Lays changed faces back into their frames: mouth and jaw only, with a soft edge and matched colours. "
            "Outside the mask every pixel stays as it was.",
            inputs=[
                io.Image.Input("images", tooltip="The frames that the crops were cut out of."),
                io.Image.Input("faces", tooltip="The changed crops, one a frame; any size."),
                FACE_CROP.Input("face_crop", tooltip="Where they belong, from Crop Face."),
                io.Float.Input(
                    "feather",
                    default=FEATHER,
                    min=0.01,
                    max=0.2,
                    step=0.01,
                    tooltip="Width of the soft edge, by the crop's side. Wider hides more and takes less of the face.",
                ),
                io.Boolean.Input(
                    "match_colour",
                    default=True,
                    tooltip="Shifts the new face's colours to the frame's around the mask. Off for faces that are "
                    "meant to look different.",
                ),
                io.Mask.Input(
                    "mask",
                    optional=True,
                    tooltip="What to take of the crops, in the crop: one mask for all or one a frame. Without it mouth "
                    "and jaw, from the landmarks.",
                ),
            ],
            outputs=[
                io.Image.Output(display_name="images", tooltip="The frames with the new faces."),
                io.Mask.Output(display_name="mask", tooltip="Where they were changed, in the frame."),
            ],
            search_aliases=["face composite", "paste back", "blend"],
        )

    @classmethod
    def execute(
        cls,
        images: Tensor,
        faces: Tensor,
        face_crop: FaceCrop,
        feather: float,
        match_colour: bool,
        mask: Tensor | None = None,
    ) -> io.NodeOutput:
        frames, crop = _frames_of(is_a(FaceCrop, face_crop, "face_crop"), images)
        progress = host.Progress(len(frames))
        warn_of_odd_sides(frames)
        if len(faces) != len(crop) or faces.shape[1] != faces.shape[2]:
            raise InputError(
                f"{len(faces)} faces of {faces.shape[2]}x{faces.shape[1]} px for {len(crop)} frames; give one square "
                "face for each frame, as Crop Face makes them."
            )
        wanted = mouth_mask(crop, feather) if mask is None else mask
        wanted = wanted[0] if wanted.ndim == 3 and len(wanted) == 1 else wanted

        host.check_room(len(crop), *crop.image_size, "give fewer frames at a time")
        where = host.handed_on(frame_mask(crop, wanted))
        if not (where > 0).any():
            log.warning("the mask is black everywhere: the frames stay as they are")
        output = host.handed_on(frames, copy=True)
        for a, b in _parts(len(frames)):
            own = wanted if wanted.ndim == 2 else wanted[a:b]
            paste_into(list(output[a:b]), faces[a:b, ..., :3], crop.part(a, b), own, match_colour)
            progress.reach(b, output[b - 1])
        return io.NodeOutput(output, where)


def warn_of_odd_sides(frames: Tensor) -> None:
    """Says before the work that Save Video will not take the frames of a video with odd sides."""
    height, width = size_of(frames)
    if len(frames) > 1 and even_size((height, width)) != (height, width):
        log.warning(
            "frames of %dx%d px: Save Video encodes no odd sides; crop or scale them to even ones beforehand",
            width,
            height,
        )


def _frames_of(crop: FaceCrop, images: Tensor) -> tuple[Tensor, FaceCrop]:
    """The images without alpha, and their crops, which may be of the same frames before they grew to even sides.

    Raises InputError if the images are not as many, or not as large, as the crop's frames.
    """
    frames = images[..., :3]
    crop = on_frames(crop, size_of(frames))
    check_shape(frames, crop.image_size, len(crop))
    return frames, crop


def _parts(frames: int) -> Iterator[tuple[int, int]]:
    for start in range(0, frames, _AT_ONCE):
        yield start, min(start + _AT_ONCE, frames)


def _drawn(frames: Tensor, track: FaceTrack, numbers: list[int]) -> Iterator[Tensor]:
    for a, b in _parts(len(numbers)):
        yield draw_track(frames[numbers[a:b]].float(), track.at(numbers[a:b]))
