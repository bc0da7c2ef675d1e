"""LaDTalk's mouths for a film: what they hear, how their texture is matched, and what a film leaves behind: nothing."""

import cv2
import numpy as np
import pytest
import torch

from talkface_core.dubbing.pipeline import Dubbing, DubRequest, dub
from talkface_core.errors import InputError
from talkface_core.faces.align import align
from talkface_core.faces.paste import frame_mask, mouth_mask
from talkface_core.ladtalk.pipeline import MATCHED_OVER, LaDTalkMouths, listen
from talkface_core.ladtalk.sovqae import SOVQAE
from talkface_core.ladtalk.wav2lip import Wav2Lip
from talkface_core.media.audio import AudioSource, audio_source
from talkface_core.speech.features import LogMel
from talkface_core.speech.mel_windows import mel_windows
from tests.dubbing.toys import RATE, CountedFilm, Seer, face_points, pictures, sound, tracked
from tests.ladtalk.small_ladtalk import MOVING, small_gate, small_lips
from tests.ladtalk.small_sovqae import sovqae


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return pictures()


@pytest.fixture(scope="module")
def landmarks() -> torch.Tensor:
    return face_points()


def still_lips():
    """Lips that leave each face as it is."""
    lips = small_lips()
    mask = slice(3 * lips.wav2lip.config.patch**2, None)
    lips.wav2lip.pixels.weight.data[mask] = 0
    lips.wav2lip.pixels.bias.data[mask] = -50
    return lips


def dubbed(frames, track, source, model=None, **options) -> np.ndarray:
    request = DubRequest(CountedFilm(frames, track.fps), source, track, **options)
    return np.concatenate(list(dub(model or LaDTalkMouths(small_lips()), request)))


def matched(frames, track, model, seconds=0.4) -> float:
    """The strength that a model settles on for a film."""
    dubbing = Dubbing(model, DubRequest(CountedFilm(frames), sound(seconds), track))
    list(dubbing.frames())
    return dubbing.settings["texture"]


@pytest.mark.parametrize("texture", [None, 0.0, 0.7])
def test_outside_the_mask_every_pixel_is_the_films(frames, landmarks, texture):
    track = tracked(landmarks)
    out = dubbed(frames, track, sound(0.4), LaDTalkMouths(small_lips(), sovqae(), texture))
    crop = align(track, 24)
    # The mask as it lies at the size of what was pasted: the SOVQAE's 32 px, or Wav2Lip's own.
    outside = (frame_mask(crop.resized(24 if texture == 0 else 32), mouth_mask(crop)) == 0).numpy()
    assert np.array_equal(out[outside], frames[outside])
    assert (out[~outside] != frames[~outside]).mean() > 0.3


@pytest.mark.parametrize("texture", [None, 0.5])
def test_the_window_changes_nothing(frames, landmarks, texture):
    model, outputs = LaDTalkMouths(small_lips(), sovqae(), texture), []
    for window in (1, 3, 16):
        outputs.append(dubbed(frames, tracked(landmarks), sound(0.9), model, window=window).astype(int))
    for other in outputs[1:]:
        # Batches of another size may be rounded otherwise, which a code here and there shows.
        assert np.abs(other - outputs[0]).mean() < 1e-3


@pytest.mark.parametrize("network", [Wav2Lip, SOVQAE])
def test_when_memory_runs_out_it_goes_on_with_the_same_mouths(frames, landmarks, monkeypatch, network):
    """In matching and in painting, where frames without the face lie between."""
    valid = [True] * 4 + [False] * 8 + [True] * 8
    many, track = np.concatenate([frames] * 2), tracked(torch.cat([landmarks] * 2), valid=valid)
    model = LaDTalkMouths(small_lips(small_gate()), sovqae())
    whole = dubbed(many, track, sound(1.4), model)
    method = "predict" if network is Wav2Lip else "forward"
    original, tried = getattr(network, method), []

    def scarce(net, *given):
        tried.append(len(given[0]))
        if len(given[0]) > 3:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return original(net, *given)

    monkeypatch.setattr(network, method, scarce)
    again = dubbed(many, track, sound(1.4), model)
    assert {8, 2} <= set(tried)
    assert np.abs(again.astype(int) - whole).mean() < 1e-3


