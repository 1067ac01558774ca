"""The promise of the trigger, whatever the server's tasks do: at once, late, absent, broken, or lying in the harmless direction."""

from collections.abc import Callable
from pathlib import Path

import pytest

from losing import LOSSES, STATUSES, TASKS, check_once

RARER = ("late, from the creation", "later than the window", "none", "forbidden", "a page")
PLAIN = ("request lost", "answer lost")  # with every status; otherwise each two meet, in turns
COMBINATIONS = [
    (loss, status, tasks)
    for number, loss in enumerate(LOSSES)
    for turn, status in enumerate(STATUSES)
    for other, tasks in enumerate(TASKS)
    if tasks != "from the trigger"
    and (loss in PLAIN if tasks in RARER else True)
    and ((loss in PLAIN and tasks not in RARER) or (number + other) % len(STATUSES) == turn)
]


@pytest.mark.usefixtures("renewable_tokens")
@pytest.mark.parametrize(("loss", "status", "tasks"), COMBINATIONS, ids=map("-".join, COMBINATIONS))
def test_processing_is_accepted_once(
    loss: str, status: str, tasks: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """However the trigger was lost, and whatever tasks and status do: the server starts once."""
    check_once(loss, status, tasks, tmp_path)
    record_property("points", ["trigger combinations with tasks", 1, len(COMBINATIONS)])
