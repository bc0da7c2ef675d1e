"""Training of an ear on planted sounds: it learns what the acoustic model has, and refuses what has no mouths."""

import numpy as np
import pytest
import torch

from talkface_core.acoustic.encoded_ear import EarConfig, feature_space
from talkface_core.acoustic.hearing import load_ear
from talkface_core.acoustic.model import AcousticModel
from talkface_core.acoustic.recipe_ear import EarRecipe, EarTraining, _steps, ear_errors
from talkface_core.acoustic.training_ear import HeardClip, packed, windows
from talkface_core.checkpoints import read_checkpoint
from talkface_core.datasets.labels import IGNORE
from talkface_core.errors import InputError
from talkface_core.speech.whisper_mel import WhisperFeatures
from talkface_core.training.config import TrainConfig
from talkface_core.training.engine import train
from tests.acoustic.small_ear import small_whisper
from tests.acoustic.test_model import small

SMALL = EarConfig(width=16, heads=2, ff=16, blocks=1, kernel=3, context=4, dropout=0.0, entry_dropout=0.0)


def heard(acoustic: AcousticModel, seed: int, frames: int = 60, mouth: bool = True) -> HeardClip:
    """Features that are a mix of what the encoder says, and a mouth and visemes read of them."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(2, frames, 32, generator=generator)
    features = rows[0] @ torch.randn(32, acoustic.config.width, generator=torch.Generator().manual_seed(0)) / 5
    with torch.no_grad():
        mouths, visemes = acoustic.mouth(features), acoustic.viseme(features).argmax(-1)
    return HeardClip(f"c{seed}", rows.half(), features, mouths if mouth else None, visemes)


def recipe(acoustic: AcousticModel, clips=None, val=()) -> EarRecipe:
    torch.manual_seed(0)
    clips = [heard(acoustic, seed) for seed in range(6)] if clips is None else clips
    # Only the first variant is the sound that the features are of.
    clips = [HeardClip(c.name, c.heard[:1], c.features, c.mouth, c.visemes) for c in clips]
    return EarRecipe(clips, small_whisper(), acoustic, SMALL, val, EarTraining(clips=3, frames=40))


def test_it_learns_the_acoustic_models_features(tmp_path):
    acoustic = small()
    val = [heard(acoustic, 11), heard(acoustic, 12)]
    made = recipe(acoustic, val=val)
    before = ear_errors(made.net.eval(), acoustic, val)
    config = TrainConfig(lr=2e-2, warmup=5, schedule="cosine", ema_decay=0.9)
    result = train(made, tmp_path / "run", 60, config, log_every=0, device="cpu", quiet=True)
    loaded = load_ear(result.checkpoint)
    loaded.check(acoustic)
    after = ear_errors(loaded.ear, acoustic, val)
    assert after["opening"] > max(0.8, before["opening"] + 0.3)
    assert after["visemes"] > before["visemes"] + 0.2
    measured = read_checkpoint(result.checkpoint).provenance["measured"]
    assert measured["opening"] == pytest.approx(after["opening"], abs=0.02)


def test_the_ear_knows_whose_features_it_gives():
    made = recipe(small())
    assert made.net.config.spaces == (feature_space(small()),)
    assert (made.net.config.dim, made.net.config.features) == (16, 16)
    clean = torch.cat([clip.heard[0].float() for clip in made._clips])
    torch.testing.assert_close(made.net.mean, clean.mean(0))
    assert not any(weight.requires_grad for weight in made.acoustic.parameters())


def test_sounds_without_mouths_are_refused():
    acoustic = small()
    with pytest.raises(InputError, match="no clip's truth has the 14 mouth values"):
        recipe(acoustic, [heard(acoustic, 1, mouth=False)])


def test_short_sounds_share_a_window():
    front, calls = WhisperFeatures(small_whisper()), []
    window = front.window
    front.window = lambda wave: calls.append(len(wave)) or window(wave)
    lengths = [16_000, 5, 300_001, 200_000, front.samples + 400, 3_200]
    waves = [0.1 * torch.randn(n, generator=torch.Generator().manual_seed(n)) for n in lengths]
    steps = packed(front, waves)
    assert [len(rows) for rows in steps] == [-(-n // 320) for n in lengths]
    assert len(calls) == 4  # two half minutes, and two of the long one
    torch.testing.assert_close(steps[3], window(waves[3])[: len(steps[3])].half(), atol=0.5, rtol=0)
    assert packed(front, []) == []


def test_windows_are_cut_and_padded():
    acoustic = small()
    clips = [heard(acoustic, 1, frames=30), heard(acoustic, 2, frames=90, mouth=False)]
    batch = windows(clips, 50, np.random.default_rng(0))
    assert batch["heard"].shape == (2, 50, 32)
    assert batch["real"].sum(1).tolist() == [30, 50]
    assert batch["has_mouth"].sum(1).tolist() == [30, 0]
    torch.testing.assert_close(batch["features"][0, :30], clips[0].features)
    assert batch["features"][0, 30:].abs().max() == 0
    assert (batch["visemes"][0, 30:] == IGNORE).all()
    assert (batch["visemes"][1] != IGNORE).all()


def test_a_window_is_of_whole_frames():
    whole = small_whisper()
    assert [_steps(seconds, whole) for seconds in (None, 2, 2.02, 29.99, 30)] == [None, 100, 100, 1500, 1500]
    for wrong in (1, 31, float("nan")):
        with pytest.raises(InputError, match="this Whisper hears 2 to 30 seconds at once"):
            _steps(wrong, whole)
