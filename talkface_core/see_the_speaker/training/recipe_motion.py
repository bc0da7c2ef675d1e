"""The recipe `see-the-speaker-motion`: trains the motion diffusion on clips whose motion is known.

    python -m talkface_core train see-the-speaker-motion --data SET/train --acoustic landmark_tiny --out RUN

Source: See the Speaker (Wang et al., arXiv 2510.26819), motion of its second stage; JoyVASA (Cao et al. 2024). The
acoustic model is frozen, and what it hears in several variants of each clip's sound is computed once. `--renderer FILE`
reads the motion off the pictures with that renderer's extractor; without it, it is computed from the truth's landmarks,
for keypoints that are tied to them.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ...acoustic.encoded_ear import heard_settings
from ...acoustic.model import ACOUSTIC, AcousticModel, load_acoustic
from ...acoustic.training_features import VARIANTS, HeardFeatures, heard_features
from ...checkpoints import find_checkpoint, read_checkpoint, save_checkpoint
from ...components import build
from ...datasets.clips import ClipSet
from ...datasets.sounds import SOUND_VERSIONS
from ...diffusion.parameterisation import diffuse
from ...errors import InputError
from ...training.arguments import add_batch_size, share
from ...training.config import TrainConfig
from ...training.curves import plot_curves
from ...training.frame_cache import CacheKey, cached_file, stats, weights_sum
from ...training.recipe import Batch, Plan, Recipe
from ..controls import CONTROLS
from ..motion_diffusion import COMPONENT, STILL, Before, MotionConfig, MotionDiffusion, MotionSampling
from ..prosody import Prosody
from ..renderer import RENDERER, HolisticRenderer
from ..system import SYSTEM
from .motion_batches import MotionBatches, MotionSampler
from .motion_clips import MotionClip, mirrored, read_motion_clips
from .motion_losses import MotionWeights, expression, motion_losses, sum_of
from .motion_scores import MotionScores, motion_scores, opening_track
from .said_motion import MotionData, sampled

TRAINING = TrainConfig(
    lr=1e-3, schedule="cosine", warmup=200, final_lr=0.02, beta2=0.98, weight_decay=0.02, ema_decay=0.998
)
STEPS = 6000

NO_SOUND = 0.1
"""Probability with which a window is learnt without its sound, for guidance."""

MOST_HEAD = 2.5
"""No sample's head is moved further by more."""

MOST_SNR, LEAST_LEVEL = 5.0, 0.5
"""How much a noise level counts: its signal-to-noise ratio, at most so much, and so much more."""


