"""Clips as the motion diffusion trains on them: the motion of each frame about the person at rest, and what is heard.

Source: JoyVASA (Cao et al. 2024) reads the motion of its clips once, with LivePortrait's extractor. So does this, where
a renderer is given; for keypoints that are tied to landmarks, clips with truth need none (landmark_motion.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ...datasets.clips import Clip, ClipSet
from ...datasets.labels import eye_track
from ...datasets.sounds import augmented_mels
from ...errors import InputError
from ...faces.align import warp
from ...media.audio import analysis_audio
from ...sequences import sample_at
from ...speech.vad import GateConfig, open_around
from ...training.frame_cache import CacheKey, cached_file, stats
from ..controls import CONTROLS
from ..keypoints import IRISES, MIRRORED
from ..motion import POSE_VALUES, Motion
from ..portrait_crop import portrait_crop
from ..prosody import SILENT, Prosody
from ..renderer import HolisticRenderer
from .moving_heads import clip_motion, has_gaze, true_gaze

WIDE = 0.15
"""The `mouth_open` that counts as a mouth wide open, 1 of the control."""

_SIZE = 128  # px of the crop that truth's landmarks are measured in; the motion has no unit of it
_REACH = 1.4
_VERSION = 1


@dataclass(frozen=True)
class MotionClip:
    """One clip of T frames at 25 fps.

    values float32 [T,3K+7]: motion about the person at rest; known [3K+7]: 0 for values that the clip does not know;
    speech bool [T]; closures: frames at which p, b or m is said; controls [T,C] of `CONTROLS`, NaN where unknown;
    prominence [T] or None: how much a word is stressed; prosody [T,7]; mels [V,S,80] float16, the clean log-mel first.
    """

    name: str
    values: Tensor
    known: Tensor
    speech: NDArray[np.bool_]
    closures: NDArray[np.int64]
    controls: Tensor
    prominence: Tensor | None
    prosody: Tensor
    mels: Tensor

    def __len__(self) -> int:
        return len(self.values)


def read_motion_clips(
    folder: str | Path,
    cache_dir: str | Path,
    versions: int = 1,
    seed: int = 0,
    renderer: HolisticRenderer | None = None,
    stamp: str = "",
) -> list[MotionClip]:
    """The clips of a folder with truth, their sounds `versions` times; what takes long comes from the cache.

    renderer: reads the motion off the pictures, `stamp` tells it from others; None: it is computed from the truth.
    Raises InputError for clips without landmarks, pose or sound at 25 fps.
    """
    clips = ClipSet.open(folder)
    clips.check_rate()
    content = [_VERSION, stamp, versions, seed, *stats(clips.files)]
    key = CacheKey("motion", clips.folder, (versions, seed), content)
    path = cached_file(key, cache_dir, ".npz", lambda part: _write(part, clips, versions, seed, renderer))
    with np.load(path, allow_pickle=False) as stored:
        motions, prosodies, mels = (stored[name] for name in ("motion", "prosody", "mels"))
        steps = stored["steps"]
    edges = np.cumsum([0, *steps])
    found = []
    for n, clip in enumerate(clips.clips):
        frames = slice(int(clips.starts[n]), int(clips.starts[n + 1]))
        sound = torch.from_numpy(mels[:, edges[n] : edges[n + 1]])
        found.append(_clip(clip, motions[frames], prosodies[frames], sound, renderer is None))
    return found


def _write(part: Path, clips: ClipSet, versions: int, seed: int, renderer: HolisticRenderer | None) -> None:
    waves = [analysis_audio(clip.audio()) for clip in clips.clips]
    mels = augmented_mels([wave.numpy() for wave in waves], versions, seed)
    motions, prosodies = [], []
    for clip, wave in zip(clips.clips, waves, strict=True):
        motions.append(clip_values(clip, renderer).numpy())
        melody = Prosody()(wave)
        prosodies.append(melody[torch.arange(clip.frames).clamp_max(len(melody) - 1)].numpy())
    with part.open("wb") as file:
        np.savez(
            file,
            motion=np.concatenate(motions),
            prosody=np.concatenate(prosodies),
            mels=torch.cat(mels, 1).numpy(),
            steps=np.array([mel.shape[1] for mel in mels]),
        )


def clip_values(clip: Clip, renderer: HolisticRenderer | None = None) -> Tensor:
    """A clip's motion about the person at rest [T,3K+7]."""
    truth = clip.truth()
    for name in ("landmarks", "pose"):
        if name not in truth:
            raise InputError(f"{clip.truth_file}: no {name!r} in it, which motion is told by.")
    size, reach = (_SIZE, _REACH) if renderer is None else (renderer.config.size, renderer.config.reach)
    crop = portrait_crop(torch.from_numpy(truth["landmarks"]), (clip.height, clip.width), size, reach)
    if renderer is None:
        seen = clip_motion(truth, crop.landmarks, size)
        motion = Motion(seen.expression, seen.rotation, seen.translation, seen.scale)
    else:
        matrix = crop.matrices[0].numpy()
        frames = np.stack([warp(frame, matrix, size) for frame in clip.decode()])
        motion = renderer.motion(torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255)
    return about_rest(motion, torch.from_numpy(truth["mouth_open"]), torch.from_numpy(truth["eye_open"])).values()


