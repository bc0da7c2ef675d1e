"""A film and a sound to a film that says it: order, lengths, rates, what is touched, passes, memory, progress."""

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch

from talkface_core.dubbing.model import default_window
from talkface_core.dubbing.pipeline import (
    PAINTING,
    TRACKING,
    Dubbing,
    DubRequest,
    dub,
    dub_to_file,
)
from talkface_core.errors import InputError
from talkface_core.faces.align import align, crop_faces
from talkface_core.faces.paste import frame_mask, mouth_mask
from talkface_core.faces.track import in_sight
from talkface_core.media.audio import audio_source, open_audio
from talkface_core.media.playback import frame_order
from talkface_core.media.video_reader import VideoReader
from tests.dubbing.toys import (
    HIGH,
    RATE,
    WIDE,
    CountedFilm,
    Seer,
    ToyMouths,
    face_points,
    pictures,
    sound,
    tracked,
)


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return pictures()


@pytest.fixture(scope="module")
def landmarks() -> torch.Tensor:
    return face_points()


def dubbed(frames, track, source, model=None, **options) -> np.ndarray:
    request = DubRequest(CountedFilm(frames, track.fps), source, track, **options)
    return np.concatenate(list(dub(model or ToyMouths(), request)))


@pytest.mark.parametrize("fps", [25, Fraction(30000, 1001), 12, 60])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_rate_frames_and_sound_are_kept(frames, landmarks, tmp_path, fps, rate):
    source = sound(0.77, rate)
    result = dub_to_file(
        ToyMouths(), DubRequest(CountedFilm(frames, fps), source, detector=Seer(landmarks)), tmp_path / "out.mp4"
    )
    frames_made = -(-source.num_samples() * Fraction(fps) // rate)
    reader = VideoReader(tmp_path / "out.mp4")
    assert (reader.fps, reader.num_frames) == (fps, frames_made)
    assert (result.fps, result.frames, result.left_alone, result.tracked) == (fps, frames_made, 0, min(10, frames_made))
    # The codec wants even sides: the last row and column are repeated.
    assert (reader.width, reader.height) == (WIDE + 1, HIGH + 1)
    sound_track = open_audio(tmp_path / "out.mp4")
    assert (sound_track.sample_rate, sound_track.num_samples()) == (rate, source.num_samples())
    assert result.seconds_audio == source.num_samples() / rate
    assert {"faces", "reading", "lips", "pasting", "writing"} <= set(result.seconds)
    assert result.settings == {"wanted": 0}


@pytest.mark.parametrize("length", ["bounce", "stop", "once"])
@pytest.mark.parametrize("seconds", [0.2, 0.4, 1.28])
def test_lengths_and_order(frames, landmarks, tmp_path, length, seconds):
    """Ten frames are 0.4 s. Each frame of the result is the film's by the order, but for the mouth."""
    source, model, order = sound(seconds), ToyMouths(), frame_order(10, round(25 * seconds), length)
    out = dubbed(frames, tracked(landmarks), source, model, length=length)
    assert len(out) == len(order)
    assert np.array_equal(out[:, :60], frames[order][:, :60])
    assert all((new[90:] != old[90:]).any() for new, old in zip(out, frames[order], strict=True))
    assert model.painters[0].painted == list(range(len(order)))
    request = DubRequest(CountedFilm(frames), source, detector=Seer(landmarks), length=length)
    result = dub_to_file(ToyMouths(), request, tmp_path / "out.mp4")
    assert result.frames == len(order)
    samples = RATE * (seconds if length == "bounce" else min(seconds, len(order) / 25))
    assert open_audio(tmp_path / "out.mp4").num_samples() == round(samples)
    assert result.seconds_audio == pytest.approx(samples / RATE)


def test_the_painter_is_given_the_aligned_faces_of_the_order(frames, landmarks):
    model, track = ToyMouths(), tracked(landmarks)
    dubbed(frames, track, sound(0.8), model, window=7)
    painter, order = model.painters[0], frame_order(10, 20, "bounce")
    assert [len(part) for part in painter.asked] == [7, 7, 6]
    assert np.array_equal(painter.context.order, order)
    wanted = crop_faces(frames[order], align(track.at(order.tolist()), 24))
    faces = torch.cat(painter.faces)
    assert faces.dtype == torch.float32
    assert torch.equal(faces, torch.from_numpy(wanted).permute(0, 3, 1, 2).float() / 255)


@pytest.mark.parametrize(("length", "looked", "most"), [("bounce", 5, 5), ("stop", 5, 5), ("once", 10, None)])
def test_no_more_is_looked_at_than_is_shown(frames, landmarks, length, looked, most):
    seer, film, steps = Seer(landmarks), CountedFilm(frames), []
    request = DubRequest(film, sound(0.2), detector=seer, length=length)
    dubbing = Dubbing(ToyMouths(), request, lambda *step: steps.append(step[:3]))
    assert (len(dubbing.track), seer.asked, film.passes) == (looked, looked, [looked])
    assert steps == [(TRACKING, k + 1, most) for k in range(looked)]


def test_frames_needed_are_those_of_the_sound(frames, landmarks):
    assert DubRequest(CountedFilm(frames, Fraction(30000, 1001)), sound(3.001), detector=Seer(landmarks)).needed == 90


def test_the_film_is_gone_through_twice(frames, landmarks):
    """Faces that a model asks for were kept while the face was followed, and are those of the film."""
    film, model = CountedFilm(frames), ToyMouths(wanted=(2, 7))
    dubbing = Dubbing(model, DubRequest(film, sound(0.4), detector=Seer(landmarks)))
    list(dubbing.frames())
    assert film.passes == [10, 10]
    small, large = model.painters[0].cut
    for crops, size in ((small, 24), (large, 48)):
        wanted = crop_faces(frames[[2, 7]], align(dubbing.track, size).at([2, 7]))
        assert list(crops) == [2, 7]
        assert all(np.abs(crops[k].astype(int) - face).max() <= 1 for k, face in zip((2, 7), wanted, strict=True))


def test_what_does_not_fit_is_read_once_more_and_no_further_than_needed(frames, landmarks, monkeypatch):
    monkeypatch.setattr("talkface_core.dubbing.face_cache.BUDGET", 0)
    monkeypatch.setattr("talkface_core.dubbing.model._READ", 2)
    film, model = CountedFilm(frames), ToyMouths(wanted=(2, 4))
    dubbing = Dubbing(model, DubRequest(film, sound(0.4), detector=Seer(landmarks)))
    list(dubbing.frames())
    assert film.passes == [10, 6, 10]
    wanted = crop_faces(frames[[2, 4]], align(dubbing.track, 48).at([2, 4]))
    assert np.array_equal(np.stack(list(model.painters[0].cut[1].values())), wanted)


def test_outside_the_mask_every_pixel_is_the_films(frames, landmarks):
    track = tracked(landmarks)
    out = dubbed(frames, track, sound(0.4))
    crop = align(track, 24)
    # The mask as it lies at the size of what was pasted.
    outside = (frame_mask(crop.resized(32), mouth_mask(crop)) == 0).numpy()
    assert np.array_equal(out[outside], frames[outside])
    assert (out[~outside] != frames[~outside]).mean() > 0.3


def test_floats_are_not_rounded(frames, landmarks):
    """Frames that bytes cannot hold: the same but for the mouth, and the faces too are seen as they are."""
    given = frames.astype(np.float32) / 255 + np.float32(0.3 / 255)
    model, track = ToyMouths(), tracked(landmarks)
    request = DubRequest(CountedFilm(given, exact=True), sound(0.4), track)
    out = np.concatenate(list(dub(model, request)))
    assert out.dtype == np.float32
    assert np.array_equal(out[:, :60], given[:, :60])
    assert (out[:, 90:] != given[:, 90:]).any()
    wanted = torch.from_numpy(crop_faces(given, align(track, 24))).permute(0, 3, 1, 2)
    assert torch.equal(torch.cat(model.painters[0].faces), wanted)


@pytest.mark.parametrize("window", [1, 3, 16, None])
def test_the_window_changes_nothing(frames, landmarks, window):
    output = dubbed(frames, tracked(landmarks), sound(0.9), window=window)
    assert np.array_equal(output, dubbed(frames, tracked(landmarks), sound(0.9), window=5))


def test_a_model_is_given_windows_of_its_own(frames, landmarks, monkeypatch):
    """However few large frames are read at once."""
    monkeypatch.setattr("talkface_core.media.video_reader._CHUNK_BYTES", 4 * frames[0].nbytes)
    model = ToyMouths(window=6)
    out = dubbed(frames, tracked(landmarks), sound(0.8), model)
    assert [len(part) for part in model.painters[0].asked] == [6, 6, 6, 2]
    assert np.array_equal(out, dubbed(frames, tracked(landmarks), sound(0.8)))


def test_windows_by_device_and_size(frames):
    film = CountedFilm(frames)
    assert default_window(torch.device("cpu"), film) == 8
    assert default_window(torch.device("cuda"), film) > 8
    film.width, film.height = 7680, 4320
    assert default_window(torch.device("cuda"), film) == 2


def test_when_memory_runs_out_windows_are_halved_and_nothing_else_changes(frames, landmarks, caplog):
    model = ToyMouths(most=3)
    out = dubbed(frames, tracked(landmarks), sound(0.8), model, window=10)
    assert np.array_equal(out, dubbed(frames, tracked(landmarks), sound(0.8)))
    first = [len(part) for part in model.painters[0].asked]
    assert first == [10, 5, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2]
    assert "out of memory with 10 frames at a time: going on with 5" in caplog.text
    with pytest.raises(torch.cuda.OutOfMemoryError):
        dubbed(frames, tracked(landmarks), sound(0.8), ToyMouths(most=0))


def test_frames_without_the_face_are_left_as_they_are_and_counted(frames, landmarks, tmp_path):
    many, valid = np.concatenate([frames, frames[::-1]]), [not 4 <= k < 12 for k in range(20)]
    track, model = tracked(torch.cat([landmarks, landmarks.flip(0)]), valid=valid), ToyMouths()
    assert in_sight(track).tolist() == valid
    out, order = dubbed(many, track, sound(1.6), model), frame_order(20, 40, "bounce")
    same = [np.array_equal(new, many[k]) for new, k in zip(out, order, strict=True)]
    assert same == [4 <= k < 12 for k in order]
    assert model.painters[0].painted == np.flatnonzero(~np.array(same)).tolist()
    request = DubRequest(CountedFilm(many), sound(1.6), detector=Seer(landmarks, valid))
    assert dub_to_file(ToyMouths(), request, tmp_path / "out.mp4").left_alone == sum(same)


def test_mouths_that_cannot_be_read_are_left_as_they_are(frames, landmarks):
    track = replace(tracked(landmarks), readable=torch.arange(10) >= 8)
    out, order = dubbed(frames, track, sound(0.8)), frame_order(10, 20, "bounce")
    assert [np.array_equal(new, frames[k]) for new, k in zip(out, order, strict=True)] == [k < 8 for k in order]
    hidden, model = replace(track, readable=torch.tensor(False)), ToyMouths()
    assert np.array_equal(dubbed(frames, hidden, sound(0.8), model), frames[order])
    assert model.painters[0].painted == []


@pytest.mark.parametrize("told", [False, True])
def test_where_frames_are_paint(frames, landmarks, told):
    """Beside the very same frames; nowhere where the face is out of sight, the whole mouth where a model is silent."""
    track = tracked(landmarks, valid=[True] * 2 + [False] * 7 + [True])
    share = torch.zeros(32, 32)
    share[22:26] = 0.5
    model = ToyMouths(share=share if told else None)
    dubbing = Dubbing(model, DubRequest(CountedFilm(frames), sound(0.4), track, window=3))
    made, paint = (np.concatenate(part) for part in zip(*dubbing.frames_and_paint(), strict=True))
    assert np.array_equal(made, dubbed(frames, track, sound(0.4)))
    assert paint.dtype == np.float32
    seen = in_sight(track).numpy()
    assert not seen.all()
    assert not paint[~seen].any()
    crop = align(track, 32).at(np.flatnonzero(seen).tolist())
    wanted = frame_mask(crop, mouth_mask(crop) * (share if told else 1.0)).numpy()
    np.testing.assert_allclose(paint[seen], wanted, rtol=0, atol=1e-5)
    assert 0.4 < wanted.max() <= (0.5 if told else 1.0)


def test_a_model_keeps_nothing_of_a_film(frames, landmarks):
    model, track = ToyMouths(wanted=(1,)), tracked(landmarks)
    one, other = (dubbed(frames, track, sound(seconds), model) for seconds in (0.4, 0.2))
    assert np.array_equal(other, one[:5])
    first, second = model.painters
    assert first is not second
    assert second.painted == list(range(5))


def test_a_single_frame_speaks(frames, landmarks):
    out = dubbed(frames[:1], tracked(landmarks[:1]), sound(0.4))
    assert len(out) == 10
    assert (out[:, :60] == frames[0, :60]).all()
    assert len({frame.tobytes() for frame in out}) > 5


def test_a_sound_of_one_sample(frames, landmarks):
    one = audio_source({"waveform": torch.ones(1, 1, 1), "sample_rate": RATE})
    assert len(dubbed(frames, tracked(landmarks), one)) == 1


def test_progress_of_both_passes(frames, landmarks, tmp_path):
    steps = []
    request = DubRequest(CountedFilm(frames), sound(0.8), detector=Seer(landmarks), window=6)
    dub_to_file(ToyMouths(), request, tmp_path / "out.mp4", lambda *step: steps.append(step))
    passes = [(step, done, total) for step, done, total, _ in steps]
    assert passes[:10] == [(TRACKING, k + 1, 20) for k in range(10)]
    assert passes[10:] == [(PAINTING, done, 20) for done in (6, 12, 18, 20)]
    assert all(frame.shape == (HIGH, WIDE, 3) for *_, frame in steps)
    assert np.array_equal(steps[3][3], frames[3])


@pytest.mark.parametrize("step", [TRACKING, PAINTING])
def test_what_progress_raises_ends_the_work_and_leaves_no_file(frames, landmarks, tmp_path, step):
    class Enough(Exception):
        pass

    def stop(now: str, done: int, *_: object) -> None:
        if now == step and done >= 4:
            raise Enough

    model, seer = ToyMouths(), Seer(landmarks)
    request = DubRequest(CountedFilm(frames), sound(2.0), detector=seer, window=4)
    with pytest.raises(Enough):
        dub_to_file(model, request, tmp_path / "out.mp4", stop)
    assert seer.asked == (4 if step == TRACKING else 10)
    assert sum(len(painter.painted) for painter in model.painters) == (0 if step == TRACKING else 4)
    assert not list(tmp_path.iterdir())


def test_wrong_requests(frames, landmarks, tmp_path):
    film, source = CountedFilm(frames), sound(0.2)
    with pytest.raises(InputError, match="'loop' is unknown"):
        DubRequest(film, source, tracked(landmarks), length="loop")
    with pytest.raises(InputError, match="window of 0 frames"):
        DubRequest(film, source, tracked(landmarks), window=0)
    with pytest.raises(InputError, match="a detector that finds it"):
        Dubbing(ToyMouths(), DubRequest(film, source))
    seer = Seer(landmarks)
    with pytest.raises(InputError, match=r"must end in \.mp4"):
        dub_to_file(ToyMouths(), DubRequest(film, source, detector=seer), tmp_path / "out.avi")
    assert seer.asked == 0
    nobody = Seer(landmarks, [False] * 5)
    with pytest.raises(InputError, match="no face in any of 5 frames"):
        dub_to_file(ToyMouths(), DubRequest(film, source, detector=nobody), tmp_path / "out.mp4")
    assert not list(tmp_path.iterdir())


def test_the_shape_of_pixels_is_kept(frames, landmarks, tmp_path):
    film = CountedFilm(frames)
    film.pixel_aspect = Fraction(64, 45)
    request = DubRequest(film, sound(0.2), tracked(landmarks))
    dub_to_file(ToyMouths(), request, tmp_path / "a.mp4")
    assert VideoReader(tmp_path / "a.mp4").pixel_aspect == Fraction(64, 45)
