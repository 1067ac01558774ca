"""What events say of the rows of job, runs, batches and attempts: a report shows these rows, so they have to agree.

Moments of a row and of its event are read from the clock one after the other, and may be `NEAR` apart.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from vl_ingest.domain.model import AttemptOutcome, BatchState, Event, FileState, Job, JobState
from vl_ingest.domain.naming import path_to_text
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.files import CHANGED_AFTER

NEAR = timedelta(minutes=2)
STEPS = {
    "job_created": JobState.CREATED,
    "dataset_created": JobState.DATASET_CREATED,
    "transaction_given_up": JobState.DATASET_CREATED,
    "transaction_opened": JobState.TRANSACTION_OPEN,
    "upload_resumed": JobState.TRANSACTION_OPEN,
    "upload_finished": JobState.UPLOADED,
    "trigger_settled_not_begun": JobState.UPLOADED,
    "trigger_intended": JobState.TRIGGERING,
    "trigger_acknowledged": JobState.PROCESSING,
    "trigger_settled_begun": JobState.PROCESSING,
    "trigger_adopted": JobState.PROCESSING,
    "job_ready": JobState.READY,
    "job_errored": JobState.ERRORED,
    "job_cancelled": JobState.CANCELLED,
}
OUTCOMES = {f"attempt_{outcome}": outcome for outcome in AttemptOutcome} | {"batch_sent": AttemptOutcome.SENT}
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
    doubts: int | None = (
        0  # times that a file went out with its answer lost; None: a person has taken some back
    )
    reasons: dict[str, str | None] = field(default_factory=dict)  # path -> why it is held
    changed_after: set[str] = field(default_factory=set)

    def tell(self, event: Event) -> None:
        """Take up one event."""
        facts, kind = event.facts, event.kind
        if kind in STEPS:
            self._step(event, STEPS[kind])
        match kind:
            case "trigger_settled_by_hand":
                self._step(event, JobState.PROCESSING if facts.get("began") else JobState.UPLOADED)
            case "job_moved" | "scan_finished" | "status_changed":
                columns = ("source", "base_url", "left_out", "status")
                self.job |= {column: facts[column] for column in columns if column in facts}
            case "settings_changed":
                self.settings |= facts
            case "run_started" if event.run_id is not None:
                self.runs[event.run_id] = {
                    **facts,
                    "started_at": event.at,
                    "ended_at": None,
                    "exit_code": None,
                }
            case "run_ended" if event.run_id in self.runs:
                self.runs[event.run_id] |= {"ended_at": event.at, "exit_code": facts.get("exit_code")}
            case "batch_split":
                self.batches[facts["batch"]] = {"state": BatchState.SPLIT, "ended_at": event.at}
        if kind in OUTCOMES or kind in ("batch_sent", "batch_abandoned"):
            self._request(event)
        elif kind.startswith("file_") and "path" in facts:
            self._file(kind, facts)
        elif kind == "unknown_settled" and facts.get("by") == "not-delivered":
            self.doubts = None
        elif kind == "transaction_given_up":
            self.changed_after.clear()

    def _step(self, event: Event, state: JobState) -> None:
        facts = event.facts
        self.job["state"] = state
        if state is JobState.CREATED:
            self.job |= {key: facts[key] for key in ("source", "name", "base_url") if key in facts}
            self.job |= {
                "created_at": event.at,
                "triggered_at": None,
                "finished_at": None,
                "status": None,
                "left_out": {},
            }
            self.settings |= facts.get("settings", {})
        elif state is JobState.PROCESSING:
            self.job["triggered_at"] = event.at
        elif state in (JobState.READY, JobState.ERRORED, JobState.CANCELLED):
            self.job["finished_at"] = event.at
        if state is JobState.ERRORED:
            self.job["message"] = facts.get("message")

    def _request(self, event: Event) -> None:
        facts, batch = event.facts, event.facts["batch"]
        if event.kind == "batch_abandoned":
            self.batches[batch] = {"state": facts["state"], "ended_at": event.at}
            if facts.get("lost_answers"):
                self.lost.add(batch)
        else:
            outcome = OUTCOMES[event.kind]
            told = {key: facts[key] for key in ("http_status", "detail") if key in facts}
            self.attempts[batch, facts["attempt"]] = {"outcome": outcome, "ended_at": event.at, **told}
            if outcome is AttemptOutcome.SENT:
                row = {
                    "file_count": facts["files"],
                    "size_bytes": facts.get("size_bytes"),
                    "run_id": event.run_id,
                }
                known = {key: value for key, value in row.items() if value is not None}
                self.batches[batch] = {"state": BatchState.SENT, "ended_at": event.at, **known}
        unknown = event.kind == "attempt_unknown" or facts.get("lost_answers")
        if unknown and self.doubts is not None:
            self.doubts += facts["files"]

    def _file(self, kind: str, facts: Mapping[str, Any]) -> None:
        if kind == "file_changed_after":
            self.changed_after.add(facts["path"])
        elif kind in ("file_retried", "file_found_again"):
            self.reasons.pop(facts["path"], None)
        else:
            self.reasons[facts["path"]] = facts.get("reason")

    def job_differs(self, ledger: Ledger, job: Job) -> list[str]:
        """Return in words what is not so in the rows of the job and of its runs."""
        row = {**vars(job), "source": path_to_text(job.source)}
        if job.state is not JobState.ERRORED:
            self.job.pop("message", None)
        wrong = _unlike("the job's", self.job, row)
        wrong += _unlike("the option", self.settings, dict(job.settings))
        runs = {row.id: row._mapping for row in ledger.audit.runs(job.id)}
        wrong += [f"there is no event of run {run}" for run in sorted(runs.keys() - self.runs.keys())]
        for run, expected in self.runs.items():
            wrong += (
                _unlike(f"run {run}'s", expected, runs[run]) if run in runs else [f"run {run} is missing"]
            )
        return wrong

    def requests_differ(self, ledger: Ledger, job_id: str) -> list[str]:
        """Return in words what is not so in the rows of batches and attempts, and in what files keep of them."""
        wrong: list[str] = []
        batches = {row.id: row._mapping for row in ledger.audit.batches(job_id)}
        for batch, expected in self.batches.items():
            wrong += (
                _unlike(f"batch {batch}'s", expected, batches[batch])
                if batch in batches
                else [f"batch {batch} is missing"]
            )
        unproved = {
            batch for batch, row in batches.items() if row["state"] == BatchState.SENT
        } - self.batches.keys()
        wrong += [f"batch {batch} is called sent without a receipt" for batch in sorted(unproved)]
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
            if row.state in HELD and row.reason != self.reasons.get(path):
                wrong.append(f"the reason of {path} is {row.reason!r}, and was {self.reasons.get(path)!r}")
        wrong += [
            f"whether {path} was changed after it was sent" for path in sorted(changed ^ self.changed_after)
        ]
        if self.doubts is not None and doubts != self.doubts:
            wrong.append(f"the answers lost to files are {doubts:,}, and were {self.doubts:,}")
        return wrong


def _unlike(whose: str, expected: dict[str, Any], row: Any) -> list[str]:
    """Return in words each value of `expected` that the row does not have."""
    return [
        f"{whose} {key} is {_shown(row.get(key))}, and was {_shown(value)}"
        for key, value in expected.items()
        if key in row and not _alike(value, row[key])
    ]


def _alike(value: Any, found: Any) -> bool:
    if isinstance(value, datetime) and isinstance(found, datetime):
        return abs(value - found) <= NEAR
    return bool(value == found)


def _shown(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}" if isinstance(value, datetime) else repr(value)
