"""Let the server process again what it could not: once at a time, and without sending anything again.

The request is treated as the trigger is: intended with what was known just before, sent once over a fresh connection,
and settled by the server's own word where its answer was lost. What it proves that processing began again: the
task has gone on or shows another start or end, or the dataset's status has left failure.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from vl_ingest import clock
from vl_ingest.domain import words
from vl_ingest.domain.errors import (
    Answered,
    BadRequest,
    Conflict,
    CredentialsRefused,
    GaveUp,
    NotDelivered,
    OutcomeUnknown,
    Redirected,
    Refused,
    RequestError,
    Throttled,
    Undecided,
)
from vl_ingest.domain.events import REPROCESS_SETTLED, EventKind
from vl_ingest.domain.model import DatasetStatus, Event, JobState, StatusClass
from vl_ingest.domain.remote import TASK_OVER, Task
from vl_ingest.ledger.author import author
from vl_ingest.processing.evidence import TASKS, creation_tasks
from vl_ingest.processing.settle import BEGUN, FIRST_POLL_S, GROWTH, POLL_S, SHORTEST_SETTLE_S
from vl_ingest.run.backoff import backoff_s
from vl_ingest.run.context import Context
from vl_ingest.run.retry import gave_up
from vl_ingest.run.status import read_status

RETRYABLE = frozenset({"FAILED", "ABORTED"})  # statuses of a task that the server lets be retried
DOING = "have the dataset processed again"


def start_again(context: Context) -> None:
    """Take the job from `errored` to `processing`.

    Raises `Refused` where the server does not let it, `Undecided` where no rule may decide.
    """
    if (intent := _open_intent(context)) is not None and _settle(
        context, intent, "a run ended before it knew the outcome"
    ):
        return
    failures, renewed, began_at = 0, False, clock.monotonic()
    while True:
        tasks = _retryable(context)
        if not tasks:
            return  # somebody else has done it
        task = tasks[0]
        context.check_may_continue()
        status = context.reload().status
        intent = context.ledger.jobs.intend_reprocess(
            context.run, by=author(), task=task.id, task_status=task.status, started=task.start_time, ended=task.end_time,
            status_before=status, tasks={task.id: task.status for task in tasks},
        )  # fmt: skip
        try:
            if _request(context, task, intent):
                return
        except CredentialsRefused as error:
            if renewed:
                raise _refused(context, error) from error
            context.api.tokens.renew(error)
            renewed = True
        failures += 1
        if clock.monotonic() - began_at > context.settings.give_up_after_s:
            raise gave_up(DOING, f"{words.several(failures, 'request')} did not begin it")
        context.pause(backoff_s(failures))


def _retryable(context: Context) -> list[Task]:
    """Return the failed task, with the older ones after it, or take the job to `processing` if the server is at it already.

    The list of tasks may lag: it is read again for a settling window.
    """
    until, poll_s = clock.monotonic() + max(context.settings.settle_s, SHORTEST_SETTLE_S), FIRST_POLL_S
    while True:
        tasks = creation_tasks(context.asking, context.dataset_id)
        status = read_status(context)
        if status.status_class in BEGUN - {StatusClass.FAILED}:
            _begun(context, EventKind.REPROCESS_ADOPTED, status=status.word)
            context.observer.notice("step", f"The server is past the failure already ({status.word}).")
            return []
        if tasks is None:
            raise _not_to_be_had(context, f"{TASKS}: {context.asking.missing.get(TASKS, 'no answer')}")
        if tasks and tasks[0].status.upper() in RETRYABLE:
            return tasks
        if clock.monotonic() >= until:
            if not tasks:
                raise _not_to_be_had(
                    context, "it knows no task of this dataset, perhaps because that is too long ago"
                )
            raise GaveUp(
                f"The dataset is {status.word}, and the server's task is {tasks[0].status}: it can't be retried now. Run "
                "the same command again later."
            )
        context.pause(poll_s)
        poll_s = min(POLL_S, poll_s * GROWTH)


def _request(context: Context, task: Task, intent: Event) -> bool:
    """Send the request once and settle its outcome; return whether processing has begun again.

    Raises `CredentialsRefused` where a new token may help.
    """
    try:
        with context.cancel_token.on_its_way():
            context.asking.extras.retry_task(task.id)
    except NotDelivered as error:
        context.note(EventKind.REPROCESS_NOT_DELIVERED, detail=str(error))
        if isinstance(error, Throttled):
            context.pause(error.retry_after_s or 0.0)
        return False
    except Refused as error:  # a certificate, or no token to be had: nothing was sent
        context.note(EventKind.REPROCESS_NOT_DELIVERED, detail=str(error))
        raise
    except CredentialsRefused as error:
        context.note(EventKind.REPROCESS_REFUSED, detail=str(error))
        raise
    except (BadRequest, Conflict) as error:  # perhaps because an earlier request was carried out after all
        if _unknown(context, intent, error):
            return True
        raise _refused(context, error) from error
    except (OutcomeUnknown, Redirected) as error:
        return _unknown(context, intent, error)
    except Answered as error:
        context.note(EventKind.REPROCESS_REFUSED, detail=str(error))
        raise _refused(context, error) from error
    _begun(context, EventKind.REPROCESS_ACKNOWLEDGED, by=intent.facts["by"], task=task.id)
    context.observer.notice("step", "The server processes the dataset again; nothing is sent again.")
    return True


def _unknown(context: Context, intent: Event, error: RequestError) -> bool:
    context.note(EventKind.REPROCESS_UNKNOWN, detail=str(error))
    context.observer.notice("warning", f"The outcome of the request to {DOING} is unknown ({error}).")
    return _settle(context, intent, str(error))


def _settle(context: Context, intent: Event, why: str) -> bool:
    """Decide by the server's own word whether an unknown request was carried out; return whether it was."""
    window_s = max(context.settings.settle_s, SHORTEST_SETTLE_S)
    with context.waiting(
        f"Watching the server for {window_s:.0f} s to learn whether processing began again ({why})."
    ):
        status, task = _watch(context, intent, window_s)
    if task is not None or has_left(intent.facts, status):
        told = {} if task is None else {"task_status": task.status}
        _begun(context, EventKind.REPROCESS_SETTLED_BEGUN, by=intent.facts["by"], status=status.word, **told)
        context.observer.notice("step", "Processing has begun again.")
        return True
    if status.status_class is StatusClass.UNCLEAR and status.word != intent.facts["status_before"]:
        raise Undecided(
            f"The outcome of the request to {DOING} is unknown ({why}), and the server calls the dataset {status.word!r}, "
            f"which is not documented. Look at the dataset; then run `vl-ingest settle {context.job.id} --began` or "
            "`--not-begun`, and the same command again."
        )
    detail = f"still {status.word} after {window_s:.0f} s"
    context.note(EventKind.REPROCESS_SETTLED_NOT_BEGUN, detail=detail)
    context.observer.notice("step", f"Processing has not begun again ({detail}).")
    return False


