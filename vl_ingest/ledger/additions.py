"""Additions, one request each, which is upload and trigger in one: the intent, and its receipt or what settled it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from vl_ingest.domain.errors import FileTrouble, UsageError
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import (
    FINISHED,
    AttemptOutcome,
    Batch,
    BatchState,
    FileRow,
    FileState,
    JobState,
    Run,
)
from vl_ingest.domain.naming import path_to_text
from vl_ingest.domain.rounds import DIED, Doubt, KnownBy
from vl_ingest.ledger import doubts
from vl_ingest.ledger.author import author
from vl_ingest.ledger.batches import end_attempt, end_batch, insert_attempt, make_batch, set_aside
from vl_ingest.ledger.chain import SealedRow, rows_digest
from vl_ingest.ledger.database import Database
from vl_ingest.ledger.events import append, read_events
from vl_ingest.ledger.exchange import Receipt, record
from vl_ingest.ledger.files import file_row, select_files
from vl_ingest.ledger.guard import move, move_each
from vl_ingest.ledger.rounds import begin
from vl_ingest.ledger.runs import assert_lease
from vl_ingest.ledger.tables import attempts, batches, files, jobs

_OUTCOMES = {
    EventKind.ADDITION_NOT_DELIVERED: AttemptOutcome.NOT_DELIVERED,
    EventKind.ADDITION_REFUSED: AttemptOutcome.REFUSED,
}


class Additions:
    """Every query that makes or settles an addition."""

    def __init__(self, db: Database) -> None:
        self._db = db

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
        """Give back what is in flight and was certainly not sent; return how many files that is.

        A batch in doubt stays together: only whole can it be held against what the server shows.
        """
        released = 0
        with self._db.write() as connection:
            assert_lease(connection, run.job_id, run.id)
            _assert_ready(connection, run.job_id)
            for batch in doubts.in_flight(connection, run.job_id):
                if doubts.about(connection, run.job_id, batch) is not None:
                    continue
                end_batch(connection, batch, BatchState.FAILED)
                mine, count = doubts.of_batch(run.job_id, batch.id, FileState.IN_FLIGHT), len(batch.files)
                move(connection, files, mine, FileState.IN_FLIGHT, FileState.PENDING, rows=count, sha256=None)
                append(
                    connection, run.job_id, run.id, EventKind.BATCH_ABANDONED,
                    batch=batch.id, state=BatchState.FAILED, files=count, lost_answers=0, died=False,
                )  # fmt: skip
                released += count
        return released

    def kept(self, job_id: str) -> list[Batch]:
        """Return what `release` keeps together, in order: to be sent before anything else."""
        with self._db.read() as connection:
            return doubts.in_flight(connection, job_id)

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
            # One that was kept in doubt is sent by another run than the one that made it.
            connection.execute(sa.update(batches).where(batches.c.id == batch.id).values(run_id=run.id))
            mine = doubts.of_batch(run.job_id, batch.id, FileState.IN_FLIGHT)
            connection.execute(sa.update(files).where(mine).values(attempts=files.c.attempts + 1))
            append(
                connection, run.job_id, run.id, EventKind.ADDITION_INTENDED, batch=batch.id, attempt=number,
                files=len(batch.files), size_bytes=batch.size_bytes, **before,
            )  # fmt: skip
        return replace(batch, attempt=number)

    # Doubts

    def doubt(self, job_id: str, batch: Batch) -> Doubt | None:
        """Return what is in doubt of a batch; None where nothing is."""
        with self._db.read() as connection:
            return doubts.about(connection, job_id, batch)

    def may_come_again(self, job_id: str) -> set[str]:
        """Return the names of files that were added, of which an earlier request may still be carried out."""
        added = sa.select(batches.c.id).where(batches.c.job_id == job_id, batches.c.transaction_id.is_(None))
        query = sa.select(files.c.sent_as).where(
            files.c.job_id == job_id,
            files.c.state == FileState.SENT,
            files.c.unknown_attempts > 0,
            files.c.batch_id.in_(added),
        )
        with self._db.read() as connection:
            return set(connection.execute(query).scalars())

    def wanted(self, job_id: str) -> tuple[Batch, Doubt]:
        """Return the addition whose outcome is wanted, of a job that is `adding`, and what is on record of it."""
        with self._db.read() as connection:
            kinds = (EventKind.ADDITION_INTENDED, EventKind.ADDITION_DOUBTED)
            *_, last = read_events(connection, job_id, kinds)
            batch = next(one for one in doubts.in_flight(connection, job_id) if one.id == last.facts["batch"])
            found = doubts.about(connection, job_id, batch)
        if found is None:
            raise AssertionError(f"job {job_id} is adding, and no outcome is unknown")
        return batch, found

    def unknown(
        self, run: Run, batch: Batch, http_status: int | None, detail: str, sha256s: Sequence[str], *, conflict: bool
    ) -> None:  # fmt: skip
        """Record that the outcome of a request is unknown: each file is in doubt, and the hashes of what went out are kept.

        `conflict`: the answer was no, which may be about another request.
        """
        with self._db.write() as connection:
            hashes = dict(zip((file.id for file in batch.files), sha256s, strict=False))
            _unknown(connection, run.job_id, run, batch, http_status, detail, hashes, conflict=conflict)

    def doubt_again(self, run: Run, batch: Batch, status: str, detail: str) -> None:
        """Record that what the server shows puts a batch in doubt again, which had been settled as not added."""
        with self._db.write() as connection:
            assert_lease(connection, run.job_id, run.id)
            _step(
                connection, run.job_id, run, JobState.READY, EventKind.ADDITION_DOUBTED,
                batch=batch.id, status=status, detail=detail,
            )  # fmt: skip

    # Receipts, and what stands for one

    def acknowledge(self, run: Run, batch: Batch, sha256s: Sequence[str], http_status: int) -> int:
        """Record the server's receipt, and with it the round that it begins; return its number. A lost lease does not matter."""
        with self._db.write() as connection:
            record(connection, run, [Receipt(batch, sha256s, http_status)])
            number = begin(connection, run.job_id, batch, KnownBy.RECEIPT)
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

    def settle_begun(
        self, run: Run, batch: Batch, known_by: KnownBy, status: str, detail: str, sha256s: Mapping[int, str],
        *, once: bool,
    ) -> int:  # fmt: skip
        """Record that what the server shows proves that an addition began; return the number of its round.

        `sha256s` are the hashes of files, by id, that are not in their rows; a file without one has no hash. With `once` the
        request is no doubt any more of a file that has one: what is left are those before it.
        """
        with self._db.write() as connection:
            _keep_hashes(connection, sha256s)
            hashed = doubts.of_batch(run.job_id, batch.id, FileState.IN_FLIGHT) & files.c.sha256.is_not(None)
            cleared = doubts.unmark(connection, hashed) if once else 0
            _arrived(connection, run.job_id, batch)
            number = begin(connection, run.job_id, batch, known_by)
            _step(
                connection, run.job_id, run, JobState.ADDING, EventKind.ADDITION_SETTLED_BEGUN, round=number,
                batch=batch.id, attempt=batch.attempt, files=len(batch.files), size_bytes=batch.size_bytes,
                digest=_digest(connection, run.job_id, batch), doubts=cleared, known_by=known_by, status=status, detail=detail,
            )  # fmt: skip
        return number

    def settle_not_begun(
        self, run: Run, batch: Batch, status: str, detail: str, seen: Mapping[str, Any], *, certain: bool
    ) -> None:
        """Record that an addition has not begun; its files stay in flight, and in doubt unless that is `certain`.

        `seen` is what later looks are held against, where something had changed that this was not; empty: what it was before.
        """
        with self._db.write() as connection:
            _forget_hashes(connection, run.job_id, batch)
            mine = doubts.of_batch(run.job_id, batch.id, FileState.IN_FLIGHT)
            cleared = doubts.unmark(connection, mine) if certain else 0
            _step(
                connection, run.job_id, run, JobState.ADDING, EventKind.ADDITION_SETTLED_NOT_BEGUN,
                **{**seen, "batch": batch.id, "attempt": batch.attempt, "doubts": cleared, "status": status, "detail": detail},
            )  # fmt: skip

    def settle_by_hand(self, job_id: str, status: str | None, *, began: bool) -> None:
        """Take a person's word on whether the addition has begun whose outcome is wanted.

        Files that are there by a person's word have neither a receipt nor a hash; those that are not have no doubt any more.
        """
        batch, found = self.wanted(job_id)
        told: dict[str, Any] = {"began": began, "by": author(), "status": status, "doubts": 0}
        told |= {"batch": batch.id, "attempt": batch.attempt}
        with self._db.write() as connection:
            if not found.answered:  # nobody has looked since the run ended that had sent it
                _unknown(connection, job_id, None, batch, None, DIED, {}, conflict=False)
            _forget_hashes(connection, job_id, batch)
            if began:
                _arrived(connection, job_id, batch, author())
                told |= {"round": begin(connection, job_id, batch, KnownBy.PERSON)}
                told |= {"files": len(batch.files), "size_bytes": batch.size_bytes}
                told |= {"digest": _digest(connection, job_id, batch)}
            else:
                told["doubts"] = doubts.clear(
                    connection, doubts.of_batch(job_id, batch.id, FileState.IN_FLIGHT)
                )
            _step(connection, job_id, None, JobState.ADDING, EventKind.ADDITION_SETTLED_BY_HAND, **told)


