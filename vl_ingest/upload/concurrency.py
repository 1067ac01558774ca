"""How many requests go at once: a fixed number, or one that finds itself by measurement.

What is measured is the cycle of a worker: from one receipt to the next, everything included. The throughput is the
sum of what each worker does in its own cycles, however they fall into step with each other. A worker's first cycle is
cold: it pays for the connection.

The number doubles from `START`, or `START_AWAY` for each other host, while that pays; cold cycles count, as there is no
time to lose. Then cycles count only from when all workers are warm, and it tries a quarter more or less now and then,
keeps what pays, and waits longer after each try in vain, until the throughput changes. It does not grow while this
process, the scan included, keeps half of the processor busy: the other half is for what it causes. Signs of overload
halve it.
"""

import os
import threading
from dataclasses import dataclass, field

START, MOST = 2, 32
START_AWAY = 4  # at another host: each request there is followed by a moment without the next one

# A throughput is measured for so long at least, and a cycle of each worker.
FIRST_ROUND_S, ROUND_S = 0.25, 1.0
DOUBLING_PAYS = 1.15  # times the throughput before
PAID_IN_FULL = 0.9  # of what each worker did before
GROWING_PAYS = 1.05
SHRINKING_COSTS = 0.99  # fewer workers are kept where they do as much
CLEARLY_WORSE = 0.85  # a try that does so badly ends early
FIRST_REST = 3  # rounds between doubling and the first try, or after the first one in vain
LONGEST_REST = 60  # rounds between two tries
CHANGED = 0.7  # the throughput of the same number is another by this factor: what was learnt no longer holds


@dataclass(frozen=True)
class Level:
    """A number of workers, and what was measured with it: bytes a second, and cores that were kept busy."""

    workers: int
    rate: float
    cores: float = 0.0


@dataclass
class _Round:
    """What one number of workers does, from the cycles that begin at `since` or later."""

    since: float
    cpu_since: tuple[float, float] | None = None  # a moment, and the processor time used until then
    cycles: dict[int, tuple[int, float]] = field(default_factory=dict)  # worker -> bytes, seconds

    def add(self, worker: int, size_bytes: int, seconds: float) -> None:
        done_bytes, busy_s = self.cycles.get(worker, (0, 0.0))
        self.cycles[worker] = (done_bytes + size_bytes, busy_s + seconds)

    def level(self, now: float, cpu_s: float) -> Level:
        rate = sum(done_bytes / max(busy_s, 1e-6) for done_bytes, busy_s in self.cycles.values())
        since, cpu_before_s = self.cpu_since or (now, cpu_s)
        return Level(len(self.cycles), rate, (cpu_s - cpu_before_s) / max(now - since, 1e-6))


