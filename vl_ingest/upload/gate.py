"""One gate before all workers: while the server can't be worked with, nobody wastes an attempt.

It closes for everyone on a 429, when the server can't be reached, or after a run of failures with no success
between. From then on one worker at a time may pass as a probe; a sensible answer opens it again.
"""

import math
import threading

from vl_ingest import clock
from vl_ingest.domain.errors import GaveUp
from vl_ingest.run.backoff import backoff_s
from vl_ingest.run.cancel import CancelToken
from vl_ingest.run.retry import waiting_since

FAILURES_TO_CLOSE = 3
PROBE_EVERY_S = 15.0  # at most


class Gate:
    """Shared by all workers of a run. `give_up_after_s` counts from the first failure after a success."""

    def __init__(self, cancel_token: CancelToken, give_up_after_s: float) -> None:
        self._cancel_token = cancel_token
        self._give_up_after_s = give_up_after_s
        self._changed = threading.Condition()
        self._failures = 0  # in a row, with no success between
        self._closed_since: float | None = None
        self._closed_at = clock.now()
        self._next_probe = 0.0
        self._probing = False
        self._last_success = clock.monotonic()
        self._why = ""

    def enter(self, patience_s: float = math.inf) -> bool | None:
        """Wait until something may be sent, and return whether it passes as the probe; that must `leave` after.

        None: nothing may be sent, for longer than `patience_s`.

        Raises `GaveUp` when there was no success for too long, and the reason of a halted run.
        """
        with self._changed:
            until = clock.monotonic() + patience_s
            while True:
                self._cancel_token.raise_if_cancelled()
                now = clock.monotonic()
                if self._closed_since is None:
                    return False
                bad_s = now - max(self._last_success, self._closed_since)
                if bad_s > self._give_up_after_s:
                    raise GaveUp(
                        f"No success for {bad_s:.0f} s ({self._why}). Nothing is lost: run "
                        "the same command again when the server works again."
                    )
                if not self._probing and now >= self._next_probe:
                    self._probing = True
                    return True
                if now >= until:
                    return None
                self._changed.wait(1.0 if self._probing else min(1.0, self._next_probe - now))

    def leave(self, *, probe: bool) -> None:
        """Give the pass back."""
        with self._changed:
            if probe:
                self._probing = False
            self._changed.notify_all()

    def answered(self) -> None:
        """Note a sensible answer: the server works."""
        with self._changed:
            self._failures = 0
            self._closed_since = None
            self._next_probe = 0.0
            self._last_success = clock.monotonic()
            self._changed.notify_all()

    def failed(self, why: str, *, unreachable: bool) -> None:
        """Note a failure; one is enough to close where the server can't be reached."""
        with self._changed:
            self._failures += 1
            if self.closed or unreachable or self._failures >= FAILURES_TO_CLOSE:
                self._close(why, min(PROBE_EVERY_S, backoff_s(self._failures)))
            self._changed.notify_all()

    def throttled(self, retry_after_s: float | None) -> None:
        """Note a 429: everybody waits as long as the server asks, or as after a failure."""
        with self._changed:
            self._failures += 1
            wait_s = backoff_s(self._failures) if retry_after_s is None else retry_after_s
            self._close("the server asks for a pause", wait_s)
            self._changed.notify_all()

    @property
    def closed_for_s(self) -> float:
        """How long it takes until a probe may pass, as far as is known now."""
        with self._changed:
            if self._closed_since is None:
                return 0.0
            return PROBE_EVERY_S if self._probing else max(0.0, self._next_probe - clock.monotonic())

    @property
    def closed(self) -> bool:
        """Whether only probes pass."""
        return self._closed_since is not None

    @property
    def waiting(self) -> str | None:
        """What everybody waits for, in words; None while the gate is open."""
        with self._changed:
            return None if self._closed_since is None else waiting_since(self._closed_at, self._why)

    def _close(self, why: str, wait_s: float) -> None:
        now = clock.monotonic()
        self._why = why
        if self._closed_since is None:
            self._closed_since, self._closed_at = now, clock.now()
        self._next_probe = max(self._next_probe, now + wait_s)
