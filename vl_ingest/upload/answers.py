"""What follows from an attempt that ended without a receipt: decisions on values, a row for each class of failure.

`meaning` says what the failure proves and teaches by itself; `decide` what becomes of the batch, once that is learnt.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum, auto

from vl_ingest.domain import errors
from vl_ingest.domain.choices import OnUnknown
from vl_ingest.domain.model import AttemptOutcome, Batch

FAILURES_AT_FAULT = 3  # in a row, while others succeed: the batch itself is at fault
FAILURES_ALONE = 8  # in a row, of the last file left, with nothing else to compare with
STRIKES_AT_FAULT = 2
DEATHS_AT_FAULT = 3  # of couriers that had the batch, in a row

Failed = errors.RequestError | errors.Refused


class Lesson(Enum):
    """What a failure teaches all workers."""

    NOTHING = auto()
    SERVER_WORKS = auto()  # it has answered sensibly
    SERVER_FAILS = auto()
    SERVER_UNREACHABLE = auto()
    PAUSE_WANTED = auto()
    TOKEN_REFUSED = auto()
    COURIER_DIES = auto()  # nothing about the server
    BODY_TOO_LARGE = auto()  # and the server works


class Action(Enum):
    """What becomes of the batch."""

    RESEND = auto()  # as it is, when its time comes
    SPLIT = auto()  # sent again in two halves
    REJECT = auto()  # a single file, which is not sent again
    HOLD = auto()  # its files stay unknown: a person decides
    STOP = auto()  # the whole run


@dataclass(frozen=True)
class History:
    """The failures of a delivery that prove nothing; `strikes` are those with other batches' success between."""

    failures: int = 0  # in a row
    strikes: int = 0
    delivered_before: int = 0  # batches delivered in this run when it last failed
    deaths: int = 0  # of couriers that had it, in a row

    def died(self) -> "History":
        """Return the history after its courier has died."""
        return replace(self, deaths=self.deaths + 1)

    def failed(self, delivered: int) -> "History":
        """Return the history after another failure, when so many batches have been delivered in this run."""
        return History(self.failures + 1, self.strikes + (delivered > self.delivered_before), delivered)

    def of_part(self) -> "History":
        """Return what a part of the batch begins with."""
        return History(0, self.strikes, self.delivered_before)


# A class without a row means what the class above it means.
_MEANINGS: Mapping[type[Exception], tuple[AttemptOutcome, Lesson]] = {
    errors.Refused: (AttemptOutcome.NOT_DELIVERED, Lesson.NOTHING),  # no token, or a bad certificate
    errors.Throttled: (AttemptOutcome.NOT_DELIVERED, Lesson.PAUSE_WANTED),
    errors.NotDelivered: (AttemptOutcome.NOT_DELIVERED, Lesson.SERVER_UNREACHABLE),
    errors.CourierLost: (AttemptOutcome.UNKNOWN, Lesson.COURIER_DIES),
    errors.OutcomeUnknown: (AttemptOutcome.UNKNOWN, Lesson.SERVER_FAILS),
    errors.Redirected: (AttemptOutcome.UNKNOWN, Lesson.SERVER_WORKS),
    errors.CredentialsRefused: (AttemptOutcome.REFUSED, Lesson.TOKEN_REFUSED),
    errors.TooLarge: (AttemptOutcome.REFUSED, Lesson.BODY_TOO_LARGE),
    errors.Answered: (AttemptOutcome.REFUSED, Lesson.SERVER_WORKS),  # every other no
}


def meaning(error: Failed) -> tuple[AttemptOutcome, Lesson]:
    """Return what a failure means by itself: how the attempt goes on record, and what all workers learn from it."""
    return next(_MEANINGS[kind] for kind in type(error).__mro__ if kind in _MEANINGS)


def shows_overload(error: Failed) -> bool:
    """Return whether fewer requests at once may help: the server asks to slow down, or does not answer in time."""
    if isinstance(error, errors.CourierLost) or not isinstance(error, errors.RequestError):
        return False
    return error.http_status in (429, 503, None)


def decide(
    error: Failed, batch: Batch, history: History, *, alone: bool, gate_open: bool, on_unknown: OnUnknown
) -> tuple[Action, str]:
    """Return what becomes of a batch after a failure, and why; `history` and `gate_open` count it already.

    `alone`: the batch is all that is left to send.
    """
    several = len(batch.files) > 1
    doubted = batch.files[0].unknown_attempts > 0
    at_fault = _at_fault(history, several=several, alone=alone, gate_open=gate_open)
    blame = Action.SPLIT if several else Action.REJECT  # until the culprit stands alone
    reason = str(error)
    match error:
        case errors.NotDelivered() | errors.CredentialsRefused():
            action = Action.RESEND
        case errors.OutcomeUnknown() if on_unknown is OnUnknown.HOLD:
            action = Action.HOLD
        case errors.CourierLost() if history.deaths < DEATHS_AT_FAULT:
            action = Action.RESEND
        case errors.CourierLost():
            action, reason = blame, f"{history.deaths} times the process that sent it has died: {reason}"
        case errors.OutcomeUnknown() if not at_fault:
            action = Action.RESEND
        case errors.OutcomeUnknown():
            action = blame
            if not several:
                reason = f"failed {history.failures} times while others were taken: {reason}"
        case errors.BadRequest() if doubted and not several:
            # The file may be there already, and this be a complaint about that.
            action, reason = Action.HOLD, f"{reason}, after an attempt whose outcome is unknown"
        case errors.BadRequest():
            action = blame
        case errors.TooLarge():
            action, reason = blame, f"too large for the server: {error.detail}"
        case _:
            action = Action.STOP
    if action is Action.REJECT and doubted:
        reason = f"{reason} (an earlier attempt may have delivered it)"
    return action, reason


def _at_fault(history: History, *, several: bool, alone: bool, gate_open: bool) -> bool:
    """Return whether it is the batch that fails, and not the server."""
    if history.failures < FAILURES_AT_FAULT:
        return False
    if history.strikes >= STRIKES_AT_FAULT and gate_open:
        return True
    return alone and (several or (history.strikes > 0 and history.failures >= FAILURES_ALONE))
