"""How many requests go at once: a number that finds itself, on links that are made of arithmetic."""

import heapq
import random
from collections import Counter
from collections.abc import Callable

import pytest

from vl_ingest.upload.concurrency import MOST, START, START_AWAY, Concurrency

BATCH_BYTES = 10_000_000

# From the number of workers to the seconds that one of them takes for a batch.
Link = Callable[[int], float]


def waits_for_the_server(workers: int) -> float:
    """Every request costs the server 200 ms, however many there are."""
    return 0.2 if workers <= 40 else 0.2 * workers / 40


def is_narrow(workers: int) -> float:
    """One worker fills half of the link, two fill it."""
    return max(0.2, 0.1 * workers)


def is_this_processor(workers: int) -> float:
    """One worker keeps the processor busy; more of them get in each other's way."""
    return 0.02 * workers * (1 + 0.1 * (workers - 1))


def work(
    concurrency: Concurrency, link: Link, seconds: float, begin: float = 0.0
) -> tuple[float, Counter[int]]:
    """Let workers send over `link`; return the bytes a second, and for how many cycles each number stood."""
    chance = random.Random(7)
    stood: Counter[int] = Counter()
    turns: list[tuple[float, int, float]] = []
    busy: set[int] = set()
    warm: set[int] = set()
    now, sent = begin, 0

    def start() -> None:
        for number in set(range(1, concurrency.limit + 1)) - busy:
            busy.add(number)
            took = link(concurrency.limit) * chance.uniform(0.9, 1.1) + (0.3 if number not in warm else 0)
            heapq.heappush(turns, (now + took, number, now))

    start()
    while turns and turns[0][0] < begin + seconds:
        now, number, began = heapq.heappop(turns)
        sent += BATCH_BYTES
        busy.discard(number)
        concurrency.delivered(number, BATCH_BYTES, began, now, cpu_s=0.1 * now, warm=number in warm)
        warm.add(number)
        stood[concurrency.limit] += 1
        start()
    return sent / seconds, stood


@pytest.mark.parametrize("link", [waits_for_the_server, is_narrow, is_this_processor])
def test_the_number_comes_near_the_best_fixed_one(link: Link) -> None:
    """Within a minute it delivers nine tenths of what the best fixed number does, the search included."""
    best = max(work(Concurrency(fixed), link, 60)[0] for fixed in (1, 2, 3, 4, 6, 8, 12, 16, 24, 32))
    found, _ = work(Concurrency(), link, 60)
    assert found >= 0.9 * best


def test_more_workers_than_pay_are_not_kept() -> None:
    """Where one does all that can be done, one or two are at work most of the time."""
    _, stood = work(Concurrency(), is_this_processor, 60)
    assert stood[1] + stood[2] > 0.8 * stood.total()


def test_no_process_is_left_without_work_for_a_try() -> None:
    """Fewer workers than processes are never tried; only overload asks for fewer."""
    concurrency = Concurrency()
    concurrency.least = 2
    _, stood = work(concurrency, is_this_processor, 60)
    assert min(stood) == 2
    concurrency.overloaded(began=60.0, now=60.1)
    assert concurrency.limit == 1


def test_it_starts_small_and_never_leaves_its_bounds() -> None:
    """It begins with two, and stays between one and the most, whatever is reported."""
    concurrency = Concurrency()
    assert concurrency.limit == START
    chance, now = random.Random(3), 0.0
    for _ in range(20_000):
        began, now = now, now + chance.uniform(0.0, 0.3)
        if chance.random() < 0.02:
            concurrency.overloaded(began, now)
        else:
            worker = chance.randrange(1, concurrency.limit + 1)
            concurrency.delivered(
                worker, chance.randrange(1, BATCH_BYTES), began, now, cpu_s=0.1 * now, warm=True
            )
        assert 1 <= concurrency.limit <= MOST


