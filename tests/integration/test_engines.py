"""Sending by what runs calls elsewhere, where that loses calls, or never answers: executors that misbehave."""

from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any

import pytest

from vl_ingest import Ingest, Settings
from vl_ingest.couriers import away, roster, task
from vl_ingest.domain.errors import DurationReached
from vl_ingest.observers.observer import Observer
from world import World


class Told(Observer):
    """Keeps what a person is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def notice(self, kind: str, text: str, **facts: object) -> None:  # noqa: ARG002  # an observer's
        """Keep it."""
        self.texts.append(text)


class Moody(Executor):
    """Runs calls in a thread, unless `mood` has an answer for one: an error, or nothing, ever."""

    def __init__(self, mood: Callable[[Callable[..., Any], int], BaseException | str | None]) -> None:
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


def send(world: World, executor: Executor, *, max_duration_s: float = 60.0) -> list[str]:
    """Run the job by an executor; return what a person was told."""
    told = Told()
    settings = Settings(settle_s=0.3, workers=2, batch_size=1, max_duration_s=max_duration_s)
    with Ingest(world.ledger_path, base_url=world.box.url, executor=executor, observers=[told]) as ingest:
        try:
            ingest.run(world.folder, "job", settings)
        except DurationReached:
            told.texts.append("time is up")
    return told.texts


def test_a_worker_that_never_answers_is_named_and_the_run_ends_in_time(world: World) -> None:
    """Its introduction may wait behind the work of others, for ever."""
    world.pictures(2)
    told = send(world, Moody(lambda _function, _earlier: "nothing"), max_duration_s=3.0)
    assert any("is not used: it has not answered for" in text for text in told)
    assert told[-1] == "time is up"
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
