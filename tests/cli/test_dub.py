"""`dub`: the video and the JSON it gives, its flags, and what a stop leaves. Wrong input is in test_dub_refusals.py."""

import json
import signal
import sys
import time
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from talkface_core.acoustic.model import load_acoustic
from talkface_core.cli.dub import own_origin
from talkface_core.media.audio import audio_source, load_audio, open_audio
from talkface_core.media.picture import open_film
from talkface_core.media.video_reader import VideoReader
from talkface_core.media.video_writer import VideoWriter
from tests.acoustic.small_ear import save_small_whisper
from tests.cli.dubbing import CLIP, frames_of
from tests.dae_talker.small_dubber import FEATURES, LAYERS, save_small_dubber
from tests.ladtalk.small_ladtalk import LISTENING, save_small_ladtalk

FRAMES = 30


@pytest.fixture
def two(tmp_path) -> Path:
    """The fixture's face twice, small on the left, large on the right: ten frames at 30000/1001 per second."""
    path = tmp_path / "two.mp4"
    frames = frames_of(CLIP)[:10]
    with VideoWriter(path, 400, 200, Fraction(30000, 1001), crf=8) as writer:
        for frame in frames:
            canvas = np.full((200, 400, 3), (90, 110, 120), np.uint8)
            canvas[40:168, 20:148] = frame
            canvas[4:196, 190:382] = cv2.resize(frame, (192, 192), interpolation=cv2.INTER_CUBIC)
            writer.write(canvas[None])
    return path


def test_json_says_what_was_made(dub, speech, tmp_path):
    ended = dub(CLIP, speech, "--json", "--quiet")
    assert (ended.status, ended.err) == (0, "")
    assert ended.out.count("\n") == 1
    result = json.loads(ended.out)
    assert result["output"] == str(tmp_path / "out.mp4")
    assert (result["frames"], result["fps"], result["seconds_audio"]) == (25, 25.0, 1.0)
    assert result["seconds_wall"] >= result["seconds_load"] + result["seconds_faces"] + result["seconds_lips"] > 0
    assert 50 < result["peak_rss_mb"] < 4000
    assert (result["frames_left_alone"], result["model"], result["device"]) == (0, "small", "cpu")
    assert 0 <= result["texture"] <= 1
    reader = VideoReader(tmp_path / "out.mp4")
    assert (reader.fps, reader.width, reader.height) == (25, 128, 128)
    assert len(frames_of(tmp_path / "out.mp4")) == 25
    assert open_audio(tmp_path / "out.mp4").num_samples() == 16000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.mp4", "speech.wav"]


def test_for_people_there_are_two_bars_and_a_line(dub, speech):
    ended = dub(CLIP, speech)
    assert (ended.status, ended.out) == (0, "")
    assert "face in ada_talks.mp4: 100%" in ended.err
    assert "out.mp4: 100%" in ended.err
    assert ended.err.count("25/25") >= 2
    assert "out.mp4: 25 frames in" in ended.err.splitlines()[-1]


def test_quiet_is_quiet(dub, speech):
    ended = dub(CLIP, speech, "--quiet")
    assert (ended.status, ended.out, ended.err) == (0, "", "")


@pytest.mark.parametrize(
    ("length", "seconds", "frames", "seconds_audio"),
    [("bounce", 2.0, 50, 2.0), ("stop", 2.0, FRAMES, 1.2), ("once", 2.0, FRAMES, 1.2), ("once", 0.5, FRAMES, 0.5)],
)
def test_lengths(dub, wav, tmp_path, length, seconds, frames, seconds_audio):
    noise = np.random.default_rng(0).normal(0, 0.1, round(16000 * seconds)).astype(np.float32)
    ended = dub(CLIP, wav("noise.wav", noise), "--length", length, "--json", "--quiet", "--texture", "0")
    result = json.loads(ended.out)
    assert (result["frames"], result["seconds_audio"]) == (frames, seconds_audio)
    assert len(frames_of(tmp_path / "out.mp4")) == frames
    assert open_audio(tmp_path / "out.mp4").num_samples() == round(16000 * seconds_audio)


def changed(before: np.ndarray, after: np.ndarray) -> tuple[float, float]:
    """How far the left and the right half of a picture changed, grey levels."""
    away = np.abs(after.astype(int) - before).mean((0, 2))
    return float(away[:170].mean()), float(away[170:].mean())


