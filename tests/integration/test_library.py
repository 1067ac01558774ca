"""The library takes, refuses and does what the command takes, refuses and does."""

import json
import shutil
from collections.abc import Callable
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any

import click
import pytest

from vl_ingest import Ingest, Settings
from vl_ingest.cli.options import setting_options, settings_from
from vl_ingest.domain.settings import flag_of
from vl_ingest.errors import Differs, JobHeld, Refused, Stopped, UsageError, VlIngestError
from vl_ingest.ledger.lock import hold
from vl_ingest.model import FileState, OnUnknown
from world import World

TAKEN = {
    "batch_size": ["7", "1000", " 50 "],
    "batch_bytes": ["64M", "8 MB", "4096", "1.5GiB"],
    "workers": ["auto", "4", "64"],
    "processes": ["0", "2", "auto"],
    "dask": ["tcp://scheduler:8786", "scheduler:8786", "tls://[::1]:8786"],
    "remote_source": ["/data/photos"],
    "include": ["*.jpg"],
    "exclude": ["old/"],
    "min_size_bytes": ["0", "10K"],
    "max_size_bytes": ["2G"],
    "newer_than_s": ["7d", "0"],
    "on_rejected": ["hold", "skip"],
    "on_unknown": ["hold", "resend"],
    "settle_s": ["30s", "1.5", "0"],
    "give_up_after_s": ["24h"],
    "first_contact_s": ["2m"],
    "max_duration_s": ["6h"],
    "bwlimit": ["8M", "off", "08:00,1M 19:00,off"],
    "stall_after_s": ["0", "10m"],
    "add_bytes": ["1G", "4096"],
    "add_files": ["1", "20000"],
    "reindex": ["auto", "never"],
    "changed": ["hold", "send"],
    "path_field": ["original_path"],
    "folder_field": ["label 2"],
}
REFUSED = {
    "batch_size": ["0", "1001", "-1", "many", "1.5", ""],
    "batch_bytes": ["64X", "-1", "0", ""],
    "workers": ["0", "65", "few", "-3"],
    "processes": ["-1", "65", "none", "1.5"],
    "dask": ["", "scheduler", "tcp://scheduler"],
    "remote_source": ["photos", ""],
    "min_size_bytes": ["small", "-1"],
    "max_size_bytes": ["large"],
    "newer_than_s": ["yesterday", "-1"],
    "on_rejected": ["resend", "HOLD"],
    "on_unknown": ["skip", ""],
    "settle_s": ["soon", "-1s", "200000d"],
    "give_up_after_s": ["never"],
    "first_contact_s": ["1w"],
    "max_duration_s": ["x"],
    "bwlimit": ["fast", "1", "25:00,1M", "08:00,"],
    "stall_after_s": ["never"],
    "add_bytes": ["0", "64X"],
    "add_files": ["0", "20001", "many"],
    "reindex": ["perhaps"],
    "changed": ["never"],
    "path_field": ["", "a/b", " a"],
    "folder_field": ["a,b"],
}
NUMBERS: dict[str, list[Any]] = {
    "batch_size": [0, 1001, 2.5, True, None],
    "batch_bytes": [-1, 0, 1.5, None],
    "workers": [0, 65, 1.5, False],
    "processes": [-1, 65, 0.5, False],
    "min_size_bytes": [-1],
    "settle_s": [-1, float("nan"), float("inf"), None, True],
    "max_duration_s": [-0.5],
    "bwlimit": [1, 1.5, True],
    "wait": ["no", 1, None],
    "recursive": ["yes"],
    "include": [[1]],
}


def _each(table: dict[str, list[Any]]) -> list[tuple[str, Any]]:
    return [(field, value) for field, values in table.items() for value in values]


def _of_command(*arguments: str) -> Settings:
    """Return the settings that the command makes of its options."""
    command = click.command()(setting_options(lambda **values: settings_from(values)))
    settings: Settings = command.main(list(arguments), standalone_mode=False)
    return settings


@pytest.mark.parametrize(("field", "text"), _each(TAKEN))
def test_a_form_that_the_option_takes_is_taken_by_the_settings(field: str, text: str) -> None:
    """As text, and it is the same value then, of the same type."""
    ours: Settings = Settings(**{field: text})  # type: ignore[arg-type]  # a table
    theirs = _of_command(flag_of(field), text)
    assert ours == theirs
    assert type(getattr(ours, field)) is type(getattr(theirs, field))


@pytest.mark.parametrize(("field", "text"), _each(REFUSED))
def test_a_form_that_the_option_refuses_is_refused_by_the_settings(
    world: World, field: str, text: str
) -> None:
    """With the same words, as far as they go."""
    world.picture("a.png")
    with pytest.raises(UsageError) as caught:
        Settings(**{field: text})  # type: ignore[arg-type]  # a table
    ended = world.run(flag_of(field), text)
    assert ended.code == caught.value.exit_code == 2
    assert str(caught.value) in ended.err
    assert not world.box.record.files()


