"""What the public RestoreFormer++ code computes with weights from a formula, and the program that wrote it down.

`python -m tests.ladtalk.restoreformer_golden CLONE` imports the public code from a clone of
github.com/wzhouxiff/RestoreFormerPlusPlus, gives shrunken nets of its three layouts the weights of `weights`, and
writes tests/fixtures/restoreformer_golden.json.gz; with `--full` it compares the published sizes beside ours instead.
The formula stands in for stored weights: the same numbers on every machine.
"""

import gzip
import json
import sys
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from talkface_core.ladtalk.convert_restoreformer import read_restoreformer
from tests.dae_talker.diffae_golden import uniform

GOLDEN = Path(__file__).parents[1] / "fixtures" / "restoreformer_golden.json.gz"
SAMPLES = 2
EVERY = 7
"""Of the pixels every so-manieth is kept."""

# Small, but with what is easily got wrong: three scales, attention at one or two, several heads, a skip's convolution.
SMALL = {
    "n_embed": 48,
    "embed_dim": 32,
    "z_channels": 32,
    "ch": 32,
    "ch_mult": (1, 2, 2),
    "num_res_blocks": 2,
    "attn_resolutions": [8],
    "resolution": 32,
}
PUBLISHED = {"ch": 64, "ch_mult": (1, 2, 2, 4, 4, 8), "attn_resolutions": [16], "resolution": 512}
KINDS = {"ROHQD": (4, 0), "RestoreFormer": (8, 0), "RestoreFormer++": (4, 1)}
"""Heads of attention, and at how many more scales than the coarsest the decoder asks."""


def weights(shapes: Mapping[str, Iterable[int]], guided: bool, plain: bool = False) -> dict[str, Tensor]:
    """A state for these keys in which signals neither die out nor grow and no norm is trivial, but for those that an
    auto-encoder without guidance never touches. `plain`: zeros, in next to no memory."""
    state = {}
    for key, shape in shapes.items():
        if plain:
            values = torch.zeros(()).expand(tuple(shape))
        elif "norm2" in key and "attn" in key and not guided:
            values = torch.full(tuple(shape), float(key.endswith("weight")))
        else:
            values = uniform(key, shape)
            if key == "quantize.embedding.weight":
                values = 0.8 * values
            elif values.ndim > 1:
                # Attention that tells places apart, and a branch that is seen beside what it is added to.
                values = values * ((9 if ".q." in key or ".k." in key else 3) / values[0].numel()) ** 0.5
            elif "norm" in key and key.endswith("weight"):
                values = 1 + 0.3 * values
            else:
                values = 0.2 * values
        state[key] = values
    return state


def inputs(side: int = 32, samples: int = SAMPLES) -> Tensor:
    """Pictures in -1..1, [samples, 3, side, side]: coarse shapes with fine grain."""
    coarse = uniform("pictures", (samples, 3, side // 8, side // 8))
    fine = uniform("grain", (samples, 3, side, side))
    return (0.7 * nn.functional.interpolate(coarse, scale_factor=8, mode="bilinear") + 0.3 * fine).clamp(-1, 1)


def load() -> dict[str, Any]:
    """{kind: {"shapes", "pixels", "codes", "encodings"}}"""
    with gzip.open(GOLDEN, "rt") as file:
        return json.load(file)


def public_file(path: Path, state: Mapping[str, Tensor]) -> Path:
    """A file as the public training writes it, with its losses' networks and its optimiser."""
    named = {f"vqvae.{key}": value for key, value in state.items()}
    named["loss.discriminator.main.0.weight"] = torch.zeros(2, 3, 4, 4)
    torch.save({"epoch": 3, "state_dict": named, "optimizer_states": [{"state": {}}]}, path)
    return path


def small_file(path: Path, kind: str = "RestoreFormer++", seed: int | None = None) -> Path:
    """A small public file of a kind; `seed`: with weights of its own."""
    state = weights(load()[kind]["shapes"], kind != "ROHQD")
    if seed is not None:
        state["decoder.conv_out.bias"] = state["decoder.conv_out.bias"] + seed
    return public_file(path, state)


def published(clone: str, kind: str, sizes: Mapping[str, Any]) -> nn.Module:
    """The public network of a kind in other sizes."""
    if clone not in sys.path:
        sys.path.insert(0, clone)
    from RestoreFormer.modules.vqvae.vqvae_arch import VQVAEGAN, VQVAEGANMultiHeadTransformer

    heads, more = KINDS[kind]
    settings: dict[str, Any] = {**sizes, "head_size": heads}
    if kind == "ROHQD":
        return VQVAEGAN(**settings).eval()
    return VQVAEGANMultiHeadTransformer(**settings, ex_multi_scale_num=more).eval()


@torch.no_grad()
def write(clone: str) -> None:
    golden = {}
    for kind in KINDS:
        net = published(clone, kind, SMALL)
        shapes = {key: list(value.shape) for key, value in net.state_dict().items()}
        net.load_state_dict(weights(shapes, kind != "ROHQD"))
        picture, _, (_, _, codes, _), maps = net(inputs())
        encodings = net.quant_conv(maps["out"])
        used = len(codes.unique())
        print(f"{kind}: mean {picture.mean():.4f}, deviation {picture.std():.4f}, {used} codes in use")
        golden[kind] = {
            "shapes": shapes,
            "pixels": [float(f"{x:.7g}") for x in picture.flatten()[::EVERY]],
            "encodings": [float(f"{x:.7g}") for x in encodings.flatten()[::EVERY]],
            "codes": codes.flatten().tolist(),
        }
    GOLDEN.write_bytes(gzip.compress(json.dumps(golden).encode(), mtime=0))


@torch.no_grad()
def compare(clone: str) -> None:
    """The published sizes beside ours, one whole forward of one picture of 512 px each."""
    for kind in KINDS:
        net = published(clone, kind, PUBLISHED)
        state = weights({key: value.shape for key, value in net.state_dict().items()}, kind != "ROHQD")
        net.load_state_dict(state)
        with tempfile.TemporaryDirectory() as folder:
            path = public_file(Path(folder) / "last.ckpt", state)
            print(f"{kind}: {sum(value.numel() for value in state.values()) / 1e6:.2f} M weights")
            ours, _ = read_restoreformer(path)
            picture, _, (_, _, codes, _), _ = net(inputs(512, 1))
            output = ours(inputs(512, 1))
            same = (output.quantised.codes.flatten() == codes.flatten()).float().mean()
            error = (output.frames - picture).norm() / picture.norm()
            print(f"  codes that agree {same:.4f}, pictures' relative error {error:.2e}, deviation {picture.std():.3f}")


if __name__ == "__main__":
    compare(sys.argv[1]) if "--full" in sys.argv else write(sys.argv[1])
