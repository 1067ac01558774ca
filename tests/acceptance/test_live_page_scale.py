"""A million files on the live page: each page of it costs as much as a page of a thousand."""

import http.client
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from browsing import complaints, text, until_text
from vl_ingest.domain.model import Facts, FileState, Found
from vl_ingest.ledger import Ledger
from vl_ingest.serve.server import LivePage

FILES = 1_000_000
MANY = """
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?)
    INSERT INTO files (job_id, path, sent_as, size_bytes, mtime_ns, state, attempts, unknown_attempts, changes, reason, sha256)
    SELECT ?, printf('folder-%03d/IMG_%07d.jpg', i / 10000, i), printf('IMG_%07d.jpg', i), 1000 + i, 0,
        CASE WHEN i % 250000 = 0 THEN 'rejected' WHEN i < 600000 THEN 'sent' ELSE 'pending' END, 1, 0, 0,
        CASE WHEN i % 250000 = 0 THEN 'HTTP 400: no picture' END,
        CASE WHEN i % 250000 <> 0 AND i < 600000 THEN printf('%064x', i) END
    FROM n
"""
STEPS = 1000  # of SQLite's machine, between two calls of what counts them


def make(path: Path, files: int) -> str:
    """Make a ledger with one job of so many files; return the job's id."""
    with Ledger(path) as ledger:
        job = ledger.jobs.get_or_create("/source", "large", "http://server", {})
        run = ledger.runs.take(job.id, "elsewhere", 1, "test")
        ledger.files.add(run, [Found("zero.jpg", Facts(1, 1))])
        ledger.runs.end(run, 10)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA synchronous = OFF").close()
        connection.execute(MANY, (files, job.id)).close()
        connection.commit()
    return job.id


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """Return a ledger with a million files, and its job."""
    path = tmp_path_factory.mktemp("million") / "ledger.db"
    job_id = make(path, FILES)
    yield path, job_id
    path.unlink()


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list that grows by one with every `STEPS` steps that SQLite takes to read."""
    from vl_ingest.ledger import sqlite

    taken: list[int] = []
    configure = sqlite.configure

    def counted(connection: sqlite3.Connection, record: object) -> None:
        configure(connection, record)
        connection.set_progress_handler(lambda: taken.append(1), STEPS)

    monkeypatch.setattr(sqlite, "configure", counted)
    return taken


def cost(page: LivePage, steps: list[int], path: str) -> int:
    """Return how many times `STEPS` steps a page costs, once others have been shown."""
    steps.clear()
    connection = http.client.HTTPConnection(
        "127.0.0.1", int(page.url.rstrip("/").rpartition(":")[2]), timeout=120
    )
    connection.request("GET", path)
    assert connection.getresponse().read()
    connection.close()
    return len(steps)


def test_no_page_of_files_reads_them_all(million: tuple[Path, str], steps: list[int]) -> None:
    """The first and a late page, those in one state, and a file: a few rows each. A search stops and asks to go on."""
    path, job = million
    with LivePage(path) as page:
        assert cost(page, steps, f"/jobs/{job}") > FILES / STEPS, "the first look counts every file"
        for address in (
            "", "?after=folder-099/IMG_0999000.jpg", "?state=sent&after=590000", "?state=rejected", "/500000",
        ):  # fmt: skip
            assert cost(page, steps, f"/jobs/{job}/files{address}") < 50, address
        assert cost(page, steps, f"/jobs/{job}") < 50  # nobody works on it: nothing is counted again
        assert cost(page, steps, f"/jobs/{job}/files?q=nowhere") < 0.5 * 20 * FILES / STEPS


def test_a_million_files_are_paged_and_searched(million: tuple[Path, str], browser: webdriver.Chrome) -> None:
    """Page by page in order, by state, and by a part of the name; what a search did not reach is said."""
    path, job = million
    with LivePage(path) as page:
        browser.get(f"{page.url}jobs/{job}")
        assert "of 1,000,001" in text(browser, ".figures")
        browser.get(f"{page.url}jobs/{job}/files")
        assert text(browser, "td.path") == "folder-000/IMG_0000001.jpg"
        assert len(browser.find_elements(By.CSS_SELECTOR, "td.path")) == 100
        browser.find_element(By.CSS_SELECTOR, '[rel="next"]').click()
        until_text(browser, "td.path", "IMG_0000101.jpg")
        search = browser.find_element(By.NAME, "q")
        search.send_keys("img_0123456", Keys.ENTER)
        until_text(browser, "td.path", "folder-012/IMG_0123456.jpg")
        assert len(browser.find_elements(By.CSS_SELECTOR, "td.path")) == 1
        browser.get(f"{page.url}jobs/{job}/files?q=0999999")
        assert "None so far" in text(browser, ".empty")
        for _ in range(4):
            browser.find_element(By.CSS_SELECTOR, '[rel="next"]').click()
        until_text(browser, "td.path", "folder-099/IMG_0999999.jpg")
        browser.get(f"{page.url}jobs/{job}/files?state={FileState.REJECTED}")
        assert len(browser.find_elements(By.CSS_SELECTOR, "td.path")) == 4
        assert not browser.find_elements(By.CSS_SELECTOR, '[rel="next"]')
        assert complaints(browser) == []
