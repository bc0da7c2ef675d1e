"""Source videos: identified by their content, and found in folders."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..media.container import SUFFIXES

_PART = 2**20


@dataclass(frozen=True)
class SourceVideo:
    """A file, the key of its content, and the name that its clips begin with."""

    path: Path
    key: str
    name: str

    @classmethod
    def of(cls, path: Path) -> SourceVideo:
        """The key is that of the size and of the first and the last MiB: enough, and quick on files of many GB."""
        size = path.stat().st_size
        digest = hashlib.sha256(str(size).encode())
        with path.open("rb") as file:
            digest.update(file.read(_PART))
            file.seek(max(size - _PART, 0))
            digest.update(file.read(_PART))
        key = digest.hexdigest()[:16]
        stem = re.sub(r"[^A-Za-z0-9_-]+", "_", path.stem).strip("_")[:40] or "film"
        return cls(path, key, f"{stem}-{key[:6]}")


def find_videos(paths: Iterable[str | Path]) -> list[SourceVideo]:
    """The films that are named, and those in the folders that are named, each content once, in order.

    Raises InputError for a path that does not exist, a folder without films, and nothing at all.
    """
    films: dict[str, SourceVideo] = {}
    for name in paths:
        path = Path(name)
        if not str(name):
            raise InputError("a video without a name was given; write . for the current folder")
        if not path.exists():
            raise InputError(f"video {path} does not exist; check the name and the folder")
        files = [path]
        if path.is_dir():
            hidden = {p for p in path.rglob("*") if any(part.startswith(".") for part in p.relative_to(path).parts)}
            files = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p not in hidden)
            if not files:
                raise InputError(f"folder {path} holds no video ({', '.join(sorted(SUFFIXES))}); give video files")
        for file in files:
            film = SourceVideo.of(file)
            films.setdefault(film.key, film)
    if not films:
        raise InputError("no video was given; give one file or folder or more")
    return list(films.values())
