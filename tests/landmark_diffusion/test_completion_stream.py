"""Completed landmarks of whole films: windows, other rates, cuts, silence, strength, and what is asked for again."""

from dataclasses import replace

import pytest
import torch

from talkface_core.acoustic.hearing import OutsideEar, hear
from talkface_core.acoustic.stream import stream_into_silence
from talkface_core.errors import InputError
from talkface_core.landmark_diffusion.closing import shut_references
from talkface_core.landmark_diffusion.completion import CompletionConfig, LandmarkCompletion
from talkface_core.landmark_diffusion.completion_stream import WINDOW, CompletedLandmarks, CompletionModel
from talkface_core.landmark_diffusion.landmarks import IBUG_68
from talkface_core.media.source import MemoryAudio
from talkface_core.speech.features import EncodedAudio, LogMel
from talkface_core.speech.frame_front import WAV2VEC2
from talkface_core.speech.vad import GateConfig, VoiceActivityGate
from tests.acoustic.small_acoustic import small_acoustic
from tests.acoustic.small_ear import small_ear, small_whisper
from tests.landmark_diffusion.small_completion import SMALL, face, small_completion

CONTENT = list(IBUG_68.content)
SECONDS = 12


def sound(seconds: float = SECONDS, level: float = 0.3):
    generator = torch.Generator().manual_seed(3)
    wave = level * torch.randn(1, 1, int(16000 * seconds), generator=generator)
    wave = wave * (0.6 + 0.4 * torch.sin(torch.arange(wave.shape[-1]) / 3000))
    return MemoryAudio(wave.clamp(-1, 1), 16000)


def pose(frames: int):
    return face(torch.zeros(frames), 0.15 * torch.sin(torch.arange(frames) / 20))


REFERENCES = face(torch.linspace(0, 0.05, 5))


@pytest.fixture(scope="module")
def model():
    return CompletionModel(small_completion(), small_acoustic()).eval()


def made(model, frames=SECONDS * 25, cuts=(), fps=25, source=None, points=None, **options):
    points = pose(frames) if points is None else points
    return CompletedLandmarks(model, source or sound(), points, cuts, REFERENCES, fps, **options)


