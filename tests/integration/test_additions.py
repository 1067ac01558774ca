"""A folder that grows: what is new is added to the dataset, and everything that is told says so."""

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

import jsonschema
import pytest

from conftest import MakeWorld
from vl_ingest.proof.verify import verify_record
from vl_ingest.report import story
from world import World


def ready(world: World, *more: str) -> World:
    """Return the world with a dataset of three pictures that is ready."""
    world.pictures(3)
    ended = world.run(*more)
    assert ended.code == 0, ended.err
    return world


def test_the_same_command_makes_the_dataset_and_later_adds_to_it(world: World) -> None:
    """Every night: the first makes it, the second finds nothing, the third adds what is new, in one request."""
    ready(world, "--add")
    assert world.run("--add").code == 0
    assert world.box.record.additions_accepted() == 0
    world.pictures(7, "new")
    ended = world.run("--add")
    assert ended.code == 0, ended.err
    assert (world.box.record.additions_accepted(), world.box.record.reindexes_accepted()) == (1, 1)
    assert ended.summary["status"] == "READY"
    assert [(entry["number"], entry["files"]) for entry in ended.summary["rounds"]] == [(2, 7)]
    assert len(world.box.record.datasets()) == 1
    world.check_promises()


def test_without_add_a_run_warns_and_names_it(world: World) -> None:
    """What came later is left alone, as ever, and the warning says how to add it."""
    ready(world)
    world.picture("new.png", 99)
    ended = world.run()
    assert ended.code == 0
    assert ended.summary["not_in_dataset"] == 1
    assert "--add" in ended.err
    assert world.box.record.additions_accepted() == 0


def test_add_adds_to_a_known_job(world: World) -> None:
    """`add JOB` for one time, by name; the next `run` without `--add` adds nothing."""
    ready(world)
    world.picture("new.png", 99)
    assert world.cli("add", "job", "--base-url", world.box.url).code == 0
    assert world.box.record.additions_accepted() == 1
    world.picture("newer.png", 98)
    assert world.run().code == 0
    assert world.box.record.additions_accepted() == 1
    world.check_promises()


@pytest.mark.parametrize(("count", "form"), [(5, "files"), (6, "archive")])
def test_a_few_files_go_as_files_and_more_as_an_archive(world: World, count: int, form: str) -> None:
    """As many as a request of the first round holds; the server gets names, bytes and hashes either way."""
    ready(world)
    made = world.pictures(count, "new/x")
    assert world.run("--add").code == 0
    with world.ledger() as ledger:
        intent = ledger.events.last(world.job().id, "addition_intended")
    assert intent is not None
    assert intent.facts["form"] == form
    wanted = {
        (path.name, path.stat().st_size, hashlib.sha256(path.read_bytes()).hexdigest()) for path in made
    }
    assert wanted <= set(world.held())
    world.check_promises()


def test_names_are_unique_over_all_rounds(world: World) -> None:
    """A new file of an old name is sent under another one."""
    ready(world)
    world.picture("later/p0000.png", 99)
    assert world.run("--add").code == 0
    names = [name for name, _, _ in world.held()]
    assert len(names) == len(set(names)) == 4
    world.check_promises()


@pytest.mark.parametrize(("option", "additions"), [("--add-files=3", 3), ("--add-bytes=160", 4)])
def test_an_addition_is_a_batch_of_limited_size(world: World, option: str, additions: int) -> None:
    """Many files go in several additions, one after the other, and the dataset is reindexed once, with the last one."""
    ready(world)
    world.pictures(8, "new")
    ended = world.run("--add", option)
    assert ended.code == 0, ended.err
    assert world.box.record.additions_accepted() == additions
    assert world.box.record.reindexes_accepted() == 1
    assert world.box.record.entries("addition_accepted")[-1]["auto_reindex"] is True
    world.check_promises()


def test_without_a_reindex_the_run_ends_at_partial_index(world: World) -> None:
    """`--reindex never` ends with 0; a later run that has nothing to add reindexes, and is in people's words."""
    ready(world)
    world.picture("new.png", 99)
    ended = world.run("--add", "--reindex", "never")
    assert (ended.code, ended.summary["status"]) == (0, "PARTIAL INDEX")
    assert "not yet in the index" in ended.err
    assert world.box.record.reindexes_accepted() == 0
    ended = world.run("--add")
    assert (ended.code, ended.summary["status"]) == (0, "READY")
    assert (world.box.record.additions_accepted(), world.box.record.reindexes_accepted()) == (1, 1)
    world.check_promises()


