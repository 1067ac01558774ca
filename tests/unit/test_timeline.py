"""The story of a job names outages and deaths, and tells repetitions once."""

from datetime import UTC, datetime, timedelta
from typing import Any

from vl_ingest.domain.model import Event
from vl_ingest.report.timeline import outages, timeline

BEGIN = datetime(2026, 1, 31, 23, 59, tzinfo=UTC)


def history(*told: tuple[int, int | None, str, dict[str, Any]]) -> list[Event]:
    """Return events from (second, run, kind, facts)."""
    return [
        Event(
            id=number, job_id="job", number=number, run_id=run, host="vm", user="ann",
            at=BEGIN + timedelta(seconds=second), kind=kind, facts=facts, hash="",
        )
        for number, (second, run, kind, facts) in enumerate(told, 1)
    ]  # fmt: skip


def lost(second: int, batch: int, run: int = 1) -> tuple[int, int, str, dict[str, Any]]:
    """Return an attempt whose answer was lost."""
    return second, run, "attempt_unknown", {"batch": batch, "attempt": 1, "detail": "reset", "files": 2}


def sent(second: int, run: int = 1) -> tuple[int, int, str, dict[str, Any]]:
    """Return a receipt."""
    return second, run, "batch_sent", {"batch": 1, "files": 2}


START = (0, 1, "run_started", {"host": "vm", "pid": 1})
AGAIN = (900, 2, "run_started", {"host": "vm", "pid": 2})


def texts(events: list[Event]) -> list[str]:
    """Return the story's sentences."""
    return [step["text"] for step in timeline(events, outages(events))]


def test_an_outage_is_one_moment_with_its_length() -> None:
    """From the first failure to the next answer, whatever else is told between."""
    events = history(
        START,
        sent(5),
        lost(10, 1),
        lost(20, 2),
        (25, None, "stop_asked", {"by": "ann"}),
        lost(30, 2),
        sent(70),
    )
    assert [(o.failed, o.lasted_s, o.answered) for o in outages(events)] == [(3, 60.0, True)]
    assert texts(events)[2] == "Outage of 1 min 00 s: 3 attempts failed (reset), then one was answered."
    assert len(texts(events)) == 5


def test_a_hiccup_is_no_outage() -> None:
    """Two failures, or three within a moment, are told as what they are."""
    events = history(
        START, lost(10, 1), lost(20, 2), sent(25), lost(30, 1), lost(31, 2), lost(32, 3), sent(33)
    )
    assert list(outages(events)) == []
    assert sum("got no receipt" in text for text in texts(events)) == 2


def test_an_outage_that_a_run_did_not_outlive_ends_with_it() -> None:
    """With the end of the run, or, if that died, with the last failure; where nothing followed, with that too."""
    failures = (lost(10, 1), lost(20, 2), lost(30, 2))
    for rest, lasted_s in (([(40, 1, "run_ended", {"exit_code": 5})], 30.0), ([AGAIN], 20.0), ([], 20.0)):
        (outage,) = outages(history(START, *failures, *rest))
        assert (outage.lasted_s, outage.answered) == (lasted_s, False)


def test_a_run_that_died_is_named_where_the_next_one_begins() -> None:
    """A person's word between changes nothing; a run that ended did not die."""
    assert "Run 1 had died: its last record is of 2026-01-31 23:59:05." in texts(
        history(START, sent(5), (60, None, "stop_asked", {"by": "ann"}), AGAIN)
    )
    ended = (6, 1, "run_ended", {"exit_code": 3})
    assert not any("died" in text for text in texts(history(START, sent(5), ended, AGAIN)))


def test_decisions_in_a_row_are_told_together_and_by_name() -> None:
    """A few in full, the rest counted; somebody else's stand apart."""
    waived = [
        (n, None, "file_waived", {"path": f"{n}.jpg", "state": "rejected", "by": "ann"}) for n in range(5)
    ]
    events = history(*waived, (9, None, "file_waived", {"path": "9.jpg", "state": "empty", "by": "bob"}))
    first, second = texts(events)
    assert first.startswith("0.jpg (rejected) was waived by ann")
    assert first.endswith("And 2 more like these.")
    assert second.startswith("9.jpg (empty) was waived by bob")


def test_a_request_that_fails_again_and_again_is_one_moment() -> None:
    """The intents between are not told, unless nothing follows them: then the run died while it asked."""
    asked: tuple[int, int, str, dict[str, Any]] = (1, 1, "create_intended", {})
    failed = (1, 1, "create_failed", {"detail": "no route"})
    told = texts(history(START, *[asked, failed] * 5, asked, AGAIN))
    assert told[1] == "The dataset was not created (no route). " * 3 + "And 2 more like these."
    assert told[2].startswith("Run 1 had died")
    assert told[2].endswith("The request to create the dataset was about to be sent.")


def test_a_persons_word_is_told_without_a_programs_words() -> None:
    """Yes or no, and by whom."""
    word = (1, None, "trigger_settled_by_hand", {"by": "ann", "began": True, "status": None})
    assert texts(history(word)) == ["ann settled whether processing had begun: yes."]


def test_what_another_version_wrote_is_told_plainly() -> None:
    """An unknown kind, and a known one without its facts, are still told."""
    assert texts(history((0, None, "moon_rose", {}), (1, None, "file_waived", {}))) == [
        "Moon rose.",
        "File waived.",
    ]
