"""Every way a trigger can be lost, with every way a status can tell: processing is accepted once."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from losing import LOSSES, SETTLE, STATUSES, TASKS, check_once
from vl_ingest.sandbox import Sandbox
from world import PATIENCE_S, World

pytestmark = pytest.mark.usefixtures("renewable_tokens")


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("loss", LOSSES)
def test_processing_is_accepted_once(
    loss: str, status: str, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Whatever became of the trigger, and however slowly the status tells, the server starts once."""
    check_once(loss, status, "from the trigger", tmp_path)
    record_property("points", ["trigger combinations", 1, len(LOSSES) * len(STATUSES)])


PROVED = ["from the trigger", "from the creation", "late"]


@pytest.mark.parametrize("tasks", PROVED)
@pytest.mark.parametrize("carried_out", [True, False])
def test_a_task_proves_what_a_status_does_not(tasks: str, carried_out: bool, tmp_path: Path) -> None:
    """The answer is lost, and the status is a word that nobody has explained: the task alone ends with 0; none, with 13."""
    fault = "trigger:lost-answer:times=1" if carried_out else "trigger:reset-after:times=1"
    options, _ = TASKS[tasks]
    with Sandbox(root=tmp_path / "server", faults=[fault], **options) as box:  # type: ignore[arg-type]  # a table
        world = World(tmp_path, box)
        world.pictures(2)
        box._store.status = _odd_status(box, box._store.status)  # type: ignore[method-assign, assignment]  # a server of other words
        ended = world.run("--settle", SETTLE)
        assert ended.code == (0 if carried_out else 13), ended.err
        assert ("trigger_proved_by_task" in world.kinds()) == carried_out
        assert len(box.record.requests("trigger")) == 1
        assert world.job().state == ("ready" if carried_out else "triggering")


def test_a_task_settles_before_the_window_is_over(world: World) -> None:
    """The status stands still for longer than anybody would wait; the task tells at once."""
    world.pictures(2)
    world.box.add_fault("trigger:lost-answer:times=1")
    world.box.add_fault("status:word:to=DRAFT:times=4")
    began = time.monotonic()
    assert world.run("--settle", "1h").code == 0
    assert time.monotonic() - began < PATIENCE_S
    assert "trigger_proved_by_task" in world.kinds()
    world.check_promises()


def test_what_was_settled_as_not_begun_is_proved_before_another_request(tmp_path: Path) -> None:
    """The window was too short for the status, and the tasks did not answer: now they show that the first was carried out."""
    faults = ["trigger:lost-answer:times=1", "trigger:403", "tasks:reset-after:after=1"]
    with Sandbox(root=tmp_path / "server", draft_s=3600.0, faults=faults) as box:
        world = World(tmp_path, box)
        world.pictures(2)
        assert world.run("--settle", "0.1s", "--no-wait").code == 7
        assert world.job().state == "uploaded"
        assert "trigger_settled_not_begun" in world.kinds()
        box.clear_faults()
        assert world.run("--settle", "0.1s", "--no-wait").code == 0
        assert world.job().state == "processing"
        assert len(box.record.requests("trigger")) == 2
        assert "trigger_proved_by_task" in world.kinds()


def test_a_task_of_the_first_request_settles_the_second(tmp_path: Path) -> None:
    """Both got no receipt, and the task that shows late is that of the first."""
    with Sandbox(root=tmp_path / "server", draft_s=3600.0, faults=["trigger:lost-answer:times=1"]) as box:
        world = World(tmp_path, box)
        world.pictures(2)
        box.add_fault("tasks:reset-after:after=1")
        assert world.run("--settle", "0.1s", "--no-wait").code == 13, "a 409, and nothing moves"
        box.clear_faults()
        assert world.run("--settle", "0.1s", "--no-wait").code == 0
        assert "trigger_proved_by_task" in world.kinds()
        assert box.record.triggers_accepted() == 1


