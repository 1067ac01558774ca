"""Rounds of a job: what one processing covers. The first is the upload; each of the others is one addition."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

FIRST = 1  # the number of the round by a transaction


class RoundState(StrEnum):
    """Where a round by addition stands; before it has begun there is none."""

    PROCESSING = "processing"  # the server has begun
    DONE = "done"  # the server is done with it
    FAILED = "failed"  # the server failed to process it


class KnownBy(StrEnum):
    """What it rests on that a round began; as people are told."""

    RECEIPT = "receipt"  # the server acknowledged the request
    TASK = "task"  # a task of the server's that was not there before
    STATUS = "status"  # the dataset's status moved
    COUNTS = "counts"  # the dataset grew by as many media as were sent
    LIST = "list"  # the server lists the files of the addition
    PERSON = "person"  # somebody says so


INFERRED = frozenset({KnownBy.TASK, KnownBy.STATUS, KnownBy.COUNTS, KnownBy.LIST})  # what the server shows


@dataclass(frozen=True)
class Round:
    """One addition that began. `status` is the server's word at its end, `message` why it failed."""

    number: int
    batch_id: int
    state: RoundState
    known_by: KnownBy
    files: int
    size_bytes: int
    began_at: datetime
    ended_at: datetime | None
    status: str | None
    message: str | None
