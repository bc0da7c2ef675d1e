"""Alignment: where a face lands in its crop, what moves it and what does not, and crops against exact pictures."""

import numpy as np
import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.faces.align import (
    EYE_LEVEL,
    FaceCrop,
    align,
    crop_faces,
    piece,
    template,
    warp,
)
from talkface_core.faces.geometry import fit_similarity, transform
from talkface_core.faces.landmarks import STABLE
from talkface_core.faces.track import FaceTrack


def track_of(*faces: torch.Tensor, size=(240, 320)) -> FaceTrack:
    return FaceTrack(torch.stack(faces), torch.ones(len(faces)), size, 25)


@pytest.mark.parametrize(("scale", "degrees"), [(40, 0), (150, 25), (700, -40)])
def test_a_face_lands_in_the_same_place(face, place, scale, degrees):
    crop = align(track_of(place(face, scale, degrees, (130, 90))), 96)
    aligned = crop.landmarks[0].double() / 96
    assert torch.allclose(aligned[list(STABLE)], template(), atol=0.01)
    assert torch.allclose(aligned, face, atol=0.02)
    assert abs(aligned[36:48, 1].mean() - EYE_LEVEL) < 0.01
    assert 0.88 < aligned[8, 1] < 0.93
    assert crop.scales()[0] == pytest.approx(96 / scale, rel=0.02)


def test_speech_and_blinks_do_not_move_the_crop(face, place):
    shut = place(face, 200, 5, (160, 120))
    speaking = shut.clone()
    speaking[48:] += torch.tensor([0.0, 25.0])
    speaking[3:14] += torch.tensor([0.0, 30.0])
    speaking[[37, 38, 43, 44]] += torch.tensor([0.0, 8.0])
    crop = align(track_of(shut, speaking), 96)
    assert torch.equal(crop.matrices[0], crop.matrices[1])


def test_there_and_back(face, place):
    track = track_of(place(face, 200, 12, (160, 120)), place(face, 90, -30, (60, 50)))
    crop = align(track, 128)
    assert torch.allclose(transform(crop.inverse(), crop.landmarks), track.landmarks, atol=2e-3)
    twice = crop.resized(256)
    assert torch.allclose(twice.landmarks, align(track, 256).landmarks, atol=1e-2)
    assert torch.allclose(transform(twice.inverse(), twice.landmarks), track.landmarks, atol=2e-3)
    assert len(crop.part(1, 2)) == 1
    assert crop.at([1, 0, 1]).matrices[2].equal(crop.matrices[1])


def test_similarity_is_exact_on_similar_points(face, place):
    target = place(face, 3.0, 77, (5, 6))
    matrix = fit_similarity(face[None], target)
    assert torch.allclose(transform(matrix, face[None])[0], target, atol=1e-9)
    with pytest.raises(InputError, match="coincide"):
        fit_similarity(torch.ones(1, 5, 2), torch.ones(5, 2))


