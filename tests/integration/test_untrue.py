"""What was once said and was not so: each message, from the real command, says what happened and no more."""

import os
import re
import shlex
import sys
from pathlib import Path

import pytest
from PIL import Image

from conftest import MakeWorld
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
    assert "Replace it" in ended.err


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


def test_a_suggested_command_names_the_ledger_that_was_given(world: World) -> None:
    """Copied as it stands, it finds the job; where the environment names the ledger, it need not."""
    world.pictures(2)
    world.picture("broken.png").write_bytes(b"no picture")
    ended = world.run()
    assert ended.code == 3
    job_id, here = world.job().id, f" --ledger {world.ledger_path}`"
    assert f"`vl-ingest retry {job_id}{here}" in ended.err
    assert f"`vl-ingest waive {job_id} PATH...{here}" in ended.err
    assert f"`vl-ingest resume {job_id}{here}" in world.cli("status").out
    assert f"`vl-ingest jobs{here}" in world.cli("status", "another").err
    done = call(*COMMAND, "status", job_id, environment={"VL_INGEST_LEDGER": str(world.ledger_path)})
    assert f"`vl-ingest retry {job_id}`" in done.stdout


def test_an_address_that_was_wrong_can_be_put_right(world: World) -> None:
    """What a run says after it never reached its server leads to the end, with one job."""
    world.pictures(2)
    gone = ["--base-url", "http://127.0.0.1:9", "--first-contact", "0s"]
    ended = world.cli("run", str(world.folder), "--name", "job", *gone)
    job_id = world.job().id
    assert ended.code == 5
    assert f"If the address is wrong, run `vl-ingest resume {job_id} --base-url URL" in ended.err
    assert f"`vl-ingest doctor --base-url http://127.0.0.1:9 --ledger {world.ledger_path}`" in ended.err
    assert (
        "tries http://127.0.0.1:9 again; with `--base-url URL`, another address." in world.cli("status").out
    )
    assert world.cli("resume", job_id, "--base-url", world.box.url, "--settle", "0.3s").code == 0
    assert [line["standing"] for line in world.cli("jobs", "--json").lines] == ["done"]


@pytest.mark.parametrize(("fault", "code"), [("create:lost-answer", 2), ("create:403", 0)])
def test_a_name_is_taken_once_a_dataset_may_exist(world: World, fault: str, code: int) -> None:
    """Another folder can't be sent under it without `--new`; after a refusal, nothing can be there."""
    world.pictures(1)
    world.box.add_fault(fault)
    assert world.run("--give-up-after", "0s").code in (5, 7)
    world.box.clear_faults()
    other = world.place / "other"
    world.folder.rename(other)
    ended = world.cli("run", str(other), "--name", "job", "--base-url", world.box.url, "--settle", "0.3s")
    assert ended.code == code, ended.err
    assert ("already sends" in ended.err) == (code == 2)


def test_credentials_that_were_left_out_on_purpose(make_world: MakeWorld) -> None:
    """Setting variables does not help with `--no-auth`: each command says so."""
    world = make_world(credentials=("key-of-the-tests", "secret-of-the-tests-that-is-long-enough"))
    world.pictures(1)
    server = ("--base-url", world.box.url, "--no-auth")
    for command in (["run", str(world.folder), "--name", "job"], ["doctor"], ["auth", "check"]):
        ended = world.cli(*command, *server)
        assert ended.code == 7
        assert "leave out --no-auth" in ended.out + ended.err
        assert "auth check" not in ended.out + ended.err


def test_a_list_that_has_become_empty_holds_the_plan_too(world: World) -> None:
    """As it holds the run: nobody means to leave out everything."""
    world.pictures(2)
    listed = world.place / "list"
    listed.write_text("p0000.png\np0001.png\n")
    world.box.add_fault("upload:400")
    assert world.run("--files-from", str(listed)).code != 0
    world.box.clear_faults()
    listed.write_text("")
    planned = world.run("--files-from", str(listed), "--dry-run")
    assert (planned.code, planned.summary["list_lost"], planned.summary["filtered_out"]) == (3, True, {})
    assert world.run("--files-from", str(listed)).code == 3
    assert world.run("--files-from", os.devnull, "--dry-run").summary["list_lost"] is False


def test_what_is_skipped_is_said_to_be_waived(world: World) -> None:
    """The file is shown as rejected first; the last lines count it as waived."""
    world.pictures(2)
    world.picture("broken.png").write_bytes(b"no picture")
    ended = world.run("--on-rejected", "skip")
    assert ended.code == 0
    assert "1 file rejected, and waived by --on-rejected skip." in ended.err
    assert "1 waived" in ended.err


def test_what_was_left_out_is_said_by_the_run_that_left_it_out(world: World) -> None:
    """A run that has nothing to do has not looked."""
    world.pictures(2)
    (world.folder / "notes.txt").write_text("x")
    assert "Left out by type or filter" in world.run().err
    assert "Left out by type or filter" not in world.run().err


