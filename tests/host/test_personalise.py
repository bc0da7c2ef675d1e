"""Train Your Person in the host: cancelled, it goes on with the next run, and what it writes is listed and speaks."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import torch

from talkface_core.media.audio import audio_source
from talkface_core.media.video_writer import VideoWriter

from .client import ERROR, INTERRUPTED, SUCCESS, Prompt
from .graphs import API, TRAIN, changed, nodes_of, workflow
from .media import Film
from .server import ROOT, Host, Server, cannot_train

pytestmark = pytest.mark.usefixtures("people")
TALKS = 12.0  # seconds of footage


@pytest.fixture(scope="module")
def trains(host: Host) -> None:
    """Where the host's Python can train."""
    if reason := cannot_train(host.python):
        pytest.skip(reason)


def _prompt(file: str, **inputs: object) -> Prompt:
    given = {"video": ["film", 0], "name": "test_person", "budget_minutes": 0.1, "face": "only", **inputs}
    return {
        "film": _node("TalkFaceLoadVideo", file=file),
        "train": _node(TRAIN, **given),
        "told": _node("PreviewAny", source=["train", 3]),
    }


def test_cancelled_it_goes_on_and_is_listed(server: Server, trains: None) -> None:
    """The shipped workflow, in as little time as can be."""
    prompt = changed(workflow(API / "train_person.json"), **{TRAIN: {"name": "test_person", "budget_minutes": 0.1}})
    (train,) = nodes_of(prompt, TRAIN)
    (told,), (sheet,) = nodes_of(prompt, "PreviewAny"), nodes_of(prompt, "PreviewImage")
    work = server.output / "talkface_people" / "test_person"
    with server.client.listening() as messages:
        queued = server.client.queue(prompt)
        assert isinstance(queued, str), queued.text
        while not any(data["node"] == train and data["value"] > 100 for data in messages.of("progress")):
            assert server.client.ended(queued) is None, server.client.ended(queued).text
            time.sleep(0.02)
        server.client.interrupt()
        assert server.client.wait(queued).status == INTERRUPTED
    assert (work / "face" / "state.safetensors").is_file()
    assert not (server.models / "talkface" / "test_person.safetensors").exists()
    ended = server.client.run(prompt)
    assert ended.status == SUCCESS, ended.text
    report = ended.outputs[told]["text"][0]
    assert "length: " in report
    assert "restored, PSNR, face: before" in report
    assert len(ended.outputs[sheet]["images"]) == 1
    (film,) = (file for file in ended.files if file.suffix == ".mp4" and file.parts[0] == "output")
    assert len(Film.read(server.base / film).frames) == 50
    assert (work / "report.html").is_file()
    assert (server.models / "talkface" / "test_person.safetensors").is_file()
    listed = server.client.object_info()
    for loader in ("TalkFaceLoadDAETalker", "TalkFaceLoadLaDTalk"):
        assert "test_person.safetensors" in listed[loader]["input"]["required"]["checkpoint"][-1]["options"]


@pytest.mark.parametrize(
    ("inputs", "told"),
    [
        ({"name": "../up"}, "letters, digits"),
        ({"name": "sync_tiny"}, "bundled"),
        ({"name": "short"}, "3.0 s of footage"),
    ],
)
def test_refusals(server: Server, trains: None, inputs: dict[str, str], told: str) -> None:
    ended = server.client.run(_prompt("ada.mp4 [sample]", **inputs))
    assert ended.status != SUCCESS
    assert told in ended.text


def test_several_people_are_refused(server: Server, trains: None, tmp_path: Path) -> None:
    film = Film.read(ROOT / "samples" / "duo.mp4")
    times = int(TALKS / film.seconds) + 1
    sound = {"waveform": torch.from_numpy(np.tile(film.sound, times))[None], "sample_rate": film.rate}
    height, width = film.frames.shape[1:3]
    with VideoWriter(tmp_path / "two.mp4", width, height, film.fps, audio_source(sound)) as writer:
        for _ in range(times):
            writer.write(film.frames)
    ended = server.client.run(_prompt(server.client.upload(tmp_path / "two.mp4"), name="two"))
    assert ended.status == ERROR
    assert "several people" in ended.text


def _node(kind: str, **inputs: object) -> dict:
    return {"class_type": kind, "inputs": inputs}
