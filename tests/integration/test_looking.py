"""Commands that only look at a ledger: nothing on disk changes, whatever its schema and whoever works on it."""

import hashlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import vl_ingest.report.history
from vl_ingest.cli import status
from vl_ingest.domain.errors import LedgerError
from vl_ingest.domain.model import Event
from vl_ingest.ledger import Ledger, reading
from vl_ingest.ledger.database import HEAD
from vl_ingest.report.history import history
from world import World

DUMPS = Path(__file__).parents[1] / "ledgers"
REVISIONS = sorted(path.stem for path in DUMPS.glob("*.sql"))
LOOKS = [
    ["status", "job"],
    ["status", "job", "--json"],
    ["jobs"],
    ["files", "job"],
    ["events", "job"],
    ["report", "job"],
    ["report", "job", "--format", "csv"],
]


def _old_ledger(world: World, revision: str) -> None:
    with sqlite3.connect(world.ledger_path) as connection:
        connection.executescript((DUMPS / f"{revision}.sql").read_text())
        connection.execute("PRAGMA journal_mode = WAL").close()
    connection.close()


def _disk(world: World) -> dict[str, tuple[int, str]]:
    """Return every file beside the ledger, with its time and the hash of its bytes."""
    files = [path for path in world.place.rglob("*") if path.is_file()]
    return {
        str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest()) for path in files
    }


@pytest.mark.parametrize("revision", REVISIONS)
@pytest.mark.parametrize("look", LOOKS, ids=" ".join)
def test_a_look_changes_no_byte(world: World, revision: str, look: list[str]) -> None:
    """A ledger of any revision is shown as it is, is not upgraded, and gets no file beside it."""
    _old_ledger(world, revision)
    before = _disk(world)
    ended = world.cli(*look)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out
    assert _disk(world) == before


@pytest.mark.parametrize("revision", REVISIONS)
def test_completing_a_job_s_name_changes_no_byte(world: World, revision: str) -> None:
    """A key pressed in a shell never upgrades a ledger; only one of today's schema is asked for its jobs."""
    from vl_ingest.cli import cli
    from vl_ingest.cli.completion import jobs

    _old_ledger(world, revision)
    before = _disk(world)
    with cli.make_context("vl-ingest", [], resilient_parsing=True) as context:
        context.params["ledger"] = str(world.ledger_path)
        found = [item.value for item in jobs(context, cli.params[0], "jo")]
    assert found == (["job"] if revision == HEAD else [])
    assert _disk(world) == before


def test_what_a_killed_run_left_is_read_and_stays(world: World) -> None:
    """The write-ahead log of a run that was killed belongs to what is shown, and is not written into the ledger."""
    _old_ledger(world, HEAD)
    writer = sqlite3.connect(world.ledger_path)
    writer.execute("UPDATE jobs SET message = 'in the log only'")
    writer.commit()
    for path in list(world.place.glob("ledger.db*")):
        (world.place / path.name.replace("ledger", "copy")).write_bytes(path.read_bytes())
    writer.close()
    ledger, log = (world.place / name for name in ("copy.db", "copy.db-wal"))
    before = ledger.read_bytes(), log.read_bytes()
    with reading(ledger) as book:
        assert [job.message for job in book.jobs.all()] == ["in the log only"]
    assert (ledger.read_bytes(), log.read_bytes()) == before


def test_following_sees_what_a_later_run_writes(world: World) -> None:
    """A ledger that was opened while nobody used it is read anew each time, so that its next run is seen."""
    _old_ledger(world, HEAD)
    with reading(world.ledger_path, live=True) as book:
        job = book.jobs.all()[-1]
        with world.ledger() as ledger:
            ledger.runs.take(job.id, "here", 1, "1.0")
            assert book.jobs.get(job.id).event_count == job.event_count + 1
        assert book.jobs.get(job.id).event_count == job.event_count + 1


def test_a_ledger_that_changes_under_a_look_is_said(world: World) -> None:
    """Where the file was in nobody's use, and is written to before the look ends, what was read is not trusted."""
    _old_ledger(world, HEAD)

    def look_while_somebody_writes(book: Ledger) -> None:
        with book.db.snapshot(), sqlite3.connect(world.ledger_path) as connection:
            connection.execute("UPDATE jobs SET message = 'changed'")
            connection.commit()
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").close()  # moves the log into the file

    with reading(world.ledger_path) as book, pytest.raises(LedgerError, match="while it was read"):
        look_while_somebody_writes(book)


def test_a_run_that_begins_under_a_look_does_not_end_the_following(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`events --follow` and `status --watch` are for days: they look again, and leave nothing out."""
    world.pictures(3)
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run().code == 3
    monkeypatch.setattr(vl_ingest.report.history, "AT_ONCE", 3)
    with reading(world.ledger_path, live=True) as book:
        read, looks = book.events.history, list[int]()

        def read_beside_a_run(*arguments: Any, after: int, **options: Any) -> Iterator[Event]:
            looks.append(after)
            for event in read(*arguments, after=after, **options):
                yield event
                if looks == [0, 3]:
                    assert world.cli("waive", "job", "--all").code == 0
                    assert world.run().code == 0
                    looks.append(-1)

        monkeypatch.setattr(book.events, "history", read_beside_a_run)
        kinds = [event.kind for event in history(book, world.job(), [], None, follow=True)]
    assert looks[:4] == [0, 3, -1, 3], "what was read beside a run is read again"
    assert kinds == world.kinds()
    tell, told = status.job_facts, list[str]()

    def tell_beside_a_run(book: Ledger, job_id: str) -> dict[str, Any]:
        facts = tell(book, job_id)
        told.append(facts["state"])
        if len(told) == 1:
            assert world.run("--new", name="other").code == 0
        return facts

    monkeypatch.setattr(status, "job_facts", tell_beside_a_run)
    (shown,) = world.cli("status", "job", "--watch", "--json").lines
    assert told == ["ready", "ready"]
    assert shown["state"] == "ready"


def test_an_older_ledger_can_not_be_followed(world: World) -> None:
    """A copy does not change any more: following a job of an older ledger is refused, and the way out is named."""
    _old_ledger(world, "0002")
    before = _disk(world)
    for command in (["status", "job", "--watch"], ["events", "job", "--follow"]):
        ended = world.cli(*command)
        assert ended.code == 4
        assert "the next run upgrades it to" in ended.err
    assert _disk(world) == before
