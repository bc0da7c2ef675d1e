"""The voice activity gate: local and streamable, open around speech, and trained to tell it from sounds like it."""

import json

import pytest
import torch

from talkface_core.checkpoints import read_checkpoint, save_checkpoint
from talkface_core.media.audio import audio_source
from talkface_core.speech.vad import (
    GateConfig,
    VoiceActivityGate,
    _maximum,
    gate_loss,
    open_around,
    warn_of_no_speech,
)


@pytest.fixture
def gate() -> VoiceActivityGate:
    torch.manual_seed(0)
    net = VoiceActivityGate(GateConfig(width=8, dilations=(1, 2, 4), memory=20)).eval()
    # Spread the logits, so that the gate of the test opens and shuts.
    torch.nn.init.normal_(net.out.weight, std=3.0)
    return net


def walk(steps: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    rough = torch.randn(1, 80, steps // 10 + 2, generator=generator) * 1.5
    return torch.nn.functional.interpolate(rough, 10 * (steps // 10 + 2), mode="linear")[0].T[:steps].clamp(-4, 4)


@pytest.mark.parametrize("steps", [1, 30, 900, 2600])
@pytest.mark.parametrize("block", [13, 500])
def test_a_stream_gives_what_the_whole_gives(gate, steps, block):
    mel = walk(steps)
    whole = gate.fade(mel[None])[0].detach()
    parts = list(gate.stream(mel.split(block)))
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=1e-5)
    if steps > 2000:
        gain = gate.gain(mel[None])
        assert 0.05 < gain.mean() < 0.95


def test_the_look_ahead_is_bounded(gate):
    fed, returned = 0, 0
    mel = walk(6000)

    def blocks():
        nonlocal fed
        for block in mel.split(50):
            fed += len(block)
            yield block

    for part in gate.stream(blocks()):
        returned += len(part)
        assert fed - returned <= VoiceActivityGate.BLOCK + gate.reach + 50 or fed == 6000
    assert returned == 6000


def test_what_lies_beyond_the_reach_changes_nothing(gate):
    mel = walk(1000)
    other = mel.clone()
    other[500 + gate.reach + 1 :] = 3.0
    other[: 500 - gate.reach] = -4.0
    torch.testing.assert_close(gate.gain(other[None])[0, 500], gate.gain(mel[None])[0, 500])


def test_the_gate_opens_before_speech_and_shuts_after_it():
    config = GateConfig(lead=12, hang=10, fade=7)
    speech = torch.zeros(1, 200)
    speech[:, 80:120] = 1.0
    gain = open_around(speech, config)[0]
    assert gain[80 - 12 : 120 + 10].min() == 1.0
    assert gain[: 80 - 12 - 7].max() == 0.0
    assert gain[120 + 10 + 7 :].max() == 0.0
    assert gain.diff().abs().max() <= 1 / 7 + 1e-6


def test_clicks_shorter_than_any_sound_do_not_open_it(gate):
    logits = torch.full((1, 300), -5.0)
    logits[:, 100:103] = 5.0
    logits[:, 200:210] = 5.0
    gate.forward = lambda mel: logits
    gain = gate.gain(torch.zeros(1, 300, 80))[0]
    assert gain[60:160].max() == 0.0
    assert gain[200:210].min() == 1.0


@pytest.mark.parametrize(("before", "after"), [(0, 0), (3, 0), (0, 4), (7, 8), (120, 120)])
def test_maxima_are_those_of_each_window(before, after):
    x = walk(60)[None]
    padded = torch.cat([x[:, :1].expand(-1, before, -1), x, x[:, -1:].expand(-1, after, -1)], 1)
    wanted = padded.unfold(1, before + after + 1, 1).amax(-1)
    assert torch.equal(_maximum(x, before, after), wanted)


def test_steady_noise_of_any_level_looks_the_same():
    """The net's second input is the rise above the noise floor: nothing, for a steady sound."""
    torch.manual_seed(0)
    net = VoiceActivityGate(GateConfig(width=8, dilations=(1,)))
    torch.nn.init.zeros_(net.enter.weight[:, :80])
    colour = torch.randn(80)
    quiet, loud = (net((colour + level).expand(1, 100, 80)) for level in (-1.0, 1.0))
    torch.testing.assert_close(quiet, loud)


def test_it_learns_bursts_over_hiss_in_a_few_steps():
    torch.manual_seed(0)
    net = VoiceActivityGate(GateConfig(width=8, dilations=(1, 2, 4), memory=40))
    optimiser = torch.optim.Adam(net.parameters(), 1e-2)

    def batch(seed):
        generator = torch.Generator().manual_seed(seed)
        speech = torch.zeros(4, 200, dtype=torch.bool)
        for row in range(4):
            first = int(torch.randint(10, 120, (1,), generator=generator))
            speech[row, first : first + 60] = True
        level = torch.rand(4, 1, 1, generator=generator) * 3 - 3
        mel = level + 0.2 * torch.randn(4, 200, 80, generator=generator)
        shape = torch.linspace(2, 0.5, 80)
        return (mel + speech[..., None] * shape).clamp(-4, 4), speech

    for step in range(60):
        mel, speech = batch(step)
        loss = gate_loss(net(mel), speech)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    mel, speech = batch(1000)
    with torch.no_grad():
        right = ((net(mel) > 0) == speech).float().mean()
    assert right > 0.95


def test_missed_speech_costs_more_than_a_false_alarm():
    speech = torch.zeros(1, 100, dtype=torch.bool)
    wrong = gate_loss(torch.full((1, 100), 3.0), speech)
    assert gate_loss(torch.full((1, 100), -3.0), ~speech) == pytest.approx(2 * float(wrong), rel=1e-5)


def test_it_survives_a_checkpoint(gate, tmp_path):
    config = gate.config.to_dict()
    save_checkpoint(tmp_path / "x.safetensors", "dae_talker", {"gate": gate}, {"gate": config}, {})
    read = read_checkpoint(tmp_path / "x.safetensors")
    again = VoiceActivityGate(GateConfig.from_dict(json.loads(json.dumps(read.configs["gate"]))))
    assert again.config == gate.config
    mel = walk(300)[None]
    torch.testing.assert_close(read.load_into(again, "gate").eval().gain(mel), gate.gain(mel))


@pytest.mark.parametrize("gated", [True, False])
@pytest.mark.parametrize("level", [0.0, 0.1])
def test_sound_without_speech_is_told_of_once(gate, gated, level, caplog):
    torch.nn.init.zeros_(gate.out.weight)
    torch.nn.init.constant_(gate.out.bias, -5.0)  # takes nothing for speech
    wave = level * torch.randn(1, 1, 40_000, generator=torch.Generator().manual_seed(0))
    source = audio_source({"waveform": wave, "sample_rate": 16_000})
    for _ in range(2):
        warn_of_no_speech(source, gate if gated else None, torch.device("cpu"))
    messages = [record.getMessage() for record in caplog.records]
    quiet = gated or level == 0
    assert messages == ["audio holds nothing that sounds like speech: the mouth stays shut"] * quiet


def test_speech_anywhere_is_heard(gate, caplog):
    torch.nn.init.zeros_(gate.out.weight)
    torch.nn.init.constant_(gate.out.bias, 5.0)
    wave = torch.zeros(1, 1, 40 * 16_000)
    wave[..., -8000:] = 0.1 * torch.randn(8000, generator=torch.Generator().manual_seed(0))
    warn_of_no_speech(audio_source({"waveform": wave, "sample_rate": 16_000}), gate, torch.device("cpu"))
    assert not caplog.records
