"""The live page in a real browser, while a real command uploads to a real server."""

import http.client
import json
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from urllib.request import urlopen

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys

from browsing import (
    asked,
    click,
    complaints,
    cut_off,
    focused,
    links,
    look_at,
    press,
    text,
    until,
    until_text,
)
from vl_ingest.domain.naming import path_to_text
from vl_ingest.serve.server import LivePage
from world import CLEAN, World

PATIENCE_S = 60
HOSTILE = '<img src=x onerror="document.title=1"><script>document.title=2<'


@pytest.fixture
def page(world: World) -> Iterator[LivePage]:
    """Return the live page of the world's ledger, which is not there yet."""
    with LivePage(world.ledger_path) as page:
        yield page


@contextmanager
def ended_by(world: World) -> Iterator[None]:
    """Let the server behave at the end of the block, whatever happened in it, so that no run waits for ever."""
    try:
        yield
    finally:
        world.box.clear_faults()


def ask(url: str, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    """Return status, headers and body of an answer; `headers` may name another host than the one that is asked."""
    port = int(url.split("?", maxsplit=1)[0].rstrip("/").rpartition(":")[2])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    try:
        connection.putrequest("GET", path, skip_host=True)
        for name, value in {"Host": f"127.0.0.1:{port}", **headers}.items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read().decode()
    finally:
        connection.close()


def test_a_job_is_seen_from_its_beginning_to_its_report(
    world: World, page: LivePage, browser: webdriver.Chrome
) -> None:
    """It appears, its numbers move, its outage is seen, it ends, and its report opens; the page is loaded once."""
    world.pictures(40)
    world.box.add_fault("upload:reset-before:after=2")  # two batches of five arrive, then none
    browser.get(page.url)
    until_text(browser, "#trouble", "There is no ledger")
    browser.execute_script("window.same = true")
    with world.start("--workers", "1") as process, ended_by(world):
        until_text(browser, ".card", "10 of 40 files")
        assert text(browser, "#trouble") == ""
        browser.find_element(By.CSS_SELECTOR, ".card a").click()
        until_text(browser, ".headline", "Waiting")
        browser.execute_script("window.same = true")
        assert text(browser, ".figures").startswith("files delivered 10 of 40")
        assert "Waiting for the server since" in text(browser, "#standing")
        assert "It goes on by itself." in text(browser, "#standing")
        assert text(browser, ".percent") == "25.0 %"
        until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, ".wide svg .failed"))
        until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, ".wide svg .away"))
        until_text(browser, "#events", "attempts failed so far")
        world.box.clear_faults()
        until_text(browser, ".headline", "Done")
        process.communicate()
    assert process.returncode == 0
    assert text(browser, ".figures").startswith("files delivered 40 of 40")
    assert text(browser, ".percent") == "100 %"
    assert "READY" in text(browser, "#server")
    until_text(browser, "#events", "then one was answered")
    assert browser.execute_script("return window.same")
    assert browser.title == "job"
    (report,) = links(browser, 'a[href$="/report"]')
    browser.get(report)
    assert "Complete: 40 files acknowledged by the server" in text(browser, "#verdict")
    until_text(browser, "#found", "40 of 40 files")  # its script runs, under this page's policy
    assert complaints(browser) == []
    assert {url for url in asked(browser) if not url.startswith(page.url)} == set()


def test_whatever_a_file_or_a_server_is_called_stays_text(
    make_world: "object", browser: webdriver.Chrome
) -> None:
    """Names with markup, of files, folders, datasets and in the server's words, make no element and run nothing."""
    world: World = make_world(processing_error=f"{HOSTILE}b>")  # type: ignore[operator]
    world.pictures(2)
    world.picture(f"{HOSTILE}/{HOSTILE}b>.png", 7)
    (world.folder / f"{HOSTILE}torn.jpg").write_bytes(b"no picture")
    assert world.run("--on-rejected", "skip", name=f"{HOSTILE}name").code == 12
    with LivePage(world.ledger_path) as page:
        browser.get(page.url)
        assert f"{HOSTILE}name" in text(browser, ".card h2")
        (job,) = links(browser, ".card a")
        seen = [page.url, job, f"{job}/files"]
        browser.get(f"{job}/files")
        seen += links(browser, "td.path a")
        assert path_to_text(f"{HOSTILE}/{HOSTILE}b>.png") in text(browser, "table.files")
        for url in seen:
            browser.get(url)
            until(browser, lambda: "Live" in text(browser, "#link") or not text(browser, "#link"))
            assert not browser.find_elements(By.CSS_SELECTOR, "main img, main script, main b > script")
            assert browser.title not in ("1", "2")
        assert complaints(browser) == []


