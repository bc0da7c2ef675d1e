"""Motion of any length: windows that follow one another, seeds, other rates, silence, and what is read ahead."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import pytest
import torch
from torch import Tensor

from talkface_core.acoustic.hearing import OutsideEar
from talkface_core.errors import InputError
from talkface_core.media.audio import AudioSource
from talkface_core.see_the_speaker.controls import BLINK_LEFT, OPENING
from talkface_core.see_the_speaker.motion import Motion
from talkface_core.see_the_speaker.motion_hearing import Hearing
from talkface_core.see_the_speaker.motion_stream import MotionModel, stream_motion
from talkface_core.see_the_speaker.motion_track import MotionTrack
from talkface_core.see_the_speaker.style import MotionStyle
from talkface_core.speech.features import EncodedAudio
from tests.acoustic.small_ear import small_ear, small_whisper
from tests.see_the_speaker.small_motion import small_acoustic, small_diffusion, small_model, sound, source


class Blocks(AudioSource):
    """A wave in blocks of so many samples; `taken` of which were asked for."""

    def __init__(self, wave: Tensor, size: int) -> None:
        self.wave, self.size, self.taken = wave, size, 0
        self.sample_rate, self.channels = 16000, 1

    def blocks(self, seconds: float = 1.0) -> Iterator[Tensor]:
        for block in self.wave.split(self.size):
            self.taken += len(block)
            yield block[None]

    def num_samples(self) -> int:
        return len(self.wave)


@pytest.fixture(scope="module")
def model() -> MotionModel:
    return small_model(lips=True)


def values(model: MotionModel, given: AudioSource, seed: int = 0) -> Tensor:
    return Motion.join(list(stream_motion(model, given, seed))).values()


def test_the_motion_of_a_sound_and_two_seconds_behind_it(model: MotionModel) -> None:
    made = list(stream_motion(model, source(sound(3.0))))
    assert [len(part) for part in made] == [12] * 10 + [5]
    assert made[0].fps == 25
    assert all(torch.isfinite(part.values()).all() for part in made)


def test_the_seed_decides(model: MotionModel) -> None:
    wave = sound(2.0)
    assert torch.equal(values(model, source(wave), 3), values(model, source(wave), 3))
    assert not torch.allclose(values(model, source(wave), 3), values(model, source(wave), 4), atol=1e-3)


@pytest.mark.parametrize("size", [777, 6000])
def test_a_sound_in_other_blocks_gives_the_same(model: MotionModel, size: int) -> None:
    wave = torch.cat([sound(2.2), torch.zeros(16000), sound(1.0, 200)])
    assert torch.allclose(values(model, Blocks(wave, size)), values(model, source(wave)), atol=2e-3)


def test_what_comes_later_does_not_change_what_was(model: MotionModel) -> None:
    wave = sound(16.0)
    short, long = values(model, source(wave[: 12 * 16000])), values(model, source(wave))
    assert torch.allclose(short[:120], long[:120], atol=1e-3)


def test_a_long_sound_is_not_read_at_once(model: MotionModel) -> None:
    given = Blocks(sound(120.0), 16000)
    next(iter(stream_motion(model, given)))
    assert given.taken < 60 * 16000


def test_no_two_windows_move_alike_and_each_goes_on_from_the_last(model: MotionModel) -> None:
    made = torch.cat([model.diffusion.normalise(p.values()) for p in stream_motion(small_model(), source(sound(6.0)))])
    steps = made[:, 15:].diff(dim=0).abs().mean(1)  # but for the mouth, which may be kept shut
    seams = steps[11::12]
    assert not torch.allclose(made[:12], made[12:24], atol=1e-2)
    assert float(seams.mean()) < 2 * float(steps.median())


def test_a_mouth_is_shut_where_nothing_is_said(model: MotionModel) -> None:
    wave = torch.cat([sound(2.0), torch.zeros(3 * 16000)])
    made = Motion.join(list(stream_motion(small_model(), source(wave))))
    opening = small_model().diffusion.controls.value(made.expression, OPENING)
    assert float(opening[60:].max()) < 1e-4
    assert float(opening[:45].max()) > 1e-2


def test_p_b_and_m_close_the_lips() -> None:
    model = small_model()
    hearing = Hearing(torch.zeros(12, 23), torch.ones(12), torch.zeros(12))
    motion = torch.randn(12, model.diffusion.config.values)
    said = Hearing(hearing.features, hearing.open, torch.ones(12))
    free, shut = (model.diffusion.controls.value(model.finish(motion, h).expression, OPENING) for h in (hearing, said))
    assert float(free.max()) > 0.1
    assert float(shut.max()) < 1e-2


@pytest.mark.parametrize("fps", [12, 25, 29.97, 60])
def test_other_frame_rates(model: MotionModel, fps: float) -> None:
    parts = list(stream_motion(model, source(sound(2.0))))
    own = Motion.join(parts)
    track = MotionTrack(parts, fps)
    count = int(4 * fps)
    pieces = [track.at(first, min(first + 17, count)) for first in range(0, count, 17)]
    made = Motion.join(pieces)
    whole = MotionTrack(parts, fps).at(0, count)
    assert torch.allclose(made.values(), whole.values())
    assert float(made.fps) == pytest.approx(fps, abs=0.01)
    if fps == 25:
        assert torch.allclose(made.values(), own.values())
    middle = int(1.5 * float(made.fps))
    at = (middle + 0.5) / float(made.fps) * 25 - 0.5
    low = int(at)
    expected = torch.lerp(own.values()[low], own.values()[low + 1], at - low)
    assert torch.allclose(made.values()[middle], expected, atol=1e-4)


def test_a_track_goes_forward_and_holds_at_its_end(model: MotionModel) -> None:
    parts = list(stream_motion(model, source(sound(1.0))))
    track = MotionTrack(parts, 25)
    assert torch.equal(track.at(70, 90).values()[5:], Motion.join(parts).values()[-1].expand(15, -1))
    with pytest.raises(InputError, match="gone on"):
        track.at(0, 5)
    with pytest.raises(InputError, match="no sound"):
        MotionTrack([], 25).at(0, 1)


def test_a_style_is_applied_as_the_stream_goes(model: MotionModel) -> None:
    wave = sound(2.0)
    plain = Motion.join(list(stream_motion(model, source(wave))))
    still = Motion.join(list(stream_motion(model, source(wave), style=MotionStyle(head=0.0))))
    assert torch.equal(still.expression, plain.expression)
    assert not still.rotation.any()
    assert plain.rotation.any()


def test_heads_move_further_and_lids_blink_as_the_sampling_says() -> None:
    model, wave = small_model(), sound(8.0)
    own = model.diffusion.config.sampling
    plain, livelier = (
        Motion.join(list(stream_motion(model, source(wave), sampling=sampling)))
        for sampling in (own, replace(own, head=1.5, blinks=60.0))
    )
    assert torch.allclose(livelier.rotation, 1.5 * plain.rotation, atol=1e-5)
    assert torch.allclose(livelier.scale - 1, 1.5 * (plain.scale - 1), atol=1e-5)
    controls = model.diffusion.controls
    shut = controls.value(livelier.expression, BLINK_LEFT)
    assert 4 <= int(((shut[1:] > 0.5) & (shut[:-1] <= 0.5)).sum()) <= 10
    opening = (controls.value(part.expression, OPENING) for part in (plain, livelier))
    assert torch.allclose(*opening, atol=0.05)
    asked = Motion.join(
        list(stream_motion(model, source(wave), style=MotionStyle(blink_rate=0.0), sampling=replace(own, blinks=60.0)))
    )
    assert float(controls.value(asked.expression, BLINK_LEFT).max()) < 0.1


def test_lips_of_several_takes_are_their_mean() -> None:
    """They vary less from seed to seed; what the sound does not tell varies as before."""
    model, wave = small_model(), sound(2.0)
    own = model.diffusion.config.sampling

    def spread(takes: int) -> Tensor:
        made = [values_of(seed, takes) for seed in range(6)]
        return torch.stack(made)[:, :12].std(0).mean(0)

    def values_of(seed: int, takes: int) -> Tensor:
        sampling = replace(own, takes=takes)
        parts = stream_motion(model, source(wave), seed, sampling=sampling)
        return model.diffusion.normalise(Motion.join(list(islice(parts, 1))).values())

    one, many = spread(1), spread(9)
    lips = model.diffusion.controls.shares(OPENING)
    assert float(lips[0]) == 1.0
    assert float(many[1]) < 0.6 * float(one[1])  # of the first keypoint
    assert float(many[-3:].mean()) > 0.7 * float(one[-3:].mean())


def test_progress_is_told(model: MotionModel) -> None:
    told: list[int] = []
    list(islice(stream_motion(model, source(sound(3.0)), callback=told.append), 3))
    assert told[:2] == [12, 24]


def test_parts_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(InputError, match="one training run"):
        MotionModel(small_diffusion(audio=40), small_acoustic())
    with pytest.raises(InputError, match="acoustic model is missing"):
        MotionModel(small_diffusion())
    alone = MotionModel(small_diffusion(audio=12, prosody=False, controls=()))
    with pytest.raises(InputError, match="HuBERT"):
        list(stream_motion(alone, source(sound(1.0))))


def test_a_model_that_hears_a_speech_encoder() -> None:
    torch.manual_seed(0)
    alone = MotionModel(small_diffusion(audio=12, prosody=False, controls=(), delay=0.08)).requires_grad_(False)
    wave = sound(2.0)
    encoded = EncodedAudio({"encoded_audio": torch.randn(1, 99, 12), "audio_samples": len(wave)})
    rows = torch.cat(list(alone.listen(source(wave), encoded)))
    assert 50 <= len(rows) <= 53
    # Frame k is at (k + 1/2) / 25 s, its step 0.08 s before at 50 a second, the first of which is at 399 / 32000 s.
    place = (20.5 / 25 - 0.08 - 399 / 32000) * 50
    features = encoded._features
    expected = torch.lerp(features[int(place)], features[int(place) + 1], place - int(place))
    assert torch.allclose(rows[20, :12], expected, atol=1e-4)
    made = Motion.join(list(stream_motion(alone, source(wave), encoded=encoded)))
    assert len(made) == len(rows)
    with pytest.raises(InputError, match="no audio encoder"):
        list(stream_motion(small_model(), source(wave), encoded=encoded))


def test_another_ear_hears_in_the_acoustic_models_place(model: MotionModel) -> None:
    assert model.acoustic is not None
    ear = OutsideEar(small_whisper(), small_ear(model.acoustic))
    eared = MotionModel(model.diffusion, model.acoustic, None, model.lips, ear)
    heard, own = (torch.cat(list(by.listen(source(sound(1.0))))) for by in (eared, model))
    assert heard.shape == own.shape
    width = model.acoustic.config.width
    assert (heard - own)[:20, :width].abs().max() > 0.1
    # What it tells of the melody and of silence is the same.
    torch.testing.assert_close(heard[:, width:-1], own[:, width:-1])
    assert not torch.allclose(values(eared, source(sound(1.0))), values(model, source(sound(1.0))), atol=1e-3)
    with pytest.raises(InputError, match="leave the ear out"):
        MotionModel(small_diffusion(audio=12, prosody=False, controls=()), ear=ear)
