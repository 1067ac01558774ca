"""Who is told what happens in a run: the display, the log, a program that calls the library."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from vl_ingest.domain.errors import VlIngestError
from vl_ingest.domain.model import Batch, Counts, FileState, Job, JobState, Run

if TYPE_CHECKING:  # it needs the ledger, and an observer does not
    from vl_ingest.ledger.summary import Summary


@dataclass(frozen=True)
class Progress:
    """A moment of a run, for display."""

    state: JobState  # the job's, from the ledger
    counts: Counts  # files and bytes by state, from the ledger
    bytes_moving: int = 0  # bytes of files that open requests have handed to the network
    attempts_failed: int = 0  # uploads of this run that failed; a refusal, which splits a batch, is an answer
    workers: int = 0  # requests that may go at once
    scanning: bool = False  # whether the folder is still being read: the counts may grow
    waiting: str | None = None  # what the run waits for, in words; None while it works
    stopping: int | None = None  # requests that a halted run still waits for; None while it may go on
    status: str | None = None  # the server's word, while it is processing
    status_progress: float | None = None  # percent, 0 to 100; None where the server does not say


class Observer:
    """Is told what happens in a run; this one ignores it. Called from several threads."""

    def job_started(self, job: Job, run: Run) -> None:
        """A run has taken the job."""

    def progress(self, progress: Progress) -> None:
        """Time has passed; called about once a second from the main thread."""

    def file_error(self, path: str, state: FileState, reason: str) -> None:
        """A file can't be sent, and why."""

    def notice(self, kind: str, text: str, **facts: Any) -> None:
        """Something worth a line has happened; `kind` is `step`, `warning`, `waiting` or `stopping`."""

    def batch_sent(self, batch: Batch, http_status: int, seconds: float) -> None:
        """The receipt of a batch is on record; its attempt took `seconds`."""

    def finished(self, summary: "Summary") -> None:
        """The run has reached its goal."""

    def ended(self, error: VlIngestError) -> None:
        """The run has ended without; `error` says why, and has the exit code."""


class Observers(Observer):
    """Several observers, told one after the other."""

    def __init__(self, observers: Sequence[Observer]) -> None:
        self._observers = tuple(observers)

    def job_started(self, job: Job, run: Run) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.job_started(job, run)

    def progress(self, progress: Progress) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.progress(progress)

    def file_error(self, path: str, state: FileState, reason: str) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.file_error(path, state, reason)

    def notice(self, kind: str, text: str, **facts: Any) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.notice(kind, text, **facts)

    def batch_sent(self, batch: Batch, http_status: int, seconds: float) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.batch_sent(batch, http_status, seconds)

    def finished(self, summary: "Summary") -> None:
        """Tell all."""
        for observer in self._observers:
            observer.finished(summary)

    def ended(self, error: VlIngestError) -> None:
        """Tell all."""
        for observer in self._observers:
            observer.ended(error)