def test_one_of_two_people_speaks(dub, two, speech, tmp_path):
    """Rate and size are kept; what is chosen is on the right by size, on the left by number, place or name."""
    plain = frames_of(two)[0]
    for face, right in (("largest", True), ("1", True), ("0", False), ("leftmost", False), ("70,100", False)):
        ended = dub(two, speech, "--face", face, "--duration", "0.2", "--texture", "0", "--json", "--quiet")
        result = json.loads(ended.out)
        assert (result["fps"], result["frames"]) == (30000 / 1001, 6)
        video = VideoReader(tmp_path / "out.mp4")
        assert (video.fps, video.width, video.height) == (Fraction(30000, 1001), 400, 200)
        left_change, right_change = changed(plain, frames_of(tmp_path / "out.mp4")[0])
        assert (right_change > 2 * left_change) == right
        assert max(left_change, right_change) > 1


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_photo_speaks(dub, speech, tmp_path, suffix):
    photo = tmp_path / f"photo{suffix}"
    cv2.imwrite(str(photo), frames_of(CLIP)[0][:127, :, ::-1])
    result = json.loads(dub(photo, speech, "--json", "--quiet").out)
    assert (result["fps"], result["frames"], result["frames_left_alone"]) == (25.0, 25, 0)
    assert frames_of(tmp_path / "out.mp4").shape == (25, 128, 128, 3)


def test_a_video_of_one_frame_speaks(dub, speech, tmp_path):
    with VideoWriter(tmp_path / "one.mp4", 128, 128, 30) as writer:
        writer.write(frames_of(CLIP)[:1])
    result = json.loads(dub(tmp_path / "one.mp4", speech, "--json", "--quiet").out)
    assert (result["fps"], result["frames"]) == (30.0, 30)