def _step(
    connection: sa.Connection, job_id: str, run: Run | None, before: JobState, kind: EventKind, **facts: Any
) -> None:
    """Move the job as an event says, and record the event.

    A run must hold the job for it, but for one thing: that an addition has begun is true whoever says it.
    """
    after = JobState(str(kind.job_state(facts)))
    if run is not None and after is not JobState.PROCESSING:
        assert_lease(connection, job_id, run.id)
    move(connection, jobs, jobs.c.id == job_id, before, after)
    append(connection, job_id, None if run is None else run.id, kind, **facts)


def _unknown(
    connection: sa.Connection, job_id: str, run: Run | None, batch: Batch, http_status: int | None, detail: str,
    hashes: Mapping[int, str], *, conflict: bool,
) -> None:  # fmt: skip
    end_attempt(connection, batch, AttemptOutcome.UNKNOWN, http_status, detail)
    _keep_hashes(connection, hashes)
    doubts.mark(connection, doubts.of_batch(job_id, batch.id, FileState.IN_FLIGHT))
    append(
        connection, job_id, None if run is None else run.id, EventKind.ADDITION_UNKNOWN, batch=batch.id,
        attempt=batch.attempt, files=len(batch.files), http_status=http_status, detail=detail, conflict=conflict,
    )  # fmt: skip


