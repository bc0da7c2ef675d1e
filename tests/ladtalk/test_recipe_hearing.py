"""Teaching a Wav2Lip to hear an acoustic model: what it learns, and that its pictures stay what they were."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from talkface_core.checkpoints import CheckpointError, read_checkpoint
from talkface_core.ladtalk.model import build_wav2lip_model
from talkface_core.ladtalk.recipe_hearing import TRAINING, HearingRecipe, HearingTraining
from talkface_core.training.engine import train
from tests.acoustic.small_acoustic import small_acoustic
from tests.ladtalk.small_ladtalk import LISTENING, SMALL_96, small_wav2lip
from tests.sync.talkers import talkers

FEW = HearingTraining(frames=64, silent=4, features_noise=0.1, vectors_noise=0.1)


def former() -> dict[str, torch.Tensor]:
    return small_wav2lip(config=SMALL_96).state_dict()


def recipe() -> HearingRecipe:
    lips, acoustic = small_wav2lip(config=SMALL_96), small_acoustic()
    return HearingRecipe(talkers(4), lips, acoustic, [talkers(2, seed=1)], talkers(2, seed=2), FEW, variants=2)


def test_a_batch_is_frames_of_both_ears() -> None:
    made = recipe()
    batch = made.batch(0, np.random.default_rng(0))
    shapes = {name: tuple(value.shape) for name, value in batch.items()}
    assert shapes == {"features": (64, 16), "vectors": (64, 8), "lips": (64, 3), "trust": (64,), "silence": (4, 16)}
    again = made.batch(5, np.random.default_rng(0))
    assert all(torch.equal(again[name], batch[name]) for name in batch)
    # Of a third of the clips the former ear is no model.
    unknown = batch["trust"] == 0
    assert 0.15 < unknown.float().mean() < 0.55
    assert (batch["trust"][~unknown] >= 0.05).all()
    assert (batch["trust"] <= 1).all()


def test_it_learns_what_the_former_ear_told(tmp_path) -> None:
    torch.manual_seed(0)
    made = recipe()
    batch = made.batch(0, np.random.default_rng(9))
    before = {name: float(value.detach()) for name, value in made.loss(batch, 0).items()}
    kept = {n: v.clone() for n, v in made.net.state_dict().items() if not n.startswith("speech_encoder.")}
    assert all(torch.equal(kept[n.replace("speech_encoder.", "mel_encoder.")], v) for n, v in former().items())
    config = replace(TRAINING, warmup=5)
    result = train(made, tmp_path / "run", 120, config, log_every=0, sample_every=60, device="cpu", quiet=True)
    after = {name: float(value.detach()) for name, value in made.loss(batch, 0).items()}
    assert after["vectors"] < 0.5 * before["vectors"]
    assert after["lips"] < before["lips"]
    assert after["silence"] < 0.5 * before["silence"]
    assert all(torch.equal(made.net.state_dict()[name], value) for name, value in kept.items())
    lips = build_wav2lip_model(read_checkpoint(result.checkpoint))
    assert lips.wav2lip.config == replace(SMALL_96, acoustic=16, also_mel=True)
    assert lips.acoustic is not None


def test_lips_that_hear_both_learn_further() -> None:
    first = recipe()
    again = HearingRecipe(talkers(4), first.net, small_acoustic(), (), None, FEW, variants=2)
    assert all(torch.equal(again.net.state_dict()[name], value) for name, value in first.net.state_dict().items())
    batch = first.batch(0, np.random.default_rng(0))
    assert torch.equal(again._quiet, first._quiet)
    assert again.loss(batch, 0)["loss"].isfinite()
    # BatchNorms among them: the loss begins where it ended, in training too.
    losses = []
    for one in (first, again):
        torch.manual_seed(1)
        losses.append(one.loss(batch, 0)["loss"].detach())
    torch.testing.assert_close(*losses, rtol=0.01, atol=0)


def test_how_firmly_lips_close_is_kept() -> None:
    lips = recipe().net
    lips.config = replace(lips.config, closing=0.7)
    again = HearingRecipe(talkers(2), lips, small_acoustic(), (), None, FEW, variants=2)
    assert again.net.config.closing == 0.7


def test_half_of_what_is_heard_is_an_ear_s_where_there_is_one() -> None:
    data, marked = talkers(4), 7.0
    by_ear = [[torch.full((2, n, 16), marked).half() for n in data.lengths.tolist()]]
    made = HearingRecipe(data, small_wav2lip(config=SMALL_96), small_acoustic(), (), None, FEW, 6, by_ear=by_ear)
    share = [(made.batch(0, np.random.default_rng(n))["features"][:, 0] == marked).float().mean() for n in range(20)]
    assert 0.35 < float(torch.stack(share).mean()) < 0.65


def test_lips_that_hear_an_acoustic_model_alone_are_refused() -> None:
    with pytest.raises(CheckpointError, match="give lips that hear the log-mel"):
        HearingRecipe(talkers(2), small_wav2lip(config=LISTENING), small_acoustic())
