"""The main path: a folder becomes a dataset, and the same command again changes nothing."""

import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from vl_ingest.domain.model import FileState
from vl_ingest.ledger.files import Files
from vl_ingest.upload import steps as upload
from world import World


def test_folder_becomes_ready_dataset(world: World) -> None:
    """Every file arrives with its own bytes, processing starts once, the exit code is 0."""
    world.pictures(12)
    world.picture("deep/er/picture.JPG", 300)
    ended = world.run()
    assert ended.code == 0, ended.err
    assert ended.summary["files"]["sent"] == 13
    assert ended.summary["state"] == "ready"
    assert ended.summary["dataset_id"] in world.box.record.datasets()
    world.check_promises()


def test_json_lines_have_the_documented_types(world: World) -> None:
    """Programs read job_started first, summary last, progress between, and nothing else."""
    world.pictures(3)
    lines = world.run().lines
    assert lines[0]["type"] == "job_started"
    assert lines[-1]["type"] == "summary"
    assert {line["type"] for line in lines[1:-1]} == {"progress"}


def test_time_has_one_form_for_programs(world: World, tmp_path: Path) -> None:
    """JSON output, the log and the report write every moment as ISO 8601 in UTC with `Z`, to the microsecond."""
    world.pictures(3)
    log, report = tmp_path / "log", tmp_path / "report.json"
    written = world.run("--log-file", str(log)).out + log.read_text()
    written += "".join(
        world.cli(*command, "--json").out for command in (["events", "job"], ["jobs"], ["status"])
    )
    assert world.cli("report", "job", "--output", str(report)).code == 0
    moments = re.findall(r'"(?:\w+_)?at": "(.*?)"', written + report.read_text())
    assert len(moments) > 30
    for moment in moments:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", moment), moment
    assert "+00:00" not in written + report.read_text()


def test_second_run_sends_nothing(world: World) -> None:
    """A finished job says so, asks the server nothing, and exits 0."""
    world.pictures(4)
    world.run()
    before = len(world.box.record.requests())
    ended = world.run()
    assert ended.code == 0
    assert len(world.box.record.requests()) == before
    assert "nothing is left to do" in world.cli("run", *world.arguments()[1:-1]).err


def test_files_after_the_trigger_are_reported_not_sent(world: World) -> None:
    """What joins the folder too late is counted, and `--new` is offered."""
    world.pictures(2)
    world.run()
    world.pictures(3, "late")
    ended = world.run()
    assert ended.code == 0
    assert ended.summary["not_in_dataset"] == 3
    assert "--new" in world.cli("run", *world.arguments()[1:-1]).err
    assert len(world.held()) == 2


def test_new_starts_another_dataset_after_a_finished_one(world: World) -> None:
    """`--new` makes a second job with a dataset of its own."""
    world.pictures(2)
    world.run()
    assert world.run("--new").code == 0
    assert len(world.box.record.datasets()) == 2


def test_new_continues_an_unfinished_job(world: World) -> None:
    """`--new` on an unfinished job makes no second dataset."""
    world.pictures(2)
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run("--new").code == 3
    assert world.run("--new").code == 3
    assert len(world.box.record.datasets()) == 1


def test_no_wait_stops_after_the_trigger(world: World) -> None:
    """`--no-wait` exits 0 once processing is started; a later run watches."""
    world.pictures(2)
    ended = world.run("--no-wait")
    assert ended.code == 0
    assert ended.summary["state"] == "processing"
    watching = f"vl-ingest resume {world.job().id} --wait"  # by itself it would keep the setting
    assert watching in ended.err
    assert watching in world.cli("status", "job").out
    assert world.cli("resume", "job", "--wait").code == 0
    assert world.job().state == "ready"
    world.check_promises()


def test_equal_base_names_arrive_under_different_names(world: World) -> None:
    """Base names that clash are told apart, and the ledger knows which is which."""
    for index, folder in enumerate(("a", "b", "c")):
        world.picture(f"{folder}/same.png", index)
    world.run()
    names = {file.path: file.sent_as for file in world.files()}
    assert len(set(names.values())) == 3
    assert names["a/same.png"] == "same.png"
    assert all(name.startswith("same") and name.endswith(".png") for name in names.values())
    world.check_promises()


def test_odd_names_arrive(world: World) -> None:
    """Spaces, quotes, newlines, other letters and bytes that are no text all arrive, told apart."""
    odd = [
        "a b.png",
        'say "hi".png',
        "new\nline.png",
        "\u00fcber.png",
        os.fsdecode(b"\xff\xfe.png"),
        "back\\slash.png",
    ]
    for index, name in enumerate(odd):
        world.picture(name, index)
    assert world.run().code == 0
    assert {file.path for file in world.files()} == set(odd)
    world.check_promises()


