"""Fixtures: every kind of courier for the proofs of the promises, and a real browser for the tests of pages."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver

from browsing import has_browser, opened
from forker import Forker
from vl_ingest import ingest
from vl_ingest.server.api import Api
from vl_ingest.server.tokens import Tokens
from world import CLEAN, World


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[webdriver.Chrome]:
    """Return a browser with a profile of its own that logs console and network."""
    if not has_browser():
        pytest.skip("there is no Chromium with its driver on this machine")
    with opened(tmp_path / "profile") as driver:
        yield driver


@pytest.fixture
def forker() -> Iterator[Forker]:
    """Start the process that forks, and end it."""
    with Forker(CLEAN) as process:
        yield process


@pytest.fixture(params=["0", "2"], ids=["threads", "processes"])
def processes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have the runs of a test send by threads, and then by processes."""
    monkeypatch.setattr(World, "processes", request.param)
    return str(request.param)


@pytest.fixture
def renewable_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have runs ask with a token that can be renewed: after a 401 they go on with another."""
    monkeypatch.setattr(ingest, "Api", lambda base_url, _tokens: Api(base_url, Tokens(lambda _skew: "token")))
