"""A voice, or a picture and a sound, to a talking person through the nodes: what moves, what stays, what is refused."""

from __future__ import annotations

import math
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from talkface_core.correlation import pearson
from talkface_core.media.video_writer import SYNTHETIC_MARK
from tests.see_the_speaker.small_see_the_speaker import PORTRAIT, save_small_see_the_speaker

from .client import ERROR, REJECTED, SUCCESS, Client, Ended, Prompt
from .graphs import (
    ANIMATE,
    AUDIO,
    DETECT,
    DTYPE,
    FROM_VOICE,
    IMAGINE,
    MOVE,
    PICTURE,
    RENDER,
    SPEAKER,
    animating,
    changed,
    nodes_of,
    voice_stepwise,
    voice_streaming,
)
from .media import (
    SILENCE,
    Film,
    assert_same_sound,
    mouth_opening,
    read_sound,
    speech,
    spoken,
    talk,
    true_opening,
    write_wav,
)
from .server import ROOT, Server

FPS = Fraction(25)
SIDE = 256

BUILDS = pytest.mark.parametrize(
    "build", [voice_stepwise, voice_streaming, animating], ids=["steps", "from voice", "picture"]
)
MOTION = {"fps": 25.0, "head_motion": 1.0, "expression": 1.0, "blink": 1.0, "blink_rate": -1.0}
MOTION |= {"gaze_right": 0.0, "gaze_down": 0.0, "guidance": 0.0, "steps": 2, "seed": 0}


