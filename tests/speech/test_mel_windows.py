"""The mel window of a frame: where it lies, what lies beyond the ends, and the shifts that published weights need."""

from fractions import Fraction

import pytest
import torch

from talkface_core.speech.features import LogMel
from talkface_core.speech.mel_windows import FRAMES, WINDOW, WindowStream, cut_windows, mel_windows, window_starts


@pytest.fixture
def counted():
    """A mel whose value tells its step."""
    return torch.arange(400.0)[:, None].repeat(1, LogMel.dim)


@pytest.mark.parametrize("fps", [25, Fraction(30000, 1001), 12, 60])
def test_a_window_is_centred_on_its_frame(counted, fps):
    frames = range(6, 40)
    windows = mel_windows(counted, frames, fps)
    assert windows.shape == (34, 1, LogMel.dim, WINDOW)
    for k, window in zip(frames, windows, strict=True):
        steps = window[0, 0]
        assert torch.equal(steps.diff(), torch.ones(WINDOW - 1))
        centre = 80 * (k + 0.5) / float(fps)
        assert abs(steps[WINDOW // 2] - centre) <= 0.5


def test_a_window_spans_five_frames():
    assert Fraction(WINDOW, 80) == Fraction(FRAMES, 25)


def test_silence_beyond_both_ends(counted):
    first, last = mel_windows(counted[:20] + 1, (0, 5), 25)
    assert (first[0, :, :6] == LogMel.SILENCE).all()
    assert first[0, 0, 6] == 1
    # Frame 5 is centred on step 17.6: steps 10 to 25, of which 20 to 25 do not exist.
    assert last[0, 0, 9] == 20
    assert (last[0, :, 10:] == LogMel.SILENCE).all()


def test_shift_is_in_seconds(counted):
    assert torch.equal(mel_windows(counted, [30], 25, 0.1), mel_windows(counted, [30], 25) + 8)


def test_the_published_placements_are_shifts():
    """The public trainers cut at int(80 * (k - 1) / 25) for frame k, and at int(80 * k / 25) for frames k to k + 4."""
    frames = range(3, 200)
    assert window_starts(frames, 25, 0.035) == [int(80.0 * (k - 1) / 25.0) for k in frames]
    assert window_starts((k + 2 for k in frames), 25, -0.005) == [int(80.0 * (k / 25.0)) for k in frames]


def test_cutting_by_step(counted):
    assert torch.equal(cut_windows(counted, torch.tensor([7]))[0, 0, 3], torch.arange(7.0, 23.0))


@pytest.mark.parametrize("fps", [25, Fraction(30000, 1001), 1, 120])
@pytest.mark.parametrize("shift", [0, 0.2, -0.1])
def test_a_stream_gives_the_windows_of_the_whole(counted, fps, shift):
    total = int(400 / 80 * fps) + 20
    whole = mel_windows(counted, range(total), fps, shift)
    stream = WindowStream(counted.split(17), fps, shift)
    parts, sizes = [], [1, 2, 5, 30, 3]
    while sum(map(len, parts)) < total:
        done = sum(map(len, parts))
        parts.append(stream.at(range(done, min(done + sizes[len(parts) % 5], total))))
        assert len(stream._stream._rows) < 17 + 80 / float(fps) * 32 + 2 * WINDOW
    assert torch.equal(torch.cat(parts), whole)


def test_a_stream_passes_over_frames_and_gives_the_last_again(counted):
    whole, stream = mel_windows(counted, range(120), 25), WindowStream(counted.split(17), 25)
    for frames in ([0, 1, 5], [1, 5], [60, 61, 63, 70], [60, 61], [63, 70], [119]):
        assert torch.equal(stream.at(frames), whole[frames])
    assert len(stream._stream._rows) <= WINDOW + 17
