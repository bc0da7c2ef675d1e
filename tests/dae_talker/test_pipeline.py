"""The whole system on random weights: exact lengths, streaming, controls, files that are whole or not there."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor

from talkface_core.checkpoints import CheckpointError, save_checkpoint
from talkface_core.dae_talker.decode import noise_from_seed
from talkface_core.dae_talker.model import SYSTEM, DAETalker, load_dae_talker
from talkface_core.dae_talker.pipeline import idle_motion, speak, speak_to_file, speech_latents
from talkface_core.dae_talker.windows import Control
from talkface_core.errors import InputError
from talkface_core.media.audio import AudioSource, audio_source
from talkface_core.media.timebase import frame_count
from talkface_core.media.video_reader import VideoReader
from talkface_core.speech.features import EncodedAudio
from talkface_core.speech.frame_front import FrontEndConfig
from tests.dae_talker.small import SIZE, save_small_talker, small_speech2latent


@pytest.fixture(scope="module")
def talker(small_checkpoint: Path) -> DAETalker:
    return load_dae_talker(small_checkpoint, "cpu", torch.float32)


def sound(seconds: float, rate: int = 16000, channels: int = 1) -> AudioSource:
    samples = max(1, round(seconds * rate))
    generator = torch.Generator().manual_seed(0)
    return audio_source({"waveform": 0.3 * torch.rand(1, channels, samples, generator=generator), "sample_rate": rate})


def film(talker: DAETalker, source: AudioSource, **options) -> Tensor:
    return torch.cat(list(speak(talker, source, **options)))


@pytest.mark.parametrize(
    ("samples", "rate", "fps"),
    [
        (1, 48000, None),
        (16000, 16000, 25),
        (16001, 16000, 25),
        (44099, 44100, "30000/1001"),
        (3000, 8000, 60),
        (9, 8, 1),
    ],
)
def test_there_are_exactly_as_many_frames_as_the_sound_needs(talker, samples, rate, fps):
    source = audio_source({"waveform": torch.zeros(1, 1, samples), "sample_rate": rate})
    frames = film(talker, source, fps=fps)
    assert frames.shape == (frame_count(samples, rate, fps or 25), SIZE, SIZE, 3)
    assert frames.dtype == torch.uint8


def test_the_same_settings_give_the_same_frames(talker):
    noise = noise_from_seed(talker.autoencoder, 5)
    first = film(talker, sound(1.0), noise=noise)
    assert torch.equal(first, film(talker, sound(1.0), noise=noise))
    assert torch.equal(film(talker, sound(1.0)), film(talker, sound(1.0), noise=noise_from_seed(talker.autoencoder, 0)))
    assert not torch.equal(first, film(talker, sound(1.0)))
    assert not torch.equal(first, film(talker, sound(1.0), noise=noise, steps=1))


def test_pose_and_eyes_steer_the_frames(talker):
    plain = film(talker, sound(0.4))
    turned = film(talker, sound(0.4), control=Control(pose=torch.tensor([20.0, 0.0, 0.0])))
    unturned = film(talker, sound(0.4), control=Control(pose=torch.tensor([20.0, 0.0, 0.0]), strength=0.0))
    shut = film(talker, sound(0.4), control=Control(eyes=torch.zeros(10)))
    assert (plain.float() - turned.float()).abs().mean() > 1
    assert (plain.float() - shut.float()).abs().mean() > 0.1
    assert torch.equal(plain, unturned)


def test_idle_motion_is_drawn_for_every_frame_of_the_output(talker):
    pose = torch.tensor([3.0, 0.0, 0.0])
    control = idle_motion(talker.speech, sound(20.0), "30000/1001", 1, Control(pose, strength=0.5))
    assert control.eyes.shape == (600,)
    assert control.eyes.min() < 0.5
    assert control.eyes.median() == 1
    assert control.sway.shape == (600, 3)
    torch.testing.assert_close(control.sway.std(0), torch.tensor([3.0, 2.0, 1.0]), rtol=0.6, atol=0)
    assert torch.equal(control.pose, pose)
    assert control.strength == 0.5
    other = idle_motion(talker.speech, sound(20.0), "30000/1001", 2)
    assert not torch.equal(other.eyes, control.eyes)
    assert not torch.equal(other.sway, control.sway)


class Counted(AudioSource):
    """Long noise, made as it is read; `read` counts the seconds."""

    sample_rate, channels = 16000, 1

    def __init__(self, seconds: int) -> None:
        self.seconds, self.read = seconds, 0

    def blocks(self, seconds: float = 1.0) -> Iterator[Tensor]:
        generator = torch.Generator().manual_seed(0)
        self.read = 0
        for _ in range(self.seconds):
            self.read += 1
            yield 0.3 * torch.rand(1, self.sample_rate, generator=generator)

    def num_samples(self) -> int:
        return self.seconds * self.sample_rate


def test_frames_come_while_the_sound_is_still_being_read(talker):
    source = Counted(60)
    frames = speak(talker, source, steps=1)
    count = 0
    for chunk in frames:
        count += len(chunk)
        # Ahead of what is shown: a window of speech2latent, a block of the gate, both of ten seconds, and their edges.
        assert source.read <= count / 25 + 25
    assert count == 60 * 25


def test_a_long_sound_begins_like_a_short_one(talker):
    """Windows of ten seconds overlap by two; before the first overlap nothing of what follows is seen."""
    long, short = (film(talker, Counted(seconds), steps=1) for seconds in (25, 10))
    difference = (long[:150].float() - short[:150].float()).abs()
    assert difference.mean() < 2


@pytest.mark.parametrize("fps", [0.5, 121, 1000])
def test_impossible_rates_are_refused(talker, fps):
    with pytest.raises(InputError, match="choose 1 to 120"):
        speak(talker, sound(0.1), fps=fps)


def test_a_file_is_written_with_its_sound_and_its_times(talker, tmp_path):
    counts = []
    spoken = speak_to_file(talker, sound(1.3, 22050, 2), tmp_path / "out.mp4", fps=30, progress=counts.append)
    assert (spoken.frames, spoken.fps, sum(counts)) == (39, Fraction(30), 39)
    assert spoken.seconds_audio == pytest.approx(1.3, abs=1e-4)
    assert all(seconds > 0 for seconds in spoken.seconds.values())
    reader = VideoReader(tmp_path / "out.mp4")
    assert (reader.fps, reader.width, reader.height, reader.has_audio) == (30, SIZE, SIZE, True)
    assert sum(len(chunk) for chunk in reader.chunks()) == 39


def test_an_error_in_the_middle_leaves_no_file(talker, tmp_path):
    def fail(frames: int) -> None:
        raise RuntimeError("out of ink")

    with pytest.raises(RuntimeError, match="out of ink"):
        speak_to_file(talker, sound(2.0), tmp_path / "out.mp4", progress=fail)
    assert list(tmp_path.iterdir()) == []


def test_the_gate_is_optional_and_closes_on_what_is_no_speech(tmp_path):
    without = load_dae_talker(save_small_talker(tmp_path / "a.safetensors", gate=None), "cpu", torch.float32)
    assert without.speech.gate is None
    gated = load_dae_talker(save_small_talker(tmp_path / "b.safetensors"), "cpu", torch.float32)
    torch.nn.init.constant_(gated.speech.gate.out.bias, -100.0)
    silence = audio_source({"waveform": torch.zeros(1, 1, 16000), "sample_rate": 16000})
    assert torch.equal(film(gated, sound(1.0)), film(without, silence))
    assert not torch.equal(film(without, sound(1.0)), film(without, silence))


def test_half_precision_decodes_nearly_the_same(small_checkpoint, talker):
    half = load_dae_talker(small_checkpoint, "cpu", torch.bfloat16)
    assert half.dtype == torch.bfloat16
    assert next(half.autoencoder.encoder.parameters()).dtype == torch.float32
    difference = film(half, sound(0.2)).float() - film(talker, sound(0.2)).float()
    assert difference.abs().mean() < 3


def test_what_is_not_a_whole_talker_is_refused_by_name(tmp_path):
    alone = save_small_talker(tmp_path / "alone.safetensors", speech2latent=None, gate=None)
    with pytest.raises(CheckpointError, match=r"alone.*found only autoencoder; expected speech2latent"):
        load_dae_talker(alone, "cpu")
    other = save_small_talker(tmp_path / "other.safetensors", speech2latent=small_speech2latent(latent_dim=5))
    with pytest.raises(CheckpointError, match="latents of 5 values for a decoder that reads 8"):
        load_dae_talker(other, "cpu")
    foreign = tmp_path / "foreign.safetensors"
    save_checkpoint(foreign, "ladtalk", {"net": torch.nn.Linear(1, 1)}, {"net": {}}, {})
    with pytest.raises(CheckpointError, match="'ladtalk'"):
        load_dae_talker(foreign, "cpu")
    with pytest.raises(CheckpointError, match="no such file"):
        load_dae_talker("nobody", "cpu")


def test_settings_of_another_version_are_refused(tmp_path):
    net = small_speech2latent()
    strange = tmp_path / "strange.safetensors"
    components = {"autoencoder": torch.nn.Linear(1, 1), "speech2latent": net}
    save_checkpoint(strange, SYSTEM, components, {"autoencoder": {"size": 3}, "speech2latent": {}}, {})
    with pytest.raises(CheckpointError, match="unreadable settings of 'autoencoder'"):
        load_dae_talker(strange, "cpu")


def test_a_model_trained_on_a_speech_encoder_hears_its_features(tmp_path):
    fronts = {"mel": FrontEndConfig(), "wav2vec2": FrontEndConfig(6, "50", "399/32000")}
    net = small_speech2latent(fronts=fronts)
    talker = load_dae_talker(save_small_talker(tmp_path / "a.safetensors", speech2latent=net), "cpu", torch.float32)
    steps = (16000 - 400) // 320 + 1
    features = torch.randn(1, steps, 6, generator=torch.Generator().manual_seed(0))
    chunks = list(speech_latents(talker.speech, sound(1.0), encoded=EncodedAudio({"encoded_audio": features})))
    assert torch.cat([c.latents for c in chunks]).shape == (25, talker.autoencoder.config.latent_dim)
    other = list(speech_latents(talker.speech, sound(1.0), encoded=EncodedAudio({"encoded_audio": 2 * features})))
    assert not torch.equal(chunks[0].latents, other[0].latents)
    with pytest.raises(InputError, match=r"7 values per step do not fit this model, which reads mel.*wav2vec2"):
        list(speech_latents(talker.speech, sound(1.0), encoded=EncodedAudio({"encoded_audio": torch.zeros(1, 49, 7)})))


def test_a_host_says_where_to_compute(talker, small_checkpoint):
    before = (talker.autoencoder.compute_device, talker.autoencoder.compute_dtype)
    assert before == (torch.device("cpu"), torch.float32)
    other = load_dae_talker(small_checkpoint, "cpu", torch.float32)
    other.autoencoder.compute_on(torch.device("meta"), torch.float16)
    assert (other.device, other.dtype) == (torch.device("meta"), torch.float16)
