"""Training of the completion on faces whose sound is their mouth: it learns to say it."""

from argparse import Namespace
from dataclasses import replace

import numpy as np
import pytest
import torch

from talkface_core.acoustic.model import load_acoustic
from talkface_core.checkpoints import read_checkpoint
from talkface_core.errors import InputError
from talkface_core.landmark_diffusion.completion import CompletionConfig
from talkface_core.landmark_diffusion.completion_stream import CompletionModel
from talkface_core.landmark_diffusion.landmarks import IBUG_68
from talkface_core.landmark_diffusion.model import build_completion
from talkface_core.landmark_diffusion.training.completion_batches import CompletionBatches, CompletionSampler
from talkface_core.landmark_diffusion.training.completion_hearing import AROUND, WindowSounds, windows_within
from talkface_core.landmark_diffusion.training.completion_losses import CompletionWeights, completion_losses
from talkface_core.landmark_diffusion.training.completion_scores import LandmarkScores, clip_scores, completion_scores
from talkface_core.landmark_diffusion.training.recipe_completion import CompletionRecipe, hear_clips
from talkface_core.speech.features import LogMel
from talkface_core.speech.mel_windows import mel_windows
from talkface_core.training.config import TrainConfig
from talkface_core.training.engine import train
from talkface_core.training.setup import load_init
from tests.acoustic.small_acoustic import small_acoustic
from tests.landmark_diffusion.small_completion import SMALL, clip

CONTENT = list(IBUG_68.content)


def recipe(val=(), **changes) -> CompletionRecipe:
    torch.manual_seed(0)
    batches = CompletionBatches(windows=4, frames=20, references=5)
    return CompletionRecipe(
        [clip(k) for k in range(4)], small_acoustic(), SMALL, val, replace(batches, **changes), variants=2
    )


def test_it_learns_to_say_the_sound(tmp_path):
    val = [clip(11), clip(12)]
    made = recipe(val, silence=0.2)
    config = TrainConfig(lr=3e-3, warmup=10, schedule="cosine", ema_decay=0.9)
    result = train(made, tmp_path / "run", 120, config, log_every=0, device="cpu", quiet=True)
    checkpoint = read_checkpoint(result.checkpoint, "landmark_diffusion")
    assert set(checkpoint.configs) == {"completion", "acoustic"}
    model = CompletionModel(made.net, made.acoustic).eval()
    scores = LandmarkScores.mean(completion_scores(model, val, hear_clips(made.acoustic, val)))
    assert checkpoint.provenance["measured"].keys() == scores.keys()
    assert scores["opening"] > 0.6
    assert scores["error"] < 0.9
    assert made.sample(made.modules).shape[2] == 3


def test_scores_of_the_truth_and_of_a_shut_mouth():
    said = clip(3)
    truth = said.points.numpy()
    best = clip_scores(truth, truth, said)
    assert (best.opening, best.spread, best.error, best.closed, best.jitter) == pytest.approx((1, 1, 0, 1, 1))
    assert best.silence > 0.5
    assert best.shut == 0
    shut = np.repeat(truth[:1], len(truth), 0)
    assert clip_scores(truth, shut, said).silence == 0
    assert clip_scores(shut, shut, said).shut == 1


