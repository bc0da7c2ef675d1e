"""Faces that a Wav2Lip painted: of which frames, with references from where, and how the SOVQAE sees them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from talkface_core.dubbing.references import WIDE
from talkface_core.faces.landmarks import inner_lip_gap
from talkface_core.ladtalk.model import Wav2LipModel
from talkface_core.ladtalk.training_patches import PatchSampler, SOVQAETraining
from talkface_core.ladtalk.training_repainted import AWAY, Repainted, elsewhere, repaint_set
from talkface_core.ladtalk.wav2lip import inference_copy
from tests.ladtalk.small_ladtalk import SMALL_96
from tests.ladtalk.test_wav2lip import Wav2Lip
from tests.sync.talkers import talkers


@pytest.fixture(scope="module")
def data():
    return talkers(clips=3)


def test_a_reference_is_far_off_in_time_and_near_in_pose(data):
    points = data.landmarks[:60].copy()
    chosen = elsewhere(points)[:, 0]
    assert (np.abs(chosen - np.arange(60)) >= AWAY).all()
    # Lips, which say what is to be found out, have no say.
    points[:, 48:] += np.random.default_rng(0).normal(0, 9, (60, 20, 2)).astype(np.float32)
    assert (elsewhere(points)[:, 0] == chosen).all()
    gaps = inner_lip_gap(points)
    both = elsewhere(points, 2)
    assert (both[:, 0] == chosen).all()
    assert (gaps[both[:, 1]] >= np.quantile(gaps, 1 - WIDE)).all()


def test_they_are_the_frames_that_are_named(data):
    torch.manual_seed(0)
    net = inference_copy(Wav2Lip(replace(SMALL_96, blend=True)))
    with torch.no_grad():
        net.pixels.bias[12:16] = -30.0  # all of it as it was shown
    repainted = repaint_set(Wav2LipModel(net), data, every=6, quiet=True)
    assert repainted.frames.shape == (len(repainted.index), 96, 96, 3)
    assert len(np.unique(repainted.index)) == len(repainted.index) == len(data.frames) // 6
    upper = slice(0, 48)
    originals = data.inner(repainted.index)
    assert np.abs(repainted.frames[:, upper].astype(int) - originals[:, upper]).max() <= 1


def test_patches_lie_where_the_sharp_ones_do():
    """Crops of which a tenth is painted darker: the pairs differ by that and nothing else."""
    chance = np.random.default_rng(3)
    crops = chance.integers(100, 200, (20, 64, 64, 3)).astype(np.uint8)
    painted = Repainted(crops[::2] - 50, np.arange(0, 20, 2))
    training = SOVQAETraining(batch_size=6, patch=32, scales=(1.0, 1.0), repainted=1.0)
    batch = PatchSampler(crops, 32, training, painted).batch(np.random.default_rng(0))
    assert torch.equal(batch["real"] - 50, batch["degraded"])
    without = PatchSampler(crops, 32, training).batch(np.random.default_rng(0))
    assert torch.equal(without["real"], without["degraded"])