def _arrived(connection: sa.Connection, job_id: str, batch: Batch, by: str | None = None) -> None:
    """Call the files of a batch sent without a receipt; those without a hash are there by word alone."""
    end_batch(connection, batch, BatchState.SENT)
    mine = doubts.of_batch(job_id, batch.id, FileState.IN_FLIGHT)
    connection.execute(sa.update(files).where(mine, files.c.sha256.is_(None)).values(decided_by=by))
    move(connection, files, mine, FileState.IN_FLIGHT, FileState.SENT, rows=len(batch.files), reason=None)


def _keep_hashes(connection: sa.Connection, sha256s: Mapping[int, str]) -> None:
    if sha256s:
        keep = sa.update(files).where(files.c.id == sa.bindparam("b_id"))
        rows = [{"b_id": file_id, "sha256": sha256} for file_id, sha256 in sha256s.items()]
        connection.execute(keep.values(sha256=sa.bindparam("sha256")), rows)


def _forget_hashes(connection: sa.Connection, job_id: str, batch: Batch) -> None:
    mine = doubts.of_batch(job_id, batch.id, FileState.IN_FLIGHT)
    connection.execute(sa.update(files).where(mine).values(sha256=None))


def _digest(connection: sa.Connection, job_id: str, batch: Batch) -> str:
    mine = select_files().where(doubts.of_batch(job_id, batch.id, FileState.SENT)).order_by(files.c.id)
    rows = map(file_row, connection.execute(mine))
    return rows_digest(SealedRow(path_to_text(row.path), row.sent_as, *row.facts, row.sha256) for row in rows)


def _assert_ready(connection: sa.Connection, job_id: str) -> None:
    """See that no request is open: what is in flight without one has certainly not been sent."""
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
