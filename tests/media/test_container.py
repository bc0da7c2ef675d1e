"""Files are opened by any name, and nothing but the file itself is read."""

import os
import shutil
import wave
from pathlib import Path

import av
import numpy as np
import pytest

from talkface_core.errors import InputError
from talkface_core.media.audio import open_audio
from talkface_core.media.container import open_input
from talkface_core.media.video_reader import VideoReader
from talkface_core.media.video_writer import VideoWriter

NAMES = [
    "take:1.mp4",
    "12:30 talk.mp4",
    "-lead.mp4",
    "a%03d.mp4",
    "file:x.mp4",
    "http:x.mp4",
    "new\nline.mp4",
    b"na\xffme.mp4",
]


@pytest.fixture
def film(tmp_path: Path) -> Path:
    path = tmp_path / "film.mp4"
    with VideoWriter(path, 64, 48, 25) as writer:
        writer.write(np.full((5, 48, 64, 3), 90, np.uint8))
    return path


@pytest.mark.parametrize("name", NAMES)
def test_any_name_is_a_name(film, monkeypatch, name):
    monkeypatch.chdir(film.parent)
    name = os.fsdecode(name)
    shutil.copy(film, name)
    assert sum(map(len, VideoReader(name).chunks())) == 5
    with VideoWriter(name, 64, 48, 25) as writer:
        writer.write(np.full((3, 48, 64, 3), 90, np.uint8))
    assert sum(map(len, VideoReader(name).chunks())) == 3


def test_sound_by_any_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with wave.open("plain.wav", "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(2 * 8000))
    shutil.copy("plain.wav", "voice:2.wav")
    assert open_audio("voice:2.wav").num_samples() == 8000


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("x.m3u8", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{film}\n#EXT-X-ENDLIST\n"),
        ("x.ts", "#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{film}\n#EXT-X-ENDLIST\n"),
        ("x.ffconcat", "ffconcat version 1.0\nfile film.mp4\n"),
        ("x.mp4", "ffconcat version 1.0\nfile film.mp4\n"),
    ],
)
def test_playlists_and_scripts_are_refused(film, name, text):
    path = film.with_name(name)
    path.write_text(text.format(film=film))
    for what in ("video", "audio"):
        with pytest.raises(InputError, match=rf"{name} cannot be read as {what}"):
            open_input(path, what)


def test_patterns_of_names_are_names(tmp_path):
    with pytest.raises(InputError, match=r"a%03d\.png does not exist"):
        open_input(tmp_path / "a%03d.png", "video")


def test_what_is_no_file_is_said(tmp_path):
    with pytest.raises(InputError, match="is a folder; give one video file in it"):
        open_input(tmp_path, "video")
    with pytest.raises(InputError, match=r"audio file .*none\.wav does not exist"):
        open_input(tmp_path / "none.wav", "audio")
    with pytest.raises(InputError, match="does not exist"):
        open_input("nul\0.wav", "audio")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="can be read only once"):
        open_input(tmp_path / "pipe", "audio")


def test_titles_in_old_encodings_are_no_obstacle(tmp_path):
    path = tmp_path / "a.mp3"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Caf?"
        stream = container.add_stream("mp3", rate=16000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        container.mux([*stream.encode(frame), *stream.encode(None)])
    path.write_bytes(path.read_bytes().replace(b"Caf?", b"Caf\xe9"))
    assert open_audio(path).num_samples() >= 16000
