"""The only place where a state is set: a guarded update that raises unless it changed what it meant to."""

from collections.abc import Sequence
from enum import StrEnum
from functools import cache
from typing import Any

import sqlalchemy as sa

from vl_ingest.domain.errors import LedgerError
from vl_ingest.domain.model import TRANSITIONS
from vl_ingest.ledger.statements import executemany


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
        sa.update(table).where(where, table.c.state == before), {"state": after, **values}
    )
    _assert_moved(table, before, after, result.rowcount, rows)


def move_each(
    connection: sa.Connection,
    table: sa.Table,
    before: StrEnum,
    after: StrEnum,
    columns: tuple[str, ...],
    rows: Sequence[tuple[str | int, ...]],
    **expressions: sa.ColumnElement[Any],
) -> None:
    """Move many rows, each with values of its own: a row holds those of `columns`, then the row's id.

    `expressions` are the same for all, and the same objects at each call.

    Raises `TransitionRefused` as `move` does.
    """
    allowed(before, after)
    changed = executemany(connection, _each(table, before, after, **expressions), (*columns, "row_id"), rows)
    _assert_moved(table, before, after, changed, len(rows))


@cache
def _each(
    table: sa.Table, before: StrEnum, after: StrEnum, **expressions: sa.ColumnElement[Any]
) -> sa.Update:
    state: dict[str, sa.ColumnElement[str]] = {s: sa.literal_column(f"'{s}'") for s in (before, after)}
    return (
        sa.update(table)
        .where(table.c.id == sa.bindparam("row_id"), table.c.state == state[before])
        .values(state=state[after], **expressions)
    )


def move_spans(
    connection: sa.Connection,
    table: sa.Table,
    before: StrEnum,
    after: StrEnum,
    columns: tuple[str, ...],
    spans: Sequence[tuple[tuple[str | int | bytes, ...], int, int]],
    **expressions: sa.ColumnElement[Any],
) -> None:
    """Move all rows between two ids, for each span by one statement: a span holds its values, its first and last id.

    The values are those of `columns` and of the parameters in `expressions`, in the order of the statement. No row is
    in two spans; none moves more rows than it has ids, so that the sum tells whether each has moved all of them.

    Raises `TransitionRefused` as `move` does.
    """
    allowed(before, after)
    statement = _span(table, before, after, **expressions)
    names, rows = (*columns, "first_id", "last_id"), [(*values, *ends) for values, *ends in spans]
    changed = executemany(connection, statement, names, rows)
    _assert_moved(table, before, after, changed, sum([last - first + 1 for _, first, last in spans]))


@cache
def _span(
    table: sa.Table, before: StrEnum, after: StrEnum, **expressions: sa.ColumnElement[Any]
) -> sa.Update:
    state: dict[str, sa.ColumnElement[str]] = {s: sa.literal_column(f"'{s}'") for s in (before, after)}
    return (
        sa.update(table)
        .where(
            table.c.id >= sa.bindparam("first_id"),
            table.c.id <= sa.bindparam("last_id"),
            table.c.state == state[before],
        )
        .values(state=state[after], **expressions)
    )


def _assert_moved(table: sa.Table, before: StrEnum, after: StrEnum, changed: int, rows: int) -> None:
    if changed != rows:
        raise TransitionRefused(
            f"{changed} of {rows} {table.name} went from {before} to {after}; "
            "something else has changed the ledger. Run `vl-ingest status` and then the same command again."
        )
