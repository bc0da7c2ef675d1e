"""Training of the acoustic model on planted sounds: it learns to hear them, and refuses what has no mouths."""

from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from talkface_core.acoustic.model import AcousticConfig, load_acoustic
from talkface_core.acoustic.recipe import AcousticRecipe, AcousticTraining, acoustic_errors
from talkface_core.acoustic.training_batches import MouthScale, SpeechWindows
from talkface_core.checkpoints import read_checkpoint
from talkface_core.datasets.labelled_sounds import SpeechClip, read_taught, read_voices
from talkface_core.datasets.labels import VISEMES
from talkface_core.errors import InputError
from talkface_core.speech.mel_augment import MelAugment
from talkface_core.training.config import TrainConfig
from talkface_core.training.engine import train

PLAIN = MelAugment(
    masks=0, noise_probability=0.0, reverb_probability=0.0, telephone=0.0, level=(0.0, 0.0), equaliser=0.0
)
SMALL = AcousticConfig(front_width=8, width=16, heads=2, ff=16, blocks=1, context=4, kernel=5, dropout=0.0)


def clip(seed: int, frames: int = 60) -> SpeechClip:
    """Sound whose loudness is the mouth."""
    rough = torch.rand(1, 1, frames // 5 + 2, generator=torch.Generator().manual_seed(seed))
    mouth = torch.nn.functional.interpolate(rough, frames, mode="linear")[0, 0]
    mouth[: frames // 4] = 0.0
    steps = torch.nn.functional.interpolate(mouth[None, None], frames * 16 // 5, mode="linear")[0, 0]
    speech = mouth > 0.02
    return SpeechClip(
        name=f"c{seed}",
        frames=frames,
        mels=(-3.5 + 5.0 * steps[:, None] * torch.linspace(1.0, 0.3, 80))[None].half(),
        mouth=torch.stack([mouth**2, mouth], dim=1),
        visemes=torch.where(speech, VISEMES.index("AA"), VISEMES.index("sil")),
        speech=speech,
    )


def recipe(clips=None, val=(), **changes) -> AcousticRecipe:
    torch.manual_seed(0)
    windows = SpeechWindows(frames=50, gated=0.5, silence=0.3, speed=0.0, augment=PLAIN, noises=4)
    clips = [clip(i) for i in range(4)] if clips is None else clips
    return AcousticRecipe(clips, SMALL, val, AcousticTraining(clips=4, windows=replace(windows, **changes)))


def test_it_learns_to_hear(tmp_path):
    val = [clip(11), clip(12)]
    made = recipe(val=val)
    before = acoustic_errors(made.net.eval(), made._val)
    config = TrainConfig(lr=3e-3, warmup=10, schedule="cosine", ema_decay=0.9)
    result = train(made, tmp_path / "run", 150, config, log_every=0, device="cpu", quiet=True)
    net = load_acoustic(result.checkpoint)
    after = acoustic_errors(net, made._val)
    assert read_checkpoint(result.checkpoint).provenance["measured"]["opening"] == pytest.approx(
        after["opening"], abs=0.02
    )
    assert made.sample({"acoustic": net}).shape == (480, 800, 3)
    assert after["opening"] > 0.9 > before["opening"]
    assert after["error"] < 0.5
    assert after["visemes"] > 0.8
    torch.testing.assert_close(net.mouth_mean, MouthScale.of([clip(i) for i in range(4)]).mean, rtol=0, atol=1e-3)


def test_a_cut_silence_is_silent_and_shut():
    made = recipe(silence=1.0, gated=0.0)
    batch = made.batch(0, np.random.default_rng(3))
    hushed = (batch["visemes"] == VISEMES.index("sil")) & (batch["has_mouth"] > 0)
    closed = made._batches.scale.closed
    assert hushed.any()
    shut = (batch["mouth"][hushed] - closed).abs().amax(-1) < 1e-3
    assert shut.float().mean() > 0.5


def test_clips_of_other_mouths_teach_sounds_alone():
    other = replace(clip(7), mouth=torch.rand(60, 5))
    made = recipe([clip(1), other])
    assert made._clips[1].mouth is None
    assert made.net.config.mouths == 2


def test_clips_without_mouths_are_refused():
    with pytest.raises(InputError, match="needs mouths"):
        recipe([replace(clip(1), mouth=None)])


def test_a_better_ears_features_are_learnt_of_sounds_without_labels():
    spoken = clip(8)
    known = spoken.mouth[:, 1:] * torch.linspace(-1, 1, SMALL.width)
    unlabelled = replace(spoken, mouth=None, visemes=None, speech=None, latents=known)
    made = recipe([clip(1), unlabelled], silence=1.0)
    batch = made.batch(0, np.random.default_rng(1))
    assert batch["heard"].shape == (4, 50, SMALL.width)
    cut = (batch["visemes"] == VISEMES.index("sil")) & (batch["has_mouth"] > 0)
    assert cut.any()
    assert not batch["has_heard"][cut].any(), "a silence that was cut in is not what the other ear heard"
    before = made.loss(batch, 1)["features"].item()
    optimiser = torch.optim.Adam(made.net.parameters(), 1e-2)
    for _ in range(30):
        optimiser.zero_grad()
        made.loss(batch, 1)["loss"].backward()
        optimiser.step()
    assert made.loss(batch, 1)["features"].item() < 0.5 * before
    assert "features" not in recipe().loss(recipe().batch(0, np.random.default_rng(1)), 1)


def test_taught_features_are_read_by_name_and_fit_the_sound(tmp_path):
    sound, rate = 0.1 * np.sin(np.arange(16000) / 20), 16000
    soundfile.write(tmp_path / "a.wav", sound, rate)
    with pytest.raises(InputError, match="with features in it"):
        read_taught(tmp_path, 16)
    np.savez(tmp_path / "a.npz", features=np.ones((24, 16), np.float16))
    taught = read_taught(tmp_path, 16)
    (only,) = read_voices(tmp_path, taught=taught)
    assert (only.frames, only.mouth) == (25, None)
    assert only.latents.shape == (25, 16)
    with pytest.raises(InputError, match=r"this acoustic model has \[frames, 8\]"):
        read_taught(tmp_path, 8)
