"""Spoken motion: whose keypoints it moves, how it is put on a face, and drawing where memory is short."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from talkface_core.checkpoints import read_checkpoint
from talkface_core.errors import InputError
from talkface_core.faces.face import Detector, Face
from talkface_core.faces.geometry import GENERIC_FACE
from talkface_core.see_the_speaker.controls import OPENING
from talkface_core.see_the_speaker.imagining import face_in, imagine_memory
from talkface_core.see_the_speaker.model import build_motion, build_portrait, build_renderer
from talkface_core.see_the_speaker.motion import Motion
from talkface_core.see_the_speaker.pipeline import Animation, draw, on_portrait
from talkface_core.see_the_speaker.portrait_space import EYES
from talkface_core.see_the_speaker.rendering import Portrait, PortraitRenderer
from talkface_core.see_the_speaker.spoken_motion import SpokenMotion, motion_space
from talkface_core.see_the_speaker.system import SYSTEM
from tests.see_the_speaker.small_see_the_speaker import SIZE, save_small_see_the_speaker, small_renderer


class Blind(Detector):
    """A detector that finds nobody."""

    name, threshold = "blind", 0.5

    def detect(self, frames: Any) -> list[list[Face]]:
        return [[] for _ in frames]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_see_the_speaker(tmp_path_factory.mktemp("weights") / "whole.safetensors")


@pytest.fixture(scope="module")
def renderer(file: Path) -> PortraitRenderer:
    return build_renderer(read_checkpoint(file, SYSTEM))


@pytest.fixture(scope="module")
def portrait(renderer: PortraitRenderer) -> Portrait:
    torch.manual_seed(3)
    points = torch.from_numpy(GENERIC_FACE[:, :2]).float() * torch.tensor([1.0, -1.0]) * 5 + 60
    return renderer.portrait(torch.rand(120, 120, 3), points)


@pytest.fixture
def motion(renderer: PortraitRenderer) -> Motion:
    torch.manual_seed(4)
    k = renderer.keypoints
    return Motion(0.02 * torch.randn(9, k, 3), torch.randn(9, 3), 0.01 * torch.randn(9, 3), torch.ones(9, 1))


def test_spaces_are_told_apart_by_what_reads_keypoints(file: Path, tmp_path: Path) -> None:
    own = motion_space(read_checkpoint(file, SYSTEM))
    other = save_small_see_the_speaker(tmp_path / "other.safetensors", renderer=small_renderer(seed=9))
    same = save_small_see_the_speaker(tmp_path / "same.safetensors", "motion", "portrait")
    alone = save_small_see_the_speaker(tmp_path / "alone.safetensors", "renderer", "codebook")
    spaces = [motion_space(read_checkpoint(path, SYSTEM)) for path in (other, same, alone)]
    assert [own.fits(space) for space in spaces] == [False, True, True]
    assert not own.fits(replace(spaces[2], relative=False)), "LivePortrait's keypoints and the pack's own"
    assert not own.fits(replace(spaces[2], keypoints=5))


def test_another_models_motion_is_refused_by_name(file: Path, portrait: Portrait, motion: Motion) -> None:
    space = motion_space(read_checkpoint(file, SYSTEM))
    controls = build_motion(read_checkpoint(file, SYSTEM)).diffusion.controls
    spoken = SpokenMotion(motion, replace(space, name="theirs", fingerprint="0123"), controls)
    with pytest.raises(InputError, match="'theirs' and the renderer to 'whole'"):
        spoken.on(portrait, space)


@pytest.mark.parametrize("relative", [True, False])
def test_placed_as_a_whole_or_in_parts(file: Path, portrait: Portrait, motion: Motion, relative: bool) -> None:
    """The node's way and the stream's; a motion about no rest is measured from the first frame of all."""
    model = build_motion(read_checkpoint(file, SYSTEM))
    model.diffusion.config = replace(model.diffusion.config, relative=relative)
    space = motion_space(read_checkpoint(file, SYSTEM))
    whole = SpokenMotion(motion, space, model.diffusion.controls, relative).on(portrait, space)
    parts = on_portrait(model, portrait, iter([motion[:4], motion[4:5], motion[5:]]), Animation())
    assert torch.allclose(Motion.join(list(parts)).values(), whole.values(), atol=1e-6)
    shut = model.diffusion.controls.value(portrait.identity.motion.expression, OPENING)
    rest = whole.expression[0] - motion.expression[0] if relative else whole.expression[0]
    assert float(model.diffusion.controls.value(rest[None], OPENING)) <= float(shut) + 1e-4


def test_out_of_memory_halves_the_window(renderer: PortraitRenderer, portrait: Portrait, motion: Motion) -> None:
    asked: list[int] = []

    def short(identity: object, part: Motion, fidelity: float | None) -> torch.Tensor:
        asked.append(len(part))
        if len(part) > 2:
            raise MemoryError
        return PortraitRenderer.draw(renderer, identity, part, fidelity)

    small = SimpleNamespace(draw=short)
    made = torch.cat(list(draw(small, portrait, iter([motion[:8], motion[8:]]))))
    assert asked == [8, 4, 2, 2, 2, 2, 1]
    whole = torch.cat(list(draw(renderer, portrait, iter([motion]))))
    assert made.shape == (9, SIZE, SIZE, 3)
    assert (made.int() - whole.int()).abs().max() <= 1


def test_a_face_that_is_not_found_lies_where_all_do() -> None:
    points = face_in(torch.rand(200, 200, 3), Blind())
    assert points.shape == (68, 2)
    assert 0 < points.min() < points.max() < 200
    eyes = points[36:48].mean(0)
    assert abs(float(eyes[0]) - 100) < 4
    assert abs(float(eyes[1]) - EYES * 200) < 6


def test_memory_grows_with_frames_and_pictures(file: Path, renderer: PortraitRenderer) -> None:
    assert renderer.memory(8) == pytest.approx(8 * renderer.memory(1))
    portraits = build_portrait(read_checkpoint(file, SYSTEM))
    assert imagine_memory(portraits, renderer) >= renderer.memory(1) > 0
    assert imagine_memory(portraits, None) > 0
    larger = np.prod([2, renderer.size**2])
    assert renderer.memory(1) > larger, "less than the picture itself"
