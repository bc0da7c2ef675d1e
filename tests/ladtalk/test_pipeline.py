"""A film and a sound to a film that says it: lengths, rates and sizes, what is touched and what is not, in chunks."""

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.faces.align import align
from talkface_core.faces.face import Detector, Face
from talkface_core.faces.paste import frame_mask, mouth_mask
from talkface_core.faces.track import FaceTrack, fill
from talkface_core.ladtalk import pipeline
from talkface_core.ladtalk.pipeline import Painter, dub, dub_to_file, in_sight, needed, speech_windows, track_film
from talkface_core.media.audio import audio_source, open_audio
from talkface_core.media.playback import FilmBatch, frame_order
from talkface_core.media.video_reader import VideoReader
from talkface_core.speech.features import LogMel
from talkface_core.speech.mel_windows import mel_windows
from tests.ladtalk.small_ladtalk import small_gate, small_lips
from tests.ladtalk.small_sovqae import sovqae

CLIP = Path(__file__).parents[1] / "fixtures" / "ada_talks.mp4"
RATE = 16000
WIDE, HIGH, LEFT, TOP = 161, 143, 17, 9


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    """Ten frames of the fixture's face in a larger picture of odd sides."""
    out = np.random.default_rng(0).integers(60, 120, (10, HIGH, WIDE, 3), np.uint8)
    out[:, TOP : TOP + 128, LEFT : LEFT + 128] = next(VideoReader(CLIP).chunks(10))
    return out


@pytest.fixture(scope="module")
def landmarks() -> torch.Tensor:
    with np.load(CLIP.with_suffix(".npz")) as truth:
        return torch.from_numpy(truth["landmarks"][:10].astype(np.float32)) + torch.tensor([LEFT, TOP])


def tracked(landmarks, fps=25, valid=None, cuts=()) -> FaceTrack:
    valid = torch.ones(len(landmarks), dtype=torch.bool) if valid is None else torch.tensor(valid)
    return fill(landmarks, valid, (HIGH, WIDE), fps, cuts)


def sound(seconds: float, rate: int = RATE, volume: float = 0.1):
    samples = round(seconds * rate)
    noise = torch.randn(1, 1, samples, generator=torch.Generator().manual_seed(0)) * volume
    return audio_source({"waveform": noise, "sample_rate": rate})


class Seer(Detector):
    """Knows where the face is; counts the frames that it is shown."""

    name, threshold = "seer", 0.5

    def __init__(self, landmarks) -> None:
        self.landmarks, self.asked = landmarks, 0

    def detect(self, frames):
        self.asked += len(frames)
        return [[Face.of(self.landmarks[0], 0.9)] for _ in frames]


def still_lips():
    """Lips that leave each face as it is."""
    lips = small_lips()
    mask = slice(3 * lips.wav2lip.config.patch**2, None)
    lips.wav2lip.pixels.weight.data[mask] = 0
    lips.wav2lip.pixels.bias.data[mask] = -50
    return lips


def dubbed(frames, track, source, painter=None, **options) -> np.ndarray:
    film = FilmBatch(torch.from_numpy(frames), track.fps)
    return np.concatenate(list(dub(painter or Painter(small_lips(), None), film, track, source, **options)))


