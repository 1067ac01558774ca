"""The seals: their canonical form is a promise to whoever checks them with other tools."""

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from vl_ingest.ledger.chain import SealedRow, event_hash, rows_digest

EVENT: dict[str, Any] = {
    "previous": None,
    "number": 1,
    "job_id": "abc123",
    "run_id": 7,
    "at": datetime(2026, 1, 31, 23, 59, 59, 1, tzinfo=UTC),
    "host": "host",
    "user": "user",
    "kind": "file_waived",
    "facts": {"path": "é.png", "by": "user@host", "count": 2.5},
}


def test_the_hash_of_an_event_is_that_of_its_documented_form() -> None:
    """Sorted keys, no spaces, nothing beyond ASCII, UTC to the microsecond."""
    written = (
        rb'{"at":"2026-01-31T23:59:59.000001Z","facts":{"by":"user@host","count":2.5,"path":"\u00e9.png"},'
        rb'"host":"host","job":"abc123","kind":"file_waived","number":1,"previous":null,"run":7,"user":"user"}'
    )
    assert event_hash(**EVENT) == hashlib.sha256(written).hexdigest()


def test_a_digest_of_rows_is_that_of_its_documented_form() -> None:
    """A line a row, ended by a newline."""
    rows = [SealedRow("a\n.png", "a.png", 10, 20, "0" * 64), SealedRow("b.png", "b.png", 1, 2, None)]
    odd = SealedRow('"\\\x00é\u2028🖼', "\x7f/", 0, -1, None)
    written = b'["a\\n.png","a.png",10,20,"' + b"0" * 64 + b'"]\n["b.png","b.png",1,2,null]\n'
    assert rows_digest(rows) == hashlib.sha256(written).hexdigest()
    assert (
        rows_digest([odd])
        == hashlib.sha256(json.dumps(odd, separators=(",", ":")).encode() + b"\n").hexdigest()
    )


@pytest.mark.parametrize(
    "change",
    [
        {"previous": "0" * 64}, {"number": 2}, {"job_id": "abc124"}, {"run_id": None}, {"host": None}, {"user": "root"},
        {"kind": "file_retried"}, {"facts": {}}, {"at": datetime(2026, 1, 31, 23, 59, 59, 2, tzinfo=UTC)},
    ],
    ids=lambda change: next(iter(change)),
)  # fmt: skip
def test_each_part_of_an_event_counts(change: dict[str, Any]) -> None:
    """Nothing of an event can be changed without another hash."""
    assert event_hash(**{**EVENT, **change}) != event_hash(**EVENT)


def test_the_zone_of_a_moment_does_not_count() -> None:
    """The same moment in another zone is the same event."""
    elsewhere = EVENT["at"].astimezone(timezone(timedelta(hours=5)))
    assert event_hash(**{**EVENT, "at": elsewhere}) == event_hash(**EVENT)
