"""`verify` finds whatever is not as it was recorded; `events`, `export` and `jobs prune` keep the record."""

import json
import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from enum import StrEnum
from typing import cast

import pytest

from vl_ingest.domain.events import EventKind
from vl_ingest.ledger.events import append
from world import CLEAN, COMMAND, World

RECORD = {"events": True, "receipts": True, "totals": True, "processing": True, "job": True, "requests": True}

ADDED = """
    INSERT INTO events (job_id, number, at, kind, facts, hash)
    SELECT id, event_count + 1, finished_at, 'file_waived', '{"path": "p0001.png"}', event_head FROM jobs
"""
ONE_MORE_RUN = """
    INSERT INTO runs SELECT id + 9, job_id, host, pid, version, started_at, heartbeat_at, ended_at, exit_code, NULL, NULL FROM runs
"""
MORE_ATTEMPTS = """
    INSERT INTO attempts SELECT id + 99, batch_id, number + 9, started_at, ended_at, outcome, http_status, detail
    FROM attempts
"""
SWAPPED = """
    UPDATE events SET number = -1 WHERE number = 4;
    UPDATE events SET number = 4 WHERE number = 5;
    UPDATE events SET number = 5 WHERE number = -1
"""


def tamper(world: World, *statements: str) -> None:
    """Change the ledger behind the program's back."""
    with closing(sqlite3.connect(world.ledger_path)) as connection:
        connection.executescript(";".join(statements))


def answers(world: World, *options: str, job: str = "job") -> dict[str, bool | None]:
    """Return name -> held of what `verify` checks; the exit code says the same."""
    ended = world.cli("verify", job, "--json", *options)
    told = {line["name"]: line["held"] for line in ended.lines if line["type"] == "check"}
    assert ended.code == (3 if False in told.values() else 0), ended.err
    return told


def wrong(world: World, *options: str, job: str = "job") -> set[str]:
    """Return the names of the checks that do not hold."""
    return {name for name, held in answers(world, "--offline", *options, job=job).items() if held is False}


@pytest.fixture
def done(world: World) -> World:
    """Return a world whose job is done: twelve files sent, one answer lost, one file waived, one left out."""
    world.pictures(12)
    (world.folder / "notes.txt").write_text("no picture either")
    world.box.add_fault("upload:503:times=1")
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run().code == 3
    assert world.cli("waive", "job", "--all").code == 0
    assert world.run().code == 0
    return world


def test_a_true_record_holds(done: World) -> None:
    """Nothing was touched: every check holds, with and without reading the files again."""
    everything = {**RECORD, "files": True}
    server = {"server": True, "dataset": True}
    assert answers(done, "--base-url", done.box.url) == {**everything, **server}
    assert answers(done) == {**everything, **server}, "the job knows its server"
    assert answers(done, "--no-dataset") == {**everything, "server": True}
    assert answers(done, "--offline", "--rehash") == everything
    assert answers(done, "--offline", "--no-files") == RECORD


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM events WHERE number = 4",
        "DELETE FROM events WHERE number = (SELECT max(number) FROM events)",
        "UPDATE events SET facts = json_set(facts, '$.by', 'nobody') WHERE kind = 'file_waived'",
        "UPDATE events SET at = datetime(at, '+1 day') WHERE number = 5",
        "UPDATE events SET user = 'somebody' WHERE number = 3",
        "UPDATE events SET hash = replace(hash, substr(hash, 1, 4), '0000') WHERE number = 6",
        ADDED,
        SWAPPED,
        "UPDATE jobs SET event_count = event_count - 1",
        "UPDATE jobs SET event_head = (SELECT hash FROM events WHERE number = 3)",
    ],
)
def test_a_history_that_was_touched_is_found(done: World, statement: str) -> None:
    """One event removed, changed, added or moved breaks the chain."""
    tamper(done, statement)
    assert "events" in wrong(done, "--no-files")


