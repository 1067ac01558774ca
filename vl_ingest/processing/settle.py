"""What became of a trigger, where its answer does not tell: decided by the server's own word alone.

A status of another class than before the trigger, or a task that proves it (see `evidence`), means that processing began;
the same status at both ends of a settling window, and no such task, means that it did not, and only then may the trigger
be sent again.
"""

from vl_ingest import clock
from vl_ingest.domain.errors import Conflict, RequestError, Undecided
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import DatasetStatus, JobState, StatusClass
from vl_ingest.domain.remote import Task
from vl_ingest.ledger import TransitionRefused
from vl_ingest.processing.evidence import Evidence
from vl_ingest.run.context import Context
from vl_ingest.run.status import read_status

FIRST_POLL_S, POLL_S, GROWTH = 0.5, 5.0, 1.6
SHORTEST_SETTLE_S = 0.05  # a window has two ends, whatever --settle says
BEGUN = frozenset({StatusClass.BEGUN, StatusClass.DONE, StatusClass.FAILED})


def settle_unknown(context: Context, error: RequestError) -> bool:
    """Record that the outcome of the trigger is unknown, and settle it; return whether processing has begun."""
    context.note(EventKind.TRIGGER_UNKNOWN, detail=str(error), conflict=isinstance(error, Conflict))
    context.observer.notice("warning", f"The outcome of the trigger is unknown ({error}).")
    return settle(context)


def settle(context: Context) -> bool:
    """Decide by the server's own word whether an unknown trigger has begun; return whether it has.

    Time in which the status can't be read does not count. After a 409, in this run or an earlier one, an
    unchanged status decides nothing: the server itself says that its state forbids another trigger.
    """
    last = context.ledger.events.last(context.job.id, EventKind.TRIGGER_INTENDED, EventKind.TRIGGER_UNKNOWN)
    answer = {} if last is None else last.facts
    why = answer.get("detail", "a run ended before it knew the outcome")
    window_s = max(context.settings.settle_s, SHORTEST_SETTLE_S)
    before = (context.reload().status_before or "").upper()
    with context.waiting(
        f"Watching the status for {window_s:.0f} s to learn whether processing began ({why})."
    ):
        status, task = _watch_status(context, window_s)
    if task is not None:
        record_proved(context, JobState.TRIGGERING, status, task)
        return True
    if has_begun(context, status):
        record_begun(context, EventKind.TRIGGER_SETTLED_BEGUN, status=status.word)
        context.observer.notice("step", f"Processing has begun ({status.word}).")
        return True
    if answer.get("conflict") or status.word.upper() != before:
        word = status.word.upper()
        moved = f"stayed {word}" if word == before else f"went from {before or 'unknown'} to {status.word}"
        raise Undecided(
            f"The outcome of the trigger is unknown ({why}). The status {moved}, which does not show "
            f"whether processing began. Look at the dataset; then run `vl-ingest settle {context.job.id} --began` or "
            "`--not-begun`, and the same command again."
        )
    record_not_begun(
        context, EventKind.TRIGGER_SETTLED_NOT_BEGUN, f"still {status.word} after {window_s:.0f} s"
    )
    text = f"Processing has not begun (still {status.word}): it may be triggered again."
    context.observer.notice("step", text)
    return False


def _watch_status(context: Context, window_s: float) -> tuple[DatasetStatus, Task | None]:
    """Return the status, or the task, that says that processing has begun, or else the status at the end of the window."""
    reachable_s, poll_s, evidence = 0.0, FIRST_POLL_S, Evidence.of(context)
    while True:
        status = read_status(context)
        if status.status_class in BEGUN:
            return status, None
        task = evidence.proof(status)
        if task is not None or reachable_s >= window_s:
            return status, task
        if not evidence.can_come:
            has_begun(context, status)  # a word that nobody has explained: waiting would not help
        started = clock.monotonic()
        step_s = min(poll_s, window_s - reachable_s)
        context.pause(step_s)
        reachable_s += min(clock.monotonic() - started, step_s)
        poll_s = min(POLL_S, poll_s * GROWTH)


