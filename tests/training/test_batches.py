"""Batches: each a function of its step, made ahead in threads, in order, and with their errors."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.training.batches import batches, step_seed
from talkface_core.training.recipe import Batch
from tests.training.toy import Toy, go


@pytest.mark.parametrize("workers", [0, 1, 4])
def test_batches_are_a_function_of_the_step(workers: int) -> None:
    recipe = Toy()
    run = list(batches(recipe, 1, 0, 0, 6, 2, workers))
    late = list(batches(recipe, 1, 0, 4, 6, 2))
    assert len(run) == 12
    assert all(torch.equal(a["x"], b["x"]) for a, b in zip(run[8:], late, strict=True))
    seeds = {step_seed(*key).generate_state(2).tobytes() for key in np.ndindex(2, 3, 2, 2)}
    assert len(seeds) == 24
    assert not torch.equal(run[0]["x"], run[1]["x"])


def test_batches_that_several_threads_make_come_in_order() -> None:
    class Slow(Toy):
        def batch(self, step: int, rng: np.random.Generator) -> Batch:
            both.wait()  # two are made at the same time
            time.sleep(0.02 * (1 - step % 2))  # and the earlier one takes longer
            return {"x": torch.tensor([step])}

    both = threading.Barrier(2, timeout=60)
    assert [int(batch["x"]) for batch in batches(Slow(), 1, 0, 2, 8, workers=2)] == [2, 3, 4, 5, 6, 7]


def test_an_error_in_the_background_thread_arrives(tmp_path: Path) -> None:
    class Broken(Toy):
        def batch(self, step: int, rng: np.random.Generator) -> Batch:
            if step == 3:
                raise InputError("clip 7 is broken")
            return super().batch(step, rng)

    with pytest.raises(InputError, match="clip 7"):
        go(tmp_path, Broken(), prefetch=True)
