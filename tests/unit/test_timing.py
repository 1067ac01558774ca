"""How long a job took: its runs together, what lies between them left out, waiting counted once."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from vl_ingest.ledger import Ledger
from vl_ingest.ledger.tables import attempts, batches, runs
from vl_ingest.report.timing import Timing, timing

BEGIN = datetime(2026, 1, 31, 23, 59, tzinfo=UTC)


def at(second: float) -> datetime:
    """Return a moment."""
    return BEGIN + timedelta(seconds=second)


def job_of(ledger: Ledger, *told: tuple[float, float | None, list[tuple[float, float, str]]]) -> str:
    """Return a job of runs from second to second, each with the attempts (begin, end, outcome) of 1000 bytes."""
    job = ledger.jobs.get_or_create("/source", "name", "http://server", {})
    for began, ended, sent in told:
        with ledger.db.write() as connection:
            run = connection.execute(
                runs.insert().values(
                    job_id=job.id, host="host", pid=1, version="test", started_at=at(began), heartbeat_at=at(9999),
                    ended_at=None if ended is None else at(ended),
                ).returning(runs.c.id)
            ).scalar_one()  # fmt: skip
            for begin, end, outcome in sent:
                batch = connection.execute(
                    batches.insert().values(
                        job_id=job.id, run_id=run, transaction_id="1", state="sent", file_count=1, size_bytes=1000,
                        created_at=at(begin),
                    ).returning(batches.c.id)
                ).scalar_one()  # fmt: skip
                told_of = {"started_at": at(begin), "ended_at": at(end), "outcome": outcome}
                connection.execute(attempts.insert().values(batch_id=batch, number=1, **told_of))
    return job.id


def test_what_lies_between_two_runs_is_no_work(tmp_path: Path) -> None:
    """Each is counted from its start to its end, sending from its first request to its last receipt."""
    with Ledger(tmp_path / "ledger.db") as ledger:
        job = job_of(ledger, (0, 10, [(1, 5, "sent")]), (1000, 1020, [(1002, 1008, "sent")]))
        assert timing(ledger, job) == Timing(30, 0, 10, 2000)
        assert timing(ledger, job).bytes_per_s == 200
        assert timing(ledger, job, 2) == Timing(20, 0, 6, 1000)


def test_time_after_a_failure_with_nothing_under_way_is_waiting(tmp_path: Path) -> None:
    """A pause that another worker filled is none, and a pause after a receipt is none either."""
    sent: list[tuple[float, float, str]] = [
        (1, 2, "sent"), (4, 5, "not_delivered"), (10, 12, "unknown"), (11, 20, "sent"), (30, 31, "unknown"),
        (31, 40, "sent"),
    ]  # fmt: skip
    with Ledger(tmp_path / "ledger.db") as ledger:
        assert timing(ledger, job_of(ledger, (0, 50, sent))) == Timing(50, 5, 39, 3000)


def test_a_run_that_died_ends_with_its_last_receipt(tmp_path: Path) -> None:
    """Its lost attempt was ended by the next run, an hour later: that hour was no sending, whatever its heartbeats say."""
    with Ledger(tmp_path / "ledger.db") as ledger:
        job = job_of(ledger, (0, None, [(1, 5, "sent"), (5, 3600, "unknown")]), (3600, 3610, []))
        assert timing(ledger, job) == Timing(15, 0, 4, 1000)
        assert timing(ledger, job, 2).bytes_per_s is None


def test_it_reads_as_a_sentence() -> None:
    """Short times are not rounded to nothing."""
    assert (
        str(Timing(0.4, 0, 0.2, 1024))
        == "0.4 s, none of it waiting for the server; 5.0 KiB/s on average, waiting included"
    )
    assert str(Timing(725, 61, 0, 0)) == "12 min 05 s, 1 min 01 s of it waiting for the server"
