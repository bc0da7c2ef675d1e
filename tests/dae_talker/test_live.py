"""A face that talks while the sound comes: any chunks give the same frames, nothing later than stated is heard."""

from fractions import Fraction
from itertools import count
from pathlib import Path

import pytest
import torch

from talkface_core.acoustic.hearing import NO_EAR
from talkface_core.dae_talker.live import LATE, VERY_LATE, live_frames, live_steps, warm_up
from talkface_core.dae_talker.live_latents import Idle, LiveSettings, live_latents
from talkface_core.dae_talker.model import DAETalker, load_dae_talker
from talkface_core.dae_talker.pipeline import idle_motion, speech_latents
from talkface_core.dae_talker.windows import Control
from talkface_core.errors import InputError
from talkface_core.media.audio import analysis_blocks, audio_source, open_audio
from tests.dae_talker.small import SIZE

HELLO = Path(__file__).parents[2] / "samples" / "hello.flac"


@pytest.fixture(scope="module")
def talker(small_checkpoint) -> DAETalker:
    return load_dae_talker(small_checkpoint, "cpu", torch.float32)


def sound(samples: int) -> torch.Tensor:
    return 0.3 * torch.randn(samples, generator=torch.Generator().manual_seed(0)).clamp(-3, 3)


def latents(talker: DAETalker, chunks, **options) -> torch.Tensor:
    return torch.cat([step.latents for step in live_latents(talker.speech, chunks, **options)])


def film(talker: DAETalker, chunks, **options) -> torch.Tensor:
    return torch.stack([frame.picture for frame in live_frames(talker, chunks, **options)])


@pytest.mark.parametrize("samples", [1, 639, 640, 641, 2560, 16000, 32077])
def test_there_are_exactly_as_many_frames_as_the_sound_needs(talker, samples):
    frames = list(live_frames(talker, [sound(samples)]))
    assert len(frames) == -(-samples // 640)
    assert [frame.index for frame in frames] == list(range(len(frames)))
    assert [frame.seconds for frame in frames] == pytest.approx([(n + 0.5) / 25 for n in range(len(frames))])
    assert frames[0].picture.shape == (SIZE, SIZE, 3)
    assert frames[0].picture.dtype == torch.uint8
    assert frames[-1].last
    assert all(frame.heard <= Fraction(samples, 16000) and not frame.held for frame in frames)


@pytest.mark.parametrize("look_ahead", [0.04, 0.2, 0.33])
def test_chunks_of_any_size_give_the_same_frames(talker, look_ahead):
    whole, settings = sound(20000), LiveSettings(look_ahead)
    options = {"settings": settings, "control": Control(pose=torch.tensor([9.0, 0.0, 0.0]))}
    expected = film(talker, [whole], idle=Idle(talker.speech, 3), **options)
    for sizes in ([1, 0, 7000, 333, 12666], [160] * 125, [19999, 1]):
        chunks = whole.split(sizes)
        assert torch.equal(film(talker, chunks, idle=Idle(talker.speech, 3), **options), expected)
    assert torch.equal(film(talker, [whole], idle=Idle(talker.speech, 3), workers=1, **options), expected)


def test_a_step_comes_with_the_sound_that_it_needs_and_not_later(talker):
    given = 0

    def chunks():
        nonlocal given
        for block in sound(16000 * 3).split(80):
            given += len(block)
            yield block

    for step in live_latents(talker.speech, chunks(), LiveSettings(0.2)):
        if step.first + 4 < 69:
            assert 0 <= (step.first + 4) * 640 + 3200 - step.heard < 200  # whole steps of the mel
            assert step.heard <= given <= step.heard + 80


def test_nothing_beyond_the_look_ahead_is_heard(talker):
    one = sound(32000)
    settings = LiveSettings(0.2, fade=0)
    heard = 4 * 4 * 640 + 3200  # of the fourth step
    late, early = one.clone(), one.clone()
    late[heard:] = 0
    early[heard - 1600 :] = 0
    expected = latents(talker, [one], settings=settings)
    assert torch.equal(latents(talker, [late], settings=settings)[:16], expected[:16])
    assert not torch.equal(latents(talker, [early], settings=settings)[12:16], expected[12:16])


def test_in_silence_head_and_eyes_go_on(talker):
    silence = torch.zeros(16000 * 6)
    alive = latents(talker, [silence], idle=Idle(talker.speech))
    still = latents(talker, [silence])
    assert alive[30:-30].std(0).mean() > 1.5 * still[30:-30].std(0).mean()


def test_idle_goes_on_as_the_recorded_one(talker):
    control = idle_motion(talker.speech, audio_source({"waveform": torch.zeros(1, 16000 * 30), "sample_rate": 16000}))
    idle = Idle(talker.speech)
    for first in range(0, 700, 40):
        now = idle(first, first + 50, Control())
        torch.testing.assert_close(now.sway, control.sway[first : first + 50])
        torch.testing.assert_close(now.eyes, control.eyes[first : first + 50])


def test_late_steps_hold_pictures_and_say_so(talker):
    turns = count()
    frames = list(
        live_frames(talker, [sound(16000)], behind=lambda heard: (0.0, LATE, VERY_LATE, 0.0, 0.0)[next(turns) % 5])
    )
    drawn = list(live_frames(talker, [sound(16000)]))
    assert [frame.held for frame in frames] == [False] * 4 + [False] * 4 + [False, True, True, True] + [True] * 4 + [
        False
    ] * 9
    for frame, true in zip(frames, drawn, strict=True):
        same = 8 if 8 <= frame.index < 16 else frame.index
        assert torch.equal(frame.picture, drawn[same].picture), (frame.index, true.index)


def test_live_follows_the_recorded_one(tmp_path):
    """The bundled model on real sound: with a long look-ahead it is nearly the same, with a short one less so."""
    speech = load_dae_talker("dae_talker_tiny", "cpu", ear=NO_EAR).speech
    source = open_audio(HELLO, duration=5)
    recorded = torch.cat([chunk.latents for chunk in speech_latents(speech, source)])
    mono = torch.cat(list(analysis_blocks(source)))
    spread = (recorded - recorded.mean(0)).norm(dim=1).mean()
    errors = []
    for look_ahead in (0.8, 0.1):
        steps = live_latents(speech, [mono], LiveSettings(look_ahead))
        live = torch.cat([step.latents for step in steps])
        errors.append(float((live - recorded).norm(dim=1).mean() / spread))
    assert errors[0] < 0.4
    assert errors[0] < errors[1] < 0.8


def test_wrong_settings(talker):
    for message, make in (
        ("look-ahead of 3 s is outside 0.04..2", lambda: LiveSettings(3.0)),
        ("look-ahead of nan s", lambda: LiveSettings(float("nan"))),
        ("steps of 0 frames", lambda: LiveSettings(hop=0)),
        ("no sound at all", lambda: list(live_frames(talker, []))),
        ("pose strength 2", lambda: list(live_frames(talker, [sound(9)], control=Control(strength=2.0)))),
        ("cannot take 0 sampling steps", lambda: list(live_frames(talker, [sound(900)], steps=0))),
    ):
        with pytest.raises(InputError, match=message):
            make()


def test_as_many_evaluations_as_the_network_needs(talker):
    assert live_steps(talker) == 3
    assert live_steps(load_dae_talker("dae_talker_tiny", "cpu")) == 1
    warm_up(talker, LiveSettings())
