"""The workers: send one delivery after the other and record what came of it."""

import threading
from contextlib import suppress

from vl_ingest import clock
from vl_ingest.domain import words
from vl_ingest.domain.errors import (
    BadRequest,
    Conflict,
    CredentialsRefused,
    FileTrouble,
    NotDelivered,
    OutcomeUnknown,
    Redirected,
    Refused,
    RequestError,
    Throttled,
    TooLarge,
    Undecided,
)
from vl_ingest.domain.model import AttemptOutcome, BatchState, Facts, FileState, OnUnknown, StatusClass
from vl_ingest.run.context import Context
from vl_ingest.run.retry import backoff_s, refused
from vl_ingest.server.multipart import MultipartBody
from vl_ingest.server.pace import Pace, Timetable
from vl_ingest.upload.backlog import Backlog, Delivery
from vl_ingest.upload.concurrency import Concurrency
from vl_ingest.upload.gate import Gate
from vl_ingest.upload.plan import BatchLimits, halves

IDLE_S = 0.2

FAILURES_AT_FAULT = 3  # in a row, while others succeed: the batch itself is at fault
FAILURES_ALONE = 8  # in a row, of the last file left, with nothing else to compare with
STRIKES_AT_FAULT = 2


class Sender:
    """All workers of a run. `already_sent` says whether the job has delivered anything before."""

    def __init__(
        self,
        context: Context,
        dataset_id: str,
        transaction_id: str,
        backlog: Backlog,
        limits: BatchLimits,
        concurrency: Concurrency,
        *,
        already_sent: bool,
    ) -> None:
        self.gate = Gate(context.cancel_token, context.settings.give_up_after_s)
        self.attempts_failed = 0
        self._context = context
        self._dataset_id = dataset_id
        self._transaction_id = transaction_id
        self._backlog = backlog
        self._limits = limits
        self._concurrency = concurrency
        self._already_sent = already_sent
        self._delivered = 0  # batches of this run
        timetable = Timetable(context.settings.bwlimit)
        self._pace = None if timetable.unlimited else Pace(timetable)
        self._lock = threading.Lock()
        self._bodies: set[MultipartBody] = set()

    def work(self, number: int) -> None:
        """Send until nothing is left; the body of worker thread `number`. A failure halts the whole run."""
        warm = False
        try:
            while not self._backlog.finished:
                if number <= self._concurrency.limit:
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
                delivery.began = began
                left = self._deliver(delivery)
                self._backlog.put(left)
        finally:
            self.gate.leave(probe=probe)
        if delivery is None:
            self._backlog.wait(IDLE_S)
            return warm
        if not left:
            self._concurrency.delivered(
                number, delivery.batch.size_bytes, began, clock.monotonic(), clock.cpu(), warm=warm
            )
        return not left

    @property
    def bytes_moving(self) -> int:
        """Bytes that open requests have handed to the network so far."""
        with self._lock:
            return sum(body.bytes_out for body in self._bodies)

    @property
    def workers(self) -> int:
        """How many requests may go at once now."""
        return self._concurrency.limit

    @property
    def delivered(self) -> int:
        """Batches that this run has delivered."""
        return self._delivered

    def cancel(self) -> None:
        """Leave every open request incomplete; none begins once the run is halted."""
        with self._lock:
            for body in self._bodies:
                body.cancel()

    def _deliver(self, delivery: Delivery) -> list[Delivery]:
        """Make one attempt and return what is left to do of the delivery."""
        context = self._context
        batch = delivery.batch
        body = MultipartBody(context.source, batch.files, self._pace)
        if self._limits.is_too_large(len(body), len(batch.files)):
            known = TooLarge(
                f"not sent, as the server has refused {self._limits.too_large_bytes} bytes before"
            )
            if delivery.begun:
                self._record(delivery, AttemptOutcome.NOT_DELIVERED, known)
            return self._split(delivery, f"too large: {known}")
        if not delivery.begun:
            delivery.batch = batch = context.ledger.batches.begin_attempt(context.run, batch)
        delivery.begun = False
        with self._lock:
            # A halted run may even have ended, and cancelled all the bodies there were.
            halted = context.cancel_token.cancelled
            if not halted:
                self._bodies.add(body)
        if halted:
            self._record(delivery, AttemptOutcome.NOT_DELIVERED, NotDelivered("the run was asked to stop"))
            context.cancel_token.raise_if_cancelled()
        try:
            with body:
                status = context.api.upload(self._dataset_id, self._transaction_id, body)
        except FileTrouble as trouble:
            return self._file_trouble(delivery, trouble, body)
        except RequestError as error:
            return self._failed(delivery, error, body)
        except Refused as error:  # a certificate, or no token to be had: nothing was sent
            self._record(delivery, AttemptOutcome.NOT_DELIVERED, error)
            raise
        finally:
            with self._lock:
                self._bodies.discard(body)
        context.ledger.batches.record_sent(context.run, batch, body.sha256s, status)
        with self._lock:
            self._delivered += 1
        self.gate.answered()
        context.observer.batch_sent(batch, status, clock.monotonic() - delivery.began)
        return []

    def _failed(self, delivery: Delivery, error: RequestError, body: MultipartBody) -> list[Delivery]:
        """Record an attempt without a receipt and decide what follows; one branch a class of answer."""
        with self._lock:
            self.attempts_failed += 1
        if error.http_status in (429, 503, None):  # asked to slow down, or no answer in time
            self._concurrency.overloaded(delivery.began, clock.monotonic())
        if isinstance(error, Throttled):
            self._record(delivery, AttemptOutcome.NOT_DELIVERED, error)
            self.gate.throttled(error.retry_after_s)
            return [delivery]
        if isinstance(error, NotDelivered):
            self._record(delivery, AttemptOutcome.NOT_DELIVERED, error)
            self._warn(delivery, error)
            self.gate.failed(error.detail, unreachable=True)
            return [delivery]
        if isinstance(error, OutcomeUnknown):
            return self._unknown(delivery, error, body)
        unknown = isinstance(error, Redirected)
        self._record(delivery, AttemptOutcome.UNKNOWN if unknown else AttemptOutcome.REFUSED, error, body)
        if isinstance(error, CredentialsRefused):
            self._context.api.tokens.renew(error)
            return [delivery]
        self.gate.answered()
        if isinstance(error, BadRequest):
            return self._bad_request(delivery, error)
        if isinstance(error, TooLarge):
            self._limits.learn_too_large(len(body))
            self._context.ledger.jobs.learn_too_large(self._context.run, len(body))
            return self._blame(delivery, f"too large for the server: {error.detail}")
        if isinstance(error, Conflict):
            raise Undecided(
                f"The server takes no more files into transaction {self._transaction_id}: {words.clause(error)}. {self._advice()}"
            ) from error
        raise refused("upload", error)

    def _advice(self) -> str:
        """Ask once what the server says of the dataset; return what that means for files it does not take."""
        context, job_id = self._context, self._context.job.id
        try:
            status = context.api.dataset_status(self._dataset_id)
        except RequestError as error:
            return f"The dataset's status is not to be had ({error}): run the same command again later."
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

    def _unknown(self, delivery: Delivery, error: OutcomeUnknown, body: MultipartBody) -> list[Delivery]:
        context = self._context
        self._record(delivery, AttemptOutcome.UNKNOWN, error, body)
        if context.settings.on_unknown is OnUnknown.HOLD:
            self.gate.failed(error.detail, unreachable=False)
            return self._hold(delivery, str(error))
        self._warn(delivery, error)
        self.gate.failed(error.detail, unreachable=False)
        with self._lock:
            if self._delivered > delivery.delivered_before:
                delivery.strikes += 1
            delivery.delivered_before = self._delivered
        delivery.failures += 1
        delivery.due = clock.monotonic() + backoff_s(delivery.failures)
        return self._at_fault(delivery, error)

    def _at_fault(self, delivery: Delivery, error: OutcomeUnknown) -> list[Delivery]:
        """Split, or reject, a batch that fails again and again while others succeed; else try it again."""
        if delivery.failures < FAILURES_AT_FAULT:
            return [delivery]
        alone = self._backlog.alone()
        compared = delivery.strikes >= STRIKES_AT_FAULT and not self.gate.closed
        if len(delivery.batch.files) > 1:
            return self._split(delivery, str(error)) if alone or compared else [delivery]
        if compared or (alone and delivery.strikes and delivery.failures >= FAILURES_ALONE):
            return self._reject(
                delivery, f"failed {delivery.failures} times while others were taken: {error}"
            )
        return [delivery]

    def _bad_request(self, delivery: Delivery, error: BadRequest) -> list[Delivery]:
        if len(delivery.batch.files) == 1 and delivery.batch.files[0].unknown_attempts:
            # Not a rejection: an attempt before may have delivered it, and this may be a complaint about that.
            return self._hold(delivery, f"{error}, after an attempt whose outcome is unknown")
        return self._blame(delivery, str(error))

    def _blame(self, delivery: Delivery, reason: str) -> list[Delivery]:
        """Split a refused batch; a file that was refused alone is rejected."""
        if len(delivery.batch.files) > 1:
            return self._split(delivery, reason)
        return self._reject(delivery, reason)

    def _split(self, delivery: Delivery, reason: str) -> list[Delivery]:
        context = self._context
        groups = halves(delivery.batch.files)
        parts = context.ledger.batches.split(context.run, delivery.batch, groups, reason)
        return [delivery.part(part) for part in parts]

    def _reject(self, delivery: Delivery, reason: str) -> list[Delivery]:
        context, file = self._context, delivery.batch.files[0]
        state = BatchState.FAILED
        if file.unknown_attempts:
            state = BatchState.UNKNOWN
            reason = f"{reason} (yet an attempt before may have delivered it)"
        context.ledger.batches.conclude(context.run, delivery.batch, state, FileState.REJECTED, reason)
        origin = delivery.origin
        with self._lock:
            origin.rejected.append(file)
            nothing_taken = not self._already_sent and not self._delivered
            all_refused = nothing_taken and len(origin.rejected) == origin.file_count > 1
        if all_refused:
            context.ledger.batches.unreject(context.run, origin.rejected, reason)
            raise Refused(
                f"The server refused every file of the first batch, so it is hardly the files: {reason}. Check "
                "the base URL and the dataset, then run the same command again."
            )
        context.observer.file_error(file.path, FileState.REJECTED, reason)
        return []

    def _hold(self, delivery: Delivery, reason: str) -> list[Delivery]:
        context, batch = self._context, delivery.batch
        context.ledger.batches.conclude(context.run, batch, BatchState.UNKNOWN, FileState.UNKNOWN, reason)
        for file in batch.files:
            context.observer.file_error(file.path, FileState.UNKNOWN, reason)
        return []

    def _file_trouble(self, delivery: Delivery, trouble: FileTrouble, body: MultipartBody) -> list[Delivery]:
        """Abandon the attempt; the batch goes on without the file that is not what was promised."""
        context, batch = self._context, delivery.batch
        began = body.bytes_out > 0
        outcome = AttemptOutcome.UNKNOWN if began else AttemptOutcome.NOT_DELIVERED
        self._record(delivery, outcome, trouble, body)
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

    def _record(
        self,
        delivery: Delivery,
        outcome: AttemptOutcome,
        error: Exception,
        body: MultipartBody | None = None,
    ) -> None:
        """Commit how the attempt ended; the delivery then knows of its files' doubt."""
        status = error.http_status if isinstance(error, RequestError) else None
        detail = error.detail if isinstance(error, RequestError) else str(error)
        passed = {} if body is None else _passed(body)
        context = self._context
        delivery.batch = context.ledger.batches.record_failure(
            context.run, delivery.batch, outcome, status, detail, passed
        )

    def _warn(self, delivery: Delivery, error: RequestError) -> None:
        """Say that an attempt failed; in an outage the display says what everybody waits for instead."""
        if self.gate.closed:
            return
        batch = delivery.batch
        self._context.observer.notice(
            "warning",
            f"Batch {batch.id}, attempt {batch.attempt}: {words.clause(error)}. It will be sent again.",
            batch=batch.id,
            attempt=batch.attempt,
        )


def _passed(body: MultipartBody) -> dict[str, str]:
    """Return path -> hash of the files that went out whole."""
    return {file.path: sha256 for file, sha256 in zip(body.files, body.sha256s, strict=False)}
