"""What a person decides about files: by name or by pattern, with a reason, and listed with who decided."""

import pytest

from vl_ingest.ledger.author import author
from world import World


@pytest.fixture
def torn(world: World) -> World:
    """Return a world whose job is held by four files in three folders, two of one name."""
    world.pictures(6)
    for path in ("a/torn.png", "a/other.png", "b/torn.png", "[c]/odd.png"):
        (world.folder / path).parent.mkdir(exist_ok=True)
        (world.folder / path).write_bytes(path.encode())
    (world.folder / "none.png").touch()
    assert world.run("--workers", "1").code == 3
    return world


def of(world: World, state: str) -> set[str]:
    """Return the paths of the files in one state."""
    return {path for path, known in world.states().items() if known == state}


def test_waive_takes_patterns(torn: World) -> None:
    """As in .gitignore: by name in any folder, by folder, by a glob of the path; the job goes on without."""
    assert torn.cli("waive", "job", "torn.png").code == 0
    assert of(torn, "waived") == {"a/torn.png", "b/torn.png"}
    ended = torn.cli("waive", "job", "/a/*.png", "none.*", "--json")
    assert (ended.code, ended.summary["waived"]) == (0, 2)
    assert torn.cli("waive", "job", "[c]/odd.png").code == 0, (
        "a path is taken as it is before it is a pattern"
    )
    assert torn.run().code == 0
    torn.check_promises()


def test_a_path_is_that_file_alone(torn: World) -> None:
    """A path of the list is no pattern for others of the same name, however it is written."""
    assert torn.cli("waive", "job", "a/torn.png", str(torn.folder / "b" / "torn.png")).code == 0
    assert of(torn, "waived") == {"a/torn.png", "b/torn.png"}
    assert of(torn, "rejected") == {"a/other.png", "[c]/odd.png"}


def test_retry_takes_patterns(torn: World) -> None:
    """Only what they name is tried again; without any, everything is."""
    torn.picture("a/torn.png", 77)
    ended = torn.cli("retry", "job", "a/", "--json")
    assert (ended.code, ended.summary["retried"]) == (0, 2)
    assert of(torn, "pending") == {"a/torn.png", "a/other.png"}
    assert torn.run().code == 3
    assert "a/torn.png" in of(torn, "sent")
    assert torn.cli("retry", "job", "--json").summary["retried"] == 4


@pytest.mark.parametrize("command", ["waive", "retry"])
@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing*", "matches no file"),
        ("p0*.png", "matches no file"),
        ("p0000.png", "is sent"),
        ("!", "Patterns are written as in .gitignore"),
    ],
)
def test_a_pattern_that_matches_nothing_is_an_error(torn: World, command: str, name: str, said: str) -> None:
    """Also where it matches only files that were sent; and what stands beside it is not decided on either."""
    before = torn.states()
    ended = torn.cli(command, "job", "torn.png", name)
    assert (ended.code, said in ended.err) == (2, True), ended.err
    assert torn.states() == before


def test_the_reason_of_a_waiver_goes_on_record(torn: World) -> None:
    """With the person's name: in the event, in the list of files, in words and for programs; `verify` agrees."""
    assert torn.cli("waive", "job", "torn.png", "--reason", "blurred, says Ann").code == 0
    assert torn.cli("waive", "job", "none.png").code == 0
    with torn.ledger() as ledger:
        waived = [event.facts for event in ledger.events.history(torn.job().id, "file_waived")]
    assert [facts.get("why") for facts in waived] == ["blurred, says Ann"] * 2 + [None]
    told = torn.cli("files", "job", "--state", "waived").out.splitlines()
    assert len(told) == 3
    assert sum(f"waived by {author()}: blurred, says Ann)" in line for line in told) == 2
    assert sum(line.endswith(f"waived by {author()})") for line in told) == 1
    facts = {line["path"]: line for line in torn.cli("files", "job", "--json").lines}
    assert facts["b/torn.png"]["decided_by"] == author()
    assert facts["b/torn.png"]["decided_why"] == "blurred, says Ann"
    assert facts["p0000.png"]["decided_by"] is facts["p0000.png"]["decided_why"] is None
    assert "blurred, says Ann" in torn.cli("report", "job", "--format", "json").out
    assert torn.cli("verify", "job", "--no-files", "--offline").code == 0
    assert torn.cli("waive", "job", "odd.png", "--reason", "two\nlines").code == 2


