"""Stage 4 of training: completion and denoiser together, judged by the picture (recipe `landmark-end-to-end`).

    python -m talkface_core train landmark-end-to-end --data SET/train --completion FILE --painter FILE --out RUN

Source: Zhong et al. 2024, whose point this is: a gradient runs from the picture back to the landmarks, so that errors
of one do not add up with the other's. How the sync signal enters is not published; here, after LatentSync (Li et al.
2024): five frames share time step and noise, the one-step estimate of x_0 is decoded, and a frozen lip expert (Wav2Lip)
looks at the lower halves, weighted by the signal's share of x_t, since the estimate is poor under much noise. The
decoder is trained along, for it now sees such estimates; the encoder stays, or the latent space would move. In the
space of Stable Diffusion's VAE both stay.
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

from ...acoustic.model import ACOUSTIC, AcousticModel
from ...acoustic.training_features import heard_features
from ...checkpoints import save_checkpoint
from ...components import build
from ...datasets.talking_faces import TalkingFaces, open_talking_faces
from ...device import channels_last
from ...diffusion.parameterisation import diffuse, to_x0_eps
from ...faces.bundled import load_bundled
from ...faces.lip_reading import lip_losses, reader_crops
from ...faces.net import LandmarkNet
from ...faces.picture_loss import reconstruction, region_weights
from ...speech.mel_windows import FRAMES
from ...sync.syncnet import SyncNet, drawn_sync_loss, load_syncnet
from ...training.arguments import add_batch_size, add_preset
from ...training.config import TrainConfig
from ...training.recipe import Batch, Plan, Recipe
from ...training.texture_loss import TextureLoss
from .. import autoencoder as latent
from .. import completion as words
from .. import denoiser
from ..autoencoder import ReferenceAutoencoder
from ..completion import COMPLETION, LandmarkCompletion
from ..denoiser import LandmarkDenoiser, inpainted
from ..kl_autoencoder import kl_space, read_kl_autoencoder
from ..landmarks import SYSTEM, pick
from ..latent_space import LatentSpace, known_part
from ..model import build_painter
from ..painter import TalkFormerModel
from ..reposing import repose
from .completion_losses import CompletionWeights, completion_losses, sum_of
from .picture_batches import PictureBatches, PictureSampler
from .recipe_autoencoder import ENCODER, signed
from .recipe_diffusion import drawn_noise, painted_rows, reference_condition
from .stage_files import read_stages

TRAINING = {
    "tiny": TrainConfig(
        lr=3e-4,
        schedule="cosine",
        warmup=50,
        final_lr=0.05,
        beta2=0.99,
        weight_decay=1e-3,
        ema_decay=0.995,
        precision="auto",
    ),
    "base": TrainConfig(lr=1e-5, warmup=500, ema_decay=0.999, precision="auto"),
}
BATCHES = {
    "tiny": PictureBatches(windows=3, singles=4, stills=0, augment=False),
    "base": PictureBatches(windows=8, singles=16, stills=0, augment=False),
}
STEPS = {"tiny": 1000, "base": 50_000}


@dataclass(frozen=True)
class EndToEndLoss:
    """Weights: latents, of the denoiser's own loss; picture, of the decoded estimate against the truth; texture, of
    contrasts as strong as the real ones; sync, of the lip expert; lips, of the landmarks that a frozen reader finds in
    it; spread, of how its openings are distributed; landmarks, of the completion's own losses. noise_bias, mouth,
    detail: as in the stages before."""

    latents: float = 0.3
    picture: float = 1.0
    sync: float = 0.02
    texture: float = 0.02
    lips: float = 0.03
    spread: float = 0.01
    landmarks: float = 0.05
    noise_bias: float = 1.0
    mouth: float = 4.0
    detail: float = 0.4


class EndToEndRecipe(Recipe):
    """Trains a `LandmarkCompletion`, a `LandmarkDenoiser` and the decoder together; the acoustic model, the encoder,
    the lip `expert` (None: without its loss) and the landmark `reader` (None: without it) are frozen."""

    name = "landmark-end-to-end"

    def __init__(
        self,
        data: TalkingFaces,
        completion: LandmarkCompletion,
        acoustic: AcousticModel,
        painter: TalkFormerModel,
        expert: SyncNet | None = None,
        reader: LandmarkNet | None = None,
        val: TalkingFaces | None = None,
        batches: PictureBatches | None = None,
        weights: EndToEndLoss | None = None,
        variants: int = 2,
        seed: int = 0,
    ) -> None:
        self.completion, self.acoustic = completion.requires_grad_(True), acoustic.eval().requires_grad_(False)
        self.talkformer = channels_last(painter.talkformer.train_all())
        self.autoencoder = channels_last(painter.autoencoder)
        self._decodes = isinstance(self.autoencoder, ReferenceAutoencoder)  # another's decoder stays as it is
        self.autoencoder.requires_grad_(self._decodes)
        for name in ENCODER if self._decodes else ():
            getattr(self.autoencoder, name).requires_grad_(False)
        self.expert = None if expert is None else expert.eval().requires_grad_(False)
        self.reader = None if reader is None else reader.eval().requires_grad_(False)
        self._texture = TextureLoss(structure=0.0)
        # Batches are drawn where the device is not asked: the reader's mean face is taken before it moves.
        self._face = None if reader is None else reader.face.clone()
        settings, shown = batches or PictureBatches(windows=3, singles=4), self.autoencoder.references
        self.settings = replace(settings, references=shown)
        self.weights, self.data = weights or EndToEndLoss(), data.name
        self.modules: dict[str, nn.Module] = {
            words.COMPONENT: self.completion,
            denoiser.COMPONENT: self.talkformer,
        }
        if self._decodes:
            self.modules[latent.COMPONENT] = self.autoencoder
        shift = expert.config.mel_shift if expert is not None else 0.0
        self.sampler = PictureSampler(data, self.settings, None, shift)
        lengths = data.lengths.tolist()
        speech = None if data.speech is None else [data.speech[data.clip(c)] for c in range(len(lengths))]
        self._heard = heard_features(acoustic, data.mels, lengths, speech, variants, seed)
        self._points = torch.from_numpy((data.landmarks - data.pad) / data.size)
        self.config: Mapping[str, Any] = {
            words.COMPONENT: completion.config.to_dict(),
            denoiser.COMPONENT: self.talkformer.config.to_dict(),
            latent.COMPONENT: self.autoencoder.settings(),
            "batches": asdict(self.settings),
            "weights": asdict(self.weights),
        }
        plain = replace(self.settings, windows=0, singles=8, any=0.0, same=0.0, speaking=1.0, augment=False)
        self._held_out = PictureSampler(val or data, plain).batch(np.random.default_rng(0))

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_preset(parser)
        add_batch_size(parser)
        parser.add_argument("--completion", metavar="FILE", required=True, help="what landmark-completion trained")
        parser.add_argument("--painter", metavar="FILE", required=True, help="what landmark-diffusion trained")
        parser.add_argument("--vae", metavar="FILE", help="Stable Diffusion's VAE, for a painter trained in its space")
        parser.add_argument("--expert", metavar="NAME|FILE", default="sync_tiny", help="default: sync_tiny")

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        batches = BATCHES[args.preset]
        if args.batch_size:
            batches = replace(batches, windows=args.batch_size, singles=args.batch_size)
        completion, painter = read_stages(args.completion, args.painter)
        model = build_painter(painter, space=None if args.vae is None else kl_space(read_kl_autoencoder(args.vae)))
        data, val = open_talking_faces(args.data, model.autoencoder.size, args.cache, seed=args.seed, quiet=args.quiet)
        recipe = cls(
            data,
            build(completion, COMPLETION),
            build(completion, ACOUSTIC),
            model,
            load_syncnet(args.expert),
            load_bundled(dtype=torch.float32).reader,
            val,
            batches,
            seed=args.seed,
        )
        return Plan(recipe, TRAINING[args.preset], STEPS[args.preset])

    def prepare(self, device: torch.device) -> None:
        """Moves the frozen networks to the device."""
        for net in (self.expert, self.reader, None if self._decodes else self.autoencoder):
            if net is not None:
                channels_last(net.to(device))

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        """What `PictureSampler` draws, and of each window of five frames the second around it: audio [W,T,A],
        around [W,T,68,2], its landmarks, shown [W,N,68,2], references for the completion, inside [W], where the five
        begin in it."""
        batch = self.sampler.batch(rng)
        parts = [self._around(int(c), int(f), rng) for c, f in zip(batch["clips"], batch["frames"], strict=True)]
        for name, part in zip(("audio", "around", "shown", "inside"), zip(*parts, strict=True), strict=True):
            batch[name] = torch.stack(part)
        windows = len(parts)
        noises = drawn_noise(self.talkformer.config, len(batch["faces"]), self.weights.noise_bias, rng)
        for n in range(windows):  # five frames share step and noise
            own = slice(n * FRAMES, (n + 1) * FRAMES)
            for values in noises.values():
                values[own] = values[n * FRAMES].clone()
        batch |= noises
        if self._face is not None:
            size = self.autoencoder.size
            batch["reader_crops"] = reader_crops(self._face, batch["landmarks"] * size, size)
        return batch

    def _around(self, clip: int, begin: int, rng: np.random.Generator) -> tuple[Tensor, ...]:
        frames, references = self.completion.config.frames, self.completion.config.references
        first, length = int(self.sampler.data.starts[clip]), int(self.sampler.data.lengths[clip])
        start = int(np.clip(begin + FRAMES // 2 - frames // 2, 0, max(length - frames, 0)))
        at = np.clip(start + np.arange(frames), 0, length - 1)
        away = np.flatnonzero(np.abs(np.arange(length) - begin) >= self.settings.away + frames // 2)
        chosen = rng.choice(away if len(away) else length, references)
        return (
            self._heard.of(clip, at, rng),
            self._points[first + at],
            self._points[first + chosen],
            torch.tensor(begin - start),
        )

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The terms and their weighted sum."""
        weights, windows = self.weights, len(batch["audio"])
        count = windows * FRAMES
        faces, references = signed(batch["faces"]), signed(batch["references"])
        completed, losses = self._completed(batch)
        landmarks = torch.cat([completed, batch["landmarks"][count:]])
        with torch.no_grad():
            x0, known = self.autoencoder.encode(torch.cat([faces, known_part(faces)])).float().chunk(2)
        maps, latents = self.autoencoder.reference_latents(references, batch["reference_landmarks"])
        x_t = diffuse(inpainted(x0, known), batch["eps"], batch["alpha"], batch["sigma"])
        condition = reference_condition(self.talkformer, landmarks, latents, batch["reference_landmarks"])
        out = self.talkformer(x_t, batch["t"], known, condition).float()
        estimate, _ = to_x0_eps(self.talkformer.config.prediction, out, x_t, batch["alpha"], batch["sigma"])
        decoded = self.autoencoder.decode(inpainted(estimate, known), known_part(faces), landmarks, maps)
        with torch.autocast(faces.device.type, enabled=False):
            half, size = x0.shape[-2] // 2, faces.shape[-1]
            losses["latents"] = (estimate - x0).square()[..., half:, :].mean()
            each = region_weights(batch["landmarks"] * size, size, weights.mouth, 0.0)
            losses["picture"] = reconstruction(decoded.pictures, faces, each, weights.detail)
            made, real = decoded.pictures.float() / 2 + 0.5, faces / 2 + 0.5
            losses["sync"] = self._sync(made[:count], batch["sync"], batch["alpha"][:count:FRAMES])
            losses["lips"] = losses["spread"] = made.new_zeros(())
            if self.reader is not None:
                losses["lips"], losses["spread"] = lip_losses(self.reader, made, real, batch["reader_crops"])
            lower = slice(size // 2, None)
            losses["texture"] = self._texture(decoded.pictures[:, :, lower].float(), faces[:, :, lower])
            names = ("latents", "picture", "texture", "sync", "lips", "spread", "landmarks")
            total = sum(getattr(weights, name) * losses[name] for name in names)
        return {"loss": total, **losses}

    def _completed(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """Landmarks of the windows' frames [5 W,68,2] as the completion tells them, and its own loss.

        It is shown one pose for the whole window, that of the pictures' middle, and what it says is moved to each
        frame's own: a head moves with its footage's words, which could be read off the pose instead of the sound.
        """
        net, weights, around = self.completion, CompletionWeights(), batch["around"]
        known, windows = net.landmarks, torch.arange(len(around), device=around.device)[:, None]
        index = batch["inside"][:, None] + torch.arange(FRAMES, device=around.device)
        held = around[windows, index[:, FRAMES // 2 :][:, :1]].expand_as(around)
        motion, rest = net.motion(batch["audio"], held, batch["shown"])
        said = repose(rest + motion, pick(held, known.stable), pick(around, known.stable))
        truth = pick(around, known.content)
        terms = completion_losses(said, truth, torch.ones_like(truth[..., 0, 0]), known, weights)
        completed = net.place(around, said)[windows, index]
        return rearrange(completed, "w f n d -> (w f) n d"), {"landmarks": sum_of(terms, weights)}

    def _sync(self, made: Tensor, windows: Tensor, alpha: Tensor) -> Tensor:
        """The lip expert's loss on windows of five pictures [5 W,3,S,S] in 0..1, each weighted by its signal's
        share."""
        if self.expert is None:
            return made.new_zeros(())
        return drawn_sync_loss(self.expert, made, windows, alpha.square())

    @torch.no_grad()
    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8]:
        """Of people held out: both references, what was painted under true landmarks, and the truth."""
        space = cast(LatentSpace, modules.get(latent.COMPONENT, self.autoencoder))
        model = TalkFormerModel(space, cast(LandmarkDenoiser, modules[denoiser.COMPONENT]))
        return painted_rows(model, self._held_out)

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        """All of the system but the voice activity gate."""
        parts: dict[str, Any] = {**ema_modules, ACOUSTIC.name: self.acoustic}
        configs = {name: part.config.to_dict() for name, part in parts.items()}
        save_checkpoint(path, SYSTEM, parts, configs, provenance, torch.float16)
