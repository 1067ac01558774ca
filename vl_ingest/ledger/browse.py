"""What a page shows of a job: a screenful at a time, asked for by key, whatever the number of files."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa

from vl_ingest.domain.model import Event, FileRow, FileState
from vl_ingest.domain.naming import path_to_text
from vl_ingest.ledger.database import Database
from vl_ingest.ledger.files import file_row, select_files
from vl_ingest.ledger.tables import attempts, batches, events, files

EXAMINED = 50_000  # rows that one step of a search looks at
STEPS = 4  # of a search, at most; then the reader is asked whether to go on
LINEAGE = 32  # batches that a file's last one came from, at most
TOLD = 50  # events that name one file, at most

_PATH_AS_TEXT = sa.type_coerce(files.c.path, sa.Text)
_Key = tuple[sa.ColumnElement[Any], ...]
_BY_PATH: _Key = (_PATH_AS_TEXT, files.c.version)
_BY_ID: _Key = (files.c.id,)


@dataclass(frozen=True)
class Page:
    """Some files. `after` is the key that the next page begins after; None at the end.

    `complete` is false where a search stopped for having looked at many files, not for having found enough.
    """

    files: tuple[FileRow, ...]
    after: str | None
    complete: bool = True


class Try(NamedTuple):
    """One attempt that carried a file; `outcome` is None while there is no receipt."""

    batch_id: int
    number: int
    file_count: int
    size_bytes: int
    started_at: datetime
    ended_at: datetime | None
    outcome: str | None
    http_status: int | None
    detail: str | None


class Browse:
    """Queries that each read a bounded number of rows."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def page(self, job_id: str, state: FileState | None, text: str, after: str | None, limit: int) -> Page:
        """Return up to `limit` files, in one state or in any, whose path holds `text`, whatever the case of its letters.

        Files in one state come in the order they were found, others by path; `after` is a page's own key.
        Raises `ValueError` for a key that no page gave.
        """
        # Both orders are those of an index: no page costs more than its rows and those that a search passes over.
        mine = files.c.job_id == job_id
        key, begin = _BY_PATH, _place(after, state)
        if state is not None:
            mine &= files.c.state == state
            key = _BY_ID
        found: list[FileRow] = []
        with self._db.read() as connection:
            for _ in range(STEPS):
                end = self._end(connection, mine, key, begin) if text else None
                query = (
                    select_files()
                    .where(mine, sa.tuple_(*key) > sa.tuple_(*begin))
                    .order_by(*key)
                    .limit(limit + 1 - len(found))
                )
                if text:
                    query = query.where(_PATH_AS_TEXT.icontains(text, autoescape=True))
                if end is not None:
                    query = query.where(sa.tuple_(*key) <= sa.tuple_(*end))
                found += [file_row(row) for row in connection.execute(query)]
                if len(found) > limit:
                    last = found[limit - 1]
                    reached = (path_to_text(last.path), last.version) if state is None else (last.id,)
                    return Page(tuple(found[:limit]), _text(reached))
                if end is None:
                    return Page(tuple(found), None)
                begin = end
        return Page(tuple(found), _text(begin), complete=False)

    def file(self, job_id: str, file_id: int) -> tuple[FileRow, int | None, int] | None:
        """Return a file, the last batch that carried it, and how many attempts did; None where there is no such file."""
        query = (
            select_files()
            .add_columns(files.c.batch_id, files.c.attempts)
            .where(files.c.id == file_id, files.c.job_id == job_id)
        )
        with self._db.read() as connection:
            row = connection.execute(query).one_or_none()
        return None if row is None else (file_row(row[:-2]), row.batch_id, row.attempts)

    def attempts(self, batch_id: int) -> list[Try]:
        """Return the attempts of a batch and of those that it came from, oldest first."""
        lineage: list[int] = []
        current: int | None = batch_id
        with self._db.read() as connection:
            while current is not None and len(lineage) < LINEAGE:
                lineage.append(current)
                current = connection.execute(
                    sa.select(batches.c.parent_id).where(batches.c.id == current)
                ).scalar_one_or_none()
            query = (
                sa.select(
                    attempts.c.batch_id, attempts.c.number, batches.c.file_count, batches.c.size_bytes,
                    attempts.c.started_at, attempts.c.ended_at, attempts.c.outcome, attempts.c.http_status,
                    attempts.c.detail,
                )
                .join(batches, batches.c.id == attempts.c.batch_id)
                .where(attempts.c.batch_id.in_(lineage))
                .order_by(attempts.c.id)
            )  # fmt: skip
            return [Try(*row) for row in connection.execute(query)]

    def told_of(self, job_id: str, path: str, kinds: Sequence[str]) -> list[Event]:
        """Return the first events of these kinds that name one file."""
        named = events.c.facts["path"].as_string() == path_to_text(path)
        query = (
            sa.select(events)
            .where(events.c.job_id == job_id, events.c.kind.in_(kinds), named)
            .order_by(events.c.number)
            .limit(TOLD)
        )
        with self._db.read() as connection:
            return [Event(**row._mapping) for row in connection.execute(query)]

    def _end(
        self, connection: sa.Connection, mine: sa.ColumnElement[bool], key: _Key, begin: tuple[Any, ...]
    ) -> tuple[Any, ...] | None:
        """Return the key of the `EXAMINED`th row after `begin`; None where fewer are left."""
        later = sa.tuple_(*key) > sa.tuple_(*begin)
        query = sa.select(*key).where(mine, later).order_by(*key).offset(EXAMINED - 1).limit(1)
        row = connection.execute(query).one_or_none()
        return None if row is None else tuple(row)


def _text(place: tuple[Any, ...]) -> str:
    """Return a page's key: where it ends, a number first."""
    return " ".join(map(str, reversed(place)))


def _place(after: str | None, state: FileState | None) -> tuple[Any, ...]:
    """Return where the page before ended. Raises `ValueError` for what `_text` did not write."""
    number, _, path = (after or "0").partition(" ")
    return (path, int(number)) if state is None else (int(number),)
