"""Batches and attempts: what is about to be sent, and what came of it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from vl_ingest import clock
from vl_ingest.domain.errors import FileTrouble, JobHeld
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import AttemptOutcome, Batch, BatchState, Facts, FileRow, FileState, Run
from vl_ingest.ledger import doubts
from vl_ingest.ledger.database import Database
from vl_ingest.ledger.events import append
from vl_ingest.ledger.exchange import Claim, Receipt, intend, record
from vl_ingest.ledger.files import file_row, select_files
from vl_ingest.ledger.guard import TransitionRefused, move
from vl_ingest.ledger.runs import assert_lease
from vl_ingest.ledger.tables import attempts, batches, files

_NEW_BATCH = batches.insert().returning(batches.c.id)
_OPEN_ATTEMPT = sa.update(attempts).where(
    attempts.c.batch_id == sa.bindparam("b_batch"),
    attempts.c.number == sa.bindparam("b_number"),
    attempts.c.outcome.is_(None),
)

MAX_CHANGES = 3  # a file that changes more often while it is sent is held


class Batches:
    """Every query that makes, follows or settles a batch."""

    def __init__(self, db: Database) -> None:
        self._db = db

    # Intents

    def exchange(
        self,
        run: Run,
        transaction_id: str,
        receipts: Sequence[Receipt],
        claims: Sequence[Claim],
        unsendable: Sequence[tuple[FileRow, FileTrouble]] = (),
    ) -> list[Batch]:
        """Record the server's receipts and commit the intents to send `claims`, each with its first attempt.

        One transaction; those of `unsendable` are set aside in it. Returns the batches of the claims. Where the lease is
        lost, the receipts are still recorded, and nothing is intended: that raises `JobHeld`.
        """
        made: list[Batch] = []
        lost: JobHeld | None = None
        with self._db.write() as connection:
            record(connection, run, receipts)
            try:
                if claims or unsendable:
                    assert_lease(connection, run.job_id, run.id)
                for file, trouble in unsendable:
                    set_aside(connection, run, file, FileState.PENDING, trouble)
                made = intend(connection, run, transaction_id, claims)
            except JobHeld as exc:  # before anything was intended
                lost = exc
        if lost is not None:
            raise lost
        return made

    def begin_attempt(self, run: Run, batch: Batch) -> Batch:
        """Commit the intent to send a batch once more."""
        number = batch.attempt + 1
        with self._db.write() as connection:
            assert_lease(connection, run.job_id, run.id)
            insert_attempt(connection, batch.id, number)
            connection.execute(
                sa.update(files)
                .where(files.c.id.in_([f.id for f in batch.files]))
                .values(attempts=files.c.attempts + 1)
            )
        return replace(batch, attempt=number)

    # Receipts

    def record_failure(
        self,
        run: Run,
        batch: Batch,
        outcome: AttemptOutcome,
        http_status: int | None,
        detail: str,
        sha256s: Mapping[str, str] | None = None,
    ) -> Batch:
        """Record an attempt without a receipt; the batch stays in flight.

        Where the outcome is unknown, every file of the batch is marked as perhaps delivered, and
        `sha256s` (path -> hash of the bytes that went out whole) goes on record.
        """
        with self._db.write() as connection:
            end_attempt(connection, batch, outcome, http_status, detail)
            facts: dict[str, Any] = {"http_status": http_status, "detail": detail}
            if outcome is AttemptOutcome.UNKNOWN:
                doubts.mark(connection, files.c.id.in_([f.id for f in batch.files]))
                facts["sha256"] = dict(sha256s or {})
            append(
                connection, run.job_id, run.id, EventKind.of(outcome),
                batch=batch.id, attempt=batch.attempt, files=len(batch.files), **facts,
            )  # fmt: skip
        if outcome is not AttemptOutcome.UNKNOWN:
            return batch
        return replace(
            batch, files=tuple(f._replace(unknown_attempts=f.unknown_attempts + 1) for f in batch.files)
        )

    # What becomes of a batch that can't go on as it is

    def split(self, run: Run, batch: Batch, groups: Sequence[Sequence[FileRow]], reason: str) -> list[Batch]:
        """Replace a batch by smaller ones, all in flight, none attempted yet."""
        with self._db.write() as connection:
            assert_lease(connection, run.job_id, run.id)
            parts = [self._successor(connection, run, batch, group) for group in groups]
            end_batch(connection, batch, BatchState.SPLIT)
            append(
                connection, run.job_id, run.id, EventKind.BATCH_SPLIT,
                batch=batch.id, into=[part.id for part in parts], reason=reason,
            )  # fmt: skip
        return parts

    def supersede(
        self, run: Run, batch: Batch, culprits: Sequence[tuple[FileRow, FileTrouble, Facts | None]]
    ) -> Batch | None:
        """Replace a batch by one without the `culprits`, each with its trouble; None if there are no other files.

        A culprit that has changed is requeued with its new facts, up to `MAX_CHANGES` times.
        """
        blamed = {culprit.id for culprit, _, _ in culprits}
        rest = [file for file in batch.files if file.id not in blamed]
        with self._db.write() as connection:
            assert_lease(connection, run.job_id, run.id)
            end_batch(connection, batch, BatchState.SUPERSEDED)
            successor = self._successor(connection, run, batch, rest) if rest else None
            for culprit, trouble, facts in culprits:
                set_aside(connection, run, culprit, FileState.IN_FLIGHT, trouble)
                if trouble.state == FileState.CHANGED and facts is not None:
                    _requeue(connection, culprit, facts)
        return successor

    def conclude(
        self, run: Run, batch: Batch, state: BatchState, file_state: FileState, reason: str | None
    ) -> None:
        """End a batch without a receipt; its files go to `file_state`."""
        with self._db.write() as connection:
            end_batch(connection, batch, state)
            move_files(connection, batch.files, FileState.IN_FLIGHT, file_state, reason=reason)
            if file_state is not FileState.PENDING:
                for file in batch.files:
                    append(
                        connection, run.job_id, run.id, EventKind.of(file_state),
                        path=file.path, batch=batch.id, reason=reason,
                    )  # fmt: skip

    def unreject(self, run: Run, rejected: Sequence[FileRow], reason: str) -> None:
        """Take rejections back: it turned out not to be the files."""
        with self._db.write() as connection:
            move_files(connection, rejected, FileState.REJECTED, FileState.PENDING, reason=None)
            told = {"files": len(rejected), "reason": reason}
            append(connection, run.job_id, run.id, EventKind.REJECTIONS_WITHDRAWN, **told)

    def abandon_in_flight(self, run: Run, *, died: bool) -> int:
        """Conclude every batch of the job that is in flight: its run has died, or is about to end.

        An intent without receipt becomes an unknown outcome. Files that may have been delivered become
        `unknown`, the others `pending`. Returns the number of files that are `unknown` now.
        """
        unknown = 0
        with self._db.write() as connection:
            assert_lease(connection, run.job_id, run.id)
            for row in connection.execute(
                sa.select(batches.c.id).where(
                    batches.c.job_id == run.job_id, batches.c.state == BatchState.IN_FLIGHT
                )
            ).all():
                unknown += _abandon(connection, run, row.id, died)
        return unknown

    def last_unknown_ended_at(self, job_id: str) -> datetime | None:
        """Return when the last attempt whose outcome is unknown ended; None if there was none."""
        query = (
            sa.select(sa.func.max(attempts.c.ended_at, type_=attempts.c.ended_at.type))
            .select_from(attempts.join(batches))
            .where(batches.c.job_id == job_id, attempts.c.outcome == AttemptOutcome.UNKNOWN)
        )
        with self._db.read() as connection:
            return connection.execute(query).scalar()

    def _successor(
        self, connection: sa.Connection, run: Run, batch: Batch, group: Sequence[FileRow]
    ) -> Batch:
        transaction_id = connection.execute(
            sa.select(batches.c.transaction_id).where(batches.c.id == batch.id)
        ).scalar_one()
        successor = make_batch(connection, run, transaction_id, group, parent=batch.id)
        connection.execute(
            sa.update(files)
            .where(files.c.id.in_([f.id for f in group]), files.c.state == FileState.IN_FLIGHT)
            .values(batch_id=successor.id)
        )
        return successor


def make_batch(
    connection: sa.Connection,
    run: Run,
    transaction_id: str | None,
    group: Sequence[FileRow],
    parent: int | None,
) -> Batch:
    """Make a batch that is in flight, without an attempt; `transaction_id` is None for one of an addition."""
    batch_id = connection.execute(
        _NEW_BATCH,
        {
            "job_id": run.job_id,
            "run_id": run.id,
            "parent_id": parent,
            "transaction_id": transaction_id,
            "state": BatchState.IN_FLIGHT,
            "file_count": len(group),
            "size_bytes": sum(f.facts.size_bytes for f in group),
            "created_at": clock.now(),
        },
    ).scalar_one()
    return Batch(batch_id, tuple(group), attempt=0)


def insert_attempt(connection: sa.Connection, batch_id: int, number: int) -> None:
    """Begin an attempt."""
    connection.execute(attempts.insert(), {"batch_id": batch_id, "number": number, "started_at": clock.now()})


def end_attempt(
    connection: sa.Connection,
    batch: Batch,
    outcome: AttemptOutcome,
    http_status: int | None,
    detail: str | None,
) -> None:
    """End the attempt that `batch` names. Raises `TransitionRefused` where it is not open."""
    ended = connection.execute(
        _OPEN_ATTEMPT,
        {
            "b_batch": batch.id,
            "b_number": batch.attempt,
            "ended_at": clock.now(),
            "outcome": outcome,
            "http_status": http_status,
            "detail": detail,
        },
    )
    if ended.rowcount != 1:
        raise TransitionRefused(
            f"Attempt {batch.attempt} of batch {batch.id} is not open: something else has closed it."
        )


def end_batch(connection: sa.Connection, batch: Batch, state: BatchState) -> None:
    """End a batch that is in flight."""
    move(connection, batches, batches.c.id == batch.id, BatchState.IN_FLIGHT, state, ended_at=clock.now())


def move_files(
    connection: sa.Connection, group: Sequence[FileRow], before: FileState, after: FileState, **values: Any
) -> None:
    """Move all these files from one state to another."""
    move(connection, files, files.c.id.in_([f.id for f in group]), before, after, rows=len(group), **values)


def set_aside(
    connection: sa.Connection, run: Run, file: FileRow, before: FileState, trouble: FileTrouble
) -> None:
    """Put a file that can't be sent into the state of its trouble."""
    after, reason = FileState(trouble.state), trouble.reason
    move(connection, files, files.c.id == file.id, before, after, reason=reason)
    append(connection, run.job_id, run.id, EventKind.of(after), path=file.path, reason=reason)


