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


def monotonic() -> float:
    """Return seconds on a clock that only goes forward; only differences mean anything."""
    return time.monotonic()


def cpu() -> float:
    """Return the processor time that this process has used, in seconds."""
    return time.process_time()
