"""Rounds by addition: one request each, which is upload and trigger in one; its intent, and its receipt or what settled it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from vl_ingest import clock
from vl_ingest.domain.errors import FileTrouble, UsageError
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import (
    FINISHED,
    AttemptOutcome,
    Batch,
    BatchState,
    Event,
    FileRow,
    FileState,
    JobState,
    Run,
)
from vl_ingest.domain.naming import path_to_text
from vl_ingest.domain.rounds import FIRST, INFERRED, KnownBy, Round, RoundState
from vl_ingest.ledger.author import author
from vl_ingest.ledger.batches import end_attempt, end_batch, insert_attempt, make_batch, set_aside
from vl_ingest.ledger.chain import SealedRow, rows_digest
from vl_ingest.ledger.database import Database
from vl_ingest.ledger.events import append
from vl_ingest.ledger.exchange import Receipt, record
from vl_ingest.ledger.files import file_row, select_files
from vl_ingest.ledger.guard import move, move_each
from vl_ingest.ledger.runs import assert_lease
from vl_ingest.ledger.tables import attempts, batches, events, files, jobs, rounds

_OUTCOMES = {
    EventKind.ADDITION_NOT_DELIVERED: AttemptOutcome.NOT_DELIVERED,
    EventKind.ADDITION_REFUSED: AttemptOutcome.REFUSED,
}
_WANTED = (EventKind.ADDITION_INTENDED, EventKind.ADDITION_UNKNOWN)


class Rounds:
    """Every query that makes, follows or settles a round by addition."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def all(self, job_id: str) -> list[Round]:
        """Return the rounds by addition, in order."""
        query = (
            sa.select(rounds, batches.c.file_count, batches.c.size_bytes)
            .join(batches, batches.c.id == rounds.c.batch_id)
            .where(rounds.c.job_id == job_id)
            .order_by(rounds.c.number)
        )
        with self._db.read() as connection:
            return [_round(row) for row in connection.execute(query)]

    def inferred(self, job_id: str) -> tuple[int, int]:
        """Return how many files are sent without a receipt because the server shows that they arrived, and their bytes."""
        ours = sa.select(rounds.c.batch_id).where(
            rounds.c.job_id == job_id, rounds.c.known_by.in_(sorted(INFERRED))
        )
        query = sa.select(sa.func.count(), sa.func.sum(files.c.size_bytes)).where(
            files.c.job_id == job_id, files.c.state == FileState.SENT, files.c.sha256.is_not(None),
            files.c.batch_id.in_(ours),
        )  # fmt: skip
        with self._db.read() as connection:
            if not connection.execute(sa.select(ours.exists())).scalar_one():
                return 0, 0  # nearly always, and without reading all files
            count, size_bytes = connection.execute(query).one()
        return count, int(size_bytes or 0)

    # Intents

    def claim(
        self, run: Run, chosen: Sequence[FileRow], unsendable: Sequence[tuple[FileRow, FileTrouble]]
    ) -> Batch | None:
        """Put `chosen`, with the facts just read from disk, in flight together, and set those aside that can't be sent.

        No attempt is made yet: what is in flight without one has certainly not been sent.
        """
        with self._db.write() as connection:
            assert_lease(connection, run.job_id, run.id)
            for file, trouble in unsendable:
                set_aside(connection, run, file, FileState.PENDING, trouble)
            if not chosen:
                return None
            batch = make_batch(connection, run, None, chosen, parent=None)
            move_each(
                connection, files, FileState.PENDING, FileState.IN_FLIGHT, ("size_bytes", "mtime_ns", "batch_id"),
                [(*file.facts, batch.id, file.id) for file in chosen],
            )  # fmt: skip
            return batch

    def release(self, run: Run) -> int:
        """Give back what is in flight without an attempt that is open: certainly not sent. Return how many files that is."""
        with self._db.write() as connection:
            assert_lease(connection, run.job_id, run.id)
            _assert_ready(connection, run.job_id)
            where = (files.c.job_id == run.job_id) & (files.c.state == FileState.IN_FLIGHT)
            group = [file_row(row) for row in connection.execute(select_files().where(where))]
            query = sa.select(batches.c.id, batches.c.file_count).where(
                batches.c.job_id == run.job_id, batches.c.state == BatchState.IN_FLIGHT
            )
            for batch_id, count in connection.execute(query).all():
                end_batch(connection, Batch(batch_id, (), 0), BatchState.FAILED)
                append(
                    connection, run.job_id, run.id, EventKind.BATCH_ABANDONED,
                    batch=batch_id, state=BatchState.FAILED, files=count, lost_answers=0, died=False,
                )  # fmt: skip
            move(
                connection, files, where, FileState.IN_FLIGHT, FileState.PENDING, rows=len(group), sha256=None
            )
        return len(group)

    def intend(self, run: Run, batch: Batch, **before: Any) -> Batch:
        """Commit the intent to add a batch; `before` is how it goes, and what the server shows of the dataset.

        Raises `UsageError` while another job of the same folder, name and server is unfinished.
        """
        number = batch.attempt + 1
        with self._db.write() as connection:
            assert_lease(connection, run.job_id, run.id)
            _assert_alone(connection, run.job_id)
            move(connection, jobs, jobs.c.id == run.job_id, JobState.READY, JobState.ADDING)
            insert_attempt(connection, batch.id, number)
            mine = _of(run.job_id, batch.id, FileState.IN_FLIGHT)
            connection.execute(sa.update(files).where(mine).values(attempts=files.c.attempts + 1))
            append(
                connection, run.job_id, run.id, EventKind.ADDITION_INTENDED, batch=batch.id, attempt=number,
                files=len(batch.files), size_bytes=batch.size_bytes, **before,
            )  # fmt: skip
        return replace(batch, attempt=number)

    def wanted(self, job_id: str) -> tuple[Batch, Event, Event | None]:
        """Return the addition whose outcome is wanted, its intent, and what was recorded of the outcome, if anything."""
        query = (
            sa.select(events)
            .where(events.c.job_id == job_id, events.c.kind.in_(_WANTED))
            .order_by(events.c.number.desc())
            .limit(2)
        )
        with self._db.read() as connection:
            last, *before = [Event(**row._mapping) for row in connection.execute(query)]
            intent = last if last.kind == EventKind.ADDITION_INTENDED else before[0]
            batch_id = intent.facts["batch"]
            mine = _of(job_id, batch_id, FileState.IN_FLIGHT)
            rows = connection.execute(select_files().where(mine).order_by(files.c.id))
            batch = Batch(batch_id, tuple(map(file_row, rows)), intent.facts["attempt"])
        return batch, intent, None if last is intent else last

    # Receipts, and what stands for one

    def acknowledge(self, run: Run, batch: Batch, sha256s: Sequence[str], http_status: int) -> int:
        """Record the server's receipt, and with it the round that it begins; return its number. A lost lease does not matter."""
        with self._db.write() as connection:
            record(connection, run, [Receipt(batch, sha256s, http_status)])
            number = _begin(connection, run.job_id, batch, KnownBy.RECEIPT)
            _step(
                connection, run.job_id, run, JobState.ADDING, EventKind.ADDITION_ACKNOWLEDGED,
                round=number, batch=batch.id, attempt=batch.attempt,
            )  # fmt: skip
        return number

    def not_carried_out(
        self, run: Run, batch: Batch, kind: EventKind, http_status: int | None, detail: str
    ) -> None:
        """Record that a request was certainly not carried out; its files stay in flight. `kind` says how that is known."""
        with self._db.write() as connection:
            end_attempt(connection, batch, _OUTCOMES[kind], http_status, detail)
            _step(
                connection, run.job_id, run, JobState.ADDING, kind,
                batch=batch.id, attempt=batch.attempt, http_status=http_status, detail=detail,
            )  # fmt: skip

    def unknown(
        self, run: Run, batch: Batch, http_status: int | None, detail: str, sha256s: Sequence[str], *, conflict: bool
    ) -> None:  # fmt: skip
        """Record that the outcome of a request is unknown; the hashes of what went out whole are kept in the rows."""
        with self._db.write() as connection:
            end_attempt(connection, batch, AttemptOutcome.UNKNOWN, http_status, detail)
            _keep_hashes(connection, dict(zip((file.id for file in batch.files), sha256s, strict=False)))
            append(
                connection, run.job_id, run.id, EventKind.ADDITION_UNKNOWN, batch=batch.id, attempt=batch.attempt,
                http_status=http_status, detail=detail, conflict=conflict,
            )  # fmt: skip

    def settle_begun(
        self, run: Run, batch: Batch, known_by: KnownBy, status: str, detail: str, sha256s: Mapping[int, str]
    ) -> int:
        """Record that what the server shows proves that an addition began; return the number of its round.

        `sha256s` are the hashes of files, by id, that are not in their rows; a file without one has no hash.
        """
        with self._db.write() as connection:
            _keep_hashes(connection, sha256s)
            unhashed = _arrived(connection, run.job_id, batch)
            number = _begin(connection, run.job_id, batch, known_by)
            _step(
                connection, run.job_id, run, JobState.ADDING, EventKind.ADDITION_SETTLED_BEGUN, round=number,
                batch=batch.id, attempt=batch.attempt, files=len(batch.files), size_bytes=batch.size_bytes,
                digest=_digest(connection, run.job_id, batch), unhashed=unhashed, known_by=known_by, status=status, detail=detail,
            )  # fmt: skip
        return number

    def settle_not_begun(self, run: Run, batch: Batch, status: str, detail: str) -> None:
        """Record that an addition has not begun; its files stay in flight."""
        with self._db.write() as connection:
            _forget_hashes(connection, run.job_id, batch)
            _step(
                connection, run.job_id, run, JobState.ADDING, EventKind.ADDITION_SETTLED_NOT_BEGUN,
                batch=batch.id, attempt=batch.attempt, status=status, detail=detail,
            )  # fmt: skip

    def settle_by_hand(self, job_id: str, status: str | None, *, began: bool) -> None:
        """Take a person's word on whether the addition has begun whose outcome is wanted.

        Files that are there by a person's word have neither a receipt nor a hash.
        """
        batch, _, recorded = self.wanted(job_id)
        told: dict[str, Any] = {"began": began, "by": author(), "status": status}
        told |= {"batch": batch.id, "attempt": batch.attempt}
        with self._db.write() as connection:
            if recorded is None:  # nobody has looked since the run ended that had sent it
                lost = {"http_status": None, "detail": "the run ended before the answer"}
                end_attempt(connection, batch, AttemptOutcome.UNKNOWN, None, lost["detail"])
                append(
                    connection, job_id, None, EventKind.ADDITION_UNKNOWN,
                    batch=batch.id, attempt=batch.attempt, conflict=False, **lost,
                )  # fmt: skip
            _forget_hashes(connection, job_id, batch)
            if began:
                _arrived(connection, job_id, batch, author())
                told |= {"round": _begin(connection, job_id, batch, KnownBy.PERSON)}
                told |= {"files": len(batch.files), "size_bytes": batch.size_bytes}
                told |= {"digest": _digest(connection, job_id, batch)}
            _step(connection, job_id, None, JobState.ADDING, EventKind.ADDITION_SETTLED_BY_HAND, **told)

    # The end of a round

    def finish(self, run: Run, status: str) -> None:
        """Record that the server is done with the round that it was processing."""
        with self._db.write() as connection:
            number = _end(connection, run.job_id, RoundState.DONE, status, None)
            _step(
                connection, run.job_id, run, JobState.PROCESSING, EventKind.ROUND_FINISHED,
                round=number, status=status,
            )  # fmt: skip

    def fail(self, run: Run, status: str, message: str, *, requeue: bool) -> None:
        """Record that the server failed to process the round; with `requeue` its files are to be sent again."""
        with self._db.write() as connection:
            number = _end(connection, run.job_id, RoundState.FAILED, status, message)
            batch_id = connection.execute(
                sa.select(rounds.c.batch_id).where(rounds.c.job_id == run.job_id, rounds.c.number == number)
            ).scalar_one()
            where = _of(run.job_id, batch_id, FileState.SENT)
            count = connection.execute(sa.select(sa.func.count()).where(where)).scalar_one()
            if requeue:
                move(
                    connection, files, where, FileState.SENT, FileState.PENDING,
                    rows=count, sha256=None, reason=None, decided_by=None,
                )  # fmt: skip
            _step(
                connection, run.job_id, run, JobState.PROCESSING, EventKind.ROUND_FAILED, round=number,
                batch=batch_id, files=count, requeued=requeue, status=status, message=message,
            )  # fmt: skip

    def errored(self, run: Run, status: str, message: str | None) -> None:
        """Record that the whole dataset failed while the round was processed."""
        with self._db.write() as connection:
            _end(connection, run.job_id, RoundState.FAILED, status, message)
            connection.execute(sa.update(jobs).where(jobs.c.id == run.job_id), {"message": message})
            _step(connection, run.job_id, run, JobState.PROCESSING, EventKind.JOB_ERRORED, message=message)


