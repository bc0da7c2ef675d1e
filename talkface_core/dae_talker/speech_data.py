"""Training data of speech2latent: log-mels, latents, and what the truth says of mouth, pose, eyes and sounds.

Own clips have latents: frames of the speaker, run through the frozen encoder. Voices are sound with labels but no
latents: other people, or the same words in other voices. They teach the speech encoder what all voices share.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..datasets.clips import Clip, ClipSet
from ..errors import InputError
from ..faces.landmarks import MOUTH, face_height, mouth_opening
from ..media.audio import analysis_audio, load_audio
from ..media.timebase import frame_centre, frame_count
from ..speech.features import LogMel
from ..speech.wave_augment import WaveAugment

FPS = 25
IGNORE = -100

# The blendshapes that speech moves, by ICT-FaceKit's names; smiles and frowns belong to the mood.
MOUTH_WEIGHTS = (
    *("jawOpen", "mouthFunnel", "mouthPucker", "mouthRollLower", "mouthShrugUpper"),
    *("mouthLowerDown_L", "mouthLowerDown_R", "mouthPress_L", "mouthPress_R"),
    *("mouthStretch_L", "mouthStretch_R", "mouthUpperUp_L", "mouthUpperUp_R"),
)
VISEMES = (
    *("sil", "PP", "FF", "TH", "DD", "KK", "CH", "SS", "RR", "LL", "HH", "W"),
    *("AA", "AE", "AH", "E", "ER", "I", "IH", "O", "OE", "U"),
)
_SAME = {"BV": "PP"}
_SOUNDS = (".flac", ".wav")


@dataclass(frozen=True)
class SpeechClip:
    """One clip of T frames at 25 fps; what is not known is None.

    mels [V, S, 80] float16, the clean log-mel first, then V-1 augmented ones; latents [T, Z]; mouth [T, M], its last
    column the opening; pose [T, 3] in degrees; eyes [T], 1 open, 0 shut; visemes int64 [T]; speech bool [T].
    """

    name: str
    frames: int
    mels: Tensor
    latents: Tensor | None = None
    mouth: Tensor | None = None
    pose: Tensor | None = None
    eyes: Tensor | None = None
    visemes: Tensor | None = None
    speech: Tensor | None = None


def mouth_targets(truth: Mapping[str, Any]) -> NDArray[np.float32] | None:
    """What a mouth does, as numbers [T, M] that mean the same for every person where the truth has blendshapes.

    With `weights` and `names`: the blendshapes of speech and `mouth_open`. With `landmarks` alone: the 20 lip points
    about their mean in units of the face's height, and the opening of the inner lips. Without both: None.
    """
    if "weights" in truth and "mouth_open" in truth:
        names = [str(name) for name in truth["names"]]
        if set(MOUTH_WEIGHTS) <= set(names):
            chosen = truth["weights"][:, [names.index(name) for name in MOUTH_WEIGHTS]]
            return np.concatenate([chosen, truth["mouth_open"][:, None]], axis=1).astype(np.float32)
    if "landmarks" in truth:
        points = np.asarray(truth["landmarks"], np.float32)
        lips = points[:, MOUTH]
        lips = (lips - lips.mean(1, keepdims=True)) / face_height(points)[:, None, None]
        return np.concatenate([lips.reshape(len(lips), -1), mouth_opening(points)[:, None]], axis=1).astype(np.float32)
    return None


def viseme_track(phonemes: Sequence[Sequence[Any]], frames: int) -> Tensor:
    """Viseme at the centre of each frame, int64 [frames], from [[symbol, viseme, start_s, end_s], ...].

    Of a diphthong ("AA+I") the first part counts; times that no phoneme covers are `IGNORE`.
    """
    track = torch.full((frames,), IGNORE, dtype=torch.int64)
    centres = torch.tensor([float(frame_centre(k, FPS)) for k in range(frames)])
    for _, viseme, start, end in phonemes:
        name = str(viseme).split("+")[0]
        name = _SAME.get(name, name)
        if name in VISEMES:
            track[(centres >= start) & (centres < end)] = VISEMES.index(name)
    return track


def eye_track(eye_open: NDArray[np.floating]) -> Tensor:
    """Opening of the eyes relative to the clip's usual open eye: [T], 1 open, 0 shut, at most 1.2."""
    usual = max(float(np.percentile(eye_open, 90)), 1e-3)
    return torch.from_numpy(np.clip(eye_open / usual, 0.0, 1.2).astype(np.float32))


