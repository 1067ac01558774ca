"""Rates and timetables of `--bwlimit`."""

import threading
from collections import Counter
from datetime import datetime

import pytest

from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.timetable import Timetable, parse_rate
from vl_ingest.server.pace import Pace

MIB = 1024.0**2


def at(day: int, time: str) -> datetime:
    """Return a local time of the week that begins on Monday, 5 January 2026; day 0 is that Monday."""
    return datetime.fromisoformat(f"2026-01-{5 + day:02}T{time}")


@pytest.mark.parametrize(
    ("table", "day", "time", "rate"),
    [
        ("8M", 3, "12:00", 8 * MIB),
        ("off", 3, "12:00", None),
        ("08:00,1M 19:00,off", 2, "07:59", None),
        ("08:00,1M 19:00,off", 2, "08:00", MIB),
        ("08:00,1M 19:00,off", 2, "18:59", MIB),
        ("08:00,1M 19:00,off", 2, "19:00", None),
        ("08:00,1M 19:00,off", 0, "00:00", None),
        ("19:00,off 08:00,1M", 6, "23:59", None),
        ("8:00,1M", 2, "03:00", MIB),
        ("Mon-08:00,1M Fri-19:00,off", 0, "07:59", None),
        ("Mon-08:00,1M Fri-19:00,off", 4, "18:59", MIB),
        ("mon-08:00,1M FRI-19:00,off", 6, "12:00", None),
        ("06:00,2M Sun-00:00,off", 6, "05:59", None),
        ("06:00,2M Sun-00:00,off", 6, "06:00", 2 * MIB),
    ],
)
def test_each_entry_holds_until_the_next(table: str, day: int, time: str, rate: float | None) -> None:
    """Over midnight and over the end of the week, in whatever order they are written."""
    assert Timetable(table).rate(at(day, time)) == rate


@pytest.mark.parametrize(
    ("text", "rate"),
    [("8M", 8 * MIB), ("1.5MiB/s", 1.5 * MIB), ("500kB", 5e5), ("OFF", None), ("0", None), ("1024", 1024.0)],
)
def test_rates_as_people_write_them(text: str, rate: float | None) -> None:
    """With or without the `/s`."""
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "8", "-1M", "fast", "8M/h"])
def test_what_is_no_rate_is_refused(text: str) -> None:
    """Also one of a few bytes a second, which can only be a slip."""
    with pytest.raises(UsageError, match=r"Examples?:|For KiB write"):
        parse_rate(text)


def test_nobody_is_starved() -> None:
    """Whoever waits is served in turn, so that no connection is silent for longer than the others."""
    pace, served = Pace(Timetable("200K")), list[int]()
    over, all_are_there = threading.Event(), threading.Barrier(16)

    def send(number: int) -> None:
        all_are_there.wait()
        while not over.is_set():
            pace.spend(pace.piece(10_000), over.is_set)
            served.append(number)
            if len(served) >= 80:
                over.set()

    threads = [threading.Thread(target=send, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    all_have_asked = max(served.index(number) for number in range(16))
    assert all_have_asked < 40, "nobody waits for long, from the beginning"
    counts = Counter(served[all_have_asked:])
    assert max(counts.values()) - min(counts[number] for number in range(16)) <= 2