def test_a_reindex_that_fails_is_tried_again(world: World) -> None:
    """The one that was asked for with the addition fails; what was added stays added, and another one is asked for."""
    ready(world)
    world.picture("new.png", 99)
    world.box.add_fault("reindexing:failed:times=1")
    ended = world.run("--add")
    assert (ended.code, ended.summary["status"]) == (0, "READY")
    assert (world.box.record.additions_accepted(), world.box.record.reindexes_accepted()) == (1, 2)
    world.check_promises()


def test_a_server_that_does_not_reindex_is_said(world: World) -> None:
    """12, as what was added is not in the index; nothing is added again."""
    ready(world)
    world.picture("new.png", 99)
    world.box.add_fault("reindexing:failed")
    for _run in range(2):
        ended = world.run("--add")
        assert ended.code == 12
        assert "--reindex never" in ended.err
    assert world.box.record.additions_accepted() == 1


def test_a_feature_that_is_off_is_refused_in_those_words(world: World) -> None:
    """403: 7, the files wait, and when it is enabled they are added."""
    ready(world)
    world.picture("new.png", 99)
    world.box.add_fault("add:403:times=1")
    ended = world.run("--add")
    assert ended.code == 7
    assert "not enabled" in ended.err
    assert world.states()["new.png"] == "pending"
    assert "to be added: 1 file" in world.cli("status", "job").out
    assert world.run("--add").code == 0
    world.check_promises()


def test_a_server_without_additions_is_said(make_world: MakeWorld) -> None:
    """404: 7, and what remains is another dataset."""
    world = ready(make_world(without=["add"]))
    world.picture("new.png", 99)
    ended = world.run("--add")
    assert ended.code == 7
    assert "can't add media" in ended.err


@pytest.mark.parametrize("count", [1, 9])
def test_a_broken_file_is_named_and_the_others_are_added(world: World, count: int) -> None:
    """A refused addition is cut until the culprit stands alone; it is rejected by name: 3. It can be waived, and retried."""
    ready(world)
    world.pictures(count, "new")
    (world.folder / "torn.png").write_bytes(b"no picture")
    ended = world.run("--add")
    assert ended.code == 3
    assert "torn.png" in ended.err
    assert world.states()["torn.png"] == "rejected"
    assert len(world.held()) == 3 + count
    assert "blocked: 1 file" in world.cli("status", "job").out
    assert world.run("--add").code == 3
    assert world.cli("waive", "job", "torn.png").code == 0
    assert world.run("--add").code == 0
    world.check_promises()


def test_a_server_that_names_no_file_is_answered_by_halves(world: World) -> None:
    """The culprit is found all the same; what is taken is taken once."""
    ready(world)
    world.pictures(6, "new")
    world.box.add_fault("add:400:name=new0003.png")
    assert world.run("--add").code == 3
    assert world.states()["new0003.png"] == "rejected"
    assert len(world.held()) == 3 + 5
    assert all(count == 1 for count in world.held().values())


def test_a_server_that_refuses_everything_is_no_matter_of_files(world: World) -> None:
    """The first files are refused one by one: 7, and no file is to blame."""
    ready(world)
    world.pictures(20, "new")
    world.box.add_fault("add:400:message=no embedding config")
    ended = world.run("--add")
    assert ended.code == 7
    assert set(world.states().values()) == {"sent", "pending"}
    world.box.clear_faults()
    assert world.run("--add").code == 0
    world.check_promises()


def test_an_addition_that_is_too_large_is_split(make_world: MakeWorld) -> None:
    """413: halves, and the limit is remembered."""
    world = ready(make_world(max_request_bytes=12_000))
    world.pictures(30, "new")
    assert world.run("--add").code == 0
    assert world.box.record.additions_accepted() > 1
    assert "size_limit_learnt" in world.kinds()
    world.check_promises()


