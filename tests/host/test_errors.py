"""Wrong input: one message, in words that tell a person what to do, and a server that goes on."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from talkface_core.checkpoints import PRETRAINED, find_checkpoint, save_checkpoint

from .client import ERROR, REJECTED, SUCCESS, Client, Ended
from .graphs import AUDIO, DECODE, LOADER, SPEECH, changed, nodes_of, plain
from .media import FIXTURES, talk, write_wav
from .server import Server

GOOD = find_checkpoint("dae_talker_tiny")


@pytest.fixture
def models(server: Server) -> Iterator[Path]:
    """The host's folder of checkpoints of this pack, emptied afterwards."""
    folder = server.models / "talkface"
    folder.mkdir(exist_ok=True)
    yield folder
    for file in folder.iterdir():
        file.unlink()


def _said(client: Client, prompt: dict, *words: str) -> Ended:
    """The prompt fails with one clean message that has all the `words`; prints what a person sees."""
    ended = client.run(prompt)
    print(f"{ended.status}: {ended.text}")
    assert ended.status in (ERROR, REJECTED)
    for word in words:
        assert word.lower() in ended.text.lower(), ended.text
    assert "Traceback" not in ended.text
    assert "object at 0x" not in ended.text
    assert len(ended.text) < 600
    if ended.status == ERROR:
        assert len(ended.text.splitlines()) == 1
        assert ended.error["exception_type"].endswith("Error")
    return ended


def _foreign(path: Path) -> None:
    save_file({"model.diffusion_model.weight": torch.zeros(4, 4)}, path, {"format": "pt"})


def _truncated(path: Path) -> None:
    path.write_bytes(GOOD.read_bytes()[:-100_000])


def _empty(path: Path) -> None:
    path.touch()


def _not_a_number(path: Path) -> None:
    data = bytearray(GOOD.read_bytes())
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    end = next(entry["data_offsets"][1] for entry in header.values() if entry.get("dtype") == "F16")
    data[8 + length + end - 2 : 8 + length + end] = struct.pack("<H", 0x7E00)  # NaN in float16
    path.write_bytes(data)


def _newer(path: Path) -> None:
    save_checkpoint(path, "dae_talker", {"unet": torch.nn.Linear(1, 1)}, {"unet": {}}, {})
    data = path.read_bytes()
    path.write_bytes(data.replace(b'"format_version":"1"', b'"format_version":"9"'))


def _strange(path: Path) -> None:
    header = b'{"w":' + b"[" * 100_000 + b"]" * 100_000 + b"}"
    path.write_bytes(struct.pack("<Q", len(header)) + header)


def _superscript(path: Path) -> None:
    save_file({"w": torch.zeros(1)}, path, {"format": "talkface", "format_version": "²"})


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_foreign, ("another program", "expected")),
        (_truncated, ("cut-off", "bytes")),
        (_empty, ("empty",)),
        (_not_a_number, ("NaN",)),
        (_newer, ("version", "update TalkFace")),
        (_strange, ("damaged header",)),
        (_superscript, ("version '²'",)),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_a_wrong_checkpoint(client: Client, models: Path, make: object, words: tuple[str, ...]) -> None:
    name = f"{make.__name__.strip('_')}.safetensors"
    make(models / name)
    assert name in _listed(client), "a damaged file is listed: choosing it tells what is wrong with it"
    _said(client, plain(**{LOADER: {"checkpoint": name}}), name, *words)


def test_a_checkpoint_of_another_system(client: Client, models: Path) -> None:
    """It is not offered; named nevertheless, it is refused, by newer hosts before anything runs."""
    (models / "probe.safetensors").write_bytes((PRETRAINED / "landmark_probe.safetensors").read_bytes())
    assert "probe.safetensors" not in _listed(client)
    ended = _said(client, plain(**{LOADER: {"checkpoint": "probe.safetensors"}}), "probe.safetensors")
    assert ended.status == REJECTED or "landmark-probe" in ended.text


@pytest.mark.parametrize("name", ["nobody.safetensors", "../../secret.safetensors", "/etc/passwd", ""])
def test_a_checkpoint_that_is_not_there(client: Client, server: Server, name: str) -> None:
    """A file outside the folder is not there, whether or not it exists; what could be chosen instead is said."""
    (server.base.parent / "secret.safetensors").write_bytes(GOOD.read_bytes())
    ended = _said(client, plain(**{LOADER: {"checkpoint": name}}), "dae_talker_tiny")
    assert "landmark_probe" not in ended.text, "another system's checkpoint is no choice"


@pytest.mark.parametrize(
    ("name", "samples", "words"),
    [
        ("empty.wav", np.zeros((1, 0)), ("empty.wav",)),
        ("nan.wav", np.full((1, 16_000), np.nan), ("NaN",)),
        ("inf.wav", np.full((1, 16_000), np.inf), ("inf",)),
    ],
)
def test_a_wrong_sound(client: Client, tmp_path: Path, name: str, samples: np.ndarray, words: tuple[str, ...]) -> None:
    file = write_wav(tmp_path / name, samples.astype(np.float32), 16_000)
    _said(client, plain(**{AUDIO: {"audio": client.upload(file)}}), *words)


