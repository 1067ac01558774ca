"""Files that say what to send: the list of `--files-from`, and the patterns of `--exclude-from`."""

import os
import sqlite3
from collections.abc import Iterator

from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.naming import path_to_text


def is_read_once(path: str | None) -> bool:
    """Return whether a list is gone once it is read: standard input, a pipe, or whatever else is no file of its own."""
    if path is None or path == os.devnull:
        return False
    return (
        path == "-"
        or path.startswith(("/dev/", "/proc/"))
        or (os.path.exists(path) and not os.path.isfile(path))
    )


def read_list(path: str) -> Iterator[str]:
    """Yield the names in a list file (`-`: standard input): one a line, or separated by NUL bytes."""
    try:
        with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
            rest, separator = b"", b""
            while more := file.read1(65536):  # what is there, without waiting for the rest
                rest += more
                separator = separator or (b"\0" if b"\0" in rest else b"\n" if b"\n" in rest else b"")
                if separator:
                    *names, rest = rest.split(separator)
                    yield from (os.fsdecode(name.removesuffix(b"\r")) for name in names if name.strip())
            if rest.strip():
                yield os.fsdecode(rest.removesuffix(b"\r"))
    except OSError as exc:
        raise UsageError(f"Can't read the list {path}: {exc.strerror}.") from exc


def read_patterns(path: str) -> list[str]:
    """Return the patterns in a file, one a line as in .gitignore; blank lines are none."""
    try:
        with open(path, "rb") as file:
            lines = file.read().removeprefix(b"\xef\xbb\xbf").splitlines()
    except OSError as exc:
        raise UsageError(f"Can't read the patterns in {path_to_text(path)}: {exc.strerror}.") from exc
    return [os.fsdecode(line) for line in lines if line.strip()]


class Paths:
    """Paths in order, each once, kept in a file that nobody sees: a million of them take no memory."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("")  # a temporary file, deleted by SQLite itself
        self._database.execute("CREATE TABLE paths (id INTEGER PRIMARY KEY, path BLOB UNIQUE)").close()

    def close(self) -> None:
        """Forget them all."""
        self._database.close()

    def add(self, path: str) -> None:
        """Put a path at the end, unless it is there already."""
        statement = "INSERT OR IGNORE INTO paths (path) VALUES (?)"
        self._database.execute(statement, (os.fsencode(path),)).close()

    def __contains__(self, path: str) -> bool:
        found = self._database.execute("SELECT 1 FROM paths WHERE path = ?", (os.fsencode(path),))
        return found.fetchone() is not None

    def __iter__(self) -> Iterator[str]:
        for (path,) in self._database.execute("SELECT path FROM paths ORDER BY id"):
            yield os.fsdecode(path)
