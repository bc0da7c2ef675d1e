"""Sound out of a pipe: WAV, known by its header, or raw 16-bit mono. A thread reads it, so that its time is known.

Where the pipe stays open and gives nothing, as a speech synthesiser between two sentences, silence takes its place at
the speed of time, so that a face goes on living.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from queue import Empty, Full, Queue
from threading import Event, Thread

import av
import numpy as np
import torch
from torch import Tensor

from ..errors import InputError
from .audio_frames import Damage, decoded_frames, stamped_pieces
from .live_sound import Chunk, LiveSound
from .source import checked, whole_rate

RAW_RATE = 16_000
"""Samples a second of raw sound, unless it is told."""

_KNOWN = {b"fLaC": "FLAC", b"OggS": "Ogg", b"ID3": "MP3", b"\xff\xfb": "MP3", b"caff": "CAF", b"FORM": "AIFF"}
_HEADER = 12
_LOWEST_RATE, _HIGHEST_RATE = 4_000, 192_000
_AT_ONCE = 0.02  # seconds that are read at a time
_QUEUED = 64  # chunks that wait at most; then the pipe does
_STALLED, _FILLED = 0.25, 0.04  # seconds: so long nothing came; silence is given in such pieces
_NAME = "standard input"


def piped_sound(descriptor: int, rate: int | None = None) -> LiveSound:
    """The sound that comes out of an open descriptor, to the end of it.

    With `rate`, or without a WAV header, it is raw: 16-bit little-endian, mono. Waits for the header unless `rate` is
    given. Raises InputError for a rate outside 4000..192000, a header that is broken, or one of another format; later
    for samples that are none.
    """
    if rate is not None:
        _check(rate)
    head = b"" if rate is not None else _head(descriptor)
    if head[:4] in (b"RIFF", b"RF64") and head[8:] == b"WAVE":
        return _wav(_Again(head, descriptor))
    known = (
        "MP4" if head[4:8] == b"ftyp" else next((name for mark, name in _KNOWN.items() if head.startswith(mark)), "")
    )
    if known:
        raise InputError(f"{_NAME} is {known}: give WAV, or raw 16-bit mono; ffmpeg -i FILE -f wav - makes a WAV of it")
    rate = rate or RAW_RATE
    pipe = _Again(head, descriptor)
    return LiveSound(_Pipe(lambda: _raw(pipe, rate), rate, 1), rate, 1, _NAME, "mono")


def _check(rate: int) -> None:
    if not _LOWEST_RATE <= rate <= _HIGHEST_RATE:
        raise InputError(f"rate of {rate} Hz: live sound has {_LOWEST_RATE} to {_HIGHEST_RATE}, such as {RAW_RATE}")


class _Again:
    """A descriptor of which the beginning was read already; reads give what is there and wait only for the first."""

    def __init__(self, head: bytes, descriptor: int) -> None:
        self._head, self._descriptor = head, descriptor

    def read(self, size: int) -> bytes:
        if self._head:
            given, self._head = self._head[:size], self._head[size:]
            return given
        return os.read(self._descriptor, size)


def _head(descriptor: int) -> bytes:
    head = b""
    while len(head) < _HEADER and (more := os.read(descriptor, _HEADER - len(head))):
        head += more
    return head


def _raw(pipe: _Again, rate: int) -> Iterator[Tensor]:
    rest = b""
    size = max(2, 2 * round(_AT_ONCE * rate))
    while data := pipe.read(size):
        data = rest + data
        whole = len(data) - len(data) % 2
        rest = data[whole:]
        if whole:
            samples = np.frombuffer(data[:whole], "<i2").astype(np.float32) / 2**15
            yield torch.from_numpy(samples)[None]


def _wav(pipe: _Again) -> LiveSound:
    try:
        container = _opened(pipe)
        (stream,) = container.streams.audio
        context = stream.codec_context
        rate, channels, layout = whole_rate(context.sample_rate, _NAME), context.channels, context.layout.name
    except (av.FFmpegError, ValueError, AttributeError) as error:
        raise InputError(f"{_NAME} begins like WAV but its header is broken; write it again, or raw samples") from error
    _check(rate)
    damage = Damage()

    def pieces() -> Iterator[Tensor]:
        frames = decoded_frames(container, stream.index, damage, lambda: None)
        for _, piece in stamped_pieces(frames, damage):
            if len(piece) != channels:
                raise InputError(f"{_NAME} has {channels} channels by its header and {len(piece)} in its sound")
            yield checked(piece, _NAME)

    return LiveSound(_Pipe(pieces, rate, channels), rate, channels, _NAME, layout)


def _opened(pipe: _Again) -> av.container.InputContainer:
    # 1024 bytes are the least that FFmpeg takes for a packet.
    options = {"max_size": "1024", "protocol_whitelist": ""}
    return av.open(pipe, "r", format="wav", options=options, buffer_size=1024)


class _Pipe:
    """Chunks [C, n] that a thread reads, and silence where none come though the pipe is open."""

    def __init__(self, pieces: Callable[[], Iterator[Tensor]], rate: int, channels: int) -> None:
        self._pieces, self._rate, self._channels = pieces, rate, channels
        self._queue: Queue[Chunk | BaseException | None] = Queue(_QUEUED)
        self._done = Event()

    def __iter__(self) -> Iterator[Chunk]:
        # A daemon: a read that waits for ever must not keep the program from ending.
        Thread(target=self._read, name="talkface-pipe", daemon=True).start()
        began, samples, stalled = time.monotonic(), 0, False
        try:
            while True:
                try:
                    item = self._queue.get(timeout=_FILLED if stalled else _STALLED)
                except Empty:
                    stalled, now = True, time.monotonic()
                    missing = int((now - began) * self._rate) - samples
                    if missing > 0:
                        samples += missing
                        yield torch.zeros(self._channels, missing), now
                    continue
                if item is None:
                    return
                if isinstance(item, BaseException):
                    raise item
                stalled, samples = False, samples + item[0].shape[1]
                yield item
        finally:
            self._done.set()

    def _read(self) -> None:
        end: BaseException | None = None
        try:
            for piece in self._pieces():
                self._put((piece, time.monotonic()))
        except BaseException as error:  # told where the sound is read
            end = error
        self._put(end)

    def _put(self, item: Chunk | BaseException | None) -> None:
        while not self._done.is_set():
            try:
                return self._queue.put(item, timeout=0.2)
            except Full:
                continue
