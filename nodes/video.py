"""Video nodes: a file or a sample in, and the mark of synthetic media on its way out."""

from __future__ import annotations

import copy
import io as memory
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

from comfy_api.latest import InputImpl, io

from ..talkface_core.errors import InputError
from ..talkface_core.media.container import open_input
from ..talkface_core.media.playback import FrameSource, TensorFrameSource, VideoFrameSource
from ..talkface_core.media.video_reader import VideoReader
from ..talkface_core.media.video_writer import SYNTHETIC_MARK
from . import host
from .sockets import schema


class LoadVideo(io.ComfyNode):
    """A video file, or a sample of the pack's own, as VIDEO."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "LoadVideo",
            "Load Video (TalkFace)",
            "",
            "Loads a video from ComfyUI's input folder, or a sample of the pack. Nothing is decoded yet: frames are "
            "read by what comes after. ComfyUI's own Load Video may be used instead.",
            inputs=[
                io.Combo.Input(
                    "file",
                    options=host.input_files(["video"]),
                    upload=io.UploadType.video,
                    tooltip="A file of ComfyUI's input folder (upload one with the button), or a sample of the pack, "
                    "marked [sample].",
                )
            ],
            outputs=[io.Video.Output(display_name="video", tooltip="The video; Get Video Components takes it apart.")],
            search_aliases=["open video", "footage"],
        )

    @classmethod
    def validate_inputs(cls, file: str | None) -> bool | str:
        """Names what is wrong with the file's name before anything runs; a linked name (None) is looked at later."""
        try:
            return file is None or bool(host.input_file(file))
        except InputError as error:
            return str(error)

    @classmethod
    def fingerprint_inputs(cls, file: str) -> str:
        """A file that was replaced is read anew."""
        return host.fingerprint(host.input_file(file))

    @classmethod
    def execute(cls, file: str) -> io.NodeOutput:
        return io.NodeOutput(InputImpl.VideoFromFile(str(host.input_file(file))))


class MarkSynthetic(io.ComfyNode):
    """Puts the mark of synthetic media into the metadata of whatever file the video is saved to."""

    @classmethod
    def define_schema(cls) -> io.Schema:
        return schema(
            "MarkSynthetic",
            "Mark as Synthetic",
            "",
            "Says in the saved file's metadata that the face in it was made by a program, in words and in the code of "
            "the IPTC that provenance tools look for. Frames and sound are not touched. Costs nothing.",
            inputs=[io.Video.Input("video", tooltip="What Create Video made of the frames, just before Save Video.")],
            outputs=[io.Video.Output(display_name="video", tooltip="The same video; its file will carry the mark.")],
            search_aliases=["watermark", "provenance", "metadata", "deepfake label"],
        )

    @classmethod
    def execute(cls, video: Any) -> io.NodeOutput:
        return io.NodeOutput(marked(video))


def marked(video: Any, more: Mapping[str, str] | None = None) -> Any:
    """The same video with SYNTHETIC_MARK, and `more` over it, in the metadata of every file that it is saved to."""
    mark = {**SYNTHETIC_MARK, **(more or {})}

    def save_to(path: Any, *args: Any, metadata: dict[str, Any] | None = None, **options: Any) -> Any:
        video.save_to(path, *args, metadata={**(metadata or {}), **mark}, **options)
        _unquote(path, mark)

    twin = copy.copy(video)  # of the same class, which other nodes and the host ask for
    twin.save_to = save_to
    return twin


def _unquote(path: Any, mark: Mapping[str, str]) -> None:
    """The mark in a file [a path, or one in memory] as it is to be: frames that it encodes the host marks in JSON.

    Tools that look for the IPTC's code find none in quotes. Where they are, streams are copied, not encoded again.
    """
    in_memory = isinstance(path, memory.BytesIO)
    whole = host.temp_file(".mp4" if in_memory else Path(path).suffix)
    try:
        if in_memory:
            whole.write_bytes(path.getbuffer())
        with open_input(whole if in_memory else path, "video") as container:
            found = {name.lower(): value for name, value in container.metadata.items()}
        if all(found.get(name) == value for name, value in mark.items()):
            return
        if in_memory:
            path.seek(0)
            path.truncate()
            InputImpl.VideoFromFile(str(whole)).save_to(path, metadata=dict(mark))
            return
        beside = Path(path).with_name(f".{whole.name}")
        try:
            InputImpl.VideoFromFile(str(path)).save_to(str(beside), metadata=dict(mark))
            os.replace(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    finally:
        whole.unlink(missing_ok=True)


def frame_rate(video: Any) -> Fraction:
    """Frames per second of a VIDEO as the host says when it takes it apart; nothing is decoded."""
    if isinstance(video, InputImpl.VideoFromComponents):
        return Fraction(video.get_components().frame_rate)
    if asked := getattr(video, "get_frame_rate", None):  # newer hosts
        return Fraction(asked())
    with film_of(video) as film:
        return film.fps


@contextmanager
def film_of(video: Any) -> Iterator[FrameSource]:
    """A VIDEO as a film, read from disk as it is played; reading it stops when the user cancels.

    Frames in memory stay there. A file in memory lies in the temp folder within the block, so that it can be played
    backwards too. Raises InputError where there are no frames.
    """
    if isinstance(video, InputImpl.VideoFromComponents):
        parts = video.get_components()
        if not len(parts.images):
            raise InputError("the video holds no frames: look at what made it")
        yield TensorFrameSource(parts.images[..., :3], Fraction(parts.frame_rate))
        return
    source = video.get_stream_source()
    if isinstance(source, str | Path):
        yield _part(video, VideoReader(source, host.check_interrupt))
        return
    path = host.temp_file(".video")
    try:
        path.write_bytes(source.getbuffer())
        yield _part(video, VideoReader(path, host.check_interrupt))
    finally:
        path.unlink(missing_ok=True)


def _part(video: Any, reader: VideoReader) -> VideoFrameSource:
    """The file's frames, only those of the part that newer hosts can cut out of a video without writing it."""
    start, length = getattr(video, "get_active_trim_window", lambda: (0.0, 0.0))()
    if not start and not length:
        return VideoFrameSource(reader)
    # The host counts on the file's clock too. Its numbers are of floating point, a frame's time is not.
    begin = Fraction(start).limit_denominator(1_000_000)
    return VideoFrameSource(reader, begin, begin + Fraction(length).limit_denominator(1_000_000) if length else None)
