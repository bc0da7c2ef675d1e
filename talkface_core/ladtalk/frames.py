"""LaDTalk's parts on frames that lie in memory, for hosts that show what comes of each.

Frames keep kind and dtype, and outside of the mouths every pixel is the input's, bit for bit; floats are not rounded.
What makes a film of a film, step by step and in bounded memory, is pipeline.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from torch import Tensor

from ..faces.align import align, check_shape, crop_faces
from ..faces.paste import paste_faces
from ..faces.track import FaceTrack
from ..media.audio import AudioSource
from ..media.playback import frame_order
from ..media.timebase import frame_count
from ..pixels import as_byte_array
from .enhance import enhance
from .model import Lips
from .pipeline import WINDOW, in_sight, speech_windows
from .references import beside, choose_references, cut_references
from .robustness_report import RobustnessReport
from .sovqae import SOVQAE
from .wav2lip import repaint


def dubbed_order(track: FaceTrack, source: AudioSource, length: str) -> list[int]:
    """Which of the track's frames is shown at each moment while the sound lasts; `length` is a rule of `frame_order`.

    Raises InputError for another rule.
    """
    wanted = frame_count(source.num_samples(), source.sample_rate, track.fps)
    return frame_order(len(track), wanted, length).tolist()


def repaint_frames(
    lips: Lips, frames: Tensor, track: FaceTrack, source: AudioSource, order: list[int], window: int = WINDOW
) -> Iterator[Tensor]:
    """The `frames` [T,H,W,3], uint8 or 0..1, in this order, chunk by chunk, their tracked faces saying the sound.

    Chunks are of up to `window` frames, which are made at once and are the same whatever it is. Frames that do not
    show the face stay as they are. Raises InputError for frames that are not the track's.
    """
    check_shape(frames, track.size, len(track))
    crop, visible = align(track, lips.wav2lip.config.size), in_sight(track)
    chosen = choose_references(crop, track.valid.numpy(), track.scenes)
    cut = cut_references((as_byte_array(part) for part in frames.split(window)), crop, chosen)
    windows = speech_windows(lips, source, track.fps)
    for start in range(0, len(order), window):
        now = order[start : start + window]
        chunk, heard = frames[now], windows.take(len(now))
        seen = np.flatnonzero(visible[now]).tolist()
        if seen:
            numbers = [now[k] for k in seen]
            shown, place = chunk[seen], crop.at(numbers)
            faces = as_byte_array(crop_faces(shown, place))
            made = repaint(lips.wav2lip, faces, heard[seen], beside(faces, numbers, crop, chosen, cut))
            chunk[seen] = paste_faces(shown, made, place)
        yield chunk


def enhance_track(
    model: SOVQAE, frames: Tensor, track: FaceTrack, mask: Tensor | None = None, **settings: Any
) -> tuple[Tensor, RobustnessReport, list[int]]:
    """`enhance` where the face is in sight: frames, report, and the numbers of the frames that it speaks of.

    Raises InputError as that does, and for frames that are not the track's.
    """
    check_shape(frames, track.size, len(track))
    seen = np.flatnonzero(in_sight(track)).tolist()
    if len(seen) == len(frames):
        return *enhance(model, frames, track, mask, **settings), seen
    own = mask if mask is None or mask.ndim == 2 else mask[seen]
    made, report = enhance(model, frames[seen], track.at(seen), own, **settings)
    out = frames.clone()
    out[seen] = made
    return out, report, seen
