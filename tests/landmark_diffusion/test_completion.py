"""The completion: what it reads, what it leaves alone, how large it is, and that windows are as the whole."""

import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.landmark_diffusion.completion import CompletionConfig, LandmarkCompletion
from talkface_core.landmark_diffusion.landmarks import IBUG_68, MESH_131, SETS, choose_references
from talkface_core.landmark_diffusion.reposing import repose, rest_mouths
from talkface_core.speech.frame_front import WAV2VEC2
from tests.landmark_diffusion.small_completion import SMALL, face, small_completion

JAW_AND_LIPS = [*range(3, 14), *range(48, 68)]


def inputs(frames: int = 24, references: int = 5):
    torch.manual_seed(1)
    audio = torch.randn(2, frames, 16)
    landmarks = torch.stack([face(torch.rand(frames) * 0.05, 0.2 * torch.rand(frames)) for _ in range(2)])
    shown = torch.stack([face(torch.linspace(0, 0.05, references)) for _ in range(2)])
    return audio, landmarks, shown


def test_sets_are_divided():
    for known in SETS.values():
        assert sorted(known.pose + known.jaw + known.lips) == list(range(known.count))
        assert set(known.stable) <= set(known.pose)
        assert {k for pair in known.gaps for k in pair} <= set(known.lips)
    assert (len(MESH_131.pose), len(MESH_131.jaw), len(MESH_131.lips)) == (74, 17, 40)
    assert [*IBUG_68.content] == JAW_AND_LIPS


def test_nothing_of_the_given_mouth_is_read_and_the_pose_passes_through():
    net = small_completion()
    audio, landmarks, references = inputs()
    other = landmarks.clone()
    other[:, :, JAW_AND_LIPS] = torch.rand(2, 24, 31, 2)
    made = net(audio, landmarks, references)
    assert torch.equal(made, net(audio, other, references))
    pose = list(IBUG_68.pose)
    assert torch.equal(made[:, :, pose], landmarks[:, :, pose])
    assert (made - landmarks)[:, :, JAW_AND_LIPS].abs().max() > 1e-3
    assert not torch.equal(made, net(-audio, landmarks, references))


def test_untrained_it_holds_the_mouth_at_rest():
    audio, landmarks, references = inputs()
    made = LandmarkCompletion(SMALL).eval()(audio, landmarks, references)
    rest = rest_mouths(landmarks, references, IBUG_68)
    assert torch.equal(made[:, :, JAW_AND_LIPS], rest)
    assert IBUG_68.opening(made).max() < 0.008 < IBUG_68.opening(references).amax()


def test_reposing_carries_a_mouth_along():
    frames = face(torch.full((2,), 0.02))
    frames[1, :, 1] = 0.4 + 0.85 * (frames[1, :, 1] - 0.4)  # a nod
    stable = list(IBUG_68.stable)
    moved = repose(frames[0], frames[0, stable], frames[1, stable])
    error = (moved - frames[1])[JAW_AND_LIPS].norm(dim=-1).mean()
    assert error < 0.5 * (frames[0] - frames[1])[JAW_AND_LIPS].norm(dim=-1).mean()
    shifted = frames[:1] + torch.tensor([0.03, -0.02])
    torch.testing.assert_close(repose(frames[:1], frames[:1, stable], shifted[:, stable]), shifted)


def test_a_window_gives_what_the_whole_gives():
    net = small_completion()
    audio, landmarks, references = inputs(40)
    whole = net(audio, landmarks, references)
    reach = net.config.reach
    assert reach == 4
    part = net(audio[:, 10:30], landmarks[:, 10:30], references)
    torch.testing.assert_close(part[:, reach:-reach], whole[:, 10 + reach : 30 - reach], atol=1e-6, rtol=1e-5)
    assert (part[:, 0] - whole[:, 10]).abs().max() > 1e-5


def test_the_published_size():
    with torch.device("meta"):
        net = LandmarkCompletion(CompletionConfig.preset("base"))
    assert sum(weight.numel() for weight in net.parameters()) == pytest.approx(13.7e6, rel=0.01)
    small = CompletionConfig(landmarks="mesh131", published=True, width=32, ff=32, blocks=1, frames=5)
    net = LandmarkCompletion(small).eval()
    torch.manual_seed(0)
    landmarks, references = torch.rand(1, 5, 131, 2), torch.rand(1, 3, 131, 2)
    windows = torch.randn(1, 5, 80, 16)
    made = net(windows, landmarks, references)
    assert made.shape == (1, 5, 131, 2)
    assert torch.equal(made[..., :74, :], landmarks[..., :74, :])
    other = landmarks.clone()
    other[..., 74:, :] = 0
    torch.testing.assert_close(net(windows, other, references), made)
    # The same layout, of the 68 points of the tracks.
    sixty = LandmarkCompletion(CompletionConfig(published=True, width=32, ff=32, blocks=1, frames=5)).eval()
    assert sixty(windows, torch.rand(1, 5, 68, 2), torch.rand(1, 2, 68, 2)).shape == (1, 5, 68, 2)


def test_a_mesh_is_completed_by_the_same_class():
    net = small_completion(config=CompletionConfig(**{**SMALL.to_dict(), "landmarks": "mesh131", "front": None}))
    landmarks = torch.rand(1, 20, 131, 2)
    assert net(torch.randn(1, 20, 16), landmarks, landmarks[:, :4]).shape == (1, 20, 131, 2)


def test_a_speech_encoder_is_heard():
    net = LandmarkCompletion(CompletionConfig(**{**SMALL.to_dict(), "front": WAV2VEC2}))
    heard = net.hear(torch.randn(1, 100, 768), 50)
    assert heard.shape == (1, 50, 16)
    with pytest.raises(InputError, match="no front end"):
        small_completion().hear(torch.randn(1, 100, 768), 50)


def test_gradients_reach_the_sound_and_the_pose():
    net = LandmarkCompletion(SMALL)
    torch.nn.init.normal_(net.net.head.weight)
    audio, landmarks, references = (part.requires_grad_() for part in inputs())
    net(audio, landmarks, references).square().sum().backward()
    assert audio.grad.abs().sum(-1).min() > 0
    assert landmarks.grad[:, :, list(IBUG_68.pose)].abs().amax((0, 1)).min() > 0


def test_references_are_spread_over_how_far_they_are_open():
    points = face(torch.tensor([0.03, 0.0, 0.05, 0.01, 0.02]))
    assert choose_references(points, IBUG_68, 3).tolist() == [1, 4, 2]
    usable = torch.tensor([True, True, False, False, True])
    assert set(choose_references(points, IBUG_68, 4, usable).tolist()) == {1, 4, 0}
    with pytest.raises(InputError, match="no frame shows the face"):
        choose_references(points, IBUG_68, 3, torch.zeros(5, dtype=torch.bool))


def test_what_does_not_fit_is_refused():
    audio, landmarks, references = inputs()
    with pytest.raises(InputError, match="landmarks of shape"):
        small_completion()(audio, landmarks[:, :, :60], references)
    with pytest.raises(InputError, match="references of shape"):
        small_completion()(audio, landmarks, references[0])
    for wrong in ({"width": 15}, {"landmarks": "faces"}, {"published": True, "front": WAV2VEC2}):
        with pytest.raises(InputError):
            CompletionConfig(**{**SMALL.to_dict(), **wrong})
