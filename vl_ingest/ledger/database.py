"""The database under the ledger: engine, short transactions, and the upgrade to the newest schema.

Every error of the database leaves this module as a `LedgerError` that says what to do.
"""

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from platformdirs import user_state_path
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from vl_ingest.domain.errors import LedgerError, UsageError
from vl_ingest.ledger import sqlite
from vl_ingest.ledger.tables import metadata

HEAD = "0007"  # the newest revision in `migrations/`; a test keeps the two equal


def default_path() -> Path:
    """Return where the ledger lies unless told otherwise: the platform's state folder."""
    return user_state_path("vl-ingest", appauthor=False) / "ledger.db"


class OlderSchema(LedgerError):
    """The ledger was made by an older vl-ingest and was opened to read only, so it is not upgraded."""


class WrittenMeanwhile(LedgerError):
    """A ledger that nobody was using was written to while it was read: what was read may be of two moments."""


def to_url(place: str | os.PathLike[str]) -> sa.URL:
    """Return the SQLAlchemy URL of `place`, which is a path or already a URL.

    Raises `UsageError` for any database but SQLite.
    """
    text = os.fspath(place)
    if "://" in text:
        try:
            url = sa.make_url(text)
        except SQLAlchemyError as exc:
            raise LedgerError(
                f"{text!r} is not a database URL: {exc}. Name a file with `--ledger PATH`."
            ) from exc
        if url.get_backend_name() != "sqlite":
            raise UsageError(
                f"A ledger is an SQLite file: {url.get_backend_name()} is not supported. Name a file with `--ledger PATH`."
            )
        return sqlite.one_spelling(url)
    return sqlite.one_spelling(sa.URL.create("sqlite", database=os.path.expanduser(text)))


