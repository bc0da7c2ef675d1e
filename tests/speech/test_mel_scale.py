"""The mel scale and its filters, bit by bit those of librosa, without what librosa brings along."""

import subprocess
import sys

import librosa
import numpy as np
import pytest

from talkface_core.speech.features import mel_filters
from talkface_core.speech.mel_scale import mel_frequencies, triangles


def test_the_filters_of_the_published_networks() -> None:
    theirs = librosa.filters.mel(sr=16000, n_fft=800, n_mels=80, fmin=55.0, fmax=7600.0, dtype=np.float32)
    assert np.array_equal(mel_filters(), theirs)


@pytest.mark.parametrize(
    ("bands", "low", "high", "rate", "n_fft"), [(40, 0.0, 4000.0, 8000, 512), (128, 20.0, 2e4, 44100, 2048)]
)
def test_others(bands: int, low: float, high: float, rate: int, n_fft: int) -> None:
    theirs = librosa.filters.mel(sr=rate, n_fft=n_fft, n_mels=bands, fmin=low, fmax=high, dtype=np.float32)
    np.testing.assert_allclose(triangles(bands, low, high, rate, n_fft), theirs, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(mel_frequencies(bands, low, high), librosa.mel_frequencies(bands, fmin=low, fmax=high))


def test_no_compiler_is_imported() -> None:
    script = "import sys; from talkface_core.speech.features import mel_filters; mel_filters(); "
    script += "assert not {'numba', 'librosa'} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", script], check=True)
