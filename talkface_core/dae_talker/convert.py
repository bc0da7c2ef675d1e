"""Converts the public checkpoints of diffusion autoencoders to ours.

Source: the FFHQ256 autoencoder that Preechakul et al. 2022 published (github.com/phizaz/diffae, MIT), a checkpoint of
PyTorch Lightning. Its other autoencoders (FFHQ128, Horse128, Bedroom128, CelebA64) have the same layout in other
sizes, and the sizes are read off the weights, so they convert as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..checkpoints import save_checkpoint
from ..diffusion.schedules import Schedule
from ..diffusion.unet import EncoderConfig, UNetConfig
from ..errors import InputError
from ..foreign import load_foreign, refuse, some, tensors_of
from .autoencoder import AutoencoderConfig, DiffusionAutoencoder, SamplingConfig
from .model import SYSTEM

_EMA = "ema_model."
_EXPECTED = "an autoencoder checkpoint of DiffAE (last.ckpt of ffhq256_autoenc)"
_UNUSED = ("latent_net.",)  # DiffAE's sampler of random latents
_RES_BLOCK = {
    "in_layers.0": "norm_in",
    "in_layers.2": "conv_in",
    "emb_layers.1": "time",
    "cond_emb_layers.1": "cond",
    "out_layers.0": "norm_out",
    "out_layers.3": "conv_out",
    "skip_connection": "skip",
}
_ATTENTION = {"norm": "norm", "qkv": "qkv", "proj_out": "proj"}


def convert_diffae(path_in: str | Path, path_out: str | Path | None = None, dtype: torch.dtype | None = None) -> Path:
    """Convert a public DiffAE autoencoder checkpoint, with its averaged (EMA) weights, and return the new file's path.

    `path_out` ends in .safetensors; None puts it beside `path_in` under the same name. It appears whole or not at all.
    `dtype` is what the weights are stored as; None keeps float32. The result is a checkpoint of the system
    "dae_talker" with the component "autoencoder". Raises InputError for any other file.
    """
    path_in = Path(path_in)
    path_out = path_in.with_suffix(".safetensors") if path_out is None else Path(path_out)
    if path_out.suffix != ".safetensors":
        raise InputError(f"{path_out}: a checkpoint's name ends in .safetensors, not {path_out.suffix!r}.")
    config, state, provenance = read_diffae(path_in)
    with torch.device("meta"):
        module = DiffusionAutoencoder(config)
    module.load_state_dict(state, assign=True)
    save_checkpoint(
        path_out,
        system=SYSTEM,
        components={"autoencoder": module},
        configs={"autoencoder": config.to_dict()},
        provenance=provenance,
        dtype=dtype,
    )
    return path_out


def read_diffae(path: str | Path) -> tuple[AutoencoderConfig, dict[str, Tensor], dict[str, Any]]:
    """The config, the state of a `DiffusionAutoencoder` and the provenance that a DiffAE checkpoint holds.

    The tensors are mapped from the file where its format allows. Raises InputError for any other file.
    """
    path = Path(path)
    config, state, settings = read_autoencoder(path, load_foreign(path, _EXPECTED), _EXPECTED)
    if config.inpaints:
        refuse(
            path,
            "an autoencoder that is shown a reference beside each picture, stage 1 of DiffDub",
            "it together with its stage 2 (models --convert stage1_state_dict.ckpt stage2_state_dict.ckpt), or "
            f"{_EXPECTED}",
        )
    provenance = {
        "source": "DiffAE (Preechakul et al. 2022), github.com/phizaz/diffae, averaged weights",
        "licence": "MIT, as published by its authors",
        "file": path.name,
        "data": str(settings.get("data_name", "unknown"))[:200],
        "steps": settings.get("global_step"),
    }
    return config, state, provenance


def read_autoencoder(
    path: Path, container: Mapping[str, Any], expected: str
) -> tuple[AutoencoderConfig, dict[str, Tensor], dict[str, Any]]:
    """The config and the state of the averaged weights in a file of DiffAE's training, and the file's plain settings,
    "global_step" among them. Raises InputError for any other file."""
    everything = tensors_of(path, container.get("state_dict", container), expected)
    state = {key.removeprefix(_EMA): value for key, value in everything.items() if key.startswith(_EMA)}
    if not state:
        refuse(path, f"no averaged weights ({_EMA}*) among the keys {some(everything)}", expected)
    settings = container.get("hyper_parameters")
    settings = settings if isinstance(settings, Mapping) else {}
    settings = {key: value for key, value in settings.items() if isinstance(value, str | int | float)}
    settings["global_step"] = steps if isinstance(steps := container.get("global_step"), int) else None
    try:
        config = _config(state, everything["x_T"].shape[-1], settings)
    except KeyError as error:
        refuse(path, f"weights without {str(error)[:200]}", expected, error)
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        refuse(path, f"weights or settings of another network: {str(error)[:200]}", expected, error)
    return config, _rename(path, state, config), settings


def _config(state: Mapping[str, Tensor], image_size: int, settings: Mapping[str, Any]) -> AutoencoderConfig:
    """Sizes read off the weights; the rest are the values that all published DiffAE share, unless the file says."""
    heads = int(settings.get("net_beatgans_attn_head", 1))
    schedule = Schedule(str(settings.get("beta_scheduler", "linear")), int(settings.get("T", 1000)))
    blocks_out = _count(state, "output_blocks")
    # Every stage of the way up but the last ends in a residual block that doubles the size, behind the attention.
    levels = 1 + sum(
        any(f"output_blocks.{k}.{i}.in_layers.0.weight" in state for i in (1, 2)) for k in range(blocks_out)
    )
    blocks_up = _divide(blocks_out, levels, "decoder blocks")
    blocks_down = _divide(_count(state, "input_blocks"), levels, "encoder blocks") - 1
    channels, attention = _levels(state, "input_blocks", levels, blocks_down)
    if any(count % 32 for count in channels):
        raise ValueError(f"channels {channels}, which are not all multiples of 32, the groups of GroupNorm")
    time_dim, time_frequencies = state["time_embed.time_embed.0.weight"].shape
    # Channels beyond those that it makes are a reference's, concatenated to the noisy picture.
    made = state["out.2.weight"].shape[0]
    shown = state["input_blocks.0.0.weight"].shape[1] - made

    encoder_blocks = int(settings.get("net_enc_num_res_blocks", 2))
    encoder_levels = _divide(_count(state, "encoder.input_blocks"), encoder_blocks + 1, "semantic encoder blocks")
    return AutoencoderConfig(
        unet=UNetConfig(
            image_size=image_size,
            in_channels=made,
            out_channels=made,
            channels=channels,
            attention=attention,
            blocks_down=blocks_down,
            blocks_up=blocks_up,
            time_dim=time_dim,
            time_frequencies=time_frequencies,
            cond_dim=state["input_blocks.1.0.cond_emb_layers.1.weight"].shape[1],
            dropout=float(settings.get("dropout", 0.1)),
            heads=heads,
            spatial_channels=shown,
        ),
        encoder=EncoderConfig(
            image_size,
            state["encoder.input_blocks.0.0.weight"].shape[1],
            state["encoder.out.3.weight"].shape[0],
            *_levels(state, "encoder.input_blocks", encoder_levels, encoder_blocks),
            blocks=encoder_blocks,
            heads=heads,
        ),
        schedule=schedule,
        prediction="eps",
        sampling=SamplingConfig("ddim", 20, "leading"),
    )


def _levels(
    state: Mapping[str, Tensor], name: str, levels: int, blocks: int
) -> tuple[tuple[int, ...], tuple[bool, ...]]:
    """Each level's channels and attention: a convolution, then each level's blocks and, but at the end, a halving."""
    first = [1 + level * (blocks + 1) for level in range(levels)]
    channels = tuple(state[f"{name}.{k}.0.in_layers.2.weight"].shape[0] for k in first)
    return channels, tuple(f"{name}.{k}.1.qkv.weight" in state for k in first)


def _count(state: Mapping[str, Tensor], name: str) -> int:
    indices = {key[len(name) + 1 :].split(".")[0] for key in state if key.startswith(f"{name}.")}
    if not indices:
        raise ValueError(f"no {name!r}: a network without a semantic encoder, or another network")
    return len(indices)


def _divide(blocks: int, by: int, what: str) -> int:
    if by < 1 or blocks % by:
        raise ValueError(f"{blocks} {what}, which do not share out to {by}")
    return blocks // by


def _rename(path: Path, state: Mapping[str, Tensor], config: AutoencoderConfig) -> dict[str, Tensor]:
    """The state under our names, complete and of the right shapes."""
    names = {theirs: ours for ours, theirs in _modules(config)}
    renamed, unknown = {}, []
    for key, tensor in state.items():
        module, _, kind = key.rpartition(".")
        if module in names:
            renamed[f"{names[module]}.{kind}"] = tensor
        elif not key.startswith(_UNUSED):
            unknown.append(key)
    try:
        with torch.device("meta"):
            wanted = DiffusionAutoencoder(config).state_dict()
    except (ValueError, RuntimeError) as error:
        refuse(path, f"sizes of which no network can be made ({str(error)[:200]})", _EXPECTED, error)
    if unknown:
        refuse(path, f"weights of a layout that DiffAE's autoencoders do not have: {some(unknown)}", _EXPECTED)
    if missing := wanted.keys() - renamed.keys():
        refuse(path, f"no weights for {some(missing)}", _EXPECTED)
    for key, tensor in wanted.items():
        if tensor.shape != renamed[key].shape:
            refuse(path, f"{key} of shape {list(renamed[key].shape)}", f"shape {list(tensor.shape)}")
    return {key: renamed[key].float() for key in wanted}


def _modules(config: AutoencoderConfig) -> Iterator[tuple[str, str]]:
    """(our name, DiffAE's name) of every module with weights."""
    unet, encoder = config.unet, config.encoder
    yield from (("unet.time_embed.0", "time_embed.time_embed.0"), ("unet.time_embed.2", "time_embed.time_embed.2"))
    yield from (("unet.norm_out", "out.0"), ("unet.conv_out", "out.2"))
    yield from (("encoder.norm_out", "encoder.out.0"), ("encoder.proj", "encoder.out.3"))
    for ours, theirs in (("unet", ""), ("encoder", "encoder.")):
        yield f"{ours}.stem.conv", f"{theirs}input_blocks.0.0"
        for i, kind in enumerate((_RES_BLOCK, _ATTENTION, _RES_BLOCK)):
            yield from _block(f"{ours}.middle.{i}", f"{theirs}middle_block.{i}", kind)

    k = 0
    for level, attention in enumerate(unet.attention):
        resample = level > 0
        for i in range(unet.blocks_down + resample):
            k += 1
            yield from _pair(f"unet.down.{level}.{i}", f"input_blocks.{k}", attention and not (resample and i == 0))

    for stage, attention in enumerate(reversed(unet.attention)):
        for i in range(unet.blocks_up):
            k = stage * unet.blocks_up + i
            yield from _pair(f"unet.up.{stage}.{i}", f"output_blocks.{k}", attention)
        if stage < len(unet.attention) - 1:
            yield from _block(f"unet.up.{stage}.{i + 1}", f"output_blocks.{k}.{1 + attention}", _RES_BLOCK)

    k = 0
    for level, attention in enumerate(encoder.attention):
        resample = level > 0
        for i in range(encoder.blocks + resample):
            with_attention = attention and not (resample and i == 0)
            yield from _pair(f"encoder.down.{k}", f"encoder.input_blocks.{k + 1}", with_attention)
            k += 1


def _pair(ours: str, theirs: str, attention: bool) -> Iterator[tuple[str, str]]:
    """A residual block, followed by self-attention or not."""
    if attention:
        yield from _block(f"{ours}.attention", f"{theirs}.1", _ATTENTION)
    yield from _block(f"{ours}.block" if attention else ours, f"{theirs}.0", _RES_BLOCK)


def _block(ours: str, theirs: str, kind: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    yield from ((f"{ours}.{name}", f"{theirs}.{their_name}") for their_name, name in kind.items())
