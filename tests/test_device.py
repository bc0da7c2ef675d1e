"""Devices by name, and layers that change the speed but not the result."""

import pytest
import torch
from torch import nn

from talkface_core import device
from talkface_core.device import (
    HALF_ON_CPU,
    Operations,
    pick_device,
    pick_dtype,
    pick_layers,
    pick_place,
    without_autocast,
)
from talkface_core.errors import InputError


def test_devices_by_name(monkeypatch):
    assert pick_device("cpu").type == "cpu"
    with pytest.raises(InputError, match="choose one of auto, cpu, cuda"):
        pick_device("tpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert pick_device("auto").type == "cpu"
    with pytest.raises(InputError, match="finds no CUDA GPU"):
        pick_device("cuda")


def test_nothing_is_cast_by_itself_where_that_is_switched_off():
    ones = torch.ones(2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        assert (ones @ ones).dtype == torch.bfloat16
        with without_autocast(torch.device("cpu")):
            assert (ones @ ones).dtype == torch.float32


@pytest.mark.parametrize("name", ["privateuseone", "meta"])
def test_a_device_without_automatic_casts_is_left_alone(name):
    with without_autocast(torch.device(name)):
        pass


def test_half_precision_only_where_the_cpu_is_quicker_with_it(monkeypatch):
    cpu = torch.device("cpu")
    for amx, avx, gain, wanted in (
        (True, True, 7.6, torch.bfloat16),
        (False, True, 2.0, torch.bfloat16),
        (False, True, 1.0, torch.bfloat16),
        (False, True, 0.3, torch.float32),
        (False, False, 7.6, torch.float32),
    ):
        monkeypatch.setattr(device, "bfloat16_gain", lambda gain=gain: gain)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda amx=amx: amx, raising=False)
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda avx=avx: avx, raising=False)
        assert pick_dtype(cpu) == wanted
    for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"):  # torch before it could tell
        monkeypatch.delattr(torch.cpu, name)
    assert pick_dtype(cpu) == torch.float32
    assert pick_layers(cpu, torch.float32) is nn
    assert pick_layers(cpu, torch.bfloat16) is HALF_ON_CPU


def test_the_gain_is_measured_once_and_draws_no_number():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    device.bfloat16_gain.cache_clear()
    gain = device.bfloat16_gain()
    assert 0.01 < gain < 100
    assert device.bfloat16_gain() is gain
    assert torch.equal(before, torch.get_rng_state())


def test_half_precision_has_every_kind_of_layer():
    assert Operations.__annotations__.keys() == vars(HALF_ON_CPU).keys()


@pytest.mark.parametrize("size", [8, 16, 32])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_faster_norm_is_the_same_norm(size, dtype):
    torch.manual_seed(0)
    plain, fast = nn.GroupNorm(4, 16), HALF_ON_CPU.GroupNorm(4, 16)
    nn.init.normal_(plain.weight)
    nn.init.normal_(plain.bias)
    fast.load_state_dict(plain.state_dict(), strict=True)
    x = torch.randn(3, 16, size, size).to(dtype, memory_format=torch.channels_last)
    y = fast.to(dtype)(x)
    assert y.dtype == dtype
    assert y.is_contiguous(memory_format=torch.channels_last)
    exact = plain.to(dtype).float()(x.float())
    torch.testing.assert_close(y.float(), exact, rtol=1e-2, atol=2e-2 if dtype == torch.bfloat16 else 1e-5)


def test_a_place_is_by_name_or_as_it_is_and_its_type_what_suits_it(monkeypatch):
    monkeypatch.setattr("talkface_core.device.pick_dtype", lambda device: torch.bfloat16)
    assert pick_place("cpu", None) == (torch.device("cpu"), torch.bfloat16)
    assert pick_place(torch.device("meta"), torch.float16) == (torch.device("meta"), torch.float16)
    with pytest.raises(InputError, match="is unknown"):
        pick_place("tpu", None)
