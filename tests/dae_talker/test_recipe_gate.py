"""The gate's recipe: batches of speech and of sounds that are none, and a run that learns to tell them apart."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from talkface_core.checkpoints import read_checkpoint
from talkface_core.dae_talker.gate_batches import SOUNDS, GateBatches, GateTraining
from talkface_core.dae_talker.recipe_gate import TRAINING, GateRecipe
from talkface_core.datasets.labelled_sounds import SpeechClip
from talkface_core.datasets.made_sounds import made_sound
from talkface_core.errors import InputError
from talkface_core.speech.features import LogMel
from talkface_core.speech.mel_augment import MelAugment
from talkface_core.speech.vad import GateConfig, VoiceActivityGate
from talkface_core.training.engine import train

FEW = GateTraining(clips=6, seconds=2, sounds=len(SOUNDS))
PLAIN = MelAugment(
    masks=0, noise_probability=0.0, reverb_probability=0.0, telephone=0.0, level=(0.0, 0.0), equaliser=0.0, clean=1.0
)


def clip(seed: int, frames: int = 75) -> SpeechClip:
    """A "voice": syllables of 100 ms with formants that move, a second of them, then silence."""
    generator = torch.Generator().manual_seed(seed)
    steps = frames * 16 // 5
    speech = torch.zeros(frames, dtype=torch.bool)
    speech[10 : frames - 20] = True
    at, bands = torch.arange(steps)[:, None], torch.arange(80)[None]
    first = 15 + 8 * torch.sin(at / (5 + 4 * torch.rand(1, generator=generator)))
    mel = -4 + 5 * torch.exp(-(((bands - first) / 6) ** 2)) * (0.4 + 0.6 * torch.sin(at * 0.39) ** 2)
    mel[~speech[(at[:, 0] * 5 // 16).clamp_max(frames - 1)]] = LogMel.SILENCE
    return SpeechClip(name=f"v{seed}", frames=frames, mels=mel[None].half(), speech=speech)


def clips(count: int = 6) -> list[SpeechClip]:
    return [clip(seed) for seed in range(count)]


def test_batches_are_a_function_of_the_generator():
    batches = GateBatches(clips(), FEW)
    one, same = (batches.draw(np.random.default_rng(4)) for _ in range(2))
    again, other = GateBatches(clips(), FEW).draw(np.random.default_rng(4)), batches.draw(np.random.default_rng(5))
    assert one.keys() == {"gate_mel", "gate_speech"}
    for key in one:
        assert torch.equal(one[key], same[key])
        assert torch.equal(one[key], again[key])
        assert not torch.equal(one[key], other[key])
    assert one["gate_mel"].shape == (6, 160, 80)
    assert one["gate_mel"].abs().max() <= 4.0
    assert one["gate_speech"].dtype == torch.bool


def test_sound_and_flags_keep_together():
    """Nothing laid under it: where a clip is loud there is speech, also behind a silence that was cut in."""
    batches = GateBatches(clips(), replace(FEW, alone=0.0, augment=PLAIN))
    for seed in range(4):
        batch = batches.draw(np.random.default_rng(seed))
        loud = batch["gate_mel"].amax(2) > -3.0
        assert (loud == batch["gate_speech"]).float().mean() > 0.97
        assert batch["gate_speech"].any()


def test_what_is_no_speech_is_heard_and_has_no_flags():
    batch = GateBatches(clips(), replace(FEW, alone=1.0)).draw(np.random.default_rng(0))
    assert not batch["gate_speech"].any()
    assert (batch["gate_mel"].amax((1, 2)) > -3.9).all()


@pytest.mark.parametrize("kind", sorted(set(SOUNDS)))
def test_sounds_are_longer_than_rows_and_equally_loud(kind):
    sound = GateBatches(clips(), FEW).sound(SOUNDS.index(kind)).float()
    assert sound.shape == (200, 80)
    assert -1.5 < sound.quantile(0.98) < 3.5


def test_a_run_learns_to_tell_speech_from_other_sounds(tmp_path):
    torch.manual_seed(0)
    recipe = GateRecipe(clips(), FEW, GateConfig(width=16, dilations=(1, 2, 4), memory=40), data="planted")
    config = replace(TRAINING, lr=1e-2, warmup=5, ema_decay=0.9)
    result = train(recipe, tmp_path / "run", 60, config, sample_every=60, log_every=0, device="cpu", quiet=True)
    read = read_checkpoint(result.checkpoint, "dae_talker")
    assert read.configs.keys() == {"gate"}
    gate = read.load_into(VoiceActivityGate(GateConfig.from_dict(read.configs["gate"])), "gate").eval()
    voice = clip(99)
    with torch.no_grad():
        heard = gate.gain(voice.mels.float())[0]
        speech = voice.speech[(torch.arange(len(heard)) * 5 // 16)]
        assert (heard[speech] > 0.5).float().mean() > 0.9
        opened = []
        for kind in ("engine", "rain", "siren", "telephone"):
            wave = 0.1 * made_sound(kind, 2 * 16_000, np.random.default_rng(77))
            opened.append((gate.gain(LogMel()(torch.from_numpy(wave))[None]) > 0.5).float().mean())
        assert float(torch.stack(opened).mean()) < 0.4
    assert len(list((tmp_path / "run" / "samples").glob("*.png"))) == 1


def test_clips_that_do_not_tell_speech_are_refused():
    silent = [replace(voice, speech=None) for voice in clips(2)]
    with pytest.raises(InputError, match="tells speech from silence"):
        GateRecipe(silent, FEW)
    assert len(GateBatches([*silent, clip(3)], FEW).clips) == 1
