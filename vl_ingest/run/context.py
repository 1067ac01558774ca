"""What every part of a run is given: its job, its means, a way to be stopped, and somebody to tell."""

import math
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vl_ingest import clock
from vl_ingest.domain import words
from vl_ingest.domain.errors import DurationReached
from vl_ingest.domain.model import Job, JobState, Run
from vl_ingest.domain.settings import Settings
from vl_ingest.ledger import Ledger
from vl_ingest.observers.observer import Observer

if TYPE_CHECKING:  # whoever only looks at a ledger does without an HTTP library
    from vl_ingest.server.api import Api

HEARTBEAT_EVERY_S = 20.0


class Control:
    """Asks every thread of a run to stop, once and for a reason."""

    def __init__(self) -> None:
        self._halted = threading.Event()
        self._lock = threading.Lock()
        self.reason: BaseException | None = None
        self._halted_at: float | None = None  # on the monotonic clock

    def halt(self, reason: BaseException) -> None:
        """Stop the run; the first reason stands."""
        with self._lock:
            if self.reason is None:
                self.reason, self._halted_at = reason, clock.monotonic()
        self._halted.set()

    @property
    def halted(self) -> bool:
        """Whether the run is to stop."""
        return self._halted.is_set()

    def check(self) -> None:
        """Raise the reason to stop, if there is one."""
        if self.halted and self.reason is not None:
            raise self.reason

    def grace_s(self, seconds: float) -> float:
        """Return what is left of `seconds` since the run was asked to stop; all of it, if it was not."""
        if self._halted_at is None:
            return seconds
        return max(0.0, self._halted_at + seconds - clock.monotonic())

    def pause(self, seconds: float) -> None:
        """Wait, and raise the reason to stop as soon as there is one."""
        self._halted.wait(seconds)
        self.check()


class Lease:
    """A run's right to work on its job, which others see expire unless it is renewed."""

    def __init__(self, ledger: Ledger, run: Run) -> None:
        self._ledger = ledger
        self._run = run
        self._next = clock.monotonic() + HEARTBEAT_EVERY_S

    def keep(self) -> None:
        """Renew it, if it is time. Raises `JobHeld` if it is lost."""
        if clock.monotonic() >= self._next:
            self._ledger.runs.beat(self._run)
            self._next = clock.monotonic() + HEARTBEAT_EVERY_S


@dataclass(frozen=True)
class Context:
    """One run's work on one job. `source` is the folder's real path."""

    ledger: Ledger
    api: "Api"
    job: Job
    run: Run
    settings: Settings
    control: Control
    observer: Observer
    lease: Lease
    started_at: float  # on the monotonic clock

    @property
    def source(self) -> str:
        """The folder, as a real path."""
        return self.job.source

    def reload(self) -> Job:
        """Return the job as the ledger has it now."""
        return self.ledger.jobs.get(self.job.id)

    def step(
        self,
        before: JobState,
        after: JobState,
        kind: str,
        *,
        facts: Mapping[str, Any] | None = None,
        **values: Any,
    ) -> None:
        """Move the job on, in the name of this run."""
        self.ledger.jobs.step(self.job.id, self.run, before, after, kind, facts=facts, **values)

    def note(self, kind: str, **facts: Any) -> None:
        """Record an event of this run that changes no state."""
        self.ledger.jobs.note(self.job.id, self.run, kind, **facts)

    def pause(self, seconds: float) -> None:
        """Wait, keeping the lease and to the time the run may take; raises what `alive` raises."""
        until = clock.monotonic() + seconds
        limit_s = self.settings.max_duration_s
        end = math.inf if limit_s is None else self.started_at + limit_s
        self.alive()
        while (left_s := until - clock.monotonic()) > 0:
            self.control.pause(max(0.0, min(left_s, end - clock.monotonic(), HEARTBEAT_EVERY_S)))
            self.alive()

    def alive(self) -> None:
        """Go on if the run may: as often as one likes, the lease is renewed when it is time.

        Raises the reason to stop, `JobHeld` if the lease is lost, `DurationReached` when time is up.
        """
        self.control.check()
        self.lease.keep()
        limit_s = self.settings.max_duration_s
        if limit_s is not None and clock.monotonic() - self.started_at >= limit_s:
            raise DurationReached(
                f"--max-duration is used up ({words.duration(limit_s)}). The same command goes on where this run stopped."
            )