def _step(
    connection: sa.Connection, job_id: str, run: Run | None, before: JobState, kind: EventKind, **facts: Any
) -> None:
    """Move the job as an event says, and record the event. What has come of an addition is true whoever holds the job."""
    after = JobState(str(kind.job_state(facts)))
    values: dict[str, Any] = {}
    if before is JobState.PROCESSING:
        if run is not None:
            assert_lease(connection, job_id, run.id)
        values["finished_at"] = clock.now()
    move(connection, jobs, jobs.c.id == job_id, before, after, **values)
    append(connection, job_id, None if run is None else run.id, kind, **facts)


def _begin(connection: sa.Connection, job_id: str, batch: Batch, known_by: KnownBy) -> int:
    last = sa.select(sa.func.max(rounds.c.number)).where(rounds.c.job_id == job_id)
    number = int(connection.execute(last).scalar_one() or FIRST) + 1
    connection.execute(
        rounds.insert(),
        {
            "job_id": job_id, "number": number, "batch_id": batch.id, "state": RoundState.PROCESSING,
            "known_by": known_by, "began_at": clock.now(),
        },
    )  # fmt: skip
    return number


def _end(connection: sa.Connection, job_id: str, state: RoundState, status: str, message: str | None) -> int:
    where = (rounds.c.job_id == job_id) & (rounds.c.state == RoundState.PROCESSING)
    number = int(connection.execute(sa.select(rounds.c.number).where(where)).scalar_one())
    ended: dict[str, Any] = {"state": state, "ended_at": clock.now(), "status": status, "message": message}
    connection.execute(sa.update(rounds).where(where), ended)
    return number


