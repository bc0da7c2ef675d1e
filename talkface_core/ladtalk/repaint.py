"""Aligned faces repainted by a Wav2Lip: tensors for the pipeline, bytes for data sets and measurements."""

from __future__ import annotations

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..pixels import resized_pictures, to_bytes, to_unit
from .wav2lip import Wav2Lip, Wav2LipOutput, picture_size

_LIVE_MAPS = 4  # of the size of the widest one, at the peak: 3.1 and 3.3 were measured on the presets


@torch.no_grad()
def repaint_faces(net: Wav2Lip, faces: Tensor, speech: Tensor, references: Tensor | None = None) -> Wav2LipOutput:
    """Aligned faces [T,3,H,H] in 0..1 that say the speech (`Wav2Lip.encode_speech`), float32 in 0..1 on its device.

    References [T,R,3,H,H], or one for all R [T,3,H,H], show what the mouth looks like; None: the faces themselves, as
    published. The net looks at `config.size` pixels; one with a flow moves the pixels of larger pictures, others give
    pictures of its own size. It computes in its own dtype, every frame by itself. Raises InputError for faces of
    another size or count.
    """
    config, weight = net.config, net.pixels.weight
    references = faces if references is None else references
    side = faces.shape[-1]
    expected = {(len(speech), 3, side, side), (len(speech), config.references, 3, side, side)}
    if faces.ndim != 4 or tuple(faces.shape) not in expected or tuple(references.shape) not in expected:
        raise InputError(
            f"{len(speech)} frames of sound need square faces {[len(speech), 3, side, side]} and references as "
            f"large, {config.references} or one for each, not {[*faces.shape]} and {[*references.shape]}."
        )
    if side < config.size or (side > config.size and not config.flow):
        faces, references = resized_pictures(faces, config.size), resized_pictures(references, config.size)
    faces, references = (p.to(weight.device, torch.float32) for p in (faces, references))
    small, shown = (resized_pictures(p, config.size) for p in (faces, references))
    predicted = net.predict(small, shown, speech.to(weight))
    output = net.composite(predicted, faces, references)
    return Wav2LipOutput(output.frames.clamp(0, 1), output.carried, output.mask)


def repaint(
    net: Wav2Lip,
    faces: NDArray[np.uint8],
    speech: Tensor,
    references: NDArray[np.uint8] | None = None,
    batch: int = 16,
) -> NDArray[np.uint8]:
    """`repaint_faces` of bytes [T,H,H,3], references [T,H,H,3] or [T,R,H,H,3], `batch` at a time: what data sets and
    measurements are made of."""
    references = faces if references is None else references
    repainted = [np.empty((0, *faces.shape[1:]), np.uint8)]
    for start in range(0, max(len(faces), len(speech)), batch):
        part = slice(start, start + batch)
        x, y = (
            rearrange(to_unit(torch.from_numpy(p[part]).to(net.pixels.weight.device)), "... h w c -> ... c h w")
            for p in (faces, references)
        )
        frames = repaint_faces(net, x, speech[part], y).frames
        repainted.append(rearrange(to_bytes(frames), "t c h w -> t h w c").cpu().numpy())
    return np.concatenate(repainted)


def repaint_memory(net: Wav2Lip, frames: int) -> float:
    """Bytes of activations that `repaint` needs for so many frames at once, for a host that makes room beforehand."""
    config = net.config
    values = (config.size // config.patch) ** 2 * (config.decoder[-1] + config.face[0])
    # Float32: what is shown and what becomes of it, flows, choices and grids.
    moved = 4 * picture_size(config) ** 2 * (3 * config.shown + config.outputs) * bool(config.flow)
    return float(frames * (_LIVE_MAPS * values * net.pixels.weight.element_size() + moved))
