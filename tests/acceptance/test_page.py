"""The page in a real browser: it opens from disk, shows no error, asks nobody, and finds files."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from vl_ingest.domain.model import Facts, Found
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.files import Files
from world import World

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    BROWSER is None or DRIVER is None, reason="there is no Chromium with its driver on this machine"
)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
)


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """Return a browser with a profile of its own that logs console and network."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'profile'}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(str(DRIVER)))
    try:
        yield driver
    finally:
        driver.quit()


def shown(browser: webdriver.Chrome) -> list[str]:
    """Return the first column of the table of files."""
    script = "return [...document.querySelectorAll('#files td.path')].map(cell => cell.textContent)"
    paths: list[str] = browser.execute_script(script)
    return paths


def logged(browser: webdriver.Chrome, what: str) -> list[dict[str, str]]:
    """Return what the browser has logged."""
    entries: list[dict[str, str]] = browser.get_log(what)  # type: ignore[no-untyped-call]  # selenium's own
    return entries


def found(browser: webdriver.Chrome, text: str) -> None:
    """Wait until the page says so of its search."""
    WebDriverWait(browser, 30).until(lambda b: b.find_element(By.ID, "found").text.startswith(text))


def test_the_page_is_read_and_searched(world: World, browser: webdriver.Chrome) -> None:
    """The verdict stands there; search and filter find; names are text; nothing is fetched or complained about."""
    world.pictures(30)
    (world.folder / "<b>torn&.jpg").write_bytes(b"no picture")
    assert world.run().code == 3
    page = world.place / "report.html"
    assert world.cli("report", "job", "--output", str(page)).code == 0
    browser.get(page.as_uri())
    assert "30 files delivered, 1 file not yet" in browser.find_element(By.ID, "verdict").text
    assert browser.find_element(By.ID, "head").text == world.job().event_head
    assert browser.find_elements(By.CSS_SELECTOR, "svg .bar rect")
    found(browser, "31 of 31")
    browser.find_element(By.ID, "search").send_keys("P0017")
    found(browser, "1 of 31")
    assert shown(browser) == ["p0017.png"]
    browser.find_element(By.ID, "search").send_keys(Keys.BACKSPACE * 5, "torn")
    WebDriverWait(browser, 30).until(lambda b: shown(b)[0].startswith("<b>torn&.jpg (HTTP 400"))
    Select(browser.find_element(By.ID, "state")).select_by_visible_text("sent")
    found(browser, "0 of 31")
    assert [entry for entry in logged(browser, "browser") if entry["level"] == "SEVERE"] == []
    told = [json.loads(entry["message"])["message"] for entry in logged(browser, "performance")]
    asked = {m["params"]["request"]["url"] for m in told if m["method"] == "Network.requestWillBeSent"}
    assert {
        url for url in asked if not url.startswith(("file:", "data:", "chrome:"))
    } == set()  # the last: its own first tab
    assert asked, "the log works"


def test_a_hundred_thousand_files_are_all_in_the_page(tmp_path: Path, browser: webdriver.Chrome) -> None:
    """Every row can be found, and only a few are drawn."""
    from vl_ingest.report.page import to_html
    from vl_ingest.report.story import build

    with Ledger(tmp_path / "ledger.db") as ledger:
        job = ledger.jobs.get_or_create("/source", "name", "http://server", {})
        run = ledger.runs.take(job.id, "host", 1, "test")
        files: Files = ledger.files
        for start in range(0, 100_000, 1000):
            files.add(run, [Found(f"folder/{n:06}.png", Facts(10, n)) for n in range(start, start + 1000)])
        page = tmp_path / "report.html"
        page.write_text(to_html(ledger, build(ledger, job.id)), encoding="utf-8")
    browser.get(page.as_uri())
    found(browser, "100,000 of 100,000 files, the first 200 shown")
    assert len(browser.find_elements(By.CSS_SELECTOR, "#files tr")) == 200
    browser.find_element(By.ID, "search").send_keys("099999")
    found(browser, "1 of 100,000")
    assert shown(browser) == ["folder/099999.png"]
