"""The sender: the one thread that claims and records. Couriers carry for it.

Each turn takes whatever has come back since the last one. All receipts of a turn, and the claims of what is sent next,
are one transaction, whose end comes before the next byte leaves.
"""

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future

from vl_ingest import clock
from vl_ingest.couriers.parcel import Outcome, Parcel
from vl_ingest.domain.errors import LedgerError, Refused
from vl_ingest.ledger.exchange import Receipt
from vl_ingest.run.context import Context
from vl_ingest.upload.backlog import Backlog, Delivery
from vl_ingest.upload.concurrency import Concurrency
from vl_ingest.upload.consequences import Consequences
from vl_ingest.upload.crew import Crew
from vl_ingest.upload.gate import Gate
from vl_ingest.upload.plan import BatchLimits

IDLE_S = 0.2
LEAST_WAIT_S = 0.005
LEAVE_S = 0.5
QUICK_S = 0.5  # a request that takes no longer: couriers are given more than they can send at once
STOPPED = "the run was asked to stop"

_News = tuple[Delivery, "Future[Outcome]"]


class Sender:
    """Claims, hands over, and records, until nothing is left.

    Attributes:
        courier: carries the batches.
        concurrency: how many requests may go at once.
        gate: what all wait at while the server can't be worked with.
        left_bytes: what is known to be left; None: nobody knows, as the scan goes on.

    """

    def __init__(
        self,
        context: Context,
        courier: Crew,
        backlog: Backlog,
        limits: BatchLimits,
        concurrency: Concurrency,
    ) -> None:
        self.courier = courier
        self.concurrency = concurrency
        self.gate = Gate(context.cancel_token, context.settings.give_up_after_s)
        self.left_bytes: int | None = None
        self._consequences = Consequences(context, backlog, limits, concurrency, self.gate)
        self._context = context
        self._transaction_id = context.transaction_id
        self._address = context.api.upload_path(context.dataset_id, self._transaction_id)
        self._backlog = backlog
        self._limits = limits
        self._news: queue.SimpleQueue[_News | None] = queue.SimpleQueue()
        self._recording = threading.Lock()
        self._is_left = False
        self._is_recalled = False
        self._out = 0  # parcels that the courier has
        self._wait_s = 0.0  # for news, before the next turn
        self._request_s = 0.0  # a moving average
        self._done_bytes = 0
        self._warm: set[int] = set()  # lines of the courier that have delivered since they last failed
        backlog.changed = lambda: self._news.put(None)

    @property
    def attempts_failed(self) -> int:
        """Attempts of this run that failed; a refusal is an answer."""
        return self._consequences.attempts_failed

    @property
    def delivered(self) -> int:
        """Batches that this run has delivered."""
        return self._consequences.delivered

    def work(self) -> None:
        """Send until nothing is left. A failure halts the run; what is on its way then is still recorded."""
        while not self._is_left:
            try:
                if self._is_over():
                    return
                self._turn()
            except BaseException as exc:  # noqa: BLE001  # handed to the main thread, which raises it
                self._context.cancel_token.cancel(exc)
                if isinstance(exc, LedgerError):
                    return

    def leave(self) -> None:
        """Record nothing more, from now on; from another thread."""
        self._is_left = True
        self._news.put(None)
        if self._recording.acquire(timeout=LEAVE_S):  # it may be waiting for the server
            self._recording.release()

    def tell_rejections(self) -> None:
        """Tell of the files that the server rejects, once it is sure that it is the files."""
        self._consequences.tell_rejections()

    def _is_over(self) -> bool:
        if self._context.cancel_token.cancelled:
            return not self._out and not self._backlog.has_intended
        return self._backlog.finished

    def _turn(self) -> None:
        arrived = self._arrivals()
        with self._recording:
            if self._is_left:
                return
            receipts, troubles, failure = self._sort(arrived)
            room, probe = 0, False
            if not troubles and failure is None and not self._context.cancel_token.cancelled:
                try:
                    room, probe = self._room()
                except BaseException as exc:  # noqa: BLE001  # raised below: first what has arrived goes on record
                    failure = exc
            began = clock.monotonic()
            fresh = self._exchange(receipts, room, probe=probe)
            self._celebrate(receipts)
            self._plan_wait(room, len(fresh), eager=bool(troubles))
            for delivery, outcome in troubles:
                self._warm.discard(outcome.line)
                try:
                    self._backlog.put(self._consequences.follow(delivery, outcome))
                except BaseException as exc:  # noqa: BLE001  # raised below: first the others go on record
                    failure = failure or exc
            if failure is not None:
                self._context.cancel_token.cancel(failure)
            if troubles or self._context.cancel_token.cancelled:
                self._recall()
            self._hand_over(fresh, began)
            if failure is not None:
                raise failure

    # What comes back

    def _arrivals(self) -> list[_News]:
        """Return what has come back, waiting a while for it."""
        arrived: list[_News] = []
        try:
            news = self._news.get(timeout=self._wait_s) if self._wait_s else self._news.get_nowait()
            while True:
                if news is not None:
                    arrived.append(news)
                news = self._news.get_nowait()
        except queue.Empty:
            return arrived

    def _sort(
        self, arrived: Sequence[_News]
    ) -> tuple[list[tuple[Delivery, Outcome]], list[tuple[Delivery, Outcome]], BaseException | None]:
        """Return deliveries with a receipt, those without, and a mistake of the program if there was one."""
        receipts: list[tuple[Delivery, Outcome]] = []
        troubles: list[tuple[Delivery, Outcome]] = []
        mistake: BaseException | None = None
        for delivery, future in arrived:
            self._out -= 1
            self._context.cancel_token.add_requests(-1)
            self.gate.leave(probe=delivery.is_probe)
            delivery.is_probe = False
            mistake = mistake or future.exception()
            if future.exception() is not None:
                continue
            outcome = future.result()
            if outcome.recalled:
                delivery.intended = delivery.is_recalled = True
                self._backlog.put([delivery])
            else:
                (receipts if outcome.error is None else troubles).append((delivery, outcome))
        return receipts, troubles, mistake

    def _celebrate(self, receipts: Sequence[tuple[Delivery, Outcome]]) -> None:
        """Let everybody know of receipts that are on record."""
        now, cpu_s = clock.monotonic(), self.courier.cpu_s if receipts else 0.0
        for delivery, outcome in receipts:
            self._consequences.delivered += 1
            self._done_bytes += delivery.batch.size_bytes
            self.gate.answered()
            took_s = outcome.ended - outcome.began
            self._request_s += 0.2 * (took_s - self._request_s)
            self._context.observer.batch_sent(delivery.batch, outcome.http_status, took_s)
            # With a parcel ahead a line never waits for this thread; without, that wait is part of its cycle.
            cycle = (outcome.began, outcome.ended) if self.courier.ahead else (delivery.began_at, now)
            self.concurrency.delivered(
                outcome.line, delivery.batch.size_bytes, *cycle, cpu_s, warm=outcome.line in self._warm
            )
            self._warm.add(outcome.line)
        if receipts:
            self.tell_rejections()
        self._warm = {line for line in self._warm if line <= self.concurrency.limit}

    # What is sent next

    def _room(self) -> tuple[int, bool]:
        """Return how many deliveries may begin now, and whether the one that does is a probe."""
        self.concurrency.spread(*self.courier.hosts_and_lines)
        self.concurrency.least = self.courier.processes
        self.courier.adjust(self.concurrency.limit, self._done_bytes, self.left_bytes)
        ahead = self.courier.ahead if self._request_s <= QUICK_S else 0
        free = self.concurrency.limit + ahead - self._out
        if free <= 0:
            return 0, False
        probe = self.gate.enter(0.0)
        if probe is None:
            return 0, False
        return (1, True) if probe else (free, False)

    def _exchange(
        self, receipts: Sequence[tuple[Delivery, Outcome]], room: int, *, probe: bool
    ) -> list[Delivery]:
        """Record the receipts and claim what is sent next, in one transaction."""
        fresh: list[Delivery] = []
        try:
            fresh = self._backlog.take(
                self._transaction_id, room,
                [Receipt(one.batch, came.sha256s, came.http_status, came.host) for one, came in receipts],
                probe=probe,
            )  # fmt: skip
        finally:
            if probe and not fresh:
                self.gate.leave(probe=True)
        for delivery in fresh:
            delivery.is_probe = probe
        return fresh

    def _plan_wait(self, room: int, taken: int, *, eager: bool) -> None:
        """Choose how long the next turn waits for news."""
        if eager:
            self._wait_s = 0.0
        elif self.gate.closed:
            self._wait_s = min(IDLE_S, max(LEAST_WAIT_S, self.gate.closed_for_s))
        elif taken >= room:
            self._wait_s = IDLE_S  # for what is on its way
        else:
            self._wait_s = min(IDLE_S, max(LEAST_WAIT_S, self._backlog.due_in_s))

    def _hand_over(self, fresh: Sequence[Delivery], began: float) -> None:
        left = list(fresh)
        try:
            while left and not self._context.cancel_token.cancelled:
                parts = self._begin(left[0], began)
                if parts is not None:
                    self.gate.leave(probe=left[0].is_probe)
                    self._backlog.put(parts)
                    self._wait_s = 0.0
                del left[0]
        finally:
            for delivery in left:  # `_recall` records that they are not sent
                if delivery.is_probe:
                    self.gate.leave(probe=True)
                self._backlog.put([delivery])

    def _begin(self, delivery: Delivery, began: float) -> list[Delivery] | None:
        """Hand one delivery to the courier, its intent being on record; or return what is made of it instead."""
        batch = delivery.batch
        parcel = Parcel(
            self._context.source.folder or "",  # only who opens files by it asks for it
            [(file.path, file.sent_as, *file.facts) for file in batch.files],
            self._address,
        )
        limit = self._limits.too_large_bytes
        if limit is not None and self._limits.is_too_large(parcel.body_bytes, len(batch.files)):
            known = f"not sent, as the server has refused {limit} bytes before"
            if delivery.intended:
                self._consequences.unsent(delivery, known)
            return self._consequences.split(delivery, f"too large: {known}")
        if not delivery.intended:
            delivery.batch = self._context.ledger.batches.begin_attempt(self._context.run, batch)
            delivery.intended = True
        elif delivery.is_recalled:
            self._context.ledger.runs.beat(self._context.run)  # another run may hold the job by now
            delivery.is_recalled = False
        try:
            parcel = parcel._replace(token=self._context.api.tokens.current())
        except Refused as error:
            self._consequences.unsent(delivery, str(error))
            raise
        delivery.intended = False
        delivery.began_at = began
        self._out += 1
        self._context.cancel_token.add_requests(1)
        future = self.courier.submit(parcel)
        future.add_done_callback(lambda done: self._news.put((delivery, done)))
        return None

    def _recall(self) -> None:
        """Take back what has not begun: in trouble it may not be wanted; in a halted run it is not."""
        halted = self._context.cancel_token.cancelled
        if not (halted and self._is_recalled):
            self.courier.recall()
        self._is_recalled = halted
        if halted:
            for delivery in self._backlog.take_intended():
                self._consequences.unsent(delivery, STOPPED)
                self._backlog.put([delivery])
