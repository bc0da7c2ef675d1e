"""LaDTalk from a film and a sound to the film that says the sound, as a stream: crop, repaint, restore, paste.

Source: LaDTalk (Yang et al. 2024), inference; the silence gate, the matched strength and the rules of length are ours.
The film is gone through as far as it is needed: first the face is tracked, of which only landmarks are kept, then a few
references are cut out, then frames are made as they are read. So an hour needs little more memory than ten seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..clock import Clock
from ..errors import InputError
from ..faces.align import FaceCrop, align, crop_faces
from ..faces.choose import FaceChoice
from ..faces.face import Detector
from ..faces.paste import paste_faces
from ..faces.solve_pose import warn_of_yaw
from ..faces.track import FaceTrack
from ..faces.tracking import SMOOTHING, track_faces
from ..media.audio import AudioSource, analysis_blocks
from ..media.playback import Film, frame_order, played
from ..media.source import FirstSeconds
from ..media.timebase import Rate, frame_count
from ..media.video import VideoWriter
from ..pixels import as_unit_tensor
from ..speech.features import LogMel
from ..speech.mel_windows import WINDOW as STEPS
from ..speech.mel_windows import WindowStream
from .enhance import matching_strength, restore
from .model import Lips
from .references import beside, choose_references, cut_references
from .sovqae import SOVQAE
from .wav2lip import repaint

READING, FACES, LIPS, TEXTURE, PASTING, WRITING = "reading", "faces", "lips", "texture", "pasting", "writing"
"""The stages that a clock tells apart."""

WINDOW = 8
"""Frames that are made at once; they are the same whatever it is."""

MATCHED_ON, MATCHED_OVER = 8, 40
"""The matched strength is taken from so many frames, spread over so many that show the face, from the first on."""

Beside = Callable[[NDArray[np.uint8], NDArray[np.int64]], NDArray[np.uint8]]
"""Faces [n,S,S,3] and which they are of the frames at hand [n] -> their references [n,S,S,3]."""

HELD = 0.25
"""Seconds that a face may be out of sight and is still repainted, where its neighbours say it was."""


def speech_windows(lips: Lips, source: AudioSource, fps: Rate) -> WindowStream:
    """What each frame hears of a sound: windows of the log-mel, in which all but speech is faded to silence."""
    features: Iterable[Tensor] = LogMel().stream(analysis_blocks(source))
    if lips.gate is not None:
        place = next(lips.gate.parameters()).device
        features = (block.cpu() for block in lips.gate.stream(block.to(place) for block in features))
    return WindowStream(features, fps, lips.wav2lip.config.mel_shift)


def in_sight(track: FaceTrack) -> NDArray[np.bool_]:
    """Which frames are to be repainted [T]: those that show the face, and gaps in its sight up to `HELD` seconds.

    Behind a hand or in a scene without the face no mouth belongs.
    """
    seen = track.valid.numpy().copy()
    longest = int(HELD * track.fps)
    for scene in track.scenes:
        own = seen[scene]  # a view
        if not own.any():
            continue
        edges = np.flatnonzero(np.diff(np.concatenate([[True], own, [True]]).astype(np.int8)))
        for start, stop in edges.reshape(-1, 2):
            if stop - start <= longest:
                own[start:stop] = True
    return seen


class Painter:
    """Gives frames the mouths that say what they hear.

    `strength` 0..1 is the SOVQAE's; None matches it to the footage's own sharpness, by `match` or else by the first
    frames that come. A model without one leaves mouths as soft as Wav2Lip's; its `strength` is None.
    """

    def __init__(self, lips: Lips, sovqae: SOVQAE | None, strength: float | None = None, clock: Clock | None = None):
        if strength is not None and not 0 <= strength <= 1:
            raise InputError(f"strength {strength}; it lies between 0 (nothing is restored) and 1, or is left out.")
        self.lips, self.sovqae, self.clock = lips, sovqae, clock or Clock()
        self.strength = None if sovqae is None else strength

    def __call__(
        self,
        frames: NDArray[np.uint8],
        crop: FaceCrop,
        windows: Tensor,
        visible: NDArray[np.bool_] | None = None,
        references: Beside | None = None,
    ) -> NDArray[np.uint8]:
        """Frames uint8 [T,H,W,3] whose faces `crop` cuts out -> the same that say `windows` [T,1,80,16].

        Frames that are not `visible` [T] come back as they are. `references` gives the faces of some of these frames,
        by their numbers 0..T-1, their references; None: themselves.
        """
        chosen = np.arange(len(frames)) if visible is None else np.flatnonzero(visible)
        if not len(chosen):
            return frames
        crop, shown = crop.at(chosen.tolist()), frames if visible is None else frames[chosen]
        self.match(shown[:MATCHED_ON], crop.part(0, MATCHED_ON))
        with self.clock.part(LIPS):
            faces = crop_faces(shown, crop)
            others = None if references is None else references(faces, chosen)
            made = repaint(self.lips.wav2lip, faces, windows[chosen], others)
        with self.clock.part(TEXTURE):
            faces = self._restored(made)
        with self.clock.part(PASTING):
            pasted = paste_faces(shown, faces, crop)
        if visible is None:
            return pasted
        out = frames.copy()
        out[chosen] = pasted
        return out

    @property
    def unmatched(self) -> bool:
        """Whether a strength is still to be found."""
        return self.sovqae is not None and self.strength is None

    def match(self, frames: NDArray[np.uint8], crop: FaceCrop) -> None:
        """Set the strength that makes mouths as sharp as these frames [T,H,W,3]; not if there is one.

        They say nothing, which does not matter: the upper halves of the faces are compared.
        """
        if not self.unmatched or not len(frames):
            return
        with self.clock.part(LIPS):
            size = self.lips.wav2lip.config.size
            silence = torch.full((len(frames), 1, LogMel.dim, STEPS), LogMel.SILENCE)
            made = repaint(self.lips.wav2lip, crop_faces(frames, crop.resized(size)), silence)
        with self.clock.part(TEXTURE):
            seen, sharp = restore(self.sovqae, made)
            real = as_unit_tensor(crop_faces(frames, crop.resized(seen.shape[1])))
            self.strength = matching_strength(seen.cpu(), sharp.cpu(), real)

    def _restored(self, made: NDArray[np.uint8]) -> NDArray[np.uint8] | Tensor:
        if self.sovqae is None or self.strength == 0:
            return made
        return restore(self.sovqae, made, self.strength)[1].cpu()


def dub(
    painter: Painter, film: Film, track: FaceTrack, source: AudioSource, length: str = "bounce", window: int = WINDOW
) -> Iterator[NDArray[np.uint8]]:
    """Frames uint8 [n,H,W,3] of the film, chunk by chunk, whose tracked face says the sound.

    `length` is a rule of `frame_order`; what a film shows after the sound has ended says nothing. Raises InputError,
    at the latest with the first chunk, for settings that make no sense.
    """
    lips = painter.lips
    wanted = frame_count(source.num_samples(), source.sample_rate, film.fps)
    order = frame_order(len(track), wanted, length)
    crop, visible = align(track, lips.wav2lip.config.size), in_sight(track)
    if painter.unmatched:
        _match(painter, film, crop, visible[: len(order)])
    chosen = choose_references(crop, track.valid.numpy(), track.scenes)
    cut = cut_references(painter.clock.stream(READING, film.forwards(WINDOW)), crop, chosen)
    windows, done = speech_windows(lips, source, film.fps), 0
    for frames in painter.clock.stream(READING, played(film, len(track), wanted, length, window)):
        now = order[done : done + len(frames)]

        def references(faces: NDArray[np.uint8], rows: NDArray[np.int64], now: NDArray[np.int64] = now) -> NDArray:
            return beside(faces, now[rows], crop, chosen, cut)

        yield painter(frames, crop.at(now.tolist()), windows.take(len(frames)), visible[now], references)
        done += len(frames)


def _match(painter: Painter, film: Film, crop: FaceCrop, visible: NDArray[np.bool_]) -> None:
    """The painter's strength from frames near the beginning of what is shown, whatever comes in which chunk."""
    shown = np.flatnonzero(visible)[:MATCHED_OVER]
    if not len(shown):
        return
    chosen = shown[np.unique(np.linspace(0, len(shown) - 1, MATCHED_ON).round().astype(int))]
    frames: list[NDArray[np.uint8]] = []
    first = 0
    for chunk in painter.clock.stream(READING, film.forwards(WINDOW)):
        frames += [chunk[k - first] for k in chosen if first <= k < first + len(chunk)]
        first += len(chunk)
        if len(frames) == len(chosen):
            break
    painter.match(np.stack(frames), crop.at(chosen.tolist()))


