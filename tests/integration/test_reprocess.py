"""`reprocess`: the server tries again what it could not process, once at a time, and nothing is sent again."""

import json

import pytest
import requests

from conftest import MakeWorld
from vl_ingest.sandbox.tasks import Tasks
from world import Ended, World

OUT_OF_MEMORY = "processing:failed:times=1:message=Out of memory"


def errored(world: World) -> World:
    """Return a world whose dataset the server could not process."""
    world.pictures(3)
    world.box.add_fault(OUT_OF_MEMORY)
    ended = world.run()
    assert ended.code == 12
    return world


def reprocess(world: World, *options: str) -> Ended:
    """Have it processed again."""
    return world.cli("reprocess", "job", "--settle", "0.3s", "--json", *options)


def check(world: World, *, retries: int = 1) -> None:
    """See that the dataset is ready, after so many retries, and that nothing was sent again."""
    job = world.job()
    assert job.state == "ready"
    assert world.box.record.retries_accepted(job.dataset_id) == retries
    assert len(world.box.record.files(job.dataset_id)) == 3
    world.check_promises()


def test_a_failed_dataset_is_processed_again(world: World) -> None:
    """The message of the failure names the command; it ends with 0, and record and report tell both starts."""
    errored(world)
    told = world.cli("resume", "job")
    assert told.code == 12
    assert "Out of memory" in told.err
    assert told.err.index("vl-ingest reprocess") < told.err.index("--new")
    assert reprocess(world).code == 0
    check(world)
    report = world.cli("report", "job").out
    assert "processing was started twice (the first failed with Out of memory, retried by " in report
    assert json.loads(world.cli("report", "job", "--format", "json").out)["job"]["message"] is None
    assert "started again on the server: 1 time" in world.cli("verify", "job", "--offline").out
    kinds = world.kinds()
    assert (
        kinds.index("job_errored") < kinds.index("reprocess_intended") < kinds.index("reprocess_acknowledged")
    )


