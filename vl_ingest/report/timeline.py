"""The history of a job in words, for people: what mattered, with repetitions told once, outages and deaths named."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from vl_ingest import clock
from vl_ingest.domain import words
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import Event, FileState
from vl_ingest.domain.naming import files_text
from vl_ingest.domain.settings import option_text

REPEATED = frozenset({"batch", "path", "detail"})  # facts of what may happen a thousand times in a row
TOLD = 3  # of those, in full
FAILED = frozenset({EventKind.ATTEMPT_UNKNOWN, EventKind.ATTEMPT_NOT_DELIVERED})
OF_OUTAGE = frozenset(  # what is told as one with an outage that is on record
    {EventKind.OUTAGE_BEGAN, EventKind.OUTAGE_OVER, EventKind.CREATE_FAILED, EventKind.OPEN_FAILED}
)
ANSWERED = frozenset({EventKind.BATCH_SENT, EventKind.ATTEMPT_REFUSED})
ENDS = frozenset({EventKind.RUN_STARTED, EventKind.RUN_ENDED, EventKind.OUTAGE_OVER})
PRELUDES = frozenset(  # told only if nothing follows
    {
        EventKind.CREATE_INTENDED, EventKind.OPEN_INTENDED, EventKind.EXPORT_INTENDED, EventKind.EXPORT_STARTED,
        EventKind.REPROCESS_INTENDED, EventKind.ABORT_INTENDED,
    }
)  # fmt: skip
TOGETHER = "together"  # a fact that no ledger holds: how many of its kind an event in memory stands for
OUTAGE = 3  # attempts in a row that failed, with no answer between,
OUTAGE_S = 5.0  # for so long

ENDED = {  # exit codes that are part of the story
    0: " (everything was done)", 3: " (not every file is there)", 5: " (the trouble lasted too long)",
    7: " (it was refused)", 10: " (its time was up)", 12: " (the server failed to process)",
    13: " (a person had to decide)", 130: " (interrupted)", 143: " (it was told to stop)",
}  # fmt: skip


@dataclass
class Outage:
    """A stretch of time in which attempts failed and none was answered; `answered` says whether one was at `end`."""

    begin: datetime
    end: datetime
    failed: int = 0
    answered: bool = False
    detail: str = ""
    over: bool = True
    doing: str | None = None  # what was asked for, where that was no upload; that outage is on record as one

    @property
    def lasted_s(self) -> float:
        """How long it took, in seconds."""
        return (self.end - self.begin).total_seconds()

    @property
    def matters(self) -> bool:
        """Whether it is more than a hiccup."""
        return self.doing is not None or (self.failed >= OUTAGE and self.lasted_s >= OUTAGE_S)

    def facts(self) -> dict[str, Any]:
        """Return it as the schema has it."""
        return {
            "begin": clock.iso(self.begin), "end": clock.iso(self.end), "failed_attempts": self.failed,
            "answered": self.answered, "detail": self.detail, "doing": self.doing,
        }  # fmt: skip

    def __str__(self) -> str:
        attempts = f"{self.failed:,} attempts" if self.failed else "attempts"
        attempts += f" to {self.doing}" if self.doing is not None else ""
        if not self.over:
            return f"Outage: {attempts} failed so far ({self.detail})."
        ended = "then one was answered" if self.answered else "and none was answered before the run ended"
        return f"Outage of {words.lasted(self.lasted_s)}: {attempts} failed ({self.detail}), {ended}."


class OutageWatch:
    """Finds outages in events that it is told one after the other; `now` is what may become one."""

    def __init__(self) -> None:
        self.now: Outage | None = None

    def add(self, event: Event) -> Outage | None:
        """Note the next event; return the outage that is over with it."""
        now = self.now
        if event.kind == EventKind.OUTAGE_BEGAN:
            since = event.facts.get("since")
            begin = datetime.fromisoformat(since) if isinstance(since, str) else event.at
            detail, doing = (str(event.facts.get(key)) for key in ("detail", "doing"))
            self.now = Outage(begin, event.at, detail=detail, over=False, doing=doing)
            if now is not None and now.matters:
                now.over = True
                return now
        elif event.kind in FAILED:
            now = self.now = now or Outage(
                event.at, event.at, detail=str(event.facts.get("detail")), over=False
            )
            now.failed, now.end = now.failed + 1, event.at
        elif now is not None and (event.kind in ANSWERED or event.kind in ENDS):
            now.answered = event.kind in ANSWERED
            if event.kind == EventKind.OUTAGE_OVER:
                now.answered, now.failed = event.facts["answered"], event.facts["failed_attempts"]
            if event.kind != EventKind.RUN_STARTED:  # else the run had died, nobody knows when
                now.end = event.at
            self.now, now.over = None, True
            return now if now.matters else None
        return None


def outages(history: Iterable[Event]) -> Iterator[Outage]:
    """Yield the outages: from the first failed attempt to the next answer, or to the end of the run."""
    watch = OutageWatch()
    yield from filter(None, map(watch.add, history))
    if watch.now is not None and watch.now.matters:
        yield replace(watch.now, over=True)


@dataclass
class _Moment:
    """One entry of the story; a repetition is taken up by the one before."""

    kind: str
    event: Event
    until: datetime
    texts: list[str]
    count: int = 1
    files: int = 0

    def takes(self, other: "_Moment") -> bool:
        """Take up another one, if it is more of the same."""
        if self.same != other.same or self.kind != self.event.kind or not self.event.facts.keys() & REPEATED:
            return False
        self.until = other.until
        self.count += other.count
        self.files += other.files
        if self.count <= TOLD:
            self.texts += other.texts
        return True

    @property
    def same(self) -> tuple[Any, ...]:
        """What another moment has to have in common to be more of the same."""
        facts = self.event.facts
        word = (facts.get("state"), decider(self.event)) if self.kind == EventKind.UNKNOWN_SETTLED else None
        return self.kind, facts.get("by"), word

    def facts(self) -> dict[str, Any]:
        """Return it as the schema has it."""
        event = self.event
        return {
            "kind": self.kind, "at": clock.iso(event.at), "until": clock.iso(self.until), "count": self.count,
            "by": decider(event), "run": event.run_id, "text": self._text(),
        }  # fmt: skip

    def _text(self) -> str:
        if self.kind == EventKind.BATCH_SENT and self.count > 1:
            return f"{self.count:,} batches with {files_text(self.files)} delivered."
        if self.kind == EventKind.UNKNOWN_SETTLED and self.count > 1:
            return f"{files_text(self.count)} of unknown delivery: {_settled(self.event)}."
        more = self.count - len(self.texts) if self.kind != "outage" else 0
        return " ".join(self.texts) + (f" And {more:,} more like these." if more else "")


def timeline(
    history: Iterable[Event], outages: Iterable[Outage], runs: Mapping[int, int] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield what mattered, in words; what happened many times in a row is one moment that lasts.

    `runs` are the numbers of the runs within their job, by id.
    """
    told: _Moment | None = None
    for step in _moments(history, outages, runs or {}):
        if told is None or not told.takes(step):
            if told is not None:
                yield told.facts()
            told = step
    if told is not None:
        yield told.facts()


