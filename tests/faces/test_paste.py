"""Pasting back: what stays bit for bit, what a round trip costs, where the mask lies, and colours that are matched."""

import cv2
import numpy as np
import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.faces.align import FaceCrop, align, crop_faces
from talkface_core.faces.geometry import transform
from talkface_core.faces.paste import colour_shift, frame_mask, mouth_mask, paste_faces, paste_into
from talkface_core.faces.track import FaceTrack


def picture(seed: int = 0, size=(240, 320)) -> torch.Tensor:
    """A picture with detail of every scale, as of a camera [H,W,3] uint8."""
    rng = np.random.default_rng(seed)
    total = np.zeros((*size, 3))
    for cells in (4, 12, 40, 120):
        total += cv2.resize(rng.normal(0, 30, (cells, cells, 3)), size[::-1], interpolation=cv2.INTER_CUBIC)
    return torch.from_numpy((128 + total).clip(0, 255).astype(np.uint8))


@pytest.fixture
def crop(face, place) -> FaceCrop:
    faces = [place(face, 170, 8, (160, 118)), place(face, 120, -25, (150, 130))]
    return align(FaceTrack(torch.stack(faces), torch.ones(2), (240, 320), 25), 96)


@pytest.fixture
def frames() -> torch.Tensor:
    return torch.stack([picture(0), picture(1)])


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(-10 * torch.log10((a.float() - b.float()).square().mean()))


@pytest.mark.parametrize("side", [48, 96, 192, 320])
def test_a_round_trip_changes_nothing(frames, crop, side):
    """Also where the crop is smaller than the face: what it cannot hold is given back."""
    for match in (True, False):
        out = paste_faces(frames, crop_faces(frames, crop.resized(side)), crop, match_colour=match)
        inside = frame_mask(crop) > 0
        assert torch.equal(out[~inside], frames[~inside])
        assert psnr(out[inside] / 255, frames[inside] / 255) > 45


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float16])
def test_outside_of_the_mask_nothing_changes(frames, crop, dtype):
    frames = frames if dtype == torch.uint8 else (frames / 255).to(dtype)
    before = frames.clone()
    out = paste_faces(frames, torch.rand(2, 96, 96, 3), crop)
    inside = frame_mask(crop) > 0
    assert out.dtype == dtype
    assert torch.equal(frames, before)
    assert torch.equal(out[~inside], frames[~inside])
    assert (out[inside] != frames[inside]).any(-1).float().mean() > 0.9
    assert 0.02 < inside.float().mean() < 0.2


def test_the_new_face_is_seen_where_the_mask_is_whole(frames, crop):
    red = torch.zeros(2, 64, 64, 3)
    red[..., 0] = 1
    out = paste_faces(frames, red, crop, match_colour=False)
    whole = frame_mask(crop) > 0.999
    assert whole.sum() > 1000
    assert (out[whole].int() - torch.tensor([255, 0, 0])).abs().max() <= 4


@pytest.mark.parametrize("layout", ["channels first", "without alpha"])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float16])
def test_pasted_in_place_as_beside_it(frames, crop, layout, dtype):
    frames = frames if dtype == torch.uint8 else (frames / 255).to(dtype)
    faces = torch.rand(2, 96, 96, 3)
    expected = paste_faces(frames, faces, crop)
    memory = torch.cat([frames, frames[..., :1]], 3)
    if layout == "channels first":
        memory = memory.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
    before = memory.clone()
    paste_into(list(memory[..., :3]), faces, crop)
    assert torch.equal(memory[..., :3], expected)
    assert torch.equal(memory[..., 3], before[..., 3])
    arrays = [frame.numpy().copy() for frame in frames]
    if dtype != torch.float16:
        paste_into(arrays, faces, crop)
        assert np.array_equal(np.stack(arrays), expected.numpy())


def test_of_a_large_frame_only_the_face_is_looked_at(face, place):
    frames = torch.full((1, 1000, 1600, 3), torch.nan)
    frames[:, 380:620, 680:920] = 0.5
    crop = align(FaceTrack(place(face, 100, 20, (800, 500))[None], torch.ones(1), (1000, 1600), 25), 96)
    out = paste_faces(frames, torch.full((1, 96, 96, 3), 0.5), crop)
    assert torch.equal(out.isnan(), frames.isnan())
    assert torch.allclose(out[:, 380:620, 680:920], torch.tensor(0.5), atol=1e-3)


