"""Masks of other sizes than their frames."""

import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.faces.masks import fit_mask


@pytest.mark.parametrize("size", [(60, 80), (120, 160), (30, 40), (61, 81)])
@pytest.mark.parametrize("frames", [None, 3])
def test_the_marked_place_stays_where_it_is(size, frames):
    mask = torch.zeros(60, 80)
    mask[15:30, 40:60] = 1
    given = mask if frames is None else mask.expand(frames, -1, -1)
    fitted = fit_mask(given, size)
    assert fitted.shape == (*given.shape[:-2], *size)
    assert fitted.dtype == torch.float32
    assert fitted.mean().item() == pytest.approx(mask.mean().item(), rel=0.05)
    rows, columns = (fitted if frames is None else fitted[1]).gt(0.5).nonzero(as_tuple=True)
    for places, side, middle in ((rows, size[0], 22.5 / 60), (columns, size[1], 50 / 80)):
        assert (places.float().mean().item() + 0.5) / side == pytest.approx(middle, abs=0.01)


@pytest.mark.parametrize("shape", [(64, 64), (80, 60), (0, 0), (3, 50, 60)])
def test_a_mask_of_another_shape_is_refused(shape):
    with pytest.raises(InputError, match="px for frames of 1200x704"):
        fit_mask(torch.ones(shape), (704, 1200))
    with pytest.raises(InputError, match=r"shape \[3\]"):
        fit_mask(torch.ones(3), (704, 1200))
