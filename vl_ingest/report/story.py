"""What happened to a job, as one value that JSON can hold; `schema.json` beside this file describes it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from math import ceil
from typing import Any

from vl_ingest import clock
from vl_ingest.domain import words
from vl_ingest.domain.events import STARTED_AGAIN, EventKind
from vl_ingest.domain.model import AttemptOutcome, Delivery, FileState, Job, JobState
from vl_ingest.domain.naming import files_text, path_to_text
from vl_ingest.domain.rounds import FIRST, Round
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.summary import Summary, summarise
from vl_ingest.report.table import rows
from vl_ingest.report.timeline import outages, timeline
from vl_ingest.report.timing import Timing, timing
from vl_ingest.version import __version__

BINS = 60  # bars in the picture of the throughput, at most
SHORTEST_S = 0.1  # of them
VERDICTS = {  # what stands before and after what was sent
    JobState.PROCESSING: ("Sent", "; {started} and is under way."),
    JobState.READY: ("Complete", "; {started} and the dataset is ready."),
    JobState.ERRORED: ("Failed on the server", ", but the dataset could not be processed."),
    JobState.CANCELLED: ("Given up", ""),
    JobState.ADDING: ("Undecided", "; whether the last addition has begun is not known yet."),
    JobState.TRIGGERING: ("Undecided", "; whether processing has begun is not known yet."),
}
NAMED = 3  # deciders, or failures, in one sentence
ORDINALS = ("first", "second", "next")
FORMAT = "vl-ingest report 1"


@dataclass(frozen=True)
class Report:
    """A job's story: `facts` as the schema has them, and the job and its counts for whoever writes words."""

    job: Job
    summary: Summary
    timing: Timing
    facts: dict[str, Any]


def build(ledger: Ledger, job_id: str) -> Report:
    """Return a job's story as it stands now; all of it is of one moment."""
    with ledger.db.snapshot():
        summary = summarise(ledger, job_id)
        job, counts = summary.job, summary.counts
        gaps = list(outages(ledger.events.history(job_id)))
        last = {event.run_id: event.at for event in ledger.events.history(job_id)}
        took = timing(ledger, job_id)
        runs = ledger.runs.numbers(job_id)
        exceptions = list(rows(ledger, job_id, exceptional=True))
        return Report(job, summary, took, {
            "format": FORMAT,
            "generated_at": clock.iso(clock.now()),
            "version": __version__,
            "verdict": verdict(summary, exceptions, started(ledger, job_id), in_doubt=_in_doubt(ledger, job)),
            "job": {
                "id": job.id, "name": job.name, "source": path_to_text(job.source), "base_url": job.base_url,
                "state": job.state, "created_at": clock.iso(job.created_at), "triggered_at": clock.iso(job.triggered_at),
                "finished_at": clock.iso(job.finished_at), "left_out": dict(job.left_out), "message": job.message,
            },
            "remote": {"dataset_id": job.dataset_id, "transaction_id": job.transaction_id, "status": job.status,
                "orphans": list(summary.orphans)},
            "settings": dict(job.settings),
            "totals": {
                "files": counts.total, "size_bytes": counts.total_bytes,
                "by_state": {state: counts[state] for state in FileState if counts[state]},
                "sent_bytes": counts.bytes.get(FileState.SENT, 0),
                "possibly_twice": summary.possibly_twice, "changed_after": summary.changed_after,
                "acknowledged": summary.acknowledged, "acknowledged_bytes": summary.acknowledged_bytes,
                "taken_as_delivered": summary.taken_as_delivered, "inferred": summary.inferred,
            },
            "rounds": _rounds(ledger, summary),
            "runs": [_run(row, job, last.get(row.id), runs[row.id]) for row in ledger.audit.runs(job_id)],
            "timeline": list(timeline(ledger.events.history(job_id), gaps, runs)),
            "outages": [gap.facts() for gap in gaps],
            "throughput": throughput(ledger, job_id),
            "batches": [_batch(row) for row in ledger.audit.batches(job_id)],
            "exceptions": exceptions,
            "listed": _listed(summary),
            "chain": {"events": job.event_count, "head": job.event_head},
            "timing": {"elapsed_s": _elapsed_s(job, took, max(last.values(), default=None)), **took.facts()},
        })  # fmt: skip


