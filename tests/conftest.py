"""Fixtures: each test gets a world of its own, on ports that the system chooses."""

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis  # noqa: F401  # before anything is frozen that its plugins look for
import pytest

from compiled import share_compiled_statements
from vl_ingest.run import backoff
from vl_ingest.sandbox import Sandbox
from world import NO_KEYRING, World

MakeWorld = Callable[..., World]

share_compiled_statements()


@pytest.fixture(autouse=True)
def _no_settings_of_ours(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the machine's own settings, state folder and keyring out of the tests."""
    for name in list(os.environ):
        if name.startswith(("VL_INGEST_", "VISUAL_LAYER_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", NO_KEYRING)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a tenth as long between attempts as a real run does; the rules stay the same."""
    monkeypatch.setattr(backoff, "BACKOFF", backoff.Backoff(first_s=0.05, most_s=1.0))


@pytest.fixture
def make_world(tmp_path: Path) -> Iterator[MakeWorld]:
    """Return a function that makes a world; its arguments are the sandbox's."""
    with ExitStack() as stack:

        def make(**sandbox: Any) -> World:
            box = stack.enter_context(Sandbox(root=tmp_path / "server", **sandbox))
            return World(tmp_path, box)

        yield make


@pytest.fixture
def world(make_world: MakeWorld) -> World:
    """Return a world whose server behaves."""
    return make_world()


def pytest_xdist_auto_num_workers() -> int:
    """Use three times as many processes as there are cores: these tests wait most of their time."""
    return 3 * (os.cpu_count() or 1)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Say how many points and combinations the proofs went through."""
    tried: Counter[str] = Counter()
    known: dict[str, int] = {}
    for report in terminalreporter.stats.get("passed", []):
        for name, value in report.user_properties:
            if name == "points":
                what, count, total = value
                tried[what] += count
                known[what] = total
    for what, count in sorted(tried.items()):
        terminalreporter.write_line(f"{what}: {count} of {known[what]} held")
