"""Controls: what is linear in keypoints is found, read and written."""

import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.see_the_speaker.controls import BLINK_LEFT, BLINK_RIGHT, CONTROLS, GAZE_DOWN, OPENING, ControlTable


@pytest.fixture
def world() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Directions [C,K,3] of controls, expressions [N,K,3] they make with a little noise, and their values [N,C]."""
    torch.manual_seed(0)
    directions = torch.randn(len(CONTROLS), 6, 3)
    values = torch.rand(500, len(CONTROLS))
    values[:, 2] = 0.7 * values[:, 1] + 0.3 * values[:, 2]  # eyes blink together
    expression = torch.einsum("nc,ckx->nkx", values, directions) + 0.01 * torch.randn(500, 6, 3)
    return directions, expression, values


def test_what_was_fitted_is_read_and_written(world: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
    directions, expression, values = world
    table = ControlTable(CONTROLS, 6)
    known = table.fit(expression, values)
    assert float(known.min()) > 0.98
    assert float((table.values(expression) - values).abs().mean()) < 0.05
    along = table.write.unflatten(1, (6, 3))
    assert float((along - directions).abs().mean()) < 0.1 * float(directions.abs().mean())
    moved = table.moved(expression, OPENING, 0.5)
    assert float((table.value(moved, OPENING) - table.value(expression, OPENING) - 0.5).abs().max()) < 0.05
    # What is written to one control leaves the others alone.
    change = table.values(moved) - table.values(expression)
    assert float(change[:, 1:].abs().max()) < 0.1
    by = torch.linspace(0, 1, 500)
    change = table.value(table.moved(expression, GAZE_DOWN, by), GAZE_DOWN) - table.value(expression, GAZE_DOWN)
    assert torch.allclose(change, by, atol=0.1)


def test_eyes_that_shut_together_are_written_together() -> None:
    """Where they lie alone is not known; of both, all is, and nothing of what hardly moves is made up."""
    torch.manual_seed(0)
    directions = torch.zeros(len(CONTROLS), 6, 3)
    for place in range(len(CONTROLS)):
        directions[place, place, 0] = 1.0
    values = torch.rand(2000, len(CONTROLS))
    shut = (torch.rand(2000) < 0.1).float()
    values[:, 1] = shut + 0.01 * torch.randn(2000)
    values[:, 2] = shut + 0.01 * torch.randn(2000)
    expression = torch.einsum("nc,ckx->nkx", values, directions) + 0.02 * torch.randn(2000, 6, 3)
    table = ControlTable(CONTROLS, 6)
    table.fit(expression, values)
    rest = torch.zeros(1, 6, 3)
    both = table.moved(table.moved(rest, BLINK_RIGHT, 1.0), BLINK_LEFT, 1.0)[0]
    wanted = directions[1] + directions[2]
    assert float((both - wanted).abs().max()) < 0.1
    alone = table.moved(rest, BLINK_LEFT, 1.0)[0]
    assert float(alone.abs().max()) < 1.2
    read = table.values(both[None])[0] - table.values(rest)[0]
    assert torch.allclose(read[1:3], torch.ones(2), atol=0.05)


def test_a_control_that_is_not_known_is_refused() -> None:
    with pytest.raises(InputError, match=r"no control 'blink_left': only opening"):
        ControlTable((OPENING,), 6).value(torch.zeros(2, 6, 3), BLINK_LEFT)
    none = ControlTable((), 6)
    assert not none.state_dict()
    with pytest.raises(InputError, match="never read"):
        none.moved(torch.zeros(2, 6, 3), OPENING, 1.0)
