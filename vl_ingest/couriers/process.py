"""One process that carries, as the process that holds the job sees it."""

import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

from vl_ingest.couriers.board import BOARD_BYTES, Board
from vl_ingest.couriers.link import Inbox, packed
from vl_ingest.couriers.parcel import Outcome, Parcel, terms_of
from vl_ingest.program import start
from vl_ingest.server.api import Api
from vl_ingest.server.wire import authorities

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "child.py")
ENDS_IN_S = 2.0  # a process that is told to end; then it is killed


@dataclass
class Held:
    """A parcel that has been taken. `tries` are processes that died before they had begun it."""

    number: int
    parcel: Parcel
    future: "Future[Outcome]"
    address: str
    taken_at: float
    tries: int = 0


class Process:
    """A started process; not for several threads at once, but for `descriptor` and `hear`.

    Started by a thread that lives as long as it does: its death is what Linux tells the process of.
    """

    def __init__(self, index: int, api: Api, *, limited: bool) -> None:
        self.index = index  # among the processes that there are
        self.held: dict[int, Held] = {}
        self.is_ready = False
        self.unsent = bytearray()
        self._granted: float | None = None
        self._lines = 1
        self._inbox = Inbox()
        ours, theirs = socket.socketpair()
        with tempfile.TemporaryFile() as memory, theirs:
            try:
                memory.truncate(BOARD_BYTES)
                self._board = Board(memory.fileno())
                self._process = start(
                    PROGRAM, theirs.fileno(), memory.fileno(), os.getpid(),
                    pass_fds=(theirs.fileno(), memory.fileno()),
                    stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                )  # fmt: skip
            except BaseException:
                ours.close()
                raise
        ours.setblocking(False)
        self._socket = ours
        self.put(("terms", *terms_of(api, authorities()), limited))

    @property
    def pid(self) -> int:
        """The number of the process."""
        return self._process.pid

    @property
    def descriptor(self) -> int:
        """What to poll."""
        return self._socket.fileno()

    def give(self, held: Held) -> bool:
        """Hand a parcel over; False: not all of it could be yet."""
        self.held[held.number] = held
        parcel = held.parcel
        token = None if parcel.token is None else parcel.token.value
        files = list(map(tuple, parcel.files))
        return self.put(("task", held.number, parcel.folder, files, held.address, token, parcel.deadline_s))

    def open_lines(self, count: int) -> None:
        """Let it use so many connections."""
        if count != self._lines:
            self._lines = count
            self.put(("lines", count))

    def grant(self, rate: float | None) -> None:
        """Let it send so many bytes a second."""
        if rate != self._granted:
            self._granted = rate
            self.put(("rate", rate))

    def put(self, message: Any) -> bool:
        """Send a message, without waiting; False: not all of it could be yet."""
        self.unsent += packed(message)
        return self.flush()

    def flush(self) -> bool:
        """Send what is left of the messages, as much as there is room for; say whether it was all."""
        while self.unsent:
            try:
                count = self._socket.send(self.unsent)
            except BlockingIOError:
                return False
            except OSError:  # it has died: `hear` says so
                return True
            del self.unsent[:count]
        return True

    def hear(self) -> tuple[list[Any], bool]:
        """Return what it has said since, and whether it is alive."""
        messages: list[Any] = []
        while True:
            try:
                piece = self._socket.recv(1 << 18)
            except BlockingIOError:
                return messages, True
            except OSError:
                return messages, False
            if not piece:
                return messages, False
            messages += self._inbox.take(piece)

    def begun(self) -> Iterator[tuple[int, int, int]]:
        """Yield (line, parcel, bytes out) of what it has begun and is not over."""
        return self._board.begun()

    def wait(self) -> int:
        """Wait until it has ended, or kill it; return its exit code."""
        try:
            return self._process.wait(ENDS_IN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def end(self) -> str:
        """End it, and return how it ended, in words."""
        self._socket.close()
        code = self.wait()
        self._board.close()
        return f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
