"""Rounds of a job: what one processing covers. The first is the upload; each of the others is one addition."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Event

FIRST = 1  # the number of the round by a transaction
DIED = "the run ended before the answer"


class RoundState(StrEnum):
    """Where a round by addition stands; before it has begun there is none."""

    PROCESSING = "processing"  # the server has begun
    DONE = "done"  # the server is done with it
    FAILED = "failed"  # the server failed to process it


class KnownBy(StrEnum):
    """What it rests on that a round began; as people are told."""

    RECEIPT = "receipt"  # the server acknowledged the request
    TASK = "task"  # a task that was not there before, and as many more media as were sent
    COUNTS = "counts"  # as many more media as were sent, where nobody else adds any, and the server shows nothing better
    LIST = "list"  # the server lists the files of the addition
    PERSON = "person"  # somebody says so


INFERRED = frozenset({KnownBy.TASK, KnownBy.COUNTS, KnownBy.LIST})  # what the server shows


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


def has_grown_since(rounds: Sequence[Round], at: datetime) -> bool:
    """Return whether files were added after a moment, or are being added."""
    last = rounds[-1].ended_at if rounds else at
    return last is None or last > at


@dataclass(frozen=True)
class Doubt:
    """What is on record of an addition whose outcome is unknown: of all its requests that may have been carried out.

    Attributes:
        before: what the server showed of the dataset before the first of them, or when what had changed since then was found
            not to be of this; as an intent keeps it.
        requests: how many there are.
        files: how many files the first of them held.
        same: whether it held the very files that are to be added now.
        why: what became of the last one, in words.
        refused: the last answer was no; but it may be about an earlier request, or a copy of this one.
        answered: whether its outcome is on record; otherwise its run ended before that.
        earlier: whether a request before the last one may have been carried out, also one of another addition.
        loose: the numbers of files of other additions' requests that may still be carried out.

    """

    before: Mapping[str, Any]
    requests: int
    files: int
    same: bool
    why: str = DIED
    refused: bool = False
    answered: bool = False
    earlier: bool = False
    loose: tuple[int, ...] = ()


def doubt_of(history: Iterable[Event], batch_id: int, ancestors: Collection[int]) -> Doubt | None:
    """Return what is in doubt of a batch by the events of additions; None where nothing is.

    `ancestors` are the batches that it was made from: what became of their requests is its doubt, too.
    """
    doubt: Doubt | None = None
    intent: Mapping[str, Any] | None = None
    for event in history:
        facts = event.facts
        if facts.get("batch") not in (batch_id, *ancestors):
            continue
        match EventKind.known(event.kind):
            case EventKind.ADDITION_INTENDED:
                intent = facts
            case EventKind.ADDITION_UNKNOWN if intent is not None:
                doubt, intent = _more(doubt, intent, batch_id), None
                doubt = replace(doubt, why=facts["detail"], refused=facts["conflict"], answered=True)
            case EventKind.ADDITION_NOT_DELIVERED | EventKind.ADDITION_REFUSED:
                intent = None
            case EventKind.ADDITION_SETTLED_NOT_BEGUN if doubt is not None:
                if facts["doubts"]:  # the last one certainly has not; before it there was none
                    doubt = None
                elif (
                    "tasks" in facts
                ):  # the list had nothing of it: what comes later shows as a change since then
                    doubt = replace(doubt, before=facts)
            case EventKind.ADDITION_SETTLED_BY_HAND:
                doubt = None
    if intent is not None:
        doubt = _more(doubt, intent, batch_id)
    return doubt


def _more(doubt: Doubt | None, intent: Mapping[str, Any], batch_id: int) -> Doubt:
    """Return the doubt with one more request."""
    if doubt is None:
        return Doubt(intent, 1, intent["files"], same=intent["batch"] == batch_id)
    return replace(doubt, requests=doubt.requests + 1, earlier=True, why=DIED, refused=False, answered=False)


def loose_of(history: Iterable[Event], family: Collection[int]) -> tuple[int, ...]:
    """Return the numbers of files of requests that may still be carried out, though their files were sent again since.

    But for those of the batches in `family`.
    """
    files: dict[int, int] = {}
    loose: Counter[int] = Counter()
    for event in history:
        facts = event.facts
        batch = facts.get("batch")
        if batch is None or batch in family:
            continue
        match EventKind.known(event.kind):
            case EventKind.ADDITION_INTENDED:
                files[batch] = facts["files"]
            case EventKind.ADDITION_UNKNOWN:
                loose[batch] += 1
            case EventKind.ADDITION_SETTLED_NOT_BEGUN:
                loose[batch] -= bool(facts["doubts"])
            case EventKind.ADDITION_SETTLED_BEGUN:
                loose[batch] -= 1  # whichever it was
            case EventKind.ADDITION_SETTLED_BY_HAND:
                loose[batch] = loose[batch] - 1 if facts["began"] else 0
    return tuple(files[batch] for batch, count in loose.items() if count > 0)
