"""A courier's process that is killed at a point between two of its effects; a program in the place of `child.py`.

`DYING_COURIER` names a folder: `points` gets those that are passed, a line each; `die_at` holds the number of the one to
die at, if any, from 1; `dead` is made then, and nobody dies again.
"""

import os
import signal
import socket
import sys
import threading
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from vl_ingest.couriers import child
from vl_ingest.couriers.link import Link

PLACE = Path(os.environ["DYING_COURIER"])
_LOCK = threading.Lock()
_PASSED: list[str] = []


def passing(label: str) -> None:
    """Note a point; if it is the one, die."""
    with _LOCK:
        _PASSED.append(label)
        with (PLACE / "points").open("a") as log:
            log.write(f"{label}\n")
        chosen = (PLACE / "die_at").exists() and int((PLACE / "die_at").read_text()) == len(_PASSED)
        if chosen and not (PLACE / "dead").exists():
            (PLACE / "dead").touch()
            os.kill(os.getpid(), signal.SIGKILL)


def watched(kind: type, name: str, label: str) -> None:
    """Make a point before and after each call of a method."""
    method = getattr(kind, name)

    def call(*arguments: Any, **more: Any) -> Any:
        passing(f"before {label}")
        result = method(*arguments, **more)
        passing(f"after {label}")
        return result

    setattr(kind, name, call)


class HalvingSocket(socket.socket):
    """Sends in two halves, with a point between."""

    def send(self, data: Any, *flags: Any) -> int:
        """Send a part."""
        passing("before a part of the request")
        count = super().send(memoryview(data)[: max(1, len(data) // 2)], *flags)
        passing("after a part of the request")
        return count


def create_connection(address: tuple[str, int], timeout_s: float) -> socket.socket:
    """Connect with one of those."""
    connection = HalvingSocket(socket.AF_INET, socket.SOCK_STREAM)
    connection.settimeout(timeout_s)
    connection.connect(address)
    passing("after the connection")
    return connection


if __name__ == "__main__":
    socket.create_connection = create_connection  # type: ignore[assignment]  # this process is made for it
    watched(HTTPResponse, "begin", "the answer")
    watched(Link, "put", "a word to the parent")
    watched(Link, "take", "a word from the parent")
    child.main(*map(int, sys.argv[1:]))
