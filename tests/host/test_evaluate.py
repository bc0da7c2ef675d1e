"""Evaluate Clip in the host: the sample beside itself is perfect, a blurred one is not, and the plot is a picture."""

from __future__ import annotations

import re

import pytest

from .client import ERROR, SUCCESS, Prompt
from .server import Server

EVALUATE = "TalkFaceEvaluateClip"


def _prompt(blur: int) -> Prompt:
    """The sample's first frames, blurred by so many pixels, beside themselves."""
    prompt: Prompt = {
        "film": _node("TalkFaceLoadVideo", file="ada.mp4 [sample]"),
        "parts": _node("GetVideoComponents", video=["film", 0]),
        "real": _node("ImageFromBatch", image=["parts", 0], batch_index=0, length=8),
        "made": _node("ImageBlur", image=["real", 0], blur_radius=blur, sigma=2.0),
    }
    made = ["made", 0] if blur else ["real", 0]
    inputs = {"images": made, "real": ["real", 0], "fps": ["parts", 2], "audio": ["parts", 1]}
    prompt["told"] = _node(EVALUATE, **inputs)
    prompt["text"] = _node("PreviewAny", source=["told", 0])
    prompt["plot"] = _node("PreviewImage", images=["told", 1])
    return prompt


@pytest.mark.parametrize(("blur", "perfect"), [(0, True), (4, False)])
def test_the_sample_beside_itself(server: Server, blur: int, perfect: bool) -> None:
    ended = server.client.run(_prompt(blur))
    assert ended.status == SUCCESS, ended.text
    table = ended.outputs["text"]["text"][0]
    psnr, sharpness = (float(re.search(rf"{name} +([\d.]+) ", table)[1]) for name in ("PSNR, face", "sharpness, mouth"))
    assert (psnr == 100, sharpness == 1) == (perfect, perfect)
    assert "left out:" in table
    assert len(ended.outputs["plot"]["images"]) == 1


def test_too_few_frames_are_refused(server: Server) -> None:
    prompt = _prompt(0)
    prompt["real"]["inputs"]["length"] = 3
    ended = server.client.run(prompt)
    assert ended.status == ERROR
    assert "five or more are needed" in ended.text


def _node(kind: str, **inputs: object) -> dict:
    return {"class_type": kind, "inputs": inputs}
