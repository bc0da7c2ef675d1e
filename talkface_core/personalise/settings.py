"""What a person is made with: all that the result depends on besides the footage."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..dae_talker.model import BUNDLED as TALKER
from ..errors import InputError
from ..ladtalk.model import BUNDLED as TEXTURE

LEAST_BUDGET, MOST_BUDGET = 1.0, 14 * 86400.0

_PARTS = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


@dataclass(frozen=True)
class Settings:
    """budget: seconds for all of it; face: "only" (refuse several people), "largest", "leftmost" or a number from the
    left; least: seconds of footage below which nothing is begun; held_out: the share of the footage's end that is
    measured on and never trained on, and `most_held_out` its most seconds; talker and texture: the checkpoints to begin
    with, by name or path. Raises InputError."""

    budget: float = 7200.0
    face: str = "only"
    least: float = 10.0
    held_out: float = 0.2
    most_held_out: float = 60.0
    seed: int = 0
    talker: str = TALKER
    texture: str = TEXTURE

    def __post_init__(self) -> None:
        if not LEAST_BUDGET <= self.budget <= MOST_BUDGET:
            raise InputError(f"a budget of {self.budget:g} s; give 1 second to 14 days, such as 30m or 2h.")
        if self.face not in ("only", "largest", "leftmost") and not re.fullmatch(r"\d{1,4}", self.face):
            raise InputError(
                f"face {self.face[:40]!r}: give only, largest, leftmost, or a number from the left (0, 1, …)."
            )

    def share_held_out(self, seconds: float) -> float:
        """The share of so many seconds of footage that is held out."""
        return min(self.held_out, self.most_held_out / max(seconds, 1.0))


def parse_budget(text: str) -> float:
    """Seconds of "2h", "1h30m", "45m", "90s". Raises InputError."""
    match = _PARTS.fullmatch(text.strip().lower())
    if match is None or not any(match.groups()):
        raise InputError(
            f"budget {text!r}: write hours, minutes or seconds with their letter, such as 2h, 1h30m or 45m."
        )
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return 3600 * hours + 60 * minutes + seconds


def told(seconds: float) -> str:
    """A length of time for people."""
    if seconds < 99:
        return f"{seconds:.0f} s"
    if seconds < 99 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
