"""Runs: who holds a job, and since when nothing was heard of it."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from vl_ingest import clock
from vl_ingest.domain.errors import JobHeld
from vl_ingest.domain.model import Run
from vl_ingest.ledger.database import Database
from vl_ingest.ledger.events import append
from vl_ingest.ledger.guard import assert_lease
from vl_ingest.ledger.tables import jobs, runs

LEASE = timedelta(seconds=120)  # a run on another host that has not been heard of for longer is dead


class Runs:
    """Every query on runs and their leases."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def last(self, job_id: str) -> Run | None:
        """Return the newest run of a job."""
        query = sa.select(runs).where(runs.c.job_id == job_id).order_by(runs.c.id.desc()).limit(1)
        with self._db.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else _run(row)

    def take(self, job_id: str, host: str, pid: int, version: str) -> Run:
        """Begin a run that holds the job. Raises `JobHeld` while a run on another host is alive.

        On this host the operating system's lock has already decided (see `lock`).
        """
        now = clock.now()
        with self._db.write() as connection:
            _assert_free(connection, job_id, host)
            run_id = connection.execute(
                runs.insert()
                .values(job_id=job_id, host=host, pid=pid, version=version, started_at=now, heartbeat_at=now)
                .returning(runs.c.id)
            ).scalar_one()
            connection.execute(
                sa.update(jobs).where(jobs.c.id == job_id).values(run_id=run_id, scan_run_id=None)
            )
            append(connection, job_id, run_id, "run_started", host=host, pid=pid, version=version)
            return _run(connection.execute(sa.select(runs).where(runs.c.id == run_id)).one())

    def assert_free(self, job_id: str, host: str) -> None:
        """Raise `JobHeld` while a run on a host other than this one is alive."""
        with self._db.read() as connection:
            _assert_free(connection, job_id, host)

    def beat(self, run: Run) -> None:
        """Renew the run's lease. Raises `JobHeld` if another run has taken the job over."""
        with self._db.write() as connection:
            assert_lease(connection, run.job_id, run.id)
            connection.execute(sa.update(runs).where(runs.c.id == run.id).values(heartbeat_at=clock.now()))

    def end(self, run: Run, exit_code: int) -> None:
        """Record that the run is over, and how."""
        with self._db.write() as connection:
            connection.execute(
                sa.update(runs).where(runs.c.id == run.id).values(ended_at=clock.now(), exit_code=exit_code)
            )
            append(connection, run.job_id, run.id, "run_ended", exit_code=exit_code)


def _assert_free(connection: sa.Connection, job_id: str, host: str) -> None:
    now = clock.now()
    alive = connection.execute(
        sa.select(runs).where(
            runs.c.job_id == job_id, runs.c.host != host, runs.c.ended_at.is_(None),
            runs.c.heartbeat_at > now - LEASE,
        )
    ).first()  # fmt: skip
    if alive is not None:
        raise JobHeld(
            f"Job {job_id} is held by a run on {alive.host} (pid {alive.pid}), heard of "
            f"{(now - alive.heartbeat_at).total_seconds():.0f} s ago. Try again when it has ended."
        )


def _run(row: sa.Row[Any]) -> Run:
    return Run(**{field: row._mapping[field] for field in Run.__dataclass_fields__})
