"""New speech by landmarks through the nodes: mouths follow it, all else stays, and what is wrong is told."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from talkface_core.correlation import pearson
from talkface_core.media.video_writer import SYNTHETIC_MARK, VideoWriter

from .client import ERROR, REJECTED, SUCCESS, Client, Ended, Prompt
from .graphs import (
    ADJUST,
    API,
    AUDIO,
    COMPLETE,
    DETECT,
    DTYPE,
    DUB_LANDMARKS,
    FOOTAGE,
    LANDMARKS,
    PAINT,
    changed,
    landmark_dubbing,
    landmark_streaming,
    nodes_of,
    workflow,
)
from .media import FIXTURES, SILENCE, Film, assert_same_sound, mouth_opening, read_sound, spoken, talk, true_opening
from .server import ROOT, Server

ADA = ROOT / "samples" / "ada.mp4"
FPS = Fraction(25)
SHUT = 0.05
"""Opening of the lips that a reader sees on mouths that are shut."""

BUILDS = pytest.mark.parametrize("build", [landmark_dubbing, landmark_streaming], ids=["frames", "streaming"])


@pytest.fixture(scope="module")
def sound(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Speech between silences, in stereo, uploaded as the page does."""
    file = spoken(tmp_path_factory.mktemp("sound") / "landmark_words.wav")
    server.client.upload(file)
    return file


@pytest.fixture(scope="module", params=[landmark_dubbing, landmark_streaming], ids=["frames", "streaming"])
def film(request: pytest.FixtureRequest, server: Server, sound: Path) -> Film:
    """The sample's footage saying that sound, as it is shipped: 4 steps."""
    steps = {PAINT if request.param is landmark_dubbing else DUB_LANDMARKS: {"steps": 4}}
    return _film(server, request.param(**{AUDIO: {"audio": sound.name}}, **steps))


def test_size_rate_length_and_sound(film: Film, sound: Path) -> None:
    samples, rate = read_sound(sound)
    frames = math.ceil(Fraction(samples.shape[1], rate) * FPS)
    assert film.fps == FPS
    assert film.frames.shape == (frames, 256, 256, 3)
    assert film.seconds == pytest.approx(frames / FPS, abs=1e-3)
    assert_same_sound(film, sound)
    assert film.metadata.items() >= SYNTHETIC_MARK.items()


def test_the_mouth_follows_the_new_sound_and_no_longer_the_old(film: Film) -> None:
    truth, first = true_opening(), round(SILENCE * FPS)
    spoken = slice(first, first + len(truth))
    after, before = mouth_opening(film.frames), mouth_opening(Film.read(ADA).frames[: len(film.frames)])
    print(f"correlation {pearson(after[spoken], truth):.2f}, of the footage {pearson(before[spoken], truth):.2f}")
    assert pearson(after[spoken], truth) > 0.5
    assert pearson(before[spoken], truth) < 0.3, "the footage would do as well: the test shows nothing"
    assert after[: first - 3].max() < SHUT < after[spoken].max()


def test_the_rest_of_the_picture_is_the_footages(film: Film) -> None:
    real = Film.read(ADA).frames[: len(film.frames)]
    assert np.abs(real[:, :80].astype(int) - film.frames[:, :80]).mean() < 2
    assert np.abs(real[:, 150:].astype(int) - film.frames[:, 150:]).max() > 20


@pytest.mark.parametrize(("length", "frames"), [("bounce", 20), ("stop", 12), ("once", 12)])
def test_rates_and_lengths(server: Server, tmp_path: Path, length: str, frames: int) -> None:
    """A second of sound, of which the footage at 20 frames a second lasts for 0.6: the goal says how long it is."""
    with VideoWriter(tmp_path / "short.mp4", 256, 256, 20) as writer:
        writer.write(Film.read(ADA).frames[:12])
    footage = server.client.upload(tmp_path / "short.mp4")
    name = server.client.upload(talk(tmp_path / "second.wav", 1.0))
    rule = {COMPLETE: {"length": length}}
    film = _film(server, landmark_dubbing(**{FOOTAGE: {"file": footage}, AUDIO: {"audio": name}}, **rule))
    assert film.fps == 20
    assert len(film.frames) == frames


