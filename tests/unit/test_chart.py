"""The drawing of a job's throughput."""

from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest

from vl_ingest.report.chart import Picture, draw

SVG = "{http://www.w3.org/2000/svg}"
WIDTH = 360


@pytest.mark.parametrize("second", range(0, 60, 3))
def test_no_moment_is_written_beyond_the_drawing(second: int) -> None:
    """Also one at its very end: on a phone, the drawing is as wide as the window."""
    begin = datetime(2026, 1, 31, 23, 0, tzinfo=UTC) + timedelta(seconds=second)
    drawn = draw(Picture(begin, 1.0, [1] * 42, [0] * 42), "narrow", "says", width=WIDTH, height=190, labels=3)
    plot = next(part for part in ElementTree.fromstring(drawn).iter() if part.get("class") == "plot")
    left = float(plot.attrib["transform"].removeprefix("translate(").split(",")[0])
    axis = next(part for part in plot if part.get("class") == "axis x")
    moments = axis.findall(f"{SVG}text")
    assert moments
    for moment in moments:
        assert left + float(moment.attrib["x"]) + 3.5 * len(moment.text or "") <= WIDTH
