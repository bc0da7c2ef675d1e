"""What SOVQAE adds to Wav2Lip's own mouths on people neither ever saw: the texture's rows of the model card.

    python -m benchmarks.ladtalk_texture --data DATASET/val --out DIR [--model NAME|FILE] [--clips N]

Every clip says its own words, the references being frames of like pose a second or more away (as in wav2lip_quality).
Wav2Lip's crops, enlarged, are compared with the real ones before and after SOVQAE, in the repainted half of the crop:
PSNR, SSIM, power above half Nyquist and flicker by the real frames', at full strength and at the strength that the
pipeline matches to the footage. Writes DIR/texture.json, a table, and DIR/texture.png: Wav2Lip, restored, real.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from benchmarks.ending import run_program
from benchmarks.pictures import contact_sheet
from benchmarks.wav2lip_quality import Dubbing
from talkface_core.datasets.clips import ClipSet
from talkface_core.evaluation.metrics import fine_power_ratio, flicker, psnr, ssim
from talkface_core.evaluation.table import Report, Row
from talkface_core.faces.align import crop_faces
from talkface_core.ladtalk.enhance import restore
from talkface_core.ladtalk.hearing import listen
from talkface_core.ladtalk.matching import matching_strength
from talkface_core.ladtalk.model import BUNDLED, load_ladtalk
from talkface_core.ladtalk.pipeline import MATCHED_ON
from talkface_core.ladtalk.repaint import repaint
from talkface_core.media.audio import audio_source
from talkface_core.pixels import as_byte_array, to_unit
from talkface_core.training.arguments import above_zero

AT_ONCE = 16
TARGETS = {"fine power": (0.8, 1.2), "flicker": (None, 1.1)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, metavar="SPLIT")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--model", default=BUNDLED, metavar="NAME|FILE")
    parser.add_argument("--clips", type=above_zero(int), metavar="N", help="the first N clips (default: all)")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    model = load_ladtalk(args.model, "cpu")
    clips = ClipSet.open(args.data)
    scores: dict[tuple[str, str], dict[str, float]] = defaultdict(dict)
    sheet: dict[str, list[NDArray[np.uint8]]] = {"Wav2Lip": [], "restored": [], "real": []}
    for clip in tqdm(clips.clips[: args.clips], desc=clips.name):
        dubbed = Dubbing(model.lips, clip)
        speech = listen(model.lips, audio_source(clip.audio()), 25).at(range(len(dubbed.crops)))
        mouths = repaint(model.lips.wav2lip, dubbed.crops, speech, dubbed.elsewhere())
        pairs = [restore(model.sovqae, mouths[k : k + AT_ONCE]) for k in range(0, len(mouths), AT_ONCE)]
        inputs, sharp = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        real = crop_faces(dubbed.frames, dubbed.crop.resized(inputs.shape[1]))
        first = slice(MATCHED_ON)
        strength = matching_strength(inputs[first], sharp[first], to_unit(torch.from_numpy(real[first])))
        kinds = {"Wav2Lip": inputs, "SOVQAE": sharp, "SOVQAE, matched": torch.lerp(inputs, sharp, strength)}
        scores["SOVQAE, matched", "strength"][clip.name] = strength
        for kind, frames in kinds.items():
            for name, value in numbers(as_byte_array(frames), real).items():
                scores[kind, name][clip.name] = value
        for name, frames in zip(sheet, (as_byte_array(inputs), as_byte_array(sharp), real), strict=True):
            sheet[name].append(frames[len(frames) // 3])
    contact_sheet(args.out / "texture.png", {name: np.stack(frames) for name, frames in sheet.items()}, columns=6)
    report = as_report(scores, {"model": str(args.model), "data": clips.name})
    report.save(args.out, "texture")
    print(report.markdown())


def numbers(generated: NDArray[np.uint8], real: NDArray[np.uint8]) -> dict[str, float]:
    """Of the crops' lower halves, without what lies beside the face."""
    middle, side = real.shape[1] // 2, real.shape[2] // 6
    a, b = (frames[:, middle:, side:-side] for frames in (generated, real))
    return {
        "PSNR": psnr(a, b).mean().item(),
        "SSIM": ssim(a, b).mean().item(),
        "fine power": fine_power_ratio(a, b),
        "flicker": flicker(a) / flicker(b),
    }


def as_report(scores: dict[tuple[str, str], dict[str, float]], about: dict[str, str]) -> Report:
    """Means over the clips; SOVQAE is to raise Wav2Lip's PSNR and to bring power and flicker near the real frames'."""
    soft = float(np.mean(list(scores["Wav2Lip", "PSNR"].values())))
    rows = []
    for (kind, name), clips in scores.items():
        low, high = TARGETS.get(name, (None, None)) if kind != "Wav2Lip" else (None, None)
        if kind != "Wav2Lip" and name == "PSNR":
            low = soft
        real = 1.0 if name in ("SSIM", "fine power", "flicker") else None
        rows.append(Row(kind, name, float(np.mean(list(clips.values()))), real, "", low, high, clips))
    return Report("Texture of repainted mouths", rows, about, {})


if __name__ == "__main__":
    run_program(main)
