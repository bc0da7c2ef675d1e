"""The head pose node: sliders for one pose, lines of text for a motion, or a face to follow."""

from __future__ import annotations

from comfy_api.latest import io

from ..talkface_core.errors import InputError
from ..talkface_core.faces.head_pose import LIMIT
from ..talkface_core.faces.head_pose import HeadPose as Pose
from ..talkface_core.faces.solve_pose import head_pose as pose_of
from ..talkface_core.faces.track import FaceTrack
from .sockets import FACE_TRACK, HEAD_POSE, is_a, schema


class HeadPose(io.ComfyNode):
    """Sliders, keyframes or a face track to a HEAD_POSE that fits any length of sound."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "HeadPose",
            "Head Pose",
            "",
            "How the head is held: one pose by the sliders, a motion by keyframes, or that of a face in a video. It "
            "fits sound of any length. Costs nothing.",
            inputs=[
                _angle("yaw", "Degrees to the side: above 0 turns the face to the right of the picture."),
                _angle("pitch", "Degrees up or down: above 0 nods down."),
                _angle("roll", "Degrees of tilt: above 0 turns counter-clockwise."),
                io.String.Input(
                    "keyframes",
                    default="",
                    multiline=True,
                    placeholder="0: 0, 0, 0\n2.5: 12, 0, 0",
                    tooltip="A motion, one pose a line: seconds: yaw, pitch, roll. Between two moments the head moves "
                    "evenly; before the first and after the last it is held. Anything here takes the sliders' place; "
                    "empty, the sliders hold for the whole clip.",
                ),
                FACE_TRACK.Input(
                    "face_track",
                    optional=True,
                    tooltip="A face whose turns to follow, from Detect Faces. It takes the place of keyframes and "
                    "sliders. Measured to about 4 degrees; steadier with more smoothing there.",
                ),
            ],
            outputs=[
                HEAD_POSE.Output(
                    display_name="head_pose",
                    tooltip="For Speech to Latent or Talking Video. The bundled speaker has seen yaw -16 to 16, pitch "
                    "-7 to 12 and roll -6 to 5 degrees; beyond, the head stays where that ends.",
                )
            ],
            search_aliases=["turn head", "yaw pitch roll", "keyframes"],
        )

    @classmethod
    def validate_inputs(cls, keyframes: object) -> bool | str:
        """Reads the keyframes before anything runs; linked ones (None) are read later."""
        try:
            text = "" if keyframes is None else str(keyframes)
            return not text.strip() or bool(Pose.from_text(text, "keyframes"))
        except InputError as error:
            return str(error)

    @classmethod
    def execute(
        cls, yaw: float, pitch: float, roll: float, keyframes: str, face_track: FaceTrack | None = None
    ) -> io.NodeOutput:
        if face_track is not None:
            return io.NodeOutput(pose_of(is_a(FaceTrack, face_track, "face_track")))
        return io.NodeOutput(
            Pose.from_text(keyframes, "keyframes") if keyframes.strip() else Pose.constant(yaw, pitch, roll)
        )


def _angle(name: str, tooltip: str) -> io.Input:
    return io.Float.Input(
        name,
        default=0.0,
        min=-LIMIT,
        max=LIMIT,
        step=0.5,
        display_mode=io.NumberDisplay.slider,
        tooltip=f"{tooltip} Holds for the whole clip; not used while there are keyframes.",
    )
