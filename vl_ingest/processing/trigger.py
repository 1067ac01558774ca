"""Start processing exactly once.

The server has no key that makes the trigger idempotent, so it is never repeated on a guess. The intent is
committed before the request, together with the status and the tasks read just before. Where the outcome is unknown
only the server's own word decides: a task that was not there before, or has gone on, or a status of another class
means that processing began; the same status at both ends of a settling window, and no such task, means that it did not,
and only then is the trigger sent again.
"""

from datetime import timedelta

from vl_ingest import clock
from vl_ingest.domain import words
from vl_ingest.domain.errors import (
    Answered,
    Conflict,
    CredentialsRefused,
    NotDelivered,
    OutcomeUnknown,
    Redirected,
    Refused,
    Throttled,
)
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import JobState
from vl_ingest.processing.evidence import Evidence, creation_tasks
from vl_ingest.processing.settle import (
    adopted,
    record_begun,
    record_not_begun,
    record_proved,
    settle_unknown,
)
from vl_ingest.run.away import waited_out_at
from vl_ingest.run.backoff import backoff_s
from vl_ingest.run.context import Context
from vl_ingest.run.retry import gave_up, refused
from vl_ingest.run.status import read_status


def trigger(context: Context) -> None:
    """Take the job from `uploaded` to `processing`, once this run has scanned and sent everything.

    Raises `Undecided` where no rule may decide, and what the requests raise.
    """
    wait_for_doubtful(context)
    failures, renewed, began_at = 0, False, clock.monotonic()
    while True:
        tasks = creation_tasks(context.asking, context.dataset_id)
        before = read_status(context)
        if adopted(context, before):
            return
        task = Evidence.of(context).proof(before, tasks or ())
        if task is not None:  # an earlier request, settled as not begun, was carried out after all
            record_proved(context, JobState.UPLOADED, before, task)
            return
        context.check_may_continue()  # asked to stop meanwhile, or out of time: what is not intended yet is not begun
        known = None if tasks is None else {task.id: task.status for task in tasks}
        context.ledger.jobs.intend_trigger(context.run, before.word, context.transaction_id, known)
        try:
            if _request(context):
                return
            renewed = False
        except CredentialsRefused as error:
            if renewed:  # reading the status may have worked with it: that does not help here
                raise refused("start processing", error, context.job) from error
            context.api.tokens.renew(error)
            renewed = True
        failures += 1
        if clock.monotonic() - began_at > context.settings.give_up_after_s:
            raise gave_up(
                "start processing", f"{words.several(failures, 'request')} did not begin it ({_why(context)})"
            )
        context.pause(backoff_s(failures))


def _request(context: Context) -> bool:
    """Send the trigger once and settle its outcome; return whether processing has begun.

    Raises `CredentialsRefused` where a new token may help.
    """
    try:
        with context.cancel_token.on_its_way():
            status = context.api.trigger(context.dataset_id, context.transaction_id)
    except NotDelivered as error:
        record_not_begun(context, EventKind.TRIGGER_NOT_DELIVERED, str(error))
        if isinstance(error, Throttled):
            context.pause(error.retry_after_s or 0.0)
        return False
    except Refused as error:  # a certificate, or no token to be had: nothing was sent
        record_not_begun(context, EventKind.TRIGGER_NOT_DELIVERED, str(error))
        raise
    except CredentialsRefused as error:
        record_not_begun(context, EventKind.TRIGGER_REFUSED, str(error))
        raise
    except (Conflict, Redirected) as error:
        return settle_unknown(context, error)
    except Answered as error:
        record_not_begun(context, EventKind.TRIGGER_REFUSED, str(error))
        raise refused("start processing", error, context.job) from error
    except OutcomeUnknown as error:
        return settle_unknown(context, error)
    record_begun(context, EventKind.TRIGGER_ACKNOWLEDGED, http_status=status)
    context.observer.notice("step", "Processing is triggered.")
    return True


def _why(context: Context) -> str:
    """Return what came of the last request, in words."""
    answers = (EventKind.TRIGGER_UNKNOWN, EventKind.TRIGGER_NOT_DELIVERED, EventKind.TRIGGER_REFUSED)
    last = context.ledger.events.last(context.job.id, *answers)
    return "nothing is on record" if last is None else words.clause(last.facts["detail"])


def wait_for_doubtful(context: Context) -> None:
    """Wait until uploads whose outcome is unknown are older than the window: one may still be on its way."""
    since = context.ledger.batches.last_unknown_ended_at(context.job.id)
    if since is None:
        return
    since = max(since, waited_out_at(context) or since)  # what workers of other hosts had ended no earlier
    window_s = context.settings.settle_s
    run_age = timedelta(seconds=clock.monotonic() - context.started_at)
    # A clock that was set forward must not make an upload older, not between two runs either; one that was set back
    # must not make the wait longer.
    age = min(clock.now() - since, run_age - max(timedelta(0), since - context.run.started_at))
    left_s = min(window_s, window_s - age.total_seconds())
    if left_s > 0:
        with context.waiting(
            f"Waiting {left_s:.1f} s to let any request still under way arrive before processing starts."
        ):
            context.pause(left_s)
