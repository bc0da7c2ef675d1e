"""One side of `benchmarks.peers`, in a process of its own: a public network, or ours with the same weights.

The public code is imported from its clone as the tests' golden programs do it; ours is converted from a file that the
public side writes, as a user's would be.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks.ending import run_program
from talkface_core.checkpoints import read_checkpoint
from talkface_core.components import Component, build
from talkface_core.errors import InputError
from talkface_core.ladtalk.sovqae import TEXTURE
from talkface_core.ladtalk.wav2lip import WAV2LIP
from talkface_core.landmark_diffusion.completion import COMPLETION
from tests.dae_talker import diffae_golden
from tests.dae_talker.diffae_golden import uniform
from tests.ladtalk import restoreformer_golden, wav2lip_golden
from tests.landmark_diffusion import iplap_golden

Run = Callable[[], Tensor]
Side = Callable[[Path, Path, torch.dtype, int], Run]
"""Clone, folder of the weights' files, what is computed in, units -> what computes so many units."""


def diffae_public(clone: Path, folder: Path, dtype: torch.dtype, units: int) -> Run:
    net = diffae_golden.public_model(diffae_golden.FFHQ256)
    net.load_state_dict(diffae_golden.weights({key: list(value.shape) for key, value in net.state_dict().items()}))
    _, noisy, _ = diffae_golden.inputs(256)
    net.to(dtype)
    x, z, t = _repeated(noisy[:1], units).to(dtype), uniform("z", (units, 512)).to(dtype), torch.full((units,), 500)
    state = {f"ema_model.{key}": value for key, value in net.state_dict().items()}
    _save({"state_dict": state | {"x_T": noisy[0]}}, folder / "diffae.ckpt", dtype)
    return lambda: net(x, t, cond=z).pred


def diffae_ours(clone: Path, folder: Path, dtype: torch.dtype, units: int) -> Run:
    from talkface_core.dae_talker.convert import convert_diffae
    from talkface_core.dae_talker.model import load_autoencoder

    net = load_autoencoder(convert_diffae(folder / "diffae.ckpt", folder / "diffae.safetensors"), "cpu", dtype)
    _, noisy, _ = diffae_golden.inputs(256)
    x, z, t = _repeated(noisy[:1], units).to(dtype), uniform("z", (units, 512)).to(dtype), torch.full((units,), 500)
    return lambda: net(x.to(memory_format=torch.channels_last), t, z)


def wav2lip_public(clone: Path, folder: Path, dtype: torch.dtype, units: int) -> Run:
    from models import Wav2Lip as Generator

    net = Generator().eval()
    state = wav2lip_golden.weights({key: list(value.shape) for key, value in net.state_dict().items()})
    net.load_state_dict(state)
    net.to(dtype)
    faces, references, windows = _mouths(units, dtype)
    masked = faces.clone()
    masked[:, :, 48:] = 0
    pictures = torch.cat([masked.flip(1), references.flip(1)], 1)
    _save({"state_dict": net.state_dict()}, folder / "wav2lip.pth", dtype)
    return lambda: net(windows, pictures).flip(1)


def wav2lip_ours(clone: Path, folder: Path, dtype: torch.dtype, units: int) -> Run:
    from talkface_core.ladtalk.convert import convert_wav2lip

    net = _built(convert_wav2lip(folder / "wav2lip.pth", folder / "wav2lip.safetensors"), WAV2LIP, dtype)
    faces, references, windows = _mouths(units, dtype)
    return lambda: net(faces, references, windows)


def restoreformer_public(clone: Path, folder: Path, dtype: torch.dtype, units: int) -> Run:
    net = restoreformer_golden.published(str(clone), "RestoreFormer++", restoreformer_golden.PUBLISHED)
    shapes = {key: value.shape for key, value in net.state_dict().items()}
    state = restoreformer_golden.weights(shapes, True)
    net.load_state_dict(state)
    restoreformer_golden.public_file(folder / "restoreformer.ckpt", state)
    net.to(dtype)
    pictures = restoreformer_golden.inputs(512, units).to(dtype)
    return lambda: torch.cat([net(picture[None])[0] for picture in pictures])


