"""The recipe `faces`: trains the bundled detection and landmark nets together, on rendered people and photographs.

    python -m talkface_core train faces --data SET --out RUN

SET is a folder with truth, or holds such folders: `recipe_data.py` says of what. So that the nets work on pictures of
any kind, each is changed hard: `augment.py` says how; the finder's pictures are put together of faces and textures.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn

from ..checkpoints import save_checkpoint
from ..device import channels_last
from ..pixels import to_signed
from ..training.arguments import add_compile
from ..training.config import TrainConfig
from ..training.recipe import Batch, Plan, Recipe
from .landmarks import EYES, INNER_LIPS, JAW, POINTS
from .net import FaceDetectorNet, FaceNetConfig, LandmarkNet
from .recipe_batches import FaceSamples, mean_crop
from .recipe_data import FacePictures
from .rotated_box import SYSTEM, RotatedBox

CROPS, CANVASES = 24, 6
STEPS = 6000
TRAIN = TrainConfig(
    lr=2e-3,
    schedule="cosine",
    warmup=200,
    final_lr=0.01,
    weight_decay=0.02,
    beta2=0.99,
    ema_decay=0.998,
    precision="auto",
)


class FaceRecipe(Recipe):
    """Train a `FaceDetectorNet` and a `LandmarkNet` on `FacePictures`."""

    name = SYSTEM

    def __init__(self, pictures: FacePictures, config: FaceNetConfig | None = None, compile: bool = False) -> None:
        self._net = config or FaceNetConfig()
        reader, finder = LandmarkNet(self._net), FaceDetectorNet(self._net)
        reader.face.copy_(mean_crop(pictures.landmarks, pictures.pose))
        self.data = pictures.name
        self.config: Mapping[str, Any] = {"net": self._net.to_dict(), "crops": CROPS, "canvases": CANVASES}
        self.modules: dict[str, nn.Module] = {
            "finder": channels_last(finder),
            "reader": channels_last(reader),
        }
        self._landmark_net, self._mean = reader, reader.face.clone()
        self._samples = FaceSamples(pictures, self._mean.numpy(), self._net.size)
        self._finder = torch.compile(finder) if compile else finder
        self._reader = torch.compile(reader) if compile else reader
        weights = torch.ones(POINTS)
        weights[JAW.stop :], weights[EYES], weights[INNER_LIPS] = 1.3, 1.8, 1.8
        self._weights = weights / weights.mean()

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_compile(parser)

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        pictures = FacePictures.open(args.data, args.cache, quiet=args.quiet)
        return Plan(cls(pictures, compile=args.compile), TRAIN, STEPS)

    def prepare(self, device: torch.device) -> None:
        self._weights = self._weights.to(device)
        self._landmark_net.face.copy_(self._mean)  # a checkpoint to begin with brought that of its own data

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        crops = [self._samples.crop(rng) for _ in range(CROPS)]
        canvases = [self._samples.canvas(rng) for _ in range(CANVASES)]
        names = ("crops", "landmarks", "weights", "pose", "there")
        tensors = {
            name: torch.from_numpy(np.stack(part)) for name, part in zip(names, zip(*crops, strict=True), strict=True)
        }
        parts = zip(("canvases", "heat", "targets", "sure"), zip(*canvases, strict=True), strict=True)
        tensors |= {name: torch.from_numpy(np.stack(part)) for name, part in parts}
        return tensors

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Pixels of the crop, degrees, and what a face is; then CenterNet's focal loss and the places' errors."""
        out = self._reader(as_input(batch["crops"]))
        there = batch["there"]
        inside = ((batch["landmarks"] > 0) & (batch["landmarks"] < 1)).all(-1) * there[:, None]
        inside = inside * self._weights * batch["weights"]
        pixels = (out["landmarks"] - batch["landmarks"]).square().sum(-1) * 128**2
        points = ((pixels + 0.04).sqrt() * inside).sum() / inside.sum().clamp(min=1)
        pose = ((out["pose"] - batch["pose"]).abs().mean(1) * there).sum() / there.sum().clamp(min=1)
        score = F.binary_cross_entropy_with_logits(out["score"], there)
        prediction = self._finder(as_input(batch["canvases"])).float()
        heat = focal(prediction[:, 0], batch["heat"])
        sure = batch["sure"]
        off = ((prediction[:, 1:] - batch["targets"]).abs() * sure[:, None]).sum((0, 2, 3)) / sure.sum().clamp(min=1)
        place = 0.5 * off[:2].sum() + off[2] + off[3:].sum()
        total = points + 0.2 * pose + 2 * score + 2 * heat + place
        return {"loss": total, "points": points, "pose": pose, "score": score, "heat": heat, "place": place}

    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8] | None:
        """Crops with the landmarks read (green) on the truth (red), then canvases with the squares found."""
        rng = np.random.default_rng(7)
        batch = self.batch(0, rng)
        crops, device = batch["crops"][:18], next(modules["reader"].parameters()).device
        predictions = modules["reader"](as_input(crops.to(device)))["landmarks"].float().cpu()
        panels = []
        for crop, points, truth, there in zip(
            crops, predictions, batch["landmarks"][:18], batch["there"][:18], strict=True
        ):
            panel = cv2.resize(crop.numpy(), (256, 256), interpolation=cv2.INTER_LINEAR)
            for group, paint in ((truth, (255, 0, 0)), (points, (0, 255, 0))):
                for x, y in group.numpy() * 256 if there else []:
                    cv2.circle(panel, (int(x), int(y)), 1, paint, -1)
            panels.append(panel)
        canvases = batch["canvases"][:6]
        maps = modules["finder"](as_input(canvases.to(device))).float().cpu()
        for canvas, out in zip(canvases, maps, strict=True):
            panel = canvas.numpy().copy()
            heat = out[0].sigmoid()
            peaks = (heat == F.max_pool2d(heat[None, None], 3, 1, 1)[0, 0]) & (heat > 0.4)
            for row, column in peaks.nonzero().tolist():
                square = RotatedBox.decode(out[1:, row, column].numpy(), column, row)
                cv2.polylines(panel, [square.corners().astype(np.int32)], True, (0, 255, 0), 1)
            panels.append(panel)
        panels += [np.zeros_like(panels[0])] * (-len(panels) % 8)
        return np.concatenate([np.concatenate(panels[k : k + 8], 1) for k in range(0, len(panels), 8)], 0)

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        configs = {name: self._net.to_dict() for name in ema_modules}
        save_checkpoint(path, SYSTEM, ema_modules, configs, provenance, torch.float16)


def as_input(pictures: Tensor) -> Tensor:
    """uint8 [B,H,W,3] -> float32 [B,3,H,W] in -1..1, channels last in memory."""
    return rearrange(to_signed(pictures), "b h w c -> b c h w")


def focal(logits: Tensor, heat: Tensor) -> Tensor:
    """CenterNet's focal loss (equation 1) of maps [B,h,w], by the number of faces."""
    chance, at = logits.sigmoid().clamp(1e-4, 1 - 1e-4), heat == 1
    hits = (1 - chance).square() * chance.log()
    misses = (1 - heat) ** 4 * chance.square() * (1 - chance).log()
    return -torch.where(at, hits, misses).sum() / at.sum().clamp(min=1)
