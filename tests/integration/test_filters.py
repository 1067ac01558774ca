"""Filters: what they leave out, what they let in, and what they mean for the files of earlier runs."""

import os
import time
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, assume, given
from hypothesis import strategies as st

from vl_ingest import job as jobs
from vl_ingest.domain.choices import OnRejected
from vl_ingest.domain.errors import VlIngestError
from vl_ingest.domain.model import WAIVABLE, Facts, FileState, Found
from vl_ingest.domain.opening import OpenedFile
from vl_ingest.domain.settings import Settings
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.tables import files
from vl_ingest.proof.verify import verify_record
from vl_ingest.server.api import Api
from vl_ingest.server.tokens import Tokens
from vl_ingest.source.folder import Folder
from vl_ingest.upload.choice import Choice, apply_filters, scanner_of
from vl_ingest.upload.preview import WRONG_TYPE, Previewer
from world import World

PRIVATE = ("--exclude", "private/")


def of(world: World, state: str) -> set[str]:
    """Return the paths of the files in one state."""
    return {path for path, known in world.states().items() if known == state}


def failing(world: World) -> list[str]:
    """Return the checks of the record that don't hold."""
    with world.ledger() as ledger:
        return [check.text for check in verify_record(ledger, world.job().id) if check.held is False]


@pytest.fixture
def begun(world: World) -> World:
    """Return a world whose first run, without filters, found six files and sent none."""
    world.pictures(3)
    for number in range(3):
        world.picture(f"private/{number}.png", 50 + number)
    with world.box.offline():
        assert world.run("--give-up-after", "0.1s").code == 5
    assert set(world.states().values()) == {"pending"}
    return world


def test_a_filter_given_later_counts(begun: World) -> None:
    """What a second run's filter leaves out is waived by the filter, with its words, and not sent; the plan says the same."""
    plan = begun.run("--dry-run", *PRIVATE)
    assert (plan.code, plan.summary["files"], plan.summary["gone"]) == (0, 3, 0)
    assert plan.summary["filtered_out"] == {"--exclude private/": 3}
    ended = begun.run(*PRIVATE)
    assert ended.code == 0, ended.err
    assert ended.err.count("Left out now: 3 files of earlier runs (--exclude private/).") == 1
    assert {name for name, _, _ in begun.held()} == {f"p{number:04}.png" for number in range(3)}
    begun.check_promises()
    lines = begun.cli("files", "job", "--state", "waived", "--json").lines
    assert {line["path"] for line in lines} == {f"private/{number}.png" for number in range(3)}
    assert {(line["decided_by"], line["decided_why"]) for line in lines} == {("filter", "--exclude private/")}
    assert "waived by filter: --exclude private/" in begun.cli("files", "job").out
    assert "--exclude private/" in begun.cli("report", "job", "--format", "json").out


def test_many_files_are_one_event_with_its_run(begun: World) -> None:
    """It has the filter, how many, and a digest of their rows."""
    assert begun.run(*PRIVATE).code == 0
    with begun.ledger() as ledger:
        (event,) = ledger.events.history(begun.job().id, "files_filtered_out")
        run = ledger.runs.last(begun.job().id)
    assert run is not None
    assert event.run_id == run.id
    assert (event.facts["filter"], event.facts["files"]) == ("--exclude private/", 3)


def test_what_a_filter_waived_joins_again(begun: World) -> None:
    """When a later run's filters let it in, it is pending and is sent, as it is on disk then."""
    begun.box.add_fault("trigger:403")
    assert begun.run(*PRIVATE).code == 7
    begun.box.clear_faults()
    begun.picture("private/1.png", 500)
    plan = begun.run("--dry-run", "--exclude", "private/0.png")
    assert (plan.summary["files"], plan.summary["let_in"]) == (2, {"--exclude private/": 2})
    ended = begun.run("--exclude", "private/0.png")
    assert ended.code == 0
    assert "No longer left out: 2 files of earlier runs (--exclude private/)." in ended.err
    assert of(begun, "waived") == {"private/0.png"}
    assert len(begun.held()) == 5
    begun.check_promises()