def test_a_file_without_a_byte(client: Client, server: Server) -> None:
    (server.input / "nothing.wav").touch()
    _said(client, plain(**{AUDIO: {"audio": "nothing.wav"}}), "nothing.wav")


def test_a_file_that_is_no_sound(client: Client, server: Server) -> None:
    (server.input / "text.wav").write_text("This is not a sound. " * 100)
    _said(client, plain(**{AUDIO: {"audio": "text.wav"}}), "text.wav")


def test_a_film_without_sound(client: Client, server: Server) -> None:
    (server.input / "silent.mp4").write_bytes((FIXTURES / "ada_talks.mp4").read_bytes())
    _said(client, plain(**{AUDIO: {"audio": "silent.mp4"}}), "silent.mp4", "sound")


def test_a_film_without_sound_taken_apart(client: Client, server: Server) -> None:
    """Its AUDIO is no sound at all: None."""
    (server.input / "silent.mp4").write_bytes((FIXTURES / "ada_talks.mp4").read_bytes())
    prompt = plain()
    prompt["film"] = {"class_type": "TalkFaceLoadVideo", "inputs": {"file": "silent.mp4"}}
    prompt["parts"] = {"class_type": "GetVideoComponents", "inputs": {"video": ["film", 0]}}
    _said(client, changed(prompt, **{SPEECH: {"audio": ["parts", 1]}}), "no audio")


def test_wrong_keyframes(client: Client) -> None:
    prompt = plain()
    (speech,) = nodes_of(prompt, SPEECH)
    words = {"yaw": 0.0, "pitch": 0.0, "roll": 0.0, "keyframes": "0: 0, 0, 0\nlater: 5, 0, 0"}
    prompt["pose"] = {"class_type": "TalkFaceHeadPose", "inputs": words}
    prompt[speech]["inputs"]["head_pose"] = ["pose", 0]
    _said(client, prompt, "later", "2")


def test_a_cut_off_file(client: Client, server: Server) -> None:
    """Of a FLAC file only the header: a longer piece is read as far as it goes."""
    (server.input / "cut.flac").write_bytes((FIXTURES / "ada_talks.flac").read_bytes()[:60])
    _said(client, plain(**{AUDIO: {"audio": "cut.flac"}}), "cut.flac")


def test_a_start_after_the_end(client: Client, tmp_path: Path) -> None:
    name = client.upload(talk(tmp_path / "short.wav", 1.0))
    _said(client, plain(**{AUDIO: {"audio": name, "start": 100.0}}), "100", "1")


@pytest.mark.parametrize(
    "name", ["../../secret.wav", "{outside}/secret.wav", "..\\..\\secret.wav", "../secret.wav [output]"]
)
def test_no_file_outside_the_folders_of_the_host(client: Client, server: Server, name: str) -> None:
    """The file is there and it is a sound: only the folder is wrong."""
    outside = server.base.parent
    for folder in (outside, server.base):
        talk(folder / "secret.wav", 0.3)
    asked = name.format(outside=outside)
    ended = client.run(plain(**{AUDIO: {"audio": asked}}))
    print(ended.text)
    assert ended.status in (ERROR, REJECTED)
    assert "secret.wav" in ended.text


def test_a_wrong_prompt(client: Client) -> None:
    _said(client, plain(**{DECODE: {"steps": -1}}), "steps", "min")
    _said(client, plain(**{DECODE: {"sampler": "euler_ancestral"}}), "euler_ancestral")
    _said(client, plain(**{DECODE: {"seed": "soon"}}), "seed")


def test_wrong_wires_do_not_connect(client: Client) -> None:
    prompt = plain()
    (loader,), (speech,) = nodes_of(prompt, LOADER), nodes_of(prompt, SPEECH)
    _said(client, changed(prompt, **{DECODE: {"latents": [loader, 0]}}), "mismatch")
    _said(client, changed(prompt, **{SPEECH: {"audio": [loader, 0]}}), "mismatch")
    missing = changed(prompt)
    del missing[speech]["inputs"]["audio"]
    _said(client, missing, "audio", "missing")


def test_the_server_goes_on(client: Client, tmp_path: Path) -> None:
    assert client.run(plain(**{AUDIO: {"audio": client.upload(talk(tmp_path / "good.wav", 0.5))}})).status == SUCCESS


def _listed(client: Client) -> list[str]:
    """The checkpoints that the page offers, as old and new hosts list them."""
    spec = client.object_info()[LOADER]["input"]["required"]["checkpoint"]
    return spec[0] if isinstance(spec[0], list) else spec[1]["options"]
