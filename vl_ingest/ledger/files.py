"""The files of a job: what the scan found, and what became of each."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import UNSEEN, Counts, Facts, FileRow, FileState, Found, Run
from vl_ingest.domain.naming import candidate_names, path_from_text, path_to_text, plain_name
from vl_ingest.domain.remote import doubt, in_dataset
from vl_ingest.domain.rounds import INFERRED
from vl_ingest.ledger.database import Database
from vl_ingest.ledger.decisions import decide, is_by_option
from vl_ingest.ledger.events import append
from vl_ingest.ledger.runs import assert_lease
from vl_ingest.ledger.seal import tally
from vl_ingest.ledger.statements import fetch, insert_rows
from vl_ingest.ledger.tables import FILE_NOTABLE, files, rounds

# The same words on PostgreSQL; where a row stands in the way, nothing happens.
IF_FREE = insert(files).on_conflict_do_nothing()
CHANGED_AFTER = "changed after it was sent"
CHUNK = 5000  # values in one query

_NEW_ROW = ("job_id", "path", "sent_as", "size_bytes", "mtime_ns", "state")
_TWICE = (files.c.unknown_attempts > 0) & ((files.c.unknown_attempts > 1) | files.c.sha256.is_not(None))


class Files:
    """Every query on files that is not about sending them."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def add(self, run: Run, found: Sequence[Found]) -> int:
        """Record found files and return how many are new.

        Known files are recognised by path, size and mtime. A `pending` one gets its new facts; a `sent`
        one that has changed since is flagged, neither sent again nor holding. A `missing` one is no longer that. Of several
        versions of a path, that is the newest.
        """
        # Nearly always a whole chunk is new, and its plain names are free: then nothing need be asked.
        plain = _new_rows(run.job_id, found, [plain_name(item.path) for item in found])
        with self._db.write() as connection:
            assert_lease(connection, run.job_id, run.id)
            added = insert_rows(connection, IF_FREE, _NEW_ROW, plain)
            if added == len(found):
                return added
            known = newest(connection, run.job_id, [item.path for item in found])
            for item in found:
                row = known.get(item.path)
                if row is not None and (row.state is FileState.MISSING or not row.looks_like(item.facts)):
                    _refresh(connection, run, row, item.facts)
            fresh = list({item.path: item for item in found if item.path not in known}.values())
            if fresh:
                candidates = {item.path: candidate_names(item.path) for item in fresh}
                names = names_for(connection, run.job_id, candidates)
                chosen = _new_rows(run.job_id, fresh, [names[item.path] for item in fresh])
                added += insert_rows(connection, files.insert(), _NEW_ROW, chosen)
        return added

    def count_unknown_paths(self, job_id: str, paths: Sequence[str]) -> int:
        """Return how many of `paths` the job does not know."""
        query = sa.select(sa.func.count(files.c.path.distinct())).where(
            files.c.job_id == job_id, files.c.path.in_(paths)
        )
        with self._db.read() as connection:
            return len(paths) - connection.execute(query).scalar_one()

    def known(self, job_id: str, paths: Sequence[str]) -> dict[str, FileRow]:
        """Return those of `paths` that the job knows, each in its newest version."""
        with self._db.read() as connection:
            return newest(connection, job_id, paths)

    def is_taken(self, job_id: str, name: str) -> bool:
        """Return whether a file of the job has this name on the wire."""
        query = sa.select(sa.exists().where(files.c.job_id == job_id, files.c.sent_as == name))
        with self._db.read() as connection:
            return bool(connection.execute(query).scalar_one())

    def without_field(self, job_id: str, field: str, limit: int) -> list[FileRow]:
        """Return the first `limit` sent files with a media id that have no value in a custom metadata field yet."""
        query = (
            select_files()
            .where(files.c.job_id == job_id, files.c.state == FileState.SENT, files.c.media_id.is_not(None))
            .where(sa.or_(files.c.fields.is_(None), ~files.c.fields.contains(f",{field},", autoescape=True)))
            .order_by(files.c.id)
            .limit(limit)
        )
        with self._db.read() as connection:
            return [file_row(row) for row in connection.execute(query)]

    def set_field(self, run: Run, field: str, ids: Sequence[int], kind: EventKind, **facts: Any) -> None:
        """Note that these files have their value in a field, and record the event that says so."""
        known = sa.func.coalesce(files.c.fields, ",") + f"{field},"
        with self._db.write() as connection:
            for chunk in (ids[at : at + CHUNK] for at in range(0, len(ids), CHUNK)):
                connection.execute(sa.update(files).where(files.c.id.in_(chunk)).values(fields=known))
            append(connection, run.job_id, run.id, kind, field=field, files=len(ids), **facts)

    def sent_content(
        self, job_id: str, sizes: Collection[int], besides: Collection[int] = ()
    ) -> dict[tuple[int, str], str]:
        """Return (size, SHA-256) -> path of sent files that have one of these sizes, but for those with these ids."""
        query = (
            sa.select(files.c.id, files.c.size_bytes, files.c.sha256, files.c.path)
            .where(files.c.job_id == job_id, files.c.state == FileState.SENT, files.c.sha256.is_not(None))
            .order_by(files.c.id.desc())  # the first one stands
        )
        found: dict[tuple[int, str], str] = {}
        wanted = sorted(sizes)
        with self._db.read() as connection:
            for chunk in (wanted[at : at + CHUNK] for at in range(0, len(wanted), CHUNK)):
                for file_id, size_bytes, sha256, path in connection.execute(
                    query.where(files.c.size_bytes.in_(chunk))
                ):
                    if file_id not in besides:
                        found[size_bytes, sha256] = path
        return found

    def pending(self, job_id: str, after_id: int, limit: int) -> list[FileRow]:
        """Return the next `limit` pending files behind `after_id`, in the order they were found."""
        names, values = ("b_job", "b_after", "b_limit"), (job_id, after_id, limit)
        with self._db.read() as connection:
            rows = fetch(connection, _PENDING, names, values)
        pending = FileState.PENDING  # by this name: an enum's member takes as long to look up as all the rest
        return [
            FileRow(
                file_id, path_from_text(path), sent_as, Facts(size_bytes, mtime_ns), pending, unknown, changes,
                sha256, reason, version=version,
            )
            for file_id, path, sent_as, size_bytes, mtime_ns, unknown, changes, sha256, reason, version in rows
        ]  # fmt: skip

    def page(self, job_id: str, state: FileState, after_id: int, limit: int) -> list[FileRow]:
        """Return the next `limit` files in one state behind `after_id`, in the order they were found."""
        return self._page(job_id, state, after_id, limit)

    def in_folder(self, job_id: str, after_id: int, limit: int) -> list[FileRow]:
        """Return the next `limit` sent files behind `after_id` of which no later version is known: what the folder should hold."""
        later = files.alias()
        newer = (later.c.job_id == files.c.job_id) & (later.c.path == files.c.path)
        replaced = sa.exists().where(newer, later.c.version > files.c.version)
        return self._page(job_id, FileState.SENT, after_id, limit, ~replaced)

    def _page(
        self, job_id: str, state: FileState, after_id: int, limit: int, *only: sa.ColumnElement[bool]
    ) -> list[FileRow]:
        query = (
            select_files()
            .where(files.c.job_id == job_id, files.c.state == state, files.c.id > after_id, *only)
            .order_by(files.c.id)
            .limit(limit)
        )
        with self._db.read() as connection:
            return [file_row(row) for row in connection.execute(query)]

    def counts(self, job_id: str) -> Counts:
        """Count files and bytes by state, from an index alone."""
        with self._db.read() as connection:
            rows = tally(connection, job_id)
        return Counts(
            {FileState(state): count for state, count, _ in rows},
            {FileState(state): size for state, _, size in rows},
        )

    def any_wanted(self, job_id: str) -> bool:
        """Return whether the job has any file that was not waived."""
        query = sa.select(sa.exists().where(files.c.job_id == job_id, files.c.state != FileState.WAIVED))
        with self._db.read() as connection:
            return bool(connection.execute(query).scalar_one())

    def last_id(self, job_id: str) -> int:
        """Return the id of the file that was found last; 0 where there is none."""
        query = sa.select(sa.func.max(files.c.id)).where(files.c.job_id == job_id)
        with self._db.read() as connection:
            return connection.execute(query).scalar_one() or 0

    def rows(self, job_id: str, *states: FileState) -> Iterator[FileRow]:
        """Yield the job's files by path; only those in `states`, if any are named. A million stream."""
        query = select_files().where(files.c.job_id == job_id)
        query = query.where(files.c.state.in_(states)).order_by(files.c.id) if states else query.order_by(
            files.c.path, files.c.version
        )  # fmt: skip
        with self._db.read() as connection:
            for row in connection.execute(query.execution_options(yield_per=1000)):
                yield file_row(row)

    def possibly_twice(self, job_id: str) -> int:
        """Return how many sent files may have been delivered by more than one request (see `model.possibly_twice`)."""
        return self._count_sent(job_id, _TWICE)

    def doubts(self, job_id: str) -> dict[str, int]:
        """Return what is known of these since the server was asked, in words -> how many."""
        counts: dict[str, int] = {}
        query = (
            sa.select(files.c.listed, sa.func.count()).where(_sent(job_id), _TWICE).group_by(files.c.listed)
        )
        with self._db.read() as connection:
            for listed, count in connection.execute(query):
                word = doubt(possibly_twice=True, in_dataset=in_dataset(listed)) or ""
                counts[word] = counts.get(word, 0) + count
        return counts

    def changed_after(self, job_id: str) -> int:
        """Return how many sent files have been seen to differ on disk since, and are not sent anew."""
        return self._count_sent(job_id, files.c.reason == CHANGED_AFTER)

    def taken_as_delivered(self, job_id: str) -> tuple[int, int]:
        """Return how many files are sent on a person's word alone, and their bytes."""
        # What the server shows is nobody's word.
        shown = sa.func.coalesce(files.c.batch_id, 0).in_(inferred(job_id))
        by_word = (files.c.unknown_attempts > 0) & files.c.sha256.is_(None) & ~shown
        query = sa.select(sa.func.count(), sa.func.sum(files.c.size_bytes)).where(_sent(job_id), by_word)
        with self._db.read() as connection:
            count, size_bytes = connection.execute(query).one()
        return count, int(size_bytes or 0)

    def _count_sent(self, job_id: str, notable: sa.ColumnElement[bool]) -> int:
        with self._db.read() as connection:
            return connection.execute(sa.select(sa.func.count()).where(_sent(job_id), notable)).scalar_one()


