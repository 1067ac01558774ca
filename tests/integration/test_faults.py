"""Every answer of the design's table, on the real command and a server that gives it."""

import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa

from vl_ingest.ledger.tables import batches
from vl_ingest.sandbox import Sandbox
from world import World

MakeWorld = Callable[..., World]

# A fault on the first requests of each kind, after which the server behaves: the run must end as if nothing
# had been, with each file there, and each doubt on record.
PASSING = [
    "create:503", "create:lost-answer", "create:reset-before", "create:html", "create:cut-answer", "create:429:retry-after=0",
    "open:500", "open:lost-answer", "open:reset-before", "open:html-lost",
    "upload:503", "upload:503:done=yes", "upload:500:early=yes", "upload:reset-before", "upload:reset-inside",
    "upload:reset-after", "upload:lost-answer", "upload:cut-answer", "upload:html", "upload:html-lost",
    "upload:429:retry-after=1", "upload:429:retry-after=date:1", "upload:429", "upload:502:every=2", "upload:slow:seconds=0.2",
    "trigger:503", "trigger:503:done=yes", "trigger:lost-answer", "trigger:reset-before", "trigger:reset-after",
    "trigger:html", "trigger:html-lost", "trigger:cut-answer", "trigger:429:retry-after=0",
    "status:503", "status:reset-before", "status:html", "status:429:retry-after=0", "any:503", "any:reset-before",
]  # fmt: skip


@pytest.mark.parametrize("fault", PASSING)
def test_a_passing_fault_changes_nothing_in_the_end(make_world: MakeWorld, fault: str) -> None:
    """Each file arrives, doubts are on record, and processing starts once."""
    world = make_world(faults=[f"{fault}:times=2"], indexing_s=5.0 if "trigger" in fault else 0.0)
    world.pictures(12)
    ended = world.run("--no-wait") if "trigger" in fault else world.run()
    assert ended.code == 0, ended.err
    if "trigger" in fault:
        world.box.clear_faults()
        assert world.run("--no-wait").code == 0
        assert world.box.record.triggers_accepted() == 1
    else:
        world.check_promises()
    assert len(world.held()) == 12


@pytest.mark.parametrize("times", [1, 3])
def test_a_lost_create_is_made_again_and_the_orphan_is_on_record(make_world: MakeWorld, times: int) -> None:
    """An unknown create may leave an orphan dataset; the events say so."""
    world = make_world(faults=[f"create:lost-answer:times={times}"])
    world.pictures(1)
    assert world.run().code == 0
    assert world.kinds().count("create_unknown") == times
    assert len(world.box.record.datasets()) == times + 1


@pytest.mark.parametrize(
    ("option", "code"),
    [(["--give-up-after", "0s"], 5), (["--max-duration", "1s"], 10)],
    ids=["given up", "time is up"],
)
def test_the_last_create_before_the_end_is_on_record(
    make_world: MakeWorld, option: list[str], code: int
) -> None:
    """A run that ends right behind a lost answer leaves the possible orphan in the events all the same."""
    world = make_world(faults=["create:lost-answer"])
    world.pictures(1)
    assert world.run(*option).code == code
    assert len(world.box.record.datasets()) == world.kinds().count("create_unknown") >= 1


def test_refused_file_stands_alone_and_the_rest_arrives(world: World) -> None:
    """A 400 is split until the culprit stands alone; the others of its batch are delivered; exit 3, no trigger."""
    world.pictures(31)
    (world.folder / "p0015b.png").write_bytes(b"no picture")
    ended = world.run("--batch-size", "32", "--workers", "1")
    assert ended.code == 3
    states = world.states()
    assert states.pop("p0015b.png") == "rejected"
    assert set(states.values()) == {"sent"}
    assert len(world.box.record.requests("upload")) <= 2 * 5 + 1, "about 2 log2 n requests"
    assert world.box.record.triggers_accepted() == 0
    errors = [line for line in ended.lines if line["type"] == "file_error"]
    assert [error["path"] for error in errors] == ["p0015b.png"]
    assert "decode" in errors[0]["reason"]
    assert "vl-ingest waive" in ended.err
    assert "vl-ingest retry" in ended.err


