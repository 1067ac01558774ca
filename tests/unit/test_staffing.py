"""How many processes send: a decision on measurements, played through without a clock."""

from collections.abc import Callable

from vl_ingest.upload.staffing import FIRST, SETTLED_S, Staffing

STEP_S = SETTLED_S + 0.1


def play(
    rate_of: Callable[[int], float],
    *,
    most: int = 4,
    busy: float = 0.95,
    left_bytes: int | None = None,
    steps: int = 20,
) -> list[int]:
    """Let a run deliver `rate_of(size)` bytes a second with so many processes; return the sizes over time."""
    staffing, sizes = Staffing(most), [0]
    now = cpu_s = done = 0.0
    for _ in range(steps):
        now, cpu_s, done = now + STEP_S, cpu_s + busy * STEP_S, done + rate_of(sizes[-1]) * STEP_S
        sizes.append(staffing.observe(now, cpu_s, int(done), left_bytes, ready=sizes[-1]))
    return sizes


def test_two_and_then_one_more_as_long_as_that_pays() -> None:
    """What two do twice as fast and a third does not, two do."""
    sizes = play(lambda size: 1e6 * (1, 2, 3.5, 3.5, 3.5)[size])
    assert sizes[:4] == [0, 0, 2, 3]
    assert sizes[-1] == 2
    assert max(sizes) == 3


def test_one_stays_where_two_do_not_pay() -> None:
    """Where two deliver no more than this process alone has, one is enough."""
    assert play(lambda _size: 1e6)[-1] == 1


def test_no_more_than_there_are_cores() -> None:
    """However well they pay."""
    assert max(play(lambda size: 1e6 * (size + 1), most=2)) == 2


def test_none_while_the_processor_is_not_the_limit() -> None:
    """A slow server or a narrow link needs no processes."""
    assert set(play(lambda _size: 1e6, busy=0.2)) == {0}


def test_none_for_what_is_over_before_they_are_up() -> None:
    """A second of work is not worth a start."""
    assert set(play(lambda _size: 1e6, left_bytes=1_000_000)) == {0}


def test_none_is_waited_for() -> None:
    """While one of them is not up yet nothing is decided, and nothing is measured."""
    staffing = Staffing(2)
    for step in range(1, 4):
        staffing.observe(step * STEP_S, step * STEP_S, step * 10**6, None, ready=0)
    assert staffing.size == FIRST
    for step in range(4, 9):
        assert staffing.observe(step * STEP_S, step * STEP_S, step * 10**6, None, ready=1) == FIRST
