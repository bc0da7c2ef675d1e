"""See the Speaker in one node: a voice alone, or a picture and a sound, to a finished video, streamed.

Source: See the Speaker (Wang et al., arXiv 2510.26819), both stages. The work is done in talkface_core/see_the_speaker;
here are the sockets and the words.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from comfy_api.latest import InputImpl, io
from torch import Tensor

from ..talkface_core.errors import InputError
from ..talkface_core.faces.head_pose import HeadPose as Pose
from ..talkface_core.media.audio import audio_source
from ..talkface_core.media.source import AudioSource
from ..talkface_core.media.video_writer import VideoWriter
from ..talkface_core.see_the_speaker.imagining import GUESS, Imagining, face_in, imagine, imagine_memory
from ..talkface_core.see_the_speaker.motion_stream import MotionModel
from ..talkface_core.see_the_speaker.pipeline import animate, find_face
from ..talkface_core.see_the_speaker.rendering import PortraitRenderer
from ..talkface_core.speech.features import EncodedAudio
from . import host
from .face_inputs import choice_inputs, chosen, detector_inputs, detector_of, mask_input
from .sockets import encoder_input, schema, seed_input
from .speaker_inputs import (
    REGIONS,
    SYSTEM,
    drawing_input,
    fidelity_input,
    motion_input,
    picture_input,
    portrait_input,
    pose_input,
    prior_inputs,
    region_input,
    style_inputs,
    voice_input,
)
from .speaker_setup import (
    MotionSetup,
    check_hrtf,
    check_motion,
    check_portrait,
    fidelity_of,
    one_picture,
    shown,
    window_of,
)
from .video import marked


class TalkingVideoFromVoice(io.ComfyNode):
    """A voice alone to a finished video file: portrait, motion, drawing and the encoder in one stream."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "TalkingVideoFromVoice",
            "Talking Video from Voice",
            SYSTEM,
            "A voice alone to a video of a person who says it: a portrait is guessed, then moved, and written to disk "
            "as it is drawn, however long. A guess at sex and age group, which shows nobody and identifies nobody; the "
            "file says so and is marked as synthetic.",
            inputs=[
                portrait_input(),
                motion_input(),
                drawing_input(),
                voice_input("It goes into the video as it is, in up to 8 channels. Without speech it is refused."),
                *prior_inputs("portrait_"),
                *style_inputs("motion_"),
                fidelity_input(),
                seed_input("Draws the person, and the motion that speech leaves open: another seed, another person."),
                pose_input(),
                encoder_input(),
            ],
            outputs=[
                _video_output(),
                io.Image.Output(display_name="image", tooltip="The guessed portrait that the video was made from."),
            ],
            search_aliases=["voice to video", "speech to video", "talking head", "voice to face", "long video"],
        )

    @classmethod
    def execute(
        cls,
        portrait_model: host.Component | None,
        motion_model: host.Component | None,
        hrtf: host.Component | None,
        audio: dict[str, Any],
        prior: str,
        prior_weight: float,
        portrait_guidance: float,
        portrait_steps: int,
        fidelity: float,
        seed: int,
        head_pose: Pose | None = None,
        audio_encoder_output: dict[str, Any] | None = None,
        **settings: Any,
    ) -> io.NodeOutput:
        sides = [check_portrait(portrait_model), check_motion(motion_model), check_hrtf(hrtf)]
        how = Imagining(prior, prior_weight, portrait_guidance, portrait_steps, seed)
        source = host.Interruptible(audio_source(audio))
        work = _Work(sides[1:], source, head_pose, audio_encoder_output, seed, fidelity, settings)
        model = sides[0].network
        detector = detector_of("bundled", beside=sides, memory=max(work.memory, imagine_memory(model, work.renderer)))
        progress = host.Progress(portrait_steps + work.setup.frames)
        image = imagine(model, work.renderer, source, how, shown(progress))
        video = work.video(image, face_in(image, detector), progress, GUESS)
        return io.NodeOutput(video, host.handed_on(image[None]))


