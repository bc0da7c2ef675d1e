"""Live video writer: fragmented MP4 or MPEG-TS that can be played while it grows, to a file or into a pipe.

A live file is written under its own name from its first frame on, unlike all other outputs: what is there plays,
wherever the writing ends. Each frame is a fragment of its own. The file says that it is synthetic: in MP4 by the
metadata of every video here, in MPEG-TS, which has no other place, by the names of service and provider.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from torch import Tensor

from ..errors import InputError
from .picture_track import PictureTrack
from .soundtrack import AAC_RATES, Soundtrack, check_soundtrack
from .source import AudioSource
from .timebase import Rate, as_rate, frame_samples
from .video_writer import SYNTHETIC_MARK

FORMATS = {"mp4": "mp4", "ts": "mpegts"}
"""Names of the live formats, which are also their files' endings, and FFmpeg's names of them."""

_OPTIONS = {
    # Shorter than a frame, so that each is a fragment (`frag_every_frame` gives wrong times beside sound). The header
    # waits for the first, which tells how much of the sound is the encoder's own.
    "mp4": {"movflags": "+empty_moov+delay_moov+default_base_moof+use_metadata_tags", "frag_duration": "1000"},
    # Times below 0, which an encoder of sound begins with, would wrap round.
    "ts": {"pes_payload_size": "0", "output_ts_offset": "1"},
}
_AT_ONCE = {"flush_packets": "1", "max_delay": "0"}
_SERVICE = {"service_name": "Synthetic media", "service_provider": "TalkFace"}
# Seconds that the sound is written ahead of the picture, as far as it has come. FFmpeg gives a frame out when sound of
# the same time has followed it.
_SOUND_AHEAD = 0.5


class _Output:
    """Bytes into a file or an open descriptor, each call whole. The first makes the file, or empties an older one."""

    def __init__(self, target: Path | int) -> None:
        self._path = None if isinstance(target, int) else target
        self._descriptor = target if isinstance(target, int) else None

    def write(self, data: bytes) -> int:
        """Write all of it. Raises BrokenPipeError where nobody reads any more."""
        if self._path is not None and self._descriptor is None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0)
            self._descriptor = os.open(self._path, flags, 0o666)
        assert self._descriptor is not None
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]
        return len(data)

    def close(self) -> None:
        """Close the file; a descriptor stays open."""
        if self._path is not None and self._descriptor is not None:
            os.close(self._descriptor)


class LiveWriter:
    """Context manager that writes frames and their sound as they come; frames [n, H, W, 3] as `VideoWriter` takes them.

    `audio` is read no further than `write` is told that it has come. When the block ends, also by an error, what was
    written is closed so that it plays; without a frame there is no file, and an older one stays.
    Raises InputError for another format, a size below 1 x 1, sound that the format cannot carry; BrokenPipeError where
    the reader of a pipe has gone.
    """

    def __init__(
        self, target: Path | int, form: str, width: int, height: int, fps: Rate, audio: AudioSource, crf: int = 18
    ) -> None:
        if form not in FORMATS:
            raise InputError(f"format {form!r} is unknown: choose one of {', '.join(FORMATS)}")
        if width < 1 or height < 1:
            raise InputError(f"a video of {width} x {height} pixels is impossible; give at least 1 x 1")
        check_soundtrack(audio)
        if form == "ts" and audio.sample_rate not in AAC_RATES:
            rates = "16000, 44100 or 48000"
            raise InputError(
                f"{audio.name} is at {audio.sample_rate} Hz, which ts cannot carry: give {rates} Hz, or mp4"
            )
        self._target, self._form, self._size, self.fps, self._audio = target, form, (width, height), as_rate(fps), audio
        self._crf = crf

    @property
    def frames(self) -> int:
        """Frames that were written so far."""
        return self._pictures.frames

    def __enter__(self) -> LiveWriter:
        self._output = _Output(self._target)
        self._container = av.open(
            self._output,
            "w",
            format=FORMATS[self._form],
            options={**_OPTIONS[self._form], **_AT_ONCE},
        )
        self._container.metadata.update(SYNTHETIC_MARK if self._form == "mp4" else _SERVICE)
        self._pictures = PictureTrack(self._container, *self._size, self.fps, self._crf, live=True)
        self._soundtrack = Soundtrack(self._container, self._audio)
        return self

    def write(self, frames: np.ndarray | Tensor, come: int) -> None:
        """Append frames, and the sound beside them; `come` samples of it, at its own rate, are there by now."""
        rate = self._audio.sample_rate
        until = frame_samples(self.frames + len(frames) - 1, rate, self.fps)[1] + round(_SOUND_AHEAD * rate)
        self._pictures.write(frames)
        # Only whole pieces of the encoder's: for the rest of one, the track would have to wait.
        self._soundtrack.advance(min(until, come) // self._soundtrack.frame * self._soundtrack.frame)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After an error the end is written as far as it can be, and what is told is the error.
        forgiven = (av.FFmpegError, OSError) if kind is not None or self.frames == 0 else ()
        try:
            with suppress(*forgiven):
                if self.frames:
                    self._pictures.finish()
                    self._soundtrack.advance(None)
            with suppress(*forgiven):
                self._container.close()
        finally:
            self._output.close()
