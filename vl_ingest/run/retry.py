"""What to do about a request that failed: wait how long, and when to stop."""

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

import tenacity

from vl_ingest import clock
from vl_ingest.domain import words
from vl_ingest.domain.errors import (
    Answered,
    CredentialsRefused,
    GaveUp,
    NotDelivered,
    OutcomeUnknown,
    Refused,
    RequestError,
    Throttled,
)
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import FINISHED, TRIGGERED, Job, JobState
from vl_ingest.domain.standing import run_command
from vl_ingest.observers.observer import Progress
from vl_ingest.run.backoff import backoff_s
from vl_ingest.run.context import Context

CREATE = "create the dataset"
LONG_WAIT_S = 5.0  # before one more attempt: an outage, whatever comes then
TRANSIENT = (NotDelivered, OutcomeUnknown)

T = TypeVar("T")


def waiting_since(begin: datetime, why: str) -> str:
    """Return what a run waits for, as `Progress.waiting` and the display have it."""
    return f"waiting for the server since {begin:%H:%M:%S} UTC ({why})"


def retry_through_outages(
    context: Context,
    doing: str,
    request: Callable[[], T],
    *,
    again_after: tuple[type[RequestError], ...] = TRANSIENT,
) -> T:
    """Make `request` until it succeeds, waiting longer and longer while the trouble is in `again_after`.

    `doing` names it in messages ("create the dataset"). Raises `Refused` for a final answer, `GaveUp` when
    trouble outlasts the settings, and whatever else `request` raises.
    """
    outage = _Outage(context, doing)
    retrying = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type((*again_after, CredentialsRefused)),
        wait=outage.wait_s,
        stop=outage.lasted_too_long,
        sleep=context.pause,
        before_sleep=outage.failed,
        reraise=True,
    )

    def allowed() -> T:
        context.check_may_continue()
        with context.cancel_token.on_its_way():
            return request()

    try:
        result = retrying(allowed)
    except again_after as exc:
        outage.over(answered=False)
        raise outage.gave_up(exc) from exc
    except Answered as exc:
        outage.over(answered=True)
        raise refused(doing, exc, context.reload()) from exc
    outage.over(answered=True)
    return result


class _Outage:
    """What is told while one request is made again and again; nothing if it succeeds at once.

    On record are its begin, once it is more than one short wait, and its end. Where the end of the run cuts it short,
    it ends with that.
    """

    def __init__(self, context: Context, doing: str) -> None:
        self._context = context
        self._doing = doing
        self._waiting: str | None = None
        self._reached = _has_answered(context)
        self._since = clock.monotonic()  # the first request, or the first answer of all
        self._failed_at = clock.now()  # first
        self._failures = 0
        self._recorded = False

    def failed(self, state: tenacity.RetryCallState) -> None:
        """Warn once, and show what is waited for; a refused token is replaced instead."""
        context, error = self._context, _error(state)
        if isinstance(error, CredentialsRefused):
            context.api.tokens.renew(error)
            return
        if self._waiting is None:
            patience = words.duration(self._patience_s)
            context.observer.notice(
                "warning",
                f"Could not {self._doing} at {context.api.base_url}: {words.clause(error)}. Trying again for {patience}; "
                "run `vl-ingest doctor` to look for the cause.",
            )
            self._failed_at = clock.now()
            self._waiting = waiting_since(self._failed_at, error.detail)
        self._failures += 1
        long = state.next_action is not None and state.next_action.sleep >= LONG_WAIT_S
        if not self._recorded and (self._failures > 1 or long):
            self._recorded = True
            facts = {"detail": error.detail, "since": clock.iso(self._failed_at)}
            context.note(EventKind.OUTAGE_BEGAN, doing=self._doing, **facts)
        self._show()

    def wait_s(self, state: tenacity.RetryCallState) -> float:
        """Return how many seconds to wait before the same request is made again: the last one is made in time."""
        error = _error(state)
        if isinstance(error, CredentialsRefused):
            return 0.0
        if isinstance(error, Throttled) and error.retry_after_s is not None:
            return error.retry_after_s
        left_s = self._since + self._patience_s - clock.monotonic()
        return max(0.0, min(backoff_s(state.attempt_number), left_s))

    def lasted_too_long(self, state: tenacity.RetryCallState) -> bool:
        """Return whether to give up: sooner where the server has never answered, as then the address may be wrong."""
        now = clock.monotonic()
        if not self._reached and _error(state).http_status is not None:
            self._reached, self._since = True, now
        return now - self._since >= self._patience_s

    def gave_up(self, error: RequestError) -> GaveUp:
        """Return the error for trouble that has lasted too long."""
        if self._reached:
            return gave_up(self._doing, error)
        from vl_ingest.server.wire import proxy_of

        url, job_id = self._context.api.base_url, self._context.job.id
        proxy = proxy_of(url)
        through = "" if proxy is None else f" through the proxy {proxy}"
        return GaveUp(
            f"Could not reach {url}{through} for {words.duration(self._patience_s)}: {words.clause(error)}. It has never "
            "answered: check the address, the proxy and the network (run `vl-ingest doctor` to look for the cause). If the "
            f"address is wrong, run `vl-ingest resume {job_id} --base-url URL`; otherwise run the same command again."
        )

    @property
    def _patience_s(self) -> float:
        settings = self._context.settings
        return (
            settings.give_up_after_s
            if self._reached
            else min(settings.first_contact_s, settings.give_up_after_s)
        )

    def over(self, *, answered: bool) -> None:
        """Put the end on record; after an answer, show that nothing is waited for any more."""
        if self._recorded:
            facts = {"failed_attempts": self._failures + (not answered), "answered": answered}
            self._context.note(EventKind.OUTAGE_OVER, doing=self._doing, **facts)
        if answered and self._waiting is not None:
            self._waiting = None
            self._show()

    def _show(self) -> None:
        job = self._context.reload()
        counts = self._context.ledger.files.counts(job.id)
        self._context.show(Progress(job.state, counts, waiting=self._waiting))


