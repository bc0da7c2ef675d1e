"""Converts LivePortrait's public networks to a renderer of ours.

Source: huggingface.co/KwaiVGI/LivePortrait (Guo et al. 2024; MIT): appearance_feature_extractor.pth,
motion_extractor.pth, warping_module.pth, spade_generator.pth and, if it is given, stitching_retargeting_module.pth.
None is bundled, whoever holds the files may use them.

What those weights expect otherwise than ours is said here and nowhere else: the generator's kernels are kept apart from
their spectral norms, which are divided out once. Their order of turning and their places of a volume's cells are
settings of `base`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from ..checkpoints import save_checkpoint
from ..errors import InputError
from ..foreign import load_foreign, refuse, renamed_state, some, tensors_of
from .appearance import AppearanceConfig
from .decoder import DecoderConfig
from .motion_extractor import MotionExtractorConfig
from .renderer import COMPONENT, HolisticRenderer, RendererConfig
from .stitching import COMPONENT as STITCHING
from .stitching import Stitching, StitchingConfig
from .system import SYSTEM
from .warping import WarpingConfig

LICENCE = "MIT, as published by its authors (huggingface.co/KwaiVGI/LivePortrait)"

_EXPECTED = "LivePortrait's networks as published (.pth or .safetensors)"
_MARKS = {
    "appearance": "resblocks_3d.3dr0.conv1.weight",
    "motion_extractor": "detector.fc_kp.weight",
    "warping": "dense_motion_network.mask.weight",
    "decoder": "G_middle_0.norm_0.mlp_gamma.weight",
    STITCHING: "stitch.mlp.0.weight",
}
"""Of each network a key that no other has."""

_FILES = {
    "appearance": "appearance_feature_extractor.pth",
    "motion_extractor": "motion_extractor.pth",
    "warping": "warping_module.pth",
    "decoder": "spade_generator.pth",
}
_MLPS = {"retarget_shoulder": "stitch", "retarget_mouth": "lips", "retarget_eye": "eyes"}
_RULES: dict[str, Sequence[tuple[str, str]]] = {
    "appearance": ((r"^down_blocks\.", "down."), (r"^resblocks_3d\.3dr", "blocks.")),
    "motion_extractor": (
        (r"^detector\.", ""),
        (r"^downsample_layers\.", "down."),
        (r"\.dwconv\.", ".depthwise."),
        (r"\.pwconv1\.", ".wider."),
        (r"\.pwconv2\.", ".narrower."),
        (r"\.grn\.", ".response."),
        (r"^fc_kp\.", "canonical."),
        (r"^fc_exp\.", "expression."),
        (r"^fc_t\.", "translation."),
        (r"^fc_", ""),
    ),
    "warping": (
        (r"^dense_motion_network\.", "motion."),
        (r"\.encoder\.down_blocks\.", ".down."),
        (r"\.decoder\.up_blocks\.", ".up."),
        (r"\.hourglass\.decoder\.", ".hourglass.last."),
    ),
    "decoder": (
        (r"^fc\.", "first."),
        (r"^G_middle_", "middle."),
        (r"^up_", "up."),
        (r"^conv_img\.(0\.)?", "out."),
        (r"\.mlp_shared\.0\.", ".shared."),
        (r"\.mlp_", "."),
    ),
    STITCHING: ((r"\.mlp\.", "."),),
}
_COMPUTED = re.compile(r".*\.num_batches_tracked$")


def recognises(path: str | Path) -> bool:
    """Whether a file looks like one of the public networks. Raises InputError for what is no file of weights."""
    return _kind(_read(Path(path))) is not None


def convert_liveportrait(
    paths: str | Path | Iterable[str | Path], path_out: str | Path, dtype: torch.dtype | None = None
) -> Path:
    """Convert the public networks and return the new file's path: a checkpoint of the component "renderer", of the
    preset `base`, and of "stitching" where its file is among them.

    paths: the files in any order, or the folder that holds them; `path_out` ends in .safetensors; `dtype` is what the
    weights are stored as, None: float32. Raises InputError for other files, and where one is missing.
    """
    path_out = Path(path_out)
    if path_out.suffix != ".safetensors":
        raise InputError(f"{path_out}: a checkpoint's name ends in .safetensors, not {path_out.suffix!r}.")
    net, stitching, provenance = read_liveportrait(paths)
    networks: dict[str, nn.Module] = {COMPONENT: net}
    configs = {COMPONENT: net.config.to_dict()}
    if stitching is not None:
        networks[STITCHING], configs[STITCHING] = stitching, stitching.config.to_dict()
    save_checkpoint(path_out, SYSTEM, networks, configs, provenance, dtype)
    return path_out


def read_liveportrait(
    paths: str | Path | Iterable[str | Path],
) -> tuple[HolisticRenderer, Stitching | None, dict[str, Any]]:
    """The networks, in evaluation mode, and the provenance of public files. Raises InputError."""
    found: dict[str, tuple[Path, dict[str, Tensor]]] = {}
    for path in _files(paths):
        state = _read(path)
        kind = _kind(state)
        if kind is None:
            refuse(path, f"weights of another network: {some(state)}", _EXPECTED)
        if kind in found:
            refuse(
                path, f"the {kind.replace('_', ' ')} a second time, after {found[kind][0].name}", "each network once"
            )
        found[kind] = (path, state)
    if missing := [_FILES[kind] for kind in _FILES if kind not in found]:
        where = next(iter(found.values()))[0].parent if found else Path("LivePortrait")
        refuse(
            where,
            f"no {' and no '.join(missing)}",
            "all four networks of LivePortrait: give all files, or their folder",
        )
    states = {kind: _ready(kind, state) for kind, (_, state) in found.items()}
    try:
        config = _config(states)
    except (KeyError, IndexError, ValueError) as error:
        refuse(found["warping"][0], f"networks of other sizes ({str(error)[:200]})", _EXPECTED, error)
    net = _filled(HolisticRenderer, config, {kind: (found[kind][0], states[kind]) for kind in _FILES})
    stitching = None
    if STITCHING in found:
        path, state = found[STITCHING][0], states[STITCHING]
        widths = {name: tuple(len(state[key]) for key in _ordered(state, name))[:-1] for name in _MLPS.values()}
        stitching = _filled(Stitching, StitchingConfig(config.keypoints, **widths), {"": (path, state)})
    files = ", ".join(path.name for path, _ in found.values())
    source = "LivePortrait (Guo et al. 2024), github.com/KwaiVGI/LivePortrait"
    return net, stitching, {"source": source, "licence": LICENCE, "file": files, "data": "as published"}


def _files(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """The files that are meant: a folder stands for those in it that are networks of LivePortrait."""
    given = [Path(paths)] if isinstance(paths, str | Path) else [Path(path) for path in paths]
    files = [path for path in given if not path.is_dir()]
    for folder in (path for path in given if path.is_dir()):
        inside = sorted(path for path in folder.rglob("*") if path.suffix in (".pth", ".safetensors"))
        files += [path for path in inside if recognises(path)]
    if not files:
        refuse(given[0] if given else Path("LivePortrait"), "no file of its networks", _EXPECTED)
    return files


def _read(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by their public names; of the three nets on keypoints by `stitch`, `lips`, `eyes`."""
    if path.suffix == ".safetensors":
        if not path.is_file():
            refuse(path, "no such file", _EXPECTED)
        try:
            container: Mapping[str, Any] = load_file(path)
        except (SafetensorError, ValueError, OSError) as error:
            refuse(path, "no readable safetensors file", _EXPECTED, error)
    else:
        container = load_foreign(path, _EXPECTED)
    if all(isinstance(container.get(name), Mapping) for name in _MLPS):
        mlps = {ours: tensors_of(path, container[theirs], _EXPECTED) for theirs, ours in _MLPS.items()}
        return {
            f"{name}.{key.removeprefix('module.')}": value for name, mlp in mlps.items() for key, value in mlp.items()
        }
    return {key.removeprefix("module."): value for key, value in tensors_of(path, container, _EXPECTED).items()}


