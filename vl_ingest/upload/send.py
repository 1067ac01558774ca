"""The workers: claim one delivery after the other, let the courier carry it, and record what came of it."""

import threading
from contextlib import suppress
from typing import NoReturn

from vl_ingest import clock
from vl_ingest.domain import words
from vl_ingest.domain.errors import (
    Conflict,
    CredentialsRefused,
    FileTrouble,
    NotDelivered,
    Refused,
    RequestError,
    Throttled,
    Undecided,
)
from vl_ingest.domain.model import AttemptOutcome, Batch, BatchState, Facts, FileState, OnUnknown, StatusClass
from vl_ingest.run.context import Context
from vl_ingest.run.retry import backoff_s, refused
from vl_ingest.upload import answers
from vl_ingest.upload.answers import Action, Failed, Lesson
from vl_ingest.upload.backlog import Backlog, Delivery
from vl_ingest.upload.concurrency import Concurrency
from vl_ingest.upload.courier import Courier, Failure, Receipt
from vl_ingest.upload.gate import Gate
from vl_ingest.upload.plan import BatchLimits, halves
from vl_ingest.upload.scan import check_source

IDLE_S = 0.2


class Sender:
    """All workers of a run: they claim and record.

    Attributes:
        courier: carries their batches.
        concurrency: how many of them may send.
        gate: what they all wait at while the server can't be worked with.
        attempts_failed: attempts of this run that failed; a refusal is an answer.
        delivered: batches that this run has delivered.

    """

    def __init__(
        self,
        context: Context,
        courier: Courier,
        backlog: Backlog,
        limits: BatchLimits,
        concurrency: Concurrency,
    ) -> None:
        self.courier = courier
        self.concurrency = concurrency
        self.gate = Gate(context.cancel_token, context.settings.give_up_after_s)
        self.attempts_failed = 0
        self.delivered = 0
        self._context = context
        self._transaction_id = context.transaction_id
        self._backlog = backlog
        self._limits = limits
        self._already_sent = context.ledger.files.counts(context.job.id)[FileState.SENT] > 0
        self._untold: list[tuple[str, str]] = []  # rejections that may yet be withdrawn: path, reason
        self._lock = threading.Lock()

    def work(self, number: int) -> None:
        """Send until nothing is left; the body of worker thread `number`. A failure halts the whole run."""
        warm = False
        try:
            while not self._backlog.finished:
                if number <= self.concurrency.limit:
                    warm = self._turn(number, warm=warm)
                else:
                    warm = False
                    self._context.cancel_token.pause(IDLE_S)
        except BaseException as exc:  # noqa: BLE001  # handed to the main thread, which raises it
            self._context.cancel_token.cancel(exc)

    def _turn(self, number: int, *, warm: bool) -> bool:
        """Send one delivery, if there is one now.

        Returns whether the worker is warm: its connection is made.
        """
        began = clock.monotonic()
        probe = self.gate.enter()
        try:
            delivery = self._backlog.take(self._transaction_id, probe=probe)
            if delivery is not None:
                delivery.began_at = began
                left = self._deliver(delivery)
                self._backlog.put(left)
        finally:
            self.gate.leave(probe=probe)
        if delivery is None:
            self._backlog.wait(IDLE_S)
            return warm
        if not left:
            self.concurrency.delivered(
                number, delivery.batch.size_bytes, began, clock.monotonic(), clock.cpu(), warm=warm
            )
        return not left

    def _deliver(self, delivery: Delivery) -> list[Delivery]:
        """Make one attempt and return what is left to do of the delivery."""
        if self._is_too_large(delivery.batch):
            known = f"not sent, as the server has refused {self._limits.too_large_bytes} bytes before"
            if delivery.intended:
                self._record_unsent(delivery, known)
            return self._split(delivery, f"too large: {known}")
        if not delivery.intended:
            delivery.batch = self._context.ledger.batches.begin_attempt(self._context.run, delivery.batch)
        delivery.intended = False
        with self._context.cancel_token.on_its_way():
            came = self.courier.carry(delivery.batch)
        if came is None:
            self._record_unsent(delivery, "the run was asked to stop")
            return [delivery]
        if isinstance(came, Receipt):
            return self._sent(delivery, came)
        if isinstance(came.error, FileTrouble):
            return self._file_trouble(delivery, came.error, came)
        return self._failed(delivery, came.error, came)

    def _is_too_large(self, batch: Batch) -> bool:
        limits = self._limits
        return limits.too_large_bytes is not None and limits.is_too_large(
            self.courier.body_bytes(batch), len(batch.files)
        )

    def _sent(self, delivery: Delivery, receipt: Receipt) -> list[Delivery]:
        context, batch = self._context, delivery.batch
        context.ledger.batches.record_sent(context.run, batch, receipt.sha256s, receipt.http_status)
        with self._lock:
            self.delivered += 1
        self.gate.answered()
        context.observer.batch_sent(batch, receipt.http_status, clock.monotonic() - delivery.began_at)
        self.tell_rejections()
        return []

    def _failed(self, delivery: Delivery, error: Failed, failure: Failure) -> list[Delivery]:
        """Record an attempt without a receipt, let all learn from it, and carry out what is decided then."""
        (outcome, lesson), was_open = answers.meaning(error), not self.gate.closed
        self._record(delivery, outcome, failure)
        if outcome is not AttemptOutcome.REFUSED:
            with self._lock:
                self.attempts_failed += 1
        self._learn(delivery, lesson, error)
        action, reason = answers.decide(
            error,
            delivery.batch,
            delivery.history,
            alone=self._backlog.alone(),
            gate_open=not self.gate.closed,
            on_unknown=self._context.settings.on_unknown,
        )
        outage = lesson in (Lesson.SERVER_FAILS, Lesson.SERVER_UNREACHABLE)
        if was_open and outage and action in (Action.RESEND, Action.SPLIT):
            self._warn(delivery.batch, error)  # once it is closed, the display says what everybody waits for
        match action:
            case Action.RESEND:
                return [delivery]
            case Action.SPLIT:
                return self._split(delivery, reason)
            case Action.REJECT:
                return self._reject(delivery, reason)
            case Action.HOLD:
                return self._hold(delivery, reason)
            case Action.STOP:
                return self._stop(error)

    def _learn(self, delivery: Delivery, lesson: Lesson, error: Failed) -> None:
        """Let everybody know whom a failure concerns: the gate, the limits, the delivery's own history."""
        with self._lock:
            if lesson is Lesson.SERVER_FAILS:
                delivery.history = delivery.history.failed(self.delivered)
                delivery.due = clock.monotonic() + backoff_s(delivery.history.failures)
        if answers.shows_overload(error):
            self.concurrency.overloaded(delivery.began_at, clock.monotonic())
        match lesson, error:
            case Lesson.SERVER_FAILS | Lesson.SERVER_UNREACHABLE, RequestError():
                self.gate.failed(error.detail, unreachable=lesson is Lesson.SERVER_UNREACHABLE)
            case Lesson.PAUSE_WANTED, Throttled():
                self.gate.throttled(error.retry_after_s)
            case Lesson.TOKEN_REFUSED, CredentialsRefused():
                self._context.api.tokens.renew(error)
            case Lesson.SERVER_WORKS, _:
                self.gate.answered()
            case Lesson.BODY_TOO_LARGE, _:
                self.gate.answered()
                body_bytes = self.courier.body_bytes(delivery.batch)
                with self._lock:
                    self._limits.learn_too_large(body_bytes)
                self._context.ledger.jobs.learn_too_large(self._context.run, body_bytes)

    def _stop(self, error: Failed) -> NoReturn:
        """Raise what ends the run, with what to do about it."""
        if isinstance(error, Refused):
            raise error
        if isinstance(error, Conflict):
            raise Undecided(
                f"The server takes no more files into transaction {self._transaction_id}: {words.clause(error)}. {self._advice()}"
            ) from error
        raise refused("upload", error) from error

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

    def _split(self, delivery: Delivery, reason: str) -> list[Delivery]:
        context = self._context
        groups = halves(delivery.batch.files)
        parts = context.ledger.batches.split(context.run, delivery.batch, groups, reason)
        return [delivery.part(part) for part in parts]

    def _reject(self, delivery: Delivery, reason: str) -> list[Delivery]:
        context, file, group = self._context, delivery.batch.files[0], delivery.group
        state = BatchState.UNKNOWN if file.unknown_attempts else BatchState.FAILED
        context.ledger.batches.conclude(context.run, delivery.batch, state, FileState.REJECTED, reason)
        with self._lock:
            group.rejected.append(file)
            self._untold.append((file.path, reason))
            nothing_taken = not self._already_sent and not self.delivered
            all_refused = nothing_taken and len(group.rejected) == group.file_count > 1
        if all_refused:
            context.ledger.batches.unreject(context.run, group.rejected, reason)
            withdrawn = {rejected.path for rejected in group.rejected}
            with self._lock:
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
        with self._lock:
            told, self._untold = self._untold, []
        for path, reason in told:
            self._context.observer.file_error(path, FileState.REJECTED, reason)

    def _hold(self, delivery: Delivery, reason: str) -> list[Delivery]:
        context, batch = self._context, delivery.batch
        context.ledger.batches.conclude(context.run, batch, BatchState.UNKNOWN, FileState.UNKNOWN, reason)
        for file in batch.files:
            context.observer.file_error(file.path, FileState.UNKNOWN, reason)
        return []

    def _file_trouble(self, delivery: Delivery, trouble: FileTrouble, failure: Failure) -> list[Delivery]:
        """Abandon the attempt; the batch goes on without the file that is not what was promised."""
        context, batch = self._context, delivery.batch
        began = failure.bytes_out > 0
        outcome = AttemptOutcome.UNKNOWN if began else AttemptOutcome.NOT_DELIVERED
        self._record(delivery, outcome, failure)
        check_source(context)
        culprit = next(file for file in delivery.batch.files if file.path == trouble.path)
        facts: Facts | None = None
        if trouble.state == FileState.CHANGED:
            with suppress(FileTrouble):  # its next turn will tell
                facts = context.source.look(culprit.path)
        rest = context.ledger.batches.supersede(context.run, delivery.batch, culprit, trouble, facts)
        context.observer.file_error(culprit.path, FileState(trouble.state), trouble.reason)
        if rest is None:
            return []
        follower = delivery.part(rest)
        if began and context.settings.on_unknown is OnUnknown.HOLD:
            return self._hold(follower, f"batch {batch.id} was abandoned while it was sent")
        return [follower]

    def _record_unsent(self, delivery: Delivery, why: str) -> None:
        self._record(delivery, AttemptOutcome.NOT_DELIVERED, Failure(NotDelivered(why), 0, {}))

    def _record(self, delivery: Delivery, outcome: AttemptOutcome, failure: Failure) -> None:
        """Commit how the attempt ended; the delivery then knows of its files' doubt."""
        context, error = self._context, failure.error
        status, detail = None, str(error)
        if isinstance(error, RequestError):
            status, detail = error.http_status, error.detail
        delivery.batch = context.ledger.batches.record_failure(
            context.run, delivery.batch, outcome, status, detail, failure.sha256s
        )

    def _warn(self, batch: Batch, error: Exception) -> None:
        self._context.observer.notice(
            "warning",
            f"Batch {batch.id}, attempt {batch.attempt}: {words.clause(error)}. It will be sent again.",
            batch=batch.id,
            attempt=batch.attempt,
        )
