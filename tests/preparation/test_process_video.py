"""One film to clips: exact in time and place, read by the recipes' data set, nothing half-written, all seconds told."""

import json
from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
import torch

from talkface_core.datasets.clips import ClipSet
from talkface_core.media.audio import analysis_audio, audio_source
from talkface_core.media.timebase import frame_count
from talkface_core.media.video_writer import VideoWriter
from talkface_core.preparation.cut import Tools
from talkface_core.preparation.process_video import process_video
from talkface_core.preparation.rules import Rules
from talkface_core.preparation.source_video import SourceVideo

from .conftest import RATE, KnownFaces, numbered, voice

RULES = Rules(size=128, shortest=1.0, longest=4.0)


def whole(report: dict) -> None:
    """The seconds of a report add up."""
    assert report["taken"] + sum(report["dropped"].values()) == pytest.approx(report["seconds"])
    assert report["taken"] == pytest.approx(sum(clip["seconds"] for clip in report["clips"]))


def test_a_film_becomes_clips_that_the_data_set_reads(film, tmp_path):
    path, detector = film(frames=75, sound=np.concatenate([np.zeros(RATE, np.float32), voice(2)]))
    report = process_video(SourceVideo.of(path), tmp_path / "set", RULES, Tools(detector))
    whole(report)
    assert report["film"] == "film.mp4"
    assert (report["seconds"], report["taken"], report["dropped"]) == (3.0, 3.0, {})
    clips = ClipSet.open(tmp_path / "set" / "train")
    (clip,) = clips.clips
    assert (clip.width, clip.height, clip.fps, clip.frames) == (128, 128, 25, 75)
    assert clip.name == report["clips"][0]["name"]
    assert clip.sound.suffix == ".flac"
    wave = analysis_audio(clip.audio())
    assert (len(wave), frame_count(len(wave), 16000, 25)) == (75 * 640, 75)
    truth = clip.truth()
    assert truth["landmarks"].shape == (75, 68, 2)
    assert truth["valid"].all()
    assert not truth["speech"][:22].any()
    assert truth["speech"][28:].mean() > 0.9
    assert truth["meta"]["start"] == 0
    assert sorted(p.name for p in (tmp_path / "set").iterdir()) == ["sheets", "train"]
    assert len(list((tmp_path / "set" / "train").iterdir())) == 3


def test_landmarks_lie_where_the_face_is(film, tmp_path, talking):
    """The crop finds the fixture's own frame again, so its landmarks must be those of the fixture's truth."""
    path, detector = film(frames=50, where=lambda k: {"x": 60 + k // 2, "y": 40})
    process_video(SourceVideo.of(path), tmp_path / "set", RULES, Tools(detector))
    (clip,) = ClipSet.open(tmp_path / "set" / "train").clips
    truth = clip.truth()
    matrix = np.array(truth["meta"]["matrix"])
    for k in (5, 20, 40):
        true = talking.landmarks[talking.at(k)] * 1.5 + [60 + k // 2, 40]
        assert np.abs(truth["landmarks"][k] - (true @ matrix[:, :2].T + matrix[:, 2])).max() < 1.0
    frames = np.stack(list(clip.decode()))
    scale = matrix[0, 0]
    expected = talking.frames[talking.at(20)].astype(float).mean()
    x0, y0 = ((np.array([70, 40]) * scale) + matrix[:, 2]).round().astype(int)
    part = frames[20][max(y0, 0) : y0 + round(192 * scale), max(x0, 0) : x0 + round(192 * scale)]
    assert part.mean() == pytest.approx(expected, abs=8)


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30000, 1001), Fraction(50), Fraction(20)])
def test_light_and_sound_stay_in_step_at_any_rate(film, tmp_path, fps):
    """The face goes bright for 1/25 s about a click; both are found at the same time of the clip."""
    frames, moments = round(4 * float(fps)), [1.0, 2.04, 3.1]
    wave = 0.02 * voice(frames / float(fps))
    lasts = max(round(fps / 25), 1)  # frames of the film
    begins = [int(m * fps) for m in moments]
    for k in begins:
        wave[round((k + lasts / 2) / float(fps) * RATE)] = 1.0

    def flash(picture, k):
        if any(begin <= k < begin + lasts for begin in begins):
            picture[40:, :] = np.clip(picture[40:, :].astype(int) + 60, 0, 255).astype(np.uint8)
        return picture

    path, detector = film(frames=frames, fps=fps, sound=wave, change=flash)
    report = process_video(SourceVideo.of(path), tmp_path / "set", RULES, Tools(detector))
    whole(report)
    (clip,) = ClipSet.open(tmp_path / "set" / "train").clips
    assert clip.frames == pytest.approx(100, abs=1)
    light = np.stack(list(clip.decode())).mean((1, 2, 3))
    samples = analysis_audio(clip.audio()).abs().numpy()
    clicks = [int(np.argmax(samples[round((m - 0.2) * 16000) : round((m + 0.2) * 16000)])) for m in moments]
    for moment, click in zip(moments, clicks, strict=True):
        at = (click + round((moment - 0.2) * 16000)) / 16000
        first = round((moment - 0.2) * 25)
        flashed = first + int(np.argmax(light[first : first + 10]))
        # The click is in the middle of the flash, so the middle of the clip's frame lies within half of it.
        assert abs((flashed + 0.5) / 25 - at) <= lasts / 2 / float(fps) + 1e-3


