"""Throughput over time as a drawing for HTML: bars of what was acknowledged, marks of what failed, bands of outages.

It has no style of its own: `chart.css` beside this file is for the page that holds it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from math import ceil, floor, log10
from xml.etree.ElementTree import Element, SubElement

import pygal
from pygal.style import Style
from pygal.view import Box

MIB = 1024 * 1024
MARK = 6.0  # how high the mark of a failed attempt is
UNWANTED = frozenset({"script", "style", "desc", "defs"})
KEPT = frozenset({"axis", "x", "y", "guides", "guide", "major", "line", "bar", "plot"})  # of pygal's classes

Times = Sequence[tuple[datetime, datetime]]


@dataclass(frozen=True)
class Picture:
    """What is drawn: bytes acknowledged and attempts failed in each of some equal spans from `begin` on.

    `away` are the times of outages, `idle` those when no run was at work.
    """

    begin: datetime
    bin_s: float
    sent_bytes: Sequence[int]
    failed: Sequence[int]
    away: Times = ()
    idle: Times = ()

    @property
    def length_s(self) -> float:
        """What time it shows, in seconds."""
        return self.bin_s * len(self.sent_bytes)

    def clock(self, number: int) -> str:
        """Return when a span begins, as briefly as that can be said."""
        form = "%H:%M:%S" if self.length_s < 600 else "%H:%M" if self.length_s < 86_400 else "%b %d %H:%M"
        return f"{self.begin + timedelta(seconds=number * self.bin_s):{form}}"


def draw(
    picture: Picture, name: str, says: str, *, width: int = 1000, height: int = 260, labels: int = 6
) -> str:
    """Return the picture as an SVG element with the id `chart-NAME`, described by the element with the id `says`.

    `width` and `height` are in its own units; `labels` is how many moments are written below it, at most.
    """
    speeds = [sent / picture.bin_s / MIB for sent in picture.sent_bytes]
    step = _round(max(speeds) / 4)
    lines = max(1, ceil(max(speeds) / step))
    every = max(1, ceil(len(speeds) / labels))
    drawn = pygal.Bar(
        js=[], style=Style(font_family="inherit", label_font_size=12, major_label_font_size=12), show_legend=False,
        width=width, height=height, margin=4, margin_top=14, spacing=0, truncate_label=-1, range=(0, lines * step),
        value_formatter=lambda value: f"{value:.3g} MiB/s",
        y_labels=[{"value": line * step, "label": f"{line * step:.3g}"} for line in range(lines + 1)],
    )  # fmt: skip
    drawn.uuid = name  # else a random one: the same record makes the same page
    drawn.x_labels = [picture.clock(number) if number % every == 0 else "" for number in range(len(speeds))]
    drawn.add("MiB/s acknowledged", speeds)
    drawn.add_xml_filter(partial(_finish, picture=picture, says=says))
    svg: str = drawn.render(is_unicode=True, disable_xml_declaration=True)
    return svg


def _round(step: float) -> float:
    """Return the next 1, 2 or 5 times a power of ten."""
    power = 10.0 ** floor(log10(step)) if step > 0 else 1.0
    return next((factor * power for factor in (1, 2, 5) if factor * power >= step), 10 * power)


def _bands(picture: Picture) -> Iterator[tuple[str, float, float]]:
    """Yield kind, begin and end, as shares of the picture's length."""
    for kind, times in (("away", picture.away), ("idle", picture.idle)):
        for ends in times:
            start, end = ((at - picture.begin).total_seconds() / picture.length_s for at in ends)
            if start < 1 and end > 0:
                yield kind, max(0.0, start), min(1.0, end)


def _finish(root: Element, picture: Picture, says: str) -> Element:
    """Draw what pygal does not, and take out what its script and its style would need."""
    plot = next(part for part in root.iter() if part.get("class") == "plot")
    width, height = float(plot[0].get("width", "0")), float(plot[0].get("height", "0"))
    _describe(root, picture)
    _slim(root)
    margin: float = Box.margin

    def across(share: float) -> float:
        return width * (share + margin) / (1 + 2 * margin)

    for kind, start, end in _bands(picture):
        wide = max(2.0, across(end) - across(start))
        plot.insert(0, _rect(kind, across(start), wide, height))
    bins = len(picture.failed)
    for number, failed in enumerate(picture.failed):
        if failed:
            start, wide = across(number / bins), max(3.0, width / bins * 0.7)
            mark = _rect("failed", start, wide, MARK)
            mark.set("y", f"{-MARK - 2:.0f}")
            SubElement(mark, "title").text = f"{failed:,} failed"
            plot.append(mark)
    root.set("class", "throughput")
    root.set("role", "img")
    root.set("aria-labelledby", says)
    return root


def _rect(kind: str, x: float, width: float, height: float) -> Element:
    return Element(
        "rect", {"class": kind, "x": f"{x:.1f}", "y": "0", "width": f"{width:.1f}", "height": f"{height:.1f}"}
    )


def _describe(root: Element, picture: Picture) -> None:
    """Give each bar a title, which browsers show, made of what pygal keeps for its script."""
    bars = [part for part in root.iter("g") if part.get("class") == "bar"]
    for number, bar in enumerate(bars):
        speed = next((part.text for part in bar if part.get("class") == "value"), None)
        misses = picture.failed[number]
        text = f"{picture.clock(number)}: {speed}" + (f", {misses:,} failed" if misses else "")
        SubElement(bar, "title").text = text


def _slim(root: Element) -> None:
    """Take out scripts, styles, descriptions and the title of the whole: the page says what is shown."""
    for parent in list(root.iter()):
        for child in list(parent):
            if _unwanted(parent, child):
                parent.remove(child)
        kept = [word for word in (parent.get("class") or "").split() if word in KEPT]
        for attribute in ("class", "style", "rx", "ry"):
            parent.attrib.pop(attribute, None)
        if kept:
            parent.set("class", " ".join(kept))
        for side in parent.attrib.keys() & {"x", "y", "width", "height"}:
            value = parent.attrib[side]
            if value.replace(".", "", 1).replace("-", "", 1).isdigit():
                parent.set(side, f"{float(value):.1f}")
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag == "g" and not len(child):
                parent.remove(child)


def _unwanted(parent: Element, child: Element) -> bool:
    if child.tag == "title":
        return parent.get("class") != "bar"
    if child.get("class") == "guides":
        return not any(part.text for part in child.iter("text"))
    return not isinstance(child.tag, str) or child.tag in UNWANTED or child.get("class") == "background"