def test_events_of_several_kinds(world: World) -> None:
    """With commas, as `files --state`, or with the option repeated."""
    world.pictures(1)
    assert world.run().code == 0
    commas = world.cli("events", "job", "--kind", "job_created, job_ready", "--json")
    twice = world.cli("events", "job", "--kind", "job_created", "--kind", "job_ready", "--json")
    assert commas.lines == twice.lines
    assert len(commas.lines) == 2


def test_the_sandbox_refuses_a_picture_that_is_cut_off(world: World) -> None:
    """Its head is sound, its end is missing: the server could not show it."""
    whole = world.picture("cut.jpg")
    Image.effect_noise((64, 64), 50).save(whole, "JPEG")
    whole.write_bytes(whole.read_bytes()[:-400])
    ended = world.run()
    assert ended.code == 3
    assert "Can't decode cut.jpg" in ended.err


def test_verify_without_credentials_is_refused(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trying again would not help: exit code 7, as of `run`."""
    world = make_world(credentials=("key-of-the-tests", "secret-of-the-tests-that-is-long-enough"))
    world.pictures(1)
    monkeypatch.setenv("VISUAL_LAYER_API_KEY", "key-of-the-tests")
    monkeypatch.setenv("VISUAL_LAYER_API_SECRET", "secret-of-the-tests-that-is-long-enough")
    assert world.run().code == 0
    monkeypatch.delenv("VISUAL_LAYER_API_KEY")
    monkeypatch.delenv("VISUAL_LAYER_API_SECRET")
    ended = world.cli("verify", "job")
    assert ended.code == 7
    assert "The server requires credentials, and none were sent" in ended.err


def test_a_warning_that_comes_again_is_said_once(world: World) -> None:
    """Each lost answer is on record; the terminal needs one."""
    world.pictures(1)
    world.box.add_fault("create:lost-answer:times=3")
    ended = world.run()
    assert ended.code == 0
    assert ended.err.count("an extra dataset may exist on the server") == 1
    assert world.kinds().count("create_unknown") == 3


def test_a_port_without_tls_is_not_called_unreachable(world: World) -> None:
    """It can be reached, and the address is what has to be looked at."""
    ended = world.cli("doctor", "--base-url", world.box.url.replace("http:", "https:"))
    assert ended.code == 5
    assert "accepts connections, but no TLS" in ended.out
    assert "can't be reached" not in ended.out


def test_a_value_from_the_environment_is_said_to_be_from_there(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No such option stands on the command line."""
    monkeypatch.setenv("VL_INGEST_BATCH_SIZE", "abc")
    ended = world.cli("run", str(world.folder), "--name", "job")
    assert ended.code == 2
    assert "(VL_INGEST_BATCH_SIZE in the environment)" in ended.err
    assert (
        "in the environment"
        not in world.cli("run", str(world.folder), "--name", "job", "--batch-size", "x").err
    )


def test_new_is_not_ignored_in_silence(world: World) -> None:
    """An unfinished job goes on, and the option that asked for another one is named."""
    world.pictures(1)
    world.box.add_fault("upload:403")
    assert world.run().code == 7
    world.box.clear_faults()
    ended = world.run("--new")
    assert ended.code == 0
    assert f"--new is ignored: job {world.job().id} is not finished." in ended.err
    assert "--new is ignored" not in world.run("--new").err


def test_what_the_server_has_lost_is_answered_with_commands_that_work(world: World) -> None:
    """Each is a command as it can be pasted."""
    world.pictures(1)
    world.box.add_fault("upload:404")
    ended = world.run()
    assert ended.code == 7
    run = f"`vl-ingest run {world.folder} --name job --base-url {world.box.url}"
    assert f"{run} --new-transaction --ledger" in ended.err
    assert f"`vl-ingest cancel {world.job().id} --ledger" in ended.err
    assert f"{run} --new --ledger" in ended.err


def test_a_job_given_up_in_doubt_says_so(world: World) -> None:
    """Nobody knows whether its dataset is being processed; after a refusal it is known."""
    world.pictures(1)
    world.box.add_fault("trigger:409")
    assert world.run().code == 13
    assert world.cli("cancel", "job").code == 0
    doubt = "1 file acknowledged by the server, 0 files not sent; whether processing has begun is not known."
    assert f"Given up: {doubt}" in world.cli("report", "job").out


def test_where_nothing_listens_there_is_no_answer(world: World) -> None:
    """`auth check` says that it could not reach the server."""
    ended = world.cli("auth", "check", "--base-url", "http://127.0.0.1:9")
    assert ended.code == 5
    assert "Could not reach http://127.0.0.1:9" in ended.out
    assert "answer" not in ended.out