def test_a_file_that_changes_under_an_addition_goes_on_its_own(world: World) -> None:
    """The request is abandoned before its end, the others are added without it, and then the file as it is now."""
    ready(world)
    world.pictures(6, "new")
    from vl_ingest.server import body

    sent = body.FilesBody._send_file
    touched: list[str] = []

    def touching(self: body.FilesBody, file: object) -> object:
        yield from sent(self, file)  # type: ignore[arg-type]  # as it is
        if not touched:
            touched.append("")
            world.picture("new0001.png", 4000)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(body.FilesBody, "_send_file", touching)
        ended = world.run("--add")
    assert ended.code == 0, ended.err
    assert world.box.record.additions_accepted() == 2
    assert "file_changed" in world.kinds()
    world.check_promises()


def test_what_somebody_else_adds_is_waited_for(world: World) -> None:
    """A 409 uses nothing up: the addition is made when theirs is over."""
    ready(world)
    world.picture("new.png", 99)
    world.box.add_fault("add:elsewhere:times=2:seconds=0.5")
    ended = world.run("--add")
    assert ended.code == 0, ended.err
    assert world.box.record.additions_accepted() == 1
    world.check_promises()


def test_a_server_that_stays_busy_is_asked_ever_more_seldom(world: World) -> None:
    """It says how often it was refused, and when it tries again; no attempt is used up."""
    ready(world)
    world.picture("new.png", 99)
    world.box.add_fault("add:409:times=2")
    ended = world.run("--add", "--settle", "0.1s")
    assert ended.code == 0, ended.err
    assert "refused the addition 2 times in a row: next attempt in" in ended.err
    world.check_promises()


@pytest.mark.parametrize("no_wait", [False, True])
def test_a_dataset_that_is_gone_is_said(world: World, no_wait: bool) -> None:
    """7, and the commands that work: nothing is sent into another transaction of a dataset that is being processed."""
    ready(world)
    world.picture("new.png", 99)
    if no_wait:
        assert world.run("--add", "--no-wait").code == 0
    world.box.add_fault("status:404")
    ended = world.run("--add")
    assert ended.code == 7
    assert "The dataset is gone" in ended.err
    assert "--new-transaction" not in ended.err
    assert "--new" in ended.err
    assert ("vl-ingest cancel" in ended.err) is no_wait


def test_a_failed_addition_is_queued_again(world: World) -> None:
    """The server takes it and fails: 12, nothing of it is there; the next run adds it."""
    ready(world)
    world.pictures(2, "new")
    world.box.add_fault("addition:failed:times=1:message=No space left")
    ended = world.run("--add")
    assert ended.code == 12
    assert "No space left" in ended.err
    assert world.states()["new0000.png"] == "pending"
    with world.ledger() as ledger:
        assert [check for check in verify_record(ledger, world.job().id) if check.held is False] == []
    assert world.run("--add").code == 0
    dataset = world.job().dataset_id or ""
    assert world.box.held(dataset) == {
        f"{p}{n:04}.png": 1 for p, count in (("p", 3), ("new", 2)) for n in range(count)
    }


def test_without_waiting_an_addition_is_sent_and_the_next_run_goes_on(make_world: MakeWorld) -> None:
    """`--no-wait`: the run ends behind the receipt; the next one waits until the server takes more."""
    world = ready(make_world(adding_s=0.5))
    world.picture("new.png", 99)
    ended = world.run("--add", "--no-wait")
    assert (ended.code, ended.summary["state"]) == (0, "processing")
    world.picture("newer.png", 98)
    assert world.run("--add").code == 0
    assert world.box.record.additions_accepted() == 2
    world.check_promises()


def test_a_changed_or_deleted_file_is_left_alone(world: World) -> None:
    """What is in the dataset stays there; a changed one is said."""
    ready(world)
    world.picture("p0000.png", 200)
    (world.folder / "p0001.png").unlink()
    world.picture("new.png", 99)
    ended = world.run("--add")
    assert ended.code == 0
    assert ended.summary["changed_after"] == 1
    assert len(world.held()) == 4
    world.check_promises()


def test_the_report_tells_the_rounds_apart(world: World) -> None:
    """Text, JSON by its schema, CSV and page: each round with its files, and each file with its round."""
    ready(world)
    for night in range(2):
        world.picture(f"night{night}.png", 90 + night)
        assert world.run("--add").code == 0
    report = json.loads(world.cli("report", "job", "--format", "json").out)
    schema = json.loads(Path(story.__file__).with_name("schema.json").read_text())
    jsonschema.validate(report, schema)
    assert [(entry["number"], entry["files"]) for entry in report["rounds"]] == [(1, 3), (2, 1), (3, 1)]
    text = world.cli("report", "job").out
    assert "round 3" in text
    assert "with 2 additions after it" in text
    table = world.cli("report", "job", "--format", "csv").out
    assert [line.split(",")[-2] for line in table.splitlines()] == ["round", "2", "3", "1", "1", "1"]
    assert "<h2>Rounds</h2>" in world.cli("report", "job", "--format", "html").out
    verified = world.cli("verify", "job", "--base-url", world.box.url)
    assert verified.code == 0, verified.out
    assert "2 additions began after it" in verified.out
    assert "5 files in the dataset" in verified.out


