"""Conversion of LivePortrait's networks: equal numbers, the published layout, and every other file refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from talkface_core.checkpoints import read_checkpoint
from talkface_core.components import build
from talkface_core.errors import InputError
from talkface_core.see_the_speaker.convert_liveportrait import convert_liveportrait, read_liveportrait, recognises
from talkface_core.see_the_speaker.motion import Motion
from talkface_core.see_the_speaker.motion_extractor import Seen
from talkface_core.see_the_speaker.renderer import (
    RENDERER,
    HolisticRenderer,
    Identity,
    RendererConfig,
    inference_copy,
)
from talkface_core.see_the_speaker.stitching import STITCHING, Stitching, StitchingConfig
from tests.see_the_speaker.liveportrait_golden import EVERY, SIDE, load, pictures, ratios, weights

CORE = ("appearance_feature_extractor", "motion_extractor", "warping_module", "spade_generator")
MLPS = {"retarget_shoulder": "stitching", "retarget_mouth": "lip", "retarget_eye": "eye"}
PREFIX = "module."


def states(shapes: dict[str, Any]) -> dict[str, dict[str, Tensor]]:
    """The public networks' weights, each under its own keys."""
    return {
        name: {
            key.partition("/")[2]: value
            for key, value in weights({f"{name}/{key}": shape for key, shape in own.items()}).items()
        }
        for name, own in shapes.items()
    }


def public_files(folder: Path, shapes: dict[str, Any]) -> Path:
    """The files as they are published: plain states, and one of three nets with DataParallel's prefix."""
    own = states(shapes)
    for name in CORE:
        torch.save(own[name], folder / f"{name}.pth")
    mlps = {theirs: {f"{PREFIX}{key}": value for key, value in own[ours].items()} for theirs, ours in MLPS.items()}
    torch.save(mlps, folder / "stitching_retargeting_module.pth")
    return folder


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return load()


