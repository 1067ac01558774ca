"""The report as one HTML page that needs nothing else: no server, no network, no other file."""

import json
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from functools import partial
from importlib.resources import files as resources
from itertools import islice, pairwise
from math import ceil, floor, log10
from typing import Any
from xml.etree.ElementTree import Element

import jinja2
import pygal
from pygal.style import Style
from pygal.view import Box

from vl_ingest.domain import words
from vl_ingest.ledger import Ledger
from vl_ingest.report.story import Report
from vl_ingest.report.table import rows

MOST_FILES = 100_000  # in the page; the complete list is the CSV
MOST_BATCHES, MOST_MOMENTS, MOST_EXCEPTIONS = 500, 500, 1000
MIB = 1024 * 1024


def to_html(ledger: Ledger, report: Report) -> str:
    """Return the page. Whatever comes from file names or the server is escaped by the template."""
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {
        "size": words.size,
        "when": _when,
        "until": _until,
        "number": lambda count: f"{count:,}",
    }
    template = environment.from_string(resources(__package__).joinpath("page.html").read_text("utf-8"))
    facts = report.facts
    batches = sorted(facts["batches"], key=lambda batch: (batch["state"] == "sent", batch["id"]))
    with ledger.db.snapshot():
        listed = [_short(row) for row in islice(rows(ledger, report.job.id), MOST_FILES)]
    return template.render(
        **facts,
        good=report.job.state == "ready",
        bad=report.job.state in ("errored", "cancelled"),
        chart=chart(facts),
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
    """Return throughput and failed attempts over time as an SVG element, behind them in what times nothing could be sent.

    Empty where nothing was sent.
    """
    throughput = facts["throughput"]
    if throughput["begin"] is None:
        return ""
    style = Style(
        background="transparent", plot_background="transparent", foreground="var(--ink)",
        foreground_strong="var(--ink)", foreground_subtle="var(--line)", colors=("var(--ok)", "var(--bad)"),
        font_family="inherit", opacity="1", opacity_hover="1", label_font_size=12, major_label_font_size=12,
        legend_font_size=13, guide_stroke_color="var(--line)", major_guide_stroke_color="var(--line)",
    )  # fmt: skip
    bin_s, failed = throughput["bin_s"], throughput["failed_attempts"]
    speeds = [sent / bin_s / MIB for sent in throughput["sent_bytes"]]
    step = _round(max(speeds) / 4)
    lines = max(1, ceil(max(speeds) / step))
    begin = datetime.fromisoformat(throughput["begin"])
    length_s = bin_s * len(speeds)
    clock = "%H:%M:%S" if length_s < 600 else "%H:%M" if length_s < 86_400 else "%b %d %H:%M"
    drawn = pygal.Bar(
        js=[], style=style, width=1000, height=280, margin=8, legend_at_bottom=True, legend_at_bottom_columns=2,
        show_minor_x_labels=False, x_labels_major_every=10, spacing=4, truncate_label=-1,
        range=(0, lines * step), y_labels=[line * step for line in range(lines + 1)],
        secondary_range=(0, lines * max(1, ceil(max(failed) / lines))), value_formatter=lambda value: f"{value:.3g}",
    )  # fmt: skip
    drawn.uuid = "throughput"  # else a random one: the same record makes the same page
    drawn.x_labels = [f"{begin + timedelta(seconds=n * bin_s):{clock}}" for n in range(len(speeds))]
    drawn.add("MiB/s acknowledged", speeds)
    drawn.add("attempts failed (right)", failed, secondary=True)
    drawn.add_xml_filter(partial(_finish, bands=list(_bands(facts, begin, length_s))))
    svg: str = drawn.render(is_unicode=True, disable_xml_declaration=True)
    return svg


def _round(step: float) -> float:
    """Return the next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** floor(log10(step)) if step > 0 else 1.0
    return next((factor * power for factor in (1, 2, 5) if factor * power >= step), 10 * power)


def _bands(facts: dict[str, Any], begin: datetime, length_s: float) -> Iterator[tuple[str, float, float]]:
    """Yield kind, begin and end, as shares of the picture's length, of when the server was away, or no run there."""
    times = [("away", outage["begin"], outage["end"]) for outage in facts["outages"]]
    for run, after in pairwise(facts["runs"]):
        if over := run["ended_at"] or run["last_event_at"]:
            times.append(("idle", over, after["started_at"]))
    for kind, *ends in times:
        start, end = ((datetime.fromisoformat(at) - begin).total_seconds() / length_s for at in ends)
        if start < 1 and end > 0:
            yield kind, max(0.0, start), min(1.0, end)


def _finish(root: Element, bands: Iterable[tuple[str, float, float]]) -> Element:
    """Draw the bands, and take pygal's settings for its script out, and its title: the page says what is shown."""
    for parent in root.iter():
        for child in list(parent):
            if child.tag in ("script", "title") or not isinstance(child.tag, str):  # the last: comments
                parent.remove(child)
    plot = next(part for part in root.iter() if part.get("class") == "plot")
    width, height = float(plot[0].get("width", "0")), plot[0].get("height", "0")
    margin = Box.margin
    for kind, start, end in bands:
        x, wide = width * (start + margin) / (1 + 2 * margin), width * (end - start) / (1 + 2 * margin)
        shape = {"class": kind, "x": f"{x:.1f}", "y": "0", "width": f"{max(wide, 2):.1f}", "height": height}
        plot.insert(1, Element("rect", shape))
    root.set("role", "img")
    root.set("aria-labelledby", "picture-says")
    return root


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
