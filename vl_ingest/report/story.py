"""What happened to a job, as one value that JSON can hold; `schema.json` beside this file describes it."""

from dataclasses import dataclass
from datetime import datetime
from math import ceil
from typing import Any

from vl_ingest import clock
from vl_ingest.domain.model import AttemptOutcome, FileState, Job, JobState
from vl_ingest.domain.naming import files_text, path_to_text
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.summary import Summary, summarise
from vl_ingest.report.table import rows
from vl_ingest.report.timeline import outages, timeline
from vl_ingest.version import __version__

BINS = 60  # bars in the picture of the throughput, at most
SHORTEST_S = 1.0  # of them
FORMAT = "vl-ingest report 1"


@dataclass(frozen=True)
class Report:
    """A job's story: `facts` as the schema has them, and the job and its counts for whoever writes words."""

    job: Job
    summary: Summary
    facts: dict[str, Any]


def build(ledger: Ledger, job_id: str) -> Report:
    """Return a job's story as it stands now; all of it is of one moment."""
    with ledger.db.snapshot():
        summary = summarise(ledger, job_id)
        job, counts = summary.job, summary.counts
        gaps = list(outages(ledger.events.history(job_id)))
        last = {event.run_id: event.at for event in ledger.events.history(job_id)}
        return Report(job, summary, {
            "format": FORMAT,
            "generated_at": clock.iso(clock.now()),
            "version": __version__,
            "verdict": verdict(summary),
            "job": {
                "id": job.id, "name": job.name, "source": path_to_text(job.source), "base_url": job.base_url,
                "state": job.state, "created_at": clock.iso(job.created_at), "triggered_at": clock.iso(job.triggered_at),
                "finished_at": clock.iso(job.finished_at), "left_out": dict(job.left_out), "message": job.message,
            },
            "remote": {"dataset_id": job.dataset_id, "transaction_id": job.transaction_id, "status": job.status},
            "settings": dict(job.settings),
            "totals": {
                "files": counts.total, "size_bytes": counts.total_bytes,
                "by_state": {state: counts[state] for state in FileState if counts[state]},
                "sent_bytes": counts.bytes.get(FileState.SENT, 0),
                "possibly_twice": summary.possibly_twice, "changed_after": summary.changed_after,
            },
            "runs": [_run(row, job, last.get(row.id)) for row in ledger.audit.runs(job_id)],
            "timeline": list(timeline(ledger.events.history(job_id), gaps)),
            "outages": [gap.facts() for gap in gaps],
            "throughput": throughput(ledger, job_id),
            "batches": [_batch(row) for row in ledger.audit.batches(job_id)],
            "exceptions": list(rows(ledger, job_id, exceptional=True)),
            "chain": {"events": job.event_count, "head": job.event_head},
        })  # fmt: skip


def verdict(summary: Summary) -> str:
    """Return in one sentence how it stands."""
    job, counts = summary.job, summary.counts
    sent, waived = files_text(counts[FileState.SENT]), counts[FileState.WAIVED]
    without = f", {files_text(waived)} left out by decision" if waived else ""
    match job.state:
        case JobState.READY:
            return (
                f"Complete: {sent} delivered{without}; processing was started once and the dataset is ready."
            )
        case JobState.PROCESSING:
            return f"Delivered: {sent}{without}; processing was started once and is under way."
        case JobState.ERRORED:
            return f"Failed on the server: {sent} delivered{without}, but the dataset could not be processed."
        case JobState.CANCELLED:
            return f"Given up: {sent} delivered, {files_text(counts.unsent)} not."
        case JobState.TRIGGERING:
            return f"Undecided: {sent} delivered{without}; whether processing has begun is not known yet."
    return f"Not finished: {sent} delivered, {files_text(counts.unsent)} not yet; processing has not begun."


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


def _run(row: Any, job: Job, last: datetime | None) -> dict[str, Any]:
    died = row.ended_at is None and row.id != job.run_id
    return {
        "id": row.id, "host": row.host, "pid": row.pid, "version": row.version, "started_at": clock.iso(row.started_at),
        "ended_at": clock.iso(row.ended_at), "exit_code": row.exit_code, "died": died,
        "last_event_at": clock.iso(last) if died else None,
    }  # fmt: skip


def _batch(row: Any) -> dict[str, Any]:
    return {
        "id": row.id, "run": row.run_id, "parent": row.parent_id, "transaction_id": row.transaction_id,
        "state": row.state, "files": row.file_count, "size_bytes": row.size_bytes, "attempts": row.attempts,
        "http_status": row.http_status, "created_at": clock.iso(row.created_at), "ended_at": clock.iso(row.ended_at),
    }  # fmt: skip