def _sent(job_id: str) -> sa.ColumnElement[bool]:
    """Return what holds for sent files that are notable; nothing else is read of the others."""
    return (files.c.job_id == job_id) & (files.c.state == FileState.SENT) & FILE_NOTABLE


def inferred(job_id: str) -> sa.Select[tuple[int]]:
    """Return the query for the batches of additions that began by what the server shows."""
    return sa.select(rounds.c.batch_id).where(
        rounds.c.job_id == job_id, rounds.c.known_by.in_(sorted(INFERRED))
    )


def select_files() -> sa.Select[Any]:
    """Return the beginning of a query whose rows `file_row` reads."""
    return sa.select(
        files.c.id, files.c.path, files.c.sent_as, files.c.size_bytes, files.c.mtime_ns, files.c.state,
        files.c.unknown_attempts, files.c.changes, files.c.sha256, files.c.reason, files.c.decided_by,
        files.c.decided_why, files.c.listed, files.c.media_id, files.c.version, files.c.touched_ns,
    )  # fmt: skip


def file_row(row: Sequence[Any]) -> FileRow:
    """Return a row of `select_files` as the domain's value."""
    file_id, path, sent_as, size_bytes, mtime_ns, state, *rest = row
    return FileRow(file_id, path, sent_as, Facts(size_bytes, mtime_ns), FileState(state), *rest)


