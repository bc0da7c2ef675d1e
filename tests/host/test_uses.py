"""Other ways through the nodes than the shipped workflows: each once, and the result is looked at."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from talkface_core.evaluation.metrics import psnr
from talkface_core.evaluation.probe import load_probe
from tests.dae_talker.small import save_small_talker

from .client import ERROR, SUCCESS, Client, Prompt
from .graphs import AUDIO, DECODE, LOADER, SPEECH, changed, nodes_of, plain, streaming
from .media import FIXTURES, Film, read_sound, talk
from .server import Server


@pytest.fixture
def other(server: Server) -> Iterator[str]:
    """The name of a second checkpoint, with latents of its own, in the host's folder."""
    path = server.models / "talkface" / "other.safetensors"
    path.parent.mkdir(exist_ok=True)
    yield save_small_talker(path).name
    path.unlink()


@pytest.mark.parametrize("build", [plain, streaming], ids=["frames", "streaming"])
def test_the_head_turns_as_told(server: Server, tmp_path: Path, build: type[Prompt]) -> None:
    prompt = build(**{AUDIO: {"audio": server.client.upload(talk(tmp_path / "turned.wav", 1.0))}})
    (speaker,) = nodes_of(prompt, SPEECH) or nodes_of(prompt, "TalkFaceTalkingVideo")
    prompt["pose"] = {
        "class_type": "TalkFaceHeadPose",
        "inputs": {"yaw": 12.0, "pitch": 0.0, "roll": 0.0, "keyframes": ""},
    }
    prompt[speaker]["inputs"] |= {"head_pose": ["pose", 0], "idle": False}
    film = _film(server, prompt)
    assert np.median(load_probe().read(film.frames).pose[:, 0]) == pytest.approx(12, abs=4)

    prompt["pose"]["inputs"]["keyframes"] = "0: -12, 0, 0\n1: 12, 0, 0"
    yaw = load_probe().read(_film(server, prompt).frames).pose[:, 0]
    assert yaw[:3].mean() == pytest.approx(-12, abs=5)
    assert yaw[-3:].mean() == pytest.approx(12, abs=5)


@pytest.mark.parametrize("build", [plain, streaming], ids=["frames", "streaming"])
def test_another_rate(server: Server, tmp_path: Path, build: type[Prompt]) -> None:
    file = talk(tmp_path / "rate.wav", 1.01)
    prompt = build(**{AUDIO: {"audio": server.client.upload(file)}})
    (speaker,) = nodes_of(prompt, SPEECH) or nodes_of(prompt, "TalkFaceTalkingVideo")
    prompt[speaker]["inputs"]["fps"] = 29.97
    film = _film(server, prompt)
    assert float(film.fps) == pytest.approx(30_000 / 1001, abs=0.001)
    assert len(film.frames) == math.ceil(Fraction(read_sound(file)[0].shape[1], 16_000) * Fraction(30_000, 1001))


def test_a_part_of_the_sound(server: Server, tmp_path: Path) -> None:
    file = talk(tmp_path / "part.wav", 3.0)
    prompt = streaming(**{AUDIO: {"audio": server.client.upload(file), "start": 1.0, "duration": 0.8}})
    film = _film(server, prompt)
    given = read_sound(file)[0][0, 16_000:28_800]
    assert len(film.frames) == 20
    assert np.corrcoef(film.sound[0, : len(given)], given)[0, 1] > 0.98


def test_frames_go_to_latents_and_back(server: Server, client: Client, tmp_path: Path) -> None:
    with av.open(str(FIXTURES / "ada_talks.mp4")) as container:
        real = next(container.decode(video=0)).to_ndarray(format="rgb24")
    Image.fromarray(real).save(tmp_path / "real.png")
    name = client.upload(tmp_path / "real.png")
    prompt: Prompt = {
        "image": {"class_type": "LoadImage", "inputs": {"image": name}},
        "loader": {"class_type": LOADER, "inputs": {"checkpoint": "dae_talker_tiny", "dtype": "auto"}},
        "encode": {
            "class_type": "TalkFaceDAEEncode",
            "inputs": {"dae": ["loader", 1], "images": ["image", 0], "fps": 25.0},
        },
        "decode": {
            "class_type": DECODE,
            "inputs": {
                **{"dae": ["loader", 1], "latents": ["encode", 0], "noise_image": ["image", 0]},
                **{"sampler": "model's own", "steps": 0, "seed": 0, "window": 0},
            },
        },
        "save": {"class_type": "SaveImage", "inputs": {"images": ["decode", 0], "filename_prefix": "back"}},
    }
    ended = client.run(prompt)
    assert ended.status == SUCCESS, ended.text
    large = Image.open(server.base / ended.files[0]).convert("RGB")
    assert large.size == (256, 256)
    back = np.asarray(large.resize(real.shape[1::-1], Image.Resampling.BOX))
    assert float(psnr(back[None], real[None])[0]) > 25


def test_names_in_any_script(server: Server, tmp_path: Path) -> None:
    """Upload, run, read."""
    name = server.client.upload(talk(tmp_path / "größe 音声 (1).wav", 0.5))
    assert name == "größe 音声 (1).wav"
    assert len(_film(server, streaming(**{AUDIO: {"audio": name}})).frames) == 13


def test_the_hosts_own_audio_node_will_do(server: Server, tmp_path: Path) -> None:
    prompt = streaming()
    (node,) = nodes_of(prompt, AUDIO)
    name = server.client.upload(talk(tmp_path / "core.wav", 0.5))
    prompt[node] = {"class_type": "LoadAudio", "inputs": {"audio": name}}
    assert len(_film(server, prompt).frames) == 13


def test_checkpoints_lie_where_extra_model_paths_says(server: Server, tmp_path: Path) -> None:
    (server.elsewhere / "theirs").mkdir()
    path = save_small_talker(server.elsewhere / "theirs" / "found.safetensors")
    try:
        name = server.client.upload(talk(tmp_path / "found.wav", 0.2))
        listed = str(Path("theirs", "found.safetensors"))
        film = _film(server, streaming(**{AUDIO: {"audio": name}, LOADER: {"checkpoint": listed, "dtype": "auto"}}))
        assert film.frames.shape[1:] == (16, 16, 3)
    finally:
        path.unlink()


def test_latents_of_one_model_for_another_are_refused_by_name(client: Client, other: str) -> None:
    prompt = plain()
    prompt["second"] = {"class_type": LOADER, "inputs": {"checkpoint": other, "dtype": "float32"}}
    ended = client.run(changed(prompt, **{DECODE: {"dae": ["second", 1]}}))
    print(ended.text)
    assert ended.status == ERROR
    assert "another" in ended.text or "other" in ended.text


def test_halves_of_two_models_are_refused_by_name(client: Client, other: str) -> None:
    prompt = streaming()
    prompt["second"] = {"class_type": LOADER, "inputs": {"checkpoint": other, "dtype": "float32"}}
    ended = client.run(changed(prompt, TalkFaceTalkingVideo={"dae": ["second", 1]}))
    print(ended.text)
    assert ended.status == ERROR
    assert "dae_talker_tiny" in ended.text
    assert "other" in ended.text


def _film(server: Server, prompt: Prompt) -> Film:
    ended = server.client.run(prompt)
    assert ended.status == SUCCESS, ended.text
    return Film.read(server.base / next(file for file in ended.files if file.parts[0] == "output"))
