"""Every point between two effects of a courier's process: killed there, the run goes on and every promise holds.

Each third point is tried, all of them with `EVERY_POINT` in the environment.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from vl_ingest.couriers import process
from vl_ingest.sandbox import Sandbox
from world import World

SHARDS = 4
STRIDE = 1 if os.environ.get("EVERY_POINT") else 3
FAULTS = {"plain": [], "failing": ["upload:503:done=yes:times=1", "upload:lost-answer:after=1:times=1"]}


@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("scenario", FAULTS)
def test_a_couriers_death_at_every_point(
    scenario: str,
    shard: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Callable[[str, object], None],
) -> None:
    """The run itself ends well, and only what the courier had begun may be there twice."""
    monkeypatch.setattr(process, "PROGRAM", str(Path(__file__).parents[1] / "dying_courier.py"))
    with Sandbox(root=tmp_path / "server") as box:

        def carried_out(name: str, die_at: int | None) -> list[str]:
            """Run a job of its own to its end; return the points that its couriers passed."""
            box.clear_faults()
            for fault in FAULTS[scenario]:
                box.add_fault(fault)
            place = tmp_path / name
            place.mkdir()
            monkeypatch.setenv("DYING_COURIER", str(place))
            if die_at is not None:
                (place / "die_at").write_text(str(die_at))
            world = World(place, box)
            world.pictures(4)
            ended = world.run("--batch-size", "2", "--workers", "1", "--processes", "1", "--settle", "0.05s")
            assert ended.code == 0, ended.err
            world.check_promises()
            passed = (place / "points").read_text().splitlines()
            # How often it hears of its parent depends on what comes together: some of the last points may not be there.
            assert (place / "dead").exists() is (die_at is not None and die_at <= len(passed))
            return passed

        points = len(carried_out("none", None)) - 1  # the last one waits for the end of the run
        mine = range(1 + shard, points + 1, SHARDS * STRIDE)
        for number in mine:
            carried_out(str(number), number)
        died = sum((tmp_path / str(number) / "dead").exists() for number in mine)
    assert died >= 0.8 * len(mine)
    record_property("points", [f"crash points of a courier, {scenario}", died, points])
