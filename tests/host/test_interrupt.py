"""The stop button: wherever the pack is at work, the prompt ends soon, and nothing half made is left."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from talkface_core.media.video_writer import VideoWriter

from .client import INTERRUPTED, SUCCESS, Prompt
from .graphs import (
    ANIMATE,
    AUDIO,
    COMPLETE,
    DECODE,
    DUB,
    DUB_LANDMARKS,
    ENHANCE,
    FOOTAGE,
    FROM_VOICE,
    IMAGINE,
    MOVE,
    PAINT,
    RENDER,
    STREAM,
    animating,
    dub_streaming,
    dubbing,
    landmark_dubbing,
    landmark_streaming,
    nodes_of,
    plain,
    streaming,
    voice_stepwise,
    voice_streaming,
    without_previews,
)
from .media import Film, encode_mp3, talk
from .server import ROOT, Server

SOON = 6.0
"""Seconds from the click to the end: below 1 where the machine does nothing else, and what is stopped takes minutes."""


@pytest.fixture
def nothing_left(server: Server) -> Iterator[None]:
    """After the test there are the files of before, and the server still works."""
    before = server.leftovers()
    yield
    assert server.leftovers() == before
    assert server.alive


def test_while_frames_are_decoded(server: Server, tmp_path: Path, nothing_left: None) -> None:
    """Within a window: 100 steps of 16 frames take far longer than one may wait."""
    name = server.client.upload(talk(tmp_path / "decode.wav", 20))
    _stops(server, plain(**{AUDIO: {"audio": name}, DECODE: {"steps": 100}}), DECODE, wait=1.0)


def test_while_a_long_video_is_written(server: Server, tmp_path: Path, nothing_left: None) -> None:
    name = server.client.upload(talk(tmp_path / "streaming.wav", 600))
    before = server.leftovers()
    during = _stops(server, streaming(**{AUDIO: {"audio": name}}), STREAM, wait=4.0)
    assert during > before, "nothing was on the disk yet: the test shows nothing"


@pytest.mark.parametrize("start", [0.0, 2300.0])
def test_while_a_long_sound_is_read(server: Server, tmp_path: Path, nothing_left: None, start: float) -> None:
    """Also while it is read only to find the place where to start."""
    name = server.client.upload(encode_mp3(tmp_path / "long.mp3", minutes=40))
    _stops(server, plain(**{AUDIO: {"audio": name, "start": start}}), AUDIO, wait=0.5)


def test_while_a_face_is_followed(server: Server, tmp_path: Path, nothing_left: None) -> None:
    """Through footage of a minute, which the streaming node looks through first."""
    frames = Film.read(ROOT / "samples" / "ada.mp4").frames
    with VideoWriter(tmp_path / "long.mp4", 256, 256, 25) as writer:
        for _ in range(20):
            writer.write(frames)
    name = server.client.upload(talk(tmp_path / "short.wav", 0.5))
    footage = {FOOTAGE: {"file": server.client.upload(tmp_path / "long.mp4")}, DUB: {"length": "once"}}
    _stops(server, dub_streaming(**{AUDIO: {"audio": name}}, **footage), DUB, wait=0.5, done=16)


def test_while_a_video_is_dubbed(server: Server, tmp_path: Path, nothing_left: None) -> None:
    name = server.client.upload(talk(tmp_path / "dub.wav", 600))
    before = server.leftovers()
    during = _stops(server, dub_streaming(**{AUDIO: {"audio": name}}), DUB, wait=0.5, done=100)
    assert during > before, "nothing was on the disk yet: the test shows nothing"


def test_while_a_face_is_painted(server: Server, tmp_path: Path, nothing_left: None) -> None:
    """Within a window: 1000 steps of its frames take far longer than one may wait."""
    name = server.client.upload(talk(tmp_path / "painted.wav", 2.0))
    prompt = without_previews(landmark_dubbing(**{AUDIO: {"audio": name}, PAINT: {"steps": 1000}}))
    _stops(server, prompt, PAINT, wait=2.0)


def test_while_landmarks_are_completed(server: Server, tmp_path: Path, nothing_left: None) -> None:
    name = server.client.upload(talk(tmp_path / "completed.wav", 1200))
    _stops(server, without_previews(landmark_dubbing(**{AUDIO: {"audio": name}})), COMPLETE, wait=0.5, done=50)


def test_while_a_video_is_dubbed_by_landmarks(server: Server, tmp_path: Path, nothing_left: None) -> None:
    name = server.client.upload(talk(tmp_path / "landmarks.wav", 600))
    before = server.leftovers()
    during = _stops(server, landmark_streaming(**{AUDIO: {"audio": name}}), DUB_LANDMARKS, wait=0.5, done=110)
    assert during > before, "nothing was on the disk yet: the test shows nothing"


@pytest.mark.parametrize(("look_at", "done"), [(0, 8), (100, 50)], ids=["texture", "report"])
def test_while_texture_is_restored(server: Server, tmp_path: Path, nothing_left: None, look_at: int, done: int) -> None:
    name = server.client.upload(talk(tmp_path / "texture.wav", 2.0))
    prompt = without_previews(dubbing(**{AUDIO: {"audio": name}, ENHANCE: {"look_at": look_at}}))
    _stops(server, prompt, ENHANCE, wait=0.0 if look_at == 0 else 1.0, done=done)


def test_while_a_portrait_is_imagined(server: Server, tmp_path: Path, nothing_left: None) -> None:
    """1000 steps take far longer than one may wait."""
    name = server.client.upload(talk(tmp_path / "imagined.wav", 2.0))
    prompt = without_previews(voice_stepwise(**{AUDIO: {"audio": name}, IMAGINE: {"steps": 1000}}))
    _stops(server, prompt, IMAGINE, wait=0.0, done=20)


def test_while_a_face_is_moved_and_drawn(server: Server, tmp_path: Path, nothing_left: None) -> None:
    name = server.client.upload(talk(tmp_path / "moved.wav", 900))
    prompt = without_previews(voice_stepwise(**{AUDIO: {"audio": name}, MOVE: {"steps": 20}}))
    _stops(server, prompt, MOVE, wait=0.0, done=40)
    name = server.client.upload(talk(tmp_path / "drawn.wav", 60))
    _stops(server, without_previews(voice_stepwise(**{AUDIO: {"audio": name}})), RENDER, wait=0.0, done=40)


@pytest.mark.parametrize(("build", "kind"), [(voice_streaming, FROM_VOICE), (animating, ANIMATE)])
def test_while_somebody_talks(
    server: Server, tmp_path: Path, nothing_left: None, build: type[Prompt], kind: str
) -> None:
    name = server.client.upload(talk(tmp_path / "talks.wav", 600))
    before = server.leftovers()
    during = _stops(server, without_previews(build(**{AUDIO: {"audio": name}})), kind, wait=0.5, done=60)
    assert during > before, "nothing was on the disk yet: the test shows nothing"


def test_the_next_prompt_runs(server: Server, tmp_path: Path) -> None:
    """An interrupt leaves no flag behind, and no thread at work."""
    name = server.client.upload(talk(tmp_path / "after.wav", 0.5))
    assert server.client.run(plain(**{AUDIO: {"audio": name}})).status == SUCCESS


def _stops(server: Server, prompt: Prompt, kind: str, wait: float, done: int = 0) -> set[Path]:
    """Stops `prompt` `wait` seconds after the node of class `kind` has begun, or has moved its bar as far as `done`,
    and looks how long that takes.

    Returns the files of output and temp at that moment.
    """
    (node,) = nodes_of(prompt, kind)
    with server.client.listening() as messages:
        queued = server.client.queue(prompt)
        assert isinstance(queued, str), queued.text
        while not any(data.get("node") == node for data in messages.of("executing")):
            assert server.client.ended(queued) is None, "it ended before the node began"
            time.sleep(0.01)
        while done and not any(data["node"] == node and data["value"] >= done for data in messages.of("progress")):
            assert server.client.ended(queued) is None, "it ended before it got so far"
            time.sleep(0.01)
        time.sleep(wait)
        assert server.client.ended(queued) is None, "it was over before it could be stopped"
        files = server.leftovers()
        clicked = time.monotonic()
        server.client.interrupt()
        ended = server.client.wait(queued)
        seconds = time.monotonic() - clicked
    print(f"{kind}: over {seconds:.2f} s after the click")
    assert ended.status == INTERRUPTED, ended.text
    assert seconds < SOON
    return files
