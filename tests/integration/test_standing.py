"""Where a job stands in people's words, and the next command, which always makes progress."""

import os
import pty
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from world import CLEAN, COMMAND, World


def _status(world: World) -> dict[str, object]:
    return world.cli("status", "--json").lines[0]


def _pending(world: World) -> None:
    world.pictures(6)
    with world.box.offline():
        world.run("--first-contact", "0s")


def _held(world: World) -> None:
    world.pictures(3)
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run().code == 3
    world.picture("torn.png", 99)


def _unknown(world: World) -> None:
    world.pictures(3)
    world.box.add_fault("upload:lost-answer:times=1")
    assert world.run("--on-unknown", "hold").code == 13


def _undecided(world: World) -> None:
    world.pictures(3)
    world.box.add_fault("trigger:409")
    assert world.run().code == 13
    world.box.clear_faults()
    job = world.job()
    address = f"{world.box.url}/api/v1/ingestion/{job.dataset_id}/process_files/{job.transaction_id}"
    assert requests.post(address, timeout=30).status_code == 202, "it is being processed after all"


def _errored(world: World) -> None:
    world.pictures(2)
    world.box.add_fault("processing:failed:times=1")
    assert world.run().code == 12


def _cancelled(world: World) -> None:
    _pending(world)
    assert world.cli("cancel", world.job().id).code == 0


STATES = [
    (_pending, "interrupted", "resume"),
    (_held, "blocked: 1 file", "retry"),
    (_unknown, "blocked: 3 files", "settle"),
    (_undecided, "starting processing", "settle"),
    (_errored, "processing failed", "reprocess"),
    (_cancelled, "cancelled", "run"),
]


@pytest.mark.parametrize(("reach", "words", "command"), STATES, ids=[words for _, words, _ in STATES])
def test_the_next_command_makes_progress(
    world: World, reach: Callable[[World], None], words: str, command: str
) -> None:
    """In every state that is not done, `status` names commands; run one after the other, they end the job."""
    reach(world)
    facts = _status(world)
    assert facts["standing"] == words
    named = facts["next_commands"]
    assert isinstance(named, list)
    assert named[0].split()[1] == command
    assert all(f"`{one}" in str(facts["next"]) for one in named)
    assert f"next          {facts['next']}" in world.plain(world.cli("status").out)
    before = world.kinds()
    for one in named:
        ended = world.cli(*shlex.split(one)[1:])
    assert ended.code == 0, ended.err
    assert world.kinds() != before
    assert _status(world)["standing"] == "done"
    assert _status(world)["next_commands"] == []


def test_a_run_at_work_is_to_be_followed(world: World) -> None:
    """Nothing is to be done then but to look."""
    world.pictures(6)
    world.box.add_fault("upload:slow:seconds=60")
    process = world.start()
    try:
        world.until(lambda: "in_flight" in world.states_by_now(), "the run is at work", process)
        facts = _status(world)
        assert facts["standing"] == "uploading"
        assert facts["running"] is True
        assert facts["next_commands"] == [f"vl-ingest status {world.job().id} --watch"]
        listed = world.cli("jobs").out.splitlines()
        assert listed[0].split()[:3] == ["JOB", "NAME", "STATE"]
        assert " uploading " in listed[1]
        assert " yes " in listed[1]
    finally:
        world.box.clear_faults()
        process.communicate()


def test_what_a_run_waits_for_is_seen_from_elsewhere(world: World) -> None:
    """The ledger says it, so `status` and `jobs` do while the server is away; and no longer once it is back."""
    world.pictures(12)
    world.box.add_fault("upload:slow:seconds=60")
    process = world.start("--give-up-after", "1h", "--batch-size", "1")
    world.until(lambda: "in_flight" in world.states_by_now(), "the run is at work", process)
    with world.box.offline():
        world.box.clear_faults()
        world.until(lambda: bool(_status(world)["waiting_for"]), "the run waits", process)
        assert "waiting for the server since" in world.cli("status").out
        assert " waiting " in world.cli("jobs").out
    process.communicate()
    assert process.returncode == 0
    assert _status(world)["waiting_for"] is None


def test_jobs_are_chosen_by_name_and_by_whether_they_are_over(world: World) -> None:
    """`--name` and `--unfinished`."""
    world.pictures(2)
    assert world.run(name="one").code == 0
    with world.box.offline():
        assert world.run("--first-contact", "0s", name="two").code == 5
    assert [line["name"] for line in world.cli("jobs", "--json", "--unfinished").lines] == ["two"]
    assert [line["name"] for line in world.cli("jobs", "--json", "--name", "one").lines] == ["one"]


