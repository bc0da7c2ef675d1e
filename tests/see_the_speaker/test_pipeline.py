"""From a sound to a talking picture: how many frames, where they change, in which windows, and files whole or not."""

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from talkface_core.errors import InputError
from talkface_core.faces.geometry import GENERIC_FACE
from talkface_core.media.source import AudioSource
from talkface_core.media.video_reader import VideoReader
from talkface_core.media.video_writer import SYNTHETIC_MARK
from talkface_core.see_the_speaker.motion import Motion
from talkface_core.see_the_speaker.motion_stream import MotionModel
from talkface_core.see_the_speaker.pipeline import (
    Animation,
    animate,
    animate_to_file,
    head_mask,
    output_rate,
    speech_motion,
)
from talkface_core.see_the_speaker.portrait_crop import portrait_crop
from talkface_core.see_the_speaker.rendering import PortraitRenderer
from tests.cli.metadata import metadata_of
from tests.see_the_speaker.small_motion import small_acoustic, sound, source
from tests.see_the_speaker.small_see_the_speaker import SIZE, small_motion, small_renderer

HEIGHT, WIDTH = 128, 200


@pytest.fixture(scope="module")
def renderer() -> PortraitRenderer:
    return PortraitRenderer(small_renderer()).requires_grad_(False)


@pytest.fixture(scope="module")
def model(renderer: PortraitRenderer) -> MotionModel:
    torch.manual_seed(0)
    return MotionModel(small_motion(renderer.keypoints), small_acoustic()).requires_grad_(False)


@pytest.fixture(scope="module")
def speech() -> AudioSource:
    return source(sound(0.9))


@pytest.fixture(scope="module")
def given() -> tuple[Tensor, Tensor]:
    """A picture with a face at its left, and the landmarks."""
    torch.manual_seed(3)
    points = torch.from_numpy(GENERIC_FACE[:, :2]).float() * torch.tensor([1.0, -1.0]) * 3
    return torch.randint(0, 256, (HEIGHT, WIDTH, 3), dtype=torch.uint8), points - points.mean(0) + 60


@pytest.mark.parametrize(("fps", "rate"), [(None, 25), (29.97, Fraction(30000, 1001)), (1, 1), (120, 120)])
def test_rates(fps: float | None, rate: Fraction) -> None:
    assert output_rate(fps) == rate


@pytest.mark.parametrize("fps", [0.5, 121])
def test_rates_that_are_none(fps: float) -> None:
    with pytest.raises(InputError, match="choose 1 to 120"):
        output_rate(fps)


@pytest.mark.parametrize("fps", [25, 10, Fraction(30000, 1001)])
def test_a_sound_has_its_frames_in_whatever_windows(model: MotionModel, speech: AudioSource, fps: Fraction) -> None:
    whole = list(speech_motion(model, speech, fps, window=1000))
    parts = list(speech_motion(model, speech, fps, window=4))
    assert [len(part) for part in whole] == [math.ceil(Fraction(9, 10) * fps)]
    assert {len(part) for part in parts[:-1]} == {4}
    assert torch.allclose(Motion.join(parts).values(), whole[0].values(), atol=1e-6)
    assert whole[0].expression.std(0).max() > 1e-3, "nothing moves: the test shows nothing"


def test_what_is_wrong_is_told_with_the_first_frames(
    model: MotionModel, renderer: PortraitRenderer, given: tuple, speech: AudioSource
) -> None:
    with pytest.raises(InputError, match="500 frames per second: choose 1 to 120"):
        next(animate(model, renderer, *given, speech, 500))
    with pytest.raises(InputError, match="landmarks of shape"):
        animate(model, renderer, given[0], given[1][:60], speech)


def test_nothing_but_the_heads_square_changes(
    model: MotionModel, renderer: PortraitRenderer, given: tuple, speech: AudioSource
) -> None:
    picture, points = given
    chunks = list(animate(model, renderer, picture, points, speech, window=8))
    assert [len(chunk) for chunk in chunks] == [8, 8, 7]
    frames = torch.cat(chunks)
    assert frames.dtype == torch.uint8
    assert frames.shape == (23, HEIGHT, WIDTH, 3)
    changed = (frames != picture).any(-1).any(0)
    crop = renderer.portrait(picture, points).crop
    scale, across, down = float(crop.matrices[0, 0, 0]), *crop.matrices[0, :, 2].tolist()
    left, top = -across / scale, -down / scale
    inside = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    rows, columns = (slice(max(int(first), 0), int(first + SIZE / scale) + 2) for first in (top, left))
    inside[rows, columns] = True
    assert not inside.all(), "the square is the picture: the test shows nothing"
    assert not changed[~inside].any()
    assert changed[inside].float().mean() > 0.5


def test_the_heads_square_alone(
    model: MotionModel, renderer: PortraitRenderer, given: tuple, speech: AudioSource
) -> None:
    alone = torch.cat(list(animate(model, renderer, *given, speech, 5, Animation(whole=False))))
    assert alone.shape == (5, SIZE, SIZE, 3)
    whole = torch.cat(list(animate(model, renderer, *given, speech, 5)))
    assert whole.shape == (5, HEIGHT, WIDTH, 3)


def test_the_seed_decides(model: MotionModel, renderer: PortraitRenderer, given: tuple, speech: AudioSource) -> None:
    first, again, other = (
        torch.cat(list(animate(model, renderer, *given, speech, 5, Animation(seed=seed)))) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_a_heads_square_is_laid_in_with_a_soft_edge(given: tuple) -> None:
    mask = head_mask(portrait_crop(given[1][None], (HEIGHT, WIDTH), 100, 2.0))
    assert mask.shape == (100, 100)
    assert mask.dtype == torch.float32
    assert (mask[7:93, 7:93] == 1).all()
    edges = torch.cat([mask[0], mask[-1], mask[:, 0], mask[:, -1]])
    assert 0 <= edges.min() <= edges.max() < 0.02
    assert (mask[50, :8].diff() >= 0).all()
    torch.testing.assert_close(mask, mask.flip(0).T)


def test_a_file_holds_what_is_told_of_it(
    model: MotionModel, renderer: PortraitRenderer, given: tuple, speech: AudioSource, tmp_path: Path
) -> None:
    seen: list[int] = []
    path, (picture, points) = tmp_path / "out.mp4", given
    told = animate_to_file(
        model, renderer, picture.numpy(), points, speech, path, 10, progress=seen.append, metadata={"title": "mine"}
    )
    assert (told.output, told.frames, told.fps, told.size) == (path, 9, 10, (HEIGHT, WIDTH))
    assert told.seconds_audio == pytest.approx(0.9)
    assert seen == [8, 1]
    assert {"motion", "drawing", "pasting", "writing"} <= {name for name, spent in told.seconds.items() if spent > 0}
    reader = VideoReader(path)
    assert (reader.fps, reader.height, reader.width) == (10, HEIGHT, WIDTH)
    assert len(np.concatenate(list(reader.chunks()))) == 9
    assert metadata_of(path).items() >= {**SYNTHETIC_MARK, "title": "mine"}.items()


def test_an_older_file_stays_where_it_ends_badly(
    model: MotionModel, renderer: PortraitRenderer, given: tuple, speech: AudioSource, tmp_path: Path
) -> None:
    path = tmp_path / "out.mp4"
    path.write_bytes(b"of before")

    def stop(frames: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        animate_to_file(model, renderer, *given, speech, path, 10, progress=stop)
    assert path.read_bytes() == b"of before"
    assert list(tmp_path.iterdir()) == [path]
