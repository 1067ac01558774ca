"""Where a job stands, computed from the ledger alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Counts, FileState, Job
from vl_ingest.domain.remote import Listed
from vl_ingest.domain.rounds import Round, RoundState
from vl_ingest.ledger import Ledger


@dataclass(frozen=True)
class Summary:
    """Where a job stands, computed from the ledger.

    Of the files that are sent, the server has acknowledged all but those that a person called delivered
    (`taken_as_delivered`), and those of additions whose receipt was lost, but which the server shows (`inferred`). `possibly_twice` counts, among both, those that went out again after a lost answer.
    `listed` is what the server's own list of the dataset came to, read at `listed_at`; None where it was not asked.
    `doubts` says what is known of the `possibly_twice` since then, in words -> how many.
    `orphans` are ids of datasets that may be ours and empty, after a request to create without a receipt.
    `rounds` are the additions that began after the upload, in order.
    `not_in_dataset` is how many files of the folder came too late for it; None where nobody has looked.
    """

    job: Job
    counts: Counts
    possibly_twice: int
    changed_after: int
    not_in_dataset: int | None = None
    taken_as_delivered: int = 0
    taken_as_delivered_bytes: int = 0
    listed: Listed | None = None
    listed_at: datetime | None = None
    doubts: Mapping[str, int] = field(default_factory=dict)
    orphans: tuple[str, ...] = ()
    rounds: Sequence[Round] = ()
    inferred: int = 0
    inferred_bytes: int = 0

    @property
    def dataset_id(self) -> str | None:
        """The dataset on the server; None before it is made."""
        return self.job.dataset_id

    @property
    def sent(self) -> int:
        """How many files are sent: acknowledged by the server, or taken as delivered."""
        return self.counts[FileState.SENT]

    @property
    def acknowledged(self) -> int:
        """How many files the server has acknowledged."""
        return self.sent - self.taken_as_delivered - self.inferred

    @property
    def acknowledged_bytes(self) -> int:
        """The bytes of these."""
        return self.counts.bytes.get(FileState.SENT, 0) - self.taken_as_delivered_bytes - self.inferred_bytes

    @property
    def missing(self) -> int:
        """How many sent files the server's own list does not have; 0 where it was not asked."""
        return 0 if self.listed is None else self.listed.missing

    def doubt_in_words(self) -> str:
        """Return what is known of the `possibly_twice`: `possibly delivered twice`, or what asking showed."""
        asked = {
            word.removeprefix("asked: "): n for word, n in self.doubts.items() if word.startswith("asked: ")
        }
        if not asked:
            return "possibly delivered twice (sent again after a request without a receipt)"
        told = ", ".join(f"{n:,} {'twice or more' if word == 'twice' else word}" for word, n in asked.items())
        return f"sent again after a request without a receipt (asked: {told})"

    @property
    def added(self) -> int:
        """How many files were added by these."""
        return sum(entry.files for entry in self.rounds if entry.state is not RoundState.FAILED)

    @property
    def added_bytes(self) -> int:
        """The bytes of these."""
        return sum(entry.size_bytes for entry in self.rounds if entry.state is not RoundState.FAILED)

    def in_words(self) -> str:
        """Return how many files there are of each kind: `40 acknowledged, 2 taken as delivered, 1 waived`."""
        kinds = {"acknowledged": self.acknowledged, "inferred from what the server shows": self.inferred}
        kinds |= {"taken as delivered": self.taken_as_delivered}
        kinds |= {str(state): self.counts[state] for state in FileState if state is not FileState.SENT}
        return ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count) or "none yet"


def summarise(ledger: Ledger, job_id: str, *, not_in_dataset: int | None = None) -> Summary:
    """Return where a job stands."""
    orphans = ledger.events.last(job_id, EventKind.ORPHANS_FOUND)
    listed, listed_at = ledger.listing.last(job_id) or (None, None)
    inferred, inferred_bytes = ledger.rounds.inferred(job_id)
    taken, taken_bytes = ledger.files.taken_as_delivered(job_id)
    return Summary(
        job=ledger.jobs.get(job_id),
        counts=ledger.files.counts(job_id),
        possibly_twice=ledger.files.possibly_twice(job_id),
        changed_after=ledger.files.changed_after(job_id),
        not_in_dataset=not_in_dataset,
        taken_as_delivered=taken,
        taken_as_delivered_bytes=taken_bytes,
        listed=listed,
        listed_at=listed_at,
        doubts=ledger.files.doubts(job_id),
        orphans=() if orphans is None else tuple(orphans.facts["datasets"]),
        rounds=ledger.rounds.all(job_id),
        inferred=inferred,
        inferred_bytes=inferred_bytes,
    )
