"""The meter: means over a window, fetched late, and the first bad step of what was fetched together."""

import pytest
import torch
from accelerate import Accelerator

from talkface_core.training.meter import Meter


def filled(values: list[float]) -> Meter:
    meter = Meter(Accelerator(cpu=True))
    for step, value in enumerate(values):
        meter.add(step, {"loss": torch.tensor(value), "grad_norm": torch.tensor(1.0)})
    return meter


def test_means_over_a_window_then_a_new_one() -> None:
    meter = filled([1.0, 2.0, 6.0])
    assert meter.settle() is None
    assert meter.means() == {"loss": 3.0, "grad_norm": 1.0}
    meter.add(3, {"loss": torch.tensor(5.0), "grad_norm": torch.tensor(2.0)})
    assert meter.settle() is None
    assert meter.means() == {"loss": 5.0, "grad_norm": 2.0}


def test_half_a_window_goes_on_elsewhere() -> None:
    meter = filled([1.0, 2.0])
    assert meter.settle() is None
    other = Meter(Accelerator(cpu=True), meter.sums)
    other.add(2, {"loss": torch.tensor(6.0), "grad_norm": torch.tensor(4.0)})
    assert other.settle() is None
    assert other.means() == {"loss": 3.0, "grad_norm": 2.0}


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_the_first_bad_step_is_named_also_when_fetched_late(bad: float) -> None:
    step, values = filled([1.0, 2.0, bad, bad, 3.0]).settle()
    assert step == 2
    assert values["grad_norm"] == 1.0
    assert not torch.tensor(values["loss"]).isfinite()