def _new_rows(
    job_id: str, found: Sequence[Found], names: Sequence[str]
) -> list[tuple[str, str, str, int, int, str]]:
    """Return the values of `_NEW_ROW` for files that are found, each with its name on the wire."""
    pending = FileState.PENDING.value
    return [
        (job_id, path_to_text(path), name, size_bytes, mtime_ns, pending)
        for (path, (size_bytes, mtime_ns)), name in zip(found, names, strict=True)
    ]


def newest(
    connection: sa.Connection, job_id: str, paths: Sequence[str], *only: sa.ColumnElement[bool]
) -> dict[str, FileRow]:
    """Return those of `paths` that the job knows, each in its newest version (of those for which `only` holds)."""
    query = select_files().where(files.c.job_id == job_id, files.c.path.in_(paths), *only)
    return {row.path: row for row in map(file_row, connection.execute(query.order_by(files.c.version)))}


def _refresh(connection: sa.Connection, run: Run, row: FileRow, facts: Facts) -> None:
    """Take up what the scan saw of a known file that differs from the ledger."""
    state = row.state
    if comes_back(row, facts):
        kind = EventKind.FILE_FOUND_AGAIN if state is FileState.MISSING else EventKind.FILE_RETRIED
        decide(connection, run.job_id, run, row, kind, "scan")
        state = FileState.PENDING
    if state is FileState.PENDING and facts != UNSEEN:  # else its turn will tell
        connection.execute(
            sa.update(files)
            .where(files.c.id == row.id, files.c.state == FileState.PENDING)
            .values(size_bytes=facts.size_bytes, mtime_ns=facts.mtime_ns)
        )
    elif state is FileState.SENT and row.reason != CHANGED_AFTER and facts != UNSEEN:
        connection.execute(
            sa.update(files)
            .where(files.c.id == row.id, files.c.state == FileState.SENT)
            .values(reason=CHANGED_AFTER)
        )
        append(
            connection, run.job_id, run.id, EventKind.FILE_CHANGED_AFTER,
            path=row.path, sha256=row.sha256, size_bytes=facts.size_bytes, mtime_ns=facts.mtime_ns,
        )  # fmt: skip


