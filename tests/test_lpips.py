"""LPIPS without torchvision: its weights go where they belong, and a wrong file is refused."""

from pathlib import Path

import pytest
import torch
from torch import nn

from talkface_core.errors import InputError
from talkface_core.lpips import LPIPS, find_vgg
from tests.ladtalk.small_sovqae import frames


@pytest.fixture(scope="module")
def vgg(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights under the names of torchvision's VGG-16: convolutions at these places of its list of layers."""
    torch.manual_seed(0)
    places = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    widths = (3, 64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
    state = {}
    for place, inputs, outputs in zip(places, widths, widths[1:], strict=False):
        layer = nn.Conv2d(inputs, outputs, 3)
        state |= {f"features.{place}.weight": layer.weight.data, f"features.{place}.bias": layer.bias.data}
    state["classifier.0.weight"] = torch.zeros(2, 2)
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.save(state, path)
    return path


def test_distances_are_those_of_weighted_unit_features(vgg: Path) -> None:
    loss = LPIPS.load(vgg)
    a, b = frames(2), frames(2, seed=1)
    assert loss(a, a).item() == 0
    total, x, y = 0.0, *((f - loss.mean) / loss.deviation for f in (a, b))
    for stage, weight in zip(loss.stages, loss.weights, strict=True):
        x, y = stage(x), stage(y)
        ux, uy = (f / f.norm(dim=1, keepdim=True) for f in (x, y))
        total += ((ux - uy).square() * weight[:, None, None]).sum(1).mean().item()
    assert loss(a, b).item() == pytest.approx(total, rel=1e-4)
    assert total > 0


def test_gradients_reach_the_frames_alone(vgg: Path) -> None:
    loss = LPIPS.load(vgg)
    generated = frames(1).requires_grad_()
    loss(generated, frames(1, seed=1)).backward()
    assert generated.grad.any()
    assert not any(parameter.requires_grad for parameter in loss.parameters())


def test_another_file_is_refused(tmp_path: Path) -> None:
    torch.save({"features.0.weight": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(InputError, match="VGG-16"):
        LPIPS.load(tmp_path / "other.pth")
    (tmp_path / "text.pth").write_text("no weights")
    with pytest.raises(InputError, match="VGG-16"):
        LPIPS.load(tmp_path / "text.pth")


def test_the_file_is_looked_for_and_never_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    assert find_vgg() is None
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "vgg16-397923af.pth").write_bytes(b"")
    assert find_vgg() is not None
