"""Couriers in processes of their own on this host: two cores send twice as much as the threads of one interpreter.

One thread, `couriers`, keeps the processes, reads what they say and hands out shares of the allowance. A process that
dies is replaced. What it had begun is an unknown outcome; what it had not begun goes to another one.
"""

import contextlib
import os
import select
import signal
import socket
import sys
import threading
from concurrent.futures import Future

from vl_ingest import clock
from vl_ingest.couriers.board import MOST_LINES
from vl_ingest.couriers.parcel import Carried, Outcome, Parcel, judged, lost_with_courier
from vl_ingest.couriers.process import Held, Process
from vl_ingest.domain.errors import NotDelivered
from vl_ingest.domain.timetable import Timetable
from vl_ingest.server.api import Api
from vl_ingest.server.limits import ENDED
from vl_ingest.server.wire import prepared, proxy_of

# Parcels a process that wait in it, so that it never waits for this one: enough for `LEAD_S`, within these limits.
LEAST_AHEAD, MOST_AHEAD = 2, 16
LEAD_S = 0.05
SHARES_EVERY_S = 0.1
FAILED_STARTS = 3  # in a row: no more are tried
TRIES = 3  # of a parcel whose processes die before they have begun it


def hindrance(address: str) -> str | None:
    """Return why parcels to this address can't go from processes of their own; None: they can."""
    if os.name != "posix" or os.open not in os.supports_dir_fd or not hasattr(select, "poll"):
        return "this system opens no files relative to a folder"
    if not sys.executable:
        return "it is not known which program runs Python here"
    if proxy_of(address) is not None:
        return "there is a proxy"
    return None


