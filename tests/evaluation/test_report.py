"""The report on a real clip: the clip itself passes, a frozen face, a swapped one and a flickering wall do not."""

import numpy as np
import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.evaluation import report as module
from talkface_core.evaluation.metrics import StillMask
from talkface_core.evaluation.report import OTHER_VOICES, OWN_VOICE, Evaluation, Truth, crops, mouth_measures, pauses
from talkface_core.faces.geometry import in_head_frame, rotation
from talkface_core.faces.landmarks import STABLE, eye_distance, landmark_distance


@pytest.fixture(scope="module")
def still(frames) -> torch.Tensor:
    mask = StillMask()
    mask.add(frames)
    return mask.mask(3.0)


@pytest.fixture(scope="module")
def frozen(frames) -> np.ndarray:
    return np.repeat(frames[:1], len(frames), 0)


def table(report) -> dict[tuple[str, str], module.Row]:
    return {(row.section, row.measure): row for row in report.rows}


def test_pauses_lie_away_from_speech():
    speech = np.zeros(12, bool)
    speech[5] = True
    assert pauses(speech, 3).nonzero()[0].tolist() == [0, 1, 2, 8, 9, 10, 11]
    assert pauses(np.zeros(4, bool)).all()
    assert not pauses(np.ones(4, bool)).any()


def test_truth_needs_its_arrays(arrays):
    with pytest.raises(InputError, match="lacks pose, speech"):
        Truth.of({"landmarks": arrays["landmarks"], "mouth_open": arrays["mouth_open"]}, 128, 128)


def test_the_head_frame_of_real_landmarks_is_that_of_the_true_heads(probe, truth, arrays):
    """Perspective, motion of the rigid points and depth of the open jaw, all left out, cost about one per cent."""
    face = probe.face.numpy()
    flat = in_head_frame(truth.landmarks, truth.pose, face)
    heads = arrays["landmarks_3d"] - arrays["landmarks_3d"][:, STABLE].mean(1, keepdims=True)
    heads = np.einsum("tij,tpi->tpj", rotation(truth.pose), heads)[..., :2]
    assert landmark_distance(flat, heads).mean() < 0.015


def test_a_perfect_mouth_and_a_mean_mouth(probe, truth):
    face = probe.face.numpy()

    class Perfect:
        landmarks, pose, mouth_open = truth.landmarks, truth.pose, truth.mouth_open

        def __len__(self):
            return len(self.mouth_open)

    measures = mouth_measures(Perfect(), truth, face)
    assert measures["correlation"] == pytest.approx(1.0)
    assert measures["spread"] == pytest.approx(1.0)
    assert (measures["lag"], measures["error"], measures["open_pauses"]) == (0.0, 0.0, 0.0)
    # By hand: the mean face's mouth against the true one in the head's frame.
    true = in_head_frame(truth.landmarks, truth.pose, face)
    gap = np.linalg.norm(face[None, 48:, :2] - true[:, 48:], axis=-1).mean(1) / eye_distance(true)
    assert measures["baseline"] == pytest.approx(gap.mean())
    assert 0.01 < measures["baseline"] < 0.08


def test_lengths_must_agree(probe, frames, truth):
    with pytest.raises(InputError, match="29 frames against a truth of 30"):
        mouth_measures(probe.read(frames[:29]), truth, probe.face.numpy())


def test_crops_follow_their_centres_and_stay_inside():
    frames = np.arange(2 * 20 * 20 * 3).reshape(2, 20, 20, 3)
    cut = crops(frames, [(0.5, 0.5), (1.0, 0.0)], 0.3).numpy()
    np.testing.assert_array_equal(cut[0], frames[0, 7:13, 7:13])
    np.testing.assert_array_equal(cut[1], frames[1, 0:6, 14:20])


