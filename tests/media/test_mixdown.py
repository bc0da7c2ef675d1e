"""The mono copy of sound whose channels oppose each other: what is said stays in it, and nothing else changes."""

import pytest
import torch
from torch import Tensor

from talkface_core.media.audio import analysis_blocks, audio_source

RATE = 16000


def voice(seconds: float, seed: int = 0) -> Tensor:
    """Bursts of noise with pauses, as words are [n]."""
    n = int(seconds * RATE)
    noise = torch.randn(n, generator=torch.Generator().manual_seed(seed)) * 0.1
    return noise * (torch.sin(torch.arange(n) * (2 * torch.pi * 1.3 / RATE)) > -0.3)


def mixed(*channels: Tensor, block: float = 1.0) -> Tensor:
    source = audio_source({"waveform": torch.stack(channels)[None], "sample_rate": RATE})
    return torch.cat(list(analysis_blocks(source, RATE, block)))


def level(wave: Tensor) -> float:
    return float(10 * wave.square().mean().log10())


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("share", [1.0, 0.8, 1.25])
def test_an_inverted_side_is_turned_round(share: float, caplog: pytest.LogCaptureFixture) -> None:
    said = voice(5)
    got = mixed(said, -share * said)
    assert level(got) == pytest.approx(level(said * (1 + share) / 2), abs=0.1)
    assert torch.nn.functional.cosine_similarity(got, said, 0).abs() > 0.99
    assert len(warnings(caplog)) == 1
    assert "cancel each other" in warnings(caplog)[0]


def test_surround_of_which_two_cancel(caplog: pytest.LogCaptureFixture) -> None:
    said, nothing = voice(3), torch.zeros(3 * RATE)
    got = mixed(said, -said, nothing, nothing, nothing, nothing)
    assert level(got) == pytest.approx(level(said / 3), abs=0.1)
    assert len(warnings(caplog)) == 1


@pytest.mark.parametrize("case", ["alike", "apart", "one side", "centre of eight", "a little inverted", "silence"])
def test_what_keeps_its_sound_is_the_plain_mean(case: str, caplog: pytest.LogCaptureFixture) -> None:
    a, b, nothing = voice(4), voice(4, seed=1), torch.zeros(4 * RATE)
    channels = {
        "alike": (a, a),
        "apart": (a, b),
        "one side": (nothing, a),
        "centre of eight": (a, *[nothing] * 7),
        "a little inverted": (a, -0.5 * a),
        "silence": (nothing, nothing),
    }[case]
    assert torch.equal(mixed(*channels), torch.stack(channels).mean(0))
    assert not warnings(caplog)


def test_a_guest_whose_microphone_is_inverted(caplog: pytest.LogCaptureFixture) -> None:
    """Two people in turn: both are heard, whichever speaks, and the warning comes once."""
    turns = [voice(4, seed) for seed in range(4)]
    left = torch.cat(turns)
    right = torch.cat([turn * (-1 if k % 2 else 1) for k, turn in enumerate(turns)])
    got = mixed(left, right)
    for part, said in zip(got.split(4 * RATE), turns, strict=True):
        assert level(part) == pytest.approx(level(said), abs=0.3)
    assert len(warnings(caplog)) == 1


def test_pauses_turn_nothing_round() -> None:
    """Between words on both sides alike there is a hiss that cancels out."""
    said, hiss = voice(8), 0.003 * torch.randn(8 * RATE, generator=torch.Generator().manual_seed(5))
    said[2 * RATE : 5 * RATE] = 0
    left, right = said + hiss, said - hiss
    assert torch.equal(mixed(left, right), torch.stack([left, right]).mean(0))


def test_the_mix_passes_over_without_a_click() -> None:
    hum = 0.3 * torch.sin(torch.arange(4 * RATE) * (2 * torch.pi * 100 / RATE))
    right = torch.cat([hum[: 2 * RATE], -hum[2 * RATE :]])
    got = mixed(hum, right)
    assert got.diff().abs().max() < 2 * hum.diff().abs().max()
    assert torch.allclose(got[: 2 * RATE], hum[: 2 * RATE])
    assert torch.allclose(got[2 * RATE + 400 :].abs(), hum[2 * RATE + 400 :].abs(), atol=1e-6)
