"""What tests of pages ask a browser."""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE_S = 120  # a hang, not a slow machine
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip


def has_browser() -> bool:
    """Say whether there is a Chromium with its driver on this machine."""
    return BROWSER is not None and DRIVER is not None


@contextmanager
def opened(profile: Path) -> Iterator[webdriver.Chrome]:
    """Give a browser with this profile that logs console and network."""
    options = webdriver.ChromeOptions()
    options.binary_location = str(BROWSER)
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def complaints(browser: webdriver.Chrome) -> list[dict[str, str]]:
    """Return what the browser's console has said of errors: scripts, policies, answers."""
    return [entry for entry in _logged(browser, "browser") if entry["level"] == "SEVERE"]


def asked(browser: webdriver.Chrome) -> set[str]:
    """Return every address that the browser has asked for since the last call, but for its own; there must be one."""
    told = [json.loads(entry["message"])["message"] for entry in _logged(browser, "performance")]
    urls = {m["params"]["request"]["url"] for m in told if m["method"] == "Network.requestWillBeSent"}
    assert urls, "the log works"
    return {url for url in urls if not url.startswith(("data:", "chrome:"))}  # the last: its own first tab


def text(browser: webdriver.Chrome, selector: str) -> str:
    """Return the text of the first such element as one line, empty where there is none; in one step, since pages change."""
    script = "return document.querySelector(arguments[0])?.innerText ?? ''"
    return " ".join(str(browser.execute_script(script, selector)).split())


def until(browser: webdriver.Chrome, holds: Callable[[], object]) -> Any:
    """Wait until it holds, and return what it then is; a page that is reloaded meanwhile is asked again."""
    return WebDriverWait(browser, PATIENCE_S, 0.1, [StaleElementReferenceException]).until(lambda _: holds())


def until_text(browser: webdriver.Chrome, selector: str, part: str) -> None:
    """Wait until an element says so."""
    until(browser, lambda: part in text(browser, selector))


def click(browser: webdriver.Chrome, selector: str) -> None:
    """Click on the first such element, once it is there."""

    def clicked() -> bool:
        browser.find_element(By.CSS_SELECTOR, selector).click()
        return True

    until(browser, clicked)


def look_at(browser: webdriver.Chrome, width: int, height: int = 900, *, dark: bool = False) -> None:
    """Give the window a size in CSS pixels, and the colours of the system."""
    size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})


def cut_off(browser: webdriver.Chrome) -> list[str]:
    """Return what reaches beyond the window, but for what can be scrolled by itself."""
    script = """
        const wide = document.documentElement.clientWidth, out = [];
        for (const part of document.querySelectorAll("main *, header *")) {
            const box = part.getBoundingClientRect();
            if (box.width > 1 && box.right > wide + 1 && !part.closest(".scroll")) out.push(part.outerHTML.slice(0, 120));
        }
        return out.concat(document.documentElement.scrollWidth > wide ? ["the page"] : []);
    """
    found: list[str] = browser.execute_script(script)
    return found


def links(browser: webdriver.Chrome, selector: str) -> list[str]:
    """Return where the links go."""
    script = "return [...document.querySelectorAll(arguments[0])].map(link => link.href)"
    found: list[str] = browser.execute_script(script, selector)
    return found


def focused(browser: webdriver.Chrome) -> str:
    """Return the text of what has the focus."""
    return str(browser.execute_script("return document.activeElement.innerText"))


def press(browser: webdriver.Chrome, *keys: str) -> None:
    """Press keys, wherever the focus is."""
    ActionChains(browser).send_keys(*keys).perform()


def _logged(browser: webdriver.Chrome, what: str) -> list[dict[str, str]]:
    entries: list[dict[str, str]] = browser.get_log(what)  # type: ignore[no-untyped-call]  # selenium's own
    return entries
