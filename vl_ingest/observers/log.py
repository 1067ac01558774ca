"""The log of a run, for whoever looks later: JSON Lines in a file that rotates, or lines on standard error.

The only room of `logging`. Three loggers tell of three things: `vl_ingest.run` of what an observer is told,
`vl_ingest.batch` of each receipt, `vl_ingest.request` of each request. Trouble that is tried again is a warning;
an error is final. What is written holds no credentials.
"""

import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from typing import TYPE_CHECKING, Any

from vl_ingest import clock
from vl_ingest.domain import words
from vl_ingest.domain.errors import UsageError, VlIngestError
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Batch, FileState, Job, Run
from vl_ingest.domain.naming import files_text, path_to_text
from vl_ingest.observers.observer import Observer, Progress
from vl_ingest.server.redact import redact

if TYPE_CHECKING:
    from vl_ingest.ledger.summary import Summary

KEPT = 5  # files of a log beside the one that is written
PROGRESS_EVERY_S = 60.0

_ALL = logging.getLogger("vl_ingest")
_RUN = logging.getLogger("vl_ingest.run")
_BATCH = logging.getLogger("vl_ingest.batch")
_REQUEST = logging.getLogger("vl_ingest.request")  # written to by `api`
_REQUEST.setLevel(logging.WARNING)  # unless asked for
_ALL.addHandler(logging.NullHandler())  # who logs nothing is not told of it either

_STOPPED = frozenset({10, 129, 130, 143})  # exit codes of a run that was asked to stop


class LogObserver(Observer):
    """Logs what a run tells."""

    def __init__(self) -> None:
        self._ids: dict[str, Any] = {"run": None, "job": None}
        self._next_progress = 0.0
        self._waiting: str | None = None

    def job_started(self, job: Job, run: Run) -> None:
        """Log which job this is; every line from here on names it."""
        self._ids.update(run=run.id, job=job.id)
        self._log(
            logging.INFO, "job_started", f"A run of job {job.id} began (pid {run.pid}).", name=job.name,
            source=path_to_text(job.source), base_url=job.base_url, state=job.state, dataset_id=job.dataset_id,
        )  # fmt: skip

    def progress(self, progress: Progress) -> None:
        """Log where the run stands about once a minute, and when waiting begins and ends."""
        now = clock.monotonic()
        if bool(progress.waiting) is not bool(self._waiting):
            if progress.waiting:
                self._log(logging.WARNING, "waiting", f"{progress.waiting}.")
            else:
                self._log(logging.INFO, "waiting_over", "The server works again.")
        self._waiting = progress.waiting
        if now >= self._next_progress:
            self._next_progress = now + PROGRESS_EVERY_S
            counts = progress.counts
            self._log(
                logging.INFO, "progress", f"{counts[FileState.SENT]:,} of {files_text(counts.total)} sent.",
                files={str(state): count for state, count in counts.files.items()},
                sent_bytes=counts.bytes.get(FileState.SENT, 0), total_bytes=counts.total_bytes,
                attempts_failed=progress.attempts_failed, scanning=progress.scanning, status=progress.status,
            )  # fmt: skip

    def file_error(self, path: str, state: FileState, reason: str) -> None:
        """Log a file that can't be sent."""
        self._log(
            logging.ERROR, "file_error", f"{words.path(path)}: {state}: {reason}",
            path=path_to_text(path), state=state, reason=reason,
        )  # fmt: skip

    def notice(self, kind: str, text: str, **facts: Any) -> None:
        """Log a line."""
        level = logging.WARNING if kind in ("warning", "waiting") else logging.INFO
        self._log(level, kind, text, **facts)

    def batch_sent(self, batch: Batch, http_status: int, seconds: float) -> None:
        """Log a receipt."""
        text = (
            f"Batch {batch.id}, attempt {batch.attempt}: {files_text(len(batch.files))}, "
            f"{words.size(batch.size_bytes)}, HTTP {http_status} after {seconds:.1f} s."
        )
        _tell(
            _BATCH, logging.INFO, EventKind.BATCH_SENT, text, self._ids, batch=batch.id, attempt=batch.attempt,
            files=len(batch.files), bytes=batch.size_bytes, http_status=http_status, seconds=round(seconds, 3),
        )  # fmt: skip

    def finished(self, summary: "Summary") -> None:
        """Log that the goal is reached."""
        job = summary.job
        self._log(
            logging.INFO, EventKind.RUN_ENDED, f"Job {job.id} is {job.state}.", exit_code=0, state=job.state,
            dataset_id=job.dataset_id, sent=summary.counts[FileState.SENT], possibly_twice=summary.possibly_twice,
            taken_as_delivered=summary.taken_as_delivered,
        )  # fmt: skip

    def ended(self, error: VlIngestError) -> None:
        """Log why the run ended without."""
        level = logging.WARNING if error.exit_code in _STOPPED else logging.ERROR
        self._log(level, EventKind.RUN_ENDED, str(error), exit_code=error.exit_code)

    def _log(self, level: int, event: str, text: str, /, **facts: Any) -> None:
        _tell(_RUN, level, event, text, self._ids, **facts)


