"""The live page's decisions: who may look, where a job stands in words, a history taken in piece by piece, one look for all."""

import asyncio
from contextlib import aclosing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from vl_ingest.domain.model import Counts, Event, FileState, Job, JobState, Run
from vl_ingest.report.timeline import outages, timeline
from vl_ingest.serve.files import Wanted
from vl_ingest.serve.follow import BINS, Bins, Follower
from vl_ingest.serve.guard import Guard, is_loopback
from vl_ingest.serve.live import Live
from vl_ingest.serve.scenes import segments
from vl_ingest.serve.standing import Seen, Tone, standing

BEGIN = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)
JOB = Job(
    id="abc234", source="/s", name="n", base_url="http://b", state=JobState.TRANSACTION_OPEN, settings={}, dataset_id="d",
    transaction_id="1", run_id=1, too_large_bytes=None, left_out={}, status=None, progress=None, status_before=None,
    message=None, created_at=BEGIN, triggered_at=None, finished_at=None, event_count=9, event_head="h",
)  # fmt: skip
RUN = Run(id=1, job_id="abc234", host="vm", pid=7, started_at=BEGIN, heartbeat_at=BEGIN, ended_at=None)
COUNTS = Counts({FileState.SENT: 3, FileState.REJECTED: 2}, {FileState.SENT: 30, FileState.REJECTED: 20})
SEEN = Seen(JOB, COUNTS, RUN, alive=True)
IN_PARTS = replace(SEEN, counts=Counts({FileState.SENT: 3, FileState.PENDING: 2}, {}), alive=False)
RESUME = "vl-ingest resume abc234"


def ended(exit_code: int) -> Run:
    """Return the run after its end."""
    return replace(RUN, ended_at=BEGIN, exit_code=exit_code)


@pytest.mark.parametrize(
    ("seen", "tone", "words", "command"),
    [
        (SEEN, Tone.BUSY, "Uploading", ""),
        (replace(SEEN, scanned=False), Tone.BUSY, "still being scanned", ""),
        (
            replace(SEEN, run=replace(RUN, waiting_for="waiting for the server (no route)", waiting_since=BEGIN)),
            Tone.WAIT, "Waiting: Waiting for the server (no route). It goes on by itself.", "",
        ),
        (replace(SEEN, job=replace(JOB, state=JobState.UPLOADED)), Tone.BUSY, "Uploaded", ""),
        (replace(SEEN, job=replace(JOB, state=JobState.TRIGGERING)), Tone.BUSY, "Starting processing", ""),
        (
            replace(SEEN, job=replace(JOB, state=JobState.PROCESSING, status="INDEXING", progress=40)),
            Tone.BUSY, "Processing: The server says INDEXING, 40 %.", "",
        ),
        (
            replace(SEEN, alive=False, job=replace(JOB, state=JobState.READY), counts=Counts({FileState.SENT: 3}, {})),
            Tone.GOOD, "Done", "",
        ),
        (
            replace(SEEN, alive=False, job=replace(JOB, state=JobState.ERRORED, message="no quota")),
            Tone.BAD, "Processing failed: no quota", "vl-ingest run",
        ),
        (replace(SEEN, alive=False, job=replace(JOB, state=JobState.CANCELLED)), Tone.IDLE, "Cancelled", "vl-ingest run"),
        (replace(IN_PARTS, run=None), Tone.IDLE, "No run has begun", RESUME),
        (
            replace(IN_PARTS, run=replace(RUN, waiting_for="its last word")),
            Tone.WAIT, "Interrupted: The process 7 on vm is gone", RESUME,
        ),
        (replace(SEEN, run=ended(3), alive=False), Tone.BAD, "Blocked: 2 files", "vl-ingest retry abc234"),
        (replace(SEEN, run=ended(130), alive=False), Tone.WAIT, "Blocked: 2 files", "vl-ingest retry abc234"),
        (
            replace(SEEN, run=ended(13), outcome=13, job=replace(JOB, state=JobState.TRIGGERING), alive=False, counts=Counts({FileState.SENT: 3}, {})),
            Tone.BAD, "exit code 13 (a person had to decide)", "vl-ingest settle abc234 --began",
        ),
        (replace(IN_PARTS, run=ended(10)), Tone.IDLE, "Interrupted: The last run ended with exit code 10 (its time", RESUME),
        (replace(IN_PARTS, run=ended(5)), Tone.WAIT, "the trouble lasted too long", RESUME),
        (replace(IN_PARTS, run=ended(7)), Tone.BAD, "it was refused", RESUME),
        (replace(IN_PARTS, run=ended(130), job=replace(JOB, state=JobState.PROCESSING)), Tone.IDLE, "No run watches it", RESUME),
    ],
)  # fmt: skip
def test_where_a_job_stands_is_said_in_words(seen: Seen, tone: Tone, words: str, command: str) -> None:
    """Each state, and each end of a run, has its headline, its mark and, where nobody is at work, the next command."""
    stands = standing(seen)
    assert stands.tone == tone
    assert words in f"{stands.headline}: {stands.detail}"
    assert command in stands.next
    assert bool(command) == bool(stands.next)