def test_what_a_person_waived_no_filter_undoes(world: World) -> None:
    """It stays waived, with the person's name, under filters that leave it out and that let it in."""
    world.pictures(2)
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run().code == 3
    assert world.cli("waive", "job", "torn.png", "--reason", "blurred").code == 0
    world.box.add_fault("trigger:403")
    for options in (["--exclude", "torn.png"], []):
        assert world.run(*options).code == 7
        line = world.cli("files", "job", "--state", "waived", "--json").summary
        assert (line["path"], line["decided_why"]) == ("torn.png", "blurred")
    world.box.clear_faults()
    assert world.run().code == 0
    world.check_promises()


def test_what_is_sent_stays_sent_and_is_said_once(world: World) -> None:
    """A filter takes nothing out of the dataset: the run says how many files that concerns, and the plan too."""
    world.pictures(2)
    world.picture("private/a.png", 7)
    world.box.add_fault("trigger:403")
    assert world.run().code == 7
    world.box.clear_faults()
    assert world.run("--dry-run", *PRIVATE).summary["sent_but_left_out"] == 1
    ended = world.run(*PRIVATE)
    said = "Already in the dataset, though the filters now leave it out: 1 file."
    assert (ended.code, ended.err.count(said)) == (0, 1), ended.err
    assert set(world.states().values()) == {"sent"}
    assert said in world.run("--exclude", "private/", "--no-wait").err, "also when all is done"
    world.check_promises()


def test_a_file_that_can_not_be_sent_holds_nothing_once_it_is_filtered_out(world: World) -> None:
    """Missing, empty, rejected and unreadable ones are waived by the filter; let in again, they are tried again."""
    world.pictures(6)
    for name in ("empty.png", "torn.png"):
        (world.folder / "bad").mkdir(exist_ok=True)
        (world.folder / "bad" / name).write_bytes(b"" if name == "empty.png" else b"no picture")
    (world.folder / "bad" / "dangling.png").symlink_to("nowhere")
    world.picture("bad/folder.png", 8)
    with world.box.offline():
        assert world.run("--give-up-after", "0.1s").code == 5
    (world.folder / "bad" / "folder.png").unlink()
    (world.folder / "bad" / "folder.png").mkdir()
    assert world.run("--workers", "1").code == 3
    assert of(world, "rejected") | of(world, "missing") | of(world, "empty") | of(world, "unreadable") == {
        f"bad/{name}.png" for name in ("empty", "torn", "dangling", "folder")
    }
    world.box.add_fault("trigger:403")
    assert world.run("--dry-run", "--exclude", "bad/").code == 0
    assert world.run("--exclude", "bad/").code == 7, "nothing holds the trigger"
    world.box.clear_faults()
    assert len(of(world, "waived")) == 4
    assert failing(world) == []
    assert world.run("--dry-run").code == 3
    assert world.run().code == 3
    assert failing(world) == []
    assert world.run("--exclude", "bad/").code == 0
    world.check_promises()


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE files SET state = 'waived', decided_by = 'filter', decided_why = '--exclude private/' WHERE path = 'p0001.png'",
        "UPDATE files SET decided_by = 'filter', decided_why = '--exclude private/' WHERE path = 'torn.png'",
        "UPDATE files SET decided_why = '--exclude other/' WHERE path = 'private/0.png'",
        "UPDATE files SET size_bytes = size_bytes + 1 WHERE path = 'private/0.png'",
        "UPDATE files SET path = 'private/9.png' WHERE path = 'private/0.png'",
        "UPDATE files SET decided_by = 'eve@home' WHERE path = 'torn.png'",
        "UPDATE files SET decided_why = 'because' WHERE path = 'torn.png'",
        "UPDATE files SET reason = 'because' WHERE path = 'private/0.png'",
    ],
)
def test_who_waived_what_can_not_be_changed_unseen(begun: World, statement: str) -> None:
    """`verify` holds the rows of waived files against the events, before the upload has ended too."""
    (begun.folder / "torn.png").write_bytes(b"no picture")
    assert begun.run(*PRIVATE).code == 3
    assert begun.cli("waive", "job", "torn.png", "--reason", "blurred").code == 0
    assert failing(begun) == []
    with begun.ledger() as ledger, ledger.db.write() as connection:
        connection.execute(sa.text(statement))
    assert failing(begun) != []


