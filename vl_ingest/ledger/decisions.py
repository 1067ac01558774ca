"""Decisions on files that no receipt makes: a person's, a filter's, an option's. Each is an event that names its author."""

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import FILTER, WAIVABLE, Facts, FileRow, FileState, Run
from vl_ingest.domain.naming import path_to_text
from vl_ingest.ledger.author import author
from vl_ingest.ledger.chain import RowSum, SealedRow
from vl_ingest.ledger.database import Database
from vl_ingest.ledger.events import append
from vl_ingest.ledger.guard import move, move_each
from vl_ingest.ledger.runs import assert_lease
from vl_ingest.ledger.tables import files, jobs

_NULL: sa.ColumnElement[Any] = sa.null()
_ZERO: sa.ColumnElement[Any] = sa.literal_column("0")


class Decisions:
    """Every change of a file's state that is decided, not received."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def waive(self, job_id: str, paths: Iterable[str], by: str, why: str | None = None) -> int:
        """Let the job go on without these files; return how many. Raises `UsageError` for one it can't.

        `by` is the person who decides, `why` the reason given.
        """
        with self._db.write() as connection:
            wanted = list(dict.fromkeys(paths))
            rows = [_by_path(connection, job_id, path) for path in wanted]
            for row in rows:
                if row.state not in WAIVABLE:
                    raise UsageError(
                        f"{row.path} is {row.state}: only a file that can't be sent "
                        f"({', '.join(sorted(WAIVABLE))}) can be waived."
                    )
                decide(connection, job_id, None, row, EventKind.FILE_WAIVED, by, why)
        return len(rows)

    def waive_rejected(self, run: Run) -> int:
        """Carry out `--on-rejected skip`: let the job go on without what the server rejects.

        What may have been delivered all the same is left to a person.
        """
        where = (files.c.state == FileState.REJECTED) & (files.c.unknown_attempts == 0)
        return self._all(run.job_id, run, where, EventKind.FILE_WAIVED, "--on-rejected skip")

    def waive_known(self, run: Run, known: Sequence[tuple[FileRow, str]], by: str) -> None:
        """Let the job go on without pending files whose content was sent before; each with the reason why."""
        with self._db.write() as connection:
            assert_lease(connection, run.job_id, run.id)
            for file, why in known:
                row = _by_path(connection, run.job_id, file.path)
                decide(connection, run.job_id, run, row, EventKind.FILE_WAIVED, by, why)

    def filter(
        self, run: Run, out: Sequence[tuple[FileRow, str]], in_again: Sequence[tuple[FileRow, str]]
    ) -> None:
        """Queue the files `in_again`, and let the job go on without those in `out`, each with its filter.

        They are many: an event a filter and direction, with the sum of their rows (see `chain`).
        """
        with self._db.write() as connection:
            assert_lease(connection, run.job_id, run.id)
            if in_again:
                ids = [(row.id,) for row, _ in in_again]
                move_each(
                    connection, files, FileState.WAIVED, FileState.PENDING, (), ids,
                    decided_by=_NULL, decided_why=_NULL, changes=_ZERO,
                )  # fmt: skip
            for state in {row.state for row, _ in out}:
                rows = [(FILTER, said_by, row.id) for row, said_by in out if row.state is state]
                move_each(
                    connection, files, state, FileState.WAIVED, ("decided_by", "decided_why"), rows, reason=_NULL
                )  # fmt: skip
            kinds = (EventKind.FILES_LET_IN, in_again), (EventKind.FILES_FILTERED_OUT, out)
            for kind, decided in kinds:
                sums: dict[str, RowSum] = {}
                for row, said_by in decided:
                    sums.setdefault(said_by, RowSum()).add(sealed(row))
                for said_by, rows_sum in sums.items():
                    told = {"filter": said_by, "files": rows_sum.count, "digest": rows_sum.digest}
                    append(connection, run.job_id, run.id, kind, **told)

    def retry(self, job_id: str, paths: Iterable[str] | None = None) -> int:
        """Make what could not be sent `pending` again, all or these, and forget the learnt limit of the size.

        Returns how many files that is.
        """
        with self._db.write() as connection:
            connection.execute(sa.update(jobs).where(jobs.c.id == job_id).values(too_large_bytes=None))
            for path in dict.fromkeys(paths or ()):
                row = _by_path(connection, job_id, path)
                decide(connection, job_id, None, row, EventKind.FILE_RETRIED, "retry")
        if paths is not None:
            return len(set(paths))
        where = files.c.state.in_(sorted(WAIVABLE))
        return self._all(job_id, None, where, EventKind.FILE_RETRIED, "retry")

    def _all(
        self, job_id: str, run: Run | None, where: sa.ColumnElement[bool], kind: EventKind, by: str
    ) -> int:
        with self._db.write() as connection:
            if run is not None:
                assert_lease(connection, job_id, run.id)
            rows = connection.execute(sa.select(files).where(files.c.job_id == job_id, where)).all()
            for row in rows:
                decide(connection, job_id, run, row, kind, by)
        return len(rows)

    def settle_unknown(
        self,
        job_id: str,
        run: Run | None,
        file: FileRow,
        after: FileState,
        by: str,
        facts: Facts | None = None,
    ) -> None:
        """Settle one `unknown` file. `facts` are what is on disk now, where that has changed.

        A file that a person calls not delivered (`by` = "not-delivered") loses its doubt; one that is
        sent again by rule keeps it. One that a person calls delivered has no receipt: no hash, but who decided.
        """
        with self._db.write() as connection:
            if run is not None:
                assert_lease(connection, job_id, run.id)
            where = files.c.id == file.id
            told: dict[str, Any] = {"path": file.path, "by": by, "state": after}
            if after is FileState.CHANGED and facts is not None:
                told["before"] = {"size_bytes": file.facts.size_bytes, "mtime_ns": file.facts.mtime_ns}
                move(connection, files, where, FileState.UNKNOWN, FileState.CHANGED)
                move(
                    connection, files, where, FileState.CHANGED, FileState.PENDING,
                    size_bytes=facts.size_bytes, mtime_ns=facts.mtime_ns,
                )  # fmt: skip
            else:
                values: dict[str, Any] = {"decided_by": None}
                if after is FileState.SENT:
                    values = {"sha256": None, "decided_by": author()}
                elif by == "not-delivered":
                    values["unknown_attempts"] = 0
                move(connection, files, where, FileState.UNKNOWN, after, reason=None, **values)
            append(connection, job_id, None if run is None else run.id, EventKind.UNKNOWN_SETTLED, **told)


def sealed(row: FileRow) -> SealedRow:
    """Return a file's row as the record seals it."""
    return SealedRow(path_to_text(row.path), row.sent_as, *row.facts, row.sha256)