def test_the_real_clip_meets_every_target(probe, still, frames, truth):
    evaluation = Evaluation(probe, still)
    evaluation.add_autoencoding("clip", frames, frames, truth)
    evaluation.add_speech(OWN_VOICE, "clip", frames, frames, truth)
    evaluation.add_speech(OTHER_VOICES, "clip", frames, frames, truth)
    evaluation.add_silence("shut", frames[:8])
    evaluation.add_pose(float(np.median(truth.pose[:, 0])), frames)
    report = evaluation.report("the real clip", {"clips": 1})
    rows = table(report)
    assert report.passed
    assert rows["autoencoding", "SSIM"].value == pytest.approx(1.0)
    assert rows["autoencoding", "sharpness, mouth"].value == 1.0
    own = rows[OWN_VOICE, "mouth opening correlation"]
    assert own.value == own.real > 0.99
    assert own.clips == {"clip": own.value}
    assert rows[OWN_VOICE, "of the mean mouth's error"].value < 0.3
    assert rows[OWN_VOICE, "background flicker by the real"].value == 1.0
    assert rows[OTHER_VOICES, "mouth opening correlation"].at_least == 0.85
    assert rows["silence", "open share"].value == 0.0
    assert rows["pose", "yaw error, worst"].value < 1.0
    assert rows["pose", "yaw error, worst"].real < 1.0
    assert "| silence | open share | 0 | 0 | <= 0.05 | yes |" in report.markdown()


def test_a_frozen_face_follows_nothing(probe, still, frames, frozen, truth):
    evaluation = Evaluation(probe, still)
    evaluation.add_speech(OWN_VOICE, "clip", frozen, frames, truth)
    rows = table(evaluation.report("frozen"))
    assert abs(rows[OWN_VOICE, "mouth opening correlation"].value) < 0.5
    assert rows[OWN_VOICE, "mouth opening correlation"].passed is False
    assert rows[OWN_VOICE, "spread of the opening"].value < 0.3
    assert rows[OWN_VOICE, "spread of the opening"].passed is False
    assert rows[OWN_VOICE, "of the mean mouth's error"].value > 0.8
    assert rows[OWN_VOICE, "background flicker by the real"].value == 0.0


def test_noise_on_the_wall_an_open_mouth_and_a_wrong_turn_are_seen(probe, still, frames, truth):
    noisy = (frames + np.random.default_rng(0).normal(0, 6, frames.shape)).clip(0, 255).astype(np.uint8)
    evaluation = Evaluation(probe, still)
    evaluation.add_speech(OTHER_VOICES, "clip", noisy, frames, truth)
    evaluation.add_silence("gaping", frames[truth.mouth_open > 0.05])
    evaluation.add_pose(+15.0, frames)
    rows = table(evaluation.report("bad"))
    assert rows[OTHER_VOICES, "background flicker by the real"].passed is False
    assert rows["silence", "open share"].value == 1.0
    assert rows["pose", "yaw error, worst"].value == pytest.approx(15 - np.median(truth.pose[:, 0]), abs=1.0)
    assert rows["pose", "yaw error, worst"].passed is False


def test_blur_lowers_the_sharpness(probe, still, frames, truth):
    soft = (frames.astype(np.float32) + np.roll(frames, 1, 1) + np.roll(frames, 1, 2)) / 3 / 255
    evaluation = Evaluation(probe, still)
    evaluation.add_autoencoding("clip", soft.astype(np.float32), frames, truth)
    rows = table(evaluation.report("soft"))
    assert rows["autoencoding", "sharpness, mouth"].value < 0.7
    assert rows["autoencoding", "sharpness, eyes"].value < 0.7
    assert ("pose", "yaw error, worst") not in rows


def test_silence_and_pose_stand_alone_and_every_clip_counts(probe, still, frames, truth):
    evaluation = Evaluation(probe, still)
    evaluation.add_silence("shut", frames[:8])
    true = float(np.median(truth.pose[:, 0]))
    for yaw in (true, 10.0, true):
        evaluation.add_pose(yaw, frames)
    rows = table(evaluation.report("alone"))
    assert rows["silence", "open share"].real is None
    assert len(rows["pose", "yaw error, worst"].clips) == 3
    assert rows["pose", "yaw error, worst"].real is None
    assert rows["pose", "yaw error, worst"].value == pytest.approx(10 - true, abs=1.0)


def test_an_empty_evaluation_is_an_empty_table(probe, still):
    assert Evaluation(probe, still).report("nothing").rows == []