def _kind(state: Mapping[str, Tensor]) -> str | None:
    return next((kind for kind, mark in _MARKS.items() if mark in state), None)


def _ready(kind: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights under our names, spectral norms divided out."""
    ready = {}
    for key, value in state.items():
        base, _, last = key.rpartition("_")
        if last in ("u", "v") and f"{base}_orig" in state:
            continue
        if last == "orig":
            flat = value.float().flatten(1)
            value = (value.float() / (state[f"{base}_u"].float() @ flat @ state[f"{base}_v"].float())).to(value)
            key = base
        for pattern, ours in _RULES[kind]:
            key = re.sub(pattern, ours, key)
        ready[key] = value.flatten() if ".response." in key else value
    return ready


def _filled(network: Callable[[Any], Any], config: Any, parts: Mapping[str, tuple[Path, dict[str, Tensor]]]) -> Any:
    """The network of these settings with the parts' weights."""
    with torch.device("meta"):
        net = network(config)
    own, whole = net.state_dict(), {}
    for name, (path, state) in parts.items():
        inside = f"{name}." if name else ""
        wanted = {key.removeprefix(inside): value for key, value in own.items() if key.startswith(inside)}
        counters = {key for key in wanted if _COMPUTED.match(key)}
        read = renamed_state(
            path, state, {key: wanted[key] for key in wanted.keys() - counters}, str, _EXPECTED, _COMPUTED
        )
        whole |= {f"{inside}{key}": value for key, value in read.items()}
        whole |= {f"{inside}{key}": torch.zeros((), dtype=torch.long) for key in counters}
    net.load_state_dict(whole, assign=True)
    return net.eval()


def _config(states: Mapping[str, Mapping[str, Tensor]]) -> RendererConfig:
    """Sizes read off the weights."""
    seen, warping, decoder = states["appearance"], states["warping"], states["decoder"]
    moving = states["motion_extractor"]
    volume, flat = len(seen["blocks.0.conv1.weight"]), len(seen["second.weight"])
    downs = [len(value) for value in _all(warping, r"motion\.hourglass\.down\.\d+\.conv\.weight")]
    ups = _all(warping, r"motion\.hourglass\.up\.\d+\.conv\.weight")
    out = len(decoder["out.weight"])
    return RendererConfig(
        keypoints=len(moving["canonical.weight"]) // 3,
        appearance=AppearanceConfig(
            channels=len(seen["first.conv.weight"]),
            halvings=len(_all(seen, r"down\.\d+\.conv\.weight")),
            most=flat,
            volume=volume,
            depth=flat // volume,
            blocks=len(_all(seen, r"blocks\.\d+\.conv1\.weight")),
        ),
        motion=MotionExtractorConfig(
            channels=tuple(len(moving[f"down.{n}.{int(n == 0) ^ 1}.weight"]) for n in range(4)),
            blocks=tuple(len(_all(moving, rf"stages\.{n}\.\d+\.depthwise\.weight")) for n in range(4)),
            bins=len(moving["yaw.weight"]),
        ),
        warping=WarpingConfig(
            channels=len(ups[-1]),
            blocks=len(downs),
            most=max(downs),
            compress=len(warping["motion.compress.weight"]),
            mask=warping["motion.mask.weight"].shape[-1],
            features=len(warping["fourth.weight"]),
        ),
        decoder=DecoderConfig(
            blocks=len(_all(decoder, r"middle\.\d+\.conv_0\.weight")),
            up=tuple(len(value) for value in _all(decoder, r"up\.\d+\.conv_1\.weight")),
            hidden=len(decoder["middle.0.norm_0.shared.weight"]),
            shuffle=round((out / 3) ** 0.5),
        ),
    )


def _all(state: Mapping[str, Tensor], pattern: str) -> list[Tensor]:
    """The tensors whose names match, in the order of the numbers in them."""
    keys = [key for key in state if re.fullmatch(pattern, key)]
    return [state[key] for key in sorted(keys, key=lambda key: [int(number) for number in re.findall(r"\d+", key)])]


def _ordered(state: Mapping[str, Tensor], name: str) -> list[str]:
    keys = [key for key in state if re.fullmatch(rf"{name}\.\d+\.weight", key)]
    return sorted(keys, key=lambda key: int(key.split(".")[1]))
