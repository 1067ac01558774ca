"""Every point between two effects of a run that adds media: die there, run the command again, check both sides.

The dataset is ready before; the points are enumerated by a run that dies nowhere. A spread of them is gone through, and all
of them with `EVERY_POINT` in the environment.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from forker import DIED, Forker
from vl_ingest.domain.errors import Undecided
from vl_ingest.sandbox import Sandbox
from world import World

STRIDE = 1 if os.environ.get("EVERY_POINT") else 41
SHARDS = 4 if STRIDE == 1 else 1  # so that several processes share the work

# name -> (the server's faults, options of the run, whether one file is broken)
SCENARIOS: dict[str, tuple[list[str], list[str], bool]] = {
    "plain": ([], ["--add-files", "2", "--changed", "send"], False),
    "failing": (
        ["add:503:done=yes:times=1", "add:reset-inside:after=1:times=1", "add:reset-after:after=2:times=1",
         "status:503:times=1", "reindexing:failed:times=1"],
        ["--add-files", "2"], False,
    ),
    "refused file": ([], ["--on-rejected", "skip"], True),
    "no tasks": (["tasks:404", "add:lost-answer:times=1"], [], False),
    "no tasks and no lists": (["tasks:404", "export:404", "export-ids:404", "add:lost-answer:times=1"], [], False),
}  # fmt: skip


def _add(world: World, options: list[str]) -> list[str]:
    """Return the command that adds to the job."""
    return world.arguments("--add", "--settle", "0.1s", *options)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork to make a process die at a point")
@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_death_at_every_point_of_an_addition(
    scenario: str,
    shard: int,
    forker: Forker,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """Wherever the process dies, the same command goes on, and each file is added once."""
    faults, options, broken = SCENARIOS[scenario]
    with Sandbox(root=tmp_path / "server") as box:

        def born(name: str) -> World:
            """Make a world whose dataset is ready, and whose folder has grown; one of its files has changed."""
            box.clear_faults()
            place = tmp_path / name
            place.mkdir()
            world = World(place, box)
            world.pictures(2)
            assert world.run().code == 0
            world.pictures(3, "new")
            world.picture("p0000.png", 200)
            if broken:
                (world.folder / "torn.png").write_bytes(b"no picture")
            for fault in faults:
                box.add_fault(fault)
            return world

        def check(world: World) -> None:
            world.check_promises()
            assert len(world.held()) == 5 + ("send" in options)
            assert all(count == 1 for count in world.held().values())

        world = born("warm")
        world.warm_up(forker, _add(world, options))
        world = born("none")
        code = world.carry_out(forker, _add(world, options), None)
        assert code == 0, (world.place / "log.out").read_text()
        check(world)
        points = [json.loads(line) for line in (world.place / "log").read_text().splitlines()]
        mine = points[shard::SHARDS][::STRIDE]
        for number, point in enumerate(mine):
            world = born(str(number))
            said = world.place / "log.out"
            assert world.carry_out(forker, _add(world, options), point) == DIED, f"did not get to {point}"
            code = world.carry_out(forker, _add(world, options), None)
            # Where nothing tells, or a refusal may be about what the dead run has sent, only a person can know.
            if code == Undecided.exit_code and (broken or "no lists" in scenario):
                world.settle_addition()
                code = world.carry_out(forker, _add(world, options), None)
            assert code == 0, f"died at {point}: {said.read_text()}"
            try:
                check(world)
            except AssertionError as exc:
                raise AssertionError(f"died at {point}: {exc}\n{said.read_text()}") from exc
    record_property("points", [f"crash points of additions, {scenario}", len(mine), len(points)])
