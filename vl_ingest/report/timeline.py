"""The history of a job in words, for people: what mattered, with repetitions told once, outages and deaths named."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vl_ingest import clock
from vl_ingest.domain import words
from vl_ingest.domain.model import Event, FileState
from vl_ingest.domain.naming import files_text

REPEATED = ("attempt_", "batch_", "file_", "unknown_")  # what may happen a thousand times in a row
TOLD = 3  # of those, in full
FAILED = frozenset({"attempt_unknown", "attempt_not_delivered"})
ANSWERED = frozenset({"batch_sent", "attempt_refused"})
ENDS = frozenset({"run_started", "run_ended"})
OUTAGE = 3  # attempts in a row that failed, with no answer between,
OUTAGE_S = 5.0  # for so long

ENDED = {  # exit codes that are part of the story
    0: " (all is done that it was to do)", 3: " (files were left unsent)", 5: " (the trouble lasted too long)",
    7: " (it was refused)", 10: " (its time was used up)", 12: " (the server failed to process)",
    13: " (a person had to decide)", 130: " (interrupted)", 143: " (it was told to stop)",
}  # fmt: skip

SAID = {
    "job_created": "The job was made, for a dataset named {name!r} at {base_url}.",
    "run_started": "Run {run} started on {host} (pid {pid}).",
    "run_ended": "Run {run} ended with exit code {exit_code}{exit}.",
    "scan_finished": "The whole folder was scanned.",
    "scan_incomplete": "The folder could not be read to the end: {unread}.",
    "dataset_created": "The server created dataset {dataset_id}.",
    "create_unknown": "The answer to the creation of the dataset was lost; one more may exist ({detail}).",
    "transaction_opened": "The server opened transaction {transaction_id}.",
    "open_unknown": "The answer to the opening of a transaction was lost ({detail}).",
    "transaction_given_up": "The transaction was given up; {files} files were to be sent again.",
    "attempt_unknown": "The answer to batch {batch}, attempt {attempt} was lost ({detail}): perhaps it was delivered.",
    "attempt_not_delivered": "Batch {batch}, attempt {attempt} did not reach the server ({detail}).",
    "attempt_refused": "The server refused batch {batch}, attempt {attempt} ({detail}).",
    "batch_split": "Batch {batch} was split to find the file at fault ({reason}).",
    "batch_abandoned": "Batch {batch} was in flight when its run {end}: the delivery of its {files} files is {state}.",
    "file_rejected": "{path} was rejected: {reason}.",
    "file_missing": "{path} was missing.",
    "file_unreadable": "{path} could not be read: {reason}.",
    "file_empty": "{path} had no bytes.",
    "file_changed": "{path} changed while it was sent.",
    "file_changed_after": "{path} was changed on disk after it had been sent.",
    "file_waived": "{path} ({state}) was waived by {by}: it is left out.",
    "file_found_again": "{path} was there again.",
    "file_retried": "{path} ({state}) was to be tried again, on the word of {by}.",
    "unknown_settled": "{path} may have been delivered; settled by {by}: {settled}.",
    "files_settled_by_hand": "{by} settled that {files} files of unknown delivery are {state}.",
    "stalled": "No byte had moved for {seconds} seconds.",
    "stall_over": "Bytes moved again, after {seconds} seconds.",
    "stop_asked": "{by} asked the run to stop.",
    "settings_changed": "Options changed.",
    "size_limit_learnt": "The server refused a body of {too_large_bytes} bytes for its size.",
    "upload_finished": "Every file was sent or waived.",
    "trigger_intended": "The request to start processing was about to be sent; the dataset was {status_before}.",
    "trigger_acknowledged": "Processing was started: the server acknowledged it.",
    "trigger_unknown": "The outcome of the start of processing was unknown ({detail}).",
    "trigger_settled_begun": "The status {status} proved that processing had begun.",
    "trigger_settled_not_begun": "Processing had not begun ({detail}).",
    "trigger_settled_by_hand": "{by} settled whether processing had begun: {began}.",
    "sent_before_processing": "When all of that had arrived, nothing had begun yet ({status}).",
    "trigger_adopted": "Processing was under way already ({status}).",
    "trigger_not_adopted": "Processing was under way ({status}), perhaps since before every file had arrived.",
    "status_changed": "The server said of the dataset: {status}.",
    "job_ready": "The dataset was ready.",
    "job_errored": "The server failed to process the dataset: {message}.",
    "job_cancelled": "{by} gave the job up.",
    "job_moved": "The job's folder or server is at another place now.",
    "ledger_upgraded": "The ledger's schema was upgraded from {before} to {after}.",
}


@dataclass
class Outage:
    """A stretch of time in which attempts failed and none was answered; `answered` says whether one was at `end`."""

    begin: datetime
    end: datetime
    failed: int = 0
    answered: bool = False
    detail: str = ""

    @property
    def lasted_s(self) -> float:
        """How long it took, in seconds."""
        return (self.end - self.begin).total_seconds()

    @property
    def matters(self) -> bool:
        """Whether it is more than a hiccup."""
        return self.failed >= OUTAGE and self.lasted_s >= OUTAGE_S

    def facts(self) -> dict[str, Any]:
        """Return it as the schema has it."""
        return {
            "begin": clock.iso(self.begin), "end": clock.iso(self.end), "failed_attempts": self.failed,
            "answered": self.answered, "detail": self.detail,
        }  # fmt: skip

    def __str__(self) -> str:
        ended = "then one was answered" if self.answered else "and none was answered before the run ended"
        return f"Outage of {words.duration(self.lasted_s)}: {self.failed:,} attempts failed ({self.detail}), {ended}."


def outages(history: Iterable[Event]) -> Iterator[Outage]:
    """Yield the outages: from the first failed attempt to the next answer, or to the end of the run."""
    now: Outage | None = None
    for event in history:
        if event.kind in FAILED:
            now = now or Outage(event.at, event.at, detail=str(event.facts.get("detail")))
            now.failed, now.end = now.failed + 1, event.at
        elif now is not None and (event.kind in ANSWERED or event.kind in ENDS):
            now.answered = event.kind in ANSWERED
            if event.kind != "run_started":  # else the run had died, nobody knows when
                now.end = event.at
            if now.matters:
                yield now
            now = None
    if now is not None and now.matters:
        yield now


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
        if self.same != other.same or not self.kind.startswith(REPEATED):
            return False
        self.until = other.until
        self.count += 1
        self.files += other.files
        if self.count <= TOLD:
            self.texts += other.texts
        return True

    @property
    def same(self) -> tuple[Any, ...]:
        """What another moment has to have in common to be more of the same."""
        facts = self.event.facts
        return self.kind, facts.get("by"), facts.get("state") if self.kind == "unknown_settled" else None

    def facts(self) -> dict[str, Any]:
        """Return it as the schema has it."""
        event = self.event
        return {
            "kind": self.kind, "at": clock.iso(event.at), "until": clock.iso(self.until), "count": self.count,
            "by": f"{event.user or 'unknown'}@{event.host or 'unknown'}", "run": event.run_id, "text": self._text(),
        }  # fmt: skip

    def _text(self) -> str:
        if self.kind == "batch_sent":
            return f"{self.count:,} batch{'es' * (self.count != 1)} with {files_text(self.files)} delivered."
        if self.kind == "unknown_settled" and self.count > 1:
            facts = self.event.facts
            return f"{files_text(self.count)} of unknown delivery, settled by {facts.get('by')}: {_settled(facts)}."
        more = self.count - len(self.texts) if self.kind != "outage" else 0
        return " ".join(self.texts) + (f" And {more:,} more like these." if more else "")


def timeline(history: Iterable[Event], outages: Iterable[Outage]) -> Iterator[dict[str, Any]]:
    """Yield what mattered, in words; what happened many times in a row is one moment that lasts."""
    told: _Moment | None = None
    for step in _moments(history, outages):
        if told is None or not told.takes(step):
            if told is not None:
                yield told.facts()
            told = step
    if told is not None:
        yield told.facts()


def _moments(history: Iterable[Event], outages: Iterable[Outage]) -> Iterator[_Moment]:
    """Yield each event that is told, the failures of an outage as one, and the death of a run when it shows."""
    coming = iter(outages)
    outage, told = next(coming, None), False
    alive: Event | None = None  # the last word of a run that has not ended
    for event in history:
        if event.kind == "run_started" and alive is not None:
            text = f"Run {alive.run_id} had died: its last record is of {alive.at:%Y-%m-%d %H:%M:%S}."
            yield _Moment("run_died", event, event.at, [text])
        if event.run_id is not None:
            alive = None if event.kind == "run_ended" else event
        while outage is not None and outage.end < event.at:
            outage, told = next(coming, None), False
        if event.kind in FAILED and outage is not None and outage.begin <= event.at:
            if not told:
                yield _Moment("outage", event, outage.end, [str(outage)], outage.failed)
            told = True
        elif not event.kind.endswith("_intended") or event.kind == "trigger_intended":
            files = event.facts.get("files", 0) if event.kind == "batch_sent" else 0
            yield _Moment(event.kind, event, event.at, [_words(event)], files=files)


def _words(event: Event) -> str:
    plain = event.kind.replace("_", " ").capitalize() + "."
    end = "died" if event.facts.get("died") else "ended"
    code = ENDED.get(event.facts.get("exit_code", -1), "")
    known = {
        "run": event.run_id,
        "host": event.host,
        "end": end,
        "settled": _settled(event.facts),
        "unread": ", ".join(event.facts.get("unread", [])),
        "exit": code,
        **{key: value for key, value in event.facts.items() if key != "unread"},
    }
    try:
        return SAID.get(event.kind, plain).format(**known)
    except KeyError:  # written by another version, which knew other facts
        return plain


def _settled(facts: Mapping[str, Any]) -> str:
    state = facts.get("state")
    return "sent again, perhaps for the second time" if state == FileState.PENDING else f"called {state}"
