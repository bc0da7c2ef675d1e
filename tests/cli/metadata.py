"""What a written file says of itself."""

from pathlib import Path

import av


def metadata_of(path: Path) -> dict[str, str]:
    """The metadata of a video file."""
    with av.open(str(path)) as container:
        return dict(container.metadata)
