"""The last lines of a run, and what programs are told of a job: one summary, in words and in facts."""

from typing import TYPE_CHECKING, Any

from vl_ingest import clock
from vl_ingest.domain import words
from vl_ingest.domain.model import TRIGGERED, Counts, FileState, JobState
from vl_ingest.domain.naming import files_text, path_to_text
from vl_ingest.domain.rounds import has_grown_since
from vl_ingest.domain.standing import missing_step

if TYPE_CHECKING:
    from vl_ingest.domain.rounds import Round
    from vl_ingest.ledger.summary import Summary


def summary_lines(summary: "Summary", *, scanned: bool) -> list[str]:
    """Return the last lines of a run: what happened, what was left, what to run next.

    What the filters left out is a word of the last scan: a run that has not `scanned` does not repeat it.
    """
    job = summary.job
    lines = [tally(summary)]
    if job.left_out and scanned:
        lines.append(f"Left out by type or filter: {words.counted(job.left_out)}.")
    if summary.possibly_twice:
        lines.append(f"{files_text(summary.possibly_twice)} {summary.doubt_in_words()}.")
    if summary.orphans:
        ids = ", ".join(summary.orphans)
        lines.append(
            f"Possibly ours and empty, after a request without a receipt: {ids}. Neither used nor deleted."
        )
    if summary.taken_as_delivered:
        lines.append(
            f"{files_text(summary.taken_as_delivered)} taken as delivered by decision: not acknowledged by the "
            f"server. `vl-ingest report {job.id}` shows who decided, and when."
        )
    if summary.inferred:
        lines.append(
            f"{files_text(summary.inferred)} added without a receipt: by what the server shows, they have arrived."
        )
    if summary.changed_after:
        lines.append(
            f"{files_text(summary.changed_after)} changed on disk after being sent: left alone. Use `--add --changed send` to add "
            "what is there now."
        )
    if job.state is JobState.READY:
        left = "" if summary.missing or summary.counts.unsent else "; nothing is left to do"
        lines.append(f"Dataset {job.dataset_id} is {job.status}. Job {job.id} is done{left}.")
        if summary.rounds:
            added = f"{files_text(summary.added)} added in {words.several(len(summary.rounds), 'addition')}"
            lines.append(f"After the upload, {added}; `vl-ingest status {job.id}` lists them.")
        if summary.listed_at is None or has_grown_since(summary.rounds, summary.listed_at):
            lines.append(f"Run `vl-ingest verify {job.id}` to ask the server whether it has each file.")
        else:
            lines.append(f"{summary.listed}.")
        if summary.missing:
            lines.append(missing_step(job, summary.missing).text)
        lines.append(f"The record holds {job.event_count} events. Keep its head as proof: {job.event_head}")
    else:
        lines.append(
            f"Processing of dataset {job.dataset_id} has started (job {job.id}). "
            f"Run `vl-ingest resume {job.id} --wait` to watch until it is ready."
        )
    return lines


def summary_facts(summary: "Summary") -> dict[str, Any]:
    """Return the same for programs."""
    job, counts = summary.job, summary.counts
    return {
        "job": job.id,
        "name": job.name,
        "source": path_to_text(job.source),
        "base_url": job.base_url,
        "state": job.state,
        "dataset_id": job.dataset_id,
        "transaction_id": job.transaction_id,
        "status": job.status,
        "status_progress": job.progress,
        "files": by_state(counts),
        "total_files": counts.total,
        "total_bytes": counts.total_bytes,
        "sent_bytes": counts.bytes.get(FileState.SENT, 0),
        "unsent": counts.unsent,
        "possibly_twice": summary.possibly_twice,
        "changed_after": summary.changed_after,
        "not_in_dataset": summary.not_in_dataset,
        "left_out": dict(job.left_out),
        "created_at": clock.iso(job.created_at),
        "triggered": job.state in TRIGGERED,
        "triggered_at": clock.iso(job.triggered_at),
        "finished_at": clock.iso(job.finished_at),
        "event_count": job.event_count,
        "event_head": job.event_head,
        "acknowledged": summary.acknowledged,
        "taken_as_delivered": summary.taken_as_delivered,
        "in_dataset": None if summary.listed is None else summary.listed.files,
        "missing_from_dataset": None if summary.listed is None else summary.listed.missing,
        "twice_in_dataset": None if summary.listed is None else summary.listed.twice,
        "orphans": list(summary.orphans),
        "doubts": dict(summary.doubts),
        "listed_at": clock.iso(summary.listed_at),
        "inferred": summary.inferred,
        "rounds": [_round_facts(entry) for entry in summary.rounds],
    }


def _round_facts(entry: "Round") -> dict[str, Any]:
    return {
        "number": entry.number, "files": entry.files, "size_bytes": entry.size_bytes, "state": entry.state,
        "known_by": entry.known_by, "began_at": clock.iso(entry.began_at), "ended_at": clock.iso(entry.ended_at),
        "status": entry.status, "message": entry.message,
    }  # fmt: skip


def tally(summary: "Summary") -> str:
    """Return how many files there are of each kind, and the bytes that were acknowledged."""
    size = words.size(summary.acknowledged_bytes)
    return f"{files_text(summary.counts.total)}: {summary.in_words()} ({size} acknowledged)."


def by_state(counts: Counts) -> dict[str, int]:
    """Return the number of files in each state, for programs."""
    return {str(state): counts[state] for state in FileState}
