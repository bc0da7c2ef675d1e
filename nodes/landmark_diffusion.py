"""Landmark diffusion nodes: the sound moves landmarks, and TalkFormer paints the lower face that they ask for.

Source: landmark diffusion (Zhong et al., arXiv 2408.05416). The work is done in talkface_core/landmark_diffusion; here
are the sockets and the words.
"""

from __future__ import annotations

from typing import Any

import torch
from comfy_api.latest import io
from torch import Tensor

from ..talkface_core.errors import InputError
from ..talkface_core.faces.even import on_frames
from ..talkface_core.faces.track import FaceTrack
from ..talkface_core.faces.tracking import track_faces
from ..talkface_core.landmark_diffusion.complete_track import complete_track, spoken_order
from ..talkface_core.landmark_diffusion.given_references import GivenReferences
from ..talkface_core.landmark_diffusion.painter import Sampling
from ..talkface_core.landmark_diffusion.pipeline import LandmarkMouths
from ..talkface_core.media.audio import audio_source
from ..talkface_core.media.source import AudioSource
from ..talkface_core.speech.features import EncodedAudio
from . import host
from .face_inputs import detector_of
from .landmark_inputs import SYSTEM, motion_input, sampling_inputs, smoothing_input
from .repaint import ManagedMouths, end_if_cancelled, footage, length_input, repaint
from .sockets import COMPLETION, FACE_TRACK, TALKFORMER, advanced, encoder_input, is_a, schema
from .track_preview import TrackPreview, drawn_on_input, preview_input

_RATE = 16_000


