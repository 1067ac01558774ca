"""Throughput over time as a drawing for HTML: bars of what was acknowledged, marks of what failed, bands of outages.

It has no style of its own: `chart.css` beside this file is for the page that holds it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from math import ceil, floor, log10
from xml.etree.ElementTree import Element, SubElement

import pygal
from pygal.style import Style
from pygal.view import Box

MIB = 1024 * 1024
DAY_S = 86_400
STEPS_S = (
    0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200,
    DAY_S, 2 * DAY_S, 5 * DAY_S, 10 * DAY_S, 20 * DAY_S, 50 * DAY_S, 100 * DAY_S,
)  # fmt: skip  # between two moments that are named
MARK = 6.0  # how high the mark of a failed attempt is
LETTER = 7.0  # how wide a letter is, at most
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
        """Return when a span begins."""
        at = self.begin + timedelta(seconds=number * self.bin_s)
        if self.bin_s < 1:
            return f"{at:%H:%M:%S}.{at.microsecond // 100_000}"
        return f"{at:%H:%M:%S}" if self.length_s < DAY_S else f"{at:%b %d %H:%M}"

    def moments(self, most: int) -> Iterator[tuple[float, str]]:
        """Yield `most` round moments or fewer: where they are, as a share of the length, and their names.

        A name has its day where that is not the same all along.
        """
        step = next((step for step in STEPS_S if self.length_s < step * most), STEPS_S[-1])
        same_day = self.begin.date() == (self.begin + timedelta(seconds=self.length_s)).date()
        begin, day = self.begin.timestamp(), ""
        first = ceil(begin / step)
        for number in range(first, floor((begin + self.length_s) / step) + 1):
            at = datetime.fromtimestamp(round(number * step, 1), UTC)
            form = "%b %d" if step >= DAY_S else "%H:%M" if step >= 60 else "%H:%M:%S"
            if step < DAY_S and not same_day and f"{at:%b %d}" != day:
                form = "%b %d" if f"{at:%H%M%S}" == "000000" and step >= 60 else f"%b %d {form}"
            day = f"{at:%b %d}"
            tenths = f".{at.microsecond // 100_000}" if step < 1 else ""
            yield (at.timestamp() - begin) / self.length_s, f"{at:{form}}{tenths}"


def draw(
    picture: Picture, name: str, says: str, *, width: int = 1000, height: int = 260, labels: int = 7
) -> str:
    """Return the picture as an SVG element with the id `chart-NAME`, described by the element with the id `says`.

    `width` and `height` are in its own units; `labels` is how many moments are written below it, at most.
    """
    speeds = [sent / picture.bin_s / MIB for sent in picture.sent_bytes]
    step = _round(max(speeds) / 4)
    lines = max(1, ceil(max(speeds) / step))
    drawn = pygal.Bar(
        js=[], style=Style(font_family="inherit", label_font_size=12, major_label_font_size=12), show_legend=False, show_x_labels=False,
        width=width, height=height, margin=4, margin_top=14, margin_bottom=24, spacing=0, truncate_label=-1, range=(0, lines * step),
        value_formatter=lambda value: f"{_number(value)} MiB/s",
        y_labels=[{"value": line * step, "label": _number(line * step)} for line in range(lines + 1)],
    )  # fmt: skip
    drawn.uuid = name  # else a random one: the same record makes the same page
    drawn.add("MiB/s acknowledged", speeds)
    drawn.add_xml_filter(partial(_finish, picture=picture, says=says, labels=labels))
    svg: str = drawn.render(is_unicode=True, disable_xml_declaration=True)
    return svg


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


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


def _finish(root: Element, picture: Picture, says: str, labels: int) -> Element:
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
    axis = SubElement(plot, "g", {"class": "axis x"})
    for share, name in picture.moments(labels):
        place = {"x": f"{across(share):.1f}"}
        SubElement(
            axis,
            "line",
            {"x1": place["x"], "x2": place["x"], "y1": f"{height:.1f}", "y2": f"{height + 5:.1f}"},
        )
        centre = min(across(share), width - LETTER / 2 * len(name))  # a name at the end stays in the drawing
        SubElement(axis, "text", {"x": f"{centre:.1f}", "y": f"{height + 18:.1f}"}).text = name
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
