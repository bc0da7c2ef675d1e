"""The published SyncNet evaluator: beside its public code, its protocol, and the loading of its public file."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from talkface_core.checkpoints import read_header
from talkface_core.cli.conversions import convert
from talkface_core.errors import InputError
from talkface_core.sync.convert_evaluator import LICENCE
from talkface_core.sync.evaluator import EvaluatorConfig, SyncEvaluator, evaluator_score, load_evaluator
from talkface_core.sync.mfcc import mfcc
from tests.sync.evaluator_golden import coefficients, pictures, published_state

SEEN = [[6.48297, -5.83948, 5.16715, -4.28397], [6.48158, -5.83795, 5.16553, -4.2823]]
HEARD = [[6.38433, -5.90574, 5.06778, -4.04223], [6.38785, -5.90906, 5.07079, -4.04484]]
"""What the public code gives for these weights and inputs: the first four numbers of each vector."""

CEPSTRA = [
    [19.035772, 18.662847, 1.826432, -13.237338, -24.992179],
    [19.82492, 25.969739, 9.241586, -7.870632, -22.238323],
]
"""What python_speech_features 0.6 gives for `tone`, steps 0 and 3, the first five of 13."""


def tone() -> np.ndarray:
    t = np.arange(1000) / 16000
    return (0.5 * np.sin(2 * np.pi * 440 * t) * np.hanning(1000)).astype(np.float32)


def public_name(key: str) -> str:
    part, _, rest = key.partition(".")
    names = {"sound": "netcnnaud", "sound_head": "netfcaud", "lips": "netcnnlip", "lips_head": "netfclip"}
    return f"{names[part]}.{rest}"


def test_it_is_the_public_network(tmp_path):
    with torch.device("meta"):
        own = SyncEvaluator()
    assert sum(parameter.numel() for parameter in own.parameters()) == 13_631_616
    state = published_state({public_name(key): value.shape for key, value in own.state_dict().items()})
    torch.save(state, tmp_path / "syncnet_v2.model")
    convert([str(tmp_path / "syncnet_v2.model")], tmp_path / "evaluator.safetensors")
    assert read_header(tmp_path / "evaluator.safetensors").provenance["licence"] == LICENCE
    net = load_evaluator(tmp_path / "evaluator.safetensors")
    with torch.no_grad():
        seen, heard = net(pictures(), coefficients())
    assert seen.shape == heard.shape == (2, 1024)
    torch.testing.assert_close(seen[:, :4], torch.tensor(SEEN), atol=1e-3, rtol=1e-4)
    torch.testing.assert_close(heard[:, :4], torch.tensor(HEARD), atol=1e-3, rtol=1e-4)
    some = {key: state[key] for key in ("netcnnlip.0.weight", "netfcaud.0.weight")}
    torch.save(some, tmp_path / "cut.model")
    with pytest.raises(InputError, match=r"no weights for 'lips\.0\.bias'"):
        convert([str(tmp_path / "cut.model")], tmp_path / "other.safetensors")


def test_cepstra_are_those_of_python_speech_features():
    found = mfcc(tone())
    assert found.shape == (5, 13)
    np.testing.assert_allclose(found[[0, 3], :5], CEPSTRA, atol=1e-5)
    assert mfcc(np.zeros(100, np.float32)).shape == (1, 13)
    assert np.isfinite(mfcc(np.zeros(800, np.float32))).all()


class Reads(torch.nn.Module):
    """Says how grey its first frame is, and how loud the sound is, less `middle`: alike where both belong together, and
    zero for a middling loudness, as the vectors beyond the clip are."""

    def __init__(self, middle: float) -> None:
        super().__init__()
        self.lips_head = torch.nn.Sequential(torch.nn.Linear(1, 1))
        self.middle = middle

    def see(self, pictures):
        return pictures[:, :, 0].mean((1, 2, 3))[:, None] / 10 - self.middle

    def hear(self, coefficients):
        return coefficients[:, 0, 0].mean(1)[:, None] - self.middle


@pytest.mark.parametrize("late", [-4, 3])
def test_shifting_the_sound_moves_the_offset_by_as_much(late):
    rng, count = np.random.default_rng(0), 60
    loudness = np.repeat(rng.uniform(0.001, 0.3, count), 640)
    sound = torch.from_numpy((loudness * rng.normal(0, 0.5, len(loudness))).astype(np.float32))
    heard = mfcc(sound.numpy())[:, 0]
    grey = np.array([heard[4 * k : 4 * k + 20].mean() for k in range(count)])
    crops = np.broadcast_to(np.round(10 * grey).astype(np.uint8)[:, None, None, None], (count, 224, 224, 3))
    moved = torch.from_numpy(np.roll(sound.numpy(), 640 * late))
    score = evaluator_score(Reads(float(grey.mean())), crops, moved, 6)
    assert score.offset == late
    assert score.distance == pytest.approx(score.curve.min())
    assert score.confidence == pytest.approx(float(torch.from_numpy(score.curve).median()) - score.distance)
    assert score.curve.shape == (13,)


def test_the_protocol_is_the_published_one():
    """Means of torch's own pairwise_distance, zeros beyond the clip's ends."""
    torch.manual_seed(0)
    net = SyncEvaluator(EvaluatorConfig(vector=6, width=1 / 32)).eval()
    crops = np.random.default_rng(0).integers(0, 256, (9, 224, 224, 3), dtype=np.uint8)
    sound = torch.from_numpy(np.random.default_rng(1).normal(0, 0.1, 9 * 640).astype(np.float32))
    score = evaluator_score(net, crops, sound, 3)
    heard = torch.from_numpy(mfcc(sound.numpy()).T).float()
    with torch.no_grad():
        video = [
            torch.from_numpy(crops[k : k + 5, ..., ::-1].copy()).permute(3, 0, 1, 2)[None].float() for k in range(4)
        ]
        faces = torch.cat([net.see(part) for part in video])
        sounds = torch.cat([net.hear(heard[None, None, :, 4 * k : 4 * k + 20]) for k in range(4)])
    padded = torch.cat([torch.zeros(3, 6), sounds, torch.zeros(3, 6)])
    away = [torch.nn.functional.pairwise_distance(faces, padded[s : s + 4]).mean().item() for s in range(7)]
    assert score.curve.tolist() == pytest.approx(away, abs=1e-5)


def test_what_cannot_be_scored():
    net = SyncEvaluator(EvaluatorConfig(vector=6, width=1 / 32)).eval()
    with pytest.raises(InputError, match=r"\[frames, 224, 224, 3\]"):
        evaluator_score(net, np.zeros((9, 96, 96, 3), np.uint8), torch.zeros(6400))
    with pytest.raises(InputError, match="six frames"):
        evaluator_score(net, np.zeros((5, 224, 224, 3), np.uint8), torch.zeros(6400))
