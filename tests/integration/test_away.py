"""Sending from other hosts: a real Dask scheduler with workers in processes of their own, and any executor."""

import contextlib
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from dask_cluster import DaskCluster, Wire
from vl_ingest import Ingest, Settings, clock
from vl_ingest.couriers import away, roster, task
from vl_ingest.couriers import cluster as cluster_module
from vl_ingest.couriers.carrier import Task
from vl_ingest.couriers.cluster import Cluster
from vl_ingest.couriers.parcel import terms_of
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Event
from vl_ingest.observers.observer import Observer
from vl_ingest.server.api import Api
from vl_ingest.server.tokens import Tokens
from world import CLEAN, World

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="they look into /proc")
dear = pytest.mark.skipif(not os.environ.get("HOSTS"), reason="it takes long, and runs where HOSTS is set")

DEADLINE_S = 8.0
SIZE = 24 * 1024 * 1024  # more than all the buffers between a worker and the server
SLOW = "upload:slow-read:rate=1048576:times=1"  # longer than any deadline here


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give each parcel seconds instead of minutes; the rules stay the same."""
    monkeypatch.setattr(away, "SHORTEST_S", DEADLINE_S)
    monkeypatch.setattr(away, "LONGEST_S", DEADLINE_S)
    monkeypatch.setattr(away, "SLACK_S", 0.5)
    monkeypatch.setattr(away, "ANSWER_S", 2.0)
    monkeypatch.setattr(roster, "LOOK_EVERY_S", 0.2)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[DaskCluster]:
    """Return a scheduler with no worker yet."""
    place = tmp_path / "dask"
    place.mkdir()
    with contextlib.closing(DaskCluster(place)) as cluster:
        yield cluster


class Told(Observer):
    """Keeps what a person is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def notice(self, kind: str, text: str, **facts: object) -> None:  # noqa: ARG002  # an observer's
        """Keep it."""
        self.texts.append(text)


class Running:
    """A run in a thread."""

    def __init__(self, world: World, address: str, **settings: object) -> None:
        self.told = Told()
        self.error: BaseException | None = None
        self._world = world
        self._settings = Settings(dask=address, settle_s=0.3, workers=2, batch_size=1, **settings)  # type: ignore[arg-type]  # a test's
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        world = self._world
        try:
            with Ingest(world.ledger_path, base_url=world.box.url, observers=[self.told]) as ingest:
                ingest.run(world.folder, "job", self._settings)
        except BaseException as exc:  # noqa: BLE001  # raised by `end`
            self.error = exc

    def end(self) -> None:
        """Wait for the end of the run, which must be a good one."""
        self._thread.join(120)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error


def events(world: World, *kinds: EventKind) -> list[Event]:
    """Return the events of these kinds."""
    if not world.ledger_path.exists():
        return []
    with world.ledger() as ledger:
        return [e for job in ledger.jobs.all() for e in ledger.events.history(job.id, *kinds)]


