"""Where a job stands, computed from the ledger alone."""

from dataclasses import dataclass

from vl_ingest.domain.model import Counts, FileState, Job
from vl_ingest.ledger import Ledger


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

    @property
    def dataset_id(self) -> str | None:
        """The dataset on the server; None before it is made."""
        return self.job.dataset_id

    @property
    def sent(self) -> int:
        """How many files the server has acknowledged."""
        return self.counts[FileState.SENT]


def summarise(ledger: Ledger, job_id: str, *, not_in_dataset: int | None = None) -> Summary:
    """Return where a job stands."""
    return Summary(
        job=ledger.jobs.get(job_id),
        counts=ledger.files.counts(job_id),
        possibly_twice=ledger.files.possibly_twice(job_id),
        changed_after=ledger.files.changed_after(job_id),
        not_in_dataset=not_in_dataset,
    )