def test_hidden_and_unsupported_files_are_left_out_and_counted(world: World) -> None:
    """What does not join is counted by reason."""
    world.pictures(1)
    (world.folder / ".hidden.png").write_bytes(b"x")
    (world.folder / "notes.txt").write_text("x")
    (world.folder / "noextension").write_text("x")
    left_out = world.run().summary["left_out"]
    assert left_out == {"hidden": 1, "unsupported type (.txt)": 1, "unsupported type (no extension)": 1}


def test_a_scan_that_ends_between_two_looks_has_found_something(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However late the command learns what the scan has committed, files that were found are sent."""
    world.pictures(3)
    any_wanted = Files.any_wanted

    def late(files: Files, job_id: str) -> bool:
        known = any_wanted(files, job_id)
        time.sleep(0.5)
        return known

    monkeypatch.setattr(Files, "any_wanted", late)
    assert world.run().code == 0
    world.check_promises()


def test_a_folder_that_is_suddenly_empty_holds_the_trigger(world: World) -> None:
    """A disk that is not mounted looks like an empty folder: exit 3, until it is back or an empty list says so."""
    paths = world.pictures(3)
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run().code == 3
    assert world.cli("waive", "job", "--all").code == 0
    for path in (*paths, world.folder / "torn.png"):
        path.unlink()
    ended = world.run()
    assert ended.code == 3
    assert "mounted" in ended.err
    assert world.box.record.triggers_accepted() == 0
    assert world.run("--files-from", os.devnull).code == 0
    world.check_promises()


def test_what_an_unmounted_disk_holds_is_sent_when_it_is_back(world: World) -> None:
    """What is known is sent, the next run finds nothing, and the one after it all the rest."""
    world.pictures(6)
    world.box.add_fault("trigger:403")
    assert world.run("--include", "p000[0-2].png").code == 7
    world.box.clear_faults()
    world.folder.rename(world.place / "away")
    world.folder.mkdir()
    assert world.run().code == 3
    world.folder.rmdir()
    (world.place / "away").rename(world.folder)
    assert world.run().code == 0
    assert len(world.held()) == 6
    world.check_promises()


def test_links_to_files_are_followed_and_loops_are_not(world: World) -> None:
    """A link to a file is a file; a link back up is counted, not walked."""
    picture = world.picture("deep/one.png")
    (world.folder / "link.png").symlink_to(picture)
    (world.folder / "deep" / "loop").symlink_to(world.folder)
    ended = world.run()
    assert ended.code == 0
    assert set(world.states()) == {"deep/one.png", "link.png"}
    assert sum(ended.summary["left_out"].values()) == 1


def test_links_to_folders_elsewhere_are_followed(world: World, tmp_path: Path) -> None:
    """A folder that is linked in belongs to the source, even if it links back to itself."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    world.picture("one.png").rename(elsewhere / "one.png")
    (elsewhere / "again").symlink_to(elsewhere)
    (world.folder / "linked").symlink_to(elsewhere)
    assert world.run().code == 0
    assert set(world.states()) == {"linked/one.png"}


def test_links_to_folders_that_are_hidden_are_followed(world: World) -> None:
    """What lies inside the source, but where the walk does not come, is found through a link; a circle is not."""
    world.picture(".store/deep/one.png", 1)
    world.picture("plain/three.png", 3)
    (world.folder / "album").symlink_to(".store")
    (world.folder / "again").symlink_to("plain")
    (world.folder / ".store" / "deep" / "up").symlink_to("..")
    (world.folder / ".store" / "top").symlink_to("../..")
    ended = world.run()
    assert ended.code == 0
    assert set(world.states()) == {"album/deep/one.png", "plain/three.png"}
    left_out = ended.summary["left_out"]
    assert left_out["links to folders that are in it anyway"] == 1
    assert left_out["links that go round in circles"] == 2


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--include", "a*.png"], {"a1.png", "sub/a2.png"}),
        (["--exclude", "sub/"], {"a1.png", "b1.png"}),
        (["--exclude", "b*", "--exclude", "*2.png"], {"a1.png"}),
        (["--include", "/sub/**"], {"sub/a2.png", "sub/b2.png"}),
        (["--no-recursive"], {"a1.png", "b1.png"}),
    ],
)
def test_filters_decide_what_joins(world: World, options: list[str], expected: set[str]) -> None:
    """Globs work on names and paths, as in .gitignore."""
    for index, path in enumerate(("a1.png", "b1.png", "sub/a2.png", "sub/b2.png")):
        world.picture(path, index)
    assert world.run(*options).code == 0
    assert set(world.states()) == expected


