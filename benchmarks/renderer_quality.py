"""The renderer on people it never saw: one frame of a clip, driven by the motion of its other frames.

    python -m benchmarks.renderer_quality CHECKPOINT OUT DATA/val [DATA/val ...] [--clips 8] [--frames 10] [--size 128]

Each clip's first frame is the portrait; `--frames` others, spread over the clip, drive it, by the motion that the
extractor reads in them and in the portrait ("read") and by the true one ("true"). Reported per set:
PSNR of the whole crop, of the mouth and of what is background in all frames; the distance of landmarks that the bundled
face net reads in the made and in the real frame as a share of the eye distance, of all and of the mouth's; sharpness
against the real frames; the same of the portrait itself, unmoved ("still"); seconds of the CPU a frame; and likeness:
the correlation of the aligned faces' fine structure, since no face recogniser may be bundled, of the made frames with
their portrait, of the real ones with it, and of the made ones with other people's portraits. Writes OUT/quality.json,
OUT/sheet.png (portrait, made by the read motion, made by the true one, real) and OUT/cross.png: every portrait (rows)
in the motion of other people (columns). The sheets show whoever is in the data: keep those of real people to yourself.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.ending import run_program
from talkface_core.checkpoints import find_checkpoint, read_checkpoint
from talkface_core.components import build
from talkface_core.datasets.clips import ClipSet
from talkface_core.evaluation.metrics import psnr, sharpness_ratio
from talkface_core.faces.align import align, crop_faces
from talkface_core.faces.bundled import BundledDetector, load_bundled
from talkface_core.faces.landmarks import LEFT_EYE, MOUTH, RIGHT_EYE
from talkface_core.faces.track import FaceTrack
from talkface_core.pixels import as_byte_array, to_unit
from talkface_core.see_the_speaker.motion import Motion
from talkface_core.see_the_speaker.motion_extractor import Seen
from talkface_core.see_the_speaker.renderer import RENDERER, HolisticRenderer
from talkface_core.see_the_speaker.system import SYSTEM
from talkface_core.see_the_speaker.training.moving_heads import MovingHeads, moving_heads
from talkface_core.training.arguments import above_zero

SHOWN = 3
"""Driven frames of a clip in the sheet."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("out", type=Path)
    parser.add_argument("data", type=Path, nargs="+")
    parser.add_argument("--clips", type=above_zero(int), default=8)
    parser.add_argument("--frames", type=above_zero(int), default=10)
    parser.add_argument("--size", type=int, help="side of the pictures (default: what the renderer reads)")
    parser.add_argument("--cache", type=Path)
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    net = build(read_checkpoint(find_checkpoint(args.checkpoint), SYSTEM), RENDERER)
    size, reader = args.size or net.config.size, load_bundled()
    rows: dict[str, Any] = {}
    sheet: list[NDArray[np.uint8]] = []
    portraits: list[tuple[Tensor, Motion]] = []
    for folder in args.data:
        clips = spread(ClipSet.open(folder), args.clips)
        data = moving_heads(clips, size, net.config.reach, args.cache or args.out / "cache", pad=0)
        rows[data.name] = measure(net, reader, data, args.frames, sheet, portraits)
        print(json.dumps({data.name: rows[data.name]}, indent=2))
    (args.out / "quality.json").write_text(json.dumps(rows, indent=2) + "\n")
    write(args.out / "sheet.png", sheet, 4)
    few = portraits[:: max(len(portraits) // 8, 1)][:8]
    write(args.out / "cross.png", cross(net, few), len(few) + 1)


def spread(clips: ClipSet, count: int) -> ClipSet:
    """So many clips of a set, evenly: neighbours may show one person."""
    chosen = np.linspace(0, len(clips.clips) - 1, min(count, len(clips.clips))).round().astype(int)
    return ClipSet(clips.folder, tuple(clips.clips[k] for k in chosen))


def measure(
    net: HolisticRenderer,
    reader: BundledDetector,
    data: MovingHeads,
    frames: int,
    sheet: list[NDArray[np.uint8]],
    portraits: list[tuple[Tensor, Motion]],
) -> dict[str, Any]:
    """The scores of a set's clips; adds to the sheet and to the portraits."""
    scores: list[dict[str, float]] = []
    faces: list[tuple[Tensor, Tensor]] = []
    for first, stop in pairwise(data.starts.tolist()):
        chosen = np.linspace(first, stop - 1, frames + 1).round().astype(int)
        pictures = rearrange(to_unit(torch.from_numpy(np.array(data.frames[chosen]))), "t h w c -> t c h w")
        portrait, real = pictures[:1], pictures[1:]
        points = torch.from_numpy(data.landmarks[chosen])
        true = Seen(*(getattr(data.seen, part)[chosen] for part in Seen.__dataclass_fields__))
        motions = {"read": net.motion(real), "true": motion_of(true)[1:]}
        identities = {
            "read": net.identity(portrait),
            "true": net.identity(portrait, Seen(*(getattr(true, part)[:1] for part in Seen.__dataclass_fields__))),
        }
        made, row = {}, {}
        for kind, motion in motions.items():
            began = time.process_time()
            made[kind] = net.render(identities[kind], motion)
            row[f"{kind} seconds"] = (time.process_time() - began) / len(motion)
            row |= {f"{kind} {name}": value for name, value in compared(made[kind], real, data, chosen, reader).items()}
        still = compared(portrait.expand_as(real), real, data, chosen, reader)
        row |= {f"still {name}": value for name, value in still.items()}
        faces.append((aligned(portrait, points[:1]), aligned(made["true"], points[1:])))
        row["likeness real"] = float(likeness(aligned(real, points[1:]), faces[-1][0]).mean())
        scores.append(row)
        shown = np.linspace(0, len(real) - 1, SHOWN).round().astype(int)
        columns = [torch.stack([portrait[0], made["read"][k], made["true"][k], real[k]]) for k in shown]
        sheet.append(as_byte_array(rearrange(torch.stack(columns), "k r c h w -> (r h) (k w) c")))
        portraits.append((portrait, motions["true"]))
    means = {name: round(float(np.mean([row[name] for row in scores])), 4) for name in scores[0]}
    own = [float(likeness(made, portrait).mean()) for portrait, made in faces]
    others = [
        float(likeness(made, portrait).mean())
        for k, (_, made) in enumerate(faces)
        for n, (portrait, _) in enumerate(faces)
        if n != k
    ]
    return {**means, "likeness made": round(np.mean(own), 4), "likeness others": round(np.mean(others or [0.0]), 4)}


def motion_of(seen: Seen) -> Motion:
    """What was seen as a motion."""
    return Motion(seen.expression, seen.rotation, seen.translation, seen.scale)


def compared(
    made: Tensor, real: Tensor, data: MovingHeads, chosen: NDArray[np.integer], reader: BundledDetector
) -> dict[str, float]:
    """The scores of made pictures [T,3,S,S] in 0..1 beside the real ones."""
    points = data.landmarks[chosen]
    read = []
    for pictures in (made, real):
        found = reader.follow(frames_of(pictures), torch.from_numpy(points[1:]))
        read.append(np.stack([face.landmarks.numpy() for face in found]))
    eyes = np.linalg.norm(read[1][:, RIGHT_EYE].mean(1) - read[1][:, LEFT_EYE].mean(1), axis=-1)[:, None]
    away = np.linalg.norm(read[0] - read[1], axis=-1) / eyes
    x0, y0 = points[1:, MOUTH].min(1).min(0).astype(int) - 3
    x1, y1 = points[1:, MOUTH].max(1).max(0).astype(int) + 4
    mouth = (slice(None), slice(None), slice(max(y0, 0), y1), slice(max(x0, 0), x1))
    back = background(points, real.shape[-1])
    error = (made - real).square()[:, :, back].mean()
    return {
        "psnr": float(psnr(last(made), last(real)).mean()),
        "psnr mouth": float(psnr(last(made[mouth]), last(real[mouth])).mean()),
        "psnr background": float(-10 * torch.log10(error.clamp(min=1e-8))),
        "landmarks %": float(100 * away.mean()),
        "mouth landmarks %": float(100 * away[:, MOUTH].mean()),
        "sharpness": float(sharpness_ratio(last(made), last(real))),
    }


def background(points: NDArray[np.float32], size: int) -> Tensor:
    """What is far from the head in all frames: bool [S,S]."""
    centre = points.mean(1)
    reach = np.abs(points - centre[:, None]).max((0, 1)) * np.float32([1.75, 2.2])
    y, x = np.mgrid[:size, :size] + 0.5
    outside = [((x - cx) / reach[0]) ** 2 + ((y - cy) / reach[1]) ** 2 > 1 for cx, cy in centre]
    above = y < points[:, 8, 1].min()  # shoulders move with the head
    return torch.from_numpy(np.logical_and.reduce(outside) & above)


def aligned(pictures: Tensor, points: Tensor) -> Tensor:
    """The aligned faces [T,3,64,64] of pictures [T,3,S,S]."""
    track = FaceTrack(points, torch.ones(len(points), dtype=torch.bool), tuple(pictures.shape[2:]), 25)
    return rearrange(torch.from_numpy(crop_faces(frames_of(pictures), align(track, 64))), "t h w c -> t c h w").float()


def likeness(one: Tensor, other: Tensor) -> Tensor:
    """Correlation of the faces' lightness without its coarse shades: [T]."""
    grey = [faces.mean(1, keepdim=True) for faces in (one, other.expand(len(one), -1, -1, -1))]
    fine = [g - torch.nn.functional.avg_pool2d(g, 15, 1, 7, count_include_pad=False) for g in grey]
    return torch.nn.functional.cosine_similarity(*(f.flatten(1) for f in fine))


def frames_of(pictures: Tensor) -> NDArray[np.uint8]:
    """[T,3,S,S] in 0..1 -> bytes [T,S,S,3]."""
    return as_byte_array(last(pictures)).copy()


def last(pictures: Tensor) -> Tensor:
    """[T,3,H,W] -> [T,H,W,3]."""
    return rearrange(pictures, "t c h w -> t h w c")


def cross(net: HolisticRenderer, portraits: list[tuple[Tensor, Motion]]) -> list[NDArray[np.uint8]]:
    """Every portrait in one moment of each other's motion; the first row shows the moments' own people."""
    columns = [torch.cat([torch.ones_like(portraits[0][0]), *(portrait for portrait, _ in portraits)])]
    for portrait, motion in portraits:
        middle = motion[len(motion) // 2 : len(motion) // 2 + 1]
        own = net.render(net.identity(portrait), middle)
        columns.append(torch.cat([own, *(net.render(net.identity(other), middle) for other, _ in portraits)]))
    return [as_byte_array(rearrange(column, "r c h w -> (r h) w c")) for column in columns]


def write(path: Path, blocks: list[NDArray[np.uint8]], across: int) -> None:
    """Blocks of pictures as one PNG, `across` of them side by side; the last line may stay short."""
    blocks = blocks + [np.zeros_like(blocks[0])] * (-len(blocks) % across)
    lines = [np.concatenate(blocks[k : k + across], 1) for k in range(0, len(blocks), across)]
    cv2.imwrite(str(path), cv2.cvtColor(np.concatenate(lines), cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    run_program(main)