def _watch(context: Context, intent: Event, window_s: float) -> tuple[DatasetStatus, Task | None]:
    """Return the status, or the task, that says that processing began again, or the status at the end of the window."""
    reachable_s, poll_s = 0.0, FIRST_POLL_S
    while True:
        status = read_status(context)
        task = gone_on(intent.facts, creation_tasks(context.asking, context.dataset_id) or ())
        if task is not None or has_left(intent.facts, status) or reachable_s >= window_s:
            return status, task
        started = clock.monotonic()
        step_s = min(poll_s, window_s - reachable_s)
        context.pause(step_s)
        reachable_s += min(clock.monotonic() - started, step_s)
        poll_s = min(POLL_S, poll_s * GROWTH)


def has_left(before: Mapping[str, Any], status: DatasetStatus) -> bool:
    """Return whether the status is that of a dataset which is no longer failed; `before` are the intent's facts."""
    known = status.status_class not in (StatusClass.FAILED, StatusClass.UNCLEAR)
    return known and status.word != before["status_before"]


def gone_on(before: Mapping[str, Any], tasks: Sequence[Task]) -> Task | None:
    """Return the task that shows that work has begun again since the intent, whose facts are `before`.

    It is the retried one, if anything about it is new, or another that is at work and was not when the intent was committed.
    """
    known = before.get("tasks")
    for task in tasks:
        if task.id == before["task"]:
            if task.status != before["task_status"] or _moved(before, task):
                return task
        elif known is not None and not _is_over(task.status) and _is_over(known.get(task.id, "COMPLETED")):
            return task
    return None


def _is_over(status: str) -> bool:
    return status.upper() in TASK_OVER


def _moved(before: Mapping[str, Any], task: Task) -> bool:
    return (task.start_time, task.end_time) != (before["started"], before["ended"])


def _open_intent(context: Context) -> Event | None:
    """Return the intent whose outcome nobody knows yet, if there is one."""
    events, job_id = context.ledger.events, context.job.id
    asked = (EventKind.REPROCESS_INTENDED, EventKind.REPROCESS_UNKNOWN)
    last = events.last(job_id, *asked, *REPROCESS_SETTLED, EventKind.JOB_ERRORED)
    if last is None or last.kind not in asked:
        return None
    return events.last(job_id, EventKind.REPROCESS_INTENDED)


def _begun(context: Context, kind: EventKind, **facts: object) -> None:
    """Take the job from `errored` to `processing`, by an event of this kind."""
    now: datetime = clock.now()
    context.step(JobState.ERRORED, kind, facts, triggered_at=now, finished_at=None, message=None)


def _not_to_be_had(context: Context, why: str) -> Refused:
    return Refused(
        f"The server can't be asked to process the dataset again ({words.clause(why)}). What remains: start it again on "
        f"the server's own pages and run `vl-ingest reprocess {context.job.id}` to follow it, or send everything to another "
        "dataset with `--new`."
    )


def _refused(context: Context, error: RequestError) -> Refused:
    return _not_to_be_had(context, str(error))
