"""The program of a courier's process: parcels in, what came of them out, over the socket pair that it is given.

Started as `python -I -S child.py LINK BOARD PARENT`, two descriptors and a process number. It ends, and with it
whatever it sends, when the other end of the socket pair is closed, as by the death of the process that holds it.
"""

import contextlib
import os
import sys
import threading
from collections import deque

if __name__ == "__main__":
    sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

from vl_ingest.couriers.board import Board  # the path has to be set first
from vl_ingest.couriers.carrier import Carrier, Task, Terms, Trust  # as above
from vl_ingest.couriers.link import Link  # as above
from vl_ingest.program import die_with  # as above
from vl_ingest.server.pace import Pace  # as above

PAUSE_S = 0.05  # at most, in which what is asked for goes unheard
FIRST_SHARE = 1024.0  # bytes a second, where there is a limit, until the parent has granted one


class Share:
    """What this process may send in a second, as it was last told; None: as much as can."""

    def __init__(self) -> None:
        self.granted: float | None = FIRST_SHARE

    def rate(self, _at: object) -> float | None:
        """Return the bytes a second that may go now."""
        return self.granted


class Child:
    """Threads that carry, one a connection, from one queue."""

    def __init__(self, link: Link, board: Board) -> None:
        self._link, self._board = link, board
        self._tasks: deque[Task] = deque()
        lock = threading.Lock()
        self._changed = threading.Condition(lock)  # there are tasks, or other lines may have them
        self._short = threading.Condition(lock)  # there are no more tasks than lines
        self._carriers: list[Carrier] = []
        self._wanted = 1
        self._is_cut = False
        self._share = Share()
        self._pace: Pace | None = None
        self._trusts: dict[str, Trust] = {}
        self._lock = threading.Lock()

    def serve(self) -> None:
        """Do what is asked for until the other side is gone."""
        terms: Terms | None = None
        while messages := self._link.take():
            for kind, *values in messages:
                if kind == "terms":
                    terms, limited = Terms(*values[:-1]), values[-1]
                    self._pace = Pace(self._share) if limited else None
                elif kind == "task" and terms is not None:
                    self._put(Task(*values))
                elif kind == "lines":
                    with self._changed:
                        self._wanted = values[0]
                        self._changed.notify_all()
                elif kind == "rate":
                    self._share.granted = values[0]
                elif kind == "recall":
                    self._recall()
                elif kind == "cancel":
                    self._is_cut = True
                    for carrier in self._carriers:
                        carrier.cut()
                while terms is not None and len(self._carriers) < self._wanted:
                    self._start(terms)
            self._pause()

    def _pause(self) -> None:
        """Listen to nothing while there are tasks enough: each message that is read takes a turn from those who carry."""
        with self._short:
            self._short.wait_for(lambda: len(self._tasks) <= self._wanted, PAUSE_S)

    def _put(self, task: Task) -> None:
        with self._changed:
            self._tasks.append(task)
            if len(self._carriers) > self._wanted:  # the one that wakes might be one too many
                self._changed.notify_all()
            else:
                self._changed.notify()

    def _recall(self) -> None:
        with self._changed:
            numbers = [task.number for task in self._tasks]
            self._tasks.clear()
        for number in numbers:
            self._link.put(("recalled", number, 0, None))

    def _start(self, terms: Terms) -> None:
        line = len(self._carriers)
        carrier = Carrier(terms, self._board, line, self._pace)
        self._carriers.append(carrier)
        if self._is_cut:
            carrier.cut()
        threading.Thread(target=self._work, args=(line, carrier, terms), daemon=True).start()

    def _work(self, line: int, carrier: Carrier, terms: Terms) -> None:
        while True:
            with self._changed:
                while not self._tasks or line >= self._wanted:
                    self._changed.wait()
                task = self._tasks.popleft()
                if len(self._tasks) == self._wanted:
                    self._short.notify()
            try:
                carried = carrier.carry(task, self._trust(task.address, terms))
                self._link.put(("carried", task.number, line, carried))
            except ConnectionError:  # the other side is gone, and this process about to end
                return
            except BaseException:  # noqa: BLE001  # raised where the future is asked for its result
                import traceback  # a tenth of what it takes to start

                self._link.put(("mistake", task.number, line, traceback.format_exc()))
            self._board.end(line)

    def _trust(self, address: str, terms: Terms) -> Trust | None:
        if not address.startswith("https:"):
            return None
        with self._lock:
            if terms.authorities not in self._trusts:
                self._trusts[terms.authorities] = Trust(terms.authorities)
            return self._trusts[terms.authorities]


def main(link_descriptor: int, board_descriptor: int, parent: int) -> None:
    """Serve until the parent is gone."""
    die_with(parent)  # the closed socket pair does it everywhere
    link = Link(link_descriptor)
    with contextlib.suppress(ConnectionError):  # the parent wants it no more
        link.put(("ready",))
        Child(link, Board(board_descriptor)).serve()
    os._exit(0)  # not to wait for what is being sent


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
