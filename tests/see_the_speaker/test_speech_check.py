"""No portrait without speech."""

import numpy as np
import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.media.audio import audio_source
from talkface_core.see_the_speaker.speech_check import speech_features
from talkface_core.speech.features import LogMel


class _Loud:
    """A gate that takes for speech what is loud."""

    def stream(self, blocks):
        for block in blocks:
            loud = block.mean(1, keepdim=True) > 0
            yield torch.where(loud, block, torch.full_like(block, LogMel.SILENCE))


def sound(*parts: tuple[float, float], rate: int = 16000):
    """Noise of seconds and levels, one after the other."""
    rng = np.random.default_rng(0)
    wave = np.concatenate([level * rng.standard_normal(int(seconds * rate)) for seconds, level in parts])
    return audio_source({"waveform": torch.from_numpy(wave.astype(np.float32))[None, None], "sample_rate": rate})


def test_the_ten_seconds_in_which_most_is_said() -> None:
    mel = speech_features(sound((12, 1e-4), (9, 0.1), (12, 1e-4)), _Loud())
    said = (mel > LogMel.SILENCE).any(1)
    assert mel.shape == (800, 80)
    assert 0.85 < float(said.float().mean()) < 0.95


def test_a_short_voice_is_taken_whole_and_padded_to_a_second() -> None:
    assert speech_features(sound((3.0, 0.1)), None).shape == (240, 80)
    short = speech_features(sound((0.6, 0.1)), None, least=30)
    assert short.shape == (80, 80)
    assert (short[60:] == LogMel.SILENCE).all()


@pytest.mark.parametrize("parts", [[(5.0, 1e-4)], [(0.5, 0.1), (4.0, 1e-4)]])
def test_sound_without_speech_is_refused(parts) -> None:
    with pytest.raises(InputError, match=r"needs speech, and this sound holds 0\.[05] s of it; give at least 1\.0 s"):
        speech_features(sound(*parts), _Loud())


def test_digital_silence_is_refused_without_a_gate() -> None:
    with pytest.raises(InputError, match="needs speech"):
        speech_features(sound((3.0, 0.0)), None)
