"""Files that were changed after they were sent: each is sent anew as a version of its own, unless it was only touched."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Facts, FileRow, FileState, Run
from vl_ingest.domain.naming import candidate_names, path_to_text
from vl_ingest.ledger.database import Database
from vl_ingest.ledger.decisions import is_by_option
from vl_ingest.ledger.events import append
from vl_ingest.ledger.files import CHANGED_AFTER, names_for, newest
from vl_ingest.ledger.runs import assert_lease
from vl_ingest.ledger.tables import FILE_NOTABLE, files


class Version(NamedTuple):
    """What a file's row keeps of versions; `path` is the ledger's text."""

    path: str
    version: int
    sent_as: str
    touched_ns: int | None


def is_left_out(row: FileRow) -> bool:
    """Return whether this is a later version that an option left out."""
    return is_by_option(row) and row.version > 1


class Versions:
    """Every query on versions of files beyond the first."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def changed(self, job_id: str, paths: Sequence[str]) -> list[FileRow]:
        """Return those of `paths` that were sent, and have been seen to differ on disk since."""
        mine = (files.c.job_id == job_id) & (files.c.state == FileState.SENT)
        any_flagged = sa.select(sa.exists().where(mine, FILE_NOTABLE, files.c.reason == CHANGED_AFTER))
        with self._db.read() as connection:
            if not connection.execute(any_flagged).scalar_one():
                return []  # nearly always, and without looking at each path
            known = newest(connection, job_id, paths).values()
        return [row for row in known if row.state is FileState.SENT and row.reason == CHANGED_AFTER]

    def any_left_out(self, job_id: str) -> bool:
        """Return whether an option has left out any version (see `is_left_out`)."""
        waived = (files.c.job_id == job_id) & (files.c.state == FileState.WAIVED)
        by_option = (files.c.version > 1) & files.c.decided_by.startswith("--")  # as `is_by_option` has it
        with self._db.read() as connection:
            return bool(connection.execute(sa.select(sa.exists().where(waived, by_option))).scalar_one())

    def left_out(self, job_id: str, paths: Sequence[str]) -> list[FileRow]:
        """Return the newest version of those of `paths` where an option has left it out."""
        with self._db.read() as connection:
            return [row for row in newest(connection, job_id, paths).values() if is_left_out(row)]

    def sent(self, job_id: str, paths: Sequence[str]) -> dict[str, FileRow]:
        """Return the newest version of each of `paths` that was sent."""
        with self._db.read() as connection:
            return newest(connection, job_id, paths, files.c.state == FileState.SENT)

    def record(
        self, run: Run, changed: Sequence[tuple[FileRow, Facts]], touched: Sequence[tuple[FileRow, Facts]]
    ) -> None:
        """Queue the next version of each file that has `changed`, and note the time of those that were only `touched`.

        Each comes with the facts that it has on disk: a changed one as its newest version, which was sent or left out, a
        touched one as its newest version that was sent. What was sent stays as it was sealed.
        """
        with self._db.write() as connection:
            assert_lease(connection, run.job_id, run.id)
            for row, facts in touched:
                _update_sent(connection, row, touched_ns=facts.mtime_ns)
                append(
                    connection, run.job_id, run.id, EventKind.FILE_TOUCHED,
                    path=row.path, version=row.version, sha256=row.sha256, mtime_ns=facts.mtime_ns,
                )  # fmt: skip
            candidates = {row.path: candidate_names(row.path, row.version + 1) for row, _ in changed}
            names = names_for(connection, run.job_id, candidates)
            for row, facts in changed:
                if not is_left_out(row):
                    _no_longer_changed(connection, row)
                told = {
                    "version": row.version + 1,
                    "sent_as": names[row.path],
                    "size_bytes": facts.size_bytes,
                    "mtime_ns": facts.mtime_ns,
                }
                connection.execute(
                    sa.insert(files).values(job_id=run.job_id, path=row.path, state=FileState.PENDING, **told)
                )
                append(connection, run.job_id, run.id, EventKind.FILE_VERSION_QUEUED, path=row.path, **told)

    def known(self, job_id: str) -> Iterator[Version]:
        """Yield what rows keep of later versions and of touched files, by path."""
        query = (
            sa.select(files.c.path, files.c.version, files.c.sent_as, files.c.touched_ns)
            .where(files.c.job_id == job_id, (files.c.version > 1) | files.c.touched_ns.is_not(None))
            .order_by(files.c.path, files.c.version)
        )
        with self._db.read() as connection:
            for path, *rest in connection.execute(query.execution_options(yield_per=1000)):
                yield Version(path_to_text(path), *rest)


def _no_longer_changed(connection: sa.Connection, row: FileRow) -> None:
    """Take the flag off a file that was seen to differ."""
    if row.reason != CHANGED_AFTER:
        raise AssertionError(f"{row.path} is not a file that was changed after it was sent")
    _update_sent(connection, row)


def _update_sent(connection: sa.Connection, row: FileRow, **values: int) -> None:
    """Set what is known of a sent file now; it is not flagged after that."""
    sent = (files.c.id == row.id) & (files.c.state == FileState.SENT)
    done = connection.execute(sa.update(files).where(sent).values(reason=None, **values))
    if done.rowcount != 1:
        raise AssertionError(f"{row.path} is not sent")
