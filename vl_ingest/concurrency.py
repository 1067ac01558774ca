"""How many requests go at once: a fixed number, or one that finds itself by measurement.

What is measured is the cycle of a worker: from one receipt to the next, everything included. The throughput is the
sum of what each worker does in its own cycles, however they fall into step with each other, and from when the last of
them is warm: before that the others have the link for themselves. The number doubles from `START` while that pays; then it tries a quarter more or
less now and then, keeps what pays, and waits longer after each try in vain, until the throughput changes. It does
not grow while this process, the scan included, keeps half of the processor busy: the other half is for what it causes.
Signs of overload halve it.
"""

import os
import threading
from dataclasses import dataclass

START, MOST = 2, 32

FIRST_ROUND_S, ROUND_S = (
    0.25,
    1.0,
)  # one throughput is measured for so long at least, and a cycle of each worker
DOUBLING_PAYS = 1.15  # times the throughput before
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


class Concurrency:
    """The number of workers that may send, for all of them. `fixed` None: it finds itself."""

    def __init__(self, fixed: int | None = None, cores: int | None = None) -> None:
        self.limit = START if fixed is None else fixed
        self._adapts = fixed is None
        self._cores = cores or os.cpu_count() or 1
        self._lock = threading.Lock()
        self._best = Level(0, 0.0)  # what the number goes back to when a try was in vain
        self._doubling = True
        self._direction = -1  # down first: doubling ends one step too high, if anything
        self._rest = self._resting = 0
        self._warm: set[int] = set()  # workers that have ever reported
        self._since: float | None  # cycles count that begin from then on
        self._cpu_since: tuple[float, float] | None  # a moment, and the processor time used until then
        self._cycles: dict[int, tuple[int, float]]  # worker -> bytes and seconds of its cycles in this round
        self._begin(None)

    def delivered(self, worker: int, size_bytes: int, began: float, now: float, cpu_s: float) -> None:
        """Note a cycle of worker number `worker` (from 1), in seconds on one clock; not its first, which connects.

        `cpu_s` is the processor time that the whole process has used until `now`.
        """
        with self._lock:
            if not self._adapts or worker > self.limit:
                return
            if worker not in self._warm:
                self._warm.add(worker)
                self._begin(began)
            if self._cpu_since is None:
                self._cpu_since = (now, cpu_s)
            if self._since is None or began < self._since:
                return
            done_bytes, busy_s = self._cycles.get(worker, (0, 0.0))
            self._cycles[worker] = (done_bytes + size_bytes, busy_s + now - began)
            if len(self._cycles) < self.limit or now - self._since < FIRST_ROUND_S:
                return
            rate = sum(done_bytes / busy_s for done_bytes, busy_s in self._cycles.values())
            measured = Level(self.limit, rate, self._cores_busy(now, cpu_s))
            if self._doubling or now - self._since >= ROUND_S or self._fails(measured):
                self._decide(measured)
                self._begin(now, (now, cpu_s))

    def overloaded(self, began: float, now: float) -> None:
        """Note that a request begun at `began` met signs of overload: halve, once for all of a time."""
        with self._lock:
            if self._adapts and (self._since is None or began >= self._since):
                self.limit = max(1, self.limit // 2)
                self._best = Level(0, 0.0)
                self._doubling = False
                self._rest = self._resting = 0
                self._direction = +1
                self._begin(now)

    def _begin(self, now: float | None, cpu_since: tuple[float, float] | None = None) -> None:
        """Begin to measure, with the cycles that begin from now on; a worker that comes back is a new one."""
        self._warm = {worker for worker in self._warm if worker <= self.limit}
        self._since, self._cpu_since, self._cycles = now, cpu_since, {}

    def _cores_busy(self, now: float, cpu_s: float) -> float:
        since, cpu_before_s = self._cpu_since or (now, cpu_s)
        return (cpu_s - cpu_before_s) / (now - since) if now > since else 0.0

    def _fails(self, measured: Level) -> bool:
        """Say whether a try need not go on to its end."""
        return measured.workers != self._best.workers and measured.rate < CLEARLY_WORSE * self._best.rate

    def _decide(self, measured: Level) -> None:
        """Choose the next number after a round."""
        best = self._best
        if self._doubling:
            if measured.rate >= best.rate:
                self._best = measured
            self._doubling = self._may_grow() and measured.rate >= DOUBLING_PAYS * best.rate
            self.limit = min(MOST, 2 * measured.workers) if self._doubling else self._best.workers
            self._resting = FIRST_REST
        elif best.workers in (0, measured.workers):
            self._best = measured
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
        return self._best.workers < MOST and self._best.cores < self._cores / 2

    def _next(self) -> int:
        """Return the number to try: a quarter up or down, turning round where there is no way on."""
        if self._direction > 0 and not self._may_grow():
            self._direction = -1
        elif self._best.workers == 1:
            self._direction = +1
        step = max(1, self._best.workers // 4) * self._direction
        return max(1, min(MOST, self._best.workers + step))
