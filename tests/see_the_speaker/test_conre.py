"""The encoders of speech and faces, and what ConRe makes of pairs."""

import math

import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.see_the_speaker.conre import FaceEncoder, FaceEncoderConfig, SpeechEncoder, SpeechEncoderConfig
from talkface_core.see_the_speaker.training.conre_loss import TEMPERATURE, ConReHead, coarse, info_nce, mismatches
from tests.see_the_speaker.small_portrait import FACE_SIZES, SPEECH_SIZES


def speech(seed: int = 0) -> SpeechEncoder:
    torch.manual_seed(seed)
    return SpeechEncoder(SPEECH_SIZES).eval().requires_grad_(False)


@pytest.mark.parametrize("steps", [80, 161, 800])
def test_any_length_from_one_to_ten_seconds(steps: int) -> None:
    code = speech()(torch.randn(2, steps, 80))
    assert code.tokens.shape == (2, math.ceil(steps / 8), 16)
    assert code.identity.shape == (2, 24)
    torch.testing.assert_close(code.identity.norm(dim=1), torch.ones(2))


@pytest.mark.parametrize("shape", [(1, 79, 80), (1, 801, 80), (1, 200, 40), (200, 80)])
def test_what_is_no_voice_of_that_length_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="1 to 10 seconds"):
        speech()(torch.zeros(shape))


def test_each_of_a_batch_is_heard_alone() -> None:
    net, mels = speech(), torch.randn(3, 120, 80)
    torch.testing.assert_close(net(mels).identity[1:2], net(mels[1:2]).identity)


def test_the_vector_of_a_voice_does_not_depend_on_how_often_it_is_repeated() -> None:
    """Statistics over time, not a sum of it."""
    net, mel = speech(), torch.randn(1, 80, 80).repeat(1, 4, 1)
    once, again = net(mel[:, :160]).identity, net(mel).identity
    assert float((once * again).sum()) > 0.99
    assert float((once * net(torch.randn(1, 160, 80)).identity).sum()) < 0.99


def test_faces_of_any_size() -> None:
    torch.manual_seed(0)
    net, pictures = FaceEncoder(FACE_SIZES).requires_grad_(False), torch.rand(2, 3, 64, 64)
    vectors = net(pictures)
    assert vectors.shape == (2, 24)
    torch.testing.assert_close(vectors.norm(dim=1), torch.ones(2))
    small = torch.nn.functional.avg_pool2d(pictures, 2)
    assert float((net(small) * vectors).sum(1).min()) > 0.9


def test_only_faces_that_do_not_suit_a_voice_count_against_it() -> None:
    sex, age = torch.tensor([0, 0, 1, 0]), torch.tensor([1, 1, 1, -1])
    against = mismatches(sex, age, sex, torch.tensor([1, 1, 1, 2]))
    expected = [[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 1], [0, 0, 1, 0]]
    assert against.int().tolist() == expected


def test_info_nce() -> None:
    vectors = torch.eye(4)
    every = ~torch.eye(4, dtype=torch.bool)
    scale = torch.tensor(1 / TEMPERATURE)
    right = info_nce(vectors, vectors, scale, every)
    wrong = info_nce(vectors, vectors.roll(1, 0), scale, every)
    assert right < 1e-4 < 10 < wrong
    alike = torch.ones(4, 2)
    torch.testing.assert_close(info_nce(alike, alike, scale, every), torch.tensor(math.log(4)))
    # Masked pairs cost nothing, however alike they are.
    torch.testing.assert_close(info_nce(alike, alike, scale, torch.zeros_like(every)), torch.tensor(0.0))


def test_the_temperature_is_learned_from_its_start() -> None:
    head = ConReHead(24, 4)
    torch.testing.assert_close(1 / head.scale, torch.tensor(TEMPERATURE))
    info_nce(torch.eye(3), torch.eye(3).roll(1, 0), head.scale, torch.ones(3, 3, dtype=torch.bool)).backward()
    assert head.log_scale.grad is not None
    assert head.log_scale.grad > 0
    assert coarse(torch.randn(2, 4, 16, 16)).shape == head.reconstructed(torch.randn(2, 24)).shape


def test_sizes() -> None:
    def count(net: torch.nn.Module) -> int:
        return sum(weight.numel() for weight in net.parameters())

    assert count(SpeechEncoder()) < 0.4e6
    with torch.device("meta"):
        assert count(SpeechEncoder(SpeechEncoderConfig.preset("base"))) > 10e6
        assert count(FaceEncoder(FaceEncoderConfig.preset("base"))) > 10e6