def test_a_batch_depends_on_its_generator_alone():
    sampler = recipe().sampler
    one, other = (sampler.batch(np.random.default_rng(5)) for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert one["audio"].shape == (4, 20, 16)
    assert one["references"].shape == (4, 5, 68, 2)


def test_silence_is_a_mouth_at_rest_and_a_still_head_holds_still():
    plain = {"mirror": 0.0, "tremble": 0.0, "size": 0.0, "place": 0.0, "same": 0.0}
    clips = [clip(k) for k in range(3)]
    heard = hear_clips(small_acoustic(), clips)
    batch = CompletionSampler(
        clips, heard, CompletionBatches(4, 20, 5, **plain, silence=1.0, still=0.0), IBUG_68
    ).batch(np.random.default_rng(0))
    full = batch["landmarks"].clone()
    assert torch.equal(full[:, :, CONTENT], batch["truth"])
    assert IBUG_68.opening(full).max() < 0.006
    assert torch.equal(batch["audio"], heard.silence.expand(4, 20, -1))
    batch = CompletionSampler(
        clips, heard, CompletionBatches(4, 20, 5, **plain, silence=0.0, still=1.0), IBUG_68
    ).batch(np.random.default_rng(0))
    pose = batch["landmarks"][:, :, list(IBUG_68.pose)]
    assert torch.equal(pose, pose[:, :1].expand_as(pose))
    assert batch["truth"].diff(dim=1).abs().max() > 0.005


def test_nothing_in_a_batch_tells_the_mouth_but_the_sound():
    settings = CompletionBatches(4, 20, 5, away=15, same=0.0, mirror=0.0, tremble=0.0, size=0.0, place=0.0)
    clips = [clip(1, 100)]
    sampler = CompletionSampler(clips, hear_clips(small_acoustic(), clips), settings, IBUG_68)
    rng = np.random.default_rng(0)
    for first in (0, 30, 80):
        chosen = sampler._references(100, first + np.arange(20), rng)
        assert np.maximum(first - chosen, chosen - first - 19).min() >= 15
    assert len(sampler._references(22, np.arange(1, 21), rng)) == 5
    moving = replace(settings, other=1.0, still=0.0, silence=0.0)
    batch = CompletionSampler(clips, sampler.heard, moving, IBUG_68).batch(rng)
    pose = clips[0].points[:, list(IBUG_68.pose)]
    shown = batch["landmarks"][0][:, list(IBUG_68.pose)]
    begin = int((pose[:, None] - shown[None, :1]).abs().amax((2, 3)).argmin())
    torch.testing.assert_close(shown, pose[begin : begin + 20])
    assert torch.equal(batch["landmarks"][:, :, CONTENT], batch["truth"])


def test_frames_after_a_short_clip_are_not_judged():
    sampler = recipe(frames=100).sampler
    weight = sampler.batch(np.random.default_rng(0))["weight"]
    assert (weight[:, 60:] == 0).all()
    assert (weight[:, :60] > 0).all()


def test_losses_are_none_for_the_truth_and_each_sees_its_own():
    truth = clip(1).points[None][:, :, CONTENT]
    weight = torch.ones(truth.shape[:2])

    def losses(points: torch.Tensor) -> dict[str, float]:
        terms = completion_losses(points, truth, weight, IBUG_68, CompletionWeights())
        return {name: float(value) for name, value in terms.items()}

    assert not any(losses(truth).values())
    moved = losses(truth + 0.01)
    assert moved["points"] == pytest.approx(1.0)
    assert moved["velocity"] == pytest.approx(0, abs=1e-3)
    assert moved["gap"] == pytest.approx(0, abs=1e-4)
    assert losses(truth.mean(1, keepdim=True).expand_as(truth))["spread"] > 0.5


def test_the_acoustic_model_is_trained_along(tmp_path):
    val = [clip(11)]
    torch.manual_seed(0)
    batches = CompletionBatches(windows=3, frames=20, references=5, silence=0.5)
    acoustic = small_acoustic()
    before = acoustic.front.join.weight.clone()
    made = CompletionRecipe([clip(k) for k in range(3)], acoustic, SMALL, val, batches, joint=True)
    batch = made.batch(0, np.random.default_rng(0))
    assert batch["audio"].shape == (3, (20 + 2 * AROUND) * 16 // 5, 80)
    assert torch.equal(batch["audio"], made.batch(0, np.random.default_rng(0))["audio"])
    result = train(made, tmp_path / "run", 3, TrainConfig(ema_decay=0.5), log_every=0, device="cpu", quiet=True)
    learnt = load_acoustic(result.checkpoint)
    assert not torch.equal(learnt.front.join.weight, before)
    again = CompletionRecipe([clip(k) for k in range(3)], small_acoustic(), SMALL, joint=True)
    load_init(again, result.checkpoint)
    assert torch.equal(again.acoustic.front.join.weight, learnt.front.join.weight)


def test_windows_of_sound_lie_where_their_frames_do():
    said = clip(5)
    sounds = WindowSounds([said.mels], [None], 20)
    rng = np.random.default_rng(0)
    heard = sounds.of(0, np.arange(25, 45), rng)
    start = (25 - AROUND) * 16 // 5
    assert torch.equal(heard[:, :80], said.mels[0, start : start + len(heard)].float())
    silent = sounds.of(0, np.arange(25, 45), rng, silent=True)
    assert (silent[:, :80] == LogMel.SILENCE).all()
    early = sounds.of(0, np.arange(0, 20), rng)
    assert (early[: AROUND * 16 // 5, :80] == LogMel.SILENCE).all()
    shut = WindowSounds([said.mels], [np.zeros(60, bool)], 20)
    gains = torch.stack([shut.of(0, np.arange(25, 45), rng)[:, 80] for _ in range(20)])
    assert set(gains.flatten().tolist()) == {0.0, 1.0}
    assert (
        shut.augmented(torch.cat([heard[:, :80], torch.zeros(len(heard), 1)], 1)[None], rng) == LogMel.SILENCE
    ).all()


PUBLISHED = CompletionConfig(published=True, width=32, ff=32, blocks=1, frames=5, references=5)


def test_the_published_layout_is_trained_on_the_log_mel(tmp_path):
    torch.manual_seed(0)
    batches = CompletionBatches(windows=3)
    made = CompletionRecipe([clip(k, 20) for k in range(3)], None, PUBLISHED, [clip(11, 20), clip(12, 20)], batches)
    batch = made.batch(0, np.random.default_rng(0))
    assert batch["truth"].shape == (3, 5, 31, 2)
    assert batch["references"].shape == (3, 5, 68, 2)
    result = train(made, tmp_path / "run", 3, TrainConfig(), log_every=0, device="cpu", quiet=True)
    checkpoint = read_checkpoint(result.checkpoint, "landmark_diffusion")
    assert set(checkpoint.configs) == {"completion"}
    assert build_completion(checkpoint).acoustic is None
    assert np.isfinite(checkpoint.provenance["measured"]["other"])
    assert made.sample(made.modules).shape[2] == 3


def test_its_windows_are_those_of_inference():
    said = clip(5)
    sounds = WindowSounds([said.mels], [None], 5)
    mel = sounds.of(0, np.arange(25, 30), np.random.default_rng(0))[None, :, :80]
    expected = mel_windows(said.mels[0], range(25, 30), 25)[:, 0]
    assert torch.equal(windows_within(mel, 5)[0], expected.float())
    assert torch.equal(hear_clips(None, [said]).clips[0][0, 25:30], expected)


def test_what_cannot_be_trained_is_refused():
    with pytest.raises(InputError, match="without an acoustic model"):
        CompletionRecipe([clip()], small_acoustic(), CompletionConfig.preset("base"))
    with pytest.raises(InputError, match="features of an acoustic model"):
        CompletionRecipe([clip()], None)
    with pytest.raises(InputError, match="no clip"):
        CompletionRecipe([], small_acoustic(), SMALL)


def test_an_ear_is_refused_where_the_acoustic_model_is_trained_along(tmp_path) -> None:
    given = {"preset": "tiny", "acoustic": "landmark_tiny", "joint": True, "ear": "ear_tiny", "data": tmp_path}
    with pytest.raises(InputError, match="leave --joint or --ear out"):
        CompletionRecipe.from_args(Namespace(voices=None, val=None, batch_size=None, **given))
