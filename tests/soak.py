"""Jobs on real processes under random kills, signals, outages and faults, for as long as one likes.

    python tests/soak.py MINUTES [SEED]

Prints a table at the end, and exits with 1 if a promise was broken. A job is finished when its command has
exited 0; until then it is run again, as a user would, with waivers and decisions where it asks for them.
"""

import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from vl_ingest.sandbox import Sandbox
from world import World

FAULTS = (
    "upload:503", "upload:503:done=yes", "upload:reset-before", "upload:reset-inside", "upload:reset-after",
    "upload:lost-answer", "upload:cut-answer", "upload:html", "upload:429:retry-after=1", "upload:slow:seconds=0.3",
    "create:lost-answer", "open:lost-answer", "trigger:lost-answer", "trigger:reset-after", "trigger:html",
    "trigger:503:done=yes", "trigger:503", "status:503", "status:reset-before", "any:reset-before",
)  # fmt: skip
OPTIONS = ("--settle", "1s", "--give-up-after", "20s", "--batch-size", "10", "--workers", "3")
PROCESSES = ("0", "1", "2")
RUNS = 60  # a job that takes more has not been finished by being run again


def soak(minutes: float, seed: int) -> "Counter[str]":
    """Run jobs for so many minutes and return what happened; `broken promises` is what counts."""
    chance = random.Random(seed)
    tally: Counter[str] = Counter()
    end = time.monotonic() + 60 * minutes
    while time.monotonic() < end:
        tally["jobs"] += 1
        with tempfile.TemporaryDirectory() as place, Sandbox(root=Path(place, "server")) as box:
            world = World(Path(place), box)
            try:
                _job(world, chance, tally)
                world.check_promises()
            except AssertionError as exc:
                tally["broken promises"] += 1
                sys.stderr.write(f"seed {seed}, job {tally['jobs']}: {exc}\n")
            tally["files sent"] += len(world.files())
            tally["requests"] += len(box.record.requests())
            tally["deliveries that were second ones"] += sum(n - 1 for n in world.held().values())
            tally["triggers accepted"] += box.record.triggers_accepted()
    return tally


def _job(world: World, chance: random.Random, tally: "Counter[str]") -> None:
    """Take one job to its end through whatever chance brings."""
    world.pictures(chance.randrange(20, 150))
    if chance.random() < 0.3:
        (world.folder / "torn.png").write_bytes(b"no picture")
    for fault in chance.sample(FAULTS, chance.randrange(5)):
        world.box.add_fault(f"{fault}:times={chance.randrange(1, 4)}:after={chance.randrange(6)}")
    world.box.add_fault("upload:slow:seconds=0.05")
    for _ in range(RUNS):
        tally["runs"] += 1
        code = _one_run(world, chance, tally)
        tally[f"exit code {code}"] += 1
        if code == 0:
            return
        if code == 3:
            world.cli("waive", "job", "--all")
        if code == 13:
            world.cli("settle", "job", "--not-delivered")
    raise AssertionError(f"not finished after {RUNS} runs")


def _one_run(world: World, chance: random.Random, tally: "Counter[str]") -> int:
    processes = chance.choice(PROCESSES)
    tally[f"runs with --processes {processes}"] += 1
    with world.start(*OPTIONS, "--processes", processes) as process:
        time.sleep(chance.random() * 1.5)
        fate = chance.choice(("kill", "kill", "terminate", "outage", "courier", "courier", "nothing"))
        if fate == "kill":
            tally["kills"] += process.poll() is None
            process.kill()
        elif fate == "terminate":
            tally["signals"] += process.poll() is None
            process.terminate()
        elif fate == "courier" and process.poll() is None:
            for courier in _children(process.pid)[:1]:
                tally["couriers killed"] += 1
                os.kill(courier, signal.SIGKILL)
        elif fate == "outage":
            tally["outages"] += 1
            with world.box.offline():
                time.sleep(chance.random() * 2)
        process.communicate()
        return process.returncode


def _children(pid: int) -> list[int]:
    """Return the processes that a process has started, on Linux."""
    return [
        int(child)
        for thread in Path(f"/proc/{pid}/task").glob("*/children")
        for child in thread.read_text().split()
    ]


def main() -> int:
    """Soak for the minutes that the command line names."""
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6)
    tally = soak(float(sys.argv[1]), seed)
    tally["broken promises"] += 0
    sys.stdout.write(f"seed {seed}, {sys.argv[1]} minutes\n")
    for what, count in sorted(tally.items()):
        sys.stdout.write(f"{what:<34}{count:>8,}\n")
    return 1 if tally["broken promises"] else 0


if __name__ == "__main__":
    sys.exit(main())