def test_the_task_says_why_processing_failed(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A status without a word of it, but a task with one."""
    from vl_ingest.sandbox import store

    status = store.Store.status
    monkeypatch.setattr(
        store.Store, "status", lambda self, dataset: status(self, dataset) | {"fatal_error_msg": None}
    )
    errored(world)
    assert world.job().message == "Out of memory"
    assert "Out of memory" in world.cli("resume", "job").err


@pytest.mark.parametrize("tasks", ["trigger", "create"])
@pytest.mark.parametrize(
    ("fault", "carried_out"),
    [
        ("retry:lost-answer:times=1", True),
        ("retry:cut-answer:times=1", True),
        ("retry:html:times=1", True),
        ("retry:500:done=yes:times=1", True),
        ("retry:400:done=yes:times=1", True),
        ("retry:reset-before:times=1", False),
        ("retry:reset-after:times=1", False),
        ("retry:502:times=1", False),
        ("retry:429:retry-after=0:times=1", False),
        ("retry:401:times=1", False),
    ],
)
@pytest.mark.parametrize("late", [{}, {"tasks_lag_s": 0.2}, {"draft_s": 0.1}])
def test_a_lost_answer_is_settled(
    make_world: MakeWorld, tasks: str, fault: str, carried_out: bool, late: dict[str, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """By the task and the status, however late they are: never twice."""
    monkeypatch.setenv("VISUAL_LAYER_API_KEY", "key")
    monkeypatch.setenv("VISUAL_LAYER_API_SECRET", "s" * 40)
    world = make_world(credentials=("key", "s" * 40), tasks=tasks, **late)
    errored(world)
    world.box.add_fault(fault)
    ended = reprocess(world, "--settle", "1s")
    assert ended.code == 0, ended.err
    check(world)
    accepted = [r for r in world.box.record.requests("retry") if r["status"] == 200 or r["status"] is None]
    assert len(accepted) <= (1 if carried_out else 2)


@pytest.mark.parametrize(
    "fault", ["tasks:404", "tasks:403", "tasks:500", "tasks:html", "retry:404", "retry:403"]
)
def test_where_it_can_not_be_had_the_rest_is_named(world: World, fault: str) -> None:
    """Exit 7, and what remains; the job stays as it was."""
    errored(world)
    world.box.add_fault(fault)
    ended = reprocess(world)
    assert ended.code == 7, ended.err
    assert "--new" in ended.err
    assert world.job().state == "errored"
    world.box.clear_faults()
    assert reprocess(world).code == 0
    check(world)


def test_without_a_task_there_is_nothing_to_retry(make_world: MakeWorld) -> None:
    """The history of tasks may have ended."""
    world = errored(make_world(tasks="never"))
    ended = reprocess(world)
    assert (ended.code, world.box.record.requests("retry")) == (7, [])


def test_a_second_failure_is_one_more_to_retry(world: World) -> None:
    """Exit 12 again, and the next retry ends it; the report tells of three starts."""
    errored(world)
    world.box.add_fault("processing:failed:times=1:message=Out of disk")
    assert reprocess(world).code == 12
    assert world.job().message == "Out of disk"
    assert reprocess(world).code == 0
    check(world, retries=2)
    report = world.cli("report", "job").out
    assert "3 times (the first failed with Out of memory" in report
    assert "the second failed with Out of disk" in report


def test_an_old_failure_is_not_taken_for_a_new_one(make_world: MakeWorld) -> None:
    """The status says ERROR for a while after the retry was accepted."""
    world = make_world(draft_s=0.6)
    errored(world)
    assert reprocess(world, "--settle", "5s").code == 0
    check(world)
    assert world.kinds().count("job_errored") == 1


def test_what_somebody_else_retried_is_followed(world: World) -> None:
    """On the server's own pages, say: no request is made."""
    errored(world)
    tasks = requests.get(f"{world.box.url}/api/v1/tasks", timeout=10).json()["tasks"]
    url = f"{world.box.url}/api/v1/tasks/{tasks[0]['task_id']}/retry"
    assert requests.post(url, timeout=10).status_code == 200
    assert reprocess(world).code == 0
    check(world)
    assert "reprocess_adopted" in world.kinds()


def test_where_nothing_failed_there_is_nothing_to_do(world: World) -> None:
    """A job that is ready, or not that far, is a mistake; one that was processed again is done."""
    world.pictures(3)
    assert world.run().code == 0
    assert reprocess(world).code == 2
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run("--new").code == 3
    assert world.cli("reprocess", world.job().id).code == 2


def test_done_is_done(world: World) -> None:
    """The same command again asks nothing."""
    errored(world)
    assert reprocess(world).code == 0
    asked = len(world.box.record.requests())
    assert reprocess(world).code == 0
    assert len(world.box.record.requests()) == asked
    assert world.run().code == 0


def test_another_job_in_its_place_comes_first(world: World) -> None:
    """With `--new` the folder is on its way to another dataset: two unfinished jobs of one name there may not be."""
    errored(world)
    (world.folder / "torn.png").write_bytes(b"no picture")
    old = world.job()
    assert world.run("--new").code == 3
    ended = world.cli("reprocess", old.id, "--json")
    assert ended.code == 2
    assert world.job().id in ended.err
    assert world.box.record.requests("retry") == []


def test_a_word_that_nobody_knows_is_for_a_person(world: World) -> None:
    """The answer is lost, no task tells, and the status is no documented one: 13, and a person's word ends it."""
    errored(world)
    world.box.add_fault("retry:reset-after:times=1")
    world.box.add_fault("status:word:to=MELLOW:after=1:times=1000")
    ended = reprocess(world)
    assert ended.code == 13, ended.err
    assert reprocess(world).code == 13
    assert len(world.box.record.requests("retry")) == 1
    assert world.cli("settle", "job", "--not-begun").code == 0
    world.box.clear_faults()
    assert reprocess(world).code == 0
    check(world)


def test_a_persons_word_that_it_began_again_is_followed(world: World) -> None:
    """`settle --began` takes the job to processing, as after a trigger."""
    errored(world)
    world.box.add_fault("retry:lost-answer:times=1")
    world.box.add_fault("tasks:404:after=1")
    world.box.add_fault("status:word:to=MELLOW:after=1:times=1000")
    assert reprocess(world).code == 13
    assert world.cli("settle", "job", "--began").code == 0
    assert world.job().state == "processing"
    world.box.clear_faults()
    assert reprocess(world).code == 0
    check(world)
    assert world.cli("settle", "job", "--began").code == 2


def test_a_task_that_was_over_before_the_trigger_ends_nothing(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a word that nobody knows, only a task that came to its end since the request says that processing is done."""
    world = make_world(tasks="create")
    shown = Tasks._all
    with monkeypatch.context() as patch:
        patch.setattr(
            Tasks, "_all", lambda self: (task | {"status": "COMPLETED"} for task in list(shown(self)))
        )
        world.pictures(3)
        world.box.add_fault("status:word:to=MELLOW:after=2:times=1000")
        assert world.run("--settle", "0.2s", "--max-duration", "3s").code == 10
        assert world.job().state == "processing"
    world.box.clear_faults()
    assert world.run("--settle", "0.2s").code == 0


def test_a_task_that_shows_the_first_failure_ends_nothing(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does one, after the retry, that is as it was before."""
    errored(world)
    with monkeypatch.context() as patch:
        before = requests.get(f"{world.box.url}/api/v1/tasks", timeout=10).json()["tasks"]
        patch.setattr(Tasks, "_all", lambda _tasks: iter(before))
        world.box.add_fault("status:word:to=MELLOW:after=1:times=1000")
        assert reprocess(world, "--max-duration", "3s").code == 10
        assert world.job().state == "processing"
    world.box.clear_faults()
    assert reprocess(world).code == 0
    check(world)


def test_confirm_asks_for_each_file_once_the_dataset_is_ready(make_world: MakeWorld) -> None:
    """`run --confirm` ends with 3 and names where a file is missing; the job stays ready, and is asked for again."""
    world = make_world(faults=["medium:swallow:name=p0001.png"])
    world.pictures(3)
    ended = world.run("--confirm")
    assert ended.code == 3, ended.err
    errors = [line for line in ended.lines if line["type"] == "file_error"]
    assert [(line["path"], line["reason"]) for line in errors] == [
        ("p0001.png", "is missing from the dataset")
    ]
    assert "The job stays ready" in ended.err
    assert world.job().state == "ready"
    assert world.run("--confirm").code == 3, "it is asked again"
    assert world.run("--no-confirm").code == 0
    assert world.cli("report", "job", "--format", "csv").out.count(",no,,1,1\n") == 1


def test_confirm_warns_of_what_is_there_twice(make_world: MakeWorld) -> None:
    """Every file is there: nothing is left to do, but it is said."""
    world = make_world(faults=["medium:double:name=p0001.png"])
    world.pictures(3)
    ended = world.run("--confirm")
    assert ended.code == 0, ended.err
    assert "warning: 3 files in the dataset by the server's own list; 1 there more than once" in ended.err


def test_confirm_asks_once_where_all_is_well(world: World) -> None:
    """A job that is confirmed is done; without the option, the last lines name the command that asks."""
    world.pictures(3)
    first = world.cli(*[argument for argument in world.arguments() if argument != "--json"])
    assert f"Run `vl-ingest verify {world.job().id}" in first.err
    ended = world.run("--confirm")
    assert (ended.code, world.box.record.exports_started()) == (0, 1)
    assert ended.summary["in_dataset"] == 3
    assert world.run("--confirm").code == 0
    assert world.box.record.exports_started() == 1


@pytest.mark.parametrize("kind", ["404", "403", "405", "500", "html-lost"])
def test_confirm_without_a_list_ends_as_without_the_option(world: World, kind: str) -> None:
    """One line says that nothing is confirmed."""
    for endpoint in ("export", "export-ids", "tasks", "list"):
        world.box.add_fault(f"{endpoint}:{kind}")
    world.pictures(3)
    ended = world.run("--confirm")
    assert ended.code == 0, ended.err
    assert ended.out.count("so nothing is confirmed") == 1


def test_confirm_without_an_answer_can_be_had_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server goes away when it is asked: exit 5, and the same command asks again."""
    from vl_ingest.run import export

    monkeypatch.setattr(export, "PATIENCE_S", 0.2)
    world.pictures(3)
    world.box.add_fault("export:404")
    world.box.add_fault("export-ids:reset-after")
    assert world.run("--confirm").code == 5
    assert world.job().state == "ready"
    world.box.clear_faults()
    assert world.run("--confirm").code == 0