def needed(source: AudioSource, fps: Rate, length: str) -> int | None:
    """How many of a film's frames are played at most (None: all), by which rule of `frame_order` ever."""
    return None if length == "once" else frame_count(source.num_samples(), source.sample_rate, fps)


def track_film(
    film: Film,
    detector: Detector,
    choice: FaceChoice | None = None,
    smoothing: float = SMOOTHING,
    progress: Callable[[int], None] | None = None,
    clock: Clock | None = None,
    most: int | None = None,
) -> FaceTrack:
    """The face that is to speak; warns of a head that turns too far. Raises InputError where no face is found.

    `progress` is called with the frames done so far. `most` frames from the first on are looked at: what `needed` says,
    since a short sound leaves the rest of a long film alone.
    """
    clock = clock or Clock()
    with clock.part(FACES):
        chunks = clock.stream(READING, _first(film.forwards(WINDOW), most))
        track = track_faces(chunks, film.fps, detector, choice, smoothing, progress)
        warn_of_yaw(track)
    return track


def _first(chunks: Iterator[NDArray[np.uint8]], most: int | None) -> Iterator[NDArray[np.uint8]]:
    left = most
    for chunk in chunks:
        yield chunk[:left]
        if left is not None:
            left -= len(chunk)
            if left <= 0:
                return


