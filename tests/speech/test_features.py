"""Log-mel against librosa, streaming against whole, an hour of clicks, and features made by the host's encoders."""

from collections.abc import Iterator
from fractions import Fraction

import librosa
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from talkface_core.errors import InputError
from talkface_core.media.audio import AudioSource, analysis_blocks
from talkface_core.media.timebase import as_rate, step_at
from talkface_core.speech.features import EncodedAudio, LogMel


def speechlike(n: int, seed: int = 0) -> Tensor:
    """Noise under a slow loudness curve from silence to full scale: every level that the scale can show."""
    noise = torch.randn(n, generator=torch.Generator().manual_seed(seed))
    loudness = 10 ** (-3 + 3 * torch.sin(torch.arange(n) / 3000).abs())
    return (noise * loudness * 0.3).clamp(-1, 1)


def librosa_log_mel(waveform: np.ndarray) -> np.ndarray:
    """The published settings in librosa's own words, float64, [80, 1 + N // 200]."""
    spectrum = librosa.feature.melspectrogram(
        y=librosa.effects.preemphasis(waveform, coef=0.97, zi=np.zeros(1)),
        sr=16000,
        n_fft=800,
        hop_length=200,
        win_length=800,
        window="hann",
        center=True,
        pad_mode="constant",
        power=1.0,
        n_mels=80,
        fmin=55,
        fmax=7600,
        dtype=np.float64,
    )
    decibels = librosa.amplitude_to_db(spectrum, ref=1.0, amin=1e-5, top_db=None) - 20
    return np.clip(8 * (decibels + 100) / 100 - 4, -4, 4)


