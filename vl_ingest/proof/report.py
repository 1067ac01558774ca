"""Is a report that was made earlier still what the ledger says? Its rows, its head, its words."""

import csv
import io
import json
import re
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from typing import Any

from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.model import SETTLED
from vl_ingest.ledger import Ledger
from vl_ingest.proof.verify import Check
from vl_ingest.report.story import FORMAT, build
from vl_ingest.report.table import COLUMNS, rows, written

NAME = "report"
_HEAD = re.compile(r'<code id="head">([0-9a-f]{64})</code>')
_MADE = re.compile(r"Made [0-9: -]+ UTC by vl-ingest \S+ from")
OF_THE_MOMENT = ("generated_at", "version")  # what two reports on one record may differ in


def verify_report(ledger: Ledger, job_id: str, report: Path) -> Check:
    """Return whether a report file (CSV, JSON or HTML) says what the ledger says.

    A JSON report or a page holds the head of the chain: where that is the ledger's, all of it must be what would be
    written today; where the record has grown since, only the head can be compared. A table holds no head: what it
    calls sent or waived must be so, and what was neither, or is not in it, may only have been sent later. Raises `UsageError` for what is no report.
    """
    try:
        with report.open(encoding="utf-8", newline="") as file, ledger.db.snapshot():
            begin = file.readline()
            if begin.rstrip("\r\n") == ",".join(COLUMNS):
                return _table(ledger, job_id, file)
            text = begin + file.read()
            if text.startswith("{"):
                return _value(ledger, job_id, text)
            if text.startswith("<!doctype html>"):
                return _page(ledger, job_id, text)
    except (OSError, ValueError, csv.Error) as exc:
        raise UsageError(f"Can't read the report {report}: {exc}.") from exc
    raise UsageError(f"{report} is no report as CSV, JSON or HTML (`vl-ingest report JOB --output FILE`).")


def _table(ledger: Ledger, job_id: str, file: Iterator[str]) -> Check:
    """Compare row by row, in the order of paths, which both have."""
    ours = (written(row) for row in rows(ledger, job_id))
    mine = next(ours, None)
    compared = moved = absent = 0
    newest = ""  # of the receipts that the table knows
    oldest = ("9999", "")  # of those that it does not: sent_at, path
    before: bytes | None = None

    def lacks(row: dict[str, str]) -> None:
        nonlocal oldest
        oldest = min(oldest, (row["sent_at"] or "9999", row["path"]))

    for row in csv.DictReader(file, COLUMNS, strict=True):
        place = _order(row["path"])
        if before is not None and place <= before:
            return _differs(f"{row['path']} is out of its order")
        before = place
        while mine is not None and _order(mine["path"]) < place:
            lacks(mine)
            mine, absent = next(ours, None), absent + 1
        if mine is None or mine["path"] != row["path"]:
            return _differs(f"{row['path']} is not a file of this job")
        if row != mine:
            column = next((key for key in COLUMNS if row[key] != mine[key]), "a column too many")
            if row["state"] in SETTLED or mine["state"] == row["state"]:
                return _differs(
                    f"{row['path']}: {column} is {row.get(column)!r}, and {mine.get(column)!r} on record"
                )
            lacks(mine)
            moved += 1
        newest = max(newest, row["sent_at"] or "")
        compared += 1
        mine = next(ours, None)
    while mine is not None:
        lacks(mine)
        mine, absent = next(ours, None), absent + 1
    if oldest[0] <= newest:
        return _differs(
            f"{oldest[1]} was sent at {oldest[0]}, and the table, which knows of {newest}, does not say so"
        )
    if moved or absent:
        text = (
            f"It is older than the record: {moved:,} rows have moved on since, and {absent:,} are not in it."
        )
        return Check(NAME, None, text, {"rows": compared, "moved_on": moved, "absent": absent})
    return Check(NAME, True, f"Its {compared:,} rows are those of the ledger.", {"rows": compared})


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
    return _differs(f"line {number} of the page is not what this version writes of the record")


def _older(ledger: Ledger, job_id: str, head: Any) -> Check | None:
    """Return the answer for a report whose head is not the ledger's; None where it is."""
    job = ledger.jobs.get(job_id)
    if head == job.event_head:
        return None
    number = next((event.number for event in ledger.events.history(job_id) if event.hash == head), None)
    if number is None:
        return _differs(f"its head, {head}, is the hash of no event of this job")
    text = (
        f"It was made after event {number}, and {job.event_count - number} came since. Its head is in the chain; the "
        "rest can only be compared with a report made now."
    )
    return Check(NAME, None, text, {"head": head, "number": number})


def _order(path: str) -> bytes:
    return path.encode("utf-8", "surrogatepass")  # as the ledger sorts


def _same(head: Any) -> Check:
    return Check(NAME, True, "It says what the ledger says.", {"head": head})


def _differs(what: str) -> Check:
    return Check(NAME, False, f"It is not as the ledger has it: {what}.")
