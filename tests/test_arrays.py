"""Arrays of strangers: what numpy wrote comes back, and whatever else a file holds is one line."""

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from talkface_core.arrays import check_landmarks, check_numbers, npz_shapes, read_npy, read_npz
from talkface_core.errors import InputError


def npy_bytes(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def with_header(text: str, data: bytes = b"") -> bytes:
    head = (text + "\n").encode("latin1")
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data


DAMAGED = {
    "nothing": b"",
    "text": b"1, 2, 3",
    "huge": with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 10000000000000)}"),
    "negative": with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 3)}"),
    "digits": with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (" + "9" * 400 + ", 3)}"),
    "token": with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (1L, 3"),
    "deep": with_header("(" * 5000),
    "kind": with_header("{'descr': [('a', '<f8', (10000, 10000, 10000))], 'fortran_order': False, 'shape': ()}"),
    "objects": with_header("{'descr': '|O', 'fortran_order': False, 'shape': (3,)}", b"cos\nsystem\n."),
    "cut": npy_bytes(np.zeros((9, 3)))[:-9],
}


@pytest.mark.parametrize("kind", DAMAGED)
@pytest.mark.parametrize("packed", [False, True])
def test_damaged(tmp_path: Path, kind: str, packed: bool) -> None:
    path = tmp_path / ("a.npz" if packed else "a.npy")
    if packed:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("pose.npy", DAMAGED[kind])
        readers = [read_npz] if kind == "cut" else [read_npz, npz_shapes]
    else:
        path.write_bytes(DAMAGED[kind])
        readers = [read_npy]
    for read in readers:
        with pytest.raises(InputError, match="cannot be read") as caught:
            read(path)
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 500


def test_archives_that_are_none(tmp_path: Path) -> None:
    whole = tmp_path / "whole.npz"
    np.savez(whole, a=np.zeros(30))
    data = bytearray(whole.read_bytes())
    central = data.index(b"PK\x01\x02")
    encrypted = data.copy()
    encrypted[6] |= 1
    encrypted[central + 8] |= 1
    for name, content in {"encrypted": encrypted, "cut": data[: len(data) // 2], "end": b"PK" + data[-22:]}.items():
        path = tmp_path / f"{name}.npz"
        path.write_bytes(content)
        for read in (read_npz, npz_shapes, read_npy):
            with pytest.raises(InputError, match="cannot be read"):
                read(path)


def test_round_trip(tmp_path: Path) -> None:
    path, rows = tmp_path / "a.npz", np.arange(6.0).reshape(2, 3)
    np.savez_compressed(path, rows=rows, text=np.array("é"), flag=np.array(True))
    assert npz_shapes(path) == {"rows": (2, 3), "text": (), "flag": ()}
    assert np.array_equal(read_npz(path)["rows"], rows)
    assert read_npz(path, "text", "more").keys() == {"text"}
    np.save(tmp_path / "a.npy", rows)
    assert np.array_equal(read_npy(tmp_path / "a.npy"), rows)


def test_numbers_and_landmarks() -> None:
    here, points = Path("a.npz"), np.random.default_rng(0).normal(100, 30, (4, 68, 2))
    check_numbers(here, "landmarks", points)
    check_landmarks(here, points)
    for odd in (points * 1e5, np.full(3, np.nan), np.array(["a"]), "text", [1.0]):
        with pytest.raises(InputError, match=r"a\.npz: 'x' holds"):
            check_numbers(here, "x", odd)
    for odd in (points[:0], points[:, :67], np.zeros((4, 68, 2)), np.zeros(3)):
        with pytest.raises(InputError, match=r"a\.npz: 'landmarks' "):
            check_landmarks(here, odd)
