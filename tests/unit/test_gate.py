"""The gate before all workers: when it closes, who passes meanwhile, and when it gives up.

Times only ever bound from below here, or stand still (freezegun, which freezes the monotonic clock too):
a slow machine makes these tests slower, never red.
"""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

import pytest
from freezegun import freeze_time

from vl_ingest.domain.errors import GaveUp, Interrupted
from vl_ingest.run import backoff
from vl_ingest.run.cancel import CancelToken
from vl_ingest.upload.gate import FAILURES_TO_CLOSE, PROBE_EVERY_S, Gate

NOON = "2026-03-01 12:00:00"
PATIENCE_S = 30.0  # for what must happen; reached only when the code is broken
MOMENT_S = 0.3  # for what must not happen; a gate that lets somebody through does so at once
DAY_S = 86_400.0
REAL_BACKOFF = backoff.BACKOFF  # tests/conftest.py shortens it in every test


@pytest.fixture
def cancel_token() -> CancelToken:
    """Return a run that nobody has stopped."""
    return CancelToken()


@pytest.fixture
def gate(cancel_token: CancelToken) -> Gate:
    """Return an open gate that is patient for a day."""
    return Gate(cancel_token, give_up_after_s=DAY_S)


@pytest.fixture
def workers(cancel_token: CancelToken) -> Iterator[ThreadPoolExecutor]:
    """Return threads for workers; whoever still waits at the end is sent home."""
    with ThreadPoolExecutor(8) as pool:
        yield pool
        cancel_token.cancel(Interrupted(15))


