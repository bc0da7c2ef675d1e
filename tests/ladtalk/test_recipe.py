"""Wav2Lip's training: what a batch shows, when the sync loss begins to count, and a run that resumes and saves."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from talkface_core.acoustic.stream import acoustic_features
from talkface_core.checkpoints import read_checkpoint
from talkface_core.cli.main import make_parser
from talkface_core.dubbing.references import WIDE
from talkface_core.errors import InputError
from talkface_core.faces.landmarks import inner_lip_gap
from talkface_core.faces.net import FaceNetConfig, LandmarkNet
from talkface_core.ladtalk.losses import Weights
from talkface_core.ladtalk.model import build_wav2lip_model
from talkface_core.ladtalk.recipe import BATCHES, TRAINING, WEIGHTS, Wav2LipRecipe
from talkface_core.ladtalk.training_batches import Wav2LipBatches, Wav2LipSampler
from talkface_core.ladtalk.wav2lip import Wav2Lip, Wav2LipConfig
from talkface_core.speech.features import LogMel
from talkface_core.speech.mel_windows import mel_windows
from talkface_core.sync.syncnet import SyncNet, SyncNetConfig
from talkface_core.training.engine import train
from talkface_core.training.setup import load_init
from tests.acoustic.small_acoustic import small_acoustic
from tests.ladtalk.small_ladtalk import SMALL_96, save_small_ladtalk
from tests.sync.talkers import talkers

FEW = Wav2LipBatches(windows=1, singles=3, listen=2, alone=0)


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.fixture(scope="module")
def data():
    return talkers(clips=5)


@pytest.fixture(scope="module")
def expert():
    torch.manual_seed(0)
    return SyncNet(SyncNetConfig(face=(8,) * 6, speech=(8,) * 5, face_blocks=(0,) * 5, speech_blocks=(0,) * 4))


def test_batches(data):
    sampler = Wav2LipSampler(data, FEW)
    batch = sampler.batch(rng())
    assert batch["faces"].shape == (8, 96, 96, 3)
    assert batch["references"].shape == (8, 1, 96, 96, 3)
    assert batch["landmarks"].shape == (8, 68, 2)
    assert batch["windows"].shape == (8, 1, 80, 16)
    assert batch["sync"].shape == (1, 1, 80, 16)
    again = sampler.batch(rng())
    assert all(torch.equal(again[key], batch[key]) for key in batch)


def place(data, picture):
    """Which frame of the set this plain crop is: those that look so."""
    return np.flatnonzero((data.inner(slice(None)) == picture.numpy()).all((1, 2, 3)))


def test_each_frame_has_its_sound_and_a_reference_from_another_moment(data):
    plain = replace(FEW, augment=False)
    batch = Wav2LipSampler(data, plain).batch(rng(3))
    for k in range(8):
        here, there = place(data, batch["faces"][k]), place(data, batch["references"][k, 0])
        assert here[0] // 60 == there[0] // 60
        expected = [mel_windows(data.mels[i // 60][0].float(), [i % 60], 25)[0] for i in here]
        assert any(torch.allclose(batch["windows"][k], window) for window in expected)
    first = place(data, batch["faces"][0])[0]
    middles = [mel_windows(data.mels[i // 60][0].float(), [i % 60 + 2], 25) for i in place(data, batch["faces"][0])]
    assert any(torch.allclose(batch["sync"], middle) for middle in middles), first


def test_what_is_heard_alone_fits_the_lips(data):
    """The invented mouths are as open as it is loud, in each window's middle."""
    batch = Wav2LipSampler(data, replace(FEW, augment=False)).batch(rng())
    assert batch["heard"].shape == (32, 1, 80, 16)
    loud = batch["heard"][:, 0, :, 4:12].mean((1, 2))
    for clip in range(2):
        own = slice(16 * clip, 16 * clip + 16)
        assert np.corrcoef(loud[own], batch["lips"][own, 0])[0, 1] > 0.6


