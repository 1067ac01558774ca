"""What every part of a run is given: its job, its means, a way to be stopped, and somebody to tell."""

import math
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from vl_ingest import clock
from vl_ingest.domain import words
from vl_ingest.domain.errors import DurationReached
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Job, JobState, Run
from vl_ingest.domain.settings import Settings
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.runs import HEARTBEAT_EVERY_S, Lease
from vl_ingest.observers.observer import Observer, Progress
from vl_ingest.run.asking import Asking
from vl_ingest.run.cancel import CancelToken
from vl_ingest.source import Source

if TYPE_CHECKING:  # whoever only looks at a ledger does without an HTTP library
    from vl_ingest.server.api import Api


@dataclass(frozen=True)
class Context:
    """One run's work on one job."""

    ledger: Ledger
    api: "Api"
    job: Job
    run: Run
    source: Source
    settings: Settings
    cancel_token: CancelToken
    observer: Observer
    lease: Lease
    started_at: float  # on the monotonic clock
    executor: Executor | None = None  # that sends, if the caller has given one

    @cached_property
    def asking(self) -> Asking:
        """What asks the server for what is optional, in the name of this run."""
        from vl_ingest.server.optional import Extras

        return Asking(self.ledger, self.job, Extras.beside(self.api), self.run, self.pause)

    @property
    def dataset_id(self) -> str:
        """The dataset, which the job's state says must exist by now."""
        return _present(self.reload().dataset_id)

    @property
    def transaction_id(self) -> str:
        """The open transaction, which the job's state says must exist by now."""
        return _present(self.reload().transaction_id)

    def reload(self) -> Job:
        """Return the job as the ledger has it now."""
        return self.ledger.jobs.get(self.job.id)

    def step(self, before: JobState, kind: EventKind, facts: Mapping[str, Any], **values: Any) -> None:
        """Move the job on, in the name of this run."""
        self.ledger.jobs.step(self.job.id, self.run, before, kind, facts, **values)

    def note(self, kind: EventKind, **facts: Any) -> None:
        """Record an event of this run that changes no state."""
        self.ledger.jobs.note(self.job.id, self.run, kind, **facts)

    def show(self, progress: Progress) -> None:
        """Tell the observer of a moment of the run, and everybody else what the run waits for."""
        self.lease.wait_for(progress.waiting)
        self.observer.progress(progress)

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """Say what the run waits for in this block."""
        self.observer.notice("waiting", text)
        self.lease.wait_for(text)
        yield
        self.lease.wait_for(None)  # after an error, whoever ends the run takes it back

    def pause(self, seconds: float) -> None:
        """Wait, keeping the lease and to the time the run may take; raises what `check_may_continue` raises."""
        until = clock.monotonic() + seconds
        limit_s = self.settings.max_duration_s
        end = math.inf if limit_s is None else self.started_at + limit_s
        self.check_may_continue()
        while (left_s := until - clock.monotonic()) > 0:
            self.cancel_token.pause(max(0.0, min(left_s, end - clock.monotonic(), HEARTBEAT_EVERY_S)))
            self.check_may_continue()

    def check_may_continue(self) -> None:
        """Go on if the run may: as often as one likes, the lease is renewed when it is time.

        Raises the reason to stop, `JobHeld` if the lease is lost, `DurationReached` when time is up.
        """
        self.cancel_token.raise_if_cancelled()
        self.lease.keep()
        limit_s = self.settings.max_duration_s
        if limit_s is not None and clock.monotonic() - self.started_at >= limit_s:
            raise DurationReached(
                f"--max-duration is used up ({words.duration(limit_s)}). Run the same command again to continue."
            )


def _present(remote_id: str | None) -> str:
    if remote_id is None:
        raise AssertionError("the ledger holds a state without the id that belongs to it")
    return remote_id
