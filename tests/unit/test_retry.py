"""How long a failed request waits before it is made again."""

import random

import pytest

from vl_ingest.run import backoff
from vl_ingest.run.backoff import Backoff, backoff_s


@pytest.mark.parametrize(
    ("failures", "bound_s"), [(0, 0.5), (1, 0.5), (2, 1.0), (3, 2.0), (6, 16.0), (7, 30.0), (10**6, 30.0)]
)
def test_a_wait_is_a_random_part_of_a_bound_that_doubles_up_to_the_most(
    failures: int, bound_s: float
) -> None:
    """All of the bound is used, so that many clients do not come back together; a day of failures overflows nothing."""
    waits = [Backoff(first_s=0.5, most_s=30.0).wait_s(failures) for _ in range(500)]
    assert 0 <= min(waits) < 0.2 * bound_s
    assert 0.8 * bound_s < max(waits) <= bound_s


def test_the_wait_for_a_busy_server_grows_to_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each attempt sends a whole archive: ten times as long as after a failure, by the refusals in a row alone."""
    monkeypatch.setattr(backoff, "BACKOFF", Backoff(first_s=0.5, most_s=30.0))
    monkeypatch.setattr(random, "uniform", lambda _least, most: most)
    assert [backoff_s(9, busy=count) for count in (1, 2, 5, 9)] == [5.0, 10.0, 80.0, 300.0]
    assert backoff_s(9) == 30.0
