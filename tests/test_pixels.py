"""Bytes, the unit range and -1..1: each leads to the others and back, on tensors and arrays alike."""

import numpy as np
import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.pixels import (
    as_byte_array,
    as_unit_tensor,
    signed_to_unit,
    to_bytes,
    to_signed,
    to_unit,
)

LEVELS = torch.arange(256, dtype=torch.uint8)


@pytest.mark.parametrize("levels", [LEVELS, LEVELS.numpy()], ids=["tensor", "array"])
def test_all_levels_survive_every_round_trip(levels):
    for back in (to_bytes(to_unit(levels)), to_bytes(signed_to_unit(to_signed(levels)))):
        assert type(back) is type(levels)
        assert back.dtype == levels.dtype
        assert (back == levels).all()
    assert to_signed(levels)[0] == -1
    assert to_signed(levels)[255] == 1
    assert to_unit(levels)[255] == 1
    for converted in (to_unit(levels), to_signed(levels), signed_to_unit(to_signed(levels))):
        assert str(converted.dtype).endswith("float32")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_floats_are_rounded_to_the_nearest_level_and_clipped(dtype):
    values = torch.tensor([-0.5, 0.0, 0.49 / 255, 0.51 / 255, 127.4 / 255, 1.0, 1.7], dtype=torch.float64)
    wanted = (values.to(dtype).double() * 255).round().clamp(0, 255)
    assert torch.equal(to_bytes(values.to(dtype)).double(), wanted)
    assert to_bytes(values.to(dtype)).dtype == torch.uint8


def test_tensors_and_arrays_agree():
    values = np.random.default_rng(0).uniform(-0.2, 1.2, (5, 4, 3)).astype(np.float32)
    tensor = torch.from_numpy(values)
    assert np.array_equal(to_bytes(values), to_bytes(tensor).numpy())
    assert np.allclose(to_signed(values), to_signed(tensor).numpy())
    assert np.allclose(signed_to_unit(values), signed_to_unit(tensor).numpy())
    assert torch.equal(as_unit_tensor(values), to_unit(tensor))


def test_what_was_given_stays_as_it_was():
    given = torch.rand(4, 4)
    before = given.clone()
    for change in (to_bytes, to_unit, to_signed, signed_to_unit, as_byte_array, as_unit_tensor):
        change(given)
    assert torch.equal(given, before)


def test_read_only_arrays_are_taken():
    given = np.arange(12, dtype=np.uint8)
    given.flags.writeable = False
    assert as_unit_tensor(given)[11] == np.float32(11) / 255


def test_they_stay_on_their_device():
    given = torch.empty(2, 3, dtype=torch.uint8, device="meta")
    for converted in (to_unit(given), to_signed(given), signed_to_unit(to_signed(given)), to_bytes(to_unit(given))):
        assert converted.device.type == "meta"


@pytest.mark.parametrize("wrong", [torch.tensor([float("nan")]), torch.tensor([float("inf")]), torch.tensor([1, 2])])
def test_what_leaves_the_library_is_checked(wrong):
    with pytest.raises(InputError):
        as_byte_array(wrong)
