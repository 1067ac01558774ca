"""The words of the domain: states, their transitions, and the facts that are passed around. Nothing is read or written."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from typing import Any, NamedTuple

from vl_ingest.domain.remote import doubt, in_dataset


class JobState(StrEnum):
    """Where a job stands: one folder on its way into one dataset."""

    CREATED = "created"  # known here only
    DATASET_CREATED = "dataset_created"  # the dataset exists on the server
    TRANSACTION_OPEN = "transaction_open"  # files are being sent
    UPLOADED = "uploaded"  # every file is sent or waived
    TRIGGERING = "triggering"  # the trigger is about to be sent, or its outcome is not known yet
    PROCESSING = "processing"  # the server has begun
    READY = "ready"  # the server is done
    ADDING = "adding"  # media are about to be added, or the outcome of that is not known yet
    ERRORED = "errored"  # the server failed
    CANCELLED = "cancelled"  # a person gave it up


class FileState(StrEnum):
    """Where one file stands."""

    PENDING = "pending"  # waits to be sent
    IN_FLIGHT = "in_flight"  # its batch is being sent
    SENT = "sent"  # the server has acknowledged its batch, or a person says so (see `Delivery`)
    UNKNOWN = "unknown"  # sent perhaps: the answer was lost
    REJECTED = "rejected"  # the server does not take it
    CHANGED = "changed"  # kept changing while it was sent
    MISSING = "missing"  # no longer there
    UNREADABLE = "unreadable"  # there, but can't be read
    EMPTY = "empty"  # has no bytes
    WAIVED = "waived"  # a person, a filter, or --on-rejected skip, decided to go on without it


class Delivery(StrEnum):
    """What a file that is called sent rests on."""

    ACKNOWLEDGED = "acknowledged"  # the server's receipt
    INFERRED = "inferred"  # no receipt came, but what the server shows proves that the addition arrived
    TAKEN_AS_DELIVERED = "taken_as_delivered"  # a person's word (`settle --delivered`): no hash, no receipt


class BatchState(StrEnum):
    """Where one request's worth of files stands; a batch never changes once made."""

    IN_FLIGHT = "in_flight"  # being sent, or between two attempts
    SENT = "sent"  # acknowledged
    FAILED = "failed"  # given up; certainly not delivered
    UNKNOWN = "unknown"  # given up; at least one attempt may have been delivered
    SPLIT = "split"  # its files went on in two smaller batches
    SUPERSEDED = "superseded"  # its files went on without one that had changed


class AttemptOutcome(StrEnum):
    """How one HTTP try of a batch ended; no outcome yet means the intent has no receipt."""

    SENT = "sent"  # the documented answer arrived
    NOT_DELIVERED = "not_delivered"  # certainly not carried out
    UNKNOWN = "unknown"  # may have been carried out
    REFUSED = "refused"  # the server said no


_J, _F, _B = JobState, FileState, BatchState

FINISHED = frozenset({_J.READY, _J.ERRORED, _J.CANCELLED})
TRIGGERED = frozenset({_J.TRIGGERING, _J.PROCESSING, _J.READY, _J.ADDING, _J.ERRORED})
SETTLED = frozenset({_F.SENT, _F.WAIVED})  # states of files that do not hold the trigger
WAIVABLE = frozenset({_F.REJECTED, _F.CHANGED, _F.MISSING, _F.UNREADABLE, _F.EMPTY})
FILTER = "filter"  # who decided on a file that a run's filters left out