@pytest.mark.parametrize("carried_out", [True, False])
def test_a_crash_after_the_trigger_is_settled_by_the_task(carried_out: bool, tmp_path: Path) -> None:
    """What was known of tasks stands in the intent: the next run holds the server's tasks against it."""
    with Sandbox(root=tmp_path / "server", draft_s=0.0) as box:
        world = World(tmp_path, box)
        world.pictures(2)
        (world.folder / "torn.png").write_bytes(b"no picture")
        assert world.run().code == 3
        _die_in_triggering(world, carried_out=carried_out, tasks={})
        box.add_fault("status:word:to=DRAFT:times=3")
        assert world.run("--settle", SETTLE).code == 0
        world.check_promises()
        assert ("trigger_proved_by_task" in world.kinds()) == carried_out


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("carried_out", [True, False])
def test_a_crash_behind_the_trigger(carried_out: bool, status: str, tmp_path: Path) -> None:
    """The next run of a job that died in `triggering` asks the status before anything else."""
    with Sandbox(root=tmp_path / "server", **STATUSES[status]) as box:  # type: ignore[arg-type]  # a table
        world = World(tmp_path, box)
        world.pictures(2)
        (world.folder / "torn.png").write_bytes(b"no picture")
        assert world.run().code == 3
        _die_in_triggering(world, carried_out=carried_out)
        assert world.run("--settle", SETTLE).code == 0
        world.check_promises()
        kinds = world.kinds()
        assert ("trigger_settled_begun" in kinds) == carried_out
        assert ("trigger_settled_not_begun" in kinds) != carried_out


def test_a_409_that_the_status_does_not_explain_is_for_a_person(world: World) -> None:
    """The server forbids another trigger and yet nothing moves: exit 13 of this run and the next, nothing is sent again."""
    world.pictures(2)
    world.box.add_fault("trigger:409")
    for _run in range(2):
        ended = world.run("--settle", "0.2s")
        assert ended.code == 13
        assert "vl-ingest settle" in ended.err
        assert len(world.box.record.requests("trigger")) == 1
    assert world.cli("settle", "job", "--not-begun").code == 0
    world.box.clear_faults()
    assert world.run().code == 0
    world.check_promises()


def test_a_window_has_two_ends(world: World) -> None:
    """Even without any time to settle the status is read twice before it is taken for unchanged."""
    world.pictures(1)
    world.box.add_fault("trigger:reset-after:times=1")
    assert world.run("--settle", "0s", "--no-wait").code == 0
    endpoints = [request["endpoint"] for request in world.box.record.requests()]
    first, second = (index for index, endpoint in enumerate(endpoints) if endpoint == "trigger")
    assert endpoints[first:second].count("status") >= 3, "twice to settle, once more before the next trigger"


def test_settling_begins_anew_with_each_run(world: World) -> None:
    """Two short looks of two runs do not add up to one window."""
    world.pictures(2)
    world.box.add_fault("trigger:reset-after")
    while not world.box.record.requests("trigger"):  # a slow machine may not get there at once
        assert world.run("--settle", "30s", "--max-duration", "1s").code == 10
    assert world.job().state == "triggering"
    second = world.run("--settle", "30s", "--max-duration", "1s")
    assert second.code == 10
    assert len(world.box.record.requests("trigger")) == 1


def test_a_late_trigger_takes_nothing_along_that_came_after_it(tmp_path: Path) -> None:
    """What was settled as not begun begins after all: new files are not sent into it, but reported as left out."""
    with Sandbox(
        root=tmp_path / "server", draft_s=60, without=["tasks"],
        faults=["trigger:lost-answer:times=1", "trigger:403"],
    ) as box:  # fmt: skip
        world = World(tmp_path, box)
        world.pictures(2)
        assert world.run("--settle", "0.2s").code == 7
        assert world.job().state == "uploaded"
    with Sandbox(root=tmp_path / "server") as box:
        world = World(tmp_path, box)
        world.picture("new.png", 99)
        ended = world.cli("resume", "job", "--base-url", box.url, "--json")
        assert ended.code == 0, ended.err
        assert ended.summary["not_in_dataset"] == 1
        assert "trigger_adopted" in world.kinds()
        assert len(world.held()) == 2


def test_what_a_person_calls_delivered_is_not_known_to_have_been_there_in_time(world: World) -> None:
    """Somebody starts processing, and a late file arrives: that it is there says nothing about what is processed."""
    world.pictures(2)
    world.box.add_fault("upload:reset-after:after=1:times=1")
    assert world.run("--on-unknown", "hold", "--batch-size", "1", "--workers", "1").code == 13
    assert "sent_before_processing" in world.kinds()
    _start_processing(world)
    assert world.cli("settle", "job", "--delivered").code == 0
    assert world.run("--on-unknown", "hold").code == 13
    assert world.job().state == "uploaded"


def test_processing_that_began_before_the_last_file_is_not_adopted_by_the_next_run(world: World) -> None:
    """Somebody starts it in the middle, and the server goes on taking files: a run that sends nothing knows no better."""
    world.pictures(30)
    (world.folder / "torn.png").write_bytes(b"no picture")
    world.box._store.check_upload = lambda *_where: None  # type: ignore[method-assign]  # a server that takes files at any time
    world.box.add_fault("upload:slow:seconds=60")
    with world.start("--workers", "1") as process:
        world.until(world.box.record.files, "a batch arrived", process)
        _start_processing(world)
        world.box.clear_faults()
        assert process.wait(PATIENCE_S) == 3
    assert world.cli("waive", "job", "--all").code == 0
    assert world.run().code == 13
    assert world.job().state == "uploaded"


