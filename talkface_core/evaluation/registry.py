"""The registry of metrics: each one's name, what it needs, what it means, and how it is computed.

A metric is computed of the generated clip and of the real one in the same way, so that the instrument's own error
stands beside every number. What cannot be computed is left out and named, with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..errors import InputError
from ..lpips import ALEX_FILE, VGG_FILE
from ..speech.vad import VoiceActivityGate
from ..sync.score import SyncScore
from ..sync.syncnet import SyncNet
from .footage import Footage, Pair
from .sface import FILE as SFACE_FILE

GROUPS = ("picture", "mouth", "sync", "silence", "identity", "time")
"""Sections of the table, in order."""


@dataclass(frozen=True)
class Kit:
    """The instruments at hand; None: not there.

    expert: the bundled lip expert; evaluator: the published one's scores of a clip; lpips and lpips_alex: distances [T]
    of two sets of crops [T,S,S,3], by VGG-16 and by AlexNet; embed: unit vectors [T,D] of a clip's face; frame_features
    and video_features: what FID and FVD compare, vectors [N,D] of crops; gate: where somebody speaks.
    """

    expert: SyncNet | None = None
    gate: VoiceActivityGate | None = None
    evaluator: Callable[[Footage], SyncScore] | None = None
    lpips: Callable[[NDArray[np.uint8], NDArray[np.uint8]], Tensor] | None = None
    lpips_alex: Callable[[NDArray[np.uint8], NDArray[np.uint8]], Tensor] | None = None
    embed: Callable[[Footage], Tensor] | None = None
    frame_features: Callable[[NDArray[np.uint8]], Tensor] | None = None
    video_features: Callable[[NDArray[np.uint8]], Tensor] | None = None


@dataclass(frozen=True)
class Measured:
    """A metric of one clip: its value, and where it has one its course over the frames [T], NaN where unknown."""

    value: float
    curve: NDArray[np.floating] | None = None


Compute = Callable[[Footage, Pair, Kit], Measured]
"""The subject (the pair's generated or real clip, or its `hushed`), its pair, and the instruments."""


@dataclass(frozen=True)
class Metric:
    """key and title; group: one of `GROUPS`; unit; better: "higher", "lower", "zero" or "real" (near the real clip's);
    needs: keys of `NEEDS`; protocol: what the number means; perfect: what identical clips give, where the real clip
    beside itself need not be computed; magnitude: means over clips are of absolute values; subject: "hushed" where it
    is the run with silence that is measured."""

    key: str
    title: str
    group: str
    unit: str
    better: str
    protocol: str
    compute: Compute
    needs: tuple[str, ...] = ()
    perfect: float | None = None
    magnitude: bool = False
    subject: str = "generated"

    def missing(self, pair: Pair, kit: Kit) -> str | None:
        """Why it cannot be computed, None if it can."""
        return next((reason for need in self.needs if (reason := NEEDS[need](pair, kit))), None)

    def of(self, pair: Pair, kit: Kit, real: bool = False) -> Measured:
        """Of the generated clip (or the run with silence), or of the real one."""
        if real:
            return self.compute(pair.real, pair, kit) if self.perfect is None else Measured(self.perfect)
        subject = pair.hushed if self.subject == "hushed" else pair.generated
        if subject is None:
            raise InputError(f"{self.key} needs a run with silence, and there is none")
        return self.compute(subject, pair, kit)


def _need(reason: str, there: Callable[[Pair, Kit], bool]) -> Callable[[Pair, Kit], str | None]:
    return lambda pair, kit: None if there(pair, kit) else reason


NEEDS: dict[str, Callable[[Pair, Kit], str | None]] = {
    "faces in place": _need(
        "the frames are not of the real clip's size with the face at its place", lambda pair, _: pair.in_place
    ),
    "same words": _need("the generated clip says something else than the real one", lambda pair, _: pair.same_words),
    "mouths": _need("fewer than five frames show both mouths", lambda pair, _: int(pair.seen.sum()) >= 5),
    "sound": _need(
        "a clip has no sound", lambda pair, _: pair.generated.sound is not None and pair.real.sound is not None
    ),
    "closures": _need(
        "it is not known where p, b and m are: put an .npz with `phonemes` or `pp_frames` beside the real clip",
        lambda pair, _: pair.closures is not None and len(pair.closures) > 0,
    ),
    "pauses": _need(
        "nobody is silent long enough", lambda pair, _: pair.pauses is not None and bool(pair.pauses.any())
    ),
    "silent run": _need(
        "no generating system was named, so none was asked what it does with silence: give --system",
        lambda pair, _: pair.hushed is not None,
    ),
    "expert": _need("no lip expert is at hand", lambda _, kit: kit.expert is not None),
    "evaluator": _need(
        "the published evaluator's weights are not here: convert syncnet_v2.model with `models --convert`, then give "
        "--evaluator FILE",
        lambda _, kit: kit.evaluator is not None,
    ),
    "lpips": _need(
        f"VGG-16 is not here: give --weights {VGG_FILE}",
        lambda _, kit: kit.lpips is not None,
    ),
    "lpips alex": _need(
        f"AlexNet is not here: give --weights {ALEX_FILE}",
        lambda _, kit: kit.lpips_alex is not None,
    ),
    "embedding": _need(
        f"no network that knows faces is here: give --weights {SFACE_FILE}",
        lambda _, kit: kit.embed is not None,
    ),
}

_METRICS: dict[str, Metric] = {}


def metric(
    key: str, title: str, group: str, unit: str, better: str, protocol: str, needs: Sequence[str] = (), **more: object
) -> Callable[[Compute], Compute]:
    """Registers a function as a metric; see `Metric`. Raises ValueError for a key that is taken or a word unknown."""
    if key in _METRICS or group not in GROUPS or better not in ("higher", "lower", "zero", "real"):
        raise ValueError(f"metric {key!r} of {group!r}, better {better!r}")
    if unknown := set(needs) - NEEDS.keys():
        raise ValueError(f"metric {key!r} needs {unknown}")

    def register(compute: Compute) -> Compute:
        _METRICS[key] = Metric(key, title, group, unit, better, protocol, compute, tuple(needs), **more)  # type: ignore[arg-type]
        return compute

    return register


def registered() -> dict[str, Metric]:
    """All metrics that were registered, by their groups; `catalogue.METRICS` has imported them all."""
    return dict(sorted(_METRICS.items(), key=lambda entry: GROUPS.index(entry[1].group)))
