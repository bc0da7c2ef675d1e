"""Restores the texture of soft faces in any footage with the SOVQAE, and reports how firmly codes stand (LaDTalk).

The encoder's nearest codes are all that happens; no other network, nothing that looks from frame to frame. A guard
measures whether the mouth kept its shape: texture may change here, speech may not.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..faces.align import FaceCrop, align, check_shape, crop_faces
from ..faces.face import Detector, Face
from ..faces.landmarks import MOUTH, POINTS, landmark_distance
from ..faces.paste import paste_into
from ..faces.track import FaceTrack, in_sight
from ..memory import AdaptiveBatch
from ..pixels import as_unit_tensor
from .enhance_frames import Frames, brought_back, check_count, face_mask, mask_for, masked, resized, sized_for
from .matching import matching_strength_in
from .robustness import Check, go_on
from .robustness_report import RobustnessReport, build_robustness_report
from .sovqae import FRAMINGS, SOVQAE

log = logging.getLogger(__name__)

Landmarks = Callable[[Tensor], Tensor]
"""Frames [T,H,W,3] in 0..1 -> landmarks [T,68,2] in pixels: a detector's or the probe's."""
Callback = Callable[[int, int, Any], None]
"""How many frames of how many are done, and the newest of them [H,W,3]."""

WINDOW = 8
_REGIONS = ("mouth", "face")
_LIVE_MAPS, _LOOKING = 10, 120  # of the size of the finest level, at the peak of restoring and of the report: measured
_MATCHED_ON, _MATCHED_OVER = 8, 40  # frames that the strength is matched on, spread over the first so many
PAINTED = 0.3
"""Share of paint from which on a pixel is restored wholly: a little of it softens the edges that were carried over."""

PAINTED_ROWS, PAINTED_COLUMNS = 0.375, (0.125, 0.875)
"""From where on down, and between which columns, an aligned crop may be painted, by its side."""


def enhance(
    model: SOVQAE,
    frames: Frames,
    where: FaceTrack | FaceCrop | None = None,
    mask: Tensor | None = None,
    strength: float | None = 1.0,
    window: int = WINDOW,
    region: str = "mouth",
    landmarks: Landmarks | None = None,
    look_at: int = 2,
    callback: Callback | None = None,
    check: Check = go_on,
) -> tuple[Frames, RobustnessReport]:
    """Restore frames [T,H,W,3], uint8 or floating 0..1, of the same size, dtype and kind, and report on it.

    `where`: the faces in the frames, which are cut out, restored and pasted back over the `region` "mouth" or "face";
    None: the frames are faces, of any size. `mask` [H,W] or [T,H,W] in 0..1 holds the change to where it is above
    zero; elsewhere the frames stay bit for bit; one of another size is scaled. `strength` 0 changes nothing, 1 is the
    network's result, None makes mouths as fine as the footage around them. `window` frames are computed at once; the
    result does not depend on it, and when memory runs out it is computed in parts. `landmarks` measures the mouth
    before and after, on the faces themselves. `look_at` frames are looked at for the report. `callback` is told of
    frames; `check` is called between the report's steps, which take long (see `report_steps`).
    Raises InputError for frames, masks, strength, window or region that make no sense, and for a strength of None where
    there is nothing to match: without `where`, and over the whole face.
    """
    _check(frames, strength, window, region, look_at)
    mask = mask_for(mask, frames)
    framing = FRAMINGS[model.config.framing]
    crop = align(where, model.config.image_size, framing) if isinstance(where, FaceTrack) else where
    if crop is not None and len(crop) != len(frames):
        raise InputError(
            f"{len(frames)} frames, but the face was tracked in {len(crop)}; give the frames of the track."
        )
    out = frames.clone() if isinstance(frames, Tensor) else frames.copy()
    chosen = sorted({round(k) for k in np.linspace(0, len(frames) - 1, look_at).tolist()}) if look_at else []
    matched = strength is None
    if strength is None:
        if crop is None or region != "mouth":
            raise InputError("a strength that matches the footage is that of mouths in their frames; give a strength.")
        strength = _matched(model, frames, crop)
    samples, moved = [], []
    # The pair of `restore` as one tensor, for a batch that may have to be split.
    restored = AdaptiveBatch(lambda faces: torch.stack(restore(model, faces, strength), 1))
    for start in range(0, len(frames), window):
        part = slice(start, start + window)
        now = None if crop is None else crop.part(start, start + window)
        faces = frames[part] if now is None else crop_faces(frames[part], now)
        inputs, outputs = restored(faces).unbind(1)
        samples += [inputs[k - start] for k in chosen if start <= k < start + len(inputs)]
        own = mask if mask is None or mask.ndim == 2 else mask[part]
        if strength and now is None:
            new = brought_back(frames[part], inputs, outputs)
            out[part] = new if own is None else masked(frames[part], new, own)
        elif strength and now is not None:
            area = None if region == "mouth" else face_mask(outputs.shape[1])
            # The low band has the frame's own colours already, where it goes by the codes.
            paste_into(list(out[part]), outputs.cpu(), now, area, not model.config.bypass, own)
        if landmarks is not None:
            after = out[part] if now is None else crop_faces(out[part], now)
            moved += mouth_moved(landmarks, as_unit_tensor(faces), as_unit_tensor(after))
        if callback:
            done = min(start + window, len(frames))
            callback(done, len(frames), out[done - 1])
    report = build_robustness_report(model, len(frames), chosen, samples, tuple(moved) if landmarks else None, check)
    if report.changed_mouths:
        log.warning("\n".join(report.mouth_lines()))
    return out, replace(report, strength=strength, matched=matched)


def enhance_track(
    model: SOVQAE, frames: Frames, track: FaceTrack, mask: Tensor | None = None, **settings: Any
) -> tuple[Frames, RobustnessReport, list[int]]:
    """`enhance` where the face is in sight: frames, report, and the numbers of the frames that it speaks of.

    Raises InputError as that does, for frames that are not the track's, and where no frame shows a mouth.
    """
    check_shape(frames, track.size, len(track))
    detected = in_sight(track).nonzero().flatten().tolist()
    if not detected:
        raise InputError(
            f"none of {len(frames)} frames shows a mouth that can be read: hidden or turned away; use other "
            "footage, or give frames that are faces, without a face_track."
        )
    if len(detected) == len(frames):
        enhanced, report = enhance(model, frames, track, mask, **settings)
        return enhanced, report, detected
    check_count(mask, len(frames))
    own = mask if mask is None or mask.ndim == 2 or len(mask) == 1 else mask[detected]
    enhanced, report = enhance(model, frames[detected], track.at(detected), own, **settings)
    out = frames.clone() if isinstance(frames, Tensor) else frames.copy()
    out[detected] = enhanced
    return out, report, detected


def restore(model: SOVQAE, faces: Tensor | NDArray[np.generic], strength: float = 1.0) -> tuple[Tensor, Tensor]:
    """`restored` of faces [T,H,W,3], uint8 or 0..1: float32 [T,S,S',3] in 0..1 on the device of the model."""
    pictures = rearrange(as_unit_tensor(faces), "t h w c -> t c h w")
    inputs, outputs = restored(model, pictures, strength)
    return rearrange(inputs, "t c h w -> t h w c"), rearrange(outputs, "t c h w -> t h w c")


@torch.no_grad()
def restored(model: SOVQAE, faces: Tensor, strength: float = 1.0) -> tuple[Tensor, Tensor]:
    """Faces [T,3,H,W] in 0..1 at the model's size as it sees them, and restored: float32 [T,3,S,S'] in 0..1.

    Enlarged or shrunk so that the shorter side is the model's; sides are multiples of its factor. On the device of the
    model. This is what a pipeline lays into its frames with faces.paste.
    """
    inputs = sized_for(faces.to(model.quantiser.usage.device), model)
    outputs = inputs
    if strength:
        outputs = torch.lerp(inputs, _through(model, inputs), strength)
    return inputs, outputs


@torch.no_grad()
def restored_paint(model: SOVQAE, faces: Tensor, paint: Tensor, strength: float = 1.0) -> Tensor:
    """Faces [T,3,S,S] in 0..1 at the model's size, restored where they were painted: paint [T,1,S,S] in 0..1.

    Wholly from `PAINTED` on. Only the middle of the lower part, in which mouths and jaws lie, goes through the network:
    half of the work.
    """
    inputs = sized_for(faces.to(model.quantiser.usage.device), model)
    size, factor = inputs.shape[-1], model.config.factor
    rows = slice(round(PAINTED_ROWS * size / factor) * factor, size)
    columns = slice(
        round(PAINTED_COLUMNS[0] * size / factor) * factor, round(PAINTED_COLUMNS[1] * size / factor) * factor
    )
    part, share = inputs[..., rows, columns], resized(paint.to(inputs) / PAINTED, (size, size))[..., rows, columns]
    out = inputs.clone()
    out[..., rows, columns] = torch.lerp(part, _through(model, part), strength * share)
    return out


def _through(model: SOVQAE, pictures: Tensor) -> Tensor:
    """What the model makes of pictures [T,3,H,W] in 0..1, sides multiples of its factor."""
    pixels = (pictures * 2 - 1).contiguous(memory_format=torch.channels_last)
    return (model(pixels).frames.float() * 0.5 + 0.5).clamp(0, 1)


def enhance_memory(model: SOVQAE, window: int = WINDOW, look_at: int = 0) -> float:
    """Bytes of activations that `enhance` needs at its peak, for a host that makes room beforehand."""
    config = model.config
    values = config.channels[0] * (config.image_size // config.patch) ** 2
    restoring = _LIVE_MAPS * window * torch.empty((), dtype=model.dtype).element_size()
    return float(values * max(restoring, _LOOKING * 4 * bool(look_at)))


def _matched(model: SOVQAE, frames: Tensor | NDArray[np.generic], crop: FaceCrop) -> float:
    """The strength that makes mouths as fine as the footage, from some of the first frames."""
    first = min(len(frames), _MATCHED_OVER)
    chosen = np.unique(np.linspace(0, first - 1, _MATCHED_ON).round().astype(int)).tolist()
    restored = AdaptiveBatch(lambda faces: torch.stack(restore(model, faces), 1).cpu())
    return matching_strength_in(*restored(crop_faces(frames[chosen], crop.at(chosen))).unbind(1))


def mouth_moved(landmarks: Landmarks, before: Tensor, after: Tensor) -> list[float]:
    """How far the mouth's points are from where they were, on average, by the distance of the eyes: one for a frame.

    The mouth's centre is aligned, so that only its shape counts. NaN where no face is found.
    """
    old, new = (landmarks(frames).double().cpu() for frames in (before, after))
    new = new + (old[:, MOUTH] - new[:, MOUTH]).mean(1, keepdim=True)
    return landmark_distance(new.numpy(), old.numpy()).tolist()


def landmarks_by(detector: Detector) -> Landmarks:
    """A face detector as what measures mouths: the best face of each frame, NaN where there is none.

    One that can follow a face looks where it was last, which is quicker, and searches only where it is not.
    """
    last: Tensor | None = None

    def searched(frame: Tensor) -> Face | None:
        return next(iter(detector.detect(frame)[0]), None)

    def read(frames: Tensor) -> Tensor:
        nonlocal last
        landmarks = []
        if last is None and (first := searched(frames[:1])) is not None:
            last = first.landmarks
        for k, near in enumerate([None] * len(frames) if last is None else detector.follow(frames, last)):
            sure = near is not None and near.score >= detector.threshold
            face = near if sure else searched(frames[k : k + 1])
            landmarks.append(torch.full((POINTS, 2), float("nan")) if face is None else face.landmarks)
            last = last if face is None else face.landmarks
        return torch.stack(landmarks)

    return read


def _check(
    frames: Tensor | NDArray[np.generic], strength: float | None, window: int, region: str, look_at: int
) -> None:
    if frames.ndim != 4 or frames.shape[-1] != 3 or not len(frames):
        raise InputError(f"frames of shape {list(frames.shape)}; give RGB frames [frames, height, width, 3].")
    if strength is not None and not 0 <= strength <= 1:
        raise InputError(f"strength {strength}; it lies between 0 (nothing changes) and 1 (the network's result).")
    if window < 1 or look_at < 0:
        raise InputError(
            f"window {window}, look_at {look_at}; compute at least one frame at a time, look at 0 or more."
        )
    if region not in _REGIONS:
        raise InputError(f"region {region!r} is unknown; choose one of {', '.join(_REGIONS)}.")
