"""New speech for footage through the nodes: mouths follow it, all else stays, and what is wrong is told."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from talkface_core.checkpoints import save_checkpoint
from talkface_core.correlation import pearson
from talkface_core.evaluation.probe import load_probe
from talkface_core.media.video_writer import SYNTHETIC_MARK, VideoWriter
from tests.ladtalk.small_ladtalk import save_small_ladtalk
from tests.ladtalk.small_sovqae import sovqae

from .client import ERROR, REJECTED, SUCCESS, Client, Ended, Prompt
from .graphs import (
    API,
    AUDIO,
    DETECT,
    DTYPE,
    DUB,
    ENHANCE,
    FOOTAGE,
    LADTALK,
    LIPS,
    changed,
    dub_streaming,
    dubbing,
    nodes_of,
    without_previews,
    workflow,
)
from .media import (
    FIXTURES,
    SILENCE,
    Film,
    assert_same_sound,
    mouth_opening,
    read_sound,
    spoken,
    talk,
    true_opening,
    write_wav,
)
from .server import ROOT, Server

ADA = ROOT / "samples" / "ada.mp4"
FPS = Fraction(25)
SHUT = 0.04
"""Opening of the lips that a reader sees on mouths that are shut."""

BUILDS = pytest.mark.parametrize("build", [dubbing, dub_streaming], ids=["frames", "streaming"])


@pytest.fixture(scope="module")
def sound(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Speech between silences, in stereo, uploaded as the page does."""
    file = spoken(tmp_path_factory.mktemp("sound") / "new_words.wav")
    server.client.upload(file)
    return file


@pytest.fixture(scope="module", params=[dubbing, dub_streaming], ids=["frames", "streaming"])
def film(request: pytest.FixtureRequest, server: Server, sound: Path) -> Film:
    """The sample's footage saying that sound."""
    return _film(server, request.param(**{AUDIO: {"audio": sound.name}}))


def test_size_rate_and_length(film: Film, sound: Path) -> None:
    samples, rate = read_sound(sound)
    frames = math.ceil(Fraction(samples.shape[1], rate) * FPS)
    assert film.fps == FPS
    assert film.frames.shape == (frames, 256, 256, 3)
    assert film.seconds == pytest.approx(frames / FPS, abs=1e-3)


def test_the_sound_is_untouched(film: Film, sound: Path) -> None:
    assert_same_sound(film, sound)


def test_the_mouth_follows_the_new_sound_and_no_longer_the_old(film: Film) -> None:
    truth, first = true_opening(), round(SILENCE * FPS)
    spoken = slice(first, first + len(truth))
    after, before = mouth_opening(film.frames), mouth_opening(Film.read(ADA).frames[: len(film.frames)])
    print(f"correlation {pearson(after[spoken], truth):.2f}, of the footage {pearson(before[spoken], truth):.2f}")
    assert pearson(after[spoken], truth) > 0.5
    assert pearson(before[spoken], truth) < 0.3, "the footage would do as well: the test shows nothing"
    assert after[: first - 3].max() < SHUT < after[spoken].max()
    assert before[: first - 3].max() > SHUT, "the footage is silent there too: the test shows nothing"


def test_the_rest_of_the_picture_is_the_footages(film: Film) -> None:
    """As far as the codec allows; see below for the very pixels."""
    real = Film.read(ADA).frames[: len(film.frames)]
    away = np.abs(real[:, :80].astype(int) - film.frames[:, :80])
    assert away.mean() < 2
    assert np.abs(real[:, 150:].astype(int) - film.frames[:, 150:]).max() > 20


def test_the_video_says_that_it_is_synthetic(film: Film) -> None:
    assert film.metadata.items() >= SYNTHETIC_MARK.items(), "in other words, such as in quotes"