@pytest.mark.parametrize("samples", [np.zeros(8000, np.float32), np.ones(1, np.float32), np.full(500, 2.0, np.float32)])
def test_silence_one_sample_and_clipping_make_a_video(dub, wav, tmp_path, samples):
    ended = dub(CLIP, wav("odd.wav", samples), "--json", "--quiet", "--texture", "0")
    assert ended.status == 0
    assert json.loads(ended.out)["frames"] == len(frames_of(tmp_path / "out.mp4")) == -(-len(samples) * 25 // 16000)


@pytest.mark.parametrize("missing", ["sovqae", "gate"])
def test_models_without_texture_or_gate(dub, speech, tmp_path, missing):
    model = save_small_ladtalk(tmp_path / "part.safetensors", missing)
    result = json.loads(dub(CLIP, speech, "--model", model, "--duration", "0.2", "--json", "--quiet").out)
    assert result["frames"] == 5
    assert (result["texture"] is None) == (missing == "sovqae")


def test_texture_of_one_persons_own(dub, speech, tmp_path):
    model = save_small_ladtalk(tmp_path / "speech.safetensors", "sovqae")
    own = save_small_ladtalk(tmp_path / "own.safetensors", "wav2lip", "gate")
    flags = ("--model", model, "--sovqae", own, "--duration", "0.2", "--json", "--quiet")
    assert json.loads(dub(CLIP, speech, *flags).out)["texture"] is not None


def test_ladtalk_by_another_ear(dub, speech, tmp_path):
    model = save_small_ladtalk(tmp_path / "listening.safetensors", "sovqae", config=LISTENING)
    ear = save_small_whisper(tmp_path / "whisper.safetensors", load_acoustic(model))
    flags = ("--model", model, "--duration", "0.2", "--json", "--quiet")
    shown = []
    for more in ((), ("--ear", ear)):
        assert json.loads(dub(CLIP, speech, *flags, *more).out)["frames"] == 5
        shown.append(frames_of(tmp_path / "out.mp4"))
    assert (shown[0] != shown[1]).any()
    deaf = save_small_ladtalk(tmp_path / "deaf.safetensors", "sovqae")
    assert "hears no acoustic features" in dub(CLIP, speech, "--model", deaf, "--ear", ear).err


def test_landmark_diffusion(dub, speech, small_landmark_diffusion, tmp_path):
    def made(*flags):
        model = ("--system", "landmark-diffusion", "--model", small_landmark_diffusion, "--duration", "0.2")
        result = json.loads(dub(CLIP, speech, *model, *flags, "--json", "--quiet").out)
        return result, frames_of(tmp_path / "out.mp4")

    plain, frames = made()
    of_ladtalk = json.loads(dub(CLIP, speech, "--duration", "0.2", "--json", "--quiet").out)
    assert plain.keys() | {"seconds_texture"} == of_ladtalk.keys()
    assert (plain["frames"], plain["texture"], plain["model"]) == (5, None, "landmarks")
    assert np.array_equal(made()[1], frames)
    ear = save_small_whisper(tmp_path / "whisper.safetensors", load_acoustic(small_landmark_diffusion))
    for flags in (("--seed", "3"), ("--steps", "1"), ("--strength", "0"), ("--guidance", "2.5"), ("--ear", ear)):
        assert (made(*flags)[1] != frames).any(), flags


def test_dae_talker_by_hidden_states_of_another_program(dub, speech, tmp_path):
    model, heard = save_small_dubber(tmp_path / "dubber.safetensors"), tmp_path / "heard.npy"
    states = np.random.default_rng(0).normal(size=(LAYERS, 49, FEATURES)).astype(np.float32)
    np.save(heard, states)
    flags = ("--system", "dae-talker", "--model", model, "--hubert", heard)
    result = json.loads(dub(CLIP, speech, *flags, "--steps", "1", "--json", "--quiet").out)
    assert (result["frames"], result["texture"], result["model"]) == (25, None, "dubber")
    shown = frames_of(tmp_path / "out.mp4")
    assert (shown[:, 100:, 50:80] != frames_of(CLIP)[:25, 100:, 50:80]).any()
    np.save(heard, states[:2])
    assert "gave 2 hidden states, this model reads 3" in dub(CLIP, speech, *flags).err
    assert "guidance" in dub(CLIP, speech, *flags, "--guidance", "2").err


def test_landmark_diffusion_with_ladtalks_texture(dub, speech, small_ladtalk, small_landmark_diffusion):
    flags = (
        "--system",
        "landmark-diffusion",
        "--model",
        small_landmark_diffusion,
        "--sovqae",
        small_ladtalk,
        "--duration",
        "0.2",
    )
    assert 0 <= json.loads(dub(CLIP, speech, *flags, "--json", "--quiet").out)["texture"] <= 1
    result = json.loads(dub(CLIP, speech, *flags, "--texture", "0.4", "--json", "--quiet").out)
    assert (result["texture"], result["frames"]) == (0.4, 5)


def test_the_sound_of_a_video_will_do(dub, tmp_path):
    sound = audio_source(load_audio(CLIP.with_suffix(".flac")))
    with VideoWriter(tmp_path / "talk.mp4", 128, 128, 25, sound) as writer:
        writer.write(frames_of(CLIP))
    result = json.loads(dub(tmp_path / "talk.mp4", tmp_path / "talk.mp4", "--json", "--quiet", "--texture", "0").out)
    assert (result["frames"], result["seconds_audio"]) == (FRAMES, 1.2)


def cut_off(path: Path, share: float) -> Path:
    """The fixture with its index in front, broken off."""
    frames = np.concatenate([frames_of(CLIP)] * 3)
    with VideoWriter(path, 128, 128, 25, crf=1) as writer:
        writer.write(frames)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    return path


@pytest.mark.parametrize("length", ["bounce", "once"])
def test_a_video_that_breaks_off_is_played_as_far_as_it_goes(dub, wav, tmp_path, caplog, length):
    broken = cut_off(tmp_path / "broken.mp4", 0.7)
    noise = np.random.default_rng(0).normal(0, 0.1, 16000 * 4).astype(np.float32)
    ended = dub(broken, wav("noise.wav", noise), "--length", length, "--json", "--texture", "0")
    assert ended.status == 0
    frames = json.loads(ended.out)["frames"]
    assert frames == 100 if length == "bounce" else 40 < frames < 90
    assert "broken.mp4 says that it has 90 frames, " in caplog.text


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_stop_leaves_nothing_behind(program, wav, small_ladtalk, tmp_path):
    (tmp_path / "out.mp4").write_bytes(b"older")
    long = wav("long.wav", np.zeros(8000 * 600, np.int16), 8000)
    flags = ("--model", small_ladtalk, "--device", "cpu", "--detector", "bundled", "--texture", "0")
    # A shell that starts the tests in the background has Ctrl-C ignored, and programs inherit that.
    heeding = {"preexec_fn": lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)}
    process = program("dub", CLIP, long, "-o", tmp_path / "out.mp4", *flags, **heeding)
    until = time.monotonic() + 300
    while not [part for part in tmp_path.rglob("*.part/*.mp4") if part.stat().st_size > 0]:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < until
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert (tmp_path / "out.mp4").read_bytes() == b"older"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.wav", "out.mp4"]


def test_a_films_own_sound_begins_with_its_first_frame(tmp_path):
    """The sound of this film begins 0.4 s before its pictures; given as the new sound, it keeps in step with them."""
    path = tmp_path / "late.mkv"
    with av.open(str(path), "w") as container:
        picture = container.add_stream("mpeg4", rate=25, width=16, height=16, pix_fmt="yuv420p")
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        for k in range(15):
            frame = av.VideoFrame(16, 16, "yuv420p")
            frame.pts, frame.time_base = 10 + k, Fraction(1, 25)
            container.mux(picture.encode(frame))
        sound = av.AudioFrame.from_ndarray(np.arange(8000, dtype=np.int16)[None], format="s16", layout="mono")
        sound.sample_rate, sound.pts = 8000, 0
        container.mux([*picture.encode(None), *stream.encode(sound)])
    film = open_film(path)
    origin = own_origin(film, str(path))
    assert origin == Fraction(2, 5)
    assert next(open_audio(path, origin=origin).blocks())[0, 0] == 3200 / 2**15
    assert own_origin(film, str(CLIP)) is None
    assert own_origin(film, str(tmp_path / "nowhere.wav")) is None
