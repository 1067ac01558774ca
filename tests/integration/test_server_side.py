"""The server's side: processing is aborted, orphans are named, names in use are told, and its tasks are shown."""

import json

import pytest

from conftest import MakeWorld
from vl_ingest.domain.events import EventKind
from vl_ingest.ledger import Ledger
from vl_ingest.run import asking
from world import Ended, World

TASKS_FAULTS = ["tasks:404", "tasks:403", "tasks:405", "tasks:500", "tasks:html"]


def processing(world: World) -> World:
    """Return a world whose dataset is being processed, watched by nobody."""
    world.pictures(3)
    assert world.run("--no-wait").code == 0
    assert world.job().state == "processing"
    return world


def cancel(world: World, *options: str) -> Ended:
    """Cancel the job, and have processing aborted."""
    return world.cli("cancel", "job", "--abort", "--json", *options)


def check(world: World, *, aborts: int = 1) -> None:
    """See that the job is cancelled, and how often processing was aborted."""
    assert world.job().state == "cancelled"
    assert world.box.record.aborts_accepted(world.job().dataset_id) == aborts
    assert world.cli("verify", "job", "--offline").code == 0


def test_processing_is_aborted_and_the_job_cancelled(make_world: MakeWorld) -> None:
    """Both are on record, and told."""
    world = processing(make_world(indexing_s=3600))
    ended = world.cli("cancel", "job", "--abort")
    assert ended.code == 0, ended.err
    assert "processing is aborted on the server." in ended.out
    check(world)
    kinds = world.kinds()
    assert kinds[-3:] == ["abort_intended", "abort_acknowledged", "job_cancelled"]
    assert world.cli("cancel", "job", "--abort").code == 2


def test_what_is_done_is_too_late_to_abort(world: World) -> None:
    """The server refuses with 409, or its task is over: said, and the job is cancelled all the same."""
    processing(world)
    assert "too late to abort" in world.cli("cancel", "job", "--abort").out
    check(world, aborts=0)


def test_a_conflict_is_too_late(make_world: MakeWorld) -> None:
    """409: the last step has begun."""
    world = processing(make_world(indexing_s=3600))
    world.box.add_fault("abort:409")
    assert "too late to abort processing (HTTP 409" in world.cli("cancel", "job", "--abort").out
    check(world, aborts=0)
    assert "abort_refused" in world.kinds()


@pytest.mark.parametrize("fault", [*TASKS_FAULTS, "abort:404", "abort:403"])
def test_without_the_endpoint_the_job_is_cancelled_as_ever(make_world: MakeWorld, fault: str) -> None:
    """And one line says that processing goes on."""
    world = processing(make_world(indexing_s=3600))
    world.box.add_fault(fault)
    ended = world.cli("cancel", "job", "--abort")
    assert ended.code == 0, ended.err
    assert "processing could not be aborted: the server does not offer that" in ended.out
    check(world, aborts=0)


@pytest.mark.parametrize(
    "fault",
    [
        "abort:lost-answer:times=1",
        "abort:cut-answer:times=1",
        "abort:502:done=yes:times=1",
        "abort:html:times=1",
    ],
)
def test_a_lost_answer_to_the_abort_is_settled_by_the_task(make_world: MakeWorld, fault: str) -> None:
    """It was carried out: once."""
    world = processing(make_world(indexing_s=3600))
    world.box.add_fault(fault)
    assert cancel(world).code == 0
    check(world)
    assert len(world.box.record.requests("abort")) == 1


def test_an_abort_that_was_lost_leaves_the_job_and_can_be_repeated(make_world: MakeWorld) -> None:
    """The task goes on: exit 5, nothing is cancelled; the same command aborts."""
    world = processing(make_world(indexing_s=3600))
    world.box.add_fault("abort:reset-after:times=1")
    ended = cancel(world)
    assert (ended.code, world.job().state) == (5, "processing")
    assert cancel(world).code == 0
    check(world)


def test_before_processing_there_is_nothing_to_abort(world: World) -> None:
    """A job that was never triggered is cancelled as ever."""
    (world.folder / "torn.png").write_bytes(b"no picture")
    world.pictures(2)
    assert world.run().code == 3
    assert "there was no processing to abort" in world.cli("cancel", "job", "--abort").out
    check(world, aborts=0)
    assert world.box.record.requests("tasks") == []


@pytest.mark.parametrize(
    "fault", ["create:lost-answer:times=2", "create:html:times=1", "create:502:done=yes:times=1"]
)
def test_orphans_are_named(world: World, fault: str) -> None:
    """After a lost answer, what is new under that name is told by id in the summary and in every report."""
    world.pictures(2)
    world.box.add_fault(fault)
    ended = world.run()
    assert ended.code == 0, ended.err
    job = world.job()
    lost = [dataset for dataset in world.box.record.datasets() if dataset != job.dataset_id]
    assert sorted(ended.summary["orphans"]) == sorted(lost)
    assert all(dataset in ended.err for dataset in lost)
    for form in ("text", "html", "json"):
        report = world.cli("report", "job", "--format", form).out
        assert all(dataset in report for dataset in lost)
    assert sorted(json.loads(report)["remote"]["orphans"]) == sorted(lost)
    assert world.kinds().count("orphans_found") == 1
    assert len(world.held()) == 2


def test_what_was_there_before_is_no_orphan(world: World) -> None:
    """A dataset of that name from before is told of once, and is not called ours."""
    world.pictures(2)
    assert world.run().code == 0
    before = world.job().dataset_id
    world.box.add_fault("create:reset-after:times=1")
    ended = world.run("--new")
    assert ended.code == 0
    assert ended.summary["orphans"] == []
    assert f"has a dataset named 'job' already ({before})" in ended.err


