"""The recipe `sync`: trains the lip expert.

    python -m talkface_core train sync --data SET/train --out RUN

`base` follows the publication: binary cross-entropy of the cosine, half of the pairs shifted within the clip, Adam
1e-4, batches of 64. Trained so, experts are known to sit at chance (0.69) for a day or more. `tiny` therefore
contrasts: each window of lips must find its sound among others of the same clip (InfoNCE, van den Oord et al. 2018), a
stronger signal than one yes or no per window. And since the clips have landmarks, both vectors must tell how far the
lips are apart: at first nothing else, which breaks the deadlock in which neither encoder has anything to agree on. A
logistic function of the cosine is fitted along, so that the published cross-entropy remains its measure and the
generator's loss.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
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
from ..datasets.sounds import SOUND_VERSIONS
from ..datasets.talking_faces import TalkingFaces, lip_shapes, open_talking_faces
from ..device import channels_last
from ..pixels import signed_to_unit, to_bytes, to_unit
from ..speech.mel_windows import FRAMES
from ..training.arguments import add_batch_size, add_compile, add_preset
from ..training.config import TrainConfig
from ..training.recipe import Batch, Plan, Recipe
from .score import MAX_SHIFT, cosines, vectors
from .syncnet import COMPONENT, SYSTEM, SyncNet, SyncNetConfig
from .training_batches import SyncBatches, SyncSampler


@dataclass(frozen=True)
class SyncLoss:
    """Weights of the losses: pairs, the published cross-entropy; among: InfoNCE among the sounds of the clip;
    across: InfoNCE across the batch; readout: linear read-outs of the lips' shape from both vectors. `begin`: steps of
    read-outs alone, after which the rest comes in over as many; `apart`: sounds nearer than so many frames are no
    negatives.
    """

    pairs: float = 1.0
    among: float = 1.0
    across: float = 0.1
    readout: float = 5.0
    begin: int = 200
    apart: int = 3


BATCHES = {"tiny": SyncBatches(), "base": SyncBatches(64, 1, 1, farthest=10_000, speaking=0.0, augment=False)}
LOSSES = {"tiny": SyncLoss(), "base": SyncLoss(among=0.0, across=0.0, readout=0.0, begin=0)}
TRAINING = {
    "tiny": TrainConfig(
        lr=1e-3,
        schedule="cosine",
        warmup=100,
        final_lr=0.02,
        beta2=0.99,
        weight_decay=1e-2,
        ema_decay=0.995,
        precision="auto",
    ),
    "base": TrainConfig(lr=1e-4, optimiser="adam", ema_decay=0.999, grad_clip=0.0, precision="auto"),
}
# A unit vector's entries are small: the read-outs then need no large weights.
_SPREAD = 8.0
STEPS = {"tiny": 2500, "base": 1_000_000}


class SyncRecipe(Recipe):
    """Train a `SyncNet` on faces that talk; `val`, other people, is measured when a checkpoint is saved."""

    name = "sync"

    def __init__(
        self,
        data: TalkingFaces,
        config: SyncNetConfig | None = None,
        val: TalkingFaces | None = None,
        batches: SyncBatches | None = None,
        losses: SyncLoss | None = None,
        compile: bool = False,
        seed: int = 0,
    ) -> None:
        self.settings, self.weights = batches or SyncBatches(), losses or SyncLoss()
        self.net = channels_last(SyncNet(config))
        self.data, self._faces, self._val = data.name, data, val
        self.config: Mapping[str, Any] = {
            "syncnet": self.net.config.to_dict(),
            "batches": asdict(self.settings),
            "losses": asdict(self.weights),
        }
        self.modules: dict[str, nn.Module] = {COMPONENT: self.net}
        if self.weights.readout:
            self._lips = lip_shapes(data)
            length, outputs = self.net.config.face[-1], FRAMES * self._lips.shape[1]
            self.modules["readout"] = nn.ModuleDict({name: nn.Linear(length, outputs) for name in ("faces", "speech")})
        self.sampler = SyncSampler(data, self.settings, self.net.config.mel_shift, seed)
        self._face_vectors, self._speech_vectors, self._compile = self.net.faces, self.net.speech, compile

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_preset(parser)
        add_batch_size(parser)
        add_compile(parser)

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        preset = args.preset
        config, batches = SyncNetConfig.preset(preset), BATCHES[preset]
        versions = SOUND_VERSIONS if batches.augment else 1
        data, val = open_talking_faces(args.data, config.size, args.cache, versions, args.seed, args.quiet)
        batches = replace(batches, clips=args.batch_size or batches.clips)
        recipe = cls(data, config, val, batches, LOSSES[preset], args.compile, args.seed)
        return Plan(recipe, TRAINING[preset], STEPS[preset])

    def prepare(self, device: torch.device) -> None:
        """Compiles the networks, where asked to."""
        if self._compile:
            self._face_vectors = torch.compile(self.net.faces, dynamic=False)
            self._speech_vectors = torch.compile(self.net.speech, dynamic=False)

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        batch = self.sampler.batch(rng)
        if self.weights.readout:
            rows = batch["rows"][..., None] + torch.arange(-(FRAMES // 2), FRAMES // 2 + 1)
            batch["lips"] = torch.from_numpy(self._lips)[rows].flatten(2)
        return batch

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Cross-entropy of pairs and InfoNCE; `right` is the share of pairs told apart."""
        clips, windows, sounds = batch["times"].shape
        faces = rearrange(to_unit(batch["faces"]), "c k t h w p -> (c k) t p h w")
        # (c k s): the sounds of one window lie side by side, its own first.
        a = self._face_vectors(faces).unflatten(0, (clips, windows))
        b = self._speech_vectors(batch["windows"].flatten(0, 2)[:, None]).unflatten(0, (clips, windows, sounds))
        with torch.autocast(a.device.type, enabled=False):
            own = (a[:, :, None] * b).sum(-1)
            logits, truth = self.net.logits(own[..., :2]), torch.zeros_like(own[..., :2])
            truth[..., 0] = 1
            if windows == 1:
                # As published: one pair of each clip, in step or not.
                picked = torch.arange(clips, device=own.device) % 2
                logits, truth = (t[:, 0].gather(1, picked[:, None]) for t in (logits, truth))
            losses = {"pairs": F.binary_cross_entropy_with_logits(logits, truth)}
            losses["right"] = ((logits > 0) == (truth > 0.5)).float().mean()
            weights = self.weights
            total = weights.pairs * losses["pairs"]
            if weights.among:
                losses["among"] = self._among(a, b, batch["times"])
                total = total + weights.among * losses["among"]
            if weights.across:
                losses["across"] = self._across(a, b[:, :, 0], batch["times"][..., 0])
                total = total + weights.across * losses["across"]
            if weights.begin:
                # Contrastive terms on untrained vectors keep both encoders from learning anything.
                total = total * min(max(step / weights.begin - 1, 0.0), 1.0)
            if weights.readout:
                heads = self.modules["readout"]
                losses["lips"] = F.mse_loss(_SPREAD * heads["faces"](a), batch["lips"])
                losses["heard"] = F.mse_loss(_SPREAD * heads["speech"](b[:, :, 0]), batch["lips"])
                total = total + weights.readout * (losses["lips"] + losses["heard"])
        return {"loss": total, **losses}

    def _among(self, a: Tensor, b: Tensor, times: Tensor) -> Tensor:
        """Each window finds its sound among all of its clip, each sound its window."""
        windows, sounds = times.shape[1:]
        scale = self.net.scale.exp()
        logits = scale * torch.einsum("ckd,cjsd->ckjs", a, b)
        near = (times[:, :, None, None, 0] - times[:, None]).abs() < self.weights.apart
        own = torch.eye(windows, dtype=torch.bool, device=a.device)[None, :, :, None].expand(len(a), -1, -1, sounds)
        own = own & (torch.arange(sounds, device=a.device) == 0)
        logits = logits.masked_fill(near & ~own, -1e4)
        target = torch.arange(windows, device=a.device).expand(len(a), -1).flatten()
        forth = F.cross_entropy(logits.flatten(2).flatten(0, 1), target * sounds)
        back = F.cross_entropy(logits[..., 0].transpose(1, 2).flatten(0, 1), target)
        return (forth + back) / 2

    def _across(self, a: Tensor, b: Tensor, times: Tensor) -> Tensor:
        """The same among all clips of the batch."""
        clips, windows = times.shape
        logits = self.net.scale.exp() * a.flatten(0, 1) @ b.flatten(0, 1).T
        clip = torch.arange(clips * windows, device=a.device) // windows
        times = times.flatten()
        near = (clip[:, None] == clip) & ((times[:, None] - times).abs() < self.weights.apart)
        logits = logits.masked_fill(near & ~torch.eye(len(times), dtype=torch.bool, device=a.device), -1e4)
        target = torch.arange(len(times), device=a.device)
        return (F.cross_entropy(logits, target) + F.cross_entropy(logits.T, target)) / 2

    @torch.no_grad()
    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8]:
        """Cosines of up to four clips: time downwards, the sound's shift from -15 to 15 frames to the right."""
        data, net = self._val or self._faces, modules[COMPONENT]
        panels = []
        for clip in range(min(4, len(data.lengths))):
            similarity = cosines(*vectors(net, data.inner(data.clip(clip)), data.mels[clip][0]))[:200]
            grey = to_bytes(signed_to_unit(similarity)).numpy()
            panels.append(cv2.copyMakeBorder(grey, 0, 200 - len(grey), 0, 4, cv2.BORDER_CONSTANT))
        picture = cv2.resize(np.concatenate(panels, 1), None, fx=4, fy=4, interpolation=cv2.INTER_NEAREST)
        return cv2.cvtColor(picture, cv2.COLOR_GRAY2RGB)

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        net = ema_modules[COMPONENT]
        measured = {"measured": {self._val.name: sync_errors(net, self._val)}} if self._val else {}
        configs = {COMPONENT: net.config.to_dict()}
        save_checkpoint(path, SYSTEM, {COMPONENT: net}, configs, {**provenance, **measured}, torch.float16)


