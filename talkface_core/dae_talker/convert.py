"""From the public checkpoints of diffusion autoencoders to ours.

Source: the FFHQ256 autoencoder that Preechakul et al. 2022 published (github.com/phizaz/diffae, MIT), a checkpoint of
PyTorch Lightning. Its other autoencoders (FFHQ128, Horse128, Bedroom128, CelebA64) have the same layout in other
sizes, and the sizes are read off the weights, so they convert as well.
This is the one place that opens a pickled container. Only tensors and plain values come out of it: an object of
another program is refused, never made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any, NoReturn
from zipfile import is_zipfile

import torch
from torch import Tensor

from ..checkpoints import save_checkpoint
from ..diffusion.schedules import Schedule
from ..diffusion.unet import EncoderConfig, UNetConfig
from ..errors import InputError
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
    container = _load(path)
    everything = container.get("state_dict", container)
    if not isinstance(everything, Mapping):
        _refuse(path, f"a 'state_dict' of type {type(everything).__name__}")
    settings = container.get("hyper_parameters")
    settings = settings if isinstance(settings, Mapping) else {}
    state = {
        key.removeprefix(_EMA): value
        for key, value in everything.items()
        if isinstance(key, str) and key.startswith(_EMA) and isinstance(value, Tensor)
    }
    if not state:
        _refuse(path, f"no averaged weights ({_EMA}*) among the keys {_some(map(str, everything))}")
    try:
        config = _config(state, everything["x_T"].shape[-1], settings)
    except KeyError as error:
        _refuse(path, f"weights without {error}")
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        _refuse(path, f"weights or settings of another network: {error}")
    provenance = {
        "source": "DiffAE (Preechakul et al. 2022), github.com/phizaz/diffae, averaged weights",
        "licence": "MIT, as published by its authors",
        "file": path.name,
        "data": str(settings.get("data_name", "unknown")),
        "steps": container.get("global_step") if isinstance(container.get("global_step"), int) else None,
    }
    return config, _rename(path, state, config), provenance


class _LightningCallback:
    """Stands for the class by whose name old Lightning files their callbacks' state; holds and does nothing."""


_LightningCallback.__module__ = "pytorch_lightning.callbacks.model_checkpoint"
_LightningCallback.__qualname__ = _LightningCallback.__name__ = "ModelCheckpoint"


def _load(path: Path) -> Mapping[str, Any]:
    if not path.is_file():
        _refuse(path, "a folder" if path.is_dir() else "no such file")
    try:
        with torch.serialization.safe_globals([_LightningCallback]):
            container = torch.load(path, map_location="cpu", weights_only=True, mmap=is_zipfile(path) or None)
    except UnpicklingError as error:
        foreign = re.search(r"GLOBAL (\S+)|(blocked)", str(error))
        if foreign is None:
            _refuse(path, "no readable torch file (is it whole?)")
        _refuse(
            path,
            f"an object of another program ({foreign[1] or 'blocked by torch'}), which is never unpickled",
            f"{_EXPECTED} of tensors only; if you trust the file, where DiffAE runs: c = torch.load(file, "
            "weights_only=False); torch.save({'state_dict': c['state_dict']}, 'clean.ckpt'), and convert clean.ckpt",
        )
    except Exception as error:  # the bytes of a foreign file can raise anything
        _refuse(path, f"no readable torch file ({type(error).__name__}; is it whole?)", cause=error)
    if not isinstance(container, Mapping):
        _refuse(path, f"a torch file of one {type(container).__name__}")
    return container


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

    encoder_blocks = int(settings.get("net_enc_num_res_blocks", 2))
    encoder_levels = _divide(_count(state, "encoder.input_blocks"), encoder_blocks + 1, "semantic encoder blocks")
    return AutoencoderConfig(
        unet=UNetConfig(
            image_size=image_size,
            in_channels=state["input_blocks.0.0.weight"].shape[1],
            out_channels=state["out.2.weight"].shape[0],
            channels=channels,
            attention=attention,
            blocks_down=blocks_down,
            blocks_up=blocks_up,
            time_dim=time_dim,
            time_frequencies=time_frequencies,
            cond_dim=state["input_blocks.1.0.cond_emb_layers.1.weight"].shape[1],
            dropout=float(settings.get("dropout", 0.1)),
            heads=heads,
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
    found = {key[len(name) + 1 :].split(".")[0] for key in state if key.startswith(f"{name}.")}
    if not found:
        raise ValueError(f"no {name!r}: a network without a semantic encoder, or another network")
    return len(found)


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
    with torch.device("meta"):
        wanted = DiffusionAutoencoder(config).state_dict()
    if unknown:
        _refuse(path, f"weights of a layout that DiffAE's autoencoders do not have: {_some(unknown)}")
    if missing := wanted.keys() - renamed.keys():
        _refuse(path, f"no weights for {_some(missing)}")
    for key, tensor in wanted.items():
        if tensor.shape != renamed[key].shape:
            _refuse(path, f"{key} of shape {list(renamed[key].shape)}", f"shape {list(tensor.shape)}")
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


def _refuse(path: Path, found: str, expected: str = _EXPECTED, cause: Exception | None = None) -> NoReturn:
    raise InputError(f"{path}: found {found}; expected {expected}.") from cause


def _some(names: Iterable[str], most: int = 3) -> str:
    ordered = sorted(names)
    more = f" and {len(ordered) - most} more" if len(ordered) > most else ""
    return ", ".join(map(repr, ordered[:most])) + more if ordered else "none"