def test_rejected_files_are_skipped_when_told_so(world: World) -> None:
    """--on-rejected skip goes on without them, and the waiver is in the history."""
    world.pictures(6)
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run("--on-rejected", "skip").code == 0
    assert world.states()["torn.png"] == "waived"
    assert "file_waived" in world.kinds()
    world.check_promises()


def test_skip_does_not_waive_missing_or_empty_files(world: World) -> None:
    """Only what the server rejects is skipped; the rest wants a person."""
    world.pictures(2)
    (world.folder / "empty.png").touch()
    (world.folder / "dangling.png").symlink_to("nowhere.png")
    assert world.run("--on-rejected", "skip").code == 3
    assert (world.states()["empty.png"], world.states()["dangling.png"]) == ("empty", "missing")
    assert world.cli("waive", "job", "empty.png", "dangling.png").code == 0
    assert world.run().code == 0
    world.check_promises()


def test_waive_refuses_what_it_can_not(world: World) -> None:
    """A sent file can't be waived, an unknown one is no file of the job; nothing changes."""
    world.pictures(2)
    (world.folder / "torn.png").write_bytes(b"no picture")
    world.run()
    assert world.cli("waive", "job", "p0000.png").code == 2
    assert world.cli("waive", "job", "torn.png", "nosuch.png").code == 2
    assert world.states()["torn.png"] == "rejected"


def test_first_batch_refused_to_the_last_file_stops_the_job(world: World) -> None:
    """A server that refuses everything stops the job after one batch (7), and no file is blamed."""
    world.pictures(200)
    world.box.add_fault("upload:400")
    ended = world.run("--workers", "1")
    assert ended.code == 7
    assert set(world.states().values()) == {"pending"}
    assert len(world.box.record.requests("upload")) <= 9
    world.box.clear_faults()
    assert world.run().code == 0
    world.check_promises()


def test_413_splits_and_is_remembered(make_world: MakeWorld) -> None:
    """The size that was refused is not tried again, in this run or the next."""
    world = make_world(max_request_bytes=2000)
    world.pictures(40)
    assert world.run("--batch-size", "20", "--workers", "1").code == 0
    refused = [r for r in world.box.record.requests("upload") if r["status"] == 413]
    assert 1 <= len(refused) <= 3
    assert world.job().too_large_bytes is not None
    world.check_promises()


def test_a_single_file_is_rejected_by_its_own_413_only(world: World) -> None:
    """However small the body that was refused for its size, each larger file is sent and judged by itself."""
    for index, path in enumerate(world.pictures(6)):
        path.write_bytes(path.read_bytes() + b"\0" * 100 * index)
    world.box.add_fault("upload:413:times=1")
    assert world.run("--on-rejected", "skip", "--batch-size", "1", "--workers", "1").code == 0
    assert list(world.states().values()) == ["waived", *["sent"] * 5]
    world.check_promises()


def test_retry_forgets_the_size_limit(world: World) -> None:
    """A 413 that came by mistake is outlived: the file is sent again, and batches are as large as before."""
    world.picture("only.png")
    world.box.add_fault("upload:413:times=1")
    assert world.run().code == 3
    assert world.job().too_large_bytes is not None
    assert world.cli("retry", "job").code == 0
    assert world.job().too_large_bytes is None
    world.pictures(5)
    assert world.run().code == 0
    assert len(world.box.record.requests("upload")) <= 3
    world.check_promises()


def test_a_file_that_is_too_large_alone_is_rejected(make_world: MakeWorld) -> None:
    """A single file above the limit can't be split: it is held, with the server's words."""
    world = make_world(max_request_bytes=3000, check_images=False)
    world.pictures(3)
    (world.folder / "huge.png").write_bytes(b"x" * 9000)
    assert world.run().code == 3
    assert world.states()["huge.png"] == "rejected"
    assert [s for p, s in world.states().items() if p != "huge.png"] == ["sent"] * 3


