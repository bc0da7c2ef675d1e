"""Files of sound and pictures opened through PyAV so that FFmpeg reads that one file and nothing else.

FFmpeg takes names for addresses and opens what playlists and scripts point to. Here a name is always a file's, and only
formats that hold their own sound and pictures are read.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
from av.stream import Disposition

from ..errors import InputError

FORMATS = (
    "mov,matroska,webm,avi,asf,flv,mpegts,mpeg,mpegvideo,mxf,nut,dv,ivf,obu,rm,h264,hevc,m4v,vc1,av1,vvc,"
    "gif,apng,webp,webp_pipe,png_pipe,jpeg_pipe,mjpeg,"
    "ogg,wav,w64,flac,mp3,aac,aiff,au,caf,ac3,eac3,dts,truehd,amr,amrnb,amrwb,ape,wv,tta,voc,loas,mpc,mpc8,dsf"
)
"""FFmpeg's names of the formats that are read. Playlists, scripts, patterns of names and devices are none of them."""

SUFFIXES = {
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv"),
    *(".3gp", ".ogv", ".vob"),
}
"""What is taken for a film in a folder; a file that is named itself may be called anything."""


_ASIDE = (
    Disposition.comment
    | Disposition.visual_impaired
    | Disposition.hearing_impaired
    | Disposition.descriptions
    | Disposition.dependent
    | Disposition.karaoke
)
_PICTURES = Disposition.attached_pic | Disposition.timed_thumbnails | Disposition.still_image
_STILLS = {"mjpeg", "png", "bmp", "webp", "tiff", "gif"}


# Old files hold titles that are no UTF-8; PyAV before 19 stumbles over them unless told, later ones are not told.
_TITLES: dict[str, Any] = {"metadata_errors": "ignore"} if int(av.__version__.split(".")[0]) < 19 else {}


def regular_file(path: str | os.PathLike[str], what: str) -> Path:
    """The path of a file that can be read again and again. Raises InputError that calls it `what`."""
    path = Path(path)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        raise InputError(f"{what} file {path} does not exist; check the name and the folder") from error
    if stat.S_ISDIR(mode):
        raise InputError(f"{path} is a folder; give one {what} file in it")
    if not stat.S_ISREG(mode):
        raise InputError(f"{path} is a pipe or a device, which can be read only once; save it to a file first")
    return path


def address(path: str | os.PathLike[str]) -> str:
    """What FFmpeg is to be told so that it takes any name, with colons and dashes, for that of a file."""
    return f"file:{os.path.abspath(path)}"


def open_input(path: str | os.PathLike[str], what: str) -> av.container.InputContainer:
    """Open a file for reading; `what` ("video", "audio") names its kind in errors. Raises InputError."""
    path = regular_file(path, what)
    options = {"protocol_whitelist": "file", "format_whitelist": FORMATS}
    try:
        return av.open(address(path), options=options, **_TITLES)
    except av.error.ArgumentError as error:
        raise InputError(
            f"{path.name} cannot be read as {what}: playlists, scripts and raw samples are refused; "
            "give a file that holds the sound or pictures itself, such as .mp4 or .wav"
        ) from error
    except (av.FFmpegError, OSError, NotImplementedError) as error:
        why = getattr(error, "strerror", None) or type(error).__name__
        raise InputError(
            f"{path.name} cannot be read as {what} ({why}): is it empty, cut off or not {what}?"
        ) from error


def audio_streams(container: av.container.InputContainer, name: str) -> list[av.audio.stream.AudioStream]:
    """The sound tracks of a container that can be decoded, the one to be taken first: the one flagged as default, else
    one that is neither commentary nor description. Raises InputError, which calls the file `name`, where there is none.
    """
    streams = list(container.streams.audio)
    if not streams:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "no streams"
        raise InputError(f"{name} has no audio stream (found: {kinds}); give a file with sound")
    streams = [stream for stream in streams if stream.codec_context is not None]
    if not streams:
        raise InputError(f"{name}: this build of FFmpeg has no decoder for its sound; convert it to wav")
    return sorted(
        streams,
        key=lambda stream: (
            not stream.disposition & Disposition.default,
            bool(stream.disposition & _ASIDE),
            stream.index,
        ),
    )


def video_stream(container: av.container.InputContainer, name: str) -> av.video.stream.VideoStream:
    """The film of a container: the one flagged as default, else a moving one before stills, else the largest.

    Cover pictures are none. Raises InputError, which calls the file `name`, where there is no film.
    """
    streams = [stream for stream in container.streams.video if not stream.disposition & Disposition.attached_pic]
    if not streams:
        if container.streams.video:
            raise InputError(
                f"{name} holds sound with a cover picture and no film; give the video first and the sound second"
            )
        raise InputError(f"{name} has no pictures; give a video file")
    decodable = [stream for stream in streams if stream.codec_context is not None]
    if not decodable:
        raise InputError(f"{name}: this build of FFmpeg has no decoder for its film; convert it to H.264")
    return max(
        decodable,
        key=lambda stream: (
            bool(stream.disposition & Disposition.default),
            stream.codec_context.name not in _STILLS,
            stream.width * stream.height,
            -stream.index,
        ),
    )


def film_start(container: av.container.InputContainer) -> Fraction | None:
    """When the film of a container begins, in seconds of its clock, as far as it is told; None: there is no film."""
    films = [stream for stream in container.streams.video if not stream.disposition & _PICTURES]
    return min((s.start_time * s.time_base for s in films if s.start_time is not None and s.time_base), default=None)


def packets_of(container: av.container.InputContainer, stream: av.stream.Stream) -> Iterator[av.Packet]:
    """What a container holds of a stream, from where it stands. PyAV stumbles over a packet of a stream that appears
    midway, as in a transport stream; it is passed over."""
    while True:
        try:
            yield from container.demux(stream)
            return
        except IndexError:
            continue
