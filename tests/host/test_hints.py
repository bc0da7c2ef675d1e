"""What nodes say while they work: warnings on the node itself, live previews of landmarks, a bar that counts all work;
and rates, sizes and sounds that go along by themselves."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from talkface_core.faces.draw import DETECTED, LIPS
from talkface_core.media.video_writer import VideoWriter

from .client import SUCCESS, Client, Ended, Prompt
from .graphs import AUDIO, DETECT, ENHANCE, FOOTAGE, LADTALK, LOADER
from .graphs import LIPS as WAV2LIP
from .media import Film, read_sound, talk
from .server import ROOT, Server

ENCODE, PASTE, CROP = "TalkFaceDAEEncode", "TalkFacePasteFace", "TalkFaceCropFace"
RATE = 12


@pytest.fixture(scope="module")
def footage(server: Server, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Six frames of the sample at 12 frames a second."""
    path = tmp_path_factory.mktemp("hints") / "twelve.mp4"
    with VideoWriter(path, 256, 256, RATE) as writer:
        writer.write(Film.read(ROOT / "samples" / "ada.mp4").frames[::10][:6])
    return server.client.upload(path)


@pytest.fixture
def prompt(footage: str) -> Prompt:
    """Footage, taken apart, and its face: "parts", "track"."""
    face = {"face": "largest", "index": 0, "x": 0, "y": 0, "smoothing": 0.0, "detector": "bundled", "threshold": 0.5}
    return {
        "film": _node(FOOTAGE, file=footage),
        "parts": _node("GetVideoComponents", video=["film", 0]),
        "track": _node(DETECT, images=["parts", 0], fps=25.0, preview_every=1, **face),
    }


def _mouths(client: Client, prompt: Prompt, folder: Path, seconds: float = 0.5) -> Path:
    """Adds new words, "lips"; the sound."""
    sound = talk(folder / "hinted.wav", seconds)
    prompt["sound"] = _node(AUDIO, audio=client.upload(sound), start=0.0, duration=0.0)
    prompt["model"] = _node(LADTALK, checkpoint="ladtalk_tiny", dtype="auto")
    says = {"wav2lip": ["model", 0], "images": ["parts", 0], "face_track": ["track", 0], "audio": ["sound", 0]}
    prompt["lips"] = _node(WAV2LIP, **says, length="bounce")
    return sound


def test_a_rate_that_nobody_has_given_is_told_on_the_node(client: Client, prompt: Prompt) -> None:
    words = "fps is 25, as nothing else was said"
    assert any(node == "track" and words in text for node, text in _texts(client, prompt, ["track", 1]))
    prompt["track"]["inputs"] |= {"fps": ["parts", 2], "smoothing": 0.1}
    later = _texts(client, prompt, ["track", 1])
    assert not any(words in text for _, text in later)
    assert [text.strip() for node, text in later if node == "track"] == [""], "the old warning stays on the node"
    prompt["track"]["inputs"] |= {"fps": 30.0}
    assert not _texts(client, prompt, ["track", 1])


def test_the_rate_comes_with_the_video(server: Server, prompt: Prompt, tmp_path: Path) -> None:
    """To the track, and from it to a video; the sound goes along with the mouths."""
    prompt["track"]["inputs"]["video"] = ["film", 0]
    sound = _mouths(server.client, prompt, tmp_path)
    for source in ("track", "lips"):
        prompt["told"] = _node("PreviewAny", source=[source, 2])
        assert not [text for node, text in _texts(server.client, prompt, ["track", 1]) if node == "track"]
        ended = server.client.run(prompt)
        assert [float(text) for text in ended.outputs["told"]["text"]] == [RATE]
    made = {"images": ["lips", 0], "fps": ["lips", 2], "audio": ["lips", 3]}
    film = _film(server, prompt | {"made": _node("CreateVideo", **made)})
    assert film.fps == RATE
    assert len(film.frames) == 6
    given, rate = read_sound(sound)
    assert film.rate == rate
    assert np.corrcoef(film.sound[0, : given.shape[1]], given[0])[0, 1] > 0.95