TRANSITIONS: Mapping[type[StrEnum], Mapping[StrEnum, frozenset[StrEnum]]] = {
    JobState: {
        _J.CREATED: frozenset({_J.DATASET_CREATED, _J.CANCELLED}),
        _J.DATASET_CREATED: frozenset({_J.TRANSACTION_OPEN, _J.CANCELLED}),
        _J.TRANSACTION_OPEN: frozenset({_J.UPLOADED, _J.DATASET_CREATED, _J.CANCELLED}),
        _J.UPLOADED: frozenset(
            {_J.TRIGGERING, _J.PROCESSING, _J.TRANSACTION_OPEN, _J.DATASET_CREATED, _J.CANCELLED}
        ),
        _J.TRIGGERING: frozenset({_J.PROCESSING, _J.UPLOADED, _J.CANCELLED}),
        _J.PROCESSING: frozenset({_J.READY, _J.ERRORED, _J.CANCELLED}),
        _J.READY: frozenset({_J.ADDING}),
        _J.ADDING: frozenset({_J.PROCESSING, _J.READY, _J.CANCELLED}),
        _J.ERRORED: frozenset({_J.PROCESSING}),  # the server tries again
        _J.CANCELLED: frozenset(),
    },
    FileState: {
        _F.PENDING: frozenset({_F.IN_FLIGHT, _F.MISSING, _F.UNREADABLE, _F.EMPTY, _F.WAIVED}),
        _F.IN_FLIGHT: frozenset(
            {_F.SENT, _F.PENDING, _F.UNKNOWN, _F.REJECTED, _F.CHANGED, _F.MISSING, _F.UNREADABLE}
        ),
        _F.UNKNOWN: frozenset({_F.SENT, _F.PENDING, _F.CHANGED, _F.MISSING}),
        _F.CHANGED: frozenset({_F.PENDING, _F.WAIVED}),
        _F.REJECTED: frozenset({_F.WAIVED, _F.PENDING}),
        _F.MISSING: frozenset({_F.WAIVED, _F.PENDING}),
        _F.UNREADABLE: frozenset({_F.WAIVED, _F.PENDING}),
        _F.EMPTY: frozenset({_F.WAIVED, _F.PENDING}),
        _F.SENT: frozenset({_F.PENDING}),
        _F.WAIVED: frozenset({_F.PENDING}),  # by a filter that lets it in again, or by `retry`
    },
    BatchState: {
        _B.IN_FLIGHT: frozenset({_B.SENT, _B.FAILED, _B.UNKNOWN, _B.SPLIT, _B.SUPERSEDED}),
        _B.SENT: frozenset(),
        _B.FAILED: frozenset(),
        _B.UNKNOWN: frozenset(),
        _B.SPLIT: frozenset(),
        _B.SUPERSEDED: frozenset(),
    },
}


class StatusClass(StrEnum):
    """What the server's status word says about processing."""

    NOT_BEGUN = "not_begun"
    BEGUN = "begun"
    DONE = "done"
    FAILED = "failed"
    UNCLEAR = "unclear"  # a word that is not documented


STATUS_CLASSES: Mapping[str, StatusClass] = {
    # `status_new`, documented with its meaning
    "DRAFT": StatusClass.NOT_BEGUN,
    "INDEXING": StatusClass.BEGUN,
    "READ ONLY": StatusClass.BEGUN,
    "PARTIAL INDEX": StatusClass.BEGUN,
    "READY": StatusClass.DONE,
    "ERROR": StatusClass.FAILED,
    # `status` of older servers, documented by name only
    "NEW": StatusClass.NOT_BEGUN,
    "INITIALIZING": StatusClass.NOT_BEGUN,
    "UPLOADING": StatusClass.NOT_BEGUN,
    "PRE_PROCESSING": StatusClass.BEGUN,
    "SAVING": StatusClass.BEGUN,
    "ENRICHING": StatusClass.BEGUN,
    "FATAL_ERROR": StatusClass.FAILED,
}


@dataclass(frozen=True)
class DatasetStatus:
    """The server's word on a dataset, verbatim; `progress` is 0 to 100."""

    word: str
    progress: float | None = None
    message: str | None = None
    n_images: int | None = None
    n_videos: int | None = None
    created_at: str | None = None  # by the server's clock

    @property
    def status_class(self) -> StatusClass:
        """What the word means for processing."""
        return STATUS_CLASSES.get(self.word.upper(), StatusClass.UNCLEAR)


# What there may be millions of are tuples: they are made several times as fast as dataclasses.


class Facts(NamedTuple):
    """What identifies a file's content without reading it."""

    size_bytes: int
    mtime_ns: int


UNSEEN = Facts(0, 0)  # of a file that could not be looked at


class Found(NamedTuple):
    """A file the scan found: its path relative to the source, as the file system gives it."""

    path: str
    facts: Facts


