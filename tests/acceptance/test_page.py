"""The page in a real browser: it opens from disk, shows no error, asks nobody, and finds files."""

from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select, WebDriverWait

from browsing import asked, complaints
from vl_ingest.domain.model import Facts, Found
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.author import author
from vl_ingest.ledger.files import Files
from vl_ingest.ledger.tables import attempts, batches
from world import World


def shown(browser: webdriver.Chrome) -> list[str]:
    """Return the first column of the table of files."""
    script = "return [...document.querySelectorAll('#files td.path')].map(cell => cell.textContent)"
    paths: list[str] = browser.execute_script(script)
    return paths


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
    assert (
        "30 files acknowledged by the server, 1 file not yet" in browser.find_element(By.ID, "verdict").text
    )
    assert browser.find_element(By.ID, "head").text == world.job().event_head
    assert browser.find_elements(By.CSS_SELECTOR, "svg .bar rect")
    found(browser, "31 of 31")
    browser.find_element(By.ID, "search").send_keys("P0017")
    found(browser, "1 of 31")
    assert shown(browser) == ["p0017.png"]
    browser.find_element(By.ID, "search").send_keys(Keys.BACKSPACE * 5, "torn")
    WebDriverWait(browser, 30).until(lambda b: shown(b)[0].startswith("<b>torn&.jpg (HTTP 400"))
    Select(browser.find_element(By.ID, "state")).select_by_visible_text("acknowledged")
    found(browser, "0 of 31")
    assert complaints(browser) == []
    assert {url for url in asked(browser) if not url.startswith("file:")} == set()


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


WIDTHS = (390, 1280, 2560)
LENGTHS = {"1 s": 1, "40 s": 40, "10 min": 600, "8 h": 8 * 3600, "6 days": 6 * 86_400}
ON_SCREEN = "return [...document.querySelectorAll(arguments[0])].map(part => part.getBoundingClientRect()).filter(box => box.width)"


def resize(browser: webdriver.Chrome, width: int) -> None:
    """Give the page a screen of this width; a window is never as narrow as a phone."""
    screen = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", screen)


def boxes(browser: webdriver.Chrome, selector: str) -> list[dict[str, float]]:
    """Return where these parts are, if they are shown."""
    found: list[dict[str, float]] = browser.execute_script(ON_SCREEN, selector)
    return found


def page_of(place: Path, length_s: float) -> Path:
    """Return the page of a job that has sent for so long, across a midnight."""
    from vl_ingest.report.page import to_html
    from vl_ingest.report.story import build

    begin = datetime(2026, 3, 30, 23, 59, 59, 250_000, UTC)
    with Ledger(place / f"{length_s}.db") as ledger:
        job = ledger.jobs.get_or_create("/source", "name", "http://server", {})
        run = ledger.runs.take(job.id, "host", 1, "test")
        with ledger.db.write() as connection:
            for part in range(100):
                ends: dict[str, Any] = {"ended_at": begin + timedelta(seconds=length_s * (part + 1) / 100)}
                since = begin + timedelta(seconds=length_s * part / 100)
                batch = batches.insert().values(
                    job_id=job.id, run_id=run.id, transaction_id="1", state="sent", file_count=1,
                    size_bytes=10_000_000 * (part + 1), created_at=since, **ends,
                )  # fmt: skip
                batch_id = connection.execute(batch.returning(batches.c.id)).scalar_one()
                outcome = {"outcome": "sent" if part % 9 else "not_delivered", **ends}
                connection.execute(
                    attempts.insert().values(batch_id=batch_id, number=1, started_at=since, **outcome)
                )
        page = place / f"{length_s}.html"
        page.write_text(to_html(ledger, build(ledger, job.id)), encoding="utf-8")
    return page


@pytest.mark.parametrize("length_s", LENGTHS.values(), ids=LENGTHS.keys())
def test_the_times_below_the_chart_are_apart(
    tmp_path: Path, browser: webdriver.Chrome, length_s: float
) -> None:
    """However long a job took and however wide the screen: some times are named, none upon another or outside."""
    browser.get(page_of(tmp_path, length_s).as_uri())
    for width in WIDTHS:
        resize(browser, width)
        named = boxes(browser, "svg .axis.x text")
        assert 2 <= len(named) <= 8
        for one, other in combinations(named, 2):
            assert one["right"] + 4 < other["left"] or other["right"] + 4 < one["left"], (width, one, other)
        assert all(box["left"] >= 0 and box["right"] <= width for box in named), width
        beside = boxes(browser, "svg .axis.y text")
        assert not [
            (one, other)
            for one in named
            for other in beside
            if one["left"] < other["right"]
            and one["top"] < other["bottom"] - 1
            and other["top"] < one["bottom"]
        ]