def test_a_single_picture_speaks(server: Server, tmp_path: Path) -> None:
    name = server.client.upload(talk(tmp_path / "still.wav", 1.0))
    quick = {AUDIO: {"audio": name, "duration": 0.0}, PAINT: {"steps": 1}}
    film = _film(server, changed(workflow(API / "landmark_portrait.json"), **quick))
    assert len(film.frames) == 25
    opening = mouth_opening(film.frames)
    assert opening.max() - opening.min() > 0.02
    still = Film.read(ADA).frames[0].astype(int)
    assert np.abs(still[:80] - film.frames[:, :80]).mean() < 2


def test_two_people_say_two_things(server: Server) -> None:
    """Each follows the own sound, which is known to the frame, and not the other's."""
    prompt = changed(workflow(API / "landmark_two_people.json"), **{LANDMARKS: {"dtype": DTYPE}})
    film = _film(server, prompt)
    assert film.frames.shape == (75, 256, 512, 3)
    with np.load(FIXTURES / "duo_says.npz") as truth:
        left, right = (truth[side].astype(np.float32) for side in ("left", "right"))
    for side, own, other in ((slice(0, 256), left, right), (slice(256, 512), right, left)):
        opening = mouth_opening(film.frames[:, :, side])
        print(f"own {pearson(opening, own):.2f}, other {pearson(opening, other):.2f}")
        # 0.41 to 0.44 on the left, 0.9 on the right; the other's sound gives -0.1 and -0.6.
        assert pearson(opening, own) > 0.35
        assert pearson(opening, own) > pearson(opening, other) + 0.3


def test_strength_moves_the_mouth_and_nothing_else(server: Server, tmp_path: Path) -> None:
    """On the goal, before anything is painted; without images it is drawn on black."""
    prompt, frames = _pictures(server, tmp_path)
    drawn = {}
    for strength in (0.0, 1.5):
        prompt["goal"]["inputs"]["strength"] = strength
        drawn[strength] = _saved(server, prompt, ["goal", 1]).astype(int)
    differ = (drawn[0.0] != drawn[1.5]).any(-1).any(0)
    assert drawn[0.0].shape == frames.shape
    assert differ.any()
    assert np.nonzero(differ)[0].min() > 110, "landmarks above the mouth have moved"
    prompt["goal"]["inputs"].pop("images")
    bare = _saved(server, prompt, ["goal", 1])
    assert (bare == 0).mean() > 0.9
    assert (bare > 200).any()


def test_an_adjusted_goal_is_what_is_painted(server: Server, tmp_path: Path) -> None:
    """As it comes it changes nothing; else the mouth, and nothing above it."""
    prompt, _ = _pictures(server, tmp_path)
    given = {"goal": ["goal", 0], "face_track": ["track", 0], "images": ["batch", 0]}
    neutral = {"strength": 1.0, "smoothing": 0.0, "shift": 0, "preview_every": 1}
    prompt["adjust"] = _node(ADJUST, **given, **neutral)
    assert np.array_equal(_saved(server, prompt, ["adjust", 1]), _saved(server, prompt, ["goal", 1]))
    prompt["paint"]["inputs"]["goal"] = ["adjust", 0]
    as_heard = _saved(server, prompt, ["paint", 0]).astype(int)
    prompt["adjust"]["inputs"] |= {"strength": 2.0, "shift": 1}
    differ = (_saved(server, prompt, ["paint", 0]) != as_heard).any(-1).any(0)
    assert differ.any()
    assert np.nonzero(differ)[0].min() > 110


def test_pixels_away_from_the_mouth_stay_as_they_are(server: Server, tmp_path: Path) -> None:
    """Before any codec; and the mask tells what of the mouth is paint and not carried over."""
    prompt, frames = _pictures(server, tmp_path)
    prompt["mask"] = _node("MaskToImage", mask=["paint", 3])
    painted, mask = _saved(server, prompt, ["paint", 0]), _saved(server, prompt, ["mask", 0])
    assert painted.shape == frames.shape == mask.shape
    far, paint = np.abs(painted.astype(int) - frames).max(-1), mask[..., 0] > 0
    assert 0.005 < (far > 0).mean() < 0.2
    assert not far[:, :110].any()
    assert not paint[:, :110].any()
    assert 0.001 < paint.mean() < (far > 0).mean()


