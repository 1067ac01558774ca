"""Makes the pictures of the manual: the live page while a job runs, and the report of the same job.

    python tests/pictures.py

Needs Chromium with its driver. A real command uploads to the sandbox, which is slow and goes away for a while.
"""

import io
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from selenium import webdriver

from browsing import has_browser, look_at, opened, until, until_text
from vl_ingest.sandbox import Sandbox
from vl_ingest.sandbox.pictures import render_pictures
from vl_ingest.serve.server import LivePage
from world import World

HELP = Path(__file__).parents[1] / "vl_ingest" / "help"
FILES = 600
OUTAGE_S = 6.0
WIDTH, COLOURS = 1100, 128


def main() -> None:
    """Make both."""
    if not has_browser():
        sys.exit("There is no Chromium with its driver on this machine.")
    with (
        tempfile.TemporaryDirectory() as place,
        Sandbox(root=Path(place, "server"), faults=["upload:slow:seconds=0.4"]) as box,
        opened(Path(place, "profile")) as browser,
    ):
        world_place = Path(place, "holidays")
        world_place.mkdir()
        world = World(world_place, box)
        render_pictures(world.folder, FILES)
        browser.execute_cdp_cmd("Emulation.setScrollbarsHidden", {"hidden": True})
        with LivePage(world.ledger_path) as page, world.start("--settle", "5s", name="holidays") as run:
            _until_sent(world, FILES // 3)
            with box.offline():
                time.sleep(OUTAGE_S)
            _until_sent(world, FILES * 3 // 4)
            look_at(browser, WIDTH, 884)
            browser.get(f"{page.url}jobs/{world.job('holidays').id}")
            until_text(browser, "#events", "answered")
            until(browser, lambda: browser.find_elements("css selector", ".wide svg .away"))
            _keep(browser, "page.png")
            run.communicate()
        report = Path(place, "report.html")
        assert world.cli("report", "holidays", "--output", str(report)).code == 0
        look_at(browser, WIDTH, 1100)
        browser.get(report.as_uri())
        _keep(browser, "report.png")


def _until_sent(world: World, count: int) -> None:
    world.until(lambda: len(world.box.record.files()) >= count, f"{count} files")


def _keep(browser: webdriver.Chrome, name: str) -> None:
    """Write what the window shows as a small PNG."""
    shown = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    few = shown.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    few.save(HELP / name, optimize=True)
    print(f"{name}: {(HELP / name).stat().st_size / 1024:.0f} KiB")  # noqa: T201  # a script


if __name__ == "__main__":
    main()
