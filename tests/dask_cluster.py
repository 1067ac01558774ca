"""A Dask scheduler and workers, each a process of its own, for tests."""

import contextlib
import os
import signal
import subprocess
import sys
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

    def worker(self, *, port: int = 0) -> "subprocess.Popen[bytes]":
        """Start a worker of one thread."""
        worker = self._program(
            "dask_worker", self.address, "--nthreads", "1", "--no-nanny", "--worker-port", str(port),
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
