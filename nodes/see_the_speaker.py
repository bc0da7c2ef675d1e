"""See the Speaker as nodes: a portrait from a voice, the motion of speech, and a portrait drawn in that motion.

Source: See the Speaker (Wang et al., arXiv 2510.26819). The work is done in talkface_core/see_the_speaker; here are the
sockets and the words. A portrait is a guess at sex and age group and identifies nobody.
"""

from __future__ import annotations

import copy
from typing import Any

from comfy_api.latest import io
from torch import Tensor

from ..talkface_core.faces.head_pose import HeadPose as Pose
from ..talkface_core.faces.track import FaceTrack
from ..talkface_core.media.audio import audio_source
from ..talkface_core.pixels import to_unit
from ..talkface_core.see_the_speaker.imagining import Imagining, imagine, imagine_memory
from ..talkface_core.see_the_speaker.motion import Motion
from ..talkface_core.see_the_speaker.motion_stream import MotionModel
from ..talkface_core.see_the_speaker.pipeline import draw, find_face, speech_motion
from ..talkface_core.see_the_speaker.rendering import PortraitRenderer
from ..talkface_core.see_the_speaker.spoken_motion import SpokenMotion
from ..talkface_core.speech.features import EncodedAudio
from . import host
from .face_inputs import detector_of
from .sockets import FACE_TRACK, HRTF, MOTION, advanced, encoder_input, is_a, schema, seed_input
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

STREAM = "use the node Animate Portrait, which writes frames to disk as they come, or a shorter sound"


class SpeechToPortrait(io.ComfyNode):
    """A voice to a portrait of somebody who might have it (See the Speaker, first stage)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "SpeechToPortrait",
            "Speech to Portrait",
            SYSTEM,
            "Guesses a portrait from a voice. A voice tells sex and, roughly, an age group; everything else is made up "
            "from the seed: it is a guess, shows nobody and identifies nobody. Sound without speech is refused.",
            inputs=[
                portrait_input(),
                voice_input("The ten seconds in which most is said are listened to; one second at least."),
                *prior_inputs(),
                seed_input("Draws all that a voice does not tell: another seed, another person."),
                HRTF.Input(
                    "hrtf",
                    optional=True,
                    tooltip="From the same Load See the Speaker: its codebook brings the portrait to 256 px and makes "
                    "it sharp. Without it the portrait has the model's own size, 128 px.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="image",
                    tooltip="The portrait, for Render Motion, Animate Portrait or Detect Faces. Say that it is "
                    "synthetic where you show it.",
                )
            ],
            search_aliases=["voice to face", "speech to face", "face from voice", "portrait generation"],
        )

    @classmethod
    def execute(
        cls,
        portrait_model: host.Component | None,
        audio: dict[str, Any],
        prior: str,
        prior_weight: float,
        guidance: float,
        steps: int,
        seed: int,
        hrtf: host.Component | None = None,
    ) -> io.NodeOutput:
        imagining, drawing = check_portrait(portrait_model), None if hrtf is None else check_hrtf(hrtf)
        how = Imagining(prior, prior_weight, guidance, steps, seed)
        source = host.Interruptible(audio_source(audio))
        renderer = None if drawing is None else drawing.network
        host.load_all(
            [imagining] if drawing is None else [imagining, drawing], imagine_memory(imagining.network, renderer)
        )
        image = imagine(imagining.network, renderer, source, how, shown(host.Progress(steps)))
        return io.NodeOutput(host.handed_on(image[None]))


class SpeechToMotion(io.ComfyNode):
    """Speech to the motion of a face, its eyes and its head (See the Speaker, second stage)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "SpeechToMotion",
            "Speech to Motion",
            SYSTEM,
            "Hears speech and says how a face moves: mouth, brows, blinks, gaze and head together, for any portrait. "
            "Exactly seconds x fps frames, rounded up. Quick; look at it with Render Motion.",
            inputs=[
                motion_input(),
                voice_input("It is only listened to; give the same sound to Create Video."),
                *style_inputs(),
                seed_input("Draws the motion that speech leaves open: head, gaze, blinks."),
                pose_input(),
                encoder_input(),
            ],
            outputs=[
                MOTION.Output(display_name="motion", tooltip="How the face moves, frame by frame, for Render Motion."),
                io.Float.Output(display_name="fps", tooltip="The frame rate, for Create Video."),
                io.Audio.Output(display_name="audio", tooltip="The sound that was given, as it is, for Create Video."),
            ],
            search_aliases=["audio to motion", "talking head", "lip sync", "joyvasa"],
        )

    @classmethod
    def execute(
        cls,
        motion_model: host.Component | None,
        audio: dict[str, Any],
        seed: int,
        head_pose: Pose | None = None,
        audio_encoder_output: dict[str, Any] | None = None,
        **settings: Any,
    ) -> io.NodeOutput:
        component = check_motion(motion_model)
        source = host.Interruptible(audio_source(audio))
        model: MotionModel = host.load(component)
        setup = MotionSetup.of(model, source, head_pose, seed, **settings)
        encoded = None if audio_encoder_output is None else EncodedAudio(audio_encoder_output)
        chunks = speech_motion(model, source, setup.rate, setup.how, encoded)
        motion = Motion.join(list(host.Progress(setup.frames).follow(chunks)))
        diffusion, turned = model.diffusion, setup.how.style.pose is not None
        controls = copy.deepcopy(diffusion.controls).cpu()  # the model's own may be moved meanwhile
        spoken = SpokenMotion(motion, component.space, controls, diffusion.config.relative, turned)
        return io.NodeOutput(spoken, float(setup.rate), audio)


