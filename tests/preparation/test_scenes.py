"""Scenes: cuts, dissolves and fades are found; flashes, light, pans and talking heads are not taken for them."""

import cv2
import numpy as np
import pytest

from talkface_core.preparation.scenes import (
    Scene,
    Signatures,
    distance,
    find_cuts,
    find_scenes,
    join_signatures,
    signature,
)

SIZE = (72, 128)


def picture(seed: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A picture of nothing, of shapes large and small."""
    rng = np.random.default_rng(seed)
    out = np.zeros((*size, 3), np.float32)
    for knots, weight in ((3, 1.0), (8, 0.5), (24, 0.25)):
        grid = rng.uniform(-1, 1, (knots, 2 * knots, 3)).astype(np.float32)
        out += weight * cv2.resize(grid, size[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(127 + 80 * out, 0, 255).astype(np.uint8)


def talk(seed: int, frames: int) -> list[np.ndarray]:
    """A blob that sways before a picture that stands, with a little noise, as a head before a wall."""
    rng = np.random.default_rng(seed)
    colour = tuple(int(v) for v in rng.integers(60, 255, 3))
    out = []
    for k in range(frames):
        frame = picture(seed)
        centre = (64 + round(6 * np.sin(k / 5 + seed)), 40 + round(2 * np.cos(k / 3)))
        cv2.ellipse(frame, centre, (18, 26), 0, 0, 360, colour, -1)
        out.append(np.clip(frame + rng.normal(0, 2, frame.shape), 0, 255).astype(np.uint8))
    return out


def signatures(frames: list[np.ndarray]) -> Signatures:
    return join_signatures([signature(frame) for frame in frames])


def scenes(frames: list[np.ndarray]) -> list[tuple[int, int]]:
    return [(scene.start, scene.stop) for scene in find_scenes(signatures(frames))]


def dissolve(a: list[np.ndarray], b: list[np.ndarray], n: int) -> list[np.ndarray]:
    """a, then a turning into b over n frames, then b."""
    shares = np.linspace(0, 1, n + 2)[1:-1]
    mixed = [((1 - s) * p + s * q).astype(np.uint8) for s, p, q in zip(shares, a[-n:], b[:n], strict=True)]
    return [*a[:-n], *mixed, *b[n:]]


def test_a_talking_head_is_one_scene():
    assert scenes(talk(1, 80)) == [(0, 80)]


@pytest.mark.parametrize("seed", range(6))
def test_cuts_are_found_to_the_frame(seed):
    frames = [*talk(3 * seed, 30), *talk(3 * seed + 1, 20), *talk(3 * seed + 2, 30)]
    assert scenes(frames) == [(0, 30), (30, 50), (50, 80)]


@pytest.mark.parametrize("length", [3, 8, 20, 40])
def test_frames_amid_a_dissolve_belong_to_no_scene(length):
    bounds = scenes(dissolve(talk(1, 80), talk(2, 80), length))
    assert len(bounds) == 2
    (first, end), (begin, last) = bounds
    assert (first, last) == (0, 160 - length)
    assert end <= 80 - length + max(2, length // 6)
    assert begin >= 80 - max(2, length // 6)
    assert begin - end <= length + 6


@pytest.mark.parametrize("length", [6, 12, 25])
def test_a_fade_through_black_parts_two_scenes(length):
    falling = np.linspace(1, 0, length)[:, None, None, None]
    out = (np.stack(talk(1, 60)[-length:]) * falling).astype(np.uint8)
    back = (np.stack(talk(2, 60)[:length]) * falling[::-1]).astype(np.uint8)
    black = np.zeros((5, *SIZE, 3), np.uint8)
    bounds = scenes([*talk(1, 60)[:-length], *out, *black, *back, *talk(2, 60)[length:]])
    middle = 60 + 2
    assert not any(start < middle - 4 and stop > middle + 4 for start, stop in bounds)
    assert bounds[0][0] == 0
    assert bounds[-1][1] == 60 + 5 + 60


@pytest.mark.parametrize("length", [1, 2, 4])
def test_a_flash_is_no_cut(length):
    frames = talk(4, 60)
    for k in range(30, 30 + length):
        frames[k] = np.clip(0.2 * frames[k] + 200, 0, 255).astype(np.uint8)
    assert scenes(frames) == [(0, 60)]


def test_light_that_changes_is_no_cut():
    frames = talk(5, 60)
    slow = [
        np.clip(f * np.interp(k, [0, 20, 40], [0.5, 0.5, 1.1]), 0, 255).astype(np.uint8) for k, f in enumerate(frames)
    ]
    assert scenes(slow) == [(0, 60)]


@pytest.mark.parametrize("speed", [1, 3, 6])
def test_a_camera_that_pans_or_zooms_shows_one_scene(speed):
    wide = picture(7, (72, 600))
    pan = [wide[:, x : x + 128] for x in range(0, 470, speed)]
    assert scenes(pan) == [(0, len(pan))]
    zoom = [cv2.resize(wide[k // 2 : 72 - k // 2, 200 + k : 400 - k], SIZE[::-1]) for k in range(0, 30)]
    assert scenes(zoom) == [(0, 30)]


def test_short_films_and_none():
    assert find_scenes(signatures([])) == []
    assert find_scenes(signatures(talk(1, 1))) == [Scene(0, 1)]
    assert find_cuts(signatures([picture(1), picture(2)])) == [1]


def test_a_signature_is_small_and_a_distance_has_its_bounds():
    small, colours = signature(picture(1))
    assert (small.dtype, small.shape) == (np.uint8, (18, 32))
    assert colours.sum() == pytest.approx(2, abs=0.01)
    both = signatures([picture(1), picture(1), 255 - picture(1), np.zeros((*SIZE, 3), np.uint8)])
    assert distance(both, 0, 1) == 0
    assert distance(both, 0, 2) == pytest.approx(2, abs=0.1)
    assert distance(both, 0, 3) == pytest.approx(2, abs=0.1)
