"""What is left to send in this run: fresh claims from the ledger, and batches between two attempts."""

import threading
from dataclasses import dataclass, field

from vl_ingest import clock
from vl_ingest.context import Context
from vl_ingest.ledger.batches import Problem
from vl_ingest.model import Batch, FileRow
from vl_ingest.plan import bytes_limit, fits
from vl_ingest.scan import Trouble, look


@dataclass
class Origin:
    """What became of the files that were claimed together, however often they were split since."""

    file_count: int
    rejected: list[FileRow] = field(default_factory=list)


@dataclass
class Delivery:
    """A batch on its way. `failures` are in a row; `strikes` are those with other batches' success between."""

    batch: Batch
    origin: Origin
    begun: bool = False  # the attempt that `batch` names is committed, but not sent yet
    due: float = 0.0  # on the monotonic clock
    failures: int = 0
    strikes: int = 0
    delivered_before: int = 0  # batches delivered in this run when it last failed

    def part(self, batch: Batch) -> "Delivery":
        """Return the delivery of a batch that was made from this one."""
        return Delivery(batch, self.origin, strikes=self.strikes, delivered_before=self.delivered_before)


class Backlog:
    """Hands out one delivery at a time, to any number of workers.

    `held_back` bounds how many batches wait for another attempt.
    """

    def __init__(self, context: Context, held_back: int) -> None:
        self._context = context
        self._held_back = held_back
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting: list[Delivery] = []
        self._active = 0
        self._cursor = 0  # id of the last file looked at
        self._scanned = False
        self._too_large_bytes = context.job.too_large_bytes

    def take(self, transaction_id: str, *, probe: bool) -> Delivery | None:
        """Return something to send now, or None; claims are for `transaction_id`.

        A probe does not wait for a delivery's time to come.
        """
        with self._lock:
            delivery = self._due(probe=probe)
            if delivery is None and len(self._waiting) < self._held_back:
                delivery = self._claim(transaction_id)
            if delivery is not None:
                self._active += 1
            return delivery

    def put(self, followers: list[Delivery]) -> None:
        """Give back what became of a delivery that was taken: nothing, itself, or its parts."""
        with self._lock:
            self._active -= 1
            self._waiting.extend(followers)
            self._changed.notify_all()

    def wait(self, timeout_s: float) -> None:
        """Wait until something has changed, or a while."""
        with self._lock:
            self._changed.wait(timeout_s)

    def scan_progress(self, *, finished: bool) -> None:
        """Note that the scanner has committed files, or is through."""
        with self._lock:
            self._scanned = self._scanned or finished
            self._changed.notify_all()

    @property
    def finished(self) -> bool:
        """Whether nothing is left and nothing can come."""
        with self._lock:
            return self._scanned and not self._active and not self._waiting and not self._any_pending()

    def alone(self) -> bool:
        """Say whether the one active delivery is all there is to send."""
        with self._lock:
            return self._active == 1 and not self._waiting and not self._any_pending()

    def learn_too_large(self, body_bytes: int) -> None:
        """Make no batch near a size that the server has refused."""
        with self._lock:
            known = self._too_large_bytes
            self._too_large_bytes = body_bytes if known is None else min(known, body_bytes)

    @property
    def too_large_bytes(self) -> int | None:
        """The smallest body that the server has refused for its size."""
        return self._too_large_bytes

    def _due(self, *, probe: bool) -> Delivery | None:
        if not self._waiting:
            return None
        first = min(self._waiting, key=lambda delivery: delivery.due)
        if not probe and first.due > clock.monotonic():
            return None
        self._waiting.remove(first)
        return first

    def _any_pending(self) -> bool:
        return bool(self._context.ledger.files.pending(self._context.job.id, 0, 1))

    def _claim(self, transaction_id: str) -> Delivery | None:
        """Look at the next pending files, from where the last claim ended and then from the start again."""
        for cursor in dict.fromkeys((self._cursor, 0)):
            self._cursor = cursor
            while rows := self._next():
                batch = self._choose(transaction_id, rows)
                if batch is not None:
                    return Delivery(batch, Origin(len(batch.files)), begun=True)
        return None

    def _next(self) -> list[FileRow]:
        settings = self._context.settings
        return self._context.ledger.files.pending(self._context.job.id, self._cursor, settings.batch_size)

    def _choose(self, transaction_id: str, rows: list[FileRow]) -> Batch | None:
        """Commit the intent for as many of `rows` as fit together; move the cursor behind them."""
        context, settings = self._context, self._context.settings
        limit = bytes_limit(settings.batch_bytes, self._too_large_bytes)
        chosen: list[FileRow] = []
        problems: list[Problem] = []
        size = 0
        for row in rows:
            seen = look(context.source, row.path)
            if isinstance(seen, Trouble):
                problems.append(Problem(row, seen.state, seen.reason))
            elif fits(len(chosen), size, seen.size_bytes, batch_size=settings.batch_size, batch_bytes=limit):
                chosen.append(row.with_facts(seen))
                size += seen.size_bytes
            else:
                break
            self._cursor = row.id
        batch = context.ledger.batches.claim(context.run, transaction_id, chosen, problems)
        for problem in problems:
            context.observer.file_error(problem.file.path, problem.state, problem.reason)
        return batch