class MotionRecipe(Recipe):
    """Train a `MotionDiffusion` that hears a frozen acoustic model; `val`, other people, is measured at the end."""

    name = "see-the-speaker-motion"

    def __init__(
        self,
        data: MotionData,
        acoustic: AcousticModel,
        config: MotionConfig | None = None,
        val: MotionData | None = None,
        batches: MotionBatches | None = None,
        weights: MotionWeights | None = None,
    ) -> None:
        """Raises InputError for a network that hears anything else."""
        config = config or MotionConfig()
        if config.fps != acoustic.config.fps:
            raise InputError("the motion is trained on features of an acoustic model at its own rate.")
        audio = acoustic.config.width + (Prosody.dim if config.prosody else 0)
        keypoints = (data.clips[0].values.shape[1] - 7) // 3 if data.clips else config.keypoints
        names = known_controls(data.clips, config.controls)
        config = replace(config, audio=audio, keypoints=keypoints, relative=True, controls=names)
        self.acoustic, self.weights = acoustic.eval().requires_grad_(False), weights or MotionWeights()
        self.settings = batches or MotionBatches()
        self.net, self._val, self.data = MotionDiffusion(config), val, data.name
        fit_network(self.net, data.clips, self.settings.mirror > 0)
        self.modules: dict[str, nn.Module] = {COMPONENT: self.net}
        self.sampler = MotionSampler(
            data.clips,
            data.heard,
            self.settings,
            config.frames,
            config.previous,
            self.net.controls,
            config.prosody,
        )
        schedule = config.schedule
        levels = torch.arange(schedule.steps)
        self._alpha, self._sigma = schedule.alpha_sigma(levels)
        self.config: Mapping[str, Any] = {
            "motion": config.to_dict(),
            "acoustic": heard_settings(acoustic),
            "batches": asdict(self.settings),
            "weights": asdict(self.weights),
            "clips": len(data.clips),
        }

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_batch_size(parser)
        parser.add_argument("--acoustic", metavar="NAME|FILE", default="landmark_tiny", help="what is heard by")
        parser.add_argument("--renderer", metavar="NAME|FILE", help="read motion off the pictures by its extractor")
        parser.add_argument("--dropout", type=share, help="default: the preset's")
        parser.add_argument("--val", metavar="DIR", help="clips to measure at the end (default: DIR/val)")

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        data = Path(args.data).absolute()
        folder = data / "train" if (data / "train").is_dir() else data
        beside = args.val or (data / "val" if (data / "val").is_dir() else None)
        acoustic = load_acoustic(args.acoustic)
        renderer, stamp = open_renderer(args.renderer)
        read = {"cache_dir": args.cache, "seed": args.seed, "renderer": renderer, "stamp": stamp}
        clips = read_motion_clips(folder, versions=SOUND_VERSIONS, **read)
        train = cached_data(clips, acoustic, heard_key(folder, acoustic, args.seed), args.cache)
        val = motion_data(read_motion_clips(beside, **read), acoustic) if beside else None
        batches = MotionBatches()
        batches = replace(batches, windows=args.batch_size or batches.windows)
        if renderer is not None:
            batches = replace(batches, mirror=0.0)  # which keypoints are partners is not known
        name = f"{folder.parent.name}/{folder.name}"
        config = MotionConfig()
        config = replace(config, dropout=config.dropout if args.dropout is None else args.dropout)
        return Plan(cls(replace(train, name=name), acoustic, config, val, batches), TRAINING, STEPS)

    def prepare(self, device: torch.device) -> None:
        self._alpha, self._sigma = self._alpha.to(device), self._sigma.to(device)

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        batch = self.sampler.batch(rng)
        count = len(batch["motion"])
        batch["steps"] = torch.from_numpy(rng.integers(0, self.net.config.schedule.steps, count))
        batch["without"] = torch.from_numpy(rng.random(count) < NO_SOUND)
        for name in ("motion", "before"):
            noise = rng.standard_normal(batch[name].shape, dtype=np.float32)
            batch[f"{name} noise"] = torch.from_numpy(noise)
        return batch

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The terms and their weighted sum."""
        net, previous = self.net, self.net.config.previous
        motion, before = (net.normalise(batch[name]) for name in ("motion", "before"))
        # What a clip does not know is shown as the mean, and asked for nowhere.
        motion, before = (part * batch["known"][:, None] for part in (motion, before))
        starts = batch["starts"][:, None, None]
        shown = before + batch["tremble"] * batch["before noise"]
        heard = net.hear(batch["features"])
        past = Before(
            torch.where(starts, net.start_motion, shown), torch.where(starts, net.start_audio, heard[:, :previous])
        )
        heard = torch.where(batch["without"][:, None, None], net.null_audio, heard[:, previous:])
        steps = batch["steps"]
        alpha, sigma = self._alpha[steps], self._sigma[steps]
        said = net(diffuse(motion, batch["motion noise"], alpha, sigma), steps, heard, past)[:, previous:]
        clear = (alpha > 0.5).float() * (1 - batch["without"].float())
        # Of samples that live, blinks among them, more is decided where half of the motion shows (min-SNR, Hang et al.
        # 2023) than where none of it does.
        level = (alpha / sigma).square().clamp_max(MOST_SNR) + LEAST_LEVEL
        last = torch.where(starts[:, 0], motion[:, 0], before[:, -1])
        weight = batch["weight"]
        terms = motion_losses(
            said, motion, last, weight, batch["known"], net.std, net.controls, clear, level, self.weights
        )
        return {"loss": sum_of(terms, self.weights), **terms}

    @torch.no_grad()
    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8]:
        """The opening over time in four clips, held out where there are such: the truth in grey, the sampled one in
        black."""
        net, rows = cast(MotionDiffusion, modules[COMPONENT]), []
        data = self._val or MotionData(self.sampler.clips, self.sampler.heard)
        for k in np.linspace(0, len(data.clips) - 1, 4).astype(int):
            made = sampled(net, data, int(k))
            tracks = [opening_track(values, net.controls) for values in (data.clips[k].values, made)]
            rows.append(plot_curves([torch.from_numpy(track) for track in tracks]))
        return np.concatenate(rows)

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        net = cast(MotionDiffusion, ema_modules[COMPONENT])
        scores = scored(net, self._val) if self._val else []
        config = replace(net.config, sampling=calibrated(net, MotionData(self.sampler.clips, self.sampler.heard)))
        measured = {"measured": MotionScores.mean(scores)} if scores else {}
        parts: dict[str, MotionDiffusion | AcousticModel] = {COMPONENT: net, ACOUSTIC.name: self.acoustic}
        configs = {COMPONENT: config.to_dict(), ACOUSTIC.name: self.acoustic.config.to_dict()}
        save_checkpoint(path, SYSTEM, parts, configs, {**provenance, **measured}, torch.float16)


def open_renderer(name: str | None) -> tuple[HolisticRenderer | None, str]:
    """A renderer's checkpoint by name or path, to read motion with, and what tells it from others."""
    if name is None:
        return None, ""
    path = find_checkpoint(name)
    return build(read_checkpoint(path), RENDERER), f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}"