def _of(job_id: str, batch_id: int, state: FileState) -> sa.ColumnElement[bool]:
    """Return what holds for the files of a batch in one state; an index has those of a job."""
    return (files.c.job_id == job_id) & (files.c.state == state) & (files.c.batch_id == batch_id)


def _arrived(connection: sa.Connection, job_id: str, batch: Batch, by: str | None = None) -> int:
    """Call the files of a batch sent without a receipt, and return how many have no hash: there by word alone."""
    end_batch(connection, batch, BatchState.SENT)
    mine = _of(job_id, batch.id, FileState.IN_FLIGHT)
    without = sa.update(files).where(mine, files.c.sha256.is_(None))
    doubt = {"unknown_attempts": files.c.unknown_attempts + 1, "decided_by": by}
    unhashed: int = connection.execute(without.values(doubt)).rowcount
    move(connection, files, mine, FileState.IN_FLIGHT, FileState.SENT, rows=len(batch.files), reason=None)
    return unhashed


def _keep_hashes(connection: sa.Connection, sha256s: Mapping[int, str]) -> None:
    if sha256s:
        keep = sa.update(files).where(files.c.id == sa.bindparam("b_id"))
        rows = [{"b_id": file_id, "sha256": sha256} for file_id, sha256 in sha256s.items()]
        connection.execute(keep.values(sha256=sa.bindparam("sha256")), rows)