def test_one_file_of_a_million_is_seen_in_the_bar() -> None:
    """Each state has a part that can be seen, and all together are the whole bar."""
    counts = Counts(
        {FileState.SENT: 999_999, FileState.REJECTED: 1, FileState.EMPTY: 1},
        {FileState.SENT: 10**12, FileState.REJECTED: 1, FileState.EMPTY: 0},
    )
    parts = segments(counts)
    assert [state for state, _, _ in parts] == ["sent", "rejected", "empty"]
    assert min(wide for _, _, wide in parts) > 3
    assert parts[-1][1] + parts[-1][2] == pytest.approx(1000)
    assert segments(Counts({}, {})) == []


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("localhost:8766", True), ("127.0.0.1", True), ("[::1]:1", True), ("LOCALHOST", True),
        ("evil.example", False), ("localhost.evil.example", False), ("10.1.2.3", False), ("", False), ("[", False),
        ("a@localhost", True),  # urlsplit's reading; a browser sends no such thing
    ],
)  # fmt: skip
def test_names_that_are_not_ours_are_refused(host: str, ours: bool) -> None:
    """On this machine only its own names lead in, at any port."""
    assert (Guard("127.0.0.1", 8766, None).refusal(host, None, "http") is None) is ours


def test_with_a_token_addresses_and_this_machines_names_lead_in() -> None:
    """A browser that was given an address has asked no name server; other names could be anybody's."""
    guard = Guard("photos.lan", 8766, "t" * 32)
    assert guard.refusal("10.1.2.3:8766", None, "http") is None
    assert guard.refusal("photos.lan:8766", "http://photos.lan:8766", "http") is None
    assert guard.refusal("evil.example", None, "http") is not None
    assert guard.refusal("10.1.2.3:8766", "http://10.1.2.4:8766", "http") is not None
    assert guard.refusal("10.1.2.3:8766", "null", "http") is not None
    assert [guard.knows(token) for token in (None, "", "T" * 32, "t" * 31, "é", "t" * 32)] == [False] * 5 + [
        True
    ]
    assert Guard("127.0.0.1", 1, None).knows(None)
    assert [is_loopback(host) for host in ("localhost", "127.9.9.9", "::1", "0.0.0.0", "::", "photos.lan")] == [
        True, True, True, False, False, False,
    ]  # fmt: skip


def told(number: int, second: float, kind: str, **facts: Any) -> Event:
    """Return an event of run 1."""
    at = BEGIN + timedelta(seconds=second)
    return Event(number, "abc234", number, 1, "vm", "ann", at, kind, facts, "")


def _history() -> list[Event]:
    """Return a history with a long quiet part, an outage, many rejected files, and one more batch."""
    lines: list[tuple[float, str, dict[str, Any]]] = [(0, "run_started", {"host": "vm", "pid": 7})]
    lines += [(1 + n, "batch_sent", {"batch": 1, "files": 5, "size_bytes": 1000}) for n in range(900)]
    lines += [
        (901 + 10 * n, "attempt_unknown", {"batch": 1, "attempt": n, "detail": "reset"}) for n in range(600)
    ]
    lines += [(7000, "batch_sent", {"batch": 1, "files": 5, "size_bytes": 1000})]
    lines += [(7001 + n, "file_rejected", {"path": f"{n}.png", "reason": "no"}) for n in range(700)]
    return [told(number, second, kind, **facts) for number, (second, kind, facts) in enumerate(lines, 1)]


