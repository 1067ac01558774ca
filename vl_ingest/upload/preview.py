"""What a run would do: the folder is scanned and each file opened, and nothing is sent or recorded."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice

from vl_ingest.domain.choices import Changed, OnRejected, OnUnknown
from vl_ingest.domain.errors import FileTrouble
from vl_ingest.domain.formats import FIRST_BYTES, mismatch
from vl_ingest.domain.model import (
    SETTLED,
    TRIGGERED,
    UNSEEN,
    WAIVABLE,
    Facts,
    FileRow,
    FileState,
    Found,
    Job,
    JobState,
)
from vl_ingest.domain.naming import path_to_text, plain_name
from vl_ingest.domain.settings import Settings
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.audit import Throughput
from vl_ingest.ledger.files import comes_back
from vl_ingest.ledger.names import Names
from vl_ingest.ledger.versions import is_left_out
from vl_ingest.source import Source
from vl_ingest.source.hashing import is_only_touched
from vl_ingest.source.scanner import Scanner
from vl_ingest.upload.choice import (
    BEYOND,
    UNSENT,
    Choice,
    Known,
    count_beyond,
    is_list_lost,
    known_files,
    scanner_of,
)
from vl_ingest.upload.concurrency import START
from vl_ingest.upload.plan import BatchLimits, Room

ASSUMED_BYTES_PER_S = 10 * 1024**2  # where nothing is known
CHUNK = 1000  # files that are compared with the ledger at once
MENTIONED = 5  # clashes that are kept as examples

WRONG_TYPE = "wrong_type"  # beside the states of files that can't be sent

GROWS = frozenset({JobState.PROCESSING, JobState.READY, JobState.ADDING})  # states of jobs that are added to
NO_REASON = "no reason on record"
IN_DOUBT = (
    FileState.IN_FLIGHT,
    FileState.UNKNOWN,
    FileState.SENT,
)  # pending again, where the run sends them again


@dataclass
class Preview:
    """The plan of a run. `job` is what the ledger knows of it, None for a new one.

    Attributes:
        found, found_bytes: what the scan found.
        files, size_bytes: of these, what would be sent, in at least `batches` requests.
        settled: what the ledger has as sent or waived already, `sent` of it sent.
        choice: what the filters decide on the files of earlier runs.
        gone: files that the ledger still means to send and that are not there.
        vanished: nothing is found, though files of earlier runs should be.
        mistaken: nothing is found, and the filters leave out even what was sent.
        list_lost: the list of `--files-from` named files once, and names none now.
        late: files that came after processing was started.
        doubts: what -> how many files.
        renamed: files whose plain name another one has; the first few with the name they would get in `clashes`.
        unread: folders that can't be read.
        adds: whether what is new would be added to the dataset, `batches` requests each.
        anew: of `files`, those that were sent before and have changed since; `held` of these would be left alone, and are
            not among `files`; `touched` have only another time.
        earlier: how fast an earlier run was, if there was one.

    """

    job: Job | None
    found: int = 0
    found_bytes: int = 0
    files: int = 0
    size_bytes: int = 0
    batches: int = 0
    settled: int = 0
    sent: int = 0
    choice: Choice = field(default_factory=Choice)
    gone: int = 0
    vanished: bool = False
    mistaken: bool = False
    list_lost: bool = False
    late: int = 0
    doubts: "Counter[str]" = field(default_factory=Counter)
    renamed: int = 0
    clashes: list[tuple[str, str]] = field(default_factory=list)
    left_out: "Counter[str]" = field(default_factory=Counter)
    unread: list[str] = field(default_factory=list)
    adds: bool = False
    anew: int = 0
    held: int = 0
    touched: int = 0
    earlier: Throughput | None = None

    @property
    def triggered(self) -> bool:
        """Whether processing was started: then nothing more is sent, unless it is added."""
        return not self.adds and self.job is not None and self.job.state in TRIGGERED

    def is_empty(self, settings: Settings) -> bool:
        """Return whether a run would end because there is nothing to send."""
        if self.holds(settings):
            return False
        return self.mistaken or not (self.files or self.sent or self.triggered)

    def holds(self, settings: Settings) -> bool:
        """Return whether a run would end without processing, as far as can be seen from here."""
        doubts = sum(self.doubts.values())
        if settings.on_rejected is OnRejected.SKIP:  # the server decides on these, and the run goes on
            doubts -= self.doubts[WRONG_TYPE]
        return bool(doubts or self.unread or self.gone or self.vanished or self.list_lost)


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
        self.plan.adds = settings.add and job is not None and job.state in GROWS
        self._limits = BatchLimits(settings, job.too_large_bytes if job else None)
        self._room: Room | None = None  # what is left in the batch that is being filled

    def doubts(self, progress: Callable[[Preview], None]) -> Iterator[FileTrouble]:
        """Go through the ledger and the folder, and yield what a run would stumble over; `plan` is complete at the end.

        `progress` is called after every `CHUNK` files.
        """
        plan, job = self.plan, self.plan.job
        scanning = scanner_of(self._source, self._settings, self._ledger, job)
        with closing(scanning) as scanner, closing(Names(self._taken)) as names:
            plan.left_out, plan.unread = scanner.left_out, scanner.unread
            scanner.keep_list()
            last_id = 0
            if self._ledger is not None and job is not None and not plan.triggered:
                last_id = self._ledger.files.last_id(job.id)
                plan.list_lost = last_id > 0 and is_list_lost(scanner, self._settings)
                if plan.list_lost:
                    return
                yield from self._known(self._ledger, job, scanner, last_id, progress)
            yield from self._found(scanner, names, progress)
            if self._ledger is not None and job is not None and last_id:
                yield from self._missing(self._ledger, job, scanner, names, last_id)
        walked = self._settings.files_from is None
        let_in_none = not plan.found and plan.sent > 0 and not plan.choice.wanted and not plan.adds
        plan.mistaken = let_in_none and bool(plan.left_out) and self._settings.files_from != os.devnull
        plan.vanished = (
            walked and not plan.found and (plan.choice.wanted > 0 or (let_in_none and not plan.left_out))
        )
        if self._ledger is not None:
            plan.earlier = self._ledger.audit.throughput(self._base_url)

    def _known(
        self, ledger: Ledger, job: Job, scanner: Scanner, last_id: int, progress: Callable[[Preview], None]
    ) -> Iterator[FileTrouble]:
        """Go through the files of earlier runs."""
        beyond = self._beyond()
        states = (*UNSENT, *(state for state in IN_DOUBT if state not in beyond))
        for known in known_files(ledger, job.id, scanner, states, last_id):
            for item in known:
                self.plan.choice.take(item)
                yield from self._consider(item)
            progress(self.plan)
        count_beyond(ledger, job.id, scanner, beyond, self.plan.choice, last_id)
        for row in ledger.files.rows(job.id, FileState.UNKNOWN) if FileState.UNKNOWN in beyond else ():
            reason = "may have been delivered, and --on-unknown holds it"
            yield self._doubt(FileTrouble(row.path, row.state, reason))
        if FileState.SENT in beyond:
            self.plan.sent = ledger.files.counts(job.id)[FileState.SENT]
            self.plan.settled += self.plan.sent

    def _beyond(self) -> tuple[FileState, ...]:
        """Return the states of files that a run does not send again, whatever the filters say."""
        if self._again:
            return ()
        return (FileState.SENT,) if self._settings.on_unknown is OnUnknown.RESEND else BEYOND

    def _consider(self, known: Known) -> Iterator[FileTrouble]:
        """Say what becomes of a file of an earlier run."""
        row, skips = known.row, self._settings.on_rejected is OnRejected.SKIP
        if known.goes or row.state is FileState.MISSING:  # the walk may find a missing one again
            return
        skipped = skips and row.state is FileState.REJECTED and not row.unknown_attempts
        if skipped or (row.state is FileState.WAIVED and not known.comes):
            self.plan.settled += 1
        elif row.state in WAIVABLE:
            yield self._doubt(FileTrouble(row.path, row.state, row.reason or NO_REASON))
        else:
            yield from self._send(row.path, earlier=True)

    def _found(
        self, scanner: Scanner, names: Names, progress: Callable[[Preview], None]
    ) -> Iterator[FileTrouble]:
        """Go through the source, for what is new."""
        plan, found = self.plan, scanner.found()
        while chunk := list(islice(found, CHUNK)):
            known = self._rows([item.path for item in chunk])
            for item in chunk:
                plan.found += 1
                plan.found_bytes += item.facts.size_bytes
                row = known.get(item.path)
                if row is None and plan.triggered:
                    plan.late += 1
                elif row is None:
                    yield from self._send(item.path, names)
                elif plan.triggered:
                    plan.settled += row.state in SETTLED
                elif comes_back(row, item.facts):
                    plan.settled -= row.state in SETTLED
                    names.is_new(item.path)
                    yield from self._send(item.path, earlier=True)
                elif plan.adds and item.facts != UNSEEN and not row.looks_like(item.facts):
                    sent = self._sent(row)
                    if sent is not None and (sent is row or not sent.looks_like(item.facts)):
                        names.is_new(item.path)
                        yield from self._changed(sent, item)
            progress(plan)

    def _sent(self, row: FileRow) -> FileRow | None:
        """Return what was sent of a known file and is compared with what it is now; None for one that is left alone."""
        if row.state is FileState.SENT:
            return row
        sends = self._settings.changed is Changed.SEND and is_left_out(row)
        if not sends or self._ledger is None or self.plan.job is None:
            return None
        return self._ledger.versions.sent(self.plan.job.id, [row.path]).get(row.path)

    def _changed(self, row: FileRow, item: Found) -> Iterator[FileTrouble]:
        """Say what becomes of a file that was changed after it was sent."""
        plan = self.plan
        try:
            if self._settings.changed is not Changed.SEND or not item.facts.size_bytes:
                plan.held += 1
            elif is_only_touched(self._source, row, item.facts):
                plan.touched += 1
            else:
                plan.anew += 1
                yield from self._send(item.path)  # its new name is no surprise
        except FileTrouble:
            plan.held += 1

    def _missing(
        self, ledger: Ledger, job: Job, scanner: Scanner, names: Names, last_id: int
    ) -> Iterator[FileTrouble]:
        """Yield the missing files that were not found again."""
        for known in known_files(ledger, job.id, scanner, (FileState.MISSING,), last_id):
            for row in (item.row for item in known if not item.goes):
                if names.is_new(row.path):
                    yield self._doubt(FileTrouble(row.path, row.state, row.reason or NO_REASON))

    def _rows(self, paths: list[str]) -> dict[str, FileRow]:
        if self._ledger is None or self.plan.job is None:
            return {}
        return self._ledger.files.known(self.plan.job.id, paths)

    def _taken(self, name: str) -> bool:
        ledger, job = self._ledger, self.plan.job
        return ledger is not None and job is not None and ledger.files.is_taken(job.id, name)

    def _send(self, path: str, names: Names | None = None, *, earlier: bool = False) -> Iterator[FileTrouble]:
        """Look at a file that a run would send; a new one gets one of the `names`."""
        first = memoryview(bytearray(FIRST_BYTES))
        try:
            seen = self._source.look(path)
            # Only opening it tells whether it can be read, and what it is.
            with closing(self._source.open(path)) as file:
                count = file.readinto(first)
        except FileTrouble as trouble:
            if earlier and trouble.state == FileState.MISSING:
                self.plan.gone += 1
                yield trouble
            else:
                yield self._doubt(trouble)
            return
        if names is not None:
            self._name(path, names)
        self._fill(seen)
        wrong = mismatch(path, bytes(first[:count]))
        if wrong is not None:
            yield self._doubt(FileTrouble(path, WRONG_TYPE, wrong))

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
            if self.plan.adds:
                self._room = self._limits.addition()
            else:
                self._room = self._limits.room(self._settings.workers or START)
            self._room.take(facts.size_bytes)