@torch.no_grad()
def sync_errors(net: SyncNet, data: TalkingFaces, nearest: int = 5) -> dict[str, float]:
    """How well an expert tells in-step from shifted on clean clips.

    accuracy: share of right answers on windows in step and on windows `nearest` to 15 frames off, during speech;
    ranked: share of those pairs in which the true sound scores higher; loss: their cross-entropy; offset_exact,
    offset_1: share of clips whose whole-clip offset is found as 0, or within one frame; confidence: mean.
    """
    right, ranked, losses, offsets, confidences = [], [], [], [], []
    shifts = torch.arange(-MAX_SHIFT, MAX_SHIFT + 1)
    for clip in range(len(data.lengths)):
        similarity = cosines(*vectors(net, data.inner(data.clip(clip)), data.mels[clip][0]))
        distance = (2 - 2 * similarity).clamp_min(0).sqrt().mean(0)
        offsets.append(int(distance.argmin()) - MAX_SHIFT)
        confidences.append(float(distance.median() - distance.min()))
        speech = torch.ones(len(similarity), dtype=torch.bool)
        if data.speech is not None:
            speech = torch.from_numpy(data.speech[data.clip(clip)][2:-2])
        logits = net.logits(similarity[speech].to(next(net.parameters()).device)).cpu()
        true, others = logits[:, [MAX_SHIFT]], logits[:, shifts.abs() >= nearest]
        right.append((((true > 0).float().mean() + (others <= 0).float().mean()) / 2).item())
        ranked.append((true > others).float().mean().item())
        losses.append((F.softplus(-true).mean() + F.softplus(others).mean()).item() / 2)
    off = np.abs(offsets)
    means = {"accuracy": right, "ranked": ranked, "loss": losses, "offset_exact": off == 0, "offset_1": off <= 1}
    return {name: round(float(np.mean(values)), 4) for name, values in {**means, "confidence": confidences}.items()}
