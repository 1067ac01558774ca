"""Files as they were promised, and what one is that is not. Decisions on what the system says of a file.

Light: couriers of their own process import it.
"""

import os
import stat
from typing import NamedTuple

# Words of `FileState`.
CHANGED, MISSING, UNREADABLE = "changed", "missing", "unreadable"
SINCE_FOUND = "has changed since it was found"

ANYBODY_READS = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
OPEN_FLAGS = (
    os.O_RDONLY
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_NONBLOCK", 0)  # a pipe in a file's place must not hang the run
)


class Promised(NamedTuple):
    """A file of a batch: its path in the job, its name on the wire, and what identifies its content."""

    path: str
    sent_as: str
    size_bytes: int
    mtime_ns: int


class Broken(NamedTuple):
    """A promise that does not hold: which file, the state it belongs in, and why."""

    path: str
    state: str
    reason: str


def deviation(
    path: str, size_bytes: int, mtime_ns: int, seen: os.stat_result, changed_ns: int | None = None
) -> Broken | None:
    """Compare a file with its promise; None: it is as promised.

    `changed_ns` is its `st_ctime_ns` when it was opened: it has to be untouched since.
    """
    if (
        seen.st_size == size_bytes
        and seen.st_mtime_ns == mtime_ns
        and stat.S_ISREG(seen.st_mode)
        and (changed_ns is None or changed_ns == seen.st_ctime_ns)
    ):
        return None
    reason = SINCE_FOUND if changed_ns is None else "changed while it was sent"
    return irregular(path, seen) or Broken(path, CHANGED, reason)


def irregular(path: str, seen: os.stat_result) -> Broken | None:
    """Return what is in a file's place that is none."""
    if stat.S_ISREG(seen.st_mode):
        return None
    kind = "a folder" if stat.S_ISDIR(seen.st_mode) else "not a regular file"
    return Broken(path, UNREADABLE, f"is {kind} now")


def shortened(path: str) -> Broken:
    """Return what a file is whose end came too early."""
    return Broken(path, CHANGED, "became shorter while it was read")


def forbidden(path: str) -> Broken:
    """Return what a file is that its permissions keep from this user."""
    return Broken(path, UNREADABLE, "may not be read by this user")


def inaccessible(path: str, error: OSError, *, is_link: bool = False) -> Broken:
    """Return what a file is that can't be looked at, opened or read; `is_link`: a link is in its place."""
    if isinstance(error, FileNotFoundError) and is_link:
        return Broken(path, MISSING, "is a link to something that is not there")
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return Broken(path, MISSING, "is not there")
    return Broken(path, UNREADABLE, error.strerror or str(error))