@pytest.fixture(scope="module")
def sound(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Speech between silences, in stereo, uploaded as the page does."""
    file = spoken(tmp_path_factory.mktemp("sound") / "speaker_words.wav")
    server.client.upload(file)
    return file


@pytest.fixture(
    scope="module", params=[voice_stepwise, voice_streaming, animating], ids=["steps", "from voice", "picture"]
)
def film(request: pytest.FixtureRequest, server: Server, sound: Path) -> Film:
    """Somebody who says that sound, drawn as it is shipped."""
    return _film(server, request.param(**{AUDIO: {"audio": sound.name}}))


@pytest.fixture
def models(server: Server) -> Iterator[Path]:
    """The host's folder of checkpoints of this pack, emptied afterwards."""
    folder = server.models / "talkface"
    folder.mkdir(exist_ok=True)
    yield folder
    for file in folder.iterdir():
        file.unlink()


def test_size_rate_length_and_sound(film: Film, sound: Path) -> None:
    samples, rate = read_sound(sound)
    frames = math.ceil(Fraction(samples.shape[1], rate) * FPS)
    assert film.fps == FPS
    assert film.frames.shape == (frames, SIDE, SIDE, 3)
    assert film.seconds == pytest.approx(frames / FPS, abs=1e-3)
    assert_same_sound(film, sound)


def test_the_mouth_follows_the_sound_and_rests_in_silence(film: Film) -> None:
    truth, first = true_opening(), round(SILENCE * FPS)
    said = mouth_opening(film.frames)
    print(f"correlation {pearson(said[first : first + len(truth)], truth):.2f}, silent {said[: first - 3].max():.3f}")
    assert pearson(said[first : first + len(truth)], truth) > 0.5
    assert said[: first - 3].max() < 0.5 * said.max()


def test_a_guessed_person_is_called_one(server: Server, sound: Path) -> None:
    """In the file that is saved; a picture that somebody gave is called synthetic alone."""
    guessed = _film(server, voice_streaming(**{AUDIO: {"audio": sound.name}}))
    assert "identifies nobody" in guessed.metadata["comment"]
    assert {**guessed.metadata, "comment": SYNTHETIC_MARK["comment"]}.items() >= SYNTHETIC_MARK.items()
    animated = _film(server, animating(**{AUDIO: {"audio": sound.name}}))
    assert animated.metadata.items() >= SYNTHETIC_MARK.items()


def test_the_picture_stays_where_the_head_is_not(server: Server, tmp_path: Path) -> None:
    """A wide picture: all beside the head's square is the picture's, pixel by pixel; the head moves. Odd sides grow."""
    prompt = _wide(server, tmp_path)
    frames = _saved(server, prompt, ["render", 0])
    wide = np.asarray(Image.open(tmp_path / "wide.png").convert("RGB"))
    assert frames.shape == (10, 254, 600, 3)
    assert (frames[:, :253, 460:599] == wide[:, 460:]).all()
    assert frames[:, :253, 460:599].std() > 5
    assert (frames[1:] != frames[:1]).any()
    prompt["render"]["inputs"]["region"] = "head"
    assert _saved(server, prompt, ["render", 0]).shape[1:] == (SIDE, SIDE, 3)


def test_the_face_that_a_track_names(server: Server, tmp_path: Path) -> None:
    """Of two people in one picture the right one moves, and not the left."""
    duo = Film.read(ROOT / "samples" / "duo.mp4").frames[0]
    Image.fromarray(duo).save(tmp_path / "duo.png")
    prompt = _moving(server, tmp_path, tmp_path / "duo.png")
    face = {"face": "index", "index": 1, "x": 0, "y": 0, "smoothing": 0.0, "fps": 25.0, "detector": "bundled"}
    prompt["track"] = _node(DETECT, images=["picture", 0], **face, threshold=0.5, preview_every=1)
    prompt["render"]["inputs"]["face_track"] = ["track", 0]
    frames = _saved(server, prompt, ["render", 0]).astype(int)
    assert (frames[:, :, :200] == duo[:, :200]).all()
    assert np.abs(frames[:, :, 300:] - duo[:, 300:]).max() > 20


def test_what_the_widgets_of_motion_do(server: Server, tmp_path: Path) -> None:
    """A head that is held still and a face that does nothing: one frame over and over; and each widget counts."""
    prompt = _moving(server, tmp_path, ROOT / "samples" / "portrait.jpg")
    plain = _saved(server, prompt, ["render", 0]).astype(int)
    still = {"head_motion": 0.0, "expression": 0.0, "blink": 0.0}
    changes = [still, {"head_motion": 3.0}, {"expression": 2.0}, {"gaze_right": 1.0}, {"gaze_down": 1.0}, {"seed": 5}]
    for change in changes:
        prompt["motion"]["inputs"] = {**prompt["motion"]["inputs"], **MOTION, **change}
        made = _saved(server, prompt, ["render", 0]).astype(int)
        assert np.abs(made - plain).max() > 2, change
        if change is still:
            assert np.abs(made - made[:1]).max() <= 2
    prompt["motion"]["inputs"] |= MOTION
    prompt["pose"] = _node("TalkFaceHeadPose", yaw=15.0, pitch=0.0, roll=0.0, keyframes="")
    prompt["motion"]["inputs"]["head_pose"] = ["pose", 0]
    assert np.abs(_saved(server, prompt, ["render", 0]).astype(int) - plain).max() > 2


def test_the_window_changes_nothing(server: Server, tmp_path: Path) -> None:
    prompt = _moving(server, tmp_path, ROOT / "samples" / "portrait.jpg")
    whole = _saved(server, prompt, ["render", 0]).astype(int)
    prompt["render"]["inputs"]["window"] = 3
    assert np.abs(_saved(server, prompt, ["render", 0]).astype(int) - whole).max() <= 2


@pytest.mark.parametrize(("fps", "frames"), [(12.5, 13), (29.97, 30)])
def test_another_rate(server: Server, tmp_path: Path, fps: float, frames: int) -> None:
    name = server.client.upload(talk(tmp_path / "rate.wav", 1.0))
    film = _film(server, animating(**{AUDIO: {"audio": name}, ANIMATE: {"fps": fps}}))
    assert len(film.frames) == frames
    assert film.fps == pytest.approx(fps, rel=1e-3)


def test_portraits_by_voice_seed_and_prior(server: Server, tmp_path: Path) -> None:
    """The same twice is the same; another seed, arm or weight is another; without the codebook it is smaller."""
    name = server.client.upload(talk(tmp_path / "voice.wav", 1.5))
    prompt = {key: node for key, node in voice_stepwise(**{AUDIO: {"audio": name}}).items()}
    (imagine,) = nodes_of(prompt, IMAGINE)
    settings = prompt[imagine]["inputs"]
    changes = [{}, {"seed": 7}, {"prior": "none"}, {"prior": "fixed", "prior_weight": 0.5}, {"guidance": 4.0}]
    pictures = []
    for change in changes:
        prompt[imagine]["inputs"] = {**settings, **change}
        pictures.append(_saved(server, prompt, [imagine, 0]).astype(int))
        assert pictures[-1].shape == (1, SIDE, SIDE, 3)
    for number, picture in enumerate(pictures):
        for other in pictures[:number]:
            assert np.abs(picture - other).max() > 8
    prompt[imagine]["inputs"] = {key: value for key, value in settings.items() if key != "hrtf"}
    assert _saved(server, prompt, [imagine, 0]).shape == (1, SIDE // 2, SIDE // 2, 3)


@BUILDS
def test_progress_and_previews_arrive(client: Client, tmp_path: Path, build: type[Prompt]) -> None:
    prompt = build(**{AUDIO: {"audio": client.upload(talk(tmp_path / "shown.wav", 2.0))}})
    kind = {voice_stepwise: IMAGINE, voice_streaming: FROM_VOICE, animating: ANIMATE}[build]
    (node,) = nodes_of(prompt, kind)
    if build is voice_stepwise:
        prompt[node]["inputs"]["steps"] = 5
    with client.listening() as messages:
        ended = client.run(prompt)
    assert ended.status == SUCCESS, ended.text
    told = [data for data in messages.of("progress") if data["node"] == node]
    values = [data["value"] for data in told]
    assert len(values) >= 4
    assert values == sorted(values)
    assert values[-1] == told[-1]["max"]
    assert len(messages.pictures) >= len(values)


def test_what_is_computed_again(client: Client, tmp_path: Path) -> None:
    """Another motion keeps the portrait; another portrait keeps the motion; the same is cached."""
    name = client.upload(talk(tmp_path / "again.wav", 2.0))
    sound = {AUDIO: {"audio": name}}
    runs = [voice_stepwise(**sound), voice_stepwise(**sound, **{MOVE: {"head_motion": 0.5}})]
    runs += [voice_stepwise(**sound, **{MOVE: {"head_motion": 0.5}, IMAGINE: {"seed": 3}})]
    cached = []
    for prompt in (*runs, runs[-1]):
        ended = client.run(prompt)
        assert ended.status == SUCCESS, ended.text
        cached.append({prompt[key]["class_type"] for key in ended.cached})
    assert cached[1] >= {AUDIO, SPEAKER, IMAGINE}
    assert not cached[1] & {MOVE, RENDER}
    assert cached[2] >= {AUDIO, SPEAKER, MOVE}
    assert not cached[2] & {IMAGINE, RENDER}
    assert cached[3] >= {IMAGINE, MOVE, RENDER}


@pytest.mark.parametrize("build", [voice_stepwise, voice_streaming], ids=["steps", "streaming"])
@pytest.mark.parametrize("kind", ["silence", "noise", "a word"])
def test_no_portrait_without_speech(client: Client, tmp_path: Path, build: type[Prompt], kind: str) -> None:
    rate = 16_000
    samples = {
        "silence": np.zeros(3 * rate, np.float32),
        "noise": np.random.default_rng(0).normal(0, 0.1, 3 * rate).astype(np.float32),
        "a word": np.concatenate([speech()[: rate // 2], np.zeros(rate, np.float32)]),
    }[kind]
    name = client.upload(write_wav(tmp_path / f"{kind.replace(' ', '_')}.wav", samples[None], rate))
    _said(client, build(**{AUDIO: {"audio": name}}), "a portrait needs speech", "give at least 1.0 s")


def test_a_picture_without_a_face(server: Server, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (120, 160, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "noise.png")
    name = server.client.upload(tmp_path / "noise.png")
    _said(server.client, animating(**{PICTURE: {"image": name}}), "no face in", "160x120 px", "crop closer")
    prompt = _moving(server, tmp_path, tmp_path / "noise.png")
    _said(server.client, _saving(prompt, ["render", 0]), "no face in", "160x120 px")


@BUILDS
def test_no_sound(client: Client, server: Server, build: type[Prompt]) -> None:
    """The AUDIO of a silent video is none at all."""
    (server.input / "silent.mp4").write_bytes((ROOT / "tests" / "fixtures" / "ada_talks.mp4").read_bytes())
    prompt = build()
    prompt["film"] = _node("TalkFaceLoadVideo", file="silent.mp4")
    prompt["parts"] = _node("GetVideoComponents", video=["film", 0])
    kind = {voice_stepwise: IMAGINE, voice_streaming: FROM_VOICE, animating: ANIMATE}[build]
    _said(client, changed(prompt, **{kind: {"audio": ["parts", 1]}}), "no audio")


def test_a_checkpoint_that_makes_no_portraits(client: Client, models: Path) -> None:
    save_small_see_the_speaker(models / "animates.safetensors", *PORTRAIT)
    loads = {SPEAKER: {"checkpoint": "animates.safetensors"}}
    _said(client, voice_streaming(**loads), "portrait_model is empty", "holds no portrait model", "bundled")
    ended = client.run(animating(**loads))
    assert ended.status == SUCCESS, ended.text


def test_one_stage_of_training_is_no_whole(client: Client, models: Path) -> None:
    """The file of a denoiser alone makes no portraits; that of a speech encoder is nothing at all."""
    parts = ("renderer", "codebook", "motion", "lip_refinement", "acoustic")
    save_small_see_the_speaker(models / "stage.safetensors", *parts, *PORTRAIT[1:])
    _said(client, animating(**{SPEAKER: {"checkpoint": "stage.safetensors"}}), "found only speech_encoder", "expected")


def test_sides_of_two_models_are_refused_by_name(client: Client, server: Server, models: Path, tmp_path: Path) -> None:
    from tests.see_the_speaker.small_see_the_speaker import small_renderer

    save_small_see_the_speaker(models / "other.safetensors", renderer=small_renderer(seed=9))
    prompt = _moving(server, tmp_path, ROOT / "samples" / "portrait.jpg")
    prompt["other"] = _node(SPEAKER, checkpoint="other.safetensors", dtype="float32")
    prompt["render"]["inputs"]["hrtf"] = ["other", 2]
    _said(client, _saving(prompt, ["render", 0]), "see_the_speaker_tiny", "other", "take both from one checkpoint")
    whole = animating()
    whole["other"] = prompt["other"]
    _said(client, changed(whole, **{ANIMATE: {"hrtf": ["other", 2]}}), "other", "take both from one loader")


def test_a_speaker_of_another_system_is_none(client: Client) -> None:
    """It is not offered; named nevertheless, it is refused, by newer hosts before anything runs."""
    ended = _said(client, animating(**{SPEAKER: {"checkpoint": "dae_talker_tiny"}}), "dae_talker")
    assert ended.status == REJECTED or "the system 'see_the_speaker'" in ended.text


def test_a_codebook_that_is_not_there(client: Client, models: Path) -> None:
    save_small_see_the_speaker(models / "plain.safetensors", "codebook")
    loads = {SPEAKER: {"checkpoint": "plain.safetensors"}}
    _said(client, animating(**loads, **{ANIMATE: {"fidelity": 0.5}}), "this checkpoint has no codebook", "-1")
    ended = client.run(animating(**loads))
    assert ended.status == SUCCESS, ended.text


def test_pictures_that_cannot_be_read(client: Client, server: Server) -> None:
    (server.input / "broken.png").write_bytes((ROOT / "samples" / "portrait.jpg").read_bytes()[:300])
    _said(client, animating(**{PICTURE: {"image": "broken.png"}}), "broken.png", "cannot be read")
    _said(client, animating(**{PICTURE: {"image": "../../secret.png"}}), "secret.png")


def _moving(server: Server, folder: Path, picture: Path) -> Prompt:
    """A picture that says 0.4 s: "picture", "motion", "render"."""
    name = server.client.upload(talk(folder / "moving.wav", 0.4))
    prompt: Prompt = {"model": _node(SPEAKER, checkpoint="see_the_speaker_tiny", dtype=DTYPE)}
    prompt["sound"] = _node(AUDIO, audio=name, start=0.0, duration=0.0)
    prompt["picture"] = _node(PICTURE, image=server.client.upload(picture))
    prompt["motion"] = _node(MOVE, motion_model=["model", 1], audio=["sound", 0], **MOTION)
    draws = {"hrtf": ["model", 2], "image": ["picture", 0], "motion": ["motion", 0]}
    prompt["render"] = _node(RENDER, **draws, region="picture", fidelity=-1.0, window=0)
    return prompt


def _wide(server: Server, folder: Path) -> Prompt:
    """The same of a picture of odd sides with the sample's portrait on its left and stripes on its right."""
    portrait = np.asarray(Image.open(ROOT / "samples" / "portrait.jpg").convert("RGB"))
    wide = np.tile(np.arange(599, dtype=np.uint8)[None, :, None] * 7, (253, 1, 3))
    wide[:, :256] = portrait[:253]
    Image.fromarray(wide).save(folder / "wide.png")
    return _moving(server, folder, folder / "wide.png")


def _node(kind: str, **inputs: object) -> dict:
    return {"class_type": kind, "inputs": inputs}


def _film(server: Server, prompt: Prompt) -> Film:
    ended = server.client.run(prompt)
    assert ended.status == SUCCESS, ended.text
    return Film.read(server.base / next(file for file in ended.files if file.parts[0] == "output"))


def _saving(prompt: Prompt, source: list[object]) -> Prompt:
    """Only what a source hangs on, and its pictures in files."""
    needed: Prompt = {"saved": _node("SaveImage", images=source, filename_prefix="speaker")}
    waiting = [source[0]]
    while waiting:
        key = waiting.pop()
        needed[key] = prompt[key]
        waiting += [link[0] for link in prompt[key]["inputs"].values() if isinstance(link, list)]
    return needed


def _saved(server: Server, prompt: Prompt, source: list[object]) -> NDArray[np.uint8]:
    ended = server.client.run(_saving(prompt, source))
    assert ended.status == SUCCESS, ended.text
    files = sorted(file for file in ended.files if file.suffix == ".png" and file.parts[0] == "output")
    return np.stack([np.asarray(Image.open(server.base / file).convert("RGB")) for file in files])


def _said(client: Client, prompt: Prompt, *words: str) -> Ended:
    """The prompt fails with one clean message that has all the `words`; prints what a person sees."""
    ended = client.run(prompt)
    print(f"{ended.status}: {ended.text}")
    assert ended.status in (ERROR, REJECTED)
    for word in words:
        assert word.lower() in ended.text.lower(), ended.text
    assert "Traceback" not in ended.text
    assert len(ended.text) < 600
    if ended.status == ERROR:
        assert len(ended.text.splitlines()) == 1
        assert ended.error["exception_type"].endswith("Error")
    return ended
