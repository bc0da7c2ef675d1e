"""What the public JoyVASA code computes with weights from a formula, and the program that wrote it down.

`python -m tests.see_the_speaker.joyvasa_golden CLONE` imports the public code (github.com/jdh-algo/JoyVASA, MIT) from a
clone, gives a narrow motion generator the weights of `weights`, and writes tests/fixtures/joyvasa_golden.json.gz. The
speech encoder is left out: a stand-in takes its place.
"""

import gzip
import json
import sys
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.dae_talker.diffae_golden import uniform

GOLDEN = Path(__file__).parents[1] / "fixtures" / "joyvasa_golden.json.gz"
SMALL = {"motion_feat_dim": 70, "n_motions": 12, "n_prev_motions": 4, "feature_dim": 32, "n_diff_steps": 20}
STEPS = [1, 13]
"""Counted from 1, as the public code does."""
GUIDANCE = 2.8
EVERY = 3
"""Of the outputs every so-manieth number is kept."""


def weights(shapes: Mapping[str, Iterable[int]]) -> dict[str, Tensor]:
    """A state for these keys in which signals neither die out nor grow."""
    state = {}
    for key, shape in shapes.items():
        values = uniform(key, shape)
        if key.startswith(("start_", "null_")):
            values = 1.5 * values
        elif values.ndim > 1:
            values = values * (3 / values[0].numel()) ** 0.5
        else:
            values = 0.2 * values + (".norm" in key and key.endswith("weight"))
        state[key] = values
    return state


def inputs() -> dict[str, Tensor]:
    """features [2,12,768] as of HuBERT, noisy [2,12,70], previous motion [2,4,70] and mapped sound [2,4,32]."""
    shapes = {"features": (12, 768), "noisy": (12, 70), "previous_motion": (4, 70), "previous_heard": (4, 32)}
    return {name: 1.7 * uniform(name, (len(STEPS), *shape)) for name, shape in shapes.items()}


def drawn(number: int, shape: Iterable[int]) -> Tensor:
    """What stands for the noise that is drawn at the `number`th time."""
    return 1.7 * uniform(f"noise {number}", shape)


def template(keypoints: int = 21) -> dict[str, Any]:
    """A template of means and ranges, as arrays float32."""
    values = {}
    for name, size in (("exp", 3 * keypoints), ("scale", 1), ("t", 3), ("pitch", 1), ("yaw", 1), ("roll", 1)):
        low = uniform(f"low {name}", (size,))
        parts = {"mean": low, "std": 1.5 + low, "min": low, "max": low + 3 + uniform(f"wide {name}", (size,))}
        values |= {f"{kind}_{name}": part.numpy() for kind, part in parts.items()}
    return values


def load() -> dict[str, Any]:
    """{"shapes", "base" (shapes of the full size), "clean", "first" and "second" (windows that were sampled)}"""
    with gzip.open(GOLDEN, "rt") as file:
        return json.load(file)


class _NoEncoder(nn.Module):
    """Stands for HuBERT, of which nothing is asked."""

    @classmethod
    def from_pretrained(cls, *_: Any) -> "_NoEncoder":
        encoder = cls()
        encoder.feature_extractor = types.SimpleNamespace(_freeze_parameters=lambda: None)
        return encoder


@torch.no_grad()
def main(clone: str) -> None:
    sys.path.insert(0, clone)
    sys.modules["src.modules.hubert"] = types.SimpleNamespace(HubertModel=_NoEncoder)  # type: ignore[assignment]
    from src.modules import dit_talking_head as public

    mask = public.enc_dec_mask
    public.enc_dec_mask = lambda *args, **named: mask(*args, **{**named, "device": "cpu"})
    base = public.DitTalkingHead(device="cpu", **{**SMALL, "n_motions": 100, "n_prev_motions": 10, "feature_dim": 512})
    net = public.DitTalkingHead(device="cpu", **SMALL).eval()
    shapes = {
        key: list(tensor.shape)
        for key, tensor in net.state_dict().items()
        if not key.endswith(".pe") and not key.startswith("diffusion_sched.") and "mask" not in key
    }
    net.load_state_dict(weights(shapes), strict=False)
    given = inputs()
    heard = net.audio_feature_map(given["features"])
    golden: dict[str, Any] = {"shapes": shapes}
    golden["base"] = {key: list(value.shape) for key, value in base.state_dict().items() if "sched" not in key}
    before = given["previous_motion"], given["previous_heard"]
    clean = net.denoising_net(given["noisy"], heard, *before, torch.tensor(STEPS))

    count = [0]

    def next_noise(shape: Iterable[int]) -> Tensor:
        count[0] += 1
        return drawn(count[0], shape)

    public.torch = _Torch(next_noise)
    first, _, sound = net.sample(heard, cfg_scale=GUIDANCE)
    second, _, _ = net.sample(heard.flip(1), first[:, -4:], sound[:, -4:], cfg_scale=GUIDANCE)
    for name, tensor in (("clean", clean), ("first", first), ("second", second)):
        golden[name] = [float(f"{x:.7g}") for x in tensor.flatten()[::EVERY]]
        print(f"{name}: {list(tensor.shape)}, mean {tensor.mean():.4f}, deviation {tensor.std():.4f}")
    GOLDEN.write_bytes(gzip.compress(json.dumps(golden).encode(), mtime=0))


class _Torch:
    """torch, but for the noise that is drawn."""

    def __init__(self, draw: Any) -> None:
        self._draw = draw

    def randn(self, shape: Iterable[int], **_: Any) -> Tensor:
        return self._draw(shape)

    def randn_like(self, like: Tensor) -> Tensor:
        return self._draw(like.shape)

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


if __name__ == "__main__":
    main(*sys.argv[1:])
