"""How few network evaluations are enough: samplers and step counts against 100-step DDIM, on validation frames.

    python -m benchmarks.dae_talker_sampling --data DATASET [--model NAME|FILE] [--frames N]

Every N-th real frame of DATASET/val is encoded and decoded with one shared x_T. Per sampler and count of network
evaluations: PSNR and SSIM against the real frame, sharpness of the mouth by the real one's, PSNR against what 100 DDIM
steps give, and milliseconds a frame.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.ending import run_program
from talkface_core.dae_talker.decode import decode, encode, noise_from_seed
from talkface_core.dae_talker.model import BUNDLED, load_dae_talker
from talkface_core.datasets.clips import ClipSet
from talkface_core.evaluation.metrics import psnr, sharpness_ratio, ssim
from talkface_core.evaluation.report import CROPS, crops
from talkface_core.faces.landmarks import MOUTH
from talkface_core.training.arguments import above_zero

STEPS = (1, 2, 3, 4, 6, 8, 10)
REFERENCE = ("ddim", 100)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="DATASET")
    parser.add_argument("--model", default=BUNDLED, metavar="NAME|FILE")
    parser.add_argument(
        "--frames", type=above_zero(int), default=48, metavar="N", help="how many frames to take (default: 48)"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    args = parser.parse_args()
    talker = load_dae_talker(args.model)
    model = talker.autoencoder
    clips = ClipSet.open(args.data / "val")
    with tempfile.TemporaryDirectory() as cache:
        chosen = np.linspace(0, len(clips) - 1, args.frames).astype(int)
        real = torch.tensor(np.asarray(clips.frame_cache(talker.image_size, cache)[chosen]))
    centres = clips.landmarks[chosen][:, MOUTH].mean(1)
    side = CROPS["mouth"][1]
    z = torch.cat(list(encode(model, real.split(16))))
    x_T = noise_from_seed(model, 0)

    def decoded(sampler: str, steps: int) -> torch.Tensor:
        return torch.cat([chunk.cpu() for chunk in decode(model, z, x_T, sampler, steps)])

    decoded("ddim", 1)  # the first call pays for oneDNN's set-up
    reference = decoded(*REFERENCE)
    rows = []
    for sampler, steps in [(s, n) for s in ("ddim", "dpmpp_2m") for n in STEPS] + [REFERENCE]:
        start = time.perf_counter()
        frames = decoded(sampler, steps)
        seconds = time.perf_counter() - start
        rows.append(
            {
                "sampler": sampler,
                "steps": steps,
                "psnr": psnr(frames, real).mean().item(),
                "ssim": ssim(frames, real).mean().item(),
                "sharpness_mouth": sharpness_ratio(crops(frames, centres, side), crops(real, centres, side)),
                "psnr_to_ddim100": None if (sampler, steps) == REFERENCE else psnr(frames, reference).mean().item(),
                "ms_per_frame": 1000 * seconds / len(frames),
            }
        )
    if args.json:
        print(json.dumps(rows, indent=2))
        return
    print("| sampler | evaluations | PSNR | SSIM | sharpness of the mouth | PSNR to 100-step DDIM | ms a frame |")
    print("|---|---|---|---|---|---|---|")
    for row in rows:
        near = "" if row["psnr_to_ddim100"] is None else f"{row['psnr_to_ddim100']:.1f}"
        print(
            f"| {row['sampler']} | {row['steps']} | {row['psnr']:.2f} | {row['ssim']:.3f} | "
            f"{row['sharpness_mouth']:.2f} | {near} | {row['ms_per_frame']:.1f} |"
        )


if __name__ == "__main__":
    run_program(main)
