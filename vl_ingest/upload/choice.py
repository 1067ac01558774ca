"""What a run's filters mean for the files of earlier runs; a run and its preview decide by this.

A known file that is not sent and that the filters leave out is waived by the filter; one that a filter has waived
joins again when they let it in. What is sent stays sent, and what a person has waived stays waived.
"""

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from vl_ingest import clock
from vl_ingest.domain.model import FILTER, WAIVABLE, FileRow, FileState, Job
from vl_ingest.domain.naming import files_text
from vl_ingest.domain.settings import Settings
from vl_ingest.ledger import Ledger
from vl_ingest.run.context import Context
from vl_ingest.source import Source
from vl_ingest.source.filters import Reason
from vl_ingest.source.scanner import Scanner

TOGETHER = 20_000  # files that are read, decided on and recorded at once
# What joins again is pending then: the waived come first, and nothing is decided on twice.
UNSENT = (FileState.WAIVED, FileState.PENDING, *sorted(WAIVABLE))
BEYOND = (FileState.SENT, FileState.UNKNOWN)  # no filter takes back what has arrived, or may have


class Known(NamedTuple):
    """A file of an earlier run; `reason` is why this run's filters leave it out, None: they let it in."""

    row: FileRow
    reason: Reason | None

    @property
    def goes(self) -> bool:
        """Whether a filter waives it now, if it is not sent."""
        return self.reason is not None and self.row.state is not FileState.WAIVED

    @property
    def comes(self) -> bool:
        """Whether a filter had waived it, and does no more."""
        waived = self.row.state is FileState.WAIVED and self.row.decided_by == FILTER
        return waived and self.reason is None

    @property
    def moves(self) -> str | None:
        """The filter that waives it now, where another one had waived it; else None."""
        waived = self.row.state is FileState.WAIVED and self.row.decided_by == FILTER
        other = waived and self.reason is not None and self.reason.filter != self.row.decided_why
        return self.reason.filter if other and self.reason is not None else None


@dataclass
class Choice:
    """What became of the files of earlier runs; `out` and `in_again` are filter -> how many."""

    out: "Counter[str]" = field(default_factory=Counter)
    in_again: "Counter[str]" = field(default_factory=Counter)
    doubted: int = 0  # files that are left out, and may have been delivered
    wanted: int = 0  # files that the filters let in, sent or not
    sent_left_out: int = 0  # files that they leave out, and that are sent

    def take_beyond(self, known: Known) -> None:
        """Take up what the filters say of one that they don't decide on any more."""
        self.sent_left_out += known.reason is not None and known.row.state is FileState.SENT
        self.wanted += known.reason is None

    def take(self, known: Known) -> None:
        """Take up what is decided on one file."""
        if known.reason is not None and known.goes:
            self.out[known.reason.filter] += 1
            self.doubted += known.row.unknown_attempts > 0
        elif known.comes:
            self.in_again[known.row.decided_why or ""] += 1
            self.wanted += 1
        else:
            self.wanted += known.row.state is not FileState.WAIVED

    def sentences(self) -> Iterator[str]:
        """Yield what a person is told of it."""
        for said_by, count in sorted(self.out.items()):
            yield f"Left out now: {files_text(count)} of earlier runs ({said_by})."
        if self.doubted:
            yield f"Of these, possibly in the dataset anyway, because an answer was lost: {files_text(self.doubted)}."
        for said_by, count in sorted(self.in_again.items()):
            yield f"No longer left out: {files_text(count)} of earlier runs ({said_by})."
        if self.sent_left_out:
            them = "it" if self.sent_left_out == 1 else "them"
            yield f"Already in the dataset, though the filters now leave {them} out: {files_text(self.sent_left_out)}."


def scanner_of(source: Source, settings: Settings, ledger: Ledger | None, job: Job | None) -> Scanner:
    """Return the scan of a job's source with these settings.

    `--newer-than` counts back from when the job was told it: to go on a day later leaves out no more files.
    """
    at = None
    if ledger is not None and job is not None and job.settings.get("newer_than_s") == settings.newer_than_s:
        at = ledger.jobs.told_at(job.id, "newer_than_s")
    return Scanner(source, settings, at or clock.now())


def is_list_lost(scanner: Scanner, settings: Settings) -> bool:
    """Return whether the list that is kept has become empty: that decides on no file, unless it is `/dev/null`."""
    return scanner.names_nothing and settings.files_from != os.devnull


def known_files(
    ledger: Ledger, job_id: str, scanner: Scanner, states: Sequence[FileState], last_id: int, *, look: bool = True
) -> Iterator[list[Known]]:  # fmt: skip
    """Yield the files up to `last_id` in these states, many at a time, each with what the filters say.

    With `look` they decide by the facts on disk, otherwise by those on record.
    """
    for state in states:
        after = 0
        while after < last_id and (rows := ledger.files.page(job_id, state, after, TOGETHER)):
            after = rows[-1].id
            known = [row for row in rows if row.id <= last_id]
            yield [Known(row, scanner.reason(row.path, row.facts, look=look)) for row in known]


def apply_filters(context: Context, scanner: Scanner, choice: Choice, last_id: int) -> None:
    """Waive what this run's filters leave out of the files up to `last_id`, and queue what they let in again."""
    for known in known_files(context.ledger, context.job.id, scanner, UNSENT, last_id):
        context.cancel_token.raise_if_cancelled()
        in_again = [(item.row, item.row.decided_why or "") for item in known if item.comes or item.moves]
        out = [(item.row, item.reason.filter) for item in known if item.reason is not None and item.goes]
        # What another filter leaves out now is let in first, for the record to name that one.
        pending = FileState.PENDING
        out += [(item.row._replace(state=pending), str(item.moves)) for item in known if item.moves]
        if out or in_again:
            context.ledger.decisions.filter(context.run, out, in_again)
        for item in known:
            choice.take(item)


def count_beyond(
    ledger: Ledger, job_id: str, scanner: Scanner, states: Sequence[FileState], choice: Choice, last_id: int
) -> None:
    """Count what has arrived or may have, up to `last_id`, by what this run's filters say of it."""
    for known in known_files(ledger, job_id, scanner, states, last_id, look=False):
        for item in known:
            choice.take_beyond(item)