@pytest.fixture(scope="module")
def folder(golden: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return public_files(tmp_path_factory.mktemp("public"), golden["shapes"])


def small(net: HolisticRenderer) -> HolisticRenderer:
    """The same net for the golden pictures, which are smaller than any that it was published for."""
    net.config = replace(net.config, size=SIDE)
    return net


@pytest.fixture(scope="module")
def net(folder: Path) -> HolisticRenderer:
    return small(read_liveportrait(folder)[0])


@pytest.fixture(scope="module")
def mlps(folder: Path) -> Stitching:
    found = read_liveportrait(folder)[1]
    assert found is not None
    return found


def relative(actual: Tensor, golden: dict[str, Any], name: str) -> float:
    """Largest error by the largest public number."""
    wanted = torch.tensor(golden[name])
    given = actual.detach().flatten()[:: EVERY.get(name, 1)]
    assert given.shape == wanted.shape
    return float((given - wanted).abs().max() / wanted.abs().max())


def test_it_reads_pictures_as_the_public_code_does(golden: dict[str, Any], net: HolisticRenderer) -> None:
    source, _ = pictures().split(1)
    assert relative(net.appearance(source)[0], golden, "volume") < 1e-4
    seen = net.motion_extractor(pictures())
    for ours, theirs in (("canonical", "kp"), ("expression", "exp"), ("translation", "t"), ("scale", "scale")):
        assert relative(getattr(seen, ours), golden, theirs) < 1e-4
    # HeadPose counts yaw and roll the other way round.
    for column, (name, sign) in enumerate((("yaw", -1), ("pitch", 1), ("roll", -1))):
        assert relative(sign * seen.rotation[:, column], golden, name) < 1e-4


def golden_poses(net: HolisticRenderer) -> tuple[Identity, Any, Any]:
    source, driven = pictures().split(1)
    identity = net.identity(source)
    motions = [identity.motion, net.motion(driven)]
    own, moving = (Seen(identity.canonical, m.expression, m.rotation, m.translation, m.scale) for m in motions)
    return identity, net.pose(identity.canonical, own), net.pose(identity.canonical, moving)


def test_a_whole_inference_gives_the_public_picture(golden: dict[str, Any], net: HolisticRenderer) -> None:
    identity, source, driven = golden_poses(net)
    assert relative(source[0], golden, "source") < 1e-4
    assert relative(driven[0], golden, "driven") < 1e-4
    painted, warped = net.paint(identity, source, driven)
    assert relative(warped.deformation, golden, "deformation") < 1e-4
    assert relative(warped.occlusion, golden, "occlusion") < 1e-4
    assert relative(painted.pictures, golden, "picture") < 1e-4


@pytest.mark.parametrize("frames", [1, 3])
def test_what_infers_gives_it_too(golden: dict[str, Any], net: HolisticRenderer, frames: int) -> None:
    """Batch norms folded, many frames at once, the source's side computed once."""
    fast, (source, driven) = inference_copy(net), pictures().split(1)
    motion = Motion.join([fast.motion(driven)] * frames)
    made = fast.render(fast.identity(source), motion)
    assert made.shape == (frames, 3, 2 * SIDE, 2 * SIDE)
    for picture in made.split(1):
        assert relative(picture, golden, "picture") < 1e-4


def test_the_nets_on_keypoints(golden: dict[str, Any], net: HolisticRenderer, mlps: Stitching) -> None:
    _, (source, *_), (driven, *_) = golden_poses(net)
    eyes, lips = ratios()
    assert relative(mlps.stitched(source, driven), golden, "stitched") < 1e-4
    assert relative(mlps.eye_moves(source, eyes), golden, "eyes") < 1e-4
    assert relative(mlps.lip_moves(source, lips), golden, "lips") < 1e-4
    with pytest.raises(InputError, match=r"expected \[B, 5, 3\]"):
        mlps.eye_moves(source, lips)


def test_base_is_the_published_layout(golden: dict[str, Any], tmp_path: Path) -> None:
    """Of the shapes of the full size, without memory: each key has its place."""
    with torch.device("meta"):
        net, mlps = HolisticRenderer(RendererConfig.preset("base")), Stitching(StitchingConfig.preset("base"))
    counted = {"num_batches_tracked", "weight_u", "weight_v"}
    published = golden["base"]
    for names, ours in ((CORE, net), (tuple(MLPS.values()), mlps)):
        theirs = sorted(
            sorted(size for size in shape if size != 1)
            for name in names
            for key, shape in published[name].items()
            if key.rpartition(".")[2] not in counted
        )
        own = ours.state_dict().items()
        assert theirs == sorted(
            sorted(size for size in value.shape if size != 1)
            for key, value in own
            if key.rpartition(".")[2] not in counted
        )


def test_sizes_are_read_off_the_weights(golden: dict[str, Any], net: HolisticRenderer) -> None:
    config = net.config
    assert (config.keypoints, config.appearance.volume, config.appearance.depth) == (5, 4, 4)
    assert config.motion.channels == (4, 6, 8, 12)
    assert (config.motion.blocks, config.motion.bins) == ((1, 2, 1, 1), 66)
    assert (config.warping.channels, config.warping.blocks, config.warping.compress) == (4, 3, 2)
    assert (config.decoder.up, config.decoder.hidden, config.decoder.shuffle) == ((12, 6), 128, 2)


def test_a_checkpoint_is_written_and_comes_back(folder: Path, net: HolisticRenderer, tmp_path: Path) -> None:
    written = convert_liveportrait(sorted(folder.glob("*.pth")), tmp_path / "base.safetensors", torch.float16)
    checkpoint = read_checkpoint(written, "see_the_speaker")
    assert checkpoint.provenance["licence"].startswith("MIT")
    assert set(checkpoint.configs) == {"renderer", "stitching"}
    back, mlps = small(build(checkpoint, RENDERER)), build(checkpoint, STITCHING)
    source, driven = pictures().split(1)
    one, other = (each.render(each.identity(source), each.motion(driven)) for each in (back, net))
    assert (one - other).abs().mean() < 0.005  # of halves
    assert mlps.config.eyes == (10, 7, 6)


def test_safetensors_are_read_too(golden: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    own = states(golden["shapes"])
    for name in CORE:
        save_file({key: value.contiguous() for key, value in own[name].items()}, tmp_path / f"{name}.safetensors")
    net, mlps, _ = read_liveportrait(tmp_path)
    assert mlps is None
    plain = read_liveportrait(folder)[0].state_dict()
    assert [key for key, value in net.state_dict().items() if not torch.allclose(value, plain[key])] == []


def test_what_is_missing_or_foreign_is_named(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no spade_generator\.pth"):
        read_liveportrait([folder / f"{name}.pth" for name in CORE[:3]])
    twice = [folder / "motion_extractor.pth"] * 2
    with pytest.raises(InputError, match="a second time"):
        read_liveportrait(twice)
    other = tmp_path / "other.pth"
    torch.save({"conv.weight": torch.zeros(3)}, other)
    assert not recognises(other)
    assert recognises(folder / "stitching_retargeting_module.pth")
    with pytest.raises(InputError, match="another network"):
        read_liveportrait([other])
    (tmp_path / "nothing").mkdir()
    with pytest.raises(InputError, match="no file of its networks"):
        read_liveportrait(tmp_path / "nothing")
    with pytest.raises(InputError, match="ends in"):
        convert_liveportrait(folder, tmp_path / "out.pth")


def test_a_file_of_other_sizes_is_refused(golden: dict[str, Any], folder: Path, tmp_path: Path) -> None:
    own = states(golden["shapes"])["spade_generator"]
    own["up_0.norm_0.mlp_beta.weight"] = own["up_0.norm_0.mlp_beta.weight"][:3]
    broken = tmp_path / "spade_generator.pth"
    torch.save(own, broken)
    files = [folder / f"{name}.pth" for name in CORE[:3]]
    with pytest.raises(InputError, match=r"up\.0\.norm_0\.beta\.weight of shape"):
        read_liveportrait([*files, broken])
    del own["conv_img.0.bias"]
    torch.save(own, broken)
    with pytest.raises(InputError, match="no weights for"):
        read_liveportrait([*files, broken])