def motion_data(clips: Sequence[MotionClip], acoustic: AcousticModel, variants: int = 1, seed: int = 0) -> MotionData:
    """Clips with what an acoustic model hears in them, in so many variants of their sounds."""
    frames, speech = [len(clip) for clip in clips], [clip.speech for clip in clips]
    return MotionData(clips, heard_features(acoustic, [clip.mels for clip in clips], frames, speech, variants, seed))


def heard_key(folder: Path, acoustic: AcousticModel, seed: int) -> CacheKey:
    """What features of a folder's sounds follow from."""
    return CacheKey("heard", folder, (VARIANTS, seed), [weights_sum(acoustic), *stats(ClipSet.open(folder).files)])


def cached_data(clips: Sequence[MotionClip], acoustic: AcousticModel, key: CacheKey, cache_dir: Path) -> MotionData:
    """The same with what is heard from the cache; `key` has the variants and the seed as its settings."""

    def write(part: Path) -> None:
        heard = motion_data(clips, acoustic, *key.settings).heard
        with part.open("wb") as file:
            np.savez(file, features=torch.cat(list(heard.clips), 1).numpy(), silence=heard.silence.numpy())

    with np.load(cached_file(key, cache_dir, ".npz", write), allow_pickle=False) as stored:
        features, silence = torch.from_numpy(stored["features"]), torch.from_numpy(stored["silence"])
    return MotionData(clips, HeardFeatures(features.split([len(clip) for clip in clips], 1), silence))


@torch.no_grad()
def fit_network(net: MotionDiffusion, clips: Sequence[MotionClip], mirror: bool = False) -> None:
    """Set a network's mean, deviation and table of controls by the clips it is to be trained on.

    mirror: mean and deviation are those of the clips and of their mirrored faces. Raises InputError for clips of other
    keypoints, or none.
    """
    if not clips or any(clip.values.shape[1] != net.config.values for clip in clips):
        raise InputError(f"motion of other than {net.config.values} values a frame, or of no clip.")
    known = torch.cat([clip.known.expand(len(clip), -1) for clip in clips])
    values = torch.cat([clip.values for clip in clips])
    told = torch.cat([clip.controls for clip in clips])
    _fit_controls(net, values, told)
    if mirror:
        # A mask has no left and right: what is not known is not known on either side.
        known, values = torch.cat([known, known]), torch.cat([values, mirrored(values)])
    count = known.sum(0).clamp_min(1)
    mean = (known * values).sum(0) / count
    std = ((known * (values - mean).square()).sum(0) / count).sqrt()
    still = std < 1e-5
    net.mean.copy_(torch.where(still, values.mean(0), mean))
    # What never moved in training must not move by a sample's errors.
    net.std.copy_(torch.where(still, STILL, std))


def known_controls(clips: Sequence[MotionClip], wanted: Sequence[str]) -> tuple[str, ...]:
    """Those of the controls that the truth of some clip tells."""
    if not clips:
        return tuple(wanted)
    told = torch.isfinite(torch.cat([clip.controls for clip in clips])).any(0).tolist()
    return tuple(name for name in wanted if told[CONTROLS.index(name)])


def _fit_controls(net: MotionDiffusion, values: Tensor, told: Tensor) -> None:
    """The table of controls of motion values [N,V] and what their truth told [N,C]."""
    if not net.controls.names:
        return
    told = told[:, [CONTROLS.index(name) for name in net.controls.names]]
    whole = torch.isfinite(told).all(1)
    if not whole.any():
        raise InputError(f"no clip's truth tells {', '.join(net.controls.names)}: the controls cannot be learnt.")
    net.controls.fit(expression(values[whole]), told[whole])


def calibrated(net: MotionDiffusion, data: MotionData, most: int = 24) -> MotionSampling:
    """A network's sampling with heads that move as far as those of its training clips, and lids that blink as often.

    Where samples blink as often as people by themselves, within a half more or less, they keep their own blinks.
    """
    chosen = np.unique(np.linspace(0, len(data.clips) - 1, min(most, len(data.clips))).astype(int))
    some = MotionData(
        [data.clips[k] for k in chosen], HeardFeatures([data.heard.clips[k] for k in chosen], data.heard.silence)
    )
    found = MotionScores.mean(scored(net, some))
    sampling = net.config.sampling
    head = min(max(found["head_real"] / max(found["head"], 1e-6), 1.0), MOST_HEAD)
    made, real = found.get("blinks", 0.0), found.get("blinks_real", 0.0)
    blinks = round(min(real, 60.0), 1) if real and not real / 1.5 <= made <= 1.5 * real else None
    return replace(sampling, head=round(head, 2), blinks=blinks)


def scored(net: MotionDiffusion, data: MotionData, sampling: MotionSampling | None = None) -> list[MotionScores]:
    """Each clip's scores, without what the stream adds."""
    return [motion_scores(sampled(net, data, k, 0, sampling), clip, net.controls) for k, clip in enumerate(data.clips)]
