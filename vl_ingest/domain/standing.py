"""Where a job stands, in people's words, and what to do next: one decision for every command that says it."""

import shlex
from dataclasses import dataclass

from vl_ingest.domain.choices import OnUnknown
from vl_ingest.domain.errors import GaveUp, Refused, Undecided, UsageError
from vl_ingest.domain.forms import CLOUD_URL
from vl_ingest.domain.model import WAIVABLE, Counts, FileState, Job, JobState
from vl_ingest.domain.naming import files_text, path_to_text

_WORDS = {
    JobState.UPLOADED: "uploaded",
    JobState.TRIGGERING: "starting processing",
    JobState.PROCESSING: "processing",
    JobState.READY: "done",
    JobState.ERRORED: "processing failed",
    JobState.CANCELLED: "cancelled",
    JobState.ADDING: "adding media",
}


@dataclass(frozen=True)
class NextStep:
    """What to do next: sentences for people, and the commands that they name, in the order to run them."""

    text: str
    commands: tuple[str, ...] = ()


def state_text(job: Job, counts: Counts, *, at_work: bool) -> str:
    """Return where a job stands: `uploading`, `blocked: 3 files`, `processing`, `done`."""
    held = 0 if _sendable(counts) else counts.unsent
    if job.state is JobState.READY and not at_work and counts.unsent:
        return f"blocked: {files_text(held)}" if held else f"to be added: {files_text(counts.unsent)}"
    if job.state in _WORDS:
        return _WORDS[job.state]
    if held and not at_work:
        return f"blocked: {files_text(held)}"
    return "uploading" if at_work else "interrupted"


def next_step(
    job: Job, counts: Counts, *, at_work: bool = False, last_exit_code: int | None = None, missing: int = 0
) -> NextStep:
    """Return what somebody who wants the job to go on has to do.

    `at_work` says whether a run works on it, `last_exit_code` how the last one ended, `missing` how many
    sent files the server's own list of the dataset does not have.
    """
    if at_work:
        follow = f"vl-ingest status {job.id} --watch"
        return NextStep(f"`{follow}` follows the run.", (follow,))
    if job.state is JobState.READY:
        if counts.unsent:
            return _grows(job, counts)
        return missing_step(job, missing) if missing else NextStep("Nothing is left to do.")
    if job.state is JobState.ERRORED:
        reprocess, again = f"vl-ingest reprocess {job.id}", run_command(job, "--new")
        text = f"`{reprocess}` lets the server try again with what it has; `{again}` sends everything to another dataset."
        return NextStep(text, (reprocess,))
    if job.state is JobState.CANCELLED:
        again = run_command(job, "--new")
        return NextStep(f"`{again}` sends everything to another dataset.", (again,))
    return _way_on(job, counts, last_exit_code)


def missing_step(job: Job, missing: int) -> NextStep:
    """Return what to do about files that were acknowledged and are not in the dataset."""
    report = f"vl-ingest report {job.id} --format csv"
    it = "it" if missing == 1 else "them"
    text = (
        f"The server has acknowledged {files_text(missing)} and does not list {it}: `{report}` names {it}. Ask whoever runs the "
        f"server, or send {it} to another dataset: `{run_command(job, '--new', '--files-from')} LIST`."
    )
    return NextStep(text, (report,))


def _grows(job: Job, counts: Counts) -> NextStep:
    """Return the next step of a job whose dataset is ready, with files that are not in it."""
    add = f"vl-ingest add {job.id}"
    if _sendable(counts):
        return NextStep(f"`{add}` adds what is new.", (add,))
    return _held(job, add)


def _held(job: Job, then: str) -> NextStep:
    """Return the next step where files can't be sent; `then` is the command that goes on."""
    retry = f"vl-ingest retry {job.id}"
    text = (
        f"Fix the files and run `{retry}`, or leave them out with `vl-ingest waive {job.id} PATH...` (`--all`: "
        f"all of them); then run `{then}`."
    )
    return NextStep(text, (retry, then))


def _way_on(job: Job, counts: Counts, last_exit_code: int | None) -> NextStep:
    """Return the next step of a job that is not over."""
    resume = f"vl-ingest resume {job.id}"
    doubtful = (JobState.TRIGGERING, JobState.UPLOADED, JobState.ADDING, JobState.PROCESSING)
    in_doubt = job.state in doubtful and last_exit_code == Undecided.exit_code
    if in_doubt and not counts[FileState.UNKNOWN]:
        began = f"vl-ingest settle {job.id} --began"
        added = job.state in (JobState.ADDING, JobState.PROCESSING)
        sign = "the files of the last addition are there" if added else "it is being processed"
        text = f"Look at the dataset, and run `{began}` if {sign}, or `--not-begun`; then `{resume}`."
        return NextStep(text, (began, resume))
    # Where the last run has ended with that, to send them again has settled nothing.
    is_for_a_person = (
        job.settings.get("on_unknown") == OnUnknown.HOLD or last_exit_code == Undecided.exit_code
    )
    if not _sendable(counts) and counts[FileState.UNKNOWN] and is_for_a_person:
        delivered = f"vl-ingest settle {job.id} --delivered"
        text = f"Look at the dataset, and run `{delivered}` if the files of unknown delivery are there, or `--not-delivered`; then `{resume}`."
        return NextStep(text, (delivered, resume))
    if not _sendable(counts) and any(counts[state] for state in WAIVABLE):
        return _held(job, resume)
    return _after(job, resume, last_exit_code)


def _after(job: Job, resume: str, last_exit_code: int | None) -> NextStep:
    """Return the next step of a job that nothing in the ledger holds, by how its last run ended."""
    if job.state is JobState.CREATED and last_exit_code == GaveUp.exit_code:
        return NextStep(
            f"`{resume}` tries {job.base_url} again; with `--base-url URL`, another address.", (resume,)
        )
    if last_exit_code == Refused.exit_code:
        return NextStep(f"The server refused the last run: fix what it said, then run `{resume}`.", (resume,))
    if last_exit_code == UsageError.exit_code and job.state is not JobState.CREATED:
        again = run_command(job)
        return NextStep(f"The last run was given wrong options: correct them, and run `{again}`.", (again,))
    if job.state is JobState.PROCESSING and job.settings.get("wait") is False:
        resume += " --wait"
    return NextStep(f"`{resume}` continues where the last run stopped.", (resume,))


def _sendable(counts: Counts) -> int:
    return counts[FileState.PENDING] + counts[FileState.IN_FLIGHT]


def run_command(job: Job, *more: str) -> str:
    """Return the command line of `run` for a job."""
    server = [] if job.base_url == CLOUD_URL else ["--base-url", job.base_url]
    return shlex.join(["vl-ingest", "run", path_to_text(job.source), "--name", job.name, *server, *more])
