"""A row a file, with documented columns."""

import csv
from collections.abc import Iterator
from typing import IO, Any

from vl_ingest import clock
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import FileState
from vl_ingest.domain.naming import path_to_text
from vl_ingest.ledger import Ledger

COLUMNS = (
    "path", "sent_as", "size_bytes", "sha256", "mtime", "state", "sent_at", "batch", "attempt", "http_status",
    "attempts", "possibly_twice", "reason",
)  # fmt: skip


def rows(ledger: Ledger, job_id: str, *, exceptional: bool = False) -> Iterator[dict[str, Any]]:
    """Yield a file's facts by `COLUMNS`, in the order of paths; with `exceptional` only what is not simply sent.

    Times are ISO 8601 in UTC; `batch`, `attempt` and `http_status` are those of the receipt, None without one.
    """
    waived = {
        event.facts["path"]: f"waived by {event.facts['by']}, {event.at:%Y-%m-%d %H:%M:%S} UTC"
        for event in ledger.events.history(job_id, EventKind.FILE_WAIVED)
    }
    for row in ledger.audit.files(job_id, exceptional=exceptional):
        sent = row.state == FileState.SENT and row.number is not None
        path = path_to_text(row.path)
        decided = waived.get(path) if row.state == FileState.WAIVED else None
        yield {
            "path": path,
            "sent_as": row.sent_as,
            "size_bytes": row.size_bytes,
            "sha256": row.sha256,
            "mtime": clock.iso_ns(row.mtime_ns),
            "state": row.state,
            "sent_at": clock.iso(row.ended_at) if sent else None,
            "batch": row.batch_id,
            "attempt": row.number if sent else None,
            "http_status": row.http_status if sent else None,
            "attempts": row.attempts,
            "possibly_twice": row.state == FileState.SENT and row.unknown_attempts > 0,
            "reason": "; ".join(filter(None, (row.reason, decided))) or None,
        }


def write_csv(ledger: Ledger, job_id: str, out: IO[str]) -> None:
    """Write the table as CSV (RFC 4180, header first, lines ended by a newline)."""
    writer = csv.DictWriter(out, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in rows(ledger, job_id):
        writer.writerow(written(row))


def written(row: dict[str, Any]) -> dict[str, str]:
    """Return a row of the table as CSV holds it."""
    plain = {**row, "possibly_twice": "yes" if row["possibly_twice"] else "no"}
    return {column: "" if value is None else str(value) for column, value in plain.items()}
