"""Models see faces in ordinary light, and what they make goes back into the light of the frame."""

import pytest
import torch

from talkface_core.dubbing.light import DARK, Light, luma_chroma


def faces(count: int = 3, size: int = 32) -> torch.Tensor:
    """Skin in ordinary light, with some structure."""
    generator = torch.Generator().manual_seed(0)
    skin = torch.tensor([0.8, 0.6, 0.5]).view(1, 3, 1, 1)
    return (skin + 0.1 * torch.randn(count, 3, size, size, generator=generator)).clamp(0, 1)


def red_lips(faces: torch.Tensor) -> torch.Tensor:
    """A model that paints ordinary red lips on whatever it sees."""
    painted = faces.clone()
    painted[:, :, 22:26, 10:22] = torch.tensor([0.7, 0.3, 0.3]).view(1, 3, 1, 1)
    return painted


def lips_by_cheek(faces: torch.Tensor) -> torch.Tensor:
    return faces[:, :, 22:26, 10:22].mean((2, 3)) / faces[:, :, 12:18, 10:22].mean((2, 3))


def test_ordinary_faces_pass_bit_for_bit():
    given = faces()
    light = Light.of(given)
    assert torch.equal(light.evened(given), given)
    assert torch.equal(light.given_back(given), given)


@pytest.mark.parametrize("share", [0.3, 0.1, 0.05])
def test_lips_are_as_dark_as_their_frame(share):
    given = share * faces()
    light = Light.of(given)
    evened = light.evened(given)
    assert luma_chroma(evened)[0].mean() == pytest.approx(DARK, rel=0.25)
    darkened = light.given_back(red_lips(evened))
    assert torch.allclose(lips_by_cheek(darkened), lips_by_cheek(red_lips(evened)), rtol=1e-3)
    untouched = (evened < 1) & (red_lips(evened) == evened)
    assert torch.allclose(darkened[untouched], given[untouched], atol=1e-5)


def test_what_is_grey_stays_grey():
    luma = luma_chroma(faces())[0].expand(-1, 3, -1, -1)
    light = Light.of(luma)
    darkened = light.given_back(red_lips(light.evened(luma)))
    assert luma_chroma(darkened)[1].abs().max() < 1e-5


def test_black_frames_are_no_obstacle():
    black = torch.zeros(2, 3, 32, 32)
    light = Light.of(black)
    darkened = light.given_back(red_lips(light.evened(black)))
    assert torch.isfinite(darkened).all()
    assert darkened.max() < 0.05


def test_each_face_has_its_own_light():
    mixed = torch.cat([faces(1), 0.1 * faces(1)])
    light = Light.of(mixed)
    assert light.gain[0] == 1
    assert light.gain[1] > 3