@BUILDS
@pytest.mark.parametrize(("length", "frames"), [("bounce", 20), ("stop", 12), ("once", 12)])
def test_rates_and_lengths(server: Server, tmp_path: Path, build: type[Prompt], length: str, frames: int) -> None:
    """A second of sound, of which the footage at 20 frames a second lasts for 0.6."""
    with VideoWriter(tmp_path / "short.mp4", 256, 256, 20) as writer:
        writer.write(Film.read(ADA).frames[:12])
    speech = talk(tmp_path / "second.wav", 1.0)
    footage, name = server.client.upload(tmp_path / "short.mp4"), server.client.upload(speech)
    rule = {LIPS if build is dubbing else DUB: {"length": length}}
    film = _film(server, build(**{FOOTAGE: {"file": footage}, AUDIO: {"audio": name}}, **rule))
    assert film.fps == 20
    assert len(film.frames) == frames
    wanted = 16_000 * frames // 20
    assert wanted <= film.sound.shape[1] <= wanted + 2048


def test_pixels_away_from_the_mouth_stay_as_they_are(server: Server, tmp_path: Path) -> None:
    """Before any codec: of the face only what lies around the mouth changes, and it does."""
    prompt, frames = _pictures(server, tmp_path)
    repainted = _saved(server, prompt, ["lips", 0])
    assert repainted.shape == frames.shape
    points = load_probe().read(frames).landmarks * frames.shape[1]
    for before, after, face in zip(frames, repainted, points, strict=True):
        rows, columns = np.nonzero((before != after).any(-1))
        assert 0.005 < len(rows) / before[..., 0].size < 0.2
        assert rows.min() > face[36:48, 1].max(), "above the eyes' lower lids"
        assert columns.min() > face[:17, 0].min() - 6
        assert columns.max() < face[:17, 0].max() + 6


def test_only_what_was_painted_is_restored(server: Server, tmp_path: Path) -> None:
    """Wav2Lip tells it in a mask, which holds SOVQAE Enhance: pixels that were carried over stay as they are."""
    prompt, _ = _pictures(server, tmp_path)
    prompt["mask"] = _node("MaskToImage", mask=["lips", 4])
    lips, mask = _saved(server, prompt, ["lips", 0]), _saved(server, prompt, ["mask", 0])
    assert mask.shape == lips.shape
    assert 0.001 < (mask > 0).mean() < 0.2
    settings = {"strength": 1.0, "region": "mouth", "window": 8, "look_at": 0, "match_texture": False}
    given = {"sovqae": ["model", 1], "images": ["lips", 0], "face_track": ["lips", 1]}
    prompt["whole"], prompt["sharp"] = _node(ENHANCE, **given, **settings), _node(ENHANCE, **given, **settings)
    prompt["sharp"]["inputs"]["mask"] = ["lips", 4]
    whole, sharp = (_saved(server, prompt, [node, 0]).astype(int) for node in ("whole", "sharp"))
    assert (sharp != lips).any()
    # Of less than half a level of the mask nothing is left but another rounding.
    assert np.abs(sharp - lips)[mask == 0].max() <= 1
    assert np.abs(sharp - lips).sum() < 0.8 * np.abs(whole - lips).sum()


def test_two_people_say_two_things(server: Server) -> None:
    """Each follows the own sound, which is known to the frame, and not the other's."""
    film = _film(server, changed(workflow(API / "ladtalk_two_people.json"), **{LADTALK: {"dtype": DTYPE}}))
    assert film.frames.shape == (75, 256, 512, 3)
    with np.load(FIXTURES / "duo_says.npz") as truth:
        left, right = (truth[side].astype(np.float32) for side in ("left", "right"))
    for side, own, other in ((slice(0, 256), left, right), (slice(256, 512), right, left)):
        opening = mouth_opening(film.frames[:, :, side])
        print(f"own {pearson(opening, own):.2f}, other {pearson(opening, other):.2f}")
        assert pearson(opening, own) > 0.5
        assert pearson(opening, own) > pearson(opening, other) + 0.3


