"""Tracks through frames in chunks, with detectors that know where the faces are drawn."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.faces.choose import FaceChoice
from talkface_core.faces.face import Detector, Face
from talkface_core.faces.readable import HOPELESS
from talkface_core.faces.tracking import CutDetector, track_faces

SIZE = (60, 80)


class Seer(Detector):
    """Finds squares of one brightness: a face is where the picture says so. Counts how often it is asked."""

    name, threshold = "seer", 0.5

    def __init__(self) -> None:
        self.searched = self.followed = 0

    def detect(self, frames):
        self.searched += len(frames)
        return [
            [self._face(np.asarray(f), level) for level in (200, 220) if (np.asarray(f) == level).any()] for f in frames
        ]

    @staticmethod
    def _face(frame, level):
        rows, columns = np.nonzero(frame[..., 0] == level)
        x = np.linspace(columns.min(), columns.max() + 1, 68)
        y = np.linspace(rows.min(), rows.max() + 1, 68)
        return Face.of(np.stack([x, y], 1), 0.9)


class FollowingSeer(Seer):
    follows = True

    def follow(self, frames, landmarks):
        self.followed += len(frames)
        x, y = landmarks.mean(0).tolist()
        faces = []
        for frame in frames:
            near = [
                f for f in Seer.detect(self, frame[None])[0] if (f.landmarks.mean(0) - torch.tensor([x, y])).norm() < 20
            ]
            self.searched -= 1
            faces.append(near[0] if near else Face.of(landmarks, 0.1))
        return faces


def film(*places, second=None, background=50) -> np.ndarray:
    """Frames with a face of brightness 200 at each place (x, y), None for none; a larger one of 220 at `second`."""
    frames = np.full((len(places), *SIZE, 3), background, np.uint8)
    for frame, place in zip(frames, places, strict=True):
        if place is not None:
            x, y = place
            frame[y : y + 12, x : x + 10] = 200
        if second is not None:
            x, y = second
            frame[y : y + 20, x : x + 18] = 220
    return frames


def middles(track) -> list[float]:
    return [round(float(x), 1) for x in track.landmarks[:, :, 0].mean(1)]


@pytest.mark.parametrize("seer", [Seer, FollowingSeer])
@pytest.mark.parametrize("size", [1, 4, 30])
def test_a_face_is_followed_whatever_the_chunks(seer, size):
    frames = film(*[(5 + k, 10) for k in range(30)])
    progress, detector = [], seer()

    def observe(first, chunk, landmarks, valid):
        assert np.array_equal(chunk, frames[first : first + size])
        assert valid.all()
        progress.append(landmarks)

    track = track_faces([frames[k : k + size] for k in range(0, 30, size)], 25, detector, smoothing=0, observe=observe)
    assert middles(track) == [10 + k for k in range(30)]
    assert track.valid.all()
    assert track.size == SIZE
    assert torch.equal(torch.cat(progress), track.landmarks)
    assert detector.searched == (30 if seer is Seer else 1)


@pytest.mark.parametrize("seer", [Seer, FollowingSeer])
def test_identity_is_kept_when_a_larger_face_is_there(seer):
    frames = film(*[(5 + k, 10) for k in range(20)], second=(50, 30))
    assert middles(track_faces([frames], 25, seer(), FaceChoice("leftmost"), 0)) == [10 + k for k in range(20)]
    assert middles(track_faces([frames], 25, seer(), smoothing=0)) == [59] * 20


@pytest.mark.parametrize("seer", [Seer, FollowingSeer])
def test_missing_frames_are_bridged_counted_and_logged_once(seer, caplog):
    places = [(5 + k, 10) if k not in (6, 7, 8) else None for k in range(16)]
    with caplog.at_level(logging.WARNING):
        track = track_faces([film(*places)], 25, seer(), smoothing=0)
    assert middles(track) == [10 + k for k in range(16)]
    assert track.interpolated == 3
    assert [r.getMessage() for r in caplog.records] == [
        "3 of 16 frames show no face that scores 0.5; their landmarks are held from their neighbours"
    ]


class DoubtfulSeer(Seer):
    """Is less and less certain of the lips, the further to the right the face is."""

    def detect(self, frames):
        found = super().detect(frames)
        return [
            [replace(face, certainty=HOPELESS + 0.01 * (30.5 - float(face.landmarks[:, 0].mean()))) for face in faces]
            for faces in found
        ]


def test_mouths_that_cannot_be_read_are_marked_and_logged(caplog):
    frames = film(*[(5 + k, 10) if k != 8 else None for k in range(60)])
    with caplog.at_level(logging.WARNING):
        track = track_faces([frames], 25, DoubtfulSeer(), smoothing=0)
    assert track.readable.tolist() == [True] * 21 + [False] * 39
    assert track.valid.sum() == 59
    assert f"39 of them, below {HOPELESS:g}, are left as they are" in caplog.records[-1].getMessage()
    assert track_faces([frames], 25, Seer(), smoothing=0).readable.all()


def test_another_face_is_not_taken_for_the_one_that_left():
    frames = np.concatenate([film((5, 10), (5, 10), second=(50, 30)), film(None, None, None, second=(50, 30))])
    track = track_faces([frames], 25, FollowingSeer(), FaceChoice("leftmost"), smoothing=0)
    assert track.valid.tolist() == [True, True, False, False, False]
    assert middles(track) == [10] * 5


def test_after_a_second_the_choice_is_made_anew():
    frames = np.concatenate([film((5, 10), second=(50, 30)), film(*[None] * 8, second=(50, 30))])
    track = track_faces([frames], 5, Seer(), FaceChoice("leftmost"), smoothing=0)
    assert track.valid.tolist() == [True, False, False, False, False, False, True, True, True]
    assert middles(track)[-1] == 59


def test_a_cut_starts_anew():
    one = film(*[(5, 10)] * 6, second=(50, 30))
    other = film(*[(60, 40)] * 6, second=(20, 5), background=130)
    for chunks in ([one, other], [np.concatenate([one, other])]):
        track = track_faces(chunks, 25, FollowingSeer(), smoothing=1.0)
        assert track.cuts == (6,)
        assert middles(track) == [59] * 6 + [29] * 6


def test_cuts_are_found_and_motion_is_none():
    rng = np.random.default_rng(0)
    scene = rng.integers(0, 256, (2, 9, 16, 3)).repeat(20, 1).repeat(20, 2).astype(np.uint8)
    cut = CutDetector()
    moving = [np.roll(scene[0], 3 * k, 1) for k in range(10)] + [np.roll(scene[1], 3 * k, 1) for k in range(10)]
    assert [k for k, frame in enumerate(moving) if cut(frame)] == [10]
    fading = CutDetector()
    assert not any(fading(np.full((32, 32, 3), k / 30, np.float32)) for k in range(30))


def test_floats_and_tensors_give_the_same_cuts():
    frames = np.concatenate([film(*[(5, 10)] * 3), film(*[(5, 10)] * 3, background=180)])
    track = track_faces([torch.from_numpy(frames)], 25, Seer(), smoothing=0)
    assert track.cuts == (3,)


def test_a_single_picture_without_a_face_says_what_to_change():
    with pytest.raises(
        InputError, match=r"no face in the picture of 80x60 px scores 0\.5 or more.*the threshold can be lowered"
    ):
        track_faces([film(None)], 1, Seer())
    assert len(track_faces([torch.from_numpy(film((5, 10)))], 1, Seer())) == 1


def test_wrong_footage_is_refused():
    with pytest.raises(InputError, match="any of 3 frames"):
        track_faces([film(None, None, None)], 25, Seer())
    with pytest.raises(InputError, match="the video is empty"):
        track_faces([], 25, Seer())
    with pytest.raises(InputError, match="frame 1 is 40x30 px"):
        track_faces([film((5, 10)), np.zeros((1, 30, 40, 3), np.uint8)], 25, Seer())
    with pytest.raises(InputError, match="face 1 from the left is asked for, but no frame shows more than 1"):
        track_faces([film((5, 10))], 25, Seer(), FaceChoice("index", index=1))
    with pytest.raises(InputError, match="shape"):
        track_faces([np.zeros((4, 4, 3), np.uint8)], 25, Seer())
