"""Enhancing footage: strength, masks, windows, faces in frames, what stays bit for bit, the report and its guard."""

import logging
import math
import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from talkface_core.errors import InputError
from talkface_core.faces.align import align, crop_faces, template
from talkface_core.faces.face import Detector, Face
from talkface_core.faces.landmarks import STABLE
from talkface_core.faces.paste import frame_mask
from talkface_core.faces.track import FaceTrack, fill
from talkface_core.ladtalk.enhance import (
    enhance,
    enhance_track,
    landmarks_by,
    mouth_moved,
    restore,
)
from talkface_core.ladtalk.enhance_frames import face_mask
from talkface_core.ladtalk.matching import matching_strength_in
from talkface_core.ladtalk.robustness_report import NOISE_LEVELS, SAME_MOUTH, report_steps
from talkface_core.ladtalk.sovqae import SOVQAE
from talkface_core.pixels import as_unit_tensor
from tests.ladtalk.small_sovqae import SMALL, pictures, sovqae


@pytest.fixture(scope="module")
def model() -> SOVQAE:
    return sovqae(SMALL)


@pytest.fixture(scope="module")
def faces() -> Tensor:
    return torch.from_numpy(pictures(5, 32))


def track(frames: int, size: tuple[int, int]) -> FaceTrack:
    """A face of 60 px that drifts to the right."""
    points = torch.zeros(68, 2)
    jaw = torch.linspace(0, math.pi, 17)
    points[:17] = torch.stack([0.5 - 0.3 * jaw.cos(), 0.45 + 0.42 * jaw.sin()], 1)
    points[17:27] = torch.stack([torch.linspace(0.25, 0.75, 10), torch.full((10,), 0.3)], 1)
    points[list(STABLE)] = template().float()
    points[[37, 38, 40, 41]] = points[36] + torch.tensor([0.05, 0.0])
    points[[43, 44, 46, 47]] = points[45] - torch.tensor([0.05, 0.0])
    angle = torch.linspace(0, 2 * math.pi, 21)[:20]
    points[48:68] = torch.tensor([0.5, 0.7]) + 0.1 * torch.stack([angle.cos(), 0.5 * angle.sin()], 1)
    drift = torch.arange(frames, dtype=torch.float32)[:, None, None] * torch.tensor([2.0, 0.0])
    return FaceTrack(
        60 * points[None] + torch.tensor([10.0, 8.0]) + drift,
        torch.ones(frames, dtype=torch.bool),
        size,
        Fraction(25),
    )