@pytest.mark.parametrize("word", ["--began", "cancel"])
def test_processing_that_began_while_files_were_sent_is_for_a_person(world: World, word: str) -> None:
    """Somebody starts processing and the server goes on taking files: nobody knows which of them it processes."""
    world.pictures(2)
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run().code == 3
    _start_processing(world)
    world.box._store.check_upload = lambda *_where: None  # type: ignore[method-assign]  # a server that takes files at any time
    world.picture("new.png", 99)
    assert world.run("--on-rejected", "skip").code == 13
    ended = world.run("--on-rejected", "skip")
    assert ended.code == 13, "the next run has sent nothing, but knows what an earlier one sent"
    assert "--new" in ended.err
    assert world.job().state == "uploaded"
    if word == "cancel":
        assert world.cli("cancel", "job").code == 0
        assert world.run("--new", "--on-rejected", "skip").code == 0
        assert len(world.box.record.datasets()) == 2
        assert len(world.held()) == 3
    else:
        assert world.cli("settle", "job", "--not-begun").code == 2, "the server says that it has"
        assert world.cli("settle", "job", word).code == 0
        assert world.run().code == 0
    world.check_promises()


def test_files_that_came_after_a_trigger_are_not_taken_for_processed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trigger that was not carried out is, and the status moves while new files are sent: a person decides."""
    from vl_ingest.sandbox import store

    def word(_store: object, dataset: store.Dataset) -> tuple[str, int]:
        return ("READY", 100) if dataset.files.total() > 2 else ("DRAFT", 0)

    monkeypatch.setattr(store.Store, "_word", word)
    world.pictures(2)
    world.box.add_fault("trigger:403")
    assert world.run().code == 7
    world.picture("new.png", 99)
    ended = world.run()
    assert ended.code == 13
    assert "--new" in ended.err
    assert len(world.box.record.requests("trigger")) == 1


def test_processing_of_a_transaction_that_was_given_up_is_not_adopted(world: World) -> None:
    """The first transaction is processed behind the ledger's back: that says nothing about the second one's files."""
    world.pictures(2)
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run().code == 3
    _start_processing(world)
    (world.folder / "torn.png").unlink()
    assert world.cli("waive", "job", "torn.png").code == 0
    world.picture("new.png", 99)
    ended = world.run()
    assert ended.code == 13
    assert "vl-ingest cancel" in ended.err
    assert "--new-transaction" not in ended.err
    for options in (["--new-transaction"], []):
        ended = world.run(*options)
        assert ended.code == 13
        assert "vl-ingest cancel" in ended.err
    assert world.job().state == "uploaded"


def _start_processing(world: World) -> None:
    """Trigger the job's transaction as somebody else would."""
    import requests

    job = world.job()
    url = f"{world.box.url}/api/v1/ingestion/{job.dataset_id}/process_files/{job.transaction_id}"
    assert requests.post(url, timeout=10).status_code == 202


def _odd_status(
    box: Sandbox, status: Callable[[str], dict[str, object]]
) -> Callable[[str], dict[str, object]]:
    """Return what calls every dataset by a word that nobody knows, once somebody has tried to start processing."""

    def odd(dataset_id: str) -> dict[str, object]:
        words = {"status": "MELLOW", "status_new": "MELLOW"}
        return status(dataset_id) | (words if box.record.requests("trigger") else {})

    return odd


def _die_in_triggering(world: World, *, carried_out: bool, tasks: dict[str, str] | None = None) -> None:
    """Leave the job as a run that died right behind its trigger does."""
    from vl_ingest.domain.model import JobState

    assert world.cli("waive", "job", "--all").code == 0
    job = world.job()
    with world.ledger() as ledger:
        run = ledger.runs.take(job.id, "here", 1, "test")
        ledger.jobs.mark_scanned(run, {})
        ledger.jobs.finish_upload(run)
        ledger.jobs.intend_trigger(run, _word(world), job.transaction_id or "", tasks)
        ledger.runs.end(run, 1)
        assert ledger.jobs.get(job.id).state is JobState.TRIGGERING
    if carried_out:
        _start_processing(world)


def _word(world: World) -> str:
    import requests

    facts = requests.get(f"{world.box.url}/api/v1/dataset/{world.job().dataset_id}", timeout=10).json()
    return str(facts.get("status_new") or facts["status"])