def test_a_tail_cut_off_together_with_the_head_needs_a_head_kept_elsewhere(done: World) -> None:
    """Whoever rewrites the ledger as a whole is found by the head that somebody has noted."""
    head = done.job().event_head
    assert head is not None
    assert answers(done, "--offline", "--no-files", "--head", head)["head"] is True
    assert "head" in wrong(done, "--no-files", "--head", "0" * 64)
    tamper(
        done,
        "DELETE FROM events WHERE number = (SELECT event_count FROM jobs)",
        "UPDATE jobs SET event_count = event_count - 1, event_head = (SELECT hash FROM events ORDER BY number DESC LIMIT 1)",
    )
    assert "events" not in wrong(done, "--no-files"), "this alone can't show"
    assert "head" in wrong(done, "--no-files", "--head", head)


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("UPDATE files SET sha256 = replace(sha256, substr(sha256, 1, 1), 'x') WHERE path = 'p0003.png'", "receipts"),
        ("UPDATE files SET size_bytes = size_bytes + 1 WHERE path = 'p0003.png'", "receipts"),
        ("UPDATE files SET sent_as = 'other.png' WHERE path = 'p0003.png'", "receipts"),
        ("UPDATE files SET path = 'other.png' WHERE path = 'p0003.png'", "receipts"),
        ("UPDATE files SET mtime_ns = mtime_ns + 1 WHERE path = 'p0003.png'", "receipts"),
        ("DELETE FROM files WHERE path = 'p0003.png'", "receipts"),
        ("UPDATE files SET state = 'waived' WHERE path = 'p0003.png'", "receipts"),
        ("UPDATE files SET state = 'sent' WHERE path = 'torn.png'", "receipts"),
        ("UPDATE files SET path = 'p.png' WHERE path = 'torn.png'", "totals"),
        ("UPDATE files SET size_bytes = 1 WHERE path = 'torn.png'", "totals"),
        ("DELETE FROM files WHERE path = 'torn.png'", "totals"),
        ("UPDATE jobs SET dataset_id = 'other'", "processing"),
        ("UPDATE jobs SET state = 'uploaded'", "processing"),
        ("UPDATE jobs SET state = 'errored'", "job"),
        ("UPDATE jobs SET name = 'other'", "job"),
        ("UPDATE jobs SET source = '/other'", "job"),
        ("UPDATE jobs SET base_url = 'http://other'", "job"),
        ("UPDATE jobs SET status = 'DRAFT'", "job"),
        ("UPDATE jobs SET left_out = '{}'", "job"),
        ("UPDATE jobs SET settings = json_set(settings, '$.batch_size', 7)", "job"),
        ("UPDATE jobs SET created_at = datetime(created_at, '-1 day')", "job"),
        ("UPDATE jobs SET triggered_at = datetime(triggered_at, '+1 day')", "job"),
        ("UPDATE jobs SET finished_at = NULL", "job"),
        ("UPDATE runs SET exit_code = 0", "job"),
        ("UPDATE runs SET host = 'other'", "job"),
        ("UPDATE runs SET ended_at = NULL", "job"),
        (ONE_MORE_RUN, "job"),
        ("UPDATE batches SET size_bytes = size_bytes + 1", "requests"),
        ("UPDATE batches SET ended_at = datetime(ended_at, '+1 day')", "requests"),
        ("UPDATE batches SET state = 'failed' WHERE state = 'sent'", "requests"),
        ("UPDATE batches SET state = 'sent'", "requests"),
        ("UPDATE attempts SET http_status = 200 WHERE outcome = 'sent'", "requests"),
        ("UPDATE attempts SET outcome = 'refused' WHERE outcome = 'unknown'", "requests"),
        ("DELETE FROM attempts WHERE outcome = 'unknown'", "requests"),
        ("UPDATE attempts SET detail = 'sunshine' WHERE outcome != 'sent'", "requests"),
        (MORE_ATTEMPTS, "requests"),
        ("UPDATE files SET unknown_attempts = 0", "requests"),
        ("UPDATE files SET reason = 'nobody liked it' WHERE path = 'torn.png'", "requests"),
        ("UPDATE files SET reason = 'changed after it was sent' WHERE path = 'p0003.png'", "requests"),
        ("UPDATE files SET listed = 1", "requests"),
    ],
)  # fmt: skip
def test_a_row_that_was_touched_is_found(done: World, statement: str, name: str) -> None:
    """What receipts and decisions say of files and job can't be changed unseen."""
    job = done.job().id
    tamper(done, statement)
    assert name in wrong(done, "--no-files", job=job)


def test_one_changed_byte_on_disk_is_found(done: World) -> None:
    """Same size, same times, one other byte: only reading shows it; the file is named."""
    file = done.folder / "p0003.png"
    before = file.stat()
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert wrong(done) == set()
    assert wrong(done, "--rehash") == {"files"}
    assert "p0003.png has different bytes" in done.cli("verify", "job", "--offline", "--rehash").out


