"""LPIPS as a training loss, where its weights are at hand (Zhang et al. 2018): the perceptual loss of CodeFormer.

The layers are VGG-16's convolutions (Simonyan & Zisserman 2015), read from torchvision's public file; the linear
weights come with torchmetrics. Nothing is downloaded: without the file, `TextureLoss` is the perceptual loss.
"""

from __future__ import annotations

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import InputError
from ..foreign import load_foreign, tensors_of

VGG_FILE = "vgg16-397923af.pth"
"""The name of torchvision's file of VGG-16, as torch.hub stores it."""

# Convolutions of the five stages whose last activations are compared; between stages lies a pooling.
_STAGES = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
_MEAN, _DEVIATION = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)


def find_vgg() -> Path | None:
    """VGG-16's file in torch.hub's folder, None where it is not."""
    path = Path(torch.hub.get_dir()) / "checkpoints" / VGG_FILE
    return path if path.is_file() else None


class LPIPS(nn.Module):
    """Distance of two batches [B, 3, H, W] in -1..1, made and real: a scalar; the weights are frozen."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        width, self.stages = 3, nn.ModuleList()
        for n, channels in enumerate(_STAGES):
            layers: list[nn.Module] = [nn.MaxPool2d(2)] if n else []
            for out in channels:
                layers += [nn.Conv2d(width, out, 3, padding=1), nn.ReLU()]
                width = out
            self.stages.append(nn.Sequential(*layers))
        self.weights = nn.ParameterList(torch.zeros(channels[-1]) for channels in _STAGES)
        self.register_buffer("mean", torch.tensor(_MEAN)[:, None, None])
        self.register_buffer("deviation", torch.tensor(_DEVIATION)[:, None, None])
        self.requires_grad_(False).eval()

    @classmethod
    def load(cls, vgg: str | Path) -> LPIPS:
        """With the weights of torchvision's VGG-16 file. Raises InputError where it is another file."""
        net = cls()
        convolutions = [layer for stage in net.stages for layer in stage if isinstance(layer, nn.Conv2d)]
        try:
            state = tensors_of(Path(vgg), load_foreign(Path(vgg), VGG_FILE), VGG_FILE)
            names = sorted(
                {int(key.split(".")[1]) for key in state if key.startswith("features.") and key.endswith("weight")}
            )
            for layer, name in zip(convolutions, names, strict=True):
                layer.weight.copy_(state[f"features.{name}.weight"])
                layer.bias.copy_(state[f"features.{name}.bias"])
        except (RuntimeError, ValueError, LookupError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"{vgg}: not torchvision's VGG-16 ({reason}); give {VGG_FILE}.") from error
        linear = torch.load(_linear_file(), map_location="cpu", weights_only=True)
        for n, weight in enumerate(net.weights):
            weight.copy_(linear[f"lin{n}.model.1.weight"].flatten())
        return net

    def forward(self, generated: Tensor, real: Tensor) -> Tensor:
        total = generated.new_zeros(())
        a, b = ((x - self.mean) / self.deviation for x in (generated, real))
        for stage, weight in zip(self.stages, self.weights, strict=True):
            a, b = stage(a), stage(b)
            difference = (F.normalize(a.float(), dim=1) - F.normalize(b.float(), dim=1)).square()
            total = total + torch.einsum("bchw,c->bhw", difference, weight).mean()
        return total


def _linear_file() -> Path:
    import torchmetrics.functional.image as image

    return Path(image.__file__).parent / "lpips_models" / "vgg.pth"
