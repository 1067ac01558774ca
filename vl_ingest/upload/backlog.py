"""What is left to send in this run: fresh claims from the ledger, and batches between two attempts."""

import math
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from vl_ingest import clock
from vl_ingest.domain.errors import FileTrouble, VlIngestError
from vl_ingest.domain.model import Batch, FileRow, FileState
from vl_ingest.ledger.exchange import Claim, Receipt
from vl_ingest.run.context import Context
from vl_ingest.upload.answers import History
from vl_ingest.upload.concurrency import Concurrency
from vl_ingest.upload.plan import BatchLimits
from vl_ingest.upload.scan import check_source

LOOK_AHEAD = 2000  # files read at once from the ledger, and that are known before the end comes
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
    is_recalled: bool = False  # and that was committed for a turn before
    is_probe: bool = False  # it passed the gate as one
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
        self.changed: Callable[[], object] = lambda: None  # called when there may be more to take
        self._waiting: list[Delivery] = []
        self._active = 0
        self._ahead: deque[FileRow] = deque()  # pending files that come next, as read a moment ago
        self._ahead_bytes = 0
        self._cursor = 0  # id of the last file read
        self._is_tail = False  # those ahead are the last ones
        self._scanned = False

    def take(
        self, transaction_id: str, room: int = 1, receipts: Sequence[Receipt] = (), *, probe: bool = False
    ) -> list[Delivery]:
        """Record receipts of deliveries that were taken, and return up to `room` more to send now.

        One transaction; claims are for `transaction_id`. A probe does not wait for a delivery's time to come.
        """
        with self._lock:
            taken: list[Delivery] = []
            while len(taken) < room and (due := self._due(probe=probe)) is not None:
                taken.append(due)
            claims: list[Claim] = []
            unsendable: list[tuple[FileRow, FileTrouble]] = []
            failure: VlIngestError | None = None
            if len(self._waiting) < HELD_BACK * self._concurrency.limit:
                try:
                    claims = self._choose(room - len(taken), unsendable)
                except VlIngestError as exc:  # raised below: first the receipts go on record
                    failure = exc
            context = self._context
            if receipts or claims or unsendable:
                batches = context.ledger.batches.exchange(
                    context.run, transaction_id, receipts, claims, unsendable
                )
                taken += [Delivery(batch, ClaimGroup(len(batch.files)), intended=True) for batch in batches]
            self._active += len(taken) - len(receipts)
        for row, why in unsendable:
            context.observer.file_error(row.path, FileState(why.state), why.reason)
        if failure is not None:
            raise failure
        return taken

    def take_intended(self) -> list[Delivery]:
        """Return those that wait though their attempt is on record as intended."""
        with self._lock:
            intended = [delivery for delivery in self._waiting if delivery.intended]
            self._waiting = [delivery for delivery in self._waiting if not delivery.intended]
            self._active += len(intended)
            return intended

    @property
    def has_intended(self) -> bool:
        """Whether there are such."""
        return any(delivery.intended for delivery in self._waiting)

    @property
    def due_in_s(self) -> float:
        """How long it takes until a delivery that waits is due; infinite without any."""
        with self._lock:
            return min((delivery.due for delivery in self._waiting), default=math.inf) - clock.monotonic()

    def put(self, followers: list[Delivery]) -> None:
        """Give back what became of a delivery that was taken: nothing, itself, or its parts."""
        with self._lock:
            self._active -= 1
            self._waiting.extend(followers)

    def scan_progress(self, *, finished: bool) -> None:
        """Note that the scanner has committed files, or is through."""
        with self._lock:
            self._scanned = self._scanned or finished
        self.changed()

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

    def _choose(self, count: int, unsendable: list[tuple[FileRow, FileTrouble]]) -> list[Claim]:
        """Choose up to `count` claims of pending files, from where the last ended and then from the start again."""
        claims: list[Claim] = []
        while len(claims) < count:
            if self._is_end_near() or not self._ahead:
                self._look_ahead()
            if not self._ahead:
                if claims or unsendable or self._cursor == 0:  # from the start these would be read again
                    break
                self._cursor = 0
                continue
            claim = self._fill(unsendable)
            if claim.files:
                claims.append(claim)
        return claims

    def _is_end_near(self) -> bool:
        """Return whether those ahead may be the last ones, so that it is time to know."""
        return self._scanned and not self._is_tail and len(self._ahead) < LOOK_AHEAD

    def _look_ahead(self) -> None:
        """Read the next pending files."""
        rows = self._context.ledger.files.pending(self._context.job.id, self._cursor, LOOK_AHEAD)
        self._is_tail = self._scanned and len(rows) < LOOK_AHEAD
        if rows:
            self._cursor = rows[-1].id
            self._ahead.extend(rows)
            self._ahead_bytes += sum(row.facts.size_bytes for row in rows)

    def _fill(self, unsendable: list[tuple[FileRow, FileTrouble]]) -> Claim:
        """Take the next files that fit together.

        What they are on disk is seen by whoever sends them; only one that had no bytes is looked at before.
        """
        room = self._limits.room(self._concurrency.limit, self._ahead_bytes if self._is_tail else None)
        chosen: list[FileRow] = []
        renewed = False
        while self._ahead and room.files > 0:
            row = self._ahead[0]
            if not row.facts.size_bytes:
                try:
                    row, renewed = row.with_facts(self._context.source.look(row.path)), True
                except FileTrouble as trouble:
                    check_source(self._context)
                    unsendable.append((row, trouble))
                    self._ahead.popleft()
                    continue
            if not room.take(row.facts.size_bytes):
                break
            chosen.append(row)
            self._ahead_bytes -= self._ahead.popleft().facts.size_bytes
        return Claim(chosen, renewed)
