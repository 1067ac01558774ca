"""What the server's own list of a dataset says of the files that were sent: tallied aside, then kept in their rows."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

import sqlalchemy as sa

from vl_ingest import clock
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import FileState, Run
from vl_ingest.domain.remote import Listed
from vl_ingest.ledger.chain import listed_digest
from vl_ingest.ledger.database import Database
from vl_ingest.ledger.events import append
from vl_ingest.ledger.tables import events, files

TOGETHER = 1000  # rows written at once

_SET = sa.update(files).where(files.c.id == sa.bindparam("b_id"), files.c.state == FileState.SENT)


class Seen(NamedTuple):
    """What a list says of one sent file: how often it is there (None: it can't say), and under which id."""

    file_id: int
    listed: int | None
    media_id: str | None


class Tally:
    """How often a list names each file, kept in a file that nobody sees: a million want no memory."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("")  # a temporary file, deleted by SQLite itself
        for table in (
            "found (id INTEGER PRIMARY KEY, count INTEGER NOT NULL, media_id TEXT)",
            "frames (ids TEXT PRIMARY KEY, frame TEXT NOT NULL, count INTEGER NOT NULL) WITHOUT ROWID",
            "others (name TEXT PRIMARY KEY) WITHOUT ROWID",
        ):
            self._database.execute(f"CREATE TABLE {table}").close()

    def close(self) -> None:
        """Forget it all."""
        self._database.close()

    def add(self, found: Iterable[tuple[int, str | None]]) -> None:
        """Count each of these files once more; with the id that the list gives it."""
        self._many(
            "INSERT INTO found VALUES (?, 1, ?) ON CONFLICT (id) DO UPDATE SET count = count + 1", found
        )

    def add_frames(self, frames: Iterable[tuple[Sequence[int], str]]) -> None:
        """Count frames of a video, which is one of these files: as often as its first frame is there, so is it."""
        self._many(
            "INSERT INTO frames VALUES (?, ?, 1) "
            "ON CONFLICT (ids) DO UPDATE SET count = count + (frame = excluded.frame)",
            ((",".join(map(str, ids)), _text(frame)) for ids, frame in frames),
        )

    def add_others(self, names: Iterable[str]) -> None:
        """Keep names that are no file's."""
        self._many("INSERT OR IGNORE INTO others VALUES (?)", ((_text(name),) for name in names))

    def settle_frames(self) -> set[int]:
        """Turn the frames into counts of videos; return the files of which the list does not say which is there."""
        unclear: set[int] = set()
        for ids, count in self._rows("SELECT ids, count FROM frames"):
            videos = [int(one) for one in ids.split(",")]
            if len(videos) == 1:
                self._many(
                    "INSERT INTO found VALUES (?, ?, NULL) ON CONFLICT (id) DO UPDATE SET count = count + excluded.count",
                    [(videos[0], count)],
                )
            elif count == len(videos):  # as many as share the name: each of them once
                self.add((video, None) for video in videos)
            else:
                unclear.update(videos)
        return unclear

    def of(self, file_ids: Sequence[int]) -> dict[int, tuple[int, str | None]]:
        """Return how often the list has each of these files, and under which id; those that it has at all."""
        marks = ",".join("?" * len(file_ids))
        query = f"SELECT id, count, media_id FROM found WHERE id IN ({marks})"  # noqa: S608  # nothing but marks
        return {file_id: (count, media_id) for file_id, count, media_id in self._rows(query, file_ids)}

    def others(self) -> Iterator[str]:
        """Yield the names that are no file's."""
        return (name for (name,) in self._rows("SELECT name FROM others ORDER BY name"))

    def _many(self, statement: str, rows: Iterable[Sequence[Any]]) -> None:
        self._database.executemany(statement, rows).close()

    def _rows(self, query: str, values: Sequence[Any] = ()) -> Iterator[Any]:
        cursor = self._database.execute(query, values)
        try:
            while rows := cursor.fetchmany(TOGETHER):
                yield from rows
        finally:
            cursor.close()


class Listing:
    """What the server lists, in the rows of the files that were sent."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def sent(self, job_id: str, names: Iterable[str]) -> dict[str, int]:
        """Return name -> file for those of `names` under which the job has sent one."""
        # By name alone: with the state among the conditions, SQLite would go through every sent file instead.
        query = sa.select(files.c.sent_as, files.c.id, files.c.state).where(
            files.c.job_id == job_id, files.c.sent_as.in_(list(names))
        )
        with self._db.read() as connection:
            found = connection.execute(query).all()
        return {name: file_id for name, file_id, state in found if state == FileState.SENT}

    def record(self, job_id: str, run: Run | None, seen: Iterable[Seen], found: Listed) -> None:
        """Keep what a list says of every sent file, and one event with what it comes to: all of it or nothing."""
        rows, at = iter(seen), clock.now()
        with self._db.write() as connection:
            while chunk := list(islice(rows, TOGETHER)):
                values = [
                    {
                        "b_id": file_id,
                        "listed": listed,
                        "media_id": media_id,
                        "listed_at": None if listed is None else at,
                    }
                    for file_id, listed, media_id in chunk
                ]
                connection.execute(_SET, values)
            sealed = listed_digest(_listed(connection, job_id))
            run_id = None if run is None else run.id
            append(connection, job_id, run_id, EventKind.DATASET_LISTED, **asdict(found), rows=sealed)

    def last(self, job_id: str) -> tuple[Listed, datetime] | None:
        """Return what the list came to when it was read last, and when; None if it never was."""
        query = sa.select(events.c.facts, events.c.at).where(
            events.c.job_id == job_id, events.c.kind == EventKind.DATASET_LISTED
        )
        with self._db.read() as connection:
            row = connection.execute(query.order_by(events.c.number.desc()).limit(1)).one_or_none()
        if row is None:
            return None
        return Listed(**{field.name: row.facts[field.name] for field in fields(Listed)}), row.at

    def digest(self, job_id: str) -> str:
        """Return what `record` would seal of the rows as they are now."""
        with self._db.read() as connection:
            return listed_digest(_listed(connection, job_id))


def _listed(connection: sa.Connection, job_id: str) -> Iterator[tuple[str, int, str | None]]:
    query = (
        sa.select(files.c.sent_as, files.c.listed, files.c.media_id)
        .where(files.c.job_id == job_id, files.c.listed.is_not(None))
        .order_by(files.c.id)
    )
    yield from map(tuple, connection.execute(query.execution_options(yield_per=TOGETHER)))


def _text(text: str) -> str:
    """Return what the server wrote as a database can hold it: without half characters."""
    return text.encode("utf-8", "replace").decode("utf-8")
