"""The benchmarks work, and can't be passed by sending less; what they measure is not asserted."""

import re
import sys
from pathlib import Path

import pytest

from benchmarks import hosts, scale, throughput
from benchmarks.__main__ import lines
from benchmarks.link import possible
from benchmarks.measure import run
from benchmarks.senders import BASELINE, OURS

NUMBER = re.compile(r"\d+\.\d+|\d+")


def _rows(table: list[str]) -> dict[str, list[str]]:
    """Return the cells of each row behind its first one."""
    rows = [line.strip("|").split("|") for line in table if line.startswith("| ")]
    return {first.strip(): [cell.strip() for cell in cells] for first, *cells in rows[1:]}


@pytest.mark.parametrize("name", ["pictures", "tls"])
def test_every_sender_sends_everything_and_is_in_the_table(name: str, tmp_path: Path) -> None:
    """A row a sender, with figures; that all bytes arrived is checked while measuring."""
    rows = _rows(list(lines(name, tmp_path, rounds=1, scale=0.001)))
    assert {BASELINE, OURS} <= rows.keys() <= set(throughput.CASES[name].senders)
    for speed, _share, cpu, memory in rows.values():
        assert all(float(NUMBER.findall(cell)[0]) > 0 for cell in (speed, cpu, memory))


def test_a_sender_that_sends_less_is_found_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Doing nothing is fast, and no result."""
    monkeypatch.setattr(throughput, "named", lambda _name: lambda _url, _folder: [sys.executable, "-c", ""])
    with pytest.raises(RuntimeError, match="sent 0 of"):
        list(throughput.table(throughput.CASES["small"], tmp_path, rounds=1, scale=0.0001))


def test_a_command_that_fails_is_no_measurement() -> None:
    """What it said is in the error."""
    with pytest.raises(RuntimeError, match="ended with 3: sorry"):
        run([sys.executable, "-c", "import sys; print('sorry'); sys.exit(3)"])


def test_scale_and_start_are_measured(tmp_path: Path) -> None:
    """Whole runs, the phases of the ledger, and start-ups: a row each."""
    runs = _rows(list(scale.runs(tmp_path, scale=0.001)))
    assert list(runs) == ["100", "1,000"]
    phases = _rows(list(scale.phases(scale=0.001)))
    assert list(phases) == [
        "scan into the ledger",
        "claim and record",
        "scan again, all known",
        "count",
        "status",
    ]
    assert {"`json.load`", "vl-ingest"} == _rows(list(scale.lists(tmp_path, scale=0.001))).keys()
    assert "`vl-ingest status`" in _rows(list(scale.start(rounds=1)))


def test_viewers_are_measured_and_served(tmp_path: Path) -> None:
    """Each of fifty streams has had news of the upload, which has arrived."""
    (row,) = _rows(list(lines("viewers", tmp_path, rounds=1, scale=0.01))).values()
    assert all(float(cell) > 0 for cell in row)


@pytest.mark.skipif(possible() is not None, reason=f"no link can be made here: {possible()}")
def test_sending_from_hosts_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row for each number of workers; that all bytes arrived is checked while measuring."""
    monkeypatch.setattr(hosts, "COUNTS", (2,))
    assert list(_rows(list(hosts.table(tmp_path, rounds=1, scale=0.001)))) == ["2"]
