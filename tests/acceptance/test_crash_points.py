"""Every point between two effects of a small job: die there, run the command again, check both sides.

The points are enumerated by a run that dies nowhere. Each scenario has faults of its own, so that what is recorded of
failures is enumerated too. Each third point is tried, all of them with `EVERY_POINT` in the environment.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forker import ANY, DIED, Forker
from vl_ingest.domain.errors import Undecided
from vl_ingest.sandbox import Sandbox
from world import World

SHARDS = 4  # so that several processes share the work

STRIDE = 1 if os.environ.get("EVERY_POINT") else 3

# name -> (the server's faults, options of the run, whether one file is broken)
SCENARIOS: dict[str, tuple[list[str], list[str], bool]] = {
    "plain": ([], [], False),
    "failing": (
        ["create:lost-answer:times=1", "open:lost-answer:times=1", "upload:503:done=yes:times=1",
         "upload:reset-inside:after=1:times=1", "trigger:reset-after:times=1", "trigger:lost-answer:after=1:times=1", "status:503:times=1"],
        [], False,
    ),
    "refused file": ([], ["--on-rejected", "skip"], True),
}  # fmt: skip


def _run(world: World, options: list[str]) -> list[str]:
    """Return the command that runs the job."""
    return world.arguments("--batch-size", "3", "--workers", "1", "--settle", "0.05s", *options)


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork to make a process die at a point")
@pytest.mark.parametrize("shard", range(SHARDS))
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_death_at_every_point(
    scenario: str,
    shard: int,
    processes: str,
    forker: Forker,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """Wherever the process dies, the same command finishes the job and every promise holds."""
    faults, options, broken = SCENARIOS[scenario]
    with Sandbox(root=tmp_path / "server") as box:

        def born(name: str) -> World:
            """Make a world in which nothing has happened yet, on the same server."""
            box.clear_faults()
            for fault in faults:
                box.add_fault(fault)
            place = tmp_path / name
            place.mkdir()
            world = World(place, box)
            world.pictures(5)
            if broken:
                (world.folder / "torn.png").write_bytes(b"no picture")
            return world

        world = born("warm")
        world.warm_up(forker, _run(world, options))
        world = born("none")
        assert world.carry_out(forker, _run(world, options), None) == 0
        world.check_promises()
        points = [json.loads(line) for line in (world.place / "log").read_text().splitlines()]
        if processes != "0":
            # What shares a transaction depends on when answers come: points are told apart by their number alone.
            points = [[ANY, number] for number in range(1, len(points) + 1)]
        mine = points[shard::SHARDS][::STRIDE]
        missed = 0
        for number, point in enumerate(mine):
            world = born(str(number))
            said = world.place / "log.out"
            code = world.carry_out(forker, _run(world, options), point)
            if (
                code == 0
            ):  # what shares a transaction, and how often a run tells that it lives, is a matter of time
                world.check_promises()
                missed += 1
                continue
            assert code == DIED, f"did not get to {point}"
            code = world.carry_out(forker, _run(world, options), None)
            if code == Undecided.exit_code and broken:
                # In flight at death and then refused: only a person may say what that means.
                assert world.states()["torn.png"] == "unknown"
                assert world.cli("settle", "job", "--not-delivered").code == 0
                code = world.carry_out(forker, _run(world, options), None)
            assert code == 0, f"died at {point}: {said.read_text()}"
            try:
                world.check_promises()
            except AssertionError as exc:
                raise AssertionError(f"died at {point}: {exc}\n{said.read_text()}") from exc
    assert missed <= (2 if processes == "0" else len(mine) // 2), "hardly a run dies where it should"
    record_property(
        "points", [f"crash points, {scenario}, {processes} processes", len(mine) - missed, len(points)]
    )


REPROCESS = ["reprocess", "job", "--settle", "0.05s", "--json"]
ABORT = ["cancel", "job", "--abort", "--json"]
# name -> (faults of the run before, its exit code, faults of the command, the command; none: the run, confirmed)
AFTERWARDS: dict[str, tuple[list[str], int, list[str], list[str]]] = {
    "reprocess": (["processing:failed:times=1"], 12, [], REPROCESS),
    "reprocess, answer lost": (["processing:failed:times=1"], 12, ["retry:lost-answer:times=1"], REPROCESS),
    "reprocess, request lost": (["processing:failed:times=1"], 12, ["retry:reset-after:times=1"], REPROCESS),
    "abort": ([], 0, [], ABORT),
    "abort, answer lost": ([], 0, ["abort:lost-answer:times=1"], ABORT),
    "confirm": ([], 0, [], []),
    "confirm by ids": ([], 0, ["exporting:failed", "export-status:503:times=1"], []),
}


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork to make a process die at a point")
@pytest.mark.parametrize("shard", range(SHARDS // 2))
@pytest.mark.parametrize("scenario", AFTERWARDS)
def test_death_at_every_point_of_what_comes_afterwards(
    scenario: str,
    shard: int,
    forker: Forker,
    tmp_path: Path,
    record_property: Callable[[str, object], None],
) -> None:
    """Wherever the process dies, the same command ends as it would have: each effect once, and nothing sent again."""
    before, code, faults, command = AFTERWARDS[scenario]
    aborts = command == ABORT
    with Sandbox(root=tmp_path / "server", indexing_s=3600.0 if aborts else 0.0) as box:

        def born(name: str) -> World:
            """Make a world whose run has ended, on the same server."""
            box.clear_faults()
            for fault in before:
                box.add_fault(fault)
            place = tmp_path / name
            place.mkdir()
            world = World(place, box)
            world.pictures(3)
            assert world.run(*(["--no-wait"] if aborts else [])).code == code
            for fault in faults:
                box.add_fault(fault)
            return world

        def carry_out(world: World, die_at: Any) -> int:
            return world.carry_out(forker, command or world.arguments("--confirm"), die_at)

        def check(world: World, what: object) -> None:
            said, dataset = (world.place / "log.out").read_text(), world.job().dataset_id
            assert box.record.retries_accepted(dataset) == (code == 12), f"died at {what}: {said}"
            assert len(box.record.files(dataset)) == 3, "nothing is sent again"
            if scenario.startswith("confirm"):
                assert {row.listed for row in world.files()} == {1}, f"died at {what}: {said}"
                assert box.record.exports_started(dataset) <= 2
            if aborts:
                assert (world.job().state, box.record.aborts_accepted(dataset)) == ("cancelled", 1), (
                    f"died at {what}: {said}"
                )
            try:
                world.check_promises(done=not aborts)
            except AssertionError as exc:
                raise AssertionError(f"died at {what}: {exc}\n{said}") from exc

        world = born("warm")
        world.warm_up(forker, command or world.arguments("--confirm"))
        world = born("none")
        assert carry_out(world, None) == 0
        check(world, "no point")
        points = [json.loads(line) for line in (world.place / "log").read_text().splitlines()]
        mine = points[shard :: SHARDS // 2][::STRIDE]
        for number, point in enumerate(mine):
            world = born(str(number))
            assert carry_out(world, point) == DIED, f"did not get to {point}"
            over = 2 if aborts and world.job().state == "cancelled" else 0
            assert carry_out(world, None) == over, (world.place / "log.out").read_text()
            check(world, point)
    record_property("points", [f"crash points, {scenario}", len(mine), len(points)])