@pytest.mark.parametrize(("field", "value"), _each(NUMBERS))
def test_a_value_that_is_none_is_refused(field: str, value: object) -> None:
    """The error names the option, so one knows which of many it was."""
    with pytest.raises(UsageError, match=f"'{flag_of(field)}'"):
        Settings(**{field: value})  # type: ignore[arg-type]  # a table


def test_each_field_is_tried() -> None:
    """One that is added is added to the tables above; those without words of their own stand here."""
    paths, switches = (
        {"exclude_from", "files_from"},
        {"wait", "confirm", "recursive", "add", "skip_known_content"},
    )
    assert {field.name for field in fields(Settings)} == TAKEN.keys() | paths | switches
    assert TAKEN.keys() - REFUSED.keys() == {"include", "exclude"}
    options = {option for parameter in _options() for option in parameter.opts}
    assert {flag_of(field.name) for field in fields(Settings)} == options


def _options() -> list[click.Parameter]:
    return click.command()(setting_options(lambda **_values: None)).params


def test_paths_are_those_of_the_folder_where_they_were_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A job that goes on elsewhere still finds its lists, as with the command; a path may be a `Path`."""
    (tmp_path / "list").touch()
    monkeypatch.chdir(tmp_path)
    ours = Settings(files_from=Path("list"), exclude_from=["list"])
    assert ours == _of_command("--files-from", "list", "--exclude-from", "list")
    assert (ours.files_from, ours.exclude_from) == (str(tmp_path / "list"), (str(tmp_path / "list"),))
    assert Settings(exclude_from="list") == Settings(exclude_from=(str(tmp_path / "list"),))
    assert Settings(files_from="-").files_from == "-"


def test_a_rule_given_as_text_is_a_member() -> None:
    """The code compares it by identity: `hold` as text holds."""
    assert Settings(on_unknown="hold").on_unknown is OnUnknown.HOLD


class Twins:
    """One ledger twice: the command works on one, the library on the other."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.copy = world.place / "copy.db"
        with world.ledger() as ledger:
            assert ledger.jobs.all()
        shutil.copy(world.ledger_path, self.copy)
        self.ingest = Ingest(self.copy, base_url=world.box.url)

    def same(self, work: Callable[[Ingest], object], *command: str) -> object:
        """Do both; see that they end alike, with the same files and the same history, and return what the library gave."""
        result, code, text = None, 0, ""
        try:
            result = work(self.ingest)
        except VlIngestError as exc:
            code, text = exc.exit_code, str(exc).replace(str(self.copy), str(self.world.ledger_path))
        ended = self.world.cli(*command)
        assert (ended.code, text in self.world.plain(ended.err)) == (code, True), (text, ended)
        ours, theirs = self.ingest.find("job"), self.world.job()
        assert ours.state == theirs.state
        with self.world.ledger() as ledger:
            assert list(self.ingest.ledger.files.rows(ours.id)) == list(ledger.files.rows(theirs.id))
            history = [
                [(event.kind, event.facts, event.user) for event in book.events.history(ours.id)]
                for book in (self.ingest.ledger, ledger)
            ]
            assert history[0] == history[1]
        return result


@pytest.fixture
def held(world: World) -> World:
    """Return a world whose job is held by three files that are no pictures."""
    world.pictures(2)
    for name in ("torn.png", "scan1.jpg", "scan2.jpg"):
        (world.folder / name).write_bytes(b"no picture")
    assert world.run().code == 3
    return world


def test_waive_and_retry_are_those_of_the_command(held: World) -> None:
    """By name, by pattern, all of them, with a reason, and with every refusal."""
    twins = Twins(held)
    with twins.ingest:
        for name in ("nothing", "p0000.png"):
            twins.same(partial(_waive, name), "waive", "job", name)
        twins.same(lambda ingest: ingest.waive("job"), "waive", "job")
        both = twins.same(
            lambda ingest: ingest.waive("job", "a", everything=True), "waive", "job", "a", "--all"
        )
        assert both is None
        twins.same(
            lambda ingest: ingest.waive("job", "torn.png", reason="a\nb"),
            "waive",
            "job",
            "torn.png",
            "--reason",
            "a\nb",
        )
        twins.same(lambda ingest: ingest.waive("none", "torn.png"), "waive", "none", "torn.png")
        reason = ("--reason", "blurred")
        count = twins.same(
            lambda ingest: ingest.waive("job", "scan*.jpg", reason="blurred"),
            "waive",
            "job",
            "scan*.jpg",
            *reason,
        )
        assert count == 2
        assert twins.same(lambda ingest: ingest.retry("job", "torn.png"), "retry", "job", "torn.png") == 1
        assert twins.same(lambda ingest: ingest.retry("job", "torn.png"), "retry", "job", "torn.png") is None
        assert twins.same(lambda ingest: ingest.retry("job"), "retry", "job") == 0
        assert twins.same(lambda ingest: ingest.waive("job", everything=True), "waive", "job", "--all") == 0


