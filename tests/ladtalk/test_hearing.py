"""What Wav2Lip hears: windows or acoustic features, at the rate of the film, with silence behind the sound."""

from dataclasses import replace

import pytest
import torch

from talkface_core.acoustic.hearing import OutsideEar
from talkface_core.acoustic.model import PRESSED
from talkface_core.acoustic.stream import acoustic_features
from talkface_core.errors import InputError
from talkface_core.ladtalk.hearing import AFTER, hear, hear_silence, listen
from talkface_core.ladtalk.model import Wav2LipModel
from talkface_core.media.source import MemoryAudio
from talkface_core.speech.features import LogMel
from talkface_core.speech.mel_windows import mel_windows
from tests.acoustic.small_acoustic import small_acoustic
from tests.acoustic.small_ear import small_ear, small_whisper
from tests.ladtalk.small_ladtalk import LISTENING, small_lips

MEL = torch.randn(160, 80, generator=torch.Generator().manual_seed(1))


def test_without_an_acoustic_model_windows_are_heard():
    lips = small_lips()
    assert torch.equal(hear(lips, MEL.split(30), 25).at(range(50)), mel_windows(MEL, range(50), 25))
    assert (hear_silence(lips, 3) == LogMel.SILENCE).all()
    assert hear_silence(lips, 3).shape == (3, 1, 80, 16)


def test_features_come_at_the_rate_of_the_film():
    lips = small_lips(config=LISTENING)
    silence = torch.full((AFTER, 80), LogMel.SILENCE)
    whole = acoustic_features(lips.acoustic, torch.cat([MEL, silence]))
    torch.testing.assert_close(hear(lips, MEL.split(30), 25).at(range(50)), whole[:50], rtol=0, atol=1e-5)
    slow = hear(lips, MEL.split(30), 12.5).at(range(25))
    torch.testing.assert_close(slow, (whole[0:50:2] + whole[1:50:2]) / 2, rtol=0, atol=1e-5)


def test_after_the_sound_there_is_silence():
    lips = small_lips(config=LISTENING)
    long_after = hear(lips, [MEL], 25).at([400, 401])
    still = hear_silence(lips, 2)
    assert still.shape == (2, 16)
    torch.testing.assert_close(long_after, still, rtol=0, atol=1e-4)
    assert (hear(lips, [MEL], 25).at([10]) - still[:1]).abs().max() > 0.3


@pytest.mark.parametrize("fps", [1, 10, 100])
def test_the_silence_behind_a_sound_is_as_long_for_acoustic_models_of_any_rate(fps):
    lips = small_lips(config=LISTENING)
    lips.acoustic = small_acoustic(fps=fps)
    whole = acoustic_features(lips.acoustic, torch.cat([MEL[:1], torch.full((AFTER, 80), LogMel.SILENCE)]))
    assert torch.equal(hear(lips, [MEL[:1]], fps).at([10_000])[0], whole[len(whole) - 2 * fps - 1])
    assert hear(lips, [], fps).at([0]).shape == hear_silence(lips, 1).shape == (1, 16)


def test_both_ears_hear_the_same_frames():
    both = small_lips(config=replace(LISTENING, also_mel=True))
    rows = hear(both, MEL.split(30), 25).at(range(50))
    torch.testing.assert_close(rows[:, :-16], mel_windows(MEL, range(50), 25).flatten(1))
    torch.testing.assert_close(rows[:, -16:], hear(small_lips(config=LISTENING), MEL.split(30), 25).at(range(50)))
    assert hear_silence(both, 2).shape == (2, 80 * 16 + 16)
    vectors = both.wav2lip.encode_speech(rows)
    assert vectors.shape == (50, 8, 1, 1)
    for part in (slice(0, -16), slice(-16, None)):
        other = rows.clone()
        other[:, part] = 0
        assert (both.wav2lip.encode_speech(other) - vectors).abs().max() > 1e-3


@pytest.mark.parametrize("also_mel", [False, True])
def test_what_is_heard_goes_to_silence_where_lips_shut(also_mel):
    plain = small_lips(config=replace(LISTENING, also_mel=also_mel))
    closing = small_lips(config=replace(LISTENING, also_mel=also_mel, closing=1.0))
    own, quiet = hear(plain, [MEL], 25).at(range(50)), hear_silence(plain, 1)
    for lips, weight in ((plain, 0.0), (closing, 0.0), (closing, 30.0)):
        with torch.no_grad():
            lips.acoustic.viseme.bias[PRESSED] = weight
        heard = hear(lips, [MEL], 25).at(range(50))
        if lips is plain:
            assert torch.equal(heard, own)
        elif weight:  # in all frames p, b or m, and heard as silence
            torch.testing.assert_close(heard, quiet.expand_as(heard), rtol=0, atol=1e-2)
        else:
            shares = torch.sigmoid((lips.acoustic.pressed(own[:, -16:]) - 0.2) / 0.1)[:, None]
            torch.testing.assert_close(heard, torch.lerp(own, quiet, shares), rtol=0, atol=1e-4)


def test_another_ear_hears_in_the_acoustic_models_place():
    own = small_lips(config=LISTENING)
    ear = OutsideEar(small_whisper(), small_ear(own.acoustic))
    eared = Wav2LipModel(own.wav2lip, None, own.acoustic, ear)
    sound = MemoryAudio(0.1 * torch.randn(1, 1, 16000, generator=torch.Generator().manual_seed(0)), 16000)
    heard, before = (listen(lips, sound, 25).at(range(40)) for lips in (eared, own))
    assert heard.shape == before.shape == (40, 16)
    assert (heard - before)[:20].abs().max() > 0.1
    with pytest.raises(InputError, match="hears no acoustic features"):
        Wav2LipModel(small_lips().wav2lip, ear=ear)
