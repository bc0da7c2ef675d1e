"""The inputs that all See the Speaker nodes share, and what they mean."""

from __future__ import annotations

from comfy_api.latest import io

from ..talkface_core.see_the_speaker import pipeline
from ..talkface_core.see_the_speaker.imagining import Imagining
from ..talkface_core.see_the_speaker.style import MOST
from .sockets import HEAD_POSE, HRTF, MOTION_MODEL, PORTRAIT, advanced

SYSTEM = "See the Speaker"
"""The nodes' place in the menu."""

ARMS = ("adaptive", "fixed", "none")
REGIONS = ("picture", "head")

_PLAIN = Imagining()


def portrait_input() -> io.Input:
    """The side that guesses portraits."""
    return PORTRAIT.Input(
        "portrait_model", tooltip="The network that guesses a portrait from a voice, from Load See the Speaker."
    )


def motion_input() -> io.Input:
    """The side that moves faces."""
    return MOTION_MODEL.Input(
        "motion_model", tooltip="The network that hears speech and moves a face, from Load See the Speaker."
    )


def drawing_input() -> io.Input:
    """The side that draws."""
    return HRTF.Input(
        "hrtf", tooltip="The network that draws a portrait in motion, from the same Load See the Speaker."
    )


def picture_input() -> io.Input:
    """What is moved."""
    return io.Image.Input(
        "image", tooltip="Any picture with a face that looks about ahead; of several the first is taken."
    )


def voice_input(more: str) -> io.Input:
    """The sound; `more` says where it goes."""
    return io.Audio.Input(
        "audio",
        tooltip=f"The speech: any length, rate and number of channels. {more} Other voices count as speech, and some "
        "music is taken for it.",
    )


def prior_inputs(prefix: str = "") -> list[io.Input]:
    """How a portrait is guessed; `prefix` tells its settings from the motion's."""
    return [
        io.Combo.Input(
            "prior",
            options=list(ARMS),
            default=_PLAIN.arm,
            tooltip="How much of the mean face a portrait begins with. adaptive: as much as the voice asks for; fixed: "
            "prior_weight; none: nothing. These are the paper's three arms.",
        ),
        io.Float.Input(
            "prior_weight",
            default=_PLAIN.weight,
            min=0.0,
            max=1.0,
            step=0.05,
            tooltip="With prior = fixed, the mean face's weight: 1 all of it, 0 none. Otherwise it has no effect.",
        ),
        io.Float.Input(
            f"{prefix}guidance",
            default=_PLAIN.guidance,
            min=0.0,
            max=10.0,
            step=0.1,
            tooltip="How far the voice counts for the portrait: 1 as trained, more makes sex and age group plainer and "
            "people more alike, 0 does not listen.",
        ),
        io.Int.Input(
            f"{prefix}steps",
            default=_PLAIN.steps,
            min=1,
            max=1000,
            tooltip="Evaluations of the network for the portrait. The default is enough; the time grows with it.",
        ),
    ]


def style_inputs(prefix: str = "") -> list[io.Input]:
    """How a face moves; `prefix` tells the sampler's settings from the portrait's."""
    return [
        io.Float.Input(
            "fps",
            default=25.0,
            min=pipeline.SLOWEST,
            max=pipeline.FASTEST,
            step=0.01,
            tooltip="Frames per second of the video. Models are trained at 25; at other rates motion is interpolated, "
            "never pixels. The cost of drawing grows with it.",
        ),
        _factor("head_motion", "Stretches the head's motion: 1 as predicted, 0 a still head, above 1 livelier."),
        _factor(
            "expression",
            "Stretches what the face does, the mouth most of all: 1 as predicted, 0 a still face, 1.3 speaks up. "
            "Beyond 1.5 faces may distort.",
        ),
        _factor("blink", "How far lids close in a blink: 1 as predicted, 0 never."),
        io.Float.Input(
            "blink_rate",
            default=-1.0,
            min=-1.0,
            max=60.0,
            step=1.0,
            tooltip="Blinks a minute, drawn from the seed in place of the predicted ones; people blink 10 to 20 times. "
            "0 none, -1 as predicted.",
        ),
        _gaze("gaze_right", "Turns the eyes to the right of the picture, below 0 to the left"),
        _gaze("gaze_down", "Turns the eyes down, below 0 up"),
        advanced(
            io.Float.Input(
                f"{prefix}guidance",
                default=0.0,
                min=0.0,
                max=10.0,
                step=0.1,
                tooltip="How far the sound counts for the motion: 1 as trained, more exaggerates and takes twice the "
                "time; 0 takes the model's own.",
            )
        ),
        advanced(
            io.Int.Input(
                f"{prefix}steps",
                default=0,
                min=0,
                max=500,
                tooltip="Evaluations of the network for each window of motion; 0 takes the model's own. Drawing takes "
                "far longer.",
            )
        ),
    ]


def pose_input() -> io.Input:
    """The head as the user has it."""
    return HEAD_POSE.Input(
        "head_pose",
        optional=True,
        tooltip="A pose or a motion of the head to follow in place of the predicted one, such as Head Pose gives.",
    )


def fidelity_input() -> io.Input:
    """How far the codebook may go."""
    return io.Float.Input(
        "fidelity",
        default=-1.0,
        min=-1.0,
        max=1.0,
        step=0.05,
        tooltip="What the codebook adds to what was painted: 0 takes its codes alone, which is sharpest, 1 keeps to "
        "the painted frame; -1 takes the model's own.",
    )


def region_input() -> io.Input:
    """What of the picture becomes the video."""
    return io.Combo.Input(
        "region",
        options=list(REGIONS),
        default=REGIONS[0],
        tooltip="picture: the whole picture, the moving head laid into it. head: the head's square alone, in the "
        "model's size.",
    )


def _factor(name: str, tooltip: str) -> io.Input:
    return io.Float.Input(name, default=1.0, min=0.0, max=MOST, step=0.05, tooltip=tooltip)


def _gaze(name: str, what: str) -> io.Input:
    return io.Float.Input(
        name, default=0.0, min=-1.0, max=1.0, step=0.05, tooltip=f"{what}, on top of what is predicted."
    )