@pytest.mark.parametrize(
    ("endpoint", "status", "code"),
    [
        (endpoint, status, 7 if endpoint == "create" else code)
        for endpoint in ("upload", "trigger", "create")
        for status, code in ((403, 7), (404, 7), (422, 7), (409, 13), (307, 7))
        if (endpoint, status) != ("trigger", 307)  # unknown there, see below
    ],
)
def test_a_final_answer_stops_resumable(make_world: MakeWorld, endpoint: str, status: int, code: int) -> None:
    """The run stops with the right code and says what to do; the same command goes on once it is mended."""
    world = make_world()
    world.box.add_fault(
        f"{endpoint}:{status}" if status != 307 else f"{endpoint}:redirect:to=http://127.0.0.1:9/x"
    )
    world.pictures(3)
    ended = world.run()
    assert ended.code == code, ended.err
    assert ended.summary["message"]
    assert world.box.record.triggers_accepted() == 0
    world.box.clear_faults()
    if endpoint == "trigger" and status == 409:
        assert world.cli("settle", "job", "--not-begun").code == 0
    assert world.run().code == 0
    world.check_promises()


def test_a_trigger_that_is_redirected_is_never_taken_for_refused(world: World) -> None:
    """Nobody knows what lies behind a redirect: the status decides, and it ends like any outage (5)."""
    world.pictures(3)
    world.box.add_fault("trigger:redirect:to=http://127.0.0.1:9/x")
    assert world.run("--give-up-after", "1s").code == 5
    assert "trigger_settled_not_begun" in world.kinds()
    world.box.clear_faults()
    assert world.run().code == 0
    world.check_promises()


@pytest.mark.parametrize("status", [302, 303, 307])
def test_an_upload_that_is_redirected_may_have_been_delivered(make_world: MakeWorld, status: int) -> None:
    """It stops (7), its files are suspected, and what is sent again is reported as possibly twice."""
    world = make_world(faults=[f"upload:{status}:done=yes:times=1"])
    world.pictures(3)
    assert world.run().code == 7
    assert [file.unknown_attempts for file in world.files()] == [1, 1, 1]
    ended = world.run()
    assert ended.code == 0
    assert ended.summary["possibly_twice"] == 3
    world.check_promises()


@pytest.mark.parametrize("endpoint", ["create", "open"])
def test_a_redirected_beginning_may_have_made_one_too_many(make_world: MakeWorld, endpoint: str) -> None:
    """It stops (7), and the history says that something may have been made on the server."""
    world = make_world(faults=[f"{endpoint}:302:done=yes:times=1"])
    world.pictures(3)
    assert world.run().code == 7
    assert f"{endpoint}_unknown" in world.kinds()
    assert world.run().code == 0
    world.check_promises()


def test_409_on_the_trigger_asks_the_status(world: World) -> None:
    """Where somebody else has triggered already, the status shows it and processing is adopted."""
    world.pictures(2)
    world.box.add_fault("trigger:409:done=yes:times=1")
    assert world.run().code == 0
    world.check_promises()


@pytest.mark.parametrize(
    ("word", "advice", "other"),
    [
        ("DRAFT", "--new-transaction", "vl-ingest cancel"),
        ("INDEXING", "vl-ingest cancel", "--new-transaction"),
    ],
)
def test_409_on_an_upload_advises_by_the_status(
    world: World, monkeypatch: pytest.MonkeyPatch, word: str, advice: str, other: str
) -> None:
    """Another transaction helps only a dataset that is not being processed; else it takes another dataset."""
    from vl_ingest.sandbox import store

    monkeypatch.setattr(store.Store, "_word", lambda *_: (word, 0))
    world.pictures(1)
    world.box.add_fault("upload:409")
    ended = world.run()
    assert ended.code == 13
    assert advice in ended.err
    assert other not in ended.err


def test_a_lost_answer_is_delivered_twice_and_said_so(world: World) -> None:
    """The API can't say whether a lost answer meant delivery: sent again, and reported as possibly twice."""
    world.pictures(10)
    world.box.add_fault("upload:lost-answer:times=1")
    ended = world.run()
    assert ended.code == 0
    assert ended.summary["possibly_twice"] == 5
    world.check_promises()


