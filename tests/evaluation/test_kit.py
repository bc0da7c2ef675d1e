"""Instruments of files: the evaluator's crops and its numbers in the table."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from talkface_core.checkpoints import save_checkpoint
from talkface_core.errors import InputError
from talkface_core.evaluation.catalogue import chosen
from talkface_core.evaluation.evaluate import score
from talkface_core.evaluation.evaluator_crops import evaluator_crops, face_boxes
from talkface_core.evaluation.footage import Pair
from talkface_core.evaluation.kit import with_files
from talkface_core.evaluation.registry import Kit
from talkface_core.media.audio import analysis_audio
from talkface_core.sync.evaluator import COMPONENT, SYSTEM, EvaluatorConfig, SyncEvaluator
from tests.evaluation.talking import footage


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory):
    torch.manual_seed(0)
    net, path = SyncEvaluator(EvaluatorConfig(vector=8, width=1 / 32)), tmp_path_factory.mktemp("kit") / "e.safetensors"
    save_checkpoint(path, SYSTEM, {COMPONENT: net}, {COMPONENT: net.config.to_dict()}, {})
    return path


def test_the_evaluators_numbers_are_in_the_table(clips, arrays, frames, evaluator):
    real = footage(frames[:10], arrays["landmarks"][:10], analysis_audio(clips.clips[0].audio())[:6400])
    kit = with_files(Kit(), evaluator=evaluator)
    clip = score(Pair.of("one", real, real), kit, chosen(["sync"]))
    assert {"lse_offset", "lse_d", "lse_c"} <= clip.values.keys()
    assert clip.values["lse_d"] == clip.real["lse_d"] > 0
    assert clip.values["lse_c"] >= 0
    with pytest.raises(InputError, match="no sound"):
        kit.evaluator(footage(frames[:10], arrays["landmarks"][:10], None))


def test_the_evaluators_crops(arrays, frames):
    """The face fills them alike whatever its size in the frame; beyond the frame they are grey."""
    clip = footage(frames[:4], arrays["landmarks"][:4], None)
    (x, y), half = face_boxes(clip.track)[0][0], face_boxes(clip.track)[1][0]
    chin = arrays["landmarks"][:4, 8, 1].mean()
    assert abs(y + half - chin) < 0.25 * half
    assert abs(x - arrays["landmarks"][:4, 27, 0].mean()) < 0.2 * half
    crops = evaluator_crops(clip)
    assert crops.shape == (4, 224, 224, 3)
    moved = footage(np.roll(frames[:4], 70, axis=2), arrays["landmarks"][:4] + np.array([70, 0]), None)
    assert (evaluator_crops(moved)[:, 100:120, -4:] == 110).all()
