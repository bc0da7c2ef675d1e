"""Checkpoints: what is written comes back, and whatever is not a checkpoint is refused by one clear line."""

import io
import json
import pickle
import struct
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from talkface_core import checkpoints, tensor_file
from talkface_core.checkpoints import (
    CheckpointError,
    find_checkpoint,
    list_checkpoints,
    read_checkpoint,
    read_header,
    save_checkpoint,
)
from talkface_core.config import Config
from talkface_core.errors import InputError


class Net(nn.Module):
    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, width, 3)
        self.norm = nn.BatchNorm2d(width)


@pytest.fixture
def nets() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {"unet": Net().to(memory_format=torch.channels_last), "encoder": nn.Linear(4, 2)}


@pytest.fixture
def saved(tmp_path: Path, nets: dict[str, nn.Module]) -> Path:
    path = tmp_path / "net.safetensors"
    save_checkpoint(path, "toy", nets, {"unet": {"width": 3}, "encoder": {}}, {"steps": 7, "licence": "CC0"})
    return path


def refused(path: Path, *words: str, system: str | None = None) -> None:
    """By the reader of the whole file and by that of its header, in the same words."""
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(path, system)
    assert_one_line(caught, path, *words)
    with pytest.raises(CheckpointError) as listed:
        read_header(path, system)
    assert str(listed.value) == str(caught.value)


def assert_one_line(caught: pytest.ExceptionInfo, path: Path, *words: str) -> None:
    message = str(caught.value)
    assert "\n" not in message
    for word in (path.name, "found", "expected", *words):
        assert word in message, message


def rewrite(path: Path, **metadata: str) -> None:
    """The same weights under changed metadata."""
    with tensor_file.safe_open(path, "pt") as file:
        old = file.metadata()
    save_file(load_file(path), path, {**old, **metadata})


def test_round_trip(saved: Path, nets: dict[str, nn.Module]) -> None:
    checkpoint = read_checkpoint(saved, "toy")
    assert (checkpoint.system, checkpoint.configs) == ("toy", {"unet": {"width": 3}, "encoder": {}})
    assert checkpoint.provenance == {"steps": 7, "licence": "CC0"}
    for name, fresh in (("unet", Net()), ("encoder", nn.Linear(4, 2))):
        assert checkpoint.load_into(fresh, name) is fresh
        for key, tensor in nets[name].state_dict().items():
            assert torch.equal(fresh.state_dict()[key], tensor)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_stored_and_cast_on_loading(tmp_path: Path, nets: dict[str, nn.Module], dtype) -> None:
    path = tmp_path / "half.safetensors"
    save_checkpoint(path, "toy", nets, {"unet": {}, "encoder": {}}, {}, dtype=dtype)
    checkpoint = read_checkpoint(path)
    assert checkpoint.states["encoder"]["weight"].dtype == dtype
    assert checkpoint.states["unet"]["norm.num_batches_tracked"].dtype == torch.int64
    net = checkpoint.load_into(nn.Linear(4, 2), "encoder")
    assert net.weight.dtype == torch.float32
    assert torch.equal(net.weight, nets["encoder"].weight.to(dtype).float())
    assert checkpoint.load_into(nn.Linear(4, 2).double(), "encoder").weight.dtype == torch.float64