def test_include_brings_in_another_type(world: World) -> None:
    """A type that an --include names by its extension joins, whatever the server says to it."""
    world.pictures(2)
    (world.folder / "old.bmp").write_bytes(b"BM")
    world.run("--include", "*.bmp", "--include", "*.png")
    assert world.states()["old.bmp"] == "rejected"


@pytest.mark.parametrize("separator", ["\n", "\0", "\r\n"])
def test_files_from_takes_the_listed_files_only(world: World, tmp_path: Path, separator: str) -> None:
    """A list names the files, one a line or NUL-separated, twice if it likes; a missing one holds the job."""
    world.pictures(3)
    listed = tmp_path / "list"
    names = ["p0000.png", str(world.folder / "p0001.png"), "p0000.png", "gone.png"]
    listed.write_bytes(separator.join(names).encode())
    assert world.run("--files-from", str(listed)).code == 3
    assert world.states() == {"p0000.png": "sent", "p0001.png": "sent", "gone.png": "missing"}


def test_files_from_outside_the_folder_is_refused(world: World, tmp_path: Path) -> None:
    """A listed path that leaves the folder is a usage error, and nothing is made on the server."""
    world.pictures(1)
    listed = tmp_path / "list"
    listed.write_text("../escape.png\n")
    ended = world.run("--files-from", str(listed))
    assert ended.code == 2
    assert "is not in" in ended.err
    assert world.box.record.datasets() == []


def test_nothing_to_send_makes_no_dataset(world: World) -> None:
    """An empty folder exits 2, says what was left out, and can be filled and run again."""
    (world.folder / "notes.txt").write_text("x")
    ended = world.run()
    assert ended.code == 2
    assert "notes" not in ended.err
    assert ".txt" in ended.err
    assert world.box.record.datasets() == []
    world.pictures(1)
    assert world.run().code == 0


@pytest.mark.parametrize(
    ("source", "said"), [("missing", "resume JOB --source"), ("one.png", "--include NAME")]
)
def test_a_source_that_is_no_folder_is_a_usage_error(world: World, source: str, said: str) -> None:
    """Bad input gets a message that says what to do."""
    world.picture("one.png")
    ended = world.cli("run", str(world.folder / source), "--name", "x", "--base-url", world.box.url)
    assert ended.code == 2
    assert said in ended.err


def test_another_source_under_the_same_name_is_refused(world: World, tmp_path: Path) -> None:
    """One name on one server means one folder, unless `--new` says otherwise."""
    world.pictures(1)
    world.run()
    other = tmp_path / "other"
    other.mkdir()
    (other / "x.png").write_bytes((world.folder / "p0000.png").read_bytes())
    arguments = ["run", str(other), *world.arguments()[2:]]
    refused = world.cli(*arguments)
    assert refused.code == 2
    assert "--new" in refused.err
    assert world.cli(*arguments, "--new").code == 0


