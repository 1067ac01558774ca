"""Where a job stands, computed from the ledger alone."""

from dataclasses import dataclass

from vl_ingest.ledger import Ledger
from vl_ingest.model import Counts, Job


@dataclass(frozen=True)
class Summary:
    """Where a job stands, computed from the ledger.

    `not_in_dataset` is how many files of the folder came too late for it; None where nobody has looked.
    """

    job: Job
    counts: Counts
    possibly_twice: int
    changed_after: int
    not_in_dataset: int | None = None


def summarise(ledger: Ledger, job_id: str, *, not_in_dataset: int | None = None) -> Summary:
    """Return where a job stands."""
    return Summary(
        job=ledger.jobs.get(job_id),
        counts=ledger.files.counts(job_id),
        possibly_twice=ledger.files.possibly_twice(job_id),
        changed_after=ledger.files.changed_after(job_id),
        not_in_dataset=not_in_dataset,
    )
