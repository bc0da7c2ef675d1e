"""What every detector offers: one that only searches still follows a face."""

import numpy as np
import torch

from talkface_core.faces.face import Detector, Face


class Searcher(Detector):
    """Finds the faces that it is told of, frame by frame."""

    name, threshold = "searcher", 0.5

    def __init__(self, *frames: list[Face]) -> None:
        self.frames = frames

    def detect(self, frames):
        return [list(faces) for _, faces in zip(frames, self.frames, strict=True)]


def test_a_detector_that_only_searches_follows_by_overlap(face):
    points = 20 * face.float()
    small, large = Face.of(points + 2, 0.6), Face.of(3 * points + 100, 0.9)
    detector = Searcher([large, small], [large], [])
    followed = detector.follow(np.zeros((3, 200, 200, 3), np.uint8), points)
    assert followed[0] is small
    assert [one.score for one in followed] == [0.6, 0.0, 0.0]
    assert torch.equal(followed[1].landmarks, points)
    apart = detector.follow(np.zeros((3, 200, 200, 3), np.uint8), torch.stack([points, 3 * points + 101, points]))
    assert [one.score for one in apart] == [0.6, 0.9, 0.0]
    assert not detector.follows
