"""The portraits' latent space, and how a portrait is framed."""

import numpy as np
import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.faces.align import EYE_LEVEL, MARGIN, align
from talkface_core.faces.track import FaceTrack
from talkface_core.see_the_speaker.portrait_space import EYES, FACE, PortraitSpace, PortraitSpaceConfig, framed
from tests.see_the_speaker.small_portrait import SPACE, face_points, small_model


def test_a_portrait_shows_the_same_face_smaller_and_the_hair() -> None:
    points = torch.from_numpy(face_points(200))[None].float()
    crop = align(FaceTrack(points, torch.ones(1, dtype=torch.bool), (200, 200), 25), 100)
    portrait = framed(crop)
    eyes, chin = points[:, 36:48].mean(1), points[:, 8]

    def place(of: torch.Tensor, matrices: torch.Tensor) -> torch.Tensor:
        return torch.einsum("tij,tj->ti", matrices[:, :, :2], of) + matrices[:, :, 2]

    tight, wide = place(eyes, crop.matrices)[0], place(eyes, portrait.matrices)[0]
    assert abs(float(wide[1]) / 100 - EYES) < 0.03
    assert abs(float(tight[1]) / 100 - EYE_LEVEL) < 0.03
    ratio = (place(chin, portrait.matrices)[0] - wide)[1] / (place(chin, crop.matrices)[0] - tight)[1]
    np.testing.assert_allclose(float(ratio), FACE / MARGIN, rtol=1e-4)
    moved = torch.einsum("tij,tnj->tni", portrait.matrices[:, :, :2], points) + portrait.matrices[:, None, :, 2]
    torch.testing.assert_close(portrait.landmarks, moved, atol=1e-3, rtol=0)


def test_latents_and_back() -> None:
    net, pictures = small_model().space, torch.rand(2, 3, 32, 32) * 2 - 1
    latents = net.encode(pictures)
    assert latents.shape == (2, *net.shape) == (2, 4, 4, 4)
    before = net.decode(latents)
    net.mean.fill_(2.0)
    net.deviation.fill_(4.0)
    torch.testing.assert_close(net.encode(pictures), (latents - 2) / 4)
    torch.testing.assert_close(net.decode((latents - 2) / 4), before)


def test_other_pictures_and_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="this space has"):
        PortraitSpace(SPACE).encode(torch.zeros(1, 3, 64, 64))
    with pytest.raises(InputError, match="no multiple"):
        PortraitSpaceConfig(100)


def test_sizes() -> None:
    assert PortraitSpaceConfig.preset("tiny").latent_size == 16
    assert sum(weight.numel() for weight in PortraitSpace().parameters()) < 3.5e6
    with torch.device("meta"):
        base = PortraitSpace(PortraitSpaceConfig.preset("base"))
    assert base.shape == (4, 64, 64)
