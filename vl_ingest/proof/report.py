"""Is a report that was made earlier still what the ledger says? Its rows, its head, its words."""

import csv
import io
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from vl_ingest.domain import words
from vl_ingest.domain.checks import Check, compared
from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.model import SETTLED
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.files import CHANGED_AFTER
from vl_ingest.report.story import FORMAT, build
from vl_ingest.report.table import (
    ASKED,
    COLUMNS,
    FIRST_COLUMNS,
    FOURTH_COLUMNS,
    SECOND_COLUMNS,
    THIRD_COLUMNS,
    rows,
    unquoted,
    written,
)

Row = dict[str, str]

NAME = "report"
_HEAD = re.compile(r'<code id="head">([0-9a-f]{64})</code>')
_MADE = re.compile(r"Made [0-9: -]+ UTC by vl-ingest \S+ from")
OF_THE_MOMENT = ("generated_at", "version")  # what two reports on one record may differ in


def verify_report(ledger: Ledger, job_id: str, report: Path) -> Check:
    """Return whether a report file (CSV, JSON or HTML) says what the ledger says.

    A JSON report or a page holds the head of the chain: where that is the ledger's, all of it must be what would be
    written today; where the record has grown since, only the head can be compared. A table holds no head: what it
    calls sent or waived must be so, and what was neither, or is not in it, may only have been sent later. A table with
    the first columns alone is of an earlier version, which quoted no cell. Raises `UsageError` for anything but a report.
    """
    try:
        with report.open(encoding="utf-8", newline="") as file, ledger.db.snapshot():
            begin = file.readline()
            for columns in (COLUMNS, FOURTH_COLUMNS, THIRD_COLUMNS, SECOND_COLUMNS, FIRST_COLUMNS):
                if begin.rstrip("\r\n") == ",".join(columns):
                    return _table(ledger, job_id, file, columns)
            text = begin + file.read()
            if text.startswith("{"):
                return _value(ledger, job_id, text)
            if text.startswith("<!doctype html>"):
                return _page(ledger, job_id, text)
    except (OSError, ValueError, csv.Error) as exc:
        raise UsageError(f"Can't read the report {report}: {exc}.") from exc
    raise UsageError(
        f"{report} is not a CSV, JSON or HTML report. Make one with `vl-ingest report JOB --output FILE`."
    )


def _table(ledger: Ledger, job_id: str, file: Iterator[str], columns: Sequence[str]) -> Check:
    """Compare row by row, in the order of paths and versions, which both have."""
    ours = map(written, rows(ledger, job_id))
    plain = str if columns == FIRST_COLUMNS else unquoted
    cells = csv.DictReader(file, columns, strict=True)
    theirs_rows = (
        {key: plain(cell) if isinstance(cell, str) else cell for key, cell in row.items()} for row in cells
    )
    table = _Table(columns)
    try:
        for theirs, row in _pairs(theirs_rows, ours):
            table.take(theirs, row)
        return table.result()
    except _Contradiction as exc:
        return _differs(str(exc))


def _pairs(theirs: Iterable[Row], ours: Iterator[Row]) -> Iterator[tuple[Row | None, Row]]:
    """Yield each of our rows with theirs of the same path and version; None where they have none.

    Raises `_Contradiction` for a row of theirs that is out of its order, or not ours.
    """
    before: tuple[bytes, int] | None = None
    mine = next(ours, None)
    for row in theirs:
        place = _order(row)
        if before is not None and place <= before:
            raise _Contradiction(f"{row['path']} is out of its order")
        before = place
        while mine is not None and _order(mine) < place:
            yield None, mine
            mine = next(ours, None)
        if mine is None or _order(mine) != place:
            raise _Contradiction(f"{row['path']} is not a file of this job")
        yield row, mine
        mine = next(ours, None)
    while mine is not None:
        yield None, mine
        mine = next(ours, None)


class _Contradiction(Exception):  # no error of the program: what a report is found to be
    """The report says what the ledger does not."""