@pytest.fixture
def settled_page(world: World) -> Path:
    """Return the page of a job with all kinds of files: acknowledged, on a person's word, and waived."""
    world.pictures(10)
    (world.folder / "torn.png").write_bytes(b"no picture")
    world.box.add_fault("upload:lost-answer:times=1")
    assert world.run("--on-unknown", "hold").code == 13
    assert world.cli("settle", "job", "--delivered").code == 0
    assert world.run().code == 3
    assert world.cli("waive", "job", "--all").code == 0
    assert world.run().code == 0
    page = world.place / "report.html"
    assert world.cli("report", "job", "--output", str(page)).code == 0
    return page


def test_what_matters_stands_on_top(world: World, settled_page: Path, browser: webdriver.Chrome) -> None:
    """Dataset, transaction, exit state, head, elapsed time and rate above the figures; each decision by its name."""
    browser.get(settled_page.as_uri())
    job = world.job()
    top = {
        part.find_element(By.TAG_NAME, "dt").text: part.find_element(By.TAG_NAME, "dd").text
        for part in browser.find_elements(By.CSS_SELECTOR, "dl.key > div")
    }
    assert str(job.dataset_id) in top["Dataset"]
    assert str(job.transaction_id) in top["Transaction"]
    assert str(job.event_head) in top["Record head"]
    assert top["Exit state"].startswith("0")
    assert "at work in 3 runs" in top["Elapsed time"]
    assert "/s, waiting included" in top["Average rate"]
    tiles = {
        part.find_element(By.TAG_NAME, "dt").text: part.text.splitlines()[1:]
        for part in browser.find_elements(By.CSS_SELECTOR, "dl.tiles > div")
    }
    assert tiles["taken as delivered"] == ["5", f"by decision of {author()}"]
    assert tiles["waived"] == ["1", f"by {author()}"]
    assert tiles["acknowledged"][0] == "5"
    key, first = boxes(browser, "dl.key")[0], boxes(browser, "dl.tiles")[0]
    assert key["bottom"] <= first["top"]


def test_no_tile_is_alone_and_nothing_is_cut_off(settled_page: Path, browser: webdriver.Chrome) -> None:
    """At any width each row of tiles has more than one; the page fits, and a table that does not says so."""
    browser.get(settled_page.as_uri())
    for width in (320, *WIDTHS, 700, 900, 1800):
        resize(browser, width)
        rows = [box["top"] for box in boxes(browser, "dl.tiles > div")]
        assert len(rows) == 8
        assert min(map(rows.count, rows)) > 1, width
        assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        WebDriverWait(browser, 30).until(
            lambda b: b.execute_script(
                "return [...document.querySelectorAll('.scroll')].every(part => part.hasAttribute('data-wide')"
                " === part.scrollWidth > part.clientWidth + 1)"
            )
        )
    resize(browser, 390)
    hint = "return getComputedStyle(document.querySelector('.scroll[data-wide]'), '::before').content"
    assert "Scroll sideways" in browser.execute_script(hint)


def test_a_whole_hash_can_be_copied(world: World, settled_page: Path, browser: webdriver.Chrome) -> None:
    """What the button copies is all 64 characters, of the head and of a file, though a file's are shown in part."""
    browser.get(settled_page.as_uri())
    sha256 = next(file.sha256 for file in world.files() if file.sha256)
    browser.execute_script("document.body.prepend(document.createElement('textarea'))")
    pasted = browser.find_element(By.TAG_NAME, "textarea")
    for whole in (str(world.job().event_head), str(sha256)):
        code = next(
            part
            for part in browser.find_elements(By.TAG_NAME, "code")
            if whole == part.get_attribute("textContent")
        )
        code.find_element(By.XPATH, "following-sibling::button").click()
        WebDriverWait(browser, 30).until(
            lambda _b, code=code: code.find_element(By.XPATH, "following-sibling::button").text == "copied"  # type: ignore[misc]
        )
        pasted.clear()
        pasted.send_keys(Keys.CONTROL, "v")
        assert pasted.get_attribute("value") == whole
