"""Every way a trigger can be lost, with every way a status and the server's tasks can tell of it."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, repeat
from pathlib import Path

import pytest

from vl_ingest.sandbox import Sandbox
from vl_ingest.server.api import Api
from vl_ingest.server.optional import Extras
from world import World

# name -> (fault on the first trigger, whether the server carried that one out)
LOSSES = {
    "request lost": ("trigger:reset-before:times=1", False),
    "request lost behind its body": ("trigger:reset-after:times=1", False),
    "answer lost": ("trigger:lost-answer:times=1", True),
    "answer cut": ("trigger:cut-answer:times=1", True),
    "2xx in HTML, carried out": ("trigger:html:times=1", True),
    "2xx in HTML, not carried out": ("trigger:html-lost:times=1", False),
    "200 instead of 202, carried out": ("trigger:200:done=yes:times=1", True),
    "a redirect, carried out": ("trigger:307:done=yes:times=1", True),
    "5xx before": ("trigger:502:times=1", False),
    "5xx after": ("trigger:502:done=yes:times=1", True),
    "time-out, not carried out": ("trigger:hang:seconds=30:times=1", False),
    "time-out, carried out": ("trigger:slow:seconds=30:times=1", True),
    "409, carried out": ("trigger:409:done=yes:times=1", True),
    "401 once": ("trigger:401:times=1", False),
    "429 once": ("trigger:429:retry-after=0:times=1", False),
    "lost twice": ("trigger:reset-after:times=2", False),
}
STATUSES: dict[str, dict[str, object]] = {
    "at once": {},
    "late": {"draft_s": 0.3},
    "old words": {"old_statuses": True, "indexing_s": 0.3},
    "old words, late": {"old_statuses": True, "draft_s": 0.3},
}
# What the server's tasks tell: at once, late, nothing at all, what is no proof, or what can't be had.
TASKS: dict[str, tuple[dict[str, object], list[str]]] = {
    "from the trigger": ({}, []),
    "from the creation": ({"tasks": "create"}, []),
    "late": ({"tasks_lag_s": 0.4}, []),
    "late, from the creation": ({"tasks": "create", "tasks_lag_s": 0.4}, []),
    "later than the window": ({"tasks_lag_s": 60.0}, []),
    "always waiting": ({"tasks": "waiting"}, []),
    "none": ({"tasks": "never"}, []),
    "missing": ({"without": ["tasks"]}, []),
    "forbidden": ({}, ["tasks:403"]),
    "broken": ({}, ["tasks:500"]),
    "a page": ({}, ["tasks:html"]),
}
SETTLE = "0.9s"
TIME_OUT_S = 0.5


@contextmanager
def patience(loss: str) -> Iterator[None]:
    """Wait half a second for the answer that a time-out withholds, where a real run waits two minutes.

    What follows it, and the other losses, have all the time they want: a busy machine must not add time-outs.
    """
    with pytest.MonkeyPatch.context() as patch:
        if loss.startswith("time-out"):
            for client, request in ((Api, Api.trigger), (Extras, Extras.add_media)):
                patch.setattr(client, request.__name__, _impatient(client, request))
        yield


def _impatient(client: type[Api] | type[Extras], request: Callable[..., int]) -> Callable[..., int]:
    waits_s = chain([TIME_OUT_S], repeat(math.inf))
    return lambda api, *what: request(client.beside(api, next(waits_s)), *what)


def check_once(loss: str, status: str, tasks: str, place: Path) -> None:
    """See that the server starts processing once, and that no task proves what did not begin."""
    fault, carried_out = LOSSES[loss]
    options, faults = TASKS[tasks]
    with Sandbox(root=place / "server", faults=[fault, *faults], **STATUSES[status], **options) as box:  # type: ignore[arg-type]  # tables
        world = World(place, box)
        world.pictures(2)
        with patience(loss):
            ended = world.run("--settle", SETTLE)
        assert ended.code == 0, ended.err
        world.check_promises()
        requests = [r for r in box.record.requests("trigger") if r["status"] != 401]
        if carried_out:
            assert len(requests) <= 1, "what was carried out is not requested again"
        else:
            kinds = world.kinds()
            assert "trigger_proved_by_task" not in kinds[: _last(kinds, "trigger_intended")], (
                "no task proves what was not"
            )
        noted = world.kinds().count("endpoint_not_available")
        assert noted == (tasks in ("missing", "forbidden", "broken", "a page")), "once"


def _last(kinds: list[str], kind: str) -> int:
    return len(kinds) - 1 - kinds[::-1].index(kind)
