"""A job's history, taken in as it grows: memory and work do not grow with what has been."""

import threading
from collections import deque
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import chain
from typing import Any

from vl_ingest import clock
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Event
from vl_ingest.ledger import Ledger
from vl_ingest.report.chart import Picture
from vl_ingest.report.timeline import FAILED, REPEATED, TOGETHER, TOLD, Outage, OutageWatch, decider, timeline

BINS = 60  # bars in the chart, at most,
LEAST_BARS = 20  # and at least
HOUR = timedelta(hours=1)
RATE_OVER = timedelta(minutes=1), timedelta(minutes=5)  # the second where the first holds few receipts
RECEIPTS = 5
LEAST_S = 5.0  # a rate over less says nothing
EVENTS, BANDS = 400, 200  # the newest of them
MISSED = FAILED | {EventKind.ATTEMPT_REFUSED}


class Bins:
    """Bytes and failures in equal spans of time, at most twice `BINS`; the spans grow with the whole."""

    def __init__(self) -> None:
        self.begin: datetime | None = None
        self.bin_s = 1.0
        self.sent: list[int] = []
        self.failed: list[int] = []

    def add(self, at: datetime, sent: int, failed: int) -> None:
        """Add to the span of a moment."""
        index = self._index(at)
        self.sent[index] += sent
        self.failed[index] += failed

    def until(self, at: datetime) -> None:
        """Let the spans reach up to a moment."""
        if self.begin is not None:
            self._index(at)

    def _index(self, at: datetime) -> int:
        self.begin = self.begin or at
        while (index := max(0, int((at - self.begin).total_seconds() // self.bin_s))) >= 2 * BINS:
            self.bin_s *= 2
            for spans in (self.sent, self.failed):
                spans[:] = [sum(spans[n : n + 2]) for n in range(0, len(spans), 2)]
        for spans in (self.sent, self.failed):
            spans.extend([0] * (index + 1 - len(spans)))
        return index


@dataclass(frozen=True)
class Answer:
    """The answer to an attempt, or its lack."""

    at: datetime
    sent: int
    failed: int


class Follower:
    """What the page needs of one job's history. `lock` is held while it is read or taken further."""

    def __init__(self, job_id: str) -> None:
        self.lock = threading.Lock()
        self.complete = False  # whether the last look came to the end of the history
        self.failed_attempts = 0
        self.scanned_by: int | None = None  # the run that has scanned the whole folder
        self.sending_since: datetime | None = None  # the first answer of the run that began last
        self._job_id = job_id
        self._number = 0
        self._run: Event | None = None  # the newest event of a run that has not ended
        self._ended: Event | None = None  # where no run is at work since
        self._whole = Bins()
        self._hour: deque[Answer] = deque()
        self._watch = OutageWatch()
        self._outages: deque[Outage] = deque(maxlen=BANDS)
        self._idle: deque[tuple[datetime, datetime]] = deque(maxlen=BANDS)
        self._recent: deque[Event] = deque(maxlen=EVENTS)

    def catch_up(self, ledger: Ledger, budget_s: float) -> None:
        """Take in what is new; the rest at the next call, once that has taken `budget_s` seconds."""
        until = clock.monotonic() + budget_s
        with closing(_events(ledger, self._job_id, self._number)) as coming:
            for count, event in enumerate(coming):
                self._take(event)
                if count % 500 == 499 and clock.monotonic() >= until:
                    self.complete = False
                    return
        self.complete = True

    @property
    def longer_than_an_hour(self) -> bool:
        """Whether the last hour is a part of it only."""
        begin = self._whole.begin
        return begin is not None and self._whole.bin_s * len(self._whole.sent) > HOUR.total_seconds()

    def rate(self, now: datetime) -> float:
        """Return bytes a second that were acknowledged lately, waiting included; 0 where that is not known."""
        if self.sending_since is None:
            return 0.0
        for over in RATE_OVER:
            since = max(now - over, self.sending_since)
            sent = list(self._sent_after(since))
            if len(sent) >= RECEIPTS:
                break
        seconds = (now - since).total_seconds()
        return sum(sent) / seconds if seconds >= LEAST_S else 0.0

    def _sent_after(self, since: datetime) -> Iterator[int]:
        for answer in reversed(self._hour):
            if answer.at <= since:
                return
            if answer.sent:
                yield answer.sent

    def picture(self, now: datetime, *, hour: bool, alive: bool) -> Picture | None:
        """Return what the chart shows, of the last hour or of everything; None where nothing was sent yet."""
        if self._whole.begin is None:
            return None
        away = [
            (outage.begin, now if outage is self._watch.now else outage.end) for outage in self._all_outages()
        ]
        idle = [*self._idle]
        if self._ended is not None and hour and not alive:
            idle.append((self._ended.at, now))
        if hour:
            begin, bin_s = now - HOUR, HOUR.total_seconds() / BINS
            sent, failed = [0] * BINS, [0] * BINS
            for answer in self._hour:
                if answer.at > begin:
                    index = min(BINS - 1, int((answer.at - begin).total_seconds() / bin_s))
                    sent[index] += answer.sent
                    failed[index] += answer.failed
            return Picture(begin, bin_s, sent, failed, away, idle)
        if alive:
            self._whole.until(now)
        whole = self._whole
        assert whole.begin is not None  # noqa: S101  # said above
        wide = max(1, -(-len(whole.sent) // BINS))
        sums = [[sum(s[n : n + wide]) for n in range(0, len(s), wide)] for s in (whole.sent, whole.failed)]
        for spans in sums:  # a few bars would be walls
            spans.extend([0] * (LEAST_BARS - len(spans)))
        return Picture(whole.begin, whole.bin_s * wide, sums[0], sums[1], away, idle)

    def moments(self, runs: Mapping[int, int]) -> list[dict[str, Any]]:
        """Return the newest part of the history in words, newest first; `runs` as for `timeline`."""
        return list(timeline(self._recent, self._all_outages(), runs))[::-1]

    def _all_outages(self) -> Iterator[Outage]:
        now = self._watch.now
        return chain(self._outages, [now] if now is not None and now.matters else [])

    def _take(self, event: Event) -> None:
        self._number = event.number
        outage = self._watch.add(event)
        if outage is not None:
            self._outages.append(outage)
        self._note_run(event)
        if event.kind == EventKind.BATCH_SENT:
            self._answer(event.at, int(event.facts.get("size_bytes", 0)), 0)
        elif event.kind in MISSED:
            self.failed_attempts += 1
            self._answer(event.at, 0, 1)
        elif event.kind == EventKind.SCAN_FINISHED:
            self.scanned_by = event.run_id
        self._keep(event)

    def _note_run(self, event: Event) -> None:
        if event.kind == EventKind.RUN_STARTED:
            last = self._run or self._ended
            if last is not None:
                self._idle.append((last.at, event.at))
            self.sending_since, self._ended = None, None
        if event.kind == EventKind.RUN_ENDED:
            self._run, self._ended = None, event
        elif event.run_id is not None:
            self._run = event

    def _answer(self, at: datetime, sent: int, failed: int) -> None:
        self.sending_since = self.sending_since or at
        self._whole.add(at, sent, failed)
        self._hour.append(Answer(at, sent, failed))
        while self._hour[0].at < at - HOUR:
            self._hour.popleft()

    def _keep(self, event: Event) -> None:
        """Keep it for `moments`; of many in a row that are told as one, the last stands for those before it too."""
        recent = self._recent
        alike = len(recent) > TOLD and all(_same(recent[-n]) == _same(event) for n in range(1, TOLD + 2))
        if alike and event.facts.keys() & REPEATED:
            last = recent.pop()
            together = last.facts.get(TOGETHER, 1) + 1
            files = last.facts.get("files", 0) + event.facts.get("files", 0)
            event = replace(event, facts={**event.facts, "files": files, TOGETHER: together})
        recent.append(event)


def _same(event: Event) -> tuple[Any, ...]:
    return event.kind, event.facts.get("by"), event.facts.get("state"), decider(event)


def _events(ledger: Ledger, job_id: str, after: int) -> Generator[Event]:
    yield from ledger.events.history(job_id, after=after)
