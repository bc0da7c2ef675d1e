"""What the public Wav2Lip code computes with weights from a formula, and the program that wrote it down.

`python -m tests.ladtalk.wav2lip_golden CLONE` imports the public code (github.com/Rudrabha/Wav2Lip) from a clone, gives
its generator and its expert the weights of `weights`, and writes tests/fixtures/wav2lip_golden.json.gz. The formula
stands in for stored weights: the same numbers on every machine.
"""

import gzip
import json
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.dae_talker.diffae_golden import uniform

GOLDEN = Path(__file__).parents[1] / "fixtures" / "wav2lip_golden.json.gz"
SAMPLES = 2
EVERY = 53
"""Of the generator's pixels every so-manieth is kept."""


def weights(shapes: Mapping[str, Iterable[int]]) -> dict[str, Tensor]:
    """A state for these keys in which signals neither die out nor grow, and no term of a BatchNorm is trivial."""
    state = {}
    for key, shape in shapes.items():
        values = uniform(key, shape) if tuple(shape) else torch.tensor(7.0)
        if key.endswith("num_batches_tracked"):
            values = torch.tensor(7)
        elif values.ndim > 1:
            # The last convolution's stay small, so that the sigmoid behind it does not hide errors.
            values = values * ((0.2 if key.startswith("output_block.1") else 6) / values[0].numel()) ** 0.5
        elif key.endswith("running_var"):
            values = 1 + 0.5 * values
        elif key.endswith("conv_block.1.weight"):
            values = 0.8 + 0.2 * values
        else:
            values = 0.1 * values
        state[key] = values
    return state


def inputs() -> dict[str, Tensor]:
    """RGB pictures in 0..1 and mel windows in -4..4: faces, references [B,3,96,96], halves [B,5,3,48,96], windows."""
    pixels = {"faces": (3, 96, 96), "references": (3, 96, 96), "halves": (5, 3, 48, 96)}
    arrays = {name: (uniform(name, (SAMPLES, *shape)) + 1) / 2 for name, shape in pixels.items()}
    return {**arrays, "windows": 4 * uniform("windows", (SAMPLES, 1, 80, 16))}


def load() -> dict[str, Any]:
    """{"generator": {"shapes", "pixels"}, "expert": {"shapes", "faces", "speech"}}"""
    with gzip.open(GOLDEN, "rt") as file:
        return json.load(file)


@torch.no_grad()
def main(clone: str) -> None:
    sys.path.insert(0, clone)
    from models import SyncNet_color
    from models import Wav2Lip as Generator

    golden, given = {}, inputs()
    for name, make in (("generator", Generator), ("expert", SyncNet_color)):
        net = make().eval()
        shapes = {key: list(tensor.shape) for key, tensor in net.state_dict().items()}
        net.load_state_dict(weights(shapes))
        if name == "generator":
            masked = given["faces"].clone()
            masked[:, :, 48:] = 0
            pictures = torch.cat([masked.flip(1), given["references"].flip(1)], 1)
            outputs = {"pixels": net(given["windows"], pictures).flip(1).flatten()[::EVERY]}
        else:
            speech, faces = net(given["windows"], given["halves"].flip(2).reshape(SAMPLES, 15, 48, 96))
            outputs = {"speech": speech.flatten(), "faces": faces.flatten()}
        golden[name] = {"shapes": shapes}
        for key, tensor in outputs.items():
            golden[name][key] = [float(f"{x:.7g}") for x in tensor]
            print(f"{name} {key}: {tensor.numel()} numbers, mean {tensor.mean():.4f}, deviation {tensor.std():.4f}")
    GOLDEN.write_bytes(gzip.compress(json.dumps(golden).encode(), mtime=0))


if __name__ == "__main__":
    main(*sys.argv[1:])
