"""What a speaker hears: the log-mel, an acoustic model, or an ear in its place; recorded and live."""

import pytest
import torch

from talkface_core.acoustic.hearing import OutsideEar
from talkface_core.acoustic.model import load_acoustic
from talkface_core.acoustic.stream import acoustic_features, quiet_features
from talkface_core.checkpoints import CheckpointError, save_checkpoint
from talkface_core.dae_talker.hearing import hear_block, listen, live_step, silent_step
from talkface_core.dae_talker.live_latents import LiveSettings, live_latents
from talkface_core.dae_talker.model import SYSTEM, SpeechModel, load_dae_talker
from talkface_core.dae_talker.pipeline import speech_latents
from talkface_core.dae_talker.windows import Control
from talkface_core.errors import InputError
from talkface_core.media.source import MemoryAudio
from talkface_core.speech.features import LogMel
from tests.acoustic.small_acoustic import small_acoustic
from tests.acoustic.small_ear import save_small_whisper, small_ear, small_whisper
from tests.dae_talker.small import listening, save_small_talker, small_speech2latent


def wave(seconds: float, seed: int = 0) -> torch.Tensor:
    return 0.2 * torch.randn(int(16_000 * seconds), generator=torch.Generator().manual_seed(seed))


def sound(seconds: float) -> MemoryAudio:
    return MemoryAudio(wave(seconds)[None], 16_000)


def latents(speech: SpeechModel, seconds: float = 3.0, **options) -> torch.Tensor:
    return torch.cat([chunk.latents for chunk in speech_latents(speech, sound(seconds), **options)])


@pytest.fixture
def speech() -> SpeechModel:
    acoustic = small_acoustic()
    return SpeechModel(listening(acoustic), None, acoustic).eval()


def test_without_an_acoustic_model_the_log_mel_is_heard():
    speech = SpeechModel(small_speech2latent(), None)
    heard = listen(speech, sound(1.0))
    assert heard.front == "mel"
    torch.testing.assert_close(torch.cat(list(heard.features)), LogMel()(wave(1.0)))
    assert (silent_step(speech) == LogMel.SILENCE).all()
    mel = torch.randn(50, 80)
    assert hear_block(speech, mel, 7, 10, 20) == (mel, 7)


def test_the_acoustic_model_is_heard_as_one_call_of_both_networks_would(speech):
    heard = listen(speech, sound(3.0))
    assert heard.front == "acoustic"
    mel = torch.cat([LogMel()(wave(3.0)), torch.full((320, 80), LogMel.SILENCE)])
    features = acoustic_features(speech.acoustic, mel)
    torch.testing.assert_close(torch.cat(list(heard.features))[:75], features[:75], rtol=0, atol=1e-5)
    with torch.no_grad():
        whole = speech.speech2latent(features[None, :90], 75, "acoustic")
    torch.testing.assert_close(latents(speech), speech.speech2latent.denormalise(whole.latents[0]))
    torch.testing.assert_close(silent_step(speech), quiet_features(speech.acoustic))


def test_expression_stretches_about_what_silence_is_to_the_acoustic_model(speech):
    pose = torch.tensor([5.0, 0.0, 0.0])
    rest, plain, strong = (latents(speech, control=Control(pose=pose, expression=amount)) for amount in (0.0, 1.0, 1.5))
    torch.testing.assert_close(strong, rest + 1.5 * (plain - rest), rtol=1e-4, atol=1e-4)
    assert (rest[20:50] - rest[35]).abs().max() < 0.01
    assert (plain - rest).abs().max() > 0.05


def test_a_long_look_ahead_hears_live_what_is_heard_of_a_recording(speech):
    recorded = latents(speech, 6.0)
    for chunks in ([wave(6.0)], wave(6.0).split(777)):
        steps = live_latents(speech, chunks, LiveSettings(2.0, fade=0))
        live = torch.cat([step.latents for step in steps])
        assert live.shape == recorded.shape
        spread = (recorded - recorded.mean(0)).norm(dim=1).mean()
        assert (live - recorded).norm(dim=1).mean() < 0.2 * spread
    assert live_step(speech, 0, 50) < 0 < live_step(speech, 40, 50) < live_step(speech, 50, 60)


