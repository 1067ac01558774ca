"""Files that change after they were sent: left alone, or sent anew beside what is in the dataset."""

import csv
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import jsonschema
import pytest

from vl_ingest.additions import steps
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Facts, FileRow, FileState, Found, Run
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.exchange import Claim, Receipt
from vl_ingest.report import story
from world import World

SEND = ("--add", "--changed", "send")


def ready(world: World, count: int = 3) -> World:
    """Return the world with a dataset of a few pictures that is ready."""
    world.pictures(count)
    assert world.run().code == 0
    return world


def touch(path: Path) -> None:
    """Give a file another time."""
    before = path.stat()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 10**9))


def versions(world: World, path: str) -> list[FileRow]:
    """Return what the ledger has of a path, oldest first."""
    return [file for file in world.files() if file.path == path]


def in_dataset(world: World) -> dict[str, int]:
    """Return the dataset's own list: name -> how often."""
    return dict(world.box.held(world.job().dataset_id or ""))


def sent_contents(world: World) -> list[str]:
    """Return the SHA-256 of everything that the dataset has been sent."""
    return [sha256 for _, _, sha256 in world.held()]


def verifies(world: World) -> bool:
    """Return whether record, dataset and folder agree."""
    table = world.place / "table.csv"
    assert world.cli("report", "job", "--output", str(table)).code == 0
    verified = world.cli("verify", "job", "--base-url", world.box.url, "--report", str(table))
    return verified.code == 0


def die(*_any: object) -> None:
    """End a run as a defect would."""
    raise AssertionError("died here")


def test_a_changed_file_is_held_and_then_sent_anew(world: World) -> None:
    """One changed, one touched, one new: with `hold` the new one goes, with `send` the changed one, too, as a version of its own."""
    ready(world)
    world.picture("p0000.png", 200)
    touch(world.folder / "p0001.png")
    world.picture("new.png", 99)
    ended = world.run("--add")
    assert (ended.code, ended.summary["changed_after"]) == (0, 2)
    assert "--changed send" in ended.err
    assert len(in_dataset(world)) == 4
    plan = world.run(*SEND, "--dry-run").summary
    assert [plan[key] for key in ("files", "sent_anew", "touched", "changed_and_held")] == [1, 1, 1, 0]
    ended = world.run(*SEND)
    assert (ended.code, ended.summary["changed_after"]) == (0, 0), ended.err
    assert "1 file only touched" in ended.err
    old, new = versions(world, "p0000.png")
    assert (old.version, new.version, old.state, new.state) == (1, 2, "sent", "sent")
    assert new.sent_as == "p0000-v2.png"
    assert in_dataset(world) == {file.sent_as: 1 for file in world.files()}
    assert len(in_dataset(world)) == 5
    world.check_promises()
    for night in ("hold", "send"):  # the touched one is no surprise again
        ended = world.run("--add", "--changed", night)
        assert (ended.code, ended.summary["changed_after"]) == (0, 0)
    assert world.box.record.additions_accepted() == 2


def test_what_is_told_of_versions_is_so(world: World) -> None:
    """Report, table, list, timeline and `verify` tell them apart; only the newest one is held against the folder."""
    ready(world)
    before, held = world.place / "before.csv", world.place / "held.csv"
    assert world.cli("report", "job", "--output", str(before)).code == 0
    world.picture("p0000.png", 200)
    touch(world.folder / "p0001.png")
    assert world.run("--add").code == 0
    assert world.cli("report", "job", "--output", str(held)).code == 0
    assert world.run(*SEND).code == 0
    report = json.loads(world.cli("report", "job", "--format", "json").out)
    jsonschema.validate(report, json.loads(Path(story.__file__).with_name("schema.json").read_text()))
    assert "queued anew as version 2" in json.dumps(report["timeline"])
    assert report["totals"]["changed_after"] == 0
    after = world.place / "after.csv"
    assert world.cli("report", "job", "--output", str(after)).code == 0
    assert [line.rpartition(",")[2] for line in after.read_text().splitlines()] == [
        "version",
        "1",
        "2",
        "1",
        "1",
    ]
    listed = [json.loads(line) for line in world.cli("files", "job", "--json").out.splitlines()]
    assert [(file["path"], file["version"]) for file in listed[:2]] == [("p0000.png", 1), ("p0000.png", 2)]
    check = ["verify", "job", "--base-url", world.box.url]
    for table in (before, held, after):
        verified = world.cli(*check, "--report", str(table), "--rehash")
        assert verified.code == 0, verified.out
    assert "3 files on disk, unchanged" in world.cli(*check).out
    assert "4 files in the dataset" in world.cli(*check).out
    world.picture("p0000.png", 201)
    assert world.cli(*check).code == 3


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE files SET version = 3 WHERE version = 2",
        "UPDATE files SET touched_ns = 5 WHERE path = 'p0001.png'",
        "UPDATE files SET touched_ns = NULL",
        "UPDATE files SET sent_as = 'other.png' WHERE version = 2",
    ],
)
def test_versions_that_are_not_as_recorded_are_found(world: World, change: str) -> None:
    """What a row keeps of its version and of a touch agrees with an event."""
    ready(world, 2)
    world.picture("p0000.png", 200)
    touch(world.folder / "p0001.png")
    assert world.run(*SEND, "--reindex", "never").code == 0
    assert world.cli("verify", "job", "--offline").code == 0
    with closing(sqlite3.connect(world.ledger_path)) as connection, connection:
        connection.execute(change)
    assert world.cli("verify", "job", "--offline").code == 3


