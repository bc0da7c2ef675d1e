"""The public DiffDub program and ours side by side, on the same random weights: equal numbers, and CPU time.

`python -m benchmarks.diffdub CLONE [--layout small|full]` runs the public program whole (see
tests/dae_talker/diffdub_golden.py, which says what it needs), converts its files, runs ours, and prints how far apart
they are and how long both took: seconds of the processor, which other work on the machine changes little.
`--times` measures in place of that how long frames take: the public loop frame by frame, ours all at once, with 20 and
5 evaluations, in float32 and in the halves that the device has units for. `--device cuda` does so on a GPU, in seconds
of the clock. `--halves` tells how far the halves are from float32.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.ending import run_program
from talkface_core.dae_talker.convert_diffdub import convert_diffdub
from talkface_core.dae_talker.inpainting import Inpainting, inpaint
from talkface_core.dae_talker.model import load_dubber
from talkface_core.device import pick_dtype
from talkface_core.training.arguments import above_zero
from tests.dae_talker.diffdub_golden import FULL, SMALL, Layout, public_run, stand_in
from tests.dae_talker.small_diffdub import dubbed

LAYOUTS = {"small": SMALL, "full": FULL}


def main() -> None:
    """Print a table and, last, a line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clone", help="of github.com/liutaocode/DiffDub")
    parser.add_argument("--layout", choices=LAYOUTS, default="small")
    parser.add_argument("--evaluations", type=int, help="of the decoder (default: the layout's)")
    parser.add_argument("--times", action="store_true", help="measure how long frames take")
    parser.add_argument("--timed", type=int, nargs="+", default=[20, 5], help="evaluations that are timed (20 5)")
    parser.add_argument("--halves", action="store_true", help="measure how far half precision is from float32")
    parser.add_argument("--frames", type=above_zero(int), default=4, help="that are timed (default: 4)")
    parser.add_argument("--device", default="cpu", help="where frames are timed (default: cpu)")
    args = parser.parse_args()
    layout: Layout = LAYOUTS[args.layout]
    layout = replace(layout, evaluations=args.evaluations or layout.evaluations)
    stand_in(args.clone)
    with tempfile.TemporaryDirectory() as folder:
        began = time.process_time()
        ran = public_run(layout, Path(folder))
        public = time.process_time() - began
        out = convert_diffdub(ran["files"], Path(folder) / "ours.safetensors")
        if args.times:
            rows = times(out, ran["stage1"], args.frames, args.device, args.timed)
        elif args.halves:
            rows = halves(out, layout)
        else:
            rows = equality(out, ran, layout, public)
    for row in rows:
        print("  ".join(f"{name} {value}" for name, value in row.items()))
    print(json.dumps({"layout": asdict(layout) | {"autoencoder": dict(layout.autoencoder)}, "rows": rows}))


def equality(out: Path, ran: dict[str, Tensor], layout: Layout, public: float) -> list[dict[str, object]]:
    """How far ours is from the public program, and both one's seconds; those of ours without loading."""
    model = load_dubber(out, "cpu", torch.float32)
    began = time.process_time()
    lips, said, painted = dubbed(model.autoencoder, model.speech, layout)
    ours = time.process_time() - began
    pairs = {
        "lips": (lips, ran["lips"][: len(lips)]),
        "said": (said, ran["said"][0]),
        "painted": (painted, ran["painted"]),
    }
    rows: list[dict[str, object]] = [
        {"what": name, "relative_error": f"{((a - b[: len(a)]).norm() / b.norm()).item():.1e}"}
        for name, (a, b) in pairs.items()
    ]
    return [*rows, {"what": "seconds", "public_with_loading": round(public, 2), "ours": round(ours, 2)}]


def halves(out: Path, layout: Layout) -> list[dict[str, object]]:
    """Relative errors of painted frames in half precision."""
    wanted, rows = None, []
    for kind in (torch.float32, torch.bfloat16, torch.float16):
        model = load_dubber(out, "cpu", kind)
        painted = dubbed(model.autoencoder, model.speech, layout)[2]
        wanted = painted if wanted is None else wanted
        error, psnr = (
            ((painted - wanted).norm() / wanted.norm()).item(),
            -10 * (painted - wanted).square().mean().log10(),
        )
        rows.append(
            {"dtype": str(kind).removeprefix("torch."), "relative_error": f"{error:.1e}", "psnr": f"{psnr:.1f}"}
        )
    return rows


@torch.no_grad()
def times(out: Path, stage1: torch.nn.Module, frames: int, device: str, timed: list[int]) -> list[dict[str, object]]:
    """Seconds a frame of the public sampling loop, one frame at a time as its program goes, and of ours."""
    place, size = torch.device(device), stage1.conf.img_size
    stage1.ema_model.to(place)
    noise = torch.Generator().manual_seed(0)
    faces = (torch.rand(frames, 3, size, size, generator=noise) * 2 - 1).to(place)
    latents = torch.randn(frames, stage1.conf.style_ch, generator=noise).to(place)
    x_T = torch.randn(3, size, size, generator=noise).to(place)
    regions = torch.zeros(frames, 1, size, size, dtype=torch.bool, device=place)
    regions[:, :, size // 2 :, size // 4 : 3 * size // 4] = True
    known = (~regions).expand(-1, 3, -1, -1).permute(0, 2, 3, 1).float()

    def theirs(steps: int) -> None:
        for n in range(frames):
            now = slice(n, n + 1)
            stage1.render(x_T[None], faces[now], faces[:1], latents[now], T=steps, mask=known[now])

    rows = []
    for steps in timed:
        seconds = _timed(lambda steps=steps: theirs(steps), place) / frames
        rows.append(
            {"program": "public", "evaluations": steps, "dtype": "float32", "seconds_a_frame": round(seconds, 4)}
        )
    stage1.ema_model.cpu()
    kinds = dict.fromkeys((torch.float32, pick_dtype(place), *[torch.float16] * (place.type == "cuda")))
    for kind in kinds:
        net = load_dubber(out, device, kind).autoencoder
        for steps in timed:
            settings = Inpainting(steps=steps)
            run = lambda net=net, settings=settings: inpaint(net, faces, regions, faces[:1], latents, x_T, settings)  # noqa: E731
            seconds = _timed(run, place) / frames
            name = str(kind).removeprefix("torch.")
            rows.append({"program": "ours", "evaluations": steps, "dtype": name, "seconds_a_frame": round(seconds, 4)})
    return rows


def _timed(run: Callable[[], object], device: torch.device) -> float:
    """Seconds of a run: of the processor on a CPU, else of the clock, after one to warm up."""
    if device.type == "cpu":
        began = time.process_time()
        run()
        return time.process_time() - began
    run()
    torch.cuda.synchronize()
    began = time.perf_counter()
    run()
    torch.cuda.synchronize()
    return time.perf_counter() - began


if __name__ == "__main__":
    run_program(main)
