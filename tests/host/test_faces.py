"""Faces through the nodes: what is drawn, what is cut out and put back, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from talkface_core.evaluation.probe import load_probe

from .client import ERROR, SUCCESS, Client, Ended, Prompt
from .graphs import API, DECODE, DTYPE, LOADER, changed, workflow
from .media import Film
from .server import ROOT, Server

DETECT, CROP, PASTE = (f"TalkFace{name}" for name in ("DetectFaces", "CropFace", "PasteFace"))
SAMPLE = ROOT / "samples" / "ada.mp4"
FRAMES = 3


@pytest.fixture(scope="module")
def footage(server: Server, tmp_path_factory: pytest.TempPathFactory) -> NDArray[np.uint8]:
    """Some frames of the sample, uploaded as pictures: lossless, other than video."""
    frames = Film.read(SAMPLE).frames[::25][:FRAMES]
    folder = tmp_path_factory.mktemp("footage")
    for k, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"face{k}.png")
        server.client.upload(folder / f"face{k}.png")
    return frames


def _loaded() -> Prompt:
    """The uploaded frames as one batch: the output of "batch"."""
    prompt: Prompt = {f"image{k}": _node("LoadImage", image=f"face{k}.png") for k in range(FRAMES)}
    prompt["first"] = _node("ImageBatch", image1=["image0", 0], image2=["image1", 0])
    prompt["batch"] = _node("ImageBatch", image1=["first", 0], image2=["image2", 0])
    return prompt


def _detect(images: str, **inputs: object) -> dict:
    values = {"face": "largest", "index": 0, "x": 0, "y": 0, "smoothing": 0.0, "fps": 25.0, "detector": "bundled"}
    return _node(DETECT, images=[images, 0], **{**values, "threshold": 0.5, "preview_every": 1, **inputs})


def _put_back(**inputs: object) -> Prompt:
    """The frames, their faces cut out and pasted back with nothing changed."""
    prompt = _loaded()
    prompt["track"] = _detect("batch")
    prompt["crop"] = _node(CROP, images=["batch", 0], face_track=["track", 0], size=128)
    values = {"faces": ["crop", 0], "face_crop": ["crop", 1], "feather": 0.06, "match_colour": True}
    prompt["paste"] = _node(PASTE, images=["batch", 0], **{**values, **inputs})
    return prompt


def test_the_track_is_drawn_on_the_frames(server: Server, footage: NDArray[np.uint8]) -> None:
    prompt = _loaded()
    prompt["track"] = _detect("batch")
    drawn = _saved(server, prompt, ["track", 1])
    assert drawn.shape == footage.shape
    read = load_probe().read(footage).landmarks * footage.shape[1]
    for frame, picture, points in zip(footage, drawn, read, strict=True):
        rows, columns = np.nonzero(np.abs(frame.astype(int) - picture).max(2) > 20)
        assert 68 <= len(rows) < 0.1 * frame[..., 0].size
        low, high = points.min(0), points.max(0)
        assert np.abs([columns.min() - low[0], columns.max() - high[0]]).max() < 12
        assert np.abs([rows.min() - low[1], rows.max() - high[1]]).max() < 16


def test_only_some_frames_are_drawn(server: Server, footage: NDArray[np.uint8]) -> None:
    prompt = _loaded()
    prompt["track"] = _detect("batch", preview_every=2)
    assert len(_saved(server, prompt, ["track", 1])) == 2


def test_outside_the_mask_nothing_changes(server: Server, footage: NDArray[np.uint8]) -> None:
    """Inside, a picture that was not changed comes back all but so; one that was changed does not."""
    prompt = _put_back()
    prompt["where"] = _node("ThresholdMask", mask=["paste", 1], value=0.0)
    prompt["shown"] = _node("MaskToImage", mask=["where", 0])
    mask = _saved(server, prompt, ["shown", 0])[..., 0] > 0
    assert 0.02 < mask.mean() < 0.3
    back = _saved(server, prompt, ["paste", 0])
    assert (back[~mask] == footage[~mask]).all()
    assert np.square(back[mask].astype(float) - footage[mask]).mean() < 255**2 / 10**4.5

    prompt["other"] = _node("ImageInvert", image=["crop", 0])
    prompt["paste"]["inputs"] |= {"faces": ["other", 0], "match_colour": False}
    turned = _saved(server, prompt, ["paste", 0])
    assert (turned[~mask] == footage[~mask]).all()
    assert np.abs(turned[mask].astype(int) - footage[mask]).mean() > 20


def test_the_speaker_follows_the_head(server: Server) -> None:
    prompt = changed(workflow(API / "faces_follow.json"), **{LOADER: {"dtype": DTYPE}, DECODE: {"steps": 1}})
    ended = server.client.run(prompt)
    assert ended.status == SUCCESS, ended.text
    (video,) = [file for file in ended.files if file.suffix == ".mp4"]
    generated, given = (load_probe().read(Film.read(path).frames).pose for path in (server.base / video, SAMPLE))
    assert np.corrcoef(generated[:, 0], given[:, 0])[0, 1] > 0.8
    assert np.abs(generated - given).mean(0).max() < 5


def test_a_picture_without_a_face(client: Client, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    prompt: Prompt = {"image": _node("LoadImage", image=client.upload(tmp_path / "noise.png"))}
    prompt["track"] = _detect("image")
    _refused(client, prompt, ["track", 1], "no face in the picture of 160x120 px", "0.5", "threshold", "crop closer")


def test_a_face_that_is_not_there(client: Client, footage: NDArray[np.uint8]) -> None:
    prompt = _loaded()
    prompt["track"] = _detect("batch", face="index", index=3)
    _refused(client, prompt, ["track", 1], "face 3", "no frame shows more than 1")


def test_a_mask_that_is_missing(client: Client, footage: NDArray[np.uint8]) -> None:
    prompt = _loaded()
    prompt["track"] = _detect("batch", face="mask")
    _refused(client, prompt, ["track", 1], "give the mask")


@pytest.mark.parametrize("node", ["crop", "paste"])
@pytest.mark.parametrize("images", ["image0", "first", "small"])
def test_other_frames_than_the_tracks(client: Client, footage: NDArray[np.uint8], node: str, images: str) -> None:
    """One, fewer of them, and as many of another size."""
    prompt = _put_back()
    half = {"upscale_method": "area", "scale_by": 0.5}
    prompt["small"] = _node("ImageScaleBy", image=["batch", 0], **half)
    prompt[node]["inputs"]["images"] = [images, 0]
    height, width = footage.shape[1:3]
    _refused(client, prompt, ["paste", 0], "but the face was tracked in 3 of", f"{width}x{height}", "give the frames")


def test_faces_that_are_not_the_crops(client: Client, footage: NDArray[np.uint8]) -> None:
    """One for all frames, and stretched ones."""
    _refused(client, _put_back(faces=["image0", 0]), ["paste", 0], "1 faces of 256x256 px for 3 frames", "Crop Face")
    prompt = _put_back(faces=["wide", 0])
    size = {"width": 128, "height": 64, "upscale_method": "area", "crop": "disabled"}
    prompt["wide"] = _node("ImageScale", image=["crop", 0], **size)
    _refused(client, prompt, ["paste", 0], "3 faces of 128x64 px", "square")


def test_a_mask_that_does_not_fit(client: Client, footage: NDArray[np.uint8]) -> None:
    prompt = _put_back(mask=["mask", 0])
    prompt["mask"] = _node("ImageToMask", image=["first", 0], channel="red")
    _refused(client, prompt, ["paste", 0], "a mask of shape [2, 256, 256] for 3 crops")


def _node(kind: str, **inputs: object) -> dict:
    return {"class_type": kind, "inputs": inputs}


def _saved(server: Server, prompt: Prompt, output: list) -> NDArray[np.uint8]:
    """The pictures that an output gives [T, H, W, 3]."""
    saves = {"save": _node("SaveImage", images=output, filename_prefix="faces")}
    ended = server.client.run({**prompt, **saves})
    assert ended.status == SUCCESS, ended.text
    return np.stack([np.asarray(Image.open(server.base / file).convert("RGB")) for file in ended.files])


def _refused(client: Client, prompt: Prompt, output: list, *words: str) -> Ended:
    """The prompt fails with one line that has all the `words`."""
    ended = client.run({**prompt, "save": _node("SaveImage", images=output, filename_prefix="faces")})
    print(ended.text)
    assert ended.status == ERROR
    assert len(ended.text.splitlines()) == 1
    for word in words:
        assert word in ended.text, ended.text
    return ended
