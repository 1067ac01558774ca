"""Doubts about what may have been delivered: the marks that files carry, and what is on record of a batch of an addition."""

from dataclasses import replace

import sqlalchemy as sa

from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Batch, BatchState, FileState
from vl_ingest.domain.rounds import Doubt, doubt_of, loose_of
from vl_ingest.ledger.events import read_events
from vl_ingest.ledger.files import file_row, select_files
from vl_ingest.ledger.tables import attempts, batches, files

_TOLD = (
    EventKind.ADDITION_INTENDED, EventKind.ADDITION_UNKNOWN, EventKind.ADDITION_NOT_DELIVERED,
    EventKind.ADDITION_REFUSED, EventKind.ADDITION_SETTLED_BEGUN, EventKind.ADDITION_SETTLED_NOT_BEGUN,
    EventKind.ADDITION_SETTLED_BY_HAND,
)  # fmt: skip


def mark(connection: sa.Connection, where: sa.ColumnElement[bool]) -> None:
    """Mark these files as perhaps delivered by one more request."""
    connection.execute(sa.update(files).where(where).values(unknown_attempts=files.c.unknown_attempts + 1))


def unmark(connection: sa.Connection, where: sa.ColumnElement[bool]) -> int:
    """Take one mark back of each of these files; return how many that is."""
    fewer = sa.update(files).where(where).values(unknown_attempts=files.c.unknown_attempts - 1)
    return int(connection.execute(fewer).rowcount)


def clear(connection: sa.Connection, where: sa.ColumnElement[bool]) -> int:
    """Take all marks back of these files; return how many that is."""
    total = int(
        connection.execute(sa.select(sa.func.sum(files.c.unknown_attempts)).where(where)).scalar() or 0
    )
    connection.execute(sa.update(files).where(where).values(unknown_attempts=0))
    return total


def of_batch(job_id: str, batch_id: int, state: FileState) -> sa.ColumnElement[bool]:
    """Return what holds for the files of a batch in one state; an index has those of a job."""
    return (files.c.job_id == job_id) & (files.c.state == state) & (files.c.batch_id == batch_id)


def in_flight(connection: sa.Connection, job_id: str) -> list[Batch]:
    """Return the batches in flight, in order, with the number of their last attempt."""
    last = (
        sa.select(sa.func.max(attempts.c.number)).where(attempts.c.batch_id == batches.c.id).scalar_subquery()
    )
    query = (
        sa.select(batches.c.id, sa.func.coalesce(last, 0))
        .where(batches.c.job_id == job_id, batches.c.state == BatchState.IN_FLIGHT)
        .order_by(batches.c.id)
    )
    found = []
    for batch_id, attempt in connection.execute(query).all():
        mine = select_files().where(of_batch(job_id, batch_id, FileState.IN_FLIGHT)).order_by(files.c.id)
        found.append(Batch(batch_id, tuple(map(file_row, connection.execute(mine))), attempt))
    return found


def about(connection: sa.Connection, job_id: str, batch: Batch) -> Doubt | None:
    """Return what is in doubt of a batch; None where nothing is."""
    ancestors: list[int] = []
    child: int | None = batch.id
    while child is not None:
        child = connection.execute(sa.select(batches.c.parent_id).where(batches.c.id == child)).scalar_one()
        if child is not None:
            ancestors.append(child)
    history = read_events(connection, job_id, _TOLD)
    found = doubt_of(history, batch.id, ancestors)
    if found is None:
        return None
    most = sa.select(sa.func.max(files.c.unknown_attempts)).where(
        of_batch(job_id, batch.id, FileState.IN_FLIGHT)
    )
    marked = int(connection.execute(most).scalar_one() or 0)
    loose = loose_of(history, (batch.id, *ancestors))
    return replace(
        found, loose=loose, earlier=found.earlier or marked > found.requests - (not found.answered)
    )
