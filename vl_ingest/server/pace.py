"""The allowance of bytes: for all threads of a process together, in the order in which they ask.

Apart from the timetable that says how fast: couriers in processes of their own import as little as they can.
"""

import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from vl_ingest import clock

PIECE_S, SAVED_S = 0.1, 0.25  # sent in one go; what may be saved up while nothing is sent
LOOK_S = 0.1  # how soon a waiting worker sees that it is to stop, or that another rate holds


class Rates(Protocol):
    """What says how fast bytes may go."""

    def rate(self, at: datetime) -> float | None:
        """Return the bytes a second that may go at a local time; None: as many as can."""
        ...


class Pace:
    """Lets bytes go as fast as `rates` allow, for any number of threads together: first come, first served."""

    def __init__(self, rates: Rates) -> None:
        self._rates = rates
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()  # a ticket for each thread that waits, so that none is starved
        self._rate = rates.rate(clock.local())
        self._looked_at = self._filled_at = clock.monotonic()
        self._saved = 0.0  # bytes that may go at once

    def piece(self, wanted: int) -> int:
        """Return how many of the `wanted` bytes to send in one go."""
        rate = self._rate
        return wanted if rate is None else max(1, min(wanted, int(rate * PIECE_S)))

    def spend(self, count: int, stopped: Callable[[], bool]) -> None:
        """Wait until `count` bytes may go, or until `stopped`."""
        ticket = object()
        with self._changed:
            self._queue.append(ticket)
            while not stopped():
                wait_s = LOOK_S
                if self._queue[0] is ticket:
                    wait_s = min(wait_s, self._wait_s(count, clock.monotonic()))
                    if wait_s <= 0.0:
                        break
                self._changed.wait(wait_s)
            self._queue.remove(ticket)
            self._changed.notify_all()

    def _wait_s(self, count: int, now: float) -> float:
        """Take `count` bytes from what is saved; return how long to wait where that is not enough."""
        if now - self._looked_at >= LOOK_S:
            self._rate, self._looked_at = self._rates.rate(clock.local()), now
        rate = self._rate
        if rate is None:
            self._saved, self._filled_at = 0.0, now
            return 0.0
        self._saved = min(rate * SAVED_S, self._saved + rate * (now - self._filled_at))
        self._filled_at = now
        needed = min(
            float(count), rate * SAVED_S
        )  # a piece of a faster hour waits no longer than can be saved
        if self._saved < needed:
            return (needed - self._saved) / rate
        self._saved = max(0.0, self._saved - count)
        return 0.0
