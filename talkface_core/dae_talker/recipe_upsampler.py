"""Stage 3 of training: the upsampler, on what the frozen autoencoder makes of frames beside the frames themselves.

Source: ours. The mean absolute error alone would leave skin, lashes and teeth as soft as they come; the contrasts of a
Laplacian pyramid ask for as much texture at each place as is real (training/texture_loss.py), and would be content with
dots; so a patch discriminator, which has seen one person alone, says what hers looks like (training/adversarial.py).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor, nn

from ..checkpoints import find_checkpoint, read_checkpoint, save_checkpoint
from ..components import build
from ..datasets.clips import ClipSet, open_splits
from ..device import channels_last
from ..errors import InputError
from ..faces.squares import draw_corners
from ..pixels import signed_to_unit, to_bytes, to_signed
from ..training.adversarial import AdversarialLoss, PatchDiscriminator, PatchDiscriminatorConfig
from ..training.arguments import add_batch_size, add_preset
from ..training.config import TrainConfig
from ..training.frame_cache import CacheKey, cached_frames, stats
from ..training.recipe import Batch, Plan, Recipe
from ..training.texture_loss import TextureLoss
from .autoencoder import AutoencoderConfig
from .decode import decode, encode, noise_from_seed
from .model import AUTOENCODER, COMPONENTS, SYSTEM, load_autoencoder
from .upsampler import UPSAMPLER, Upsampler, UpsamplerConfig


@dataclass(frozen=True)
class UpsamplerTraining:
    """Batches of `batch_size` squares of `side` pixels of the small frames: shares `mouth` and `eyes` of them about
    these, the others anywhere. `every`: of how many frames of a clip one is taken. `l1` and `perceptual` are weights
    of the losses; `adversarial` are the discriminator's terms."""

    batch_size: int = 8
    side: int = 48
    mouth: float = 0.4
    eyes: float = 0.25
    every: int = 10
    l1: float = 2.0
    perceptual: float = 1.0
    texture: TextureLoss = field(default_factory=lambda: TextureLoss(energy=1.0, finest=0.0))
    adversarial: AdversarialLoss = field(default_factory=lambda: AdversarialLoss(judge=0.03, matching=0.3, start=300))


TRAINING = TrainConfig(
    lr=1e-3, schedule="cosine", warmup=50, final_lr=0.02, beta2=0.99, ema_decay=0.995, precision="auto"
)
STEPS = {"tiny": 3000, "base": 100_000}
_ENCODED_AT_ONCE = 16