def test_references_keep_away(data):
    sampler = Wav2LipSampler(data, FEW)
    for seed in range(30):
        begin = int(rng(seed).integers(0, 55))
        for count in (1, 5):
            chosen = sampler._reference(60, 60, begin, count, rng(seed))
            assert len(chosen) == count
            assert chosen.min() >= 0
            assert chosen.max() < 60
            assert np.abs(chosen[:, None] - (begin + np.arange(count))).min() >= FEW.away


TWO = replace(FEW, references=2, augment=False)
FLOW = replace(SMALL_96, references=2, flow=0.25)


def test_the_second_reference_is_wide_open(data):
    """Pictures of the set, unless mouths are laid into them."""
    gaps = inner_lip_gap(data.landmarks).reshape(-1, 60)
    limits = np.quantile(gaps, 1 - WIDE, axis=1)
    batch = Wav2LipSampler(data, replace(TWO, windows=0, singles=5, same=0.0, composited=0.0)).batch(rng(1))
    assert batch["references"].shape == (5, 2, 96, 96, 3)
    for k in range(5):
        shown = place(data, batch["references"][k, 1])
        assert any(gaps[i // 60, i % 60] >= limits[i // 60] for i in shown)
    same = Wav2LipSampler(data, replace(TWO, same=1.0, composited=0.0)).batch(rng(1))["references"]
    assert torch.equal(same[:, 0], same[:, 1])


def test_mouths_are_laid_into_one_frame(data):
    """The invented faces of a clip differ by their mouths alone."""
    references = Wav2LipSampler(data, replace(TWO, same=0.0, composited=1.0)).batch(rng(2))["references"].int()
    differs = (references[:, 0] - references[:, 1]).abs().amax(-1) > 8
    assert differs.any((1, 2)).float().mean() > 0.7
    rows = differs.any(2).any(0).nonzero().flatten()
    assert rows.min() > 48, "above the mouth both are the same frame"


def test_a_flow_learns_to_do_without_paint(data):
    torch.manual_seed(0)
    reader = LandmarkNet(FaceNetConfig((8,) * 5, (8, 8, 8), 64))
    reader.face.copy_(torch.rand(68, 2))
    recipe = Wav2LipRecipe(data, None, FLOW, data, TWO, WEIGHTS["tiny"], reader=reader)
    recipe.prepare(torch.device("cpu"))
    losses = recipe.loss(recipe.batch(0, rng()), 0)
    weights = WEIGHTS["tiny"]
    parts = {name: getattr(weights, name) * losses[name] for name in ("carried", "paint", "lips", "spread", "heard")}
    torch.testing.assert_close(losses["loss"], losses["l1"] + sum(parts.values()))
    losses["loss"].backward()
    flows = recipe.net.pixels.weight.grad[4 * FLOW.patch**2 :]
    assert (flows.flatten(1).abs().sum(1) > 0).all()
    assert all(weight.grad is None for weight in reader.parameters())
    assert recipe.sample({"wav2lip": recipe.net.eval()}).shape == (4 * 96, 8 * 96, 3)


def test_shut_mouths_in_pauses_hear_digital_silence(data):
    quiet = replace(data, speech=np.zeros(len(data.frames), bool))
    sampler = Wav2LipSampler(quiet, replace(FEW, windows=0, singles=5, hushed=1.0, listen=0))
    sampler._shut[:] = True
    assert (sampler.batch(rng())["windows"] == LogMel.SILENCE).all()
    sampler._shut[:] = False
    assert not (sampler.batch(rng())["windows"] == LogMel.SILENCE).all()


def test_the_sync_loss_waits_for_the_expert(data, expert):
    def recipe(threshold):
        torch.manual_seed(0)
        weights = replace(WEIGHTS["tiny"], threshold=threshold)
        built = Wav2LipRecipe(data, expert, SMALL_96, data, FEW, weights, eval_every=10)
        built.prepare(torch.device("cpu"))
        return built

    strict, lenient = recipe(-1.0), recipe(100.0)
    batch = strict.batch(0, rng())
    before = strict.loss(batch, 0)
    assert before["sync_weight"] == 0
    torch.testing.assert_close(before["loss"], before["l1"] + 0.03 * before["heard"])
    after = lenient.loss(batch, 0)
    assert after["sync_weight"] == pytest.approx(WEIGHTS["tiny"].sync)
    expected = 0.99 * after["l1"] + 0.01 * after["sync"] + 0.03 * after["heard"]
    torch.testing.assert_close(after["loss"], expected)
    # It was measured on what the net makes for people held out.
    assert torch.isfinite(strict.schedule.measured)
    # Once on it stays on, and is not measured at other steps.
    lenient.weights = replace(lenient.weights, threshold=-1.0)
    assert lenient.loss(batch, 3)["sync_weight"] > 0


def test_at_first_only_the_ear_learns(data, expert):
    torch.manual_seed(0)
    recipe = Wav2LipRecipe(data, expert, SMALL_96, data, replace(FEW, alone=3), WEIGHTS["tiny"])
    recipe.prepare(torch.device("cpu"))
    early, later = recipe.batch(2, rng()), recipe.batch(3, rng())
    assert set(early) == {"heard", "lips"}
    assert len(early["heard"]) == 2 * len(later["heard"])
    losses = recipe.loss(early, 2)
    losses["loss"].backward()
    assert losses.keys() == recipe.loss(later, 3).keys()
    for name, weight in recipe.net.named_parameters():
        assert bool(weight.grad.any()) == name.startswith("speech_encoder")


def test_the_expert_is_not_trained_and_steers_the_generator(data, expert):
    torch.manual_seed(0)
    recipe = Wav2LipRecipe(data, expert, SMALL_96, data, FEW, Weights(threshold=100.0))
    recipe.prepare(torch.device("cpu"))
    losses = recipe.loss(recipe.batch(0, rng()), 0)
    losses["sync"].backward()
    assert all(weight.grad is None for weight in expert.parameters())
    assert recipe.net.pixels.weight.grad.abs().sum() > 0
    assert "syncnet" not in recipe.modules


def test_published_settings_have_a_judge(data, expert):
    recipe = Wav2LipRecipe(data, expert, SMALL_96, data, replace(FEW, singles=0), WEIGHTS["base"])
    recipe.prepare(torch.device("cpu"))
    losses = recipe.loss(recipe.batch(0, rng()), 1)
    expected = 0.93 * losses["l1"] + 0.07 * losses["gan"] + losses["judge"]
    torch.testing.assert_close(losses["loss"], expected)
    losses["loss"].backward()
    assert all(weight.grad is not None for weight in recipe.modules["discriminator"].parameters())
    assert (BATCHES["base"].windows, BATCHES["base"].singles) == (16, 0)


def test_a_run_learns_resumes_and_saves(data, expert, tmp_path):
    def recipe():
        torch.manual_seed(0)
        weights = replace(WEIGHTS["tiny"], threshold=100.0)
        return Wav2LipRecipe(data, expert, SMALL_96, data, FEW, weights, eval_every=5)

    config = replace(TRAINING["tiny"], precision="fp32", warmup=2, ema_decay=0.5, schedule="constant")
    options = {"log_every": 1, "sample_every": 0, "device": "cpu", "quiet": True}
    train(recipe(), tmp_path / "run", 10, config, **options)
    result = train(recipe(), tmp_path / "run", 20, config, resume=True, **options)
    rows = [line.split(",") for line in (tmp_path / "run" / "log.csv").read_text().splitlines()]
    l1 = [float(row[rows[0].index("l1")]) for row in rows[1:]]
    assert np.mean(l1[-4:]) < 0.9 * np.mean(l1[:4])
    assert float(rows[-1][rows[0].index("sync_weight")]) == pytest.approx(WEIGHTS["tiny"].sync)
    checkpoint = read_checkpoint(result.checkpoint, "ladtalk")
    assert set(checkpoint.configs) == {"wav2lip"}
    net = Wav2Lip(Wav2LipConfig.from_dict(checkpoint.configs["wav2lip"]))
    checkpoint.load_into(net, "wav2lip")
    assert checkpoint.provenance["measured"]["sync_loss"] > 0
    begun = Wav2LipRecipe(data, None, SMALL_96, data, FEW, WEIGHTS["tiny"])
    load_init(begun, result.checkpoint)
    torch.testing.assert_close(begun.net.state_dict(), net.state_dict())
    assert recipe().sample({"wav2lip": net.eval()}).shape == (3 * 96, 8 * 96, 3)


def test_half_precision(data):
    """Under autocast the net gives bfloat16 and the pixels it blends with stay float32."""
    recipe = Wav2LipRecipe(data, None, SMALL_96, data, FEW, WEIGHTS["tiny"])
    recipe.prepare(torch.device("cpu"))
    batch = recipe.batch(0, rng())
    with torch.no_grad():
        full = recipe.loss(batch, 1)
        with torch.autocast("cpu", torch.bfloat16):
            half = recipe.loss(batch, 1)
    assert float(half["l1"]) == pytest.approx(float(full["l1"]), rel=0.05)
    assert half["sync_weight"] == 0


def test_it_hears_by_an_acoustic_model(data, expert, tmp_path):
    """Features of each frame in place of windows; the expert's windows stay; both networks are saved."""
    acoustic = small_acoustic()
    plain = Wav2LipSampler(data, replace(FEW, augment=False), acoustic=acoustic)
    batch = plain.batch(rng(3))
    assert batch["windows"].shape == (8, 16)
    assert batch["heard"].shape == (32, 16)
    assert torch.equal(batch["sync"], Wav2LipSampler(data, replace(FEW, augment=False)).batch(rng(3))["sync"])
    for k in range(8):
        mels = [(data.mels[i // 60][0].float(), i % 60) for i in place(data, batch["faces"][k])]
        expected = [acoustic_features(acoustic, mel)[frame] for mel, frame in mels]
        near = [(batch["windows"][k] - features).abs().max() < 1e-2 for features in [*expected, plain.features.silence]]
        assert any(near)
    recipe = Wav2LipRecipe(data, expert, replace(SMALL_96, acoustic=16), data, FEW, acoustic=acoustic)
    result = train(recipe, tmp_path / "run", 3, TRAINING["tiny"], log_every=0, device="cpu", quiet=True)
    lips = build_wav2lip_model(read_checkpoint(result.checkpoint))
    assert lips.acoustic.config.width == 16
    with pytest.raises(InputError, match="needs an acoustic model"):
        Wav2LipRecipe(data, expert, replace(SMALL_96, acoustic=8), data, FEW, acoustic=acoustic)


def test_lips_that_never_heard_an_acoustic_model_are_refused_before_footage_is_read(tmp_path):
    lips = save_small_ladtalk(tmp_path / "lips.safetensors", config=SMALL_96)
    words = ["train", "wav2lip", "--data", str(tmp_path / "none"), "--out", str(tmp_path / "run"), "--init", str(lips)]
    args = make_parser().parse_args([*words, "--acoustic", "landmark_tiny"])
    with pytest.raises(InputError, match="wav2lip-hearing teaches"):
        Wav2LipRecipe.from_args(args)


def test_the_log_mel_beside_an_acoustic_model_needs_one(tmp_path):
    words = ["train", "wav2lip", "--data", str(tmp_path), "--out", str(tmp_path / "run"), "--also-mel"]
    args = make_parser().parse_args(words)
    with pytest.raises(InputError, match="give --acoustic too"):
        Wav2LipRecipe.from_args(args)
