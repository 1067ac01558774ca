"""Stopping a run from elsewhere: it is asked for in the ledger, and each run looks there while it works."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from vl_ingest import clock
from vl_ingest.author import author
from vl_ingest.context import Control
from vl_ingest.errors import JobHeld, Stopped
from vl_ingest.ledger import Ledger
from vl_ingest.lock import hold
from vl_ingest.model import Job, Run

LOOK_EVERY_S = 1.0
ASKED = "stop_asked"


def stop(ledger: Ledger, job: Job, patience_s: float) -> bool:
    """Ask the run that works on a job to stop, and wait until it has; return False where none is at work.

    Raises `JobHeld` if it goes on for longer than `patience_s` seconds; it stays asked.
    """
    if _free(ledger, job):
        return False
    ledger.jobs.note(job.id, None, ASKED, by=author())
    deadline = clock.monotonic() + patience_s
    while not _over(ledger, job):
        if clock.monotonic() >= deadline:
            raise JobHeld(
                f"The run on job {job.id} has been asked to stop and is still busy. Look again with "
                f"`vl-ingest status {job.id}`."
            )
        threading.Event().wait(LOOK_EVERY_S / 4)
    return True


@contextmanager
def listening(ledger: Ledger, run: Run, control: Control) -> Iterator[None]:
    """Halt the run with `Stopped` when somebody asks for it meanwhile."""
    over = threading.Event()

    def listen(seen: int) -> None:
        try:
            while not over.wait(LOOK_EVERY_S):
                upto = ledger.jobs.get(run.job_id).event_count
                for event in ledger.events.history(run.job_id, ASKED, after=seen):
                    control.halt(
                        Stopped(
                            f"Stopped by {event.facts.get('by')}, with `vl-ingest stop`. "
                            "The same command goes on where this run stopped."
                        )
                    )
                    return
                seen = upto
        except BaseException as exc:  # noqa: BLE001  # handed to the main thread, which raises it
            control.halt(exc)

    started = ledger.events.last(run.job_id, "run_started")
    begun = 0 if started is None else started.number
    thread = threading.Thread(target=listen, args=(begun,), name="listen", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _over(ledger: Ledger, job: Job) -> bool:
    """Return whether the run has ended or died; the lock of one that is starting is not disturbed."""
    run = ledger.jobs.last_run(job.id)
    return (run is not None and run.ended_at is not None) or _free(ledger, job)


def _free(ledger: Ledger, job: Job) -> bool:
    try:
        with hold(ledger, job.id):
            return True
    except JobHeld:
        return False
