"""Asking the server what is optional: where it can't be had, that is noted once, and nobody waits for it."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from vl_ingest import clock
from vl_ingest.domain.errors import (
    Answered,
    Conflict,
    CredentialsRefused,
    GaveUp,
    Refused,
    RequestError,
    Throttled,
)
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Job, Run
from vl_ingest.ledger import Ledger
from vl_ingest.run.backoff import backoff_s

if TYPE_CHECKING:  # whoever only looks at a ledger does without an HTTP library
    from vl_ingest.server.optional import Extras

TRIES = 3  # of a reading that is answered with an error of the server's
QUICK_S = 15.0  # for an answer that a run does without
LONGEST_PAUSE_S = 5.0  # between two of them, whatever the server asks for

T = TypeVar("T")


def sleep(seconds: float) -> None:
    """Wait, where there is no run that could be stopped."""
    threading.Event().wait(seconds)


@dataclass
class Asking:
    """Asks on behalf of a job, or of one of its runs; `pause` waits between two tries.

    A reading gives None where it can't be had, and `missing` says why: what was asked for -> why not.
    """

    ledger: Ledger
    job: Job
    extras: "Extras"
    run: Run | None = None
    pause: Callable[[float], None] = sleep
    missing: dict[str, str] = field(default_factory=dict)

    @cached_property
    def quick(self) -> "Extras":
        """What asks for what nobody may wait for long."""
        return type(self.extras).beside(self.extras, QUICK_S)

    def read(self, what: str, request: Callable[[], T], *, patience_s: float = 0.0) -> T | None:
        """Make a request that changes nothing, and repeat it through small trouble.

        `what` names the endpoint to people ("the list of tasks"). Without an answer it is repeated for `patience_s`
        seconds, and then raises `GaveUp`; without patience it gives None. Raises `Conflict`.
        """
        if what in self.missing:
            return None
        began_at, answered, failures, renewed = clock.monotonic(), 0, 0, False
        while True:
            try:
                return request()
            except Conflict:
                raise
            except CredentialsRefused as exc:
                if renewed or not self._renews(exc):
                    self.not_available(what, exc)
                    return None
                renewed = True
            except (Answered, Refused) as exc:  # the latter: a certificate, or no token to be had
                self.not_available(what, exc)
                return None
            except RequestError as exc:
                failures += 1
                answered += exc.http_status is not None
                if answered >= TRIES:
                    self.not_available(what, exc)
                    return None
                if exc.http_status is None and clock.monotonic() - began_at >= patience_s:
                    if not patience_s:
                        if clock.monotonic() - began_at >= QUICK_S:  # silence: nobody waits for it again
                            self.not_available(what, exc)
                        return None
                    raise GaveUp(
                        f"Could not read {what}: {exc}. Try again when the server can be reached."
                    ) from exc
                wait_s = exc.retry_after_s if isinstance(exc, Throttled) else None
                self.pause(min(LONGEST_PAUSE_S, backoff_s(failures) if wait_s is None else wait_s))

    def not_available(self, what: str, error: RequestError | Refused) -> None:
        """Note that something can't be had: once in the record of the job."""
        self.missing[what] = str(error)
        self.note_once(what, str(error))

    def note_once(self, what: str, detail: str) -> None:
        """Put on record that something can't be had, unless that is there already."""
        history = self.ledger.events.history(self.job.id, EventKind.ENDPOINT_NOT_AVAILABLE)
        if all(event.facts.get("endpoint") != what for event in history):
            self.note(EventKind.ENDPOINT_NOT_AVAILABLE, endpoint=what, detail=detail)

    def note(self, kind: EventKind, **facts: object) -> None:
        """Record an event that changes no state."""
        self.ledger.jobs.note(self.job.id, self.run, kind, **facts)

    def _renews(self, error: CredentialsRefused) -> bool:
        try:
            self.extras.tokens.renew(error)
        except Refused:
            return False
        return True
