"""What goes wrong while a round by addition is processed, and what becomes of the round then."""

import sqlite3
from contextlib import closing

import pytest
import requests

from conftest import MakeWorld
from vl_ingest.domain.errors import Differs
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import JobState
from vl_ingest.proof.verify import verify_record
from world import Ended, World

NEW = ("new0.png", "new1.png", "new2.png")


def ready(world: World, *more: str) -> World:
    """Return the world with a dataset of three pictures that is ready, and three more pictures in the folder."""
    world.pictures(3)
    ended = world.run(*more)
    assert ended.code == 0, ended.err
    for number, name in enumerate(NEW):
        world.picture(name, 90 + number)
    return world


def add(world: World, *more: str) -> Ended:
    """Run the job, and add what is new."""
    return world.run("--add", *more)


def reprocess(world: World) -> Ended:
    """Have it processed again, or follow what is processed."""
    return world.cli("reprocess", "job", "--wait", "--settle", "0.3s", "--json")


def rounds(world: World) -> list[tuple[int, str]]:
    """Return number and state of each round by addition."""
    with world.ledger() as ledger:
        return [(entry.number, str(entry.state)) for entry in ledger.rounds.all(world.job().id)]


def verified(world: World) -> bool:
    """Return whether the record holds."""
    with world.ledger() as ledger:
        return all(check.held is not False for check in verify_record(ledger, world.job().id))


def test_a_dataset_that_fails_leaves_its_round_open(world: World) -> None:
    """12, and 12 again; nothing is called done until the server shows it, or a person says that it is to be sent again."""
    ready(world)
    world.box.add_fault("add:202:times=1")
    world.box.add_fault("status:word:to=ERROR:after=1")
    ended = add(world)
    assert (ended.code, world.job().state, rounds(world)) == (12, "processing", [(2, "processing")])
    assert "settle" in ended.err
    assert reprocess(world).code == add(world).code == 12
    assert verified(world)
    world.box.clear_faults()
    assert world.cli("settle", "job", "--not-begun").code == 0
    assert add(world).code == 0
    assert (rounds(world), world.box.record.additions_accepted()) == ([(2, "failed"), (3, "done")], 1)
    world.check_promises()


def test_an_error_that_passes_is_waited_out(world: World) -> None:
    """A word that is left from before, or a slip of the server: the round ends as any other."""
    ready(world)
    world.box.add_fault("status:word:to=ERROR:after=1:times=1")
    ended = add(world)
    assert ended.code == 0, ended.err
    assert rounds(world) == [(2, "done")]
    world.check_promises()


@pytest.mark.parametrize("arrives", [True, False])
def test_a_round_that_an_error_has_ended_is_taken_up_again(world: World, arrives: bool) -> None:
    """An earlier version ended it so: it is followed again, and done only if the server shows its files."""
    ready(world)
    if not arrives:
        world.box.add_fault("add:202:times=1")
    assert add(world, "--no-wait").code == 0
    job = world.job()
    with world.ledger() as ledger:
        told = {"message": "Out of memory"}
        ledger.jobs.step(job.id, None, JobState.PROCESSING, EventKind.JOB_ERRORED, told, **told)
    with closing(sqlite3.connect(world.ledger_path)) as connection, connection:
        connection.execute(
            "UPDATE rounds SET state = 'failed', status = 'ERROR', message = 'Out of memory', "
            "ended_at = (SELECT max(at) FROM events)"
        )
    assert verified(world)
    assert add(world).code == 12
    assert reprocess(world).code == (0 if arrives else 13)
    assert rounds(world) == [(2, "done" if arrives else "processing")]
    assert verified(world)


def test_reprocess_follows_the_round_that_is_processed(make_world: MakeWorld) -> None:
    """A job whose upload was processed again has a round under way: it ends as a round does, not as the upload did."""
    world = make_world(adding_s=0.5)
    world.box.add_fault("processing:failed:times=1")
    world.pictures(3)
    assert world.run().code == 12
    assert reprocess(world).code == 0
    world.picture("new.png", 99)
    assert add(world, "--no-wait").code == 0
    assert reprocess(world).code == 0
    assert rounds(world) == [(2, "done")]
    assert verified(world)
    world.check_promises()