class Processes:
    """`size` processes with `lines` connections together; both can be changed at any time."""

    def __init__(self, api: Api, timetable: Timetable, *, size: int = 1, lines: int = 1) -> None:
        self._api = api
        self._timetable = timetable
        self._lock = threading.Lock()
        self._size, self._lines = size, lines  # wanted: processes, connections of all together
        self._processes: list[Process] = []
        self._waiting: list[Held] = []  # taken, and with no process yet
        self._last = 0  # number of a parcel
        self._failed_starts = 0
        self._cancelled = self._closing = False
        self._shares_at = 0.0
        self._took_s = LEAD_S  # a parcel, a moving average
        self._cpu_s: dict[int, float] = {}  # by process, also those that have ended
        self._waker, self._woken = socket.socketpair()
        self._woken.setblocking(False)
        self._waker.setblocking(False)  # one that is full wakes as well
        self._thread = threading.Thread(target=self._run, name="couriers", daemon=True)
        self._thread.start()

    def submit(self, parcel: Parcel) -> "Future[Outcome]":
        """Take a parcel; the process with the fewest has it at once, and sends it when a connection is free."""
        future: Future[Outcome] = Future()
        with self._lock:
            self._last += 1
            held = Held(
                self._last, parcel, future, prepared(self._api.url(parcel.address)), clock.monotonic()
            )
            refused = self._cancelled or self._closing
            if not refused:
                self._assign(held)
                self._shares_at = 0.0
        if not self._timetable.unlimited:
            self._wake()
        if refused:
            future.set_result(_not_sent(held))
        return future

    def resize(self, size: int, lines: int) -> None:
        """Keep so many processes, with so many connections together. One too many ends when it has nothing left."""
        with self._lock:
            changed, self._size, self._lines = (size, lines) != (self._size, self._lines), size, lines
            if changed:
                for process in self._processes:
                    process.open_lines(self._lines_of(process))
        if changed:
            self._wake()

    @property
    def size(self) -> int:
        """How many processes are wanted."""
        return self._size

    @property
    def ready(self) -> int:
        """How many processes are up."""
        with self._lock:
            return sum(process.is_ready for process in self._processes)

    @property
    def broken(self) -> bool:
        """Whether no process can be started: what is given to them is recalled."""
        return self._failed_starts >= FAILED_STARTS

    @property
    def pids(self) -> list[int]:
        """The processes' numbers."""
        with self._lock:
            return [process.pid for process in self._processes]

    @property
    def bytes_moving(self) -> int:
        """Bytes of files that open requests have handed to the network so far."""
        with self._lock:
            return sum(bytes_out for process in self._processes for _, _, bytes_out in process.begun())

    @property
    def ahead(self) -> int:
        """How many parcels more than are sent at once are worth being given."""
        return self._size * min(MOST_AHEAD, max(LEAST_AHEAD, round(LEAD_S / self._took_s)))

    @property
    def cpu_s(self) -> float:
        """Processor time that this process and its couriers have used so far."""
        return clock.cpu() + sum(self._cpu_s.values())

    def recall(self) -> None:
        """Give back the parcels that have not begun."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
            for process in self._processes:
                process.put(("recall",))
        self._wake()
        for held in waiting:
            held.future.set_result(_recalled(held))

    def cancel(self) -> None:
        """Cut whatever is being sent; nothing begins any more, and what waits only for its answer goes on waiting."""
        with self._lock:
            self._cancelled = True
            waiting, self._waiting = self._waiting, []
            for process in self._processes:
                process.put(("cancel",))
        self._wake()
        for held in waiting:
            held.future.set_result(_not_sent(held))

    def close(self) -> None:
        """Cut everything and end; what is not over is an unknown outcome."""
        with self._lock:
            self._closing = True
        self._wake()
        self._thread.join()

    def __enter__(self) -> "Processes":
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _lines_of(self, process: Process) -> int:
        each, more = divmod(self._lines, max(1, self._size))
        return min(MOST_LINES, each + (process.index < more))

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # closed
            self._waker.send(b"\0")

    def _assign(self, held: Held) -> None:
        """Hand a parcel to the process with the fewest; `_lock` is held."""
        usable = [process for process in self._processes[: self._size] if self._lines_of(process)]
        if not usable:
            self._waiting.append(held)
            self._wake()
            return
        process = min(usable, key=lambda one: len(one.held) / self._lines_of(one))
        if not process.give(held):
            self._wake()  # the rest of the message goes when there is room

    # The thread

    def _run(self) -> None:
        # Processes are born with this mask: it is this one that is asked to stop, and decides.
        signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGINT, signal.SIGTERM, signal.SIGHUP))
        try:
            while not self._closing:
                self._keep_up()
                self._share()
                self._look()
        finally:
            with self._lock:
                self._closing = True
                ending, self._processes = self._processes, []
                waiting, self._waiting = self._waiting, []
            for process in ending:
                process.end()
            now = clock.monotonic()
            for process in ending:
                for held in process.held.values():
                    held.future.set_result(_lost(held, "its courier was stopped", now, process.index))
            for held in waiting:
                held.future.set_result(_not_sent(held))
            self._waker.close()
            self._woken.close()

    def _keep_up(self) -> None:
        """Start what is missing, end what is too many."""
        while True:
            with self._lock:
                missing = len(self._processes) < self._size and not self.broken and not self._closing
                index = len(self._processes)
            if not missing:
                break
            try:
                process = Process(index, self._api, limited=not self._timetable.unlimited)
            except OSError:
                self._failed_starts += 1
                continue
            with self._lock:
                process.open_lines(self._lines_of(process))
                if self._cancelled:
                    process.put(("cancel",))
                self._processes.append(process)
                self._shares_at = 0.0
                waiting, self._waiting = self._waiting, []
                for held in waiting:
                    self._assign(held)
        with self._lock:
            surplus = [p for p in self._processes[self._size :] if not p.held]
            self._processes = [p for p in self._processes if p not in surplus]
            stranded = self._waiting if self.broken and not self._processes else []
            if stranded:
                self._waiting = []
        for process in surplus:
            process.end()
        for held in stranded:
            held.future.set_result(_recalled(held))

    def _share(self) -> None:
        """Divide what may be sent in a second among the processes, by how many requests each has open."""
        if self._timetable.unlimited or clock.monotonic() < self._shares_at:
            return
        rate = self._timetable.rate(clock.local())
        with self._lock:
            active = [min(len(process.held), self._lines_of(process)) for process in self._processes]
            for process, open_now in zip(self._processes, active, strict=True):
                share = open_now / sum(active) if sum(active) else 1 / len(active)
                process.grant(None if rate is None else max(1.0, rate * share))
        self._shares_at = clock.monotonic() + SHARES_EVERY_S

    def _look(self) -> None:
        """Wait for news, and pass them on."""
        poll = select.poll()
        poll.register(self._woken, select.POLLIN)
        with self._lock:
            processes = {process.descriptor: process for process in self._processes}
            for process in processes.values():
                poll.register(process.descriptor, select.POLLIN | (select.POLLOUT if process.unsent else 0))
        limited = not self._timetable.unlimited
        for descriptor, _events in poll.poll(SHARES_EVERY_S * 1000 if limited else None):
            if descriptor == self._woken.fileno():
                self._woken.recv(4096)
            else:
                self._hear(processes[descriptor])

    def _hear(self, process: Process) -> None:
        with self._lock:
            process.flush()
        messages, is_alive = process.hear()
        if not is_alive:
            process.wait()  # it may only be unheard of: what it has begun is read when it can begin nothing more
            messages += process.hear()[0]
        for kind, *values in messages:
            if kind == "ready":
                process.is_ready, self._failed_starts = True, 0
                continue
            number, line, said = values
            with self._lock:
                held = process.held.pop(number)
            if kind == "mistake":
                held.future.set_exception(RuntimeError(f"a courier's process made a mistake:\n{said}"))
            elif kind == "recalled":
                held.future.set_result(_recalled(held))
            else:
                outcome = judged(
                    self._api, held.parcel, Carried(*said), line * max(1, self._size) + process.index + 1
                )
                self._cpu_s[process.pid] = outcome.cpu_s
                self._took_s += 0.1 * (max(0.001, outcome.ended - outcome.began) - self._took_s)
                held.future.set_result(outcome)
        if not is_alive:
            self._bury(process)

    def _bury(self, process: Process) -> None:
        """Say what became of the parcels of a process that has died."""
        with self._lock:
            self._processes.remove(process)
        begun = {parcel for _, parcel, _ in process.begun()}
        why = process.end()
        lost: list[Held] = []
        with self._lock:
            if not process.is_ready:
                self._failed_starts += 1
            for index, other in enumerate(self._processes):
                other.index = index
                other.open_lines(self._lines_of(other))
            for held in process.held.values():
                held.tries += process.is_ready  # one that never came up has not had it
                if held.number in begun or held.tries >= TRIES or self._cancelled:
                    lost.append(held)
                else:
                    self._waiting.append(held)
        now = clock.monotonic()
        for held in lost:
            held.future.set_result(_lost(held, f"the process that sent it has died ({why})", now, 0))


def _lost(held: Held, why: str, now: float, line: int) -> Outcome:
    return lost_with_courier(why, held.taken_at, now, line, held.parcel.body_bytes)


def _not_sent(held: Held) -> Outcome:
    now = clock.monotonic()
    return Outcome(NotDelivered(ENDED), [], 0, held.parcel.body_bytes, held.taken_at, now)


def _recalled(held: Held) -> Outcome:
    return _not_sent(held)._replace(recalled=True)
