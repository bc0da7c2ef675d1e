"""What the host runs again when something changes: only that, and what hangs on it."""

from __future__ import annotations

from pathlib import Path

import pytest

from .client import SUCCESS, Client, Prompt
from .graphs import (
    ADJUST,
    AUDIO,
    COMPLETE,
    DECODE,
    DETECT,
    ENHANCE,
    LADTALK,
    LIPS,
    LOADER,
    PAINT,
    SPEECH,
    dubbing,
    landmark_dubbing,
    nodes_of,
    plain,
    streaming,
)
from .media import talk


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return talk(tmp_path_factory.mktemp("sound") / "cached.wav", 1.0)


def _kinds(prompt: Prompt, keys: frozenset[str]) -> set[str]:
    return {prompt[key]["class_type"] for key in keys}


def test_another_seed_of_the_decoder_recomputes_the_frames_alone(client: Client, sound: Path) -> None:
    name = client.upload(sound)
    first = plain(**{AUDIO: {"audio": name}, DECODE: {"seed": 1}})
    assert client.run(first).status == SUCCESS
    other = plain(**{AUDIO: {"audio": name}, DECODE: {"seed": 2}})
    ended = client.run(other)
    assert ended.status == SUCCESS
    cached = _kinds(other, ended.cached)
    assert cached >= {AUDIO, LOADER, SPEECH}
    assert DECODE not in cached

    again = client.run(other)
    assert again.status == SUCCESS
    assert again.cached == other.keys()


def test_another_strength_restores_the_same_mouths_anew(client: Client, sound: Path) -> None:
    """And neither looks for the face again nor repaints it."""
    name = client.upload(sound)
    first, other = (dubbing(**{AUDIO: {"audio": name}, ENHANCE: {"strength": strength}}) for strength in (0.2, 0.3))
    assert client.run(first).status == SUCCESS
    ended = client.run(other)
    assert ended.status == SUCCESS
    cached = _kinds(other, ended.cached)
    assert cached >= {AUDIO, LADTALK, DETECT, LIPS}
    assert ENHANCE not in cached


def test_an_adjusted_mouth_is_painted_anew_and_not_heard_anew(client: Client, sound: Path) -> None:
    name = client.upload(sound)
    first, other = (landmark_dubbing(**{AUDIO: {"audio": name}, ADJUST: {"strength": to}}) for to in (1.0, 1.3))
    assert client.run(first).status == SUCCESS
    ended = client.run(other)
    assert ended.status == SUCCESS
    cached = _kinds(other, ended.cached)
    assert cached >= {AUDIO, DETECT, COMPLETE}
    assert not cached & {ADJUST, PAINT}


def test_the_streaming_node_is_cached_too(client: Client, sound: Path) -> None:
    prompt = streaming(**{AUDIO: {"audio": client.upload(sound)}})
    assert client.run(prompt).status == SUCCESS
    assert client.run(prompt).cached == prompt.keys()


def test_a_file_that_changed_is_read_again(client: Client, tmp_path: Path) -> None:
    """Under the same name, as people do who record anew."""
    prompt = plain(**{AUDIO: {"audio": client.upload(talk(tmp_path / "again.wav", 0.5))}})
    first = client.run(prompt)
    client.upload(talk(tmp_path / "again.wav", 0.8))
    second = client.run(prompt)
    assert first.status == second.status == SUCCESS
    assert not {*nodes_of(prompt, AUDIO), *nodes_of(prompt, DECODE)} & second.cached
    assert second.cached >= {*nodes_of(prompt, LOADER)}
