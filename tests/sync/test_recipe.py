"""The expert's training: what a batch shows, what the losses reward, that a run saves a measured checkpoint."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from talkface_core.checkpoints import read_checkpoint
from talkface_core.datasets.clips import ClipSet
from talkface_core.datasets.sounds import read_sounds, read_speech
from talkface_core.datasets.talking_faces import TalkingFaces
from talkface_core.errors import InputError
from talkface_core.speech.mel_windows import mel_windows
from talkface_core.sync.recipe import BATCHES, LOSSES, TRAINING, SyncLoss, SyncRecipe, sync_errors
from talkface_core.sync.syncnet import SyncNet, SyncNetConfig
from talkface_core.sync.training_batches import SyncBatches, SyncSampler
from talkface_core.training.engine import train
from tests.sync.talkers import talkers

FIXTURES = Path(__file__).parents[1] / "fixtures"
FEW = SyncBatches(clips=3, windows=4, shifted=2)
SMALL = SyncNetConfig(face=(8, 8, 8, 8, 8, 16), speech=(8, 8, 8, 8, 16), face_blocks=(0,) * 5, speech_blocks=(0,) * 4)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_batches():
    sampler = SyncSampler(talkers(), FEW)
    batch = sampler.batch(rng())
    assert batch["faces"].shape == (3, 4, 5, 48, 96, 3)
    assert batch["faces"].dtype == torch.uint8
    assert batch["windows"].shape == (3, 4, 3, 80, 16)
    apart = (batch["times"] - batch["times"][..., :1]).abs()[..., 1:]
    assert apart.min() >= FEW.nearest
    assert apart.max() <= FEW.farthest
    again = sampler.batch(rng())
    assert all(torch.equal(again[key], batch[key]) for key in batch)
    assert not torch.equal(sampler.batch(rng(1))["windows"], batch["windows"])


def test_lips_and_sound_of_a_batch_belong_together():
    """Without augmentation a batch holds the very rows and mel windows of the frames it names."""
    data = talkers(clips=1)
    batch = SyncSampler(data, replace(FEW, clips=1, augment=False)).batch(rng())
    for window in range(4):
        time = int(batch["times"][0, window, 0])
        np.testing.assert_array_equal(batch["faces"][0, window], data.inner(slice(time - 2, time + 3))[:, 48:])
        for sound in range(3):
            expected = mel_windows(data.mels[0][0].float(), [int(batch["times"][0, window, sound])], 25)
            torch.testing.assert_close(batch["windows"][0, window, sound], expected[0, 0])


def test_speech_is_preferred():
    data = talkers(clips=2)
    speech = np.zeros(len(data.frames), bool)
    speech[20:26] = speech[80:86] = True
    times = SyncSampler(replace(data, speech=speech), replace(FEW, clips=2, speaking=1.0)).batch(rng())["times"][..., 0]
    assert ((times >= 20) & (times < 26)).all()


def test_losses_reward_being_in_step():
    """Vectors that are right give a low loss, vectors of the shifted sounds a high one."""
    recipe = SyncRecipe(talkers(), SMALL, batches=FEW, losses=SyncLoss(across=0.0, readout=0.0, begin=0))
    batch = recipe.batch(0, rng())
    base = torch.nn.functional.normalize(torch.randn(3 * 4 * 3, 16, generator=torch.Generator().manual_seed(0)), dim=1)
    recipe._speech_vectors = lambda windows: base
    table = base.unflatten(0, (3, 4, 3))
    with torch.no_grad():
        recipe._face_vectors = lambda faces: table[:, :, 0].flatten(0, 1)
        right = recipe.loss(batch, 0)
        recipe._face_vectors = lambda faces: table[:, :, 1].flatten(0, 1)
        wrong = recipe.loss(batch, 0)
    assert right["right"] > 0.85
    assert wrong["right"] < 0.15
    assert right["among"] < 0.5 < 2 < wrong["among"]
    assert right["pairs"] < wrong["pairs"]


def test_read_outs_tell_the_lips():
    """The rows of a batch are its frames: a face that says its own lips has nothing to lose."""
    data = talkers(clips=2)
    recipe = SyncRecipe(data, SMALL, batches=replace(FEW, clips=2, augment=False))
    batch = recipe.batch(0, rng())
    gaps = batch["lips"].unflatten(2, (5, 3))[..., 2, 0]
    contrast = batch["faces"][:, :, 2].float().std((2, 3, 4))
    for clip in range(2):
        assert np.corrcoef(gaps[clip], contrast[clip])[0, 1] > 0.9
    losses = recipe.loss(batch, 0)
    assert {"lips", "heard"} <= set(losses)


def test_published_pairs():
    """One window of each clip, every other one with another moment's sound, and the cross-entropy alone."""
    data = talkers(clips=4)
    batches = replace(BATCHES["base"], clips=4)
    recipe = SyncRecipe(data, SyncNetConfig.preset("base"), batches=batches, losses=LOSSES["base"])
    with torch.no_grad():
        losses = recipe.loss(recipe.batch(0, rng()), 0)
    assert set(losses) == {"loss", "pairs", "right"}
    assert losses["loss"] == losses["pairs"]


def test_a_run_learns_and_is_measured(tmp_path):
    torch.manual_seed(0)
    data = talkers(clips=4)
    recipe = SyncRecipe(data, SMALL, data, replace(FEW, augment=False), SyncLoss(across=0.25, readout=0.5, begin=0))
    config = replace(TRAINING["tiny"], precision="fp32", warmup=5, ema_decay=0.9)
    result = train(recipe, tmp_path / "run", 60, config, log_every=10, sample_every=60, device="cpu", quiet=True)
    checkpoint = read_checkpoint(result.checkpoint, "sync")
    measured = checkpoint.provenance["measured"]["invented"]
    assert measured["ranked"] > 0.65
    net = SyncNet(SyncNetConfig.from_dict(checkpoint.configs["syncnet"]))
    checkpoint.load_into(net, "syncnet")
    assert sync_errors(net.eval(), data)["ranked"] == pytest.approx(measured["ranked"], abs=0.03)
    assert len(list((tmp_path / "run" / "samples").glob("*.png"))) == 1


def test_sounds_of_a_set():
    clips = ClipSet.open(FIXTURES)
    sounds = read_sounds(clips, versions=2)
    assert len(sounds) == len(clips.clips)
    assert sounds[0].shape[::2] == (2, 80)
    assert not torch.equal(sounds[0][0], sounds[0][1])
    assert read_speech(clips).shape == (len(clips),)


def test_sounds_do_not_fit():
    data = talkers(clips=2)
    with pytest.raises(InputError, match="1 sounds for 2 clips"):
        TalkingFaces("x", data.frames, data.landmarks, 96, 12, data.starts, data.mels[:1])
