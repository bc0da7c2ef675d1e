"""Training data of speech2latent: labelled clips of the speaker with the latents of their frames.

Own clips have latents: frames of the speaker, run through the frozen encoder. Voices (datasets/labelled_sounds.py) have
none. They teach the speech encoder what all voices share.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from ..datasets.clips import ClipSet
from ..datasets.labelled_sounds import SpeechClip, labelled_clip
from ..datasets.sounds import read_sounds
from ..errors import InputError


def read_clips(clips: ClipSet, latents: NDArray[np.floating], versions: int = 1, seed: int = 0) -> list[SpeechClip]:
    """The clips of a set with their latents [N, Z], row n for frame n of the set's long list.

    Raises InputError for another number of latents and for footage that is not 25 frames per second.
    """
    if len(latents) != len(clips):
        raise InputError(f"{clips.folder}: {len(clips)} frames but {len(latents)} latents; encode these clips again.")
    parts = np.split(np.asarray(latents, np.float32), clips.starts[1:-1])
    return [
        labelled_clip(clip.name, len(part), mels, clip.truth() if clip.truth_file else {}, torch.tensor(part))
        for clip, mels, part in zip(clips.clips, read_sounds(clips, versions, seed), parts, strict=True)
    ]