def big(world: World) -> None:
    """Write one file that takes a while."""
    (world.folder / "big.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + os.urandom(SIZE))


def is_sending(world: World, pid: int) -> bool:
    """Return whether a worker has that file open for an intent that is on record, and not only to prove what it sees."""
    if not events(world, EventKind.COURIERS_AWAY):
        return False
    with contextlib.suppress(OSError):
        return any(link.readlink().name == "big.mp4" for link in Path(f"/proc/{pid}/fd").iterdir())
    return False


def slow(world: World) -> list[dict[str, Any]]:
    """Return the request that the server read slowly, once it is over."""
    return [entry for entry in world.box.record.requests("upload") if entry["fault"] == "slow-read"]


def attempts(world: World) -> list[tuple[float, str | None]]:
    """Return when each attempt began, in seconds, and how it ended."""
    with world.ledger() as ledger:
        batches = [batch for batch in range(1, 20) if ledger.browse.attempts(batch)]
        found = {(a.batch_id, a.number): a for batch in batches for a in ledger.browse.attempts(batch)}
    return [(found[key].started_at.timestamp(), found[key].outcome) for key in sorted(found)]


def test_the_workers_of_a_cluster_send_everything(world: World, cluster: DaskCluster) -> None:
    """Each file once; until when they may send is on record before, and that nothing is on its way is after."""
    cluster.worker()
    cluster.worker()
    world.pictures(30)
    ended = world.run("--dask", cluster.address)
    assert ended.code == 0, ended.err
    world.check_promises()
    assert set(world.held().values()) == {1}
    kinds = world.kinds()
    assert kinds.index("couriers_away") < kinds.index("batch_sent") < kinds.index("couriers_back")
    assert kinds.index("couriers_back") < kinds.index("trigger_intended")
    assert "Sending from" in ended.err
    host = socket.gethostname()
    (shown,) = world.cli("status", "job", "--json").lines
    assert shown["hosts"] == {host: {"files": 30, "bytes": shown["sent_bytes"]}}
    assert f"sent from     {host}: 30 files" in world.cli("status", "job").out


@pytest.mark.parametrize(
    "how",
    [pytest.param(signal.SIGKILL, marks=dear, id="killed"), pytest.param(signal.SIGSTOP, id="frozen")],
)
def test_a_lost_worker_is_an_unknown_outcome_after_its_deadline(
    world: World, cluster: DaskCluster, how: signal.Signals
) -> None:
    """Another one sends it then, and no earlier; the first, where it wakes up, sends nothing more."""
    world.box.add_fault(SLOW)
    big(world)
    first = cluster.worker()
    run = Running(world, cluster.address)
    world.until(lambda: is_sending(world, first.pid), "it is on its way")
    first.send_signal(how)
    cluster.worker()
    run.end()
    first.send_signal(signal.SIGCONT)
    (began, outcome), (again, _), *_ = attempts(world)
    assert outcome == "unknown"
    assert again - began >= DEADLINE_S
    world.until(lambda: slow(world), "the first has ended")
    assert slow(world)[0]["body_bytes"] < SIZE
    world.check_promises()
    assert set(world.held().values()) == {1}


@pytest.mark.parametrize("side", ["client", pytest.param("worker", marks=dear)])
def test_what_is_cut_off_is_sent_again_after_its_deadline(
    world: World, cluster: DaskCluster, side: str
) -> None:
    """The client's connection drops, and is made again; a worker's says nothing any more, as if it were there."""
    world.box.add_fault(SLOW)
    big(world)
    with contextlib.closing(Wire(cluster.address)) as wire:
        first = cluster.worker(wire.address if side == "worker" else None)
        run = Running(world, wire.address if side == "client" else cluster.address)
        world.until(lambda: is_sending(world, first.pid), "it is on its way")
        if side == "client":
            wire.cut()
        else:
            wire.silence()
            cluster.worker()
        run.end()
    (began, outcome), (again, _), *_ = attempts(world)
    assert outcome == "unknown"
    assert again - began >= DEADLINE_S
    world.until(lambda: slow(world), "the first has ended")
    assert slow(world)[0]["body_bytes"] < SIZE
    world.check_promises()
    assert set(world.held().values()) == {1}


CLIENT = """
import sys
from vl_ingest.couriers import away
away.SHORTEST_S = away.LONGEST_S = 8.0
away.RECORDED_S = 1.0
from vl_ingest.cli import command_line
sys.exit(command_line(sys.argv[1:]))
"""


@dear
def test_after_a_killed_client_nothing_is_sent_before_the_deadlines_are_over(
    world: World, cluster: DaskCluster
) -> None:
    """The next run waits, and says for what; what the worker still had is cut by itself."""
    world.box.add_fault(SLOW)
    big(world)
    first = cluster.worker()
    command = [*world.arguments("--dask", cluster.address), "--ledger", str(world.ledger_path)]
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, *command],
        env=CLEAN,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    world.until(lambda: is_sending(world, first.pid), "it is on its way", client)  # type: ignore[arg-type]  # of bytes
    client.kill()
    client.wait()
    (said,) = events(world, EventKind.COURIERS_AWAY)
    run = Running(world, cluster.address)
    run.end()
    assert any("may still be sending for an earlier run" in text for text in run.told.texts)
    (_, outcome), (again, _), *_ = attempts(world)
    assert outcome == "unknown"
    world.until(lambda: slow(world), "the first has ended")
    assert slow(world)[0]["body_bytes"] < SIZE
    assert again >= datetime.fromisoformat(said.facts["until"]).timestamp() - 0.01
    world.check_promises()
    assert set(world.held().values()) == {1}