def test_two_spellings_of_a_folder_are_one_job(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Links, relative paths and trailing slashes lead to the same job."""
    world.pictures(1)
    world.run()
    (world.place / "link").symlink_to(world.folder)
    monkeypatch.chdir(world.place)
    for spelling in ("link", "./pictures/", "pictures/../pictures"):
        assert world.cli("run", spelling, *world.arguments()[2:]).code == 0
    assert len(world.box.record.datasets()) == 1


def test_new_files_join_while_the_job_is_not_triggered(world: World) -> None:
    """A held job takes up what has come since, and updated facts of what waits."""
    world.pictures(2)
    (world.folder / "torn.png").write_bytes(b"no picture")
    world.run()
    world.pictures(2, "more")
    world.picture("torn.png", 99)
    assert world.cli("retry", "job").code == 0
    ended = world.cli("resume", "job", "--json")
    assert ended.code == 0, ended.err
    assert len(world.held()) == 5
    world.check_promises()


def test_a_moved_folder_is_resumed_from_its_new_place(world: World) -> None:
    """`resume JOB --source PATH` takes the job to where its folder lies now."""
    world.pictures(3)
    (world.folder / "torn.png").write_bytes(b"no picture")
    world.run()
    moved = world.folder.rename(world.place / "moved")
    world.folder = moved
    world.cli("waive", "job", "torn.png")
    ended = world.cli("resume", "job", "--source", str(moved), "--json")
    assert ended.code == 0, ended.err
    world.check_promises()


def test_a_job_can_not_move_to_where_another_one_is(world: World) -> None:
    """`resume JOB --source` onto the folder of another unfinished job is a usage error that names that job."""
    world.pictures(1)
    (world.folder / "torn.png").write_bytes(b"no picture")
    world.run()
    first = world.job()
    world.folder = shutil.copytree(world.folder, world.place / "copy")
    world.run("--new")
    ended = world.cli("resume", first.id, "--source", str(world.folder))
    assert ended.code == 2
    assert world.job().id in ended.err


def test_processing_that_fails_is_exit_12(make_world: Callable[..., World]) -> None:
    """The server's own words reach the user, and a re-run says the same."""
    world = make_world(processing_error="no memory left")
    world.pictures(1)
    for _ in range(2):
        ended = world.run()
        assert ended.code == 12
        assert "no memory left" in ended.err
    assert world.job().state == "errored"


def test_looking_at_the_ledger(world: World) -> None:
    """`status`, `jobs`, `files` and `events` show what the ledger holds, for people and for programs."""
    world.pictures(2)
    (world.folder / "torn.png").write_bytes(b"no picture")
    world.run()
    job = world.job()
    status = json.loads(world.cli("status", "job", "--json").out)
    assert (status["job"], status["files"]["sent"], status["files"]["rejected"]) == (job.id, 2, 1)
    assert job.dataset_id is not None
    assert job.dataset_id in world.cli("status", job.id).out
    assert json.loads(world.cli("jobs", "--json").out)["name"] == "job"
    assert job.id in world.cli("jobs").out
    rejected = json.loads(world.cli("files", "job", "--state", "rejected", "--json").out)
    assert rejected["path"] == "torn.png"
    assert "torn.png" in rejected["reason"]
    assert "p0001.png" in world.cli("files", "job").out
    kinds = [json.loads(line)["kind"] for line in world.cli("events", "job", "--json").out.splitlines()]
    assert kinds[0] == "job_created"
    assert "batch_sent" in kinds
    assert "batch_sent" in world.cli("events", "job").out


def test_an_unknown_job_is_a_usage_error(world: World) -> None:
    """A mistyped job exits 2 and says how to list them."""
    world.pictures(1)
    world.run()
    for command in (["status", "nosuch"], ["files", "nosuch"], ["resume", "nosuch"], ["cancel", "nosuch"]):
        ended = world.cli(*command)
        assert ended.code == 2
        assert "vl-ingest jobs" in ended.err


def test_a_single_larger_file_goes_alone(world: World) -> None:
    """--batch-bytes cuts batches by size; a larger file gets a request of its own."""
    world.pictures(6)
    size = (world.folder / "p0000.png").stat().st_size
    assert world.run("--batch-bytes", str(size - 1)).code == 0
    uploads = world.box.record.requests("upload")
    assert len(uploads) == 6
    world.check_promises()


def test_cancelled_job_is_left_alone(world: World) -> None:
    """`cancel` gives a job up; only `--new` starts another."""
    (world.folder / "torn.png").write_bytes(b"no picture")
    world.pictures(1)
    world.run()
    assert world.cli("cancel", "job").code == 0
    ended = world.run()
    assert ended.code == 2
    assert "--new" in ended.err
    assert FileState.SENT in world.states().values()


def test_the_trigger_waits_for_a_scan_that_is_slower_than_the_sending(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers that have nothing to do wait for the scanner; nothing is processed before the last file is found."""
    from vl_ingest.source.scanner import Scanner
    from vl_ingest.upload import scan

    world.pictures(12)
    found = Scanner.found

    def slowly(scanner: Scanner, *check: Callable[[], None]) -> object:
        for number, item in enumerate(found(scanner, *check)):
            if number == 6:
                world.until(world.box.record.files, "files arrived before the scan ended")
            yield item

    monkeypatch.setattr(Scanner, "found", slowly)
    monkeypatch.setattr(scan, "FIRST_CHUNK", 1)
    monkeypatch.setattr(scan, "CHUNK", 1)
    assert world.run().code == 0
    assert len(world.held()) == 12
    world.check_promises()


def test_no_worker_sends_on_when_its_run_has_ended(
    make_world: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is stopped waits a little for its workers, then leaves their requests incomplete."""
    monkeypatch.setattr(upload, "GRACE_S", 0.2)
    world = make_world(check_images=False, faults=["upload:slow-read:rate=4000000:times=1"])
    (world.folder / "long.mp4").write_bytes(bytes(24_000_000))
    assert world.run("--max-duration", "1s").code == 10
    world.until(
        lambda: not any(thread.name.startswith("worker") for thread in threading.enumerate()),
        "the workers have ended",
    )
    assert world.run().code == 0
    assert set(world.held().values()) == {1}
    world.check_promises()