@pytest.fixture
def _real_backoff(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait between probes as long as a real run does."""
    monkeypatch.setattr(backoff, "BACKOFF", REAL_BACKOFF)


def close_for_probes(gate: Gate) -> None:
    """Close the gate so that a probe may pass at once."""
    gate.throttled(0.0)


def arrive(gate: Gate, workers: ThreadPoolExecutor, count: int) -> set[Future[bool | None]]:
    """Send so many workers to the gate, all at the same time."""
    together = threading.Barrier(count)

    def enter() -> bool | None:
        together.wait(PATIENCE_S)
        return gate.enter()

    return {workers.submit(enter) for _ in range(count)}


# ---- open


def test_an_open_gate_lets_everybody_through(gate: Gate) -> None:
    """Nobody waits and nobody is a probe while the server works."""
    assert [gate.enter() for _ in range(10)] == [False] * 10
    assert not gate.closed
    assert gate.waiting is None


def test_two_failures_do_not_close_the_gate(gate: Gate) -> None:
    """Single requests fail for reasons of their own."""
    for _ in range(FAILURES_TO_CLOSE - 1):
        gate.failed("HTTP 502", unreachable=False)
    assert not gate.closed
    assert gate.enter() is False


def test_a_success_between_failures_keeps_the_gate_open(gate: Gate) -> None:
    """Only failures in a row count, and an answer begins the count anew."""
    for _ in range(4):
        gate.failed("HTTP 502", unreachable=False)
        gate.failed("HTTP 502", unreachable=False)
        gate.answered()
    assert not gate.closed


# ---- closing


def test_three_failures_in_a_row_close_the_gate(gate: Gate) -> None:
    """After the third, only probes pass, and the reason is told."""
    for _ in range(3):
        gate.failed("HTTP 502", unreachable=False)
    assert gate.closed
    assert "HTTP 502" in (gate.waiting or "")


def test_one_unreachable_server_closes_the_gate(gate: Gate) -> None:
    """When no connection comes about, other workers need not find that out for themselves."""
    gate.failed("connection refused", unreachable=True)
    assert gate.closed
    assert "connection refused" in (gate.waiting or "")


@pytest.mark.parametrize("retry_after_s", [5.0, None])
def test_one_429_closes_the_gate(gate: Gate, retry_after_s: float | None) -> None:
    """The server's wish for a pause is meant for everybody, with a time or without."""
    gate.throttled(retry_after_s)
    assert gate.closed
    assert "the server asks for a pause" in (gate.waiting or "")


def test_nobody_passes_before_retry_after_is_over(gate: Gate) -> None:
    """Not even a probe is sent while the server's pause lasts."""
    begun = time.monotonic()
    gate.throttled(0.25)
    assert gate.enter() is True
    assert time.monotonic() - begun >= 0.25


def test_a_shorter_wait_does_not_cut_a_longer_one(gate: Gate) -> None:
    """Several answers 429 come in; the longest of their pauses counts."""
    begun = time.monotonic()
    gate.throttled(0.4)
    gate.throttled(0.0)
    assert gate.enter() is True
    assert time.monotonic() - begun >= 0.4


def test_retry_after_holds_to_the_second(cancel_token: CancelToken, workers: ThreadPoolExecutor) -> None:
    """A second before the moment that the server named nobody passes; at that moment a probe does."""
    with freeze_time(NOON) as frozen:
        gate = Gate(cancel_token, DAY_S)
        gate.throttled(3600.0)
        frozen.tick(3599)
        (early,) = arrive(gate, workers, 1)
        assert not wait([early], MOMENT_S).done
        frozen.tick(1)
        assert early.result(PATIENCE_S) is True


@pytest.mark.usefixtures("_real_backoff")
def test_a_server_that_is_down_for_long_is_probed_at_least_every_so_often() -> None:
    """However many failures there were, the next probe is never further off than the documented time."""
    with freeze_time(NOON) as frozen:
        gate = Gate(CancelToken(), DAY_S)
        for _ in range(50):
            gate.failed("connection refused", unreachable=True)
            frozen.tick(PROBE_EVERY_S)
            assert gate.enter() is True
            gate.leave(probe=True)


def test_the_wait_is_told_from_when_it_began() -> None:
    """The time named is that of the first failure of the pause, not of the last."""
    with freeze_time(NOON) as frozen:
        gate = Gate(CancelToken(), DAY_S)
        gate.failed("connection refused", unreachable=True)
        frozen.tick(40)
        gate.failed("connection reset", unreachable=True)
        frozen.tick(2)
        assert gate.waiting == "waiting for the server since 12:00:00 UTC (connection reset)"


# ---- probes


def test_only_one_probe_passes_a_closed_gate(gate: Gate, workers: ThreadPoolExecutor) -> None:
    """Of many workers at a closed gate one is let through, and the others wait for what it finds."""
    close_for_probes(gate)
    arrived = arrive(gate, workers, 6)
    passed, waiting = wait(arrived, PATIENCE_S, return_when=FIRST_COMPLETED)
    assert [future.result() for future in passed] == [True]
    assert not wait(waiting, MOMENT_S).done


def test_the_next_probe_passes_when_one_comes_back_without_an_answer(
    gate: Gate, workers: ThreadPoolExecutor
) -> None:
    """A probe that found nothing makes way for exactly one other."""
    close_for_probes(gate)
    waiting = arrive(gate, workers, 4)
    for _ in range(3):
        passed, waiting = wait(waiting, PATIENCE_S, return_when=FIRST_COMPLETED)
        assert [future.result() for future in passed] == [True]
        gate.leave(probe=True)


def test_somebody_else_leaving_makes_no_way_for_a_second_probe(
    gate: Gate, workers: ThreadPoolExecutor
) -> None:
    """A worker that passed while the gate was open gives back no probe's pass."""
    assert gate.enter() is False
    close_for_probes(gate)
    assert gate.enter() is True
    waiting = workers.submit(gate.enter)
    gate.leave(probe=False)
    assert not wait([waiting], MOMENT_S).done


def test_an_answer_opens_the_gate_for_everybody(gate: Gate, workers: ThreadPoolExecutor) -> None:
    """The probe's sensible answer lets all who wait through, none of them as a probe."""
    close_for_probes(gate)
    passed, waiting = wait(arrive(gate, workers, 6), PATIENCE_S, return_when=FIRST_COMPLETED)
    assert [future.result() for future in passed] == [True]
    gate.answered()
    gate.leave(probe=True)
    assert [future.result(PATIENCE_S) for future in waiting] == [False] * 5
    assert not gate.closed
    assert gate.waiting is None


def test_a_failing_probe_leaves_the_gate_closed(gate: Gate) -> None:
    """After a probe that failed nobody but another probe passes."""
    close_for_probes(gate)
    assert gate.enter() is True
    gate.failed("HTTP 503", unreachable=False)
    gate.leave(probe=True)
    assert gate.closed
    assert gate.enter() is True


def test_an_opened_gate_closes_again_after_as_many_failures() -> None:
    """The failures from before the answer are forgotten."""
    with freeze_time(NOON):
        gate = Gate(CancelToken(), DAY_S)
        for _ in range(3):
            gate.failed("HTTP 502", unreachable=False)
        gate.answered()
        for closed in (False, False, True):
            gate.failed("HTTP 502", unreachable=False)
            assert gate.closed is closed


# ---- giving up


@pytest.mark.parametrize(
    "trouble",
    [
        lambda gate: gate.failed("connection refused", unreachable=True),
        lambda gate: gate.throttled(0.0),
        lambda gate: [gate.failed("HTTP 502", unreachable=False) for _ in range(3)],
    ],
    ids=["unreachable", "throttled", "failing"],
)
def test_trouble_without_a_success_is_given_up_after_the_set_time(trouble: Callable[[Gate], object]) -> None:
    """Up to that time probes are sent; after it the run ends, and its message says that nothing is lost."""
    with freeze_time(NOON) as frozen:
        gate = Gate(CancelToken(), give_up_after_s=600)
        trouble(gate)
        frozen.tick(600)
        assert gate.enter() is True
        gate.leave(probe=True)
        frozen.tick(1)
        with pytest.raises(GaveUp, match=r"No success for 601 s \(.+\)\. Nothing is lost"):
            gate.enter()


def test_a_success_begins_the_patience_anew() -> None:
    """Trouble after a success has the whole of the set time again."""
    with freeze_time(NOON) as frozen:
        gate = Gate(CancelToken(), give_up_after_s=600)
        for _ in range(3):
            gate.failed("connection refused", unreachable=True)
            frozen.tick(500)
            assert gate.enter() is True
            gate.answered()
            gate.leave(probe=True)
        gate.failed("connection refused", unreachable=True)
        frozen.tick(601)
        with pytest.raises(GaveUp, match="No success for 601 s"):
            gate.enter()


def test_an_open_gate_never_gives_up() -> None:
    """As long as there is no trouble, nothing is given up, however long ago the last success was."""
    with freeze_time(NOON) as frozen:
        gate = Gate(CancelToken(), give_up_after_s=600)
        frozen.tick(DAY_S)
        assert gate.enter() is False


def test_a_worker_that_waits_gives_up_too(workers: ThreadPoolExecutor, cancel_token: CancelToken) -> None:
    """The time runs out for those who wait behind a probe that never comes back, too."""
    impatient = Gate(cancel_token, give_up_after_s=1.0)
    close_for_probes(impatient)
    assert impatient.enter() is True
    with pytest.raises(GaveUp):
        workers.submit(impatient.enter).result(PATIENCE_S)


# ---- a run that is to stop


@pytest.mark.parametrize("closed", [False, True], ids=["open", "closed"])
def test_a_halted_run_sends_nothing_more(gate: Gate, cancel_token: CancelToken, closed: bool) -> None:
    """Whoever comes to the gate of a halted run gets the reason, whether the gate is open or not."""
    if closed:
        close_for_probes(gate)
    reason = Interrupted(2)
    cancel_token.cancel(reason)
    cancel_token.cancel(Interrupted(15))  # the first reason stands
    with pytest.raises(Interrupted) as caught:
        gate.enter()
    assert caught.value is reason


def test_halting_a_run_ends_a_long_wait(
    gate: Gate, cancel_token: CancelToken, workers: ThreadPoolExecutor
) -> None:
    """A worker that waits out the server's pause of an hour is told to stop within seconds."""
    gate.throttled(3600.0)
    waiting = arrive(gate, workers, 3)
    assert not wait(waiting, MOMENT_S).done
    cancel_token.cancel(Interrupted(15))
    for future in waiting:
        with pytest.raises(Interrupted):
            future.result(PATIENCE_S)


def test_a_first_failure_after_a_long_quiet_is_not_given_up() -> None:
    """The give-up counts from where the trouble began: one long upload is no outage."""
    with freeze_time(NOON) as frozen:
        gate = Gate(CancelToken(), 600.0)
        frozen.tick(601)
        gate.failed("connection reset", unreachable=True)
        frozen.tick(31)
        assert gate.enter() is True


def test_a_long_pause_is_over_once_the_server_has_answered() -> None:
    """What a 429 asked for does not outlive the next answer."""
    with freeze_time(NOON) as frozen:
        gate = Gate(CancelToken(), DAY_S)
        gate.throttled(3600.0)
        gate.answered()
        gate.failed("connection refused", unreachable=True)
        frozen.tick(31)
        assert gate.enter() is True
