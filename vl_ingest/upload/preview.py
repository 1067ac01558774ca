"""What a run would do: the folder is scanned and each file opened, and nothing is sent or recorded."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice

from vl_ingest.domain.errors import FileTrouble
from vl_ingest.domain.formats import FIRST_BYTES, mismatch
from vl_ingest.domain.model import (
    TRIGGERED,
    WAIVABLE,
    Facts,
    FileRow,
    FileState,
    Found,
    Job,
    OnRejected,
    OnUnknown,
)
from vl_ingest.domain.naming import path_to_text, plain_name
from vl_ingest.domain.settings import Settings
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.audit import Throughput
from vl_ingest.ledger.names import Names
from vl_ingest.source import Source
from vl_ingest.source.scanner import Scanner
from vl_ingest.upload.concurrency import START
from vl_ingest.upload.plan import BatchLimits, Room

ASSUMED_BYTES_PER_S = 10 * 1024**2  # where nothing is known
CHUNK = 1000  # files that are compared with the ledger at once
MENTIONED = 5  # clashes that are kept as examples

WRONG_TYPE = "wrong_type"  # beside the states of files that can't be sent

_LEAVES = frozenset({FileState.PENDING, FileState.IN_FLIGHT, FileState.UNKNOWN})


@dataclass
class Preview:
    """The plan of a run. `job` is what the ledger knows of it, None for a new one.

    Attributes:
        found, found_bytes: what the scan found.
        files, size_bytes: of these, what would be sent, in at least `batches` requests.
        settled: what the ledger has as sent or waived already.
        gone: files that the ledger still means to send and the scan has not found.
        late: files that came after processing was started.
        doubts: what -> how many files.
        renamed: files whose plain name another one has; the first few with the name they would get in `clashes`.
        unread: folders that can't be read.
        earlier: how fast an earlier run was, if there was one.

    """

    job: Job | None
    found: int = 0
    found_bytes: int = 0
    files: int = 0
    size_bytes: int = 0
    batches: int = 0
    settled: int = 0
    gone: int = 0
    late: int = 0
    doubts: "Counter[str]" = field(default_factory=Counter)
    renamed: int = 0
    clashes: list[tuple[str, str]] = field(default_factory=list)
    left_out: "Counter[str]" = field(default_factory=Counter)
    unread: list[str] = field(default_factory=list)
    earlier: Throughput | None = None

    def holds(self, settings: Settings) -> bool:
        """Say whether a run would end without processing, as far as can be seen from here."""
        doubts = sum(self.doubts.values())
        if settings.on_rejected is OnRejected.SKIP:  # the server decides on these, and the run goes on
            doubts -= self.doubts[WRONG_TYPE] + self.doubts[FileState.REJECTED]
        return bool(doubts or self.unread or self.gone)


class Previewer:
    """Makes the preview of one run; `ledger` is open to read, or None where there is none."""

    def __init__(
        self,
        source: Source,
        settings: Settings,
        ledger: Ledger | None,
        job: Job | None,
        base_url: str,
        *,
        new_transaction: bool = False,
    ) -> None:
        self.plan = Preview(job)
        self._source = source
        self._settings = settings
        self._ledger = ledger
        self._base_url = base_url
        self._again = new_transaction
        self._limits = BatchLimits(settings, job.too_large_bytes if job else None)
        self._room: Room | None = None  # what is left in the batch that is being filled

    def doubts(self, progress: Callable[[Preview], None]) -> Iterator[FileTrouble]:
        """Go through the folder, and yield what a run would stumble over; `plan` is complete at the end.

        `progress` is called after every `CHUNK` files.
        """
        plan = self.plan
        scanner = Scanner(self._source, self._settings)
        plan.left_out, plan.unread = scanner.left_out, scanner.unread
        seen: Counter[FileState] = Counter()
        with closing(Names(self._taken)) as names:
            found = self._once(scanner, names)
            while chunk := list(islice(found, CHUNK)):
                known = self._known([item.path for item in chunk])
                for item in chunk:
                    row = known.get(item.path)
                    if row is not None:
                        seen[row.state] += 1
                    yield from self._consider(item, row, names)
                progress(plan)
        if plan.job is not None and self._ledger is not None and plan.job.state not in TRIGGERED:
            counts = self._ledger.files.counts(plan.job.id)
            plan.gone = sum(counts[state] - seen[state] for state in self._leaves())
        if self._ledger is not None:
            plan.earlier = self._ledger.audit.throughput(self._base_url)

    def _once(self, scanner: Scanner, names: Names) -> Iterator[Found]:
        for item in scanner.found():
            if self._settings.files_from is None or names.is_new(item.path):
                yield item

    def _known(self, paths: list[str]) -> dict[str, FileRow]:
        if self._ledger is None or self.plan.job is None:
            return {}
        return self._ledger.files.known(self.plan.job.id, paths)

    def _taken(self, name: str) -> bool:
        ledger, job = self._ledger, self.plan.job
        return ledger is not None and job is not None and ledger.files.is_taken(job.id, name)

    def _leaves(self) -> frozenset[FileState]:
        """Return the states from which a run sends a file."""
        if self._again:
            return _LEAVES | {FileState.SENT}
        return _LEAVES if self._settings.on_unknown is OnUnknown.RESEND else _LEAVES - {FileState.UNKNOWN}

    def _consider(self, item: Found, row: FileRow | None, names: Names) -> Iterator[FileTrouble]:
        plan = self.plan
        plan.found += 1
        plan.found_bytes += item.facts.size_bytes
        if row is None and plan.job is not None and plan.job.state in TRIGGERED:
            plan.late += 1
            return
        if row is not None and row.state not in self._leaves():
            if row.state in WAIVABLE:
                yield self._doubt(FileTrouble(row.path, row.state, row.reason or "no reason on record"))
            elif row.state is FileState.UNKNOWN:
                reason = "may have been delivered, and --on-unknown holds it"
                yield self._doubt(FileTrouble(row.path, row.state, reason))
            else:
                plan.settled += 1
            return
        first = memoryview(bytearray(FIRST_BYTES))
        try:
            seen = self._source.look(item.path)
            # Only opening it tells whether it can be read, and what it is.
            with closing(self._source.open(item.path)) as file:
                count = file.readinto(first)
        except FileTrouble as trouble:
            yield self._doubt(trouble)
            return
        if row is None:
            self._name(item.path, names)
        self._fill(seen)
        wrong = mismatch(item.path, bytes(first[:count]))
        if wrong is not None:
            yield self._doubt(FileTrouble(item.path, WRONG_TYPE, wrong))

    def _doubt(self, trouble: FileTrouble) -> FileTrouble:
        self.plan.doubts[trouble.state] += 1
        return trouble

    def _name(self, path: str, names: Names) -> None:
        name = names.choose(path)
        if name != plain_name(path):
            self.plan.renamed += 1
            if len(self.plan.clashes) < MENTIONED:
                self.plan.clashes.append((path_to_text(path), name))

    def _fill(self, facts: Facts) -> None:
        """Put a file into the current batch, or begin another one, as the claim does."""
        self.plan.files += 1
        self.plan.size_bytes += facts.size_bytes
        if self._room is None or not self._room.take(facts.size_bytes):
            self.plan.batches += 1
            self._room = self._limits.room(self._settings.workers or START)
            self._room.take(facts.size_bytes)
