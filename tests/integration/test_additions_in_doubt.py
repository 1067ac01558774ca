"""An addition whose outcome is unknown: marked on each file, settled on proof alone, and looked at again before it is repeated."""

import json
from collections.abc import Iterable

import pytest
import requests

from conftest import MakeWorld
from vl_ingest.domain.errors import JobHeld
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Facts, Found
from vl_ingest.ledger.lock import hold
from vl_ingest.manage.decide import settle
from vl_ingest.server.body import Body
from vl_ingest.server.optional import Extras
from world import Ended, World

NEW = ("new0.png", "new1.png", "new2.png")
LOST_AND_STOPPED = (
    "add:reset-after:times=1",
    "add:403:times=1",
)  # lost; and the next request is refused


def ready(world: World, *more: str) -> World:
    """Return the world with a dataset of three pictures that is ready, and a folder with three new ones."""
    world.pictures(3)
    assert world.run(*more).code == 0
    for number, name in enumerate(NEW):
        world.picture(name, 90 + number)
    return world


def add(world: World, *more: str) -> Ended:
    """Run the nightly command."""
    return world.run("--add", *more)


def arrives(world: World, names: Iterable[str], *, of: str | None = None) -> None:
    """Add media as somebody else does, or as a request does that comes late: these names, their bytes (or those of one file)."""
    dataset = world.job().dataset_id
    files = [("files", (name, (world.folder / (of or name)).read_bytes())) for name in names]
    parts = [("auto_reindex", (None, "true")), *files]
    answer = requests.post(f"{world.box.url}/api/v1/dataset/{dataset}/add_media", files=parts, timeout=10)  # type: ignore[arg-type]  # a list of parts
    assert answer.status_code == 202


def accepted(world: World) -> int:
    """Return how often media were added, by whomever."""
    return world.box.record.additions_accepted()


def settled_as_not_begun(world: World) -> None:
    """Let an addition be lost, settled as not begun, and the run end before it is sent again."""
    for fault in LOST_AND_STOPPED:
        world.box.add_fault(fault)
    assert add(world).code == 7
    assert (world.job().state, accepted(world)) == ("ready", 0)
    assert {world.states()[name] for name in NEW} == {"in_flight"}, "they stay together"
    world.box.clear_faults()


@pytest.mark.parametrize(
    ("without", "known_by"),
    [([], "list"), (["tasks"], "list"), (["export", "export-ids"], "task"), (["export"], "list")],
)
def test_what_arrives_after_its_window_is_not_sent_again(
    make_world: MakeWorld, without: list[str], known_by: str
) -> None:
    """Held against what the server showed before the first request, not before the next one."""
    world = ready(make_world(without=without))
    settled_as_not_begun(world)
    arrives(world, NEW)
    ended = add(world)
    assert ended.code == 0, ended.err
    assert accepted(world) == 1
    assert [entry["known_by"] for entry in ended.summary["rounds"]] == [known_by]
    assert (ended.summary["possibly_twice"], ended.summary["inferred"]) == (0, 3)
    assert "addition_doubted" in world.kinds()
    world.check_promises()


def test_what_arrives_late_and_nobody_can_tell_is_for_a_person(make_world: MakeWorld) -> None:
    """As many more media, hours later, where neither tasks nor lists tell: 13 of each run, and nothing is sent again."""
    world = ready(make_world(without=["tasks", "export", "export-ids"]))
    settled_as_not_begun(world)
    arrives(world, NEW)
    for _run in range(2):
        ended = add(world)
        assert ended.code == 13, ended.err
    assert (world.job().state, accepted(world)) == ("adding", 1)
    assert world.cli("settle", "job", "--began").code == 0
    with world.ledger() as ledger:
        assert ledger.runs.outcome(world.job().id) is None, "a person has settled what stopped the run"
    ended = add(world)
    assert (ended.code, ended.summary["taken_as_delivered"], accepted(world)) == (0, 3, 1)
    world.check_promises()


