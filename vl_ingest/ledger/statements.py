"""Statements whose values go to the driver as they are, for the hot path; what SQLAlchemy does with each costs more."""

import itertools
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa

ROWS_AT_ONCE = 100  # of an INSERT


def executemany(
    connection: sa.Connection,
    statement: sa.Insert | sa.Update,
    names: tuple[str, ...],
    rows: Sequence[tuple[str | int | bytes | None, ...]],
) -> int:
    """Execute `statement` for each of `rows`, values in the order of `names`; return how many rows changed.

    The values go to the driver as they are, numbers, text and bytes: SQLAlchemy's treatment of each one would cost
    more than SQLite's whole work.
    """
    compiled = _compiled(statement, connection.dialect, names)
    if not compiled.positional:
        return connection.exec_driver_sql(
            str(compiled), [dict(zip(names, row, strict=True)) for row in rows]
        ).rowcount
    if tuple(compiled.positiontup) != names:
        raise ValueError(f"the values must stand in the order of {compiled.positiontup}")
    return connection.exec_driver_sql(str(compiled), list(rows)).rowcount


def insert_rows(
    connection: sa.Connection,
    statement: sa.Insert,
    names: tuple[str, ...],
    rows: Sequence[tuple[str | int | bytes | None, ...]],
) -> int:
    """Insert `rows` as `executemany` does, many of them a statement: between two, the driver lets other threads in."""
    whole = len(rows) - len(rows) % ROWS_AT_ONCE
    inserted = executemany(connection, statement, names, rows[whole:]) if whole < len(rows) else 0
    if not whole:
        return inserted
    compiled = _compiled(_of_many(statement, names), connection.dialect, None)
    keys = [f"{name}_{number}" for number in range(ROWS_AT_ONCE) for name in names]
    if compiled.positional and compiled.positiontup != keys:
        raise ValueError(f"the values must stand in the order of {compiled.positiontup}")
    for first in range(0, whole, ROWS_AT_ONCE):
        values = tuple(itertools.chain.from_iterable(rows[first : first + ROWS_AT_ONCE]))
        inserted += connection.exec_driver_sql(
            str(compiled), values if compiled.positional else dict(zip(keys, values, strict=True))
        ).rowcount
    return inserted


def fetch(
    connection: sa.Connection, statement: sa.Select[Any], names: tuple[str, ...], row: tuple[str | int, ...]
) -> list[tuple[Any, ...]]:
    """Return the rows that `statement` finds, as they are stored; `row` are its values in the order of `names`."""
    compiled = _compiled(statement, connection.dialect, names)
    if compiled.positional and tuple(compiled.positiontup) != names:
        raise ValueError(f"the values must stand in the order of {compiled.positiontup}")
    values = row if compiled.positional else dict(zip(names, row, strict=True))
    with connection.exec_driver_sql(str(compiled), values) as result:
        return list(result.cursor.fetchall())


@cache
def stored(column: sa.Column[Any], dialect: sa.Dialect) -> Callable[[Any], Any]:
    """Return what makes of a column's value what the driver is given."""
    return column.type.dialect_impl(dialect).bind_processor(dialect) or (lambda value: value)


@cache
def _of_many(statement: sa.Insert, names: tuple[str, ...]) -> sa.Insert:
    rows = range(ROWS_AT_ONCE)
    return statement.values([{name: sa.bindparam(f"{name}_{number}") for name in names} for number in rows])


@cache
def _compiled(
    statement: sa.Insert | sa.Update | sa.Select[Any], dialect: sa.Dialect, names: tuple[str, ...] | None
) -> Any:
    return statement.compile(dialect=dialect, column_keys=names)
