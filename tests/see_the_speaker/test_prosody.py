"""Prosody: the pitch and loudness of sounds that are known, and a stream that gives what the whole gives."""

import pytest
import torch

from talkface_core.see_the_speaker.prosody import SILENT, Prosody
from tests.see_the_speaker.small_motion import sound


@pytest.mark.parametrize("hertz", [90.0, 150.0, 240.0])
def test_the_pitch_of_a_vowel(hertz: float) -> None:
    rows = Prosody()(sound(2.0, hertz))
    assert rows.shape == (50, 7)
    pitch = 2 ** (rows[5:45, 4] + 7.3)
    assert float((pitch - hertz).abs().max()) < 0.04 * hertz
    assert float(rows[5:45, 3].min()) > 0.8
    assert float(rows[5:45, 5].abs().max()) < 0.06  # a steady pitch is its own mean


def test_a_rising_pitch_and_a_louder_part() -> None:
    t = torch.arange(32000) / 16000
    phase = 2 * torch.pi * torch.cumsum(120 + 40 * t, 0) / 16000
    rows = Prosody()(0.3 * (phase.sin() + 0.5 * (2 * phase).sin()))
    assert float(rows[10:40, 6].mean()) > 0.02
    assert float(rows[:10, 5].mean()) < 0 < float(rows[40:, 5].mean())
    wave = sound(2.0)
    wave[:16000] *= 0.05
    rows = Prosody()(wave)
    assert float(rows[25:, 1].mean()) > 0.05 > -0.05 > float(rows[:25, 1].mean())
    assert float(rows[24:26, 2].max()) > 0.1


def test_silence_and_noise_have_no_pitch() -> None:
    assert torch.equal(Prosody()(torch.zeros(16000)), SILENT.expand(25, -1))
    rows = Prosody()(0.1 * torch.randn(16000, generator=torch.Generator().manual_seed(0)))
    assert float(rows[:, 4:].abs().max()) == 0


@pytest.mark.parametrize("size", [37, 640, 5000])
def test_a_stream_gives_what_the_whole_gives(size: int) -> None:
    wave = torch.cat([sound(1.3, 110), torch.zeros(9000), sound(1.0, 200)])
    whole = Prosody()(wave)
    parts = torch.cat(list(Prosody().stream(wave.split(size))))
    assert parts.shape == whole.shape
    assert torch.allclose(parts, whole, atol=1e-4)
