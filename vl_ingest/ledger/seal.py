"""Files' rows as the record seals them (see `chain`)."""

from collections.abc import Iterator
from itertools import groupby
from typing import Any

import sqlalchemy as sa

from vl_ingest.domain.model import FileState
from vl_ingest.ledger.chain import SealedRow, rows_digest
from vl_ingest.ledger.database import Database
from vl_ingest.ledger.tables import files

_PATH_AS_TEXT = sa.type_coerce(files.c.path, sa.Text)
_COLUMNS = (_PATH_AS_TEXT, files.c.sent_as, files.c.size_bytes, files.c.mtime_ns, files.c.sha256)


def sealed_rows(connection: sa.Connection, job_id: str, state: FileState) -> Iterator[SealedRow]:
    """Yield the rows of a job's files in one state, in the order of their ids."""
    query = sa.select(*_COLUMNS).where(files.c.job_id == job_id, files.c.state == state).order_by(files.c.id)
    yield from (SealedRow(*row) for row in connection.execute(query.execution_options(yield_per=1000)))


def tally(connection: sa.Connection, job_id: str) -> list[tuple[str, int, int]]:
    """Count a job's files and their bytes by state, from an index alone."""
    query = (
        sa.select(files.c.state, sa.func.count(), sa.func.sum(files.c.size_bytes))
        .where(files.c.job_id == job_id)
        .group_by(files.c.state)
    )
    return [(state, count, int(size)) for state, count, size in connection.execute(query)]


def totals(connection: sa.Connection, job_id: str) -> dict[str, Any]:
    """Return what the record seals of a finished upload: its counts, and the rows that no receipt covers."""
    counted = tally(connection, job_id)
    return {
        "files": {state: count for state, count, _ in counted},
        "size_bytes": {state: size for state, _, size in counted},
        "waived_digest": rows_digest(sealed_rows(connection, job_id, FileState.WAIVED)),
    }


class Seals:
    """Reading what receipts and totals have to agree with."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def rows(self, job_id: str, state: FileState) -> Iterator[SealedRow]:
        """Yield the rows of a job's files in one state, in the order of their ids."""
        with self._db.read() as connection:
            yield from sealed_rows(connection, job_id, state)

    def waived(self, job_id: str) -> Iterator[tuple[str | None, str | None, int, SealedRow]]:
        """Yield who waived a file, and why, with its version and its row, in the order of ids."""
        decided = (files.c.decided_by, files.c.decided_why, files.c.version)
        query = (
            sa.select(*decided, *_COLUMNS)
            .where(files.c.job_id == job_id, files.c.state == FileState.WAIVED)
            .order_by(files.c.id)
        )
        with self._db.read() as connection:
            for by, why, version, *row in connection.execute(query.execution_options(yield_per=1000)):
                yield by, why, version, SealedRow(*row)

    def totals(self, job_id: str) -> dict[str, Any]:
        """Return what `upload_finished` would say of the rows as they are now."""
        with self._db.read() as connection:
            return totals(connection, job_id)

    def sent(self, job_id: str) -> Iterator[tuple[int | None, Iterator[SealedRow]]]:
        """Yield each batch that sent files name as their last, with their rows; a group is gone with the next."""
        query = (
            sa.select(files.c.batch_id, *_COLUMNS)
            .where(files.c.job_id == job_id, files.c.state == FileState.SENT)
            .order_by(files.c.batch_id, files.c.id)
        )
        with self._db.read() as connection:
            rows = connection.execute(query.execution_options(yield_per=1000))
            for batch_id, group in groupby(rows, key=_batch_id):
                yield batch_id, (SealedRow(*row[1:]) for row in group)


def _batch_id(row: sa.Row[Any]) -> int | None:
    batch_id: int | None = row.batch_id
    return batch_id
