"""The append-only history of a job: every decision and effect, in the order it was recorded."""

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from vl_ingest import clock
from vl_ingest.db import Database
from vl_ingest.model import Event
from vl_ingest.naming import path_to_text
from vl_ingest.tables import events


def append(connection: sa.Connection, job_id: str, run_id: int | None, kind: str, **facts: Any) -> None:
    """Add one event to the transaction that makes it true. Paths among the facts become text."""
    for key in facts.keys() & {"path", "source"}:
        facts[key] = path_to_text(facts[key])
    connection.execute(
        events.insert(),
        {"job_id": job_id, "run_id": run_id, "at": clock.now(), "kind": kind, "facts": facts},
    )


class Events:
    """Reading the history."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def history(self, job_id: str, *kinds: str) -> Iterator[Event]:
        """Yield the events of a job in order; only those of `kinds`, if any are named."""
        query = sa.select(events).where(events.c.job_id == job_id).order_by(events.c.id)
        if kinds:
            query = query.where(events.c.kind.in_(kinds))
        with self._db.read() as connection:
            for row in connection.execute(query.execution_options(yield_per=1000)):
                yield Event(**row._mapping)

    def last(self, job_id: str, *kinds: str) -> Event | None:
        """Return the newest event of one of these kinds."""
        query = (
            sa.select(events)
            .where(events.c.job_id == job_id, events.c.kind.in_(kinds))
            .order_by(events.c.id.desc())
            .limit(1)
        )
        with self._db.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else Event(**row._mapping)

    def count(self, job_id: str, kind: str) -> int:
        """Return how often something has happened to a job."""
        query = sa.select(sa.func.count()).where(events.c.job_id == job_id, events.c.kind == kind)
        with self._db.read() as connection:
            return connection.execute(query).scalar_one()
