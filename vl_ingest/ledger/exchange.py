"""The hot path of an upload: the receipts and the claims that wait, in the one transaction that is given.

Files that are claimed together are neighbours, mostly: one statement moves them all. Values go to the driver as they
are stored; what SQLAlchemy does with each costs more than SQLite's whole work.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from vl_ingest import clock
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import AttemptOutcome, Batch, BatchState, FileRow, FileState, Run
from vl_ingest.domain.naming import path_to_text
from vl_ingest.ledger.chain import rows_digest
from vl_ingest.ledger.events import append_all
from vl_ingest.ledger.guard import TransitionRefused, move_each, move_spans
from vl_ingest.ledger.statements import executemany, stored
from vl_ingest.ledger.tables import attempts, batches, files

_NEW_BATCH = sa.insert(batches).returning(batches.c.id, sort_by_parameter_order=True)
_NEW_ATTEMPT = sa.insert(attempts)
_END_ATTEMPT = (
    sa.update(attempts)
    .where(
        attempts.c.batch_id == sa.bindparam("b_batch"),
        attempts.c.number == sa.bindparam("b_number"),
        attempts.c.outcome.is_(None),
    )
    .values(outcome=sa.literal_column(f"'{AttemptOutcome.SENT}'"))
)
_ONE_MORE: sa.ColumnElement[int] = sa.literal_column("attempts + 1")
_Span = tuple[tuple[str | int | bytes, ...], int, int]  # values, first and last id
_NTH_HASH: Any = sa.text("CAST(substr(:hashes, (id - :base) * 64 + 1, 64) AS TEXT)")


class Receipt(NamedTuple):
    """The server's acknowledgement of a batch, with the hashes of its files in order; `host`: which other host sent it."""

    batch: Batch
    sha256s: Sequence[str]
    http_status: int
    host: str | None = None


class Claim(NamedTuple):
    """Files to send together; `renewed`: some carry other facts than the ledger has."""

    files: Sequence[FileRow]
    renewed: bool = False


def record(connection: sa.Connection, run: Run, receipts: Sequence[Receipt]) -> None:
    """Record receipts: files, batches, attempts and an event each."""
    if not receipts:
        return
    now = stored(attempts.c.ended_at, connection.dialect)(clock.now())
    ended = executemany(
        connection, _END_ATTEMPT, ("ended_at", "http_status", "b_batch", "b_number"),
        [(now, receipt.http_status, receipt.batch.id, receipt.batch.attempt) for receipt in receipts],
    )  # fmt: skip
    if ended != len(receipts):
        raise TransitionRefused("An attempt is not open any more: something else has settled it.")
    move_each(
        connection, batches, BatchState.IN_FLIGHT, BatchState.SENT, ("ended_at",),
        [(now, receipt.batch.id) for receipt in receipts],
    )  # fmt: skip
    spans: list[_Span] = []
    scattered: list[tuple[str, int]] = []
    for batch, sha256s, *_ in receipts:
        first_id, last_id = batch.files[0].id, batch.files[-1].id
        if _are_neighbours(batch.files):
            spans.append((("".join(sha256s).encode(), first_id), first_id, last_id))
        else:
            scattered += zip(sha256s, [file.id for file in batch.files], strict=True)
    if spans:
        columns = ("hashes", "base")
        move_spans(connection, files, FileState.IN_FLIGHT, FileState.SENT, columns, spans, sha256=_NTH_HASH)
    if scattered:
        move_each(connection, files, FileState.IN_FLIGHT, FileState.SENT, ("sha256",), scattered)
    append_all(
        connection, run.job_id, run.id, EventKind.BATCH_SENT, [_facts(receipt) for receipt in receipts]
    )


def intend(connection: sa.Connection, run: Run, transaction_id: str, claims: Sequence[Claim]) -> list[Batch]:
    """Make a batch of each claim, with its first attempt."""
    if not claims:
        return []
    new = [
        {
            "job_id": run.job_id, "run_id": run.id, "parent_id": None, "transaction_id": transaction_id,
            "state": BatchState.IN_FLIGHT, "file_count": len(claim.files),
            "size_bytes": sum(file.facts.size_bytes for file in claim.files), "created_at": clock.now(),
        }
        for claim in claims
    ]  # fmt: skip
    batch_ids = connection.execute(_NEW_BATCH, new).scalars().all()
    made: list[Batch] = []
    spans: list[_Span] = []
    scattered: list[tuple[int, ...]] = []
    for batch_id, (chosen, renewed) in zip(batch_ids, claims, strict=True):
        made.append(Batch(batch_id, tuple(chosen), attempt=1))
        if not renewed and _are_neighbours(chosen):
            spans.append(((batch_id,), chosen[0].id, chosen[-1].id))
        else:
            scattered += [(*file.facts, batch_id, file.id) for file in chosen]
    states = FileState.PENDING, FileState.IN_FLIGHT
    if spans:
        move_spans(connection, files, *states, ("batch_id",), spans, attempts=_ONE_MORE)
    if scattered:
        columns = ("size_bytes", "mtime_ns", "batch_id")
        move_each(connection, files, *states, columns, scattered, attempts=_ONE_MORE)
    now = stored(attempts.c.ended_at, connection.dialect)(clock.now())
    rows = [(batch.id, 1, now) for batch in made]
    executemany(connection, _NEW_ATTEMPT, ("batch_id", "number", "started_at"), rows)
    return made


def _are_neighbours(rows: Sequence[FileRow]) -> bool:
    """Return whether no other file of the ledger lies between these, given in the order of their ids."""
    return rows[-1].id - rows[0].id + 1 == len(rows)


def _facts(receipt: Receipt) -> dict[str, Any]:
    batch = receipt.batch
    rows = [
        (path_to_text(file.path), file.sent_as, *file.facts, sha256)
        for file, sha256 in zip(batch.files, receipt.sha256s, strict=True)
    ]
    return {
        "batch": batch.id, "attempt": batch.attempt, "http_status": receipt.http_status,
        "files": len(batch.files), "size_bytes": batch.size_bytes, "digest": rows_digest(rows),
        **({} if receipt.host is None else {"host": receipt.host}),
    }  # fmt: skip
