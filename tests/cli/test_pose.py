"""`--pose`: constants, keyframes in every notation, rows per frame; and what is no pose."""

import json
import time
from fractions import Fraction

import numpy as np
import pytest
import torch

from talkface_core.cli.pose import read_pose
from talkface_core.errors import InputError

FPS, OWN = Fraction(10), Fraction(25)
RAMP = [(0.5, 0.0, 0.0, 0.0), (1.5, 10.0, -5.0, 2.0)]


def read(text, frames=20, fps=FPS):
    return read_pose(str(text), OWN).at(frames, fps)


@pytest.mark.parametrize("text", ["-15,3.5,0", " -15, 3.5, 0 ", "-15 3.5 0"])
def test_one_pose_for_all(text):
    torch.testing.assert_close(read(text), torch.tensor([-15.0, 3.5, 0.0]).expand(20, 3))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.txt", "# a turn\n0.5: 0, 0, 0\n\n1.5: 10, -5, 2  # right\n"),
        ("a.csv", "seconds,yaw,pitch,roll\n0.5,0,0,0\n1.5,10,-5,2\n"),
        ("b.csv", "1.5;10;-5;2\n0.5;0;0;0\n"),
        ("a.json", json.dumps({"0.5": [0, 0, 0], "1.5": [10, -5, 2]})),
        ("b.json", json.dumps([[0.5, 0, 0, 0], [1.5, 10, -5, 2]])),
        ("c.json", json.dumps([{"seconds": s, "yaw": y, "pitch": p, "roll": r} for s, y, p, r in RAMP])),
    ],
)
def test_keyframes_are_interpolated_at_the_centres_of_the_frames(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    track = read(tmp_path / name)
    assert track.shape == (20, 3)
    share = ((torch.arange(20) + 0.5) / 10 - 0.5).clamp(0, 1)
    torch.testing.assert_close(track, share[:, None] * torch.tensor([10.0, -5.0, 2.0]))


def test_rows_per_frame_are_brought_to_the_videos_rate(tmp_path):
    rows = np.stack([np.arange(50), -np.arange(50), np.zeros(50)], 1)
    np.save(tmp_path / "track.npy", rows)
    torch.testing.assert_close(read(tmp_path / "track.npy", 50, OWN), torch.from_numpy(rows).float())
    slower = read(tmp_path / "track.npy", 25, FPS)  # each frame shows the middle of 2.5 rows
    torch.testing.assert_close(slower[:20, 0], 2.5 * torch.arange(20) + 0.75)
    torch.testing.assert_close(slower[20:, 0], torch.full((5,), 49.0))  # held after the last row


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "0: 1, 2\n", r"line 1: '0: 1, 2' is not `seconds: yaw, pitch, roll`"),
        ("a.txt", "0: 1, 2, 3\nyaw\n", "line 2"),
        ("a.txt", "0: nan, 0, 0\n", "holds NaN"),
        ("a.txt", "0: 0, 0, 0\n1: 0, inf, 0\n", "at 1 s.*holds NaN or infinity"),
        ("a.txt", "nan: 0, 0, 0\n", "holds NaN"),
        ("a.txt", "0: 91, 0, 0\n", "beyond 90 degrees"),
        ("a.txt", "1: 0,0,0\n1: 1,0,0\n", "two poses at 1 s"),
        ("a.txt", "# nothing\n", "holds no keyframe"),
        ("a.txt", b"\xff\xfe\x00\x01", "is no text"),
        ("a.json", "{", "does not read as"),
        ("a.json", '{"0": [1, 2]}', "does not read as"),
        ("a.json", '[{"seconds": 0, "yaw": 1}]', "does not read as"),
        ("a.json", "3", "does not read as"),
        ("a.json", "[" * 100_000, "nested"),
        ("a.json", "[[" + "9" * 400 + ",0,0,0]]", "does not read as"),
        ("a.json", "[[" + "9" * 5000 + ",0,0,0]]", "does not read as"),
        ("a.json", "[[NaN,0,0,0]]", "does not read as"),
        ("a.npy", b"nothing", "cannot be read.*numpy.save"),
    ],
)
def test_what_is_no_pose_is_told(tmp_path, name, content, message):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=message):
        read(path)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.zeros((5, 2)), r"\[5, 2\]; give numbers \[frames, 3\]"),
        (np.zeros((0, 3)), "give numbers"),
        (np.full((4, 3), np.nan), "holds NaN"),
        (np.array([["a", "b", "c"]]), "give numbers"),
    ],
)
def test_wrong_arrays_are_told(tmp_path, rows, message):
    np.save(tmp_path / "a.npy", rows)
    with pytest.raises(InputError, match=message):
        read(tmp_path / "a.npy")


def test_a_pickled_array_is_never_opened(tmp_path):
    np.save(tmp_path / "a.npy", np.array([print], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"cannot be read.*object"):
        read(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("left", "neither yaw,pitch,roll in degrees, such as 15,0,0, nor a file"),
        ("1,2", "has 2 numbers; give three"),
        ("1,2,3,4", "has 4 numbers"),
        ("nan,0,0", "holds NaN"),
        ("0,100,0", "beyond 90 degrees"),
        ("missing.csv", "nor a file"),
    ],
)
def test_wrong_texts_are_told(text, message):
    with pytest.raises(InputError, match=message):
        read(text)


def test_an_archive_under_the_name_of_an_array(tmp_path):
    np.savez(tmp_path / "a.npz", pose=np.zeros((3, 3)))
    path = (tmp_path / "a.npz").rename(tmp_path / "a.npy")
    with pytest.raises(InputError, match="cannot be read"):
        read(path)


def test_hours_of_keyframes_are_read_at_once(tmp_path):
    (tmp_path / "a.csv").write_text("".join(f"{k / 25}, {k % 90}, 0, 0\n" for k in range(200_000)))
    began = time.process_time()
    track = read(tmp_path / "a.csv", 1000, OWN)
    assert time.process_time() - began < 3
    torch.testing.assert_close(track[:80, 0], torch.arange(80) + 0.5)
