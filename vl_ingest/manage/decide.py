"""What a person decides about a job; each decision is an event that names its author."""

import os
import shlex
from collections.abc import Sequence

from vl_ingest import clock
from vl_ingest.domain import words
from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.events import REPROCESS_SETTLED, EventKind
from vl_ingest.domain.model import (
    FILTER,
    FINISHED,
    TRIGGERED,
    WAIVABLE,
    DatasetStatus,
    FileRow,
    FileState,
    Job,
    JobState,
    StatusClass,
)
from vl_ingest.domain.naming import path_from_text, path_to_text
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.author import author
from vl_ingest.ledger.lock import hold
from vl_ingest.source.addresses import source_at
from vl_ingest.source.filters import matcher

WORDS = ("began", "not-begun", "delivered", "not-delivered")  # what can be said of an unknown outcome
LETTING_GO_S = 5.0  # a run that has just ended lets go of the job a moment later


def retry(ledger: Ledger, job: Job, names: Sequence[str] | None = None) -> int:
    """Let what could not be sent be tried again, all or what `names` name; return how many files that is.

    By name, a file that a person or `--on-rejected skip` has waived is taken back, too.
    """
    with hold(ledger, job.id) as current:
        _before_trigger(ledger, current)
        chosen = None if names is None else _held(ledger, job, names, waived=True)
        return ledger.decisions.retry(job.id, chosen)


def waive(ledger: Ledger, job: Job, names: Sequence[str] | None, why: str | None = None) -> int:
    """Let the job go on without what can't be sent, all or what `names` name, for the reason `why`.

    A name is a path as the ledger has it, a path to the file, or a pattern as in .gitignore. Returns how many files
    that is. Raises `UsageError` for a name that stands for no file that can't be sent.
    """
    with hold(ledger, job.id) as current:
        _before_trigger(ledger, current)
        return ledger.decisions.waive(job.id, _held(ledger, job, names), author(), why)


def waived_names(names: Sequence[str], *, everything: bool) -> Sequence[str] | None:
    """Return the names to give to `waive`. Raises `UsageError` unless it is either some names or everything."""
    if bool(names) == everything:
        raise UsageError(f"Name the files to waive, or use --all{', not both' if names else ''}.")
    return None if everything else names


def settle(ledger: Ledger, job: Job, word: str | None) -> int | None:
    """Take a person's word, one of `WORDS`, on an outcome that is unknown; return how many files it is about.

    None where it is about the trigger. Raises `UsageError` for another word, and where nothing is unknown.
    """
    if word in ("began", "not-begun"):
        settle_trigger(ledger, job, began=word == "began")
        return None
    if word in ("delivered", "not-delivered"):
        return settle_files(ledger, job, delivered=word == "delivered")
    raise UsageError(f"Use one of {', '.join(f'--{known}' for known in WORDS)}.")


def settle_trigger(ledger: Ledger, job: Job, *, began: bool) -> None:
    """Take a person's word on whether processing has begun; "not begun" holds for the server's last word, too."""
    with hold(ledger, job.id) as current:
        state = current.state
        if state is JobState.ADDING:
            ledger.additions.settle_by_hand(job.id, current.status, began=began)
            return
        if state is JobState.PROCESSING and _unseen(ledger, job):
            ledger.rounds.settle_by_hand(job.id, current.status or "", done=began)
            return
        if state is JobState.ERRORED and _asked_again(ledger, job):
            _settle_again(ledger, current, began=began)
            return
        told = DatasetStatus(current.status or "DRAFT").status_class
        doubted = told is not StatusClass.NOT_BEGUN if began else told is StatusClass.UNCLEAR
        if state is not JobState.TRIGGERING and not (state is JobState.UPLOADED and doubted):
            raise UsageError(
                f"There is no doubt whether processing of job {job.id} has begun: nothing is to be settled."
            )
        kind = EventKind.TRIGGER_SETTLED_BY_HAND
        facts = {"began": began, "by": author(), "status": current.status}
        if began:
            ledger.jobs.step(job.id, None, state, kind, facts, triggered_at=clock.now())
        elif state is JobState.TRIGGERING:
            ledger.jobs.step(job.id, None, state, kind, facts)
        else:
            ledger.jobs.note(job.id, None, kind, **facts)


def _unseen(ledger: Ledger, job: Job) -> bool:
    """Return whether the server has acknowledged the addition that is processed, and did not show it."""
    last = ledger.events.last(job.id, EventKind.ROUND_UNSEEN, EventKind.ADDITION_INTENDED)
    return last is not None and last.kind == EventKind.ROUND_UNSEEN


def _asked_again(ledger: Ledger, job: Job) -> bool:
    """Return whether somebody asked the server to process a failed dataset again, and the outcome is unknown."""
    open_ones = (EventKind.REPROCESS_INTENDED, EventKind.REPROCESS_UNKNOWN)
    last = ledger.events.last(job.id, *open_ones, *REPROCESS_SETTLED, EventKind.JOB_ERRORED)
    return last is not None and last.kind in open_ones


