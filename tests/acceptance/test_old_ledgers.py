"""A ledger of every schema revision, with its job half done, is upgraded by the next run and finishes.

Each `tests/ledgers/REVISION.sql` is what `sqlite3 .dump` wrote of a ledger whose run was killed: files sent, in
flight and pending. Its folder and its server are made again here, under the names that it knows.
"""

import sqlite3
from pathlib import Path

import pytest

from vl_ingest.ledger.database import HEAD, migration_config
from vl_ingest.proof.verify import verify_record
from world import World

DUMPS = Path(__file__).parents[1] / "ledgers"
REVISIONS = sorted(path.stem for path in DUMPS.glob("*.sql"))


def test_each_revision_has_a_ledger_and_the_program_knows_the_newest() -> None:
    """A new revision brings its ledger along, and `HEAD` names it."""
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(migration_config())
    assert {revision.revision for revision in script.walk_revisions()} == set(REVISIONS)
    assert script.get_current_head() == HEAD


@pytest.mark.parametrize("revision", REVISIONS)
def test_a_half_done_job_is_upgraded_and_finishes(world: World, revision: str) -> None:
    """The next run brings the schema up and the job to its end; what was sent is not sent again."""
    world.pictures(20)
    with sqlite3.connect(world.ledger_path) as connection:
        connection.executescript((DUMPS / f"{revision}.sql").read_text())
    connection.close()
    job = world.job()
    assert job.dataset_id is not None
    assert job.transaction_id is not None
    world.box.add_dataset(job.dataset_id, job.name, int(job.transaction_id))
    before = world.states()
    assert {"sent", "in_flight", "pending"} <= set(before.values())
    here = ["--source", str(world.folder), "--base-url", world.box.url]
    ended = world.cli("resume", job.id, *here, "--settle", "0.2s", "--json")
    assert ended.code == 0, ended.err
    assert set(world.states().values()) == {"sent"}
    received = {name for name, _, _ in world.held()}
    assert received == {path for path, state in before.items() if state != "sent"}
    assert world.box.record.triggers_accepted() == 1
    assert world.job().state == "ready"
    with world.ledger() as ledger:
        assert [check for check in verify_record(ledger, job.id) if check.held is False] == []
