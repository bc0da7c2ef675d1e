"""The renderer: identity, motion, warping and decoder together."""

from dataclasses import replace

import pytest
import torch

from talkface_core.checkpoints import read_checkpoint, save_checkpoint
from talkface_core.components import build
from talkface_core.config import Config
from talkface_core.errors import InputError
from talkface_core.see_the_speaker.decoder import Carried, Decoder, DecoderConfig, carry
from talkface_core.see_the_speaker.keypoints import lip_gap, parted
from talkface_core.see_the_speaker.motion import Motion
from talkface_core.see_the_speaker.renderer import (
    COMPONENT,
    RENDERER,
    HolisticRenderer,
    RendererConfig,
    inference_copy,
)
from talkface_core.see_the_speaker.system import SYSTEM
from talkface_core.see_the_speaker.volumes import grid
from talkface_core.see_the_speaker.warping import WarpingNetwork
from tests.see_the_speaker.small_renderer import small_base, small_tiny, trained_looking


def some_motion(frames: int, points: int, seed: int = 0) -> Motion:
    random = torch.Generator().manual_seed(seed)
    return Motion(
        0.05 * torch.randn(frames, points, 3, generator=random),
        10 * torch.randn(frames, 3, generator=random),
        0.1 * torch.randn(frames, 3, generator=random),
        1 + 0.05 * torch.randn(frames, 1, generator=random),
    )


@pytest.mark.parametrize(("config", "side"), [(small_tiny(), 64), (small_base(), 128)])
def test_a_portrait_is_moved(config: RendererConfig, side: int):
    net = trained_looking(config)
    identity = net.identity(torch.rand(1, 3, 64, 64))
    pictures = net.render(identity, some_motion(3, config.keypoints))
    assert pictures.shape == (3, 3, side, side)
    assert config.picture_size == side
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    assert (pictures[0] - pictures[1]).abs().mean() > 1e-4


@pytest.mark.parametrize("config", [small_tiny(), small_base()])
def test_frames_of_a_batch_do_not_mix(config: RendererConfig):
    net, motion = trained_looking(config), some_motion(4, config.keypoints)
    identity = net.identity(torch.rand(1, 3, 64, 64))
    together = net.render(identity, motion)
    one_by_one = torch.cat([net.render(identity, motion[n : n + 1]) for n in range(4)])
    assert torch.allclose(together, one_by_one, atol=1e-5)


@pytest.mark.parametrize("config", [small_tiny(), small_base()])
def test_folded_norms_change_nothing(config: RendererConfig):
    net, picture = trained_looking(config), torch.rand(1, 3, 64, 64)
    copy = inference_copy(net)
    assert not [key for key in copy.state_dict() if "running" in key]
    motion = some_motion(2, config.keypoints)
    made = [one.render(one.identity(picture), motion) for one in (net, copy)]
    assert torch.allclose(*made, atol=1e-5)


def test_an_unmoved_head_stays_where_it_is():
    """Of the same source and driven keypoints each proposal is to stay, whatever the net chooses between them."""
    config = small_tiny()
    warping = WarpingNetwork(config.warping, config.appearance, config.keypoints).eval()
    points, volume = torch.rand(2, 21, 3) - 0.5, torch.rand(1, 6, 1, 16, 16)
    warped = warping(volume, warping.motion.shown(volume), points, points, torch.eye(3).expand(2, 3, 3))
    assert torch.allclose(warped.deformation, grid(1, 16, 16, True, points).expand(2, -1, -1, -1, -1), atol=1e-5)
    assert warped.plane.abs().max() < 1e-5