def test_a_list_is_a_filter_too(begun: World) -> None:
    """Files of an earlier run that the list does not name are not sent."""
    listed = begun.place / "list"
    listed.write_text("p0001.png\nprivate/1.png\n")
    assert begun.run("--dry-run", "--files-from", str(listed)).summary["files"] == 2
    assert begun.run("--files-from", str(listed)).code == 0
    assert of(begun, "sent") == {"p0001.png", "private/1.png"}
    assert len(of(begun, "waived")) == 4
    begun.check_promises()


def test_all_that_is_known_may_be_filtered_out(begun: World) -> None:
    """Then there is nothing to send: no dataset is made, and nobody asks for a disk that is there."""
    assert begun.run("--dry-run", "--exclude", "*").code == 2
    ended = begun.run("--exclude", "*")
    assert (ended.code, "mounted" in ended.err) == (2, False)
    assert begun.box.record.datasets() == []
    assert begun.run().code == 0
    assert len(begun.held()) == 6
    begun.check_promises()


def test_a_mistyped_filter_starts_no_processing(world: World) -> None:
    """Where files were sent, it would be started with these alone, and could not be taken back."""
    world.pictures(6)
    world.box.add_fault("upload:500:name=p0005.png")
    assert world.run("--workers", "1", "--batch-size", "1", "--give-up-after", "0.1s").code == 5
    world.box.clear_faults()
    sent = of(world, "sent")
    assert 0 < len(sent) < 6
    for how in ([], ["--dry-run"]):
        ended = world.run("--include", "*.ngp", *how)
        assert ended.code == 2
        assert "what was sent as well" in ended.err
    listed = world.place / "list"
    listed.write_text("".join(f"p{number:04}.png\n" for number in range(6)))
    for how in ([], ["--dry-run"]):
        assert world.run("--include", "*.ngp", "--files-from", str(listed), *how).code == 2
    assert of(world, "sent") == sent
    assert world.job().state == "transaction_open"
    assert "vl-ingest run" in world.cli("status", "job").out, "to resume would keep the filter"
    assert world.run().code == 0
    assert len(world.held()) == 6
    world.check_promises()


def test_a_folder_that_is_empty_is_not_blamed_on_the_filters(world: World) -> None:
    """A disk may have dropped; the plan says the same."""
    world.pictures(3)
    world.picture("private/one.png", 9)
    world.box.add_fault("trigger:403")
    assert world.run("--exclude", "private/").code == 7
    world.box.clear_faults()
    for how in ([], ["--dry-run"]):
        assert world.run("--include", "private/*.gif", *how).code == 2
    world.folder.rename(world.place / "away")
    world.folder.mkdir()
    for how in ([], ["--dry-run"]):
        ended = world.run("--include", "private/", *how)
        assert ended.code == 3
    assert "is its disk mounted?" in world.run("--include", "private/").err


def test_an_empty_folder_holds_though_a_filter_is_given(begun: World) -> None:
    """Files that the filter lets in should be there: the plan and the run both ask for the disk."""
    begun.folder.rename(begun.place / "away")
    begun.folder.mkdir()
    plan = begun.run("--dry-run", *PRIVATE)
    assert (plan.code, plan.summary["vanished"]) == (3, True)
    ended = begun.run(*PRIVATE)
    assert (ended.code, "mounted" in ended.err) == (3, True)