@dataclass
class _Table:
    """What a table says of the rows that the ledger has: the same, or less because it is older."""

    columns: Sequence[str]
    compared: int = 0
    moved: int = 0  # rows that have changed since
    absent: int = 0
    newest: str = ""  # `sent_at` of the newest receipt that the table knows
    oldest: tuple[str, str] = ("9999", "")  # of those that it does not: `sent_at`, path

    def take(self, theirs: Row | None, ours: Row) -> None:
        """Take up one row of the ledger, and what the table says of it. Raises `_Contradiction`."""
        if theirs is None:
            self.absent += 1
        else:
            self.compared += 1
            self.newest = max(self.newest, theirs["sent_at"] or "")
            if all(theirs[key] == ours[key] for key in self.columns) and theirs.keys() <= ours.keys():
                return
            if all(_is_no_contradiction(key, theirs[key], ours[key]) for key in self.columns):
                self.moved += 1
                return
            if theirs["state"] in SETTLED or ours["state"] == theirs["state"]:
                column = next((key for key in self.columns if theirs[key] != ours[key]), "a column too many")
                told, known = (words.told(row.get(column)) for row in (theirs, ours))
                raise _Contradiction(f"{ours['path']}: {column} is {told}, and {known} on record")
            self.moved += 1
        self.oldest = min(self.oldest, (ours["sent_at"] or "9999", ours["path"]))

    def result(self) -> Check:
        """Return what it comes to. Raises `_Contradiction` where a row is missing that an older table would have."""
        sent_at, path = self.oldest
        if sent_at <= self.newest:
            raise _Contradiction(
                f"{path} was sent at {sent_at}, and the table, which knows of {self.newest}, does not say so"
            )
        count = self.compared
        if not self.moved and not self.absent:
            return compared(NAME, True, f"Its {count:,} rows are those of the ledger.", rows=count)
        text = f"It is older than the record: {self.moved:,} rows have moved on since, and {self.absent:,} are not in it."
        return compared(NAME, None, text, rows=count, moved_on=self.moved, absent=self.absent)


def _value(ledger: Ledger, job_id: str, text: str) -> Check:
    facts = json.loads(text)
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise ValueError(f"it is not in the form {FORMAT!r}")
    now = json.loads(json.dumps(build(ledger, job_id).facts))
    chain = facts.get("chain")
    head = chain.get("head") if isinstance(chain, dict) else None
    if older := _older(ledger, job_id, head):
        return older
    wrong = sorted(
        key for key in {*facts, *now} if key not in OF_THE_MOMENT and facts.get(key) != now.get(key)
    )
    return _differs(f"{', '.join(wrong)} is not what the record says") if wrong else _same(head)


def _page(ledger: Ledger, job_id: str, text: str) -> Check:
    from vl_ingest.report.page import to_html  # its libraries are an extra

    heads = _HEAD.findall(text)
    if len(heads) != 1:
        raise ValueError("it names no head of a chain")
    if older := _older(ledger, job_id, heads[0]):
        return older
    theirs, ours = (_MADE.sub("Made from", page) for page in (text, to_html(ledger, build(ledger, job_id))))
    if theirs == ours:
        return _same(heads[0])
    pairs = zip_longest(io.StringIO(theirs), io.StringIO(ours))
    number = next(n for n, (line, wanted) in enumerate(pairs, 1) if line != wanted)
    return _differs(f"line {number} of the page is not what this version writes from the record")


def _older(ledger: Ledger, job_id: str, head: Any) -> Check | None:
    """Return the answer for a report whose head is not the ledger's; None where it is."""
    job = ledger.jobs.get(job_id)
    if head == job.event_head:
        return None
    number = next((event.number for event in ledger.events.history(job_id) if event.hash == head), None)
    if number is None:
        return _differs(f"its head, {words.told(head)}, is the hash of no event of this job")
    text = (
        f"It was made after event {number}, and {job.event_count - number} came since. Its head is in the chain; the "
        "rest can only be compared with a report made now."
    )
    return compared(NAME, None, text, head=head, number=number)


def _is_no_contradiction(column: str, theirs: str, ours: str) -> bool:
    """Return whether a cell is the same, or may have been before the server was asked or the folder looked at again."""
    if column == "reason":
        theirs, ours = (
            "; ".join(part for part in cell.split("; ") if part != CHANGED_AFTER)
            for cell in (theirs or "", ours)
        )
    return theirs == ours or (column in ASKED and not theirs)


def _order(row: Row) -> tuple[bytes, int]:
    """Return what the ledger sorts by. Raises `ValueError` unless the version is a number; earlier tables have none."""
    return row["path"].encode("utf-8", "surrogatepass"), int(row.get("version") or 1)


def _same(head: Any) -> Check:
    return compared(NAME, True, "It agrees with the ledger.", head=head)


def _differs(what: str) -> Check:
    return compared(NAME, False, f"It disagrees with the ledger: {what}.")
