"""What the public DiffAE code computes with weights from a formula, and the program that wrote it down.

`python -m tests.dae_talker.diffae_golden CLONE` imports the public code (github.com/phizaz/diffae, MIT) from a clone,
gives a shrunken autoencoder the weights of `weights`, and writes tests/fixtures/diffae_golden.json.gz. The formula
stands in for stored weights: it is exact integer arithmetic until one last multiplication, the same on every machine.
"""

import gzip
import json
import sys
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

GOLDEN = Path(__file__).parents[1] / "fixtures" / "diffae_golden.json.gz"

# Small, but with what is easily got wrong: two heads, fewer blocks down than up (so a block without a skip), a latent
# and a time embedding of other widths, attention before a resampling block, more than one channel in a norm's group.
SMALL = {
    "image_size": 16,
    "model_channels": 64,
    "channel_mult": (1, 2),
    "enc_channel_mult": (1, 1, 2),
    "attention_resolutions": (8,),
    "num_res_blocks": 2,
    "num_input_res_blocks": 1,
    "embed_channels": 48,
    "enc_out_channels": 40,
    "resnet_cond_channels": 40,
    "num_heads": 2,
}
FFHQ256 = {
    "image_size": 256,
    "model_channels": 128,
    "channel_mult": (1, 1, 2, 2, 4, 4),
    "enc_channel_mult": (1, 1, 2, 2, 4, 4, 4),
    "attention_resolutions": (16,),
}
STEPS = [3, 731]
SAMPLING_STEPS = 5


def uniform(name: str, shape: Iterable[int]) -> Tensor:
    """Numbers in -1..1 that depend on the name and the index alone (SplitMix64), float32."""
    shape = tuple(shape)
    x = np.arange(1, int(np.prod(shape)) + 1, dtype=np.uint64) + np.uint64(zlib.crc32(name.encode()) << 32)
    x *= np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    x ^= x >> np.uint64(31)
    return torch.from_numpy(((x >> np.uint64(40)).astype(np.float64) / 2**23 - 1).astype(np.float32).reshape(shape))


def weights(shapes: Mapping[str, Iterable[int]]) -> dict[str, Tensor]:
    """A state for these keys in which nothing is zero: no branch, no condition goes unseen."""
    state = {}
    for key, shape in shapes.items():
        values = uniform(key, shape)
        if values.ndim > 1:
            values *= (3 / values[0].numel()) ** 0.5
        else:
            values = 0.2 * values + key.endswith(".weight")  # of a GroupNorm, the only weights that are vectors
        state[key] = values
    return state


def inputs(image_size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Pictures and noisy pictures [2, 3, H, W], and their time steps [2]."""
    shape = (len(STEPS), 3, image_size, image_size)
    return uniform("picture", shape), 1.7 * uniform("noisy", shape), torch.tensor(STEPS)


def load() -> dict[str, Any]:
    """{"ffhq256": {key: shape}, "small": {"shapes", "latents", "eps", "sample"}}"""
    with gzip.open(GOLDEN, "rt") as file:
        return json.load(file)


def public_model(layout: Mapping[str, Any]):
    """The public code's autoencoder, from a clone on sys.path."""
    from model.unet_autoenc import BeatGANsAutoencConfig

    shared = {"enc_pool": "adaptivenonzero", "resnet_two_cond": True, "dropout": 0.1}
    return BeatGANsAutoencConfig(**shared, **layout).make_model().eval()


def public_sample(model, x_T: Tensor, z: Tensor, steps: int) -> Tensor:
    """The public code's deterministic DDIM."""
    from choices import GenerativeType, LossType, ModelMeanType, ModelType, ModelVarType
    from diffusion.base import get_named_beta_schedule
    from diffusion.diffusion import SpacedDiffusionBeatGansConfig, space_timesteps

    sampler = SpacedDiffusionBeatGansConfig(
        gen_type=GenerativeType.ddim,
        betas=get_named_beta_schedule("linear", 1000),
        model_type=ModelType.autoencoder,
        model_mean_type=ModelMeanType.eps,
        model_var_type=ModelVarType.fixed_large,
        loss_type=LossType.mse,
        rescale_timesteps=False,
        fp16=False,
        use_timesteps=space_timesteps(1000, f"ddim{steps}"),
    ).make_sampler()
    return sampler.sample(model=model, noise=x_T, model_kwargs={"cond": z})


@torch.no_grad()
def main(clone: str) -> None:
    sys.path.insert(0, clone)
    with torch.device("meta"):
        ffhq256 = public_model(FFHQ256).state_dict()
    model = public_model(SMALL)
    shapes = {key: list(tensor.shape) for key, tensor in model.state_dict().items()}
    model.load_state_dict(weights(shapes))
    pictures, noisy, t = inputs(SMALL["image_size"])
    z = model.encode(pictures)["cond"]
    outputs = {
        "latents": z,
        "eps": model(noisy, t, cond=z).pred,
        "sample": public_sample(model, noisy, z, SAMPLING_STEPS),
    }
    golden = {
        "ffhq256": {key: list(tensor.shape) for key, tensor in ffhq256.items()},
        "small": {"shapes": shapes},
    }
    for name, tensor in outputs.items():
        golden["small"][name] = [float(f"{x:.7g}") for x in tensor.flatten()]
        print(f"{name}: {tensor.numel()} numbers, rms {tensor.square().mean().sqrt():.3f}")
    GOLDEN.write_bytes(gzip.compress(json.dumps(golden).encode(), mtime=0))


if __name__ == "__main__":
    main(*sys.argv[1:])
