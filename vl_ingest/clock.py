"""The only reading of time.

Moments (`now`) go on record; durations are measured on the monotonic clock, which neither a changed
wall clock nor a daylight-saving hour can move.
"""

import time
from datetime import UTC, datetime


def now() -> datetime:
    """Return this moment, aware, in UTC."""
    return datetime.now(UTC)


def local() -> datetime:
    """Return this moment in the zone of this machine."""
    return now().astimezone()


def iso(at: datetime | None) -> str | None:
    """Return a moment as programs read it, and hashes of events cover it: `2026-01-31T23:59:59.000001Z` (ISO 8601)."""
    return None if at is None else f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"


def iso_ns(ns: int) -> str:
    """Return the moment so many nanoseconds after 1970 in the same form, to the nanosecond."""
    seconds, part = divmod(ns, 10**9)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{part:09}Z"


def monotonic() -> float:
    """Return seconds on a clock that only goes forward; only differences mean anything."""
    return time.monotonic()


def cpu() -> float:
    """Return the processor time that this process has used, in seconds."""
    return time.process_time()
