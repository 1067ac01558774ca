"""The report as one HTML page that needs nothing else: no server, no network, no other file."""

import json
from importlib.resources import files as resources
from itertools import islice
from typing import Any
from xml.etree.ElementTree import Element

import jinja2
import pygal
from pygal.style import Style

from vl_ingest import words
from vl_ingest.ledger import Ledger
from vl_ingest.report.story import BINS, Report
from vl_ingest.report.table import rows

MOST_FILES = 100_000  # in the page; the complete list is the CSV
MOST_BATCHES, MOST_MOMENTS, MOST_EXCEPTIONS = 500, 500, 1000
MIB = 1024 * 1024


def to_html(ledger: Ledger, report: Report) -> str:
    """Return the page. Whatever comes from file names or the server is escaped by the template."""
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"size": words.size, "when": _when, "number": lambda count: f"{count:,}"}
    template = environment.from_string(resources(__package__).joinpath("page.html").read_text("utf-8"))
    facts = report.facts
    batches = sorted(facts["batches"], key=lambda batch: (batch["state"] == "sent", batch["id"]))
    with ledger.db.snapshot():
        listed = [_short(row) for row in islice(rows(ledger, report.job.id), MOST_FILES)]
    return template.render(
        **facts,
        good=report.job.state == "ready",
        bad=report.job.state in ("errored", "cancelled"),
        chart=chart(facts["throughput"]),
        failed_attempts=sum(facts["throughput"]["failed_attempts"]),
        shown_batches=batches[:MOST_BATCHES],
        shown_moments=facts["timeline"][-MOST_MOMENTS:],
        shown_exceptions=facts["exceptions"][:MOST_EXCEPTIONS],
        # Inside a script element nothing but "</script" and "<!--" ends the text: no "<" at all, then.
        files_json=json.dumps(listed, separators=(",", ":")).replace("<", "\\u003c"),
        listed=len(listed),
    )


def chart(throughput: dict[str, Any]) -> str:
    """Return the throughput and the failed attempts over time as an SVG element; empty where nothing was sent."""
    if throughput["begin"] is None:
        return ""
    style = Style(
        background="transparent", plot_background="transparent", foreground="var(--ink)",
        foreground_strong="var(--ink)", foreground_subtle="var(--line)", colors=("var(--ok)", "var(--bad)"),
        font_family="inherit", opacity="1", opacity_hover="1", label_font_size=12, major_label_font_size=12,
        legend_font_size=13, guide_stroke_color="var(--line)", major_guide_stroke_color="var(--line)",
    )  # fmt: skip
    bin_s = throughput["bin_s"]
    drawn = pygal.Bar(
        js=[], style=style, width=1000, height=280, margin=8, legend_at_bottom=True, legend_at_bottom_columns=2,
        show_minor_x_labels=False, x_labels_major_every=10, spacing=4, truncate_label=-1,
        max_scale=6, value_formatter=lambda value: f"{value:.3g}",
    )  # fmt: skip
    drawn.uuid = "throughput"  # else a random one: the same record makes the same page
    drawn.x_labels = [_elapsed(index * bin_s) for index in range(BINS)]
    drawn.add("MiB/s acknowledged", [sent / bin_s / MIB for sent in throughput["sent_bytes"]])
    drawn.add("attempts failed (right)", list(throughput["failed_attempts"]), secondary=True)
    drawn.add_xml_filter(_without_scripts)
    svg: str = drawn.render(is_unicode=True, disable_xml_declaration=True)
    return svg


def _without_scripts(root: Element) -> Element:
    """Take pygal's settings for its own script out, and its title: the page says what the picture shows."""
    for parent in root.iter():
        for child in list(parent):
            if child.tag in ("script", "title") or not isinstance(child.tag, str):  # the last: comments
                parent.remove(child)
    root.set("role", "img")
    root.set("aria-labelledby", "picture-says")
    return root


def _short(row: dict[str, Any]) -> list[Any]:
    return [
        row["path"], row["size_bytes"], row["state"], row["sha256"] or "", (row["sent_at"] or "")[:19],
        row["batch"] or "", ("possibly twice; " if row["possibly_twice"] else "") + (row["reason"] or ""),
    ]  # fmt: skip


def _when(moment: str | None) -> str:
    return "-" if moment is None else moment[:19].replace("T", " ")


def _elapsed(seconds: float) -> str:
    whole = round(seconds)
    if whole < 120:
        return f"{seconds:.3g} s"
    return f"{whole // 60} min" if whole < 7200 else f"{whole // 3600} h {whole % 3600 // 60:02}"
