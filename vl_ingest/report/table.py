"""A row a file, with documented columns."""

import csv
from collections.abc import Iterator, Mapping
from typing import IO, Any

from vl_ingest import clock
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Delivery, FileState, delivery, possibly_twice
from vl_ingest.domain.naming import path_to_text
from vl_ingest.domain.remote import in_dataset
from vl_ingest.domain.rounds import FIRST, INFERRED
from vl_ingest.ledger import Ledger
from vl_ingest.report.timeline import decider

FIRST_COLUMNS = (
    "path", "sent_as", "size_bytes", "sha256", "mtime", "state", "sent_at", "batch", "attempt", "http_status",
    "attempts", "possibly_twice", "reason",
)  # fmt: skip
SECOND_COLUMNS = (*FIRST_COLUMNS, "delivery", "decided_by", "decided_at", "decided_why")
ASKED = ("in_dataset", "media_id")  # what the server lists, as far as it has been asked
THIRD_COLUMNS = (*SECOND_COLUMNS, *ASKED)
FOURTH_COLUMNS = (*THIRD_COLUMNS, "round")
COLUMNS = (*FOURTH_COLUMNS, "version")
FORMULA = tuple(
    "=+-@\t\r\n\uff1d\uff0b\uff0d\uff20"
)  # a spreadsheet takes a cell that begins with one of these for a formula
QUOTE = "'"  # it stands before such a cell, and before one that begins with it


def rows(ledger: Ledger, job_id: str, *, exceptional: bool = False) -> Iterator[dict[str, Any]]:
    """Yield a file's facts by `COLUMNS`, in the order of paths and versions; with `exceptional` only the exceptions.

    Times are ISO 8601 in UTC; `batch`, `attempt` and `http_status` are those of the receipt, None without one. Who
    decided is told of what is waived and of what is taken as delivered.
    """
    decisions = _decisions(ledger, job_id)
    rounds = {entry.batch_id: entry for entry in ledger.rounds.all(job_id)}
    for row in ledger.audit.files(job_id, exceptional=exceptional):
        path, rests_on = path_to_text(row.path), delivery(row.state, row.sha256)
        added = rounds.get(row.batch_id)
        if rests_on is not None and added is not None and added.known_by in INFERRED:
            rests_on = Delivery.INFERRED
        acknowledged = rests_on is Delivery.ACKNOWLEDGED
        by_word = row.state == FileState.WAIVED or rests_on is Delivery.TAKEN_AS_DELIVERED
        by, at = decisions.get((row.state, path, row.version), (None, None)) if by_word else (None, None)
        if by_word and row.decided_by not in (None, by):  # a filter, whose events name no file
            by, at = row.decided_by, None
        why = row.decided_why if by_word else None
        decided = _decision(row.state, by, at, why) if by_word else None
        yield {
            "path": path,
            "sent_as": row.sent_as,
            "size_bytes": row.size_bytes,
            "sha256": row.sha256,
            "mtime": clock.iso_ns(row.mtime_ns),
            "state": row.state,
            "sent_at": clock.iso(row.ended_at) if acknowledged else None,
            "batch": row.batch_id,
            "attempt": row.number if acknowledged else None,
            "http_status": row.http_status if acknowledged else None,
            "attempts": row.attempts,
            "possibly_twice": possibly_twice(row.state, row.sha256, row.unknown_attempts),
            "reason": "; ".join(filter(None, (row.reason, decided))) or None,
            "delivery": rests_on,
            "decided_by": by,
            "decided_at": at,
            "decided_why": why,
            "in_dataset": in_dataset(row.listed),
            "media_id": row.media_id,
            "round": None if rests_on is None else FIRST if added is None else added.number,
            "version": row.version,
        }


def _decision(state: str, by: str | None, at: str | None, why: str | None) -> str:
    """Return a decision in words: `waived by ann@vm, 2026-01-31 23:59:59 UTC: blurred`."""
    what = "waived" if state == FileState.WAIVED else "taken as delivered"
    when = "" if at is None else f", {at[:19].replace('T', ' ')} UTC"
    return f"{what} by {by or 'somebody unknown'}{when}" + (f": {why}" if why else "")


def _decisions(ledger: Ledger, job_id: str) -> Mapping[tuple[str, str, int], tuple[str, str | None]]:
    """Return (state, path, version) -> who decided that the file is in that state without a receipt, and when."""
    made: dict[tuple[str, str, int], tuple[str, str | None]] = {}
    versions: dict[str, int] = {}  # path -> its newest, if that is not the first
    kinds = (EventKind.FILE_WAIVED, EventKind.UNKNOWN_SETTLED, EventKind.FILE_VERSION_QUEUED)
    for event in ledger.events.history(job_id, *kinds):
        path, waived = event.facts["path"], event.kind == EventKind.FILE_WAIVED
        if event.kind == EventKind.FILE_VERSION_QUEUED:
            versions[path] = event.facts["version"]
        elif waived or event.facts["state"] == FileState.SENT:
            state = FileState.WAIVED if waived else FileState.SENT
            by = event.facts["by"] if waived else decider(event)
            made[state, path, versions.get(path, 1)] = (by, clock.iso(event.at))
    return made


def write_csv(ledger: Ledger, job_id: str, out: IO[str]) -> None:
    """Write the table as CSV (RFC 4180, header first, lines ended by a newline)."""
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows(ledger, job_id):
        writer.writerow({column: quoted(cell) for column, cell in written(row).items()})


def written(row: dict[str, Any]) -> dict[str, str]:
    """Return a row of the table as text."""
    plain = {**row, "possibly_twice": "yes" if row["possibly_twice"] else "no"}
    return {column: "" if value is None else str(value) for column, value in plain.items()}


def quoted(cell: str) -> str:
    """Return a cell that no spreadsheet takes for a formula; `unquoted` takes that back."""
    return QUOTE + cell if cell.startswith((QUOTE, *FORMULA)) else cell


def unquoted(cell: str) -> str:
    """Return the cell that `quoted` was given; one that was never quoted stays as it is, unless it begins with a quote."""
    return cell.removeprefix(QUOTE)