def started(ledger: Ledger, job_id: str) -> str:
    """Return how often processing was started: `processing was started once`, or why and by whom again."""
    failures: list[str] = []
    again: list[str] = []
    for event in ledger.events.history(job_id, EventKind.JOB_ERRORED, *STARTED_AGAIN):
        if event.kind == EventKind.JOB_ERRORED:
            failures.append(words.clause(event.facts.get("message") or "no reason given"))
        else:
            by = event.facts.get("by")
            retried = f"retried by {by}" if by else "retried on the server"
            again.append(
                f"the {ORDINALS[min(len(again), 2)]} failed with {failures[-1] if failures else '?'}, {retried}"
            )
    if not again:
        return "processing was started once"
    times = "twice" if len(again) == 1 else f"{len(again) + 1} times"
    return f"processing was started {times} ({'; '.join(again[:NAMED])})"


def _in_doubt(ledger: Ledger, job: Job) -> bool:
    """Return whether a job was given up before it was known whether processing had begun."""
    if job.state is not JobState.CANCELLED:
        return False
    steps = [
        kind
        for kind in EventKind
        if isinstance(kind.becomes, JobState) and kind is not EventKind.JOB_CANCELLED
    ]
    last = ledger.events.last(job.id, EventKind.TRIGGER_SETTLED_BY_HAND, *steps)
    return last is not None and last.kind == EventKind.TRIGGER_INTENDED


def verdict(
    summary: Summary, exceptions: Sequence[Mapping[str, Any]], started: str, *, in_doubt: bool
) -> str:
    """Return in one sentence how it stands: what rests on receipts, and what on somebody's word.

    `in_doubt` says that nobody knows whether processing of a job that was given up has begun.
    """
    state, unsent = summary.job.state, files_text(summary.counts.unsent)
    begin, end = VERDICTS.get(
        state,
        ("Not finished", f"{f', {unsent} not yet' * bool(summary.counts.unsent)}; processing has not begun."),
    )
    if state is JobState.READY and summary.taken_as_delivered:
        begin = "Ready, but not every file has a receipt"
    if state is JobState.READY and summary.missing:
        begin = f"Ready, but {files_text(summary.missing)} missing from the dataset"
    if state is JobState.READY and summary.counts.unsent:
        begin = f"Ready, but {unsent} not added yet"
    if summary.rounds:
        end = f"{end.removesuffix('.')}, with {words.several(len(summary.rounds), 'addition')} after it."
    if state is JobState.CANCELLED:
        end = f", {unsent} not sent{'; whether processing has begun is not known' if in_doubt else ''}."
    return f"{begin}: {_done(summary, exceptions)}{end.format(started=started)}"


def _done(summary: Summary, exceptions: Sequence[Mapping[str, Any]]) -> str:
    parts = [f"{files_text(summary.acknowledged)} acknowledged by the server"]
    if summary.inferred:
        parts.append(f"{files_text(summary.inferred)} inferred from what the server shows")
    if summary.taken_as_delivered:
        by = deciders(row for row in exceptions if row["delivery"] == Delivery.TAKEN_AS_DELIVERED)
        parts.append(f"{files_text(summary.taken_as_delivered)} taken as delivered by decision of {by}")
    if summary.possibly_twice:
        parts.append(f"{summary.possibly_twice:,} of these {summary.doubt_in_words()}")
    if waived := summary.counts[FileState.WAIVED]:
        by = deciders(row for row in exceptions if row["state"] == FileState.WAIVED)
        parts.append(f"{files_text(waived)} waived by {by}")
    return ", ".join(parts)


def deciders(decided: Iterable[Mapping[str, Any]]) -> str:
    """Return who decided on these rows: the first few, by name."""
    names = list(dict.fromkeys(row["decided_by"] or "somebody unknown" for row in decided))
    more = len(names) - NAMED
    return " and ".join(names[:NAMED]) + (f" and {more:,} more" if more > 0 else "")