def test_the_report_is_shown(server: Server) -> None:
    """With numbers that a network without derivatives would not give."""
    prompt = changed(workflow(API / "sovqae_enhance_any_video.json"), **{LADTALK: {"dtype": DTYPE}})
    ended = server.client.run(prompt)
    assert ended.status == SUCCESS, ended.text
    (preview,) = nodes_of(prompt, "PreviewAny")
    (report,) = ended.outputs[preview]["text"]
    print(report)
    assert "Looked at 1 of 75 frames." in report
    assert report.startswith("Texture was restored with strength 1.00.")
    assert "Lipschitz constant 0:" not in report
    assert "The mouth" in report


def test_the_guard_is_heard(server: Server, tmp_path: Path) -> None:
    """A network that paints mouths white: report and log say that they changed. It is the SOVQAE of another file."""
    path, model = server.models / "talkface" / "white.safetensors", sovqae()
    path.parent.mkdir(exist_ok=True)
    model.decoder.out[-1].bias.data += 1000
    save_checkpoint(path, "ladtalk", {"sovqae": model}, {"sovqae": model.config.to_dict()}, {"data": "none"})
    try:
        name = server.client.upload(talk(tmp_path / "guard.wav", 0.8))
        prompt = dubbing(**{AUDIO: {"audio": name}})
        (enhance,) = nodes_of(prompt, ENHANCE)
        # All of the mouth, whether Wav2Lip painted it or not.
        prompt[enhance]["inputs"].pop("mask")
        prompt["white"] = _node(LADTALK, checkpoint=path.name, dtype="float32")
        prompt["told"] = _node("PreviewAny", source=[enhance, 1])
        whole = {"sovqae": ["white", 1], "strength": 1.0, "match_texture": False}
        ended = server.client.run(changed(prompt, **{ENHANCE: whole}))
        assert ended.status == SUCCESS, ended.text
        (report,) = ended.outputs["told"]["text"]
        print(report)
        assert "The mouth changed its shape in" in report
        assert "The mouth changed its shape in" in server.log()
        _said(server.client, changed(prompt, **{LIPS: {"wav2lip": ["white", 0]}}), "wav2lip", "holds no Wav2Lip")
    finally:
        path.unlink()


def test_progress_of_both_passes_and_previews_arrive(client: Client, tmp_path: Path) -> None:
    prompt = dub_streaming(**{AUDIO: {"audio": client.upload(talk(tmp_path / "shown.wav", 1.0))}})
    (node,) = nodes_of(prompt, DUB)
    with client.listening() as messages:
        ended = client.run(prompt)
    assert ended.status == SUCCESS, ended.text
    values = [data["value"] for data in messages.of("progress") if data["node"] == node]
    assert values == sorted(values)
    assert {25, 50} <= set(values)
    assert values[-1] == messages.of("progress")[-1]["max"] == 50
    assert len(messages.pictures) >= len(values)


def test_a_video_of_frames_in_memory(server: Server, tmp_path: Path) -> None:
    """What Create Video made needs no file."""
    prompt = dub_streaming(**{AUDIO: {"audio": server.client.upload(talk(tmp_path / "memory.wav", 0.5))}})
    (footage,), (dub,) = nodes_of(prompt, FOOTAGE), nodes_of(prompt, DUB)
    prompt["parts"] = _node("GetVideoComponents", video=[footage, 0])
    prompt["made"] = _node("CreateVideo", images=["parts", 0], fps=30.0)
    prompt[dub]["inputs"]["video"] = ["made", 0]
    film = _film(server, prompt)
    assert film.fps == 30
    assert len(film.frames) == 15


