"""The server's own list of a dataset, fetched into a file: its export, or else the list of ids.

To start an export is an effect: it is intended, sent once, and its receipt is on record before it is waited for, so
that whoever comes after a death waits for the same one.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, BinaryIO

from vl_ingest import clock
from vl_ingest.domain.errors import (
    Answered,
    Conflict,
    GaveUp,
    NotAvailable,
    NotDelivered,
    RequestError,
)
from vl_ingest.domain.events import EventKind
from vl_ingest.run.asking import TRIES, Asking
from vl_ingest.run.backoff import backoff_s

if TYPE_CHECKING:
    from vl_ingest.domain.remote import ExportStatus
    from vl_ingest.server.transport import Received

FIRST_POLL_S, LONGEST_POLL_S, GROWTH = 0.2, 15.0, 1.5
PATIENCE_S = 120.0  # without an answer
EXPORTING_S = 3600.0  # an export that takes longer is given up, or was never waited for to its end
FAILED = frozenset({"FAILED", "REJECTED", "ERROR", "ABORTED", "CANCELLED"})


class By(StrEnum):
    """What a list of the dataset can be read from, the better one first; as people are told."""

    EXPORT = "the dataset's export"
    IDS = "the list of media ids"


@contextmanager
def fetched(
    asking: Asking, dataset_id: str, by: By, *, anew: bool = False
) -> Iterator["tuple[BinaryIO, Received] | None"]:
    """Give the list as a file, which is gone after the block; None where it can't be had.

    With `anew` one that is begun now: what is under way may be older than what is asked about.

    Raises `Conflict` where the dataset is in no state for it, `GaveUp` where the server gives no answer.
    """
    with tempfile.TemporaryFile(prefix="vl-ingest-") as file:
        try:
            received = (
                _export(asking, dataset_id, file, anew=anew)
                if by is By.EXPORT
                else _ids(asking, dataset_id, file)
            )
        except OSError as exc:
            raise GaveUp(f"Could not save the server's list in {tempfile.gettempdir()}: {exc}.") from exc
        if received is None:
            yield None
            return
        file.seek(0)
        yield file, received


def _ids(asking: Asking, dataset_id: str, file: BinaryIO) -> "Received | None":
    def read() -> "Received":
        file.seek(0)
        file.truncate()
        return asking.extras.media_ids(dataset_id, file)

    return asking.read(By.IDS, read, patience_s=PATIENCE_S)


def _export(asking: Asking, dataset_id: str, file: BinaryIO, *, anew: bool) -> "Received | None":
    export_id = None if anew else _under_way(asking, dataset_id)
    export_id = export_id or _start(asking, dataset_id)
    if export_id is None:
        return None
    uri = _wait(asking, dataset_id, export_id)
    if uri is None:
        return None

    def read() -> "Received":
        file.seek(0)
        file.truncate()
        return asking.extras.download(uri, file)

    received = asking.read(f"{By.EXPORT} (download)", read, patience_s=PATIENCE_S)
    if received is None:
        asking.note(EventKind.EXPORT_ENDED, export_id=export_id, detail="it can't be downloaded")
    return received


def _under_way(asking: Asking, dataset_id: str) -> str | None:
    """Return the export that was started for this job and that nobody has read, if it can still be asked for."""
    last = asking.ledger.events.last(
        asking.job.id, EventKind.EXPORT_STARTED, EventKind.EXPORT_ENDED, EventKind.DATASET_LISTED,
        EventKind.JOB_READY, EventKind.ADDITION_INTENDED, EventKind.ADDITION_LOOKED_UP, EventKind.ROUND_FINISHED,
        EventKind.REINDEX_FINISHED,
    )  # fmt: skip
    if last is None or last.kind != EventKind.EXPORT_STARTED:
        return None
    if clock.now() - last.at > timedelta(seconds=EXPORTING_S):
        return None
    export_id = str(last.facts["export_id"])
    try:
        asking.extras.export_status(dataset_id, export_id)
    except NotAvailable:
        return None  # forgotten
    except RequestError:
        return export_id
    return export_id


def _start(asking: Asking, dataset_id: str) -> str | None:
    """Start an export and return its id; None where none can be had."""
    for attempt in range(1, TRIES + 1):
        asking.note(EventKind.EXPORT_INTENDED)
        try:
            export_id = asking.extras.start_export(dataset_id, f"vl-ingest-{asking.job.id}")
        except Conflict:
            raise
        except Answered as exc:
            asking.not_available(By.EXPORT, exc)
            return None
        except NotDelivered as exc:
            if attempt == TRIES:
                raise GaveUp(f"Could not ask for {By.EXPORT}: {exc}. Try again later.") from exc
            asking.pause(backoff_s(attempt))
        except RequestError as exc:
            # One may be under way, whose id nobody knows. It changes nothing, and nobody waits for it.
            asking.note(EventKind.EXPORT_UNKNOWN, detail=str(exc))
            if exc.http_status is not None:
                asking.not_available(By.EXPORT, exc)
            return None
        else:
            asking.note(EventKind.EXPORT_STARTED, export_id=export_id)
            return export_id
    return None


def _wait(asking: Asking, dataset_id: str, export_id: str) -> str | None:
    """Wait for an export, and return where it lies; None if it came to nothing."""

    def ask() -> "ExportStatus":
        return asking.extras.export_status(dataset_id, export_id)

    until, interval_s = clock.monotonic() + EXPORTING_S, FIRST_POLL_S
    while True:
        status = asking.read(f"{By.EXPORT} (progress)", ask, patience_s=PATIENCE_S)
        if status is None:
            trouble = asking.missing.get(f"{By.EXPORT} (progress)", "its progress is not told")
        elif status.status.upper() == "COMPLETED":
            if status.uri is not None:
                return status.uri
            trouble = "the server does not say where it lies"
        elif status.status.upper() in FAILED:
            trouble = status.message or f"it ended {status.status}"
        elif clock.monotonic() >= until:
            trouble = f"it is still {status.status} after {EXPORTING_S / 60:.0f} min"
        else:
            asking.pause(interval_s)
            interval_s = min(LONGEST_POLL_S, interval_s * GROWTH)
            continue
        asking.note(EventKind.EXPORT_ENDED, export_id=export_id, detail=trouble)
        asking.missing[By.EXPORT] = trouble
        return None
