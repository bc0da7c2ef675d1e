"""The layouts of the public weights that users bring, with random weights: memory, speed, and errors in half precision.

    python -m benchmarks.public_layouts [--threads 1] [--only NAME ...]     # the published sizes, one after the other
    python -m benchmarks.public_layouts --halves                            # small nets of the same layouts

The first prints for each layout its weights, the seconds of CPU that a unit takes (the clock runs on while other
programs have the cores) and the most memory that a process of its own held beyond what torch and the pack hold. The
second compares bfloat16 and float16, as the loaders cast each network, with float32: the relative error of its result.
"""

from __future__ import annotations

import argparse
import copy
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.ending import run_program
from talkface_core.cli.common import peak_rss_mb
from talkface_core.components import Component, cast
from talkface_core.dae_talker.autoencoder import AutoencoderConfig, DiffusionAutoencoder
from talkface_core.dae_talker.model import AUTOENCODER
from talkface_core.ladtalk.sovqae import TEXTURE, SOVQAEConfig
from talkface_core.ladtalk.wav2lip import WAV2LIP
from talkface_core.landmark_diffusion.completion import COMPLETION, CompletionConfig
from talkface_core.see_the_speaker.motion_diffusion import MOTION
from talkface_core.see_the_speaker.renderer import RENDERER

Run = Callable[[Any], Tensor]


@dataclass(frozen=True)
class Layout:
    """A network: its component, the published settings and small ones, and what runs a unit of work, with its name."""

    component: Component
    published: Any
    small: Any
    run: Run
    unit: str


def dtype_of(net: nn.Module) -> torch.dtype:
    """What most of a network computes in."""
    return next(p.dtype for p in reversed(list(net.parameters())) if p.is_floating_point())


def drawn(*shape: int, low: float = -1.0) -> Tensor:
    """Numbers between `low` and 1, the same each time."""
    return low + (1 - low) * torch.rand(shape, generator=torch.Generator().manual_seed(0))