def test_tied_weights(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    net[1].weight = net[0].weight
    save_checkpoint(tmp_path / "tied.safetensors", "toy", {"net": net}, {"net": {}}, {})
    state = read_checkpoint(tmp_path / "tied.safetensors").states["net"]
    assert torch.equal(state["0.weight"], state["1.weight"])


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_header_length_that_looks_like_a_pickle(tmp_path: Path, protocol: int) -> None:
    path, note = tmp_path / "a.safetensors", ""
    for _ in range(2):  # the second time padded so that the header takes protocol * 256 + 128 bytes
        save_checkpoint(path, "toy", {"net": nn.Linear(1, 1)}, {"net": {}}, {"note": note})
        note = "x" * (protocol * 256 + 128 - int.from_bytes(path.read_bytes()[:8], "little"))
    assert path.read_bytes().startswith(bytes([0x80, protocol]))
    assert read_checkpoint(path).system == "toy"


def test_missing_file_and_folder(tmp_path: Path) -> None:
    refused(tmp_path / "gone.safetensors", "no such file")
    refused(tmp_path, "a folder")


def test_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty.safetensors"
    path.touch()
    refused(path, "empty")


@pytest.mark.parametrize("keep", ["data", "header", "nine bytes", "four bytes"])
def test_cut_off(saved: Path, keep: str) -> None:
    whole = saved.read_bytes()
    header = 8 + struct.unpack("<Q", whole[:8])[0]
    end = {"data": len(whole) - 4, "header": header - 5, "nine bytes": 9, "four bytes": 4}[keep]
    saved.write_bytes(whole[:end])
    refused(saved, "no safetensors" if end < 8 else "cut-off", f"{end} bytes")


def test_bytes_after_the_end(saved: Path) -> None:
    saved.write_bytes(saved.read_bytes() + b"12345")
    refused(saved, "after the end")


def test_damaged_header(saved: Path) -> None:
    raw = bytearray(saved.read_bytes())
    raw[20:30] = b'"""""{{{{{'
    saved.write_bytes(raw)
    refused(saved, "damaged header")


@pytest.mark.parametrize("name", ["net.pt", "net.pth", "net.ckpt", "renamed.safetensors"])
@pytest.mark.parametrize("kind", ["torch zip", "torch legacy", "raw pickle"])
def test_pickled_is_never_loaded(tmp_path: Path, name: str, kind: str) -> None:
    path, state = tmp_path / name, {"w": torch.zeros(2)}
    if kind == "raw pickle":
        path.write_bytes(pickle.dumps({"w": [0.0, 1.0]}))
    else:
        buffer = io.BytesIO()
        torch.save(state, buffer, _use_new_zipfile_serialization=kind == "torch zip")
        path.write_bytes(buffer.getvalue())
    refused(path, "pickled")


def test_text_file(tmp_path: Path) -> None:
    path = tmp_path / "page.safetensors"
    path.write_text("<!doctype html><title>404</title>" * 10)
    refused(path, "no safetensors")


def test_foreign_safetensors(tmp_path: Path) -> None:
    path = tmp_path / "lora.safetensors"
    save_file({"w": torch.zeros(2)}, path)
    refused(path, "another program")
    save_file({"w": torch.zeros(2)}, path, {"format": "pt"})
    refused(path, "another program")


def test_the_header_tells_all_but_the_weights(saved: Path) -> None:
    checkpoint = read_checkpoint(saved, "toy")
    header = read_header(saved, "toy")
    assert (header.system, header.configs, header.provenance) == ("toy", checkpoint.configs, checkpoint.provenance)
    assert header.shapes == {
        name: {key: tuple(t.shape) for key, t in s.items()} for name, s in checkpoint.states.items()
    }
    assert header.shapes["unet"]["conv.weight"] == (3, 2, 3, 3)


def test_settings_are_refused_by_file_component_and_key(saved: Path) -> None:
    @dataclass(frozen=True)
    class Width(Config):
        width: int = 2

    rewrite(saved, configs=json.dumps({"unet": {"width": 3}, "encoder": {"height": 3}}))
    header = read_header(saved)
    assert header.config("unet", Width) == Width(3)
    with pytest.raises(CheckpointError, match=r"net\.safetensors: found unreadable settings of 'encoder' \(height is"):
        header.config("encoder", Width)
    with pytest.raises(CheckpointError, match=r"net\.safetensors: holds no 'gate', only unet, encoder"):
        header.config("gate", Width)


def test_wrong_system(saved: Path) -> None:
    refused(saved, "'toy'", "'other'", system="other")


def test_newer_format(saved: Path) -> None:
    rewrite(saved, format_version="3")
    refused(saved, "version '3'", "update TalkFace")
    for strange in ("one", "²", "9" * 5000, "-1", ""):
        rewrite(saved, format_version=strange)
        refused(saved, f"version {strange[:20]!r}")


@pytest.mark.parametrize("header", ['{"__metadata__":[]}', '{"__metadata__":null}', '{"__metadata__":"a"}', "[]", "3"])
def test_headers_of_the_wrong_kind(tmp_path: Path, header: str) -> None:
    path = tmp_path / "odd.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode())
    with pytest.raises(CheckpointError, match="found"):
        read_header(path)


@pytest.mark.parametrize(
    "entry",
    [
        '{"dtype":"F4","shape":[2],"data_offsets":[0,1]}',
        '{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}',
        '{"dtype":"F32","shape":["1"],"data_offsets":[0,4]}',
        '{"dtype":"F32","shape":[1],"data_offsets":[0,1e999]}',
        '{"dtype":["F32"],"shape":[1],"data_offsets":[0,4]}',
        '{"dtype":"F32","shape":7,"data_offsets":{}}',
        '{"dtype":"F32","shape":[1],"data_offsets":[' + "[" * 100_000 + "]" * 100_000 + "]}",
    ],
)
def test_entries_of_the_wrong_kind(tmp_path: Path, entry: str) -> None:
    path, header = tmp_path / "odd.safetensors", '{"w":' + entry + "}"
    path.write_bytes(struct.pack("<Q", len(header)) + header.encode() + b"1234")
    with pytest.raises(CheckpointError, match="found"):
        read_header(path)


def test_more_tensors_than_any_network(tmp_path: Path) -> None:
    path = tmp_path / "many.safetensors"
    save_file({str(n): torch.zeros(()) for n in range(20_001)}, path)
    refused(path, "20001 tensors")


@pytest.mark.parametrize(
    "text", ["not json", "[1]", "null", '{"a":NaN}', '{"a":' * 2000, '{"a":' * 40 + "1" + "}" * 40]
)
def test_unreadable_configs(saved: Path, text: str) -> None:
    rewrite(saved, configs=text)
    refused(saved, "'configs'")


@pytest.mark.parametrize("settings", [None, [], 3, "x"])
def test_settings_that_are_no_object(saved: Path, settings: object) -> None:
    rewrite(saved, configs=json.dumps({"encoder": {}, "unet": settings}))
    refused(saved, "settings of 'unet'")


def test_weights_of_no_component(saved: Path) -> None:
    rewrite(saved, configs=json.dumps({"unet": {}}))
    refused(saved, "'encoder.bias'")


def test_wrong_component_keys_and_shapes(saved: Path) -> None:
    checkpoint = read_checkpoint(saved)
    extra = Net()
    extra.more = nn.Linear(1, 1)
    for module, component, words in (
        (Net(), "decoder", ["'decoder'", "'encoder', 'unet'"]),
        (extra, "unet", ["lacks", "'more.bias'"]),
        (nn.Conv2d(2, 3, 3), "unet", ["lacks 'bias', 'weight'"]),
        (nn.Linear(4, 2, bias=False), "encoder", ["also holds 'bias'"]),
        (Net(width=5), "unet", ["conv.", "shape [3", "shape [5"]),
    ):
        before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
        with pytest.raises(CheckpointError) as caught:
            checkpoint.load_into(module, component)
        assert_one_line(caught, saved, *words)
        assert all(torch.equal(before[key], tensor) for key, tensor in module.state_dict().items())


def test_nan_weights_are_refused_on_both_sides(saved: Path, nets: dict[str, nn.Module]) -> None:
    before = saved.read_bytes()
    nets["encoder"].weight.data[0, 0] = float("nan")
    with pytest.raises(CheckpointError) as caught:
        save_checkpoint(saved, "toy", nets, {"unet": {}, "encoder": {}}, {})
    assert_one_line(caught, saved, "NaN", "encoder.weight")
    assert saved.read_bytes() == before
    tensors = load_file(saved)
    tensors["encoder.weight"][0, 0] = float("nan")
    with tensor_file.safe_open(saved, "pt") as file:
        metadata = file.metadata()
    save_file(tensors, saved, metadata)
    with pytest.raises(CheckpointError) as caught:
        read_checkpoint(saved).load_into(nn.Linear(4, 2), "encoder")
    assert_one_line(caught, saved, "NaN", "encoder.weight")


def test_overflow_in_float16_is_refused(tmp_path: Path) -> None:
    net = nn.Linear(1, 1)
    net.weight.data.fill_(1e6)
    with pytest.raises(CheckpointError, match="float16"):
        save_checkpoint(tmp_path / "a.safetensors", "toy", {"net": net}, {"net": {}}, {}, dtype=torch.float16)
    assert list(tmp_path.iterdir()) == []


def test_failed_write_keeps_the_old_file(saved: Path, nets: dict[str, nn.Module], monkeypatch) -> None:
    before = saved.read_bytes()

    def half_written(tensors, path, metadata) -> None:
        Path(path).write_bytes(before[:50])
        raise OSError("No space left on device")

    monkeypatch.setattr(tensor_file, "save_file", half_written)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(saved, "toy", nets, {"unet": {}, "encoder": {}}, {})
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_wrong_calls(tmp_path: Path, nets: dict[str, nn.Module]) -> None:
    with pytest.raises(InputError, match=r"\.safetensors"):
        save_checkpoint(tmp_path / "a.pt", "toy", nets, {"unet": {}, "encoder": {}}, {})
    with pytest.raises(InputError, match="one config for each"):
        save_checkpoint(tmp_path / "a.safetensors", "toy", nets, {"unet": {}}, {})


def test_overwriting_leaves_what_is_mapped_alone(saved: Path, nets: dict[str, nn.Module]) -> None:
    mapped = read_checkpoint(saved).states["encoder"]["weight"]
    before = mapped.clone()
    nn.init.zeros_(nets["encoder"].weight)
    save_checkpoint(saved, "toy", nets, {"unet": {}, "encoder": {}}, {})
    assert torch.equal(mapped, before)
    assert read_checkpoint(saved).states["encoder"]["weight"].abs().max() == 0


def test_find_and_list(saved: Path, monkeypatch) -> None:
    assert find_checkpoint(saved) == saved
    with pytest.raises(CheckpointError) as caught:
        find_checkpoint("nowhere")
    assert_one_line(caught, Path("nowhere"))
    assert all(name in str(caught.value) for name in list_checkpoints())
    assert find_checkpoint("net", folders=[saved.parent]) == saved
    monkeypatch.setattr(checkpoints, "PRETRAINED", saved.parent)
    assert list_checkpoints() == {"net": saved}
    assert find_checkpoint("net") == saved


@pytest.mark.skipif(sys.platform == "win32", reason="limits of a file's size are POSIX")
def test_a_full_disk_keeps_the_old_file_and_names_it(saved: Path) -> None:
    before = saved.read_bytes()
    script = """
import resource, sys
from torch import nn
from talkface_core.atomic import whole_file
from talkface_core.checkpoints import save_checkpoint

resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
try:
    save_checkpoint(sys.argv[1], "toy", {"net": nn.Linear(100, 100)}, {"net": {}}, {})
except OSError as error:
    assert sys.argv[1] in str(error) and "too large" in str(error), error
else:
    raise SystemExit("it was written")
try:
    with whole_file(sys.argv[1]) as part:
        part.write_bytes(bytes(4000))
except OSError as error:
    assert error.filename == sys.argv[1], error
else:
    raise SystemExit("it was written")
"""
    done = subprocess.run([sys.executable, "-c", script, str(saved)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]