def test_a_part_of_a_video(server: Server, tmp_path: Path) -> None:
    """Newer hosts cut videos without writing them: the cut is the footage."""
    if "Video Slice" not in server.client.object_info():
        pytest.skip("this ComfyUI has no Video Slice")
    prompt = dub_streaming(**{AUDIO: {"audio": server.client.upload(talk(tmp_path / "part.wav", 1.0))}})
    (footage,), (dub,) = nodes_of(prompt, FOOTAGE), nodes_of(prompt, DUB)
    cut = {"start_time": 2.0, "duration": 0.4, "strict_duration": False}
    prompt["part"] = _node("Video Slice", video=[footage, 0], **cut)
    prompt[dub]["inputs"] |= {"video": ["part", 0], "length": "once"}
    film = _film(server, prompt)
    real = Film.read(ADA).frames[50:60]
    assert len(film.frames) == 10
    assert np.abs(real[:, :80].astype(int) - film.frames[:, :80]).mean() < 2


def test_a_checkpoint_without_a_sovqae(server: Server, tmp_path: Path, small: str) -> None:
    """Dubs all the same; what needs one says so."""
    name = server.client.upload(talk(tmp_path / "without.wav", 0.3))
    model = {AUDIO: {"audio": name}, LADTALK: {"checkpoint": small, "dtype": "auto"}}
    assert len(_film(server, dub_streaming(**model)).frames) == 8
    _said(server.client, dubbing(**model), "sovqae", "holds no SOVQAE")


@pytest.fixture
def small(server: Server) -> Iterator[str]:
    """The name of a checkpoint of Wav2Lip alone, as converted ones are."""
    path = server.models / "talkface" / "lips.safetensors"
    path.parent.mkdir(exist_ok=True)
    yield save_small_ladtalk(path, "sovqae").name
    path.unlink()


@BUILDS
def test_footage_without_a_face(client: Client, tmp_path: Path, build: type[Prompt]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (5, 120, 160, 3), dtype=np.uint8)
    with VideoWriter(tmp_path / "noise.mp4", 160, 120, 25) as writer:
        writer.write(noise)
    footage, name = client.upload(tmp_path / "noise.mp4"), client.upload(talk(tmp_path / "noise.wav", 0.2))
    prompt = build(**{FOOTAGE: {"file": footage}, AUDIO: {"audio": name}})
    _said(client, prompt, "no face in any of 5 frames of 160x120 px", "crop closer")


@BUILDS
def test_no_sound(client: Client, server: Server, build: type[Prompt]) -> None:
    """The AUDIO of a silent video is none at all."""
    (server.input / "silent.mp4").write_bytes((FIXTURES / "ada_talks.mp4").read_bytes())
    prompt = build()
    prompt["film"] = _node(FOOTAGE, file="silent.mp4")
    prompt["parts"] = _node("GetVideoComponents", video=["film", 0])
    _said(client, changed(prompt, **{LIPS if build is dubbing else DUB: {"audio": ["parts", 1]}}), "no audio")


@BUILDS
def test_a_sound_without_a_sample(client: Client, tmp_path: Path, build: type[Prompt]) -> None:
    file = write_wav(tmp_path / "empty_words.wav", np.zeros((1, 0), np.float32), 16_000)
    _said(client, build(**{AUDIO: {"audio": client.upload(file)}}), "empty_words.wav")


def test_a_video_without_pictures(client: Client, server: Server) -> None:
    (server.input / "sound.mp4").write_bytes((FIXTURES / "ada_talks.flac").read_bytes())
    _said(client, dub_streaming(**{FOOTAGE: {"file": "sound.mp4"}}), "sound.mp4 has no pictures")


def test_a_speaker_is_no_ladtalk(client: Client) -> None:
    """It is not offered; named nevertheless, it is refused, by newer hosts before anything runs."""
    ended = _said(client, without_previews(dubbing(**{LADTALK: {"checkpoint": "dae_talker_tiny"}})), "dae_talker")
    assert ended.status == REJECTED or "the system 'ladtalk'" in ended.text


