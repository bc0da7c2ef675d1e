"""The verdict on a clip: dark, blurred, still and out of step are told, sound footage is not touched."""

from fractions import Fraction
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch

from talkface_core import checkpoints
from talkface_core.checkpoints import CheckpointError, save_checkpoint
from talkface_core.faces.track import FaceTrack
from talkface_core.preparation.quality import CONFIDENCE, LIGHT, SHARPNESS, SYNC, ClipQuality, find_sync, sharpness
from talkface_core.sync.syncnet import COMPONENT, SYSTEM, SyncNet

WAVE = np.zeros(16000, np.float32)


@pytest.fixture
def clip(talking):
    """The fixture at 256 px: frames [30,256,256,3] and their track."""
    frames = np.stack([cv2.resize(frame, (256, 256), interpolation=cv2.INTER_CUBIC) for frame in talking.frames])
    points = torch.from_numpy(2 * talking.landmarks)
    return frames, FaceTrack(points, torch.ones(len(frames), dtype=torch.bool), (256, 256), Fraction(25))


def judged(frames, track, sync=None) -> ClipQuality:
    quality = ClipQuality(track, sync)
    for frame in frames:
        quality.add(frame)
    return quality


def test_a_good_clip_passes_and_its_numbers_are_told(clip):
    quality = judged(*clip)
    assert quality.reject_reason(WAVE) is None
    assert quality.summary()["light"] > 2 * LIGHT
    assert quality.summary()["sharpness"] > SHARPNESS
    assert "sync_offset" not in quality.summary()


def test_dark_and_blurred_and_still_clips_are_dropped(clip):
    frames, track = clip
    assert judged((frames * 0.2).astype(np.uint8), track).reject_reason(WAVE) == "dark"
    assert judged((frames * 0.6).astype(np.uint8), track).reject_reason(WAVE) is None
    blurred = np.stack([cv2.GaussianBlur(frame, (0, 0), 4) for frame in frames])
    assert judged(blurred, track).reject_reason(WAVE) == "blurred"
    photograph = np.repeat(frames[:1], 30, axis=0)
    assert judged(photograph, track).reject_reason(WAVE) == "still"


def test_a_film_of_few_frames_a_second_is_not_still(clip):
    frames, track = clip
    slow = frames[np.arange(30) * 12 // 25 * 25 // 12]
    assert judged(slow, track).reject_reason(WAVE) is None


def test_a_few_bad_frames_do_not_matter(clip):
    frames, track = clip
    frames = frames.copy()
    frames[3:9] = 0
    assert judged(frames, track).reject_reason(WAVE) is None


@pytest.mark.parametrize(
    ("offset", "confidence", "verdict"),
    [(0, 1.0, None), (-2, 1.0, None), (3, 1.0, "out of step"), (-8, 0.5, "out of step"), (9, CONFIDENCE / 2, None)],
)
def test_lips_out_of_step_with_the_sound_are_dropped_when_the_score_is_sure(clip, offset, confidence, verdict):
    class Check:
        size = 96
        given: tuple = ()

        def __call__(self, crops, wave):
            self.given = (crops.shape, crops.dtype, len(wave))
            return SimpleNamespace(offset=offset, confidence=confidence)

    check = Check()
    quality = judged(*clip, check)
    assert quality.reject_reason(WAVE) == verdict
    assert check.given == ((30, 96, 96, 3), np.uint8, 16000)
    assert quality.summary()["sync_offset"] == offset


def test_sharpness_falls_with_blur_and_is_nothing_on_a_plain_picture():
    picture = np.random.default_rng(0).integers(0, 256, (80, 80)).astype(np.uint8)
    values = [sharpness(cv2.GaussianBlur(picture, (0, 0), s), 3.0) for s in (0.5, 1, 2, 4)]
    assert values == sorted(values, reverse=True)
    assert sharpness(np.full((50, 50), 90, np.uint8), 3.0) == 0


def test_the_bundled_expert_is_used_as_soon_as_there_is_one(clip, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "PRETRAINED", tmp_path)
    assert find_sync() is None
    torch.manual_seed(0)
    net = SyncNet()
    path = tmp_path / f"{SYNC}.safetensors"
    save_checkpoint(path, SYSTEM, {COMPONENT: net}, {COMPONENT: net.config.to_dict()}, {"data": "none"})
    check = find_sync()
    assert (check.name, check.size) == ("sync_tiny", net.config.size)
    quality = judged(*clip, check)
    wave = np.random.default_rng(0).normal(0, 0.1, 30 * 640).astype(np.float32)
    verdict = quality.reject_reason(wave)
    assert -15 <= quality.score.offset <= 15
    assert quality.score.confidence >= 0
    assert (verdict is None) == (quality.score.confidence < CONFIDENCE or abs(quality.score.offset) <= 2)
    assert quality.summary()["sync_offset"] == quality.score.offset
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(CheckpointError, match="cut-off"):
        find_sync()