def test_scenes_gaps_and_turns_are_told_apart(film, tmp_path):
    def where(k: int) -> dict:
        return {"scene": k >= 90, "shown": not 130 <= k < 150}

    path, detector = film(frames=200, where=where)
    report = process_video(SourceVideo.of(path), tmp_path / "set", RULES, Tools(detector))
    whole(report)
    assert report["dropped"] == {"no face": 0.8}
    assert [(clip["start"], clip["seconds"]) for clip in report["clips"]] == [(0, 3.6), (3.6, 1.6), (6.0, 2.0)]
    small = process_video(SourceVideo.of(path), tmp_path / "other", replace(RULES, min_face=200.0), Tools(detector))
    whole(small)
    assert small["clips"] == []
    assert small["dropped"]["small face"] == pytest.approx(7.2)
    assert not (tmp_path / "other" / "train").exists()


def test_a_bad_clip_leaves_nothing_behind(film, tmp_path):
    path, detector = film(frames=50, change=lambda picture, k: numbered(picture // 6, k))
    report = process_video(SourceVideo.of(path), tmp_path / "set", RULES, Tools(detector))
    whole(report)
    assert report["dropped"] == {"dark": 2.0}
    assert not [p for p in (tmp_path / "set").rglob("*") if p.is_file()]


def test_films_without_use_are_told_why(film, tmp_path):
    path, detector = film("mute.mp4", frames=30, sound=None)
    report = process_video(SourceVideo.of(path), tmp_path / "set", RULES, Tools(detector))
    assert (report["problem"], report["dropped"], report["clips"]) == ("it has no sound", {"no sound": 1.2}, [])
    path, detector = film("slow.mp4", frames=30, fps=10)
    report = process_video(SourceVideo.of(path), tmp_path / "set", RULES, Tools(detector))
    assert report["problem"] == "it has 10 frames a second; lips need 15"
    assert report["dropped"] == {"low rate": 3.0}
    (tmp_path / "words.mp4").write_bytes(b"words" * 100)
    report = process_video(SourceVideo.of(tmp_path / "words.mp4"), tmp_path / "set", RULES, Tools(detector))
    assert "words.mp4 cannot be read as video" in report["problem"]
    path, _ = film("empty.mp4", frames=40, where=lambda k: {"shown": False})
    report = process_video(SourceVideo.of(path), tmp_path / "set", RULES, Tools(KnownFaces({})))
    assert "problem" not in report
    assert report["dropped"] == {"no face": 1.6}


def test_sound_that_ends_early_ends_the_clip(film, tmp_path):
    path, detector = film(frames=100, sound=voice(2.5))
    report = process_video(SourceVideo.of(path), tmp_path / "set", RULES, Tools(detector))
    whole(report)
    # AAC may fill its last packet with silence.
    assert report["dropped"]["no sound"] == pytest.approx(1.5, abs=0.08)


def test_an_error_in_the_middle_leaves_nothing_and_a_later_run_mends_it(film, tmp_path, monkeypatch):
    path, detector = film(frames=150)
    folder = tmp_path / "set"
    rules = replace(RULES, longest=2.0)
    done = []

    def fail(wave, frames, fps, find):
        done.append(frames)
        if len(done) == 2:
            raise RuntimeError("the power went")
        return np.ones(frames, bool)

    with monkeypatch.context() as patch:
        patch.setattr("talkface_core.preparation.cut.speech_frames", fail)
        with pytest.raises(RuntimeError, match="the power went"):
            process_video(SourceVideo.of(path), folder, rules, Tools(detector))
    assert not [p for p in folder.rglob("*") if p.is_file()]
    stale = folder / "train" / f"{SourceVideo.of(path).name}_0099.mp4"
    stale.parent.mkdir(parents=True)
    stale.write_bytes(b"from a run that was killed")
    report = process_video(SourceVideo.of(path), folder, rules, Tools(detector))
    assert not stale.exists()
    assert len(ClipSet.open(folder / "train").clips) == len(report["clips"]) >= 3


def test_sound_that_begins_later_than_the_picture(film, tmp_path):
    """Pictures from 0 s, sound from 1 s of the file's clock on: its first second is not there."""
    path, detector = film("a.mp4", frames=100, sound=None)
    with av.open(str(path)) as source, av.open(str(tmp_path / "late.mkv"), "w") as target:
        video = target.add_stream_from_template(source.streams.video[0])
        audio = target.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = video
                target.mux(packet)
        wave = (voice(3) * 2**15).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, RATE, Fraction(1, RATE)
        for packet in [*audio.encode(frame), *audio.encode(None)]:
            target.mux(packet)
    process_video(SourceVideo.of(tmp_path / "late.mkv"), tmp_path / "set", RULES, Tools(detector))
    (clip,) = ClipSet.open(tmp_path / "set" / "train").clips
    samples = analysis_audio(clip.audio()).numpy()
    assert np.abs(samples[:16000]).max() == 0
    assert np.abs(samples[16000:64000] - voice(3)).max() < 1e-3
    assert json.dumps(clip.truth()["speech"][:22].tolist()) == json.dumps([False] * 22)


def test_the_same_film_by_two_names_has_one_key(film, tmp_path):
    path, _ = film(frames=10)
    (tmp_path / "A copy (1).MP4").write_bytes(path.read_bytes())
    one, two = SourceVideo.of(path), SourceVideo.of(tmp_path / "A copy (1).MP4")
    assert one.key == two.key
    assert two.name == f"A_copy_1-{one.key[:6]}"
    with VideoWriter(
        tmp_path / "other.mp4", 32, 32, 25, audio_source({"waveform": torch.zeros(1, 1, 800), "sample_rate": 8000})
    ) as writer:
        writer.write(np.zeros((3, 32, 32, 3), np.uint8))
    assert SourceVideo.of(tmp_path / "other.mp4").key != one.key