def test_a_receipt_for_a_body_that_was_not_sent_is_none(make_world: MakeWorld) -> None:
    """An early 202, from some proxy, does not make files delivered that never left."""
    world = make_world(check_images=False)
    (world.folder / "long.mp4").write_bytes(os.urandom(1000) * 30_000)
    world.box.add_fault("upload:202:early=yes:times=1")
    assert world.run().code == 0
    assert "attempt_unknown" in world.kinds()
    world.check_promises()


def test_hold_keeps_unknown_files_for_a_person(world: World) -> None:
    """--on-unknown hold sends nothing twice: exit 13, and a person's word settles it."""
    world.pictures(10)
    world.box.add_fault("upload:lost-answer:times=1")
    ended = world.run("--on-unknown", "hold")
    assert ended.code == 13
    assert "vl-ingest settle" in ended.err
    assert sum(state == "unknown" for state in world.states().values()) == 5
    assert max(world.held().values()) == 1
    assert world.cli("settle", "job", "--delivered").code == 0
    assert world.run("--on-unknown", "hold").code == 0
    assert max(world.held().values()) == 1
    assert "files_settled_by_hand" in world.kinds()


def test_400_after_an_unknown_attempt_is_no_rejection(world: World) -> None:
    """The file may be there already and the complaint be about that: a person decides."""
    world.picture("only.png")
    world.box.add_fault("upload:lost-answer:times=1")
    world.box.add_fault("upload:400")
    result = world.run()
    assert result.code == 13
    assert world.states() == {"only.png": "unknown"}
    world.box.clear_faults()
    job_id = world.job().id
    for said in (result.err, world.cli("status", "job").out):
        assert f"vl-ingest settle {job_id} --delivered" in " ".join(said.split())
        assert "waive" not in said
    refused = world.cli("waive", "job", "only.png")
    assert refused.code == 2
    assert f"vl-ingest settle {job_id} --delivered" in refused.err
    assert world.cli("settle", "job", "--not-delivered").code == 0
    assert world.run().code == 0


@pytest.mark.parametrize("fault", ["500", "reset-after", "413:early=yes"])
def test_a_batch_at_fault_in_a_healthy_run_is_split(make_world: MakeWorld, fault: str) -> None:
    """What fails again and again while others succeed is at fault itself: the culprit ends alone, the rest arrives."""
    world = make_world()
    world.pictures(20)
    world.picture("poison.png", 999)
    world.box.add_fault(f"upload:{fault}:name=poison.png")
    ended = world.run()
    assert ended.code == 3, ended.err
    states = world.states()
    assert states.pop("poison.png") == "rejected"
    assert set(states.values()) == {"sent"}
    world.check_promises(done=False)


@pytest.mark.parametrize("last", ["503", "413"])
def test_what_may_have_been_delivered_is_waived_by_a_person_only(make_world: MakeWorld, last: str) -> None:
    """A file given up after an answer that proves nothing holds (3), whatever --on-rejected says, and says why."""
    world = make_world(
        faults=["upload:503:done=yes:name=p0003.png:times=2", f"upload:{last}:done=yes:name=p0003.png"]
    )
    world.pictures(30)
    ended = world.run("--on-rejected", "skip", "--batch-size", "3")
    assert ended.code == 3, ended.err
    assert "may have delivered it" in ended.err
    assert [path for path, state in world.states().items() if state != "sent"] == ["p0003.png"]
    with world.ledger() as ledger, ledger.db.read() as connection:
        assert not connection.execute(sa.select(batches).where(batches.c.state == "failed")).all()
    assert world.cli("waive", "job", "p0003.png").code == 0
    world.box.clear_faults()
    assert world.run().code == 0
    world.check_promises()


def test_an_outage_burns_no_attempts(world: World) -> None:
    """A long run of 5xx is waited out; nothing is given up, rejected or split."""
    world.pictures(10)
    world.box.add_fault("upload:503:times=12")
    assert world.run().code == 0
    assert "batch_split" not in world.kinds()
    world.check_promises()


