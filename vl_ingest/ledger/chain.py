"""What the record is sealed with: each event holds the hash of the one before, a receipt that of its files' rows.

The canonical form of a value is its JSON with sorted keys, without spaces, everything beyond ASCII escaped
(`json.dumps(value, sort_keys=True, separators=(",", ":"))`). All hashes are SHA-256 as 64 hex digits:

- an event's is of the canonical form of `at facts host job kind number previous run user`, where `at` is UTC to the
  microsecond (`2026-01-31T23:59:59.000001Z`) and `previous` the hash of the event before, null for the first
- a digest of rows is of their canonical forms `[path, sent_as, size_bytes, mtime_ns, sha256]`, a line each, in the
  order of their ids
- a digest of what the server lists is of the canonical forms `[sent_as, listed, media_id]`, the same way
- a sum of rows is the sum of the hashes of these lines, modulo 2**256: rows can be added to it, and taken out of it

Whoever keeps the hash of the last event (the head) can prove later that nothing up to there was removed, changed,
added or put in another order.
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from vl_ingest import clock

_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_text = json.encoder.encode_basestring_ascii
_LINES_AT_ONCE = 1000


class SealedRow(NamedTuple):
    """What a digest covers of a file: `path` as the ledger's text, `sha256` None where nothing was acknowledged."""

    path: str
    sent_as: str
    size_bytes: int
    mtime_ns: int
    sha256: str | None


def event_hash(
    *,
    previous: str | None,
    number: int,
    job_id: str,
    run_id: int | None,
    at: datetime,
    host: str | None,
    user: str | None,
    kind: str,
    facts: Mapping[str, Any],
) -> str:
    """Return the hash of one event; `number` counts a job's events from 1."""
    content = {
        "at": clock.iso(at),
        "facts": facts,
        "host": host,
        "job": job_id,
        "kind": kind,
        "number": number,
        "previous": previous,
        "run": run_id,
        "user": user,
    }
    return hashlib.sha256(_canonical(content).encode()).hexdigest()


def rows_digest(rows: Iterable[SealedRow | tuple[str, str, int, int, str | None]]) -> str:
    """Return the digest of files' rows, given in the order of their ids."""
    digest = hashlib.sha256()
    rest = iter(rows)
    while lines := [_line(row) for row in itertools.islice(rest, _LINES_AT_ONCE)]:
        digest.update(b"".join(lines))
    return digest.hexdigest()


def listed_digest(rows: Iterable[tuple[str, int, str | None]]) -> str:
    """Return the digest of what the server lists, given in the order of the files' ids."""
    digest = hashlib.sha256()
    for row in rows:
        digest.update(f"{_canonical(row)}\n".encode())
    return digest.hexdigest()


def row_hash(row: SealedRow) -> int:
    """Return what one row adds to a sum of rows."""
    return int.from_bytes(hashlib.sha256(_line(row)).digest(), "big")


def _line(row: SealedRow | tuple[str, str, int, int, str | None]) -> bytes:
    path, sent_as, size_bytes, mtime_ns, sha256 = row
    # As `_canonical` writes it, in a third of the time.
    content = "null" if sha256 is None else _text(sha256)
    return f"[{_text(path)},{_text(sent_as)},{size_bytes},{mtime_ns},{content}]\n".encode()


class RowSum:
    """Rows as a set: how many, and the sum of their hashes. It can be told of some more, and of some less."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = 0

    def add(self, row: SealedRow) -> None:
        """Take up one row."""
        self.count += 1
        self._sum += row_hash(row)

    def tell(self, count: int, digest: str, *, more: bool) -> None:
        """Take up so many rows of this sum, or take them out."""
        sign = 1 if more else -1
        self.count += sign * count
        self._sum += sign * int(digest, 16)

    @property
    def digest(self) -> str:
        """The sum, as 64 hex digits."""
        return f"{self._sum % 2**256:064x}"
