"""Controls: what is linear in keypoints is found, read and written."""

import pytest
import torch

from talkface_core.errors import InputError
from talkface_core.see_the_speaker.controls import BLINK_LEFT, CONTROLS, GAZE_DOWN, OPENING, ControlTable


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


def test_a_control_that_is_not_known_is_refused() -> None:
    with pytest.raises(InputError, match=r"no control 'blink_left': only opening"):
        ControlTable((OPENING,), 6).value(torch.zeros(2, 6, 3), BLINK_LEFT)
    none = ControlTable((), 6)
    assert not none.state_dict()
    with pytest.raises(InputError, match="never read"):
        none.moved(torch.zeros(2, 6, 3), OPENING, 1.0)