class LandmarkComplete(io.ComfyNode):
    """A face track whose lips and jaw say a sound (landmark diffusion, first stage)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "LandmarkComplete",
            "Landmark Complete",
            SYSTEM,
            "Moves lips and jaw of a face track as the audio says; the other landmarks stay. Look at them in the "
            "preview, then let TalkFormer Sampler paint them. In silence the mouth is shut.",
            inputs=[
                COMPLETION.Input("completion", tooltip="The network that hears, from Load Landmark Diffusion."),
                FACE_TRACK.Input(
                    "face_track",
                    tooltip="Whose mouth is to speak, from Detect Faces. Its frame rate is that of the result.",
                ),
                io.Audio.Input(
                    "audio",
                    tooltip="What is to be said: any length, rate and number of channels. It is only listened to; give "
                    "the same sound to Create Video. Other voices count as speech, and some music is taken for it.",
                ),
                length_input(),
                motion_input(),
                smoothing_input(),
                preview_input(),
                FACE_TRACK.Input(
                    "reference_track",
                    optional=True,
                    tooltip="Another track of the same person, which shows how the mouth is shut and opens. Without it "
                    "face_track shows it.",
                ),
                drawn_on_input(),
                encoder_input(),
            ],
            outputs=[
                FACE_TRACK.Output(
                    display_name="goal",
                    tooltip="The landmarks that are to be painted, one set a frame of the result, for TalkFormer "
                    "Sampler.",
                ),
                io.Image.Output(display_name="preview", tooltip="The landmarks drawn on the frames, lips yellow."),
                io.Float.Output(display_name="fps", tooltip="The frame rate, for Create Video."),
                io.Audio.Output(display_name="audio", tooltip="The sound that was given, as it is, for Create Video."),
            ],
            search_aliases=["lip sync", "landmarks", "speech to landmarks", "audio to landmarks"],
        )

    @classmethod
    def execute(
        cls,
        completion: host.Component,
        face_track: FaceTrack,
        audio: dict[str, Any],
        length: str,
        strength: float,
        smoothing: float,
        preview_every: int,
        reference_track: FaceTrack | None = None,
        images: Tensor | None = None,
        audio_encoder_output: dict[str, Any] | None = None,
    ) -> io.NodeOutput:
        model = is_a(host.Component, completion, "completion")
        track, reference = is_a(FaceTrack, face_track, "face_track"), reference_track
        frames = None
        if images is not None:
            frames, track = footage(images, track)
        if reference is not None:
            reference = is_a(FaceTrack, reference, "reference_track")
        source, progress = host.Interruptible(audio_source(audio)), host.Progress(1)
        encoded = None if audio_encoder_output is None else EncodedAudio(audio_encoder_output)

        def tell(done: int, total: int) -> None:
            progress.total = total
            progress.reach(done)

        preview = TrackPreview(frames, track.size, spoken_order(source, track, length), preview_every)
        network = host.load(model)
        goal = complete_track(network, source, track, length, strength, smoothing, reference, encoded, tell)
        return io.NodeOutput(goal, preview.draw(goal), float(goal.fps), audio)


class TalkFormerSampler(io.ComfyNode):
    """Frames whose lower faces are painted as landmarks ask (landmark diffusion, second stage)."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "TalkFormerSampler",
            "TalkFormer Sampler",
            SYSTEM,
            "Paints the lower face of the tracked person by latent diffusion, lips and jaw where the goal has them, "
            "after references of the same person. Everything else in the frames stays, pixel by pixel.",
            inputs=[
                TALKFORMER.Input("talkformer", tooltip="The network that paints, from Load Landmark Diffusion."),
                io.Image.Input(
                    "images",
                    tooltip="The frames that the face was tracked in; a single picture serves for the whole sound.",
                ),
                FACE_TRACK.Input("face_track", tooltip="Where the face is in these frames, from Detect Faces."),
                FACE_TRACK.Input(
                    "goal",
                    tooltip="Where lips and jaw are to lie, from Landmark Complete. It says how long the result is; "
                    "where that is longer than the footage, the footage is played to and fro.",
                ),
                *sampling_inputs(),
                advanced(
                    io.Int.Input(
                        "window",
                        default=0,
                        min=0,
                        max=256,
                        tooltip="Frames painted at a time; 0 is what suits the device. The result is the same whatever "
                        "it is; more need more memory, and when that runs out the window is halved.",
                    )
                ),
                io.Image.Input(
                    "reference_images",
                    optional=True,
                    tooltip="Other pictures of the same person, such as one that smiles with teeth: lips, beard and "
                    "teeth are taken from them. Without them the footage's own shut and wide open mouths are shown.",
                ),
                FACE_TRACK.Input(
                    "reference_track",
                    optional=True,
                    tooltip="Where the face is in reference_images. Without it the largest face is looked for.",
                ),
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
                io.Mask.Output(
                    display_name="mask",
                    tooltip="White where the lower face was painted, black where pixels are the footage's, moved or "
                    "not: for the mask of SOVQAE Enhance.",
                ),
            ],
            search_aliases=["lip sync", "latent diffusion", "talking head", "inpaint mouth", "landmark diffusion"],
        )

    @classmethod
    def execute(
        cls,
        talkformer: host.Component,
        images: Tensor,
        face_track: FaceTrack,
        goal: FaceTrack,
        sampler: str,
        steps: int,
        seed: int,
        guidance: float,
        window: int,
        reference_images: Tensor | None = None,
        reference_track: FaceTrack | None = None,
    ) -> io.NodeOutput:
        model = is_a(host.Component, talkformer, "talkformer")
        frames, track = footage(images, face_track)
        wanted = on_frames(is_a(FaceTrack, goal, "goal"), track.size)
        progress = host.Progress(len(wanted))
        shown = _references(reference_images, reference_track)
        mouths = LandmarkMouths(
            model.network,
            sampling=Sampling(sampler, steps, seed, guidance),
            goal=wanted,
            shown=shown,
            callback=end_if_cancelled,
        )
        managed = ManagedMouths(mouths, (model,), mouths.memory, window or None)
        made = repaint(managed, frames, track, _silence(wanted), "bounce", progress)
        return io.NodeOutput(made.images, made.track, float(track.fps), made.mask)


def _references(images: Tensor | None, track: FaceTrack | None) -> GivenReferences | None:
    """Pictures that are shown instead of the footage's. Raises InputError for a track without pictures."""
    if images is None:
        if track is not None:
            raise InputError("reference_track came without reference_images: connect the images that it belongs to.")
        return None
    if track is not None:
        return GivenReferences(*footage(images, track, "reference_track"))
    pictures = images[..., :3]
    found = track_faces(iter(pictures.split(1)), 25, detector_of("bundled"), smoothing=0.0)
    return GivenReferences(pictures, found)


def _silence(track: FaceTrack) -> AudioSource:
    """A sound that lasts as long as a track."""
    samples = int(len(track) * _RATE / track.fps)
    return audio_source({"waveform": torch.zeros(1).expand(1, 1, max(samples, 1)), "sample_rate": _RATE})
