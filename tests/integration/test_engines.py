"""Sending by what runs calls elsewhere, where that loses calls, or never answers: executors that misbehave."""

import contextlib
import os
import shutil
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from distributed.cfexecutor import ClientExecutor

from vl_ingest import Ingest, Settings, clock
from vl_ingest.couriers import away, roster, task
from vl_ingest.couriers.away import Away
from vl_ingest.couriers.engine import OfExecutor
from vl_ingest.couriers.parcel import Parcel
from vl_ingest.domain.errors import JobHeld, Stopped, UsageError
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import AttemptOutcome
from vl_ingest.domain.timetable import Timetable
from vl_ingest.ledger.author import host
from vl_ingest.ledger.exchange import Claim
from vl_ingest.ledger.runs import Lease
from vl_ingest.observers.observer import Observer
from vl_ingest.processing.trigger import wait_for_doubtful
from vl_ingest.run.away import left_away
from vl_ingest.run.context import Context
from vl_ingest.upload.reconcile import wait_for_couriers
from world import World


class Told(Observer):
    """Keeps what a person is told, and stops the run once that is told which is `awaited`."""

    def __init__(self, awaited: str | None) -> None:
        self.texts: list[str] = []
        self.stop: Callable[[], object] = lambda: None
        self._awaited = awaited

    def notice(self, kind: str, text: str, **facts: object) -> None:  # noqa: ARG002  # an observer's
        """Keep it."""
        self.texts.append(text)
        if self._awaited is not None and self._awaited in text:
            self.stop()


Mood = Callable[[Callable[..., Any], int], "Future[Any] | None"]


class Moody(Executor):
    """Runs calls in a thread, unless `mood` has an answer of its own for one: it is asked with how many came before."""

    def __init__(self, mood: Mood = lambda _function, _earlier: None) -> None:
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self._mood = mood
        self._pool = ThreadPoolExecutor(2)

    def submit(self, function: Callable[..., Any], /, *values: Any, **_named: Any) -> "Future[Any]":
        """Run it, or not."""
        earlier = self.asked.count(function)
        self.calls.append((function, values))
        return self._mood(function, earlier) or self._pool.submit(function, *values)

    @property
    def asked(self) -> list[Callable[..., Any]]:
        """What it was asked for."""
        return [function for function, _ in self.calls]


def over(outcome: object) -> "Future[Any]":
    """Return a call that is over: with an error, or a result."""
    future: Future[Any] = Future()
    if isinstance(outcome, BaseException):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
    return future


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(away, "ALONE_S", 0.3)
    monkeypatch.setattr(roster, "LOOK_EVERY_S", 0.05)


def send(
    world: World, executor: Executor, *, awaited: str | None = None, folder: Path | None = None
) -> list[str]:
    """Run the job by an executor, to its end or until that is told which is `awaited`; return what was told."""
    told = Told(awaited)
    settings = Settings(
        settle_s=0.3, workers=2, batch_size=1, max_duration_s=60.0,
        remote_source=None if folder is None else str(folder),
    )  # fmt: skip
    with Ingest(world.ledger_path, base_url=world.box.url, executor=executor, observers=[told]) as ingest:
        told.stop = ingest.stop
        with contextlib.nullcontext() if awaited is None else pytest.raises(Stopped):
            ingest.run(world.folder, "job", settings)
    return told.texts