def test_a_job_that_is_ready_over_an_open_round_does_not_hold(world: World) -> None:
    """`verify` says so."""
    ready(world)
    assert add(world, "--no-wait").code == 0
    job = world.job()
    with world.ledger() as ledger:
        ledger.jobs.step(job.id, None, JobState.PROCESSING, EventKind.JOB_READY, {})
    told = world.cli("verify", "job", "--offline")
    assert told.code != 0
    assert "round 2 is not over" in told.out


def test_an_empty_mount_point_takes_no_file_away(world: World) -> None:
    """What waits to be added is not missing where the folder has no file at all; when the disk is back it is added."""
    ready(world)
    world.box.add_fault("add:403:times=1")
    assert add(world).code == 7
    away = world.folder.with_name("away")
    world.folder.rename(away)
    world.folder.mkdir()
    ended = add(world)
    assert ended.code == 3
    assert "is its disk mounted?" in ended.err
    assert set(world.states().values()) == {"sent", "pending"}
    world.folder.rmdir()
    away.rename(world.folder)
    assert add(world).code == 0
    world.check_promises()


def test_a_disk_that_drops_under_an_addition_takes_no_file_away(world: World) -> None:
    """One request, not one for each file; none is called missing, and when it is back all are added."""
    ready(world)
    from vl_ingest.server import body

    sent, away = body.FilesBody._send_file, world.folder.with_name("away")

    def dropping(self: body.FilesBody, file: object) -> object:
        if not away.exists():
            world.folder.rename(away)
        yield from sent(self, file)  # type: ignore[arg-type]  # as it is

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(body.FilesBody, "_send_file", dropping)
        ended = add(world)
    assert ended.code == 3, ended.err
    assert "has vanished" in ended.err
    assert world.kinds().count("addition_intended") == 1
    assert set(world.states().values()) == {"sent", "pending"}
    away.rename(world.folder)
    assert add(world).code == 0
    assert world.box.record.additions_accepted() == 1
    world.check_promises()


def test_what_the_server_shows_is_no_decision_of_a_person(world: World) -> None:
    """A file that has gone since has no hash, and is inferred all the same, in counts, lists and tables."""
    ready(world)
    world.box.add_fault("add:reset-after:times=1")
    world.box.add_fault("add:403:times=1")
    assert add(world).code == 7
    dataset = world.job().dataset_id
    parts = [("files", (name, (world.folder / name).read_bytes())) for name in NEW]
    address = f"{world.box.url}/api/v1/dataset/{dataset}/add_media"
    late = requests.post(address, data={"auto_reindex": "true"}, files=parts, timeout=10)
    assert late.status_code == 202
    (world.folder / NEW[1]).unlink()
    ended = add(world)
    assert ended.code == 0, ended.err
    assert (ended.summary["inferred"], ended.summary["taken_as_delivered"]) == (3, 0)
    assert "by decision" not in ended.err
    listed = world.cli("files", "job", "--json").lines
    assert [row["delivery"] for row in listed] == ["inferred"] * 3 + ["acknowledged"] * 3
    assert world.files()[1].sha256 is None
    assert "taken" not in world.cli("files", "job").out
    table = world.cli("report", "job", "--format", "csv").out
    assert (table.count("inferred"), table.count("taken_as_delivered")) == (3, 0)
    assert verified(world)


def test_what_the_server_swallows_of_a_round_is_said(world: World) -> None:
    """Done with two of three files: 0, as after an upload, with a warning that names the third; `--confirm` makes it an error."""
    ready(world)
    world.box.add_fault("medium:swallow:name=new0.png:times=1")
    ended = add(world)
    assert (ended.code, rounds(world)) == (0, [(2, "done")])
    assert "2 of the 3 names. Not there: new0.png." in ended.err
    with world.ledger() as ledger:
        looked = ledger.events.last(world.job().id, EventKind.ADDITION_LOOKED_UP)
    assert looked is not None
    assert looked.facts["missing"] == ["new0.png"]
    assert add(world, "--confirm").code == Differs.exit_code