def test_a_run_that_dies_before_a_version_is_sent_is_continued(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The version is on record, and the next run sends it, whatever it is told; it is not queued twice."""
    ready(world)
    world.picture("p0000.png", 200)

    with monkeypatch.context() as patch:
        patch.setattr(steps, "next_batch", die)
        assert world.run(*SEND).code == 1
    assert [file.state for file in versions(world, "p0000.png")] == ["sent", "pending"]
    assert world.run("--add").code == 0
    assert [file.state for file in versions(world, "p0000.png")] == ["sent", "sent"]
    assert world.kinds().count(EventKind.FILE_VERSION_QUEUED) == 1
    world.check_promises()


def test_a_version_that_waits_takes_up_what_changes_meanwhile(world: World) -> None:
    """It is sent as it is then; once it is sent, the next change makes another version."""
    ready(world)
    world.box.add_fault("add:403:times=1")
    world.picture("p0000.png", 200)
    assert world.run(*SEND).code == 7
    world.picture("p0000.png", 300)
    assert world.run(*SEND).code == 0
    world.picture("p0000.png", 400)
    assert world.run(*SEND).code == 0
    assert [file.version for file in versions(world, "p0000.png")] == [1, 2, 3]
    assert len(in_dataset(world)) == 5
    world.check_promises()


def test_retry_and_waive_act_on_the_newest_version(world: World) -> None:
    """A version that the server rejects is named by its path; what was sent stays sent."""
    ready(world)
    (world.folder / "p0000.png").write_bytes(b"no picture")
    assert world.run(*SEND).code == 3
    assert world.cli("retry", "job", "p0000.png").code == 0
    assert [file.state for file in versions(world, "p0000.png")] == ["sent", "pending"]
    assert world.run(*SEND).code == 3
    assert world.cli("waive", "job", "p0000.png").code == 0
    assert [file.state for file in versions(world, "p0000.png")] == ["sent", "waived"]
    for form in ("text", "html"):
        assert "p0000.png (version 2)" in world.cli("report", "job", "--format", form).out
    assert world.run(*SEND).code == 0
    world.check_promises()


def test_what_is_left_out_or_gone_is_not_sent_anew(world: World) -> None:
    """Filters apply, and nothing follows from a deletion; another file's known content is left out where that is wanted."""
    ready(world)
    for number in range(3):
        world.picture(f"p000{number}.png", 200 + number)
    (world.folder / "p0001.png").unlink()
    world.picture("copy.png", 2)
    ended = world.run(*SEND, "--exclude", "p0000.png", "--skip-known-content")
    assert ended.code == 0
    assert [file.path for file in world.files() if file.version > 1] == ["p0002.png"]
    assert world.states()["copy.png"] == "waived"
    world.picture("p0002.png", 2)  # as it was at first
    assert world.run(*SEND, "--skip-known-content").code == 0
    assert [str(file.state) for file in versions(world, "p0002.png")] == ["sent"] * 3
    world.check_promises()


@pytest.fixture
def book(tmp_path: Path) -> Iterator[tuple[Ledger, Run]]:
    """Return a ledger, and the run of a job that has sent three files; the second one has changed twice since."""
    with Ledger(tmp_path / "ledger.db") as ledger:
        job = ledger.jobs.get_or_create("/source", "name", "http://server", {})
        run = ledger.runs.take(job.id, "host", 1, "test")
        ledger.files.add(run, [Found(f"{n}.png", Facts(10, n)) for n in range(3)])
        for time in (0, 50, 60):
            ledger.files.add(run, [Found("1.png", Facts(10, time or 1))])
            changed = [(row, Facts(10, time)) for row in ledger.versions.changed(job.id, ["1.png"])]
            ledger.versions.record(run, changed, [])
            rows = ledger.files.pending(job.id, 0, 9)
            (batch,) = ledger.batches.exchange(run, "1", [], [Claim(rows)])
            ledger.batches.exchange(run, "1", [Receipt(batch, ["0" * 64] * len(rows), 202)], [])
        yield ledger, run


def test_the_newest_version_is_the_file(book: tuple[Ledger, Run]) -> None:
    """By path it is the one that is known, flagged and held against the folder; each has a name of its own."""
    ledger, run = book
    found = [Found(f"{n}.png", Facts(10, {1: 60}.get(n, n))) for n in range(3)]
    assert ledger.files.add(run, found) == 0
    assert ledger.files.changed_after(run.job_id) == 0
    assert ledger.files.known(run.job_id, ["1.png"])["1.png"].version == 3
    assert ledger.files.count_unknown_paths(run.job_id, ["1.png", "new.png"]) == 1
    kept = ledger.files.in_folder(run.job_id, 0, 9)
    assert {(row.path, row.version) for row in kept} == {("0.png", 1), ("1.png", 3), ("2.png", 1)}
    assert len({row.sent_as for row in ledger.files.rows(run.job_id)}) == 5
    assert ledger.files.add(run, [Found("1.png", Facts(10, 70))]) == 0
    (flagged,) = ledger.versions.changed(run.job_id, ["1.png"])
    assert flagged.version == 3
    ledger.versions.record(run, [], [(flagged, Facts(10, 70))])
    assert ledger.files.add(run, [Found("1.png", Facts(10, 70))]) == 0
    assert ledger.files.changed_after(run.job_id) == 0
    assert ledger.files.add(run, [Found("1.png", Facts(11, 70))]) == 0
    assert ledger.files.changed_after(run.job_id) == 1
    with pytest.raises(
        AssertionError, match=r"0\.png"
    ):  # nothing is sent anew that was not seen to have changed
        ledger.versions.record(run, [(kept[0], Facts(1, 1))], [])
    assert len(list(ledger.files.rows(run.job_id))) == 5


def test_a_file_may_change_any_number_of_times(book: tuple[Ledger, Run]) -> None:
    """Each version finds a name, also where another file has the one that it would get."""
    ledger, run = book
    ledger.files.add(run, [Found(f"x/1-v{version}.png", Facts(1, 1)) for version in (5, 7, 8)])
    for time in range(100, 109):
        rows = ledger.files.pending(run.job_id, 0, 9)
        (batch,) = ledger.batches.exchange(run, "1", [], [Claim(rows)])
        ledger.batches.exchange(run, "1", [Receipt(batch, ["0" * 64] * len(rows), 202)], [])
        ledger.files.add(run, [Found("1.png", Facts(10, time))])
        changed = [(row, Facts(10, time)) for row in ledger.versions.changed(run.job_id, ["1.png"])]
        ledger.versions.record(run, changed, [])
    names = [row.sent_as for row in ledger.files.rows(run.job_id) if row.path == "1.png"]
    assert len(set(names)) == len(names) == 12
    assert [name for name in names if "-v" not in name] == [names[0], names[4], names[6], names[7]]


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("text", ["", "png"])
@pytest.mark.parametrize("state", [None, FileState.SENT])
def test_pages_of_files_have_each_version_once(
    book: tuple[Ledger, Run], limit: int, text: str, state: FileState | None
) -> None:
    """A page may end between two versions of a path."""
    ledger, run = book
    seen: list[tuple[str, int]] = []
    after: str | None = None
    while True:
        page = ledger.browse.page(run.job_id, state, text, after, limit)
        seen += [(row.path, row.version) for row in page.files]
        if (after := page.after) is None:
            break
    assert sorted(seen) == [("0.png", 1), ("1.png", 1), ("1.png", 2), ("1.png", 3), ("2.png", 1)]
    assert state is not None or seen == sorted(seen)


def test_what_cannot_be_looked_at_for_a_night_has_not_changed(world: World) -> None:
    """Links whose disk is away are not flagged, one that has no bytes for a night is; none goes in twice."""
    world.pictures(2)
    disk = world.place / "disk"
    disk.mkdir()
    for number in range(2):
        picture = world.picture(f"x{number}.png", 50 + number)
        picture.rename(disk / picture.name)
        picture.symlink_to(disk / picture.name)
    assert world.run().code == 0
    content = (world.folder / "p0000.png").read_bytes()
    (world.folder / "p0000.png").write_bytes(b"")
    disk.rename(world.place / "away")
    plan = world.run(*SEND, "--dry-run").summary
    assert [plan[key] for key in ("files", "sent_anew", "changed_and_held")] == [0, 0, 1]
    ended = world.run(*SEND)
    assert (ended.code, ended.summary["changed_after"]) == (0, 1)
    assert "Not compared with what was sent, because empty" in ended.err
    (world.place / "away").rename(disk)
    (world.folder / "p0000.png").write_bytes(content)
    ended = world.run(*SEND)
    assert (ended.code, ended.summary["changed_after"]) == (0, 0), ended.err
    assert len(world.files()) == len(set(sent_contents(world))) == 4
    assert verifies(world)


def test_a_version_that_is_what_was_sent_again_when_its_turn_comes_is_left_out(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was queued, the run died, and the file was put back: not sent, until it changes once more."""
    ready(world)
    picture = world.folder / "p0000.png"
    content = picture.read_bytes()
    world.picture("p0000.png", 200)
    with monkeypatch.context() as patch:
        patch.setattr(steps, "next_batch", die)
        assert world.run(*SEND).code == 1
    picture.write_bytes(content)
    ended = world.run("--add")
    assert ended.code == 0, ended.err
    assert "1 file changed back" in ended.err
    waived = versions(world, "p0000.png")[-1]
    assert (waived.version, waived.decision) == (2, "waived by --changed send: same content as version 1")
    assert len(sent_contents(world)) == 3
    assert verifies(world)
    touch(picture)
    for touched in (1, 0):  # noted once
        assert world.run(*SEND, "--dry-run").summary["touched"] == touched
        assert ("1 file only touched" in world.run(*SEND).err) == bool(touched)
    world.picture("p0000.png", 300)
    assert world.run(*SEND, "--dry-run").summary["sent_anew"] == 1
    assert world.run(*SEND).code == 0
    assert [str(file.state) for file in versions(world, "p0000.png")] == ["sent", "waived", "sent"]
    assert len(set(sent_contents(world))) == 4
    assert world.cli("retry", "job", "p0000.png").code != 0  # the newest one is sent
    assert verifies(world)
    world.check_promises()


def test_a_version_that_an_option_left_out_does_not_hide_later_changes(world: World) -> None:
    """What is rejected or known is left out night after night, and the file goes in when it is something new."""
    ready(world)
    picture = world.folder / "p0000.png"
    content = picture.read_bytes()
    options = (*SEND, "--skip-known-content", "--on-rejected", "skip")
    picture.write_bytes(b"no picture")
    assert world.run(*options).code == 0
    world.picture("p0000.png", 1)  # as the next one
    assert world.run(*options).code == 0
    picture.write_bytes(b"still no picture")
    assert world.run(*options).code == 0
    picture.write_bytes(content)
    assert world.run(*options).code == 0
    assert [str(file.state) for file in versions(world, "p0000.png")] == ["sent", *["waived"] * 3]
    assert verifies(world)
    with (world.place / "table.csv").open() as table:
        decided = [row["decided_at"] for row in csv.DictReader(table) if row["state"] == "waived"]
    assert len(set(decided)) == 3  # each by its own decision
    assert all(decided)
    world.picture("p0000.png", 222)
    assert world.run(*options).code == 0
    assert versions(world, "p0000.png")[-1].state is FileState.SENT
    assert len(set(sent_contents(world))) == len(sent_contents(world)) == 4
    assert verifies(world)
    world.check_promises()


def test_a_version_that_a_person_left_out_is_left_alone(world: World) -> None:
    """Whoever waives a file decides on it until `retry`, also where an option has left out another."""
    ready(world)
    (world.folder / "p0001.png").write_bytes(b"no picture")
    assert world.run(*SEND, "--on-rejected", "skip").code == 0
    (world.folder / "p0000.png").write_bytes(b"no picture")
    assert world.run(*SEND, "--on-rejected", "hold").code == 3
    assert world.cli("waive", "job", "p0000.png").code == 0
    world.picture("p0000.png", 250)
    assert world.run(*SEND).code == 0
    assert [str(file.state) for file in versions(world, "p0000.png")] == ["sent", "waived"]


def test_a_file_that_an_option_left_out_is_tried_again_when_it_has_changed(world: World) -> None:
    """A copy that becomes something else, and a file that was only half there one night."""
    ready(world, 2)
    world.picture("copy.png", 1)
    (world.folder / "torn.png").write_bytes(b"no picture yet")
    options = ("--add", "--skip-known-content", "--on-rejected", "skip")
    assert world.run(*options).code == 0
    assert (world.states()["copy.png"], world.states()["torn.png"]) == ("waived", "waived")
    assert world.run(*options, "--dry-run").summary["files"] == 0
    assert world.run(*options).code == 0, "as long as they stay as they are, so it stays"
    assert world.states()["torn.png"] == "waived"
    world.picture("copy.png", 222)
    world.picture("torn.png", 223)
    assert world.run(*options, "--dry-run").summary["files"] == 2
    assert world.run(*options).code == 0
    assert set(world.states().values()) == {"sent"}
    assert len(world.held()) == 4
    assert verifies(world)