def _elapsed_s(job: Job, took: Timing, last: datetime | None) -> float:
    """Return the seconds from the job's beginning to its end, or to its last event so far.

    The run that ends a job ends a moment after it.
    """
    over = job.finished_at or last or job.created_at
    return round(max(took.worked_s, (over - job.created_at).total_seconds()), 3)


def listed_text(summary: Summary) -> str:
    """Return in words what the server's own list of the dataset says of the files, and when it was asked."""
    if summary.listed is None or summary.listed_at is None:
        return f"not asked; `vl-ingest verify {summary.job.id}` asks the server for each file"
    return f"{summary.listed} (asked {summary.listed_at:%Y-%m-%d %H:%M:%S} UTC)"


def _listed(summary: Summary) -> dict[str, Any] | None:
    if summary.listed is None:
        return None
    return {**asdict(summary.listed), "at": clock.iso(summary.listed_at)}


def throughput(ledger: Ledger, job_id: str) -> dict[str, Any]:
    """Return bytes acknowledged and attempts failed in each of up to `BINS` equal spans of the job's sending."""
    first: datetime | None = None
    last: datetime | None = None
    for row in ledger.audit.attempts(job_id):
        first = row.started_at if first is None else min(first, row.started_at)
        last = row.ended_at if last is None else max(last, row.ended_at)
    if first is None or last is None:
        return {"begin": None, "bin_s": 0.0, "sent_bytes": [], "failed_attempts": []}
    lasted_s = (last - first).total_seconds()
    bin_s = max(lasted_s / BINS, SHORTEST_S)
    bins = max(1, min(BINS, ceil(lasted_s / bin_s)))
    sent, failed = [0] * bins, [0] * bins
    for row in ledger.audit.attempts(job_id):
        index = min(bins - 1, int((row.ended_at - first).total_seconds() / bin_s))
        if row.outcome == AttemptOutcome.SENT:
            sent[index] += row.size_bytes
        else:
            failed[index] += 1
    return {"begin": clock.iso(first), "bin_s": bin_s, "sent_bytes": sent, "failed_attempts": failed}


def _rounds(ledger: Ledger, summary: Summary) -> list[dict[str, Any]]:
    """Return what each processing covered: the upload, and each addition after it."""
    job = summary.job
    if job.triggered_at is None:
        return []
    ended = next((event.at for event in ledger.events.history(job.id, EventKind.JOB_READY)), None)
    additions = [_round(entry) for entry in summary.rounds]
    first = {
        "number": FIRST, "batch": None, "files": summary.sent - summary.added,
        "size_bytes": summary.counts.bytes.get(FileState.SENT, 0) - summary.added_bytes,
        "state": "processing" if ended is None else "done", "known_by": None, "began_at": clock.iso(job.triggered_at),
        "ended_at": clock.iso(ended), "status": None, "message": None,
    }  # fmt: skip
    return [first, *additions]


def _round(entry: Round) -> dict[str, Any]:
    return {
        "number": entry.number, "batch": entry.batch_id, "files": entry.files, "size_bytes": entry.size_bytes,
        "state": entry.state, "known_by": entry.known_by, "began_at": clock.iso(entry.began_at),
        "ended_at": clock.iso(entry.ended_at), "status": entry.status, "message": entry.message,
    }  # fmt: skip


def _run(row: Any, job: Job, last: datetime | None, number: int) -> dict[str, Any]:
    died = row.ended_at is None and row.id != job.run_id
    return {
        "id": row.id, "host": row.host, "pid": row.pid, "version": row.version, "started_at": clock.iso(row.started_at),
        "ended_at": clock.iso(row.ended_at), "exit_code": row.exit_code, "died": died,
        "last_event_at": clock.iso(last) if died else None, "number": number,
    }  # fmt: skip


def _batch(row: Any) -> dict[str, Any]:
    return {
        "id": row.id, "run": row.run_id, "parent": row.parent_id, "transaction_id": row.transaction_id,
        "state": row.state, "files": row.file_count, "size_bytes": row.size_bytes, "attempts": row.attempts,
        "http_status": row.http_status, "created_at": clock.iso(row.created_at), "ended_at": clock.iso(row.ended_at),
    }  # fmt: skip