def test_a_link_to_a_folder_counts_as_that_folder_whatever_is_filtered(world: World) -> None:
    """Leaving out the folder does not bring its files in under the link's name."""
    world.pictures(1)
    world.picture("trip/one.png", 1)
    world.picture("trip/day/two.png", 2)
    (world.folder / "loop-link").symlink_to("trip")
    (world.folder / "deep-link").symlink_to("trip/day")
    assert world.run("--dry-run").summary["files"] == 3
    assert world.run("--dry-run", "--exclude", "trip/").summary["files"] == 1
    ended = world.run("--exclude", "trip/")
    assert ended.code == 0
    assert set(world.states()) == {"p0000.png"}
    assert ended.summary["left_out"] == {"excluded": 1, "links to folders that are in it anyway": 2}


def sized(world: World) -> None:
    """Write pictures of 100 bytes, 1000 and 3000, the last of them three days old, and an empty file."""
    for name, size in (("small", 100), ("middle", 1000), ("large", 3000)):
        path = world.picture(f"{name}.png")
        with path.open("ab") as file:
            file.write(bytes(size - path.stat().st_size))
    three_days_ago = time.time() - 3 * 86400
    os.utime(world.folder / "large.png", (three_days_ago, three_days_ago))
    (world.folder / "empty.png").touch()


FACTS: list[Any] = [
    (["--min-size", "1000"], {"middle.png", "large.png"}),
    (["--min-size", "1K"], {"large.png"}),
    (["--min-size", "1", "--max-size", "1000"], {"small.png", "middle.png"}),
    (["--min-size", "1", "--newer-than", "2d"], {"small.png", "middle.png"}),
    (["--min-size", "1", "--newer-than", "4d"], {"small.png", "middle.png", "large.png"}),
]


@pytest.mark.parametrize(("options", "expected"), FACTS)
@pytest.mark.parametrize("known", [False, True], ids=["at first", "given later"])
def test_size_and_age_decide(world: World, options: list[str], expected: set[str], known: bool) -> None:
    """In bytes and in time before now, for new files and for those that an earlier run knows; an empty one is left out."""
    sized(world)
    if known:
        with world.box.offline():
            assert world.run("--give-up-after", "0.1s").code == 5
    assert world.run("--dry-run", *options).summary["files"] == len(expected)
    assert world.run(*options).code == 0
    assert of(world, "sent") == expected
    assert len(of(world, "waived")) == (4 - len(expected) if known else 0)
    world.check_promises()


def test_a_known_file_is_filtered_by_its_size_on_disk(begun: World) -> None:
    """Not by that of the earlier run."""
    with (begun.folder / "p0001.png").open("ab") as file:
        file.write(bytes(5000))
    assert begun.run("--min-size", "5000").code == 0
    assert of(begun, "sent") == {"p0001.png"}


def test_time_that_passes_leaves_no_more_files_out(world: World) -> None:
    """`--newer-than` counts back from when the job was told it, so the same command goes on with the same files."""
    path = world.pictures(2)[0]
    with world.box.offline():
        assert world.run("--newer-than", "1h", "--give-up-after", "0.1s").code == 5
    with world.ledger() as ledger:
        told_at = next(ledger.events.history(world.job().id, "job_created")).at.timestamp()
    os.utime(path, (told_at - 3600 + 0.5, told_at - 3600 + 0.5))  # just new enough, then
    while time.time() < told_at + 1:
        time.sleep(0.05)
    assert world.run("--newer-than", "1h", "--dry-run").summary["files"] == 2
    assert world.run("--newer-than", "1h").code == 0
    assert set(world.states().values()) == {"sent"}


def test_a_missing_file_that_is_there_again_is_in_the_plan(world: World) -> None:
    """The run sends it without a `retry`, so the plan counts it; one that is still missing holds both."""
    world.pictures(2)
    for name in ("back.png", "gone.png"):
        (world.folder / name).symlink_to("nowhere")
    assert world.run().code == 3
    (world.folder / "back.png").unlink()
    world.picture("back.png", 9)
    plan = world.run("--dry-run")
    assert (plan.code, plan.summary["files"], plan.summary["doubts"]) == (3, 1, {"missing": 1})
    assert world.run().code == 3
    assert (of(world, "missing"), len(of(world, "sent"))) == ({"gone.png"}, 3)


