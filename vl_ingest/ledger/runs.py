"""Who holds a job: a run, by its lease, from when it takes the job until it ends, goes silent, or is succeeded.

Between hosts this decides; between the processes of one host `lock` has decided before.
"""

import os
from datetime import timedelta
from typing import Any

import sqlalchemy as sa

from vl_ingest import clock
from vl_ingest.domain.errors import JobHeld
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Run
from vl_ingest.ledger.author import host as this_host
from vl_ingest.ledger.database import Database
from vl_ingest.ledger.events import append
from vl_ingest.ledger.tables import events, jobs, runs

HEARTBEAT_EVERY_S = 20.0
LEASE_TERM = timedelta(seconds=120)  # a run that has not been heard of for longer is dead

_HOLDER = (
    sa.select(runs.c.id)
    .join(jobs, jobs.c.run_id == runs.c.id)
    .where(jobs.c.id == sa.bindparam("b_job"), runs.c.ended_at.is_(None))
)


def is_alive(run: Run | None) -> bool:
    """Return whether a run is at work: it has not ended, was heard of, and, on this host, its process exists."""
    if run is None or run.ended_at is not None or clock.now() - run.heartbeat_at >= LEASE_TERM:
        return False
    if run.host != this_host() or os.name != "posix":  # elsewhere a signal is no mere question
        return True
    try:
        os.kill(run.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # somebody else's
    return True


def assert_lease(connection: sa.Connection, job_id: str, run_id: int) -> None:
    """Raise `JobHeld` unless the run still holds the job and has not ended; looked at before every effect."""
    holder = connection.execute(_HOLDER, {"b_job": job_id}).scalar()
    if holder != run_id:
        why = "it has ended" if holder is None else "another run has taken over"
        raise JobHeld(f"This run of job {job_id} stops sending: {why}.")


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

    def outcome(self, job_id: str) -> int | None:
        """Return the exit code of the last run; None where it has none, or a person has settled since what stopped it."""
        settled = (
            EventKind.TRIGGER_SETTLED_BY_HAND,
            EventKind.FILES_SETTLED_BY_HAND,
            EventKind.REPROCESS_SETTLED_BY_HAND,
            EventKind.ADDITION_SETTLED_BY_HAND,
            EventKind.ROUND_FINISHED,  # by a person's word, where no run has ended since
            EventKind.ROUND_FAILED,
        )
        ends = [EventKind.RUN_ENDED, *settled]
        query = sa.select(events.c.kind).where(events.c.job_id == job_id, events.c.kind.in_(ends))
        with self._db.read() as connection:
            last = connection.execute(query.order_by(events.c.number.desc()).limit(1)).scalar()
        run = self.last(job_id) if last == EventKind.RUN_ENDED else None
        return None if run is None else run.exit_code

    def numbers(self, job_id: str) -> dict[int, int]:
        """Return the number of each run within its job, from 1, by the run's id: what people are told."""
        query = sa.select(runs.c.id).where(runs.c.job_id == job_id).order_by(runs.c.id)
        with self._db.read() as connection:
            return {run_id: n for n, run_id in enumerate(connection.execute(query).scalars(), 1)}

    def take(self, job_id: str, host: str, pid: int, version: str) -> Run:
        """Begin a run that holds the job, whichever held it before. Raises `JobHeld` as `assert_free` does."""
        now = clock.now()
        new = {"job_id": job_id, "host": host, "pid": pid, "version": version}
        with self._db.write() as connection:
            _assert_free(connection, job_id, host)
            run_id = connection.execute(
                runs.insert().values(**new, started_at=now, heartbeat_at=now).returning(runs.c.id)
            ).scalar_one()
            connection.execute(
                sa.update(jobs).where(jobs.c.id == job_id).values(run_id=run_id, scan_run_id=None)
            )
            append(connection, job_id, run_id, EventKind.RUN_STARTED, host=host, pid=pid, version=version)
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

    def wait(self, run: Run, what: str | None) -> None:
        """Keep in the run's row what it waits for, from now on; None: it does not wait any more."""
        values = {"waiting_for": what, "waiting_since": None if what is None else clock.now()}
        with self._db.write() as connection:
            connection.execute(sa.update(runs).where(runs.c.id == run.id).values(**values))

    def end(self, run: Run, exit_code: int) -> None:
        """Record that the run is over, and how."""
        ended = {"ended_at": clock.now(), "exit_code": exit_code, "waiting_for": None, "waiting_since": None}
        with self._db.write() as connection:
            connection.execute(sa.update(runs).where(runs.c.id == run.id).values(**ended))
            append(connection, run.job_id, run.id, EventKind.RUN_ENDED, exit_code=exit_code)


class Lease:
    """A run's right to work on its job, which others see expire unless it is renewed."""

    def __init__(self, runs: Runs, run: Run) -> None:
        self._runs = runs
        self._run = run
        self._next = clock.monotonic() + HEARTBEAT_EVERY_S
        self._waiting_for: str | None = None

    def wait_for(self, what: str | None) -> None:
        """Let others see what the run waits for; written only where it has changed."""
        if what != self._waiting_for:
            self._runs.wait(self._run, what)
            self._waiting_for = what

    def keep(self) -> None:
        """Renew it, if it is time. Raises `JobHeld` if it is lost."""
        if clock.monotonic() >= self._next:
            self._runs.beat(self._run)
            self._next = clock.monotonic() + HEARTBEAT_EVERY_S


def _assert_free(connection: sa.Connection, job_id: str, host: str) -> None:
    unended = sa.select(runs).where(runs.c.job_id == job_id, runs.c.host != host, runs.c.ended_at.is_(None))
    for other in map(_run, connection.execute(unended)):
        if is_alive(other):
            heard_s = (clock.now() - other.heartbeat_at).total_seconds()
            raise JobHeld(
                f"Job {job_id} is held by a run on {other.host} (pid {other.pid}), last heartbeat {heard_s:.0f} s ago. "
                "Try again when it has ended."
            )


def _run(row: sa.Row[Any]) -> Run:
    return Run(**{field: row._mapping[field] for field in Run.__dataclass_fields__})
