"""The only place where a state is set: a guarded update that raises unless it changed what it meant to."""

from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from vl_ingest.errors import JobHeld, LedgerError
from vl_ingest.model import TRANSITIONS
from vl_ingest.tables import jobs


class TransitionRefused(LedgerError):
    """A row was not in the state that the transition starts from: somebody else has moved it."""


def allowed(before: StrEnum, after: StrEnum) -> None:
    """Raise `ValueError` unless `TRANSITIONS` lists the step; a mistake in the program, never in the data."""
    if after not in TRANSITIONS[type(before)][before]:
        raise ValueError(f"no transition from {before!r} to {after!r}")


def move(
    connection: sa.Connection,
    table: sa.Table,
    where: sa.ColumnElement[bool],
    before: StrEnum,
    after: StrEnum,
    *,
    rows: int = 1,
    **values: Any,
) -> None:
    """Move the `rows` rows that `where` names from `before` to `after`.

    Raises `TransitionRefused`, which rolls the transaction back, unless exactly that many changed.
    """
    allowed(before, after)
    result = connection.execute(
        sa.update(table).where(where, table.c.state == before).values(state=after, **values)
    )
    if result.rowcount != rows:
        raise TransitionRefused(
            f"{result.rowcount} of {rows} {table.name} went from {before} to {after}; "
            "something else has changed the ledger. Run `vl-ingest status` and then the same command again."
        )


def assert_lease(connection: sa.Connection, job_id: str, run_id: int) -> None:
    """Raise `JobHeld` unless the run still holds the job; looked at before every effect."""
    holder = connection.execute(sa.select(jobs.c.run_id).where(jobs.c.id == job_id)).scalar()
    if holder != run_id:
        raise JobHeld(f"Run {holder} has taken over job {job_id}; this run ({run_id}) sends nothing more.")
