"""Each shipped workflow through POST /prompt, as given and with another sound: what comes out is watched and heard."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch.nn.functional as F
from einops import rearrange

from talkface_core.correlation import mouth_lag, pearson
from talkface_core.evaluation.metrics import as_pictures, psnr
from talkface_core.evaluation.probe import Reading, load_probe
from talkface_core.faces.landmarks import EYES, MOUTH
from talkface_core.media.video_writer import SYNTHETIC_MARK

from .client import SUCCESS, Prompt
from .graphs import AUDIO, DTYPE, LOADER, WORKFLOWS, changed, nodes_of, workflow
from .media import SILENCE, Film, assert_same_sound, read_sound, spoken, true_opening
from .server import ROOT, Server

SPEAKING = [path for path in WORKFLOWS if nodes_of(workflow(path), LOADER) and nodes_of(workflow(path), AUDIO)]
"""Those that make Ada speak; what else there is has tests of its own."""
SHIPPED = {
    *("dae_talker", "dae_talker_pose", "dae_talker_long", "dae_talker_reconstruct"),
    *("faces_follow", "faces_crop_paste"),
    *("ladtalk_dub", "ladtalk_dub_long", "ladtalk_two_people", "sovqae_enhance_any_video"),
    *("landmark_dub", "landmark_dub_long", "landmark_portrait", "landmark_plus_sovqae", "landmark_two_people"),
    *("voice_to_talking_video", "animate_any_portrait", "portrait_then_landmark_diffusion", "voice_step_by_step"),
    "train_person",
}
WATCHED = ("ladtalk_two_people", "landmark_two_people", "train_person")
"""Those that tests of their nodes run, and look at more closely."""
WHOLE = {"dae_talker", "ladtalk_dub", "landmark_dub", "animate_any_portrait", "voice_to_talking_video"}
"""One of each system says its whole sound; the others, of the same networks, say the first `SHORT` seconds of it."""
SHORT = 2.0
FPS = Fraction(25)


@pytest.fixture(scope="module")
def sound(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Speech between silences, in stereo, uploaded as the page does."""
    file = spoken(tmp_path_factory.mktemp("sound") / "spoken.wav")
    server.client.upload(file)
    return file


@pytest.fixture(scope="module", params=SPEAKING, ids=lambda path: path.stem)
def film(request: pytest.FixtureRequest, server: Server, sound: Path) -> Film:
    """The video that a workflow makes of that sound."""
    return _run(server, changed(workflow(request.param), **{AUDIO: {"audio": sound.name}, LOADER: {"dtype": DTYPE}}))


@pytest.fixture(scope="module")
def reading(film: Film) -> Reading:
    """What the probe sees on the video."""
    return load_probe().read(film.frames)


def test_the_workflows_are_there() -> None:
    assert {path.stem for path in WORKFLOWS} >= SHIPPED


@pytest.mark.usefixtures("people")
@pytest.mark.parametrize("path", [path for path in WORKFLOWS if path.stem not in WATCHED], ids=lambda path: path.stem)
def test_it_runs_as_given_on_a_fresh_install(server: Server, path: Path) -> None:
    prompt = workflow(path)
    if path.stem not in WHOLE and nodes_of(prompt, AUDIO):
        prompt = changed(prompt, **{AUDIO: {"duration": SHORT}})
    film = _run(server, prompt)
    assert film.frames.std(axis=(1, 2, 3)).min() > 20
    assert np.abs(film.sound).max() > 0.1
    loaders = nodes_of(prompt, AUDIO)
    if not loaders:
        (loader,) = nodes_of(prompt, "TalkFaceLoadVideo")
        real = Film.read(_sample(prompt[loader]["inputs"]["file"]))
        assert film.fps == real.fps
        assert len(film.frames) == len(real.frames)
        shrunk = F.interpolate(as_pictures(real.frames), film.frames.shape[1:3], mode="area")
        assert psnr(film.frames, rearrange(shrunk, "t c h w -> t h w c")).mean() > 25
    else:
        given = prompt[loaders[0]]["inputs"]
        samples, rate = read_sound(_sample(given["audio"]))
        seconds = Fraction(given["duration"]) or Fraction(samples.shape[1], rate)
        assert len(film.frames) == math.ceil(seconds * FPS)


def test_length_and_rate_are_those_of_the_sound(film: Film, sound: Path) -> None:
    samples, rate = read_sound(sound)
    frames = math.ceil(Fraction(samples.shape[1], rate) * FPS)
    assert film.fps == FPS
    assert len(film.frames) == frames
    assert film.seconds == pytest.approx(frames / FPS, abs=1e-3)


def test_the_sound_is_untouched(film: Film, sound: Path) -> None:
    assert_same_sound(film, sound)


def test_the_face_follows_the_speech(film: Film, reading: Reading) -> None:
    truth = true_opening()
    first = round(SILENCE * FPS)
    opening = reading.mouth_open[first : first + len(truth)]
    print(f"correlation {pearson(opening, truth):.2f}, lag {mouth_lag(opening, truth)[0]}")
    assert pearson(opening, truth) > 0.6
    assert abs(mouth_lag(opening, truth, 5)[0]) <= 1
    silent = reading.mouth_open[: first - 3]
    assert silent.max() < 0.02 < opening.max()


def test_the_face_stays_a_face(film: Film, reading: Reading) -> None:
    """Points where a face has them in every frame, and no jumps from one frame to the next."""
    eyes, mouth = reading.landmarks[:, EYES].mean(1), reading.landmarks[:, MOUTH].mean(1)
    assert ((mouth - eyes)[:, 1] > 0.1).all()
    assert np.abs(np.diff(reading.landmarks.mean(1), axis=0)).max() < 0.03
    assert film.frames.std(axis=(1, 2, 3)).min() > 20


def test_the_video_says_that_it_is_synthetic(film: Film) -> None:
    assert film.metadata.items() >= SYNTHETIC_MARK.items(), "in other words, such as in quotes"


def _sample(name: str) -> Path:
    return ROOT / "samples" / name.removesuffix(" [sample]")


def _run(server: Server, prompt: Prompt) -> Film:
    ended = server.client.run(prompt)
    assert ended.status == SUCCESS, ended.text
    videos = [file for file in ended.files if file.suffix == ".mp4" and file.parts[0] == "output"]
    assert len(videos) == 1
    return Film.read(server.base / videos[0])
