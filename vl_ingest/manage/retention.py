"""Keeping and clearing: a job as one file of its own, and finished jobs taken out of the ledger."""

import os
from contextlib import closing
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from vl_ingest.domain.errors import LedgerError, UsageError
from vl_ingest.domain.model import FINISHED, Job
from vl_ingest.domain.naming import path_to_text
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.database import Database
from vl_ingest.ledger.lock import hold


def export(ledger: Ledger, job: Job, target: Path) -> None:
    """Write a job into a ledger of its own at `target`, one file, which every command reads with `--ledger`.

    Raises `UsageError` if `target` exists, `LedgerError` if it can't be written, and `JobHeld` while a command works on
    the job: whoever continued the copy would do the same again.
    """
    if os.path.exists(target):
        raise UsageError(f"{path_to_text(str(target))} exists already. Name another file.")
    with hold(ledger, job.id):
        _write(ledger, job, target)


def _write(ledger: Ledger, job: Job, target: Path) -> None:
    try:
        # A folder of its own, for what belongs to a ledger lies beside it: all of that goes, whatever happens.
        with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as place:
            part = Path(place, target.name)
            with closing(Database(part)) as copy:
                ledger.retention.copy(job.id, copy)
                copy.seal()
            os.replace(part, target)
    except OSError as exc:
        raise LedgerError(f"Can't write {path_to_text(str(target))}: {exc}.") from exc


def prunable(ledger: Ledger, before: datetime) -> list[Job]:
    """Return the jobs that were over before this moment, oldest first."""
    return [
        job
        for job in ledger.jobs.all()
        if job.state in FINISHED and job.finished_at is not None and job.finished_at < before
    ]


def kept_in(folder: Path, job: Job) -> Path:
    """Return the file that `prune` keeps a job in."""
    return folder / f"vl-ingest-{job.id}.db"


def prune(ledger: Ledger, job: Job, keep_in: Path | None) -> None:
    """Take a finished job out of the ledger; with `keep_in`, export it into that folder first.

    What is on the server stays as it is.
    """
    with hold(ledger, job.id) as current:
        if current.state not in FINISHED:
            raise UsageError(f"Job {job.id} is {current.state}: only a finished job can be removed.")
        if keep_in is not None:
            keep_in.mkdir(parents=True, exist_ok=True)
            _write(ledger, current, kept_in(keep_in, job))  # over that of an earlier prune that died
        ledger.retention.delete(job.id)