def _waive(name: str, ingest: Ingest) -> int:
    return ingest.waive("job", name)


def test_cancel_is_that_of_the_command(held: World) -> None:
    """Once; a second time, and with a wrong patience, it is refused."""
    twins = Twins(held)
    with twins.ingest:
        twins.same(
            lambda ingest: ingest.cancel("job", patience="soon"), "cancel", "job", "--patience", "soon"
        )
        twins.same(lambda ingest: ingest.cancel("job"), "cancel", "job", "--yes")
        assert twins.ingest.find("job").state == "cancelled"
        twins.same(lambda ingest: ingest.cancel("job", patience=0), "cancel", "job", "--yes")


def test_a_decision_on_a_job_that_is_at_work_is_refused(held: World) -> None:
    """As everywhere: who holds the job decides."""
    with Ingest(held.ledger_path) as ingest, hold(ingest.ledger, held.job().id), held.ledger() as _ledger:
        with Ingest(held.ledger_path) as other, pytest.raises(JobHeld) as caught:
            other.waive("job", everything=True)
        ended = held.cli("waive", "job", "--all")
        assert (ended.code, str(caught.value) in held.plain(ended.err)) == (11, True)


@pytest.mark.parametrize("word", ["delivered", "not-delivered"])
def test_settle_is_that_of_the_command(world: World, word: Any) -> None:
    """Where nothing is unknown it is refused, and so is another word."""
    world.pictures(3)
    world.box.add_fault("upload:reset-after")
    settings = Settings(workers=1, on_unknown="hold", give_up_after_s="0s", settle_s="0.3s")
    with Ingest(world.ledger_path, base_url=world.box.url) as ingest, pytest.raises(VlIngestError):
        ingest.run(world.folder, "job", settings)
    assert set(world.states().values()) == {"unknown"}
    twins = Twins(world)
    with twins.ingest:
        twins.same(lambda ingest: ingest.settle("job", "perhaps"), "settle", "job")  # type: ignore[arg-type]  # it is none
        assert twins.same(lambda ingest: ingest.settle("job", word), "settle", "job", f"--{word}") == 3
        twins.same(lambda ingest: ingest.settle("job", word), "settle", "job", f"--{word}")
        twins.same(lambda ingest: ingest.settle("job", "began"), "settle", "job", "--began")


def test_files_and_events_are_those_of_the_command(held: World) -> None:
    """The same, in the same order, with the same choice; and the same refusals."""
    with Ingest(held.ledger_path) as ingest:
        for states in ([], ["sent"], ["rejected,sent"], [FileState.REJECTED, "sent"]):
            told = held.cli("files", "job", "--json", *(f"--state={state}" for state in states)).lines
            assert [row.path for row in ingest.files("job", *states)] == [row["path"] for row in told]
        for kinds in ([], ["batch_sent"], ["batch_sent", "run_ended"]):
            told = held.cli("events", "job", "--json", *(f"--kind={kind}" for kind in kinds)).lines
            assert [event.hash for event in ingest.events("job", *kinds)] == [row["hash"] for row in told]
        assert list(ingest.events("job", since="0s")) == []
        assert list(ingest.events("job", since=3600)) == list(ingest.events("job"))
        assert held.cli("retry", "job").code == 0
        assert held.cli("cancel", "job", "--yes").code == 0
        assert [event.kind for event in ingest.events("job", follow=True)][-1] == "job_cancelled"
        wrong: list[tuple[Callable[[], object], list[str]]] = [
            (lambda: ingest.files("job", "gone"), ["files", "job", "--state", "gone"]),
            (lambda: ingest.events("job", "batch_send"), ["events", "job", "--kind", "batch_send"]),
            (lambda: ingest.events("job", since="ever"), ["events", "job", "--since", "ever"]),
        ]
        _refused_alike(held, wrong)


def _refused_alike(world: World, wrong: list[tuple[Callable[[], object], list[str]]]) -> None:
    for work, command in wrong:
        with pytest.raises(UsageError) as caught:
            work()
        ended = world.cli(*command)
        assert (ended.code, str(caught.value) in ended.err) == (2, True), (str(caught.value), ended)


