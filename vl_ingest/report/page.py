"""The report as one HTML page that needs nothing else: no server, no network, no other file."""

import json
from collections.abc import Iterable
from datetime import datetime
from importlib.resources import files as resources
from itertools import islice, pairwise
from typing import Any

import jinja2

from vl_ingest.domain import words
from vl_ingest.domain.model import SETTLED, Delivery, FileState
from vl_ingest.domain.remote import doubt
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.summary import Summary
from vl_ingest.report.chart import Picture, Times, draw
from vl_ingest.report.story import Report, deciders, listed_text
from vl_ingest.report.table import rows
from vl_ingest.report.text import named, reasons
from vl_ingest.report.timeline import ENDED

MOST_FILES = 100_000  # in the page; the complete list is the CSV
MOST_BATCHES, MOST_MOMENTS, MOST_EXCEPTIONS = 500, 500, 1000


def to_html(ledger: Ledger, report: Report) -> str:
    """Return the page. Whatever comes from file names or the server is escaped by the template."""
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "size": words.size,
        "named": named,
        "when": _when,
        "until": _until,
        "number": lambda count: f"{count:,}",
        "duration": words.lasted,
        "doubt": lambda row: doubt(possibly_twice=row["possibly_twice"], in_dataset=row["in_dataset"]),
    }
    room = resources(__package__)
    template = environment.from_string(room.joinpath("page.html").read_text("utf-8"))
    facts = report.facts
    batches = sorted(facts["batches"], key=lambda batch: (batch["state"] == "sent", batch["id"]))
    with ledger.db.snapshot():
        listed = [_short(row) for row in islice(rows(ledger, report.job.id), MOST_FILES)]
    return template.render(
        **facts,
        good=report.job.state == "ready" and not report.summary.taken_as_delivered,
        bad=report.job.state in ("errored", "cancelled"),
        chart=chart(facts),
        chart_css=room.joinpath("chart.css").read_text("utf-8"),
        span=words.lasted(facts["throughput"]["bin_s"]),
        narrow_chart=chart(facts, narrow=True),
        exit_state=exit_state(report),
        listed_text=listed_text(report.summary),
        tiles=tiles(report),
        numbers={run["id"]: run["number"] for run in facts["runs"]},
        states=sorted({row[2] for row in listed}),
        shown_batches=batches[:MOST_BATCHES],
        shown_moments=facts["timeline"][-MOST_MOMENTS:],
        odd=[row for row in facts["exceptions"] if _is_odd(row)],
        by_word=[row for row in facts["exceptions"] if row["delivery"] == Delivery.TAKEN_AS_DELIVERED],
        twice=[row for row in facts["exceptions"] if _is_acknowledged(row) and not _is_odd(row)],
        most=MOST_EXCEPTIONS,
        # Inside a script element nothing but "</script" and "<!--" ends the text: no "<" at all, then.
        files_json=json.dumps(listed, separators=(",", ":")).replace("<", "\\u003c"),
        shown_files=len(listed),
    )


def exit_state(report: Report) -> str:
    """Return how the last run ended."""
    runs = report.facts["runs"]
    if not runs:
        return "no run yet"
    last = runs[-1]
    if last["died"]:
        return f"run {last['number']} died; its last record is of {_when(last['last_event_at'])}"
    if last["exit_code"] is None:
        return f"run {last['number']} has not ended"
    return f"{last['exit_code']}{ENDED.get(last['exit_code'], '')}"


