"""What the public IP_LAP code computes with weights from a formula, and the program that wrote it down.

`python -m tests.landmark_diffusion.iplap_golden CLONE` imports the public code (github.com/Weizhi-Zhong/IP_LAP) from a
clone, gives its landmark generator the weights of `weights`, and writes tests/fixtures/iplap_golden.json.gz. The
formula stands in for stored weights: the same numbers on every machine.
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

GOLDEN = Path(__file__).parents[1] / "fixtures" / "iplap_golden.json.gz"
FRAMES, REFERENCES, POSE, CONTENT = 5, 15, 74, 57


def weights(shapes: Mapping[str, Iterable[int]]) -> dict[str, Tensor]:
    """A state for these keys in which signals neither die out nor grow and no norm is trivial; the tables of positions
    are the network's own and left out."""
    state = {}
    for key, shape in shapes.items():
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(7)
        elif not key.endswith(".pe"):
            values = uniform(key, shape)
            if values.ndim > 1 and "modality" not in key:
                values = values * (4 / values[0].numel()) ** 0.5
            elif key.endswith("running_var"):
                values = 1 + 0.5 * values
            elif key.endswith((".1.weight", "Norm.weight", "norm1.weight", "norm2.weight")):
                values = 1 + 0.3 * values
            else:
                values = 0.2 * values
            state[key] = values
    return state


def inputs() -> dict[str, Tensor]:
    """windows [1,5,80,16] of a mel in -4..4; pose [1,5,74,2], references [1,15,131,2] in 0..1."""
    pose, references = (
        (uniform(name, (1, count, points, 2)) + 1) / 2
        for name, count, points in (("pose", FRAMES, POSE), ("references", REFERENCES, POSE + CONTENT))
    )
    return {"windows": 4 * uniform("windows", (1, FRAMES, 80, 16)), "pose": pose, "references": references}


def load() -> dict[str, Any]:
    """{"shapes", "content": [1,5,57,2]}"""
    with gzip.open(GOLDEN, "rt") as file:
        return json.load(file)


@torch.no_grad()
def main(clone: str) -> None:
    sys.path.insert(0, f"{clone}/models")  # the package itself imports more than is needed
    from landmark_generator import Landmark_generator

    torch.Tensor.cuda = lambda self, *_: self  # the public code names the device
    net = Landmark_generator(T=FRAMES, d_model=512, nlayers=4, nhead=4, dim_feedforward=1024, dropout=0.1).eval()
    shapes = {key: list(value.shape) for key, value in net.state_dict().items()}
    print(net.load_state_dict(weights(shapes), strict=False))
    given = inputs()
    windows, pose, references = given["windows"][:, :, None], given["pose"].mT, given["references"].mT
    made = net(windows, pose, references[:, :, :, :POSE], references[:, :, :, POSE:])
    content = made.unflatten(0, (1, FRAMES)).mT
    print(f"mean {content.mean():.4f}, deviation {content.std():.4f}, over frames {content.std(1).mean():.4f}")
    golden = {"shapes": shapes, "content": [float(f"{x:.7g}") for x in content.flatten()]}
    GOLDEN.write_bytes(gzip.compress(json.dumps(golden).encode(), mtime=0))


if __name__ == "__main__":
    main(*sys.argv[1:])
