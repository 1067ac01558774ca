"""What follows from each answer: the table of answers, row by row, on values."""

from dataclasses import dataclass, replace

import pytest

from vl_ingest.domain import errors
from vl_ingest.domain.choices import OnUnknown
from vl_ingest.domain.errors import RequestError
from vl_ingest.domain.model import AttemptOutcome, Batch, Facts, FileRow, FileState
from vl_ingest.upload.answers import (
    Action,
    History,
    Lesson,
    decide,
    meaning,
    shows_overload,
)

LOST = errors.OutcomeUnknown("connection reset")
BROKEN = errors.OutcomeUnknown("out of order", 500)
BAD = errors.BadRequest("no picture", 400)
LARGE = errors.TooLarge("too large", 413)


@dataclass(frozen=True)
class Case:
    """A failure and what is known when it comes; by default a first one, of several files in a healthy run."""

    error: RequestError | errors.Refused
    files: int = 50
    doubted: bool = False
    failures: int = 1
    strikes: int = 0
    alone: bool = False
    gate_open: bool = True
    on_unknown: OnUnknown = OnUnknown.RESEND

    def decision(self) -> tuple[Action, str]:
        """Return what is decided, and why."""
        file = FileRow(
            1, "a.png", "a.png", Facts(1, 1), FileState.IN_FLIGHT, unknown_attempts=int(self.doubted)
        )
        return decide(
            self.error,
            Batch(1, (file,) * self.files, attempt=1),
            History(self.failures, self.strikes),
            alone=self.alone,
            gate_open=self.gate_open,
            on_unknown=self.on_unknown,
        )


ONE = Case(BROKEN, files=1, doubted=True)
HELD = OnUnknown.HOLD

TABLE = [
    ("nothing was written: another attempt", Case(errors.NotDelivered("refused")), Action.RESEND),
    ("nothing was written, of one file that was in doubt", Case(errors.NotDelivered("refused"), 1, doubted=True), Action.RESEND),
    ("nothing was written, again and again", Case(errors.NotDelivered("DNS"), failures=99, strikes=9, alone=True), Action.RESEND),
    ("nothing was written: nothing to hold", Case(errors.NotDelivered("refused"), on_unknown=HELD), Action.RESEND),
    ("a bad certificate", Case(errors.Refused("certificate")), Action.STOP),
    ("a lost answer: another attempt", Case(LOST), Action.RESEND),
    ("a success in another form: another attempt", Case(errors.Undocumented("odd", 200)), Action.RESEND),
    ("a lost answer that is to be held", Case(LOST, on_unknown=HELD), Action.HOLD),
    ("a lost answer of one file that is to be held", Case(LOST, 1, on_unknown=HELD), Action.HOLD),
    ("two failures while others succeed", Case(BROKEN, failures=2, strikes=2), Action.RESEND),
    ("three failures while others succeed", Case(BROKEN, failures=3, strikes=2), Action.SPLIT),
    ("three failures, one success between", Case(BROKEN, failures=3, strikes=1), Action.RESEND),
    ("three failures in an outage", Case(BROKEN, failures=3, strikes=0, gate_open=False), Action.RESEND),
    ("three failures in an outage that began late", Case(BROKEN, failures=3, strikes=2, gate_open=False), Action.RESEND),
    ("three failures of all that is left", Case(BROKEN, failures=3, alone=True, gate_open=False), Action.SPLIT),
    ("two failures of all that is left", Case(BROKEN, failures=2, alone=True, gate_open=False), Action.RESEND),
    ("one file, two failures while others succeed", replace(ONE, failures=2, strikes=2), Action.RESEND),
    ("one file, three failures while others succeed", replace(ONE, failures=3, strikes=2), Action.REJECT),
    ("one file, three failures, one success between", replace(ONE, failures=3, strikes=1), Action.RESEND),
    ("one file, three failures in an outage", replace(ONE, failures=3, strikes=2, gate_open=False), Action.RESEND),
    ("the last file, seven failures", replace(ONE, failures=7, strikes=1, alone=True, gate_open=False), Action.RESEND),
    ("the last file, eight failures", replace(ONE, failures=8, strikes=1, alone=True, gate_open=False), Action.REJECT),
    ("the only file, and nothing was ever taken", replace(ONE, failures=99, alone=True, gate_open=False), Action.RESEND),
    ("one file among others, eight failures", replace(ONE, failures=8, strikes=1, gate_open=False), Action.RESEND),
    ("429", Case(errors.Throttled("slow down", 5.0), failures=9, strikes=9, alone=True, on_unknown=HELD), Action.RESEND),
    ("400 on several", Case(BAD), Action.SPLIT),
    ("400 on several that were in doubt", Case(BAD, doubted=True), Action.SPLIT),
    ("400 on one", Case(BAD, 1), Action.REJECT),
    ("400 on one, in an outage", Case(BAD, 1, gate_open=False), Action.REJECT),
    ("400 on one after an unknown attempt", Case(BAD, 1, doubted=True), Action.HOLD),
    ("413 on several", Case(LARGE), Action.SPLIT),
    ("413 on one", Case(LARGE, 1), Action.REJECT),
    ("413 on one after an unknown attempt", Case(LARGE, 1, doubted=True), Action.REJECT),
    ("409", Case(errors.Conflict("processed", 409)), Action.STOP),
    ("409 after an unknown attempt", Case(errors.Conflict("processed", 409), 1, doubted=True), Action.STOP),
    ("401: another token", Case(errors.CredentialsRefused("expired", 1)), Action.RESEND),
    ("403, 404, 422", Case(errors.Denied("no", 403)), Action.STOP),
    ("a redirect", Case(errors.Redirected("elsewhere", 307)), Action.STOP),
]  # fmt: skip


