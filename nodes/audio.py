"""The audio loader: any file with sound, or a sample of the pack's own, whole or in part."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import io

from ..talkface_core.errors import InputError
from ..talkface_core.media.audio import open_audio
from . import host
from .sockets import AUDIO_UI, schema

_DAY = 86_400.0  # seconds


class LoadAudio(io.ComfyNode):
    """A sound file as AUDIO, as it is in the file: same rate, same channels, cut to the sample."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "LoadAudio",
            "Load Audio (TalkFace)",
            "",
            "Loads speech from a file, or the sound of a video, whole or in part. Nothing is resampled or mixed: what "
            "comes out is what the video will carry. ComfyUI's own Load Audio may be used instead.",
            inputs=[
                io.Combo.Input(
                    "audio",
                    options=host.input_files(["audio", "video"]),
                    upload=io.UploadType.audio,
                    tooltip="The sound: a file of ComfyUI's input folder (upload one with the button), or a sample of "
                    "the pack, marked [sample]. wav, flac, mp3, m4a, ogg and videos with sound can be read.",
                ),
                AUDIO_UI.Input("audioUI", optional=True, tooltip="The player. Nothing needs to be connected here."),
                io.Float.Input(
                    "start",
                    default=0.0,
                    min=0.0,
                    max=_DAY,
                    step=0.1,
                    tooltip="Seconds to skip at the beginning, exact to the sample. They are decoded all the same.",
                ),
                io.Float.Input(
                    "duration",
                    default=0.0,
                    min=0.0,
                    max=_DAY,
                    step=0.1,
                    tooltip="Seconds to take from there; 0 takes all that follows. Cost grows with it: every second "
                    "of sound becomes 25 frames at 25 fps.",
                ),
            ],
            outputs=[
                io.Audio.Output(
                    display_name="audio",
                    tooltip="The sound, untouched. Give it to Create Video too, so that it is heard.",
                ),
                io.Float.Output(display_name="seconds", tooltip="Its length in seconds."),
            ],
            search_aliases=["speech", "voice", "open audio"],
        )

    @classmethod
    def validate_inputs(cls, audio: str | None) -> bool | str:
        """Names what is wrong with the file's name before anything runs; a linked name (None) is looked at later."""
        try:
            return audio is None or bool(host.input_file(audio))
        except InputError as error:
            return str(error)

    @classmethod
    def fingerprint_inputs(cls, audio: str, **_: Any) -> str:
        """A file that was replaced is read anew."""
        return host.fingerprint(host.input_file(audio))

    @classmethod
    def execute(cls, audio: str, start: float, duration: float, audioUI: Any = None) -> io.NodeOutput:
        source = open_audio(host.input_file(audio), start, duration or None, host.check_interrupt)
        waveform = host.gather_sound(source)
        sound = {"waveform": waveform, "sample_rate": source.sample_rate}
        return io.NodeOutput(sound, waveform.shape[-1] / source.sample_rate)
