"""The sync score, by an expert whose vectors are known: a shifted sound is found at its shift, on the right side."""

import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.speech.mel_windows import mel_windows
from talkface_core.sync.score import cosines, sync_score, vectors
from talkface_core.sync.syncnet import SyncNet, SyncNetConfig


class Reads(torch.nn.Module):
    """Says what it was shown: the grey of the third frame, and the middle of the window, as points on a circle."""

    def __init__(self):
        super().__init__()
        self.config = SyncNetConfig()
        self.one = torch.nn.Parameter(torch.ones(()))

    def faces(self, faces):
        return self._circle(255 * faces[:, 2].mean((1, 2, 3)))

    def speech(self, windows):
        return self._circle(windows[:, 0, 0, 7:9].mean(1) * 10)

    @staticmethod
    def _circle(value):
        return torch.stack([torch.cos(value / 20), torch.sin(value / 20)], 1)


def clip(frames: int, lag: int):
    """Frame k is as grey as k; at its time, `lag` frames later, the mel says k / 10."""
    crops = torch.arange(frames, dtype=torch.uint8)[:, None, None, None].expand(-1, 96, 96, 3)
    seconds = torch.arange(int(3.2 * (frames + 20))) / 80
    mel = ((seconds * 25 - 0.5 - lag) / 10)[:, None].expand(-1, 80)
    return crops, mel


@pytest.mark.parametrize("lag", [-6, 0, 3, 15])
def test_the_lag_of_the_sound_is_found(lag):
    score = sync_score(Reads(), *clip(60, lag))
    assert score.offset == lag
    assert score.curve.shape == (31,)
    assert score.distance == pytest.approx(score.curve.min())
    assert score.distance < 0.2
    assert score.confidence == pytest.approx(float(torch.from_numpy(score.curve).median()) - score.distance)


def test_vectors_and_cosines_belong_together():
    torch.manual_seed(0)
    net = SyncNet().eval()
    crops, mel = torch.randint(0, 256, (9, 96, 96, 3), dtype=torch.uint8), torch.randn(40, 80)
    faces, sounds = vectors(net, crops, mel, 3)
    assert (faces.shape, sounds.shape) == ((5, 160), (11, 160))
    table = cosines(faces, sounds)
    assert table.shape == (5, 7)
    halves = crops[2:7, 48:].permute(0, 3, 1, 2)[None].float() / 255
    with torch.no_grad():
        a, b = net(halves, mel_windows(mel, [4 + 2], 25))
    torch.testing.assert_close(table[2, 3 + 2], (a * b).sum(), atol=1e-5, rtol=1e-4)


def test_what_cannot_be_scored():
    net, mel = SyncNet(), torch.zeros(40, 80)
    with pytest.raises(InputError, match="5 or more"):
        sync_score(net, torch.zeros(4, 96, 96, 3, dtype=torch.uint8), mel)
    with pytest.raises(InputError, match=r"\[96, 96, 3\]"):
        sync_score(net, torch.zeros(8, 64, 64, 3, dtype=torch.uint8), mel)