def test_patterns_from_a_file_are_read_at_each_run(begun: World) -> None:
    """They are known as the file's in the record; `resume` reads the file again, and its name is kept in full."""
    patterns = begun.place / "patterns"
    patterns.write_text("# not these\n\nprivate/\r\n!private/2.png\n", encoding="utf-8")
    begun.box.add_fault("trigger:403")
    with_file = ("--exclude-from", os.path.relpath(patterns))
    assert begun.run(*with_file).code == 7
    assert of(begun, "waived") == {f"private/{number}.png" for number in range(3)}
    why = begun.cli("files", "job", "--state", "waived", "--json").summary["decided_why"]
    assert why == f"--exclude-from {patterns}: private/"
    assert begun.job().settings["exclude_from"] == [str(patterns)]
    begun.box.clear_faults()
    patterns.write_text("\ufeff*/2.png\n", encoding="utf-8")
    assert begun.cli("resume", "job").code == 0
    assert of(begun, "waived") == {"private/2.png"}
    begun.check_promises()
    assert begun.run("--exclude-from", "nowhere").code == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--min-size", "2K", "--max-size", "1K"], "--max-size"),
        (["--min-size", "big"], "not a size"),
        (["--newer-than", "yesterday"], "not a duration"),
        (["--exclude", "!"], "Patterns are written as in .gitignore"),
    ],
)
def test_filters_that_can_not_be_are_usage_errors(world: World, options: list[str], said: str) -> None:
    """In words that say how they are written, by the plan too."""
    world.pictures(1)
    for more in ([], ["--dry-run"]):
        ended = world.run(*options, *more)
        assert (ended.code, said in ended.err) == (2, True), ended.err


