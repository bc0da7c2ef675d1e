"""Lips read off pictures: where the reader looks, and what its losses tell apart."""

import numpy as np
import torch

from talkface_core.faces.bundled import load_bundled
from talkface_core.faces.lip_reading import lip_losses, read_landmarks, reader_crops
from tests.sync.talkers import talkers


def reader():
    return load_bundled(dtype=torch.float32).reader.eval().requires_grad_(False)


def test_crops_lie_where_the_mean_face_is():
    face = torch.rand(68, 2, generator=torch.Generator().manual_seed(0))
    turned = face @ torch.tensor([[0.6, 0.8], [-0.8, 0.6]])
    landmarks = 40 * turned[None] + torch.tensor([10.0, 30.0])
    where = reader_crops(face, landmarks, 96)
    corners = 2 * face - 1
    back = corners @ where[0, :, :2].T + where[0, :, 2]
    torch.testing.assert_close((back + 1) / 2 * 96, landmarks[0], atol=1e-4, rtol=0)


def test_the_same_pictures_cost_nothing_and_others_have_a_gradient():
    net, data = reader(), talkers(clips=2)
    pictures = torch.from_numpy(data.inner(np.arange(0, 120, 15))).permute(0, 3, 1, 2) / 255
    where = reader_crops(net.face, 60 * net.face.expand(8, -1, -1) + 18, 96)
    assert [float(loss) for loss in lip_losses(net, pictures, pictures, where)] == [0, 0]
    other = pictures.flip(0).clone().requires_grad_()
    shape, spread = lip_losses(net, other, pictures, where)
    assert shape > 0
    assert spread.item() < 1e-4, "the same openings in another order"
    shape.backward()
    assert other.grad.abs().sum() > 0
    assert read_landmarks(net, pictures, where).shape == (8, 68, 2)