class AnimatePortrait(io.ComfyNode):
    """A picture and a sound to a finished video file: motion, drawing and the encoder in one stream."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "AnimatePortrait",
            "Animate Portrait",
            SYSTEM,
            "A picture with a face and a sound to a video in which it says that sound, head and eyes moving, written "
            "to disk as it is drawn, however long. The same frames as Speech to Motion and Render Motion give. Marked "
            "as synthetic.",
            inputs=[
                motion_input(),
                drawing_input(),
                picture_input(),
                voice_input("It goes into the video as it is, in up to 8 channels."),
                *choice_inputs(),
                *style_inputs(),
                region_input(),
                fidelity_input(),
                seed_input("Draws the motion that speech leaves open: head, gaze, blinks."),
                *detector_inputs(),
                pose_input(),
                mask_input(),
                encoder_input(),
            ],
            outputs=[_video_output()],
            search_aliases=["portrait animation", "animate image", "talking head", "talking photo", "long video"],
        )

    @classmethod
    def execute(
        cls,
        motion_model: host.Component | None,
        hrtf: host.Component | None,
        image: Tensor,
        audio: dict[str, Any],
        face: str,
        index: int,
        x: int,
        y: int,
        region: str,
        fidelity: float,
        seed: int,
        detector: str,
        threshold: float,
        head_pose: Pose | None = None,
        mask: Tensor | None = None,
        audio_encoder_output: dict[str, Any] | None = None,
        **settings: Any,
    ) -> io.NodeOutput:
        sides = [check_motion(motion_model), check_hrtf(hrtf)]
        source = host.Interruptible(audio_source(audio))
        work = _Work(sides, source, head_pose, audio_encoder_output, seed, fidelity, settings, region == REGIONS[0])
        picture, _ = one_picture(image)
        landmarks = find_face(picture, detector_of(detector, threshold), chosen(face, index, x, y, mask))
        host.load_all(sides, work.memory)
        return io.NodeOutput(work.video(picture, landmarks, host.Progress(work.setup.frames)))


class _Work:
    """What both nodes do once there is a picture; all that can be wrong with the inputs is told before."""

    def __init__(
        self,
        sides: list[host.Component],
        source: AudioSource,
        head_pose: Pose | None,
        audio_encoder_output: dict[str, Any] | None,
        seed: int,
        fidelity: float,
        settings: dict[str, Any],
        whole: bool = True,
    ) -> None:
        hearing, drawing = sides
        if not hearing.space.fits(drawing.space):
            raise InputError(
                f"motion_model is of the model {hearing.name!r} and hrtf of {drawing.name!r}, whose keypoints are "
                "others: take both from one loader, or LivePortrait's with JoyVASA's"
            )
        self.model: MotionModel = hearing.network
        self.renderer: PortraitRenderer = drawing.network
        self.source, self.window = source, window_of(0)
        plain = {name.removeprefix("motion_"): value for name, value in settings.items()}
        self.setup = MotionSetup.of(self.model, source, head_pose, seed, **plain)
        self.how = replace(self.setup.how, fidelity=fidelity_of(self.renderer, fidelity), whole=whole)
        self.encoded = None if audio_encoder_output is None else EncodedAudio(audio_encoder_output)

    @property
    def memory(self) -> float:
        """Bytes of activations that drawing needs."""
        return self.renderer.memory(self.window)

    def video(
        self, picture: Tensor, landmarks: Tensor, progress: host.Progress, metadata: Mapping[str, str] | None = None
    ) -> Any:
        """The VIDEO, in the temp folder, of a picture [H,W,3] with a face at `landmarks`, marked, with `metadata`."""
        rate, renderer = self.setup.rate, self.renderer
        frames = animate(
            self.model, renderer, picture, landmarks, self.source, rate, self.how, self.encoded, self.window
        )
        height, width = picture.shape[:2] if self.how.whole else (renderer.size, renderer.size)
        path = host.temp_file(".mp4")
        with VideoWriter(path, width, height, rate, self.source, metadata=metadata) as writer:
            for chunk in progress.follow(frames):
                writer.write(chunk)
        return marked(InputImpl.VideoFromFile(str(path)), metadata)


def _video_output() -> io.Output:
    """The finished video."""
    return io.Video.Output(
        display_name="video",
        tooltip="The video with its sound, for Save Video. Until then it lies in ComfyUI's temp folder.",
    )
