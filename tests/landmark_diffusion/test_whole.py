"""Small networks from a film and a sound to a film: windows, memory and half precision, with nothing stood in for."""

import numpy as np
import pytest
import torch

from talkface_core.dubbing.pipeline import DubRequest, dub
from talkface_core.landmark_diffusion.painter import Sampling, TalkFormerModel
from talkface_core.landmark_diffusion.pipeline import LandmarkMouths
from tests.dubbing.toys import CountedFilm, face_points, pictures, sound, tracked
from tests.landmark_diffusion.small_landmark_diffusion import small_completions, small_painter


@pytest.fixture(scope="module")
def film() -> tuple[np.ndarray, torch.Tensor]:
    """Twice the same ten frames."""
    return np.concatenate([pictures()] * 2), torch.cat([face_points()] * 2)


def dubbed(film, model=None, fps=25, seconds=1.0, valid=None, cuts=(10,), **options) -> np.ndarray:
    frames, landmarks = film
    model = model or LandmarkMouths(small_painter(), small_completions())
    request = DubRequest(CountedFilm(frames, fps), sound(seconds), tracked(landmarks, fps, valid, cuts), **options)
    return np.concatenate(list(dub(model, request)))


@pytest.mark.parametrize("fps", [12, 25, 60])
def test_the_window_changes_nothing(film, fps):
    """With a cut, a gap, and another rate than the network's."""
    valid = [True] * 4 + [False] * 8 + [True] * 8
    whole = dubbed(film, fps=fps, valid=valid, window=32)
    for window in (1, 7):
        again = dubbed(film, fps=fps, valid=valid, window=window)
        assert np.abs(again.astype(int) - whole).mean() < 1e-3


def test_when_memory_runs_out_it_goes_on_with_the_same_mouths(film, monkeypatch):
    whole, original = dubbed(film), TalkFormerModel.sample

    def scarce(net, faces, *given):
        if len(faces) > 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return original(net, faces, *given)

    monkeypatch.setattr(TalkFormerModel, "sample", scarce)
    assert np.abs(dubbed(film).astype(int) - whole).mean() < 1e-3


def test_sound_strength_seed_and_guidance_show(film):
    def made(**settings):
        return dubbed(film, LandmarkMouths(small_painter(), small_completions(), **settings))

    plain = made()
    assert np.array_equal(plain, made())
    still = made(strength=0.0)
    others = [still, made(sampling=Sampling(seed=1)), made(sampling=Sampling(guidance=3.0)), dubbed(film, seconds=0.9)]
    assert all((other[:20] != plain[:20]).any() for other in others)
    resting = made(strength=0.0, sampling=Sampling(guidance=3.0))
    assert np.abs(resting.astype(int) - still).mean() < 1e-2, "nothing to exaggerate"


def test_halves(film):
    exact = dubbed(film)
    half = dubbed(film, LandmarkMouths(small_painter().to(torch.bfloat16), small_completions()))
    assert np.abs(half.astype(int) - exact).mean() < 2