def test_reports_are_those_of_the_command(held: World) -> None:
    """In each form, by the file's ending too; `verify` holds them against the ledger."""
    with Ingest(held.ledger_path) as ingest:
        for form in ("text", "csv"):
            assert ingest.report("job", form=form) == held.cli("report", "job", "--format", form).out
        made = [
            json.loads(text)
            for text in (ingest.report("job", form="json"), held.cli("report", "job", "--json").out)
        ]
        for facts in made:
            del facts["generated_at"]
        assert made[0] == made[1]
        for ending in ("csv", "json", "html"):
            target = held.place / f"report.{ending}"
            assert ingest.report("job", target) == str(target)
            assert ingest.verify("job", report=target, offline=True)
        assert target.read_text(encoding="utf-8").startswith("<!doctype html>")
        wrong: list[tuple[Callable[[], object], list[str]]] = [
            (lambda: ingest.report("job", "report.pdf"), ["report", "job", "--output", "report.pdf"]),
            (lambda: ingest.report("job", form="pdf"), ["report", "job", "--format", "pdf"]),  # type: ignore[arg-type]  # none
            (
                lambda: ingest.report("job", held.place / "no" / "r.csv"),
                ["report", "job", "--output", str(held.place / "no" / "r.csv")],
            ),
        ]
        _refused_alike(held, wrong)


def test_verify_is_that_of_the_command(held: World) -> None:
    """Check by check, also where something differs: then both end with that."""
    head = held.job().event_head
    with Ingest(held.ledger_path) as ingest:
        for more, options in (
            ({}, []),
            ({"rehash": True, "head": head}, ["--rehash", "--head", str(head)]),
            ({"files": False, "offline": True}, ["--no-files", "--offline"]),
        ):
            told = held.cli("verify", "job", "--json", *options).lines
            assert [(c.name, c.held, c.text) for c in ingest.verify("job", **more)] == [
                (line["name"], line["held"], line["text"]) for line in told
            ]
        (held.folder / "p0000.png").write_bytes(b"other bytes")
        seen: list[str] = []
        differing: list[str] = []
        with pytest.raises(Differs) as caught:
            ingest.verify(
                "job", rehash=True, afresh=True, on_check=lambda check: seen.append(check.name),
                on_difference=lambda path, _reason: differing.append(path),
            )  # fmt: skip
        ended = held.cli("verify", "job", "--rehash", "--json")
        assert (ended.code, str(caught.value) in held.plain(ended.err)) == (3, True)
        assert seen == [line["name"] for line in ended.lines if line["type"] == "check"]
        assert differing == ["p0000.png"]
        _refused_alike(held, [(lambda: ingest.verify("job", head="abc"), ["verify", "job", "--head", "abc"])])


def test_the_look_before_a_new_job_can_be_stopped(world: World) -> None:
    """A folder without a file to send is looked through to its end, which may take long: not after a stop."""
    (world.folder / "notes.txt").write_text("x")
    with Ingest(world.ledger_path, base_url=world.box.url) as ingest:
        ingest.stop()
        with pytest.raises(Stopped):
            ingest.run(world.folder, "job")
        with pytest.raises(UsageError, match="Nothing to send"):
            ingest.run(world.folder, "job")


def test_add_is_that_of_the_command(world: World) -> None:
    """What is new goes into the dataset once, with the job's own settings or others; what a run raises is raised."""
    world.pictures(2)
    assert world.run("--reindex", "never").code == 0
    with Ingest(world.ledger_path, base_url=world.box.url) as ingest:
        world.picture("new.png", 99)
        assert [entry.files for entry in ingest.add("job").rounds] == [1]
        assert ingest.add("job").job.status == "PARTIAL INDEX", "as the job was told"
        world.picture("newer.png", 98)
        summary = ingest.add(ingest.find("job"), Settings(settle_s=0.3))
        assert (len(summary.rounds), summary.job.status) == (2, "READY")
        world.box.add_fault("add:403")
        world.picture("newest.png", 97)
        with pytest.raises(Refused):
            ingest.add("job")
    assert world.box.record.additions_accepted() == 2


def test_what_the_server_says_now(world: World) -> None:
    """The same as `status --live`: the dataset's status and its tasks, and nothing of it on record."""
    world.pictures(1)
    assert world.run("--no-wait").code == 0
    events = world.kinds()
    with Ingest(world.ledger_path, base_url=world.box.url) as ingest:
        live = ingest.live("job")
    assert live is not None
    told = json.loads(world.cli("status", "job", "--live", "--json").out.splitlines()[0])
    assert (
        [task.type for task in live.tasks]
        == ["DATASET_CREATION"]
        == [task["type"] for task in told["live"]["tasks"]]
    )
    assert world.kinds() == events
