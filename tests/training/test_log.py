"""The CSV log: a column for every loss, rows beyond the resumed step dropped, a torn line forgotten."""

from pathlib import Path

from talkface_core.training.log import CsvLog


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
