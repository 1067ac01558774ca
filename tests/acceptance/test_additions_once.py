"""Every way an addition can be lost, with every way the server can tell: each file is in the dataset once.

Each loss meets every sixth way of telling, in turns; all of them where `EVERY_POINT` is in the environment.
"""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from losing import patience
from vl_ingest.proof.verify import verify_record
from vl_ingest.sandbox import Sandbox
from world import World

# name -> (fault on the next addition, whether the server carries that one out; None: that is certain, and leaves no doubt)
LOSSES: dict[str, tuple[str, bool | None]] = {
    "request lost": ("add:reset-before:times=1", False),
    "request lost in its body": ("add:reset-inside:times=1", False),
    "request lost behind its body": ("add:reset-after:times=1", False),
    "answer lost": ("add:lost-answer:times=1", True),
    "answer cut": ("add:cut-answer:times=1", True),
    "2xx in HTML, carried out": ("add:html:times=1", True),
    "2xx in HTML, not carried out": ("add:html-lost:times=1", False),
    "200 instead of 202, carried out": ("add:200:done=yes:times=1", True),
    "a redirect, carried out": ("add:307:done=yes:times=1", True),
    "5xx before": ("add:502:times=1", False),
    "5xx after": ("add:502:done=yes:times=1", True),
    "time-out, not carried out": ("add:hang:seconds=30:times=1", False),
    "time-out, carried out": ("add:slow:seconds=30:times=1", True),
    "401 once": ("add:401:times=1", None),
    "429 once": ("add:429:retry-after=0:times=1", None),
    "409 once": ("add:409:times=1", None),
    "somebody else adds": ("add:elsewhere:seconds=0.2:times=1", None),
    "lost twice": ("add:reset-after:times=2", False),
    "carried out late": ("add:late:seconds=0.3:times=1", True),
}
STATUSES: dict[str, dict[str, object]] = {
    "at once": {},
    "slow": {"adding_s": 0.3, "reindexing_s": 0.3},
    "late": {"draft_s": 0.3, "adding_s": 0.2},
    "old words": {"old_statuses": True, "adding_s": 0.3, "reindexing_s": 0.2},
    "old words, late": {"old_statuses": True, "draft_s": 0.3, "adding_s": 0.1},
}
TASKS: dict[str, dict[str, object]] = {
    "tasks": {},
    "no tasks": {"without": ["tasks"]},
    "neither tasks nor lists": {"without": ["tasks", "export", "export-ids"]},
    "tasks that never go on": {"tasks": "waiting"},
    "tasks that lag": {"tasks_lag_s": 0.4},
}
TOLD = [
    *((status, tasks) for status in STATUSES for tasks in ("tasks", "neither tasks nor lists")),
    *(("late", tasks) for tasks in ("no tasks", "tasks that never go on", "tasks that lag")),
]
SETTLE = "0.9s"
STRIDE = 1 if os.environ.get("EVERY_POINT") else 6

pytestmark = pytest.mark.usefixtures("renewable_tokens")