class Database:
    """Short transactions on the ledger's database, for any number of threads.

    `upgraded` is called in the transaction that brings an older schema to `HEAD`, with both revisions. With
    `readonly` nothing is made, upgraded or changed, not even a file beside the ledger; an older schema
    is then an `OlderSchema`.
    """

    def __init__(
        self,
        place: str | os.PathLike[str],
        *,
        create: bool = True,
        readonly: bool = False,
        upgraded: Callable[[sa.Connection, str, str], None] | None = None,
    ) -> None:
        self._upgraded = upgraded
        self._readonly = readonly
        self._snapshot = threading.local()
        self.url = to_url(place)
        self.path = sqlite.path_of(self.url)
        self._kept: sa.Connection | None = None
        self._file: tuple[int, int] | None = None  # which one is open
        self._writing: threading.Lock | nullcontext[None] = threading.Lock() if self.path else nullcontext()
        if self.path is not None:
            with self._explained("open", OSError):
                known = self.path.exists()
            if (readonly or not create) and not known:
                raise LedgerError(
                    f"There is no ledger at {self.path}. The first `vl-ingest run` creates it; name another with "
                    "`--ledger PATH`."
                )
            if not readonly:
                with self._explained("open", OSError):
                    self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._explained("open", OSError):
            self._engine = _engine(self.url, self.path if readonly else None)
            if readonly:
                self._assert_head()
            else:
                self._upgrade()
                self._file = sqlite.identity(self.path)

    def __str__(self) -> str:
        return str(self.path or self.url.render_as_string(hide_password=True))

    def close(self) -> None:
        """Close every connection."""
        with self._writing:
            if self._kept is not None:
                self._kept.close()
        self._engine.dispose()

    @property
    def locks(self) -> Path:
        """The folder of lock files that belong to this ledger."""
        if self.path is not None:
            return self.path.with_name(self.path.name + ".locks")
        return default_path().with_name("locks")

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Give a connection that sees one consistent state and changes nothing."""
        held: sa.Connection | None = getattr(self._snapshot, "connection", None)
        if held is not None:
            yield held
            return
        with self._explained("read"), self._unchanged(), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Let everything that this thread reads in the block see one and the same state."""
        with self.read() as connection:
            self._snapshot.connection = connection
            try:
                yield
            finally:
                self._snapshot.connection = None

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Give a connection whose changes are on disk when the block ends, or nowhere if it raises."""
        with self._explained("write"), self._writing, self._writer() as connection, connection.begin():
            yield connection

    @contextmanager
    def _writer(self) -> Iterator[sa.Connection]:
        """Give the connection that everybody writes by, one after the other: SQLite keeps its pages in memory between two."""
        if self._file is not None and self._file != sqlite.identity(self.path):
            raise LedgerError(
                f"The ledger {self} was moved, removed or replaced while it was in use. Put it back where it was, with the "
                "files beside it, and run the same command again."
            )
        kept, self._kept = self._kept, None
        connection = kept or self._engine.connect().execution_options(vl_ingest_write=True)
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        if self.path is None:
            connection.close()
        else:
            self._kept = connection

    def compact(self) -> None:
        """Give the space of deleted rows back to the file system, where the database can."""
        if self.path is not None:
            with self._explained("compact"), self._writing, self._writer() as connection:
                sqlite.driver_of(connection).execute("VACUUM").close()

    def damage(self) -> list[str]:
        """Return what SQLite finds broken in the file, in its words; nothing for other databases."""
        if self.path is None:
            return []
        with self._explained("check"), self._engine.connect() as connection:
            rows = connection.exec_driver_sql("PRAGMA quick_check(5)").scalars().all()
        found = [line for row in rows for line in str(row).splitlines() if line != "ok"]
        return [line for line in found if not line.startswith("***")] or found  # without headings

    def synchronous(self) -> str:
        """Return how hard SQLite makes sure that a commit is on the disk; nothing to tell of other databases."""
        if self.path is None:
            return "as the server has it"
        with self._explained("read"), self._engine.connect() as connection:
            level = connection.exec_driver_sql("PRAGMA synchronous").scalar_one()
        return ("OFF", "NORMAL", "FULL", "EXTRA")[level]

    def seal(self) -> None:
        """Make one file of it that needs nothing beside it, not even a folder that can be written to."""
        with self._explained("write"), self._writing:
            self._journal("DELETE")

    def _journal(self, mode: str) -> None:
        if self.path is not None:
            with self._writer() as connection:
                sqlite.driver_of(connection).execute(f"PRAGMA journal_mode = {mode}").close()

    @contextmanager
    def _unchanged(self) -> Iterator[None]:
        """Raise `WrittenMeanwhile` if a file that nobody was writing to, and was opened as such, was written to in the block."""
        if not self._readonly or self.path is None or sqlite.in_use(self.path):
            yield
            return
        before = os.stat(self.path)
        try:
            yield
        finally:
            after = os.stat(self.path)
            if (after.st_mtime_ns, after.st_size) != (before.st_mtime_ns, before.st_size):
                text = f"The ledger {self} changed while it was read. Run the same command again."
                raise WrittenMeanwhile(text)

    @contextmanager
    def _explained(self, doing: str, *more: type[Exception]) -> Iterator[None]:
        kinds: tuple[type[Exception], ...] = (DBAPIError, sqlite3.Error, *more)
        try:
            yield
        except kinds as exc:
            raise LedgerError(_explain(exc, doing, str(self))) from exc

    def _upgrade(self) -> None:
        """Bring the schema to `HEAD`. Alembic is imported only when there is something to do."""
        if self._revision() == HEAD:
            return
        from filelock import FileLock

        self.locks.mkdir(parents=True, exist_ok=True)
        with FileLock(self.locks / "upgrade.lock", timeout=sqlite.BUSY_TIMEOUT_S):
            revision = self._revision()
            if revision == HEAD:
                return
            if revision is None:
                self._journal("WAL")  # readers beside a writer; the file keeps it
                with self.write() as connection:
                    _create(connection)
                return
            from alembic import command
            from alembic.script import ScriptDirectory
            from alembic.util import CommandError

            config = migration_config()
            try:
                ScriptDirectory.from_config(config).get_revision(revision)
            except CommandError as exc:
                raise _newer(str(self), revision) from exc
            with self._engine.connect() as connection:
                connection.execution_options(vl_ingest_write=True)
                config.attributes["connection"] = connection
                with sqlite.foreign_keys_off(connection), connection.begin():
                    command.upgrade(config, "head")
                    if self._upgraded is not None:
                        self._upgraded(connection, revision, HEAD)

    def _assert_head(self) -> None:
        revision = self._revision()
        if revision is None:
            raise LedgerError(f"{self} holds no ledger. Name another one with `--ledger PATH`.")
        if revision < HEAD:
            raise OlderSchema(f"The ledger {self} has schema {revision}; the next run upgrades it to {HEAD}.")
        if revision > HEAD:
            raise _newer(str(self), revision)

    def _revision(self) -> str | None:
        with self._engine.connect() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            found = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
            return None if found is None else str(found)


def _create(connection: sa.Connection) -> None:
    """Make the newest schema at once, without alembic, whose import takes as long as everything else.

    A test holds it equal to what the migrations make.
    """
    version = sa.Table(
        "alembic_version",
        sa.MetaData(),
        sa.Column("version_num", sa.String(32), nullable=False),
        sa.PrimaryKeyConstraint("version_num", name="alembic_version_pkc"),
    )
    for index in (index for table in metadata.tables.values() for index in table.indexes):
        only = index.dialect_options["sqlite"]["where"]
        if only is not None:  # on every database that knows partial indexes
            index.dialect_options[connection.dialect.name]["where"] = only
    metadata.create_all(connection)
    version.create(connection)
    connection.execute(version.insert(), {"version_num": HEAD})


def migration_config() -> Any:
    """Return alembic's configuration for the migrations of this package, wherever it is installed."""
    from alembic.config import Config

    package = Path(__file__).resolve().parents[1]
    places = (package / "migrations", package.parent / "migrations")
    config = Config()
    config.set_main_option("script_location", str(next(p for p in places if (p / "env.py").exists())))
    return config


