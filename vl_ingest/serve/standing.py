"""How a job's standing looks on a page: its mark, its headline and what more there is to know. Nothing is read here."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from vl_ingest.domain import words
from vl_ingest.domain.model import WAIVABLE, Counts, FileState, Job, JobState, Run
from vl_ingest.domain.naming import files_text
from vl_ingest.domain.standing import next_step, state_text
from vl_ingest.report.timeline import ENDED


class Tone(StrEnum):
    """What a state is to whoever looks: the colour of its mark."""

    GOOD = "good"
    BUSY = "busy"
    WAIT = "wait"
    BAD = "bad"
    IDLE = "idle"


TONES = {
    JobState.READY: Tone.GOOD,
    JobState.ERRORED: Tone.BAD,
    JobState.CANCELLED: Tone.IDLE,
}  # of what is over
PAUSED = frozenset({0, 10, 129, 130, 143})  # exit codes of runs that were to end there
GAVE_UP = 5  # the exit code of a run that was stopped by trouble that may be over


@dataclass(frozen=True)
class Standing:
    """Where a job stands: a headline, what more there is to know, since when, and the next step where nobody works on it."""

    tone: Tone
    headline: str
    detail: str = ""
    since: datetime | None = None
    next: str = ""


@dataclass(frozen=True)
class Seen:
    """What is known of a job at one moment. `alive` says whether `run`, its last, is at work."""

    job: Job
    counts: Counts
    run: Run | None
    alive: bool
    outcome: int | None = None  # as `Runs.outcome`
    scanned: bool = True

    @property
    def waiting_for(self) -> str | None:
        """What the run that is at work waits for, in words; None while it works."""
        return self.run.waiting_for if self.alive and self.run is not None else None


def standing(seen: Seen) -> Standing:
    """Return where a job stands."""
    job, run = seen.job, seen.run
    headline = _sentence(state_text(job, seen.counts, at_work=seen.alive))
    if seen.alive:
        return _at_work(seen, headline)
    step = next_step(job, seen.counts, last_exit_code=seen.outcome).text
    grows = job.state is JobState.READY and seen.counts.unsent > 0
    if job.state is JobState.READY and not grows:
        step = ""  # there is none
    if job.state in TONES:
        detail = job.message if job.state is JobState.ERRORED else _delivered(seen)
        tone = Tone.WAIT if grows else TONES[job.state]
        return Standing(tone, headline, detail or "", job.finished_at, step)
    if run is None:
        return Standing(Tone.IDLE, headline, "No run has begun.", job.created_at, step)
    if run.ended_at is None:
        gone = f"The process {run.pid} on {run.host} is gone. Nothing is lost."
        return Standing(Tone.WAIT, headline, gone, run.heartbeat_at, step)
    if job.state is JobState.PROCESSING:
        return Standing(Tone.IDLE, headline, f"No run watches it. {_server_says(job)}", run.ended_at, step)
    ended = f"The last run ended with exit code {run.exit_code}{ENDED.get(run.exit_code or 0, '')}."
    detail = ended if run.exit_code is not None else "The last run has ended."
    return Standing(_left(seen, run), headline, detail, run.ended_at, step)


def _at_work(seen: Seen, headline: str) -> Standing:
    job, run = seen.job, seen.run
    if seen.waiting_for is not None and run is not None:
        waiting = f"{_sentence(seen.waiting_for)}. It goes on by itself."
        return Standing(Tone.WAIT, "Waiting", waiting, run.waiting_since)
    if job.state in (JobState.PROCESSING, JobState.TRIGGERING, JobState.ADDING):
        return Standing(Tone.BUSY, headline, _server_says(job), job.triggered_at)
    detail = "" if seen.scanned else "The folder is still being scanned."
    return Standing(Tone.BUSY, headline, detail, None if run is None else run.started_at)


def _left(seen: Seen, run: Run) -> Tone:
    """Return the mark of a job whose last run has ended before it."""
    if run.exit_code is None or run.exit_code in PAUSED:
        held = any(seen.counts[state] for state in WAIVABLE) and seen.job.state is JobState.TRANSACTION_OPEN
        return Tone.WAIT if held else Tone.IDLE
    return Tone.WAIT if run.exit_code == GAVE_UP else Tone.BAD


def _sentence(text: str) -> str:
    return text[:1].upper() + words.clause(text[1:])


def _delivered(seen: Seen) -> str:
    sent, waived = seen.counts[FileState.SENT], seen.counts[FileState.WAIVED]
    without = f", {waived:,} left out by a filter or a decision" if waived else ""
    return f"{files_text(sent)} delivered{without}."


def _server_says(job: Job) -> str:
    if not job.status:
        return "The server has not been asked yet."
    percent = "" if job.progress is None else f", {job.progress:.0f} %"
    return f"The server says {job.status}{percent}."


def wanted_bytes(counts: Counts) -> int:
    """Return the bytes of all files but the waived ones."""
    return counts.total_bytes - counts.bytes.get(FileState.WAIVED, 0)


def share_done(counts: Counts) -> float:
    """Return how much of the bytes that are wanted is sent, from 0 to 1."""
    if wanted := wanted_bytes(counts):
        return counts.bytes.get(FileState.SENT, 0) / wanted
    return float(bool(counts.total) and not counts.unsent)