@pytest.mark.parametrize("turn", range(len(TOLD)), ids=map("-".join, TOLD))
def test_each_addition_is_accepted_once(
    turn: int, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Whatever became of the request, and however the server tells, its files are added once: night after night."""
    status, tasks = TOLD[turn]
    losses = list(LOSSES.items())[turn % STRIDE :: STRIDE]
    with Sandbox(root=tmp_path / "server", **STATUSES[status], **TASKS[tasks]) as box:  # type: ignore[arg-type]  # tables
        world = World(tmp_path, box)
        world.pictures(2)
        assert world.run("--settle", SETTLE).code == 0
        for night, (loss, (fault, carried_out)) in enumerate(losses, 1):
            for number in range(3):
                world.picture(f"night{night:02}/{number}.png", 10 * night + number)
            box.add_fault(fault)
            asked = len(box.record.requests("add"))
            with patience(loss):
                ended = world.run("--add", "--settle", SETTLE)
            # As many more media as were sent: but an earlier night's may have come late. And who has added something while
            # tasks of ours never end, no list tells.
            never = tasks == "tasks that never go on" and loss == "somebody else adds"
            by_hand = ended.code == 13 and night > 1 and (tasks == "neither tasks nor lists" or never)
            if by_hand:
                world.settle_addition()
                ended = world.run("--add", "--settle", SETTLE)
            assert ended.code == 0, (loss, ended.err)
            assert box.record.additions_accepted() == night, loss
            if carried_out:
                assert len(box.record.requests("add")) <= asked + 1, (
                    "what was carried out is not requested again"
                )
            world.check_promises()
            marked = sum(file.possibly_twice for file in world.files() if f"night{night:02}/" in file.path)
            nobody_can_tell = tasks in ("no tasks", "neither tasks nor lists") and loss in (
                "somebody else adds", "409 once"
            )  # fmt: skip
            if not by_hand and not nobody_can_tell:
                assert marked == (3 if carried_out is False else 0), f"{loss}: sent again after a lost answer"
        assert box.record.reindexes_accepted() == len(losses)
        with world.ledger() as ledger:
            assert len(ledger.rounds.all(world.job().id)) == len(losses)
        assert all(count == 1 for count in world.held().values())
    record_property("points", ["addition combinations", len(losses), len(LOSSES) * len(TOLD)])


def test_a_409_that_was_carried_out_is_for_a_person_where_nothing_tells(tmp_path: Path) -> None:
    """The dataset grew by as many as were sent, and the server said that it could not: 13, until a person decides."""
    with Sandbox(root=tmp_path / "server", without=["tasks", "export", "export-ids"]) as box:
        world = World(tmp_path, box)
        world.pictures(2)
        assert world.run().code == 0
        world.picture("new.png", 99)
        box.add_fault("add:409:done=yes:times=1")
        for _run in range(2):
            ended = world.run("--add", "--settle", "0.3s")
            assert ended.code == 13, ended.err
            assert "vl-ingest settle" in ended.err
        assert world.job().state == "adding"
        assert world.cli("settle", "job", "--began").code == 0
        ended = world.run("--add", "--settle", "0.3s")
        assert ended.code == 0, ended.err
        assert box.record.additions_accepted() == 1
        assert ended.summary["taken_as_delivered"] == 1
        with world.ledger() as ledger:
            assert [check for check in verify_record(ledger, world.job().id) if check.held is False] == []
            assert [entry.known_by for entry in ledger.rounds.all(world.job().id)] == ["person"]


def test_a_409_that_was_carried_out_is_found_in_the_list(world: World) -> None:
    """The server's own list has the names that were sent: the addition had begun."""
    world.pictures(2)
    assert world.run().code == 0
    world.picture("new.png", 99)
    world.box.add_fault("add:409:done=yes:times=1")
    assert world.run("--add").code == 0
    assert world.box.record.additions_accepted() == 1
    world.check_promises()
    assert world.held()[next(key for key in world.held() if key[0] == "new.png")] == 1
    with world.ledger() as ledger:
        assert [entry.known_by for entry in ledger.rounds.all(world.job().id)] == ["list"]


def test_the_status_is_read_at_both_ends_of_a_window(world: World) -> None:
    """Even without any time to settle what the server shows is read twice before it is taken for unchanged."""
    world.pictures(1)
    assert world.run().code == 0
    world.picture("new.png", 99)
    world.box.add_fault("add:reset-after:times=1")
    assert world.run("--add", "--settle", "0s").code == 0
    endpoints = [request["endpoint"] for request in world.box.record.requests()]
    first, second = (index for index, endpoint in enumerate(endpoints) if endpoint == "add")
    assert endpoints[first:second].count("status") >= 3, "twice to settle, once more before the next addition"


def test_an_unknown_word_is_for_a_person(world: World) -> None:
    """A status that nobody has explained, after a lost answer: 13, nothing is sent again."""
    world.pictures(1)
    assert world.run().code == 0
    world.picture("new.png", 99)
    world.box.add_fault("add:reset-after:times=1")
    world.box.add_fault("status:word:to=PERHAPS:after=1")
    assert world.run("--add", "--settle", "0.2s").code == 13
    assert len(world.box.record.requests("add")) == 1
    world.box.clear_faults()
    assert world.cli("settle", "job", "--not-begun").code == 0
    assert world.run("--add").code == 0
    assert world.box.record.additions_accepted() == 1
    world.check_promises()


def test_settling_begins_anew_with_each_run(world: World) -> None:
    """Two short looks of two runs do not add up to one window."""
    world.pictures(2)
    assert world.run().code == 0
    world.picture("new.png", 99)
    world.box.add_fault("add:reset-after")
    while not world.box.record.requests("add"):  # a slow machine may not get there at once
        assert world.run("--add", "--settle", "30s", "--max-duration", "1s").code == 10
    assert world.job().state == "adding"
    assert world.run("--add", "--settle", "30s", "--max-duration", "1s").code == 10
    assert len(world.box.record.requests("add")) == 1


def test_somebody_elses_addition_is_not_taken_for_a_lost_one(world: World) -> None:
    """The request is lost, and somebody adds something else meanwhile: the server's list tells whose it was."""
    world.pictures(2)
    assert world.run().code == 0
    for number in range(3):
        world.picture(f"new{number}.png", 90 + number)
    world.box.add_fault("add:reset-after:times=1")
    dataset_id = world.job().dataset_id
    with world.start("--add", "--settle", "2s") as process:
        world.until(lambda: world.box.record.requests("add"), "the addition was lost", process)
        url = f"{world.box.url}/api/v1/dataset/{dataset_id}/add_media"
        picture = (world.folder / "p0000.png").read_bytes()
        files = [("auto_reindex", (None, "true")), ("files", ("theirs.png", picture))]
        assert requests.post(url, files=files, timeout=10).status_code == 202  # type: ignore[arg-type]  # a list of parts
        assert process.wait(60) == 0
        process.communicate()
    world.check_promises()
    assert {name for name, _, _ in world.held()} >= {"new0.png", "new1.png", "new2.png", "theirs.png"}
    assert all(count == 1 for count in world.held().values())
    assert "addition_settled_not_begun" in world.kinds()
