"""The codebook, last stage: the network of detail, against a discriminator (recipe `see-the-speaker-codebook-detail`).

    python -m talkface_core train see-the-speaker-codebook-detail --data SET/train --codebook STAGE3 --out RUN4

Source: CodeFormer (Zhou et al. 2022) has a discriminator in each of its stages; here one stage has it, so that the
others stay what errors made them. What the trained codebook decodes is as soft as squared errors leave it. The mean
absolute error keeps detail in its place, the contrasts of a Laplacian pyramid ask for as much of it as is real
(training/texture_loss.py), which dots would satisfy, so a patch discriminator says what faces look like
(training/adversarial.py). Whole faces are decoded, and learnt from in squares about mouth, eyes and anywhere.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from ...checkpoints import find_checkpoint, read_checkpoint, save_checkpoint
from ...components import build
from ...datasets.clips import open_splits
from ...device import channels_last
from ...errors import InputError
from ...faces.squares import draw_corners, squares
from ...subpixel import SubpixelConfig
from ...training.adversarial import AdversarialLoss, PatchDiscriminator, PatchDiscriminatorConfig
from ...training.arguments import add_batch_size, add_preset
from ...training.config import TrainConfig
from ...training.recipe import Batch, Plan, Recipe
from ...training.texture_loss import TextureLoss
from ..codebook import CODEBOOK, COMPONENT, CodebookDecoder, CodebookDecoderConfig
from ..system import SYSTEM
from .codebook_batches import CodebookBatches, CodebookSampler, Portraits
from .codebook_rendered import RenderedPairs, rendered_pairs
from .recipe_codebook import drawn_fidelity
from .recipe_codebook_vq import add_pictures, read_pictures, sheet, signed

JUDGE = "judge"
TRAINING = TrainConfig(
    lr=1e-3, schedule="cosine", warmup=50, final_lr=0.02, beta2=0.99, ema_decay=0.995, precision="auto"
)
DETAIL = {"tiny": CodebookDecoderConfig.preset("tiny").detail, "base": SubpixelConfig(wide=256, deep=8, fine=128)}
FACES = {"tiny": 4, "base": 16}
STEPS = {"tiny": 4000, "base": 150_000}
SHOWN = 6


@dataclass(frozen=True)
class DetailTraining:
    """`squares` of `side` pixels of the soft picture from each face: shares `mouth` and `eyes` of them about these, the
    others anywhere; `faithful`: see `CodebookLoss`; `l1` and `perceptual`: weights of the losses."""

    squares: int = 3
    side: int = 48
    mouth: float = 0.4
    eyes: float = 0.3
    faithful: float = 0.6
    l1: float = 2.0
    perceptual: float = 1.0
    texture: TextureLoss = field(default_factory=lambda: TextureLoss(energy=1.0, finest=0.0))
    adversarial: AdversarialLoss = field(default_factory=lambda: AdversarialLoss(judge=0.03, matching=0.3, start=300))


class DetailRecipe(Recipe):
    """Trains the `detail` of a `CodebookDecoder` whose other weights stay."""

    name = "see-the-speaker-codebook-detail"

    def __init__(
        self,
        films: Portraits,
        data: str,
        codebook: CodebookDecoder,
        judge: PatchDiscriminatorConfig,
        stills: Portraits | None = None,
        batches: CodebookBatches | None = None,
        training: DetailTraining | None = None,
        rendered: RenderedPairs | None = None,
    ) -> None:
        """`data` names the set. Raises InputError for a codebook without a network of detail, and where squares are
        larger than its pictures."""
        self.data, self.training, self.net = data, training or DetailTraining(), channels_last(codebook)
        config = codebook.config
        if codebook.detail is None:
            raise InputError("the codebook has no network of detail in its settings, which is what learns here.")
        if not 0 < self.training.side <= config.input_size:
            raise InputError(f"squares of {self.training.side} px out of pictures of {config.input_size} px.")
        self.net.requires_grad_(False)
        codebook.detail.requires_grad_(True)
        self.judge = channels_last(PatchDiscriminator(judge))
        self.modules: dict[str, nn.Module] = {COMPONENT: self.net, JUDGE: self.judge}
        self.sampler = CodebookSampler(films, stills, config.input_size, batches or CodebookBatches(), rendered)
        self.config: Mapping[str, Any] = {
            COMPONENT: config.to_dict(),
            "batches": asdict(self.sampler.settings),
            "training": asdict(self.training),
            JUDGE: judge.to_dict(),
            "stills": 0 if stills is None else len(stills.frames),
            "rendered": 0 if rendered is None else len(rendered.real),
        }

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_preset(parser)
        add_batch_size(parser)
        add_pictures(parser)
        parser.add_argument(
            "--codebook", metavar="NAME|FILE", required=True, help="what see-the-speaker-codebook --fuse trained"
        )
        parser.add_argument("--renderer", metavar="NAME|FILE", help="a share of the inputs as this renderer draws them")

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        codebook = with_detail(build(read_checkpoint(find_checkpoint(args.codebook)), CODEBOOK), DETAIL[args.preset])
        config = codebook.config
        size, soft = config.autoencoder.image_size, config.input_size
        films, stills, data = read_pictures(args, size)
        rendered = None
        if args.renderer:
            clips, _ = open_splits(args.data)
            rendered = rendered_pairs(clips, args.renderer, size, soft, args.every, args.cache, args.quiet)
        batches = CodebookBatches(size=args.batch_size or FACES[args.preset])
        training = DetailTraining(side=min(DetailTraining.side, soft))
        judge = PatchDiscriminatorConfig.preset(args.preset)
        recipe = cls(films, data, codebook, judge, stills, batches, training, rendered)
        return Plan(recipe, TRAINING, STEPS[args.preset])

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        """What the sampler draws, and `corners` int64 [B, squares, 2], x and y in pixels of the soft picture."""
        batch, settings, size = self.sampler.batch(rng), self.training, self.net.config.input_size
        points = batch["landmarks"].numpy() / self.net.config.scale
        where = (settings.squares, settings.side, size, settings.mouth, settings.eyes)
        return {**batch, "corners": torch.from_numpy(draw_corners(points, *where, rng))}

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Mean absolute error, the texture's, and the discriminator's terms."""
        net, settings = self.net, self.training
        real, soft = signed(batch["real"]), signed(batch["soft"])
        fidelity = drawn_fidelity(batch, settings.faithful).to(net.dtype)
        with torch.no_grad():
            latent, maps = net.encode(soft)
            z_q = net.vectors(net.predictor(latent).float(), net.guess(latent))
            decoded = net.decode(z_q, soft, maps, fidelity).float()
        corners, side, scale = batch["corners"], settings.side, net.config.scale
        decoded, real = (squares(pictures, corners, side, scale) for pictures in (decoded, real))
        each = fidelity.repeat_interleave(settings.squares, 0)
        made = net.detailed(decoded, squares(soft, corners, side), each).float()
        losses = {"l1": (made - real).abs().mean(), "perceptual": settings.texture(made, real)}
        picture = settings.l1 * losses["l1"] + settings.perceptual * losses["perceptual"]
        against, terms = settings.adversarial(self.judge, made, real, step)
        return {"loss": picture + against, **losses, **terms}

    @torch.no_grad()
    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8]:
        """Pictures of the set: the soft input enlarged, by the codes alone, with all of the input, the truth."""
        draw = CodebookSampler(self.sampler.films, None, self.sampler.soft, replace(self.sampler.settings, size=SHOWN))
        batch, net = draw.batch(np.random.default_rng(0)), modules[COMPONENT]
        soft, real = signed(batch["soft"]).to(next(net.parameters()).device), signed(batch["real"])
        big = F.interpolate(soft, real.shape[-1], mode="bicubic", align_corners=False)
        return sheet([big, net(soft, 0.0).pictures, net(soft, 1.0).pictures, real])

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        net = ema_modules[COMPONENT]
        save_checkpoint(path, SYSTEM, {COMPONENT: net}, {COMPONENT: self.net.config.to_dict()}, provenance)


def with_detail(codebook: CodebookDecoder, detail: SubpixelConfig | None) -> CodebookDecoder:
    """The same codebook with a network of detail of these settings, fresh unless it has such a one."""
    if codebook.config.detail == detail:
        return codebook
    net = CodebookDecoder(replace(codebook.config, detail=detail))
    kept = {name: value for name, value in codebook.state_dict().items() if not name.startswith("detail.")}
    net.load_state_dict({**net.state_dict(), **kept})
    return net
