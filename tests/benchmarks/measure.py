"""Whole processes, measured: wall time, processor time, and the most memory they held."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Cost:
    """What one process cost, its start-up included. `peak_bytes` is its largest resident size."""

    began_at: float  # on the monotonic clock
    wall_s: float
    cpu_s: float
    peak_bytes: int


@dataclass
class Target:
    """A server under load: where it is, and, once it is closed, what it has seen."""

    url: str
    received_bytes: int = 0
    first_upload_at: float | None = None


@contextmanager
def sink(
    *options: str, prefix: Sequence[str] = (), host: str = "127.0.0.1", tls: bool = False
) -> Iterator[Target]:
    """Run a sink in a process of its own; `prefix` is what to start it with."""
    command = [*prefix, sys.executable, str(HERE / "sink.py"), *options]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        target = Target(f"{'https' if tls else 'http'}://{host}:{port}")
        try:
            yield target
        finally:
            said, _ = process.communicate()
            facts = json.loads(said)
            target.received_bytes, target.first_upload_at = facts["received_bytes"], facts["first_upload_at"]


def run(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Cost:
    """Run one command to its end. Raises `RuntimeError` with what it said unless it succeeds."""
    inherited = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    began_at = time.monotonic()
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**inherited, **(environment or {})},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    wall_s = time.monotonic() - began_at
    if process.returncode != 0:
        ending = said.decode(errors="replace")[-2000:]
        raise RuntimeError(f"{command} ended with {process.returncode}: {ending}")
    peak_bytes = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    return Cost(began_at, wall_s, usage.ru_utime + usage.ru_stime, peak_bytes)


def middle(costs: Sequence[Cost]) -> Cost:
    """Return the median of the times, and the most memory of all."""
    return Cost(
        costs[0].began_at,
        statistics.median(cost.wall_s for cost in costs),
        statistics.median(cost.cpu_s for cost in costs),
        max(cost.peak_bytes for cost in costs),
    )