@dataclass(frozen=True)
class Dubbed:
    """A film that was written: frames and rate, how many were left as they were for want of a face, the strength that
    its texture was restored with (None: the model cannot), seconds of sound, seconds of work by stage."""

    output: Path
    frames: int
    fps: Fraction
    left_alone: int
    strength: float | None
    seconds_audio: float
    seconds: dict[str, float]


def dub_to_file(
    painter: Painter,
    film: Film,
    source: AudioSource,
    path: str | Path,
    detector: Detector,
    choice: FaceChoice | None = None,
    length: str = "bounce",
    smoothing: float = SMOOTHING,
    progress: Callable[[int], None] | None = None,
) -> Dubbed:
    """Write the dubbed film with its new sound, whole or not at all; arguments as in `dub` and `track_film`.

    `progress(frames)` is called with the number of frames of each chunk made.
    """
    most = needed(source, film.fps, length)
    track = track_film(film, detector, choice, smoothing, clock=painter.clock, most=most)
    return write_dub(painter, film, track, source, path, length, progress)


def write_dub(
    painter: Painter,
    film: Film,
    track: FaceTrack,
    source: AudioSource,
    path: str | Path,
    length: str = "bounce",
    progress: Callable[[int], None] | None = None,
) -> Dubbed:
    """`dub_to_file` for a face that has been tracked.

    Under the rules "stop" and "once" sound that goes on when the film has ended is cut off there.
    """
    clock = painter.clock
    order = frame_order(len(track), frame_count(source.num_samples(), source.sample_rate, film.fps), length)
    if length != "bounce":
        source = FirstSeconds(source, len(order) / film.fps)
    with VideoWriter(path, film.width, film.height, film.fps, source) as writer:
        for chunk in dub(painter, film, track, source, length):
            with clock.part(WRITING):
                writer.write(chunk)
            if progress is not None:
                progress(len(chunk))
    seconds, left = source.num_samples() / source.sample_rate, int((~in_sight(track)[order]).sum())
    parts = {part: spent for part, spent in clock.read().items() if spent}
    return Dubbed(writer.path, writer.frames, film.fps, left, painter.strength, seconds, parts)