def test_unreachable_server_is_given_up_after_the_time_named(world: World) -> None:
    """Only --give-up-after ends an outage: exit 5, and the same command goes on later."""
    world.pictures(3)
    with world.box.offline():
        ended = world.run("--give-up-after", "1s")
    assert ended.code == 5
    assert world.run().code == 0
    world.check_promises()


def test_outage_in_the_middle_of_the_upload_is_given_up_too(world: World) -> None:
    """The give-up counts from the last success, also when files are already there."""
    world.pictures(15)
    world.box.add_fault("upload:reset-before:after=2")
    ended = world.run("--give-up-after", "1s", "--workers", "1")
    assert ended.code == 5, ended.err
    assert Counter(world.states().values()) == {"sent": 10, "unknown": 5}
    world.box.clear_faults()
    assert world.run().code == 0
    world.check_promises()


def test_remote_gone_can_be_sent_again_into_a_new_transaction(world: World) -> None:
    """404: stop with the choices; --new-transaction sends everything again, recorded as such."""
    world.pictures(10)
    world.box.add_fault("upload:404:after=1")
    ended = world.run("--workers", "1")
    assert ended.code == 7
    assert "--new-transaction" in ended.err
    world.box.clear_faults()
    assert world.run("--new-transaction").code == 0
    assert "transaction_given_up" in world.kinds()
    assert len(world.box.record.transactions()) == 2
    assert set(world.held().values()) == {1, 2}
    assert world.run("--new-transaction").code == 0, "a finished job stays finished"


def test_processing_under_way_is_adopted(world: World) -> None:
    """A ledger copied before the trigger, used after it elsewhere: the status is read, nothing triggered twice."""
    world.pictures(4)
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run().code == 3
    with world.ledger() as ledger:  # a checkpointed copy
        ledger.db._engine.dispose()
    copy = world.ledger_path.read_bytes()
    assert world.run("--on-rejected", "skip").code == 0
    for suffix in ("", "-wal", "-shm"):
        Path(f"{world.ledger_path}{suffix}").unlink(missing_ok=True)
    world.ledger_path.write_bytes(copy)
    ended = world.run("--on-rejected", "skip")
    assert ended.code == 0, ended.err
    assert "trigger_adopted" in world.kinds()
    assert world.box.record.triggers_accepted() == 1


