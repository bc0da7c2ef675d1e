"""The meter: means over a window, fetched late, and the first bad step of what was fetched together. The CSV log: a
column for every loss, rows beyond the resumed step dropped, a torn line forgotten."""

from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from talkface_core.training.log import CsvLog, Meter


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


def test_rows_and_a_column_that_comes_later(tmp_path: Path) -> None:
    log = CsvLog(tmp_path / "log.csv", 0)
    log.write({"step": 1, "seconds": 0.5, "loss": 1 / 3, "pixel": 2.0})
    log.write({"step": 2, "seconds": 1.0, "loss": 0.25, "pixel": 1e-9})
    assert log.path.read_text() == "step,seconds,loss,pixel\n1,0.5,0.333333,2\n2,1,0.25,1e-09\n"
    log.write({"step": 3, "seconds": 1.5, "loss": 0.2, "pose": 7.0})
    lines = log.path.read_text().splitlines()
    assert lines[0] == "step,seconds,loss,pixel,pose"
    assert lines[1:] == ["1,0.5,0.333333,2,", "2,1,0.25,1e-09,", "3,1.5,0.2,,7"]


def test_resuming_drops_what_is_beyond_and_what_is_torn(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("step,loss\n1,0.5\n2,0.4\n3,0.3\n4,0.2\n5,0.")
    log = CsvLog(path, keep_until=3)
    assert path.read_text() == "step,loss\n1,0.5\n2,0.4\n3,0.3\n"
    log.write({"step": 4, "loss": 0.25})
    assert path.read_text().endswith("3,0.3\n4,0.25\n")
    path.write_text("step,loss\n1,0.5\n2,0")
    assert CsvLog(path, keep_until=9).path.read_text() == "step,loss\n1,0.5\n"


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.touch()
    CsvLog(path, 0).write({"step": 1})
    assert path.read_text() == "step\n1\n"
