"""What the renderer makes of films, beside the true frames: the softness that the codebook meets in use."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray

from ...checkpoints import find_checkpoint, read_checkpoint
from ...components import build
from ...datasets.clips import ClipSet
from ...errors import InputError
from ...pixels import as_byte_array, resized_pictures, to_unit
from ...training.frame_cache import CacheKey, cached_frames, stats
from ..motion import Motion
from ..motion_extractor import Seen
from ..renderer import RENDERER, HolisticRenderer
from ..system import SYSTEM
from .moving_heads import MovingHeads, moving_heads

_VERSION = 1


@dataclass(frozen=True)
class RenderedPairs:
    """real uint8 [N,S,S,3]: heads as filmed; soft uint8 [N,s,s,3]: the same in the same motion, rendered of another
    frame of the clip."""

    real: NDArray[np.uint8]
    soft: NDArray[np.uint8]


def rendered_pairs(
    clips: ClipSet, renderer: str | Path, size: int, soft: int, every: int, cache_dir: str | Path, quiet: bool = False
) -> RenderedPairs:
    """Each `every`th frame of a set's clips at `size` px and as the renderer of a checkpoint draws it at `soft` px, in
    the true motion; made once. Raises InputError for a renderer that draws another size or knows other keypoints."""
    path = find_checkpoint(renderer)
    net = build(read_checkpoint(path, SYSTEM), RENDERER)
    heads = moving_heads(clips, size, net.config.reach, cache_dir, pad=0, every=every, quiet=quiet)
    if net.config.keypoints != heads.seen.canonical.shape[1] or net.config.size != soft:
        raise InputError(
            f"{path}: a renderer of {net.config.size} px and {net.config.keypoints} keypoints; pairs are made by one "
            f"of {soft} px whose {heads.seen.canonical.shape[1]} keypoints are tied to landmarks."
        )
    content = [_VERSION, net.config.reach, *stats([*clips.files, path])]
    key = CacheKey("rendered", clips.folder, (size, soft, every), content)
    shape = (len(heads), soft, soft, 3)
    drawn = cached_frames(key, cache_dir, shape, lambda: _drawn(net, heads), f"{clips.name}, rendered", quiet)
    return RenderedPairs(heads.frames, drawn)


@torch.no_grad()
def _drawn(net: HolisticRenderer, heads: MovingHeads) -> Iterator[NDArray[np.uint8]]:
    """All frames in order: the first half of a clip rendered of its last frame, the second of its first."""
    for begin, end in zip(heads.starts[:-1].tolist(), heads.starts[1:].tolist(), strict=True):
        half = (begin + end + 1) // 2
        for part, source in ((slice(begin, half), end - 1), (slice(half, end), begin)):
            if part.start == part.stop:
                continue
            picture = rearrange(to_unit(torch.from_numpy(heads.frames[source].copy())), "h w c -> 1 c h w")
            known = Seen(*(getattr(heads.seen, name)[[source]] for name in Seen.__dataclass_fields__))
            identity = net.identity(resized_pictures(picture, net.config.size), known)
            parts = ("expression", "rotation", "translation", "scale")
            motion = Motion(*(getattr(heads.seen, name)[part] for name in parts))
            for few in range(0, len(motion), 8):
                pictures = net.render(identity, motion[few : few + 8])
                yield from as_byte_array(rearrange(pictures, "t c h w -> t h w c"))
