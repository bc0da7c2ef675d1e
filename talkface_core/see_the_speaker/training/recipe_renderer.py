"""Training of the renderer (recipe `see-the-speaker-renderer`): motion is read, and faces are moved by it.

    python -m talkface_core train see-the-speaker-renderer --data SET/train --out RUN

Source: See the Speaker's rendering network; LivePortrait's first stage (Guo et al. 2024, section 3.1) without its
perceptual nets, guided by landmarks as its landmark loss is. The motion of `tiny`'s keypoints is known
(landmark_motion.py): the extractor learns to see it, the renderer is driven by it, and neither waits for the other.
The extractor is trained alone with `--part motion`, the rest with `--part picture`, and once the flow is good, cheaper,
with `--part paint`. There `--adversarial` adds a patch discriminator, which sees squares about mouth, eyes and
anywhere: what a source hides has to be invented, and errors alone make it the mean of all mouths.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn

from ...checkpoints import save_checkpoint
from ...device import channels_last
from ...errors import InputError
from ...faces.landmarks import LEFT_EYE, MOUTH, RIGHT_EYE
from ...faces.picture_loss import reconstruction
from ...faces.squares import draw_corners, squares
from ...pixels import to_bytes, to_unit
from ...training.adversarial import AdversarialLoss, PatchDiscriminator, PatchDiscriminatorConfig
from ...training.arguments import add_batch_size, add_preset
from ...training.config import TrainConfig
from ...training.recipe import Batch, Plan, Recipe
from ...training.texture_loss import TextureLoss
from ..decoder import Painted
from ..keypoints import IRISES, place, rotation_matrix
from ..motion_extractor import Seen
from ..renderer import COMPONENT, HolisticRenderer, Identity, RendererConfig
from ..system import SYSTEM
from .moving_heads import MovingHeads, open_moving_heads
from .renderer_batches import PARTS, PairSampler, RendererBatches

TRAINING = TrainConfig(lr=2e-3, schedule="cosine", warmup=50, final_lr=0.02, beta2=0.99, ema_decay=0.995)
STEPS = 4000
JUDGE = "judge"
ADVERSARIAL = AdversarialLoss(judge=0.02, matching=0.2, start=100)
"""With `--adversarial`. The paint begins trained, the discriminator does not: it is heard from step 100 on."""
TRAINED = {
    "all": ("",),
    "motion": ("motion_extractor.",),
    "picture": ("appearance.", "warping.", "decoder."),
    "paint": ("warping.third.", "warping.fourth.", "decoder."),
}
"""What can be trained, by how the names of its weights begin; "paint": the flow stays as it is."""


@dataclass(frozen=True)
class RendererLoss:
    """detail: share of the pictures' error that compares contrasts; mouth, eyes: extra weight of their middles;
    carried, colours: weights of the picture that is carried alone and of the one that is painted alone; paint: of the
    share that is painted; texture: of contrasts as strong as the real ones; points, motion: of the extractor's error in
    keypoints and in the parts of motion; noise: deviation of keypoints when they drive, as an extractor's error would
    be; adversarial: what a discriminator thinks of `squares` of each picture, `side` pixels wide, None for none."""

    detail: float = 0.4
    mouth: float = 16.0
    eyes: float = 6.0
    carried: float = 0.4
    colours: float = 0.4
    paint: float = 0.005
    texture: float = 0.0
    points: float = 10.0
    motion: float = 1.0
    noise: float = 0.004
    adversarial: AdversarialLoss | None = None
    squares: int = 2
    side: int = 48


class RendererRecipe(Recipe):
    """Trains a `HolisticRenderer` of landmark-tied keypoints; `val` is drawn in the samples."""

    name = "see-the-speaker-renderer"

    def __init__(
        self,
        data: MovingHeads,
        config: RendererConfig | None = None,
        val: MovingHeads | None = None,
        batches: RendererBatches | None = None,
        weights: RendererLoss | None = None,
        part: str = "all",
    ) -> None:
        """`part`: what is trained, see `TRAINED`. Raises InputError for keypoints that are not tied to landmarks."""
        if part not in TRAINED:
            raise InputError(f"part {part!r} is unknown; choose one of {', '.join(TRAINED)}.")
        self.net = channels_last(HolisticRenderer(config or RendererConfig.preset("tiny")))
        if self.net.config.keypoints != data.seen.canonical.shape[1] or not self.net.config.turns:
            raise InputError(
                "this recipe trains renderers whose keypoints are tied to landmarks, as the preset tiny's."
            )
        for name, weight in self.net.named_parameters():
            weight.requires_grad_(name.startswith(TRAINED[part]))
        self._part, self.data = part, data.name
        self.settings, self.weights = batches or RendererBatches(), weights or RendererLoss()
        self.modules: dict[str, nn.Module] = {COMPONENT: self.net}
        if self.weights.adversarial:
            _check_judged(part)
            self.modules[JUDGE] = channels_last(PatchDiscriminator(PatchDiscriminatorConfig.preset("tiny")))
        self.sampler = PairSampler(data, self.settings)
        self.config: Mapping[str, Any] = {
            "renderer": self.net.config.to_dict(),
            "batches": asdict(self.settings),
            "weights": asdict(self.weights),
            "part": part,
        }
        self._texture = TextureLoss(structure=0.0)
        plain = replace(self.settings, pairs=10, augment=False, far=1.0)
        self._held_out = PairSampler(val or data, plain).batch(np.random.default_rng(0))
        _rest(self.net, data.seen)

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_preset(parser)
        add_batch_size(parser)
        parser.add_argument("--part", choices=TRAINED, default="all", help="what is trained (default: all of it)")
        parser.add_argument("--adversarial", action="store_true", help="against a discriminator of mouths and eyes too")

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        config = RendererConfig.preset(args.preset)
        if not config.turns:
            raise InputError("the preset base is for public weights (models --convert); train tiny.")
        if args.adversarial:
            _check_judged(args.part)  # before the footage is read
        data, val = open_moving_heads(args.data, config.size, config.reach, args.cache, quiet=args.quiet)
        batches = RendererBatches(pairs=args.batch_size) if args.batch_size else RendererBatches()
        weights = RendererLoss(adversarial=ADVERSARIAL if args.adversarial else None)
        return Plan(cls(data, config, val, batches, weights, args.part), TRAINING, STEPS)

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        batch = self.sampler.batch(rng)
        shape = (2, len(batch["gazing"]), self.net.config.keypoints, 3)
        batch["noise"] = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
        if JUDGE in self.modules:
            weights, size = self.weights, self.net.config.size
            points = batch["landmarks"].numpy() * size
            corners = draw_corners(points, weights.squares, min(weights.side, size), size, 0.6, 0.25, rng)
            batch["corners"] = torch.from_numpy(corners)
        return batch

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        losses: dict[str, Tensor] = {}
        source, driven = (unit(batch[f"{name}_frames"]) for name in ("source", "driven"))
        total = source.new_zeros(())
        if self._part != "motion":
            painted = self._painted(self.net, batch, source, self.weights.noise)
            losses |= self._picture_losses(painted, driven, batch["landmarks"])
            total = total + sum(losses[name] * getattr(self.weights, name, 1.0) for name in losses)
            if self.weights.adversarial:
                side = min(self.weights.side, driven.shape[-1])
                made, real = (squares(2 * frames - 1, batch["corners"], side) for frames in (painted.pictures, driven))
                against, terms = self.weights.adversarial(self.modules[JUDGE], made, real, step)
                total, losses = total + against, losses | terms
        if self._part in ("all", "motion"):
            losses |= self._motion_losses(self.net.motion_extractor(driven), batch)
            total = total + self.weights.points * losses["points"] + self.weights.motion * losses["motion"]
        return {"loss": total, **losses}

    def _painted(self, net: HolisticRenderer, batch: Batch, source: Tensor, noise: float) -> Painted:
        volume, maps = net.appearance(source)
        identity = Identity(volume, net.warping.motion.shown(volume), maps, source, batch["source_canonical"], None)
        poses = []
        for number, name in enumerate(("source", "driven")):
            seen = {part: batch[f"{name}_{part}"] for part in PARTS}
            # The shape is the person's: the source's.
            seen["canonical"] = batch["source_canonical"]
            points = _placed(seen, net.config.turns)
            if noise:
                points = points + noise * batch["noise"][number]
            poses.append((points, seen["matrix"], seen["scale"]))
        return net.paint(identity, *poses)[0]

    def _picture_losses(self, painted: Painted, real: Tensor, landmarks: Tensor) -> dict[str, Tensor]:
        weights = self.weights
        count = face_weights(landmarks, real.shape[-1], weights.mouth, weights.eyes)
        # Losses are made for pictures in -1..1.
        carried, colours, paint = _carrying(painted)
        real, made, carried, colours = (2 * part - 1 for part in (real, painted.pictures, carried, colours))
        losses = {
            "picture": reconstruction(made, real, count, weights.detail),
            "carried": reconstruction(carried, real, count, weights.detail),
            "colours": reconstruction(colours, real, count, weights.detail),
            "paint": paint.mean(),
        }
        return losses | ({"texture": self._texture(made, real)} if weights.texture else {})

    def _motion_losses(self, seen: Seen, batch: Batch) -> dict[str, Tensor]:
        true = {part: batch[f"driven_{part}"] for part in PARTS}
        config = self.net.config
        matrix = rotation_matrix(seen.rotation, config.order)
        looked = torch.ones(len(matrix), config.keypoints, 1, device=matrix.device)
        for iris in IRISES:  # one by one: a list of indices would be copied to the device in each step
            looked[:, iris] = batch["gazing"][:, None]
        points = place(seen.canonical, seen.expression, matrix, seen.translation, seen.scale, config.turns)
        away = points[..., :2] - _placed(true, config.turns)[..., :2]
        parts = (
            (looked * (seen.canonical - true["canonical"])).abs().mean() * 2,
            (looked * (seen.expression - true["expression"])).abs().mean() * 6,
            (matrix - true["matrix"]).abs().mean(),
            (seen.translation - true["translation"]).abs().mean(),
            (seen.scale - true["scale"]).abs().mean(),
        )
        return {"points": (looked * away).abs().mean(), "motion": torch.stack(parts).sum()}

    @torch.no_grad()
    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8]:
        """Of people held out: source, what is carried, what is painted, its share, what is made, and the truth."""
        net, held = cast(HolisticRenderer, modules[COMPONENT]), self._held_out
        device = next(net.parameters()).device
        held = {name: value.to(device) for name, value in held.items()}
        source, driven = unit(held["source_frames"]), unit(held["driven_frames"])
        painted = self._painted(net, held, source, 0.0)
        carried, colours, paint = _carrying(painted)
        rows = [source, carried, colours, paint.expand_as(source), painted.pictures, driven]
        stacked = torch.stack([part.float().cpu() for part in rows])
        return to_bytes(rearrange(stacked, "r n c h w -> (r h) (n w) c").clamp(0, 1)).numpy()

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        components = {COMPONENT: ema_modules[COMPONENT]}
        save_checkpoint(path, SYSTEM, components, {COMPONENT: self.net.config.to_dict()}, provenance, torch.float16)


def _check_judged(part: str) -> None:
    """Raises InputError for a part that makes nothing for a discriminator to judge."""
    if part == "motion":
        raise InputError("a discriminator judges pictures; part motion makes none: leave --adversarial out.")


def face_weights(landmarks: Tensor, size: int, mouth: float, eyes: float) -> Tensor:
    """How much each pixel counts [B,1,S,S], mean 1, of landmarks [B,68,2] in shares of the crop: more under a bump over
    the mouth and over each eye, as wide as they are."""
    grid = (torch.arange(size, device=landmarks.device, dtype=landmarks.dtype) + 0.5) / size
    weights = torch.ones(len(landmarks), size, size, device=landmarks.device)
    for part, more, flat in ((MOUTH, mouth, 0.45), (RIGHT_EYE, eyes, 0.4), (LEFT_EYE, eyes, 0.4)):
        points = landmarks[:, part]
        centre = points.mean(1)
        width = (points[..., 0].amax(1) - points[..., 0].amin(1)).clamp(min=0.06)[:, None]
        dx, dy = (grid - centre[:, :1]) / (0.5 * width), (grid - centre[:, 1:]) / (flat * width)
        weights = weights + more * torch.exp(-dx.square() / 2)[:, None, :] * torch.exp(-dy.square() / 2)[:, :, None]
    return (weights / weights.mean((1, 2), keepdim=True))[:, None]


def unit(frames: Tensor) -> Tensor:
    """Bytes [B,H,W,3] -> 0..1 [B,3,H,W], in the order that convolutions like."""
    return rearrange(to_unit(frames), "b h w c -> b c h w")


def _rest(net: HolisticRenderer, seen: Seen) -> None:
    """An untrained extractor sees the mean face, at rest, in the middle."""
    extractor = net.motion_extractor
    heads = ("canonical", "expression", "translation", "scale")
    with torch.no_grad():
        for name in heads:
            head = getattr(extractor, name)
            head.weight.mul_(0.1)
            head.bias.copy_(getattr(seen, name).mean(0).flatten())
        for name in ("yaw", "pitch", "roll"):
            getattr(extractor, name).weight.mul_(0.1)
            getattr(extractor, name).bias.zero_()


def _placed(parts: Mapping[str, Tensor], turns: bool) -> Tensor:
    """Keypoints [B,K,3] of the parts of motion by their names."""
    canonical, expression, matrix, translation, scale = (parts[name] for name in PARTS)
    return place(canonical, expression, matrix, translation, scale, turns)


def _carrying(painted: Painted) -> tuple[Tensor, Tensor, Tensor]:
    """What was carried, painted, and the paint's share, of a decoder that carries, as those that are trained do."""
    carried, colours, paint = painted.carried, painted.colours, painted.paint
    assert carried is not None
    assert colours is not None
    assert paint is not None
    return carried, colours, paint