def is_by_option(row: FileRow) -> bool:
    """Return whether an option has left a file out: no person said that it is not wanted."""
    return row.state is FileState.WAIVED and (row.decided_by or "").startswith("--")


def decide(
    connection: sa.Connection, job_id: str, run: Run | None, row: FileRow | sa.Row[Any], kind: EventKind, by: str,
    why: str | None = None,
) -> None:  # fmt: skip
    """Move one file as a decision says, and record who made it; `kind` says what the file becomes."""
    before, after = FileState(row.state), FileState(str(kind.becomes))
    values: dict[str, Any] = {"decided_by": by, "decided_why": why}
    if after is FileState.PENDING:
        values = {"changes": 0, "reason": None, "decided_by": None, "decided_why": None}
    move(connection, files, files.c.id == row.id, before, after, **values)
    given = {} if why is None else {"why": why}
    append(
        connection, job_id, None if run is None else run.id, kind,
        path=row.path, state=before, reason=row.reason, by=by, **given,
    )  # fmt: skip


def _by_path(connection: sa.Connection, job_id: str, path: str) -> sa.Row[Any]:
    mine = sa.select(files).where(files.c.job_id == job_id, files.c.path == path)
    *_, row = None, *connection.execute(mine.order_by(files.c.version))
    if row is None:
        raise UsageError(f"Job {job_id} has no file {path!r}. Run `vl-ingest files {job_id}` to list them.")
    return row
