"""A ledger that can't be used: a clear error, exit 4, nothing half-written, and nothing sent unrecorded."""

import contextlib
import io
import sqlite3
import sys

import pytest
import sqlalchemy as sa

from conftest import MakeWorld
from vl_ingest.cli import command_line
from vl_ingest.domain.errors import LedgerError
from vl_ingest.ledger import sqlite
from world import PATIENCE_S, World, call


def test_what_is_no_database_is_left_alone(world: World) -> None:
    """A file that is something else is refused, unchanged, before anything is sent."""
    world.pictures(1)
    world.ledger_path.write_bytes(b"dear diary " * 1000)
    ended = world.run()
    assert ended.code == 4
    assert "--ledger" in ended.err
    assert world.ledger_path.read_bytes() == b"dear diary " * 1000
    assert world.box.record.requests() == []


def test_a_ledger_of_a_newer_version_is_refused(world: World) -> None:
    """A schema that this version does not know is not touched."""
    world.pictures(1)
    world.run()
    with sqlite3.connect(world.ledger_path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    for ended in (world.run(), world.cli("status")):
        assert ended.code == 4
        assert "newer vl-ingest" in ended.err


def test_a_folder_in_the_ledgers_place(world: World) -> None:
    """A path that can't be a file is a clear error."""
    world.pictures(1)
    world.ledger_path.mkdir()
    assert world.run().code == 4
    assert "it is a folder. A ledger is a file: name another ledger with `--ledger" in world.cli("status").err
    assert world.box.record.requests() == []


def test_a_ledger_where_none_can_be_made(world: World) -> None:
    """A parent that is a file is a clear error, too."""
    world.pictures(1)
    (world.place / "file").touch()
    world.ledger_path = world.place / "file" / "ledger.db"
    assert world.run().code == 4


def test_a_read_only_ledger(world: World) -> None:
    """A ledger that may not be written stops the run before anything is sent."""
    world.pictures(1)
    world.run()
    requests = len(world.box.record.requests())
    url = f"sqlite:///file:{world.ledger_path}?mode=ro&uri=true"
    arguments = world.arguments("--new")
    with contextlib.redirect_stderr(io.StringIO()) as err:
        assert command_line([*arguments, "--ledger", url]) == 4
    assert "writable" in err.getvalue()
    assert len(world.box.record.requests()) == requests


def test_looking_needs_a_ledger_that_is_there(world: World) -> None:
    """A mistyped --ledger is said, not created."""
    ended = world.cli("status")
    assert ended.code == 4
    assert "There is no ledger" in ended.err
    assert not world.ledger_path.exists()


def test_a_corrupted_page_stops_the_run(world: World) -> None:
    """Damage in the middle of the file is a clear error, and the server is not asked for more."""
    world.pictures(300)
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run().code == 3
    content = bytearray(world.ledger_path.read_bytes())
    for page in range(3, len(content) // 4096):
        content[page * 4096 : page * 4096 + 4096] = b"\xa5" * 4096
    world.ledger_path.write_bytes(content)
    requests = len(world.box.record.requests())
    ended = world.run()
    assert ended.code == 4, ended.err
    assert len(world.box.record.requests()) == requests


def test_a_ledger_that_another_program_holds(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lock that does not go away is waited for, then named."""
    world.pictures(1)
    world.run()
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_S", 0.2)
    holder = sqlite3.connect(world.ledger_path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        ended = world.run("--new")
        assert ended.code == 4
        assert "Another program has locked it" in ended.err
    finally:
        holder.close()
    assert world.run("--new").code == 0


def test_a_full_disk_stops_the_run_and_nothing_is_lost(world: World) -> None:
    """When the ledger can't grow, the run stops rather than send what it can't record; later it goes on."""
    world.pictures(400)
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run("--batch-size", "50").code == 3
    world.pictures(3000, "more")
    program = (
        "import sqlalchemy as sa, sys; from vl_ingest import cli\n"
        "@sa.event.listens_for(sa.Engine, 'connect')\n"
        "def full(connection, _record):\n"
        "    pages = connection.execute('PRAGMA page_count').fetchone()[0]\n"
        "    connection.execute(f'PRAGMA max_page_count = {pages + 40}')\n"
        "sys.exit(cli.command_line(sys.argv[1:]))\n"
    )
    done = call(sys.executable, "-c", program, *world.arguments(), "--ledger", str(world.ledger_path))
    assert done.returncode == 4, done.stderr
    assert "Free some space" in done.stderr
    assert "Traceback" not in done.stderr
    world.check_promises(done=False)
    assert world.run("--on-rejected", "skip", "--batch-size", "200").code == 0
    world.check_promises()


def test_a_ledger_that_is_moved_away_is_missed(make_world: MakeWorld) -> None:
    """What would be written to it nobody would find again: the run ends with 4, and goes on once it is back."""
    world = make_world(faults=["upload:slow:seconds=0.3"])
    world.pictures(200)
    aside = world.place / "aside"
    aside.mkdir()
    with world.start() as process:
        world.until(lambda: len(world.box.record.entries("batch_accepted")) > 1, "it sends", process)
        for file in world.ledger_path.parent.glob("ledger.db*"):
            if file.is_file():
                file.rename(aside / file.name)
        _, told = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 4, told
    assert "was moved, removed or replaced while it was in use" in told
    assert not world.ledger_path.exists()
    for file in aside.iterdir():
        file.rename(world.ledger_path.parent / file.name)
    world.box.clear_faults()
    assert world.run().code == 0
    world.check_promises()


@pytest.mark.skipif(sys.platform == "win32", reason="no such limit there")
def test_an_export_that_finds_no_room_leaves_nothing(world: World) -> None:
    """Wherever in it the limit of a file's size is met: exit code 4, and no part of it stays."""
    import resource

    world.pictures(200)
    assert world.run("--batch-size", "50").code == 0
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    place = world.place / "exports"
    place.mkdir()
    codes = []
    for kib in range(60, 500, 40):
        resource.setrlimit(resource.RLIMIT_FSIZE, (kib * 1024, before[1]))
        try:
            ended = world.cli("export", "job", str(place / f"{kib}.db"))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        codes.append(ended.code)
        assert ended.code in (0, 4), ended.err
        assert [path.name for path in place.iterdir()] == ([f"{kib}.db"] if ended.code == 0 else [])
        (place / f"{kib}.db").unlink(missing_ok=True)
    assert set(codes) == {0, 4}


def test_a_write_that_fails_changes_nothing(world: World) -> None:
    """A transaction is there as a whole or not at all."""
    world.pictures(2)
    (world.folder / "torn.png").write_bytes(b"no picture")
    world.run()
    with world.ledger() as ledger:
        before = ledger.files.counts(world.job().id)

        def half_done() -> None:
            with ledger.db.write() as connection:
                connection.execute(sa.text("UPDATE files SET state = 'sent'"))
                connection.execute(sa.text("INSERT INTO nowhere VALUES (1)"))

        with pytest.raises(LedgerError):
            half_done()
        assert ledger.files.counts(world.job().id) == before
