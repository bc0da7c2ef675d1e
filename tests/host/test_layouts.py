"""Every node that takes pictures or masks, with such as other nodes make: any order in memory, half precision, alpha,
odd sides, a single one. The result is that of plain ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from .client import SUCCESS, Prompt
from .graphs import AUDIO, DECODE, DETECT, DUB, ENHANCE, LADTALK, LIPS, LOADER
from .layouts import LAYOUTS
from .media import Film, talk
from .server import ROOT, Server

CROP, PASTE, ENCODE = (f"TalkFace{name}" for name in ("CropFace", "PasteFace", "DAEEncode"))
FRAMES, SIDE = 2, 256
Pictures = dict[str, NDArray[np.uint8]]

LEAVES = {
    "preview": ["track", 1],
    "crops": ["crop", 0],
    "pasted": ["paste", 0],
    "pasted by a mask": ["paste_masked", 0],
    "repainted": ["lips", 0],
    "restored": ["sharp", 0],
    "restored face": ["sharp_face", 0],
    "drawn": ["decode", 0],
}
"""What is looked at: name -> output."""


@pytest.fixture(scope="module")
def given(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Prompt:
    """Frames of the sample as one batch, "batch", and a sound of as many frames, "sound"."""
    folder, prompt = tmp_path_factory.mktemp("layouts"), {}
    for k, frame in enumerate(Film.read(ROOT / "samples" / "ada.mp4").frames[::10][:FRAMES]):
        Image.fromarray(frame).save(folder / f"laid{k}.png")
        prompt[f"image{k}"] = _node("LoadImage", image=server.client.upload(folder / f"laid{k}.png"))
    prompt["batch"] = _node("ImageBatch", image1=["image0", 0], image2=["image1", 0])
    name = server.client.upload(talk(folder / "laid.wav", FRAMES / 25))
    prompt["sound"] = _node(AUDIO, audio=name, start=0.0, duration=0.0)
    return prompt


@pytest.fixture(scope="module")
def plain(server: Server, given: Prompt) -> Pictures:
    """What comes of pictures as Load Image gives them."""
    return _made(server, given, "plain")


@pytest.mark.parametrize("layout", LAYOUTS[1:])
def test_the_result_is_that_of_plain_pictures(server: Server, given: Prompt, plain: Pictures, layout: str) -> None:
    made = _made(server, given, layout)
    for name, pictures in made.items():
        wanted = plain[name][: len(pictures)]
        if layout == "odd":
            # For a video: the single node leaves sides as they are, those that make one grow to even ones.
            grown = name in ("repainted", "restored", "dubbed")
            side = SIDE if grown else SIDE - 1
            assert pictures.shape[1:3] == (side, side) or name in ("crops", "drawn"), name
            wanted, pictures = wanted[:, : SIDE - 1, : SIDE - 1], pictures[:, : SIDE - 1, : SIDE - 1]
        assert len(pictures) == (1 if layout == "one" and name != "dubbed" else FRAMES), name
        away = np.abs(pictures.astype(int) - wanted[: len(pictures)]).mean()
        print(f"{layout}, {name}: {away:.2f}")
        assert away < (4 if layout in ("odd", "one") else 1), name


def _made(server: Server, given: Prompt, layout: str) -> Pictures:
    """All outputs of the graph whose pictures and masks are laid out so."""
    prompt = {**given}

    def lay(output: list, kind: str = "Image") -> list:
        key = f"laid {output}"
        prompt[key] = _node(f"Test{kind}Layout", **{kind.lower(): output, "layout": layout})
        return [key, 0]

    images = lay(["batch", 0])
    prompt["white"] = _node("SolidMask", value=1.0, width=SIDE, height=SIDE)
    mask = lay(["white", 0], "Mask")
    face = {"face": "mask", "index": 0, "x": 0, "y": 0, "smoothing": 0.0, "detector": "bundled", "threshold": 0.5}
    prompt["track"] = _node(DETECT, images=images, mask=mask, fps=25.0, preview_every=1, **face)
    prompt["crop"] = _node(CROP, images=images, face_track=["track", 0], size=128)
    # Of one face to a frame, and square ones, there is no smaller batch and no odd side that fits.
    faces = ["crop", 0] if layout in ("odd", "one") else lay(["crop", 0])
    put = {"images": images, "faces": faces, "face_crop": ["crop", 1], "feather": 0.06, "match_colour": True}
    prompt["paste"] = _node(PASTE, **put)
    prompt["round"] = _node("SolidMask", value=1.0, width=64, height=64)
    prompt["paste_masked"] = _node(PASTE, **put, mask=lay(["round", 0], "Mask"))
    prompt["model"] = _node(LADTALK, checkpoint="ladtalk_tiny", dtype="auto")
    says = {"wav2lip": ["model", 0], "images": images, "face_track": ["track", 0], "audio": ["sound", 0]}
    prompt["lips"] = _node(LIPS, **says, length="once")
    restores = {"sovqae": ["model", 1], "strength": 1.0, "window": 8, "look_at": 0, "mask": mask}
    mouths = ["lips", 0] if layout in ("odd", "one") else lay(["lips", 0])
    follows = {"images": mouths, "face_track": ["lips", 1], "region": "mouth", "match_texture": True}
    prompt["sharp"] = _node(ENHANCE, **restores, **follows)
    prompt["sharp_face"] = _node(ENHANCE, **restores, images=images, region="face", match_texture=True)
    prompt["speaker"] = _node(LOADER, checkpoint="dae_talker_tiny", dtype="auto")
    prompt["encode"] = _node(ENCODE, dae=["speaker", 1], images=images, fps=25.0)
    draws = {"sampler": "model's own", "steps": 1, "seed": 0, "window": 0, "noise_image": images}
    prompt["decode"] = _node(DECODE, dae=["speaker", 1], latents=["encode", 0], **draws)
    prompt["film"] = _node("CreateVideo", images=images, fps=25.0)
    dub = {**face, "smoothing": 0.3, "length": "bounce", "match_texture": True, "strength": 1.0, "mask": mask}
    dubs = {"wav2lip": ["model", 0], "sovqae": ["model", 1], "video": ["film", 0], "audio": ["sound", 0]}
    prompt["dub"] = _node(DUB, **dubs, **dub)
    saved = {"filename_prefix": "laid", "format": "auto", "format.codec": "auto", "codec": "auto"}
    prompt["save video"] = _node("SaveVideo", video=["dub", 0], **saved)
    for name, output in LEAVES.items():
        prompt[f"save {name}"] = _node("SaveImage", images=output, filename_prefix="laid")
    ended = server.client.run(prompt)
    assert ended.status == SUCCESS, ended.text
    made = {name: _pictures(server.base, ended.outputs[f"save {name}"]["images"]) for name in LEAVES}
    (video,) = [file for file in ended.files if file.suffix == ".mp4" and file.parts[0] == "output"]
    return {**made, "dubbed": Film.read(server.base / video).frames}


def _pictures(base: Path, files: list[dict]) -> NDArray[np.uint8]:
    paths = [base / "output" / file["subfolder"] / file["filename"] for file in files]
    return np.stack([np.asarray(Image.open(path).convert("RGB")) for path in paths])


def _node(kind: str, **inputs: object) -> dict:
    return {"class_type": kind, "inputs": inputs}
