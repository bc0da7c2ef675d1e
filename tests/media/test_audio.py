"""AUDIO dicts and the analysis copy: every odd input, exact lengths, and nothing changed that belongs to the user."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import soxr
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from talkface_core.errors import InputError
from talkface_core.media.audio import AudioSource, analysis_audio, analysis_blocks, audio_source
from talkface_core.media.source import reblock
from talkface_core.media.timebase import resampled_count


def audio(waveform: Tensor, sample_rate: int = 16000) -> dict:
    return {"waveform": waveform, "sample_rate": sample_rate}


def test_source_gives_the_very_samples_every_time() -> None:
    waveform = torch.rand(2, 3, 1001, generator=torch.Generator().manual_seed(0)) - 0.5
    source = audio_source(audio(waveform, 1000))
    for seconds in (1.0, 0.1, 100.0, 0.0001):
        assert torch.equal(torch.cat(list(source.blocks(seconds)), 1), waveform[0])
    assert (source.sample_rate, source.channels, source.num_samples()) == (1000, 3, 1001)


@pytest.mark.parametrize(
    ("dtype", "full"),
    [(torch.int16, 32768), (torch.int32, 2**31), (torch.int8, 128), (torch.float16, 1), (torch.float64, 1)],
)
def test_sample_types_are_scaled_to_one(dtype: torch.dtype, full: int) -> None:
    source = audio_source(audio((torch.tensor([[[-1.0, 0.0, 0.5]]], dtype=torch.float64) * full).to(dtype)))
    assert torch.equal(next(source.blocks()), torch.tensor([[-1.0, 0.0, 0.5]]))


def test_unsigned_bytes_are_centred_on_128() -> None:
    source = audio_source(audio(torch.tensor([[0, 128, 192]], dtype=torch.uint8)))
    assert torch.equal(next(source.blocks()), torch.tensor([[-1.0, 0.0, 0.5]]))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (None, "None"),
        ({"waveform": torch.zeros(1, 1, 5)}, "sample_rate"),
        (torch.zeros(1, 1, 5), "AUDIO"),
        (audio(torch.zeros(1, 2, 0)), "empty"),
        (audio(torch.zeros(0, 2, 5)), "empty"),
        (audio(torch.zeros(1, 1, 1, 5)), "shape"),
        (audio(torch.tensor([[[0.0, float("nan")]]])), "1 samples that are NaN"),
        (audio(torch.tensor([[[0.0, float("inf")]]])), "infinite"),
        (audio(torch.tensor([[[0.0, float("nan")]]]).expand(1, 1, 2), 0), "sample rate"),
        (audio(torch.zeros(1, 1, 5), 22050.5), "22050.5"),
        (audio(torch.tensor([[[0.0, 20000.0]]])), "peaks at 20000.*32768"),
        (audio(torch.zeros(1, 1, 5, dtype=torch.complex64)), "complex64"),
    ],
)
def test_wrong_audio_is_refused_in_one_line(wrong: object, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        audio_source(wrong)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


def test_nan_late_in_the_sound_is_found() -> None:
    waveform = torch.zeros(1, 1, 16000 * 3)
    waveform[..., -1] = float("nan")
    with pytest.raises(InputError, match="NaN"):
        analysis_audio(audio(waveform))


def test_one_sample_and_silence_are_sound() -> None:
    assert analysis_audio(audio(torch.full((1, 1, 1), 0.25))).tolist() == [0.25]
    assert len(analysis_audio(audio(torch.full((1, 1, 1), 0.25), 48000))) == 1
    silence = analysis_audio(audio(torch.zeros(1, 2, 44100), 44100))
    assert torch.equal(silence, torch.zeros(16000))


def test_clipped_sound_is_held_at_full_scale_and_the_original_kept() -> None:
    waveform = torch.tensor([[[3.0, -2.0, 0.5]]])
    original = waveform.clone()
    assert analysis_audio(audio(waveform)).tolist() == [1.0, -1.0, 0.5]
    assert torch.equal(waveform, original)
    assert torch.equal(next(audio_source(audio(waveform)).blocks()), original[0])


def test_channels_are_averaged() -> None:
    waveform = torch.tensor([[[0.6, 0.0], [0.2, 0.4], [0.1, 0.2]]])
    assert torch.allclose(analysis_audio(audio(waveform)), torch.tensor([0.3, 0.2]))


@settings(max_examples=60)
@given(
    sample_rate=st.one_of(st.sampled_from([8000, 11025, 16000, 22050, 44100, 48000, 192000]), st.integers(8000, 48000)),
    samples=st.integers(1, 9000),
    seconds=st.sampled_from([0.01, 0.25, 1.0]),
)
def test_resampled_length_is_exact(sample_rate: int, samples: int, seconds: float) -> None:
    source = audio_source(audio(torch.full((1, 1, samples), 0.1), sample_rate))
    blocks = list(analysis_blocks(source, seconds=seconds))
    assert sum(map(len, blocks)) == resampled_count(samples, sample_rate, 16000)
    assert all(len(block) for block in blocks)


@pytest.mark.parametrize("sample_rate", [8000, 11025, 44100, 48000])
def test_streamed_resampling_equals_whole(sample_rate: int, tone: Callable[..., np.ndarray]) -> None:
    x = tone(sample_rate, sample_rate + 77)
    whole = soxr.resample(x[0], sample_rate, 16000)
    streamed = torch.cat(list(analysis_blocks(audio_source(audio(torch.from_numpy(x), sample_rate)), seconds=0.1)))
    assert np.abs(streamed.numpy()[: len(whole)] - whole).max() < 1e-4


@pytest.mark.parametrize("sample_rate", [8000, 11025, 22050, 44100, 48000])
def test_resampling_keeps_the_moment(sample_rate: int) -> None:
    """A click in the middle and one on the very last sample come out where they went in, to within a sample."""
    x = torch.zeros(1, 1, sample_rate)
    for click in (sample_rate // 3, sample_rate - 1):
        x.zero_()
        x[..., click] = 1
        peak = analysis_audio(audio(x, sample_rate)).abs().argmax().item()
        assert abs(peak - click * 16000 / sample_rate) <= 1


def test_a_source_without_sound_is_refused() -> None:
    class Nothing(AudioSource):
        sample_rate, channels, name = 8000, 1, "nothing.wav"

        def blocks(self, seconds: float = 1.0) -> Iterator[Tensor]:
            yield from ()

        def num_samples(self) -> int:
            return 0

    with pytest.raises(InputError, match=r"nothing\.wav is empty"):
        list(analysis_blocks(Nothing()))


@given(lengths=st.lists(st.integers(1, 30), max_size=12), size=st.integers(1, 25))
def test_reblocking_loses_nothing(lengths: list[int], size: int) -> None:
    whole = torch.arange(2 * sum(lengths)).reshape(2, -1)
    blocks = list(reblock(whole.split(lengths, 1) if lengths else [], size))
    assert all(block.shape[1] == size for block in blocks[:-1])
    assert all(0 < block.shape[1] <= size for block in blocks)
    assert torch.equal(torch.cat(blocks, 1) if blocks else whole[:, :0], whole)