def restoreformer_ours(clone: Path, folder: Path, dtype: torch.dtype, units: int) -> Run:
    from talkface_core.ladtalk.convert_restoreformer import convert_restoreformer

    file = convert_restoreformer(folder / "restoreformer.ckpt", folder / "restoreformer.safetensors")
    net = _built(file, TEXTURE, dtype)
    pictures = restoreformer_golden.inputs(512, units)
    return lambda: net(pictures).frames


def iplap_public(clone: Path, folder: Path, dtype: torch.dtype, units: int) -> Run:
    sys.path.insert(0, f"{clone}/models")
    from landmark_generator import Landmark_generator

    torch.Tensor.cuda = lambda self, *_: self  # type: ignore[method-assign, assignment]
    net = Landmark_generator(T=5, d_model=512, nlayers=4, nhead=4, dim_feedforward=1024, dropout=0.1).eval()
    shapes = {key: list(value.shape) for key, value in net.state_dict().items()}
    net.load_state_dict(iplap_golden.weights(shapes), strict=False)
    net.to(dtype)
    given = {name: value.to(dtype) for name, value in iplap_golden.inputs().items()}
    windows, pose, references = given["windows"][:, :, None], given["pose"].mT, given["references"].mT
    known = references[:, :, :, : iplap_golden.POSE], references[:, :, :, iplap_golden.POSE :]
    _save({"state_dict": net.state_dict()}, folder / "iplap.pth", dtype)

    def run() -> Tensor:
        made = [net(windows, pose, *known).unflatten(0, (1, iplap_golden.FRAMES)).mT for _ in range(units)]
        return torch.cat(made)

    return run


def iplap_ours(clone: Path, folder: Path, dtype: torch.dtype, units: int) -> Run:
    from talkface_core.landmark_diffusion.convert import convert_completion

    if dtype != torch.float32:
        raise InputError("landmarks are always computed in float32")
    net = _built(convert_completion(folder / "iplap.pth", folder / "iplap.safetensors"), COMPLETION, dtype)
    given = {name: _repeated(value, units).to(dtype) for name, value in iplap_golden.inputs().items()}
    return lambda: net.net(given["windows"], given["pose"], given["references"])


SIDES: dict[str, tuple[Side, Side]] = {
    "diffae": (diffae_public, diffae_ours),
    "wav2lip": (wav2lip_public, wav2lip_ours),
    "restoreformer": (restoreformer_public, restoreformer_ours),
    "iplap": (iplap_public, iplap_ours),
}
"""By name: the public side and ours."""


def main() -> None:
    """Prints one JSON object: seconds of the processor and of the clock a unit, and the peak of memory."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=SIDES)
    parser.add_argument("side", choices=("public", "ours"))
    parser.add_argument("dtype", choices=("float32", "bfloat16"))
    parser.add_argument("clone", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--units", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    sys.path.insert(0, str(args.clone))
    torch.manual_seed(0)
    make = SIDES[args.name][args.side == "ours"]
    with torch.inference_mode():
        run = make(args.clone, args.folder, getattr(torch, args.dtype), args.units)
        made = run()
        seconds = [_timed(run) for _ in range(args.repeats)]
    np.save(args.folder / f"{args.name}_{args.side}_{args.dtype}.npy", made.float().numpy())
    processor, clock = np.median(np.array(seconds), 0) / args.units
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"processor": float(processor), "clock": float(clock), "peak_rss_mb": round(peak)}))


def _timed(run: Run) -> tuple[float, float]:
    processor, clock = time.process_time(), time.perf_counter()
    run()
    return time.process_time() - processor, time.perf_counter() - clock


def _built(file: Path, component: Component, dtype: torch.dtype) -> Any:
    """As the loaders have it."""
    return build(read_checkpoint(file), component, torch.nn, dtype, "cpu")


def _save(content: dict[str, Any], path: Path, dtype: torch.dtype) -> None:
    if dtype == torch.float32:
        torch.save(content, path)


def _repeated(value: Tensor, units: int) -> Tensor:
    return value[:1].expand(units, *value.shape[1:]).contiguous()


def _mouths(units: int, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    given = wav2lip_golden.inputs()
    return tuple(_repeated(given[key], units).to(dtype) for key in ("faces", "references", "windows"))  # type: ignore[return-value]


if __name__ == "__main__":
    run_program(main)
