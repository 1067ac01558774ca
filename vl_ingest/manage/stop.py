"""Stopping a run from elsewhere: it is asked for in the ledger, and each run looks there while it works."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from vl_ingest import clock
from vl_ingest.domain.errors import JobHeld, Stopped
from vl_ingest.domain.model import Job, Run
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.author import author
from vl_ingest.ledger.lock import hold
from vl_ingest.run.context import Context

LOOK_EVERY_S = 1.0
ASKED = "stop_asked"


def stop(ledger: Ledger, job: Job, patience_s: float, command: str = "stop") -> bool:
    """Ask the run that works on a job to stop, and wait until it has; return False where none is at work.

    `command` is what the run names as the cause.

    Raises `JobHeld` if it goes on for longer than `patience_s` seconds; it stays asked.
    """
    if _free(ledger, job):
        return False
    run = ledger.runs.last(job.id)
    ledger.jobs.note(job.id, None, ASKED, by=author(), command=command)
    deadline = clock.monotonic() + patience_s
    while not _over(ledger, job, run):
        if clock.monotonic() >= deadline:
            raise JobHeld(
                f"The run on job {job.id} has been asked to stop and is still busy. Look again with "
                f"`vl-ingest status {job.id}`."
            )
        threading.Event().wait(LOOK_EVERY_S / 4)
    return True


@contextmanager
def listening(context: Context, begun: int) -> Iterator[None]:
    """Halt the run when somebody asks for it, behind event number `begun`, or when it may not go on.

    So the lease is kept, too, while everybody else waits for the server.
    """
    over = threading.Event()

    def listen(seen: int) -> None:
        ledger, job_id = context.ledger, context.job.id
        try:
            while not over.wait(LOOK_EVERY_S):
                upto = ledger.jobs.get(job_id).event_count
                for event in ledger.events.history(job_id, ASKED, after=seen):
                    command = event.facts.get("command", "stop")
                    more = "" if command == "cancel" else " The same command goes on where this run stopped."
                    raise Stopped(f"Stopped by {event.facts.get('by')}, with `vl-ingest {command}`.{more}")
                seen = upto
                context.alive()
        except BaseException as exc:  # noqa: BLE001  # handed to the main thread, which raises it
            context.control.halt(exc)

    thread = threading.Thread(target=listen, args=(begun,), name="listen", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


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
