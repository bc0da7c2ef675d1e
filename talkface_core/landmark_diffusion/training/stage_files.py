"""What the stages before have trained, as files that flags name."""

from __future__ import annotations

from ...checkpoints import Checkpoint, CheckpointError, find_checkpoint, read_checkpoint
from .. import completion as words
from .. import denoiser
from ..landmarks import SYSTEM

_NEEDED = {"--completion": words.COMPONENT, "--painter": denoiser.COMPONENT}


def read_stages(completion: str, painter: str) -> tuple[Checkpoint, Checkpoint]:
    """The checkpoints of `--completion` and `--painter`, by names or paths; a whole system will do for either.

    Raises CheckpointError, with the flags, for a file without what its flag takes: the two are easily swapped.
    """
    files = {"--completion": completion, "--painter": painter}
    parts = {flag: read_checkpoint(find_checkpoint(file), SYSTEM) for flag, file in files.items()}
    lacking = [flag for flag, component in _NEEDED.items() if component not in parts[flag].configs]
    if lacking:
        held = "; ".join(f"{flag} {files[flag]} holds {', '.join(part.configs)}" for flag, part in parts.items())
        taken = " and ".join(f"{flag} takes a file with a {_NEEDED[flag]}" for flag in lacking)
        swapped = all(_NEEDED[a] in parts[b].configs for a, b in (tuple(files), tuple(files)[::-1]))
        raise CheckpointError(f"{held}: {taken}{'; they are swapped' if swapped else ''}.")
    return parts["--completion"], parts["--painter"]
