"""LPIPS (Zhang et al. 2018), version 0.1: how far apart two pictures look, by the features of VGG-16 or AlexNet.

The layers (Simonyan & Zisserman 2015; Krizhevsky 2014) are read from torchvision's public files; the linear weights
come with torchmetrics. Nothing is downloaded. `evaluate` measures by it, and SOVQAE's training, where it finds VGG-16,
takes it for the perceptual loss of CodeFormer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .errors import InputError
from .foreign import module_state, refuse, renamed_state

VGG_FILE, ALEX_FILE = "vgg16-397923af.pth", "alexnet-owt-7be5be79.pth"
"""Names of torchvision's files, as torch.hub stores them."""

_EXPECTED = f"VGG-16 or AlexNet as torchvision publishes them ({VGG_FILE}, {ALEX_FILE})"

# The stages whose last activations are compared, before which a pooling (kernel) may lie, stride 2; of each convolution
# its place in torchvision's list of layers, channels, kernel, stride.
Stage = tuple[int, tuple[tuple[int, int, int, int], ...]]
_VGG: tuple[Stage, ...] = (
    (0, ((0, 64, 3, 1), (2, 64, 3, 1))),
    (2, ((5, 128, 3, 1), (7, 128, 3, 1))),
    (2, ((10, 256, 3, 1), (12, 256, 3, 1), (14, 256, 3, 1))),
    (2, ((17, 512, 3, 1), (19, 512, 3, 1), (21, 512, 3, 1))),
    (2, ((24, 512, 3, 1), (26, 512, 3, 1), (28, 512, 3, 1))),
)
_ALEX: tuple[Stage, ...] = (
    (0, ((0, 64, 11, 4),)),
    (3, ((3, 192, 5, 1),)),
    (3, ((6, 384, 3, 1),)),
    (0, ((8, 256, 3, 1),)),
    (0, ((10, 256, 3, 1),)),
)
BACKBONES: dict[str, tuple[Stage, ...]] = {"vgg": _VGG, "alex": _ALEX}
"""Their layers, by the names of torchmetrics' files of linear weights."""

_MEAN, _DEVIATION = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


def find_vgg() -> Path | None:
    """VGG-16's file in torch.hub's folder, None where it is not."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / VGG_FILE
    return path if path.is_file() else None


def backbone_of(shapes: Mapping[str, tuple[int, ...]]) -> str | None:
    """Which of `BACKBONES` a state with these shapes is, None: neither."""
    found = {key: shape for key, shape in shapes.items() if key.startswith("features.") and key.endswith(".weight")}
    for name, stages in BACKBONES.items():
        wanted, width = {}, 3
        for place, channels, kernel, _ in (layer for _, layers in stages for layer in layers):
            wanted[f"features.{place}.weight"] = (channels, width, kernel, kernel)
            width = channels
        if found == wanted:
            return name
    return None


class LPIPS(nn.Module):
    """Distance of two batches [B, 3, H, W] in -1..1, made and real: a scalar, the mean of `distances`; the weights are
    frozen. backbone: of `BACKBONES`."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, backbone: str = "vgg") -> None:
        super().__init__()
        self.backbone, width, self.stages = backbone, 3, nn.ModuleList()
        for pool, convolutions in BACKBONES[backbone]:
            layers: dict[str, nn.Module] = {"pool": nn.MaxPool2d(pool, 2)} if pool else {}
            for place, out, kernel, stride in convolutions:
                # AlexNet's first kernel of 11 has a padding of 2, all others half of theirs.
                layers[str(place)] = nn.Conv2d(width, out, kernel, stride, padding=2 if stride > 1 else kernel // 2)
                layers[f"relu{place}"] = nn.ReLU()
                width = out
            self.stages.append(nn.Sequential(OrderedDict(layers)))
        self.weights = nn.ParameterList(torch.zeros(stage[-1][1]) for _, stage in BACKBONES[backbone])
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None])
        self.register_buffer("deviation", torch.tensor(_DEVIATION)[:, None, None])
        self.requires_grad_(False).eval()

    @classmethod
    def load(cls, path: str | Path) -> LPIPS:
        """With the weights of torchvision's file of VGG-16 or AlexNet. Raises InputError where it is another file."""
        return cls.of(Path(path), module_state(Path(path), _EXPECTED))

    @classmethod
    def of(cls, path: Path, state: Mapping[str, Tensor]) -> LPIPS:
        """With the weights of such a file that were read. Raises InputError."""
        backbone = backbone_of({key: tuple(value.shape) for key, value in state.items()})
        if backbone is None:
            refuse(path, "other weights", _EXPECTED)
        net = cls(backbone)
        own = {key: value for key, value in net.state_dict().items() if key.startswith("stages.")}
        names = {key.split(".", 2)[2]: key for key in own}
        layers = {key: value for key, value in state.items() if key.startswith("features.")}
        own = renamed_state(path, layers, own, lambda key: names.get(key.removeprefix("features.")), _EXPECTED)
        net.load_state_dict(own, strict=False)
        linear = torch.load(_linear_weights(backbone), map_location="cpu", weights_only=True)
        for n, weight in enumerate(net.weights):
            weight.copy_(linear[f"lin{n}.model.1.weight"].flatten())
        return net

    def distances(self, generated: Tensor, real: Tensor) -> Tensor:
        """Of each picture [B]."""
        total = generated.new_zeros(len(generated))
        a, b = ((x - self.mean) / self.deviation for x in (generated, real))
        for stage, weight in zip(self.stages, self.weights, strict=True):
            a, b = stage(a), stage(b)
            difference = (F.normalize(a.float(), dim=1) - F.normalize(b.float(), dim=1)).square()
            total = total + torch.einsum("bchw,c->bhw", difference, weight).mean((1, 2))
        return total

    def forward(self, generated: Tensor, real: Tensor) -> Tensor:
        return self.distances(generated, real).mean()


def _linear_weights(backbone: str) -> Path:
    package = find_spec("torchmetrics")
    if package is None or package.origin is None:
        raise InputError(
            "LPIPS takes its linear weights from a package that is not installed (torchmetrics): "
            "python -m pip install -r requirements-train.txt"
        )
    return Path(package.origin).parent / "functional" / "image" / "lpips_models" / f"{backbone}.pth"