def test_what_is_sent_again_is_marked_until_the_list_says_once(world: World) -> None:
    """In the summary, the report and the table of files; asking for each file tells what became of it."""
    ready(world)
    world.box.add_fault("add:reset-after:times=1")
    ended = add(world)
    assert (ended.code, ended.summary["possibly_twice"], ended.summary["inferred"]) == (0, 3, 0)
    assert "3 files possibly delivered twice" in ended.err
    assert json.loads(world.cli("report", "job", "--format", "json").out)["totals"]["possibly_twice"] == 3
    verified = world.cli("verify", "job", "--base-url", world.box.url)
    assert verified.code == 0, verified.out
    assert "3 once" in world.cli("report", "job").out
    world.check_promises()


def test_what_arrives_after_it_was_sent_again_is_there_twice_and_was_marked(world: World) -> None:
    """Nothing can keep the first request from arriving at last; each of its files says so."""
    ready(world)
    world.box.add_fault("add:reset-after:times=1")
    assert add(world).code == 0
    arrives(world, NEW)
    assert accepted(world) == 2
    world.check_promises()
    assert world.cli("verify", "job", "--base-url", world.box.url).code == 3
    assert {file.doubt for file in world.files() if file.path in NEW} == {"asked: twice"}


def test_a_run_that_dies_leaves_the_mark(world: World) -> None:
    """The intent is on record and no outcome: the next run marks the files before it settles anything."""
    ready(world)
    with world.ledger() as ledger:
        job = world.job()
        run = ledger.runs.take(job.id, "here", 1, "test")
        for path in NEW:
            facts = (world.folder / path).stat()
            ledger.files.add(run, [Found(path, Facts(facts.st_size, facts.st_mtime_ns))])
        batch = ledger.additions.claim(run, ledger.files.pending(job.id, 0, 10), [])
        assert batch is not None
        before = {"status": "READY", "n_images": 3, "n_videos": 0, "tasks": {}}
        ledger.additions.intend(run, batch, form="files", reindex=True, **before)
        ledger.runs.end(run, 1)
    ended = add(world)
    assert (ended.code, ended.summary["possibly_twice"], accepted(world)) == (0, 3, 1)
    world.check_promises()


@pytest.mark.parametrize("lists", [True, False])
def test_an_equal_addition_by_somebody_else_is_no_proof(make_world: MakeWorld, lists: bool) -> None:
    """Ours is lost, and somebody else adds as many media: by name it was not ours; without names, his task is his."""
    world = ready(make_world(without=[] if lists else ["export", "export-ids"]))
    settled_as_not_begun(world)
    world.box.add_fault("add:elsewhere:seconds=0:times=1")  # under another user
    arrives(world, ["theirs.png"], of="p0000.png") if False else None
    world.box.clear_faults()
    dataset = world.job().dataset_id or ""
    box = world.box
    entries = box._app._additions.by_somebody(dataset, 0.0, "theirs.png")
    box._app.commit(
        *[{**entry, "name": f"theirs{n}.png"} for n in range(3) for entry in entries[:1]],
        {**entries[1], "files": 3},
    )
    ended = add(world)
    assert ended.code == (0 if lists else 13), ended.err
    assert accepted(world) == lists
    if lists:
        endpoints = [request["endpoint"] for request in world.box.record.requests()]
        last = len(endpoints) - 1 - endpoints[::-1].index("add")
        assert "status" in endpoints[endpoints.index("download") : last], (
            "the intent is of what is shown after that"
        )
        assert ended.summary["possibly_twice"] == 3
        world.check_promises()


def test_names_that_were_there_before_are_no_proof(make_world: MakeWorld) -> None:
    """Somebody has pictures of the same names in the dataset: the list has them all, and ours did not arrive."""
    world = ready(make_world(without=["tasks"]))
    arrives(world, NEW, of="p0000.png")
    settled = accepted(world)
    world.box.add_fault("add:reset-after:times=1")
    world.box.add_fault("add:403")
    assert add(world).code == 7
    world.box.clear_faults()
    arrives(world, ["x.png", "y.png", "z.png"], of="p0000.png")
    assert add(world).code == 13
    assert accepted(world) == settled + 1


