"""Rounds by addition: those that began, and their ends."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from vl_ingest import clock
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Batch, FileState, JobState, Run
from vl_ingest.domain.rounds import FIRST, KnownBy, Round, RoundState
from vl_ingest.ledger import doubts
from vl_ingest.ledger.author import author
from vl_ingest.ledger.database import Database
from vl_ingest.ledger.events import append
from vl_ingest.ledger.files import file_row, inferred, select_files
from vl_ingest.ledger.guard import move
from vl_ingest.ledger.runs import assert_lease
from vl_ingest.ledger.tables import batches, files, jobs, rounds


class Rounds:
    """Every query on rounds that began, and what ends them."""

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

    def batch(self, job_id: str) -> Batch:
        """Return the files of the round that is processed."""
        query = sa.select(rounds.c.batch_id).where(
            rounds.c.job_id == job_id, rounds.c.state == RoundState.PROCESSING
        )
        with self._db.read() as connection:
            batch_id = connection.execute(query).scalar_one()
            mine = (
                select_files().where(doubts.of_batch(job_id, batch_id, FileState.SENT)).order_by(files.c.id)
            )
            return Batch(batch_id, tuple(map(file_row, connection.execute(mine))), 0)

    def inferred(self, job_id: str) -> tuple[int, int]:
        """Return how many files are sent without a receipt because the server shows that they arrived, and their bytes."""
        query = sa.select(sa.func.count(), sa.func.sum(files.c.size_bytes)).where(_inferred_files(job_id))
        with self._db.read() as connection:
            if not connection.execute(sa.select(inferred(job_id).exists())).scalar_one():
                return 0, 0  # nearly always, and without reading all files
            count, size_bytes = connection.execute(query).one()
        return count, int(size_bytes or 0)

    def inferred_files(self, job_id: str, among: Collection[int] | None = None) -> set[int]:
        """Return the ids of these files; only of those `among` the given ones, if there are any given."""
        query = sa.select(files.c.id).where(_inferred_files(job_id))
        if among is not None:
            query = query.where(files.c.id.in_(among))
        with self._db.read() as connection:
            if not connection.execute(sa.select(inferred(job_id).exists())).scalar_one():
                return set()
            return set(connection.execute(query).scalars())

    def finish(self, run: Run, status: str) -> None:
        """Record that the server is done with the round that it was processing."""
        self._finish(run.job_id, run, status, {})

    def fail(self, run: Run, status: str, message: str) -> None:
        """Record that the server failed to process the round: its files are to be sent again, in doubt."""
        self._fail(run.job_id, run, status, message, {})

    def settle_by_hand(self, job_id: str, status: str, *, done: bool) -> None:
        """Take a person's word on whether the files of a round are in the dataset; if not, they are to be sent again, in doubt."""
        told = {"by": author()}
        if done:
            self._finish(job_id, None, status, told)
        else:
            self._fail(job_id, None, status, f"not there, says {told['by']}", told)

    def take_up(self, run: Run) -> bool:
        """Open the last round again if it ended with an error of the dataset and nobody knows what became of its files.

        Earlier versions ended a round so. Returns whether it was; the job is `processing` then.
        """
        job_id, last = run.job_id, self.all(run.job_id)[-1:]
        if not last or last[0].state is not RoundState.FAILED:
            return False
        sent = sa.select(sa.exists().where(doubts.of_batch(job_id, last[0].batch_id, FileState.SENT)))
        errored = (jobs.c.id == job_id) & (jobs.c.state == JobState.ERRORED)
        with self._db.write() as connection:
            assert_lease(connection, job_id, run.id)
            if not connection.execute(sent).scalar_one():
                return False
            where = (rounds.c.job_id == job_id) & (rounds.c.number == last[0].number)
            connection.execute(
                sa.update(rounds)
                .where(where)
                .values(state=RoundState.PROCESSING, ended_at=None, status=None, message=None)
            )
            if connection.execute(sa.select(sa.exists().where(errored))).scalar_one():
                move(connection, jobs, errored, JobState.ERRORED, JobState.PROCESSING, message=None)
            append(connection, job_id, run.id, EventKind.ROUND_TAKEN_UP, round=last[0].number)
        return True

    def _finish(self, job_id: str, run: Run | None, status: str, told: Mapping[str, Any]) -> None:
        with self._db.write() as connection:
            number, _ = _end(connection, job_id, RoundState.DONE, status, None)
            _step(connection, job_id, run, EventKind.ROUND_FINISHED, round=number, status=status, **told)

    def _fail(self, job_id: str, run: Run | None, status: str, message: str, told: Mapping[str, Any]) -> None:
        with self._db.write() as connection:
            number, batch_id = _end(connection, job_id, RoundState.FAILED, status, message)
            where = doubts.of_batch(job_id, batch_id, FileState.SENT)
            count = connection.execute(sa.select(sa.func.count()).where(where)).scalar_one()
            doubts.mark(connection, where)
            move(
                connection, files, where, FileState.SENT, FileState.PENDING,
                rows=count, sha256=None, reason=None, decided_by=None,
            )  # fmt: skip
            _step(
                connection, job_id, run, EventKind.ROUND_FAILED, round=number, batch=batch_id, files=count,
                doubts=count, status=status, message=message, **told,
            )  # fmt: skip


def _inferred_files(job_id: str) -> sa.ColumnElement[bool]:
    return sa.and_(
        files.c.job_id == job_id, files.c.state == FileState.SENT, files.c.batch_id.in_(inferred(job_id))
    )


def begin(connection: sa.Connection, job_id: str, batch: Batch, known_by: KnownBy) -> int:
    """Make the round of an addition that began, and return its number."""
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


def _step(connection: sa.Connection, job_id: str, run: Run | None, kind: EventKind, **facts: Any) -> None:
    """Take the job from `processing` to where an event leads, and record the event."""
    if run is not None:
        assert_lease(connection, job_id, run.id)
    after = JobState(str(kind.job_state(facts)))
    move(connection, jobs, jobs.c.id == job_id, JobState.PROCESSING, after, finished_at=clock.now())
    append(connection, job_id, None if run is None else run.id, kind, **facts)


def _end(
    connection: sa.Connection, job_id: str, state: RoundState, status: str, message: str | None
) -> tuple[int, int]:
    """End the round that is processed; return its number and its batch."""
    where = (rounds.c.job_id == job_id) & (rounds.c.state == RoundState.PROCESSING)
    number, batch_id = connection.execute(sa.select(rounds.c.number, rounds.c.batch_id).where(where)).one()
    ended: dict[str, Any] = {"state": state, "ended_at": clock.now(), "status": status, "message": message}
    connection.execute(sa.update(rounds).where(where), ended)
    return number, batch_id


def _round(row: sa.Row[Any]) -> Round:
    began_at: datetime = row.began_at
    return Round(
        number=row.number, batch_id=row.batch_id, state=RoundState(row.state), known_by=KnownBy(row.known_by),
        files=row.file_count, size_bytes=row.size_bytes, began_at=began_at, ended_at=row.ended_at, status=row.status,
        message=row.message,
    )  # fmt: skip
