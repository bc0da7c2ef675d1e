"""The sound track of an mp4: the user's sound in its own rate, channels and length, encoded as the picture goes on.

AAC (ISO/IEC 14496-3, table 1.18) knows thirteen sample rates. Sound at any other rate is kept as FLAC, which carries
every rate, loses nothing and plays wherever mp4 does in a browser; resampling it would change what the user gave.
"""

import re

import av
import numpy as np
import torch
from einops import rearrange
from torch import Tensor

from ..errors import InputError
from .source import AudioSource, reblock

AAC_RATES = {96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}
FLAC_HIGHEST_RATE = 655_350
_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "4.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_FLAC_LAYOUTS = _LAYOUTS | {4: "quad"}
# What FFmpeg's AAC encoder takes beside them. FLAC in mp4 has one layout for each number of channels.
_AAC_LAYOUTS = {
    *("2.1", "3.0(back)", "quad", "3.1", "4.1", "6.0", "6.0(front)", "hexagonal", "6.1(back)", "6.1(front)", "7.0"),
    *("7.0(front)", "7.1(wide)", "7.1(wide-side)", "octagonal"),
}
# The same but for where the rear speakers stand, and for how it was made.
_ALIKE = {"quad(side)": "quad", "5.0(side)": "5.0", "5.1(side)": "5.1", "downmix": "stereo", "binaural": "stereo"}
_BITS_24 = 2**23


def check_soundtrack(source: AudioSource) -> None:
    """Raises InputError when no mp4 can carry the source: more than 8 channels, or a rate beyond FLAC's."""
    if source.channels not in _LAYOUTS:
        raise InputError(f"{source.name} has {source.channels} channels; mp4 carries at most 8: mix it down first")
    if source.sample_rate not in AAC_RATES and source.sample_rate > FLAC_HIGHEST_RATE:
        raise InputError(f"{source.name} is at {source.sample_rate} Hz; mp4 carries at most {FLAC_HIGHEST_RATE} Hz")


class Soundtrack:
    """Encodes a source into a container, in pieces of `frame` samples; at most a block of a second is held."""

    def __init__(self, container: av.container.OutputContainer, source: AudioSource) -> None:
        rate, channels = source.sample_rate, source.channels
        self._container = container
        self._lossless = rate not in AAC_RATES
        self._layout, self._rate = _carried(source, self._lossless), rate
        self._stream = container.add_stream("flac" if self._lossless else "aac", rate=rate, layout=self._layout)
        context = self._stream.codec_context
        if self._lossless:
            context.format = "s32"  # FLAC's name for its 24 bits
        else:
            context.bit_rate = channels * min(
                192_000, 5 * rate
            )  # 40 kbit/s at 8 kHz; close to the most that AAC allows
        context.open()
        self.frame = context.frame_size
        self._pieces = reblock(source.blocks(), self.frame)
        self._sent = 0
        self._ended = False

    def advance(self, until: int | None) -> None:
        """Send samples up to index `until`, or all that remain (None) and the end of the stream."""
        while not self._ended and (until is None or self._sent < until):
            piece = next(self._pieces, None)
            if piece is None:
                self._ended = True
                self._container.mux(self._stream.encode(None))
            else:
                self._container.mux(self._stream.encode(self._frame(piece)))
                self._sent += piece.shape[1]

    def _frame(self, piece: Tensor) -> av.AudioFrame:
        packed = rearrange(piece, "c n -> 1 (n c)")
        if self._lossless:
            packed = (packed * _BITS_24).round().clamp(-_BITS_24, _BITS_24 - 1).to(torch.int32) << 8
        kind = "s32" if self._lossless else "flt"
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(packed.numpy()), format=kind, layout=self._layout)
        frame.sample_rate, frame.pts, frame.time_base = self._rate, self._sent, self._stream.codec_context.time_base
        return frame


def _carried(source: AudioSource, lossless: bool) -> str:
    """The layout that the file gets: the source's own or one like it where mp4 has it, else the usual one."""
    usual = (_FLAC_LAYOUTS if lossless else _LAYOUTS)[source.channels]
    own = _ALIKE.get(source.layout or usual, source.layout or usual)
    if own == usual or (own in _AAC_LAYOUTS and not lossless):
        return own
    if not re.fullmatch(r"\d+ channels", own):  # FFmpeg's name where the file does not say
        source.warn(
            f"has the channels {own!r}, which mp4 cannot carry at {source.sample_rate} Hz: written as {usual!r}"
        )
    return usual
