"""Stopping at awkward moments, from a program too: nothing begins that was not begun, and nothing is left open."""

import os
import signal
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import pytest

from vl_ingest import Ingest, Observer, Settings, clock
from vl_ingest.domain.errors import JobHeld, Stopped, UsageError, VlIngestError
from vl_ingest.ledger import runs
from vl_ingest.ledger.lock import hold
from vl_ingest.ledger.runs import Lease
from vl_ingest.manage import decide
from vl_ingest.manage.stop import stop
from vl_ingest.run import listening
from vl_ingest.run.cancel import CancelToken
from vl_ingest.run.context import Context
from vl_ingest.server.api import Api
from vl_ingest.server.tokens import Tokens
from vl_ingest.source.folder import Folder
from vl_ingest.upload import steps as upload
from world import PATIENCE_S, World

SETTINGS = Settings(workers=2, batch_size=5, settle_s=0.3)


class Calling(Observer):
    """Calls a function at one kind of moment; `said` is what a notice must hold for that."""

    def __init__(self, moment: str, function: Callable[[], object], said: str = "") -> None:
        self._moment, self._function, self._said = moment, function, said
        self.ends: list[VlIngestError] = []

    def job_started(self, *_: object, **__: object) -> None:
        """Perhaps call."""
        self._perhaps("job_started")

    def notice(self, kind: str, text: str, **__: object) -> None:
        """Perhaps call."""
        self._perhaps("notice" if self._said in f"{kind}: {text}" else "")

    def file_error(self, *_: object, **__: object) -> None:
        """Perhaps call."""
        self._perhaps("file_error")

    def batch_sent(self, *_: object, **__: object) -> None:
        """Perhaps call."""
        self._perhaps("batch_sent")

    def ended(self, error: VlIngestError) -> None:
        """Keep it."""
        self.ends.append(error)

    def _perhaps(self, moment: str) -> None:
        if moment and moment == self._moment:
            self._moment = ""
            self._function()


def test_stopped_before_the_trigger_nothing_is_triggered(world: World) -> None:
    """Between the last receipt and the intent, too, a stop is heard."""
    world.pictures(6)

    def stop_it() -> None:
        ingest.stop()

    stopping = Calling("notice", stop_it, said=" sent.")
    with Ingest(world.ledger_path, base_url=world.box.url, observers=[stopping]) as ingest:
        with pytest.raises(Stopped):
            ingest.run(world.folder, "job", SETTINGS)
        assert world.box.record.requests("trigger") == []
        assert ingest.run(world.folder, "job", SETTINGS).job.state == "ready"
    world.check_promises()


def test_stopped_before_it_began_nothing_is_made(world: World) -> None:
    """A stop that came before the run ends it without a request."""
    world.pictures(2)
    world.box.add_fault("create:403:times=1")
    assert world.run().code == 7
    asked = len(world.box.record.requests())
    with Ingest(world.ledger_path, base_url=world.box.url) as ingest:
        ingest.stop()
        with pytest.raises(Stopped):
            ingest.run(world.folder, "job", SETTINGS)
    assert len(world.box.record.requests()) == asked


def test_stopped_before_it_began_nothing_is_given_up(world: World) -> None:
    """A transaction that was to be given up is kept, and with it what was sent."""
    world.pictures(2)
    world.box.add_fault("trigger:403:times=1")
    assert world.run().code == 7
    with Ingest(world.ledger_path, base_url=world.box.url) as ingest:
        ingest.stop()
        with pytest.raises(Stopped):
            ingest.run(world.folder, "job", SETTINGS, new_transaction=True)
    assert world.job().state == "uploaded"
    assert set(world.states().values()) == {"sent"}