def test_a_head_that_grows_and_turns_is_followed_rigidly():
    """With one keypoint alone in the picture, places about it come from where the turn takes them."""
    config = replace(small_tiny().warping, prior=0.5)
    warping = WarpingNetwork(config, small_tiny().appearance, 1).eval()
    for weight in warping.motion.mask.parameters():
        torch.nn.init.zeros_(weight)
    turn = 2 * torch.tensor([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])[None]
    driven, source = torch.zeros(1, 1, 3), torch.tensor([[[0.25, 0.0, 0.0]]])
    proposals = warping.motion._proposals(grid(1, 4, 4, True, driven), source, driven, turn)
    at = torch.tensor([0.25, -0.25])  # column 2, row 1
    assert torch.allclose(proposals[0, 1, 0, 1, 2, :2], torch.tensor([0.25 + 0.5, 0.5]), atol=1e-6)
    assert torch.allclose(proposals[0, 0, 0, 1, 2, :2], at, atol=1e-6)


def test_carried_pixels_are_those_of_the_source():
    picture = torch.rand(1, 3, 16, 16)
    assert torch.allclose(
        carry(picture, torch.zeros(2, 4, 4, 2).repeat(1, 4, 4, 1)), picture.expand(2, -1, -1, -1), atol=1e-6
    )
    moved = carry(picture, torch.tensor([2 * 3 / 16, 0.0]).expand(1, 16, 16, 2))
    assert torch.allclose(moved[..., :13], picture[..., 3:], atol=1e-5)


def test_a_decoder_that_chooses_no_paint_gives_what_is_carried():
    config = DecoderConfig(1, (4,), 4, True, 2, True, 3, 4)
    decoder = Decoder(config, 5)
    torch.nn.init.zeros_(decoder.out.weight)
    with torch.no_grad():
        decoder.out.bias[12:16] = -30
        decoder.out.bias[16:] = 0
    picture = torch.rand(1, 3, 64, 64)  # twice as fine as the net paints
    painted = decoder(torch.randn(2, 5, 8, 8), Carried(picture, torch.rand(1, 3, 16, 16), torch.zeros(2, 8, 8, 2)))
    assert torch.allclose(painted.pictures, picture.expand(2, -1, -1, -1), atol=1e-5)


def test_driven_keypoints_can_be_adjusted():
    """Put back where the source's are, a head stays as the source has it, but for the turn of what lies about them."""
    config = replace(small_base(), turns=False)
    net = trained_looking(config)
    identity, motion = net.identity(torch.rand(1, 3, 64, 64)), some_motion(2, 4)
    still = Motion.join([identity.motion, identity.motion])
    kept = net.render(identity, motion, lambda source, driven: source)
    assert torch.allclose(kept, net.render(identity, still), atol=1e-5)
    assert (kept - net.render(identity, motion)).abs().mean() > 1e-4


def test_lips_are_driven_further_apart_than_asked_for_and_never_cross(monkeypatch: pytest.MonkeyPatch):
    net = trained_looking(replace(small_tiny(), parting=1.5))
    identity = net.identity(torch.rand(1, 3, 64, 64))
    expression = torch.zeros(4, 21, 3)
    for frame, gap in enumerate((0.1, 0.05, 0.0, -0.01)):
        expression[frame] = parted(expression[frame], torch.tensor(gap))
    half_open = replace(identity.motion, expression=parted(torch.zeros(1, 21, 3), torch.tensor([0.05])))
    still = Motion(expression, torch.zeros(4, 3), torch.zeros(4, 3), torch.ones(4, 1))
    driven: list[torch.Tensor] = []
    monkeypatch.setattr(net, "pose", lambda _, seen: driven.append(seen.expression) or (seen.expression,) * 3)
    monkeypatch.setattr(net, "paint", lambda *_: (None,))
    net.painted(replace(identity, motion=half_open), still)
    assert torch.allclose(lip_gap(driven[-1]), torch.tensor([0.125, 0.05, 0.0, -0.01]), atol=1e-6)