def restored(net: Any) -> Tensor:
    size = net.config.image_size
    coarse = nn.functional.interpolate(drawn(1, 3, size // 8, size // 8), scale_factor=8, mode="bilinear")
    return net(coarse).frames


def denoised(net: DiffusionAutoencoder) -> Tensor:
    size, kind = net.config.image_size, net.compute_dtype
    shown = drawn(1, 3, size, size).to(kind) if net.config.inpaints else None
    z = net.encode(drawn(1, 3, net.config.encoder.image_size, net.config.encoder.image_size))
    return net(drawn(1, 3, size, size).to(kind), torch.tensor([500]), z.to(kind), shown)


def moved(net: Any) -> Tensor:
    """One evaluation of a window of motion."""
    config = net.config
    heard = net.hear(drawn(1, config.frames, config.audio))
    return net(drawn(1, config.frames, config.values), torch.tensor([250]), heard, net.start(1))


def completed(net: Any) -> Tensor:
    frames, points = net.config.frames, net.landmarks.count
    return net(4 * drawn(1, frames, 80, 16), drawn(1, frames, points, 2, low=0.0), drawn(1, 15, points, 2, low=0.0))


def said(net: Any) -> Tensor:
    face = drawn(1, 3, net.config.size, net.config.size, low=0.0)
    return net(face, face.flip(-1), (4 * drawn(1, 1, 80, 16)).to(dtype_of(net)))


def rendered(net: Any) -> Tensor:
    size = 256 if net.config.size > 200 else net.config.size
    pictures = drawn(2, 3, size, size, low=0.0)
    return net.render(net.identity(pictures[:1]), net.motion(pictures)[1:])


def layouts() -> dict[str, Layout]:
    from tests.ladtalk.small_sovqae import PLAIN
    from tests.see_the_speaker.small_renderer import small_base

    base = SOVQAEConfig.preset("base")
    scales = len(base.channels)
    rohqd = replace(base, taming=True, heads=4, framing="ffhq")
    asking = {"guided": tuple(n >= scales - 2 for n in range(scales))}
    small_vq = replace(PLAIN, channels=(32, 64, 64), taming=True, heads=4)
    drawing = AutoencoderConfig.preset("base")
    few = {"channels": (32, 64), "attention": (False, True), "image_size": 32}
    small_drawing = replace(
        drawing,
        unet=replace(drawing.unet, **few, dropout=0.0, cond_dim=64),
        encoder=replace(drawing.encoder, **few, out_dim=64),
    )

    def inpainting(config: AutoencoderConfig) -> AutoencoderConfig:
        return replace(config, unet=replace(config.unet, spatial_channels=3))

    speaking = MOTION.config.preset("base")
    mesh = replace(CompletionConfig.preset("base"), boxed=True)
    lips, renderer = WAV2LIP.config.preset("base"), RENDERER.config.preset("base")
    return {
        "restoreformer++": Layout(
            TEXTURE, replace(rohqd, **asking), replace(small_vq, guided=(False, True, True)), restored, "a 512 px face"
        ),
        "rohqd": Layout(TEXTURE, rohqd, small_vq, restored, "a 512 px face"),
        "liveportrait": Layout(RENDERER, renderer, small_base(), rendered, "a portrait and a 512 px frame of it"),
        "joyvasa": Layout(
            MOTION, speaking, replace(speaking, width=64, ff=128, layers=2), moved, "an evaluation of 4 s of motion"
        ),
        "diffae-ffhq256": Layout(AUTOENCODER, drawing, small_drawing, denoised, "an evaluation of a 256 px frame"),
        "diffdub": Layout(
            AUTOENCODER, inpainting(drawing), inpainting(small_drawing), denoised, "an evaluation of a 256 px frame"
        ),
        "ip-lap": Layout(COMPLETION, mesh, mesh, completed, "0.2 s of landmarks"),
        "wav2lip": Layout(WAV2LIP, lips, lips, said, "a mouth"),
    }


def made(layout: Layout, config: Any) -> nn.Module:
    """A network in which nothing is zero, as it infers."""
    torch.manual_seed(0)
    net = layout.component.network(config, nn)
    for name, weight in net.named_parameters():
        if not weight.any():
            nn.init.normal_(weight, std=0.02 if name.endswith("bias") else 0.5 / max(weight[0].numel(), 1) ** 0.5)
    net.eval().requires_grad_(False)
    finish = layout.component.for_inference
    return finish(net, nn) if finish else net


@torch.no_grad()
def measured(name: str, threads: int) -> dict[str, Any]:
    """Weights, seconds of CPU and memory of a published layout, in this process."""
    torch.set_num_threads(threads)
    layout = layouts()[name]
    before = peak_rss_mb()
    net = made(layout, layout.published)
    weights = sum(value.numel() * value.element_size() for value in net.state_dict().values()) / 2**20
    start = time.process_time()
    picture = layout.run(net)
    seconds = time.process_time() - start
    assert torch.isfinite(picture.float()).all()
    peak = peak_rss_mb() - before
    return {
        "weights": f"{weights:.0f} MiB",
        "seconds": round(seconds, 2),
        "unit": layout.unit,
        "peak": f"{peak:.0f} MiB",
    }


@torch.no_grad()
def halves() -> dict[str, dict[str, float]]:
    """Relative errors of small nets in half precision."""
    table: dict[str, dict[str, float]] = {}
    for name, layout in layouts().items():
        exact = made(layout, layout.small)
        wanted = layout.run(exact).double()
        table[name] = {}
        if not layout.component.half:
            continue
        for kind in (torch.bfloat16, torch.float16):
            net = copy.deepcopy(exact)
            cast(net, kind, layout.component.exact)
            error = ((layout.run(net).double() - wanted).norm() / wanted.norm()).item()
            table[name][str(kind).removeprefix("torch.")] = float(f"{error:.2g}")
            if layout.component is TEXTURE:
                picture = drawn(1, 3, net.config.image_size, net.config.image_size)
                same = (net.codes(picture) == exact.codes(picture)).float().mean().item()
                table[name][f"codes kept in {str(kind).removeprefix('torch.')}"] = round(same, 3)
    return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="+", metavar="NAME", choices=list(layouts()), help="these layouts alone")
    parser.add_argument("--halves", action="store_true", help="errors of half precision instead")
    parser.add_argument("--here", metavar="NAME", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.here:
        print(json.dumps(measured(args.here, args.threads)))
        return
    if args.halves:
        for name, errors in halves().items():
            told = ", ".join(f"{kind} {error:g}" for kind, error in errors.items())
            print(f"{name:<18} {told or 'stays in float32 whatever is asked'}")
        return
    for name in args.only or layouts():
        command = [sys.executable, "-m", __spec__.name, "--here", name, "--threads", str(args.threads)]
        told = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
        print(
            f"{name:<18} {told['weights']:>9} of weights, {told['seconds']:6.2f} s of CPU for {told['unit']}, "
            f"{told['peak']} at the peak",
            flush=True,
        )


if __name__ == "__main__":
    run_program(main)