def test_status_that_is_not_documented_is_decided_by_a_person(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A word nobody knows is exit 13, until a person has said what it means; then it means that for this job."""
    from vl_ingest.sandbox import store

    def word(_store: object, dataset: store.Dataset) -> tuple[str, int]:
        return ("READY", 100) if dataset.triggered else ("MELLOW", 0)

    world = make_world(faults=["trigger:reset-after:times=1"])
    world.pictures(2)
    monkeypatch.setattr(store.Store, "_word", word)
    monkeypatch.setitem(store.OLD_WORDS, "MELLOW", "MELLOW")
    ended = world.run()
    assert ended.code == 13
    assert "MELLOW" in ended.err
    assert not world.box.record.requests("trigger")
    assert world.cli("settle", "job", "--not-begun").code == 0
    assert world.run().code == 0
    assert len(world.box.record.requests("trigger")) == 2
    world.check_promises()


def test_status_that_is_not_documented_may_mean_that_processing_has_begun(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`settle --began` on such a word goes on to watch, and nothing is triggered."""
    from vl_ingest.sandbox import store

    world = make_world()
    world.pictures(2)
    monkeypatch.setitem(store.OLD_WORDS, "MELLOW", "MELLOW")
    monkeypatch.setattr(store.Store, "_word", lambda *_: ("MELLOW", 0))
    assert world.run().code == 13
    assert world.cli("settle", "job", "--began").code == 0
    monkeypatch.setattr(store.Store, "_word", lambda *_: ("READY", 100))
    assert world.run().code == 0
    assert not world.box.record.requests("trigger")
    assert world.job().state == "ready"


def test_there_is_nothing_to_settle_where_the_status_tells(world: World) -> None:
    """A person's word is not wanted on a trigger that was not tried, while the server's word is clear."""
    world.pictures(1)
    world.box.add_fault("trigger:403")
    assert world.run().code == 7
    for word in ("--began", "--not-begun"):
        assert world.cli("settle", "job", word).code == 2


@pytest.mark.parametrize(("message", "kept"), [({"code": 7}, '{"code": 7}'), (["torn"], '["torn"]')])
def test_why_processing_failed_is_kept_whatever_its_form(
    make_world: MakeWorld, message: object, kept: str
) -> None:
    """Text stays as it is, anything else is kept as JSON; the job has failed (12), in every later run too."""
    world = make_world(processing_error=message)
    world.pictures(1)
    assert world.run().code == 12
    assert world.job().message == kept
    assert world.run().code == 12


def test_a_status_of_odd_types_is_read_as_far_as_it_goes(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The word decides; numbers that are none are not known, and do not stop the run."""
    from vl_ingest.sandbox import store

    world = make_world()
    world.pictures(1)
    status = store.Store.status
    odd = {"n_images": {"all": 1}, "n_videos": "many", "progress": [50], "fatal_error_msg": 0}

    def oddly(box: store.Store, dataset_id: str) -> dict[str, object]:
        fields = status(box, dataset_id)
        return {**fields, **odd, "status_new": 1, "status": fields["status_new"]}

    monkeypatch.setattr(store.Store, "status", oddly)
    assert world.run().code == 0
    assert world.job().progress is None


def test_clouds_credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Key and secret make tokens the server takes; wrong ones are exit 7; none are exit 7 too, with advice."""
    with Sandbox(root=tmp_path / "server", credentials=("key", "s" * 40)) as box:
        world = World(tmp_path, box)
        world.pictures(3)
        ended = world.run()
        assert ended.code == 7
        assert "VISUAL_LAYER_API_KEY" in ended.err
        monkeypatch.setenv("VISUAL_LAYER_API_KEY", "key")
        monkeypatch.setenv("VISUAL_LAYER_API_SECRET", "w" * 40)
        assert world.run().code == 7
        monkeypatch.setenv("VISUAL_LAYER_API_SECRET", "s" * 40)
        assert world.run().code == 0
        world.check_promises()
        assert b"s" * 40 not in world.ledger_path.read_bytes()
        assert all(request["authorization"] for request in box.record.requests()[-5:])


def test_a_refused_token_is_renewed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A 401 in the middle costs a new token, not the run."""
    with Sandbox(root=tmp_path / "server", credentials=("key", "s" * 40)) as box:
        world = World(tmp_path, box)
        world.pictures(20)
        monkeypatch.setenv("VISUAL_LAYER_API_KEY", "key")
        monkeypatch.setenv("VISUAL_LAYER_API_SECRET", "s" * 40)
        box.add_fault("upload:401:every=2:times=2")
        assert world.run("--workers", "1").code == 0
        world.check_promises()


def test_a_trigger_that_is_refused_with_a_new_token_too_stops(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the server takes the new token for other requests does not make the trigger go on for ever."""
    monkeypatch.setenv("VISUAL_LAYER_API_KEY", "key")
    monkeypatch.setenv("VISUAL_LAYER_API_SECRET", "s" * 40)
    world = make_world(credentials=("key", "s" * 40), faults=["trigger:401"])
    world.pictures(1)
    ended = world.run("--give-up-after", "10s")
    assert ended.code == 7
    assert "credentials" in ended.err
    assert len(world.box.record.requests("trigger")) == 2
    world.box.clear_faults()
    assert world.run().code == 0
    world.check_promises()


def test_no_authorization_header_without_credentials(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """On-premises wants no header, not even one from ~/.netrc."""
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    monkeypatch.setenv("HOME", str(tmp_path))
    world.pictures(1)
    assert world.run().code == 0
    assert not any(request["authorization"] for request in world.box.record.requests())
    assert all(request["user_agent"].startswith("vl-ingest/") for request in world.box.record.requests())


def test_exit_code_reaches_programs(world: World) -> None:
    """The summary line holds the exit code and the message that people read."""
    (world.folder / "torn.png").write_bytes(b"no picture")
    world.pictures(1)
    ended = world.run()
    assert ended.summary["exit_code"] == ended.code == 3
    assert ended.summary["files"]["rejected"] == 1