def moving_lips(paint: float):
    """Lips that move two references at the film's own detail and paint everywhere, or, with -50, nowhere."""
    lips = small_lips(config=MOVING)
    mask = slice(3 * MOVING.patch**2, 4 * MOVING.patch**2)
    lips.wav2lip.pixels.weight.data[mask] = 0
    lips.wav2lip.pixels.bias.data[mask] = paint
    return lips


def test_only_paint_is_restored(frames, landmarks):
    """What a flow carried over has its own texture, which no SOVQAE touches."""
    track, others = tracked(landmarks), [sovqae(seed=seed) for seed in (0, 1)]
    for paint in (-50.0, 50.0):
        one, other = (
            dubbed(frames, track, sound(0.4), LaDTalkMouths(moving_lips(paint), texture, 1.0)) for texture in others
        )
        assert np.array_equal(one, other) == (paint < 0)


@pytest.mark.parametrize("texture", [False, True])
@pytest.mark.parametrize(("paint", "share"), [(-50.0, 0.0), (-2.2, 0.0998 / 0.3), (50.0, 1.0)])
def test_it_tells_what_is_paint_as_far_as_that_is_restored(frames, landmarks, texture, paint, share):
    model, track = LaDTalkMouths(moving_lips(paint), sovqae() if texture else None, 1.0), tracked(landmarks)
    dubbing = Dubbing(model, DubRequest(CountedFilm(frames), sound(0.4), track))
    told = np.concatenate([paint for _, paint in dubbing.frames_and_paint()])
    crop = align(track, 32 if texture else 256)
    wanted = frame_mask(crop, share * mouth_mask(crop)).numpy()
    np.testing.assert_allclose(told, wanted, rtol=0, atol=0.01)


def test_lips_without_a_flow_are_paint_as_a_whole(frames, landmarks):
    dubbing = Dubbing(LaDTalkMouths(small_lips()), DubRequest(CountedFilm(frames), sound(0.4), tracked(landmarks)))
    told = np.concatenate([paint for _, paint in dubbing.frames_and_paint()])
    assert (told.max((1, 2)) > 0.9).all()


def test_moved_mouths_keep_the_films_detail(frames, landmarks):
    """The flow is the same whatever is cut out; the crops are larger than what the net looks at."""
    model = LaDTalkMouths(moving_lips(-50.0))
    assert model.crop_size == 256 > MOVING.size
    assert model.memory(8) > LaDTalkMouths(small_lips()).memory(8)
    out = dubbed(frames, tracked(landmarks), sound(0.4), model)
    outside = (frame_mask(align(tracked(landmarks), 256)) == 0).numpy()
    assert np.array_equal(out[outside], frames[outside])
    assert (out[~outside] != frames[~outside]).mean() > 0.3


def test_what_is_said_depends_on_the_sound_and_on_nothing_else(frames, landmarks):
    track, model = tracked(landmarks), LaDTalkMouths(small_lips(), sovqae())
    one, again = (dubbed(frames, track, sound(0.4), model) for _ in range(2))
    assert np.array_equal(one, again)
    other = dubbed(frames, track, sound(0.4, volume=0.001), model)
    assert np.abs(one.astype(int) - other)[:, 90:].max() > 3


def test_after_the_sound_nothing_is_said(frames, landmarks):
    """ "once" with a short sound: the rest of the film hears what a silent sound has it hear."""
    out = dubbed(frames, tracked(landmarks), sound(0.08), length="once")
    silent = audio_source({"waveform": torch.zeros(1, 1, 6400), "sample_rate": RATE})
    mute = dubbed(frames, tracked(landmarks), silent, length="once")
    assert np.array_equal(out[-3:], mute[-3:])
    assert not np.array_equal(out[0], mute[0])


def test_frames_out_of_sight_do_not_shift_the_sound(frames, landmarks):
    """The words of a frame are the same whether the face was in sight before or not."""
    many, points = np.concatenate([frames] * 2), torch.cat([landmarks] * 2)
    visible = dubbed(many, tracked(points, cuts=(10,)), sound(0.8))
    hidden = dubbed(many, tracked(points, valid=[False] * 10 + [True] * 10, cuts=(10,)), sound(0.8))
    assert np.array_equal(hidden[:10], many[:10])
    assert np.array_equal(hidden[10:], visible[10:])


def test_windows_are_those_of_the_whole_sound():
    source = sound(1.5)
    mel = LogMel()(torch.cat(list(source.blocks()), 1)[0])
    plain = listen(small_lips(), source, 12).at(range(18))
    torch.testing.assert_close(plain, mel_windows(mel, range(18), 12), rtol=0, atol=1e-4)
    gated = listen(small_lips(small_gate()), source, 12).at(range(18))
    wanted = mel_windows(small_gate().fade(mel[None])[0], range(18), 12)
    torch.testing.assert_close(gated, wanted, rtol=0, atol=1e-3)