def test_two_jobs_of_one_folder_do_not_mix(world: World) -> None:
    """While another job of the same folder and name is unfinished, nothing is added to the earlier one: 2."""
    ready(world)
    first = world.job().id
    world.picture("new.png", 99)
    world.box.add_fault("trigger:403:times=1")
    assert world.run("--new").code == 7
    ended = world.cli("add", first, "--base-url", world.box.url)
    assert ended.code == 2
    assert "vl-ingest resume" in ended.err
    assert world.box.record.additions_accepted() == 0


def test_an_older_list_is_not_said_of_a_dataset_that_has_grown(world: World) -> None:
    """What the server listed before the addition does not cover it: the summary asks for another look."""
    ready(world)
    assert world.cli("verify", "job").code == 0
    command = ["run", str(world.folder), "--name", "job", "--base-url", world.box.url, "--settle", "0.3s"]
    asked = "3 files in the dataset by the server's own list, each once."
    assert asked in world.cli(*command).err
    world.picture("new.png", 99)
    said = world.cli(*command, "--add").err
    assert "by the server's own list" not in said
    assert f"Run `vl-ingest verify {world.job().id}" in said
    assert world.cli("verify", "job").code == 0
    assert asked.replace("3", "4") in world.cli(*command).err


def test_a_dry_run_says_what_would_be_added(world: World) -> None:
    """The files that are new, in how many additions; nothing is sent or recorded."""
    ready(world)
    world.pictures(5, "new")
    events = len(world.kinds())
    plan = world.run("--add", "--dry-run", "--add-files", "2").summary
    assert (plan["adds"], plan["files"], plan["batches"], plan["late"], plan["holds"]) == (
        True,
        5,
        3,
        0,
        False,
    )
    command = ["run", str(world.folder), "--name", "job", "--base-url", world.box.url, "--dry-run"]
    said = world.cli(*command, "--add").out
    assert "adds to" in said
    assert "1 addition" in said
    assert "--add" in world.cli(*command).out
    assert len(world.kinds()) == events
    assert world.box.record.additions_accepted() == 0
    with closing(sqlite3.connect(world.ledger_path)) as connection, connection:
        connection.execute("UPDATE jobs SET too_large_bytes = 2")
    assert world.run("--add", "--dry-run").summary["batches"] == 5, "cut as after a refusal for the size"


def test_a_folder_that_can_not_be_read_holds_nothing_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could be found is added; the run ends with 3 and names the folder."""
    from vl_ingest.source.scanner import Scanner

    ready(world)
    world.picture("new.png", 99)
    found = Scanner.found

    def unread(scanner: Scanner, *more: object) -> object:
        yield from found(scanner, *more)  # type: ignore[arg-type]  # as it is
        scanner.unread.append("locked")

    monkeypatch.setattr(Scanner, "found", unread)
    ended = world.run("--add")
    assert ended.code == 3
    assert "locked" in ended.err
    assert "processing was not started" not in ended.err
    assert world.box.record.additions_accepted() == 1


def test_known_content_is_said_and_sent_unless_it_is_to_be_skipped(world: World) -> None:
    """A copy under another path: it is added, and named; with `--skip-known-content` it is waived, with the reason."""
    ready(world)
    world.picture("copy.png", 1)
    ended = world.run("--add")
    assert ended.code == 0
    assert "copy.png as p0001.png" in ended.err
    assert len(world.held()) == 4
    world.picture("another.png", 2)
    world.picture("new.png", 99)
    ended = world.run("--add", "--skip-known-content")
    assert ended.code == 0
    assert world.states()["another.png"] == "waived"
    assert len(world.held()) == 5
    files = {file.path: file for file in world.files()}
    assert files["another.png"].decided_by == "--skip-known-content"
    assert files["another.png"].decided_why == "same content as p0002.png"
    world.check_promises()