def tiles(report: Report) -> list[dict[str, Any]]:
    """Return the figures of the first look: always eight, so that neither two, four nor eight columns leave one alone."""
    summary, exceptions = report.summary, report.facts["exceptions"]
    counts, job = summary.counts, report.facts
    waived, taken = counts[FileState.WAIVED], summary.taken_as_delivered
    by_word = deciders(row for row in exceptions if row["delivery"] == Delivery.TAKEN_AS_DELIVERED)
    by = deciders(row for row in exceptions if row["state"] == FileState.WAIVED)
    unsent = {str(state): counts[state] for state in FileState if state not in SETTLED and counts[state]}
    failed = sum(job["throughput"]["failed_attempts"])
    return [
        _tile("files", counts.total, words.size(counts.total_bytes)),
        _tile("acknowledged", summary.acknowledged, words.size(summary.acknowledged_bytes), "ok"),
        _tile("taken as delivered", taken, by_word and f"by decision of {by_word}", "wait"),
        _in_dataset(summary),
        _tile("waived", waived, by and f"by {by}", "wait"),
        _tile("not sent", counts.unsent, words.counted(unsent), "bad"),
        _tile("changed after", summary.changed_after, "on disk, after being sent", "wait"),
        _tile("attempts failed", failed, f"in {words.several(len(job['runs']), 'run')}"),
    ]


def _in_dataset(summary: Summary) -> dict[str, Any]:
    """Return the tile of what the server lists; until it has been asked, that of what only it could tell."""
    found = summary.listed
    if found is None:
        note = "sent again after a request without a receipt"
        return _tile("possibly twice", summary.possibly_twice, note, "wait")
    wrong = {
        "missing": found.missing,
        "twice": found.twice,
        "not sent": found.unexpected,
        "not told": found.unclear,
    }
    note = words.counted({what: count for what, count in wrong.items() if count})
    good = "each once, by the server's own list"
    return {
        "name": "in the dataset",
        "count": found.files,
        "note": note or good,
        "kind": "ok" if found.whole else "bad",
    }


def _tile(name: str, count: int, note: str, kind: str = "") -> dict[str, Any]:
    return {"name": name, "count": count, "note": note, "kind": kind if count else ""}


def chart(facts: dict[str, Any], *, narrow: bool = False) -> str:
    """Return the drawing of throughput, failures and outages as an SVG element; empty where nothing was sent."""
    throughput = facts["throughput"]
    if throughput["begin"] is None:
        return ""
    idle = [
        (over, after["started_at"])
        for run, after in pairwise(facts["runs"])
        if (over := run["ended_at"] or run["last_event_at"])
    ]
    picture = Picture(
        datetime.fromisoformat(throughput["begin"]), throughput["bin_s"], throughput["sent_bytes"],
        throughput["failed_attempts"],
        away=_times((outage["begin"], outage["end"]) for outage in facts["outages"]), idle=_times(idle),
    )  # fmt: skip
    if narrow:
        return draw(picture, "throughput-narrow", "throughput-says", width=360, height=200, labels=4)
    return draw(picture, "throughput", "throughput-says")


def _times(pairs: Iterable[tuple[str, str]]) -> Times:
    return [(datetime.fromisoformat(begin), datetime.fromisoformat(end)) for begin, end in pairs]


def _short(row: dict[str, Any]) -> list[Any]:
    return [
        named(row), row["size_bytes"], (row["delivery"] or row["state"]).replace("_", " "), row["sha256"] or "", (row["sent_at"] or "")[:19],
        row["batch"] or "", "; ".join(reasons(row)),
    ]  # fmt: skip


def _is_acknowledged(row: dict[str, Any]) -> bool:
    return bool(row["delivery"] == Delivery.ACKNOWLEDGED)


def _is_odd(row: dict[str, Any]) -> bool:
    if not _is_acknowledged(row):
        return row["delivery"] is None
    unlike = row["in_dataset"] == "no" or (row["in_dataset"] == "twice" and not row["possibly_twice"])
    return bool(row["reason"]) or unlike


def _when(moment: str | None) -> str:
    return "-" if moment is None else moment[:19].replace("T", " ")


def _until(step: dict[str, Any]) -> str:
    """Return when a moment that lasts ended, as briefly as that can be said."""
    at, until = step["at"][:19], step["until"][:19]
    return "" if at == until else until[11:] if at[:10] == until[:10] else until.replace("T", " ")
