"""One process a job on this host: an operating-system lock, freed by death. Between hosts the lease decides (`runs`)."""

from collections.abc import Iterator
from contextlib import contextmanager

from filelock import FileLock, Timeout

from vl_ingest.domain.errors import JobHeld, LedgerError
from vl_ingest.domain.model import Job
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.author import host


@contextmanager
def hold(ledger: Ledger, job_id: str, patience_s: float = 0.0) -> Iterator[Job]:
    """Hold the job and give it as it stands now, or raise `JobHeld`, naming the run that holds it.

    At once, or after `patience_s` seconds.
    """
    folder = ledger.db.locks
    lock = FileLock(folder / f"{job_id}.lock", timeout=patience_s)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout as exc:
        run = ledger.runs.last(job_id)
        who = (
            "another command"
            if run is None or run.ended_at
            else f"run {ledger.runs.numbers(job_id)[run.id]} (pid {run.pid} on {run.host})"
        )
        raise JobHeld(
            f"Job {job_id} is held by {who}. Wait until it ends (`vl-ingest status {job_id} --watch`), or stop it: "
            f"`vl-ingest stop {job_id}`."
        ) from exc
    except OSError as exc:
        raise LedgerError(f"Can't lock job {job_id} in {folder}: {exc}. Make that folder writable.") from exc
    try:
        ledger.runs.assert_free(job_id, host())
        yield ledger.jobs.get(job_id)
    finally:
        lock.release()
