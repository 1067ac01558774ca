"""What the record is sealed with: each event holds the hash of the one before, a receipt that of its files' rows.

The canonical form of a value is its JSON with sorted keys, without spaces, everything beyond ASCII escaped
(`json.dumps(value, sort_keys=True, separators=(",", ":"))`). All hashes are SHA-256 as 64 hex digits:

- an event's is of the canonical form of `at facts host job kind number previous run user`, where `at` is UTC to the
  microsecond (`2026-01-31T23:59:59.000001Z`) and `previous` the hash of the event before, null for the first
- a digest of rows is of their canonical forms `[path, sent_as, size_bytes, mtime_ns, sha256]`, a line each, in the
  order of their ids

Whoever keeps the hash of the last event (the head) can prove later that nothing up to there was removed, changed,
added or put in another order.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from vl_ingest import clock

_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":")).encode
_text = json.encoder.encode_basestring_ascii


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


def rows_digest(rows: Iterable[SealedRow]) -> str:
    """Return the digest of files' rows, given in the order of their ids."""
    digest = hashlib.sha256()
    for path, sent_as, size_bytes, mtime_ns, sha256 in rows:
        # As `_canonical` writes it, in a third of the time.
        content = "null" if sha256 is None else _text(sha256)
        digest.update(f"[{_text(path)},{_text(sent_as)},{size_bytes},{mtime_ns},{content}]\n".encode())
    return digest.hexdigest()