@pytest.mark.parametrize("kind", ["404", "403", "405", "500", "html"])
def test_without_a_list_nothing_is_named(world: World, kind: str) -> None:
    """And the run is as ever."""
    world.pictures(2)
    world.box.add_fault("create:lost-answer:times=1")
    world.box.add_fault(f"list:{kind}")
    ended = world.run()
    assert (ended.code, ended.summary["orphans"]) == (0, [])
    assert world.kinds().count("endpoint_not_available") == 1
    assert len(world.box.record.datasets()) == 2


def test_a_run_that_died_after_the_request_leaves_an_orphan_to_name(world: World) -> None:
    """The intent holds what was there before."""
    world.pictures(2)
    with Ledger(world.ledger_path) as ledger:
        job = ledger.jobs.get_or_create(str(world.folder), "job", world.box.url, {})
        run = ledger.runs.take(job.id, "here", 1, "test")
        ledger.jobs.intend(run, EventKind.CREATE_INTENDED, known=[])
        ledger.runs.end(run, 1)
    import requests

    url = f"{world.box.url}/api/v1/ingestion/new_dataset"
    lost = requests.get(url, params={"dataset_name": "job"}, timeout=10).json()["dataset_id"]
    ended = world.run()
    assert (ended.code, ended.summary["orphans"]) == (0, [lost])


def test_nobody_waits_for_what_does_not_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Endpoints that hang are asked once, briefly, and noted; a lost trigger is settled without them."""
    monkeypatch.setattr(asking, "QUICK_S", 0.2)
    world.pictures(2)
    for fault in ("list:hang", "tasks:hang", "trigger:lost-answer:times=1", "create:lost-answer:times=1"):
        world.box.add_fault(fault)
    assert world.run().code == 0
    assert [len(world.box.record.requests(endpoint)) for endpoint in ("list", "tasks")] == [1, 1]
    assert world.kinds().count("endpoint_not_available") == 2
    world.check_promises()


def test_a_name_that_is_taken_is_told_before_a_run(world: World) -> None:
    """By the dry run and by the doctor; a name that is free is not."""
    world.pictures(2)
    assert (
        "already"
        not in world.cli(
            "run", str(world.folder), "--name", "job", "--base-url", world.box.url, "--dry-run"
        ).out
    )
    assert world.run().code == 0
    dataset = world.job().dataset_id
    plan = world.cli(
        "run", str(world.folder), "--name", "job", "--base-url", world.box.url, "--dry-run", "--new"
    )
    assert f"name taken    by {dataset}" in plan.out
    with world.box.offline():
        plan = world.cli("run", str(world.folder), "--name", "free", "--base-url", world.box.url, "--dry-run")
    assert plan.code == 0
    assert "name taken    not known, as the server can't be asked" in plan.out
    told = world.cli("doctor", "--base-url", world.box.url, "--name", "job").out
    assert f"has a dataset named 'job' already ({dataset})" in told
    assert (
        "No dataset is named 'free'" in world.cli("doctor", "--base-url", world.box.url, "--name", "free").out
    )


def test_the_doctor_tries_what_is_optional(make_world: MakeWorld) -> None:
    """Each endpoint is asked about what can't exist: nothing is changed by it."""
    world = make_world(without=["export", "tasks"])
    lines = world.cli("doctor", "--base-url", world.box.url, "--json").lines
    (line,) = [line for line in lines if line.get("name") == "optional"]
    assert line["features"] == {
        "tasks": False, "export": False, "list of media ids": True, "list of datasets": True,
    }  # fmt: skip
    assert "`verify`" in line["text"]
    changing = {"create", "open", "trigger", "export", "retry", "abort", "add"}
    assert not changing & {request["endpoint"] for request in world.box.record.requests()}


@pytest.mark.parametrize("kind", ["missing", "403", "405", "500", "html-lost"])
def test_a_server_with_nothing_optional_passes_the_doctor(make_world: MakeWorld, kind: str) -> None:
    """A run needs none of it."""
    world = make_world(without=["all"] if kind == "missing" else [])
    for endpoint in ("tasks", "export-status", "export-ids", "list", "health"):
        if kind != "missing":
            world.box.add_fault(f"{endpoint}:{kind}")
    ended = world.cli("doctor", "--base-url", world.box.url, "--json")
    (line,) = [line for line in ended.lines if line.get("name") == "optional"]
    assert not any(line["features"].values())
    assert line["grade"] == "ok"


def test_the_status_shows_the_servers_side(make_world: MakeWorld) -> None:
    """Its status, and each task with its times and its error; nothing is recorded."""
    world = make_world(faults=["processing:failed:times=1:message=Out of memory"])
    world.pictures(2)
    assert world.run().code == 12
    before = world.kinds()
    told = world.cli("status", "job", "--live").out
    assert "server now    ERROR" in told
    assert "DATASET_CREATION FAILED, 100 %, 20" in told
    assert ": Out of memory" in told
    (facts,) = world.cli("status", "job", "--live", "--json").lines
    assert facts["live"]["status"]["word"] == "ERROR"
    assert [task["status"] for task in facts["live"]["tasks"]] == ["FAILED"]
    assert world.kinds() == before


@pytest.mark.parametrize("fault", TASKS_FAULTS)
def test_the_status_without_tasks_says_so(world: World, fault: str) -> None:
    """One line; the status is shown."""
    world.pictures(2)
    assert world.run().code == 0
    world.box.add_fault(fault)
    told = world.cli("status", "job", "--live").out
    assert "server now    READY" in told
    assert "tasks         not available" in told
    with world.box.offline():
        assert world.cli("status", "job", "--live").code == 5
        assert world.cli("status", "job").code == 0
    assert world.cli("status", "job", "--live", "--watch").code == 2