@pytest.mark.parametrize(("case", "action"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_each_answer_has_its_action(case: Case, action: Action) -> None:
    """A row of the table, with what has gone before and what others see at the same time."""
    assert case.decision()[0] is action


N, U, R = AttemptOutcome.NOT_DELIVERED, AttemptOutcome.UNKNOWN, AttemptOutcome.REFUSED

MEANINGS = [
    (errors.Refused("certificate"), N, Lesson.NOTHING, False),
    (errors.NotDelivered("refused"), N, Lesson.SERVER_UNREACHABLE, True),
    (errors.Throttled("slow down", None), N, Lesson.PAUSE_WANTED, True),
    (errors.CourierLost("killed"), U, Lesson.COURIER_DIES, False),
    (LOST, U, Lesson.SERVER_FAILS, True),
    (BROKEN, U, Lesson.SERVER_FAILS, False),
    (errors.OutcomeUnknown("busy", 503), U, Lesson.SERVER_FAILS, True),
    (errors.Undocumented("not the documented answer", 200), U, Lesson.SERVER_FAILS, False),
    (errors.Redirected("elsewhere", 307), U, Lesson.SERVER_WORKS, False),
    (errors.CredentialsRefused("expired", 1), R, Lesson.TOKEN_REFUSED, False),
    (BAD, R, Lesson.SERVER_WORKS, False),
    (LARGE, R, Lesson.BODY_TOO_LARGE, False),
    (errors.Conflict("processed", 409), R, Lesson.SERVER_WORKS, False),
    (errors.Denied("no", 404), R, Lesson.SERVER_WORKS, False),
]


@pytest.mark.parametrize(("error", "outcome", "lesson", "overload"), MEANINGS, ids=str)
def test_each_failure_goes_on_record_and_teaches_everybody(
    error: RequestError, outcome: AttemptOutcome, lesson: Lesson, overload: bool
) -> None:
    """How the attempt ended, what the gate, the limits and the tokens learn, and whether fewer at once may help."""
    assert (*meaning(error), shows_overload(error)) == (outcome, lesson, overload)


def test_every_class_of_failure_has_a_meaning() -> None:
    """A new class of answers means what the one above it means, and is never without."""
    classes = RequestError.__subclasses__()
    while classes:
        found = classes.pop()
        classes += found.__subclasses__()
        assert meaning(found.__new__(found))


def test_a_rejection_says_where_the_file_may_be_on_the_server_all_the_same() -> None:
    """Whoever waives it should know; and the server's own words are the reason."""
    assert Case(BAD, 1).decision()[1] == "HTTP 400: no picture"
    assert "an earlier attempt may have delivered it" in Case(LARGE, 1, doubted=True).decision()[1]
    assert "failed 3 times while others were taken" in replace(ONE, failures=3, strikes=2).decision()[1]


def test_strikes_are_failures_with_success_of_others_between() -> None:
    """Two failures in a row with nothing delivered between are one strike; a part of a batch inherits the strikes."""
    history = History()
    for delivered, strikes in ((0, 0), (3, 1), (3, 1), (4, 2)):
        history = history.failed(delivered)
        assert history.strikes == strikes
    assert history.failures == 4
    assert history.of_part() == History(0, 2, 4)
