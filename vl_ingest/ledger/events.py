"""The append-only history of a job: every decision and effect, in the order it was recorded, sealed as a chain."""

from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from vl_ingest import clock
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Event
from vl_ingest.domain.naming import path_to_text
from vl_ingest.ledger.author import host, user
from vl_ingest.ledger.chain import event_hash
from vl_ingest.ledger.database import Database
from vl_ingest.ledger.statements import executemany, stored
from vl_ingest.ledger.tables import events, jobs

_HEAD = (
    sa.select(jobs.c.event_count, jobs.c.event_head)
    .where(jobs.c.id == sa.bindparam("b_job"))
    .with_for_update()  # two writers must not continue the same head; SQLite has one writer anyway
)
_MOVE_HEAD = sa.update(jobs).where(jobs.c.id == sa.bindparam("b_job"))
_NEW = sa.insert(events)
_FIELDS = ("job_id", "number", "run_id", "host", "user", "at", "kind", "facts", "hash")


def append(connection: sa.Connection, job_id: str, run_id: int | None, kind: EventKind, **facts: Any) -> None:
    """Add one event to the transaction that makes it true. Paths among the facts become text."""
    append_all(connection, job_id, run_id, kind, [facts])


def append_all(
    connection: sa.Connection,
    job_id: str,
    run_id: int | None,
    kind: EventKind,
    told: Sequence[dict[str, Any]],
) -> None:
    """Add several events of one kind, in order: those with the facts in `told`."""
    count, head = connection.execute(_HEAD, {"b_job": job_id}).one()
    at_stored, facts_stored = (stored(column, connection.dialect) for column in (events.c.at, events.c.facts))
    rows: list[tuple[Any, ...]] = []
    for facts in told:
        for key in facts.keys() & {"path", "source"}:
            facts[key] = path_to_text(facts[key])
        count += 1
        at, this_host, this_user = clock.now(), host(), user()
        head = event_hash(
            previous=head, number=count, job_id=job_id, run_id=run_id, at=at, host=this_host, user=this_user,
            kind=kind.value, facts=facts,
        )  # fmt: skip
        rows.append(
            (
                job_id,
                count,
                run_id,
                this_host,
                this_user,
                at_stored(at),
                kind.value,
                facts_stored(facts),
                head,
            )
        )
    executemany(connection, _NEW, _FIELDS, rows)
    connection.execute(_MOVE_HEAD, {"b_job": job_id, "event_count": count, "event_head": head})


def read_events(connection: sa.Connection, job_id: str, kinds: Sequence[str]) -> list[Event]:
    """Return the events of these kinds, in order, as the transaction sees them."""
    query = (
        sa.select(events).where(events.c.job_id == job_id, events.c.kind.in_(kinds)).order_by(events.c.number)
    )
    return [Event(**row._mapping) for row in connection.execute(query)]


def record_upgrade(connection: sa.Connection, before: str, after: str) -> None:
    """Add to each job's history that the ledger's schema has changed."""
    for job_id in connection.execute(sa.select(jobs.c.id)).scalars().all():
        append(connection, job_id, None, EventKind.LEDGER_UPGRADED, before=before, after=after)


class Events:
    """Reading the history."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def history(self, job_id: str, *kinds: str, after: int = 0, limit: int | None = None) -> Iterator[Event]:
        """Yield the events of a job in order, up to `limit` behind number `after`; only those of `kinds`, if any are named."""
        query = sa.select(events).where(events.c.job_id == job_id, events.c.number > after)
        if kinds:
            query = query.where(events.c.kind.in_(kinds))
        query = query.order_by(events.c.number).limit(limit)
        with self._db.read() as connection:
            for row in connection.execute(query.execution_options(yield_per=1000)):
                yield Event(**row._mapping)

    def last(self, job_id: str, *kinds: str) -> Event | None:
        """Return the newest event, of one of `kinds` if any are named."""
        query = sa.select(events).where(events.c.job_id == job_id)
        if kinds:
            query = query.where(events.c.kind.in_(kinds))
        with self._db.read() as connection:
            row = connection.execute(query.order_by(events.c.number.desc()).limit(1)).one_or_none()
        return None if row is None else Event(**row._mapping)

    def delivered_from(self, job_id: str) -> dict[str, tuple[int, int]]:
        """Return which other hosts have delivered for a job -> how many files, how many bytes."""
        facts = events.c.facts
        host, told = facts["host"].as_string(), [facts[name].as_integer() for name in ("files", "size_bytes")]
        query = (
            sa.select(host, *map(sa.func.sum, told))
            .where(events.c.job_id == job_id, events.c.kind == EventKind.BATCH_SENT, host.is_not(None))
            .group_by(host)
            .order_by(host)
        )
        if not self.count(job_id, EventKind.COURIERS_AWAY):
            return {}
        with self._db.read() as connection:
            return {name: (int(files), int(size)) for name, files, size in connection.execute(query)}

    def count(self, job_id: str, kind: str) -> int:
        """Return how often something has happened to a job."""
        query = sa.select(sa.func.count()).where(events.c.job_id == job_id, events.c.kind == kind)
        with self._db.read() as connection:
            return connection.execute(query).scalar_one()