def _moments(
    history: Iterable[Event], outages: Iterable[Outage], runs: Mapping[int, int]
) -> Iterator[_Moment]:
    """Yield each event that is told, the failures of an outage as one, and the death of a run when it shows."""
    coming = iter(outages)
    outage, told = next(coming, None), False
    alive: Event | None = None  # the last word of a run that has not ended
    for event in history:
        if event.kind == EventKind.RUN_STARTED and alive is not None:
            number = runs.get(alive.run_id or 0, alive.run_id)
            text = f"Run {number} had died: its last record is of {alive.at:%Y-%m-%d %H:%M:%S}."
            text += f" {_words(alive, runs)}" if alive.kind in PRELUDES else ""
            yield _Moment("run_died", event, event.at, [text])
        if event.run_id is not None:
            alive = None if event.kind == EventKind.RUN_ENDED else event
        while outage is not None and outage.end < event.at:
            outage, told = next(coming, None), False
        if event.kind in FAILED | OF_OUTAGE and outage is not None and outage.begin <= event.at:
            if not told:
                yield _Moment("outage", event, outage.end, [str(outage)], max(1, outage.failed))
            told = True
        elif event.kind not in PRELUDES:
            files = event.facts.get("files", 0) if event.kind == EventKind.BATCH_SENT else 0
            yield _Moment(
                event.kind, event, event.at, [_words(event, runs)], event.facts.get(TOGETHER, 1), files
            )


def _words(event: Event, runs: Mapping[int, int]) -> str:
    facts, kind = event.facts, EventKind.known(event.kind)
    plain = event.kind.replace("_", " ").capitalize() + "."
    if kind is None:  # written by another version
        return plain
    added = {
        "run": runs.get(event.run_id or 0, event.run_id),
        "answer": "yes" if facts.get("began") else "no",
        "end": "died" if facts.get("died") else "ended",
        "because": f" ({facts['why']})" if facts.get("why") else "",
        "then": "then the server answered" if facts.get("answered") else "none was answered",
        "turned": "was turned away by the server" if facts.get("http_status") else "did not reach the server",
        "word": "was delivered" if facts.get("state") == FileState.SENT else "was not delivered",
        "settled": _settled(event),
        "options": ", ".join(option_text(name, value) for name, value in facts.items()),
        "orphans": ", ".join(facts.get("datasets", [])),
        "folders": ", ".join(facts.get("unread", [])),
        "exit": ENDED.get(facts.get("exit_code", -1), ""),
    }
    if isinstance(facts.get("files"), int):
        added["counted"] = files_text(facts["files"])
    try:
        said = {
            name: words.clause(facts[name]) for name in ("detail", "message", "reason") if facts.get(name)
        }
        return kind.sentence.format(**{**added, **facts, **said})
    except KeyError:  # written by another version, which knew other facts
        return plain


def _settled(event: Event) -> str:
    """Return what became of a file of unknown delivery, and on whose word."""
    state, by = event.facts.get("state"), event.facts.get("by")
    if state == FileState.SENT:
        return f"taken as delivered by decision of {decider(event)}"
    if state == FileState.MISSING:
        return f"not there ({by})"
    if by == "not-delivered":
        return f"sent again: {decider(event)} decided that it was not delivered"
    return f"sent again, perhaps for the second time ({by})"


def decider(event: Event) -> str:
    """Return who made an event: a person at a machine."""
    return f"{event.user or 'unknown'}@{event.host or 'unknown'}"