@dear
def test_a_scheduler_that_is_restarted(world: World, cluster: DaskCluster) -> None:
    """What it had is lost with it; the run goes on with the workers of the next one."""
    world.box.add_fault(SLOW)
    big(world)
    world.pictures(6)
    first = cluster.worker()
    run = Running(world, cluster.address)
    world.until(lambda: is_sending(world, first.pid), "it is on its way")
    cluster.restart_scheduler()
    cluster.worker()
    run.end()
    world.check_promises()


def test_no_scheduler_is_said_and_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is attempted meanwhile."""
    monkeypatch.setattr(away, "ALONE_S", 0.5)
    monkeypatch.setattr(cluster_module, "CONNECT_S", 0.5)
    world.pictures(2)
    ended = world.run("--dask", "127.0.0.1:9", "--max-duration", "3s")
    assert ended.code == 10
    assert "no Dask scheduler" in ended.err
    assert not world.box.record.files()


def errand(number: int, identity: str | None, *, left_s: float = 60.0) -> task.Errand:
    """Return an errand to where nobody listens."""
    api = Api("http://127.0.0.1:9", Tokens(None))
    now_s = clock.now().timestamp()
    what = Task(number, "/", [("etc/hostname", "a.png", 1, 1)], f"{api.base_url}/api/v1/x", None, None)
    return task.Errand("run", identity, terms_of(api, ""), what, None, now_s + left_s, None)


def test_a_parcel_is_carried_once_by_the_process_that_was_meant_and_in_time() -> None:
    """Whoever runs the workers may run a call again, or in another process at the same address."""
    me = task.introduce("http://127.0.0.1:9", "/", []).identity
    assert task.carry(errand(1, "somebody else")).how == "stranger"
    assert task.carry(errand(1, me, left_s=-1.0)).how == "overdue"
    assert task.carry(errand(1, me)).how == "carried"
    assert task.carry(errand(1, me)).how == "repeated"
    assert task.carry(errand(1, me, left_s=-1.0)).how == "repeated"
    task.cut("run")
    assert task.carry(errand(2, me)).how == "cut"


def test_a_result_that_is_lost_keeps_no_other_from_being_heard(cluster: DaskCluster) -> None:
    """Its worker may die while it is on its way; in Dask's own callbacks all others would wait for it."""
    first = cluster.worker()
    calls: queue.SimpleQueue[int] = queue.SimpleQueue()

    def lose(done: "Future[int]") -> None:
        first.kill()
        first.wait()
        calls.put(first.pid)
        done.result()

    with contextlib.closing(Cluster(cluster.address)) as scheduler:
        address = a_worker(scheduler)
        scheduler.submit(address, os.getpid).add_done_callback(lose)
        assert calls.get(timeout=60) == first.pid
        second = cluster.worker()
        scheduler.submit(a_worker(scheduler, but=address), os.getpid).add_done_callback(
            lambda done: calls.put(done.result())
        )
        assert calls.get(timeout=60) == second.pid


def a_worker(scheduler: Cluster, *, but: str = "") -> str:
    """Wait until there is one."""
    until = clock.monotonic() + 60
    while not (workers := scheduler.workers().keys() - {but}):
        assert clock.monotonic() < until
    return next(iter(workers))