def test_a_history_taken_in_piece_by_piece_reads_as_the_whole() -> None:
    """What is kept is little, and says the same as the report does of everything."""
    history = _history()
    follower = Follower("abc234")
    for event in history:
        follower._take(event)
    assert follower.moments({})[::-1] == list(timeline(history, outages(history)))
    assert len(follower._recent) < 50
    assert follower.failed_attempts == 600
    picture = follower.picture(BEGIN + timedelta(seconds=7701), hour=False, alive=True)
    assert picture is not None
    assert sum(picture.sent_bytes) == 901_000
    assert sum(picture.failed) == 600
    assert len(picture.sent_bytes) <= BINS
    assert [int((end - begin).total_seconds()) for begin, end in picture.away] == [7000 - 901]
    recent = follower.picture(BEGIN + timedelta(seconds=7701), hour=True, alive=True)
    assert recent is not None
    assert (sum(recent.sent_bytes), recent.bin_s) == (1000, 60.0)


def test_the_rate_is_that_of_lately_and_falls_while_nothing_comes() -> None:
    """Over the last minute, or five where that holds few receipts; unknown before there is anything to go by."""
    follower = Follower("abc234")
    assert follower.rate(BEGIN) == 0.0
    for number in range(600):
        follower._take(
            told(number + 1, number, "batch_sent", files=1, size_bytes=1000 if number < 500 else 3000)
        )
    end = BEGIN + timedelta(seconds=600)
    assert follower.rate(end) == pytest.approx(3000, rel=0.05)
    assert 0 < follower.rate(end + timedelta(seconds=200)) < 1500
    assert follower.rate(end + timedelta(seconds=400)) == 0.0


def test_bins_keep_every_byte_however_long_it_takes() -> None:
    """The spans grow, their number does not."""
    bins = Bins()
    for hour in range(24 * 30):
        bins.add(BEGIN + timedelta(hours=hour), 7, 1)
    assert sum(bins.sent) == 7 * 24 * 30
    assert sum(bins.failed) == 24 * 30
    assert BINS <= len(bins.sent) <= 2 * BINS


@pytest.mark.parametrize("after", ["x", "-1", "²"])
def test_an_address_that_no_page_made_is_refused(after: str) -> None:
    """Not an error of the program, but of who wrote it."""
    from vl_ingest.domain.errors import UsageError

    for state, key in (("sent", after), ("nonsense", None)):
        with pytest.raises(UsageError):
            Wanted.read(state, "", key)


def test_one_look_serves_all_who_look_at_the_same() -> None:
    """Fifty streams of one page are one look at a time; the last to leave ends the looking."""
    looks: list[str] = []

    def look(key: str) -> dict[str, str]:
        looks.append(key)
        return {"part": "always the same"}

    async def watch(live: Live[str]) -> str:
        async with aclosing(live.follow("job")) as stream:
            return await anext(stream)

    async def everybody() -> list[str]:
        live = Live(look)
        said = await asyncio.gather(*(watch(live) for _ in range(50)))
        assert live._views == {}
        return said

    said = asyncio.run(everybody())
    assert looks == ["job"]
    assert set(said) == {'event: parts\ndata: {"part": "always the same"}\n\n'}


def test_a_look_that_fails_ends_its_streams_with_the_failure() -> None:
    """Nothing is swallowed: whoever follows is told, and the next one begins anew."""

    def look(key: str) -> dict[str, str]:
        raise RuntimeError(key)

    async def watch() -> None:
        live = Live(look)
        async with aclosing(live.follow("job")) as stream:
            await anext(stream)

    with pytest.raises(RuntimeError, match="job"):
        asyncio.run(watch())