@pytest.mark.parametrize("width", [390, 1280, 2560])
def test_no_width_cuts_anything_off(
    world: World, page: LivePage, browser: webdriver.Chrome, width: int
) -> None:
    """On a phone, a laptop and a large screen nothing reaches beyond the window, however long a name is."""
    long = "a-very-long-name-" * 8
    world.pictures(3)
    world.picture(f"{long}/{long}.png", 3)
    (world.folder / f"{long}torn.jpg").write_bytes(b"no picture")
    assert world.run(name=long).code == 3
    look_at(browser, width, dark=width == 1280)
    browser.get(page.url)
    (job,) = links(browser, ".card a")
    browser.get(f"{job}/files?state=rejected")
    for url in (page.url, job, f"{job}/files", *links(browser, "td.path a")):
        browser.get(url)
        assert text(browser, "h1")
        assert cut_off(browser) == []


def test_it_can_be_used_without_a_script(world: World, page: LivePage, browser: webdriver.Chrome) -> None:
    """Everything is there as plain pages, links and forms, and reloads by itself."""
    world.pictures(12)
    assert world.run().code == 0
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    browser.get(page.url)
    assert browser.find_elements(By.CSS_SELECTOR, 'meta[http-equiv="refresh"]')
    click(browser, ".card a")
    until(browser, lambda: "Done" in browser.find_element(By.CSS_SELECTOR, ".headline").text)
    until(browser, lambda: browser.find_elements(By.CSS_SELECTOR, ".wide svg .bar rect"))
    click(browser, '#states a[href*="state=sent"]')
    search = browser.find_element(By.NAME, "q")
    search.send_keys("P0007", Keys.ENTER)
    until(browser, lambda: "P0007" in browser.current_url)
    click(browser, "td.path a")
    until_text(browser, ".scroll table", "delivered")


def test_it_can_be_used_by_keyboard(world: World, page: LivePage, browser: webdriver.Chrome) -> None:
    """The first key leads past the head of the page; the focus stays where it is when what holds it is renewed."""
    world.pictures(3)
    assert world.run().code == 0
    browser.get(page.url)
    press(browser, Keys.TAB)
    assert focused(browser) == "Skip to the content"
    press(browser, Keys.ENTER, Keys.TAB)
    assert focused(browser) == "job"
    world.pictures(4, "q")
    assert world.run(name="another").code == 0
    until_text(browser, "#jobs", "another")
    assert focused(browser) == "job"
    press(browser, Keys.ENTER)
    until_text(browser, ".headline", "Done")
    unnamed = "return [...document.querySelectorAll('a, button, input, select')].filter(e => !e.innerText && !e.labels?.length).length"
    assert browser.execute_script(unnamed) == 0


def test_a_token_opens_it_from_elsewhere(world: World, browser: webdriver.Chrome) -> None:
    """The printed address leads in, and leaves no token in the address or for scripts; without it nothing is told."""
    world.pictures(2)
    assert world.run(name="secret").code == 0
    with LivePage(world.ledger_path, host="0.0.0.0") as page:
        token = page.url.partition("?token=")[2]
        assert len(token) >= 32
        for path in (
            "/",
            "/events",
            "/?token=wrong",
            "/static/page.css",
            "/jobs/secret",
            "/jobs/secret/report",
        ):
            status, _, body = ask(page.url, path)
            assert (status, "secret" in body, token in body) == (401, False, False)
        status, headers, _ = ask(page.url, f"/?token={token}")
        cookie = headers["set-cookie"].lower()
        assert status == 200
        assert {"httponly", "samesite=strict", "path=/"} <= set(cookie.split("; "))
        here = f"http://127.0.0.1:{page.url.split('?')[0].rstrip('/').rpartition(':')[2]}"
        browser.get(f"{here}/?token={token}")
        until_text(browser, ".card", "secret")
        until_text(browser, "#link", "Live")
        assert browser.current_url == f"{here}/"
        assert browser.execute_script("return document.cookie") == ""
        assert complaints(browser) == []


