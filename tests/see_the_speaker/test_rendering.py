"""The renderer and the codebook as one: carried pixels stay, paint gets the codebook's detail, small portraits grow."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from talkface_core.errors import InputError
from talkface_core.faces.geometry import GENERIC_FACE
from talkface_core.pixels import resized_pictures
from talkface_core.see_the_speaker.decoder import Painted
from talkface_core.see_the_speaker.keypoints import lip_gap, tied_points
from talkface_core.see_the_speaker.motion import Motion
from talkface_core.see_the_speaker.portrait_crop import crop_places
from talkface_core.see_the_speaker.rendering import PortraitRenderer
from talkface_core.see_the_speaker.stitching import Stitching, StitchingConfig
from tests.see_the_speaker.small_codebook import SMALL, small_decoder
from tests.see_the_speaker.small_renderer import small_tiny, trained_looking
from tests.see_the_speaker.small_see_the_speaker import SIZE, small_codebook, small_renderer

INPUT = 32  # px that the small codebook brings to SIZE


@pytest.fixture(scope="module")
def net() -> PortraitRenderer:
    return PortraitRenderer(small_renderer(), small_codebook()).requires_grad_(False)


@pytest.fixture
def motion(net: PortraitRenderer) -> Motion:
    torch.manual_seed(4)
    k = net.keypoints
    return Motion(0.02 * torch.randn(3, k, 3), torch.randn(3, 3), 0.01 * torch.randn(3, 3), torch.ones(3, 1))


def face(scale: float, side: int) -> tuple[Tensor, Tensor]:
    """A picture, and landmarks in its middle of a face whose size in pixels goes with `scale`."""
    torch.manual_seed(3)
    points = torch.from_numpy(GENERIC_FACE[:, :2]).float() * torch.tensor([scale, -scale])
    return torch.rand(side, side, 3), points - points.mean(0) + side / 2


@pytest.fixture
def painting(net: PortraitRenderer, monkeypatch: pytest.MonkeyPatch) -> dict[str, Tensor | None]:
    """What the renderer paints, put there by the test."""
    given: dict[str, Tensor | None] = {"pictures": torch.rand(3, 3, SIZE, SIZE), "paint": None}
    monkeypatch.setattr(net.net, "painted", lambda *_: Painted(given["pictures"], paint=given["paint"]))
    return given


def test_pictures_are_float32_in_their_range(net: PortraitRenderer, motion: Motion) -> None:
    made = net.draw(net.portrait(*face(5.0, 120)).identity, motion)
    assert made.shape == (3, 3, SIZE, SIZE)
    assert made.dtype == torch.float32
    assert 0 <= made.min() < made.max() <= 1


def test_what_is_carried_stays_and_paint_gets_the_codebooks_detail(net: PortraitRenderer, painting: dict) -> None:
    pictures = painting["pictures"]
    sharp = net.sharper(pictures)
    assert (sharp - pictures).abs().mean() > 0.02, "the codebook changes nothing: the test shows nothing"
    assert torch.equal(net.draw(None, None), sharp), "all of it is paint where nothing is carried"
    for share in (0.0, 1.0, 0.25):
        painting["paint"] = torch.full((3, 1, SIZE, SIZE), share)
        torch.testing.assert_close(net.draw(None, None), torch.lerp(pictures, sharp, share))
    painting["paint"] = torch.zeros(3, 1, SIZE, SIZE)
    painting["paint"][..., : SIZE // 2] = 1
    made = net.draw(None, None)
    torch.testing.assert_close(made[..., : SIZE // 2], sharp[..., : SIZE // 2])
    torch.testing.assert_close(made[..., SIZE // 2 :], pictures[..., SIZE // 2 :])


def test_fidelity_is_the_codebooks(net: PortraitRenderer, painting: dict) -> None:
    codes, own, faithful = (net.draw(None, None, fidelity) for fidelity in (0.0, None, 1.0))
    assert not torch.equal(codes, faithful)
    assert torch.equal(own, net.sharper(painting["pictures"]))


def test_without_a_codebook_pictures_are_as_painted(painting: dict, net: PortraitRenderer) -> None:
    plain = PortraitRenderer(net.net)
    painting["pictures"] = 2 * painting["pictures"] - 0.5
    assert torch.equal(plain.draw(None, None), painting["pictures"].clamp(0, 1))
    assert torch.equal(plain.sharper(painting["pictures"]), painting["pictures"])
    assert plain.size == SIZE


def test_what_is_known_of_a_portrait_lies_on_its_landmarks(net: PortraitRenderer) -> None:
    """A mouth that the landmarks show shut is shut, whatever the extractor, of random weights here, sees in it."""
    known = net.portrait(*face(5.0, 120))
    identity, landmarks = known.identity, known.crop.landmarks
    points, *_ = net.net.pose(identity.canonical, net.net._on(identity.motion, identity.canonical))
    assert torch.allclose(points[..., :2], crop_places(tied_points(landmarks), SIZE), atol=1e-4)
    assert lip_gap(identity.motion.expression).abs().max() < 1e-3


@pytest.mark.parametrize(("scale", "grown"), [(1.0, True), (5.0, False)])
def test_a_portrait_too_small_is_brought_to_size_first(
    net: PortraitRenderer, monkeypatch: pytest.MonkeyPatch, scale: float, grown: bool
) -> None:
    seen: list[Tensor] = []
    monkeypatch.setattr(net.net, "identity", lambda head, _: seen.append(head))
    picture, points = face(scale, 300)
    portrait = net.portrait(picture, points)
    assert (portrait.crop.size, portrait.crop.image_size) == (SIZE, (300, 300))
    net.codebook, codebook = None, net.codebook
    try:
        net.portrait(picture, points)
    finally:
        net.codebook = codebook
    with_it, without = seen
    assert with_it.shape == without.shape == (1, 3, SIZE, SIZE)
    assert torch.equal(with_it, without) != grown
    if grown:
        assert torch.equal(with_it, net.sharper(resized_pictures(without, INPUT)))


def test_bytes_and_shares_show_the_same_portrait(net: PortraitRenderer) -> None:
    """Bytes are cut out as bytes."""
    picture, points = face(5.0, 120)
    numbers = (picture * 255).round()
    ours = net.portrait(numbers / 255, points).identity.canonical
    assert torch.allclose(net.portrait(numbers.to(torch.uint8), points).identity.canonical, ours, atol=0.02)


def test_keypoints_are_stitched(net: PortraitRenderer, motion: Motion) -> None:
    torch.manual_seed(0)
    stitching = Stitching(StitchingConfig(net.keypoints)).eval()
    identity, given = net.portrait(*face(5.0, 120)).identity, []

    def stitched(source: Tensor, driven: Tensor) -> Tensor:
        given.append((source, driven))
        return driven + 0.2

    stitching.stitched = stitched
    joined = PortraitRenderer(net.net, net.codebook, stitching)
    assert not torch.equal(joined.draw(identity, motion), net.draw(identity, motion))
    ((source, driven),) = given
    assert source.shape == driven.shape == (3, net.keypoints, 3)


def test_a_codebook_for_larger_pictures_is_refused() -> None:
    larger = replace(SMALL, autoencoder=replace(SMALL.autoencoder, image_size=128))
    with pytest.raises(InputError, match="a codebook for faces of 64 px behind a renderer of 32"):
        PortraitRenderer(trained_looking(small_tiny(32)), small_decoder(larger))