def test_nothing_beyond_the_look_ahead_is_heard(speech):
    settings, whole = LiveSettings(0.2, fade=0), wave(3.0)
    heard = 16 * 640 + 3200  # samples for the first sixteen frames
    cut, early = whole.clone(), whole.clone()
    cut[heard:], early[heard - 1600 :] = 0, 0
    made = [torch.cat([step.latents for step in live_latents(speech, [one], settings)]) for one in (whole, cut, early)]
    assert torch.equal(made[0][:16], made[1][:16])
    assert not torch.equal(made[0][12:16], made[2][12:16])


def test_an_ear_listens_in_the_acoustic_models_place(speech):
    ear = OutsideEar(small_whisper(), small_ear(speech.acoustic)).eval()
    other = SpeechModel(speech.speech2latent, None, speech.acoustic, ear)
    assert latents(other).shape == latents(speech).shape
    assert (latents(other) - latents(speech)).abs().max() > 0.01
    with pytest.raises(InputError, match="hears no acoustic features"):
        SpeechModel(small_speech2latent(), None, None, ear)
    with pytest.raises(InputError, match="another acoustic model"):
        SpeechModel(listening(small_acoustic(blocks=2)), None, small_acoustic(blocks=2), ear)


def test_checkpoints_hold_their_acoustic_model_or_name_a_bundled_one(tmp_path):
    acoustic = small_acoustic()
    own = save_small_talker(tmp_path / "own.safetensors", speech2latent=listening(acoustic), acoustic=acoustic)
    ear = save_small_whisper(tmp_path / "ear.safetensors", acoustic)
    plain, heard = load_dae_talker(own, "cpu"), load_dae_talker(own, "cpu", ear=ear)
    assert plain.speech.ear is None
    assert (latents(plain.speech) - latents(heard.speech)).abs().max() > 0.01
    bundled = load_acoustic("landmark_tiny")
    named = listening(bundled, acoustic="landmark_tiny")
    talker = load_dae_talker(save_small_talker(tmp_path / "named.safetensors", speech2latent=named), "cpu")
    assert torch.equal(talker.speech.acoustic.viseme.weight, bundled.viseme.weight)
    for net, message in (
        (listening(acoustic), "hears an acoustic model of 16 values a step, .*found one of no features"),
        (listening(acoustic, acoustic="landmark_tiny"), "of 16 values a step, 25 steps .*found one of 160 values"),
        (listening(acoustic, acoustic="../strange"), "'../strange', and no bundled checkpoint"),
    ):
        with pytest.raises(CheckpointError, match=message):
            load_dae_talker(save_small_talker(tmp_path / "wrong.safetensors", speech2latent=net), "cpu")


def test_an_acoustic_model_that_is_not_heard_is_left_where_it_is(tmp_path):
    path = save_small_talker(tmp_path / "deaf.safetensors", acoustic=small_acoustic())
    assert load_dae_talker(path, "cpu").speech.acoustic is None


def test_all_of_it_follows_the_model_to_another_device(speech):
    elsewhere = speech.to("meta")
    block, first = hear_block(elsewhere, torch.empty(200, 80), 0, 20, 60)
    assert (block.device.type, tuple(block.shape), first) == ("meta", (60 - first, 16), 20 - 9)


def test_a_stage_without_speech_is_not_whole(tmp_path):
    path = tmp_path / "acoustic.safetensors"
    save_checkpoint(path, SYSTEM, {"acoustic": small_acoustic()}, {"acoustic": small_acoustic().config.to_dict()}, {})
    with pytest.raises(CheckpointError, match="expected"):
        load_dae_talker(path, "cpu")