def ramp(height: int, width: int) -> np.ndarray:
    """A picture whose red is the x and whose green is the y of each pixel's centre."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return np.stack([x / width, y / height, 0 * x + 0.25], -1).astype(np.float32)


@pytest.mark.parametrize("scale", [40, 90, 150, 230])
def test_crops_show_what_the_matrix_says(face, place, scale):
    crop = align(track_of(place(face, scale, 20, (160, 120))), 64)
    out = crop_faces(torch.from_numpy(ramp(240, 320))[None], crop)[0].double()
    x, y = torch.meshgrid(torch.arange(64) + 0.5, torch.arange(64) + 0.5, indexing="xy")
    where = transform(crop.inverse(), torch.stack([x, y], -1).reshape(1, -1, 2).float())[0].double()
    inside = ((where > 4) & (where < torch.tensor([316.0, 236.0]))).all(1).reshape(64, 64)
    sampled = out[..., :2] * torch.tensor([320, 240])
    assert inside.sum() > 1000
    assert (sampled.reshape(-1, 2) - where)[inside.flatten()].abs().max() < 0.1


def test_shrinking_does_not_alias(face, place):
    stripes = torch.zeros(1, 400, 400, 3)
    stripes[:, :, ::2] = 1.0
    crop = align(track_of(place(face, 384, 0, (200, 200)), size=(400, 400)), 48)
    out = crop_faces(stripes, crop)
    assert (out - 0.5).abs().max() < 0.1


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.float16, torch.bfloat16])
def test_dtype_and_kind_stay(face, place, dtype):
    crop = align(track_of(place(face, 90, 0, (40, 30)), size=(80, 80)), 32)
    frames = torch.rand(1, 80, 80, 3)
    frames = (frames * 255).to(dtype) if dtype == torch.uint8 else frames.to(dtype)
    out = crop_faces(frames, crop)
    assert out.dtype == dtype
    assert out.shape == (1, 32, 32, 3)
    if dtype == torch.uint8:
        assert np.array_equal(crop_faces(frames.numpy(), crop), out.numpy())
    else:
        assert 0 <= out.min() <= out.max() <= 1


def test_the_edge_is_repeated(face, place):
    crop = align(track_of(place(face, 100, 0, (0, 0)), size=(60, 60)), 32)
    frame = torch.full((1, 60, 60, 3), 0.7)
    assert torch.allclose(crop_faces(frame, crop), torch.tensor(0.7), atol=1e-5)


PLACES = [(40, 0, (160, 120)), (90, 35, (30, 40)), (500, -50, (160, 120)), (60, 0, (-90, 300))]
"""Scale, turn and middle of a face: small, at the edge, larger than the frame, and outside of it."""


@pytest.mark.parametrize(("scale", "degrees", "middle"), PLACES)
@pytest.mark.parametrize("size", [24, 200])
def test_a_part_of_the_picture_gives_the_whole_one_s_crop(face, place, scale, degrees, middle, size):
    crop = align(track_of(place(face, scale, degrees, middle)), size)
    frame = np.random.default_rng(0).random((240, 320, 3), np.float32)
    matrix = crop.matrices[0].double().numpy()
    assert np.abs(warp(frame, matrix, size) - crop_faces(frame[None], crop)[0]).max() < 1e-4  # a level is 4e-3


def test_of_a_large_picture_only_the_face_is_looked_at(face, place):
    frames = torch.full((1, 1000, 1600, 3), torch.nan)
    frames[:, 380:620, 680:920] = 0.5
    crop = align(track_of(place(face, 100, 20, (800, 500)), size=(1000, 1600)), 96)
    part, _ = piece(frames[0], crop.matrices[0].numpy(), 96)
    assert part.size < 0.05 * frames.numel()
    assert torch.allclose(crop_faces(frames, crop), torch.tensor(0.5))


def layouts(frames: torch.Tensor) -> dict[str, torch.Tensor]:
    """The same frames [T,H,W,3] as hosts lay them out in memory."""
    return {
        "channels first": frames.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1),
        "without alpha": torch.cat([frames, frames[..., :1]], 3)[..., :3],
        "every second": frames.repeat_interleave(2, 0)[::2],
        "turned": frames.transpose(1, 2).contiguous().transpose(1, 2),
    }


def test_crops_do_not_depend_on_the_layout(face, place):
    frames = torch.rand(2, 240, 320, 3)
    crop = align(track_of(place(face, 90, 20, (100, 90)), place(face, 60, 0, (250, 200))), 48)
    expected = crop_faces(frames, crop)
    for name, same in layouts(frames).items():
        assert torch.equal(crop_faces(same, crop), expected), name
        assert np.array_equal(crop_faces(same.numpy(), crop), expected.numpy()), name


def test_no_frames_give_no_crops(face, place):
    crop = align(track_of(place(face, 90, 0, (100, 90))), 320).part(0, 0)
    out = crop_faces(torch.zeros(0, 240, 320, 3), crop)
    assert out.shape == (0, 320, 320, 3)
    assert out.dtype == torch.float32


def test_wrong_input_is_refused(face, place):
    track = track_of(place(face, 100, 0, (40, 30)))
    crop = align(track, 32)
    with pytest.raises(InputError, match="crop size 4 px"):
        align(track, 4)
    with pytest.raises(InputError, match=r"2 frames of 320x240 px, but the face was tracked in 1 of 320x240"):
        crop_faces(torch.zeros(2, 240, 320, 3), crop)
    with pytest.raises(InputError, match="shape"):
        crop_faces(torch.zeros(1, 240, 320, 4), crop)
    with pytest.raises(InputError, match="int64"):
        crop_faces(torch.zeros(1, 240, 320, 3, dtype=torch.int64), crop)
    with pytest.raises(InputError, match="matrices"):
        FaceCrop(torch.zeros(1, 3, 3), 32, (8, 8), torch.zeros(1, 68, 2))
    with pytest.raises(InputError, match="landmarks"):
        FaceCrop(torch.zeros(1, 2, 3), 32, (8, 8), torch.zeros(2, 68, 2))
