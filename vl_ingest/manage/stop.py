"""Stopping a run from elsewhere: it is asked for in the ledger, where each run listens."""

import threading

from vl_ingest import clock
from vl_ingest.domain.errors import JobHeld
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Job, Run
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.author import author
from vl_ingest.ledger.lock import hold

LOOK_EVERY_S = 0.25
PATIENCE_S = 120.0  # for the end of a run that was asked to stop


def stop(ledger: Ledger, job: Job, patience_s: float, command: str = "stop") -> bool:
    """Ask the run that works on a job to stop, and wait until it has; return False where none is at work.

    `command` is what the run names as the cause.

    Raises `JobHeld` if it goes on for longer than `patience_s` seconds; it stays asked.
    """
    if _free(ledger, job):
        return False
    run = ledger.runs.last(job.id)
    ledger.jobs.note(job.id, None, EventKind.STOP_ASKED, by=author(), command=command)
    deadline = clock.monotonic() + patience_s
    while not _over(ledger, job, run):
        if clock.monotonic() >= deadline:
            raise JobHeld(
                f"The run on job {job.id} has been asked to stop, and is still busy. Check it with "
                f"`vl-ingest status {job.id}`."
            )
        threading.Event().wait(LOOK_EVERY_S)
    return True


def _over(ledger: Ledger, job: Job, asked: Run | None) -> bool:
    """Return whether the run that was asked has ended, or died. `asked` may be the one before, if it was just starting."""
    if asked is None or asked.ended_at is not None:
        return _free(ledger, job)
    run = ledger.runs.last(job.id)
    return run is None or run.id != asked.id or run.ended_at is not None or _free(ledger, job)


def _free(ledger: Ledger, job: Job) -> bool:
    try:
        with hold(ledger, job.id):
            return True
    except JobHeld:
        return False
