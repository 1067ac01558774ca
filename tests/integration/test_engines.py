"""Sending by what runs calls elsewhere, where that loses calls, or never answers: executors that misbehave."""

import contextlib
import os
import shutil
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from vl_ingest import Ingest, Settings
from vl_ingest.couriers import away, roster, task
from vl_ingest.domain.errors import Stopped
from vl_ingest.observers.observer import Observer
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


class Moody(Executor):
    """Runs calls in a thread, unless `mood` has an answer for one: an error, or nothing, ever."""

    def __init__(
        self,
        mood: Callable[[Callable[..., Any], int], BaseException | str | None] = lambda _function, _earlier: (
            None
        ),
    ) -> None:
        self.calls: list[tuple[Callable[..., Any], tuple[Any, ...]]] = []
        self._mood = mood
        self._pool = ThreadPoolExecutor(2)

    def submit(self, function: Callable[..., Any], /, *values: Any, **_named: Any) -> "Future[Any]":
        """Run it, or not."""
        earlier = sum(called is function for called, _ in self.calls)
        self.calls.append((function, values))
        answer = self._mood(function, earlier)
        if answer is None:
            return self._pool.submit(function, *values)
        future: Future[Any] = Future()
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        return future


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(away, "SHORTEST_S", 1.0)
    monkeypatch.setattr(away, "LONGEST_S", 1.0)
    monkeypatch.setattr(away, "SLACK_S", 0.2)
    monkeypatch.setattr(away, "ANSWER_S", 0.2)
    monkeypatch.setattr(away, "ALONE_S", 0.3)
    monkeypatch.setattr(roster, "LOOK_EVERY_S", 0.05)
    monkeypatch.setattr(roster, "INTRODUCED_S", 0.3)


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


def test_a_worker_that_never_answers_is_named(world: World) -> None:
    """Its introduction may wait for the work of others, for ever; the run can be stopped all the same."""
    world.pictures(2)
    send(world, Moody(lambda _function, _earlier: "nothing"), awaited="is not used: it has not answered for")
    assert not world.box.record.files()


def test_a_worker_whose_introduction_was_lost_is_asked_again(world: World) -> None:
    """What is between may break for a moment, and the worker is there still."""
    world.pictures(2)
    lost = ConnectionError("the connection to the scheduler was lost")
    executor = Moody(lambda function, earlier: lost if function is task.introduce and earlier < 2 else None)
    assert not any("is not used" in text for text in send(world, executor))
    world.check_promises()


def test_a_worker_that_could_not_be_used_is_asked_again_after_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder may be there by then; what is wrong is said once."""
    monkeypatch.setattr(roster, "AGAIN_S", 0.3)
    world.pictures(2)
    broken = ModuleNotFoundError("No module named 'vl_ingest'")
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
