"""Windows against one piece, streams that forget, other frame rates; for vectors, landmarks and maps alike."""

from fractions import Fraction
from itertools import pairwise
from math import ceil

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from talkface_core.errors import InputError
from talkface_core.sequences import StreamBuffer, retime, sample_at, windowed, windows

SHAPES = [(6,), (68, 2), (4, 3, 3)]


def sequence(length: int, shape: tuple[int, ...] = (6,)) -> Tensor:
    return torch.randn(length, *shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("length", [1, 59, 60])
def test_what_fits_one_window_is_one_call(shape, length):
    whole, calls = sequence(length, shape), []

    def run(first: int, stop: int) -> Tensor:
        calls.append((first, stop))
        return whole[first:stop]

    assert torch.equal(torch.cat(list(windowed(run, length, 60, 15))), whole)
    assert calls == [(0, length)]


@pytest.mark.parametrize("shape", SHAPES)
@given(length=st.integers(1, 400), window=st.integers(2, 90), share=st.floats(0, 1))
def test_windows_of_one_sequence_give_it_back(shape, length, window, share):
    whole, overlap = sequence(length, shape), max(1, int(share * (window // 2)))
    blocks = list(windowed(lambda first, stop: whole[first:stop], length, window, overlap))
    torch.testing.assert_close(torch.cat(blocks), whole)


@given(length=st.integers(0, 400), window=st.integers(2, 90), share=st.floats(0, 1))
def test_windows_cover_all_frames_and_are_full(length, window, share):
    overlap = max(1, int(share * (window // 2)))
    spans = list(windows(length, window, overlap))
    assert all(stop - first == min(window, length) for first, stop in spans)
    assert all(before[1] - first >= overlap for before, (first, _) in pairwise(spans))
    assert (spans[0][0], spans[-1][1]) == (0, length) if length else not spans


def test_a_window_is_faded_in_over_the_overlap():
    """Windows that disagree by a constant meet in a ramp whose steps are all 1 / overlap."""
    levels = iter([0.0, 1.0, 2.0])
    faded = torch.cat(list(windowed(lambda a, b: torch.full((b - a, 2), next(levels)), 28, 12, 4)))
    wanted = torch.tensor(
        [0.0] * 8 + [0.125, 0.375, 0.625, 0.875] + [1.0] * 4 + [1.125, 1.375, 1.625, 1.875] + [2.0] * 8
    )
    torch.testing.assert_close(faded, wanted[:, None].expand(28, 2))


@pytest.mark.parametrize(("window", "overlap"), [(60, 31), (60, 0), (1, 1)])
def test_overlaps_that_do_not_fit_are_refused(window, overlap):
    with pytest.raises(InputError, match=f"overlap of {overlap} frames"):
        next(windowed(lambda first, stop: torch.zeros(stop - first, 1), 10, window, overlap))


@given(sizes=st.lists(st.integers(0, 9), max_size=30), steps=st.lists(st.integers(0, 12), max_size=12))
def test_a_buffer_gives_the_stretch_or_what_there_is_of_it(sizes, steps):
    whole = torch.arange(sum(sizes))
    stream, first = StreamBuffer(whole.split(sizes) if sizes else []), -3
    for step in steps:
        first += step
        rows, begin = stream.read(first, first + 5)
        if not len(whole):
            assert (rows, begin) == (None, 0)
        elif first >= len(whole):
            assert (rows.tolist(), begin) == ([len(whole) - 1], len(whole) - 1)
        else:
            assert begin == max(first, 0)
            assert rows.tolist() == list(range(begin, max(min(first + 5, len(whole)), begin + 1)))


def test_a_buffer_holds_a_stretch_and_a_block():
    taken = 0

    def blocks():
        nonlocal taken
        for block in torch.arange(10_000).split(10):
            taken += len(block)
            yield block

    stream = StreamBuffer(blocks())
    for first in (0, 40, 5000, 9000):
        rows, _ = stream.read(first, first + 25)
        assert rows.tolist() == list(range(first, first + 25))
        assert taken <= first + 25 + 10
        assert len(stream._rows) <= 25 + 10


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64])
def test_rows_between_rows_and_the_ends_hold(dtype):
    track = torch.tensor([[0, 8], [2, 4], [4, 0]], dtype=dtype)
    rows = sample_at(track, torch.tensor([-1.0, 0.0, 0.25, 1.5, 2.0, 7.0]))
    assert rows.dtype == torch.float32
    assert rows.tolist() == [[0, 8], [0, 8], [0.5, 7], [3, 2], [4, 0], [4, 0]]


def test_retime_is_exact_on_a_straight_line_and_the_same_in_blocks():
    track = torch.arange(200.0)[:, None] * torch.tensor([1.0, -2.0])
    for source, target in ((25, 30), (30, 25), (25, "30000/1001"), (25, 12), (25, 60)):
        frames = ceil(8 * Fraction(target) * 25 / source)
        whole = torch.cat(list(retime([track], source, target, frames)))
        parts = torch.cat(list(retime(track.split(7), source, target, frames)))
        torch.testing.assert_close(parts, whole)
        wanted = (torch.arange(frames) + 0.5) * (source / float(Fraction(target))) - 0.5
        torch.testing.assert_close(whole[:, 0], wanted.clamp(0, 199), rtol=0, atol=1e-3)


def test_retime_of_landmarks_is_that_of_each_coordinate():
    track = sequence(40, (68, 2))
    whole = torch.cat(list(retime(track.split(9), 25, 30, 48)))
    flat = torch.cat(list(retime([track.flatten(1)], 25, 30, 48)))
    torch.testing.assert_close(whole.flatten(1), flat)
