"""The recipe `landmark-probe`: trains the landmark probe on the truth of a set's train split alone.

    python -m talkface_core train landmark-probe --data SET/train --out RUN

Frames are moved, scaled, blurred, resampled, compressed, tinted and made noisy within mild bounds, so that the probe
reads slightly soft generated frames as well as clean ones.
"""

import argparse
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from einops import rearrange
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from ..checkpoints import save_checkpoint
from ..correlation import pearson
from ..datasets.clips import ClipSet, open_splits
from ..device import channels_last
from ..faces.geometry import mean_face
from ..faces.landmarks import INNER_LIPS, MOUTH
from ..pixels import to_signed
from ..training.config import TrainConfig
from ..training.recipe import Batch, Plan, Recipe
from .probe import COMPONENT, SYSTEM, LandmarkProbe, ProbeConfig, Reading

BATCH = 32
STEPS = 2400
TRAIN = TrainConfig(
    lr=2e-3,
    schedule="cosine",
    warmup=200,
    final_lr=0.02,
    weight_decay=0.01,
    beta2=0.99,
    ema_decay=0.998,
    precision="auto",
)
READ = ("mouth_open", "eye_open", "pose")

# The error that weighs as much as one pixel of the landmarks.
OPEN_SCALE, EYE_SCALE, POSE_SCALE = 0.02, 0.15, 3.0


