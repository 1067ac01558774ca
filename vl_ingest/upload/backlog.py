"""What is left to send in this run: fresh claims from the ledger, and batches between two attempts."""

import itertools
import threading
from collections import deque
from dataclasses import dataclass, field

from vl_ingest import clock
from vl_ingest.domain.errors import FileTrouble
from vl_ingest.domain.model import Batch, FileRow, FileState
from vl_ingest.run.context import Context
from vl_ingest.upload.answers import History
from vl_ingest.upload.concurrency import Concurrency
from vl_ingest.upload.plan import BatchLimits
from vl_ingest.upload.scan import check_source

LOOK_AHEAD = 2000  # files read at once from the ledger
HELD_BACK = 2  # batches a worker that may wait for another attempt before no more are begun


@dataclass
class ClaimGroup:
    """What became of the files that were claimed together, however often they were split since."""

    file_count: int
    rejected: list[FileRow] = field(default_factory=list)


@dataclass
class Delivery:
    """A batch on its way."""

    batch: Batch
    group: ClaimGroup
    history: History = field(default_factory=History)
    intended: bool = False  # the attempt that `batch` names is committed, but not sent yet
    due: float = 0.0  # on the monotonic clock, as the next
    began_at: float = 0.0  # the turn of the worker that has it

    def part(self, batch: Batch) -> "Delivery":
        """Return the delivery of a batch that was made from this one."""
        return Delivery(batch, self.group, self.history.of_part())


class Backlog:
    """Hands out one delivery at a time, to any number of workers."""

    def __init__(self, context: Context, limits: BatchLimits, concurrency: Concurrency) -> None:
        self._context = context
        self._limits = limits
        self._concurrency = concurrency
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._waiting: list[Delivery] = []
        self._active = 0
        self._ahead: deque[FileRow] = deque()  # pending files that come next, as read a moment ago
        self._cursor = 0  # id of the last file read
        self._is_tail = False  # those ahead are the last ones
        self._scanned = False

    def take(self, transaction_id: str, *, probe: bool) -> Delivery | None:
        """Return something to send now, or None; claims are for `transaction_id`.

        A probe does not wait for a delivery's time to come.
        """
        with self._lock:
            delivery = self._due(probe=probe)
            if delivery is None and len(self._waiting) < HELD_BACK * self._concurrency.limit:
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
            return self._scanned and not self._active and not self._waiting and self._nothing_pending()

    def alone(self) -> bool:
        """Return whether the one active delivery is all there is to send."""
        with self._lock:
            return self._active == 1 and not self._waiting and self._nothing_pending()

    def _due(self, *, probe: bool) -> Delivery | None:
        if not self._waiting:
            return None
        first = min(self._waiting, key=lambda delivery: delivery.due)
        if not probe and first.due > clock.monotonic():
            return None
        self._waiting.remove(first)
        return first

    def _nothing_pending(self) -> bool:
        return not self._ahead and not self._context.ledger.files.pending(self._context.job.id, 0, 1)

    def _claim(self, transaction_id: str) -> Delivery | None:
        """Look at the next pending files, from where the last claim ended and then from the start again."""
        for cursor in dict.fromkeys((self._cursor, 0)):
            self._cursor = cursor
            while self._ahead or self._look_ahead():
                batch = self._choose(transaction_id)
                if batch is not None:
                    return Delivery(batch, ClaimGroup(len(batch.files)), intended=True)
        return None

    def _look_ahead(self) -> bool:
        """Read the next pending files; say whether there are any."""
        rows = self._context.ledger.files.pending(self._context.job.id, self._cursor, LOOK_AHEAD)
        self._is_tail = self._scanned and len(rows) < LOOK_AHEAD
        if rows:
            self._cursor = rows[-1].id
            self._ahead.extend(rows)
        return bool(rows)

    def _choose(self, transaction_id: str) -> Batch | None:
        """Commit the intent for the next files that fit together."""
        context = self._context
        left_bytes = sum(row.facts.size_bytes for row in self._ahead) if self._is_tail else None
        room = self._limits.room(self._concurrency.limit, left_bytes)
        chosen: list[FileRow] = []
        unsendable: list[tuple[FileRow, FileTrouble]] = []
        for row in itertools.islice(self._ahead, room.files):
            try:
                seen = context.source.look(row.path)
            except FileTrouble as trouble:
                check_source(context)
                unsendable.append((row, trouble))
                continue
            if not room.take(seen.size_bytes):
                break
            chosen.append(row.with_facts(seen))
        batch = context.ledger.batches.claim(context.run, transaction_id, chosen, unsendable)
        for _ in range(len(chosen) + len(unsendable)):
            self._ahead.popleft()
        for row, why in unsendable:
            context.observer.file_error(row.path, FileState(why.state), why.reason)
        return batch