def test_windows_give_what_the_whole_gives(model):
    frames = SECONDS * 25
    assert frames > 2 * WINDOW
    mel = LogMel()(next(sound().blocks(60))[0])
    audio = torch.cat(list(stream_into_silence(model.acoustic, [mel])))[None]
    # The scene's end holds its pose in the silence that follows.
    points = torch.cat([pose(frames), pose(frames)[-1:].expand(audio.shape[1] - frames, -1, -1)])
    shut = shut_references(REFERENCES, IBUG_68)
    motion, _ = model.motion(audio, points[None], shut[None], model.quiet())
    rest = model.completion.rest(points[None], REFERENCES[None])
    whole = model.completion.place(points[None], rest + motion)[0, :frames]
    stream = made(model)
    parts = [stream.at(range(k, min(k + 37, frames))) for k in range(0, frames, 37)]
    torch.testing.assert_close(torch.cat(parts), whole, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(made(model).at(range(frames)), whole, atol=1e-5, rtol=1e-4)
    assert (whole - whole[:1])[:, CONTENT].abs().max() > 0.01


def test_what_the_network_makes_of_silence_is_taken_off_and_lips_rest_as_they_were_read(model):
    """References whose shut lips were read apart: in silence the mouth lies where they have it, and speech opens it
    as far as that of references with shut lips."""
    misread = face(torch.linspace(0.02, 0.07, 5))
    points, quiet = pose(50), MemoryAudio(torch.zeros(1, 1, 32000), 16000)

    def openings(references, source):
        return IBUG_68.opening(CompletedLandmarks(model, source, points, (), references, 25).at(range(50)))

    still = face(torch.zeros(50), 0.15 * torch.sin(torch.arange(50) / 20))
    rest = model.completion.rest(still[None], misread[None])
    wanted = IBUG_68.opening(model.completion.place(still[None], rest))[0]
    # Before the sound there is no silence that the acoustic model could hear.
    torch.testing.assert_close(openings(misread, quiet)[5:], wanted[5:], atol=1e-4, rtol=0)
    assert wanted.min() > 0.01
    alone = model.completion.motion(model.quiet().expand(1, 50, -1), points[None], misread[None])[0]
    assert alone.abs().max() > 1e-3  # what this network says of silence is not nothing


def test_what_was_asked_for_last_can_be_asked_for_again_and_frames_left_out(model):
    stream, whole = made(model), made(model).at(range(250))
    stream.at(range(0, 60))
    for part in (range(60, 200), range(60, 200), range(60, 90), range(90, 200)):
        assert torch.equal(stream.at(part), whole[list(part)])
    some = [210, 214, 230]
    assert torch.equal(stream.at(some), whole[some])
    with pytest.raises(InputError, match="gone by"):
        stream.at([20])
    with pytest.raises(InputError, match="rise"):
        stream.at([240, 235])
    with pytest.raises(InputError, match="of a film of"):
        stream.at([300])
    assert stream.at([]).shape == (0, 68, 2)


def test_memory_that_runs_out_within_a_window_loses_nothing(model, monkeypatch):
    whole, stream = made(model).at(range(200)), made(model)
    run = model.completion.motion
    failing = [False]

    def motion(*inputs):
        if failing[0]:
            raise torch.OutOfMemoryError("no memory")
        return run(*inputs)

    monkeypatch.setattr(model.completion, "motion", motion)
    assert torch.equal(stream.at(range(50)), whole[:50])
    failing[0] = True
    with pytest.raises(torch.OutOfMemoryError):
        stream.at(range(50, 200))
    failing[0] = False
    assert torch.equal(stream.at(range(50, 120)), whole[50:120])
    assert torch.equal(stream.at(range(120, 200)), whole[120:200])


@pytest.mark.parametrize("fps", [10, "30000/1001", 50])
def test_films_of_other_rates_say_the_same(model, fps):
    rate = 30000 / 1001 if isinstance(fps, str) else fps
    frames = int(SECONDS * rate)
    still = face(torch.zeros(1))
    base = made(model, points=still.expand(SECONDS * 25, -1, -1)).at(range(SECONDS * 25))
    film = made(model, points=still.expand(frames, -1, -1), fps=fps).at(range(frames))
    for k in (5, 40, frames // 2, frames - 4):
        place = (k + 0.5) * 25 / rate - 0.5
        low = int(place)
        expected = torch.lerp(base[low], base[low + 1], place - low)
        torch.testing.assert_close(film[k], expected, atol=1e-5, rtol=1e-4)


def test_a_cut_mixes_no_poses(model):
    frames, cut = 150, 70
    points = torch.cat([face(torch.zeros(cut)), face(torch.zeros(frames - cut), torch.full((frames - cut,), 0.3))])
    both = made(model, points=points, cuts=[cut]).at(range(frames))
    alone = [made(model, points=points[k].expand(frames, -1, -1)).at(range(frames)) for k in (0, frames - 1)]
    torch.testing.assert_close(both[:cut], alone[0][:cut], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(both[cut:], alone[1][cut:], atol=1e-5, rtol=1e-4)
    mixed = made(model, points=points).at(range(frames))
    assert (mixed - both).abs().max() > 1e-4
    # Whatever is asked for together, also at another rate.
    stream = made(model, points=points, cuts=[cut, cut + 1], fps=30)
    whole = made(model, points=points, cuts=[cut, cut + 1], fps=30).at(range(frames))
    parts = [stream.at(range(k, min(k + 9, frames))) for k in range(0, frames, 9)]
    assert torch.equal(torch.cat(parts), whole)


def test_the_strength_is_about_the_mouth_at_rest(model):
    full, half, none = (made(model, strength=s).at(range(60)) for s in (1.0, 0.5, 0.0))
    torch.testing.assert_close(half, (full + none) / 2)
    rest = model.completion.rest(pose(300)[None, :60], REFERENCES[None])[0]
    assert torch.equal(none[:, CONTENT], rest)
    with pytest.raises(InputError, match="strength"):
        made(model, strength=-1.0)


def test_steady_sound_and_pose_do_not_tremble(model):
    points = face(torch.zeros(1)).expand(200, -1, -1)
    period = 0.3 * torch.sin(torch.arange(100) * 2 * torch.pi / 100)  # two in each step of the log-mel
    wave = period.repeat(1280)
    source = MemoryAudio(wave[None, None], 16000)
    steady = made(model, points=points, source=source).at(range(200))[40:160]
    assert steady.diff(n=2, dim=0).abs().max() < 2e-5


def test_the_gate_makes_noise_as_silent_as_silence():
    torch.manual_seed(0)
    gate = VoiceActivityGate(GateConfig(width=8, dilations=(1, 2))).eval()
    for weight in gate.parameters():
        weight.data.zero_()
    gate_shut = CompletionModel(small_completion(), small_acoustic(), gate)
    last = [p for p in gate.parameters() if p.ndim == 1][-1]
    last.data.fill_(-20.0)  # nothing is speech
    silence = MemoryAudio(torch.zeros(1, 1, 16000 * 4), 16000)
    noise = made(gate_shut, 100, source=sound(4)).at(range(100))
    quiet = made(gate_shut, 100, source=silence).at(range(100))
    torch.testing.assert_close(noise, quiet, atol=1e-6, rtol=1e-5)
    heard = made(CompletionModel(small_completion(), small_acoustic()), 100, source=sound(4)).at(range(100))
    assert (heard - quiet).abs().max() > 1e-3


def test_a_film_longer_than_its_sound_ends_in_silence(model):
    long = made(model, 400, source=sound(2), points=face(torch.zeros(1)).expand(400, -1, -1)).at(range(400))
    torch.testing.assert_close(long[200:399], long[201:], atol=1e-6, rtol=0)


def test_memory_is_bounded(model):
    stream, most = made(model), 0
    for k in range(0, 300, 10):
        stream.at(range(k, k + 10))
        most = max(most, sum(len(scene._rows) for scene in stream._scenes.values()))
    assert most <= WINDOW + 20


def test_the_published_layout_streams_too():
    config = CompletionConfig(published=True, width=32, ff=32, blocks=1, frames=5, references=5)
    torch.manual_seed(0)
    model = CompletionModel(LandmarkCompletion(config).eval())
    whole = made(model, 60, source=sound(2)).at(range(60))
    stream = made(model, 60, source=sound(2))
    parts = torch.cat([stream.at(range(k, k + 15)) for k in range(0, 60, 15)])
    assert torch.equal(whole, parts)
    assert torch.isfinite(whole).all()


def encoded(seconds: float, dim: int = 768) -> EncodedAudio:
    """What a host's audio encoder makes of `sound(seconds)`."""
    samples = int(16000 * seconds)
    features = torch.randn(1, (samples - 400) // 320 + 1, dim, generator=torch.Generator().manual_seed(1))
    return EncodedAudio({"encoded_audio": features, "audio_samples": samples})


def test_an_audio_encoder_is_heard_block_by_block_as_in_one():
    torch.manual_seed(0)
    model = CompletionModel(small_completion(config=replace(SMALL, front=WAV2VEC2))).eval()
    features = encoded(SECONDS)
    rows = torch.cat(list(model.listen(sound(), features)))
    steps = torch.cat(list(features.stream([torch.zeros(16000 * SECONDS)])))
    with torch.no_grad():
        whole = model.completion.hear(steps[None], SECONDS * 25)[0]
    torch.testing.assert_close(rows, whole, atol=1e-5, rtol=1e-4)
    film = made(model, encoded=features).at(range(SECONDS * 25))
    completed = model.completion(whole[None], pose(SECONDS * 25)[None], REFERENCES[None])[0]
    reach = model.completion.config.reach  # after the sound its last frame holds
    torch.testing.assert_close(film[:-reach], completed[:-reach], atol=1e-5, rtol=1e-4)
    assert (film - made(model, encoded=encoded(SECONDS), points=film).at(range(300))).abs().max() < 1e-5
    # A film goes on after its sound; short sounds are sounds.
    assert torch.isfinite(made(model, source=sound(2), encoded=encoded(2)).at(range(300))).all()
    assert len(torch.cat(list(model.listen(sound(0.1), encoded(0.1))))) == 3


def test_features_and_completion_have_to_fit(model):
    hears = CompletionModel(small_completion(config=replace(SMALL, front=WAV2VEC2)))
    with pytest.raises(InputError, match="give its features"):
        made(hears)
    with pytest.raises(InputError, match="not of 512 at 50"):
        made(hears, encoded=encoded(SECONDS, 512))
    with pytest.raises(InputError, match="hears no audio encoder"):
        made(model, encoded=encoded(SECONDS))
    with pytest.raises(InputError, match="encode the same audio"):
        made(hears, encoded=encoded(4)).at(range(20))
    with pytest.raises(InputError, match="speech encoder have none"):
        CompletionModel(small_completion(config=replace(SMALL, front=WAV2VEC2)), small_acoustic())


def test_parts_that_do_not_belong_together_are_refused(model):
    with pytest.raises(InputError, match="acoustic model it was trained with"):
        CompletionModel(small_completion())
    with pytest.raises(InputError, match="put both of one training run"):
        CompletionModel(small_completion(), small_acoustic(width=32))
    for cuts in ([0], [20, 10], [300]):
        with pytest.raises(InputError, match="cuts"):
            made(model, cuts=cuts)
    with pytest.raises(InputError, match="landmarks of shape"):
        made(model, points=torch.zeros(10, 60, 2))
    assert SMALL.audio == 16


def test_another_ear_hears_in_the_acoustic_models_place(model):
    ear = OutsideEar(small_whisper(), small_ear(model.acoustic))
    eared = CompletionModel(model.completion, model.acoustic, None, ear).eval()
    heard, own = (torch.cat(list(by.listen(sound(1)))) for by in (eared, model))
    assert heard.shape == own.shape
    torch.testing.assert_close(heard, torch.cat(list(hear(model.acoustic, None, sound(1), torch.device("cpu"), ear))))
    assert (heard - own)[:20].abs().max() > 0.1
    with pytest.raises(InputError, match="trained for another acoustic model"):
        CompletionModel(model.completion, model.acoustic, None, OutsideEar(small_whisper(), small_ear(other())))


def other():
    """An acoustic model whose features mean something else."""
    changed = small_acoustic()
    torch.nn.init.normal_(changed.viseme.bias)
    return changed