def test_a_mask_that_does_not_count_is_told(client: Client, prompt: Prompt) -> None:
    prompt["mask"] = _node("SolidMask", value=1.0, width=64, height=64)
    prompt["track"]["inputs"] |= {"mask": ["mask", 0], "fps": 12.0}
    texts = _texts(client, prompt, ["track", 1])
    assert any(node == "track" and "the mask counts only with face = mask" in text for node, text in texts)
    prompt["track"]["inputs"]["face"] = "mask"
    assert not [text for _, text in _texts(client, prompt, ["track", 1]) if text.strip()], "half the size will do"


def test_a_black_mask_is_told(client: Client, prompt: Prompt) -> None:
    prompt["mask"] = _node("SolidMask", value=0.0, width=64, height=64)
    prompt["crop"] = _node(CROP, images=["parts", 0], face_track=["track", 0], size=64)
    put = {"images": ["parts", 0], "faces": ["crop", 0], "face_crop": ["crop", 1], "mask": ["mask", 0]}
    prompt["paste"] = _node(PASTE, **put, feather=0.06, match_colour=True)
    prompt["model"] = _node(LADTALK, checkpoint="ladtalk_tiny", dtype="auto")
    given = {"sovqae": ["model", 1], "images": ["paste", 0], "face_track": ["track", 0], "mask": ["mask", 0]}
    prompt["sharp"] = _node(ENHANCE, **given, strength=1.0, region="mouth", window=8, look_at=0)
    texts = _texts(client, prompt, ["sharp", 0])
    for node in ("paste", "sharp"):
        assert any(told == node and "the mask is black everywhere" in text for told, text in texts), node


def test_odd_sides_are_saved(server: Server, prompt: Prompt, tmp_path: Path) -> None:
    """And two people's turns go on with frames that have grown since they were found."""
    client = server.client
    prompt["odd"] = _node("ImageCrop", image=["parts", 0], width=255, height=253, x=0, y=0)
    prompt["track"]["inputs"] |= {"images": ["odd", 0], "fps": 12.0}
    _mouths(client, prompt, tmp_path)
    prompt["lips"]["inputs"] |= {"images": ["odd", 0], "length": "once"}
    prompt["again"] = _node(WAV2LIP, **prompt["lips"]["inputs"] | {"images": ["lips", 0]})
    told = _texts(client, prompt, ["lips", 0])
    assert any(node == "lips" and "255x253 px grow to 256x254" in text for node, text in told)
    film = _film(server, prompt | {"made": _node("CreateVideo", images=["again", 0], fps=12.0, audio=["lips", 3])})
    assert film.frames.shape == (6, 254, 256, 3)
    given = {"sovqae": ["model", 1], "images": ["odd", 0], "face_track": ["track", 0]}
    prompt["sharp"] = _node(ENHANCE, **given, strength=1.0, region="mouth", window=8, look_at=0)
    told = _texts(client, prompt, ["sharp", 0])
    assert any(node == "sharp" and "Save Video encodes no odd sides" in text for node, text in told)


def test_landmarks_are_shown_while_they_are_found(client: Client, prompt: Prompt) -> None:
    prompt["track"]["inputs"] |= {"fps": 12.0, "smoothing": 0.2}
    with client.listening() as messages:
        assert _run(client, prompt, ["track", 0]).status == SUCCESS
    picture = np.asarray(Image.open(io.BytesIO(messages.pictures[0])).convert("RGB")).astype(int)
    for colour in (DETECTED, LIPS):
        assert (np.abs(picture - colour).max(2) < 60).sum() > 20, colour


def test_the_bar_of_restoring_counts_the_report_too(client: Client, prompt: Prompt) -> None:
    prompt["track"]["inputs"]["fps"] = 12.0
    prompt["model"] = _node(LADTALK, checkpoint="ladtalk_tiny", dtype="auto")
    given = {"sovqae": ["model", 1], "images": ["parts", 0], "face_track": ["track", 0], "match_texture": True}
    prompt["sharp"] = _node(ENHANCE, **given, strength=1.0, region="mouth", window=2, look_at=1)
    prompt["told"] = _node("PreviewAny", source=["sharp", 1])
    with client.listening() as messages:
        ended = _run(client, prompt, ["sharp", 0])
    assert ended.status == SUCCESS, ended.text
    print(*ended.outputs["told"]["text"])
    told = [data for data in messages.of("progress") if data["node"] == "sharp"]
    values = [data["value"] for data in told]
    assert values == sorted(values)
    assert values[-1] == told[-1]["max"]
    assert max(values[:3]) <= 6 < 0.5 * told[-1]["max"], "the frames are done, and the bar is nearly full"
    assert len(messages.pictures) >= 3


