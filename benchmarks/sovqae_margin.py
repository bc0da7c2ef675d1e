"""What the codebook's regulariser buys: a plain VQ auto-encoder and a SOVQAE trained in the same way, side by side.

    python -m benchmarks.sovqae_margin DATA OUT [--steps 300]

Same data, same start, same batches; nothing differs but the spread. Both are measured on the `val` people: mean margin
m, local Lipschitz constant K, m / K, codes in even use, the share of codes that noise and softness leave, and the
picture's quality. Writes OUT/margin.json and a table.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.ending import run_program
from talkface_core.datasets.aligned_faces import face_crops
from talkface_core.datasets.clips import ClipSet
from talkface_core.evaluation.metrics import psnr
from talkface_core.ladtalk.degrade import Degradation, degrade
from talkface_core.ladtalk.enhance import restore
from talkface_core.ladtalk.recipe_sovqae import BATCHES, LOSSES, TRAINING, SOVQAERecipe
from talkface_core.ladtalk.robustness import certify, same_codes
from talkface_core.ladtalk.sovqae import SOVQAE, SOVQAEConfig
from talkface_core.quantisation.quantiser import perplexity
from talkface_core.training.adversarial import PatchDiscriminatorConfig
from talkface_core.training.arguments import above_zero
from talkface_core.training.engine import train

LEVELS = (0.5, 1.0, 2.0, 4.0)


def variants() -> dict[str, dict[str, float]]:
    """What differs in the loss."""
    return {"plain VQ auto-encoder": {"spread": 0.0}, "SOVQAE (codes spread)": {"spread": LOSSES["tiny"].spread}}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="a set with `train` and `val`")
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--frames", type=above_zero(int), default=16, help="val frames to measure on")
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--crops", type=Path, help="crops as .npy instead of cutting them: train.npy and val.npy here")
    args = parser.parse_args()
    train_crops, val = crops(args, "train"), crops(args, "val")
    real = np.stack([val[n] for n in np.linspace(0, len(val) - 1, args.frames).astype(int)])
    rows = {}
    for name, change in variants().items():
        loss = replace(LOSSES["tiny"], quantise_from=args.steps // 5, judge=0.0, **change)
        training = replace(BATCHES["tiny"], batch_size=args.batch_size, patch=args.patch)
        torch.manual_seed(0)
        recipe = SOVQAERecipe(
            train_crops,
            str(args.data),
            SOVQAEConfig.preset("tiny"),
            PatchDiscriminatorConfig.preset("tiny"),
            loss,
            training,
        )
        run = args.out / name.split()[0].lower()
        config = replace(TRAINING["tiny"], ema_decay=0.9)
        former = (run / "state.safetensors").is_file()
        train(recipe, run, args.steps, config, save_every=100, sample_every=0, device="cpu", resume=former)
        rows[name] = measure(recipe.sovqae.eval(), real)
        (args.out / "margin.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    print(table(rows))


def crops(args: argparse.Namespace, split: str) -> NDArray[np.uint8]:
    if args.crops:
        return np.load(args.crops / f"{split}.npy", mmap_mode="r", allow_pickle=False)
    clips = ClipSet.open(args.data / split)
    return face_crops(clips, SOVQAEConfig.preset("tiny").image_size, args.cache or args.out / "cache").frames


def measure(model: SOVQAE, real: NDArray[np.uint8]) -> dict[str, float]:
    """The numbers of one model on sharp crops uint8 [N, S, S, 3]."""
    pixels = torch.from_numpy(real).permute(0, 3, 1, 2).float() / 127.5 - 1
    soft = np.stack([degrade(frame, Degradation()) for frame in real])
    soft_pixels = torch.from_numpy(soft).permute(0, 3, 1, 2).float() / 127.5 - 1
    certificates = [certify(model, one[None], iterations=8) for one in pixels[:4]]
    margin = torch.cat([certificate.margins for certificate in certificates])
    bounds = torch.cat([certificate.bounds for certificate in certificates])
    counts = torch.bincount(model.codes(pixels).flatten(), minlength=model.config.codebook.codes).float()
    generator = torch.Generator().manual_seed(0)
    white = torch.randn(pixels.shape, generator=generator) * 2 / 255
    row = {
        "mean margin": margin.mean().item(),
        "Lipschitz constant": torch.cat([certificate.lipschitz for certificate in certificates]).mean().item(),
        "mean bound m/K": bounds.mean().item(),
        "distance of nearest used codes": nearest(model).item(),
        "perplexity": perplexity(counts).item(),
    }
    for level in LEVELS:
        kept = same_codes(model, pixels, pixels + level * white).float().mean().item()
        row[f"codes kept, noise of {level:g} levels"] = kept
    row["codes kept, 96 lines"] = same_codes(model, pixels, soft_pixels).float().mean().item()
    row["PSNR of sharp frames"] = psnr(restore(model, real)[1], torch.from_numpy(real) / 255).mean().item()
    row["PSNR of soft frames"] = psnr(restore(model, soft)[1], torch.from_numpy(real) / 255).mean().item()
    return row


def nearest(model: SOVQAE) -> torch.Tensor:
    """Mean distance of each used code to the nearest other one."""
    vectors = model.quantiser.vectors.detach()[model.quantiser.used]
    return (torch.cdist(vectors, vectors) + 1e9 * torch.eye(len(vectors))).amin(1).mean()


def table(rows: dict[str, dict[str, float]]) -> str:
    names = list(rows)
    lines = [f"| | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| {key} | {' | '.join(f'{rows[name][key]:.4g}' for name in names)} |" for key in rows[names[0]]]
    return "\n".join(lines)


if __name__ == "__main__":
    run_program(main)
