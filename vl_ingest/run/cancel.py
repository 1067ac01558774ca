"""How a run is asked to stop: by one token, which every thread of it looks at."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from vl_ingest import clock


class CancelToken:
    """Asks every thread of a run to stop, once and for a reason."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._lock = threading.Lock()
        self.reason: BaseException | None = None
        self._cancelled_at: float | None = None  # on the monotonic clock
        self.requests = 0  # on their way: a run that is asked to stop waits a while for their answers

    def cancel(self, reason: BaseException) -> None:
        """Stop the run; the first reason stands."""
        with self._lock:
            if self.reason is None:
                self.reason, self._cancelled_at = reason, clock.monotonic()
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether the run is to stop."""
        return self._cancelled.is_set()

    def raise_if_cancelled(self) -> None:
        """Raise the reason to stop, if there is one."""
        if self.cancelled and self.reason is not None:
            raise self.reason

    def grace_s(self, seconds: float) -> float:
        """Return what is left of `seconds` since the run was asked to stop; all of it, if it was not."""
        if self._cancelled_at is None:
            return seconds
        return max(0.0, self._cancelled_at + seconds - clock.monotonic())

    @contextmanager
    def on_its_way(self) -> Iterator[None]:
        """Count the request that the block makes among `requests`."""
        self.add_requests(1)
        try:
            yield
        finally:
            self.add_requests(-1)

    def add_requests(self, count: int) -> None:
        """Note that so many more requests are on their way, or less."""
        with self._lock:
            self.requests += count

    def pause(self, seconds: float) -> None:
        """Wait, and raise the reason to stop as soon as there is one."""
        self._cancelled.wait(seconds)
        self.raise_if_cancelled()