@pytest.mark.filterwarnings("ignore:n_fft=800 is too large")
@pytest.mark.parametrize("n", [16000, 16100, 12345, 201, 200, 199])
def test_values_are_librosas(n: int) -> None:
    waveform = speechlike(n)
    ours = LogMel()(waveform)
    theirs = librosa_log_mel(waveform.numpy().astype(np.float64)).T[: -(-n // 200)]
    assert ours.shape == theirs.shape
    assert np.abs(ours.numpy() - theirs).max() < 1e-3
    assert ours.std() > 0.3


def test_silence_and_scale() -> None:
    mel = LogMel()
    assert torch.equal(mel(torch.zeros(3210)), torch.full((17, 80), LogMel.SILENCE))
    assert mel(torch.full((1,), 0.5)).shape == (1, 80)
    loud = mel(torch.randn(16000).sign())
    assert loud.max() <= 4
    assert loud.mean() > 1
    with pytest.raises(InputError):
        mel(torch.zeros(0))
    with pytest.raises(InputError):
        mel(torch.zeros(2, 100))
    assert list(mel.stream([])) == []
    assert (mel.dim, mel.rate, mel.offset) == (80, 80, 0)


@settings(max_examples=40)
@given(lengths=st.lists(st.integers(1, 3000), min_size=1, max_size=8))
def test_streaming_equals_whole(lengths: list[int]) -> None:
    waveform = speechlike(sum(lengths), seed=1)
    whole = LogMel()(waveform)
    streamed = torch.cat(list(LogMel().stream(waveform.split(lengths))))
    assert whole.shape == streamed.shape == (-(-len(waveform) // 200), 80)
    assert (whole - streamed).abs().max() < 1e-5


def test_long_waveform_is_cut_into_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    waveform = speechlike(40000)
    whole = LogMel()(waveform)
    monkeypatch.setattr(LogMel, "_LONGEST", 7001)
    assert (LogMel()(waveform) - whole).abs().max() < 1e-5


class Clicks(AudioSource):
    """An hour of silence with sparse clicks, made block by block."""

    channels = 1

    def __init__(self, sample_rate: int, seconds: int = 3600, every: Fraction = Fraction(60007, 1000)) -> None:
        self.sample_rate, self._total = sample_rate, seconds * sample_rate
        self.at = [int(k * every * sample_rate) for k in range(1, int(seconds / every) + 1)]
        self.at[-1] = self._total - sample_rate // 10  # one at the very end, where drift is largest

    def blocks(self, seconds: float = 1.0) -> Iterator[Tensor]:
        size = round(seconds * self.sample_rate)
        clicks = torch.tensor(self.at)
        for start in range(0, self._total, size):
            block = torch.zeros(1, min(size, self._total - start))
            block[0, clicks[(clicks >= start) & (clicks < start + size)] - start] = 0.9
            yield block

    def num_samples(self) -> int:
        return self._total


def test_an_hour_of_clicks_through_resampler_and_mel_does_not_drift() -> None:
    source = Clicks(11025)
    clicks: list[int] = []
    total = 0
    for mel in LogMel().stream(analysis_blocks(source, seconds=10)):
        loud = (mel.mean(dim=1) > -3.5).nonzero()[:, 0]
        strength = mel.mean(dim=1)
        for step in loud.tolist():
            if not clicks or total + step > clicks[-1] + 8:
                clicks.append(total + step + int(strength[step : step + 5].argmax()))
        total += len(mel)
    assert total == 3600 * 80
    assert len(clicks) == len(source.at) == 59
    for sample, step in zip(source.at, clicks, strict=True):
        off = abs(step / LogMel.rate - Fraction(sample, 11025))
        for fps in (12, 23.976, 24, 25, 29.97, 30, 50):
            assert off < Fraction(1, 2) / as_rate(fps)
        assert off <= Fraction(1, 80)


@pytest.mark.parametrize("sample_rate", [8000, 44100])
def test_an_hour_of_clicks_through_the_resampler_stays_on_its_sample(sample_rate: int) -> None:
    source = Clicks(sample_rate)
    loudest: dict[int, float] = {}
    total = 0
    for block in analysis_blocks(source, seconds=10):
        for n in (block.abs() > 0.1).nonzero()[:, 0].tolist():
            loudest[total + n] = block[n].abs().item()
        total += len(block)
    assert total == 3600 * 16000
    for sample in source.at:
        near = range(
            step_at(Fraction(sample, sample_rate), 16000) - 8, 16 + step_at(Fraction(sample, sample_rate), 16000)
        )
        peak = max((n for n in near if n in loudest), key=loudest.__getitem__)
        assert abs(peak - Fraction(sample * 16000, sample_rate)) <= 1
        for fps in (23.976, 29.97, 60):
            measured, wanted = (time * as_rate(fps) for time in (Fraction(peak, 16000), Fraction(sample, sample_rate)))
            assert abs(int(measured) - int(wanted)) <= 1


def wav2vec2(n: int, dim: int = 6) -> Tensor:
    steps = (n - 400) // 320 + 1
    return torch.arange(float(steps * dim)).reshape(1, steps, dim)


@pytest.mark.parametrize("n", [32000, 32001, 40123, 400, 720])
@pytest.mark.parametrize("counted", [True, False])
def test_wav2vec2_features_cover_the_sound(n: int, counted: bool) -> None:
    given_features = wav2vec2(n)
    front = EncodedAudio({"encoded_audio": given_features, **({"audio_samples": n} if counted else {})})
    out = front(torch.zeros(n))
    steps = given_features.shape[1]
    assert (front.dim, front.rate, front.offset) == (6, 50, Fraction(399, 32000))
    assert out.shape == (-(-n // 320), 6)
    assert torch.equal(out[:steps], given_features[0])
    assert torch.equal(out[steps:], given_features[0, -1:].expand(len(out) - steps, 6))
    assert torch.equal(torch.cat(list(front.stream(torch.zeros(n).split(777)))), out)


def test_whisper_features_are_cut_to_the_sound() -> None:
    output = {"encoded_audio": torch.rand(1, 1500, 4), "audio_samples": 32000}
    front = EncodedAudio(output)
    assert front.offset == 0
    assert torch.equal(front(torch.zeros(32000)), output["encoded_audio"][0, :100])
    assert len(EncodedAudio({"encoded_audio": torch.rand(1, 1500, 4)})(torch.zeros(480000))) == 1500


def test_a_layer_can_be_chosen() -> None:
    layers = tuple(torch.full((1, 99, 6), float(k)) for k in range(13))
    output = {"encoded_audio": layers[-1], "encoded_audio_all_layers": layers, "audio_samples": 32000}
    assert EncodedAudio(output, layer=7)(torch.zeros(32000)).unique().tolist() == [7.0]
    assert EncodedAudio(output)(torch.zeros(32000)).unique().tolist() == [12.0]
    with pytest.raises(InputError, match=r"layer 13 .* 13 layers"):
        EncodedAudio(output, layer=13)


@pytest.mark.parametrize(
    ("output", "message"),
    [
        (None, "AUDIO_ENCODER_OUTPUT"),
        ({"waveform": torch.zeros(1, 1, 3)}, "encoded_audio"),
        ({"encoded_audio": torch.zeros(99, 6)}, r"\[99, 6\]"),
        ({"encoded_audio": torch.zeros(1, 0, 6)}, "shape"),
        ({"encoded_audio": torch.full((1, 99, 6), float("nan"))}, "NaN"),
        ({"encoded_audio": torch.zeros(1, 1500, 6), "audio_samples": 31 * 16000}, "31.00 s is too long for Whisper"),
        ({"encoded_audio": torch.zeros(1, 99, 6), "audio_samples": 64000}, "covers 1.98 s but the audio is 4.00 s"),
    ],
)
def test_wrong_encoder_output_is_refused(output: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        EncodedAudio(output)  # type: ignore[arg-type]


def test_features_of_other_sound_are_refused() -> None:
    front = EncodedAudio({"encoded_audio": wav2vec2(32000)})
    with pytest.raises(InputError, match="encode the same audio"):
        front(torch.zeros(48000))
    with pytest.raises(InputError, match="encode the same audio"):
        list(front.stream([torch.zeros(16000)]))