def test_other_pictures_as_references(server: Server, tmp_path: Path) -> None:
    """Found by themselves, or where their own track says; they are looked at."""
    prompt, _ = _pictures(server, tmp_path)
    plain = _saved(server, prompt, ["paint", 0])
    prompt["inverted"] = _node("ImageFromBatch", image=["batch", 0], batch_index=1, length=1)
    prompt["paint"]["inputs"]["reference_images"] = ["inverted", 0]
    found = _saved(server, prompt, ["paint", 0])
    assert (found != plain).any()
    given = prompt["track"]["inputs"]
    prompt["theirs"] = _node(DETECT, **{**given, "images": ["inverted", 0]})
    prompt["paint"]["inputs"]["reference_track"] = ["theirs", 0]
    named = _saved(server, prompt, ["paint", 0])
    assert np.abs(named.astype(int) - found).max() <= 8


def test_odd_sides_are_saved(server: Server, tmp_path: Path) -> None:
    prompt, _ = _pictures(server, tmp_path)
    prompt["odd"] = _node("ImageCrop", image=["batch", 0], width=255, height=253, x=0, y=0)
    for node in ("track", "goal", "paint"):
        prompt[node]["inputs"]["images"] = ["odd", 0]
    assert _saved(server, prompt, ["paint", 0]).shape == (3, 254, 256, 3)


@BUILDS
def test_progress_and_previews_arrive(client: Client, tmp_path: Path, build: type[Prompt]) -> None:
    prompt = build(**{AUDIO: {"audio": client.upload(talk(tmp_path / "shown.wav", 1.0))}})
    (node,) = nodes_of(prompt, PAINT if build is landmark_dubbing else DUB_LANDMARKS)
    with client.listening() as messages:
        ended = client.run(prompt)
    assert ended.status == SUCCESS, ended.text
    values = [data["value"] for data in messages.of("progress") if data["node"] == node]
    assert len(values) >= 3
    assert values == sorted(values)
    assert values[-1] == [data for data in messages.of("progress") if data["node"] == node][-1]["max"]
    assert len(messages.pictures) >= len(values)


def test_what_is_computed_again(client: Client, tmp_path: Path) -> None:
    """Another seed paints the same landmarks; another strength moves those of the same track; the same is cached."""
    name = client.upload(talk(tmp_path / "again.wav", 0.4))
    runs = [landmark_dubbing(**{AUDIO: {"audio": name}, PAINT: {"seed": 1}})]
    runs += [landmark_dubbing(**{AUDIO: {"audio": name}, PAINT: {"seed": 2}})]
    runs += [landmark_dubbing(**{AUDIO: {"audio": name}, PAINT: {"seed": 2}, COMPLETE: {"strength": 1.2}})]
    cached = []
    for prompt in (*runs, runs[-1]):
        ended = client.run(prompt)
        assert ended.status == SUCCESS, ended.text
        cached.append({prompt[key]["class_type"] for key in ended.cached})
    assert cached[1] >= {AUDIO, LANDMARKS, DETECT, COMPLETE}
    assert PAINT not in cached[1]
    assert cached[2] >= {AUDIO, LANDMARKS, DETECT}
    assert not cached[2] & {COMPLETE, PAINT}
    assert cached[3] >= {COMPLETE, PAINT}


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
    kind = COMPLETE if build is landmark_dubbing else DUB_LANDMARKS
    _said(client, changed(prompt, **{kind: {"audio": ["parts", 1]}}), "no audio")


@pytest.mark.parametrize("node", ["goal", "paint"])
def test_other_frames_than_the_tracks(server: Server, tmp_path: Path, node: str) -> None:
    prompt, _ = _pictures(server, tmp_path)
    prompt["first"] = _node("ImageFromBatch", image=["batch", 0], batch_index=0, length=2)
    prompt[node]["inputs"]["images"] = ["first", 0]
    _said(server.client, _saving(prompt, ["paint", 0]), "2 frames of 256x256 px, but the face was tracked in 3")


def test_a_goal_of_another_film(server: Server, tmp_path: Path) -> None:
    prompt, _ = _pictures(server, tmp_path)
    prompt["large"] = _node("ImageScale", image=["batch", 0], upscale_method="bilinear", width=320, height=320, crop="")
    prompt["large"]["inputs"]["crop"] = "disabled"
    prompt["theirs"] = _node(DETECT, **{**prompt["track"]["inputs"], "images": ["large", 0]})
    prompt["goal"]["inputs"] |= {"face_track": ["theirs", 0], "images": ["large", 0]}
    _said(server.client, _saving(prompt, ["paint", 0]), "landmarks to be painted of 3 frames of 320x320")


