"""Conversion of IP_LAP's public landmark generator: its names and shapes are taken, every other file is refused."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from talkface_core.checkpoints import read_checkpoint
from talkface_core.errors import InputError
from talkface_core.landmark_diffusion.completion import CompletionConfig, LandmarkCompletion, box
from talkface_core.landmark_diffusion.convert import MEL_SHIFT, convert_completion, read_completion, recognises
from tests.landmark_diffusion import iplap_golden

EARS = [(1, 32), *[(32, 32)] * 2, (32, 64), *[(64, 64)] * 2, (64, 128), *[(128, 128)] * 2, (128, 256), (256, 256)]
STAGES = [(4, 8), (8, 16), (16, 32), (32, 64), (64, 128)]


def public_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the public state."""
    shapes: dict[str, tuple[int, ...]] = {}

    def unit(name: str, before: int, after: int, *kernel: int) -> None:
        shapes[f"{name}.conv_block.0.weight"] = (after, before, *kernel)
        shapes[f"{name}.conv_block.0.bias"] = (after,)
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.conv_block.1.{part}"] = (after,)
        shapes[f"{name}.conv_block.1.num_batches_tracked"] = ()

    for place, (before, after) in enumerate([*EARS, (256, 512)]):
        unit(f"mel_encoder.{place}", before, after, 3, 3)
    unit("mel_encoder.12", 512, 512, 1, 1)
    for encoder, last in (("ref_encoder", 1), ("pose_encoder", 2)):
        units = [(2, 4)]
        for before, after in STAGES:
            units += [(before, after), (after, after), (after, after)]
        units += [(128, 256), *[(256, 256)] * last, (256, 512)]
        for place, (before, after) in enumerate(units):
            unit(f"{encoder}.{place}", before, after, 3)
        unit(f"{encoder}.{len(units)}", 512, 512, 1)
    fusion = "fusion_transformer"
    shapes |= {f"{fusion}.position_{which}.pe": (1, 512, 512) for which in "va"}
    shapes[f"{fusion}.modality.weight"] = (4, 512)
    for layer in range(4):
        name = f"{fusion}.transformer_encoder.layers.{layer}"
        shapes |= {f"{name}.self_attn.in_proj_weight": (1536, 512), f"{name}.self_attn.in_proj_bias": (1536,)}
        linears = (("self_attn.out_proj", 512, 512), ("linear1", 1024, 512), ("linear2", 512, 1024))
        for part, out, into in linears:
            shapes |= {f"{name}.{part}.weight": (out, into), f"{name}.{part}.bias": (out,)}
        for norm in ("norm1", "norm2"):
            shapes |= {f"{name}.{norm}.weight": (512,), f"{name}.{norm}.bias": (512,)}
    for head, points in (("mouse_keypoint_map", 40), ("jaw_keypoint_map", 17)):
        shapes |= {f"{head}.weight": (2 * points, 512), f"{head}.bias": (2 * points,)}
    return shapes | {"Norm.weight": (512,), "Norm.bias": (512,)}


def public_file(path: Path, **changes: Tensor) -> Path:
    """A file as the public trainer writes it, from DataParallel; it takes next to no room."""
    state = {key: torch.zeros(()).expand(shape) for key, shape in public_shapes().items()} | changes
    torch.save({"state_dict": {f"module.{key}": value for key, value in state.items()}, "optimizer": None}, path)
    return path


def test_the_public_layout_is_taken_whole(tmp_path):
    marked = {"jaw_keypoint_map.bias": torch.arange(34.0), "pose_encoder.18.conv_block.0.bias": torch.full((256,), 3.0)}
    path = public_file(tmp_path / "public.pth", **marked)
    assert recognises(path)
    checkpoint = read_checkpoint(convert_completion(path, dtype=torch.float16), "landmark_diffusion")
    assert "research only" in checkpoint.provenance["licence"]
    config = CompletionConfig.from_dict(checkpoint.configs["completion"])
    assert (config.boxed, config.mel_shift) == (True, MEL_SHIFT)
    net = LandmarkCompletion(config)
    checkpoint.load_into(net, "completion")
    assert torch.equal(net.net.jaw.bias, marked["jaw_keypoint_map.bias"])
    assert torch.equal(net.net.pose[18].conv.bias, marked["pose_encoder.18.conv_block.0.bias"])


@torch.no_grad()
def test_it_computes_what_the_public_code_does(tmp_path):
    golden, path = iplap_golden.load(), tmp_path / "public.pth"
    shapes = {key: tuple(shape) for key, shape in golden["shapes"].items()}
    assert shapes == public_shapes()
    torch.save({"state_dict": {f"module.{key}": value for key, value in iplap_golden.weights(shapes).items()}}, path)
    net, _ = read_completion(path)
    path.unlink()
    given = iplap_golden.inputs()
    made = net.net(given["windows"], given["pose"], given["references"]).flatten()
    expected = torch.tensor(golden["content"])
    assert expected.std() > 0.3
    assert (made - expected).norm() / expected.norm() < 1e-4


def test_coordinates_are_within_the_box_of_the_face():
    points = torch.rand(2, 3, 131, 2) * torch.tensor([0.4, 0.7]) + 0.1
    low, side = box(points)
    inside = (points - low) / side
    assert inside.min() > 0.02
    assert inside.max() < 0.98
    torch.manual_seed(0)
    small = CompletionConfig(landmarks="mesh131", published=True, width=32, ff=32, blocks=1, frames=5, boxed=True)
    net = LandmarkCompletion(small).eval()
    windows, landmarks, references = torch.randn(1, 5, 80, 16), points[:1, :1].expand(1, 5, -1, -1), points[1:, :3]
    made = net(windows, landmarks, references)
    moved = net(windows, 2 * landmarks + 0.1, 2 * references + 0.1)
    torch.testing.assert_close(moved, 2 * made + 0.1, atol=2e-2, rtol=0)


def test_other_files_are_refused(tmp_path):
    with pytest.raises(InputError, match="of shape"):
        convert_completion(public_file(tmp_path / "a.pth", **{"Norm.bias": torch.zeros(3)}))
    with pytest.raises(InputError, match="does not have"):
        convert_completion(public_file(tmp_path / "b.pth", **{"more.weight": torch.zeros(3)}))
    torch.save({"state_dict": {"face_encoder.weight": torch.zeros(1)}}, tmp_path / "c.pth")
    assert not recognises(tmp_path / "c.pth")
    with pytest.raises(InputError, match="another network"):
        convert_completion(tmp_path / "c.pth")
    with pytest.raises(InputError, match="safetensors"):
        convert_completion(tmp_path / "c.pth", tmp_path / "c.pt")