def test_only_its_own_pages_are_answered(page: LivePage) -> None:
    """Another name for this address, another origin, and anything that is not a question are refused."""
    port = page.url.rstrip("/").rpartition(":")[2]
    for host in (
        "evil.example",
        f"evil.example:{port}",
        "127.0.0.1.evil.example",
        f"10.0.0.1:{port}",
        "[::1",
    ):
        assert ask(page.url, "/static/page.css", Host=host)[0] == 403, host
    for host in (
        "localhost",
        f"localhost:{port}",
        "127.0.0.1:9",
        f"[::1]:{port}",
    ):  # the port may be a tunnel's
        assert ask(page.url, "/static/page.css", Host=host)[0] == 200, host
    assert ask(page.url, "/events", Origin="http://evil.example")[0] == 403
    assert ask(page.url, "/events", Origin="null")[0] == 403
    status, headers, _ = ask(page.url, "/static/page.js", Origin=f"http://127.0.0.1:{port}")
    assert status == 200
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    connection = http.client.HTTPConnection("127.0.0.1", int(port), timeout=PATIENCE_S)
    connection.request("POST", "/")
    assert connection.getresponse().status == 405
    connection.close()


def test_looking_leaves_nothing_on_disk(world: World, page: LivePage) -> None:
    """A ledger that nobody uses has no file beside it after it was shown, and the same bytes."""
    world.pictures(2)
    assert world.run().code == 0
    before = {path: path.read_bytes() for path in world.place.glob("ledger.db*") if path.is_file()}
    for path in ("/", "/jobs/job", "/jobs/job/files", "/jobs/job/files/1", "/jobs/job/report"):
        assert ask(page.url, path)[0] == 200
    assert {path: path.read_bytes() for path in world.place.glob("ledger.db*") if path.is_file()} == before


def test_what_was_inferred_is_not_called_a_persons_word(world: World, page: LivePage) -> None:
    """A file of an addition without a receipt says what it rests on, with its hash or without; a later version says so, too."""
    world.pictures(1)
    assert world.run().code == 0
    world.picture("p0000.png", 200)
    world.box.add_fault("add:lost-answer:times=1")
    assert world.run("--add", "--changed", "send").code == 0
    for hashed in (True, False):
        if not hashed:
            with closing(sqlite3.connect(world.ledger_path)) as connection, connection:
                connection.execute("UPDATE files SET sha256 = NULL WHERE version = 2")
        for path in ("/jobs/job/files", "/jobs/job/files/2"):
            told = ask(page.url, path)[2]
            assert "inferred from what the server shows" in told
            assert "taken as delivered" not in told.replace("acknowledged, or taken as delivered", "")
            assert "version" in told


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_at_once_while_somebody_looks(world: World, number: signal.Signals) -> None:
    """Ctrl-C is enough, however many streams are open, and no sign of trouble."""
    command = [
        sys.executable,
        "-m",
        "vl_ingest",
        "serve",
        "--port",
        "0",
        "--json",
        "--ledger",
        str(world.ledger_path),
    ]
    with subprocess.Popen(
        command, env=CLEAN, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["url"]
        with urlopen(f"{url}events", timeout=PATIENCE_S) as stream:
            assert stream.readline() == b"event: parts\n"
            process.send_signal(number)
            stream.read()  # to its end: it was not cut
            assert process.wait(PATIENCE_S) == 0
        assert process.stderr is not None
        missing = f"There is no ledger at {world.ledger_path} yet."
        assert (
            process.stderr.read() == f"warning: {missing} The page shows its jobs once a run has made it.\n"
        )


def test_the_demo_can_be_watched() -> None:
    """It says where, and ends as ever where nobody is at a terminal to end it."""
    command = [sys.executable, "-m", "vl_ingest", "demo", "--watch"]
    done = subprocess.run(
        command, env=CLEAN, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "* The live page is at http://127.0.0.1:" in done.stdout
    assert "processing was started exactly once" in done.stdout


@pytest.mark.parametrize("arguments", [["--port", "0"], ["--host", "0.0.0.0"]])
def test_without_its_packages_it_says_what_to_install(world: World, arguments: list[str]) -> None:
    """Exit code 2, and the command that helps."""
    program = (
        "import sys; sys.modules['starlette'] = None; from vl_ingest.cli import command_line; "
        "sys.exit(command_line(['serve', *sys.argv[1:]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments, "--ledger", str(world.ledger_path)],
        env=CLEAN, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert "pip install 'vl-ingest[serve]'" in done.stderr


def test_a_port_that_is_taken_is_said(world: World, page: LivePage) -> None:
    """Exit code 2, and what to do; also for a host that is not this machine's."""
    port = page.url.rstrip("/").rpartition(":")[2]
    taken, foreign = (
        world.cli("serve", "--port", port),
        world.cli("serve", "--port", "0", "--host", "192.0.2.1"),
    )
    assert (taken.code, foreign.code) == (2, 2)
    assert "--port 0" in taken.err
    assert "192.0.2.1" in foreign.err
