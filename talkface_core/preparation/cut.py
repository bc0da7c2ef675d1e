"""The second pass over a video: writes its clips frame by frame, and checks each when it is whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import InputError
from ..faces.align import FaceCrop, warp
from ..faces.choose import FaceChoice
from ..faces.face import Detector
from ..faces.track import FaceTrack
from ..media.audio import AudioSource, audio_source
from ..media.timebase import FPS, SAMPLE_RATE
from ..media.video_reader import VideoReader
from ..media.video_writer import VideoWriter
from .annotations import face_annotations
from .contact_sheet import Picture, landmark_thumbnail, tile
from .flac import write_flac
from .quality import ClipQuality, SyncCheck
from .rules import Span
from .sound import SampleReader, mono_blocks
from .speech import SpeechFinder, rising, speech_frames

SAMPLES = SAMPLE_RATE // FPS
"""Samples of sound that belong to a frame."""

# Loses little beyond what the film's own codec has taken: this is what networks are trained on.
_CRF = 12


@dataclass(frozen=True)
class Tools:
    """What all films are worked on with: the detector, the face that is meant, who tells speech, who tells sync."""

    detector: Detector
    choice: FaceChoice = field(default_factory=FaceChoice)
    speech: SpeechFinder = rising
    sync: SyncCheck | None = None


@dataclass(frozen=True)
class Cut:
    """What became of a span: dropped is the reason or None; facts, for the report; its tile for the contact sheet."""

    span: Span
    name: str
    dropped: str | None
    facts: dict[str, Any]
    tile: Picture | None


def cut_clips(
    reader: VideoReader,
    sound: AudioSource,
    spans: Sequence[Span],
    crops: Sequence[FaceCrop],
    visible: Sequence[torch.Tensor],
    prefix: str,
    folder: Path,
    tools: Tools,
) -> Iterator[Cut]:
    """Write <name>.mp4, .flac and .npz of each span into `folder`, unless the clip turns out to be unusable.

    spans in order and apart; crops and visible (bool [T]) of each. Raises InputError when the film ends too early.
    """
    frames = _numbered(reader)
    samples = SampleReader(mono_blocks(sound))
    for n, (span, crop, valid) in enumerate(zip(spans, crops, visible, strict=True)):
        name = f"{prefix}_{n:04d}"
        wave = samples.take(span.start * SAMPLES, span.stop * SAMPLES)
        track = FaceTrack(crop.landmarks, valid, (crop.size, crop.size), FPS)
        quality = ClipQuality(track, tools.sync)
        thumbnails = _write_frames(folder / f"{name}.mp4", frames, span, crop, track, wave, quality)
        truth = face_annotations(track)
        dropped = quality.reject_reason(wave)
        facts = {
            "seconds": len(span) / FPS,
            "face_px": round(float(track.heights().median() / crop.scales().median()), 1),
            "yaw": [round(float(value), 1) for value in (truth["pose"][:, 0].min(), truth["pose"][:, 0].max())],
            **quality.summary(),
        }
        if dropped:
            (folder / f"{name}.mp4").unlink()
            yield Cut(span, name, dropped, facts, None)
            continue
        truth["speech"] = speech_frames(wave, len(span), FPS, tools.speech)
        meta = {"film": prefix, "start": span.start / FPS, "matrix": crop.matrices[0].tolist(), "made_by": "prepare"}
        write_flac(folder / f"{name}.flac", wave, SAMPLE_RATE)
        np.savez(folder / f"{name}.npz", **truth, fps=np.float32(FPS), meta=json.dumps(meta))
        low, high = facts["yaw"]
        about = f"{name}  {facts['seconds']:.1f} s  {span.split}  yaw {low:+.0f} to {high:+.0f}"
        yield Cut(span, name, None, facts, tile(thumbnails, about))


def _write_frames(
    path: Path,
    frames: Iterator[tuple[int, NDArray[np.uint8]]],
    span: Span,
    crop: FaceCrop,
    track: FaceTrack,
    wave: NDArray[np.float32],
    quality: ClipQuality,
) -> list[Picture]:
    """The frames of a span, cropped, into a video; returns the thumbnails of three of them."""
    source = audio_source({"waveform": torch.from_numpy(wave)[None, None], "sample_rate": SAMPLE_RATE})
    chosen, thumbnails = {0, len(span) // 2, len(span) - 1}, []
    with VideoWriter(path, crop.size, crop.size, FPS, source, crf=_CRF, mark=False) as writer:
        for number, frame in frames:
            k = number - span.start
            if k < 0:
                continue
            small = warp(frame, crop.matrices[k].numpy(), crop.size)
            writer.write(small[None])
            quality.add(small)
            if k in chosen:
                thumbnails.append(landmark_thumbnail(small, track.landmarks[k].numpy(), bool(track.valid[k])))
            if k == len(span) - 1:
                break
        else:
            raise InputError(f"{span.stop} frames were there at first, fewer the second time; is the file changing?")
    return thumbnails


def _numbered(reader: VideoReader) -> Iterator[tuple[int, NDArray[np.uint8]]]:
    number = 0
    for chunk in reader.steady(FPS):
        for frame in chunk:
            yield number, frame
            number += 1
