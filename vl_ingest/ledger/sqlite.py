"""SQLite's peculiarities: how its files are opened, what each connection is told, and when it locks."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import sqlalchemy as sa

BUSY_TIMEOUT_S = 30.0
URI = "file:"  # how SQLite's own addresses begin, which SQLAlchemy passes on


def path_of(url: sa.URL) -> Path | None:
    """Return the file that the URL names; None for memory and for other databases."""
    database = (url.database or ":memory:").removeprefix(URI)
    if url.get_backend_name() != "sqlite" or database.startswith(":memory:"):
        return None
    return Path(database)


def one_spelling(url: sa.URL) -> sa.URL:
    """Return the URL with the real path of its file: what belongs to a ledger lies beside that."""
    path = path_of(url)
    if path is None:
        return url
    prefix = URI if (url.database or "").startswith(URI) else ""
    return url.set(database=prefix + os.path.realpath(path))


def identity(path: Path | None) -> tuple[int, int] | None:
    """Return what tells a file from any other; None if there is none."""
    if path is None:
        return None
    try:
        seen = os.stat(path)
    except FileNotFoundError:
        return None
    return seen.st_dev, seen.st_ino


def in_use(path: Path) -> bool:
    """Return whether anybody has the file open to write, or was killed so: there is a write-ahead log beside it."""
    return path.with_name(path.name + "-wal").exists()


def open_readonly(path: Path) -> sqlite3.Connection:
    """Open the file to read, in a way that makes no file beside it."""
    immutable = "" if in_use(path) else "&immutable=1"
    return sqlite3.connect(f"{path.as_uri()}?mode=ro{immutable}", uri=True, check_same_thread=False)


def copy(path: Path, target: Path) -> None:
    """Copy a database as it is at one moment, also while others write to it."""
    with closing(open_readonly(path)) as source, closing(sqlite3.connect(target)) as made:
        source.backup(made)


def configure(connection: sqlite3.Connection, _record: object) -> None:
    """Set up a connection; FULL because an intent must survive a power cut."""
    connection.isolation_level = None  # the driver's own BEGIN comes too late; `begin` says it
    for pragma in (f"busy_timeout = {int(BUSY_TIMEOUT_S * 1000)}", "synchronous = FULL", "foreign_keys = ON"):
        connection.execute(f"PRAGMA {pragma}").close()


def begin(connection: sa.Connection) -> None:
    """Take the write lock at once where something will be written: a SELECT first would not."""
    writes = connection.get_execution_options().get("vl_ingest_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def foreign_keys_off(connection: sa.Connection) -> Iterator[None]:
    """Let SQLite rebuild tables that others refer to; it listens only outside a transaction."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        yield
        return
    driver.execute("PRAGMA foreign_keys = OFF").close()
    try:
        yield
    finally:
        driver.execute("PRAGMA foreign_keys = ON").close()


def driver_of(connection: sa.Connection) -> sqlite3.Connection:
    """Return SQLite's own connection, for what it does only outside a transaction."""
    driver = connection.connection.driver_connection
    if not isinstance(driver, sqlite3.Connection):
        raise TypeError(f"{driver!r} is no connection of SQLite")
    return driver
