"""The names that files would be sent under, chosen as the ledger does, but kept in a file that nobody sees.

A million of them want no memory, and no ledger.
"""

import os
import sqlite3
from collections.abc import Callable

from vl_ingest.domain.naming import candidate_names


class Names:
    """Names that are taken; `elsewhere` says whether somebody else has one."""

    def __init__(self, elsewhere: Callable[[str], bool] | None = None) -> None:
        self._elsewhere = elsewhere
        self._database = sqlite3.connect("")  # a temporary file, deleted by SQLite itself
        for table in ("names", "paths"):
            self._database.execute(f"CREATE TABLE {table} (it BLOB PRIMARY KEY) WITHOUT ROWID").close()

    def close(self) -> None:
        """Forget them all."""
        self._database.close()

    def is_new(self, path: str) -> bool:
        """Return whether this is asked for the first time; a list may name a file twice."""
        return self._insert("paths", path)

    def choose(self, path: str) -> str:
        """Take and return the first free name of `path`."""
        for name in candidate_names(path):
            if self._elsewhere is not None and self._elsewhere(name):
                continue
            if self._insert("names", name):
                return name
        raise ValueError(f"{path!r} has no free name; is it the second time that it is asked for?")

    def _insert(self, table: str, text: str) -> bool:
        cursor = self._database.execute(
            f"INSERT OR IGNORE INTO {table} VALUES (?)",  # noqa: S608  # one of the two above
            (os.fsencode(text),),
        )
        try:
            return cursor.rowcount == 1
        finally:
            cursor.close()
