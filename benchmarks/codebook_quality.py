"""The codebook on people it never saw: sharpness, likeness and flicker over the fidelity, beside a plain enlargement.

    python -m benchmarks.codebook_quality CHECKPOINT SET/val … OUT [--stills DIR/val …] [--frames 24] [--clean]
    python -m benchmarks.codebook_quality CHECKPOINT SET/val … OUT --renderer FILE

Frames are brought to the codebook's input size and made as soft as a small renderer's (one draw of `Softness` for each
clip; `--clean`: resized alone; `--renderer`: heads as that one draws them of the clip's last frame in the true motion,
which adds its own errors), enhanced at several fidelities, and compared with the true frames. Sharpness: variance
of the luma's Laplacian in squares around mouth and eyes, by the true one's. PSNR: of the whole frame and of the mouth's
square. Flicker: mean absolute change from frame to frame of the whole picture, by the true clip's; `codes that stay`:
share of the predicted codes that are the same in the next frame. Writes OUT/quality.json, a table and a sheet of each
set (soft, fidelities, true), of which those of real people stay at home.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray

from benchmarks.ending import run_program
from benchmarks.pictures import contact_sheet
from talkface_core.checkpoints import find_checkpoint, read_checkpoint
from talkface_core.components import build
from talkface_core.datasets.clips import ClipSet
from talkface_core.errors import InputError
from talkface_core.evaluation.metrics import flicker, psnr, sharpness_ratio
from talkface_core.evaluation.report import CROPS, crops
from talkface_core.faces.align import warp
from talkface_core.pixels import as_byte_array, as_unit_tensor, resized_pictures
from talkface_core.see_the_speaker.codebook import CODEBOOK, CodebookDecoder
from talkface_core.see_the_speaker.motion import Motion
from talkface_core.see_the_speaker.motion_extractor import Seen
from talkface_core.see_the_speaker.portrait_crop import portrait_crop
from talkface_core.see_the_speaker.renderer import RENDERER, HolisticRenderer
from talkface_core.see_the_speaker.training.codebook_batches import Softness, resized, still_portraits
from talkface_core.see_the_speaker.training.moving_heads import clip_motion
from talkface_core.training.arguments import above_zero

FIDELITIES = (0.0, 0.5, 0.8, 1.0)
Clip = tuple[NDArray[np.uint8], NDArray[np.float32]]
"""Frames [T,S,S,3] and landmarks [T,68,2] as shares of the side."""
Pair = tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.uint8]]
"""The same and soft frames [T,s,s,3]."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint")
    parser.add_argument("data", type=Path, nargs="+", help="folders of clips, then OUT")
    parser.add_argument("--stills", type=Path, nargs="*", default=[], help="folders of portraits")
    parser.add_argument("--clips", type=above_zero(int), default=8, help="of each set (default: 8)")
    parser.add_argument(
        "--frames", type=above_zero(int), default=24, help="of each clip, one after the other (default: 24)"
    )
    parser.add_argument("--renderer", help="checkpoint whose pictures are enhanced, instead of softened frames")
    parser.add_argument("--clean", action="store_true", help="frames are shrunk and not made soft")
    args = parser.parse_args()
    *folders, out = args.data
    if not folders and not args.stills:
        raise InputError(f"{out} is where the results go, and there is nothing to measure: give folders of clips first")
    out.mkdir(parents=True, exist_ok=True)
    net = build(read_checkpoint(find_checkpoint(args.checkpoint)), CODEBOOK)
    softness = Softness(0.0, 0.0, 0.0, 1.0, 0.0, 0.0) if args.clean else Softness(noise=0.0)
    rows: dict[str, dict[str, dict[str, float]]] = {}
    sets = [(folder, softened(net, softness, clips_of(folder, net, args.clips, args.frames))) for folder in folders]
    sets += [(folder, softened(net, softness, stills_of(folder, net))) for folder in args.stills]
    if args.renderer:
        renderer = build(read_checkpoint(find_checkpoint(args.renderer)), RENDERER)
        sets = [(folder, rendered(folder, net, renderer, args.clips, args.frames)) for folder in folders]
    for folder, clips in sets:
        name, scores = f"{folder.parent.name}/{folder.name}", defaultdict(list)
        sheet: dict[str, list[NDArray[np.uint8]]] = defaultdict(list)
        for real, landmarks, soft in clips:
            pictures = {"bicubic": enlarged(soft, real.shape[1])}
            for fidelity in FIDELITIES:
                pictures[f"w {fidelity:g}"], seconds, stay = enhanced(net, soft, fidelity)
                scores[f"w {fidelity:g}"].append({"ms a frame": 1000 * seconds, "codes that stay": stay})
            for kind, made in pictures.items():
                scores[kind].append(numbers(made, real, landmarks))
                sheet[kind].append(made[0])
            sheet["true"].append(real[0])
        rows[name] = {kind: means(values) for kind, values in scores.items()}
        columns = min(6, len(sheet["true"]))
        contact_sheet(out / f"{name.replace('/', '_')}.png", {k: np.stack(v) for k, v in sheet.items()}, columns)
    (out / "quality.json").write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    for name, kinds in rows.items():
        print(f"\n| {name} | {' | '.join(kinds)} |\n|{'---|' * (len(kinds) + 1)}")
        for measure in {measure: None for row in kinds.values() for measure in row}:
            values = (kinds[kind].get(measure) for kind in kinds)
            print(f"| {measure} | {' | '.join('' if v is None else f'{v:.3g}' for v in values)} |")


