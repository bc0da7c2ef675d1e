"""Lips that close at p, b and m: how far, which points go along, and that films, scores and files know of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from talkface_core.acoustic.model import PRESSED
from talkface_core.errors import InputError
from talkface_core.landmark_diffusion.closing import ClosingConfig, close_lips, shut_references, uncrossed
from talkface_core.landmark_diffusion.completion import CompletionConfig
from talkface_core.landmark_diffusion.completion_stream import CompletedLandmarks, CompletionModel
from talkface_core.landmark_diffusion.landmarks import IBUG_68, MESH_131
from talkface_core.landmark_diffusion.training.completion_scores import completed, completion_scores
from talkface_core.landmark_diffusion.training.recipe_completion import hear_clips
from talkface_core.media.source import MemoryAudio
from talkface_core.speech.frame_front import WAV2VEC2
from tests.acoustic.small_acoustic import small_acoustic
from tests.landmark_diffusion.small_completion import SMALL, clip, face, small_completion

CONTENT = list(IBUG_68.content)
WHOLE = ClosingConfig(most=1.0, at=0.5, width=0.02, seal=0.0)


def closed(points: torch.Tensor, pressed: torch.Tensor, settings: ClosingConfig = WHOLE) -> torch.Tensor:
    made = points.clone()
    made[..., CONTENT, :] = close_lips(points[..., CONTENT, :], pressed, IBUG_68, settings)
    return made


def test_lips_meet_where_a_closure_is_certain_and_stay_where_there_is_none():
    points = face(torch.full((3,), 0.03))
    made = closed(points, torch.tensor([0.0, 0.5, 1.0]))
    torch.testing.assert_close(made[0], points[0])
    opening = IBUG_68.opening(made) / IBUG_68.opening(points)
    torch.testing.assert_close(opening, torch.tensor([1.0, 0.5, 0.0]), atol=1e-4, rtol=0)
    moved = made[2] - points[2]
    assert (moved[[60, 64, 48, 54]] == 0).all()  # the corners
    assert (moved[[61, 62, 63, 50, 51, 52], 1] > 0.005).all()
    assert (moved[[65, 66, 67, 56, 57, 58], 1] < -0.01).all()
    assert -0.02 < moved[8, 1] < moved[3, 1] < 0
    assert (moved[list(IBUG_68.pose)] == 0).all()
    # The lips keep their thickness in the middle.
    torch.testing.assert_close(made[2, 62] - made[2, 51], points[2, 62] - points[2, 51], atol=1e-6, rtol=0)
    torch.testing.assert_close(made[2, 57] - made[2, 66], points[2, 57] - points[2, 66], atol=1e-6, rtol=0)


def test_closing_is_smooth_rises_with_the_probability_and_seals_what_is_nearly_shut():
    points = face(torch.full((101,), 0.03))
    pressed = torch.linspace(0, 1, 101)
    opening = IBUG_68.opening(closed(points, pressed, ClosingConfig(most=0.5)))
    assert (opening.diff() <= 0).all()
    assert opening.diff().abs().max() < 0.05 * opening[0]
    still = face(torch.tensor([0.0, 0.03]))
    made = IBUG_68.opening(closed(still, torch.zeros(2), ClosingConfig(most=0.0, seal=0.004)))
    torch.testing.assert_close(made, torch.tensor([0.0, float(IBUG_68.opening(still)[1]) - 0.004]), atol=1e-5, rtol=0)
    shut = face(torch.zeros(1))
    shut[:, 65:68] = shut[:, [63, 62, 61]]
    assert torch.equal(closed(shut, torch.ones(1)), shut)


def test_references_read_with_their_lips_apart_are_shut_and_the_others_as_much():
    read = face(torch.tensor([0.02, 0.03, 0.06]))
    opening = IBUG_68.opening(read)
    shut = shut_references(read, IBUG_68)
    torch.testing.assert_close(IBUG_68.opening(shut), opening - opening[0], atol=1e-5, rtol=0)
    assert torch.equal(shut[:, list(IBUG_68.pose)], read[:, list(IBUG_68.pose)])
    true = face(torch.tensor([0.0, 0.03]))
    true[0, 65:68] = true[0, [63, 62, 61]]
    torch.testing.assert_close(shut_references(true, IBUG_68), true)


def test_a_mouth_that_is_open_all_through_or_does_not_move_is_not_taken_for_shut_lips():
    for gaps, taken in (([0.08, 0.12], 0.03), ([0.05, 0.05], 0.01)):
        read = face(torch.tensor(gaps))
        opening = IBUG_68.opening(read)
        torch.testing.assert_close(IBUG_68.opening(shut_references(read, IBUG_68)), opening - taken, atol=1e-5, rtol=0)


def test_lips_that_cross_meet():
    points = face(torch.tensor([0.03, 0.03]))
    points[1, [61, 62, 63]] += torch.tensor([0.0, 0.05])
    content = points[:, CONTENT]
    made = points.clone()
    made[:, CONTENT] = uncrossed(content, IBUG_68)
    assert torch.equal(made[0], points[0])
    assert IBUG_68.opening(points)[1] > 0.01
    assert IBUG_68.opening(made)[1] < 1e-6


def test_turned_heads_and_meshes_close_too():
    points = face(torch.full((2,), 0.03), torch.tensor([0.0, 0.4]))
    assert IBUG_68.opening(closed(points, torch.ones(2))).max() < 1e-6
    torch.manual_seed(0)
    content = torch.rand(1, 4, len(MESH_131.content), 2)
    made = close_lips(content, torch.ones(1, 4), MESH_131, WHOLE)
    mesh = torch.zeros(1, 4, 131, 2)
    mesh[..., list(MESH_131.content), :] = made
    assert MESH_131.opening(mesh).max() < 1e-5


def closing_model(settings: ClosingConfig | None) -> CompletionModel:
    acoustic = small_acoustic()
    with torch.no_grad():  # half of all is p, b or m
        acoustic.viseme.weight[PRESSED] *= 4
        acoustic.viseme.bias[PRESSED] = 4
    return CompletionModel(small_completion(seed=1, config=replace(SMALL, closing=settings)), acoustic).eval()


def test_films_and_scores_close_alike_and_only_where_the_file_says_so():
    generator = torch.Generator().manual_seed(3)
    source = MemoryAudio((0.3 * torch.randn(1, 1, 32000, generator=generator)).clamp(-1, 1), 16000)
    points, references = face(torch.zeros(50)), face(torch.linspace(0, 0.05, 5))
    made = {}
    for settings in (None, ClosingConfig(most=0.9, at=0.5, width=0.1, seal=0.0)):
        model = closing_model(settings)
        made[settings] = CompletedLandmarks(model, source, points, (), references, 25).at(range(50))
    opening = [IBUG_68.opening(each) for each in made.values()]
    assert (opening[1] <= opening[0] + 1e-6).all()
    assert (opening[1] < 0.6 * opening[0]).any()
    clips = [clip(1), clip(2)]
    for settings in made:
        model = closing_model(settings)
        heard = hear_clips(model.acoustic, clips)
        features = heard.clips[0][0].float()[None]
        pressed = model.pressed(features)
        assert (pressed is None) == (settings is None)
        if pressed is not None:
            expected = model.acoustic.viseme(features).softmax(-1)[..., PRESSED]
            torch.testing.assert_close(pressed, expected)
            plain = completed(closing_model(None), clips[0], heard, 0)
            assert not np.array_equal(completed(model, clips[0], heard, 0), plain)
        assert len(completion_scores(model, clips, heard)) == 2


def test_old_files_close_nothing_and_what_cannot_close_is_refused():
    old = {key: value for key, value in CompletionConfig().to_dict().items() if key != "closing"}
    assert CompletionConfig.from_dict(old).closing is None
    new = CompletionConfig(closing=ClosingConfig(seal=0.001))
    assert CompletionConfig.from_dict(new.to_dict()) == new
    for wrong in ({"published": True}, {"front": WAV2VEC2}):
        with pytest.raises(InputError, match="lips close"):
            CompletionConfig(closing=ClosingConfig(), **wrong)
    for wrong in ({"most": 1.5}, {"width": 0.0}, {"seal": 1.0}):
        with pytest.raises(InputError):
            ClosingConfig(**wrong)
    with pytest.raises(InputError, match="p, b and m"):
        CompletionModel(small_completion(config=replace(SMALL, closing=ClosingConfig())), small_acoustic(visemes=5))