class FileRow(NamedTuple):
    """One file of a job as the ledger knows it."""

    id: int
    path: str
    sent_as: str
    facts: Facts
    state: FileState
    unknown_attempts: int = 0
    changes: int = 0
    sha256: str | None = None
    reason: str | None = None
    decided_by: str | None = None  # who decided its state, if no receipt did: `ann@host`, `FILTER`, an option
    decided_why: str | None = None
    listed: int | None = None  # how often the server's list has it; None: not asked, or it can't say
    media_id: str | None = None
    version: int = 1  # of several of one path, the newest is what is in the folder
    touched_ns: int | None = None  # its time on disk, if that has changed since it was sent, and nothing else

    @property
    def delivery(self) -> Delivery | None:
        """What it rests on that this file is sent; None if it is not."""
        return delivery(self.state, self.sha256)

    @property
    def decision(self) -> str | None:
        """Who decided on it, and why: `waived by ann@vm: blurred`."""
        by_word = self.delivery is Delivery.TAKEN_AS_DELIVERED
        if self.decided_by is None:
            return "taken as delivered" if by_word else None
        what = "waived" if self.state is FileState.WAIVED else "taken as delivered" if by_word else "decided"
        return f"{what} by {self.decided_by}" + (f": {self.decided_why}" if self.decided_why else "")

    @property
    def possibly_twice(self) -> bool:
        """Whether it is sent, and more than one of its requests may have delivered it."""
        return possibly_twice(self.state, self.sha256, self.unknown_attempts)

    @property
    def in_dataset(self) -> str | None:
        """What the server's list says of it: `yes`, `no`, `twice`."""
        return in_dataset(self.listed)

    @property
    def doubt(self) -> str | None:
        """What is known of how often it is in the dataset, in words; None where there is nothing to say."""
        return doubt(possibly_twice=self.possibly_twice, in_dataset=self.in_dataset)

    def looks_like(self, facts: Facts) -> bool:
        """Return whether it is as the ledger knows it, by what can be seen without reading it."""
        return facts in (self.facts, (self.facts.size_bytes, self.touched_ns))

    def with_facts(self, facts: Facts) -> "FileRow":
        """Return the file as it is on disk now."""
        return self if facts == self.facts else self._replace(facts=facts)


def delivery(state: str, sha256: str | None) -> Delivery | None:
    """Return what it rests on that a file is sent; None if it is not. A receipt brings a hash, a person's word does not."""
    if state != FileState.SENT:
        return None
    return Delivery.TAKEN_AS_DELIVERED if sha256 is None else Delivery.ACKNOWLEDGED


def possibly_twice(state: str, sha256: str | None, unknown_attempts: int) -> bool:
    """Return whether a file is sent, and went out again after a lost answer: two of its requests may have delivered it."""
    return state == FileState.SENT and unknown_attempts + (sha256 is not None) > 1


@dataclass(frozen=True)
class Batch:
    """The files of one request; `attempt` is the number of the attempt last begun, 0 before the first."""

    id: int
    files: tuple[FileRow, ...]
    attempt: int

    @cached_property
    def size_bytes(self) -> int:
        """Bytes of all files together, without the multipart framing."""
        return sum([file.facts.size_bytes for file in self.files])


@dataclass(frozen=True)
class Job:
    """One folder into one dataset, as the ledger knows it."""

    id: str
    source: str
    name: str
    base_url: str
    state: JobState
    settings: Mapping[str, Any]
    dataset_id: str | None
    transaction_id: str | None
    run_id: int | None
    too_large_bytes: int | None
    left_out: Mapping[str, int]
    status: str | None
    progress: float | None
    status_before: str | None
    message: str | None
    created_at: datetime
    triggered_at: datetime | None
    finished_at: datetime | None
    event_count: int
    event_head: str | None


@dataclass(frozen=True)
class Run:
    """One process working on a job; over when `ended_at` is set or its process is dead."""

    id: int
    job_id: str
    host: str
    pid: int
    started_at: datetime
    heartbeat_at: datetime
    ended_at: datetime | None
    exit_code: int | None = None
    waiting_for: str | None = None  # in words, since `waiting_since`; of a dead run, its last word
    waiting_since: datetime | None = None


@dataclass(frozen=True)
class Event:
    """One line of a job's history, the `number`th from 1; `hash` seals it and all before it (see `chain`)."""

    id: int
    job_id: str
    number: int
    run_id: int | None
    host: str | None
    user: str | None
    at: datetime
    kind: str
    facts: Mapping[str, Any]
    hash: str


@dataclass(frozen=True)
class Counts:
    """Files and bytes of a job by state, computed from the rows."""

    files: Mapping[FileState, int]
    bytes: Mapping[FileState, int]

    @property
    def total(self) -> int:
        """All files of the job."""
        return sum(self.files.values())

    @property
    def total_bytes(self) -> int:
        """Bytes of all files of the job."""
        return sum(self.bytes.values())

    def __getitem__(self, state: FileState) -> int:
        return self.files.get(state, 0)

    @property
    def unsent(self) -> int:
        """Files that hold the trigger: neither sent nor waived."""
        return sum(count for state, count in self.files.items() if state not in SETTLED)
