"""How many processes send: a decision on measurements.

None at first. Two come when this process's own processor time is the limit, and one more as long as that pays; none for
a job that would be over before they are up.
"""

from dataclasses import dataclass

FIRST = 2  # that come together: to see what one does takes longer than it takes to start the other
LOOK_S = 0.05  # between two measurements, at least
SETTLED_S = 0.25  # that one lasts which decides whether another process pays
BUSY = 0.6  # of a core: one interpreter does hardly more beside its waiting, less on a machine that is shared
WORTH_S = 1.5  # a job that has less than this before it is over soon
PAYS = 1.03  # times the throughput before


@dataclass
class _Look:
    at: float
    cpu_s: float
    done_bytes: int


class Staffing:
    """Chooses the number of processes, up to `most`, from what the run does."""

    def __init__(self, most: int) -> None:
        self.size = 0
        self._most = most
        self._since: _Look | None = None
        self._rate_before = 0.0  # bytes a second with fewer processes
        self._is_settled = most < 1

    def observe(
        self, now: float, cpu_s: float, done_bytes: int, left_bytes: int | None, *, ready: int
    ) -> int:
        """Return how many processes there should be.

        `cpu_s` is this process's own processor time, `done_bytes` what the run has delivered, `left_bytes` what is
        known to be left (None: nobody knows, as the scan goes on), `ready` how many processes are up.
        """
        since = self._since
        if self._is_settled:
            return self.size
        if since is None or ready != self.size:  # what is measured begins when all are up
            self._since = _Look(now, cpu_s, done_bytes)
            return self.size
        took_s = now - since.at
        if took_s < (SETTLED_S if self.size else LOOK_S):
            return self.size
        rate = (done_bytes - since.done_bytes) / took_s
        busy = (cpu_s - since.cpu_s) / took_s
        self._since = _Look(now, cpu_s, done_bytes)
        if not rate or (left_bytes is not None and left_bytes < rate * WORTH_S):
            return self.size
        if self.size and rate < PAYS * self._rate_before:
            self.size -= 1 if self.size > 1 else 0
            self._is_settled = True
        elif self.size or busy >= BUSY:
            self._rate_before = rate
            self._is_settled = self.size >= self._most
            self.size = min(self._most, self.size + 1 if self.size else FIRST)
        return self.size