def _settle_again(ledger: Ledger, job: Job, *, began: bool) -> None:
    """Take a person's word on whether processing has begun again."""
    kind, facts = EventKind.REPROCESS_SETTLED_BY_HAND, {"began": began, "by": author(), "status": job.status}
    if not began:
        ledger.jobs.note(job.id, None, kind, **facts)
        return
    changes = {"triggered_at": clock.now(), "finished_at": None, "message": None}
    ledger.jobs.step(job.id, None, JobState.ERRORED, kind, facts, **changes)


def settle_files(ledger: Ledger, job: Job, *, delivered: bool) -> int:
    """Take a person's word on every file whose delivery is unknown; return how many files that is."""
    after, by = (FileState.SENT, "delivered") if delivered else (FileState.PENDING, "not-delivered")
    with hold(ledger, job.id):
        unknown = list(ledger.files.rows(job.id, FileState.UNKNOWN))
        if not unknown:
            raise UsageError(f"Job {job.id} has no file of unknown delivery: there is nothing to settle.")
        # First the word, then what follows from it: a death between leaves no file taken as delivered without it.
        kind = EventKind.FILES_SETTLED_BY_HAND
        ledger.jobs.note(job.id, None, kind, by=author(), state=after, files=len(unknown))
        for file in unknown:
            ledger.decisions.settle_unknown(job.id, None, file, after, by)
    return len(unknown)


def cancel(ledger: Ledger, job: Job) -> None:
    """Give a job up; what is on the server stays there."""
    with hold(ledger, job.id, LETTING_GO_S) as current:
        if current.state in FINISHED:
            raise UsageError(f"Job {job.id} is finished ({current.state}): there is nothing to cancel.")
        ledger.jobs.step(job.id, None, current.state, EventKind.JOB_CANCELLED, {"by": author()})


def _held(ledger: Ledger, job: Job, names: Sequence[str] | None, *, waived: bool = False) -> list[str]:
    """Return the paths of the files that can't be sent and are named; None: of all of them.

    With `waived` also of those that were waived, unless by a filter, which alone lets them in again.
    """
    states = [*sorted(WAIVABLE), *([FileState.WAIVED] if waived else [])]
    rows = [row for row in ledger.files.rows(job.id, *states) if row.decided_by != FILTER]
    held = dict.fromkeys(row.path for row in rows if not _is_replaced(ledger, job.id, row))
    if names is None:
        return list(held)
    chosen: dict[str, None] = {}
    source = source_at(job.source)
    for name in names:
        spellings = [name, path_from_text(name), source.path_of(os.path.abspath(name)) or name]
        if exact := [path for path in spellings if path in held]:
            chosen[exact[0]] = None
            continue
        if listed := [path for path in held if words.path(path) == name]:  # as `files` shows it
            chosen |= dict.fromkeys(listed)
            continue
        for row in ledger.files.known(job.id, spellings).values():
            if row.state is FileState.WAIVED and row.decided_by == FILTER:
                why = f"is left out by {row.decided_why}: run the job without that filter to send it."
            elif row.state is FileState.WAIVED:
                why = f"is waived already; `vl-ingest retry {job.id} {shlex.quote(path_to_text(row.path))}` takes that back."
            elif row.state is FileState.UNKNOWN:
                why = f"may or may not have been delivered: `vl-ingest settle {job.id} --delivered` or `--not-delivered` first."
            else:
                why = f"is {row.state}: only what is {' or '.join(sorted(WAIVABLE))} can be decided on."
            raise UsageError(f"{path_to_text(row.path)} {why}")
        matches = matcher([name])
        matching = [path for path in held if matches is not None and matches(path)]
        if not matching:
            raise UsageError(
                f"{path_to_text(name)!r} matches no file of job {job.id} that can't be sent. "
                f"`vl-ingest files {job.id} --state {','.join(sorted(WAIVABLE))}` lists them."
            )
        chosen |= dict.fromkeys(matching)
    return list(chosen)


def _is_replaced(ledger: Ledger, job_id: str, row: FileRow) -> bool:
    """Return whether a version that was left out has a later one."""
    return row.version > 1 and ledger.files.known(job_id, [row.path])[row.path].id != row.id


def _before_trigger(ledger: Ledger, job: Job) -> None:
    if job.state is JobState.READY and (ledger.files.counts(job.id).unsent or ledger.rounds.all(job.id)):
        return  # files that are to be added can be held as those of an upload
    if job.state in TRIGGERED or job.state in FINISHED:
        raise UsageError(
            f"Job {job.id} is {job.state}: its files can no longer be waived, retried or settled."
        )
