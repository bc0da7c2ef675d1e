"""SOVQAE on people it never saw: what it makes of crops that are as soft as Wav2Lip's, beside the real ones.

    python -m benchmarks.sovqae_quality CHECKPOINT DATA/val OUT [--clips 16] [--frames 25]

Each clip's first frames go through Wav2Lip's 96 lines, all of the crop, enlarged by cubics or, softer, in straight
lines, and through the model. Reported per kind of softness: PSNR and SSIM before and after, the power above half
Nyquist against the real frames', flicker against the real video's, the codes that agree with those of the sharp frame,
and how long a frame takes. Writes OUT/quality.json, a table and OUT/sheet.png: soft, restored, real.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.ending import run_program
from benchmarks.pictures import contact_sheet
from talkface_core.checkpoints import find_checkpoint, read_checkpoint
from talkface_core.components import build
from talkface_core.datasets.aligned_faces import face_crops
from talkface_core.datasets.clips import ClipSet
from talkface_core.device import pick_dtype
from talkface_core.evaluation.metrics import fine_power_ratio, flicker, psnr, ssim
from talkface_core.ladtalk.degrade import Degradation, degrade
from talkface_core.ladtalk.enhance import restore
from talkface_core.ladtalk.robustness import same_codes
from talkface_core.ladtalk.sovqae import SOVQAE, TEXTURE
from talkface_core.pixels import as_byte_array
from talkface_core.training.arguments import above_zero

KINDS = {"sharp": None, "96 lines": Degradation(), "96 lines, soft": Degradation(sigma=0.5, cubic=False)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--clips", type=above_zero(int), default=16)
    parser.add_argument("--frames", type=above_zero(int), default=25)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--crops", type=Path, help="crops as .npy instead of cutting them out of DATA")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    model = load(args.checkpoint)
    clips = ClipSet.open(args.data)
    if args.crops:
        crops = np.load(args.crops, mmap_mode="r", allow_pickle=False)
    else:
        crops = face_crops(clips, model.config.image_size, args.cache or args.out / "cache").frames
    starts = [int(start) for start in clips.starts[:-1]][: args.clips]
    rows: dict[str, Any] = {}
    sheet: dict[str, list[NDArray[np.uint8]]] = {"soft": [], "restored": [], "real": []}
    for kind, softness in KINDS.items():
        scores = []
        for start in starts:
            real = np.array(crops[start : start + args.frames])
            soft = np.stack([degrade(frame, softness) for frame in real]) if softness else real
            began = time.perf_counter()
            restored = torch.cat([restore(model, soft[k : k + 8])[1] for k in range(0, len(soft), 8)])
            seconds = (time.perf_counter() - began) / len(soft)
            scores.append(numbers(model, soft, restored, real) | {"ms a frame": 1000 * seconds})
            if kind == "96 lines, soft":
                for name, frames in (("soft", soft), ("restored", as_byte_array(restored)), ("real", real)):
                    sheet[name].append(frames[len(frames) // 2])
        rows[kind] = {key: float(np.mean([row[key] for row in scores])) for key in scores[0]}
    contact_sheet(args.out / "sheet.png", {name: np.stack(frames) for name, frames in sheet.items()}, columns=6)
    (args.out / "quality.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    keys = list(rows["sharp"])
    print(f"| | {' | '.join(rows)} |\n|{'---|' * (len(rows) + 1)}")
    print("\n".join(f"| {key} | {' | '.join(f'{row[key]:.4g}' for row in rows.values())} |" for key in keys))


def load(checkpoint: str) -> SOVQAE:
    model = build(read_checkpoint(find_checkpoint(checkpoint)), TEXTURE)
    return model.to(pick_dtype(torch.device("cpu"))).to(memory_format=torch.channels_last)


def numbers(
    model: SOVQAE, soft: NDArray[np.uint8], restored: torch.Tensor, real: NDArray[np.uint8]
) -> dict[str, float]:
    """One clip's numbers."""
    middle, side = real.shape[1] // 2, real.shape[2] // 5
    rounded = as_byte_array(restored)
    pixels = [torch.from_numpy(frames[:8]).permute(0, 3, 1, 2).float() / 127.5 - 1 for frames in (soft, real)]
    return {
        "PSNR before": psnr(soft, real).clamp(max=60).mean().item(),
        "PSNR after": psnr(rounded, real).mean().item(),
        "SSIM before": ssim(soft, real).mean().item(),
        "SSIM after": ssim(rounded, real).mean().item(),
        "fine power before": fine_power_ratio(soft, real),
        "fine power after": fine_power_ratio(rounded, real),
        "fine power before, lower half": fine_power_ratio(*(f[:, middle:, side:-side] for f in (soft, real))),
        "fine power after, lower half": fine_power_ratio(*(f[:, middle:, side:-side] for f in (rounded, real))),
        "flicker before": flicker(soft) / flicker(real),
        "flicker after": flicker(rounded) / flicker(real),
        "codes as of the sharp frame": same_codes(model, *pixels).float().mean().item(),
    }


if __name__ == "__main__":
    run_program(main)
