"""Invented faces that talk, in numbers: a mouth of a plain face opens with the loudness of the mel."""

import numpy as np
import torch

from talkface_core.datasets.talking_faces import TalkingFaces
from talkface_core.speech.mel_windows import window_starts

SIZE, PAD = 96, 12


def talkers(clips: int = 4, frames: int = 60, seed: int = 0) -> TalkingFaces:
    """Clips whose mouth (a dark box) is as open as the sound is loud, one colour of skin for each."""
    rng = np.random.default_rng(seed)
    side, steps = SIZE + 2 * PAD, int(3.2 * frames) + 1
    pictures, mels, landmarks = [], [], []
    for _ in range(clips):
        loud = np.repeat(rng.random(steps // 16 + 2), 16)[:steps]
        mel = (8 * loud[:, None] - 4) * np.ones((1, 80)) * rng.uniform(0.8, 1)
        steps_of = np.array(window_starts(range(frames), 25))[:, None] + np.arange(4, 12)
        opened = loud[steps_of.clip(0, steps - 1)].mean(1)
        picture = np.full((frames, side, side, 3), rng.integers(90, 220, 3), np.uint8)
        points = rng.uniform(0.2, 0.8, (1, 68, 2)) * SIZE + PAD + np.zeros((frames, 1, 1))
        points[:, 48:] = PAD + SIZE * np.array([0.5, 0.72]) + rng.uniform(-10, 10, (1, 20, 2))
        for k, gap in enumerate(opened):
            half = round(12 * gap)
            middle = PAD + round(0.72 * SIZE)
            picture[k, middle - half : middle + half, PAD + 36 : PAD + 60] = 20
            points[k, [61, 62, 63], 1], points[k, [67, 66, 65], 1] = middle - half, middle + half
        pictures.append(picture)
        landmarks.append(points)
        mels.append(torch.from_numpy(mel).half()[None])
    starts = np.arange(clips + 1) * frames
    frames_array = np.concatenate(pictures)
    points = np.concatenate(landmarks).astype(np.float32)
    return TalkingFaces("invented", frames_array, points, SIZE, PAD, starts, mels, None)