@pytest.mark.parametrize("fps", [25, Fraction(30000, 1001), 12, 60])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_rate_frames_and_sound_are_kept(frames, landmarks, tmp_path, fps, rate):
    film, source = FilmBatch(torch.from_numpy(frames), fps), sound(0.77, rate)
    seen = []
    made = dub_to_file(
        *(Painter(small_lips(), None), film, source, tmp_path / "out.mp4", Seer(landmarks)), progress=seen.append
    )
    frames_made = -(-source.num_samples() * Fraction(fps) // rate)
    reader = VideoReader(tmp_path / "out.mp4")
    assert (reader.fps, reader.num_frames) == (fps, frames_made)
    assert (made.fps, made.frames, made.left_alone, sum(seen)) == (fps, frames_made, 0, frames_made)
    # The codec wants even sides: the last row and column are repeated.
    assert (reader.width, reader.height) == (WIDE + 1, HIGH + 1)
    heard = open_audio(tmp_path / "out.mp4")
    assert (heard.sample_rate, heard.num_samples()) == (rate, source.num_samples())
    assert made.seconds_audio == source.num_samples() / rate
    assert {"faces", "reading", "lips", "pasting", "writing"} <= set(made.seconds)


@pytest.mark.parametrize("length", ["bounce", "stop", "once"])
@pytest.mark.parametrize("seconds", [0.2, 0.4, 1.28])
def test_lengths(frames, landmarks, tmp_path, length, seconds):
    """Ten frames are 0.4 s. Each frame of the result is the film's by the order, but for the mouth."""
    source, film = sound(seconds), FilmBatch(torch.from_numpy(frames), 25)
    order = frame_order(10, round(25 * seconds), length)
    out = dubbed(frames, tracked(landmarks), source, length=length)
    assert len(out) == len(order)
    assert np.array_equal(out[:, :60], frames[order][:, :60])
    assert all((new[90:] != old[90:]).any() for new, old in zip(out, frames[order], strict=True))
    args = (Painter(small_lips(), None), film, source, tmp_path / "out.mp4", Seer(landmarks))
    made = dub_to_file(*args, length=length)
    assert made.frames == len(order)
    heard = RATE * (seconds if length == "bounce" else min(seconds, len(order) / 25))
    assert open_audio(tmp_path / "out.mp4").num_samples() == round(heard)
    assert made.seconds_audio == pytest.approx(heard / RATE)


def test_no_more_is_looked_at_than_is_shown(frames, landmarks):
    film, source = FilmBatch(torch.from_numpy(frames), 25), sound(0.2)
    for length, looked in (("bounce", 5), ("stop", 5), ("once", 10)):
        seer, done = Seer(landmarks), []
        track = track_film(film, seer, smoothing=0, progress=done.append, most=needed(source, 25, length))
        assert (len(track), seer.asked, done[-1]) == (looked, looked, looked)
    assert needed(sound(3.001), Fraction(30000, 1001), "bounce") == 90


@pytest.mark.parametrize("texture", [None, 0.0, 0.7])
def test_outside_the_mask_every_pixel_is_the_films(frames, landmarks, texture):
    track = tracked(landmarks)
    out = dubbed(frames, track, sound(0.4), Painter(small_lips(), sovqae(), texture))
    crop = align(track, 24)
    # The mask as it lies at the size of what was pasted: the SOVQAE's 32 px, or Wav2Lip's own.
    outside = (frame_mask(crop.resized(24 if texture == 0 else 32), mouth_mask(crop)) == 0).numpy()
    assert np.array_equal(out[outside], frames[outside])
    assert (out[~outside] != frames[~outside]).mean() > 0.3


@pytest.mark.parametrize("texture", [None, 0.5])
def test_the_window_changes_nothing(frames, landmarks, texture):
    made, strengths = [], []
    for window in (1, 3, 16):
        painter = Painter(small_lips(), sovqae(), texture)
        made.append(dubbed(frames, tracked(landmarks), sound(0.9), painter, window=window).astype(int))
        strengths.append(painter.strength)
    assert strengths[0] is not None
    assert strengths == [strengths[0]] * 3
    for other in made[1:]:
        # Batches of another size may be rounded otherwise, which a code here and there shows.
        assert np.abs(other - made[0]).mean() < 1e-3


def test_what_is_said_depends_on_the_sound_and_on_nothing_else(frames, landmarks):
    track, painter = tracked(landmarks), Painter(small_lips(), None)
    one, again = (dubbed(frames, track, sound(0.4), painter) for _ in range(2))
    assert np.array_equal(one, again)
    other = dubbed(frames, track, sound(0.4, volume=0.001), painter)
    assert np.abs(one.astype(int) - other)[:, 90:].max() > 3


def test_after_the_sound_nothing_is_said(frames, landmarks):
    """ "once" with a short sound: the rest of the film hears what a silent sound has it hear."""
    out = dubbed(frames, tracked(landmarks), sound(0.08), length="once")
    silent = audio_source({"waveform": torch.zeros(1, 1, 6400), "sample_rate": RATE})
    mute = dubbed(frames, tracked(landmarks), silent, length="once")
    assert np.array_equal(out[-3:], mute[-3:])
    assert not np.array_equal(out[0], mute[0])


def test_windows_are_those_of_the_whole_sound():
    source = sound(1.5)
    mel = LogMel()(torch.cat(list(source.blocks()), 1)[0])
    plain = speech_windows(small_lips(), source, 12).take(18)
    torch.testing.assert_close(plain, mel_windows(mel, range(18), 12), rtol=0, atol=1e-4)
    gated = speech_windows(small_lips(small_gate()), source, 12).take(18)
    wanted = mel_windows(small_gate().fade(mel[None])[0], range(18), 12)
    torch.testing.assert_close(gated, wanted, rtol=0, atol=1e-3)


def test_short_gaps_are_bridged_and_long_ones_left(monkeypatch):
    points = torch.rand(40, 68, 2) * 50

    def seen(text: str, fps=25, cuts=()) -> str:
        valid = torch.tensor([c == "x" for c in text])
        track = fill(points[: len(text)], valid, (HIGH, WIDE), fps, cuts)
        return "".join("x" if v else "-" for v in in_sight(track))

    assert pipeline.HELD == 0.25
    assert seen("xx------xx") == "x" * 10
    assert seen("xx-------xx") == "xx-------xx"
    assert seen("xx---xx", fps=12) == "x" * 7
    assert seen("xx----xx", fps=12) == "xx----xx"
    assert seen("--xx--") == "x" * 6
    assert seen("-------xx") == "-------xx"
    # A scene that shows nobody stays as it is, however short; another scene's gap does not lengthen one's own.
    assert seen("xxx--xxx", cuts=(3, 5)) == "xxx--xxx"
    assert seen("xxx----xxx", cuts=(5,)) == "x" * 10
    assert seen("xxx---------xx", cuts=(5,)) == "xxxxx-------xx"


def test_frames_without_the_face_are_left_as_they_are_and_counted(frames, landmarks, tmp_path):
    many = np.concatenate([frames, frames[::-1]])
    valid = [not 4 <= k < 12 for k in range(20)]
    track = tracked(torch.cat([landmarks, landmarks.flip(0)]), valid=valid)
    out = dubbed(many, track, sound(1.6), Painter(small_lips(), sovqae(), 0.5))
    order = frame_order(20, 40, "bounce")
    same = [np.array_equal(new, many[k]) for new, k in zip(out, order, strict=True)]
    assert same == [4 <= k < 12 for k in order]

    class Blind(Seer):
        def detect(self, frames):
            shown = [valid[self.asked + k] for k in range(len(frames))]
            return [faces if seen else [] for faces, seen in zip(super().detect(frames), shown, strict=True)]

    film = FilmBatch(torch.from_numpy(many), 25)
    made = dub_to_file(Painter(small_lips(), None), film, sound(1.6), tmp_path / "out.mp4", Blind(landmarks))
    assert made.left_alone == sum(same)


def test_the_strength_is_matched_to_the_footage_once(frames, landmarks, tmp_path):
    """By frames that show the face, wherever the film begins."""
    black = np.zeros_like(frames)
    track = tracked(torch.cat([landmarks, landmarks]), valid=[False] * 10 + [True] * 10)
    painter = Painter(still_lips(), sovqae())
    assert painter.unmatched
    dubbed(np.concatenate([black, frames]), track, sound(0.8), painter)
    plain = Painter(still_lips(), sovqae())
    dubbed(frames, tracked(landmarks), sound(0.4), plain)
    assert painter.strength == pytest.approx(plain.strength, abs=1e-6)
    assert 0 < painter.strength <= 1
    blurred = np.stack([cv2.GaussianBlur(frame, (0, 0), 4) for frame in frames])
    soft = Painter(still_lips(), sovqae())
    dubbed(blurred, tracked(landmarks), sound(0.4), soft)
    assert soft.strength < painter.strength
    assert Painter(still_lips(), None, 0.5).strength is None


def test_a_painter_by_itself_matches_by_its_first_frames(frames, landmarks):
    painter, crop = Painter(small_lips(), sovqae()), align(tracked(landmarks), 24)
    windows = torch.randn(10, 1, 80, 16)
    nothing = painter(frames, crop, windows, np.zeros(10, bool))
    assert np.array_equal(nothing, frames)
    assert painter.unmatched
    painter(frames, crop, windows)
    assert not painter.unmatched
    with pytest.raises(InputError, match=r"strength 1\.5"):
        Painter(small_lips(), sovqae(), 1.5)
    with pytest.raises(InputError, match="strength nan"):
        Painter(small_lips(), sovqae(), float("nan"))


@pytest.mark.parametrize("gate", [False, True])
@pytest.mark.parametrize("texture", [False, True])
def test_parts_may_be_missing(frames, landmarks, gate, texture):
    painter = Painter(small_lips(small_gate() if gate else None), sovqae() if texture else None)
    assert len(dubbed(frames, tracked(landmarks), sound(0.4), painter)) == 10


def test_a_single_frame_speaks(frames, landmarks):
    out = dubbed(frames[:1], tracked(landmarks[:1]), sound(0.4), Painter(small_lips(), sovqae()))
    assert len(out) == 10
    assert (out[:, :60] == frames[0, :60]).all()
    assert len({frame.tobytes() for frame in out}) > 5


def test_a_sound_of_one_sample(frames, landmarks):
    one = audio_source({"waveform": torch.ones(1, 1, 1), "sample_rate": RATE})
    assert len(dubbed(frames, tracked(landmarks), one)) == 1


def test_memory_is_given_back_chunk_by_chunk(frames, landmarks):
    """Of a long sound, no more is read ahead than a few seconds."""

    class Counted:
        sample_rate, channels, name, path, read = RATE, 1, "long", None, 0

        def blocks(self, seconds=1.0):
            for _ in range(600):
                self.read += 1
                yield torch.zeros(1, RATE)

        def num_samples(self):
            return 600 * RATE

    source = Counted()
    film = FilmBatch(torch.from_numpy(frames), 25)
    chunks = dub(Painter(small_lips(), None), film, tracked(landmarks), source)
    next(chunks)
    assert source.read <= 4


def test_wrong_settings(frames, landmarks, tmp_path):
    film, source = FilmBatch(torch.from_numpy(frames), 25), sound(0.2)
    with pytest.raises(InputError, match="'loop' is unknown"):
        next(dub(Painter(small_lips(), None), film, tracked(landmarks), source, "loop"))
    args = (Painter(small_lips(), None), film, source)
    with pytest.raises(InputError, match=r"must end in \.mp4"):
        dub_to_file(*args, tmp_path / "out.avi", Seer(landmarks))
    nobody = Seer(landmarks)
    nobody.detect = lambda frames: [[] for _ in frames]
    with pytest.raises(InputError, match="no face in any of 5 frames"):
        dub_to_file(*args, tmp_path / "out.mp4", nobody)
    assert not list(tmp_path.iterdir())
