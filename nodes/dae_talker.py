"""DAE-Talker as nodes: speech to latents, latents to frames and back, and all of it streamed into one video.

Source: DAE-Talker (Du et al. 2023). The work is done in talkface_core/dae_talker; here are the sockets and the words.
"""

from __future__ import annotations

import logging
from typing import Any

import torch
from comfy_api.latest import InputImpl, io
from torch import Tensor

from ..talkface_core.dae_talker import pipeline
from ..talkface_core.dae_talker.decode import decode, decode_memory, encode, fit_square, kept_decibels, noise_from_image
from ..talkface_core.dae_talker.decode import noise_from_seed as shared_noise
from ..talkface_core.dae_talker.latents import Latents
from ..talkface_core.dae_talker.model import DAETalker, SpeechModel
from ..talkface_core.errors import InputError
from ..talkface_core.faces.head_pose import HeadPose as Pose
from ..talkface_core.media.audio import audio_source
from ..talkface_core.media.video_writer import VideoWriter
from ..talkface_core.speech.features import EncodedAudio
from . import host
from .dae_inputs import SpeechSetup, drawing_inputs, sampling_of, speaking, speaking_inputs
from .footage_rate import HIDDEN, footage_rate, fps_input, video_input
from .sockets import DAE, HEAD_POSE, LATENTS, advanced, is_a, schema, seed_input
from .video import marked

log = logging.getLogger(__name__)

SYSTEM = "DAE-Talker"

_AT_ONCE = 32  # frames that are encoded together
_FOREIGN = 20.0  # dB below which a frame has not come back as what it shows


class Speech2Latent(io.ComfyNode):
    """Speech to a latent and a head pose for every frame (DAE-Talker, second stage)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "Speech2Latent",
            "Speech to Latent (DAE-Talker)",
            SYSTEM,
            "Hears speech and says what the face does: one latent a frame, and the head pose. Exactly seconds x fps "
            "frames, rounded up. In silence the mouth is shut. Quick: an hour of speech takes half a minute.",
            inputs=[
                *speaking_inputs(sound="It is only listened to; give the same sound to Create Video."),
                seed_input("Draws the blinks and the sway of the head; no effect when idle is off."),
            ],
            outputs=[
                LATENTS.Output(
                    display_name="latents", tooltip="What the face does, frame by frame, for DAE Decode of this model."
                ),
                HEAD_POSE.Output(display_name="head_pose", tooltip="The pose that was used, in degrees per frame."),
                io.Float.Output(display_name="fps", tooltip="The frame rate, for Create Video."),
            ],
            search_aliases=["talking head", "lip sync", "audio to motion"],
        )

    @classmethod
    def execute(
        cls,
        speech2latent: host.Component | None,
        audio: dict[str, Any],
        seed: int,
        head_pose: Pose | None = None,
        audio_encoder_output: dict[str, Any] | None = None,
        **settings: Any,
    ) -> io.NodeOutput:
        component = speaking(speech2latent)
        source = host.Interruptible(audio_source(audio))
        speech: SpeechModel = host.load(component)
        spoken = SpeechSetup(speech, source, head_pose, seed, **settings)
        encoded = None if audio_encoder_output is None else EncodedAudio(audio_encoder_output)
        chunks = pipeline.speech_latents(speech, source, spoken.rate, spoken.control, encoded=encoded)
        outputs = list(host.Progress(spoken.frames).follow(chunks))
        latents = Latents(torch.cat([chunk.latents for chunk in outputs]), spoken.rate, component.space)
        pose = Pose.from_frames(torch.cat([chunk.pose for chunk in outputs]), spoken.rate)
        return io.NodeOutput(latents, pose, float(spoken.rate))


class DAEEncode(io.ComfyNode):
    """Frames to latents with the semantic encoder (Preechakul et al. 2022, section 3)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "DAEEncode",
            "DAE Encode (DAE-Talker)",
            SYSTEM,
            "Reads a latent off every frame. Decoding it shows how much of a frame the model keeps, and real footage "
            "of the speaker becomes something that DAE Decode can draw.",
            inputs=[
                DAE.Input("dae", tooltip="The diffusion autoencoder, from Load DAE-Talker."),
                io.Image.Input(
                    "images",
                    tooltip="Frames of the speaker that the model was trained on, framed as in training. Of frames "
                    "that are not square the middle is taken; they are resized to the model's size.",
                ),
                fps_input("Goes along with the latents; changes no frame."),
                video_input(),
            ],
            hidden=list(HIDDEN),
            outputs=[
                LATENTS.Output(display_name="latents", tooltip="One latent a frame, for DAE Decode of this model.")
            ],
            search_aliases=["semantic latent", "diffusion autoencoder"],
        )

    @classmethod
    def execute(cls, dae: host.Component, images: Tensor, fps: float, video: Any = None) -> io.NodeOutput:
        component = is_a(host.Component, dae, "dae")
        if not len(images):
            raise InputError("there is no frame to encode: the batch of images is empty")
        rate = footage_rate(cls, len(images), fps, video)
        size = component.network.config.image_size
        model = host.load(component, 4.0 * _AT_ONCE * size * size * 3)
        squares = (fit_square(part[..., :3].float(), size) for part in images.split(_AT_ONCE))
        latents = torch.cat(list(host.Progress(len(images)).follow(encode(model, squares))))
        kept = kept_decibels(model, fit_square(images[0, ..., :3].float(), size), latents[0])
        if kept < _FOREIGN:
            log.warning(
                "the first frame comes back from its latent with %.0f dB: it does not show the speaker that %s was "
                "trained on, or not framed as in training; what is drawn will not be this face",
                kept,
                component.name,
            )
        return io.NodeOutput(Latents(latents, rate, component.space))


