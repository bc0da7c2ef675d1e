"""The metrics: identical clips score perfect, what is worse scores worse, what cannot be computed is named."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.evaluation.catalogue import METRICS, chosen
from talkface_core.evaluation.evaluate import Evaluation, score
from talkface_core.evaluation.footage import Footage, Pair
from talkface_core.evaluation.kit import EXPERT
from talkface_core.evaluation.registry import GROUPS, Kit, Measured, metric
from talkface_core.media.audio import analysis_audio
from talkface_core.sync.syncnet import load_syncnet
from tests.evaluation.talking import CLOSURES, footage, later

PERFECT = {"opening": 1, "lag": 0, "lmd": 0, "spread": 1, "chroma": 1, "lip_colour": 0, "flicker_mouth": 1}
PERFECT |= {"sharpness_mouth": 1, "psnr_frame": 100, "psnr_face": 100, "psnr_mouth": 100, "ssim_face": 1}
PERFECT |= {"ssim_mouth": 1, "seam": 1, "seam_step": 0, "identity_drift": 0, "lpips": 0, "lpips_alex": 0}


@pytest.fixture(scope="module")
def real(clips, arrays, frames) -> Footage:
    return footage(frames, arrays["landmarks"], analysis_audio(clips.clips[0].audio()), "real")


@pytest.fixture(scope="module")
def kit() -> Kit:
    def embed(clip):
        return torch.nn.functional.normalize(torch.ones(len(clip), 3), dim=1)

    def distance(a, b):
        return torch.from_numpy(np.abs(a.astype(float) - b).mean((1, 2, 3)))

    return Kit(expert=load_syncnet(EXPERT), embed=embed, lpips=distance, lpips_alex=distance)


def known(real: Footage) -> dict:
    return {"closures": CLOSURES, "pauses": np.arange(len(real)) < 6}


def test_identical_clips_score_perfect(real, kit):
    """Also where the real clip beside itself is taken for perfect, and not computed."""
    real = real.first(14)
    twin = replace(real)
    pair = Pair.of("twin", twin, real, hushed=twin, **known(real))
    left_out = {key for key, entry in METRICS.items() if entry.missing(pair, kit)}
    assert left_out == {"lse_offset", "lse_d", "lse_c"}
    for key, entry in METRICS.items():
        if key in left_out or entry.subject == "hushed":
            continue
        value = entry.of(pair, kit).value
        if key in PERFECT:
            assert value == pytest.approx(PERFECT[key], abs=1e-6), key
        assert value == pytest.approx(entry.of(pair, kit, real=True).value, abs=1e-6, nan_ok=True), key
        assert entry.perfect is None or entry.perfect == PERFECT[key]


def test_a_worse_clip_scores_worse(real, kit, frames):
    """Softer, trembling, and with a mouth that hardly opens."""
    real, frames, rng = real.first(14), frames[:14], np.random.default_rng(0)
    soft = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.5) for frame in frames])
    soft = np.clip(soft + rng.integers(-9, 10, (len(soft), 1, 1, 1)), 0, 255).astype(np.uint8)
    points = real.points.copy()
    points[:, 60:] = points[:, 60:].mean(1, keepdims=True) + 0.5 * (
        points[:, 60:] - points[:, 60:].mean(1, keepdims=True)
    )
    worse = footage(soft, points, real.sound, "worse")
    clip = score(Pair.of("worse", worse, real, **known(real)), kit, METRICS)
    assert clip.values["psnr_face"] < 40
    assert clip.values["ssim_mouth"] < 0.97
    assert clip.values["sharpness_mouth"] < 0.6
    assert clip.values["flicker_mouth"] > 1.3
    assert clip.values["flicker_still"] > clip.real["flicker_still"] + 2
    assert clip.values["spread"] == pytest.approx(0.5, abs=0.02)
    assert clip.values["opening"] > 0.99
    assert 1 < clip.values["lmd"] < 10
    assert clip.values["lpips"] > 1
    assert [moment.metric for moment in clip.moments] == ["lmd"] * len(clip.moments)
    assert clip.moments[0].value == pytest.approx(np.nanmax(clip.curves["lmd"]))
    assert all(abs(a.frame - b.frame) >= 12 for a in clip.moments for b in clip.moments if a is not b)


@pytest.mark.parametrize("late", [-3, 5])
def test_shifting_the_sound_moves_the_offset_by_as_much(real, kit, late):
    moved = replace(real, sound=later(real.sound, late))
    pair = Pair.of("moved", moved, real)
    offset = METRICS["offset"]
    assert offset.of(pair, kit).value - offset.of(pair, kit, real=True).value == late


def test_a_mouth_that_is_late(real, kit, frames):
    points = np.roll(real.points, 3, axis=0)
    pair = Pair.of("late", footage(frames, points, real.sound), real)
    assert METRICS["lag"].of(pair, kit).value == 3


def test_closures_and_silence(real, kit, frames):
    shut = real.points.copy()
    shut[:, 60:] = shut[:, 60:].mean(1, keepdims=True)
    quiet = footage(frames, shut, real.sound)
    pair = Pair.of("quiet", quiet, real, hushed=real, **known(real))
    assert METRICS["closures"].of(pair, kit).value == 1
    assert METRICS["open_pauses"].of(pair, kit).value == 0
    share = METRICS["open_silence"].of(pair, kit).value
    assert share == pytest.approx(float((real.opening > pair.open_from).mean()))
    assert 0.3 < share < 1


def test_what_is_missing_is_named(real, kit, frames):
    other = footage(frames[:, :100], real.points, later(real.sound.flip(0), 1), "other")
    pair = Pair.of("other", other, real)
    clip = score(pair, replace(kit, expert=None, lpips=None, embed=None))
    assert "real clip's size" in clip.left_out["psnr_face"]
    assert "something else" in clip.left_out["lmd"]
    assert "models --convert" in clip.left_out["lse_d"]
    assert "--system" in clip.left_out["open_silence"]
    assert "phonemes" in replace(METRICS["closures"], needs=("closures",)).missing(pair, kit)
    assert "--weights rgb_imagenet.pt" in clip.left_out["fvd"]
    assert "--weights face_recognition_sface" in clip.left_out["identity"]
    assert {"sharpness_drift", "flicker_face"} <= clip.values.keys()
    report = Evaluation((clip,), METRICS).report()
    assert "LSE-D (SyncNet), LSE-C (SyncNet)" in report.text()
    assert not any(row.key == "lmd" for row in report.rows)
    with pytest.raises(InputError, match="3 frames"):
        Pair.of("short", real.first(3), real)


def test_the_sets_metrics_and_the_means(real, kit):
    def features(crops):
        return torch.from_numpy(crops[:, ::64, ::64, 0].reshape(len(crops), -1)[:, :4].astype(np.float32))

    kit = replace(kit, frame_features=features)
    scores = [score(Pair.of(name, replace(real), real), kit, chosen(["lag"])) for name in "abc"]
    moved = [replace(scores[0], values={**scores[0].values, "lag": -2.0}), *scores[1:]]
    report = Evaluation(tuple(moved), chosen(["lag"])).report()
    rows = {row.key: row for row in report.rows}
    assert rows["fid"].value == pytest.approx(0, abs=1e-4)
    assert rows["lag"].value == pytest.approx(2 / 3)
    assert rows["lag"].clips == {"a": -2.0, "b": 0.0, "c": 0.0}
    low, high = rows["lag"].interval
    assert low == 0
    assert 0 < high <= 2
    assert set(report.protocol) >= {"FID, face", "mouth opening, lag", "interval"}


def test_registering_and_choosing():
    assert {entry.group for entry in METRICS.values()} == set(GROUPS)
    assert list(chosen(["sync"])) == [key for key, entry in METRICS.items() if entry.group == "sync"]
    with pytest.raises(InputError, match="'beauty' is unknown"):
        chosen(["beauty"])
    with pytest.raises(ValueError, match="lmd"):
        metric("lmd", "again", "mouth", "", "lower", "")(lambda *_: Measured(0.0))
    with pytest.raises(ValueError, match="money"):
        metric("new", "new", "mouth", "", "lower", "", ("money",))
