"""Acoustic features by an encoder of the user: streams equal the whole, silence stays silent, what is refused."""

from unittest.mock import patch

import pytest
import torch

from talkface_core.acoustic.encoded_ear import EAR, EarConfig, EncodedEar, feature_space, joined, stream_ear
from talkface_core.acoustic.hearing import NO_EAR, SMALL_EAR, OutsideEar, frame_gains, hear, load_ear, pick_ear
from talkface_core.acoustic.model import load_acoustic
from talkface_core.acoustic.stream import acoustic_features, silence
from talkface_core.checkpoints import PRETRAINED, read_checkpoint
from talkface_core.components import build
from talkface_core.dae_talker.model import load_dae_talker
from talkface_core.errors import InputError
from talkface_core.ladtalk.model import load_ladtalk
from talkface_core.landmark_diffusion.model import load_landmark_diffusion
from talkface_core.media.source import MemoryAudio
from talkface_core.see_the_speaker.model import load_see_the_speaker
from talkface_core.speech.features import LogMel
from talkface_core.speech.whisper_mel import WhisperFeatures
from tests.acoustic.small_acoustic import small_acoustic
from tests.acoustic.small_ear import save_small_whisper, small_ear, small_whisper
from tests.acoustic.test_model import small

CPU = torch.device("cpu")


def outside(**changes) -> OutsideEar:
    return OutsideEar(small_whisper(), small_ear(small(), **changes)).eval()


def speech(seconds: float, shut: tuple[float, float] = (0.0, 0.0)) -> torch.Tensor:
    """Noise, digitally silent between two times."""
    wave = 0.1 * torch.randn(int(seconds * 16000), generator=torch.Generator().manual_seed(5))
    wave[int(shut[0] * 16000) : int(shut[1] * 16000)] = 0
    return wave


def source(wave: torch.Tensor) -> MemoryAudio:
    return MemoryAudio(wave[None, None], 16000)


@pytest.mark.parametrize("steps", [1, 2, 7, 250, 256, 257, 900])
@pytest.mark.parametrize("block", [1, 33, 5000])
def test_a_stream_gives_what_the_whole_gives(steps, block):
    ear, rows = small_ear(small()), torch.randn(steps, 16)
    whole = ear(joined(rows, 2)[None])[0]
    torch.testing.assert_close(torch.cat(list(stream_ear(ear, rows.split(block)))), whole, rtol=0, atol=2e-5)
    assert len(whole) == -(-steps // 2)


def test_no_sound_gives_no_features():
    assert list(stream_ear(small_ear(small()), [])) == []


def test_both_ways_to_hear_give_as_many_frames():
    acoustic, ear = small(), outside()
    for samples in (1, 199, 16000, 16039, 70_001):
        wave = speech(5)[:samples]
        lengths = [len(torch.cat(list(hear(acoustic, None, source(wave), CPU, by)))) for by in (None, ear)]
        assert lengths[0] == lengths[1], samples


def test_where_nobody_speaks_features_are_the_acoustic_models_of_silence():
    acoustic, ear = small(), outside()
    wave = speech(6, shut=(2.0, 4.0))
    heard = torch.cat(list(hear(acoustic, None, source(wave), CPU, ear)))
    quiet = acoustic_features(acoustic, silence())[50]
    torch.testing.assert_close(heard[54:96], quiet.expand(42, -1))
    torch.testing.assert_close(heard[154:], quiet.expand(len(heard) - 154, -1))
    after = torch.cat([wave, torch.zeros(64_000)])
    free = ear.ear(joined(WhisperFeatures(ear.encoder)(after), 2)[None])[0]
    torch.testing.assert_close(heard[:46], free[:46], rtol=0, atol=2e-5)
    assert (heard[:46] - quiet).abs().max() > 0.1


def test_gains_of_frames_stream():
    mel = torch.full((800, 80), LogMel.SILENCE)
    mel[200:420] = 0.0
    whole = torch.cat(list(frame_gains([mel], 25)))
    torch.testing.assert_close(torch.cat(list(frame_gains(mel.split(23), 25))), whole)
    assert whole.shape == (250, 1)
    assert whole[65:128].min() == 1
    assert whole[:60].max() == whole[134:].max() == 0


def test_a_file_brings_its_own_ear(tmp_path):
    acoustic = small()
    loaded = load_ear(save_small_whisper(tmp_path / "own.safetensors", acoustic))
    loaded.check(acoustic)
    rows = torch.randn(20, 16)
    (found,), (expected,) = stream_ear(loaded.ear, [rows]), stream_ear(small_ear(acoustic), [rows])
    torch.testing.assert_close(found, expected)
    assert loaded.encoder.config == small_whisper().config


def test_the_encoder_may_be_half_and_the_ear_stays_exact(tmp_path):
    acoustic = small()
    path = save_small_whisper(tmp_path / "own.safetensors", acoustic)
    half = load_ear(path, dtype=torch.bfloat16)
    assert half.encoder.first.weight.dtype == torch.bfloat16
    assert half.ear.enter.weight.dtype == torch.float32
    exact, rough = (torch.cat(list(by.stream([speech(1)]))) for by in (load_ear(path), half))
    assert 0 < (rough - exact).abs().max() < 0.1


def test_what_does_not_fit_is_one_clear_error(tmp_path):
    with pytest.raises(InputError, match="this Whisper gives 16 values a step, the ear reads 512: bring Whisper base"):
        load_ear(save_small_whisper(tmp_path / "other.safetensors"))
    with pytest.raises(InputError, match="expected the encoder of a Whisper"):
        load_ear("landmark_tiny")
    with pytest.raises(InputError, match="trained for another acoustic model"):
        outside(spaces=("0" * 16,)).check(small())
    with pytest.raises(InputError, match="trained for another acoustic model"):
        outside(features=17).check(small())
    with pytest.raises(InputError, match="leave the ear out"):
        outside().check(None)
    for wrong in ({"kernel": 4}, {"width": 30}, {"context": 0}, {"steps": 0}):
        with pytest.raises(InputError):
            EarConfig(**wrong)


def test_the_bundled_ear_hears_unless_another_is_asked_for(tmp_path):
    own, other = small(), small_acoustic()
    path = save_small_whisper(tmp_path / "own.safetensors", own)
    with patch("talkface_core.acoustic.hearing.list_checkpoints", lambda: {SMALL_EAR: path}):
        found = pick_ear()(own)
        assert isinstance(found, OutsideEar)
        assert pick_ear()(other) is pick_ear()(None) is pick_ear(NO_EAR)(own) is None
    with patch("talkface_core.acoustic.hearing.list_checkpoints", dict):  # who wants none of Whisper removes the file
        assert pick_ear()(own) is None
    named = pick_ear(path)(own)
    rows = torch.randn(20, 16)
    torch.testing.assert_close(list(stream_ear(named.ear, [rows])), list(stream_ear(found.ear, [rows])))


def test_all_bundled_systems_hear_by_the_bundled_ear():
    sides = (
        load_dae_talker(device="cpu").speech,
        load_ladtalk(device="cpu").lips,
        load_landmark_diffusion(device="cpu").completion,
        load_see_the_speaker(device="cpu").motion,
    )
    for side in sides:
        assert side.ear is not None
        assert side.ear.encoder.config.blocks == 2


def test_the_bundled_ear_is_the_bundled_acoustic_models():
    ear = build(read_checkpoint(PRETRAINED / "whisper_ear.safetensors", "whisper_ear"), EAR)
    assert isinstance(ear, EncodedEar)
    assert feature_space(load_acoustic("landmark_tiny")) in ear.config.spaces
