"""Mouths beside the real ones: a copy scores perfectly, and each measure sees its own fault and no other."""

import cv2
import numpy as np
import pytest

from talkface_core.errors import InputError
from talkface_core.evaluation.mouths import MouthScores, compare_mouths, lip_colours, mouth_box
from talkface_core.faces.landmarks import INNER_LIPS, LIP_CENTRES, MOUTH, OUTER_LIPS

SIZE, FRAMES = 128, 12


@pytest.fixture
def points():
    """A mouth that opens and shuts, with a nose and a chin."""
    out = np.full((FRAMES, 68, 2), 64.0)
    out[:, 27], out[:, 8] = (64, 40), (64, 118)
    for k in range(FRAMES):
        gap = 3 + 3 * np.sin(k)
        for part, width, height in ((OUTER_LIPS, 22, 9 + gap), (INNER_LIPS, 16, gap)):
            count = part.stop - part.start
            angle = np.pi + 2 * np.pi * np.arange(count) / count
            out[k, part] = np.stack([64 + width * np.cos(angle), 92 + height * np.sin(angle)], 1)
    return out.astype(np.float32)


def drawn(points, lips=(190, 70, 80)):
    """Frames with skin, lips and noise."""
    chance, frames = np.random.default_rng(0), np.empty((FRAMES, SIZE, SIZE, 3), np.uint8)
    for frame, own in zip(frames, points, strict=True):
        frame[:] = (200, 160, 140)
        cv2.fillPoly(frame, [np.round(own[OUTER_LIPS] - 0.5).astype(np.int32)], lips)
        cv2.fillPoly(frame, [np.round(own[INNER_LIPS] - 0.5).astype(np.int32)], (40, 10, 10))
    return np.clip(frames + chance.normal(0, 6, frames.shape), 0, 255).astype(np.uint8)


def test_a_copy_is_perfect(points):
    frames = drawn(points)
    scores = compare_mouths(frames, frames, points, points)
    assert scores.opening == pytest.approx(1)
    assert (scores.spread, scores.chroma, scores.sharpness, scores.flicker) == (1, 1, 1, 1)
    assert scores.colour == 0
    assert scores.ssim == pytest.approx(1)


def test_each_fault_is_seen(points):
    real = drawn(points)
    half = points.copy()
    half[:, INNER_LIPS, 1] = 92 + 0.5 * (points[:, INNER_LIPS, 1] - 92)
    assert compare_mouths(real, real, half, points).spread == pytest.approx(0.5, rel=0.01)
    pale = compare_mouths(drawn(points, (190, 130, 120)), real, points, points)
    assert pale.chroma < 0.8
    assert pale.colour > 10
    assert pale.opening == pytest.approx(1)
    soft = np.stack([cv2.GaussianBlur(frame, (0, 0), 1) for frame in real])
    blurred = compare_mouths(soft, real, points, points)
    assert blurred.sharpness < 0.3
    assert blurred.psnr < 40
    assert abs(blurred.chroma - 1) < 0.1
    still = compare_mouths(np.repeat(real[:1], FRAMES, 0), real, np.repeat(points[:1], FRAMES, 0), points)
    assert (still.opening, still.flicker) == (0, 0)


def test_lips_have_their_own_colour(points):
    lab = lip_colours(drawn(points), points)
    expected = cv2.cvtColor(np.float32([[[190, 70, 80]]]) / 255, cv2.COLOR_RGB2LAB)[0, 0]
    assert np.abs(lab - expected).max() < 6
    flat = points.copy()
    flat[:, MOUTH] = 92
    assert np.isnan(lip_colours(drawn(points), flat)).all()


def test_the_box_holds_every_mouth(points):
    rows, columns = mouth_box(points, SIZE)
    lips = points[:, list(LIP_CENTRES)]
    assert rows.start < lips[..., 1].min()
    assert rows.stop > lips[..., 1].max()
    assert (columns.start + columns.stop) / 2 == pytest.approx(64, abs=1)


def test_means_and_misfits(points):
    frames = drawn(points)
    one = compare_mouths(frames, frames, points, points)
    assert MouthScores.mean([one, one]).chroma == 1
    with pytest.raises(InputError, match="equal numbers"):
        compare_mouths(frames, frames[1:], points, points)