@pytest.mark.parametrize(
    ("more", "code"),
    [(["--include", "*.gif"], 2), (["--token-file", "nowhere"], 7), (["--base-url", "ftp://x"], 2)],
    ids=["nothing to send", "no token", "bad address"],
)
def test_what_fails_before_the_server_was_asked_leaves_no_job(
    world: World, more: list[str], code: int
) -> None:
    """Nothing has happened yet, so there is nothing to continue."""
    world.pictures(1)
    assert world.run(*more).code == code
    assert not world.cli("jobs", "--json").out.strip()


def test_new_files_after_the_end_are_a_warning(world: World) -> None:
    """Also under `-q`; and `verify` counts them."""
    world.pictures(2)
    assert world.run().code == 0
    world.picture("late.png", 77)
    ended = world.run("-q")
    assert ended.code == 0
    assert (
        "warning: 1 file in the folder is not in the dataset: new, or let in by other filters, after processing"
        in ended.err
    )
    checks = {line["name"]: line for line in world.cli("verify", world.job().id, "--json").lines}
    assert checks["new files"]["new"] == 1


def test_retry_resumes_in_one_step(world: World) -> None:
    """`retry --resume` sends what was fixed."""
    _held(world)
    assert world.cli("retry", world.job().id, "--resume").code == 0
    assert set(world.states().values()) == {"sent"}


def test_a_decision_says_what_is_left_to_do(world: World) -> None:
    """After `retry`, `waive --all` finds nothing to waive, and names the command that sends the files."""
    _held(world)
    job_id = world.job().id
    assert f"vl-ingest resume {job_id}" in world.cli("retry", job_id).out
    ended = world.cli("waive", job_id, "--all")
    assert "0 files waived: none is known to be unsendable now." in ended.out
    assert f"`vl-ingest resume {job_id} --ledger {world.ledger_path}`" in ended.out


def _on_a_terminal(world: World, answer: bytes, *arguments: str) -> subprocess.CompletedProcess[str]:
    ours, theirs = pty.openpty()
    os.write(ours, answer)
    try:
        return subprocess.run(
            [*COMMAND, *arguments, "--ledger", str(world.ledger_path)],
            stdin=theirs, env=CLEAN, capture_output=True, text=True, check=False,
        )  # fmt: skip
    finally:
        os.close(ours)
        os.close(theirs)


def test_giving_a_job_up_is_asked_for_on_a_terminal(world: World) -> None:
    """A no changes nothing."""
    _pending(world)
    refused = _on_a_terminal(world, b"n\n", "cancel", world.job().id)
    assert "Give up job" in refused.stderr
    assert world.job().state != "cancelled"
    assert _on_a_terminal(world, b"y\n", "cancel", world.job().id).returncode == 0
    assert world.job().state == "cancelled"


def test_pruning_without_a_copy_wants_a_yes(world: World, tmp_path: Path) -> None:
    """Where nobody can be asked, `--yes` has to be written, unless the jobs are kept elsewhere."""
    world.pictures(1)
    assert world.run().code == 0
    assert world.cli("jobs", "prune", "--older-than", "0s").code == 2
    assert len(world.cli("jobs", "--json").lines) == 1
    assert world.cli("jobs", "prune", "--older-than", "0s", "--keep-in", str(tmp_path / "kept")).code == 0
    assert world.run().code == 0
    assert world.cli("jobs", "prune", "--older-than", "0s", "--yes").code == 0
    assert not world.cli("jobs", "--json").out.strip()


def test_a_decision_taken_leaves_no_other_to_take(world: World) -> None:
    """After `settle --delivered` the job can go on, whatever the last run ended with."""
    _unknown(world)
    job_id = world.job().id
    assert world.cli("settle", job_id, "--delivered").code == 0
    assert _status(world)["next_commands"] == [f"vl-ingest resume {job_id}"]
    ended = world.cli("settle", job_id, "--began")
    assert ended.code == 2
    assert "There is no doubt whether processing of job" in ended.err
    assert world.cli("resume", job_id, "--settle", "0.3s").code == 0


def test_what_is_not_known_is_not_called_not_begun(world: World) -> None:
    """`verify` of a job whose trigger has no known outcome."""
    _undecided(world)
    checks = {line["name"]: line for line in world.cli("verify", "job", "--json", "--offline").lines}
    assert checks["processing"]["text"] == "Whether processing has begun is not known."
