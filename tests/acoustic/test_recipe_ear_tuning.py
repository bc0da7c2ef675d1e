"""Tuning of an encoder and its ear: placed windows and their targets, what is learnt, and what is refused."""

import numpy as np
import pytest
import torch

from talkface_core.acoustic.hearing import load_ear
from talkface_core.acoustic.model import AcousticModel
from talkface_core.acoustic.recipe_ear import EarTraining, ear_errors
from talkface_core.acoustic.recipe_ear_tuning import EarTuningRecipe
from talkface_core.acoustic.training_ear import HeardClip, SoundClip, hear_again, placed
from talkface_core.datasets.labels import IGNORE
from talkface_core.errors import InputError
from talkface_core.speech.whisper import WhisperConfig, WhisperEncoder
from talkface_core.speech.whisper_mel import WhisperFeatures
from talkface_core.training.config import TrainConfig
from talkface_core.training.engine import train
from tests.acoustic.small_ear import small_ear
from tests.acoustic.test_model import small

FRAME = 640


def encoder(steps: int = 101, width: int = 16) -> WhisperEncoder:
    """One whose window is half a frame too long."""
    torch.manual_seed(3)
    return WhisperEncoder(WhisperConfig(width, 2, 1, steps)).eval()


def sound(acoustic: AcousticModel, seed: int, frames: int = 50, mouth: bool = True) -> SoundClip:
    """A tone that comes and goes, and features that say when."""
    rng = np.random.default_rng(seed)
    loud = np.repeat(rng.integers(0, 2, frames // 5), 5).astype(np.float32)
    wave = np.repeat(loud, FRAME) * 0.3 * np.sin(np.arange(frames * FRAME) * 0.3).astype(np.float32)
    ways = torch.randn(2, acoustic.config.width, generator=torch.Generator().manual_seed(0))
    features = ways[torch.from_numpy(loud).long()]
    with torch.no_grad():
        mouths, visemes = acoustic.mouth(features), acoustic.viseme(features).argmax(-1)
    targets = HeardClip(f"c{seed}", torch.zeros(1, frames, 0), features, mouths if mouth else None, visemes)
    return SoundClip(wave, targets)


def test_the_encoder_learns_too(tmp_path):
    acoustic = small()
    clips, val = [sound(acoustic, seed) for seed in range(6)], [sound(acoustic, 11), sound(acoustic, 12)]
    net = small_ear(acoustic)
    recipe = EarTuningRecipe(clips, encoder(), net, acoustic, val, EarTraining(clips=3))
    began = hear_again(val, WhisperFeatures(encoder()), 2)
    before = ear_errors(small_ear(acoustic), acoustic, began)
    config = TrainConfig(lr=1e-2, warmup=5, schedule="cosine", ema_decay=0.9)
    result = train(recipe, tmp_path / "run", 50, config, log_every=0, device="cpu", quiet=True)
    loaded = load_ear(result.checkpoint)
    loaded.check(acoustic)
    after = ear_errors(loaded.ear, acoustic, hear_again(val, WhisperFeatures(loaded.encoder), 2))
    assert after["opening"] > max(0.8, before["opening"] + 0.2)
    assert loaded.encoder.config.steps == 101
    assert not torch.equal(loaded.encoder.first.weight, encoder().first.weight)


@pytest.mark.parametrize("frames", [20, 50, 70])
def test_a_window_is_placed_with_its_targets(frames):
    acoustic, rng = small(), np.random.default_rng(0)
    clip = sound(acoustic, 1, frames)
    for _ in range(20):
        wave, targets = placed(clip, acoustic.config.mouths, 50, FRAME, rng)
        assert wave.shape == (50 * FRAME,)
        inside = targets["real"].bool()
        assert inside.sum() == min(frames, 50)
        # Loud where the features say so, and nothing beside the sound.
        loud = np.abs(wave.reshape(50, FRAME)).max(1) > 0.1
        known = (
            targets["features"] - clip.targets.features[np.abs(clip.wave.reshape(-1, FRAME)).max(1) > 0.1][0]
        ).abs()
        assert ((known.amax(1) < 1e-6).numpy() == loud).all()
        assert (targets["visemes"][~inside] == IGNORE).all()
        assert targets["mouth"][~inside].abs().sum() == targets["has_mouth"][~inside].sum() == 0


def test_what_does_not_fit_is_refused():
    acoustic = small()
    with pytest.raises(InputError, match="trained for another acoustic model"):
        EarTuningRecipe([sound(acoustic, 1)], encoder(), small_ear(acoustic, spaces=("0" * 16,)), acoustic)
    with pytest.raises(InputError, match="no clip's truth has the 14 mouth values"):
        EarTuningRecipe([sound(acoustic, 1, mouth=False)], encoder(), small_ear(acoustic), acoustic)
    with pytest.raises(InputError, match="reads 16 values a step, its encoder gives 8"):
        EarTuningRecipe([sound(acoustic, 1)], encoder(width=8), small_ear(acoustic), acoustic)
    with pytest.raises(InputError, match="steps is 99"):
        WhisperConfig(16, 2, 1, 99)
