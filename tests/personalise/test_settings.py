"""Budgets as people write them."""

import pytest

from talkface_core.errors import InputError
from talkface_core.personalise.settings import Settings, parse_budget, told


@pytest.mark.parametrize(
    ("text", "seconds"), [("2h", 7200), ("1h30m", 5400), ("45m", 2700), ("90s", 90), ("0.5h", 1800), (" 30M ", 1800)]
)
def test_a_budget_in_words(text, seconds):
    assert parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "two hours", "30m2h", "-2h"])
def test_what_is_no_budget(text):
    with pytest.raises(InputError, match="2h, 1h30m or 45m"):
        parse_budget(text)


def test_impossible_settings():
    with pytest.raises(InputError, match="1 second to 14 days"):
        Settings(budget=0)
    with pytest.raises(InputError, match="from the left"):
        Settings(face="the tall one")
    with pytest.raises(InputError, match=r"face '9{40}': .*from the left"):
        Settings(face="9" * 5000)


def test_long_footage_holds_no_more_out_than_a_minute():
    settings = Settings()
    assert settings.share_held_out(60) == 0.2
    assert settings.share_held_out(600) == pytest.approx(0.1)


@pytest.mark.parametrize(("seconds", "text"), [(42, "42 s"), (120, "2 min"), (7200, "2.0 h")])
def test_time_for_people(seconds, text):
    assert told(seconds) == text