def test_a_worker_that_never_answers_is_named(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its introduction may wait for the work of others, for ever; the run can be stopped all the same."""
    monkeypatch.setattr(roster, "INTRODUCED_S", 0.3)
    world.pictures(2)
    send(world, Moody(lambda _function, _earlier: Future()), awaited="is not used: it has not answered for")
    assert not world.box.record.files()


def test_a_worker_whose_introduction_was_lost_is_asked_again(world: World) -> None:
    """What is between may break for a moment, and the worker is there still."""
    world.pictures(2)
    lost = over(ConnectionError("the connection to the scheduler was lost"))
    executor = Moody(lambda function, earlier: lost if function is task.introduce and earlier < 2 else None)
    assert not any("is not used" in text for text in send(world, executor))
    world.check_promises()


def test_a_worker_that_could_not_be_used_is_asked_again_after_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder may be there by then; what is wrong is said once."""
    monkeypatch.setattr(roster, "AGAIN_S", 0.3)
    world.pictures(2)
    broken = over(ModuleNotFoundError("No module named 'vl_ingest'"))
    executor = Moody(lambda function, earlier: broken if function is task.introduce and earlier < 3 else None)
    told = send(world, executor)
    assert sum("is not used: No module named 'vl_ingest'" in text for text in told) == 1
    world.check_promises()


def test_a_pool_of_processes_sends(world: World) -> None:
    """Any executor can."""
    world.pictures(20)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        send(world, pool)
    world.check_promises()
    assert set(world.held().values()) == {1}


def test_a_worker_with_another_folder_is_named_and_not_used(world: World, tmp_path: Path) -> None:
    """It would send other files: nothing goes before a worker has proved what it sees."""
    world.pictures(2)
    other = tmp_path / "other"
    other.mkdir()
    for picture in world.folder.iterdir():
        seen = picture.stat()
        copy = other / picture.name
        copy.write_bytes(picture.read_bytes()[::-1])
        os.utime(copy, ns=(seen.st_mtime_ns, seen.st_mtime_ns))
    send(world, Moody(), folder=other, awaited="other content")
    assert not world.box.record.files()
    send(world, Moody(), folder=world.folder)
    world.check_promises()


def test_a_file_that_only_a_worker_misses_is_not_missing(world: World, tmp_path: Path) -> None:
    """The worker is no longer used, and is named; the file is sent by one that sees it."""
    world.pictures(4)
    other = tmp_path / "other"
    shutil.copytree(world.folder, other)
    (world.folder / "z.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(5000))
    send(world, Moody(), folder=other, awaited="is not used: it does not see z.mp4 as it is here")
    assert world.states()["z.mp4"] == "pending"
    send(world, Moody(), folder=world.folder)
    world.check_promises()
    assert set(world.held().values()) == {1}


def test_dasks_own_executor_is_refused(tmp_path: Path) -> None:
    """It runs a call again by itself, and what to do instead is said."""
    with pytest.raises(UsageError, match=r"Settings\(dask=ADDRESS\)"):
        Ingest(tmp_path / "ledger.db", executor=ClientExecutor(None))  # type: ignore[no-untyped-call]  # Dask's


def test_nothing_is_given_to_workers_once_another_run_holds_the_job(world: World) -> None:
    """Until when they may send is on record before, and only the run that holds the job can put it there."""
    world.pictures(1)

    def mood(function: Callable[..., Any], _earlier: int) -> "Future[Any] | None":
        if function is task.introduce:
            take_over(world)
        return None

    executor = Moody(mood)
    with pytest.raises(JobHeld):
        send(world, executor)
    assert task.carry not in executor.asked
    assert not world.box.record.files()


def test_what_was_given_back_is_sent_again_only_by_the_run_that_holds_the_job(world: World) -> None:
    """Its intent is on record, but may be old: another run may have taken over since."""
    world.pictures(1)

    def mood(function: Callable[..., Any], _earlier: int) -> "Future[Any] | None":
        if function is not task.carry:
            return None
        take_over(world)
        return over(task.Report(task.OVERDUE, None, "somebody", "host"))

    executor = Moody(mood)
    with pytest.raises(JobHeld):
        send(world, executor)
    assert executor.asked.count(task.carry) == 1


def take_over(world: World) -> None:
    """Begin another run of the job."""
    with world.ledger() as ledger:
        ledger.runs.take(world.job().id, host(), os.getpid(), "test")


def test_the_same_run_of_a_copied_ledger_has_another_name(make_context: Callable[..., Context]) -> None:
    """What a worker remembers of one must not be taken for the other's."""
    context, names = make_context(1), []
    for _ in range(2):
        executor = Moody(lambda function, _earlier: Future() if function is task.carry else None)
        courier = Away(
            context.api, Timetable(None), OfExecutor(executor, 1), run="job-1", folder=context.source.address,
            record=lambda _until, _hosts: None, notice=lambda _kind, _text: None,
        )  # fmt: skip
        file = (context.source.address, [("000.png", "000.png", *context.source.look("000.png"))], "/uploads")
        courier.submit(Parcel(*file))
        until = clock.monotonic() + 60
        while task.carry not in executor.asked and clock.monotonic() < until:
            time.sleep(0.01)
        courier.close()
        names += [values[0].run for function, values in executor.calls if function is task.carry]
    assert len(set(names)) == 2


def next_run(context: Context, observer: Observer | None = None) -> Context:
    """Return the next run of the job."""
    run = context.ledger.runs.take(context.job.id, "host", os.getpid(), "test")
    lease = Lease(context.ledger.runs, run)
    return replace(
        context, run=run, lease=lease, started_at=clock.monotonic(), observer=observer or Observer()
    )


def leave(context: Context, left_s: float) -> None:
    """Let a run end while its workers may send for so long."""
    until = clock.iso(clock.now() + timedelta(seconds=left_s))
    context.ledger.jobs.intend(context.run, EventKind.COURIERS_AWAY, until=until, hosts="a")


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long runs wanted to wait, in seconds: they go on at once, and a machine that stands still changes nothing."""
    asked: list[float] = []
    monkeypatch.setattr(Context, "pause", lambda _context, seconds: asked.append(seconds))
    return asked


def test_what_an_earlier_run_left_is_waited_for_where_the_clock_is_ahead(
    make_context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    """How much was left counts from when the next run holds the job; once waited for, it is over for all runs."""
    first = make_context(0)
    leave(first, 100.0)
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() + timedelta(days=1))
    told = Told(None)
    second = next_run(first, told)
    wait_for_couriers(second)
    assert 50 < pauses[0] <= 100
    assert "workers on a may still be sending for an earlier run" in told.texts[0]
    third = next_run(second, told)
    wait_for_couriers(third)
    assert len(told.texts) == 1


def test_that_nothing_is_on_its_way_is_true_of_the_run_that_says_it(
    make_context: Callable[..., Context],
) -> None:
    """One that was taken for dead may wake up and say so, while the workers of the next one send."""
    first = make_context(0)
    leave(first, 1.0)
    second = next_run(first)
    leave(second, 1.0)
    first.note(EventKind.COURIERS_BACK)
    assert [event.run_id for event in left_away(next_run(second))] == [second.run.id]
    second.note(EventKind.COURIERS_BACK)
    assert not left_away(next_run(second))


def test_the_window_of_a_doubtful_upload_begins_when_no_worker_sends_any_more(
    make_context: Callable[..., Context], monkeypatch: pytest.MonkeyPatch, pauses: list[float]
) -> None:
    """The attempt may have been given up before, with its run."""
    now = clock.now
    monkeypatch.setattr(clock, "now", lambda: now() - timedelta(seconds=200))
    told = Told(None)
    context = make_context(1, observer=told, settle_s=100)
    rows = list(context.ledger.files.pending(context.job.id, 0, 1))
    (batch,) = context.ledger.batches.exchange(context.run, "1", [], [Claim(rows)])
    context.ledger.batches.record_failure(context.run, batch, AttemptOutcome.UNKNOWN, None, "lost")
    monkeypatch.setattr(clock, "now", now)
    context = replace(context, started_at=clock.monotonic() - 200)
    wait_for_doubtful(context)
    assert not pauses
    context.note(EventKind.COURIERS_BACK, of_run=context.run.id)
    wait_for_doubtful(context)
    assert 50 < pauses[0] <= 100
    assert "to let any request still under way arrive" in told.texts[0]