def clips_of(folder: Path, net: CodebookDecoder, clips: int, frames: int) -> Iterator[Clip]:
    """The first frames of some clips of a set, evenly chosen."""
    found = ClipSet.open(folder).clips
    size = net.config.autoencoder.image_size
    for n in sorted({round(n) for n in np.linspace(0, len(found) - 1, clips)}):
        pictures = np.stack([resized(frame, size) for frame in islice(found[n].decode(), frames)])
        yield pictures, found[n].truth()["landmarks"][: len(pictures)] / np.float32(found[n].width)


def stills_of(folder: Path, net: CodebookDecoder) -> Iterator[Clip]:
    """The portraits of a folder, each as a clip of one frame."""
    size = net.config.autoencoder.image_size
    portraits = still_portraits([folder], size)
    assert portraits is not None
    for frame, landmarks in zip(portraits.frames, portraits.landmarks / np.float32(size), strict=True):
        yield frame[None], landmarks[None]


def softened(net: CodebookDecoder, softness: Softness, clips: Iterable[Clip]) -> Iterator[Pair]:
    """Clips with their soft frames, of the same draw for all of a clip."""
    size = net.config.input_size
    for number, (real, landmarks) in enumerate(clips):
        pairs = zip(real, landmarks * real.shape[1], strict=True)
        soft = [softness.soften(one, points, size, np.random.default_rng(number)) for one, points in pairs]
        yield real, landmarks, np.stack(soft)


def rendered(folder: Path, net: CodebookDecoder, renderer: HolisticRenderer, clips: int, frames: int) -> Iterator[Pair]:
    """Heads of some clips of a set, and as the renderer draws their first frames of their last one."""
    found = ClipSet.open(folder).clips
    size = net.config.autoencoder.image_size
    for n in sorted({round(n) for n in np.linspace(0, len(found) - 1, clips)}):
        truth, every = found[n].truth(), list(found[n].decode())
        shape = (found[n].height, found[n].width)
        crop = portrait_crop(torch.from_numpy(truth["landmarks"]), shape, size, renderer.config.reach)
        chosen = [*range(frames), len(every) - 1]
        heads = np.stack([warp(every[k], crop.matrices[0].numpy(), size) for k in chosen])
        seen = clip_motion(truth, crop.landmarks, size)
        known = Seen(*(getattr(seen, name)[[-1]] for name in Seen.__dataclass_fields__))
        pictures = rearrange(as_unit_tensor(heads), "t h w c -> t c h w")
        identity = renderer.identity(resized_pictures(pictures[-1:], renderer.config.size), known)
        parts = (seen.expression, seen.rotation, seen.translation, seen.scale)
        drawn = renderer.render(identity, Motion(*(part[:frames] for part in parts)))
        soft = as_byte_array(rearrange(drawn, "t c h w -> t h w c"))
        yield heads[:-1], (crop.landmarks[:frames] / size).numpy(), soft


def enlarged(soft: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return np.stack([cv2.resize(frame, (size, size), interpolation=cv2.INTER_CUBIC) for frame in soft])


@torch.no_grad()
def enhanced(net: CodebookDecoder, soft: NDArray[np.uint8], fidelity: float) -> tuple[NDArray[np.uint8], float, float]:
    """Frames, seconds a frame, one frame at a time, and the share of codes that the next frame has too."""
    pictures, codes = rearrange(as_unit_tensor(soft), "t h w c -> t c h w"), []
    began = time.perf_counter()
    made = torch.cat([net.enhance(one[None], fidelity) for one in pictures])
    seconds = (time.perf_counter() - began) / len(pictures)
    for one in pictures:
        codes.append(net.predictor(net.encode(one[None] * 2 - 1)[0]).argmax(-1))
    all_codes = torch.cat(codes)
    stay = (all_codes[1:] == all_codes[:-1]).float().mean().item() if len(codes) > 1 else float("nan")
    return as_byte_array(rearrange(made, "t c h w -> t h w c")), seconds, stay


def numbers(made: NDArray[np.uint8], real: NDArray[np.uint8], landmarks: NDArray[np.float32]) -> dict[str, float]:
    """One clip's."""
    row = {"PSNR": psnr(made, real).clamp(max=60).mean().item()}
    for part, (points, side) in CROPS.items():
        pair = [crops(frames, landmarks[:, points].mean(1), side) for frames in (made, real)]
        row[f"PSNR, {part}"] = psnr(*pair).clamp(max=60).mean().item()
        row[f"sharpness, {part}"] = sharpness_ratio(*pair)
    row["sharpness"] = sharpness_ratio(made, real)
    if len(real) > 1:
        row["flicker"] = flicker(made) / flicker(real)
    return row


def means(rows: list[dict[str, float]]) -> dict[str, float]:
    """Of each measure over the clips that have it."""
    names = {name: None for row in rows for name in row}
    found = {name: [row[name] for row in rows if name in row and not np.isnan(row[name])] for name in names}
    return {name: float(np.mean(values)) for name, values in found.items() if values}


if __name__ == "__main__":
    run_program(main)