def augment(
    frame: NDArray[np.uint8], landmarks: NDArray[np.float32], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A frame [S,S,3] as it might have been: float32 in -1..1, and its landmarks [68,2] (shares), moved with it.

    Shift within 4 % and scale within 6 % of the frame; then by chance blur (sigma to 1.3 px), resampling through 50 to
    94 % of the size, JPEG (quality 30 to 95) and noise (to 6 %); light and tint always.
    """
    size = len(frame)
    scale, shift = rng.uniform(0.94, 1.06), rng.uniform(-0.04, 0.04, 2)
    move = shift + 0.5 * (1 - scale)
    # OpenCV counts from the centre of the first pixel, shares from the picture's corner.
    offset = size * move + 0.5 * (scale - 1)
    matrix = np.array([[scale, 0, offset[0]], [0, scale, offset[1]]])
    kernel = cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC
    image = cv2.warpAffine(frame, matrix, (size, size), flags=kernel, borderMode=cv2.BORDER_REPLICATE)
    if rng.random() < 0.35:
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.3))
    if rng.random() < 0.25:
        fewer = round(size * rng.uniform(0.5, 0.94))
        image = cv2.resize(image, (fewer, fewer), interpolation=cv2.INTER_AREA)
        image = cv2.resize(image, (size, size), interpolation=kernel)
    if rng.random() < 0.3:
        _, code = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 96))])
        image = cv2.imdecode(code, cv2.IMREAD_COLOR)
    pixels = to_signed(image)
    pixels = (pixels + rng.normal(0, 0.06)) * rng.uniform(0.85, 1.15) + rng.normal(0, 0.03, 3)
    if rng.random() < 0.5:
        pixels += rng.normal(0, rng.uniform(0, 0.06), pixels.shape)
    return pixels.clip(-1, 1).astype(np.float32), (landmarks * scale + move).astype(np.float32)


def probe_errors(reading: Reading, clips: ClipSet) -> dict[str, float]:
    """How far the probe is off the truth of all N frames of a set: pixels are those of a 128 px frame.

    Keys: landmarks_px, mouth_px (points 48-67), mouth_open_mae, mouth_open_pearson_mean and _min (over clips),
    eye_open_mae, yaw_mae, pitch_mae, roll_mae (degrees), yaw_max (worst frame).
    """
    pixels = 128 * np.linalg.norm(reading.landmarks - clips.landmarks, axis=-1)
    opening, turn = clips.truth("mouth_open"), np.abs(reading.pose - clips.truth("pose"))
    own = [slice(a, b) for a, b in zip(clips.starts[:-1], clips.starts[1:], strict=True)]
    follows = [pearson(reading.mouth_open[s], opening[s]) for s in own]
    errors = {
        "landmarks_px": pixels.mean(),
        "mouth_px": pixels[:, MOUTH].mean(),
        "mouth_open_mae": np.abs(reading.mouth_open - opening).mean(),
        "mouth_open_pearson_mean": np.mean(follows),
        "mouth_open_pearson_min": np.min(follows),
        "eye_open_mae": np.abs(reading.eye_open - clips.truth("eye_open")).mean(),
        **{f"{name}_mae": error for name, error in zip(("yaw", "pitch", "roll"), turn.mean(0), strict=True)},
        "yaw_max": turn[:, 0].max(),
    }
    return {name: round(float(value), 5) for name, value in errors.items()}


class ProbeRecipe(Recipe):
    """Train a `LandmarkProbe` on a ClipSet with truth; `val`, if given, is measured when a checkpoint is saved."""

    name = SYSTEM

    def __init__(
        self,
        clips: ClipSet,
        cache_dir: str | Path,
        val: ClipSet | None = None,
        config: ProbeConfig | None = None,
        quiet: bool = False,
    ) -> None:
        probe = LandmarkProbe(config)
        size = probe.config.size
        self.data = clips.name
        self.config: Mapping[str, Any] = {"probe": asdict(probe.config), "batch": BATCH}
        self._frames = clips.frame_cache(size, cache_dir, quiet)
        self._truth = {"landmarks": clips.landmarks, **{name: clips.truth(name) for name in READ}}
        self._val, self._cache_dir = val, cache_dir
        probe.face.copy_(torch.from_numpy(mean_face(clips.truth("landmarks_3d"), self._truth["pose"])))
        self.modules: dict[str, nn.Module] = {COMPONENT: channels_last(probe)}
        weights = torch.ones(probe.config.points)
        weights[MOUTH], weights[INNER_LIPS] = 2, 3
        self._weights = weights / weights.mean()

    @classmethod
    def from_args(cls, args: argparse.Namespace) -> Plan:
        train, val = open_splits(args.data)
        return Plan(cls(train, args.cache, val, quiet=args.quiet), TRAIN, STEPS)

    def prepare(self, device: torch.device) -> None:
        self._weights = self._weights.to(device)

    def batch(self, step: int, rng: np.random.Generator) -> Batch:
        chosen = rng.integers(0, len(self._frames), BATCH)
        samples = [augment(self._frames[i], self._truth["landmarks"][i], rng) for i in chosen]
        pixels, landmarks = (torch.from_numpy(np.stack(part)) for part in zip(*samples, strict=True))
        truth = {name: torch.from_numpy(self._truth[name][chosen]) for name in READ}
        return {"pixels": rearrange(pixels, "b h w c -> b c h w"), "landmarks": landmarks, **truth}

    def loss(self, batch: Batch, step: int) -> dict[str, Tensor]:
        """Pixels of distance, the lips' counted more, and absolute errors on their scales."""
        probe = self.modules[COMPONENT]
        out = probe(batch["pixels"])
        pixels = (out["landmarks"] - batch["landmarks"]).square().sum(-1) * 128**2
        landmarks = ((pixels + 0.01).sqrt() * self._weights).mean()
        opening, true = out["mouth_open"], batch["mouth_open"]
        # Zero means "touching or pressed": the net may answer anything below (a censored observation; Tobin, 1958).
        mouth = torch.where(true > 0, (opening - true).abs(), opening.clamp(min=0)).mean() / OPEN_SCALE
        eyes = (out["eye_open"] - batch["eye_open"]).abs().mean() / EYE_SCALE
        pose = (out["pose"] - batch["pose"]).abs().mean() / POSE_SCALE
        return {
            "loss": landmarks + mouth + eyes + pose,
            "points": landmarks,
            "mouth": mouth,
            "eyes": eyes,
            "pose": pose,
        }

    def sample(self, modules: dict[str, nn.Module]) -> NDArray[np.uint8] | None:
        """Four frames side by side with the landmarks that the probe reads, twice as large."""
        pictures = self._frames[np.linspace(0, len(self._frames) - 1, 4).astype(int)]
        return _drawn(pictures, modules[COMPONENT].read(pictures).landmarks)

    def save(self, path: Path, ema_modules: dict[str, nn.Module], provenance: Mapping[str, Any]) -> None:
        probe = ema_modules[COMPONENT]
        measured: dict[str, Any] = {}
        if self._val is not None:
            frames = self._val.frame_cache(probe.config.size, self._cache_dir, quiet=True)
            soft = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.0) for frame in frames])
            variants = {self._val.name: frames, f"{self._val.name}, blurred by 1 px": soft}
            measured = {"measured": {name: probe_errors(probe.read(f), self._val) for name, f in variants.items()}}
        save_checkpoint(
            path,
            SYSTEM,
            {COMPONENT: probe},
            {COMPONENT: asdict(probe.config)},
            {**provenance, **measured},
            torch.float16,
        )


def _drawn(frames: ArrayLike, landmarks: NDArray[np.float32]) -> NDArray[np.uint8]:
    panels = []
    for frame, points in zip(np.asarray(frames), landmarks, strict=True):
        panel = cv2.resize(frame, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)
        for x, y in points * len(panel):
            cv2.circle(panel, (round(float(x)), round(float(y))), 1, (0, 255, 0), -1)
        panels.append(panel)
    return np.concatenate(panels, 1)