def _forget_hashes(connection: sa.Connection, job_id: str, batch: Batch) -> None:
    mine = _of(job_id, batch.id, FileState.IN_FLIGHT)
    connection.execute(sa.update(files).where(mine).values(sha256=None))


def _digest(connection: sa.Connection, job_id: str, batch: Batch) -> str:
    mine = select_files().where(_of(job_id, batch.id, FileState.SENT)).order_by(files.c.id)
    rows = map(file_row, connection.execute(mine))
    return rows_digest(SealedRow(path_to_text(row.path), row.sent_as, *row.facts, row.sha256) for row in rows)


def _assert_ready(connection: sa.Connection, job_id: str) -> None:
    """See that nothing of an addition is unknown: what is in flight then has certainly not been sent."""
    open_ones = sa.exists().where(
        batches.c.job_id == job_id, attempts.c.batch_id == batches.c.id, attempts.c.outcome.is_(None)
    )
    state = connection.execute(sa.select(jobs.c.state).where(jobs.c.id == job_id)).scalar_one()
    if state != JobState.READY or connection.execute(sa.select(open_ones)).scalar_one():
        raise AssertionError(f"job {job_id} is {state}, and what it has in flight may have been sent")


def _assert_alone(connection: sa.Connection, job_id: str) -> None:
    job = connection.execute(sa.select(jobs).where(jobs.c.id == job_id)).one()
    other = connection.execute(
        sa.select(jobs.c.id)
        .filter_by(source=job.source, name=job.name, base_url=job.base_url)
        .where(jobs.c.id != job_id, jobs.c.state.not_in(sorted(FINISHED)))
    ).scalar()
    if other is not None:
        raise UsageError(
            f"Job {other} is unfinished, and has the same folder, name and server as job {job_id}. Finish it with "
            f"`vl-ingest resume {other}`, or give it up with `vl-ingest cancel {other}`, before you add to job {job_id}."
        )


def _round(row: sa.Row[Any]) -> Round:
    began_at: datetime = row.began_at
    return Round(
        number=row.number, batch_id=row.batch_id, state=RoundState(row.state), known_by=KnownBy(row.known_by),
        files=row.file_count, size_bytes=row.size_bytes, began_at=began_at, ended_at=row.ended_at, status=row.status,
        message=row.message,
    )  # fmt: skip