def mel_versions(
    wave: NDArray[np.float32], versions: int, rng: np.random.Generator, voices: Sequence[NDArray[np.float32]] = ()
) -> Tensor:
    """The clean log-mel and `versions` - 1 augmented ones: float16 [versions, S, 80]."""
    front, augment = LogMel(), WaveAugment()
    waves = [wave] + [augment(wave, rng, voices) for _ in range(versions - 1)]
    return torch.stack([front(torch.from_numpy(w)) for w in waves]).half()


def labelled_clip(
    name: str, wave: NDArray[np.float32], mels: Tensor, truth: Mapping[str, Any], latents: Tensor | None = None
) -> SpeechClip:
    """A clip from its sound and truth. Tracks whose length is not that of the sound are left out."""
    frames = len(latents) if latents is not None else frame_count(len(wave), 16000, FPS)

    def track(*keys: str) -> NDArray[Any] | None:
        return next((truth[k] for k in keys if k in truth and len(truth[k]) == frames), None)

    mouth, pose, eyes, speech = mouth_targets(truth), track("pose"), track("eye_open"), track("voice_speech", "speech")
    return SpeechClip(
        name=name,
        frames=frames,
        mels=mels,
        latents=latents,
        mouth=torch.from_numpy(mouth) if mouth is not None and len(mouth) == frames else None,
        pose=None if pose is None else torch.from_numpy(np.asarray(pose, np.float32)),
        eyes=None if eyes is None else eye_track(eyes),
        visemes=viseme_track(truth["phonemes"], frames) if "phonemes" in truth else None,
        speech=None if speech is None else torch.from_numpy(np.asarray(speech, bool)),
    )


def read_clips(clips: ClipSet, latents: NDArray[np.floating], versions: int = 1, seed: int = 0) -> list[SpeechClip]:
    """The clips of a set with their latents [N, Z], row n for frame n of the set's long list.

    Raises InputError for another number of latents and for footage that is not 25 frames per second.
    """
    if clips.fps != FPS:
        raise InputError(f"{clips.folder}: {float(clips.fps):g} frames per second; export the clips again at {FPS}.")
    if len(latents) != len(clips):
        raise InputError(f"{clips.folder}: {len(clips)} frames but {len(latents)} latents; encode these clips again.")
    rng = np.random.default_rng(seed)
    waves = [analysis_audio(clip.audio()).numpy() for clip in clips.clips]
    parts = np.split(np.asarray(latents, np.float32), clips.starts[1:-1])
    read = []
    for clip, wave, part in zip(clips.clips, waves, parts, strict=True):
        truth = clip.truth() if clip.truth_file else {}
        read.append(labelled_clip(clip.name, wave, mel_versions(wave, versions, rng, waves), truth, torch.tensor(part)))
    return read


def read_voices(folder: str | Path, versions: int = 1, seed: int = 0) -> list[SpeechClip]:
    """Sounds with truth beside them (`<clip>.flac` or `.wav` and `<clip>.npz`), as voices without latents.

    Raises InputError for a folder without any.
    """
    folder = Path(folder)
    found = [p for p in sorted(folder.glob("*")) if p.suffix in _SOUNDS and p.with_suffix(".npz").is_file()]
    if not found:
        raise InputError(f"{folder}: no <clip>.flac or .wav with <clip>.npz beside it; give labelled voices.")
    rng = np.random.default_rng(seed)
    waves = [analysis_audio(load_audio(path)).numpy() for path in found]
    clips = []
    for path, wave in zip(found, waves, strict=True):
        truth = Clip(path.stem, path, path, path.with_suffix(".npz"), 0, 0, 0, Fraction(FPS)).truth()
        clips.append(labelled_clip(path.stem, wave, mel_versions(wave, versions, rng, waves), truth))
    return clips