def test_files_lists_several_states(torn: World) -> None:
    """Named one by one or with commas; an unknown one is a usage error that names the known ones."""
    one = torn.cli("files", "job", "--state", "rejected,empty", "--json").lines
    assert {line["state"] for line in one} == {"rejected", "empty"}
    assert one == torn.cli("files", "job", "--state", "rejected", "--state", "empty", "--json").lines
    assert (
        len(torn.cli("files", "job", "--state", "rejected, empty", "--state", "sent", "--json").lines) == 11
    )
    ended = torn.cli("files", "job", "--state", "rejected,lost")
    assert (ended.code, "'lost'" in ended.err, "unreadable" in ended.err) == (2, True, True)


def test_what_is_skipped_names_the_option(world: World) -> None:
    """A file that `--on-rejected skip` leaves out says so."""
    world.pictures(1)
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run("--on-rejected", "skip").code == 0
    assert "waived by --on-rejected skip" in world.cli("files", "job", "--state", "waived").out


def test_a_waiver_can_be_taken_back(world: World) -> None:
    """By naming the file to `retry`; the record holds both decisions, and a filter's waiver is the filter's."""
    world.pictures(3)
    broken = world.picture("broken.png")
    broken.write_bytes(b"no picture")
    assert world.run().code == 3
    job_id = world.job().id
    assert world.cli("waive", job_id, "broken.png").code == 0
    again = world.cli("waive", job_id, "broken.png")
    assert again.code == 2
    assert f"is waived already; `vl-ingest retry {job_id} broken.png" in again.err
    assert "0 files will be tried again" in world.cli("retry", job_id).out
    assert "1 file will be tried again" in world.cli("retry", job_id, "broken.png").out
    world.picture("broken.png", 99)
    assert world.run("--exclude", "broken.png").code == 0
    assert world.states() == {
        "p0000.png": "sent",
        "p0001.png": "sent",
        "p0002.png": "sent",
        "broken.png": "waived",
    }
    assert world.cli("verify", job_id).code == 0


def test_a_filters_waiver_is_taken_back_by_the_filter(world: World) -> None:
    """`retry` says so, and queues nothing."""
    world.pictures(2)
    world.box.add_fault("upload:400")
    assert world.run().code != 0
    world.box.clear_faults()
    world.box.add_fault("trigger:403")
    assert world.run("--exclude", "p0001.png").code == 7
    ended = world.cli("retry", "job", "p0001.png")
    assert ended.code == 2
    assert (
        "p0001.png is left out by --exclude p0001.png: run the job without that filter to send it."
        in ended.err
    )


def test_a_job_at_work_is_not_exported(world: World) -> None:
    """Whoever continued the copy would send the same files again; between two runs it can be moved."""
    world.pictures(6)
    world.box.add_fault("upload:slow:seconds=60")
    process = world.start()
    world.until(lambda: "in_flight" in world.states_by_now(), "the run is at work", process)
    copy = world.place / "copy.db"
    ended = world.cli("export", "job", str(copy))
    assert (ended.code, copy.exists()) == (11, False)
    assert "is held by run 1" in ended.err
    process.kill()
    process.communicate()
    assert world.cli("export", "job", str(copy)).code == 0


def test_a_path_is_taken_as_it_is_listed(world: World) -> None:
    """Also one that can't be printed as it is."""
    world.pictures(1)
    (world.folder / "new\nline.png").write_bytes(b"no picture")
    assert world.run().code == 3
    listed = world.cli("files", "job", "--state", "rejected").out.split("  ")[-2].strip()
    assert listed == "new\\nline.png"
    assert world.cli("waive", "job", listed).code == 0
