"""TrainConfig: the learning rate of every step, wrong settings, and what differs between two runs."""

import pytest

from talkface_core.errors import InputError
from talkface_core.training.config import TrainConfig, differences


def test_warm_up_rises_linearly_to_the_rate() -> None:
    config = TrainConfig(lr=1.0, warmup=4)
    assert [config.lr_at(step, 100) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]


def test_cosine_falls_from_the_warm_up_to_the_end() -> None:
    config = TrainConfig(lr=2.0, warmup=10, schedule="cosine", final_lr=0.1)
    assert config.lr_at(10, 110) == pytest.approx(2.0)
    assert config.lr_at(60, 110) == pytest.approx(2.0 * 0.55)
    assert config.lr_at(110, 110) == pytest.approx(0.2)
    assert config.lr_at(500, 110) == pytest.approx(0.2)
    rates = [config.lr_at(step, 110) for step in range(9, 111)]
    assert rates == sorted(rates, reverse=True)


def test_a_run_of_nothing_but_warm_up() -> None:
    config = TrainConfig(lr=1.0, warmup=10, schedule="cosine")
    assert [config.lr_at(step, 5) for step in range(5)] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"schedule": "linear"}, "schedule 'linear' is unknown; choose one of constant, cosine"),
        ({"optimiser": "sgd"}, "optimiser 'sgd'"),
        ({"precision": "fp16"}, "precision 'fp16'"),
        ({"lr": -1}, "lr is -1"),
        ({"lr": float("nan")}, "lr is nan"),
        ({"ema_decay": 2}, "ema_decay is 2; it lies between 0 and 1"),
        ({"accumulation": 0}, "accumulation is 0"),
    ],
)
def test_wrong_settings(wrong: dict, words: str) -> None:
    with pytest.raises(InputError, match=words):
        TrainConfig(**wrong)


def test_differences() -> None:
    old = {"a": 1, "b": {"c": [1, 2], "d": 2}, "gone": 0}
    assert differences(old, old) == []
    new = {"a": 1, "b": {"c": [1, 3], "d": 2}, "new": "x"}
    assert differences(old, new) == [("b.c", [1, 2], [1, 3]), ("gone", 0, None), ("new", None, "x")]
