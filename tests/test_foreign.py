"""Torch files of strangers: tensors and plain values come out, and nothing else of them happens."""

import pickle
import zipfile
from pathlib import Path

import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.foreign import load_foreign, tensors_of

WANTED = "a file for tests"


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        tensors_of(path, load_foreign(path, WANTED), WANTED)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    assert WANTED in message
    assert "weights_only" not in message
    return message


def test_tensors_and_plain_values(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"w": torch.arange(3.0), "n": 3, 7: torch.zeros(1)}, path)
    loaded = load_foreign(path, WANTED)
    assert loaded.keys() == {"w", "n"}
    assert torch.equal(tensors_of(path, loaded, WANTED)["w"], torch.arange(3.0))


def test_weights_that_are_no_plain_numbers(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    path, csr = tmp_path / "a.pth", torch.eye(3).to_sparse_csr()
    recwarn.clear()
    quantised = torch.quantize_per_tensor(torch.zeros(2), 0.1, 0, torch.qint8)
    for odd in (torch.eye(3).to_sparse(), csr, torch.zeros(2, dtype=torch.complex64), quantised):
        torch.save({"w": odd}, path)
        recwarn.clear()
        assert "torch file" in (message := refused(path)) or "'w'" in message
        assert not recwarn.list


@pytest.mark.parametrize("kind", ["end of an archive", "empty", "text", "pickle", "cut"])
def test_damaged(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.pth"
    torch.save({"w": torch.zeros(100)}, path)
    whole = path.read_bytes()
    files = {
        "end of an archive": b"x" * 100 + whole[-22:],
        "empty": b"",
        "text": b"<!doctype html>",
        "pickle": pickle.dumps({"w": [1.0]}),
        "cut": whole[: len(whole) // 2],
    }
    path.write_bytes(files[kind])
    refused(path)


def test_a_compressed_archive(tmp_path: Path) -> None:
    """So that a small file cannot fill the memory."""
    plain, packed = tmp_path / "plain.pth", tmp_path / "packed.pth"
    torch.save({"w": torch.zeros(10**6)}, plain)
    with zipfile.ZipFile(plain) as old, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name))
    assert packed.stat().st_size < 10**5
    assert "compressed" in refused(packed)


def test_keys_that_would_take_for_ever_to_print(tmp_path: Path) -> None:
    key: tuple = ()
    for _ in range(60):
        key = (key, key)
    path = tmp_path / "a.pth"
    torch.save({"state_dict": {"w": torch.zeros(1)}, "more": [key]}, path)
    assert load_foreign(path, WANTED)["state_dict"].keys() == {"w"}
