"""Start processing exactly once.

The server has no key that makes the trigger idempotent, so it is never repeated on a guess. The intent is
committed before the request, together with the status read just before. Where the outcome is unknown only
the server's own status decides: a word of another class means that processing began; the same word at both
ends of a settling window means that it did not, and only then is the trigger sent again.
"""

from datetime import timedelta

from vl_ingest import clock
from vl_ingest.domain.errors import (
    Answered,
    Conflict,
    CredentialsRefused,
    NotDelivered,
    OutcomeUnknown,
    Redirected,
    Refused,
    RequestError,
    Throttled,
    Undecided,
)
from vl_ingest.domain.model import DatasetStatus, JobState, StatusClass
from vl_ingest.ledger import TransitionRefused
from vl_ingest.run.context import Context
from vl_ingest.run.retry import backoff_s, gave_up, persistently, refused
from vl_ingest.upload.remote import known

POLL_S = 5.0
SHORTEST_SETTLE_S = 0.05  # a window has two ends, whatever --settle says
UNPROCESSED = "sent_before_processing"  # an event
BEGUN = frozenset({StatusClass.BEGUN, StatusClass.DONE, StatusClass.FAILED})


def trigger(context: Context) -> None:
    """Take the job from `uploaded` to `processing`, once this run has scanned and sent everything.

    Raises `Undecided` where no rule may decide, and what the requests raise.
    """
    wait_for_doubtful(context)
    failures, renewed, began_at = 0, False, clock.monotonic()
    while True:
        before = read_status(context)
        if adopted(context, before):
            return
        context.alive()  # asked to stop meanwhile, or out of time: what is not intended yet is not begun
        context.ledger.jobs.intend_trigger(context.run, before.word, known(context.reload().transaction_id))
        try:
            if _request(context):
                return
            renewed = False
        except CredentialsRefused as error:
            if renewed:  # reading the status may have worked with it: that does not help here
                raise refused("start processing", error) from error
            context.api.tokens.renew(error)
            renewed = True
        failures += 1
        if clock.monotonic() - began_at > context.settings.give_up_after_s:
            raise gave_up("start processing", f"{failures} requests did not begin it")
        context.pause(backoff_s(failures))


def adopted(context: Context, status: DatasetStatus) -> bool:
    """Take an uploaded job to `processing` if the server is past the trigger; return whether it is.

    Raises `Undecided` where processing may have begun without some of the files.
    """
    if not _has_begun(context, status):
        return False
    if not _delivered_in_time(context):
        job_id = context.job.id
        context.note("trigger_not_adopted", status=status.word)
        raise Undecided(
            f"The server says {status.word}: processing began without this job's asking, perhaps before every file "
            "had arrived. Look at the dataset. If nothing is missing there, say "
            f"`vl-ingest settle {job_id} --began` and run the same command again; else say "
            f"`vl-ingest cancel {job_id}`, and the same command with `--new` sends everything into another dataset."
        )
    context.step(
        JobState.UPLOADED, JobState.PROCESSING, "trigger_adopted",
        facts={"status": status.word}, triggered_at=clock.now(),
    )  # fmt: skip
    context.observer.notice("step", f"Processing was under way already ({status.word}): not triggered.")
    return True


def _delivered_in_time(context: Context) -> bool:
    """Say whether all files are in one transaction, and nothing had begun when the last of them had arrived.

    A doubt on record stays: the next run has sent nothing, and knows no more.
    """
    events, job_id = context.ledger.events, context.job.id
    if events.last(job_id, "transaction_given_up", "trigger_not_adopted"):
        return False
    if context.ledger.files.counts(job_id).unsent:
        return False
    sent = events.last(job_id, "batch_sent", "files_settled_by_hand")  # the latter: nobody knows since when
    seen = events.last(job_id, "trigger_intended", UNPROCESSED)
    return sent is None or (seen is not None and sent.number < seen.number)


def see_unprocessed(context: Context) -> None:
    """Put on record that nothing has begun behind what was just sent, if the server says so when asked once.

    That is what processing under way may later be adopted on.
    """
    try:
        status = context.api.dataset_status(known(context.reload().dataset_id))
    except (RequestError, Refused) as error:
        context.observer.notice("warning", f"The dataset's status is not to be had now ({error}).")
        return
    context.ledger.jobs.see_status(context.run, context.job.id, status)
    if status.status_class is StatusClass.NOT_BEGUN:
        context.note(UNPROCESSED, status=status.word)


