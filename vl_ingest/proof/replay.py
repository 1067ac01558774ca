"""What events say of the rows of job, runs, batches and attempts: a report shows these rows, so they have to agree.

Moments of a row and of its event are read from the clock one after the other, and may be `NEAR` apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from vl_ingest.domain import words
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import (
    FILTER,
    FINISHED,
    AttemptOutcome,
    BatchState,
    Delivery,
    Event,
    FileState,
    Job,
    JobState,
    delivery,
)
from vl_ingest.domain.naming import path_to_text
from vl_ingest.domain.rounds import KnownBy, RoundState
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.files import CHANGED_AFTER

NEAR = timedelta(minutes=2)
ROUND_BEGAN = frozenset(
    {EventKind.ADDITION_ACKNOWLEDGED, EventKind.ADDITION_SETTLED_BEGUN, EventKind.ADDITION_SETTLED_BY_HAND}
)
BACK_AT_READY = frozenset(  # as it was before
    {
        EventKind.ADDITION_NOT_DELIVERED, EventKind.ADDITION_REFUSED, EventKind.ADDITION_SETTLED_NOT_BEGUN,
        EventKind.ADDITION_SETTLED_BY_HAND,
    }
)  # fmt: skip
ADDITION_OUTCOMES = {
    EventKind.ADDITION_NOT_DELIVERED: AttemptOutcome.NOT_DELIVERED,
    EventKind.ADDITION_REFUSED: AttemptOutcome.REFUSED,
    EventKind.ADDITION_UNKNOWN: AttemptOutcome.UNKNOWN,
}
HELD = frozenset(
    {FileState.REJECTED, FileState.MISSING, FileState.UNREADABLE, FileState.EMPTY, FileState.CHANGED, FileState.WAIVED}
)  # fmt: skip


@dataclass
class Replay:
    """What the rows must be by the events told so far."""

    job: dict[str, Any] = field(default_factory=dict)  # column -> value; a moment stands for one nearby
    settings: dict[str, Any] = field(default_factory=dict)
    runs: dict[int, dict[str, Any]] = field(default_factory=dict)
    batches: dict[int, dict[str, Any]] = field(default_factory=dict)
    attempts: dict[tuple[int, int], dict[str, Any]] = field(default_factory=dict)  # (batch, number)
    lost: set[int] = field(default_factory=set)  # batches whose last answer nobody waited for
    doubts: int | None = 0  # files that went out with their answer lost; None: a person took some back
    newest: dict[str, int] = field(default_factory=dict)  # path -> its newest version, if not the first
    reasons: dict[tuple[str, int], str | None] = field(default_factory=dict)  # path, version -> why held
    changed_after: set[str] = field(default_factory=set)
    versions: dict[tuple[str, int], str] = field(default_factory=dict)  # path and version -> its name
    touched: dict[tuple[str, int], int] = field(default_factory=dict)  # the same -> its time on disk
    deciders: dict[str, str] = field(default_factory=dict)  # path -> who called it delivered
    rounds: dict[int, dict[str, Any]] = field(default_factory=dict)  # number -> its row
    deciders_of_batches: dict[int, str] = field(
        default_factory=dict
    )  # batch -> who said that its addition began

    def tell(self, event: Event) -> None:
        """Take up one event; what only another version knows says nothing of the rows."""
        facts, kind = event.facts, EventKind.known(event.kind)
        if kind is None:
            return
        if (state := kind.job_state(facts)) is not None:
            self._step(event, kind, state)
        match kind:
            case EventKind.JOB_MOVED | EventKind.SCAN_FINISHED | EventKind.STATUS_CHANGED:
                columns = ("source", "base_url", "left_out", "status")
                self.job |= {column: facts[column] for column in columns if column in facts}
            case EventKind.SETTINGS_CHANGED:
                self.settings |= facts
            case EventKind.RUN_STARTED if event.run_id is not None:
                self.runs[event.run_id] = {
                    **facts,
                    "started_at": event.at,
                    "ended_at": None,
                    "exit_code": None,
                }
            case EventKind.RUN_ENDED if event.run_id in self.runs:
                self.runs[event.run_id] |= {"ended_at": event.at, "exit_code": facts.get("exit_code")}
            case EventKind.FILE_CHANGED_AFTER | EventKind.FILE_VERSION_QUEUED | EventKind.FILE_TOUCHED:
                self._changed(kind, facts)
            case EventKind.TRANSACTION_GIVEN_UP:
                self.changed_after.clear()
            case EventKind.UNKNOWN_SETTLED if facts.get("by") == "not-delivered":
                self.doubts = None
            case EventKind.UNKNOWN_SETTLED if facts.get("state") == FileState.SENT:
                self.deciders[facts["path"]] = f"{event.user}@{event.host}"
            case _ if isinstance(kind.becomes, FileState) and "path" in facts:
                path = facts["path"]
                held = kind.becomes in HELD
                self.reasons[path, self.newest.get(path, 1)] = facts.get("reason") if held else None
            case _:
                self._request(event, kind)

    def _step(self, event: Event, kind: EventKind, state: JobState) -> None:
        facts = event.facts
        self.job["state"] = state
        if state is JobState.CREATED:
            self.job |= {key: facts[key] for key in ("source", "name", "base_url") if key in facts}
            self.job |= {"created_at": event.at, "triggered_at": None, "finished_at": None, "status": None}
            self.job["left_out"] = {}
            self.settings |= facts.get("settings", {})
        elif state is JobState.PROCESSING and kind not in {*ROUND_BEGAN, EventKind.ROUND_TAKEN_UP}:
            self.job |= {"triggered_at": event.at, "finished_at": None}
        elif state in FINISHED and kind not in BACK_AT_READY:
            self.job["finished_at"] = event.at
        if state is JobState.ERRORED:
            self.job["message"] = facts.get("message")
            for entry in self.rounds.values():
                if entry["state"] is RoundState.PROCESSING:
                    entry |= {
                        "state": RoundState.FAILED,
                        "ended_at": event.at,
                        "message": facts.get("message"),
                    }
                    entry.pop("status")  # no event says it

    def _changed(self, kind: EventKind, facts: Mapping[str, Any]) -> None:
        path = facts["path"]
        if kind is EventKind.FILE_CHANGED_AFTER:
            self.changed_after.add(path)
            return
        self.changed_after.discard(path)
        if kind is EventKind.FILE_TOUCHED:
            self.touched[path, facts["version"]] = facts["mtime_ns"]
        else:
            self.newest[path] = facts["version"]
            self.versions[path, facts["version"]] = facts["sent_as"]

    def _request(self, event: Event, kind: EventKind) -> None:
        facts = event.facts
        if kind in ROUND_BEGAN and facts.get("began", True) and isinstance(facts["round"], int):
            self._round_began(event, kind)
        if kind in (EventKind.ROUND_FINISHED, EventKind.ROUND_FAILED) and facts["round"] in self.rounds:
            state = RoundState.DONE if kind is EventKind.ROUND_FINISHED else RoundState.FAILED
            told = {key: facts[key] for key in ("status", "message") if key in facts}
            self.rounds[facts["round"]] |= {"state": state, "ended_at": event.at, **told}
        if kind is EventKind.ROUND_TAKEN_UP and facts["round"] in self.rounds:
            told = {"ended_at": None, "status": None, "message": None}
            self.rounds[facts["round"]] |= {"state": RoundState.PROCESSING, **told}
        if (ended := ADDITION_OUTCOMES.get(kind)) is not None:
            told = {"http_status": facts["http_status"], "detail": facts["detail"]}
            self.attempts[facts["batch"], facts["attempt"]] = {
                **told,
                "outcome": ended,
                "ended_at": event.at,
            }
        if isinstance(kind.becomes, BatchState) or kind is EventKind.BATCH_ABANDONED:
            self.batches[facts["batch"]] = {"state": kind.becomes or facts["state"], "ended_at": event.at}
        outcome = AttemptOutcome.SENT if kind is EventKind.BATCH_SENT else kind.becomes
        if isinstance(outcome, AttemptOutcome):
            told = {key: facts[key] for key in ("http_status", "detail") if key in facts}
            told |= {"outcome": outcome, "ended_at": event.at}
            self.attempts[facts["batch"], facts["attempt"]] = told
        if kind is EventKind.BATCH_SENT:
            self.batches[facts["batch"]] |= {"file_count": facts["files"], "run_id": event.run_id}
            if "size_bytes" in facts:  # older ones are without
                self.batches[facts["batch"]]["size_bytes"] = facts["size_bytes"]
        if facts.get("lost_answers"):
            self.lost.add(facts["batch"])
        if self.doubts is None:
            return
        if kind in (EventKind.ATTEMPT_UNKNOWN, EventKind.ADDITION_UNKNOWN) or facts.get("lost_answers"):
            self.doubts += facts["files"]
        elif "doubts" in facts:
            self.doubts += facts["doubts"] if kind is EventKind.ROUND_FAILED else -facts["doubts"]

    def _round_began(self, event: Event, kind: EventKind) -> None:
        facts = event.facts
        known_by = facts.get("known_by", KnownBy.PERSON if "by" in facts else KnownBy.RECEIPT)
        self.rounds[facts["round"]] = {
            "batch_id": facts["batch"], "state": RoundState.PROCESSING, "known_by": known_by, "began_at": event.at,
            "ended_at": None, "status": None, "message": None,
        }  # fmt: skip
        if kind is EventKind.ADDITION_ACKNOWLEDGED:  # its receipt is an event of its own
            return
        self.batches[facts["batch"]] = {
            "state": BatchState.SENT, "ended_at": event.at, "file_count": facts["files"], "size_bytes": facts["size_bytes"]
        }  # fmt: skip
        if kind is EventKind.ADDITION_SETTLED_BY_HAND:
            self.deciders_of_batches[facts["batch"]] = facts["by"]

    @property
    def open_rounds(self) -> list[int]:
        """The numbers of the rounds that are processed."""
        return [number for number, entry in self.rounds.items() if entry["state"] is RoundState.PROCESSING]

    def rounds_differ(self, ledger: Ledger, job_id: str) -> list[str]:
        """Return in words what is not so in the rows of rounds."""
        known = {entry.number: vars(entry) for entry in ledger.rounds.all(job_id)}
        wrong = [
            f"there is no event of round {number}" for number in sorted(known.keys() - self.rounds.keys())
        ]
        for number, expected in self.rounds.items():
            missing = [f"round {number} is missing"]
            wrong += _unlike(f"round {number}'s", expected, known[number]) if number in known else missing
        return wrong

    def job_differs(self, ledger: Ledger, job: Job) -> list[str]:
        """Return in words what is not so in the rows of the job and of its runs."""
        row = {**vars(job), "source": path_to_text(job.source)}
        if job.state is not JobState.ERRORED:
            self.job.pop("message", None)
        wrong = _unlike("the job's", self.job, row)
        wrong += _unlike("the option", self.settings, dict(job.settings))
        runs = {row.id: row._mapping for row in ledger.audit.runs(job.id)}
        numbers = {run: number for number, run in enumerate(sorted(runs.keys() | self.runs.keys()), 1)}
        wrong += [
            f"there is no event of run {numbers[run]}" for run in sorted(runs.keys() - self.runs.keys())
        ]
        for run, expected in self.runs.items():
            missing = [f"run {numbers[run]} is missing"]
            wrong += _unlike(f"run {numbers[run]}'s", expected, runs[run]) if run in runs else missing
        return wrong

    def requests_differ(self, ledger: Ledger, job_id: str) -> list[str]:
        """Return in words what is not so in the rows of batches and attempts, and in what files keep of them."""
        wrong: list[str] = []
        batches = {row.id: row._mapping for row in ledger.audit.batches(job_id)}
        for batch, expected in self.batches.items():
            known = batches.get(batch)
            missing = [f"batch {batch} is missing"]
            wrong += missing if known is None else _unlike(f"batch {batch}'s", expected, known)
        sent = {batch for batch, row in batches.items() if row["state"] == BatchState.SENT}
        unproved = sorted(sent - self.batches.keys())
        wrong += [f"batch {batch} is called sent without a receipt" for batch in unproved]
        left = dict(self.attempts)
        for row in ledger.audit.attempts(job_id):
            told = left.pop((row.batch_id, row.number), None)
            name = f"attempt {row.number} of batch {row.batch_id}"
            if told is not None:
                wrong += _unlike(f"{name}:", told, row._mapping)
            elif row.outcome != AttemptOutcome.UNKNOWN or row.batch_id not in self.lost:
                wrong.append(f"there is no event of {name}")
        wrong += [f"attempt {number} of batch {batch} is missing" for batch, number in left]
        return wrong + self._files_differ(ledger, job_id)

    def _files_differ(self, ledger: Ledger, job_id: str) -> list[str]:
        wrong, changed, doubts = [], set(), 0
        for row in ledger.audit.files(job_id, exceptional=True):
            path = path_to_text(row.path)
            doubts += row.unknown_attempts
            if row.reason == CHANGED_AFTER:
                changed.add(path)
            by_word = delivery(row.state, row.sha256) is Delivery.TAKEN_AS_DELIVERED
            if by_word and row.decided_by not in (
                None,
                self.deciders.get(path),
                self.deciders_of_batches.get(row.batch_id),
            ):  # earlier ledgers name nobody
                wrong.append(
                    f"{path} was taken as delivered by {self.deciders.get(path)}, not by {row.decided_by}"
                )
            reason = None if row.decided_by == FILTER else self.reasons.get((path, row.version))
            if row.state in HELD and row.reason != reason:
                wrong.append(
                    f"the reason of {path} is {words.told(row.reason)}, and was {words.told(reason)}"
                )
        doubted = sorted(changed ^ self.changed_after)
        wrong += [f"whether {path} was changed after it was sent" for path in doubted]
        if self.doubts is not None and doubts != self.doubts:
            wrong.append(f"the answers lost to files are {doubts:,}, and were {self.doubts:,}")
        return wrong + self._versions_differ(ledger, job_id)

    def _versions_differ(self, ledger: Ledger, job_id: str) -> list[str]:
        named: dict[tuple[str, int], str] = {}
        touched: dict[tuple[str, int], int] = {}
        for known in ledger.versions.known(job_id):
            if known.version > 1:
                named[known.path, known.version] = known.sent_as
            if known.touched_ns is not None:
                touched[known.path, known.version] = known.touched_ns
        unlike = sorted({*named.items()} ^ {*self.versions.items()})
        moved = sorted({*touched.items()} ^ {*self.touched.items()})
        return [
            *(f"whether version {version} of {path} is sent as {name}" for (path, version), name in unlike),
            *(f"whether version {version} of {path} was touched at {at}" for (path, version), at in moved),
        ]


def _unlike(whose: str, expected: dict[str, Any], row: Any) -> list[str]:
    """Return in words each value of `expected` that the row does not have."""
    return [
        f"{whose} {key} is {words.told(row.get(key))}, and was {words.told(value)}"
        for key, value in expected.items()
        if key in row and not _alike(value, row[key])
    ]


def _alike(value: Any, found: Any) -> bool:
    if isinstance(value, datetime) and isinstance(found, datetime):
        return abs(value - found) <= NEAR
    return bool(value == found)