def comes_back(row: FileRow, facts: Facts) -> bool:
    """Return whether a scan that sees `facts` queues a file again: one that was missing, or that an option left out as it was."""
    left_out = is_by_option(row) and row.version == 1 and facts != row.facts
    return bool(facts.size_bytes) and (row.state is FileState.MISSING or left_out)


def names_for(
    connection: sa.Connection, job_id: str, candidates: Mapping[str, Iterator[str]]
) -> dict[str, str]:
    """Choose for each path one of its `candidates` that nothing else in the job is sent under; one query a round."""
    names: dict[str, str] = {}
    while len(names) < len(candidates):
        wanted = {path: next(left) for path, left in candidates.items() if path not in names}
        taken = set(
            connection.execute(
                sa.select(files.c.sent_as).where(
                    files.c.job_id == job_id, files.c.sent_as.in_(list(wanted.values()))
                )
            ).scalars()
        )
        taken.update(names.values())
        for path, name in wanted.items():
            if name not in taken:
                names[path] = name
                taken.add(name)
    return names


_PENDING = (
    sa.select(  # the others are as they are in a file that nothing has happened to
        files.c.id,
        files.c.path,
        files.c.sent_as,
        files.c.size_bytes,
        files.c.mtime_ns,
        files.c.unknown_attempts,
        files.c.changes,
        files.c.sha256,
        files.c.reason,
        files.c.version,
    )
    .where(
        files.c.job_id == sa.bindparam("b_job"),
        files.c.state == sa.literal_column(f"'{FileState.PENDING}'"),
        files.c.id > sa.bindparam("b_after"),
    )
    .order_by(files.c.id)
    .suffix_with(sa.text("LIMIT :b_limit"))  # `limit` would add an offset to the values
)
