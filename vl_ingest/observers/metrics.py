"""Figures of a run as a Prometheus text file, for node_exporter's textfile collector."""

from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from vl_ingest import clock
from vl_ingest.atomic import replacing
from vl_ingest.domain.errors import LedgerError, UsageError, VlIngestError
from vl_ingest.domain.model import Counts, FileState, Job, JobState, Run
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.summary import Summary, summarise
from vl_ingest.observers.observer import Observer, Progress

WRITE_EVERY_S = 15.0
LABELS = ("job", "name")


class Metrics(Observer):
    """Writes the file at the start, about every 15 s, and at the end; each time whole.

    Raises `UsageError` where it can't be written at first; a later failure is told to `warn`, once.
    """

    def __init__(self, ledger: Ledger, path: str, warn: Callable[[str], None]) -> None:
        self._ledger = ledger
        self._path = Path(path)
        self._warn = warn
        self._warned = False
        self._labels: tuple[str, str] | None = None
        self._next_write = 0.0
        self._registry = CollectorRegistry()
        self._files = self._gauge("files", "Files of the job, by their state.", "state")
        self._bytes = self._gauge("bytes", "Bytes of these files.", "state")
        self._doubted = self._gauge(
            "doubted_files", "Sent files without a receipt, or possibly twice.", "kind"
        )
        self._moving = self._gauge(
            "moving_bytes", "Bytes of files that open requests have handed to the network."
        )
        self._failed = self._gauge(
            "attempts_failed", "Uploads of this run that failed; a refusal is an answer."
        )
        self._workers = self._gauge("workers", "Requests that may go at once.")
        self._waiting = self._gauge("waiting", "1 while everything waits for the server.")
        self._job_state = self._gauge("job_state", "1 for the state the job is in.", "state")
        self._started = self._gauge("run_start_timestamp_seconds", "When the run began.")
        self._updated = self._gauge("run_update_timestamp_seconds", "When these figures were written.")
        self._success = self._gauge("last_success_timestamp_seconds", "When a run last reached its goal.")
        self._exit_code = self._gauge("run_exit_code", "How the run ended; -1 while it works.")
        try:
            self._replace()
        except OSError as exc:
            raise UsageError(f"Can't write the metrics to {path}: {exc.strerror or exc}.") from exc

    def job_started(self, job: Job, run: Run) -> None:
        """Begin to count."""
        self._labels = (job.id, job.name)
        self._started.labels(*self._labels).set(run.started_at.timestamp())
        self._exit_code.labels(*self._labels).set(-1)
        self._state(job.state)
        self._write()

    def progress(self, progress: Progress) -> None:
        """Take up the counts; write them when it is time."""
        if self._labels is None:
            return
        if progress.workers:  # else nothing is uploaded now, and the figure stays
            self._failed.labels(*self._labels).set(progress.attempts_failed)
        if clock.monotonic() < self._next_write:
            return
        self._next_write = clock.monotonic() + WRITE_EVERY_S
        self._counts(progress.counts)
        self._state(progress.state)
        self._moving.labels(*self._labels).set(progress.bytes_moving)
        self._workers.labels(*self._labels).set(progress.workers)
        self._waiting.labels(*self._labels).set(int(progress.waiting is not None))
        self._write()

    def finished(self, summary: Summary) -> None:
        """Write how it ended."""
        self._labels = (summary.job.id, summary.job.name)
        self._stands(summary)
        self._success.labels(*self._labels).set(clock.now().timestamp())
        self._end(0)

    def ended(self, error: VlIngestError) -> None:
        """Write how it ended."""
        if self._labels is None:
            return
        if error.exit_code != LedgerError.exit_code:
            self._stands(summarise(self._ledger, self._labels[0]))
        self._end(error.exit_code)

    def _end(self, exit_code: int) -> None:
        assert self._labels is not None  # noqa: S101  # both callers have seen to that
        self._exit_code.labels(*self._labels).set(exit_code)
        for gauge in (self._moving, self._workers, self._waiting):
            gauge.labels(*self._labels).set(0)
        self._write()

    def _gauge(self, name: str, text: str, *more: str) -> Gauge:
        return Gauge(f"vl_ingest_{name}", text, (*LABELS, *more), registry=self._registry)

    def _counts(self, counts: Counts) -> None:
        for state in FileState:
            self._files.labels(*self._labels or (), state).set(counts[state])
            self._bytes.labels(*self._labels or (), state).set(counts.bytes.get(state, 0))

    def _stands(self, summary: Summary) -> None:
        self._counts(summary.counts)
        self._doubted.labels(*self._labels or (), "taken_as_delivered").set(summary.taken_as_delivered)
        self._doubted.labels(*self._labels or (), "possibly_twice").set(summary.possibly_twice)
        self._state(summary.job.state)

    def _state(self, current: JobState) -> None:
        for state in JobState:
            self._job_state.labels(*self._labels or (), state).set(int(state is current))

    def _replace(self) -> None:
        if self._path.exists() and not self._path.is_file():  # to write to a pipe could wait for its reader
            raise OSError("it is not a regular file")
        with replacing(self._path) as new:
            new.write_bytes(generate_latest(self._registry))

    def _write(self) -> None:
        self._updated.labels(*self._labels or ()).set(clock.now().timestamp())
        try:
            self._replace()
        except OSError as exc:
            if not self._warned:
                self._warned = True
                self._warn(
                    f"The metrics can't be written to {self._path}: {exc.strerror or exc}. The upload continues."
                )
