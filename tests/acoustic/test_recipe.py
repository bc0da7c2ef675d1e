"""Training of the acoustic model on planted sounds: it learns to hear them, and refuses what has no mouths."""

import argparse
from dataclasses import replace

import numpy as np
import pytest
import soundfile
import torch

from talkface_core.acoustic.encoded_ear import feature_space
from talkface_core.acoustic.hearing import OutsideEar
from talkface_core.acoustic.model import AcousticConfig, AcousticModel, load_acoustic
from talkface_core.acoustic.recipe import AcousticRecipe, AcousticTraining, acoustic_errors
from talkface_core.acoustic.stream import acoustic_features
from talkface_core.acoustic.training_batches import MouthScale, SpeechWindows
from talkface_core.acoustic.training_teacher import Teacher
from talkface_core.checkpoints import read_checkpoint
from talkface_core.datasets.labelled_sounds import SpeechClip, read_unlabelled, sound_samples
from talkface_core.datasets.labels import VISEMES
from talkface_core.errors import InputError
from talkface_core.speech.mel_augment import MelAugment
from talkface_core.training.config import TrainConfig
from talkface_core.training.engine import train

from .small_acoustic import small_acoustic
from .small_ear import small_ear, small_whisper

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


def teacher() -> Teacher:
    """An acoustic model of other sizes whose features have the same width."""
    torch.manual_seed(5)
    like = AcousticModel(replace(SMALL, front_width=4, ff=8, visemes=len(VISEMES), mouths=2)).eval()
    like.mouth_mean.fill_(0.3)
    like.mouth_std.fill_(0.2)
    return Teacher(like)


def test_features_are_learnt_of_sounds_without_labels():
    taught_by = teacher()
    unlabelled = replace(clip(8), mouth=None, visemes=None, speech=None)
    unlabelled = replace(unlabelled, latents=acoustic_features(taught_by.acoustic, unlabelled.mels[0].float()))
    torch.manual_seed(0)
    windows = SpeechWindows(frames=50, gated=0.5, silence=1.0, speed=0.0, augment=PLAIN, noises=4)
    config = replace(SMALL, inner=24)
    made = AcousticRecipe(
        [clip(1), unlabelled], config, training=AcousticTraining(clips=6, windows=windows), teacher=taught_by
    )
    batch = made.batch(0, np.random.default_rng(1))
    assert batch["heard"].shape == (6, 50, SMALL.width)
    made._batches.settings = replace(windows, silence=0.0)
    uncut = made.batch(0, np.random.default_rng(1))
    assert (uncut["has_mouth"] > 0).any(1).sum() == 2, "a third have labels"
    cut = (batch["visemes"] == VISEMES.index("sil")) & (batch["has_heard"] > 0)
    assert cut.any()
    torch.testing.assert_close(batch["heard"][cut][0], taught_by.silence)
    before = made.loss(batch, 1)
    optimiser = torch.optim.Adam([w for w in made.net.parameters() if w.requires_grad], 1e-2)
    for _ in range(40):
        optimiser.zero_grad()
        made.loss(batch, 1)["loss"].backward()
        optimiser.step()
    after = made.loss(batch, 1)
    assert after["features"] < 0.5 * before["features"]
    assert after["told"] < 0.5 * before["told"]
    assert feature_space(made.net) == feature_space(taught_by.acoustic), "what hears the one hears the other"
    torch.testing.assert_close(made.net.mouth_mean, taught_by.acoustic.mouth_mean)
    assert made.net.front_end == taught_by.acoustic.front_end
    assert "features" not in recipe().loss(recipe().batch(0, np.random.default_rng(1)), 1)


def test_a_teacher_of_another_kind_of_mouth_is_refused():
    like = AcousticModel(replace(SMALL, visemes=len(VISEMES), mouths=3))
    with pytest.raises(InputError, match="mouths of 2 values, and the acoustic model that it is to be like tells 3"):
        AcousticRecipe([clip(1)], SMALL, teacher=Teacher(like))


@pytest.mark.parametrize("other", [{"visemes": 5}, {"fps": 30}])
def test_a_teacher_of_other_labels_is_refused(other):
    like = AcousticModel(replace(SMALL, **{"visemes": len(VISEMES), "mouths": 2, **other}))
    with pytest.raises(InputError, match="labels have 22 visemes at 25 frames a second, the acoustic model"):
        Teacher(like)


def test_another_teacher_is_noticed():
    acoustic = small_acoustic()
    ears = [OutsideEar(small_whisper(), small_ear(acoustic)) for _ in range(3)]
    ears[2].ear.out.bias.data += 1
    told = [Teacher(acoustic, ear).settings() for ear in (*ears, None)]
    assert told[0] == told[1]
    assert told[0] not in told[2:]


def test_what_is_taught_is_computed_once(tmp_path, monkeypatch):
    folder = tmp_path / "sounds" / "more"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for name, samples in (("a", 16000), ("b", 24100)):
        soundfile.write(folder / f"{name}.wav", 0.1 * rng.standard_normal(samples), 16000)
    clips = read_unlabelled(tmp_path / "sounds")
    assert [(one.name, one.frames, one.mouth) for one in clips] == [("more/a.wav", 25, None), ("more/b.wav", 38, None)]
    taught_by = teacher()
    taught = taught_by.taught(tmp_path / "sounds", clips, tmp_path / "cache")
    wanted = acoustic_features(taught_by.acoustic, clips[1].mels[0].float())
    torch.testing.assert_close(taught[1].latents, wanted, atol=2e-3, rtol=2e-3)
    monkeypatch.setattr(Teacher, "_heard", lambda *_: pytest.fail("heard again"))
    again = taught_by.taught(tmp_path / "sounds", clips, tmp_path / "cache")
    assert torch.equal(again[0].latents, taught[0].latents)
    with pytest.raises(pytest.fail.Exception):
        replace(taught_by, acoustic=AcousticModel(taught_by.acoustic.config)).taught(
            tmp_path / "sounds", clips, tmp_path / "cache"
        )


def test_a_better_ear_teaches(tmp_path):
    soundfile.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(16000), 16000)
    acoustic = small_acoustic()
    taught_by = Teacher(acoustic, OutsideEar(small_whisper(), small_ear(acoustic)))
    (heard,) = taught_by.taught(tmp_path, read_unlabelled(tmp_path), tmp_path / "cache")
    alone = torch.cat(list(taught_by.ear.stream([torch.from_numpy(sound_samples(tmp_path / "a.wav"))])))
    torch.testing.assert_close(heard.latents, alone[:25], atol=2e-2, rtol=2e-2)
    with pytest.raises(InputError, match="for another acoustic model"):
        Teacher(small_acoustic(mouths=5), taught_by.ear)


@pytest.mark.parametrize("flag", ["ear", "unlabelled"])
def test_a_teacher_needs_a_name(flag):
    args = argparse.Namespace(like=None, preset="tiny", **{"ear": None, "unlabelled": None, flag: ["somewhere"]})
    with pytest.raises(InputError, match=f"--{flag} teaches .* name it by --like"):
        AcousticRecipe.from_args(args)