def test_a_million_known_files_take_no_query_each(tmp_path: Path, world: World) -> None:
    """As many statements for three thousand files as for three hundred; they are read and recorded together."""
    counts = []
    for number in (300, 3000):
        with Ledger(tmp_path / f"{number}.db", create=True) as ledger:
            job = ledger.jobs.get_or_create(str(world.folder), "job", "http://server", Settings().to_record())
            run = ledger.runs.take(job.id, "host", 1, "test")
            names = [f"{'private' if index % 2 else 'open'}/{index}.png" for index in range(number)]
            ledger.files.add(run, [Found(name, Facts(10, 10)) for name in names])
            seen = statements(ledger)
            context = _Context(ledger, job, run)
            with closing(
                scanner_of(Folder(str(world.folder)), Settings(exclude=("private/",)), ledger, job)
            ) as scanner:
                choice = Choice()
                apply_filters(context, scanner, choice, ledger.files.last_id(job.id))  # type: ignore[arg-type]
            assert choice.out == {"--exclude private/": number // 2}
            assert ledger.files.counts(job.id)[FileState.WAIVED] == number // 2
            counts.append(len(seen))
    assert counts[0] == counts[1]
    assert counts[0] < 40


def statements(ledger: Ledger) -> list[str]:
    """Return the statements that the ledger executes from now on."""
    seen: list[str] = []
    engine = ledger.db._engine  # only there can they be seen
    sa.event.listen(engine, "before_cursor_execute", lambda _c, _u, text, *_: seen.append(text))
    return seen


class _Context:
    """As much of a run as the filters ask for."""

    def __init__(self, ledger: Ledger, job: Any, run: Any) -> None:
        self.ledger, self.job, self.run = ledger, job, run
        self.cancel_token = self

    def raise_if_cancelled(self) -> None:
        """Nobody cancels it."""


class Watched(Folder):
    """A folder that notes what is opened, in `OPENED`."""

    def open(self, path: str) -> OpenedFile:
        """Open it and note it."""
        opened = super().open(path)
        OPENED.append(path)
        return opened


OPENED: list[str] = []
LISTED = "a.png\ntrip/a.png\n.hidden/a.png\n"

PATHS = st.sampled_from(
    [f"{name}.png" for name in ("a", "b", "private/a", "trip/a", "trip/private/c", ".hidden/a")]
)
KINDS = st.sampled_from(["picture", "large", "old", "torn", "empty", "dangling", "gone"])
TREES = st.dictionaries(PATHS, KINDS, max_size=6)
GLOBS = ("private/", "a.png", "/trip", "trip/*", "!private/", "!trip/a.png", "*")
FILTERS = st.fixed_dictionaries(
    {},
    optional={
        "exclude": st.lists(st.sampled_from(GLOBS), max_size=2),
        "include": st.lists(st.sampled_from(["a.png", "trip/"]), max_size=1),
        "recursive": st.just(False),
        "min_size_bytes": st.sampled_from([1, 2000]),
        "max_size_bytes": st.just(2000),
        "newer_than_s": st.just(86400.0),
        "files_from": st.just("list"),
    },
)


def written(world: World, tree: dict[str, str], *, before: bool) -> None:
    """Make the folder's files; what is `gone` is there only before the first run."""
    for color, (name, kind) in enumerate(sorted(tree.items())):
        path = world.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        if kind == "dangling":
            path.symlink_to("nowhere")
        elif kind in ("torn", "empty"):
            path.write_bytes(b"no picture" if kind == "torn" else b"")
        elif kind != "gone" or before:
            world.picture(name, color)
        if kind == "large":
            with path.open("ab") as file:
                file.write(bytes(3000))
        if kind == "old":
            os.utime(path, (10**9, 10**9))


def told(world: World, filters: dict[str, Any], **more: Any) -> Settings:
    """Return settings that leave as little as possible to chance."""
    record = {"workers": 1, "settle_s": 0.1, "give_up_after_s": 0.0, **filters, **more}
    if "files_from" in record:
        record["files_from"] = str(world.place / "list")
    return Settings.from_record(record)


def ran(world: World, ledger: Ledger, settings: Settings, *, again: bool = False) -> int:
    """Run the job; return the exit code."""
    api = Api(world.box.url, Tokens(None))
    try:
        jobs.run(ledger, api, Folder(str(world.folder)), "job", settings, new_transaction=again)
    except VlIngestError as error:
        return error.exit_code
    return 0


def rows(ledger: Ledger) -> dict[str, Any]:
    """Return path -> row of a file."""
    with ledger.db.read() as connection:
        return {row.path: row for row in connection.execute(sa.select(files))}


def filtered(known: dict[str, Any]) -> set[str]:
    """Return the paths of the files that a filter has waived."""
    return {path for path, row in known.items() if row.decided_by == "filter"}


@hypothesis.settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    tree=TREES, changes=TREES, first=FILTERS, second=FILTERS, offline=st.booleans(), on_rejected=st.sampled_from(OnRejected),
    again=st.booleans(),
)  # fmt: skip
def test_the_plan_and_the_run_find_the_same_files(
    world: World, tmp_path_factory: pytest.TempPathFactory, tree: dict[str, str], changes: dict[str, str],
    first: dict[str, Any], second: dict[str, Any], offline: bool, on_rejected: OnRejected, again: bool,
) -> None:  # fmt: skip
    """Over random folders, filters and ledgers: the same files go, are left out and hold, with the same exit code."""
    here = World(tmp_path_factory.mktemp("same"), world.box)
    (here.place / "list").write_text(LISTED)
    here.picture("good.png", 200)
    written(here, tree, before=True)
    source = Watched(str(here.folder))
    with Ledger(here.ledger_path, create=True) as ledger:
        world.box.add_fault("trigger:403")
        with world.box.offline() if offline else nullcontext():
            ran(here, ledger, told(here, first))
        world.box.clear_faults()
        written(here, tree | changes, before=False)
        settings = told(here, second, on_rejected=on_rejected)
        job = ledger.jobs.find_by_identity(source.address, "job", world.box.url)
        before = rows(ledger)
        previewer = Previewer(source, settings, ledger, job, world.box.url, new_transaction=again)
        OPENED.clear()
        troubles = {trouble.path: trouble.state for trouble in previewer.doubts(lambda _: None)}
        plan = previewer.plan
        planned = 2 if plan.is_empty(settings) else 3 if plan.holds(settings) else 0
        code = ran(here, ledger, settings, again=again)
        assume(code != 7)  # a first batch of torn pictures only
        if not planned and all(row.state == FileState.WAIVED for row in rows(ledger).values()):
            planned = 2  # the server rejected all that there was, which no plan can know
        assert code == planned, (troubles, plan)
        for job in ledger.jobs.all():  # none where there was nothing to send
            assert all(check.held is not False for check in verify_record(ledger, job.id))
        if plan.vanished:
            return
        after = rows(ledger)
        tried = {
            path
            for path, row in after.items()  # whoever sends a file is the first to see that it is gone
            if row.attempts > (before[path].attempts if path in before else 0)
            and row.state not in (FileState.MISSING, FileState.EMPTY)
        }
        assert sorted(OPENED) == sorted(tried)
        held = {path for path, row in after.items() if row.state in WAIVABLE and path not in tried}
        assert held == {path for path, state in troubles.items() if state != WRONG_TYPE}
        assert sum(plan.choice.out.values()) == len(filtered(after) - filtered(before))
        assert sum(plan.choice.in_again.values()) == len(filtered(before) - filtered(after))