def test_the_strength_is_matched_to_each_film(frames, landmarks):
    """By frames that show the face, wherever the film begins, and anew for the next film."""
    black, model = np.zeros_like(frames), LaDTalkMouths(still_lips(), sovqae())
    late = tracked(torch.cat([landmarks, landmarks]), valid=[False] * 10 + [True] * 10)
    first = matched(np.concatenate([black, frames]), late, model, 0.8)
    assert first == pytest.approx(matched(frames, tracked(landmarks), model), abs=1e-6)
    assert 0 < first <= 1
    blurred = np.stack([cv2.GaussianBlur(frame, (0, 0), 4) for frame in frames])
    assert matched(blurred, tracked(landmarks), model) < first
    assert matched(frames, tracked(landmarks), model) == first
    assert matched(frames, tracked(landmarks), LaDTalkMouths(still_lips(), sovqae(), 0.3)) == 0.3
    assert matched(frames, tracked(landmarks), LaDTalkMouths(still_lips(), None, 0.5)) is None


def test_references_and_strength_need_no_pass_of_their_own(frames, landmarks):
    film = CountedFilm(frames)
    model = LaDTalkMouths(small_lips(), sovqae())
    kept = Dubbing(model, DubRequest(film, sound(0.4), detector=Seer(landmarks)))
    output = np.concatenate(list(kept.frames()))
    assert film.passes == [10, 10]
    again = CountedFilm(frames)
    assert np.abs(output.astype(int) - dubbed(frames, kept.track, sound(0.4), model)).mean() < 0.01
    list(dub(model, DubRequest(again, sound(0.4), kept.track)))
    assert len(again.passes) == 2, "a track that is given has kept no faces: one pass for them, one to play"


def test_the_first_frames_and_shut_mouths_are_kept_longest(landmarks):
    shut = landmarks[:4].clone()
    shut[:, 60:] = shut[:, 62:63]
    points, numbers = torch.cat([landmarks[:4], shut]), torch.arange(MATCHED_OVER - 1, MATCHED_OVER + 7)
    rank = LaDTalkMouths(small_lips(), sovqae()).rank(points, numbers)
    assert torch.isinf(rank).tolist() == [True] + [False] * 7
    assert rank[4:].min() > rank[1:4].max()
    assert not torch.isinf(LaDTalkMouths(small_lips(), sovqae(), 0.5).rank(points, numbers)).any()


@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("texture", [False, True])
def test_parts_may_be_missing(frames, landmarks, gate, texture):
    model = LaDTalkMouths(small_lips(small_gate() if gate else None), sovqae() if texture else None)
    assert len(dubbed(frames, tracked(landmarks), sound(0.4), model)) == 10


def test_a_film_that_never_shows_the_face_while_the_sound_lasts(frames, landmarks):
    track = tracked(landmarks, valid=[False] * 8 + [True] * 2)
    out = dubbed(frames, track, sound(0.08), LaDTalkMouths(small_lips(), sovqae()))
    assert np.array_equal(out, frames[:2])


def test_memory_is_given_back_chunk_by_chunk(frames, landmarks):
    """Of a long sound, no more is read ahead than a few seconds."""

    class Counted(AudioSource):
        sample_rate, channels, name, read = RATE, 1, "long", 0

        def blocks(self, seconds=1.0):
            for _ in range(600):
                self.read += 1
                yield torch.full((1, RATE), 0.1).cumsum(1).sin()

        def num_samples(self):
            return 600 * RATE

    source = Counted()
    next(dub(LaDTalkMouths(small_lips()), DubRequest(CountedFilm(frames), source, tracked(landmarks))))
    assert source.read <= 8


def test_memory_grows_with_the_window():
    soft, sharp = LaDTalkMouths(small_lips()), LaDTalkMouths(small_lips(), sovqae())
    assert soft.memory(8) == 8 * soft.memory(1) > 0
    assert sharp.memory(4) >= soft.memory(4)


@pytest.mark.parametrize("strength", [1.5, -0.1, float("nan")])
def test_wrong_strengths(strength):
    with pytest.raises(InputError, match=f"strength {strength}"):
        LaDTalkMouths(small_lips(), sovqae(), strength)