def test_a_track_of_references_that_are_not_there(server: Server, tmp_path: Path) -> None:
    prompt, _ = _pictures(server, tmp_path)
    prompt["paint"]["inputs"]["reference_track"] = ["track", 0]
    _said(server.client, _saving(prompt, ["paint", 0]), "reference_track came without reference_images")


def test_one_stage_of_training_is_no_whole(client: Client, server: Server) -> None:
    """The file of a completion alone."""
    from tests.landmark_diffusion.small_landmark_diffusion import save_small_landmark_diffusion

    path = server.models / "talkface" / "stage.safetensors"
    path.parent.mkdir(exist_ok=True)
    save_small_landmark_diffusion(path, "talkformer")
    try:
        prompt = landmark_dubbing(**{LANDMARKS: {"checkpoint": path.name}})
        _said(client, prompt, "expected talkformer", "put what each stage of training made into one file")
    finally:
        path.unlink()


def test_a_speaker_is_none(client: Client) -> None:
    """It is not offered; named nevertheless, it is refused, by newer hosts before anything runs."""
    prompt = landmark_streaming(**{LANDMARKS: {"checkpoint": "dae_talker_tiny"}})
    ended = _said(client, prompt, "dae_talker")
    assert ended.status == REJECTED or "the system 'landmark_diffusion'" in ended.text


def _pictures(server: Server, folder: Path) -> tuple[Prompt, NDArray[np.uint8]]:
    """Three frames of the sample as pictures, which are lossless, through "track", "goal" and "paint"; the frames."""
    frames = Film.read(ADA).frames[::25][:3]
    prompt: Prompt = {}
    for k, frame in enumerate(frames):
        Image.fromarray(frame).save(folder / f"face{k}.png")
        prompt[f"image{k}"] = _node("LoadImage", image=server.client.upload(folder / f"face{k}.png"))
    prompt["two"] = _node("ImageBatch", image1=["image0", 0], image2=["image1", 0])
    prompt["batch"] = _node("ImageBatch", image1=["two", 0], image2=["image2", 0])
    face = {"face": "largest", "index": 0, "x": 0, "y": 0, "smoothing": 0.0, "fps": 25.0, "detector": "bundled"}
    prompt["track"] = _node(DETECT, images=["batch", 0], **face, threshold=0.5, preview_every=1)
    name = server.client.upload(talk(folder / "words.wav", 1.2))
    prompt["sound"] = _node(AUDIO, audio=name, start=0.56, duration=0.0)  # with the mouth open
    prompt["model"] = _node(LANDMARKS, checkpoint="landmark_tiny", dtype=DTYPE)
    hears = {"completion": ["model", 0], "face_track": ["track", 0], "audio": ["sound", 0], "images": ["batch", 0]}
    prompt["goal"] = _node(COMPLETE, **hears, length="stop", strength=1.0, smoothing=0.0, preview_every=1)
    paints = {"talkformer": ["model", 1], "images": ["batch", 0], "face_track": ["track", 0], "goal": ["goal", 0]}
    sampling = {"sampler": "dpmpp_2m", "steps": 1, "seed": 0, "guidance": 1.0, "window": 0}
    prompt["paint"] = _node(PAINT, **paints, **sampling)
    return prompt, frames


def _node(kind: str, **inputs: object) -> dict:
    return {"class_type": kind, "inputs": inputs}


def _film(server: Server, prompt: Prompt) -> Film:
    ended = server.client.run(prompt)
    assert ended.status == SUCCESS, ended.text
    return Film.read(server.base / next(file for file in ended.files if file.parts[0] == "output"))


def _saving(prompt: Prompt, output: list) -> Prompt:
    return {**prompt, "save": _node("SaveImage", images=output, filename_prefix="landmarks")}


def _saved(server: Server, prompt: Prompt, output: list) -> NDArray[np.uint8]:
    """The pictures that an output gives [T, H, W, 3]."""
    ended = server.client.run(_saving(prompt, output))
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
