"""The inpainting DAE-Talker's mouths for a film: what it looks at, what it hears, and what it leaves alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from talkface_core.dae_talker.inpainting import Inpainting, inpaint, soft
from talkface_core.dae_talker.lip_region import Margins, lip_picture, mouth_region
from talkface_core.dae_talker.mouths import FRAMING, REFERENCES, InpaintedMouths
from talkface_core.dubbing.pipeline import Dubbing, DubRequest, dub
from talkface_core.errors import InputError
from talkface_core.faces.align import Framing, align
from talkface_core.faces.paste import frame_mask, mouth_mask
from talkface_core.speech.features import EncodedAudio
from talkface_core.speech.hidden_states import hidden_states_from
from tests.dae_talker.small_dubber import FEATURES, LATENT, LAYERS, SIZE, small_autoencoder, small_speech
from tests.dubbing.toys import CountedFilm, face_points, pictures, sound, tracked


@pytest.fixture(scope="module")
def frames() -> np.ndarray:
    return pictures()


@pytest.fixture(scope="module")
def landmarks() -> Tensor:
    return face_points()


def states(seconds: float, layers: int = LAYERS, seed: int = 0) -> Tensor:
    """What stands for an encoder's hidden states of a sound: [layers,steps,width]."""
    steps = (round(seconds * 16000) - 400) // 320 + 1
    return torch.randn(layers, steps, FEATURES, generator=torch.Generator().manual_seed(seed))


def mouths(seconds: float = 0.4, seed: int = 0, **settings) -> InpaintedMouths:
    said = {"encoded_audio": None, "encoded_audio_all_layers": list(states(seconds, seed=seed)[:, None])}
    hidden = lambda weights: EncodedAudio.mixed(said, weights)  # noqa: E731
    return InpaintedMouths(small_autoencoder(), small_speech(), hidden, Inpainting(**settings))


def dubbed(frames, track, seconds: float = 0.4, model=None, **options) -> np.ndarray:
    request = DubRequest(CountedFilm(frames, track.fps), sound(seconds), track, **options)
    return np.concatenate(list(dub(model or mouths(seconds), request)))


def test_only_the_mouth_changes(frames, landmarks):
    track = tracked(landmarks)
    out = dubbed(frames, track)
    crop = align(track, SIZE, FRAMING)
    outside = (frame_mask(crop, mouth_mask(crop)) == 0).numpy()
    assert np.array_equal(out[outside], frames[outside])
    assert (out[~outside] != frames[~outside]).mean() > 0.3


def test_windows_change_nothing(frames, landmarks):
    """Nor that the film has cuts and does not show the face for a while."""
    many, points = np.concatenate([frames] * 3), torch.cat([landmarks] * 3)
    track = tracked(points, valid=[True] * 12 + [False] * 9 + [True] * 9, cuts=(10, 20))
    whole = dubbed(many, track, 1.2, window=64)
    assert np.abs(dubbed(many, track, 1.2, window=3).astype(int) - whole).max() <= 1
    assert np.array_equal(whole[13:20], many[13:20])


def test_the_sound_and_the_seed_decide(frames, landmarks):
    track = tracked(landmarks)
    plain = dubbed(frames, track)
    assert np.array_equal(plain, dubbed(frames, track))
    assert not np.array_equal(plain, dubbed(frames, track, model=mouths(seed=1)))
    other = Dubbing(mouths(steps=1), DubRequest(CountedFilm(frames), sound(0.4), track))
    assert not np.array_equal(plain, np.concatenate(list(other.frames())))
    assert other.settings == {"steps": 1, "seed": 0}


@pytest.mark.parametrize("fps", [12, 60])
def test_other_rates_and_silence_behind_the_sound(frames, landmarks, fps):
    track = tracked(landmarks, fps)
    assert len(dubbed(frames, track, 0.5)) == fps // 2
    once = dubbed(frames, track, 0.1, length="once")
    assert len(once) == len(frames)


def test_faces_lie_in_its_crops_as_it_learned(landmarks):
    own, usual = align(tracked(landmarks), 100, FRAMING), align(tracked(landmarks), 100)
    assert own.framing == FRAMING
    assert usual.framing == Framing()
    smaller = (own.scales() / usual.scales()).numpy()
    assert np.allclose(smaller, FRAMING.height / Framing().height, atol=1e-5)
    assert abs(float(own.landmarks[:, [36, 39, 42, 45], 1].mean()) - 45) < 3
    # As soft an edge on the face, whatever its size in the crop.
    assert mouth_mask(own).sum() / mouth_mask(usual).sum() == pytest.approx(smaller[0] ** 2, rel=0.1)


