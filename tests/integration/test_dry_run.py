"""`run --dry-run`: a plan that is true, and nothing touched."""

import os
import sqlite3
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from vl_ingest import clock
from vl_ingest.ledger.tables import batches
from world import World

OLD_LEDGER = Path(__file__).parents[1] / "ledgers" / "0001.sql"


def _plan(world: World, *more: str) -> dict[str, Any]:
    return world.run("--dry-run", *more).summary


def test_nothing_is_sent_and_no_ledger_made(world: World) -> None:
    """The disk can't tell that somebody looked, and the server is asked only whether the name is taken."""
    world.pictures(7)
    before = sorted(world.place.rglob("*"))
    ended = world.run("--dry-run")
    assert ended.code == 0, ended.err
    assert sorted(world.place.rglob("*")) == before
    assert [request["endpoint"] for request in world.box.record.requests()] == ["list"]
    with world.box.offline():
        assert world.run("--dry-run").code == 0, "a plan needs no server"


def test_the_plan_is_what_the_run_then_does(world: World) -> None:
    """Files, bytes, what is left out and the names of the same base name agree with the ledger afterwards."""
    world.pictures(12)
    for index, folder in enumerate(("a", "b")):
        world.picture(f"{folder}/same.png", 500 + index)
    (world.folder / "notes.txt").write_text("x")
    plan = _plan(world)
    ended = world.run()
    assert ended.code == 0
    assert (plan["files"], plan["bytes"]) == (14, ended.summary["sent_bytes"])
    assert plan["left_out"] == ended.summary["left_out"]
    assert plan["batches"] == 3
    assert not plan["holds"]
    names = {file.path: file.sent_as for file in world.files()}
    assert plan["renamed"] == 1
    assert plan["clashes"] == [{"path": "b/same.png", "sent_as": names["b/same.png"]}]


def test_batches_are_cut_by_bytes_too(world: World) -> None:
    """`--batch-bytes` counts as in a run: each of these goes alone."""
    world.pictures(4)
    assert _plan(world, "--batch-bytes", "1")["batches"] == 4


def test_batches_are_cut_by_the_rate_too(world: World) -> None:
    """`--bwlimit` counts as in a run: what goes in half a minute, shared by the workers."""
    for path in world.pictures(6):
        os.truncate(path, 100 * 1024)
    assert _plan(world, "--bwlimit", "10K", "--workers", "1", "--batch-size", "50")["batches"] == 2


def test_files_that_a_run_would_stumble_over_are_named(world: World) -> None:
    """Missing, empty and wrong-typed ones, each with the reason; exit code 3, as the run's would be."""
    world.pictures(2)
    (world.folder / "empty.jpg").touch()
    (world.folder / "text.mp4").write_text("no film at all")
    world.picture("png.png").rename(world.folder / "png.jpg")
    os.symlink("nowhere", world.folder / "link.png")
    ended = world.run("--dry-run")
    assert ended.code == 3
    told = {line["path"]: line["state"] for line in ended.lines if line["type"] == "file_error"}
    assert told == {
        "empty.jpg": "empty",
        "text.mp4": "wrong_type",
        "png.jpg": "wrong_type",
        "link.png": "missing",
    }
    plan = ended.summary
    assert plan["doubts"] == {"empty": 1, "wrong_type": 2, "missing": 1}
    assert plan["files"] == 4, "the server decides on types"
    human = world.cli(*(word for word in world.arguments("--dry-run") if word != "--json"))
    assert "png.jpg: wrong type: begins as PNG, not as JPEG" in human.out
    assert "1 empty, 1 missing, 2 wrong type" in human.out


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="this user may read everything")
def test_an_unreadable_file_is_named(world: World) -> None:
    """It is there, but can't be opened."""
    world.picture("closed.png").chmod(0)
    assert _plan(world)["doubts"] == {"unreadable": 1}


def test_wrong_types_hold_nothing_when_rejected_files_are_skipped(world: World) -> None:
    """With `--on-rejected skip` a run goes on without them, so the plan is good."""
    world.pictures(1)
    (world.folder / "text.mp4").write_text("no film at all")
    assert world.run("--dry-run", "--on-rejected", "skip").code == 0


def test_a_known_job_is_planned_from_where_it_stands(world: World) -> None:
    """What is sent is not planned again; what is held, gone or new is told; the ledger is not touched."""
    world.pictures(6)
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run().code == 3
    world.pictures(2, "late")
    content = world.ledger_path.read_bytes()
    before = sorted(world.place.rglob("*"))
    ended = world.run("--dry-run")
    plan = ended.summary
    assert (plan["job"], plan["settled"], plan["files"]) == (world.job().id, 6, 2)
    assert plan["doubts"] == {"rejected": 1}
    assert ended.code == 3
    assert world.ledger_path.read_bytes() == content
    assert sorted(world.place.rglob("*")) == before
    again = _plan(world, "--new-transaction")
    assert (again["files"], again["settled"]) == (8, 0)


