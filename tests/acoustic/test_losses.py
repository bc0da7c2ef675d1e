"""Losses over frames: what does not count has no say."""

import torch
import torch.nn.functional as F

from talkface_core.acoustic.losses import masked_mean, viseme_loss
from talkface_core.datasets.labels import IGNORE


def test_masked_mean():
    values = torch.arange(12.0).reshape(1, 3, 4)
    assert masked_mean(values, torch.tensor([[1.0, 0.0, 0.0]])) == 1.5
    assert masked_mean(values, torch.zeros(1, 3)) == 0.0


def test_unlabelled_sounds_have_no_say():
    logits, visemes = torch.randn(2, 5, 4), torch.randint(0, 4, (2, 5))
    torch.testing.assert_close(viseme_loss(logits, visemes), F.cross_entropy(logits.flatten(0, 1), visemes.flatten()))
    visemes[1] = IGNORE
    torch.testing.assert_close(viseme_loss(logits, visemes), F.cross_entropy(logits[0], visemes[0]))
    assert viseme_loss(logits, torch.full((2, 5), IGNORE)) == 0