@pytest.mark.parametrize("answer", ["409", "400"])
def test_absence_is_not_believed_after_a_refusal_in_doubt(world: World, answer: str) -> None:
    """It may have been refused because the first request is being carried out: 13, and nobody is to blame."""
    ready(world)
    world.box.add_fault("add:reset-after:times=1")
    world.box.add_fault(f"add:{answer}:times=1")
    for _run in range(2):
        assert add(world).code == 13
    assert len(world.box.record.requests("add")) == 2
    assert not {"rejected", "pending"} & set(world.states().values())
    assert world.cli("settle", "job", "--not-begun").code == 0
    ended = add(world)
    assert (ended.code, ended.summary["possibly_twice"]) == (0, 0), "a person has said that it was not there"
    world.check_promises()


def test_a_refusal_in_doubt_is_settled_by_the_list(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first request is carried out at last, when the second is about to be sent, which is refused therefore."""
    ready(world)
    settled_as_not_begun(world)
    add_media = Extras.add_media

    def late(extras: Extras, dataset_id: str, body: Body) -> int:
        arrives(world, NEW)
        world.box.add_fault("add:409:times=1")
        return add_media(extras, dataset_id, body)

    monkeypatch.setattr(Extras, "add_media", late)
    ended = add(world)
    assert (ended.code, accepted(world)) == (0, 1), ended.err
    assert [entry["known_by"] for entry in ended.summary["rounds"]] == ["list"]
    assert ended.summary["possibly_twice"] == 3, "two requests may have brought them"
    world.check_promises()


def test_a_plain_refusal_leaves_no_mark(world: World) -> None:
    """Somebody else's addition is running; ours was certainly not taken, and waits."""
    ready(world)
    world.box.add_fault("add:elsewhere:times=1:seconds=0.2")
    ended = add(world)
    assert (ended.code, ended.summary["possibly_twice"], accepted(world)) == (0, 0, 1), ended.err
    world.check_promises()


def test_an_older_export_is_not_taken_for_the_list(world: World) -> None:
    """One that was begun before the addition arrived, and that nobody has read, does not show it."""
    ready(world)
    world.box.add_fault("add:reset-after:times=1")
    world.box.add_fault("status:word:to=PERHAPS:after=1")
    assert add(world).code == 13
    world.box.clear_faults()
    dataset = world.job().dataset_id
    export = requests.get(
        f"{world.box.url}/api/v1/dataset/{dataset}/export_context_async", timeout=10
    ).json()["id"]
    with world.ledger() as ledger:
        ledger.jobs.note(world.job().id, None, EventKind.EXPORT_STARTED, export_id=export)
    arrives(world, NEW)
    assert add(world).code == 0
    assert accepted(world) == 1
    assert world.box.record.exports_started() == 2
    world.check_promises()


def test_a_failed_addition_is_sent_again_with_a_mark(world: World) -> None:
    """The one new task has failed, and nothing more is counted; whether that stays so, nobody knows."""
    ready(world)
    world.box.add_fault("addition:failed:times=1")
    assert add(world).code == 12
    assert {world.states()[name] for name in NEW} == {"pending"}
    ended = add(world)
    assert (ended.code, ended.summary["possibly_twice"]) == (0, 3)
    world.check_promises()


def test_a_failed_addition_beside_another_is_not_sent_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two tasks failed, and nobody can say which was ours: what is in the dataset is asked for, not assumed."""
    ready(world)
    world.box.add_fault("addition:failed")
    add_media = Extras.add_media

    def beside(extras: Extras, dataset_id: str, body: Body) -> int:
        receipt = add_media(extras, dataset_id, body)
        arrives(world, ["theirs.png"], of="p0000.png")
        return receipt

    monkeypatch.setattr(Extras, "add_media", beside)
    ended = add(world)
    assert ended.code == 13, ended.err
    assert "told to fail" in ended.err
    assert world.job().state == "processing"
    monkeypatch.undo()
    assert add(world).code == 13, "it is not called done by the next run either"
    world.box.clear_faults()
    assert world.cli("settle", "job", "--not-begun").code == 0
    ended = add(world)
    assert (ended.code, ended.summary["possibly_twice"]) == (0, 3)
    world.check_promises()


@pytest.mark.parametrize("word", ["--began", "--not-begun"])
def test_a_receipt_without_any_sign_does_not_finish_a_round(world: World, word: str) -> None:
    """The server says 202 and shows nothing: 13 of each run, until it does, or a person decides."""
    ready(world)
    world.box.add_fault("add:202:times=1")
    for _run in range(2):
        ended = add(world, "--settle", "0.05s")
        assert ended.code == 13, ended.err
        assert "does not show" in ended.err
    assert world.job().state == "processing"
    assert f"vl-ingest settle {world.job().id}" in world.cli("status", "job").out
    if word == "--not-begun":
        assert world.cli("settle", "job", word).code == 0
        ended = add(world)
        assert (ended.code, ended.summary["possibly_twice"], accepted(world)) == (0, 3, 1)
        world.check_promises()
    else:
        arrives(world, NEW)
        assert add(world).code == 0
        assert accepted(world) == 1
        world.check_promises()


@pytest.mark.parametrize("lists", [True, False])
def test_somebody_elses_addition_is_not_taken_for_an_acknowledged_one(
    make_world: MakeWorld, lists: bool
) -> None:
    """The server says 202 and does nothing, and somebody adds two media: the list has none of ours. Without one, the receipt stands."""
    world = ready(make_world(without=[] if lists else ["export", "export-ids"]))
    world.box.add_fault("add:202:times=1")
    assert add(world, "--no-wait").code == 0
    arrives(world, ["x.png", "y.png"], of="p0000.png")
    ended = add(world)
    assert ended.code == (13 if lists else 0), ended.err
    if lists:
        assert "its list has 0 of the 3 names" in ended.err
        assert world.cli("settle", "job", "--not-begun").code == 0
        assert add(world).code == 0
        world.check_promises()


def test_hold_leaves_an_unknown_addition_to_a_person(world: World) -> None:
    """`--on-unknown hold`: proof that it began is taken, absence is not; also of what an earlier run has settled."""
    ready(world)
    world.box.add_fault("add:lost-answer:times=1")
    assert add(world, "--on-unknown", "hold").code == 0
    world.picture("newer.png", 99)
    for fault in LOST_AND_STOPPED:
        world.box.add_fault(fault)
    assert add(world, "--on-unknown", "resend").code == 7
    world.box.clear_faults()
    for _run in range(2):
        ended = add(world, "--on-unknown", "hold")
        assert ended.code == 13
        assert "--on-unknown hold" in ended.err
    assert accepted(world) == 1
    assert world.cli("settle", "job", "--not-begun").code == 0
    ended = add(world, "--on-unknown", "hold")
    assert (ended.code, ended.summary["possibly_twice"], accepted(world)) == (0, 0, 2)
    world.check_promises()


def test_an_addition_is_not_settled_by_hand_while_a_run_holds_the_job(make_world: MakeWorld) -> None:
    """Neither beside one on this host, nor on another."""
    world = ready(make_world(without=["tasks", "export", "export-ids"]))
    world.box.add_fault("add:409:done=yes:times=1")
    assert add(world).code == 13
    with world.ledger() as ledger:
        job = world.job()
        with hold(ledger, job.id), pytest.raises(JobHeld):
            settle(ledger, job, "not-begun")
        ledger.runs.take(job.id, "elsewhere", 1, "test")
        with pytest.raises(JobHeld):
            settle(ledger, job, "began")
    assert world.job().state == "adding"


def test_a_run_that_has_lost_the_job_settles_nothing_as_not_begun(make_world: MakeWorld) -> None:
    """Another run has taken over: only what has begun is true whoever says it."""
    world = ready(make_world(without=["tasks", "export", "export-ids"]))
    world.box.add_fault("add:409:done=yes:times=1")
    assert add(world).code == 13
    with world.ledger() as ledger:
        job = world.job()
        old = ledger.runs.take(job.id, "here", 1, "test")
        ledger.runs.end(old, 1)
        ledger.runs.take(job.id, "here", 2, "test")
        batch, _ = ledger.additions.wanted(job.id)
        with pytest.raises(JobHeld):
            ledger.additions.settle_not_begun(old, batch, "READY", "", {}, certain=False)


def test_a_redirect_is_not_followed_and_not_repeated(world: World) -> None:
    """7, with the address to name; the files stay in doubt, and are sent once more when it answers."""
    ready(world)
    world.box.add_fault("add:redirect:to=http://127.0.0.1:9/elsewhere")
    ended = add(world)
    assert ended.code == 7
    assert "--base-url" in ended.err
    assert len(world.box.record.requests("add")) == 1
    world.box.clear_faults()
    ended = add(world)
    assert (ended.code, ended.summary["possibly_twice"], accepted(world)) == (0, 3, 1)
    world.check_promises()


def test_a_file_that_changes_while_it_is_in_doubt(world: World) -> None:
    """The others go without it; what was sent of them is still held against the first request."""
    ready(world)
    settled_as_not_begun(world)
    world.picture("new1.png", 4000)
    ended = add(world)
    assert ended.code == 0, ended.err
    assert accepted(world) == 2
    assert ended.summary["possibly_twice"] == 3
    world.check_promises()


def test_what_arrives_of_a_batch_that_has_changed_since_is_for_a_person(world: World) -> None:
    """The late request held a file as it is no longer: no rule says what that means."""
    ready(world)
    settled_as_not_begun(world)
    world.picture("new1.png", 4000)
    world.box.add_fault("add:403")
    assert add(world).code == 7
    world.box.clear_faults()
    arrives(world, NEW)
    assert add(world).code == 13
    assert accepted(world) == 1


def test_a_refusal_of_a_copy_is_no_proof_that_nothing_began(make_world: MakeWorld) -> None:
    """A 409 whose request is carried out later, and nothing but counts to see it by: sent once, and 13, or each file is marked."""
    world = ready(make_world(without=["tasks", "export", "export-ids"], draft_s=2.0, adding_s=0.3))
    world.box.add_fault("add:409:done=yes:times=1")
    ended = add(world)
    assert ended.code == 13, ended.err
    assert set(world.held().values()) == {1}
    assert all(file.unknown_attempts for file in world.files() if file.path in NEW)


def test_a_list_of_tasks_that_comes_and_goes_keeps_nothing_open(world: World) -> None:
    """Each second reading is lost: an unknown outcome is settled all the same."""
    ready(world)
    world.box.add_fault("add:reset-after:times=1")
    world.box.add_fault("tasks:reset-before:every=2")
    ended = add(world, "--max-duration", "60s")
    assert ended.code == 0, ended.err
    assert set(world.held().values()) == {1}


def test_nothing_is_sent_to_a_dataset_whose_status_nobody_knows(world: World) -> None:
    """Under a word that is not documented: 13, and no request; under a known one it goes on."""
    ready(world)
    world.box.add_fault("status:word:to=FROZEN")
    ended = add(world)
    assert ended.code == 13, ended.err
    assert "FROZEN, which is not documented" in ended.err
    assert world.box.record.requests("add") == []
    world.box.clear_faults()
    assert add(world).code == 0


def test_a_round_whose_task_is_in_a_queue_is_not_done(make_world: MakeWorld) -> None:
    """The task has waited for longer than the window, and nothing is there yet: the next addition waits, and is sent once."""
    world = ready(make_world(without=["export", "export-ids"], draft_s=1.0, adding_s=0.1))
    for number in range(3):
        world.picture(f"z{number}.png", 60 + number)
    ended = add(world, "--add-files", "3")
    assert ended.code == 0, ended.err
    assert len(world.box.record.requests("add")) == accepted(world) == 2
    assert set(world.held().values()) == {1}


@pytest.mark.parametrize(("without", "code"), [([], 0), (["tasks"], 13)])
def test_a_round_ends_by_its_task_under_a_word_that_nobody_knows(
    make_world: MakeWorld, without: list[str], code: int
) -> None:
    """And without a task it is for a person."""
    world = ready(make_world(without=without))
    world.box.add_fault("status:word:to=FROZEN:after=1")
    ended = add(world)
    assert ended.code == code, ended.err
    assert accepted(world) == 1