def test_a_matched_strength_is_less_than_all_on_soft_footage(client: Client, prompt: Prompt, tmp_path: Path) -> None:
    prompt["soft"] = _node("ImageBlur", image=["parts", 0], blur_radius=2, sigma=1.0)
    prompt["track"]["inputs"] |= {"fps": 12.0, "images": ["soft", 0]}
    _mouths(client, prompt, tmp_path)
    prompt["lips"]["inputs"]["images"] = ["soft", 0]
    given = {"sovqae": ["model", 1], "images": ["lips", 0], "face_track": ["lips", 1], "strength": 0.9}
    reports = []
    for choice in ({"match_texture": True}, {"match_texture": False}, {}):
        prompt["sharp"] = _node(ENHANCE, **given, region="mouth", window=8, look_at=0, **choice)
        prompt["told"] = _node("PreviewAny", source=["sharp", 1])
        ended = client.run(prompt)
        assert ended.status == SUCCESS, ended.text
        reports += ended.outputs["told"]["text"]
    print(reports[0])
    assert "as fine as the footage around them" in reports[0]
    assert float(reports[0].split("strength ")[1][:4]) < 0.6
    for report in reports[1:]:  # off, and prompts of before there was a choice
        assert report.startswith("Texture was restored with strength 0.90.")


def test_a_face_that_the_speakers_model_does_not_know_is_told(client: Client, prompt: Prompt) -> None:
    """A negative of its speaker is none; the speaker herself, framed as in training, it does know."""
    prompt["speaker"] = _node(LOADER, checkpoint="dae_talker_tiny", dtype="auto")
    prompt["turned"] = _node("ImageInvert", image=["parts", 0])
    for images, known in (("parts", True), ("turned", False)):
        prompt["encode"] = _node(ENCODE, dae=["speaker", 1], images=[images, 0], fps=25.0, video=["film", 0])
        draws = {"sampler": "model's own", "steps": 1, "seed": 0, "window": 0}
        prompt["decode"] = _node("TalkFaceDAEDecode", dae=["speaker", 1], latents=["encode", 0], **draws)
        told = [text for node, text in _texts(client, prompt, ["decode", 0]) if node == "encode" and text.strip()]
        assert bool(told) != known, told
    assert "does not show the speaker that dae_talker_tiny was trained on" in told[0]
    assert "fps is" not in told[0], "its video says the rate"
    prompt["encode"]["inputs"].pop("video")
    told = [text for node, text in _texts(client, prompt, ["decode", 0]) if node == "encode"]
    assert "fps is 25, as nothing else was said" in told[0]


def _texts(client: Client, prompt: Prompt, output: list) -> list[tuple[str, str]]:
    """What nodes show as text while an output is made: (node, text)."""
    with client.listening() as messages:
        ended = _run(client, prompt, output)
        assert ended.status == SUCCESS, ended.text
    return messages.texts


def _run(client: Client, prompt: Prompt, output: list) -> Ended:
    kind = "PreviewAny" if output == ["track", 0] else "PreviewImage"
    name = "source" if kind == "PreviewAny" else "images"
    return client.run({**prompt, "shown": _node(kind, **{name: output})})


def _film(server: Server, prompt: Prompt) -> Film:
    """What "made" saves to."""
    saved = {"filename_prefix": "hints", "format": "auto", "format.codec": "auto", "codec": "auto"}
    ended = server.client.run({**prompt, "save": _node("SaveVideo", video=["made", 0], **saved)})
    assert ended.status == SUCCESS, ended.text
    return Film.read(server.base / next(file for file in ended.files if file.parts[0] == "output"))


def _node(kind: str, **inputs: object) -> dict:
    return {"class_type": kind, "inputs": inputs}
