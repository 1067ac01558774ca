"""What a report reads: rows of files, batches, attempts and runs, joined and in order. A million stream."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from vl_ingest.domain.model import AttemptOutcome, BatchState, FileState
from vl_ingest.ledger.database import Database
from vl_ingest.ledger.tables import attempts, batches, files, jobs, runs

AT_LEAST_S = 5.0  # what took less says little about a long run

_SENT = (attempts.c.batch_id == batches.c.id) & (attempts.c.outcome == AttemptOutcome.SENT)


@dataclass(frozen=True)
class Throughput:
    """How fast a run has sent, from its first intent to its last receipt, its waiting included."""

    job_id: str
    run_number: int  # within the job
    bytes_per_s: float


class Audit:
    """Queries that change nothing and decide nothing."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def files(self, job_id: str, *, exceptional: bool = False) -> Iterator[sa.Row[Any]]:
        """Yield a job's files by path, each with the end and the acknowledged attempt of its batch.

        With `exceptional` only the exceptions: unsent, waived, in doubt, with a reason, or not in the dataset once.
        """
        query = (
            sa.select(
                files.c.path, files.c.sent_as, files.c.size_bytes, files.c.sha256, files.c.mtime_ns, files.c.state,
                files.c.batch_id, files.c.attempts, files.c.unknown_attempts, files.c.reason,
                files.c.decided_by, files.c.decided_why, files.c.listed, files.c.media_id, files.c.version, batches.c.ended_at, attempts.c.number, attempts.c.http_status,
            )
            .select_from(files.outerjoin(batches, batches.c.id == files.c.batch_id).outerjoin(attempts, _SENT))
            .where(files.c.job_id == job_id)
            .order_by(files.c.path, files.c.version)
        )  # fmt: skip
        if exceptional:
            plain = (
                (files.c.state == FileState.SENT)
                & (files.c.unknown_attempts == 0)
                & files.c.reason.is_(None)
                & (files.c.listed.is_(None) | (files.c.listed == 1))
            )
            query = query.where(~plain)
        yield from self._rows(query)

    def batches(self, job_id: str) -> Iterator[sa.Row[Any]]:
        """Yield a job's batches in order, each with how many attempts it had and how the last one ended."""
        count = sa.func.count(attempts.c.id).label("attempts")
        query = (
            sa.select(batches, count, sa.func.max(attempts.c.http_status).label("http_status"))
            .select_from(batches.outerjoin(attempts))
            .where(batches.c.job_id == job_id)
            .group_by(batches.c.id)
            .order_by(batches.c.id)
        )
        yield from self._rows(query)

    def attempts(self, job_id: str) -> Iterator[sa.Row[Any]]:
        """Yield every attempt that has ended, in the order they were begun, with its run and the size of its batch."""
        query = (
            sa.select(attempts, batches.c.size_bytes, batches.c.run_id)
            .select_from(attempts.join(batches))
            .where(batches.c.job_id == job_id, attempts.c.ended_at.is_not(None))
            .order_by(attempts.c.id)
        )
        yield from self._rows(query)

    def runs(self, job_id: str) -> Iterator[sa.Row[Any]]:
        """Yield a job's runs in order."""
        yield from self._rows(sa.select(runs).where(runs.c.job_id == job_id).order_by(runs.c.id))

    def throughput(self, base_url: str) -> Throughput | None:
        """Return how fast the newest run went that sent for `AT_LEAST_S` or longer to this server."""
        moved = sa.func.sum(batches.c.size_bytes).label("size_bytes")
        begun, ended = sa.func.min(batches.c.created_at), sa.func.max(batches.c.ended_at)
        query = (
            sa.select(batches.c.job_id, batches.c.run_id, moved, begun.label("begun"), ended.label("ended"))
            .join(jobs, jobs.c.id == batches.c.job_id)
            .where(jobs.c.base_url == base_url, batches.c.state == BatchState.SENT)
            .group_by(batches.c.run_id)
            .order_by(batches.c.run_id.desc())
        )
        for row in self._rows(query):
            seconds = (row.ended - row.begun).total_seconds()
            if seconds >= AT_LEAST_S:
                runs_of_job = [run.id for run in self.runs(row.job_id)]
                number = runs_of_job.index(row.run_id) + 1
                return Throughput(row.job_id, number, row.size_bytes / seconds)
        return None

    def _rows(self, query: sa.Select[Any]) -> Iterator[sa.Row[Any]]:
        with self._db.read() as connection:
            yield from connection.execute(query.execution_options(yield_per=1000))