@pytest.mark.parametrize("node", ["lips", "sharp"])
@pytest.mark.parametrize("frames", [1, 2])
def test_other_frames_than_the_tracks(server: Server, tmp_path: Path, node: str, frames: int) -> None:
    prompt, _ = _pictures(server, tmp_path)
    prompt["first"] = _node("ImageFromBatch", image=["batch", 0], batch_index=0, length=frames)
    settings = {"strength": 1.0, "region": "mouth", "window": 8, "look_at": 0}
    given = {"sovqae": ["model", 1], "images": ["lips", 0], "face_track": ["lips", 1]}
    prompt["sharp"] = _node(ENHANCE, **given, **settings)
    prompt[node]["inputs"]["images"] = ["first", 0]
    prompt["save"] = _node("SaveImage", images=["sharp", 0], filename_prefix="faces")
    _said(server.client, prompt, f"{frames} frames of 256x256 px, but the face was tracked in 3")


def test_a_mask_that_does_not_fit(server: Server, tmp_path: Path) -> None:
    prompt = dubbing(**{AUDIO: {"audio": server.client.upload(talk(tmp_path / "mask.wav", 0.2))}})
    (enhance,) = nodes_of(prompt, ENHANCE)
    prompt["mask"] = _node("SolidMask", value=1.0, width=64, height=32)
    prompt[enhance]["inputs"]["mask"] = ["mask", 0]
    _said(server.client, prompt, "a mask of 64x32 px for frames of 256x256", "make it as large as the frames")


def _pictures(server: Server, folder: Path) -> tuple[Prompt, NDArray[np.uint8]]:
    """Three frames of the sample as pictures, which are lossless, through Wav2Lip: the output of "lips"; the frames."""
    frames = Film.read(ADA).frames[::25][:3]
    prompt: Prompt = {}
    for k, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"mouth{k}.png")
        prompt[f"image{k}"] = _node("LoadImage", image=server.client.upload(folder / f"mouth{k}.png"))
    prompt["two"] = _node("ImageBatch", image1=["image0", 0], image2=["image1", 0])
    prompt["batch"] = _node("ImageBatch", image1=["two", 0], image2=["image2", 0])
    face = {"face": "largest", "index": 0, "x": 0, "y": 0, "smoothing": 0.0, "fps": 25.0, "detector": "bundled"}
    prompt["track"] = _node(DETECT, images=["batch", 0], **face, threshold=0.5, preview_every=1)
    name = server.client.upload(talk(folder / "three.wav", 0.12))
    prompt["sound"] = _node(AUDIO, audio=name, start=0.0, duration=0.0)
    prompt["model"] = _node(LADTALK, checkpoint="ladtalk_tiny", dtype=DTYPE)
    given = {"wav2lip": ["model", 0], "images": ["batch", 0], "face_track": ["track", 0], "audio": ["sound", 0]}
    prompt["lips"] = _node(LIPS, **given, length="stop")
    return prompt, frames


def _node(kind: str, **inputs: object) -> dict:
    return {"class_type": kind, "inputs": inputs}


def _film(server: Server, prompt: Prompt) -> Film:
    ended = server.client.run(prompt)
    assert ended.status == SUCCESS, ended.text
    return Film.read(server.base / next(file for file in ended.files if file.parts[0] == "output"))


def _saved(server: Server, prompt: Prompt, output: list) -> NDArray[np.uint8]:
    """The pictures that an output gives [T, H, W, 3]."""
    ended = server.client.run({**prompt, "save": _node("SaveImage", images=output, filename_prefix="mouths")})
    assert ended.status == SUCCESS, ended.text
    return np.stack([np.asarray(Image.open(server.base / file).convert("RGB")) for file in ended.files])


def _said(client: Client, prompt: Prompt, *words: str) -> Ended:
    """The prompt fails with one clean line that has all the `words`."""
    ended = client.run(prompt)
    print(f"{ended.status}: {ended.text}")
    assert ended.status in (ERROR, REJECTED)
    for word in words:
        assert word in ended.text, ended.text
    assert ended.status == REJECTED or len(ended.text.splitlines()) == 1
    return ended