class UpsamplerRecipe(Recipe):
    """Trains `Upsampler` on pairs: `small` uint8 [N, S, S, 3] as decoded, `large` [N, F S, F S, 3] as they are."""

    name = "dae-talker-upsampler"

    def __init__(
        self,
        small: NDArray[np.uint8],
        large: NDArray[np.uint8],
        landmarks: NDArray[np.floating],
        config: UpsamplerConfig,
        training: UpsamplerTraining | None = None,
        frozen: Mapping[str, nn.Module] | None = None,
        frozen_configs: Mapping[str, Mapping[str, Any]] | None = None,
        data: str = "frames",
        discriminator: PatchDiscriminatorConfig | None = None,
    ) -> None:
        """`landmarks` [N, 68, 2] are shares of the frame. `frozen`: the other components of the checkpoint
        whose frames `small` are. Raises InputError where frames are not of the config's sizes."""
        self.small, self.large, self.landmarks = small, large, landmarks
        self.settings, self.training, self.data = config, training or UpsamplerTraining(), data
        self.frozen, self.frozen_configs = dict(frozen or {}), dict(frozen_configs or {})
        for frames, side in ((small, config.image_size), (large, config.output_size)):
            if frames.shape[1:] != (side, side, 3):
                raise InputError(f"frames of shape {list(frames.shape[1:])}; the upsampler needs [{side}, {side}, 3].")
        self.upsampler = channels_last(Upsampler(config))
        judge = discriminator or PatchDiscriminatorConfig.preset("tiny")
        self.discriminator = channels_last(PatchDiscriminator(judge))
        self.modules: dict[str, nn.Module] = {UPSAMPLER.name: self.upsampler, "judge": self.discriminator}
        self.config: Mapping[str, Any] = {
            "upsampler": config.to_dict(),
            "training": asdict(self.training),
            "judge": judge.to_dict(),
            "frames": len(small),
        }

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_preset(parser)
        add_batch_size(parser)
        parser.add_argument("--talker", metavar="NAME|FILE", help="the DAE-Talker whose frames are enlarged")

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        if args.talker is None:
            raise InputError("dae-talker-upsampler needs --talker: the checkpoint whose frames are to be enlarged")
        (clips, _), training = open_splits(args.data), UpsamplerTraining()
        training = replace(training, batch_size=args.batch_size or training.batch_size)
        talker = read_checkpoint(find_checkpoint(args.talker), SYSTEM)
        size = talker.config(AUTOENCODER.name, AutoencoderConfig).image_size
        kept = {name: build(talker, COMPONENTS[name]) for name in talker.configs if name != UPSAMPLER.name}
        kept_configs = {name: talker.configs[name] for name in kept}
        config = replace(UpsamplerConfig.preset(args.preset), image_size=size)
        training = replace(training, side=min(training.side, config.image_size))
        frames = frames_of(clips, config.output_size, training.every, args.cache, args.quiet)
        decoded = decoded_frames(frames, args.talker, clips, training.every, args.device, args.cache, args.quiet)
        landmarks = clips.landmarks[chosen_frames(clips, training.every)]
        recipe = cls(
            decoded,
            frames,
            landmarks,
            config,
            training,
            frozen=kept,
            frozen_configs=kept_configs,
            data=clips.name,
            discriminator=PatchDiscriminatorConfig.preset(args.preset),
        )
        return Plan(recipe, TRAINING, STEPS[args.preset])

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        """Squares small uint8 [B, s, s, 3] and large [B, F s, F s, 3] of the same places."""
        settings, factor, size = self.training, self.settings.factor, self.settings.image_size
        side = settings.side
        rows = np.sort(rng.integers(0, len(self.small), settings.batch_size))
        corners = draw_corners(self.landmarks[rows] * size, 1, side, size, settings.mouth, settings.eyes, rng)[:, 0]
        small, large = (
            [frames[row, f * y :, f * x :][: f * side, : f * side] for row, (x, y) in zip(rows, corners, strict=True)]
            for frames, f in ((self.small, 1), (self.large, factor))
        )
        return {"small": torch.from_numpy(np.stack(small)), "large": torch.from_numpy(np.stack(large))}

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Mean absolute error, the texture's, and the discriminator's terms."""
        w = self.training
        small, real = (rearrange(to_signed(batch[name]), "b h w c -> b c h w") for name in ("small", "large"))
        generated = self.upsampler(small.contiguous(memory_format=torch.channels_last)).float()
        losses = {"l1": (generated - real).abs().mean(), "perceptual": w.texture(generated, real)}
        picture = w.l1 * losses["l1"] + w.perceptual * losses["perceptual"]
        against, terms = w.adversarial(self.discriminator, generated, real, step)
        return {"loss": picture + against, **losses, **terms}

    @torch.no_grad()
    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8]:
        """Four frames: as they come in, as they go out, as they are."""
        chosen = np.linspace(0, len(self.small) - 1, 4).astype(int)
        net, size = modules[UPSAMPLER.name], self.settings.output_size
        device = next(net.parameters()).device
        small = rearrange(to_signed(torch.from_numpy(self.small[chosen]).to(device)), "n h w c -> n c h w")
        made = rearrange(to_bytes(signed_to_unit(net(small))), "n c h w -> n h w c").cpu().numpy()
        before = np.stack([cv2.resize(frame, (size, size)) for frame in self.small[chosen]])
        return rearrange(np.stack([before, made, self.large[chosen]]), "r n h w c -> (r h) (n w) c")

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        """The whole system: the frozen components and the upsampler."""
        components = {**self.frozen, UPSAMPLER.name: ema_modules[UPSAMPLER.name]}
        configs: dict[str, Any] = {UPSAMPLER.name: self.settings.to_dict(), **self.frozen_configs}
        save_checkpoint(path, SYSTEM, components, configs, provenance)


def chosen_frames(clips: ClipSet, every: int) -> NDArray[np.int64]:
    """Numbers, in the set's long list, of one frame of so many of each clip."""
    return np.flatnonzero(clips.frame_of % every == 0)


def frames_of(clips: ClipSet, size: int, every: int, cache_dir: Path, quiet: bool = False) -> NDArray[np.uint8]:
    """One frame of so many of each clip, area-resized: a memory map, uint8 [N, size, size, 3]."""
    chosen = chosen_frames(clips, every)

    def frames() -> Iterator[NDArray[np.uint8]]:
        for clip in clips.clips:
            for number, frame in enumerate(clip.decode()):
                if number % every == 0:
                    yield cv2.resize(frame, (size, size), interpolation=cv2.INTER_AREA)

    key = CacheKey("some", clips.folder, (size, every), [stats(clip.video for clip in clips.clips)])
    return cached_frames(key, cache_dir, (len(chosen), size, size, 3), frames, f"{clips.name} at {size} px", quiet)


def decoded_frames(
    frames: NDArray[np.uint8],
    talker: str,
    clips: ClipSet,
    every: int,
    device: str,
    cache_dir: Path,
    quiet: bool = False,
) -> NDArray[np.uint8]:
    """What the checkpoint's autoencoder makes of frames uint8 [N, H, H, 3] of the clips: a memory map [N, S, S, 3]."""
    model = load_autoencoder(talker, device)
    size = model.config.image_size

    def decoded() -> Iterator[NDArray[np.uint8]]:
        noise = noise_from_seed(model, 0)
        for start in range(0, len(frames), _ENCODED_AT_ONCE):
            part = [
                cv2.resize(f, (size, size), interpolation=cv2.INTER_AREA)
                for f in frames[start : start + _ENCODED_AT_ONCE]
            ]
            latents = torch.cat(list(encode(model, [torch.from_numpy(np.stack(part))])))
            yield from torch.cat(list(decode(model, latents, noise))).cpu().numpy()

    content = [stats(clip.video for clip in clips.clips), stats([find_checkpoint(talker)])]
    key = CacheKey("decoded", clips.folder, (size, every), content)
    return cached_frames(key, cache_dir, (len(frames), size, size, 3), decoded, f"{clips.name} decoded", quiet)
