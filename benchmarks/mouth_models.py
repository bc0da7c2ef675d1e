"""The mouths of any system's checkpoint, as dubbing takes them: the checkpoint itself says of which system it is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from talkface_core.acoustic.model import ACOUSTIC
from talkface_core.checkpoints import find_checkpoint, read_header
from talkface_core.dubbing.model import MouthModel
from talkface_core.errors import InputError

SYSTEMS = {"ladtalk": "ladtalk", "landmark_diffusion": "landmark-diffusion"}
"""Systems by their names in checkpoints, as `dub --system` calls them."""


def system_of(name_or_path: str | Path) -> str:
    """What `dub --system` is to be told for a checkpoint. Raises InputError for one that dubs nothing."""
    system = read_header(find_checkpoint(name_or_path)).system
    if system not in SYSTEMS:
        raise InputError(f"{name_or_path}: of the system {system!r}; choose one of {', '.join(SYSTEMS)}")
    return SYSTEMS[system]


def takes_ear(name_or_path: str | Path) -> bool:
    """Whether a checkpoint hears an acoustic model, in whose place an ear can hear."""
    header = read_header(find_checkpoint(name_or_path))
    if header.system == "ladtalk":
        return bool(header.configs.get("wav2lip", {}).get("acoustic"))
    return ACOUSTIC.name in header.configs


def load_mouths(
    name_or_path: str | Path,
    device: str = "auto",
    sovqae: str | Path | None = None,
    texture: bool = True,
    ear: str | Path | None = None,
    **sampling: float,
) -> MouthModel:
    """The mouths of a checkpoint. sovqae: whose SOVQAE restores them; None: the checkpoint's own, if it has one.
    texture: False leaves them as they are painted. ear: a converted Whisper to hear by. sampling: for a diffusion
    model, see its `Sampling`."""
    if system_of(name_or_path) == "ladtalk":
        from talkface_core.ladtalk.model import load_ladtalk
        from talkface_core.ladtalk.pipeline import LaDTalkMouths

        mouths = LaDTalkMouths.of(load_ladtalk(name_or_path, device, sovqae=sovqae, ear=ear))
        return mouths if texture else replace(mouths, sovqae=None)
    from talkface_core.landmark_diffusion.model import load_landmark_diffusion
    from talkface_core.landmark_diffusion.painter import Sampling
    from talkface_core.landmark_diffusion.pipeline import LandmarkMouths

    painted = LandmarkMouths.of(load_landmark_diffusion(name_or_path, device, ear=ear), Sampling(**sampling))
    if sovqae is None or not texture:
        return painted
    from talkface_core.ladtalk.model import load_sovqae
    from talkface_core.ladtalk.restored import RestoredMouths

    return RestoredMouths(painted, load_sovqae(sovqae, device))


def kept_away(mouths: MouthModel, frames: int) -> MouthModel:
    """The same mouths with references that lie so many frames away at least, which cannot tell the answer."""
    inner = getattr(mouths, "mouths", None)
    return replace(mouths, mouths=kept_away(inner, frames)) if inner is not None else replace(mouths, away=frames)