class RenderMotion(io.ComfyNode):
    """A portrait in motion (See the Speaker: motion wrapper, high-resolution decoder and discrete codebook)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "RenderMotion",
            "Render Motion",
            SYSTEM,
            "Draws a portrait in the motion that Speech to Motion gives: a photo, a painting, or a portrait from a "
            "voice. The head moves in its square; around it the picture stays.",
            inputs=[
                drawing_input(),
                picture_input(),
                MOTION.Input("motion", tooltip="From Speech to Motion of the same checkpoint."),
                region_input(),
                fidelity_input(),
                advanced(
                    io.Int.Input(
                        "window",
                        default=0,
                        min=0,
                        max=256,
                        tooltip="Frames drawn at a time; 0 is what suits the device. The result is the same whatever "
                        "it is; more need more memory, and when that runs out the window is halved.",
                    )
                ),
                FACE_TRACK.Input(
                    "face_track",
                    optional=True,
                    tooltip="Where the face is in this picture, from Detect Faces, where there are several. Without "
                    "it the largest face is looked for.",
                ),
            ],
            outputs=[
                io.Image.Output(
                    display_name="images",
                    tooltip="The frames, for Create Video. Odd sides have grown by one pixel, for Save Video.",
                )
            ],
            search_aliases=["portrait animation", "animate image", "talking head", "liveportrait"],
        )

    @classmethod
    def execute(
        cls,
        hrtf: host.Component | None,
        image: Tensor,
        motion: SpokenMotion,
        region: str,
        fidelity: float,
        window: int,
        face_track: FaceTrack | None = None,
    ) -> io.NodeOutput:
        component, spoken = check_hrtf(hrtf), is_a(SpokenMotion, motion, "motion")
        renderer: PortraitRenderer = component.network
        kept, at_once, whole = fidelity_of(renderer, fidelity), window_of(window), region == REGIONS[0]
        picture, track = one_picture(image, face_track)
        height, width = picture.shape[:2] if whole else (renderer.size, renderer.size)
        host.check_room(len(spoken), height, width, STREAM)
        landmarks = track.landmarks[0] if track else find_face(picture, detector_of("auto"))
        host.load(component, renderer.memory(at_once))
        portrait = renderer.portrait(picture, landmarks)
        moved = spoken.on(portrait, component.space)
        parts = (moved[first : first + at_once] for first in range(0, len(moved), at_once))
        frames = draw(renderer, portrait, parts, picture if whole else None, kept)
        images = host.gather((to_unit(part) for part in host.Progress(len(moved)).follow(frames)), len(moved))
        return io.NodeOutput(images)