def test_the_lease_is_kept_while_the_server_thinks(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long one answer takes: another host must not take the run for dead, and start processing too."""
    monkeypatch.setattr(runs, "HEARTBEAT_EVERY_S", 0.0)
    monkeypatch.setattr(listening, "LOOK_EVERY_S", 0.1)
    world.pictures(1)
    world.box.add_fault("trigger:slow:seconds=60:times=1")
    beats: set[datetime] = set()

    def beating() -> bool:
        if world.box.record.triggers_accepted():
            with world.ledger() as ledger:
                run = ledger.runs.last(ledger.jobs.all()[0].id)
                beats.update([] if run is None else [run.heartbeat_at])
        return len(beats) > 2

    def look() -> None:
        try:
            world.until(beating, "the lease was renewed twice while the trigger was on its way")
        finally:
            world.box.clear_faults()

    with ThreadPoolExecutor(1) as looking:
        looked = looking.submit(look)
        assert world.run("--settle", "0.1s").code == 0
        looked.result()


def test_a_worker_that_comes_too_late_sends_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a run has claimed and not begun to send when it gives its worker up is never sent."""
    monkeypatch.setattr(upload, "GRACE_S", 0.5)
    world.pictures(3)
    (world.folder / "a.png").touch()
    free, waiting = threading.Event(), threading.Event()

    def wait() -> None:
        waiting.set()
        assert free.wait(PATIENCE_S)

    def stop_it() -> None:
        assert waiting.wait(PATIENCE_S)
        ingest.stop()

    slow = Calling("file_error", wait)
    with Ingest(world.ledger_path, base_url=world.box.url, observers=[slow]) as ingest:
        threading.Thread(target=stop_it).start()
        with pytest.raises(Stopped):
            ingest.run(world.folder, "job", SETTINGS)
        worker = next(thread for thread in threading.enumerate() if thread.name == "sender")
        decide.waive(ingest.ledger, world.job(), ["a.png"])
        with Ingest(world.ledger_path, base_url=world.box.url) as another:
            assert another.run(world.folder, "job", SETTINGS).job.state == "ready"
        sent = len(world.box.record.requests("upload"))
        free.set()
        worker.join(PATIENCE_S)
    assert len(world.box.record.requests("upload")) == sent
    world.check_promises()


def test_an_interrupted_program_leaves_nothing_open(world: World) -> None:
    """Ctrl-C where a program has no handler of its own ends the run as a stop does: what is on its way is awaited."""
    world.box.add_fault("upload:slow:seconds=0.3")
    world.pictures(100)

    def interrupt() -> None:
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with Ingest(
        world.ledger_path, base_url=world.box.url, observers=[Calling("batch_sent", interrupt)]
    ) as ingest:
        try:
            with pytest.raises(KeyboardInterrupt):
                ingest.run(world.folder, "job", SETTINGS)
        finally:
            signal.signal(signal.SIGINT, before)
        assert set(world.states().values()) == {"sent", "pending"}
        assert ingest.run(world.folder, "job", SETTINGS).job.state == "ready"
    assert set(world.held().values()) == {1}
    world.check_promises()


def test_a_scan_that_hangs_does_not_keep_a_run_from_ending(world: World) -> None:
    """A list on standard input that nobody writes: the end is on record within the promised time."""
    world.pictures(6)
    with world.start("--files-from", "-", stdin=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write("p0000.png\n" * 60)
        process.stdin.flush()
        world.until(world.box.record.files, "files arrived, though the list is not over", process)
        process.terminate()
        assert process.wait(PATIENCE_S) == 128 + signal.SIGTERM
        process.stdin.close()
    assert "run_ended" in world.kinds()


def test_a_time_limit_holds_while_waiting_for_the_server(world: World) -> None:
    """Even where the server asks for a longer pause than the run may take."""
    world.pictures(2)
    world.box.add_fault("create:429:retry-after=3600")
    assert world.run("--max-duration", "1s").code == 10
    assert world.box.record.requests("trigger") == []


def test_a_stop_reaches_a_run_that_is_just_starting(world: World) -> None:
    """Asked between the lock and its first event, it is neither lost nor taken for done because of the run before."""
    world.pictures(2)
    world.box.add_fault("create:403:times=1")
    assert world.run().code == 7
    cancel_token, api = CancelToken(), Api(world.box.url, Tokens(None))
    with world.ledger() as ledger, hold(ledger, world.job().id) as job:
        with pytest.raises(JobHeld, match="has been asked to stop"):
            stop(ledger, job, 0.3)
        run = ledger.runs.take(job.id, "here", 1, "test")
        lease, now = Lease(ledger.runs, run), clock.monotonic()
        context = Context(
            ledger, api, job, run, Folder(job.source), SETTINGS, cancel_token, Observer(), lease, now
        )
        with listening.listening(context, job.event_count):
            world.until(lambda: cancel_token.cancelled, "the run is asked to stop")
    assert isinstance(cancel_token.reason, Stopped)


def test_a_second_call_does_not_take_the_first_ones_stop_away(world: World) -> None:
    """One `Ingest` does one thing at a time, and says so."""
    world.box.add_fault("upload:slow:seconds=0.3")
    world.pictures(40)
    refused: list[UsageError] = []

    def call_again() -> None:
        with pytest.raises(UsageError, match="at work") as caught:
            ingest.run(world.folder, "other", SETTINGS)
        refused.append(caught.value)
        ingest.stop()

    with Ingest(
        world.ledger_path, base_url=world.box.url, observers=[Calling("batch_sent", call_again)]
    ) as ingest:
        with pytest.raises(Stopped):
            ingest.run(world.folder, "job", SETTINGS)
        assert len(refused) == 1
        world.box.clear_faults()
        assert ingest.run(world.folder, "job", SETTINGS).job.state == "ready", "the stop was for the first"


@pytest.mark.parametrize("moment", ["job_started", "batch_sent"])
def test_a_callback_that_fails_ends_the_run_in_order(world: World, moment: str) -> None:
    """Observers are told, the run is over on record, and the next one goes on."""
    world.pictures(3)

    def fail() -> None:
        raise KeyError("mistake")

    failing = Calling(moment, fail)
    with Ingest(world.ledger_path, base_url=world.box.url, observers=[failing]) as ingest:
        with pytest.raises(KeyError):
            ingest.run(world.folder, "job", SETTINGS)
        (error,) = failing.ends
        assert "KeyError" in str(error)
        assert error.exit_code == 1
        run = ingest.ledger.runs.last(world.job().id)
        assert run is not None
        assert isinstance(run.ended_at, datetime)
        assert ingest.run(world.folder, "job", SETTINGS).job.state == "ready"
    world.check_promises()


@pytest.mark.parametrize("wrong", [{"batch_size": 0}, {"workers": 0}, {"workers": 65}, {"settle_s": -1.0}])
def test_settings_that_can_not_be_are_refused(wrong: dict[str, float]) -> None:
    """Where they are made, not in an endless loop."""
    with pytest.raises(UsageError):
        Settings(**wrong)  # type: ignore[arg-type]  # a table