class DAEDecode(io.ComfyNode):
    """Latents to frames with the conditional diffusion decoder (DAE-Talker, decoding)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "DAEDecode",
            "DAE Decode (DAE-Talker)",
            SYSTEM,
            "Draws a frame from each latent. All frames start from one noise image, so that the video does not "
            "flicker. The bundled model draws 256 x 256.",
            inputs=[
                DAE.Input("dae", tooltip="The diffusion autoencoder, from Load DAE-Talker."),
                LATENTS.Input("latents", tooltip="From Speech to Latent or DAE Encode of the same model."),
                *drawing_inputs(),
                seed_input("Draws the one noise image that all frames start from. Changes fine texture, not motion."),
                advanced(
                    io.Int.Input(
                        "window",
                        default=0,
                        min=0,
                        max=1024,
                        tooltip="Frames drawn at a time; 0 takes what suits the model. Frames are the same whatever it "
                        "is; more need more memory, and when that runs out the window is halved.",
                    )
                ),
                io.Image.Input(
                    "noise_image",
                    optional=True,
                    tooltip="A picture of the speaker to take the noise from, by inversion, in place of the seed. "
                    "With the bundled model a seed gives cleaner frames. Costs 50 evaluations once.",
                ),
            ],
            outputs=[io.Image.Output(display_name="frames", tooltip="The frames, for Create Video.")],
            search_aliases=["talking head", "latents to video", "diffusion autoencoder"],
        )

    @classmethod
    def execute(
        cls,
        dae: host.Component,
        latents: Latents,
        sampler: str,
        steps: int,
        seed: int,
        window: int,
        noise_image: Tensor | None = None,
    ) -> io.NodeOutput:
        component = is_a(host.Component, dae, "dae")
        values = is_a(Latents, latents, "latents").within(component.space)
        own_sampler, own_steps = sampling_of(component, sampler, steps)
        size, side = component.network.config.image_size, component.network.frame_size()
        host.check_room(len(values), side, side)
        model = host.load(component, decode_memory(component.network, window or None))
        progress = host.Progress(len(values))
        if noise_image is None:
            noise = shared_noise(model, seed)
        else:
            picture = fit_square(noise_image[0, ..., :3].float(), size)
            noise = noise_from_image(model, picture, callback=progress.callback)
        chunks = decode(
            model,
            values,
            noise,
            sampler=own_sampler,
            steps=own_steps,
            window=window or None,
            callback=progress.callback,
            dtype=torch.float32,
            workers=host.workers(),
        )
        return io.NodeOutput(host.gather(progress.follow(chunks), len(values)))


class TalkingVideo(io.ComfyNode):
    """Speech to a finished video file, window by window: Speech2Latent, DAEDecode and the encoder in one stream."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "TalkingVideo",
            "Talking Video (DAE-Talker)",
            SYSTEM,
            "Speech to a finished video with its sound, written to disk as it is drawn: however long, only a few "
            "frames are in memory. The same frames as Speech to Latent and DAE Decode give. Marked as synthetic.",
            inputs=[
                *speaking_inputs(
                    DAE.Input("dae", tooltip="The diffusion autoencoder, from the same Load DAE-Talker."),
                    sound="It goes into the video as it is, in up to 8 channels.",
                ),
                *drawing_inputs(),
                seed_input(
                    "Draws the noise that all frames start from and, with idle, the blinks and the sway of the head."
                ),
            ],
            outputs=[
                io.Video.Output(
                    display_name="video",
                    tooltip="The video with its sound, for Save Video. Until then it lies in ComfyUI's temp folder.",
                )
            ],
            search_aliases=["talking head", "lip sync", "speech to video", "long video"],
        )

    @classmethod
    def execute(
        cls,
        speech2latent: host.Component | None,
        dae: host.Component,
        audio: dict[str, Any],
        sampler: str,
        steps: int,
        seed: int,
        head_pose: Pose | None = None,
        audio_encoder_output: dict[str, Any] | None = None,
        **settings: Any,
    ) -> io.NodeOutput:
        hearing, drawing = speaking(speech2latent), is_a(host.Component, dae, "dae")
        if hearing.space != drawing.space:
            raise InputError(
                f"speech2latent is of the model {hearing.name!r} and dae of {drawing.name!r}: take both from one loader"
            )
        own_sampler, own_steps = sampling_of(drawing, sampler, steps)
        source = host.Interruptible(audio_source(audio))
        speech, model = host.load_all([hearing, drawing], decode_memory(drawing.network))
        spoken = SpeechSetup(speech, source, head_pose, seed, **settings)
        encoded = None if audio_encoder_output is None else EncodedAudio(audio_encoder_output)
        talker = DAETalker(drawing.name, model, speech, drawing.provenance)
        progress = host.Progress(spoken.frames)
        frames = pipeline.speak(
            talker,
            source,
            spoken.rate,
            spoken.control,
            shared_noise(model, seed),
            sampler=own_sampler,
            steps=own_steps,
            workers=host.workers(),
            encoded=encoded,
            callback=progress.callback,
        )
        path = host.temp_file(".mp4")
        with VideoWriter(path, talker.output_size, talker.output_size, spoken.rate, source) as writer:
            for chunk in progress.follow(frames):
                writer.write(chunk)
        return io.NodeOutput(marked(InputImpl.VideoFromFile(str(path))))
