"""A Dask scheduler and workers, each a process of its own, and a wire to them that can break; for tests."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

from world import CLEAN

PATIENCE_S = 60.0


class DaskCluster:
    """A scheduler on a port of its own; workers come and go."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.workers: list[subprocess.Popen[bytes]] = []
        self._scheduler, self.address = self._start(0)

    def worker(self, scheduler: str | None = None) -> "subprocess.Popen[bytes]":
        """Start a worker of one thread; `scheduler` is the address under which it finds that."""
        worker = self._program(
            "dask_worker", scheduler or self.address, "--nthreads", "1", "--no-nanny",
            "--local-directory", str(self.place), "--death-timeout", "30",
        )  # fmt: skip
        self.workers.append(worker)
        return worker

    def restart_scheduler(self) -> None:
        """Kill it, and start another at the same address."""
        self._scheduler.kill()
        self._scheduler.wait()
        self._scheduler, _ = self._start(int(self.address.rpartition(":")[2]))

    def close(self) -> None:
        """End all."""
        for process in (*self.workers, self._scheduler):
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()

    def _start(self, port: int) -> tuple["subprocess.Popen[bytes]", str]:
        file = self.place / "scheduler.json"
        file.unlink(missing_ok=True)
        process = self._program("dask_scheduler", "--port", str(port), "--scheduler-file", str(file))
        until = time.monotonic() + PATIENCE_S
        while not (file.exists() and file.stat().st_size):
            assert process.poll() is None, (self.place / "log").read_text()
            assert time.monotonic() < until, "no scheduler"
            time.sleep(0.05)
        time.sleep(0.1)
        address = file.read_text().partition('"address": "')[2].partition('"')[0]
        return process, address

    def _program(self, module: str, *arguments: str) -> "subprocess.Popen[bytes]":
        with (self.place / "log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.{module}", "--host", "127.0.0.1", "--no-dashboard", *arguments],
                env={**CLEAN, "DASK_DISTRIBUTED__WORKER__DAEMON": "False", "PATH": os.environ["PATH"]},
                stdout=log, stderr=log, cwd=self.place,
            )  # fmt: skip


class Wire:
    """Another way to an address of this host, that can be cut, or pass nothing on without a word."""

    def __init__(self, address: str) -> None:
        self._target = ("127.0.0.1", int(address.rpartition(":")[2]))
        self._passes = threading.Event()
        self._passes.set()
        self._lock = threading.Lock()
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._listen)]
        self._threads[0].start()

    def cut(self) -> None:
        """Close what is open; what is opened later passes."""
        with self._lock:
            ends, self._ends = self._ends, []
            for end in ends:
                with contextlib.suppress(OSError):  # closed by its other side
                    end.shutdown(socket.SHUT_RDWR)

    def silence(self) -> None:
        """Pass nothing on any more; both sides believe that the other is there."""
        self._passes.clear()

    def close(self) -> None:
        """Close all."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        self._passes.set()
        self.cut()
        for thread in self._threads[1:]:
            thread.join()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):  # shut down
            while True:
                one = self._listener.accept()[0]
                other = socket.create_connection(self._target)
                with self._lock:
                    self._ends += [one, other]
                self._threads.append(threading.Thread(target=self._carry, args=(one, other)))
                self._threads[-1].start()

    def _carry(self, one: socket.socket, other: socket.socket) -> None:
        back = threading.Thread(target=self._pass_on, args=(other, one))
        back.start()
        self._pass_on(one, other)
        back.join()
        one.close()
        other.close()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):  # cut
            while piece := source.recv(65536):
                self._passes.wait()
                target.sendall(piece)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