def about_rest(motion: Motion, mouth_open: Tensor, eye_open: Tensor) -> Motion:
    """The motion about the person at rest: lips shut, eyes open, the head where it is most of the time.

    mouth_open, eye_open [T]: rest is where both tell so; where that is nowhere, where the mouth is least open.
    """
    awake = eye_open >= eye_open.quantile(0.3)
    calm = awake & (mouth_open <= mouth_open[awake].quantile(0.1))
    rest = motion.expression[calm].median(0).values
    middle = [part.median(0).values for part in (motion.rotation, motion.translation, motion.scale)]
    return Motion(
        motion.expression - rest,
        motion.rotation - middle[0],
        motion.translation - middle[1],
        motion.scale / middle[2],
        motion.fps,
    )


def _clip(
    clip: Clip, values: NDArray[np.float32], prosody: NDArray[np.float32], mels: Tensor, tied: bool
) -> MotionClip:
    truth = clip.truth()
    count = clip.frames
    speech = np.asarray(truth.get("speech", np.ones(count)), bool)
    said = np.asarray(truth.get("pp_frames", ()), np.int64)
    known = torch.ones(values.shape[1])
    if tied and not has_gaze(truth):
        for iris in IRISES:
            known[3 * iris : 3 * iris + 3] = 0
    prominence = torch.from_numpy(np.asarray(truth["prominence"], np.float32)) if "prominence" in truth else None
    # The gate lets nothing through where nobody speaks, in prosody as in the mel.
    heard = open_around(torch.from_numpy(np.asarray(speech, np.float32))[None], GateConfig(lead=4, hang=3, fade=1))[0]
    return MotionClip(
        clip.name,
        torch.from_numpy(values),
        known,
        speech,
        said[(said >= 0) & (said < count)],
        true_controls(truth),
        prominence,
        torch.lerp(SILENT.expand(count, -1), torch.from_numpy(prosody), heard[:, None]),
        mels,
    )


def true_controls(truth: dict[str, Any]) -> Tensor:
    """What the controls of `CONTROLS` are in a clip's frames [T,C], NaN where its truth does not tell."""
    count = len(truth["landmarks"])
    columns = [torch.from_numpy(truth["mouth_open"]) / WIDE]
    lids = truth["eye_open_lr"] if "eye_open_lr" in truth else np.stack([truth["eye_open"]] * 2, 1)
    columns += [(1 - eye_track(lids[:, eye])).clamp(0, 1) for eye in (0, 1)]
    gaze = true_gaze(truth)
    columns += [torch.full((count,), torch.nan) if gaze is None else gaze[..., axis].mean(1) for axis in (0, 1)]
    assert len(columns) == len(CONTROLS)
    return torch.stack(columns, 1).float()


def mirrored(values: Tensor) -> Tensor:
    """Motion values [...,3K+7] of keypoints that are tied to landmarks, as of a face in a mirror."""
    expression, rest = values.split([values.shape[-1] - POSE_VALUES, POSE_VALUES], -1)
    points = expression.unflatten(-1, (-1, 3))[..., list(MIRRORED), :] * values.new_tensor([-1.0, 1.0, 1.0])
    # Scale, translation, yaw, pitch, roll.
    return torch.cat([points.flatten(-2), rest * values.new_tensor([1.0, -1.0, 1.0, 1.0, -1.0, 1.0, -1.0])], -1)


def at_tempo(clip: MotionClip, tempo: float) -> MotionClip:
    """The clip said `tempo` times as fast, sound and face together."""
    count, steps = int(len(clip) / tempo), int(clip.mels.shape[1] / tempo)
    at = (torch.arange(count, dtype=torch.float64) + 0.5) * tempo - 0.5
    near = at.round().long().clamp(0, len(clip) - 1)
    places = torch.arange(steps, dtype=torch.float64) * tempo
    return replace(
        clip,
        name=f"{clip.name} at {tempo:g}",
        values=sample_at(clip.values, at),
        speech=clip.speech[near.numpy()],
        closures=np.minimum(np.round(clip.closures / tempo).astype(np.int64), max(count - 1, 0)),
        controls=clip.controls[near],
        prominence=None if clip.prominence is None else clip.prominence[near],
        prosody=sample_at(clip.prosody, at),
        mels=torch.stack([sample_at(mel.float(), places) for mel in clip.mels]).half(),
    )
