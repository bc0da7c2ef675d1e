"""Stage 2 on planted data: batches are reproducible, silences are cut in whole, training learns, the run is saved."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from talkface_core.acoustic.stream import quiet_features
from talkface_core.acoustic.training_batches import well_inside_silence
from talkface_core.checkpoints import read_checkpoint
from talkface_core.dae_talker.gate_batches import GateTraining
from talkface_core.dae_talker.recipe_speech2latent import Speech2LatentRecipe
from talkface_core.dae_talker.speech2latent import Speech2Latent, Speech2LatentConfig
from talkface_core.dae_talker.speech_batches import Speech2LatentTraining
from talkface_core.datasets.labelled_sounds import SpeechClip
from talkface_core.datasets.labels import VISEMES
from talkface_core.errors import InputError
from talkface_core.speech.mel_augment import MelAugment
from talkface_core.speech.vad import GateConfig, VoiceActivityGate
from talkface_core.training.config import TrainConfig
from talkface_core.training.engine import train
from tests.acoustic.small_acoustic import small_acoustic

LATENT = 6
PLAIN = MelAugment(
    masks=0, noise_probability=0.0, reverb_probability=0.0, telephone=0.0, level=(0.0, 0.0), equaliser=0.0
)


def clip(seed: int, frames: int = 60, latents: bool = True) -> SpeechClip:
    """Sound whose loudness is the mouth; the latents are a mix of mouth and pose."""
    generator = torch.Generator().manual_seed(seed)
    rough = torch.rand(1, 1, frames // 5 + 2, generator=generator)
    mouth = torch.nn.functional.interpolate(rough, frames, mode="linear")[0, 0]
    mouth[: frames // 4] = 0.0
    steps = torch.nn.functional.interpolate(mouth[None, None], frames * 16 // 5, mode="linear")[0, 0]
    mel = -3.5 + 5.0 * steps[:, None] * torch.linspace(1.0, 0.3, 80)
    pose = torch.randn(1, 3, generator=generator).expand(frames, 3) * 8.0
    mix = torch.randn(4, LATENT, generator=torch.Generator().manual_seed(99))
    z = torch.cat([mouth[:, None], pose / 8.0], dim=1) @ mix
    speech = mouth > 0.02
    visemes = torch.where(speech, VISEMES.index("AA"), VISEMES.index("sil"))
    return SpeechClip(
        name=f"c{seed}",
        frames=frames,
        mels=mel[None].half(),
        latents=z if latents else None,
        mouth=torch.stack([mouth**2, mouth], dim=1),
        pose=pose,
        eyes=torch.ones(frames),
        visemes=visemes,
        speech=speech,
    )


def recipe(**changes) -> Speech2LatentRecipe:
    torch.manual_seed(0)
    sizes = {"width": 16, "ff": 16, "front_width": 8, "encoder_blocks": 1, "decoder_blocks": 1, "dropout": 0.0}
    config = Speech2LatentConfig.preset("tiny", latent_dim=LATENT, **sizes)
    sizes = {"own": 3, "voices": 2, "frames": 50, "noises": 6, "speed": 0.0}
    gate = GateTraining(clips=2, seconds=2, sounds=4)
    training = Speech2LatentTraining(augment=PLAIN, gate=gate, **{**sizes, **changes})
    clips, voices = [clip(i) for i in range(4)], [clip(9, 35, latents=False), clip(10, latents=False)]
    return Speech2LatentRecipe(clips, config, voices, training, GateConfig(width=8, dilations=(1, 2)), data="planted")


@pytest.fixture(scope="module")
def planted() -> Speech2LatentRecipe:
    return recipe()


def test_batches_are_a_function_of_the_generator(planted):
    one, same = (planted.batch(0, np.random.default_rng(4)) for _ in range(2))
    other = planted.batch(0, np.random.default_rng(5))
    assert set(one) == set(same)
    for key in one:
        torch.testing.assert_close(one[key], same[key], rtol=0, atol=0)
    assert not torch.equal(one["mel"], other["mel"])
    assert one["mel"].shape == (5, 160, 80)
    assert one["latents"].shape == (5, 50, LATENT)
    assert one["has_latents"].amax(1).tolist() == [1, 1, 1, 0, 0]


def test_short_clips_are_padded_with_unjudged_silence():
    tested = recipe(silence=0.0, gated=0.0)
    for seed in range(20):
        batch = tested.batch(0, np.random.default_rng(seed))
        for row in range(3, 5):
            if batch["has_mouth"][row].sum() == 35:
                assert batch["has_mouth"][row, 35:].sum() == 0
                assert batch["visemes"][row, 35:].unique().tolist() == [-100]
                return
    pytest.fail("the short voice was never drawn")


def test_shut_lips_in_speech_weigh_more():
    tested, count = recipe(silence=0.0, closure=3.0), 0
    for seed in range(10):
        batch = tested.batch(0, np.random.default_rng(seed))
        opening = batch["mouth"][..., -1] * tested.readout.mouth_std[-1] + tested.readout.mouth_mean[-1]
        shut = (opening < 0.1 * tested.readout.mouth_mean[-1]) & (opening > 0.02)
        judged = batch["has_mouth"] > 0
        torch.testing.assert_close(batch["has_mouth"][judged], 1.0 + 3.0 * shut[judged].float())
        count += int(shut.sum())
    assert count > 0


@pytest.mark.parametrize("speed", [0.0, 0.2])
def test_sound_and_labels_keep_together_at_any_tempo(speed):
    tested = recipe(silence=0.0, gated=0.0, speed=speed)
    lengths = set()
    for seed in range(6):
        item = tested.batches._item(tested.batches.clips[seed % 4], np.random.default_rng(seed))
        judged = item["has_mouth"] > 0
        opening = item["mouth"][:, -1] * tested.readout.mouth_std[-1] + tested.readout.mouth_mean[-1]
        loudness = (item["clean"][:, 0] + 3.5) / 5.0
        at_centres = loudness[((torch.arange(50) + 0.5) * 3.2).round().long().clamp_max(159)]
        assert (opening - at_centres)[judged].abs().max() < 0.12
        read = tested.readout(item["latents"])[judged]
        torch.testing.assert_close(read[:, -1], item["mouth"][judged][:, -1], rtol=0, atol=0.1)
        lengths.add(int(judged.sum()))
    assert (len(lengths) > 1) == (speed > 0)


def test_a_cut_silence_has_a_closed_mouth_in_sound_and_latents():
    tested = recipe(silence=1.0, gated=1.0)
    count = 0
    for seed in range(10):
        batch = tested.batch(0, np.random.default_rng(seed))
        closed = tested.readout.closed
        for row in range(3):
            silent = ((batch["mouth"][row] - closed).abs().amax(1) < 1e-5) & (batch["has_mouth"][row] > 0)
            if silent.sum() < 25 - 12:
                continue
            count += 1
            read = tested.readout(batch["latents"][row][silent])
            assert (read[:, -1] - closed[-1]).abs().max() < 0.2
            assert batch["motion"][row][silent].abs().max() < 1e-6
            assert batch["visemes"][row][silent].unique().tolist() == [VISEMES.index("sil")]
    assert count > 5


def test_a_clip_of_silence_alone_is_faded_to_the_floor():
    tested = recipe(silence=1.0, gated=1.0)
    for seed in range(40):
        batch = tested.batch(0, np.random.default_rng(seed))
        whole = (batch["visemes"] == VISEMES.index("sil")).all(1)
        if whole.any():
            assert batch["mel"][whole].max() == -4.0
            return
    pytest.fail("no clip was silenced whole")


def test_the_gate_sees_speech_and_noise_alone(planted):
    for seed in range(5):
        batch = planted.batch(0, np.random.default_rng(seed))
        assert batch["gate_mel"].shape == (2, 160, 80)
        assert batch["gate_speech"].shape == (2, 160)
        assert batch["gate_mel"].abs().max() <= 4.0
    labels = [planted.batch(0, np.random.default_rng(s))["gate_speech"].float().mean() for s in range(12)]
    assert 0.05 < float(torch.stack(labels).mean()) < 0.9


def test_every_weight_takes_part_in_the_loss(planted):
    terms = planted.loss(planted.batch(0, np.random.default_rng(0)), 0)
    assert {"latent", "readout", "pose", "viseme", "mouth", "gate", "loss"} <= set(terms)
    terms["loss"].backward()
    for name, module in planted.modules.items():
        for key, weight in module.named_parameters():
            assert weight.grad is not None, f"{name}.{key}"
            weight.grad = None


def test_training_learns_the_planted_mouth_and_saves_the_system(tmp_path):
    tested = recipe(silence=0.2)
    frozen = torch.nn.Linear(2, 2)
    tested.frozen, tested.frozen_configs = {"autoencoder": frozen}, {"autoencoder": {"kind": "test"}}
    config = TrainConfig(lr=3e-3, warmup=5, schedule="cosine", beta2=0.98, ema_decay=0.9)
    result = train(tested, tmp_path / "run", 100, config, sample_every=100, log_every=0, device="cpu", quiet=True)
    read = read_checkpoint(result.checkpoint, "dae_talker")
    assert set(read.configs) == {"autoencoder", "speech2latent", "gate"}
    model = read.load_into(
        Speech2Latent(Speech2LatentConfig.from_dict(read.configs["speech2latent"])), "speech2latent"
    ).eval()
    read.load_into(VoiceActivityGate(GateConfig.from_dict(read.configs["gate"])), "gate")
    fresh = clip(50)
    with torch.no_grad():
        predicted = tested.readout.opening(model(fresh.mels.float(), 60).latents[0])
    assert np.corrcoef(predicted.numpy(), fresh.mouth[:, -1].numpy())[0, 1] > 0.85
    assert list((tmp_path / "run" / "samples").glob("*"))


def test_the_sample_is_a_picture(planted):
    picture = planted.sample(planted.modules)
    assert picture.dtype == np.uint8
    assert picture.shape == (480, 800, 3)
    assert picture.min() < 100


def test_some_windows_are_heard_by_an_ear() -> None:
    acoustic, marked = small_acoustic(), 7.0
    heard = [replace(clip(n), by_ear=torch.full((2, 60, 16), marked).half()) for n in range(3)]
    training = Speech2LatentTraining(own=4, voices=2, frames=50, noises=6, speed=0.0, silence=0.5)
    config = replace(recipe().model.config)
    tested = Speech2LatentRecipe(heard, config, [clip(9, latents=False)], training, acoustic=acoustic)
    shares = []
    for seed in range(12):
        batch = tested.batch(0, np.random.default_rng(seed))
        by_ear, features = batch["by_ear"], batch["features"]
        assert not by_ear[4:].any(), "no ear has heard these voices"
        silent = (batch["visemes"] == VISEMES.index("sil")).all(1)
        torch.testing.assert_close(features[4:], quiet_features(acoustic).expand_as(features[4:]))
        said = by_ear & ~silent & (batch["has_latents"].amin(1) > 0)
        assert (features[said].isclose(torch.tensor(marked)).all(-1).float().mean(1) > 0.4).all()
        given = tested._heard(batch["mel"], 50, None, (features, by_ear))
        assert torch.equal(given[by_ear], features[by_ear])
        torch.testing.assert_close(given[~by_ear], acoustic(batch["mel"][~by_ear], 50).features)
        shares.append(by_ear[:4].float().mean())
    assert 0.4 < float(torch.stack(shares).mean()) < 0.8
    assert tested.loss(batch, 0)["loss"].isfinite()


def test_clips_without_truth_train_on_latents_alone():
    bare = [SpeechClip(name="x", frames=60, mels=clip(0).mels, latents=clip(0).latents)]
    config = recipe().model.config
    tested = Speech2LatentRecipe(bare, config, training=Speech2LatentTraining(own=2, frames=50, noises=6))
    assert "gate" not in tested.modules
    terms = tested.loss(tested.batch(0, np.random.default_rng(0)), 0)
    assert terms["latent"] > 0
    assert terms["readout"] == 0.0
    assert terms["loss"].isfinite()


def test_wrong_latents_are_refused():
    config = Speech2LatentConfig.preset("tiny", latent_dim=5)
    with pytest.raises(InputError, match="latents of 6 values"):
        Speech2LatentRecipe([clip(0)], config)
    with pytest.raises(InputError, match="encode the clips"):
        Speech2LatentRecipe([clip(0, latents=False)], config)


def test_silence_is_told_with_a_margin():
    speech = torch.zeros(60, dtype=torch.bool)
    speech[30:35] = True
    inside = well_inside_silence(SpeechClip("x", 60, torch.zeros(1, 192, 80), speech=speech), margin=10)
    assert inside.nonzero().flatten().tolist() == [*range(20), *range(45, 60)]
