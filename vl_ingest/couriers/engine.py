"""What runs calls elsewhere, and what is known of its workers."""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any, Protocol

from vl_ingest.couriers.parcel import Outcome, Parcel
from vl_ingest.couriers.task import Introduction
from vl_ingest.domain.errors import UsageError

FIRST_RATE = 256 * 1024.0  # bytes a second, of a worker that has carried nothing yet
NEWEST = 0.3  # what the last parcel counts in a worker's rate


class Engine(Protocol):
    """Runs calls elsewhere."""

    pinned: bool  # a call goes to the worker that is named, and to no other

    def workers(self) -> Mapping[str, int]:
        """Return which workers there are now, and how many calls each runs at once. Raises `OSError`."""
        ...

    def submit(self, worker: str, function: Callable[..., Any], *values: Any) -> "Future[Any]":
        """Have a call run by a worker."""
        ...

    def broadcast(self, workers: Sequence[str], function: Callable[..., Any], *values: Any) -> None:
        """Have a call run by each worker beside what it does; as far as that can be, and without waiting."""
        ...

    def close(self) -> None:
        """End."""
        ...


@dataclass(eq=False)
class Assignment:
    """A parcel that was taken, and who has it."""

    number: int
    parcel: Parcel
    future: "Future[Outcome]"
    taken_at: float
    size_bytes: int
    worker: "Worker | None" = None
    line: int = 0
    until: float = math.inf  # its deadline, on this monotonic clock
    call: "Future[Any] | None" = None
    lost: str | None = None  # why nothing more will be heard of it


@dataclass(eq=False)
class Worker:
    """What is known of a worker; `lines` are the calls that it runs at once."""

    address: str
    lines: int
    intro: Introduction | None = None
    call: "Future[Introduction] | None" = None  # that asks for it
    asked_at: float = 0.0  # on this monotonic clock, as the next
    seen_at: float = 0.0  # when the introduction had come
    is_late: bool = False  # it has not come in time
    rate: float = FIRST_RATE
    held: "set[Assignment]" = field(default_factory=set)

    @property
    def usable(self) -> bool:
        """Whether it has introduced itself, and can be used."""
        return self.intro is not None and self.intro.trouble is None

    @property
    def held_bytes(self) -> int:
        """What it has, and has not said anything of."""
        return sum(held.size_bytes for held in self.held)

    def learn(self, rate: float, *, whole: bool) -> None:
        """Take up how fast it has carried: all of a parcel, or less of it than there was time for."""
        if whole:
            self.rate += NEWEST * (rate - self.rate)
        else:
            self.rate = max(1.0, min(self.rate, rate))

    def deadlines(self, until: float) -> tuple[float, float]:
        """Return a moment of this monotonic clock on both of the worker's, or a little earlier."""
        assert self.intro is not None  # noqa: S101  # it is usable
        later_s = until - self.seen_at
        return self.intro.monotonic_s + later_s, self.intro.wall_s + later_s


class OfExecutor:
    """Any `concurrent.futures.Executor` that runs each call at most once; the caller ends it.

    Who runs a call is the executor's own business, so the clocks of all hosts have to agree within a few seconds.
    """

    pinned = False

    def __init__(self, executor: Executor, lines: int) -> None:
        self._executor, self._lines = executor, lines

    def workers(self) -> Mapping[str, int]:
        """Return the one that has no name."""
        return {"executor": self._lines}

    def submit(self, worker: str, function: Callable[..., Any], *values: Any) -> "Future[Any]":  # noqa: ARG002  # there is one
        """Have a call run."""
        try:
            return self._executor.submit(function, *values)
        except RuntimeError as exc:  # it was shut down, or its processes have died
            raise OSError(str(exc)) from exc

    def broadcast(self, workers: Sequence[str], function: Callable[..., Any], *values: Any) -> None:
        """Do nothing: nobody can be reached beside what is running."""

    def close(self) -> None:
        """Leave it to the caller."""


def check_executor(executor: Executor) -> None:
    """Raise `UsageError` for one that is known to run calls again by itself."""
    if any(kind.__module__.partition(".")[0] == "distributed" for kind in type(executor).__mro__):
        raise UsageError(
            "Dask's executor can't send: it runs a call again by itself where a worker dies, and files might be sent twice. "
            "Use Settings(dask=ADDRESS), with the address of the scheduler, instead."
        )
