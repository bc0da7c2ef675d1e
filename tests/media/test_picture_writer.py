"""Pictures as files: every pixel as it was, the mark of synthetic media, and an older file kept until a whole one is
there."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from talkface_core.media import picture_writer
from talkface_core.media.picture_writer import write_picture
from talkface_core.media.video_writer import SYNTHETIC_MARK


@pytest.fixture
def picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (5, 9, 3), np.uint8)


def test_pixels_come_back_in_the_order_of_colours(tmp_path: Path, picture: np.ndarray) -> None:
    for given in (picture, picture[::2, ::-1], picture.transpose(1, 0, 2)):
        path = write_picture(tmp_path / "made.png", given)
        with Image.open(path) as read:
            assert read.mode == "RGB"
            assert np.array_equal(np.asarray(read), given)


def test_it_says_that_it_is_synthetic_and_what_it_is_told(tmp_path: Path, picture: np.ndarray) -> None:
    """As text that readers understand, of any script; `metadata` goes over the mark."""
    path = write_picture(tmp_path / "made.png", picture, {"title": "一张脸 – é", "comment": "a guess"})
    with Image.open(path) as read:
        read.load()
        texts = {key.lower(): str(words) for key, words in read.text.items()}  # type: ignore[attr-defined]
    assert texts == {**SYNTHETIC_MARK, "title": "一张脸 – é", "comment": "a guess"}


def test_its_chunks_are_whole(tmp_path: Path, picture: np.ndarray) -> None:
    """Strict readers compare each with its check sum."""
    path = write_picture(tmp_path / "made.png", picture)
    with Image.open(path) as read:
        read.verify()
    data = bytearray(path.read_bytes())
    data[data.index(b"Synthetic media") + 2] ^= 1
    path.write_bytes(data)
    with pytest.raises((SyntaxError, OSError)), Image.open(path) as read:
        read.verify()


def test_an_older_file_stays_until_there_is_a_whole_one(
    tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_picture(tmp_path / "made.png", picture)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(picture_writer.Path, "write_bytes", full)
        with pytest.raises(OSError, match="No space"):
            write_picture(path, 255 - picture)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
