"""Figures that add up: what is shown while it runs, in the metrics, and at the end."""

import re
from pathlib import Path

import pytest

from world import World


def test_bytes_shown_are_bytes_of_files(world: World) -> None:
    """What a request needs around its files is not counted: never more than there are."""
    world.pictures(10)
    world.box.add_fault("upload:slow:seconds=2.5")
    ended = world.run("--stats", "0.1s")
    shown = re.findall(r"of 10 files, (\d+) B of (\d+) B", ended.err)
    assert shown, ended.err
    assert all(int(done) <= int(total) for done, total in shown), shown


@pytest.mark.parametrize(
    ("fault", "failed"), [(None, 0), ("upload:503:times=1", 1)], ids=["a split", "a failure"]
)
def test_metrics_and_display_count_the_same_attempts(
    world: World, tmp_path: Path, fault: str | None, failed: int
) -> None:
    """A refusal that only splits a batch is an answer, no failure."""
    pytest.importorskip("prometheus_client", reason="an extra")
    world.pictures(5)
    if fault:
        world.box.add_fault(fault)
    else:
        (world.folder / "torn.png").write_bytes(b"no picture")
    ended = world.run("--metrics-file", str(tmp_path / "metrics"), "--on-rejected", "skip")
    assert max(line.get("attempts_failed", 0) for line in ended.lines) == failed
    figures = re.findall(
        r"^vl_ingest_attempts_failed\{.*\} (\S+)$", (tmp_path / "metrics").read_text(), re.MULTILINE
    )
    assert list(map(float, figures)) == [failed]


@pytest.mark.parametrize(
    ("fault", "rejected"), [(None, 1), ("upload:400", 0)], ids=["one", "all, which is withdrawn"]
)
def test_what_is_printed_as_rejected_is_what_the_summary_counts(
    world: World, fault: str | None, rejected: int
) -> None:
    """Where the server refuses every file it is hardly the files: none is called rejected."""
    world.pictures(4)
    (world.folder / "torn.png").write_bytes(b"no picture")
    if fault:
        world.box.add_fault(fault)
    ended = world.run()
    assert ended.code == (7 if fault else 3)
    assert len([line for line in ended.lines if line["type"] == "file_error"]) == rejected
    assert ended.summary["files"]["rejected"] == rejected
    assert ended.err.count(": rejected: ") == rejected
