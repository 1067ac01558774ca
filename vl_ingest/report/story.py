"""What happened to a job, as one value that JSON can hold; `schema.json` beside this file describes it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from vl_ingest import __version__, clock
from vl_ingest.ledger import Ledger
from vl_ingest.model import AttemptOutcome, Event, FileState, Job, JobState
from vl_ingest.naming import files_text, path_to_text
from vl_ingest.report.table import moment, rows
from vl_ingest.summary import Summary, summarise

BINS = 60  # bars in the picture of the throughput
FORMAT = "vl-ingest report 1"

REPEATED = ("attempt_", "batch_", "file_", "unknown_")  # what may happen a thousand times in a row

SAID = {
    "job_created": "The job was made, for a dataset named {name!r} at {base_url}.",
    "run_started": "Run {run} started on {host} (pid {pid}).",
    "run_ended": "Run {run} ended with exit code {exit_code}.",
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
    "file_waived": "{path} ({state}) was waived by {by}.",
    "file_retried": "{path} ({state}) was to be tried again, on the word of {by}.",
    "unknown_settled": "The unknown delivery of {path} was settled by {by}: {state}.",
    "files_settled_by_hand": "{by} settled {files} files of unknown delivery: {state}.",
    "stalled": "No byte had moved for {seconds} seconds.",
    "stall_over": "Bytes moved again, after {seconds} seconds.",
    "stop_asked": "{by} asked the run to stop.",
    "settings_changed": "Options changed.",
    "size_limit_learnt": "The server refused a body of {too_large_bytes} bytes for its size.",
    "upload_finished": "Every file was sent or waived.",
    "trigger_intended": "Processing was about to be started; the server's status was {status_before}.",
    "trigger_acknowledged": "The server acknowledged the start of processing.",
    "trigger_unknown": "The outcome of the start of processing was unknown ({detail}).",
    "trigger_settled_begun": "The status {status} proved that processing had begun.",
    "trigger_settled_not_begun": "Processing had not begun ({detail}).",
    "trigger_settled_by_hand": "{by} settled whether processing had begun: {began}.",
    "trigger_adopted": "Processing was under way already ({status}).",
    "status_changed": "The server's status became {status}.",
    "job_ready": "The dataset was ready.",
    "job_errored": "The server failed to process the dataset: {message}.",
    "job_cancelled": "{by} gave the job up.",
    "job_moved": "The job's folder or server is at another place now.",
    "ledger_upgraded": "The ledger's schema was upgraded from {before} to {after}.",
}


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
        return Report(job, summary, {
            "format": FORMAT,
            "generated_at": moment(clock.now()),
            "version": __version__,
            "verdict": verdict(summary),
            "job": {
                "id": job.id, "name": job.name, "source": path_to_text(job.source), "base_url": job.base_url,
                "state": job.state, "created_at": moment(job.created_at), "triggered_at": moment(job.triggered_at),
                "finished_at": moment(job.finished_at), "left_out": dict(job.left_out), "message": job.message,
            },
            "remote": {"dataset_id": job.dataset_id, "transaction_id": job.transaction_id, "status": job.status},
            "settings": dict(job.settings),
            "totals": {
                "files": counts.total, "size_bytes": counts.total_bytes,
                "by_state": {state: counts[state] for state in FileState if counts[state]},
                "sent_bytes": counts.bytes.get(FileState.SENT, 0),
                "possibly_twice": summary.possibly_twice, "changed_after": summary.changed_after,
            },
            "runs": [_run(row, job) for row in ledger.audit.runs(job_id)],
            "timeline": list(timeline(ledger.events.history(job_id))),
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


def timeline(history: Iterator[Event]) -> Iterator[dict[str, Any]]:
    """Yield what mattered, in words; what happened many times in a row is one moment that lasts."""
    open_moment: dict[str, Any] | None = None
    files = 0
    for event in history:
        if event.kind.endswith("_intended") and event.kind != "trigger_intended":
            continue
        if open_moment is None or open_moment["kind"] != event.kind or not event.kind.startswith(REPEATED):
            if open_moment is not None:
                yield open_moment
            open_moment, files = {"kind": event.kind, "at": moment(event.at), "count": 0}, 0
        files += event.facts.get("files", 0) if event.kind == "batch_sent" else 0
        open_moment["until"] = moment(event.at)
        open_moment["count"] += 1
        open_moment["by"] = f"{event.user or 'unknown'}@{event.host or 'unknown'}"
        open_moment["run"] = event.run_id
        open_moment["text"] = _words(event, open_moment["count"], files)
    if open_moment is not None:
        yield open_moment


def _words(event: Event, count: int, files: int) -> str:
    if event.kind == "batch_sent":
        return f"{count:,} batch{'es' * (count != 1)} with {files_text(files)} delivered."
    plain = event.kind.replace("_", " ").capitalize() + "."
    end = "died" if event.facts.get("died") else "ended"
    facts = {"run": event.run_id, "host": event.host, "end": end, **event.facts}
    try:
        text = SAID.get(event.kind, plain).format(**facts)
    except KeyError:  # written by another version, which knew other facts
        text = plain
    return text if count == 1 else f"{count:,} times: last, {text[0].lower()}{text[1:]}"


def throughput(ledger: Ledger, job_id: str) -> dict[str, Any]:
    """Return bytes acknowledged and attempts failed in each of up to `BINS` equal spans of the job's sending."""
    first: datetime | None = None
    last: datetime | None = None
    for row in ledger.audit.attempts(job_id):
        first = row.started_at if first is None else min(first, row.started_at)
        last = row.ended_at if last is None else max(last, row.ended_at)
    if first is None or last is None:
        return {"begin": None, "bin_s": 0.0, "sent_bytes": [], "failed_attempts": []}
    bin_s = max((last - first).total_seconds() / BINS, 0.001)
    sent, failed = [0] * BINS, [0] * BINS
    for row in ledger.audit.attempts(job_id):
        index = min(BINS - 1, int((row.ended_at - first).total_seconds() / bin_s))
        if row.outcome == AttemptOutcome.SENT:
            sent[index] += row.size_bytes
        else:
            failed[index] += 1
    return {"begin": moment(first), "bin_s": bin_s, "sent_bytes": sent, "failed_attempts": failed}


def _run(row: Any, job: Job) -> dict[str, Any]:
    died = row.ended_at is None and row.id != job.run_id
    return {
        "id": row.id, "host": row.host, "pid": row.pid, "version": row.version, "started_at": moment(row.started_at),
        "ended_at": moment(row.ended_at), "exit_code": row.exit_code, "died": died,
    }  # fmt: skip


def _batch(row: Any) -> dict[str, Any]:
    return {
        "id": row.id, "run": row.run_id, "parent": row.parent_id, "transaction_id": row.transaction_id,
        "state": row.state, "files": row.file_count, "size_bytes": row.size_bytes, "attempts": row.attempts,
        "http_status": row.http_status, "created_at": moment(row.created_at), "ended_at": moment(row.ended_at),
    }  # fmt: skip
