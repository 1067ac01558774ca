"""What is handed out to the workers: a real ledger and a real folder, and no server."""

from collections.abc import Callable
from pathlib import Path

import pytest

from vl_ingest import clock
from vl_ingest.run.context import Context
from vl_ingest.upload.backlog import Backlog, Delivery
from vl_ingest.upload.concurrency import Concurrency
from vl_ingest.upload.plan import BatchLimits

MIB = 1024 * 1024
LATER_S = 3600.0

MakeBacklog = Callable[..., Backlog]


@pytest.fixture
def make_backlog(make_context: Callable[..., Context]) -> MakeBacklog:
    """Return a function that makes the backlog of a job with so many scanned files of a size."""

    def make(
        files: int, *, size_bytes: int = 10, workers: int = 1, scanned: bool = True, batch_size: int = 1
    ) -> Backlog:
        context = make_context(files, size_bytes, batch_size=batch_size)
        backlog = Backlog(context, BatchLimits(context.settings, None), Concurrency(workers))
        backlog.scan_progress(finished=scanned)
        return backlog

    return make


def take(backlog: Backlog, *, probe: bool = False) -> Delivery:
    """Take a delivery that must be there."""
    (delivery,) = backlog.take("1", probe=probe)
    return delivery


def drain(backlog: Backlog) -> list[int]:
    """Take and finish all there is; return how many files each delivery had."""
    counts = []
    while taken := backlog.take("1"):
        counts.append(len(taken[0].batch.files))
        backlog.put([])
    return counts


def test_all_files_are_handed_out_once_in_their_order(make_backlog: MakeBacklog) -> None:
    """Batches of the size that was asked for, the last one smaller; then it is finished."""
    backlog = make_backlog(7, batch_size=3)
    paths = []
    for _ in range(3):
        paths += [file.path for file in take(backlog).batch.files]
        assert not backlog.finished, "it is still being sent"
        backlog.put([])
    assert paths == [f"{number:03}.png" for number in range(7)]
    assert backlog.take("1") == []
    assert backlog.finished


def test_nothing_is_finished_before_the_scan_is(make_backlog: MakeBacklog) -> None:
    """More files may come."""
    backlog = make_backlog(1, scanned=False)
    drain(backlog)
    assert not backlog.finished
    backlog.scan_progress(finished=True)
    assert backlog.finished


def test_a_worker_begins_no_more_while_two_of_its_batches_wait_for_another_attempt(
    make_backlog: MakeBacklog,
) -> None:
    """An outage does not put the whole folder in flight: two batches a worker, then nothing new is claimed."""
    backlog = make_backlog(10, workers=2)
    for _ in range(4):
        delivery = take(backlog)
        delivery.due = clock.monotonic() + LATER_S
        backlog.put([delivery])
    assert backlog.take("1") == []
    assert not backlog.finished
    take(backlog, probe=True)
    assert take(backlog).batch.files[0].path == "004.png", "one of the four is being sent again"


def test_a_probe_takes_what_is_due_first_without_waiting_for_its_time(make_backlog: MakeBacklog) -> None:
    """The probe is to find out whether the server works again, with whatever there is."""
    backlog = make_backlog(3, workers=2)
    later, sooner = take(backlog), take(backlog)
    later.due, sooner.due = clock.monotonic() + 2 * LATER_S, clock.monotonic() + LATER_S
    backlog.put([later])
    backlog.put([sooner])
    assert take(backlog, probe=True) is sooner


def test_the_end_is_shared_among_the_workers(make_backlog: MakeBacklog) -> None:
    """When only these are left, no worker takes more bytes than its share, so that all end together."""
    assert drain(make_backlog(8, size_bytes=4 * MIB, workers=4, batch_size=50))[0] == 2


def test_before_the_end_batches_are_as_large_as_they_may_be(make_backlog: MakeBacklog) -> None:
    """While the scan goes on, nobody knows what is left."""
    assert drain(make_backlog(8, size_bytes=4 * MIB, workers=4, batch_size=50, scanned=False)) == [8]


@pytest.mark.parametrize("files", [12, 13])
def test_the_end_is_known_before_it_comes(
    make_backlog: MakeBacklog, monkeypatch: pytest.MonkeyPatch, files: int
) -> None:
    """It is shared also where the ledger's last answer is full, or holds no more than one file."""
    monkeypatch.setattr("vl_ingest.upload.backlog.LOOK_AHEAD", 6)
    counts = drain(make_backlog(files, size_bytes=MIB, workers=4, batch_size=2))
    assert sum(counts) == files
    assert counts[-4:] == [1, 1, 1, 1]


def test_alone_is_what_has_nothing_beside_it(make_backlog: MakeBacklog) -> None:
    """Neither another one on its way, nor one that waits, nor a file that is pending."""
    backlog = make_backlog(2)
    first = take(backlog)
    assert not backlog.alone(), "a file is pending"
    second = take(backlog)
    assert not backlog.alone(), "another one is on its way"
    second.due = clock.monotonic() + LATER_S
    backlog.put([second])
    assert not backlog.alone(), "another one waits"
    backlog.put([first])
    take(backlog, probe=True)
    take(backlog, probe=True)
    backlog.put([])
    assert backlog.alone()


def test_several_are_taken_together(make_backlog: MakeBacklog) -> None:
    """As many as there is room for, each file once."""
    backlog = make_backlog(7, batch_size=2)
    taken = backlog.take("1", 3) + backlog.take("1", 3)
    assert [len(delivery.batch.files) for delivery in taken] == [2, 2, 2, 1]
    assert len({file.path for delivery in taken for file in delivery.batch.files}) == 7


def test_what_had_no_bytes_is_looked_at_again(make_backlog: MakeBacklog, tmp_path: Path) -> None:
    """One that has some now joins as it is now; one that has none is set aside."""
    backlog = make_backlog(3, size_bytes=0, batch_size=3)
    (tmp_path / "pictures" / "001.png").write_bytes(b"at last")
    (row,) = take(backlog).batch.files
    assert (row.path, row.facts.size_bytes) == ("001.png", 7)
    backlog.put([])
    assert backlog.finished
