"""Three hundred spoilt inputs of every kind: each is taken or refused in words, and leaves nothing behind."""

import os

import pytest

pytest.importorskip("resource", reason="limits of memory are POSIX")

from benchmarks.fuzz import KINDS, Found, run_cases


def test_spoilt_inputs_are_taken_or_refused_in_words() -> None:
    found = run_cases(KINDS, 300, workers=min(2, os.cpu_count() or 1))
    assert not found.faults, f"{found.table()}\n{found.faults}"
    for kind, counts in found.counts.items():
        assert counts.total() >= 33, kind
        assert counts["refused"], kind
        assert counts["accepted"], f"{kind}: all are refused, so nothing is tried beyond the door"


def test_faults_are_told() -> None:
    found = Found()
    for outcome in ("refused", "crash", "hang"):
        found.add("pose", 7, outcome, "why")
    assert [fault["outcome"] for fault in found.faults] == ["crash", "hang"]
    kind, row, total = found.table().splitlines()
    assert row.split() == ["pose", "3", "1", "0", "1", "1", "0"]
    assert total.split()[1:] == row.split()[1:]
    assert kind.split()[0] == "kind"
