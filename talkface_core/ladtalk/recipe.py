"""The recipe `wav2lip`: trains the generator that repaints the lower face so that it says the sound.

    python -m talkface_core train wav2lip --data SET/train --expert sync_tiny --out RUN

The published loss and schedule (Wav2Lip, Prajwal et al. 2020): (1 - s - g) L1 + s E_sync + g L_gen; s is 0 until the
frozen expert finds the outputs for other people in step well enough, then 0.03; g is 0.07 with the discriminator.
What `tiny` adds to it: training_presets.py.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn

from ..acoustic.encoded_ear import heard_settings
from ..acoustic.model import ACOUSTIC, AcousticModel, load_acoustic
from ..checkpoints import find_checkpoint, read_checkpoint, save_checkpoint
from ..datasets.sounds import SOUND_VERSIONS
from ..datasets.talking_faces import TalkingFaces, open_talking_faces
from ..device import channels_last
from ..errors import InputError
from ..faces.bundled import load_bundled
from ..faces.lip_reading import lip_losses, reader_crops
from ..faces.net import LandmarkNet
from ..faces.picture_loss import reconstruction, region_weights
from ..pixels import to_bytes, to_unit
from ..speech.mel_windows import FRAMES
from ..sync.syncnet import SyncNet, drawn_sync_loss, load_syncnet, lower_half
from ..training.arguments import add_batch_size, add_compile, add_preset
from ..training.recipe import Batch, Plan, Recipe
from . import quality_discriminator as quality
from .losses import Weights, adversarial, combined, discriminator_loss
from .model import hearing_of
from .training_batches import Wav2LipBatches, Wav2LipSampler
from .training_presets import BATCHES, EVAL_EVERY, STEPS, TRAINING, WEIGHTS
from .wav2lip import COMPONENT, SYSTEM, Wav2Lip, Wav2LipConfig

READ = 16
"""Single frames of a batch in which the lips are read."""
EVALUATED = 8  # windows of five frames


class SyncLossSwitch(nn.Module):
    """Whether the sync loss counts yet, kept with the weights so that a run resumes as it was."""

    sync_on: Tensor
    measured: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("sync_on", torch.zeros(()))
        self.register_buffer("measured", torch.full((), float("nan")))


class Wav2LipRecipe(Recipe):
    """Train a `Wav2Lip` on faces that talk against a frozen `expert` (None: without the sync loss) and a frozen
    landmark `reader` (None: without the lips' landmarks).

    `val` are other people: they decide when the sync loss begins to count, and are drawn in the samples.
    """

    name = "wav2lip"

    def __init__(
        self,
        data: TalkingFaces,
        expert: SyncNet | None = None,
        config: Wav2LipConfig | None = None,
        val: TalkingFaces | None = None,
        batches: Wav2LipBatches | None = None,
        weights: Weights | None = None,
        eval_every: int = 200,
        compile: bool = False,
        seed: int = 0,
        reader: LandmarkNet | None = None,
        acoustic: AcousticModel | None = None,
    ) -> None:
        self.acoustic = acoustic
        self.settings, self.weights = batches or Wav2LipBatches(), weights or WEIGHTS["tiny"]
        self.reader = reader.eval().requires_grad_(False) if reader is not None else None
        self.net = channels_last(Wav2Lip(config))
        config = self.net.config
        self.data, self.eval_every, self._compile = data.name, eval_every, compile
        self.expert = expert.eval().requires_grad_(False) if expert is not None else None
        shift = expert.config.mel_shift if expert is not None else 0.0
        self.config: Mapping[str, Any] = {
            "wav2lip": config.to_dict(),
            "expert": expert.config.to_dict() if expert is not None else None,
            "acoustic": heard_settings(acoustic),
            "batches": asdict(self.settings),
            "weights": asdict(self.weights),
            "eval_every": eval_every,
        }
        self.schedule = SyncLossSwitch()
        self._sync_counts: bool | None = None
        self.modules: dict[str, nn.Module] = {COMPONENT: self.net, "schedule": self.schedule}
        if self.weights.gan:
            preset = quality.QualityDiscriminatorConfig.preset("base" if config.patch == 1 else "tiny")
            self.discriminator = channels_last(quality.QualityDiscriminator(preset))
            self.modules[quality.COMPONENT] = self.discriminator
        if self.weights.heard:
            self.modules["readout"] = nn.Linear(config.speech[-1], 3)
        if config.acoustic != (acoustic.config.width if acoustic is not None else 0):
            raise InputError(
                f"a Wav2Lip of {config.acoustic} acoustic features needs an acoustic model that gives them."
            )
        self.sampler = Wav2LipSampler(data, self.settings, config.mel_shift, shift, seed, acoustic, config.also_mel)
        held_out = replace(
            Wav2LipBatches(EVALUATED, 0, self.settings.away, 0.0, 0.0, 1.0, 0.0, 0, 0, augment=False),
            references=config.references,
            same=0.0,
        )
        held = Wav2LipSampler(
            val or data, held_out, config.mel_shift, shift, acoustic=acoustic, also_mel=config.also_mel
        )
        self._held_out = held.batch(np.random.default_rng(0))
        # Batches are drawn where the device is not asked: the reader's mean face is taken before it moves.
        self._face = None if reader is None else reader.face.clone()
        self._predict, self._encode_speech = self.net.predict, self.net.encode_speech

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_preset(parser)
        add_batch_size(parser)
        add_compile(parser)
        parser.add_argument("--expert", metavar="NAME|FILE", default="sync_tiny", help="default: sync_tiny")
        parser.add_argument(
            "--acoustic", metavar="NAME|FILE", help="hear by this acoustic model (default: as --init does)"
        )
        parser.add_argument("--also-mel", action="store_true", help="with --acoustic: hear the log-mel beside it")

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        if args.also_mel and not args.acoustic:
            raise InputError("--also-mel is for lips that hear an acoustic model; give --acoustic too.")
        preset = args.preset
        config, batches = Wav2LipConfig.preset(preset), BATCHES[preset]
        begun = read_checkpoint(find_checkpoint(args.init)) if args.init else None
        acoustic = load_acoustic(args.acoustic) if args.acoustic else None
        if acoustic is not None:
            config = replace(config, acoustic=acoustic.config.width, also_mel=args.also_mel)
            if begun is not None and hearing_of(begun, config)[1].acoustic == 0:
                raise InputError(
                    f"--init {args.init}: its lips hear the log-mel and no acoustic model: train wav2lip-hearing "
                    "teaches them to, or leave --acoustic out."
                )
        elif begun is not None:
            acoustic, config = hearing_of(begun, config)
        expert = load_syncnet(args.expert)
        versions = SOUND_VERSIONS if batches.augment else 1
        data, val = open_talking_faces(args.data, config.size, args.cache, versions, args.seed, args.quiet)
        if args.batch_size:
            batches = replace(batches, windows=args.batch_size, singles=9 * args.batch_size if batches.singles else 0)
        if args.init:
            batches = replace(batches, alone=0)  # its speech encoder is trained already
        weights, every = WEIGHTS[preset], EVAL_EVERY[preset]
        reader = load_bundled(dtype=torch.float32).reader if weights.lips or weights.spread else None
        recipe = cls(data, expert, config, val, batches, weights, every, args.compile, args.seed, reader, acoustic)
        return Plan(recipe, TRAINING[preset], STEPS[preset])

    def prepare(self, device: torch.device) -> None:
        """Moves the expert and the held-out batch to the device and compiles the generator, where asked to."""
        if self.expert is not None:
            channels_last(self.expert.to(device))
        if self.reader is not None:
            channels_last(self.reader.to(device))
        self._held_out = {name: value.to(device) for name, value in self._held_out.items()}
        self._sync_counts = None
        if self._compile:
            self._predict = torch.compile(self.net.predict, dynamic=False)
            self._encode_speech = torch.compile(self.net.encode_speech, dynamic=False)

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        settings = self.settings
        if self._audio_only(step):
            return self.sampler.listen(rng, 2 * settings.listen)
        batch = self.sampler.batch(rng)
        if self._face is not None:
            batch["reader_crops"] = reader_crops(self._face, batch["landmarks"][-READ:], self.net.config.size)
        return batch

    def _audio_only(self, step: int) -> bool:
        return step < self.settings.alone and bool(self.weights.heard)

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The published sum, its parts, and s at this step."""
        if self._audio_only(step):
            # The other weights enter the loss times zero: the engine asks for a gradient of each.
            idle = 0 * sum(weight.sum() for module in self.modules.values() for weight in module.parameters())
            audio_loss, zero = self._audio_loss(batch), idle.detach()
            return {
                "loss": audio_loss + idle,
                "l1": zero,
                "sync": zero,
                "gan": zero,
                **({"carried": zero, "paint": zero} if self.net.config.flow else {}),
                **({"lips": zero, "spread": zero} if self.reader is not None else {}),
                "heard": audio_loss,
                "sync_weight": zero,
            }
        if self.expert is not None and step % self.eval_every == 0:
            self._measure()
        real, references = _pixels(batch["faces"]), _pixels(batch["references"])
        predicted = self._predict(real, references, batch["windows"])
        weights = self.weights
        with torch.autocast(predicted.device.type, enabled=False):
            output = self.net.composite(predicted, real, references)
            generated = output.frames
            count = None
            if weights.mouth or weights.upper != 1:
                count = region_weights(batch["landmarks"], generated.shape[-1], weights.mouth, weights.upper)
            l1 = reconstruction(generated, real, count, weights.detail)
            zero = l1.new_zeros(())
            losses = {"l1": l1, "sync": zero, "gan": zero}
            if self.net.config.flow:
                losses["carried"] = reconstruction(output.carried, real, count, weights.detail)
                losses["paint"] = lower_half(output.mask).mean()
        share = weights.sync * self.schedule.sync_on.to(l1.device)
        if self.expert is not None and self.settings.windows:
            with torch.set_grad_enabled(self._counts(step)):
                losses["sync"] = self._sync(generated, batch["sync"])
        if weights.gan:
            losses["gan"] = adversarial(self.discriminator, generated)
        if self.reader is not None:
            few = slice(-READ, None)
            losses["lips"], losses["spread"] = lip_losses(self.reader, generated[few], real[few], batch["reader_crops"])
        total = combined(l1, losses["sync"], losses["gan"], share, weights.gan)
        for name in ("carried", "paint", "lips", "spread"):
            if name in losses:
                total = total + getattr(weights, name) * losses[name]
        if weights.heard:
            losses["heard"] = self._audio_loss(batch)
            total = total + weights.heard * losses["heard"]
        if weights.gan:
            # One step serves both networks: each loss has a gradient for its own weights alone.
            losses["judge"] = discriminator_loss(self.discriminator, generated, real)
            total = total + losses["judge"]
        return {"loss": total, **losses, "sync_weight": share}

    def _counts(self, step: int) -> bool:
        """Whether the sync loss counts: looked up when it was measured and once in a sitting, since that waits for the
        device."""
        if self._sync_counts is None or step % self.eval_every == 0:
            self._sync_counts = bool(self.schedule.sync_on > 0)
        return self._sync_counts

    def _audio_loss(self, batch: Batch) -> Tensor:
        vectors = self._encode_speech(batch["heard"]).flatten(1)
        return F.mse_loss(self.modules["readout"](vectors).float(), batch["lips"])

    def _sync(self, generated: Tensor, windows: Tensor) -> Tensor:
        return drawn_sync_loss(self.expert, generated[: len(windows) * FRAMES], windows)

    @torch.no_grad()
    def _measure(self) -> None:
        """Measure the sync loss on people held out; once below the threshold it counts for good."""
        training = self.net.training
        self.net.eval()
        held_out = self._held_out
        generated = self.net(_pixels(held_out["faces"]), _pixels(held_out["references"]), held_out["windows"])
        self.net.train(training)
        loss = self._sync(generated.float(), held_out["sync"]).float()
        self.schedule.measured.copy_(loss)
        self.schedule.sync_on.clamp_(min=(loss < self.weights.threshold).to(loss.dtype))

    @torch.no_grad()
    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8]:
        """Of people held out: the references, what was made, and the truth, one below the other."""
        net, held_out = modules[COMPONENT], self._held_out
        chosen = torch.arange(EVALUATED) * FRAMES + FRAMES // 2
        generated = net(*(_pixels(held_out[k][chosen]) for k in ("faces", "references")), held_out["windows"][chosen])
        shown = held_out["references"][chosen]
        rows = [*shown.unbind(1), _bytes(generated), held_out["faces"][chosen]]
        return rearrange(torch.stack(rows).cpu(), "r n h w c -> (r h) (n w) c").numpy()

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        net = cast(Wav2Lip, ema_modules[COMPONENT])
        schedule = cast(SyncLossSwitch, ema_modules["schedule"])
        loss = float(schedule.measured)  # NaN until it is measured
        measured = {"measured": {"sync_loss": round(loss, 4)}} if math.isfinite(loss) else {}
        parts: dict[str, Wav2Lip | AcousticModel] = {COMPONENT: net}
        if self.acoustic is not None:
            parts[ACOUSTIC.name] = self.acoustic
        configs = {name: part.config.to_dict() for name, part in parts.items()}
        save_checkpoint(path, SYSTEM, parts, configs, {**provenance, **measured}, torch.float16)


def _pixels(frames: Tensor) -> Tensor:
    """uint8 [...,H,W,3] -> float [...,3,H,W] in 0..1."""
    return rearrange(to_unit(frames), "... h w c -> ... c h w")


def _bytes(pixels: Tensor) -> Tensor:
    return rearrange(to_bytes(pixels), "n c h w -> n h w c")