def _tell(
    logger: logging.Logger, level: int, event: str, text: str, ids: dict[str, Any], /, **facts: Any
) -> None:
    logger.log(level, "%s", text, extra={"event": event, "ids": ids, "facts": facts})


class _JsonLines(logging.Formatter):
    """A line a record: `at level run job event text facts`, without secrets."""

    def __init__(self) -> None:
        super().__init__()
        self._ids: dict[str, Any] = {"run": None, "job": None}

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        self._ids = getattr(record, "ids", self._ids)  # a request is its run's, which does not know of it
        line = {
            "at": clock.iso(datetime.fromtimestamp(record.created, UTC)),
            "level": record.levelname.lower(),
            **self._ids,
            "event": getattr(record, "event", record.name),
            "text": record.getMessage(),
            "facts": getattr(record, "facts", {}),
        }
        return redact(json.dumps(line, default=str))


class _LogFile(RotatingFileHandler):
    """A log that never stops the work: the first thing that goes wrong is told once, and then it tries on."""

    def __init__(self, path: str, max_bytes: int, failed: Callable[[str], None]) -> None:
        self._failed: Callable[[str], None] | None = failed
        super().__init__(path, maxBytes=max_bytes, backupCount=KEPT, encoding="utf-8")

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: ARG002, N802  # logging's own name
        """Tell that a line could not be written."""
        self._tell_once(sys.exception())

    def doRollover(self) -> None:  # noqa: N802  # logging's own name
        """Begin a new file; where that can't be, the old one goes on."""
        try:
            super().doRollover()
        except OSError as exc:
            self._tell_once(exc)
            if self.stream is None:
                self.stream = self._open()

    def close(self) -> None:
        """Close the file; what could not be written is lost."""
        try:
            super().close()
        except OSError as exc:
            self._tell_once(exc)

    def _tell_once(self, exc: BaseException | None) -> None:
        failed, self._failed = self._failed, None
        if failed is not None:
            failed(f"The log {self.baseFilename} can't be written: {exc}. The upload continues without it.")


class _Lines(logging.Handler):
    """Lines for people on standard error, also while a live display has it."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line; where nobody reads any more, the work goes on."""
        try:
            print(redact(record.getMessage()), file=sys.stderr)  # noqa: T201  # this is where lines are printed
        except (OSError, ValueError):
            return


@contextmanager
def log_file(path: str, max_bytes: int, failed: Callable[[str], None]) -> Iterator[None]:
    """Log into the file at `path`, and begin another one after `max_bytes` (0: never).

    `failed` is told once if the file can't be written any more. Raises `UsageError` if it can't be opened.
    """
    try:
        handler = _LogFile(path, max_bytes, failed)
    except OSError as exc:
        raise UsageError(
            f"Can't open the log {path}: {exc.strerror}. Name a writable file in an existing folder: "
            "`--log-file PATH`."
        ) from exc
    handler.setFormatter(_JsonLines())
    with _handling(_ALL, handler, logging.INFO):
        yield


@contextmanager
def shown(verbosity: int) -> Iterator[None]:
    """Show on standard error each receipt (1), and each request too (2, which brings them into the log as well)."""
    with ExitStack() as stack:
        if verbosity >= 1:
            stack.enter_context(_handling(_BATCH, _Lines(), logging.INFO))
        if verbosity >= 2:
            stack.enter_context(_handling(_REQUEST, _Lines(), logging.DEBUG))
        yield


@contextmanager
def _handling(logger: logging.Logger, handler: logging.Handler, level: int) -> Iterator[None]:
    before = logger.level
    logger.setLevel(level)
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        handler.close()
