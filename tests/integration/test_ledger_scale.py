"""A million files: what the ledger does with each statement, and the schema that it makes at once."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from vl_ingest.domain.errors import FileTrouble
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import AttemptOutcome, BatchState, Facts, FileState, Found, JobState, Run
from vl_ingest.ledger import Ledger
from vl_ingest.ledger import database as db
from vl_ingest.ledger.exchange import Claim, Receipt


class Plans:
    """Every statement that an engine is given from now on, with SQLite's plan for it."""

    def __init__(self, ledger: Ledger) -> None:
        self.seen: list[tuple[str, str]] = []
        sa.event.listen(ledger.db._engine, "before_cursor_execute", self._explain)

    def _explain(
        self,
        connection: sa.Connection,
        _cursor: object,
        statement: str,
        parameters: Any,
        _context: object,
        many: bool,
    ) -> None:
        if not statement.startswith(("SELECT", "UPDATE")):
            return  # the plan of an INSERT names scans that are made only while a foreign key is violated
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        rows = driver.execute(f"EXPLAIN QUERY PLAN {statement}", parameters[0] if many else parameters)
        self.seen.append((statement, "; ".join(row[3] for row in rows)))

    def of(self, beginning: str, table: str) -> list[str]:
        """Return the plans of the statements that begin so and speak of a table."""
        return [
            plan for statement, plan in self.seen if statement.startswith(beginning) and table in statement
        ]


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Return a fresh ledger in a real file."""
    with Ledger(tmp_path / "ledger.db") as book:
        yield book


@pytest.fixture
def run(ledger: Ledger) -> Run:
    """Return a run on a job with an open transaction and some files."""
    job = ledger.jobs.get_or_create("/source", "name", "http://server", {})
    run = ledger.runs.take(job.id, "host", 1, "test")
    ledger.files.add(run, [Found(f"{n}.png", Facts(10, n)) for n in range(40)])
    dataset, transaction = {"dataset_id": "d"}, {"transaction_id": "1"}
    ledger.jobs.step(job.id, run, JobState.CREATED, EventKind.DATASET_CREATED, dataset, **dataset)
    ledger.jobs.step(
        job.id, run, JobState.DATASET_CREATED, EventKind.TRANSACTION_OPENED, transaction, **transaction
    )
    return run


def test_no_statement_of_a_run_scans_the_files(ledger: Ledger, run: Run) -> None:
    """Finding, claiming, sending, failing, splitting, counting: each goes through an index."""
    plans = Plans(ledger)
    files, batches, job = ledger.files, ledger.batches, run.job_id
    files.add(run, [Found(f"{n}.png", Facts(10, n)) for n in range(35, 45)])
    files.count_unknown_paths(job, ["1.png", "new.png"])
    pending = files.pending(job, 0, 30)
    (batch,) = batches.exchange(
        run,
        "1",
        [],
        [Claim(pending[:10])],
        [(pending[10], FileTrouble(pending[10].path, FileState.MISSING, "gone"))],
    )
    batches.record_failure(run, batch, AttemptOutcome.UNKNOWN, 500, "trouble")
    batch = batches.begin_attempt(run, batch)
    first, second = batches.split(run, batch, [batch.files[:5], batch.files[5:]], "trouble")
    first = batches.begin_attempt(run, first)
    batches.exchange(run, "1", [Receipt(first, ["0" * 64] * 5, 202)], [])
    changed = second.files[0]
    rest = batches.supersede(
        run, second, [(changed, FileTrouble(changed.path, FileState.CHANGED, "changed"), Facts(1, 1))]
    )
    assert rest is not None
    batches.conclude(run, rest, BatchState.FAILED, FileState.REJECTED, "no")
    assert batches.exchange(run, "1", [], [Claim(files.pending(job, 0, 5))])
    batches.abandon_in_flight(run, died=True)
    ledger.decisions.waive(job, ["10.png"], "test")
    files.any_wanted(job)
    files.possibly_twice(job)
    files.changed_after(job)
    files.taken_as_delivered(job)
    ledger.versions.changed(job, [f"{n}.png" for n in range(40)])
    assert files.in_folder(job, 0, 5)
    list(files.rows(job, FileState.REJECTED))
    ledger.listing.sent(job, [f"{n}.png" for n in range(40)])
    assert files.counts(job)[FileState.SENT] == 5
    assert len(plans.of("UPDATE files", "files")) > 8
    scans = [
        (statement, plan) for statement, plan in plans.seen if "SCAN files" in plan or "SCAN batches" in plan
    ]
    assert not scans
    (count,) = plans.of("SELECT files.state, count", "files")
    assert "COVERING INDEX ix_files_state" in count
    assert all("ix_files_state" in plan for plan in plans.of("SELECT files.id", "LIMIT"))
    assert all("sent_as=?" in plan for plan in plans.of("SELECT files.sent_as", "files"))
    assert all("ix_files_notable" in plan for plan in plans.of("SELECT count(*)", "unknown_attempts > 0"))


def _schema(path: Path) -> dict[str, Any]:
    """Return columns, indexes and references of every table."""

    def facts(connection: sqlite3.Connection, pragma: str, table: str, after: int) -> list[str]:
        """Return what a pragma says of a table, without the numbers it gives to its rows."""
        return sorted(str(row[after:]) for row in connection.execute(f"PRAGMA {pragma}({table})"))

    with closing(sqlite3.connect(path)) as connection:
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        indexes = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        )
        return {
            "indexes": {name: sql.replace('"', "") for name, sql in indexes},
            **{
                name: [
                    facts(connection, "table_info", name, 1),
                    facts(connection, "foreign_key_list", name, 2),
                    facts(connection, "index_list", name, 2),
                ]
                for name in tables
            },
        }


def test_a_new_ledger_has_the_schema_that_the_migrations_make(tmp_path: Path) -> None:
    """A new ledger is made at once; one that has gone through every revision is no different."""
    from alembic import command

    made, migrated = tmp_path / "made.db", tmp_path / "migrated.db"
    Ledger(made).close()
    config = db.migration_config()
    with sa.create_engine(db.to_url(migrated)).connect() as connection:
        config.attributes["connection"] = connection
        with connection.begin():
            command.upgrade(config, "head")
    assert _schema(made) == _schema(migrated)
    with closing(sqlite3.connect(made)) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [(db.HEAD,)]