def adopted(context: Context, status: DatasetStatus) -> bool:
    """Take an uploaded job to `processing` if the server is past the trigger; return whether it is.

    Raises `Undecided` where processing may have begun without some of the files.
    """
    if not has_begun(context, status):
        return False
    if not _delivered_in_time(context):
        job_id = context.job.id
        context.note(EventKind.TRIGGER_NOT_ADOPTED, status=status.word)
        raise Undecided(
            f"The server says {status.word}: processing began without a request from this job, perhaps before every file "
            "had arrived. Look at the dataset. If nothing is missing there, run "
            f"`vl-ingest settle {job_id} --began` and the same command again. Otherwise run "
            f"`vl-ingest cancel {job_id}`, and the same command with `--new` to send everything to another dataset."
        )
    facts = {"status": status.word}
    context.step(JobState.UPLOADED, EventKind.TRIGGER_ADOPTED, facts, triggered_at=clock.now())
    context.observer.notice("step", f"Processing was already under way ({status.word}): not triggered.")
    return True


def _delivered_in_time(context: Context) -> bool:
    """Return whether all files are in one transaction, and nothing had begun when the last of them had arrived.

    A doubt on record stays: the next run has sent nothing, and knows no more.
    """
    events, job_id = context.ledger.events, context.job.id
    if events.last(job_id, EventKind.TRANSACTION_GIVEN_UP, EventKind.TRIGGER_NOT_ADOPTED):
        return False
    if context.ledger.files.counts(job_id).unsent:
        return False
    sent = events.last(
        job_id, EventKind.BATCH_SENT, EventKind.FILES_SETTLED_BY_HAND
    )  # the latter: nobody knows since when
    seen = events.last(job_id, EventKind.TRIGGER_INTENDED, EventKind.SENT_BEFORE_PROCESSING)
    return sent is None or (seen is not None and sent.number < seen.number)


def record_proved(context: Context, state: JobState, status: DatasetStatus, task: Task) -> None:
    """Take the job from this state to `processing`, because a task proves that it has begun."""
    told = {"status": status.word, "task": task.id, "task_status": task.status}
    record_begun(context, EventKind.TRIGGER_PROVED_BY_TASK, state, **told)
    context.observer.notice("step", f"Processing has begun (the server's task is {task.status}).")


def record_begun(
    context: Context, kind: EventKind, state: JobState = JobState.TRIGGERING, **facts: object
) -> None:
    """Take the job from `triggering`, or another state, to `processing`, by an event of this kind."""
    try:
        context.step(state, kind, facts, triggered_at=clock.now())
    except TransitionRefused:  # a run on another host, which took this one for dead, may have seen the same
        if context.reload().state is not JobState.PROCESSING:
            raise


def record_not_begun(context: Context, kind: EventKind, detail: str) -> None:
    """Take the job from `triggering` back to `uploaded`, by an event of this kind."""
    context.step(JobState.TRIGGERING, kind, {"detail": detail})


def has_begun(context: Context, status: DatasetStatus) -> bool:
    """Return whether the server is past the trigger. Raises `Undecided` for a word that nobody has explained."""
    if status.status_class is not StatusClass.UNCLEAR:
        return status.status_class in BEGUN
    for event in context.ledger.events.history(context.job.id, EventKind.TRIGGER_SETTLED_BY_HAND):
        if event.facts.get("status") == status.word and not event.facts["began"]:
            return False
    raise Undecided(
        f"The server calls the dataset {status.word!r}, which is not documented, so it is unclear whether "
        f"processing has begun. Look at the dataset; then run `vl-ingest settle {context.job.id} --began` or "
        "`--not-begun`, and the same command again."
    )