def test_overload_halves_once_for_all_that_met_it() -> None:
    """Requests that were on their way together are one sign, not many; it recovers when the trouble is over."""
    concurrency = Concurrency()
    work(concurrency, waits_for_the_server, 30)
    before = concurrency.limit
    assert before > 16
    for _ in range(before):
        concurrency.overloaded(began=30.0, now=30.1)
    assert concurrency.limit == before // 2
    concurrency.overloaded(began=30.2, now=30.3)
    assert concurrency.limit == before // 4
    work(concurrency, waits_for_the_server, 60, begin=40.0)
    assert concurrency.limit > 16


def test_it_follows_a_link_that_changes() -> None:
    """When the link grows narrow in the middle of a run, workers are taken back."""
    concurrency = Concurrency()
    work(concurrency, waits_for_the_server, 30)
    _, stood = work(concurrency, is_this_processor, 300, begin=30.0)
    late = work(concurrency, is_this_processor, 60, begin=330.0)[1]
    assert max(stood) > 16
    assert max(late) < 16


def test_each_host_that_joins_begins_with_as_many() -> None:
    """And all together may go further than one could, as far as they can send at once."""
    concurrency = Concurrency(cores=100)
    concurrency.spread(0, 0)
    assert concurrency.limit == START
    concurrency.spread(1, 25)
    assert concurrency.limit == START_AWAY
    concurrency.spread(8, 200)
    assert concurrency.limit == 8 * START_AWAY
    concurrency.spread(4, 100)
    assert concurrency.limit == 8 * START_AWAY
    _, stood = work(concurrency, lambda _workers: 0.2, 20)
    assert MOST < max(stood) <= 200
    few = Concurrency(cores=100)
    few.spread(8, 12)
    assert few.limit == 12
    _, stood = work(few, lambda _workers: 0.2, 20)
    assert max(stood) <= 12
    none = Concurrency(cores=100)
    none.spread(1, 0)
    assert none.limit == 1, "a host that can send nothing now must not stop the run"
    fixed = Concurrency(3)
    fixed.spread(8, 200)
    assert fixed.limit == 3


def test_a_fixed_number_stays() -> None:
    """A number that was asked for is used, neither measured nor halved."""
    concurrency = Concurrency(6)
    work(concurrency, waits_for_the_server, 30)
    concurrency.overloaded(began=31.0, now=32.0)
    assert concurrency.limit == 6


@pytest.mark.parametrize("processes", [1, 2])
def test_it_does_not_grow_while_the_processor_is_busy(processes: int) -> None:
    """What keeps half of the cores busy gets no more workers, even if that seemed to pay, or there is no way down."""
    concurrency, now = Concurrency(cores=4), 0.0
    concurrency.least = processes
    for turn in range(2_000):
        began, now = now, now + 0.05
        concurrency.delivered(
            turn % concurrency.limit + 1, BATCH_BYTES * (turn + 1), began, now, cpu_s=2.5 * now, warm=True
        )
        assert concurrency.limit <= START


def test_it_grows_once_the_processor_is_free() -> None:
    """A long scan keeps the number small; behind it the number doubles as at the beginning."""
    concurrency, now, cpu_s = Concurrency(cores=2), 0.0, 0.0
    while now < 20.0:
        cpu_s += 0.01 * (1.5 if now < 10.0 else 0.1)
        now += 0.01
        if round(now * 100) % 20 == 0:  # a cycle of each worker
            for worker in range(1, concurrency.limit + 1):
                concurrency.delivered(worker, BATCH_BYTES, now - 0.2, now, cpu_s, warm=True)
        assert now > 10.0 or concurrency.limit <= START
    assert concurrency.limit >= 16


def test_a_try_that_does_badly_ends_early() -> None:
    """One worker that does half of what two do is found out in a fraction of a round."""
    concurrency = Concurrency(cores=2)
    now, alone_s = 0.0, 0.0
    for turn in range(4_000):
        limit, began, now = concurrency.limit, now, now + 0.02 / concurrency.limit  # two do twice as much
        alone_s += (now - began) * (limit == 1)
        concurrency.delivered(turn % limit + 1, BATCH_BYTES, now - 0.02, now, cpu_s=1.5 * now, warm=True)
    assert 0.0 < alone_s < 0.05 * now
