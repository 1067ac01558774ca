"""What a new user runs into: a disk that is away, a server that never answers, a killed run, a slip in a name."""

import shlex
import sys
from pathlib import Path

import pytest

from world import PATIENCE_S, World


@pytest.mark.parametrize(
    "address",
    ["http://127.0.0.1:9", "https://{}", "http://no-such-host.invalid"],
    ids=["refused", "no TLS", "no name"],
)
def test_a_server_that_has_never_answered_is_given_up_soon(world: World, address: str) -> None:
    """The address is more likely wrong than the server away: exit 5 after --first-contact, with what to check."""
    world.pictures(1)
    url = address.format(world.box.url.removeprefix("http://"))
    ended = world.run("--base-url", url, "--first-contact", "1s")
    assert ended.code == 5
    assert f"Could not reach {url} for 1 s" in ended.err
    assert "never answered" in ended.err
    assert "doctor" in ended.err
    assert "works again" not in ended.err


def test_a_proxy_that_is_not_there_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy of the environment may be what is wrong."""
    world.pictures(1)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    ended = world.run("--base-url", "http://vl.example", "--first-contact", "1s")
    assert ended.code == 5
    assert "through the proxy http://127.0.0.1:9" in ended.err


def test_from_the_first_answer_on_patience_is_long(world: World) -> None:
    """A server that answers, if only with 503, is there: --give-up-after counts, also in the next run."""
    world.pictures(1)
    world.box.add_fault("create:503:times=1")
    with_answer = world.run("--first-contact", "0s", "--give-up-after", "1s")
    assert with_answer.code == 0, with_answer.err
    world.box.add_fault("create:503:times=1")
    assert world.run("--give-up-after", "0s", name="other").code == 5
    with world.box.offline():
        ended = world.run("--first-contact", "0s", "--give-up-after", "1s", name="other")
    assert "never answered" not in ended.err


def test_a_disk_that_is_not_mounted_ruins_nothing(world: World) -> None:
    """Files wait as they were, one sentence says what is the matter, and the same command goes on when it is back."""
    world.pictures(40)
    world.box.add_fault("upload:403:after=2")
    assert world.run("--workers", "1").code == 7
    world.box.clear_faults()
    away = world.place / "away"
    world.folder.rename(away)
    world.folder.mkdir()
    ended = world.run()
    assert ended.code == 3
    assert "is its disk mounted?" in ended.err
    assert set(world.states().values()) == {"sent", "pending"}
    world.folder.rmdir()
    away.rename(world.folder)
    assert world.run().code == 0
    world.check_promises()


@pytest.mark.parametrize("replaced", [False, True], ids=["gone", "an empty mount point in its place"])
def test_a_disk_that_drops_while_it_is_sent_takes_no_file_away(world: World, *, replaced: bool) -> None:
    """One sentence says so, no file is missing and none is offered to be waived, and the same command goes on."""
    world.pictures(40)
    world.box.add_fault("upload:slow:seconds=120")
    away = world.place / "away"
    with world.start("--workers", "1") as process:
        world.until(world.box.record.files, "a batch is on its way", process)
        world.folder.rename(away)
        if replaced:
            world.folder.mkdir()
        world.box.clear_faults()
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 3, said
    assert "has vanished since this run began" in said
    assert "waive" not in said
    assert "missing" not in said.replace("marked as missing", "")
    assert "missing" not in world.states().values()
    if replaced:
        world.folder.rmdir()
    away.rename(world.folder)
    assert world.run().code == 0
    world.check_promises()


def test_a_missing_file_that_is_there_again_joins(world: World) -> None:
    """No word of anybody's is needed for that; one that stays away holds the job."""
    first, second, *_ = world.pictures(4)
    world.box.add_fault("upload:403:times=1")
    assert world.run().code == 7
    for path in (first, second):
        path.rename(world.place / path.name)
    assert world.run().code == 3
    assert sorted(world.states().values()) == ["missing", "missing", "sent", "sent"]
    (world.place / first.name).rename(first)
    assert world.run().code == 3
    assert world.states()[first.name] == "sent"
    assert "file_found_again" in world.kinds()
    (world.place / second.name).rename(second)
    assert world.run().code == 0
    world.check_promises()


def test_people_are_told_the_first_files_only_and_where_the_others_are(world: World) -> None:
    """Thousands of bad files are no thousands of lines; the command that is named lists them."""
    for index in range(30):
        (world.folder / f"{index:02}.png").touch()
    world.picture("good.png")
    ended = world.run()
    assert ended.code == 3
    assert ended.err.count("has no bytes") == 20 + 5, "twenty as they are met, five at the end"
    assert "vl-ingest files" in ended.err
    assert "--state empty" in ended.err
    assert len([line for line in ended.lines if line["type"] == "file_error"]) == 30


def test_a_server_that_never_answered_is_waited_for_in_two_lines(world: World, tmp_path: Path) -> None:
    """With its address, and the command of trouble is called; the rest of the attempts is silent."""
    world.pictures(1)
    note = tmp_path / "note"
    command = shlex.join([sys.executable, "-c", f"open({str(note)!r}, 'w').close()"])
    ended = world.run("--base-url", "http://127.0.0.1:9", "--give-up-after", "3s", "--on-trouble", command)
    assert ended.code == 5
    assert ended.err.count("http://127.0.0.1:9: ") == 1
    assert ended.err.count("Waiting for the server") == 1
    assert note.exists()


def test_a_killed_run_is_not_called_at_work(world: World) -> None:
    """The process is asked for, not only the clock: `--watch` ends, and the next step is named."""
    world.box.add_fault("upload:hang")
    world.pictures(2)
    with world.start() as process:
        world.until(lambda: "in_flight" in world.states_by_now(), "a batch is on its way", process)
        assert "at work" in world.cli("status", "job").out
        process.kill()
    shown = world.cli("status", "job", "--watch").out
    assert "at work" not in shown
    assert "vl-ingest resume" in shown
    assert shown.splitlines()[-1] == world.cli("status", "job").out.splitlines()[-1], (
        "with the same `--ledger`"
    )


def test_a_slip_in_the_folder_does_not_take_the_name(world: World) -> None:
    """A job that never got as far as the server gives way to another folder."""
    slip = world.place / "slip"
    slip.mkdir()
    assert world.cli("run", str(slip), "--name", "job", "--base-url", world.box.url).code == 2
    world.pictures(1)
    assert world.run().code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["report", "job", "--output", "x.xlsx"], "--format"),
        (["verify", "job", "--offline", "--head", "3d4c510d"], "whole hash"),
    ],
)
def test_what_can_only_be_a_slip_is_refused(world: World, arguments: list[str], said: str) -> None:
    """With what was meant."""
    world.pictures(1)
    assert world.run().code == 0
    ended = world.cli(*arguments)
    assert ended.code == 2
    assert said in ended.err


def test_a_finished_job_run_again_quietly_says_nothing(world: World) -> None:
    """A nightly run that has nothing to do sends no mail."""
    world.pictures(1)
    assert world.run().code == 0
    arguments = [argument for argument in world.arguments("--quiet") if argument != "--json"]
    ended = world.cli(*arguments)
    assert (ended.code, ended.err) == (0, "")
