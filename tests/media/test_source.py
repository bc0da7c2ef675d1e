"""The beginning of a sound: exact to the sample, in blocks of any size, as often as asked for."""

from fractions import Fraction

import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.media.source import AudioSource, FirstSeconds, MemoryAudio


@pytest.fixture
def sound() -> MemoryAudio:
    return MemoryAudio(torch.randn(2, 1000, generator=torch.Generator().manual_seed(0)), 100)


def whole(source, seconds: float) -> torch.Tensor:
    return torch.cat(list(source.blocks(seconds)), 1)


@pytest.mark.parametrize("block", [0.01, 0.7, 1.0, 60.0])
@pytest.mark.parametrize(
    ("seconds", "samples"),
    [(3, 300), (2.505, 251), (Fraction(1, 3), 34), (0.001, 1), (0, 1), (10, 1000), (11.5, 1000)],
)
def test_what_lies_before_a_moment(sound, seconds, samples, block):
    first = FirstSeconds(sound, seconds)
    assert first.num_samples() == samples
    assert (first.sample_rate, first.channels, first.layout, first.name) == (100, 2, None, sound.name)
    for _ in range(2):
        assert torch.equal(whole(first, block), whole(sound, 60)[:, :samples])


class Broken(AudioSource):
    """A second of silence, then an error."""

    sample_rate, channels = 100, 1

    def blocks(self, seconds=1.0):
        yield torch.zeros(1, 100)
        raise InputError("read too far")

    def num_samples(self):
        return 1000


def test_blocks_that_are_not_needed_are_not_read():
    broken = Broken()
    assert whole(FirstSeconds(broken, 1), 1.0).shape == (1, 100)
    with pytest.raises(InputError, match="read too far"):
        whole(FirstSeconds(broken, 1.01), 1.0)


def test_a_part_of_a_part(sound):
    assert torch.equal(whole(FirstSeconds(FirstSeconds(sound, 5), 2), 0.3), whole(sound, 60)[:, :200])
    assert FirstSeconds(FirstSeconds(sound, 2), 5).num_samples() == 200
