"""Relative attention against a slow sum, and the independence of padded frames."""

import math

import pytest
import torch

from talkface_core.speech.conformer import Conformer, ConvModule, RelativeAttention, sinusoids


def test_relative_attention_equals_the_sum_over_pairs():
    torch.manual_seed(0)
    width, heads, frames, far = 16, 2, 7, 3
    net = RelativeAttention(width, heads, max_distance=far).eval()
    torch.nn.init.normal_(net.content_bias)
    torch.nn.init.normal_(net.position_bias)
    x = torch.randn(1, frames, width)
    q, k, v = net.qkv(x)[0].split(width, dim=1)
    slow = torch.zeros(frames, width)
    for h in range(heads):
        part = slice(h * 8, (h + 1) * 8)
        scores = torch.zeros(frames, frames)
        for i in range(frames):
            for j in range(frames):
                distance = torch.tensor([max(-far, min(far, i - j))])
                place = net.position(sinusoids(distance, width))[0, part]
                content = (q[i, part] + net.content_bias[h, 0]) @ k[j, part]
                scores[i, j] = (content + (q[i, part] + net.position_bias[h, 0]) @ place) / math.sqrt(8)
        slow[:, part] = scores.softmax(1) @ v[:, part]
    torch.testing.assert_close(net(x)[0], net.out(slow), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pre_norm", [True, False])
def test_padded_frames_change_nothing(pre_norm):
    torch.manual_seed(0)
    net = Conformer(2, 16, 2, 24, pre_norm=pre_norm).eval()
    x = torch.randn(1, 20, 16)
    padded = torch.cat([x, 50.0 * torch.randn(1, 9, 16)], dim=1)
    valid = torch.arange(29)[None] < 20
    torch.testing.assert_close(net(padded, valid)[:, :20], net(x), rtol=1e-4, atol=1e-4)


def test_attention_knows_the_order_of_the_frames():
    torch.manual_seed(0)
    net = RelativeAttention(16, 2).eval()
    torch.nn.init.normal_(net.position_bias)
    x = torch.randn(1, 12, 16)
    order = torch.randperm(12)
    assert (net(x[:, order]) - net(x)[:, order]).abs().max() > 1e-2


def test_a_frame_sees_no_further_than_its_context():
    torch.manual_seed(0)
    net = RelativeAttention(16, 2, context=4).eval()
    x = torch.randn(1, 30, 16)
    far, near = x.clone(), x.clone()
    far[:, 15:] += 1.0
    near[:, 14] += 1.0
    torch.testing.assert_close(net(far)[:, :11], net(x)[:, :11])
    assert (net(near)[:, 10] - net(x)[:, 10]).abs().max() > 1e-4


def test_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match="multiple"):
        RelativeAttention(18, 4)
    with pytest.raises(ValueError, match="odd"):
        ConvModule(16, kernel=4)
