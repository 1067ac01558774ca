"""A task proves that processing began, or nothing."""

from datetime import timedelta
from typing import Any

import pytest

from vl_ingest.domain.remote import Task
from vl_ingest.processing.evidence import proof
from vl_ingest.processing.reprocess import gone_on

MADE = "2026-01-31T12:00:00.250000+00:00"
LEAST = timedelta(seconds=60)  # between the receipt of the dataset and the intent to start processing
LATER, SOONER = "2026-01-31T12:01:01.000001+00:00", "2026-01-31T12:00:30.000001+00:00"


def task(status: str, start_time: str | None = SOONER, **facts: Any) -> Task:
    """Return a task of the dataset's creation."""
    return Task(facts.pop("id", "t"), "d", "DATASET_CREATION", status, start_time=start_time, **facts)


@pytest.mark.parametrize(
    ("before", "now", "proves"),
    [
        # one in RUNNING, COMPLETED or FAILED where none was before
        ({}, task("RUNNING"), True),
        ({}, task("completed"), True),
        ({}, task("FAILED", None), True),
        ({"t": "INITIALIZING"}, task("RUNNING"), True),
        ({"t": "PENDING"}, task("COMPLETED"), True),
        ({"other": "FAILED"}, task("RUNNING"), True),
        # it was that before
        ({"t": "RUNNING"}, task("COMPLETED"), False),
        ({"t": "FAILED"}, task("RUNNING"), False),
        # one that only waits, with the dataset or since the trigger
        ({}, task("INITIALIZING"), False),
        ({}, task("INITIALIZING", None), False),
        ({}, task("INITIALIZING", "yesterday"), False),
        ({}, task("INITIALIZING", "2026-02-01"), False),
        ({}, task("INITIALIZING", LATER), True),
        ({}, task("QUEUED", LATER), True),
        ({"t": "INITIALIZING"}, task("INITIALIZING", LATER), False),
        ({}, task("ABORTED"), False),
        # nobody knows what was there before
        (None, task("RUNNING"), False),
        (None, task("INITIALIZING", LATER), False),
    ],
)
def test_what_a_task_proves(before: dict[str, str] | None, now: Task, proves: bool) -> None:
    """By what was there before the intent, and by the server's own clock."""
    assert (proof(before, [now], MADE, LEAST) is not None) == proves


@pytest.mark.parametrize(
    ("made", "least"),
    [
        (None, LEAST),
        ("2026-01-31", LEAST),
        ("long ago", LEAST),
        (MADE, None),
        (MADE, timedelta(0)),
        (MADE, timedelta(seconds=-5)),
        ("2026-01-31T12:00:00.900000+00:00", timedelta(seconds=60.2)),
    ],
)
def test_a_start_proves_nothing_where_it_can_not_be_compared(
    made: str | None, least: timedelta | None
) -> None:
    """Without the dataset's own moment, with a clock that was set back, or by a hair."""
    assert proof({}, [task("INITIALIZING", LATER)], made, least) is None


def test_moments_without_fractions_may_be_cut() -> None:
    """A dataset that was made within the second has to have been made at its end."""
    made = "2026-01-31T12:00:00+00:00"
    assert proof({}, [task("INITIALIZING", "2026-01-31T12:01:00.500000+00:00")], made, LEAST) is None
    assert proof({}, [task("INITIALIZING", "2026-01-31T12:01:01+00:00")], made, LEAST) is not None


def test_moments_without_a_zone_are_compared_with_each_other() -> None:
    """Whatever the zone is, it is the same one."""
    now = task("INITIALIZING", "2026-01-31T12:01:01.000001")
    assert proof({}, [now], "2026-01-31T12:00:00.250000", LEAST) is not None


def test_any_of_several_proves() -> None:
    """The newest first, or not."""
    assert proof({"a": "INITIALIZING"}, [task("INITIALIZING", id="a"), task("RUNNING", id="b")], MADE, LEAST)
    assert proof({}, [], MADE, LEAST) is None


BEFORE = {"task": "t", "task_status": "FAILED", "started": SOONER, "ended": LATER}


@pytest.mark.parametrize(
    ("known", "now", "proves"),
    [
        # the task that was retried
        ({"t": "FAILED"}, task("INITIALIZING", end_time=LATER), True),
        ({"t": "FAILED"}, task("FAILED", end_time=LATER), False),
        ({"t": "FAILED"}, task("FAILED", end_time=None), True),
        ({"t": "FAILED"}, task("FAILED", LATER, end_time=LATER), True),
        # another one, at work
        ({"t": "FAILED"}, task("RUNNING", id="new"), True),
        ({"t": "FAILED", "old": "ABORTED"}, task("RUNNING", id="old"), True),
        # another one that was at work before, or is over
        ({"t": "FAILED", "stuck": "INITIALIZING"}, task("INITIALIZING", id="stuck"), False),
        ({"t": "FAILED", "stuck": "INITIALIZING"}, task("RUNNING", id="stuck"), False),
        ({"t": "FAILED"}, task("COMPLETED", id="new"), False),
        # an intent of an earlier version, which noted only the retried one
        (None, task("RUNNING", id="other"), False),
        (None, task("RUNNING"), True),
    ],
)
def test_what_proves_that_processing_began_again(
    known: dict[str, str] | None, now: Task, proves: bool
) -> None:
    """What is new since the intent, and nothing that was at work before it."""
    before = BEFORE if known is None else {**BEFORE, "tasks": known}
    assert (gone_on(before, [now]) is not None) == proves
