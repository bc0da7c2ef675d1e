"""The recipe `see-the-speaker-lips`: trains the refinement of the lips on what a trained motion diffusion makes.

    python -m talkface_core train see-the-speaker-lips --data SET/train --motion RUN/see-the-speaker-motion.safetensors
        --out RUN

Source: See the Speaker (Wang et al., arXiv 2510.26819), section on lip refinement: lip reconstruction and a lip
expert's loss. The expert sees pictures: with `--expert NAME` a few windows of each batch are drawn by a frozen renderer
(drawn_lips.py). Besides, the mouth's opening is judged by what the table of controls reads off the keypoints, and its
closures at p, b and m count several times. Each clip's sound, as recorded and in noise, is said by the frozen diffusion
once; the refinement learns the way from there to the true lips.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.data import default_collate

from ...acoustic.losses import masked_mean
from ...acoustic.model import ACOUSTIC, AcousticModel, heard_model
from ...checkpoints import find_checkpoint, read_checkpoint, save_checkpoint
from ...components import build
from ...datasets.clips import ClipSet
from ...datasets.sounds import SOUND_VERSIONS
from ...errors import InputError
from ...speech.mel_windows import FRAMES
from ...sync.syncnet import load_syncnet
from ...training.arguments import add_batch_size
from ...training.config import TrainConfig
from ...training.curves import plot_curves
from ...training.recipe import Batch, Plan, Recipe
from ..controls import OPENING, ControlTable
from ..lip_refinement import COMPONENT, MASKS, LipRefinement, LipRefinementConfig
from ..motion_diffusion import MOTION, MotionDiffusion
from ..system import SYSTEM
from .drawn_lips import EVERY, DrawnLips
from .motion_clips import read_motion_clips
from .motion_losses import expression
from .motion_scores import MotionScores, motion_scores, opening_track
from .moving_heads import moving_heads
from .recipe_motion import cached_data, heard_key, motion_data, open_renderer
from .said_motion import MotionData, cached_said, said_clips, said_key, sampled

TRAINING = TrainConfig(lr=1e-3, schedule="cosine", warmup=100, final_lr=0.02, weight_decay=0.02, ema_decay=0.995)
STEPS = 1500


@dataclass(frozen=True)
class LipTraining:
    """windows: in a batch, of so many frames; takes: variants of each clip's sound that the diffusion says; dull: the
    most of a mouth's motion that is taken from some windows; closure: extra weight of frames at p, b and m; drawn:
    windows whose lips are drawn for an expert in a step; lips, velocity, opening, spread, sync: weights of the losses.
    """

    windows: int = 24
    frames: int = 50
    takes: int = 2
    dull: float = 0.5
    closure: float = 4.0
    lips: float = 1.0
    velocity: float = 1.0
    opening: float = 1.0
    spread: float = 0.3
    drawn: int = 1
    sync: float = 0.05


class LipRecipe(Recipe):
    """Train a `LipRefinement` beside a frozen motion diffusion, judged by a frozen lip expert as well where there is
    `drawn`; `val`, other people, is measured at the end."""

    name = "see-the-speaker-lips"

    def __init__(
        self,
        data: MotionData,
        motion: MotionDiffusion,
        acoustic: AcousticModel,
        val: MotionData | None = None,
        settings: LipTraining | None = None,
        seed: int = 0,
        config: LipRefinementConfig | None = None,
        drawn: DrawnLips | None = None,
        made: Sequence[Tensor] | None = None,
    ) -> None:
        """made: what the diffusion said to each clip's sounds, see `said_clips`; None: it is asked now.

        Raises InputError for a diffusion without a control of the mouth's opening, and for no clip.
        """
        if OPENING not in motion.controls.names or not data.clips:
            raise InputError("lips are refined of a motion whose table of controls knows the mouth, and on clips.")
        self.settings, self._val, self.data = settings or LipTraining(), val, data.name
        self.motion, self.acoustic = motion.eval().requires_grad_(False), acoustic.eval().requires_grad_(False)
        sizes = {"keypoints": motion.config.keypoints, "audio": motion.config.audio}
        config = LipRefinementConfig(**{**(config or LipRefinementConfig()).to_dict(), **sizes})
        self.net = LipRefinement(config)
        self.net.masks.copy_(lip_masks(motion.controls))
        self.modules: dict[str, nn.Module] = {COMPONENT: self.net}
        self._clips, self._drawn = data, drawn
        self._made = said_clips(motion, data, self.settings.takes, seed) if made is None else made
        self._truth = [motion.normalise(clip.values) for clip in data.clips]
        lengths = np.array([len(clip) for clip in data.clips], np.float64)
        self._chances = lengths / lengths.sum()
        self.config: Mapping[str, Any] = {
            "lip_refinement": config.to_dict(),
            "motion": motion.config.to_dict(),
            "expert": None if drawn is None else drawn.expert.config.to_dict(),
            "training": asdict(self.settings),
            "clips": len(data.clips),
        }

    @classmethod
    def add_arguments(cls, parser: argparse.ArgumentParser) -> None:
        add_batch_size(parser)
        parser.add_argument(
            "--motion", metavar="NAME|FILE", required=True, help="trained motion, with what it hears by"
        )
        parser.add_argument("--renderer", metavar="NAME|FILE", help="read motion off the pictures by its extractor")
        parser.add_argument("--val", metavar="DIR", help="clips to measure at the end (default: DIR/val)")
        parser.add_argument("--expert", metavar="NAME|FILE", help="judge drawn lips by a lip expert, say sync_tiny")
        parser.add_argument(
            "--drawn-by", metavar="NAME|FILE", default="see_the_speaker_tiny", help="renderer that draws for the expert"
        )

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        if args.expert is not None and args.renderer:
            raise InputError(
                "--expert draws motion that follows from landmarks, --renderer reads other motion: give one of them."
            )
        data = Path(args.data).absolute()
        folder = data / "train" if (data / "train").is_dir() else data
        beside = args.val or (data / "val" if (data / "val").is_dir() else None)
        checkpoint = read_checkpoint(find_checkpoint(args.motion))
        motion = build(checkpoint, MOTION)
        acoustic = heard_model(checkpoint, motion.config.acoustic)
        if acoustic is None:
            raise InputError(f"--motion {args.motion}: holds no acoustic model and names none, so nothing is heard.")
        renderer, stamp = open_renderer(args.renderer)
        read = {"cache_dir": args.cache, "seed": args.seed, "renderer": renderer, "stamp": stamp}
        clips = read_motion_clips(folder, versions=SOUND_VERSIONS, **read)
        train = cached_data(clips, acoustic, heard_key(folder, acoustic, args.seed), args.cache)
        val = motion_data(read_motion_clips(beside, **read), acoustic) if beside else None
        settings = LipTraining(windows=args.batch_size or LipTraining.windows)
        name = f"{folder.parent.name}/{folder.name}"
        named = MotionData(train.clips, train.heard, name)
        key = said_key(folder, checkpoint.path, settings.takes, args.seed)
        made = cached_said(motion, named, key, args.cache)
        drawn = None
        if args.expert is not None:
            painter, _ = open_renderer(args.drawn_by)
            assert painter is not None
            sizes = (painter.config.size, painter.config.reach)
            heads = moving_heads(ClipSet.open(folder), *sizes, args.cache, pad=0, every=EVERY, quiet=args.quiet)
            drawn = DrawnLips(load_syncnet(args.expert), painter, heads, clips)
        return Plan(cls(named, motion, acoustic, val, settings, args.seed, None, drawn, made), TRAINING, STEPS)

    def prepare(self, device: torch.device) -> None:
        self.motion.to(device)
        if self._drawn is not None:
            self._drawn.to(device)

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        """features [B,L,A]; made, truth [B,L,V], normalised; weight [B,L]. With an expert, of the first W windows:
        frames [W,5], which it sees, and what `DrawnLips` needs to draw them."""
        chosen = rng.choice(len(self._clips.clips), self.settings.windows, p=self._chances)
        firsts = [self._first(int(index), rng) for index in chosen]
        items = [self._window(int(index), first, rng) for index, first in zip(chosen, firsts, strict=True)]
        batch = default_collate(items)
        if self._drawn is not None:
            few = slice(min(self.settings.drawn, len(items)))
            batch |= default_collate(
                [self._judged(int(c), f, rng) for c, f in zip(chosen[few], firsts[few], strict=True)]
            )
        return batch

    def _first(self, index: int, rng: np.random.Generator) -> int:
        return int(rng.integers(0, max(len(self._clips.clips[index]) - self.settings.frames, 0) + 1))

    def _judged(self, index: int, first: int, rng: np.random.Generator) -> dict[str, Tensor]:
        """Five frames of a window, in speech where there is some."""
        assert self._drawn is not None
        clip, half = self._clips.clips[index], FRAMES // 2
        middles = np.arange(half, max(min(self.settings.frames, len(clip) - first) - half, half + 1))
        spoken = middles[clip.speech[(first + middles).clip(max=len(clip) - 1)]]
        middle = int(rng.choice(spoken if len(spoken) else middles))
        frames = torch.arange(middle - half, middle + half + 1)
        return {"frames": frames, **self._drawn.batch(index, first + middle, rng)}

    def _window(self, index: int, first: int, rng: np.random.Generator) -> dict[str, Tensor]:
        settings, clip = self.settings, self._clips.clips[index]
        every = first + np.arange(settings.frames)
        inside = torch.from_numpy(every < len(clip)).float()
        every = every.clip(max=len(clip) - 1)
        takes = self._made[index]
        made = takes[int(rng.integers(len(takes)))][every].float()
        if rng.random() < 0.5:  # a mouth that mumbles
            made = torch.lerp(made, made.mean(0, keepdim=True), settings.dull * rng.random())
        features = self._clips.heard.of(index, every, rng)
        if self.motion.config.prosody:
            features = torch.cat([features, clip.prosody[every]], 1)
        closing = np.isin(every, clip.closures[:, None] + np.arange(-1, 2)).astype(np.float32)
        return {
            "features": features,
            "made": made,
            "truth": self._truth[index][every],
            "weight": inside * (1 + settings.closure * torch.from_numpy(closing)),
        }

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """The terms and their weighted sum."""
        net, settings, weight, std = self.net, self.settings, batch["weight"], self.motion.std
        said = net(batch["made"], batch["features"])
        points = [expression(values) for values in (said, batch["truth"])]
        error = (points[0] - points[1]) * net.masks[0][:, None]
        terms = {"lips": masked_mean(error.square().flatten(2), weight)}
        terms["velocity"] = masked_mean(
            error.diff(dim=1).square().flatten(2), torch.minimum(weight[:, 1:], weight[:, :-1])
        )
        opening, real = (
            self.motion.controls.value(expression(values * std), OPENING) for values in (said, batch["truth"])
        )
        terms["opening"] = masked_mean((opening - real).abs(), weight)
        counted = (weight > 0).float()
        tracks = [(track * counted).flatten().sort().values for track in (opening, real)]
        terms["spread"] = (tracks[0] - tracks[1]).abs().mean()
        if self._drawn is not None:
            frames = batch["frames"]
            seen = said[torch.arange(len(frames), device=frames.device)[:, None], frames]
            terms["sync"] = self._drawn.loss(expression(self.motion.denormalise(seen)), batch)
        total = torch.stack([getattr(settings, name) * value for name, value in terms.items()]).sum()
        return {"loss": total, **terms}

    @torch.no_grad()
    def refined(self, net: LipRefinement, data: MotionData, index: int, seed: int = 0) -> Tensor:
        """Motion values [T,3K+7] to a clip's clean sound, refined window by window as a stream does."""
        clip, length = data.clips[index], self.motion.config.frames
        motion = self.motion
        made = motion.normalise(sampled(motion, data, index, seed).to(motion.mean))
        features = data.heard.clips[index][0].float()
        if self.motion.config.prosody:
            features = torch.cat([features, clip.prosody], 1)
        parts = []
        for first in range(0, len(clip), length):
            rows = (first + torch.arange(length)).clamp_max(len(clip) - 1)
            parts.append(net(made[rows.to(made.device)][None].to(net.which), features[rows][None].to(net.which))[0])
        return motion.denormalise(torch.cat(parts)[: len(clip)]).float().cpu()

    @torch.no_grad()
    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8]:
        """The opening over time in four clips: the truth in light grey, as it was made in grey, refined in black."""
        net, rows, data = cast(LipRefinement, modules[COMPONENT]), [], self._val or self._clips
        for k in np.linspace(0, len(data.clips) - 1, 4).astype(int):
            index = int(k)
            made = sampled(self.motion, data, index)
            tracks: Sequence[Tensor] = (data.clips[index].values, made, self.refined(net, data, index))
            rows.append(plot_curves([torch.from_numpy(opening_track(v, self.motion.controls)) for v in tracks]))
        return np.concatenate(rows)

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        net, data, measured = cast(LipRefinement, ema_modules[COMPONENT]), self._val, {}
        if data:
            controls, count = self.motion.controls, range(len(data.clips))
            before = [motion_scores(sampled(self.motion, data, k), data.clips[k], controls) for k in count]
            after = [motion_scores(self.refined(net, data, k), data.clips[k], controls) for k in count]
            measured = {"unrefined": MotionScores.mean(before), "measured": MotionScores.mean(after)}
        parts: dict[str, nn.Module] = {COMPONENT: net, MOTION.name: self.motion, ACOUSTIC.name: self.acoustic}
        configs = {
            COMPONENT: net.config.to_dict(),
            MOTION.name: self.motion.config.to_dict(),
            ACOUSTIC.name: self.acoustic.config.to_dict(),
        }
        save_checkpoint(path, SYSTEM, parts, configs, {**provenance, **measured}, torch.float16)


def lip_masks(controls: ControlTable) -> Tensor:
    """[3,K]: how much each keypoint belongs to the lips, the face and the whole, 0..1, by how far it goes when the
    mouth opens."""
    lips = controls.shares(OPENING)
    masks = {"lip": lips, "face": 1 - lips, "full": torch.ones_like(lips)}
    return torch.stack([masks[name] for name in MASKS])