def test_the_known_part_is_shown_at_every_step():
    """What x_T says outside of the region is never seen, nor what was there inside."""
    net, generator = small_autoencoder(), torch.Generator().manual_seed(0)
    faces, x_T = torch.rand(2, 3, SIZE, SIZE, generator=generator) * 2 - 1, torch.randn(3, SIZE, SIZE)
    region = torch.zeros(2, 1, SIZE, SIZE, dtype=torch.bool)
    region[:, :, 16:28, 8:24] = True
    latents = torch.randn(2, LATENT, generator=generator)

    def painted(faces: Tensor, x_T: Tensor) -> Tensor:
        return inpaint(net, faces, region, faces[:1], latents, x_T, Inpainting(steps=3))

    out = painted(faces, x_T)
    assert torch.equal(out, painted(faces, torch.where(region[0], x_T, 5.0)))
    assert not torch.equal(out, painted(faces, torch.where(region[0], -x_T, x_T)))
    hidden = torch.where(region, 0.0, faces)
    shown = inpaint(net, hidden, region, faces[:1], latents, x_T, Inpainting(steps=3))
    assert torch.equal(out, shown)
    with pytest.raises(InputError, match="this model paints 32 px"):
        inpaint(net, faces[..., :16, :16], region, faces[:1], latents, x_T)


def test_the_region_and_the_lips():
    points = np.zeros((68, 2), np.float32)
    points[[6, 8, 10, 21, 30]] = (100, 190), (130, 200), (160, 192), (115, 90), (130, 140)
    region = mouth_region(points, 256)
    rows, columns = np.flatnonzero(region.any(1)), np.flatnonzero(region.any(0))
    # The tip of the nose to below the chin, as wide as the chin, eight pixels more all around.
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (132, 213, 92, 168)
    face = np.arange(256, dtype=np.float32)[:, None, None].repeat(256, 1).repeat(3, 2)
    lips = lip_picture(face, points, 256)
    assert (lips[0, 128, 0], lips[-1, 128, 0]) == (82, 212)
    assert lips[-1, 0, 0] == 0
    assert not lip_picture(face, points - 1000, 256).any()
    assert Margins.of(128) == Margins(2.5, 4)
    share = soft(torch.from_numpy(region)[None, None])
    assert share[0, 0, 170, 130] == 1
    assert not share[0, 0][~torch.from_numpy(region)].any()


def test_too_few_frames_are_shown_again(frames, landmarks):
    """75 frames in a row, or what there is, from the beginning again."""
    model, seen = mouths(), []
    encode = model.autoencoder.encode
    model.autoencoder.encode = lambda pictures: seen.append(len(pictures)) or encode(pictures)
    dubbed(frames, tracked(landmarks, valid=[False] + [True] * 9), model=model)
    assert sum(seen) == 9 < REFERENCES


def test_hidden_states_of_another_program(tmp_path: Path):
    path = tmp_path / "heard.npy"
    np.save(path, states(1.0).numpy())
    weights = torch.tensor([0.5, 0.25, 0.25])
    mixed = hidden_states_from(path)(weights)(torch.zeros(16000))
    assert mixed.shape == (50, FEATURES)
    assert torch.allclose(mixed[:49], (states(1.0) * weights[:, None, None]).sum(0), atol=1e-6)
    with pytest.raises(InputError, match="gave 3 hidden states, this model reads 25"):
        hidden_states_from(path)(torch.full((25,), 0.04))
    with pytest.raises(InputError, match="encoded audio covers"):
        hidden_states_from(path)(weights)(torch.zeros(48000))
    np.save(path, np.zeros((4, 3)))
    with pytest.raises(InputError, match=r"shape \[4, 3\]; expected \[layers, steps, width\]"):
        hidden_states_from(path)
    with pytest.raises(InputError, match=r"found nothing; expected a folder with a HuBERT"):
        hidden_states_from(tmp_path / "none")


def test_wrong_settings():
    with pytest.raises(InputError, match="0 sampling steps"):
        Inpainting(steps=0)
    with pytest.raises(InputError, match="seed"):
        replace(mouths(), settings=Inpainting(seed=-(2**70)))
