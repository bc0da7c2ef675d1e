"""The upsampler: it begins as a smooth enlargement, knows its sizes, and decoding, loading and speaking use it."""

import pytest
import torch
import torch.nn.functional as F

from talkface_core.checkpoints import CheckpointError, read_checkpoint
from talkface_core.components import problem
from talkface_core.dae_talker.decode import decode, decode_memory, kept_decibels, noise_from_seed
from talkface_core.dae_talker.model import COMPONENTS, build_drawing, load_autoencoder, load_dae_talker
from talkface_core.dae_talker.pipeline import speak, speak_to_file
from talkface_core.dae_talker.upsampler import Upsampler, UpsamplerConfig
from talkface_core.errors import InputError
from talkface_core.media.audio import audio_source
from talkface_core.media.video_reader import VideoReader
from tests.dae_talker.small import LARGE, LATENT, SIZE, save_small_talker, small_autoencoder, small_upsampler


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    return save_small_talker(tmp_path_factory.mktemp("up") / "small.safetensors", upsampler=small_upsampler())


@pytest.fixture(scope="module")
def talker(checkpoint):
    return load_dae_talker(checkpoint, "cpu", torch.float32)


def spoken(talker, seconds: float = 0.6, **options) -> torch.Tensor:
    wave = 0.2 * torch.randn(1, 1, int(16_000 * seconds), generator=torch.Generator().manual_seed(0))
    source = audio_source({"waveform": wave, "sample_rate": 16_000})
    return torch.cat(list(speak(talker, source, **options)))


@pytest.mark.parametrize("factor", [2, 3])
def test_it_begins_as_a_smooth_enlargement(factor):
    net = Upsampler(UpsamplerConfig(image_size=8, factor=factor, wide=8, deep=1, fine=4))
    frames = torch.rand(2, 3, 8, 8) * 2 - 1
    wanted = F.interpolate(frames, scale_factor=float(factor), mode="bilinear")
    torch.testing.assert_close(net(frames), wanted)
    assert net.config.output_size == 8 * factor


def test_impossible_settings_are_refused():
    with pytest.raises(InputError, match="30 px do not fold"):
        UpsamplerConfig(image_size=30)
    with pytest.raises(InputError, match="factor"):
        UpsamplerConfig(factor=1)


def test_frames_are_decoded_at_the_largest_size_unless_another_is_asked_for(talker):
    model, latents = talker.autoencoder, torch.randn(5, LATENT, generator=torch.Generator().manual_seed(1))
    noise = noise_from_seed(model, 0)

    def frames(**options) -> torch.Tensor:
        return torch.cat(list(decode(model, latents, noise, dtype=torch.float32, **options)))

    assert (model.sizes, talker.image_size, talker.output_size) == ((SIZE, LARGE), SIZE, LARGE)
    large, small = frames(), frames(size=SIZE)
    assert large.shape == (5, LARGE, LARGE, 3)
    assert small.shape == (5, SIZE, SIZE, 3)
    torch.testing.assert_close(frames(window=2), large)
    without = small_autoencoder()
    torch.testing.assert_close(torch.cat(list(decode(without, latents, noise, dtype=torch.float32))), small)
    with pytest.raises(InputError, match=f"frames of 20 px: this model draws {SIZE} or {LARGE}"):
        frames(size=20)
    assert decode_memory(model, 4) > decode_memory(model, 4, SIZE) == decode_memory(without, 4)


def test_what_a_model_keeps_is_measured_at_its_own_size(talker):
    frame = torch.rand(SIZE, SIZE, 3, generator=torch.Generator().manual_seed(0))
    latent = torch.zeros(LATENT)
    own, other = (kept_decibels(net, frame, latent) for net in (talker.autoencoder, small_autoencoder()))
    assert own == pytest.approx(other, abs=1e-4)


def test_a_stream_gives_what_the_whole_gives(talker):
    frames = spoken(talker)
    assert frames.shape == (15, LARGE, LARGE, 3)
    assert (spoken(talker, window=4, workers=2).int() - frames.int()).abs().max() <= 1  # rounding


def test_the_file_has_the_size_that_is_asked_for(talker, tmp_path):
    wave = torch.zeros(1, 1, 4_000)
    for size, side in ((None, LARGE), (SIZE, SIZE)):
        path = tmp_path / f"{size}.mp4"
        speak_to_file(talker, audio_source({"waveform": wave, "sample_rate": 16_000}), path, size=size)
        reader = VideoReader(path)
        assert (reader.width, reader.height) == (side, side)


def test_a_checkpoint_is_loaded_with_it_and_the_autoencoder_alone_without(checkpoint):
    whole = read_checkpoint(checkpoint)
    assert problem(whole, COMPONENTS) is None
    assert build_drawing(whole).upsampler.config == small_upsampler().config
    assert load_autoencoder(checkpoint, "cpu").upsampler is None


def test_one_for_other_frames_is_refused(tmp_path):
    path = save_small_talker(tmp_path / "other.safetensors", upsampler=small_upsampler(2 * SIZE))
    with pytest.raises(CheckpointError, match=f"frames of {2 * SIZE} px beside an autoencoder that draws {SIZE} px"):
        load_dae_talker(path, "cpu")
