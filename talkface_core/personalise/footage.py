"""A first look at footage: what it is good for, before hours are spent on it.

A few dozen moments of each film are looked at, and its sound is heard once. Who speaks, from where and in what light
cannot be repaired by training, so what speaks against a film is said, or refused, here.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import InputError
from ..faces.face import Detector, Face
from ..media.audio_reader import FileAudio
from ..media.timebase import FPS
from ..media.video_reader import VideoReader
from ..preparation.process_video import SLOWEST
from ..preparation.quality import LIGHT, SHARPNESS, sharpness
from ..preparation.rules import Rules
from ..preparation.scenes import CUT, Signatures, distance, join_signatures, signature
from ..preparation.sound import loudness, mono_blocks
from ..preparation.source_video import SourceVideo
from .settings import Settings
from .watching import Watcher

MOMENTS = 40
"""Frames that are looked at in all films together, at least 8 of each."""

SEVERAL = 0.2
"""Share of the moments with a second face, from which on several people are there; a face on a poster is now and then
found."""

_SECOND = 0.3  # of the largest face's height: smaller ones stand in the background
_QUIET = -45.0  # dB of full scale above which somebody may speak
_REBLUR = 3 / 256


@dataclass(frozen=True)
class Look:
    """What was found. seconds of all films, and of those with sound above the quiet; faces: shares of the moments with
    none and with several; face_px: median height of the 68 landmarks' box; yaw: the 5th and 95th percentile, degrees,
    None where the detector tells no pose; light: of 1; sharp: see preparation.quality; shots: places at which two
    moments show different pictures; a_second: seconds that looking takes for a second of film."""

    films: int
    seconds: float
    loud: float
    rate: float
    none: float
    several: float
    face_px: float
    yaw: tuple[float, float] | None
    light: float
    sharp: float
    shots: int
    a_second: float

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def of(cls, told: Any) -> Look:
        """What `as_dict` gave. Raises KeyError, TypeError or ValueError for anything else."""
        low, high = told["yaw"] or (0.0, 0.0)
        plain = {name: value for name, value in told.items() if name != "yaw"}
        if not all(type(value) in (int, float) for value in (low, high, *plain.values())):
            raise TypeError("a look at footage holds numbers")
        return cls(**plain, yaw=told["yaw"] and (low, high))


def look(films: Sequence[SourceVideo], detector: Detector, settings: Settings, watcher: Watcher | None = None) -> Look:
    """Look at films. Raises InputError for footage of which nobody can be made: no sound, too short, too slow, no face,
    several people at once, turned away, dark or blurred all through."""
    watcher = watcher or Watcher()
    readers = [_reader(film) for film in films]
    lengths = [float((reader.num_frames or 0) / reader.fps) for reader in readers]
    _long_enough(lengths, films, settings)
    loud = sum(_loud(film, reader) for film, reader in zip(films, readers, strict=True))
    if not loud:
        raise InputError(
            f"nobody is heard in {_named(films)}, whose sound is silent; give footage of somebody who speaks."
        )
    moments, shots, spent, seen = [], 0, 0.0, 0
    each = max(MOMENTS // len(films), 8)
    for n, (reader, length) in enumerate(zip(readers, lengths, strict=True)):
        frames = _frames(reader, length, each)
        signatures = join_signatures([signature(frame) for frame in frames])
        shots += _changes(signatures)
        began = time.perf_counter()
        for frame in frames:
            watcher.check()
            moments.append((frame, [face for face in detector.detect(frame[None])[0]]))
        spent += time.perf_counter() - began
        seen += len(frames)
        watcher.advance((n + 1) / len(films))
    found = _measured(moments)
    _usable(found, films, settings)
    _meant(max(len(faces) for _, faces in moments), films, settings)
    return Look(
        films=len(films),
        seconds=sum(lengths),
        loud=loud,
        rate=float(min(reader.fps for reader in readers)),
        shots=shots,
        a_second=FPS * spent / max(seen, 1),
        **found,
    )


def _reader(film: SourceVideo) -> VideoReader:
    reader = VideoReader(film.path, square=True)
    if not reader.has_audio:
        raise InputError(f"{film.path.name} has no sound; a face is trained on what it says: give film with its sound.")
    if reader.fps < SLOWEST:
        raise InputError(f"{film.path.name} has {float(reader.fps):.3g} frames a second; lips need {SLOWEST} or more.")
    return reader


def _long_enough(lengths: Sequence[float], films: Sequence[SourceVideo], settings: Settings) -> None:
    if sum(lengths) < settings.least:
        raise InputError(
            f"{sum(lengths):.1f} s of footage in {_named(films)}; {settings.least:g} s are the least, and with 2 to 5 "
            "minutes of speech a person becomes good: give more."
        )


def _loud(film: SourceVideo, reader: VideoReader) -> float:
    sound = FileAudio(film.path, origin=reader.start)
    frames = round(float((reader.num_frames or 0) * FPS / reader.fps))
    return float((loudness(mono_blocks(sound), frames, FPS) > _QUIET).sum()) / FPS


def _frames(reader: VideoReader, length: float, count: int) -> list[NDArray[np.uint8]]:
    """Frames at `count` times, evenly through a film."""
    frames = []
    for k in range(count):
        at = Fraction((k + 0.5) / count * length).limit_denominator(1000)
        chunk = next(iter(reader.steady(FPS, 1, (at, at + Fraction(2, FPS)))), None)
        if chunk is not None and len(chunk):
            frames.append(chunk[0])
    return frames


def _changes(signatures: Signatures) -> int:
    return sum(distance(signatures, k, k + 1) > CUT for k in range(len(signatures) - 1))


def _height(face: Face) -> float:
    return float(face.box[3] - face.box[1])


def _measured(moments: Sequence[tuple[NDArray[np.uint8], list[Face]]]) -> dict[str, Any]:
    import cv2

    with_face = [(frame, max(faces, key=lambda face: face.area), faces) for frame, faces in moments if faces]
    several = sum(sum(_height(face) > _SECOND * _height(first) for face in faces) > 1 for _, first, faces in with_face)
    light, sharp, heights, yaw = [], [], [], []
    for frame, face, _ in with_face:
        x0, y0, x1, y1 = (max(int(value), 0) for value in face.box.tolist())
        part = frame[y0 : max(y1, y0 + 2), x0 : max(x1, x0 + 2)]
        if min(part.shape[:2]) < 2:
            continue
        grey = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY)
        light.append(float(np.percentile(grey, 95)) / 255)
        # Judged at the size that a data set's frames have, in which the face is about half as high.
        sharp.append(sharpness(grey, _REBLUR * 2 * _height(face)))
        heights.append(_height(face))
        if face.pose is not None:
            yaw.append(float(face.pose[0]))
    count = max(len(moments), 1)
    return {
        "none": 1 - len(with_face) / count,
        "several": several / count,
        "face_px": float(np.median(heights)) if heights else 0.0,
        "yaw": (float(np.percentile(yaw, 5)), float(np.percentile(yaw, 95))) if yaw else None,
        "light": float(np.median(light)) if light else 0.0,
        "sharp": float(np.median(sharp)) if sharp else 0.0,
    }


def _usable(found: dict[str, Any], films: Sequence[SourceVideo], settings: Settings) -> None:
    name, rules = _named(films), Rules()
    if found["none"] > 0.9:
        raise InputError(f"no face was found in {name}; give footage of a face that speaks, near and frontal.")
    if found["several"] > SEVERAL and settings.face == "only":
        raise InputError(
            f"several people are seen in {100 * found['several']:.0f} % of the moments looked at in {name}; give "
            "footage of one person, or say which face is meant: --face largest, leftmost, or 0, 1, … from the left."
        )
    if found["face_px"] < rules.min_face:
        raise InputError(
            f"the face in {name} is {found['face_px']:.0f} px high from brows to chin; {rules.min_face:g} px are the "
            "least: give footage from nearer, or of a larger picture."
        )
    if found["light"] < LIGHT:
        raise InputError(
            f"the face in {name} is dark ({found['light']:.2f} of 1; {LIGHT} is the least): give more light."
        )


def _meant(most: int, films: Sequence[SourceVideo], settings: Settings) -> None:
    """Refuses a number from the left that nobody has, where `most` faces at once are the most that were seen."""
    if settings.face.isdecimal() and int(settings.face) >= most:
        raise InputError(
            f"face {int(settings.face)} from the left is meant, but at most {most} at once were seen in "
            f"{_named(films)}; they are counted from 0: give {most - 1} or less, or leave --face out."
        )


def _named(films: Sequence[SourceVideo]) -> str:
    return films[0].path.name if len(films) == 1 else f"{len(films)} films ({films[0].path.name}, …)"


def verdict(found: Look) -> list[str]:
    """What it is good for, in lines for people: length, face, light, camera, turned heads."""
    speech = f"{found.loud:.0f} s of {found.seconds:.0f} s with sound"
    lines = []
    if found.loud < 60:
        lines.append(f"length: {speech}: enough to try it; lips will be guessed, 2 to 5 minutes are what they need")
    elif found.loud < 150:
        lines.append(f"length: {speech}: fair; 3 minutes and more follow speech better")
    else:
        lines.append(f"length: {speech}: good")
    size = f"{found.face_px:.0f} px from brows to chin"
    lines.append(f"face: {size}: {'good' if found.face_px >= 110 else 'small, so texture will be soft'}")
    light = "good" if 0.35 <= found.light <= 0.97 else "dim" if found.light < 0.35 else "overexposed"
    lines.append(f"light: {found.light:.2f} of 1: {light}")
    blur = "sharp" if found.sharp >= 1.5 * SHARPNESS else "soft, and so will be what is made of it"
    lines.append(f"picture: sharpness {found.sharp:.2f}: {blur}")
    camera = "one shot" if not found.shots else f"about {found.shots + 1} different pictures; one fixed camera is best"
    lines.append(f"camera: {camera}; {found.rate:.3g} frames a second")
    if found.yaw is not None:
        low, high = found.yaw
        turned = (
            "frontal"
            if max(abs(low), abs(high)) <= 15
            else "turned"
            if max(abs(low), abs(high)) <= 30
            else "far turned"
        )
        lines.append(f"head: yaw {low:+.0f} to {high:+.0f} degrees: {turned}; what is never shown cannot be asked for")
    if found.none > 0.1:
        lines.append(f"missing: no face in {100 * found.none:.0f} % of the moments looked at; those are left out")
    return lines
