"""What the page hears while a node works: how far it is, and a picture of it."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .client import SUCCESS, Client, Prompt
from .graphs import AUDIO, DECODE, STREAM, nodes_of, plain, streaming
from .media import talk


@pytest.mark.parametrize(("build", "kind"), [(plain, DECODE), (streaming, STREAM)], ids=["frames", "streaming"])
def test_progress_and_a_preview_arrive(client: Client, tmp_path: Path, build: type[Prompt], kind: str) -> None:
    name = client.upload(talk(tmp_path / "progress.wav", 3.0))
    prompt = build(**{AUDIO: {"audio": name}, kind: {"seed": 77}})
    (node,) = nodes_of(prompt, kind)
    with client.listening() as messages:
        ended = client.run(prompt)
    assert ended.status == SUCCESS, ended.text
    steps = [data for data in messages.of("progress") if data["node"] == node]
    values = [data["value"] for data in steps]
    assert len(values) >= 3
    assert values == sorted(values)
    assert values[-1] == steps[-1]["max"]
    assert messages.pictures
    picture = np.asarray(Image.open(io.BytesIO(messages.pictures[-1])))
    assert min(picture.shape[:2]) >= 64
    assert picture.std() > 20, "the preview shows nothing"