def test_frames_at_the_models_size_are_what_the_model_makes(model: SOVQAE, faces: Tensor) -> None:
    out, report = enhance(model, faces.float() / 255)
    pixels = (faces.float() / 127.5 - 1).permute(0, 3, 1, 2)
    with torch.no_grad():
        expected = (model(pixels).frames * 0.5 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
    assert torch.allclose(out, expected, atol=1e-5)
    assert report.frames == 5
    assert report.looked_at == (0, 4)


@pytest.mark.parametrize("kind", ["uint8", "float", "half", "numpy", "numpy float"])
def test_kind_and_dtype_stay(model: SOVQAE, faces: Tensor, kind: str) -> None:
    given = {
        "uint8": faces,
        "float": faces.float() / 255,
        "half": (faces.float() / 255).half(),
        "numpy": faces.numpy(),
        "numpy float": faces.numpy().astype(np.float32) / 255,
    }[kind]
    before = as_unit_tensor(given).clone()
    out, _ = enhance(model, given, look_at=0)
    assert type(out) is type(given)
    assert out.dtype == given.dtype
    assert torch.equal(as_unit_tensor(given), before)
    assert (as_unit_tensor(out) - as_unit_tensor(enhance(model, faces.float() / 255, look_at=0)[0])).abs().max() < 0.02


def test_strength_goes_from_nothing_to_all(model: SOVQAE, faces: Tensor) -> None:
    frames = faces.float() / 255
    none, half, whole = (enhance(model, frames, strength=s, look_at=0)[0] for s in (0.0, 0.5, 1.0))
    assert torch.equal(none, frames)
    assert torch.allclose(half, (frames + whole) / 2, atol=2e-3)
    assert (whole - frames).abs().max() > 0.01


@pytest.mark.parametrize("window", [1, 2, 16])
def test_the_window_does_not_matter(model: SOVQAE, faces: Tensor, window: int) -> None:
    done = []
    out, _ = enhance(model, faces, window=window, look_at=0, callback=lambda *told: done.append(told))
    reference, _ = enhance(model, faces, window=5, look_at=0)
    assert (out.int() - reference.int()).abs().max() <= 1
    assert done[-1][:2] == (5, 5)
    assert all(torch.equal(frame, out[k - 1]) for k, _, frame in done)
    assert len(done) == math.ceil(5 / window)


def test_outside_of_the_mask_frames_stay_bit_for_bit(model: SOVQAE, faces: Tensor) -> None:
    mask = torch.zeros(32, 32)
    mask[8:20, 8:20] = 1
    for frames in (faces, faces.float() / 255):
        whole, _ = enhance(model, frames, look_at=0)
        out, _ = enhance(model, frames, mask=mask, look_at=0)
        assert torch.equal(out[:, mask == 0], frames[:, mask == 0])
        assert torch.equal(out[:, mask == 1], whole[:, mask == 1])
    each = torch.stack([mask * (k % 2) for k in range(5)])
    out, _ = enhance(model, faces, mask=each, look_at=0)
    assert torch.equal(out[::2], faces[::2])
    assert not torch.equal(out[1], faces[1])


@pytest.mark.parametrize("scale", [0.5, 2])
def test_a_mask_of_another_size_marks_the_same_place(model: SOVQAE, faces: Tensor, scale: float) -> None:
    mask = torch.zeros(32, 32)
    mask[8:20, 8:20] = 1
    side = round(32 * scale)
    given = torch.nn.functional.interpolate(mask[None, None], (side, side), mode="nearest")[0]
    whole, _ = enhance(model, faces, look_at=0)
    out, _ = enhance(model, faces, mask=given, look_at=0)
    assert torch.equal(out[:, 10:18, 10:18], whole[:, 10:18, 10:18])
    assert torch.equal(out[:, :, 22:], faces[:, :, 22:])


def test_a_mask_that_marks_nothing_is_told(model: SOVQAE, faces: Tensor, caplog: pytest.LogCaptureFixture) -> None:
    out, _ = enhance(model, faces, mask=torch.zeros(1, 32, 32), look_at=0)
    assert torch.equal(out, faces)
    assert caplog.text.count("the mask is black everywhere") == 1


def test_the_strength_may_be_the_footages(model: SOVQAE) -> None:
    """It is taken from the first frames, and is one for all of them."""
    frames, where = torch.from_numpy(pictures(4, 96))[:, :80], track(4, (80, 96))
    out, report, _ = enhance_track(model, frames, where, strength=None, look_at=0)
    faces = crop_faces(frames, align(where, 32))
    assert report.matched
    assert report.strength == pytest.approx(matching_strength_in(*restore(model, faces)))
    assert torch.equal(out, enhance(model, frames, where, strength=report.strength, look_at=0)[0])
    assert "as fine as the footage around them" in str(report)


@pytest.mark.parametrize("size", [(48, 48), (20, 20), (40, 64), (33, 47)])
def test_frames_of_any_size(model: SOVQAE, size: tuple[int, int]) -> None:
    frames = torch.nn.functional.interpolate(
        torch.from_numpy(pictures(2, 64)).permute(0, 3, 1, 2).float() / 255, size, mode="area"
    ).permute(0, 2, 3, 1)
    out, _ = enhance(model, frames, look_at=0)
    assert out.shape == frames.shape
    assert not torch.equal(out, frames)
    inputs, outputs = restore(model, frames)
    assert inputs.shape == outputs.shape
    assert min(inputs.shape[1:3]) == 32
    assert all(side % SMALL.factor == 0 for side in inputs.shape[1:3])


def test_what_is_finer_than_the_model_sees_stays() -> None:
    """A model that changes nothing, on frames of twice its size."""
    net = sovqae(SMALL)
    with torch.no_grad():
        net.decoder.out[-1].weight.zero_()
        net.decoder.out[-1].bias.zero_()
        net.decoder.sharpen.weight.zero_()
        net.decoder.sharpen.bias.zero_()
    net.config = type(SMALL)(**{**SMALL.__dict__, "bypass": 32})
    frames = torch.from_numpy(pictures(2, 64))
    out, _ = enhance(net, frames, look_at=0)
    assert (out.int() - frames.int()).abs().max() <= 1


@pytest.mark.parametrize("region", ["mouth", "face"])
def test_faces_in_frames(model: SOVQAE, region: str) -> None:
    frames = torch.from_numpy(pictures(4, 96))[:, :80]
    where = track(4, (80, 96))
    out, _ = enhance(model, frames, where, region=region, window=3, look_at=0)
    crop = align(where, 32)
    changed = (out != frames).any(-1)
    allowed = frame_mask(crop) > 0 if region == "mouth" else frame_mask(crop, face_mask(32)) > 0
    assert changed.any((1, 2)).all()
    assert not (changed & ~allowed).any()
    again, _ = enhance(model, frames, crop, region=region, window=4, look_at=0)
    assert torch.equal(out, again)


def test_the_guard_looks_at_the_face_that_is_restored(model: SOVQAE) -> None:
    """And at no other that the frames may show: at the crop, before and after."""
    frames = torch.from_numpy(pictures(4, 96))[:, :80]
    calls = []

    def read(pictures: Tensor) -> Tensor:
        calls.append(pictures)
        return torch.rand(len(pictures), 68, 2)

    where = track(4, (80, 96))
    out, _ = enhance(model, frames, where, landmarks=read, window=4, look_at=0)
    for got, wanted in zip(calls, (frames, out), strict=True):
        assert torch.equal(got, as_unit_tensor(crop_faces(wanted, align(where, 32))))


def test_frames_without_the_face_stay(model: SOVQAE) -> None:
    frames, mask = torch.from_numpy(pictures(8, 96))[:, :80], torch.ones(8, 80, 96)
    mask[7] = 0
    whole = track(8, (80, 96))
    part = fill(whole.landmarks, torch.tensor([k not in (2, 3, 4, 5) for k in range(8)]), (80, 96), 12)
    output, report, detected = enhance_track(model, frames, part, mask, look_at=1)
    assert detected == [0, 1, 6, 7]
    assert report.frames == 4
    assert (output != frames).flatten(1).any(1).nonzero().flatten().tolist() == [0, 1, 6]
    every, _, detected = enhance_track(model, frames, whole, look_at=0)
    assert detected == list(range(8))
    assert torch.equal(every, enhance(model, frames, whole, look_at=0)[0])
    for wrong in (frames[:3], frames[:, :64]):
        with pytest.raises(InputError, match="the face was tracked in 8 of 96x80"):
            enhance_track(model, wrong, whole)
    with pytest.raises(InputError, match="none of 8 frames shows a mouth that can be read"):
        enhance_track(model, frames, replace(whole, readable=torch.tensor(False)))


def test_out_of_memory_halves_the_window(model: SOVQAE, faces: Tensor, monkeypatch, caplog) -> None:
    whole, _ = enhance(model, faces, look_at=0)
    forward, tried = SOVQAE.forward, []

    def scarce(net: SOVQAE, pixels: Tensor) -> object:
        tried.append(len(pixels))
        if len(pixels) > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return forward(net, pixels)

    monkeypatch.setattr(SOVQAE, "forward", scarce)
    out, _ = enhance(model, faces, look_at=0)
    assert tried == [5, 2, 2, 1]
    assert "out of memory with 5 frames at a time: going on with 2" in caplog.text
    assert (out.int() - whole.int()).abs().max() <= 1


def test_the_report_can_be_stopped(model: SOVQAE, faces: Tensor) -> None:
    class Enough(Exception):
        pass

    asked = []

    def check() -> None:
        asked.append(1)
        if len(asked) == stop:
            raise Enough

    stop = 0
    for looked_at in (1, 3):
        asked.clear()
        enhance(model, faces, look_at=looked_at, check=check)
        assert len(asked) == report_steps(looked_at)
    for stop in (1, 3, 10):
        asked.clear()
        with pytest.raises(Enough):
            enhance(model, faces, look_at=1, check=check)
        assert len(asked) == stop


def test_the_report_speaks_of_what_was_seen(model: SOVQAE, faces: Tensor) -> None:
    _, report = enhance(model, faces, look_at=3)
    assert report.looked_at == (0, 2, 4)
    assert report.margin > 0
    assert report.bound > 0
    shares = [report.certified[level] for level in NOISE_LEVELS]
    assert shares == sorted(shares, reverse=True)
    assert all(0 <= report.surviving[level] <= 1 for level in NOISE_LEVELS)
    assert 1 <= report.perplexity <= 16
    assert report.mouth_moved is None
    assert "not measured" in str(report)
    words, _, numbers = str(report).partition("In numbers:")
    assert not re.search("Lipschitz|margin|code|norm|Gaussian|perplexity", words), "words that no artist knows"
    assert f"{report.margin:.3f}" in numbers
    assert f"{100 * report.surviving[4.0]:.0f} under grain that it sees" in words
    assert "strength 1.00" in words
    assert "Looked at 3 of 5 frames." in words
    silent = enhance(model, faces, look_at=0)[1]
    assert silent.looked_at == ()
    assert "not looked at" in str(silent)


def test_the_guard_tells_when_the_mouth_changes(model: SOVQAE, faces: Tensor, caplog: pytest.LogCaptureFixture) -> None:
    points = track(1, (32, 32)).landmarks[0]
    calls = []

    def read(frames: Tensor) -> Tensor:
        """Sees a wider mouth in every other frame that was enhanced."""
        landmarks = points.expand(len(frames), -1, -1).clone()
        calls.append(len(frames))
        if len(calls) % 2 == 0:
            landmarks[1::2, 48:] = landmarks[1::2, 48:].mean(1, keepdim=True) + 1.8 * (
                landmarks[1::2, 48:] - landmarks[1::2, 48:].mean(1, keepdim=True)
            )
        return landmarks

    with caplog.at_level(logging.WARNING):
        _, report = enhance(model, faces, landmarks=read, window=5, look_at=0)
    assert report.changed_mouths == (1, 3)
    assert "changed its shape in 2 of 5 frames" in str(report)
    assert "changed its shape in 2 of 5 frames" in caplog.text
    still = enhance(model, faces, landmarks=lambda frames: points.expand(len(frames), -1, -1), look_at=0)[1]
    assert still.changed_mouths == ()
    assert "kept its shape" in str(still)


def test_a_detector_is_the_guards_eye(model: SOVQAE, faces: Tensor) -> None:
    points = track(1, (32, 32)).landmarks[0]

    class Blink(Detector):
        """Sees no face in the second frame."""

        name, threshold = "blink", 0.5

        def detect(self, frames: Tensor) -> list[list[Face]]:
            blank = (as_unit_tensor(faces[1]), as_unit_tensor(restored[1]))
            return [[] if any(torch.equal(f, b) for b in blank) else [Face.of(points, 0.9)] for f in frames]

    restored, _ = enhance(model, faces, window=5, look_at=0)
    _, report = enhance(model, faces, landmarks=landmarks_by(Blink()), window=5, look_at=0)
    assert math.isnan(report.mouth_moved[1])
    assert report.changed_mouths == ()
    assert "kept its shape" in str(report)
    assert "In 1 of 5 frames no face" in str(report)


def test_a_detector_that_can_follow_need_not_search() -> None:
    """But where the face is not where it was."""
    points, searches, follows = track(1, (32, 32)).landmarks[0], [], []

    class Follower(Detector):
        name, threshold, follows = "follower", 0.5, True

        def detect(self, frames: Tensor) -> list[list[Face]]:
            searches.append(len(frames))
            return [[Face.of(points + 1, 0.9)] for _ in frames]

        def follow(self, frames: Tensor, landmarks: Tensor) -> list[Face]:
            follows.append(landmarks)
            return [Face.of(points, 0.1 if n == 2 else 0.9) for n in range(len(frames))]

    read = landmarks_by(Follower())
    frames = torch.zeros(4, 32, 32, 3)
    assert torch.equal(read(frames), torch.stack([points, points, points + 1, points]))
    assert searches == [1, 1]
    read(frames)
    assert searches == [1, 1, 1]
    assert [torch.equal(there, points) for there in follows] == [False, True]


def test_the_guard_takes_no_shift_for_a_shape() -> None:
    points = track(2, (32, 32)).landmarks[:1]
    where = {0: points, 1: points + torch.tensor([3.0, -2.0])}
    state = iter((0, 1))
    moved = mouth_moved(lambda frames: where[next(state)], torch.zeros(1, 4, 4, 3), torch.zeros(1, 4, 4, 3))
    assert moved[0] == pytest.approx(0, abs=1e-5)
    assert SAME_MOUTH > 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"strength": 1.1},
        {"strength": float("nan")},
        {"window": 0},
        {"look_at": -1},
        {"region": "nose"},
        {"mask": torch.ones(3, 5)},
        {"mask": torch.ones(4, 32, 32)},
        {"strength": None},
        {"strength": None, "where": track(5, (32, 32)), "region": "face"},
        {"where": track(4, (32, 32))},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
def test_what_makes_no_sense_is_refused(model: SOVQAE, faces: Tensor, wrong: dict) -> None:
    with pytest.raises(InputError):
        enhance(model, faces, **wrong)
    with pytest.raises(InputError):
        enhance(model, faces[0])
