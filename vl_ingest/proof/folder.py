"""What the folder holds that the dataset does not: files that came after processing was started."""

import os

from vl_ingest import clock
from vl_ingest.domain.checks import Check, ok
from vl_ingest.domain.model import TRIGGERED, Job
from vl_ingest.domain.naming import files_text
from vl_ingest.domain.settings import Settings
from vl_ingest.ledger import Ledger
from vl_ingest.source import Source
from vl_ingest.source.listing import is_read_once
from vl_ingest.source.scanner import Scanner

COMPARED_TOGETHER = 1000


def verify_folder(ledger: Ledger, job: Job, source: Source) -> Check | None:
    """Return how many files of the source came too late: nothing is wrong with that, but they are not sent.

    None where there are none, or nobody can look.
    """
    settings = Settings.of_job(job.settings)
    if job.state not in TRIGGERED or not can_be_walked(source, settings):
        return None
    at = ledger.jobs.told_at(job.id, "newer_than_s") or clock.now()
    late = count_new(ledger, job.id, Scanner(source, settings, at))
    if not late:
        return None
    return ok("new files", late_text(late), new=late)


def late_text(count: int) -> str:
    """Return what it means that the source has so many files that the job does not know."""
    return (
        f"{files_text(count)} in the folder {'is' if count == 1 else 'are'} not in the dataset: new, or let in by other "
        "filters, after processing was started. Use `--add` to add them, or `--new` to send the folder to another dataset."
    )


def can_be_walked(source: Source, settings: Settings) -> bool:
    """Return whether the source is there, and the list of files, if it is told by one that can be read again."""
    lists = (*([] if settings.files_from is None else [settings.files_from]), *settings.exclude_from)
    return source.is_there() and all(os.path.isfile(path) and not is_read_once(path) for path in lists)


def count_new(ledger: Ledger, job_id: str, scanner: Scanner) -> int:
    """Return how many files of the source the job does not know."""
    new, chunk = 0, []
    for item in scanner.found():
        chunk.append(item.path)
        if len(chunk) == COMPARED_TOGETHER:
            new += ledger.files.count_unknown_paths(job_id, chunk)
            chunk = []
    return new + (ledger.files.count_unknown_paths(job_id, chunk) if chunk else 0)