def _requeue(connection: sa.Connection, file: FileRow, facts: Facts) -> None:
    """Let a file that has changed be sent as it is now, unless it keeps changing."""
    changes = file.changes + 1
    connection.execute(
        sa.update(files)
        .where(files.c.id == file.id)
        .values(changes=changes, size_bytes=facts.size_bytes, mtime_ns=facts.mtime_ns)
    )
    if changes <= MAX_CHANGES:
        move(connection, files, files.c.id == file.id, FileState.CHANGED, FileState.PENDING, reason=None)


def _abandon(connection: sa.Connection, run: Run, batch_id: int, died: bool) -> int:
    """Conclude one batch in flight; return how many of its files are unknown.

    Those are the ones in doubt, whichever batch carried them when it arose.
    """
    in_flight = (files.c.job_id == run.job_id) & (files.c.state == FileState.IN_FLIGHT)
    mine = in_flight & (files.c.batch_id == batch_id)
    group = [file_row(row) for row in connection.execute(select_files().where(mine))]
    lost = connection.execute(
        sa.update(attempts)
        .where(attempts.c.batch_id == batch_id, attempts.c.outcome.is_(None))
        .values(
            ended_at=clock.now(), outcome=AttemptOutcome.UNKNOWN, detail="the run ended before the answer"
        )
    ).rowcount
    if lost:
        doubts.mark(connection, mine)
    doubted = [file for file in group if lost or file.unknown_attempts]
    certain = [file for file in group if not (lost or file.unknown_attempts)]
    state = BatchState.UNKNOWN if doubted else BatchState.FAILED
    end_batch(connection, Batch(batch_id, tuple(group), 0), state)
    move_files(connection, doubted, FileState.IN_FLIGHT, FileState.UNKNOWN)
    move_files(connection, certain, FileState.IN_FLIGHT, FileState.PENDING)
    append(
        connection, run.job_id, run.id, EventKind.BATCH_ABANDONED,
        batch=batch_id, state=state, files=len(group), lost_answers=lost, died=died,
    )  # fmt: skip
    return len(doubted)