def test_files_that_the_ledger_has_and_the_folder_has_not(world: World) -> None:
    """They would hold a run, so the plan says so."""
    world.pictures(3)
    with world.box.offline():
        assert world.run("--give-up-after", "0.1s").code == 5
    (world.folder / "p0001.png").unlink()
    ended = world.run("--dry-run")
    assert (ended.summary["gone"], ended.summary["files"], ended.code) == (1, 2, 3)


def test_after_the_trigger_new_files_are_too_late(world: World) -> None:
    """As in a run; with `--new` they would all go into another dataset."""
    world.pictures(2)
    assert world.run().code == 0
    world.pictures(3, "late")
    plan = _plan(world)
    assert (plan["late"], plan["files"]) == (3, 0)
    assert _plan(world, "--new")["files"] == 5


def test_a_listed_file_counts_once(world: World) -> None:
    """A list may name a file twice."""
    world.pictures(2)
    listed = world.place / "list"
    listed.write_text("p0000.png\np0000.png\n")
    plan = _plan(world, "--files-from", str(listed))
    assert (plan["files"], plan["renamed"]) == (1, 0)


def test_the_duration_is_that_of_a_rate(world: World) -> None:
    """Given by `--rate`, or assumed and said so."""
    (world.folder / "film.mp4").write_bytes(b"\0\0\0\x20ftypisom" + bytes(8 * 1024**2 - 12))
    plan = _plan(world, "--rate", "2M")
    assert (plan["duration_s"], plan["bytes_per_s"], plan["rate_is"]) == (4.0, 2 * 1024**2, "given")
    assert _plan(world)["rate_is"] == "assumed"
    limited = _plan(world, "--bwlimit", "1M")
    assert (limited["duration_s"], limited["rate_is"]) == (8.0, "limited")


def test_an_earlier_run_lends_its_rate(world: World) -> None:
    """The newest one at that server that sent for long enough, with its job."""
    world.pictures(4)
    assert world.run().code == 0
    assert _plan(world, "--new")["rate_is"] == "assumed", "it was over in a moment"
    began = clock.now()
    with world.ledger() as ledger, ledger.db.write() as connection:
        connection.execute(
            sa.update(batches).values(created_at=began, ended_at=began + timedelta(seconds=100))
        )
    ended = world.run("--new", "--dry-run")
    size = sum(path.stat().st_size for path in world.folder.iterdir())
    assert ended.summary["rate_is"] == "measured"
    assert ended.summary["bytes_per_s"] == round(size / 100)


def test_a_rate_belongs_to_a_plan(world: World) -> None:
    """A run would not heed it, and says so instead."""
    world.pictures(1)
    ended = world.run("--rate", "8M")
    assert ended.code == 2
    assert "--dry-run" in ended.err
    assert "not a rate" in world.run("--dry-run", "--rate", "fast").err


def test_another_folder_under_the_same_name_is_refused_as_in_a_run(world: World) -> None:
    """The plan of a run that would not begin is its refusal."""
    world.pictures(1)
    assert world.run().code == 0
    other = world.place / "other"
    other.mkdir()
    ended = world.cli("run", str(other), "--name", "job", "--base-url", world.box.url, "--dry-run")
    assert ended.code == 2
    assert "--new" in ended.err


def test_an_empty_folder_is_said(world: World) -> None:
    """As in a run: exit code 2, also where a run has been tried."""
    assert world.run("--dry-run").code == 2
    assert world.run().code == 2
    assert world.run("--dry-run").code == 2


def test_an_older_ledger_is_left_as_it_is(world: World) -> None:
    """It is not upgraded for a look; what it knows is in the plan all the same."""
    world.pictures(20)
    with sqlite3.connect(world.ledger_path) as connection:
        connection.executescript(OLD_LEDGER.read_text())
        here = (str(world.folder.resolve()), world.box.url)
        connection.execute("UPDATE jobs SET source = ?, base_url = ?", here)
    connection.close()
    content = world.ledger_path.read_bytes()
    ended = world.run("--dry-run")
    assert (ended.code, ended.summary["state"], ended.err) == (0, "transaction_open", "")
    assert world.ledger_path.read_bytes() == content


def test_many_doubts_are_told_in_few_lines(world: World) -> None:
    """People get the first ones and a number, programs all of them."""
    for index in range(30):
        (world.folder / f"e{index:02}.png").touch()
    told = world.cli(*(word for word in world.arguments("--dry-run") if word != "--json")).out
    assert "e19.png: empty" in told
    assert "e20.png" not in told
    assert "10 files more" in told
    assert sum(line["type"] == "file_error" for line in world.run("--dry-run").lines) == 30
