"""The host's own audio encoder in front of the pack: AUDIO_ENCODER_OUTPUT for models that were trained on it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from talkface_core.speech.frame_front import MEL, WAV2VEC2
from tests.dae_talker.small import save_small_talker, small_speech2latent
from tests.dae_talker.small_dubber import save_small_dubber

from .client import ERROR, SUCCESS, Client, Prompt
from .graphs import API, AUDIO, DUB_ANYBODY, LOADER, SPEECH, changed, plain, workflow
from .media import Film, talk
from .server import Server, environment

WRITE = """
import sys, torch
from comfy.cli_args import args
args.cpu = True
import comfy.ops
from comfy.audio_encoders.wav2vec2 import Wav2Vec2Model
from safetensors.torch import save_file
torch.manual_seed(0)
net = Wav2Vec2Model(embed_dim=768, num_heads=12, num_layers=12, conv_norm=False, conv_bias=False, do_normalize=False,
                    do_stable_layer_norm=False, dtype=torch.float16, device="cpu", operations=comfy.ops.manual_cast)
weights = {key: (torch.randn_like(value.float()) * 0.05).half() for key, value in net.state_dict().items()}
save_file(weights, sys.argv[1])
"""
"""Weights of wav2vec 2.0 base in the host's layout, drawn at random: the plumbing is the same."""


@pytest.fixture(scope="module")
def encoder(server: Server) -> Iterator[str]:
    """The name of an audio encoder in the host's folder."""
    path = server.models / "audio_encoders" / "random.safetensors"
    path.parent.mkdir(exist_ok=True)
    words = [str(server.host.python), "-c", WRITE, str(path)]
    subprocess.run(words, cwd=server.host.path, env=environment(), check=True, capture_output=True)
    yield path.name
    path.unlink()


@pytest.fixture(scope="module")
def trained(server: Server) -> Iterator[str]:
    """The name of a checkpoint that hears log-mel and wav2vec 2.0 features."""
    path = server.models / "talkface" / "hears.safetensors"
    path.parent.mkdir(exist_ok=True)
    yield save_small_talker(path, speech2latent=small_speech2latent(fronts={"mel": MEL, "wav2vec2": WAV2VEC2})).name
    path.unlink()


def _encoded(prompt: Prompt, encoder: str, sound: str) -> Prompt:
    """The prompt with features of `sound` for the speech node."""
    own = {
        "encoder": {"class_type": "AudioEncoderLoader", "inputs": {"audio_encoder_name": encoder}},
        "heard": {"class_type": AUDIO, "inputs": {"audio": sound, "start": 0.0, "duration": 0.0}},
        "encode": {
            "class_type": "AudioEncoderEncode",
            "inputs": {"audio_encoder": ["encoder", 0], "audio": ["heard", 0]},
        },
    }
    for node in prompt.values():
        if node["class_type"] == SPEECH:
            node["inputs"]["audio_encoder_output"] = ["encode", 0]
    return prompt | own


def test_a_model_trained_on_them_uses_them(
    server: Server, client: Client, encoder: str, trained: str, tmp_path: Path
) -> None:
    name = client.upload(talk(tmp_path / "encoded.wav", 1.0))
    settings = {AUDIO: {"audio": name}, LOADER: {"checkpoint": trained, "dtype": "float32"}}
    frames = []
    for prompt in (plain(**settings), _encoded(plain(**settings), encoder, name)):
        ended = client.run(prompt)
        assert ended.status == SUCCESS, ended.text
        frames.append(Film.read(server.base / ended.files[0]).frames)
    assert len(frames[0]) == len(frames[1]) == 25
    assert np.abs(frames[0].astype(int) - frames[1]).max() > 8


def test_a_model_that_was_not_says_so(client: Client, encoder: str, tmp_path: Path) -> None:
    name = client.upload(talk(tmp_path / "encoded.wav", 1.0))
    ended = client.run(_encoded(plain(**{AUDIO: {"audio": name}}), encoder, name))
    print(ended.text)
    assert ended.status == ERROR
    assert "reads acoustic" in ended.text
    assert "768" in ended.text


def test_features_of_another_sound_are_refused(client: Client, encoder: str, trained: str, tmp_path: Path) -> None:
    name = client.upload(talk(tmp_path / "encoded.wav", 1.0))
    other = client.upload(talk(tmp_path / "other.wav", 2.0))
    settings = {AUDIO: {"audio": name}, LOADER: {"checkpoint": trained, "dtype": "float32"}}
    ended = client.run(_encoded(plain(**settings), encoder, other))
    print(ended.text)
    assert ended.status == ERROR
    assert "encode the same audio" in ended.text


@pytest.fixture(scope="module")
def dubs(server: Server) -> Iterator[str]:
    """The name of a checkpoint that dubs anybody by all hidden states of wav2vec 2.0 base; its weights are random."""
    path = server.models / "talkface" / "dubs.safetensors"
    path.parent.mkdir(exist_ok=True)
    yield save_small_dubber(path, features=768, layers=13).name
    path.unlink()


def _dubbed(encoder: str, sound: str, checkpoint: str, **settings: object) -> Prompt:
    """The workflow that is there for weights which a user brings."""
    return changed(
        workflow(API.parent / "public_weights" / "api" / "dub_any_face.json"),
        **{
            LOADER: {"checkpoint": checkpoint, "dtype": "float32"},
            "AudioEncoderLoader": {"audio_encoder_name": encoder},
            AUDIO: {"audio": sound},
            DUB_ANYBODY: {"steps": 1, "length": "stop", **settings},
        },
    )


def test_anybody_is_dubbed_by_its_hidden_states(
    server: Server, client: Client, encoder: str, dubs: str, tmp_path: Path
) -> None:
    name = client.upload(talk(tmp_path / "dubbed.wav", 0.4))
    films = []
    for settings in ({}, {"seed": 1}):
        ended = client.run(_dubbed(encoder, name, dubs, **settings))
        assert ended.status == SUCCESS, ended.text
        films.append(Film.read(server.base / ended.files[0]).frames)
    assert len(films[0]) == len(films[1]) == 10
    assert np.abs(films[0].astype(int) - films[1]).max() > 8


def test_one_speaker_dubs_nobody_and_who_dubs_draws_nobody(
    client: Client, encoder: str, dubs: str, tmp_path: Path
) -> None:
    name = client.upload(talk(tmp_path / "dubbed.wav", 0.4))
    for prompt, said in (
        (
            _dubbed(encoder, name, "dae_talker_tiny"),
            "speech2lips is empty: the checkpoint in Load DAE-Talker draws one",
        ),
        (plain(**{AUDIO: {"audio": name}, LOADER: {"checkpoint": dubs}}), "speech2latent is empty: the checkpoint in"),
    ):
        ended = client.run(prompt)
        assert ended.status == ERROR
        assert said in ended.text