def test_warped_maps_know_where_keypoints_are():
    """A guided warping tells motions apart that leave a source of one colour as it is."""
    config = small_tiny()
    for guide in (True, False):
        warping = WarpingNetwork(replace(config.warping, guide=guide), config.appearance, 21).eval()
        volume, points = torch.ones(1, 6, 1, 16, 16), torch.rand(1, 21, 3) - 0.5
        shown, turn = warping.motion.shown(volume), torch.eye(3)[None]
        with torch.no_grad():
            warping.motion.occlusion.weight.zero_()
        one, other = (warping(volume, shown, points, points + shift, turn).features for shift in (0.0, 0.2))
        assert torch.allclose(one, other, atol=1e-6) != guide


def test_finer_pictures_stay_fine():
    net = trained_looking(small_tiny())
    identity = net.identity(torch.rand(1, 3, 128, 128))
    assert net.render(identity, some_motion(1, 21)).shape == (1, 3, 128, 128)


def test_motion_of_a_film_is_that_of_its_frames():
    net, frames = trained_looking(small_tiny()), torch.rand(11, 3, 64, 64)
    motion = net.motion(frames, 30)
    assert (len(motion), motion.keypoints, motion.fps) == (11, 21, 30)
    assert torch.allclose(motion[10:].values(), net.motion(frames[10:], 30).values(), atol=1e-5)
    assert torch.allclose(motion[:1].values(), net.identity(frames[:1]).motion.values(), atol=1e-5)


def test_angles_in_bins_are_their_mean():
    net = trained_looking(small_base())
    for name in ("yaw", "pitch", "roll"):
        head = getattr(net.motion_extractor, name)
        torch.nn.init.zeros_(head.weight)
        torch.nn.init.zeros_(head.bias)
        with torch.no_grad():
            head.bias[40] = 50.0
    rotation = net.motion(torch.rand(1, 3, 64, 64)).rotation[0]
    assert torch.allclose(rotation, torch.tensor([-22.5, 22.5, -22.5]), atol=1e-3)  # bin 40 of 3 degrees from -97.5


def test_a_checkpoint_comes_back_folded(tmp_path):
    net, picture = trained_looking(small_tiny()), torch.rand(1, 3, 64, 64)
    path = tmp_path / "renderer.safetensors"
    save_checkpoint(path, SYSTEM, {COMPONENT: net}, {COMPONENT: net.config.to_dict()}, {})
    back = build(read_checkpoint(path, SYSTEM), RENDERER)
    motion = some_motion(2, 21)
    made = [one.render(one.identity(picture), motion) for one in (net, back)]
    assert not hasattr(back.warping.third.norm, "running_mean")
    assert (made[0] - made[1]).abs().max() < 1e-3


def test_what_does_not_fit_is_refused():
    net = trained_looking(small_tiny())
    identity = net.identity(torch.rand(1, 3, 64, 64))
    for bad in (torch.rand(1, 3, 32, 32), torch.rand(1, 3, 64, 80), torch.rand(3, 64, 64), torch.rand(2, 3, 64, 64)):
        with pytest.raises(InputError):
            net.identity(bad)
    with pytest.raises(InputError, match="9 keypoints"):
        net.render(identity, some_motion(1, 9))


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"size": 100}, "multiple of 32"), ({"order": "xyz"}, "order"), ({"decoder": DecoderConfig(carry=True)}, "plane")],
)
def test_settings_that_do_not_fit(changes, words):
    with pytest.raises(InputError, match=words):
        replace(small_base(), **changes)


@pytest.mark.parametrize("name", ["tiny", "base"])
def test_presets_survive_json(name):
    preset = RendererConfig.preset(name)
    assert isinstance(preset, Config)
    assert RendererConfig.from_dict(preset.to_dict()) == preset


def test_sizes_of_the_presets():
    tiny = HolisticRenderer(RendererConfig.preset("tiny"))
    assert sum(weight.numel() for weight in tiny.parameters()) < 1.2e6
    assert RendererConfig.preset("base").picture_size == 512
    assert RendererConfig.preset("tiny").picture_size == 128