def _request(context: Context) -> bool:
    """Send the trigger once and settle its outcome; return whether processing has begun.

    Raises `CredentialsRefused` where a new token may help.
    """
    job = context.reload()
    try:
        status = context.api.trigger(known(job.dataset_id), known(job.transaction_id))
    except NotDelivered as error:
        _not_begun(context, "trigger_not_delivered", str(error))
        if isinstance(error, Throttled):
            context.pause(error.retry_after_s or 0.0)
        return False
    except Refused as error:  # a certificate, or no token to be had: nothing was sent
        _not_begun(context, "trigger_not_delivered", str(error))
        raise
    except CredentialsRefused as error:
        _not_begun(context, "trigger_refused", str(error))
        raise
    except (Conflict, Redirected) as error:
        return _settle_unknown(context, error)
    except Answered as error:
        _not_begun(context, "trigger_refused", str(error))
        raise refused("start processing", error) from error
    except OutcomeUnknown as error:
        return _settle_unknown(context, error)
    _began(context, "trigger_acknowledged", http_status=status)
    context.observer.notice("step", "Processing is triggered.")
    return True


def _settle_unknown(context: Context, error: RequestError) -> bool:
    context.note("trigger_unknown", detail=str(error), conflict=isinstance(error, Conflict))
    context.observer.notice("warning", f"The outcome of the trigger is unknown ({error}).")
    return settle(context)


def settle(context: Context) -> bool:
    """Decide by the dataset's status alone whether an unknown trigger has begun; return whether it has.

    Time in which the status can't be read does not count. After a 409, in this run or an earlier one, an
    unchanged status decides nothing: the server itself says that its state forbids another trigger.
    """
    last = context.ledger.events.last(context.job.id, "trigger_intended", "trigger_unknown")
    answer = {} if last is None else last.facts
    why = answer.get("detail", "a run ended before it knew the outcome")
    window_s = max(context.settings.settle_s, SHORTEST_SETTLE_S)
    context.observer.notice(
        "waiting", f"Watching the status for {window_s:.0f} s to learn whether processing began ({why})."
    )
    before = (context.reload().status_before or "").upper()
    reachable_s = 0.0
    while True:
        status = read_status(context)
        if _has_begun(context, status):
            _began(context, "trigger_settled_begun", status=status.word)
            context.observer.notice("step", f"Processing has begun ({status.word}).")
            return True
        if reachable_s >= window_s:
            break
        started = clock.monotonic()
        step_s = min(POLL_S, window_s - reachable_s)
        context.pause(step_s)
        reachable_s += min(clock.monotonic() - started, step_s)
    if answer.get("conflict") or status.word.upper() != before:
        raise Undecided(
            f"The outcome of the trigger is unknown ({why}). The status went from {before or 'unknown'} to {status.word}, "
            f"which does not tell whether processing began. Look at the dataset; then say "
            f"`vl-ingest settle {context.job.id} --began` or `--not-begun` and run the same command again."
        )
    _not_begun(context, "trigger_settled_not_begun", f"still {status.word} after {window_s:.0f} s")
    text = f"Processing has not begun (still {status.word}): it may be triggered again."
    context.observer.notice("step", text)
    return False


def read_status(context: Context) -> DatasetStatus:
    """Read the dataset's status, through outages, and record it."""
    dataset_id = known(context.reload().dataset_id)
    status = persistently(
        context, "read the dataset's status", lambda: context.api.dataset_status(dataset_id)
    )
    context.ledger.jobs.see_status(context.run, context.job.id, status)
    return status


def wait_for_doubtful(context: Context) -> None:
    """Wait until uploads whose outcome is unknown are older than the window: one may still be on its way."""
    since = context.ledger.batches.doubtful_until(context.job.id)
    if since is None:
        return
    window_s = context.settings.settle_s
    run_age = timedelta(seconds=clock.monotonic() - context.started_at)
    # A clock that was set forward must not make an upload older, not between two runs either; one that was set back
    # must not make the wait longer.
    age = min(clock.now() - since, run_age - max(timedelta(0), since - context.run.started_at))
    left_s = min(window_s, window_s - age.total_seconds())
    if left_s > 0:
        context.observer.notice(
            "waiting", f"Waiting {left_s:.1f} s so that no upload is still on its way when processing starts."
        )
        context.pause(left_s)


def _began(context: Context, kind: str, **facts: object) -> None:
    try:
        context.step(
            JobState.TRIGGERING, JobState.PROCESSING, kind, facts=dict(facts), triggered_at=clock.now()
        )
    except TransitionRefused:  # a run on another host, which took this one for dead, may have seen the same
        if context.reload().state is not JobState.PROCESSING:
            raise


def _not_begun(context: Context, kind: str, detail: str) -> None:
    context.step(JobState.TRIGGERING, JobState.UPLOADED, kind, facts={"detail": detail})


def _has_begun(context: Context, status: DatasetStatus) -> bool:
    """Say whether the server is past the trigger. Raises `Undecided` for a word that nobody has explained."""
    if status.status_class is not StatusClass.UNCLEAR:
        return status.status_class in BEGUN
    for event in context.ledger.events.history(context.job.id, "trigger_settled_by_hand"):
        if event.facts.get("status") == status.word and not event.facts["began"]:
            return False
    raise Undecided(
        f"The server calls the dataset {status.word!r}, which is not documented, so nobody here knows whether "
        f"processing has begun. Look at the dataset; then say `vl-ingest settle {context.job.id} --began` or "
        "`--not-begun` and run the same command again."
    )