class Concurrency:
    """The number of workers that may send, for all of them. `fixed` None: it finds itself.

    Attributes:
        limit: that number.
        least: no fewer are tried; a sign of overload may ask for fewer. One for each process that sends.

    """

    def __init__(self, fixed: int | None = None, cores: int | None = None) -> None:
        self.limit = START if fixed is None else fixed
        self.least = 1
        self._adapts = fixed is None
        self._hosts, self._most = 0, MOST  # other hosts
        self._cores = cores or os.cpu_count() or 1
        self._lock = threading.Lock()
        self._best = Level(0, 0.0)  # what the number goes back to when a try was in vain
        self._doubling = True
        self._direction = -1  # down first: doubling ends one step too high, if anything
        self._rest = self._resting = 0
        self._warm: set[int] = set()  # workers that have reported since they began
        self._round: _Round | None = None  # None: it begins with the first cycle of all

    def delivered(
        self, worker: int, size_bytes: int, began: float, now: float, cpu_s: float, *, warm: bool
    ) -> None:
        """Note a cycle of worker number `worker` (from 1), in seconds on one clock; `warm`: it is not its first.

        `cpu_s` is the processor time that the whole process has used until `now`.
        """
        with self._lock:
            if not self._adapts or worker > self.limit or not (warm or self._doubling):
                return
            if self._round is None or (warm and worker not in self._warm and not self._doubling):
                self._round = _Round(began)
            if warm:
                self._warm.add(worker)
            if self._round.cpu_since is None:
                self._round.cpu_since = (now, cpu_s)
            if began < self._round.since:
                return
            self._round.add(worker, size_bytes, now - began)
            took_s = now - self._round.since
            if len(self._round.cycles) < self.limit or took_s < FIRST_ROUND_S:
                return
            measured = self._round.level(now, cpu_s)
            if self._doubling or took_s >= ROUND_S or self._fails(measured):
                self._decide(measured)
                self._begin(now)

    def spread(self, hosts: int, most: int) -> None:
        """Note that so many other hosts send, and at most `most` requests at once: each that is new begins with `START_AWAY`."""
        with self._lock:
            if not self._adapts or hosts <= self._hosts:
                return
            begun = self.limit if self._hosts else 0
            self.limit = max(1, min(most, begun + START_AWAY * (hosts - self._hosts)))
            self._hosts, self._most = hosts, most
            self._best, self._doubling, self._round = Level(0, 0.0), True, None

    def overloaded(self, began: float, now: float) -> None:
        """Note that a request begun at `began` met signs of overload: halve, once for all of a time."""
        with self._lock:
            if self._adapts and (self._round is None or began >= self._round.since):
                self.limit = max(1, self.limit // 2)
                self._best = Level(0, 0.0)
                self._doubling = False
                self._rest = self._resting = 0
                self._direction = +1
                self._begin(now)

    def _begin(self, now: float) -> None:
        """Begin to measure; a worker that comes back later is a new one."""
        self._warm = {worker for worker in self._warm if worker <= self.limit}
        self._round = _Round(now)

    def _fails(self, measured: Level) -> bool:
        """Return whether a try need not go on to its end."""
        return measured.workers != self._best.workers and measured.rate < CLEARLY_WORSE * self._best.rate

    def _decide(self, measured: Level) -> None:
        """Choose the next number after a round."""
        best = self._best
        if self._doubling:
            if measured.rate >= best.rate:
                self._best = measured
            self._doubling = self._may_grow() and measured.rate >= DOUBLING_PAYS * best.rate
            self.limit = min(self._most, _more(best, measured)) if self._doubling else self._best.workers
            self._resting = FIRST_REST
        elif best.workers in (0, measured.workers):
            was_held = self._busy(best) and measured.workers <= START
            self._best = measured
            if was_held and not self._busy(measured):  # the scan is over, say
                self._doubling, self.limit = True, 2 * measured.workers
                return
            if not CHANGED * best.rate <= measured.rate <= best.rate / CHANGED:
                self._rest = self._resting = 0
            self._resting -= 1
            if self._resting < 0:
                self.limit = self._next()
        elif measured.rate >= best.rate * (
            GROWING_PAYS if measured.workers > best.workers else SHRINKING_COSTS
        ):
            self._best = measured
            self._rest = 0
            self.limit = self._next()
        else:
            self.limit = best.workers
            self._direction = -self._direction
            self._rest = self._resting = min(LONGEST_REST, 4 * self._rest + FIRST_REST)

    def _may_grow(self) -> bool:
        return self._best.workers < self._most and not self._busy(self._best)

    def _busy(self, level: Level) -> bool:
        return level.cores >= self._cores / 2

    def _next(self) -> int:
        """Return the number to try: a quarter up or down, turning round where there is no way on."""
        if self._best.workers <= self.least:
            self._direction = +1
        if self._direction > 0 and not self._may_grow():
            self._direction = -1
        step = max(1, self._best.workers // 4) * self._direction
        return max(min(self.least, self._best.workers), min(self._most, self._best.workers + step))


def _more(before: Level, now: Level) -> int:
    """Return the next number while doubling: four times as many where the last step has paid in full."""
    in_full = before.workers and now.rate * before.workers >= PAID_IN_FULL * before.rate * now.workers
    return now.workers * (4 if in_full else 2)