def test_a_list_that_can_be_read_only_once_is_read_once(world: World) -> None:
    """The look before a job is made takes nothing from a pipe: every file that it names is sent."""
    names = [path.name for path in world.pictures(40)]
    reading, writing = os.pipe()
    os.write(writing, "".join(f"{name}\n" for name in names).encode())
    os.close(writing)
    try:
        ended = world.run("--files-from", f"/dev/fd/{reading}")
    finally:
        os.close(reading)
    assert ended.code == 0, ended.err
    assert set(world.states()) == set(names)


def test_a_list_that_has_become_empty_leaves_nothing_out(world: World) -> None:
    """A list that some command failed to write holds the job (3); only /dev/null says that nothing more is to be sent."""
    world.pictures(3)
    (world.folder / "torn.png").write_bytes(b"no picture")
    names = world.place / "names"
    names.write_text("p0000.png\np0001.png\ntorn.png\n")
    assert world.run("--files-from", str(names)).code == 3
    names.write_text("")
    for _ in range(2):
        assert world.run("--files-from", str(names)).code == 3
        assert world.states()["torn.png"] == "rejected"
    assert world.run("--files-from", os.devnull).code == 0


def test_the_record_names_the_filter_that_leaves_a_file_out_now(world: World) -> None:
    """Not the one of an earlier run, which is not in force any more; and the record stays whole."""
    world.pictures(3)
    world.box.add_fault("upload:400")
    assert world.run("--workers", "1").code != 0
    world.box.clear_faults()
    world.box.add_fault("trigger:403")
    assert world.run("--exclude", "p0001.png").code == 7
    world.box.clear_faults()
    assert world.run("--exclude", "p000[12].png").code == 0
    waived = {row.path: row.decided_why for row in world.files(FileState.WAIVED)}
    assert waived == {"p0001.png": "--exclude p000[12].png"}
    assert world.cli("verify", "job").code == 0


def test_the_report_says_once_that_a_file_is_waived(world: World) -> None:
    """`waived by filter: ...` says its state, too."""
    world.pictures(2)
    world.box.add_fault("upload:400")
    assert world.run().code != 0
    world.box.clear_faults()
    assert world.run("--exclude", "p0001.png").code == 0
    assert "  p0001.png: waived by filter: --exclude p0001.png" in world.cli("report", "job").out
