"""Packets of a film to frames: what is damaged is left out, what is interlaced is made whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import av
from av.codec.context import Flags

from .container import packets_of


def decoded(
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    check: Callable[[], None],
    warn: Callable[[str], None],
) -> Iterator[av.VideoFrame]:
    """The frames of a stream from where the container stands, progressive, cropped to the pixel as the stream says.

    `check` is called before each packet; `warn` is told once of all that was damaged, and of fields.
    """
    if not stream.codec_context.is_open:
        stream.thread_type = "AUTO"
        # Else FFmpeg crops the left edge to a multiple of its vectors.
        stream.codec_context.flags |= Flags.unaligned
    yield from _whole(_frames(container, stream, check, warn), stream, warn)


def _frames(
    container: av.container.InputContainer,
    stream: av.video.stream.VideoStream,
    check: Callable[[], None],
    warn: Callable[[str], None],
) -> Iterator[av.VideoFrame]:
    damaged = 0
    packets = packets_of(container, stream)
    while True:
        check()
        try:
            packet = next(packets)
        except StopIteration:
            break
        except av.FFmpegError:
            damaged += 1
            break
        try:
            frames = packet.decode()
        except (av.FFmpegError, ValueError, NotImplementedError):
            damaged += 1
            continue
        yield from frames
    if damaged:
        warn(f"is damaged: {damaged} packets did not decode and were left out")


def _whole(
    frames: Iterable[av.VideoFrame], stream: av.video.stream.VideoStream, warn: Callable[[str], None]
) -> Iterator[av.VideoFrame]:
    """Frames of two fields made one picture each by FFmpeg's bwdif, which looks at the neighbours."""
    graph: av.filter.Graph | None = None
    for frame in frames:
        if graph is None and frame.interlaced_frame:
            warn("is interlaced; its fields are joined to whole pictures")
            graph = av.filter.Graph()
            graph.link_nodes(
                graph.add_buffer(template=stream),
                graph.add("bwdif", "mode=send_frame:deint=interlaced"),
                graph.add("buffersink"),
            ).configure()
        if graph is None:
            yield frame
        else:
            graph.vpush(frame)
            yield from _ready(graph)
    if graph is not None:
        graph.vpush(None)
        yield from _ready(graph)


def _ready(graph: av.filter.Graph) -> Iterator[av.VideoFrame]:
    while True:
        try:
            yield graph.vpull()
        except (av.error.BlockingIOError, av.error.EOFError):
            return
