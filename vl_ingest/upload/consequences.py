"""What an attempt without a receipt leads to: it goes on record, all learn from it, and what is decided is carried out."""

from typing import NoReturn

from vl_ingest import clock
from vl_ingest.couriers.parcel import Outcome
from vl_ingest.domain import words
from vl_ingest.domain.choices import OnUnknown
from vl_ingest.domain.errors import (
    Conflict,
    CredentialsRefused,
    FileTrouble,
    Refused,
    RequestError,
    Throttled,
    Undecided,
)
from vl_ingest.domain.model import AttemptOutcome, Batch, BatchState, Facts, FileState, StatusClass
from vl_ingest.run.backoff import backoff_s
from vl_ingest.run.context import Context
from vl_ingest.run.retry import refused
from vl_ingest.upload import answers
from vl_ingest.upload.answers import Action, Failed, Lesson
from vl_ingest.upload.backlog import Backlog, Delivery
from vl_ingest.upload.concurrency import Concurrency
from vl_ingest.upload.gate import Gate
from vl_ingest.upload.plan import BatchLimits, halves
from vl_ingest.upload.scan import check_source


class Consequences:
    """Follows up the attempts of a run, for the one thread that records.

    Attributes:
        attempts_failed: attempts of this run that failed; a refusal is an answer.
        delivered: batches that this run has delivered.

    """

    def __init__(
        self, context: Context, backlog: Backlog, limits: BatchLimits, concurrency: Concurrency, gate: Gate
    ) -> None:
        self.attempts_failed = 0
        self.delivered = 0
        self._context = context
        self._backlog = backlog
        self._limits = limits
        self._concurrency = concurrency
        self._gate = gate
        self._untold: list[tuple[str, str]] = []  # rejections that may yet be withdrawn: path, reason
        self._already_sent = context.ledger.files.counts(context.job.id)[FileState.SENT] > 0

    def follow(self, delivery: Delivery, outcome: Outcome) -> list[Delivery]:
        """Record an attempt without a receipt, and return what is left to do of the delivery.

        Raises what ends the run.
        """
        if isinstance(outcome.error, FileTrouble):
            return self._file_trouble(delivery, outcome)
        if outcome.error is None:
            raise ValueError("the attempt has a receipt")
        return self._failed(delivery, outcome.error, outcome)

    def unsent(self, delivery: Delivery, why: str) -> None:
        """Record that an attempt which was intended is not made."""
        delivery.intended = False
        context = self._context
        delivery.batch = context.ledger.batches.record_failure(
            context.run, delivery.batch, AttemptOutcome.NOT_DELIVERED, None, why, {}
        )

    def split(self, delivery: Delivery, reason: str) -> list[Delivery]:
        """Cut the batch in two."""
        context = self._context
        groups = halves(delivery.batch.files)
        parts = context.ledger.batches.split(context.run, delivery.batch, groups, reason)
        return [delivery.part(part) for part in parts]

    def _failed(self, delivery: Delivery, error: Failed, came: Outcome) -> list[Delivery]:
        """Record an attempt without a receipt, let all learn from it, and carry out what is decided then."""
        (outcome, lesson), was_open = answers.meaning(error), not self._gate.closed
        self._record(delivery, outcome, came)
        if outcome is not AttemptOutcome.REFUSED:
            self.attempts_failed += 1
        self._learn(delivery, lesson, error, came.body_bytes)
        action, reason = answers.decide(
            error,
            delivery.batch,
            delivery.history,
            alone=self._backlog.alone(),
            gate_open=not self._gate.closed,
            on_unknown=self._context.settings.on_unknown,
        )
        told = lesson in (Lesson.SERVER_FAILS, Lesson.SERVER_UNREACHABLE, Lesson.COURIER_DIES)
        if was_open and told and action in (Action.RESEND, Action.SPLIT):
            self._warn(delivery.batch, error)  # once it is closed, the display says what everybody waits for
        match action:
            case Action.RESEND:
                return [delivery]
            case Action.SPLIT:
                return self.split(delivery, reason)
            case Action.REJECT:
                return self._reject(delivery, reason)
            case Action.HOLD:
                return self._hold(delivery, reason)
            case Action.STOP:
                return self._stop(error)

    def _learn(self, delivery: Delivery, lesson: Lesson, error: Failed, body_bytes: int) -> None:
        """Let everybody know whom a failure concerns: the gate, the limits, the delivery's own history."""
        if lesson is Lesson.SERVER_FAILS:
            delivery.history = delivery.history.failed(self.delivered)
            delivery.due = clock.monotonic() + backoff_s(delivery.history.failures)
        elif lesson is Lesson.COURIER_DIES:
            delivery.history = delivery.history.died()
            delivery.due = clock.monotonic() + backoff_s(delivery.history.deaths)
        if answers.shows_overload(error):
            self._concurrency.overloaded(delivery.began_at, clock.monotonic())
        match lesson, error:
            case Lesson.SERVER_FAILS | Lesson.SERVER_UNREACHABLE, RequestError():
                self._gate.failed(error.detail, unreachable=lesson is Lesson.SERVER_UNREACHABLE)
            case Lesson.PAUSE_WANTED, Throttled():
                self._gate.throttled(error.retry_after_s)
            case Lesson.TOKEN_REFUSED, CredentialsRefused():
                self._context.api.tokens.renew(error)
            case Lesson.SERVER_WORKS, _:
                self._gate.answered()
            case Lesson.BODY_TOO_LARGE, _:
                self._gate.answered()
                self._limits.learn_too_large(body_bytes)
                self._context.ledger.jobs.learn_too_large(self._context.run, body_bytes)

    def _stop(self, error: RequestError | Refused) -> NoReturn:
        """Raise what ends the run, with what to do about it."""
        if isinstance(error, Refused):
            raise error
        if isinstance(error, Conflict):
            raise Undecided(
                f"The server takes no more files into transaction {self._context.transaction_id}: {words.clause(error)}. {self._advice()}"
            ) from error
        raise refused("upload", error, self._context.job) from error

    def _advice(self) -> str:
        """Ask once what the server says of the dataset; return what that means for files it does not take."""
        context, job_id = self._context, self._context.job.id
        try:
            status = context.api.dataset_status(context.dataset_id)
        except RequestError as error:
            return f"The dataset's status can't be read now ({error}): run the same command again later."
        context.ledger.jobs.see_status(context.run, job_id, status)
        if status.status_class is StatusClass.NOT_BEGUN:
            return (
                f"The dataset's status is {status.word}, so it is not processed yet: "
                "`vl-ingest run ... --new-transaction` sends everything again into a new transaction."
            )
        return (
            f"The dataset's status is {status.word}: perhaps it is processed already, without these files. Look at "
            f"it; then `vl-ingest cancel {job_id}`, and the same command with `--new` sends everything into another."
        )

    def _reject(self, delivery: Delivery, reason: str) -> list[Delivery]:
        context, file, group = self._context, delivery.batch.files[0], delivery.group
        state = BatchState.UNKNOWN if file.unknown_attempts else BatchState.FAILED
        context.ledger.batches.conclude(context.run, delivery.batch, state, FileState.REJECTED, reason)
        group.rejected.append(file)
        self._untold.append((file.path, reason))
        nothing_taken = not self._already_sent and not self.delivered
        all_refused = nothing_taken and len(group.rejected) == group.file_count > 1
        if all_refused:
            context.ledger.batches.unreject(context.run, group.rejected, reason)
            withdrawn = {rejected.path for rejected in group.rejected}
            self._untold = [told for told in self._untold if told[0] not in withdrawn]
            raise Refused(
                f"The server refused every file of the first batch, so the files are hardly the cause: {reason}. Check "
                "the base URL and the dataset, then run the same command again."
            )
        if not nothing_taken:
            self.tell_rejections()
        return []

    def tell_rejections(self) -> None:
        """Tell of the files that the server rejects, once it is sure that it is the files."""
        told, self._untold = self._untold, []
        for path, reason in told:
            self._context.observer.file_error(path, FileState.REJECTED, reason)

    def _hold(self, delivery: Delivery, reason: str) -> list[Delivery]:
        context, batch = self._context, delivery.batch
        context.ledger.batches.conclude(context.run, batch, BatchState.UNKNOWN, FileState.UNKNOWN, reason)
        for file in batch.files:
            context.observer.file_error(file.path, FileState.UNKNOWN, reason)
        return []

    def _file_trouble(self, delivery: Delivery, outcome: Outcome) -> list[Delivery]:
        """Abandon the attempt; the batch goes on without the files that are not what was promised."""
        context, batch = self._context, delivery.batch
        began = outcome.bytes_out > 0
        self._record(delivery, AttemptOutcome.UNKNOWN if began else AttemptOutcome.NOT_DELIVERED, outcome)
        check_source(context)
        by_path = {file.path: file for file in delivery.batch.files}
        culprits = [
            (by_path[trouble.path], trouble, self._facts_now(trouble)) for trouble in outcome.troubles
        ]
        rest = context.ledger.batches.supersede(context.run, delivery.batch, culprits)
        for trouble in outcome.troubles:
            context.observer.file_error(trouble.path, FileState(trouble.state), trouble.reason)
        if rest is None:
            return []
        follower = delivery.part(rest)
        if began and context.settings.on_unknown is OnUnknown.HOLD:
            return self._hold(follower, f"batch {batch.id} was abandoned while it was sent")
        return [follower]

    def _facts_now(self, trouble: FileTrouble) -> Facts | None:
        """Return what a file that has changed is now, if that is known: its next turn is by these facts."""
        if trouble.state != FileState.CHANGED:
            return None
        try:
            return self._context.source.look(trouble.path)
        except FileTrouble as now:
            return now.facts

    def _record(self, delivery: Delivery, outcome: AttemptOutcome, came: Outcome) -> None:
        """Commit how the attempt ended; the delivery then knows of its files' doubt."""
        context, error = self._context, came.error
        status, detail = (
            (error.http_status, error.detail) if isinstance(error, RequestError) else (None, str(error))
        )
        passed = {file.path: sha256 for file, sha256 in zip(delivery.batch.files, came.sha256s, strict=False)}
        delivery.batch = context.ledger.batches.record_failure(
            context.run, delivery.batch, outcome, status, detail, passed
        )

    def _warn(self, batch: Batch, error: Exception) -> None:
        self._context.observer.notice(
            "warning",
            f"Batch {batch.id}, attempt {batch.attempt}: {words.clause(error)}. It will be sent again.",
            batch=batch.id,
            attempt=batch.attempt,
        )
