"""Whole jobs: copied out of the ledger, or taken out of it."""

import sqlalchemy as sa

from vl_ingest.ledger.database import Database
from vl_ingest.ledger.tables import attempts, batches, events, files, jobs, rounds, runs

TOGETHER = 1000  # rows written at once


class Retention:
    """Copying and deleting all rows of a job."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def copy(self, job_id: str, target: Database) -> None:
        """Write every row of a job, as it stands, into another ledger, or nothing of it."""
        with self._db.snapshot(), self._db.read() as source, target.write() as connection:
            for table, where in _rows(job_id):
                query = sa.select(table).where(where).order_by(*table.primary_key)
                rows = source.execute(query.execution_options(yield_per=TOGETHER))
                for part in rows.mappings().partitions():
                    connection.execute(table.insert(), [dict(row) for row in part])

    def delete(self, job_id: str) -> None:
        """Delete every row of a job."""
        with self._db.write() as connection:
            for table, where in reversed(_rows(job_id)):
                connection.execute(sa.delete(table).where(where))

    def compact(self) -> None:
        """Give the space of deleted rows back to the file system; wants as much again while it works."""
        self._db.compact()


def _rows(job_id: str) -> list[tuple[sa.Table, sa.ColumnElement[bool]]]:
    """Return which rows of which tables are a job's; what refers to others stands behind them."""
    own_batches = sa.select(batches.c.id).where(batches.c.job_id == job_id)
    return [
        (jobs, jobs.c.id == job_id),
        (runs, runs.c.job_id == job_id),
        (batches, batches.c.job_id == job_id),
        (attempts, attempts.c.batch_id.in_(own_batches)),
        (rounds, rounds.c.job_id == job_id),
        (files, files.c.job_id == job_id),
        (events, events.c.job_id == job_id),
    ]
