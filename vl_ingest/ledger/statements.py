"""Statements whose values go to the driver as they are, for the hot path; what SQLAlchemy does with each costs more."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa


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


def fetch(
    connection: sa.Connection, statement: sa.Select[Any], names: tuple[str, ...], row: tuple[str | int, ...]
) -> list[tuple[Any, ...]]:
    """Return the rows that `statement` finds, as they are stored; `row` are its values in the order of `names`."""
    compiled = _compiled(statement, connection.dialect, names)
    if compiled.positional and tuple(compiled.positiontup) != names:
        raise ValueError(f"the values must stand in the order of {compiled.positiontup}")
    values = row if compiled.positional else dict(zip(names, row, strict=True))
    return [tuple(found) for found in connection.exec_driver_sql(str(compiled), values).all()]


@cache
def _compiled(
    statement: sa.Insert | sa.Update | sa.Select[Any], dialect: sa.Dialect, names: tuple[str, ...]
) -> Any:
    return statement.compile(dialect=dialect, column_keys=names)