def test_missing_longer_and_touched_files_are_named(done: World) -> None:
    """Without reading, what stat tells is compared; a file that was only touched has the same bytes."""
    (done.folder / "p0001.png").unlink()
    with (done.folder / "p0002.png").open("ab") as file:
        file.write(b"x")
    os.utime(done.folder / "p0003.png", ns=(0, 0))
    differing = {
        line["path"]
        for line in done.cli("verify", "job", "--offline", "--json").lines
        if line["type"] == "difference"
    }
    assert differing == {"p0001.png", "p0002.png", "p0003.png"}
    lines = done.cli("verify", "job", "--offline", "--rehash", "--json").lines
    assert {line["path"] for line in lines if line["type"] == "difference"} == {"p0001.png", "p0002.png"}


def test_a_folder_that_moved_is_found_where_it_is(done: World) -> None:
    """A missing folder is a difference that says what to do; `--source` names the new place."""
    moved = done.place / "moved"
    shutil.move(done.folder, moved)
    assert wrong(done) == {"files"}
    assert wrong(done, "--source", str(moved), "--rehash") == set()


def test_an_interrupted_rehash_goes_on(done: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was compared before is not read again, what differed is told again, and `--afresh` starts over."""
    from vl_ingest.proof import rehash
    from vl_ingest.source.folder import Folder

    monkeypatch.setattr(rehash, "PORTION", 3)
    (done.folder / "p0000.png").write_bytes(b"other")
    compared: list[int] = []

    def interrupt(state: rehash.Rehash) -> None:
        compared.append(state.compared)
        if state.compared == 6 and len(compared) == 2:
            raise KeyboardInterrupt

    def go_on(*, afresh: bool = False) -> tuple[list[str], rehash.Rehash]:
        told: list[str] = []
        with done.ledger() as ledger:
            job = ledger.jobs.get(done.job().id)

            def differs(path: str, _why: str) -> None:
                told.append(path)

            folder = Folder(job.source)
            ended = rehash.compare(
                ledger, job, folder, hashed=True, afresh=afresh, differs=differs, progress=interrupt
            )
        return told, ended

    with pytest.raises(KeyboardInterrupt):
        go_on()
    (done.folder / "p0001.png").write_bytes(b"not looked at again")
    told, ended = go_on()
    assert (told, ended.compared, ended.differing) == (["p0000.png"], 12, 1)
    assert compared == [3, 6, 9, 12]
    told, _ = go_on()
    assert told == ["p0000.png", "p0001.png"], "the next one begins from the start"
    compared.clear()
    with pytest.raises(KeyboardInterrupt):
        go_on()
    (done.folder / "p0002.png").write_bytes(b"changed behind its back")
    ended_afresh = done.cli("verify", "job", "--rehash", "--afresh", "--offline", "--json")
    assert ended_afresh.code == 3
    assert [line["path"] for line in ended_afresh.lines if line["type"] == "difference"] == [
        f"p000{number}.png" for number in range(3)
    ]


def test_what_the_server_says_is_checked_and_what_it_counts_observed(done: World) -> None:
    """A dataset that is gone differs; a server out of reach is exit 5 and names `--offline`."""
    (line,) = [line for line in done.cli("verify", "job", "--json").lines if line["name"] == "server"]
    assert (line["status"], line["n_images"], line["sent"]) == ("READY", 12, 12)
    done.box.add_fault("status:404")
    assert answers(done, "--no-files")["server"] is False
    done.box.clear_faults()
    with done.box.offline():
        ended = done.cli("verify", "job", "--no-files")
    assert ended.code == 5
    assert "--offline" in ended.err


def test_a_job_that_is_not_finished_is_verified_as_far_as_it_goes(world: World) -> None:
    """There are no totals yet; what is there holds."""
    world.pictures(3)
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run().code == 3
    assert answers(world, "--offline") == {**RECORD, "totals": None, "files": True}


def test_files_called_delivered_by_a_person_are_told_apart(world: World) -> None:
    """They have no receipt, but a decision on record."""
    world.pictures(12)
    world.box.add_fault("upload:503:times=1")
    assert world.run("--on-unknown", "hold").code == 13
    assert world.cli("settle", "job", "--delivered").code == 0
    assert world.run().code == 0
    lines = world.cli("verify", "job", "--offline", "--json").lines
    (receipts,) = [line for line in lines if line["name"] == "receipts"]
    assert receipts["held"] is True
    assert receipts["by_word"] > 0
    tamper(world, "DELETE FROM events WHERE kind = 'unknown_settled'")
    assert {"events", "receipts"} <= wrong(world, "--no-files")


def test_events_by_kind_and_age(done: World) -> None:
    """The history can be narrowed; each line has its seal."""
    lines = done.cli("events", "job", "--kind", "file_waived", "--json").lines
    assert [(line["kind"], line["facts"]["path"]) for line in lines] == [("file_waived", "torn.png")]
    assert len(lines[0]["hash"]) == 64
    assert lines[0]["user"]
    tamper(done, "UPDATE events SET at = '2026-01-01 00:00:00.000000' WHERE number < 3")
    numbers = [line["number"] for line in done.cli("events", "job", "--since", "10m", "--json").lines]
    assert numbers == list(range(3, done.job().event_count + 1))


def test_a_kind_of_event_that_does_not_exist_is_refused_with_the_closest(done: World) -> None:
    """A mistyped kind is no empty history; one that a newer version has written is known where it is."""
    ended = done.cli("events", "job", "--kind", "batch_snt")
    assert (ended.code, ended.out) == (2, "")
    assert "no kind of event 'batch_snt'. Did you mean batch_sent" in ended.err
    ended = done.cli("events", "job", "--kind", "batch_sent", "--kind", "xyzzy")
    assert (ended.code, ended.out) == (2, "")
    assert "'xyzzy'. Without `--kind`" in ended.err
    assert done.cli("events", "job", "--kind", "stalled").code == 0, "none happened, but it exists"


def test_a_ledger_of_a_newer_version_is_read_all_the_same(done: World) -> None:
    """Its kinds are shown, told plainly, and say nothing of the rows."""
    (newer,) = StrEnum("Newer", {"MOON_ROSE": "moon_rose"})
    with done.ledger() as ledger, ledger.db.write() as connection:
        append(connection, done.job().id, None, cast("EventKind", newer), path="x", files=["y"])
    assert [line["facts"] for line in done.cli("events", "job", "--kind", "moon_rose", "--json").lines] == [
        {"path": "x", "files": ["y"]}
    ]
    assert "Moon rose." in done.cli("report", "job").out
    assert wrong(done, "--no-files") == set()


def test_events_follow_a_job_to_its_end(world: World) -> None:
    """What happens meanwhile is shown, and the command ends with the job."""
    world.pictures(3)
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run().code == 3
    command = [*COMMAND, "events", "job", "--follow", "--json", "--ledger"]
    with subprocess.Popen(
        [*command, str(world.ledger_path)], env=CLEAN, stdout=subprocess.PIPE, text=True
    ) as following:
        assert following.stdout is not None
        first = following.stdout.readline()
        assert world.cli("waive", "job", "--all").code == 0
        assert world.run().code == 0
        rest = following.stdout.readlines()
    kinds = [json.loads(line)["kind"] for line in (first, *rest)]
    assert kinds == world.kinds()
    assert kinds[-1] == "run_ended"


def test_an_export_is_one_file_that_everything_reads(done: World) -> None:
    """A copy of the job alone, which needs neither the ledger nor to be writable."""
    world = done
    world.run(name="another")
    target = world.place / "archive" / "job.db"
    target.parent.mkdir()
    job = world.job()
    assert world.cli("export", "job", str(target)).code == 0
    assert [path.name for path in target.parent.iterdir()] == ["job.db"]
    before = target.read_bytes()
    target.chmod(0o444)
    assert world.cli("export", "job", str(target)).code == 2, "nothing is written over"
    world.ledger_path = target
    assert answers(world, "--offline", "--head", str(job.event_head)) == {
        **RECORD,
        "head": True,
        "files": True,
    }
    assert [json.loads(line)["job"] for line in world.cli("jobs", "--json").out.splitlines()] == [job.id]
    assert world.cli("files", "job").out.count("\n") == 13
    assert target.read_bytes() == before


def test_prune_takes_out_what_is_over_and_keeps_the_rest(done: World) -> None:
    """Only finished jobs that are old enough go, after an export if asked for."""
    world, job = done, done.job()
    (world.folder / "more.png").write_bytes(b"no picture")
    assert world.run(name="open").code == 3
    assert "No job" in world.cli("jobs", "prune", "--older-than", "1d").out
    told = world.cli("jobs", "prune", "--older-than", "0", "--dry-run", "--json").lines
    assert [line["job"] for line in told] == [job.id]
    assert world.job().id == job.id
    archive = world.place / "archive"
    assert world.cli("jobs", "prune", "--older-than", "0", "--keep-in", str(archive)).code == 0
    assert [line["name"] for line in world.cli("jobs", "--json").lines] == ["open"]
    assert len(world.files(name="open")) == 14
    world.ledger_path = archive / f"vl-ingest-{job.id}.db"
    assert wrong(world) == set()
