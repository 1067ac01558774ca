"""How long a job or one of its runs took, how much of that it waited for the server, and how fast it sent."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from vl_ingest.domain import words
from vl_ingest.domain.model import AttemptOutcome, Event
from vl_ingest.ledger import Ledger
from vl_ingest.report.timeline import outages

FAILED = frozenset({AttemptOutcome.UNKNOWN, AttemptOutcome.NOT_DELIVERED})

Span = tuple[datetime, datetime]


@dataclass(frozen=True)
class Timing:
    """Seconds at work, those of them without an answer, and those from the first request to the last receipt of each run.

    Of a job all runs together; what lies between two runs is no work. `sent_bytes` are those the server acknowledged.
    """

    worked_s: float
    waited_s: float
    sending_s: float
    sent_bytes: int

    @property
    def bytes_per_s(self) -> float | None:
        """The average rate while files were sent, waiting included; None where none were."""
        return self.sent_bytes / self.sending_s if self.sent_bytes and self.sending_s else None

    def facts(self) -> dict[str, Any]:
        """Return it for programs."""
        rate = None if self.bytes_per_s is None else round(self.bytes_per_s)
        seconds = {"worked_s": self.worked_s, "waited_s": self.waited_s, "sending_s": self.sending_s}
        return {**{key: round(value, 3) for key, value in seconds.items()}, "bytes_per_s": rate}

    def __str__(self) -> str:
        waited = (
            f"{words.lasted(self.waited_s) if self.waited_s >= 0.05 else 'none'} of it waiting for the server"
        )
        speed = self.bytes_per_s
        rate = "" if speed is None else f"; {words.size(speed)}/s on average, waiting included"
        return f"{words.lasted(self.worked_s)}, {waited}{rate}"


@dataclass
class _Sending:
    """What the attempts of one run come to, told in the order they were begun."""

    begin: datetime
    end: datetime  # of the last to end
    failed: bool = False  # that one
    receipt: datetime | None = None  # the last
    sent_bytes: int = 0
    pauses: list[Span] = field(default_factory=list)  # after a failure, with no other attempt under way

    def add(self, row: Any) -> None:
        """Take up an attempt."""
        if self.failed and row.started_at > self.end:
            self.pauses.append((self.end, row.started_at))
        if row.ended_at >= self.end:
            self.end, self.failed = row.ended_at, row.outcome in FAILED
        if row.outcome == AttemptOutcome.SENT:
            self.sent_bytes += row.size_bytes
            self.receipt = row.ended_at if self.receipt is None else max(self.receipt, row.ended_at)


def timing(ledger: Ledger, job_id: str, run_id: int | None = None) -> Timing:
    """Return the timing of a run, or of all runs of a job."""
    last: dict[int | None, datetime] = {}  # event of each run

    def history() -> Iterator[Event]:
        for event in ledger.events.history(job_id):
            last[event.run_id] = event.at
            yield event

    gaps = [(gap.begin, gap.end) for gap in outages(history())]
    sendings: dict[int, _Sending] = {}
    for row in ledger.audit.attempts(job_id):
        sendings.setdefault(row.run_id, _Sending(row.started_at, row.started_at)).add(row)
    worked_s = waited_s = sending_s = 0.0
    sent_bytes = 0
    for run in ledger.audit.runs(job_id):
        if run_id not in (None, run.id):
            continue
        sending = sendings.get(run.id)
        receipt = sending.receipt if sending is not None else None
        # Of a run that did not end, the last that is on record: the same as long as nothing more is.
        known = filter(None, (run.started_at, receipt, last.get(run.id)))
        span = run.started_at, run.ended_at or max(known)
        worked_s += _seconds(span)
        waited_s += _together(_within(span, [*gaps, *(sending.pauses if sending is not None else ())]))
        if sending is not None:
            sending_s += sum(map(_seconds, _within(span, [(sending.begin, sending.end)])))
            sent_bytes += sending.sent_bytes
    return Timing(worked_s, waited_s, sending_s, sent_bytes)


def _within(whole: Span, spans: Iterable[Span]) -> list[Span]:
    cut = ((max(whole[0], begin), min(whole[1], end)) for begin, end in spans)
    return [(begin, end) for begin, end in cut if begin < end]


def _together(spans: Iterable[Span]) -> float:
    """Return the seconds that spans cover, none of them counted twice."""
    covered_s, until = 0.0, None
    for begin, end in sorted(spans):
        if until is None or end > until:
            covered_s += _seconds((begin if until is None else max(begin, until), end))
            until = end
    return covered_s


def _seconds(span: Span) -> float:
    return max(0.0, (span[1] - span[0]).total_seconds())
