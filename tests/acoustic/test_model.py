"""The acoustic model: windows equal the whole, frames at any rate, what it refuses."""

from fractions import Fraction

import pytest
import torch

from talkface_core.acoustic.model import AcousticConfig, AcousticModel, load_acoustic
from talkface_core.acoustic.stream import FeatureStream, acoustic_features, stream_features
from talkface_core.checkpoints import save_checkpoint
from talkface_core.errors import InputError


def small(**changes) -> AcousticModel:
    torch.manual_seed(0)
    sizes = {"front_width": 8, "width": 16, "heads": 2, "ff": 16, "blocks": 2, "context": 3, "kernel": 5}
    return AcousticModel(AcousticConfig(**{**sizes, **changes})).eval()


def test_output_has_a_row_for_each_frame():
    output = small()(torch.randn(2, 64, 80), 20)
    assert output.features.shape == (2, 20, 16)
    assert output.visemes.shape == (2, 20, 22)
    assert output.mouth.shape == (2, 20, 14)


@pytest.mark.parametrize("frames", [1, 7, 130, 300])
@pytest.mark.parametrize("block", [1, 17, 5000])
def test_a_stream_gives_what_the_whole_gives(frames, block):
    net, mel = small(), torch.randn(frames * 16 // 5 + 1, 80)
    whole = net(mel[None], -(-len(mel) * 5 // 16)).features[0].detach()
    blocks = list(stream_features(net, mel.split(block)))
    torch.testing.assert_close(torch.cat(blocks), whole, rtol=0, atol=2e-5)
    assert frames < 300 or len(blocks) > 1


def test_without_a_limited_context_the_whole_is_computed_at_once():
    net, mel = small(context=0), torch.randn(800, 80)
    (features,) = stream_features(net, mel.split(50))
    torch.testing.assert_close(features, net(mel[None], 250).features[0].detach(), rtol=0, atol=2e-5)


def test_a_stream_holds_little_of_a_long_sound():
    """What is still to come is asked for only when it is needed."""
    asked = []

    def blocks():
        for n in range(100):
            asked.append(n)
            yield torch.randn(160, 80)

    stream = stream_features(small(), blocks())
    next(stream)
    assert len(asked) < 10


def test_no_sound_gives_no_features():
    assert list(stream_features(small(), [])) == []
    assert acoustic_features(small(), torch.zeros(0, 80)).shape == (0, 16)


def test_frames_of_a_film_lie_between_those_of_the_model():
    rows = torch.arange(50.0)[:, None]
    assert torch.equal(FeatureStream(rows.split(7), 25, 25).at(range(3, 50))[:, 0], torch.arange(3.0, 50.0))
    # Frame k of 50 a second lies a quarter of a frame off those of 25.
    assert FeatureStream(rows.split(7), 25, 50).at([4, 5])[:, 0].tolist() == [1.75, 2.25]
    stream = FeatureStream(rows.split(7), 25, Fraction(30000, 1001))
    picked = stream.at([10, 11])
    assert torch.equal(stream.at([10, 11]), picked)
    assert stream.at([400])[0, 0] == 49


def test_one_can_be_loaded_from_any_system(tmp_path):
    net = small()
    save_checkpoint(tmp_path / "x.safetensors", "ladtalk", {"acoustic": net}, {"acoustic": net.config.to_dict()}, {})
    mel = torch.randn(40, 80)
    loaded = load_acoustic(tmp_path / "x.safetensors")
    torch.testing.assert_close(acoustic_features(loaded, mel), acoustic_features(net, mel))


@pytest.mark.parametrize("wrong", [{"heads": 3}, {"kernel": 4}, {"blocks": 0}, {"dropout": 2.0}, {"context": 2000}])
def test_sizes_that_do_not_fit_are_refused(wrong):
    with pytest.raises(InputError):
        AcousticConfig(**wrong)
