"""How fast the bytes may go: one allowance for all workers together, perhaps another one at another hour."""

import re
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime

from vl_ingest import clock
from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.forms import parse_size

LEAST_BYTES_PER_S = 1024
PIECE_S, SAVED_S = 0.1, 0.25  # sent in one go; what may be saved up while nothing is sent
LOOK_S = 0.1  # how soon a waiting worker sees that it is to stop, or that another hour has begun

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES = 24 * 60
_ENTRY = re.compile(r"(?:([a-z]{3})-)?(\d{1,2}):(\d{2}),(\S+)", re.IGNORECASE)


class Timetable:
    """What `--bwlimit` says: a rate (`8M`), or the times of day or week from which rates hold.

    A table is entries between spaces, as `08:00,1M 19:00,off` or `Mon-08:00,1M Fri-19:00,off`, in local time; each
    holds until the next. Raises `UsageError` for anything else.
    """

    def __init__(self, text: str | None) -> None:
        self._entries: list[tuple[int, float | None]] = []  # (minute of the week, bytes a second), in order
        self._always: float | None = None
        if text is None:
            return
        if "," not in text:
            self._always = parse_rate(text)
            return
        for word in text.split():
            match = _ENTRY.fullmatch(word)
            day = (match[1] or "").lower() if match else ""
            if match is None or int(match[2]) > 23 or int(match[3]) > 59 or (day and day not in DAYS):
                raise UsageError(
                    f'{word!r} is no entry of a timetable. Write for example "08:00,1M 19:00,off".'
                )
            minute, rate = int(match[2]) * 60 + int(match[3]), parse_rate(match[4])
            days = [DAYS.index(day)] if day else range(7)
            self._entries += [(number * _DAY_MINUTES + minute, rate) for number in days]
        self._entries.sort()

    @property
    def unlimited(self) -> bool:
        """Whether there is never a limit."""
        return not self._entries and self._always is None

    def rate(self, at: datetime) -> float | None:
        """Return the bytes a second that may go at a local time; None: as many as can."""
        if not self._entries:
            return self._always
        minute = at.weekday() * _DAY_MINUTES + at.hour * 60 + at.minute
        begun = [rate for begin, rate in self._entries if begin <= minute]
        return begun[-1] if begun else self._entries[-1][1]  # the last of the week before


class Pace:
    """Lets bytes go as fast as the timetable allows, for any number of threads together: first come, first served."""

    def __init__(self, timetable: Timetable) -> None:
        self._timetable = timetable
        self._changed = threading.Condition()
        self._queue: deque[object] = deque()  # a ticket for each thread that waits, so that none is starved
        self._rate = timetable.rate(clock.local())
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
            self._rate, self._looked_at = self._timetable.rate(clock.local()), now
        rate = self._rate
        if rate is None:
            self._saved, self._filled_at = 0.0, now
            return 0.0
        self._saved = min(rate * SAVED_S, self._saved + rate * (now - self._filled_at))
        self._filled_at = now
        # A piece of a faster hour waits no longer than can be saved.
        needed = min(float(count), rate * SAVED_S)
        if self._saved < needed:
            return (needed - self._saved) / rate
        self._saved = max(0.0, self._saved - count)
        return 0.0


def parse_rate(text: str) -> float | None:
    """Return the bytes a second that `8M`, `1.5MiB/s` or `500kB` mean; None for `off` or `0`.

    Raises `UsageError` for anything else, and for rates that can only be a slip.
    """
    plain = text.strip().lower().removesuffix("/s")
    if plain in ("off", "0"):
        return None
    try:
        rate = parse_size(plain)
    except UsageError as exc:
        raise UsageError(
            f"{text!r} is not a rate. Write for example 8M (MiB a second), 500K, or off."
        ) from exc
    if rate < LEAST_BYTES_PER_S:
        raise UsageError(
            f"{text!r} would be {rate} bytes a second. For KiB write {plain}K, for MiB {plain}M."
        )
    return float(rate)


def parse_bwlimit(text: str) -> str:
    """Return the text of a rate or timetable, if it is one. Raises `UsageError`."""
    Timetable(text)
    return text