def test_the_change_is_held_within_a_mask_of_the_frames(frames, crop):
    frames, faces = frames / 255, torch.rand(2, 96, 96, 3)
    whole = paste_faces(frames, faces, crop)
    within = torch.zeros(2, 240, 320)
    within[:, :, :160] = 1.0
    within[1] *= 0.5
    for area in (within, within[0]):
        out = frames.clone()
        paste_into(list(out), faces, crop, within=area)
        expected = torch.lerp(frames, whole, area.expand(2, -1, -1)[..., None])
        assert torch.allclose(out, expected, atol=1e-5)
        assert torch.equal(out[:, :, 160:], frames[:, :, 160:])


def test_arrays_stay_arrays(frames, crop):
    out = paste_faces(frames.numpy(), np.zeros((2, 32, 32, 3), np.uint8), crop)
    assert isinstance(out, np.ndarray)
    assert out.dtype == np.uint8


def test_the_mask_covers_mouth_and_jaw_but_neither_eyes_nor_edge(crop):
    mask = mouth_mask(crop)
    assert mask.shape == (2, 96, 96)
    for one, points in zip(mask, crop.landmarks, strict=True):
        at = one[points[:, 1].long().clamp(0, 95), points[:, 0].long().clamp(0, 95)]
        assert (at[48:] > 0.9).all()
        assert (at[5:12] > 0).all()
        assert at[7:10].min() > 0.8  # of the film's chin nothing is to show below one that rises
        assert (at[17:30] == 0).all()
        assert (at[36:48] == 0).all()
        assert one[[0, -1]].max() == one[:, [0, -1]].max() == 0
    slope = (mask[:, 1:] - mask[:, :-1]).abs().max()
    assert slope < 2.5 / (0.06 * 96)


def test_a_mask_of_ones_pastes_the_whole_square(frames, crop):
    out = paste_faces(frames, torch.zeros(2, 96, 96, 3), crop, mask=torch.ones(96, 96), match_colour=False)
    centre = transform(crop.inverse(), torch.full((2, 1, 2), 48.0))[:, 0].long()
    for one, (x, y) in zip(out, centre.tolist(), strict=True):
        assert (one[y, x] == 0).all()


def test_a_face_beyond_the_edge_is_pasted_as_far_as_it_goes(face, place):
    frames = picture()[None]
    corners = [(-500, -500), (5, 5), (318, 190)]
    for number, corner in enumerate(corners):
        track = FaceTrack(place(face, 150, 0, corner)[None], torch.ones(1), (240, 320), 25)
        out = paste_faces(frames, torch.zeros(1, 64, 64, 3), align(track, 64), match_colour=False)
        assert torch.equal(out, frames) == (number == 0)


def test_colours_are_matched_around_the_mask(frames, crop):
    """A face that comes back brighter and tinted fits its surroundings again; without matching it would not."""
    face = crop_faces(frames.float() / 255, crop.resized(160)) * 0.5 + 0.25
    calm = frames // 2 + 64
    tint = torch.tensor([0.08, -0.05, 0.03])
    inside = frame_mask(crop) > 0.5
    errors = {}
    for match in (True, False):
        out = paste_faces(calm, (face + tint).clamp(0, 1), crop, match_colour=match)
        errors[match] = float((out[inside].float() - calm[inside].float()).abs().mean())
    assert errors[True] < 1.5
    assert errors[False] > 8


def test_the_colour_slope_is_found_despite_things_in_the_band():
    size = 80
    y, x = np.meshgrid(np.arange(size) / size - 0.5, np.arange(size) / size - 0.5, indexing="ij")
    light = (0.05 + 0.08 * x - 0.04 * y)[..., None].astype(np.float32).repeat(3, 2)
    face = np.full((size, size, 3), 0.4, np.float32)
    before = face + light
    before[50:60, 10:25] = 1.0  # an earring
    mask = np.zeros((size, size), np.float32)
    mask[40:70, 20:60] = 1
    shift = colour_shift(before, face, mask)
    assert np.abs(shift - light)[40:70, 20:60].max() < 0.02
    assert not colour_shift(before, face, np.zeros_like(mask)).any()


def test_wrong_input_is_refused(frames, crop):
    with pytest.raises(InputError, match="tracked in 2 of 320x240"):
        paste_faces(frames[:1], torch.zeros(1, 8, 8, 3), crop)
    with pytest.raises(InputError, match="a mask of shape"):
        paste_faces(frames, torch.zeros(2, 8, 8, 3), crop, mask=torch.ones(3, 9, 9))
    with pytest.raises(InputError, match="feather"):
        mouth_mask(crop, 0.5)
