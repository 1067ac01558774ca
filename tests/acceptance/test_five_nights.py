"""A folder that grows on five nights, with kills, outages, lost answers and additions by somebody else in between."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from forker import ANY, DIED
from vl_ingest.domain.errors import Undecided
from vl_ingest.sandbox import Sandbox
from world import CLEAN, PATIENCE_S, World

FORKER = Path(__file__).parents[1] / "forker.py"
FIRST, EACH = 4, 3  # files of the first night, and of each night after it

# A night's faults, and the points at which its runs die, one after the other; the last run of a night ends by itself.
NIGHTS: list[tuple[list[str], list[int]]] = [
    ([], [40]),
    (["add:lost-answer:times=1"], [15, 30]),
    (["add:elsewhere:seconds=0.2:times=1", "add:reset-inside:after=1:times=1"], [45]),
    (["add:reset-after:times=1", "status:503:times=2", "tasks:500:times=2"], [20, 10, 5]),
    (["add:503:done=yes:times=1", "reindexing:failed:times=1"], []),
]
# What the server does not tell of; all of these with `EVERY_POINT` in the environment.
WITHOUT = [["nothing"], ["tasks", "export", "export-ids"], ["tasks"], ["export", "export-ids"]]
WITHOUT = WITHOUT if os.environ.get("EVERY_POINT") else WITHOUT[:2]


@pytest.fixture
def forker() -> Iterator["subprocess.Popen[str]"]:
    """Start the process that forks, and end it."""
    with subprocess.Popen(
        [sys.executable, str(FORKER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=CLEAN
    ) as process:
        yield process
        assert process.stdin is not None
        process.stdin.close()


def _night(forker: "subprocess.Popen[str]", world: World, die_at: int | None) -> int:
    assert forker.stdin is not None
    assert forker.stdout is not None
    arguments = [*world.arguments("--add", "--settle", "0.2s"), "--ledger", str(world.ledger_path)]
    point = None if die_at is None else [ANY, die_at]
    asked = {"arguments": arguments, "die_at": point, "log": str(world.place / "log")}
    forker.stdin.write(json.dumps(asked) + "\n")
    forker.stdin.flush()
    return int(forker.stdout.readline())


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork to make a process die at a point")
@pytest.mark.parametrize("without", WITHOUT, ids="-".join)
def test_each_file_is_there_once_after_five_nights(
    forker: "subprocess.Popen[str]", tmp_path: Path, without: list[str]
) -> None:
    """By what the server lists, with one processing a round, and a report that tells the nights apart."""
    missing = [] if without == ["nothing"] else without
    with Sandbox(root=tmp_path / "server", without=missing, adding_s=0.1, reindexing_s=0.1) as box:
        world = World(tmp_path, box)
        for night, (faults, deaths) in enumerate(NIGHTS):
            for number in range(EACH if night else FIRST):
                world.picture(f"night{night}/of{night}-{number}.png", 100 * night + number)
            for fault in faults:
                box.add_fault(fault)
            for point in deaths:
                assert _night(forker, world, point) in (DIED, 0)
            code = _night(forker, world, None)
            if code == Undecided.exit_code and "export" in missing:  # nothing tells what a dead run has done
                world.settle_addition()
                code = _night(forker, world, None)
            assert code == 0, (world.place / "log.out").read_text()[-3000:]
            box.clear_faults()
            world.check_promises()
        dataset = world.job().dataset_id or ""
        ours = {name: count for name, count in box.held(dataset).items() if name != "somebody-elses.jpg"}
        assert len(ours) == FIRST + EACH * (len(NIGHTS) - 1)
        # A batch of the upload may go out twice where its run dies; an addition never does.
        assert all(count == 1 for name, count in ours.items() if not name.startswith("of0"))
        assert box.record.triggers_accepted(dataset) == 1
        assert box.record.additions_accepted(dataset) == len(NIGHTS) - 1
        report = json.loads(world.cli("report", "job", "--format", "json").out)
        assert [entry["files"] for entry in report["rounds"]] == [FIRST, *[EACH] * (len(NIGHTS) - 1)]
        assert {entry["state"] for entry in report["rounds"]} == {"done"}


def test_an_addition_outlives_an_outage(tmp_path: Path) -> None:
    """The server goes away right after it has taken an addition, and comes back: nothing is lost, nothing is there twice."""
    with Sandbox(root=tmp_path / "server", adding_s=1.0) as box:
        world = World(tmp_path, box)
        world.pictures(3)
        assert world.run().code == 0
        world.pictures(4, "new")
        with world.start("--add", "--settle", "0.5s") as process:
            world.until(box.record.additions_accepted, "an addition was taken", process)
            with box.offline():
                assert process.poll() is None
            assert process.wait(PATIENCE_S) == 0
            process.communicate()
        assert box.record.additions_accepted() == 1
        world.check_promises()
