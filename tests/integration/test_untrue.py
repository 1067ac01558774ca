"""What was once said and was not so: each message, from the real command, says what happened and no more."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from world import COMMAND, World, call


def told(world: World, *more: str) -> str:
    """Return all that the report tells of the job."""
    return " ".join(world.cli("report", "job", *more).out.split())


@pytest.mark.parametrize("fault", ["upload:500:times=1", "upload:503:times=1", "create:500:times=1"])
def test_an_answer_that_came_was_not_lost(world: World, fault: str) -> None:
    """A 500 or 503 is an answer; what there is not is a receipt."""
    world.pictures(3)
    world.box.add_fault(fault)
    ended = world.run()
    assert ended.code == 0
    everything = ended.err + told(world) + told(world, "--format", "html") + told(world, "--format", "json")
    assert not re.search("was lost|lost answer", everything), re.findall(".{60}lost.{60}", everything)
    assert "no receipt" in everything
    assert "could not be reached" not in everything


def test_a_fixed_token_is_not_said_to_be_renewed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no other one: the refused one has to be replaced by whoever set it."""
    monkeypatch.setenv("VISUAL_LAYER_TOKEN", "fixed")
    world.pictures(1)
    world.box.add_fault("create:401")
    ended = world.run()
    assert ended.code == 7
    assert "new token" not in ended.err
    assert "The server refuses the token" in ended.err
    assert "Put a new one in its place" in ended.err


def test_a_command_that_prints_another_token_has_renewed_it(world: World, tmp_path: Path) -> None:
    """And that is said, as then the credentials are at fault."""
    world.pictures(1)
    world.box.add_fault("create:401")
    code = "import pathlib, sys; p = pathlib.Path(sys.argv[1]); p.write_text(p.read_text() + 'x'); print(p.read_text())"
    (tmp_path / "token").write_text("x")
    command = shlex.join([sys.executable, "-c", code, str(tmp_path / "token")])
    ended = world.run("--token-command", command)
    assert ended.code == 7
    assert "even with a new token" in ended.err


@pytest.mark.parametrize("fault", ["trigger:500", "trigger:503"])
def test_a_trigger_that_is_answered_has_reached_the_server(world: World, fault: str) -> None:
    """What the server said stands in the last line, and nothing of a server that can't be reached."""
    world.pictures(1)
    world.box.add_fault(fault)
    ended = world.run("--give-up-after", "0s")
    assert ended.code == 5
    assert "reached" not in ended.err
    assert f"did not begin it (HTTP {fault[-3:]}: " in ended.err


def test_a_dangling_link_has_not_vanished(world: World) -> None:
    """It was never a file."""
    world.pictures(1)
    (world.folder / "dangling.png").symlink_to(world.place / "nowhere.png")
    ended = world.run()
    assert ended.code == 3
    for said in (ended.err, world.cli("files", "job").out, told(world)):
        assert "is a link to something that is not there" in said
        assert "no longer there" not in said


def test_sentences_end_once_and_name_no_path_of_the_server(world: World) -> None:
    """A reason may bring a full stop of its own, and a file of the server's is nobody's business."""
    world.pictures(2)
    (world.folder / "torn.png").write_bytes(b"no picture")
    world.box.add_fault("trigger:503:times=1")
    world.box.add_fault("processing:failed:message=The disk is full.")
    ended = world.run("--on-rejected", "skip")
    assert ended.code == 12
    everything = ended.err + told(world) + told(world, "--format", "html") + world.cli("status", "job").out
    everything += world.cli("files", "job").out + world.cli("events", "job").out
    assert "The disk is full" in everything
    assert "Can't decode torn.png: it is no image" in everything
    assert not re.search(r"[^.]\.\.(?![./])", everything), re.findall(r".{30}[^.]\.\.(?![./]).*", everything)
    assert "part-" not in everything.replace("multi-part", "")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("run", "Show each receipt; -vv: each request, too."),
        ("doctor", "Has no effect here; -vv: show each request."),
        ("jobs", "Has no effect here."),
    ],
)
def test_verbose_is_described_as_it_works(command: str, said: str) -> None:
    """Only a run has receipts, and only what asks a server has requests."""
    lines = call(*COMMAND, command, "--help").stdout.splitlines()
    assert next(line for line in lines if "--verbose" in line).split("--verbose")[1].strip() == said