def _has_answered(context: Context) -> bool:
    """Return whether the job's server has ever answered it, in this run or in one before."""
    if context.reload().state is not JobState.CREATED:
        return True
    history = context.ledger.events.history(context.job.id, EventKind.CREATE_UNKNOWN, EventKind.CREATE_FAILED)
    return any(event.facts.get("http_status") is not None for event in history)


def gave_up(doing: str, error: object) -> GaveUp:
    """Return the error for trouble that outlasted the settings."""
    return GaveUp(
        f"Could not {doing} for too long: {words.clause(error)}. Nothing is lost: run the same command again when the "
        "server works again."
    )


def refused(doing: str, error: RequestError, job: Job) -> Refused:
    """Return the error for a final answer to a request of a job: what it means, and what to do."""
    if error.http_status == 404 and doing == CREATE:
        return Refused(
            f"Could not {doing}: {words.clause(error)}. There is no Visual Layer API at that address: check --base-url, then run "
            "the command again."
        )
    new = run_command(job, "--new")
    if error.http_status == 404 and job.state in TRIGGERED:  # the transaction is over
        way = (
            f"`{new}` sends the folder to another one"
            if job.state in FINISHED
            else f"`vl-ingest cancel {job.id}` and then `{new}` send the folder to another one"
        )
        return Refused(
            f"Could not {doing}: {words.clause(error)}. The dataset is gone, or belongs to someone else. If it is gone, {way}. "
            "Otherwise check the base URL and the account, then run the same command again to continue."
        )
    meaning = {
        400: "The server calls the request invalid. Check the name and the base URL;",
        401: "The server refuses the credentials. Check them;",
        409: "The state of the dataset or transaction does not allow it. Look at the dataset;",
        403: "The account or its plan does not allow it. Have that changed;",
        404: (
            "The dataset or transaction is gone, or belongs to someone else. If the transaction is gone, "
            f"`{run_command(job, '--new-transaction')}` sends everything again into a new one; if the dataset is, "
            f"`vl-ingest cancel {job.id}` and then `{new}` send it to another. Otherwise check the "
            "base URL and the account,"
        ),
        422: "This is a bug in vl-ingest: please report it;",
    }.get(error.http_status or 0, "Check the base URL;")
    return Refused(
        f"Could not {doing}: {words.clause(error)}. {meaning} then run the same command again to continue."
    )


def _error(state: tenacity.RetryCallState) -> RequestError:
    assert state.outcome is not None  # noqa: S101  # tenacity calls only after an attempt
    error = state.outcome.exception()
    assert isinstance(error, RequestError)  # noqa: S101  # nothing else is retried
    return error
