"""The report as one HTML page that needs nothing else: no server, no network, no other file."""

import json
from collections.abc import Iterable
from datetime import datetime
from importlib.resources import files as resources
from itertools import islice, pairwise
from typing import Any

import jinja2

from vl_ingest.domain import words
from vl_ingest.ledger import Ledger
from vl_ingest.report.chart import Picture, Times, draw
from vl_ingest.report.story import Report
from vl_ingest.report.table import rows

MOST_FILES = 100_000  # in the page; the complete list is the CSV
MOST_BATCHES, MOST_MOMENTS, MOST_EXCEPTIONS = 500, 500, 1000


def to_html(ledger: Ledger, report: Report) -> str:
    """Return the page. Whatever comes from file names or the server is escaped by the template."""
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "size": words.size,
        "when": _when,
        "until": _until,
        "number": lambda count: f"{count:,}",
    }
    room = resources(__package__)
    template = environment.from_string(room.joinpath("page.html").read_text("utf-8"))
    facts = report.facts
    batches = sorted(facts["batches"], key=lambda batch: (batch["state"] == "sent", batch["id"]))
    with ledger.db.snapshot():
        listed = [_short(row) for row in islice(rows(ledger, report.job.id), MOST_FILES)]
    return template.render(
        **facts,
        good=report.job.state == "ready",
        bad=report.job.state in ("errored", "cancelled"),
        chart=chart(facts),
        chart_css=room.joinpath("chart.css").read_text("utf-8"),
        span=words.duration(facts["throughput"]["bin_s"]),
        failed_attempts=sum(facts["throughput"]["failed_attempts"]),
        shown_batches=batches[:MOST_BATCHES],
        shown_moments=facts["timeline"][-MOST_MOMENTS:],
        odd=[row for row in facts["exceptions"] if not _only_twice(row)],
        twice=[row for row in facts["exceptions"] if _only_twice(row)],
        most=MOST_EXCEPTIONS,
        # Inside a script element nothing but "</script" and "<!--" ends the text: no "<" at all, then.
        files_json=json.dumps(listed, separators=(",", ":")).replace("<", "\\u003c"),
        listed=len(listed),
    )


def chart(facts: dict[str, Any]) -> str:
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
    return draw(picture, "throughput", "throughput-says")


def _times(pairs: Iterable[tuple[str, str]]) -> Times:
    return [(datetime.fromisoformat(begin), datetime.fromisoformat(end)) for begin, end in pairs]


def _short(row: dict[str, Any]) -> list[Any]:
    return [
        row["path"], row["size_bytes"], row["state"], row["sha256"] or "", (row["sent_at"] or "")[:19],
        row["batch"] or "", ("possibly twice; " if row["possibly_twice"] else "") + (row["reason"] or ""),
    ]  # fmt: skip


def _only_twice(row: dict[str, Any]) -> bool:
    return row["possibly_twice"] and not row["reason"]


def _when(moment: str | None) -> str:
    return "-" if moment is None else moment[:19].replace("T", " ")


def _until(step: dict[str, Any]) -> str:
    """Return when a moment that lasts ended, as briefly as that can be said."""
    at, until = step["at"][:19], step["until"][:19]
    return "" if at == until else until[11:] if at[:10] == until[:10] else until.replace("T", " ")
