"""The clip data set: what is on the disk comes back frame by frame, broken folders are refused."""

import json
import os
import wave
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from talkface_core.datasets.clips import Clip, ClipSet
from talkface_core.errors import InputError


def grey(clip: int, frame: int) -> int:
    return 40 + 60 * clip + 10 * frame


def write_video(path: Path, clip: int, frames: int, size: tuple[int, int] = (32, 32), fps: int = 25) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps, options={"crf": "1"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for k in range(frames):
            picture = np.full((size[1], size[0], 3), grey(clip, k), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())


def write_truth(path: Path, frames: int, **more) -> None:
    landmarks = np.full((frames, 68, 2), 16, np.float16) * np.float16([1, 0.5])
    truth = {"landmarks": landmarks, "mouth_open": np.arange(frames, dtype=np.float16), "names": np.array(["a", "b"])}
    np.savez(path, **{**truth, **more})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two clips, of 5 and 3 frames."""
    folder = tmp_path / "ada" / "train"
    folder.mkdir(parents=True)
    for clip, frames in enumerate((5, 3)):
        write_video(folder / f"c{clip}.mp4", clip, frames)
        phonemes = json.dumps([["sil", "sil", 0.0, 0.1]])
        write_truth(
            folder / f"c{clip}.npz", frames, phonemes=phonemes, attributes="not json {", speech=np.ones(frames, bool)
        )
    return folder


def test_clips_and_indexes(folder: Path) -> None:
    clips = ClipSet.open(folder)
    assert [(clip.name, clip.frames, clip.width, clip.height) for clip in clips.clips] == [
        ("c0", 5, 32, 32),
        ("c1", 3, 32, 32),
    ]
    assert (len(clips), clips.fps, clips.name) == (8, Fraction(25), "ada/train")
    assert clips.starts.tolist() == [0, 5, 8]
    assert clips.clip_of.tolist() == [0] * 5 + [1] * 3
    assert clips.frame_of.tolist() == [0, 1, 2, 3, 4, 0, 1, 2]


def test_a_name_tells_no_place(folder: Path) -> None:
    assert ClipSet.open(folder.rename(folder.with_name("val_other_voices"))).name == "ada/val_other_voices"
    assert ClipSet.open((folder.parent / "val_other_voices").rename(folder.parent / "mine")).name == "mine"


def test_truth(folder: Path) -> None:
    clips = ClipSet.open(folder)
    truth = clips.clips[0].truth()
    assert truth["phonemes"] == [["sil", "sil", 0.0, 0.1]]
    assert truth["attributes"] == "not json {"
    assert truth["mouth_open"].dtype == np.float32
    assert clips.truth("mouth_open").tolist() == [0, 1, 2, 3, 4, 0, 1, 2]
    assert clips.truth("speech").dtype == bool
    assert clips.landmarks.shape == (8, 68, 2)
    assert clips.landmarks[0, 0].tolist() == [0.5, 0.25]
    with pytest.raises(InputError, match="no 'pose' in it"):
        clips.truth("pose")


def test_a_clip_without_truth(folder: Path) -> None:
    (folder / "c1.npz").unlink()
    clips = ClipSet.open(folder)
    assert clips.clips[1].truth_file is None
    with pytest.raises(InputError, match=r"no c1\.npz"):
        clips.truth("mouth_open")


def test_pickled_truth_is_not_loaded(folder: Path) -> None:
    write_truth(folder / "c0.npz", 5, evil=np.array([{"a": 1}], dtype=object))
    with pytest.raises(InputError, match=r"c0\.npz: .*object.*numbers and text alone"):
        ClipSet.open(folder).clips[0].truth()


def test_sound_beside_the_clip_comes_first(folder: Path) -> None:
    load_audio = pytest.importorskip("talkface_core.media.audio")
    assert load_audio
    assert ClipSet.open(folder).clips[0].sound == folder / "c0.mp4"
    with wave.open(str(folder / "c0.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(np.full(3200, 8192, np.int16).tobytes())
    clip = ClipSet.open(folder).clips[0]
    assert clip.sound == folder / "c0.wav"
    audio = clip.audio()
    assert audio["sample_rate"] == 16000
    assert tuple(audio["waveform"].shape) == (1, 1, 3200)
    assert audio["waveform"].mean().item() == pytest.approx(0.25, abs=1e-3)
    (folder / "c0.flac").touch()
    assert ClipSet.open(folder).clips[0].sound == folder / "c0.flac"


def test_frame_cache(folder: Path, tmp_path: Path) -> None:
    cache = ClipSet.open(folder).frame_cache(16, tmp_path / "cache", quiet=True)
    assert isinstance(cache, np.memmap)
    assert (cache.shape, cache.dtype) == ((8, 16, 16, 3), np.uint8)
    wanted = np.array([grey(0, k) for k in range(5)] + [grey(1, k) for k in range(3)])
    assert np.abs(cache.astype(int) - wanted[:, None, None, None]).max() <= 4
    assert not cache.flags.writeable


def test_frame_cache_resizes_by_area(folder: Path, tmp_path: Path, monkeypatch) -> None:
    board = np.indices((32, 32)).sum(0)[..., None].repeat(3, -1) % 2 * np.uint8(200)
    monkeypatch.setattr(Clip, "decode", lambda clip: iter([board.astype(np.uint8)] * clip.frames))
    cache = ClipSet.open(folder).frame_cache(16, tmp_path / "cache", quiet=True)
    assert (np.unique(cache) == [100]).all()


def test_frame_cache_is_built_once_and_again_when_a_clip_changes(folder: Path, tmp_path: Path, monkeypatch) -> None:
    built, cache_dir = [], tmp_path / "cache"
    decode = Clip.decode
    monkeypatch.setattr(Clip, "decode", lambda clip: (built.append(clip.name), decode(clip))[1])
    for _ in range(2):
        ClipSet.open(folder).frame_cache(16, cache_dir, quiet=True)
    assert len(built) == 2
    write_video(folder / "c1.mp4", 2, 3)
    cache = ClipSet.open(folder).frame_cache(16, cache_dir, quiet=True)
    assert len(built) == 4
    assert abs(int(cache[5, 0, 0, 0]) - grey(2, 0)) <= 4
    os.utime(folder / "c0.mp4", (1, 1))
    ClipSet.open(folder).frame_cache(16, cache_dir, quiet=True)
    assert len(built) == 6
    assert len(list(cache_dir.iterdir())) == 1
    ClipSet.open(folder).frame_cache(8, cache_dir, quiet=True)
    assert len(list(cache_dir.iterdir())) == 2


def test_a_cut_off_clip_leaves_no_cache(folder: Path, tmp_path: Path) -> None:
    clips = ClipSet.open(folder)
    object.__setattr__(clips.clips[1], "frames", 4)
    with pytest.raises(InputError, match=r"c1\.mp4: 3 frames decode, the header says 4"):
        clips.frame_cache(16, tmp_path / "cache", quiet=True)
    assert list((tmp_path / "cache").iterdir()) == []


def refused(folder: Path, match: str) -> None:
    with pytest.raises(InputError, match=match) as caught:
        ClipSet.open(folder)
    assert "\n" not in str(caught.value)


def test_wrong_folders(folder: Path, tmp_path: Path) -> None:
    refused(tmp_path / "gone", "no such folder")
    refused(folder.parent, r"no \.mp4 clip; its folders train do")
    (tmp_path / "empty").mkdir()
    refused(tmp_path / "empty", r"no \.mp4 clip")


def test_truth_of_another_length(folder: Path) -> None:
    write_truth(folder / "c1.npz", 4)
    refused(folder, r"c1\.npz: 'landmarks' has 4 frames, c1\.mp4 has 3")


def test_damaged_files(folder: Path) -> None:
    (folder / "c1.npz").write_bytes(b"PK nothing")
    refused(folder, r"c1\.npz: cannot be read")
    (folder / "c0.mp4").write_bytes(b"nothing")
    refused(folder, r"c0\.mp4 cannot be read as video")


def test_different_sizes_and_rates(folder: Path) -> None:
    write_video(folder / "c1.mp4", 1, 3, size=(48, 32))
    refused(folder, r"c1\.mp4: 48x32 pixels, but c0\.mp4 has 32x32")
    write_video(folder / "c1.mp4", 1, 3, fps=30)
    refused(folder, r"c1\.mp4: 30\.0 frames per second, but c0\.mp4 has 25\.0")


def test_frames_that_cannot_shrink_to_a_square(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="32x32 pixels cannot become 64x64"):
        ClipSet.open(folder).frame_cache(64, tmp_path)
    for clip, frames in enumerate((5, 3)):
        write_video(folder / f"c{clip}.mp4", clip, frames, size=(48, 32))
    with pytest.raises(InputError, match="48x32 pixels cannot become 16x16"):
        ClipSet.open(folder).frame_cache(16, tmp_path)


@pytest.mark.parametrize("name", ["landmarks", "pose", "mouth_open"])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e300])
def test_numbers_that_no_frame_can_have_are_told_when_they_are_read(folder: Path, name: str, value: float) -> None:
    """And not when a checkpoint is saved, hours later."""
    shape = {"landmarks": (5, 68, 2), "pose": (5, 3), "mouth_open": (5,)}[name]
    write_truth(folder / "c0.npz", 5, **{name: np.full(shape, value)})
    with pytest.raises(InputError, match=rf"c0\.npz: '{name}' holds NaN or numbers beyond"):
        ClipSet.open(folder).clips[0].truth()


def test_truth_of_another_shape(folder: Path) -> None:
    write_truth(folder / "c0.npz", 5, pose=np.zeros((5, 4)))
    with pytest.raises(InputError, match=r"c0\.npz: 'pose' is \[5, 4\]; it is \[frames, 3\]"):
        ClipSet.open(folder)


def test_an_encrypted_truth(folder: Path) -> None:
    data = bytearray((folder / "c0.npz").read_bytes())
    at = -1
    while (at := data.find(b"PK\x01\x02", at + 1)) >= 0:
        data[at + 8] |= 1
    (folder / "c0.npz").write_bytes(data)
    with pytest.raises(InputError, match=r"c0\.npz: cannot be read .*encrypted"):
        ClipSet.open(folder)