def _newer(ledger: str, revision: str) -> LedgerError:
    return LedgerError(
        f"The ledger {ledger} was made by a newer vl-ingest (schema {revision}, this one knows "
        f"{HEAD}). Upgrade vl-ingest, or name another ledger with `--ledger`."
    )


def _engine(url: sa.URL, readonly: Path | None) -> sa.Engine:
    try:
        if readonly is not None:
            engine = sa.create_engine(
                "sqlite://", creator=lambda: sqlite.open_readonly(readonly), poolclass=sa.NullPool
            )
        else:
            engine = sa.create_engine(url)
    except (SQLAlchemyError, ImportError) as exc:
        raise LedgerError(
            f"No database driver for {url.render_as_string(hide_password=True)}: {exc}. Install that driver, or name "
            "a file with `--ledger PATH`."
        ) from exc
    if url.get_backend_name() == "sqlite":
        sa.event.listen(engine, "connect", sqlite.configure)
        sa.event.listen(engine, "begin", sqlite.begin)
    return engine


def _explain(exc: Exception, doing: str, ledger: str) -> str:
    """Return what `exc` means for the user and what to do about it."""
    original = getattr(exc, "orig", None) or exc
    words = "it is a folder" if os.path.isdir(ledger) else str(original)
    low = words.lower()
    other = "name another ledger with `--ledger`."
    there = f"Check that the folder exists and is writable, or {other}"
    hints = {
        ("disk is full", "no space left"): "Free some space there and run the same command again.",
        ("readonly", "read-only", "permission denied"): f"Make the file and its folder writable, or {other}",
        ("unable to open",): there,
        ("exists", "not a directory"): f"Part of that path is not a folder: {other}",
        ("no such file",): there,
        ("not a database",): other.capitalize(),
        ("it is a folder",): f"A ledger is a file: {other}",
        ("disk i/o error",): "Check the disk, its quota, and the limit of a file's size (`ulimit -f`).",
        ("malformed",): "Restore it from a copy; nothing was sent that it could not record.",
        ("locked",): "Another program has locked it; close that and run the same command again.",
    }
    meant = (hint for signs, hint in hints.items() if any(sign in low for sign in signs))
    hint = next(meant, "Run the same command again.")
    return f"Can't {doing} the ledger {ledger}: {words}. {hint}"
