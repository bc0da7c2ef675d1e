"""Aligned faces with their sound: what belongs together comes together, and is read once."""

from pathlib import Path

import numpy as np
import pytest
import torch

from talkface_core.datasets.aligned_faces import face_crops
from talkface_core.datasets.clips import ClipSet
from talkface_core.datasets.talking_faces import talking_faces
from talkface_core.media.audio import analysis_audio
from talkface_core.speech.features import LogMel

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(scope="module")
def clips():
    return ClipSet.open(FIXTURES)


def test_faces_that_talk(clips, tmp_path, monkeypatch):
    crops = face_crops(clips, 64, tmp_path, pad=8, quiet=True)
    data = talking_faces(clips, 64, tmp_path, pad=8, versions=2, quiet=True)
    np.testing.assert_array_equal(data.frames, crops.frames)
    assert [mel.shape[0] for mel in data.mels] == [2] * len(clips.clips)
    assert data.speech.shape == (len(clips),)
    mel = LogMel()(analysis_audio(clips.clips[0].audio()))
    torch.testing.assert_close(data.mels[0][0].float(), mel, atol=2e-3, rtol=0)
    monkeypatch.setattr("talkface_core.datasets.talking_faces.read_sounds", lambda *a: pytest.fail("heard again"))
    again = talking_faces(clips, 64, tmp_path, pad=8, versions=2, quiet=True)
    assert all(torch.equal(a, b) for a, b in zip(again.mels, data.mels, strict=True))
