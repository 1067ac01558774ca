"""Files that are written whole or not at all."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from vl_ingest.atomic import replacing


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    """Until the end of the block the old content stands; after it the new one, and nothing beside it."""
    target = tmp_path / "report.json"
    target.write_text("old")
    with replacing(target) as new:
        new.write_text("half of the ")
        assert target.read_text() == "old"
        new.write_text("new")
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("report.json", "new")]


@pytest.fixture(params=["a disk", "memory"])
def somewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """Return a folder, on a disk and where Linux keeps files in memory: that is below `/dev`, and they are files."""
    if request.param == "a disk":
        yield tmp_path
        return
    if not os.path.isdir("/dev/shm"):
        pytest.skip("there are no files in memory on this system")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def test_what_was_there_stays_when_writing_fails(somewhere: Path) -> None:
    """Half a file is never seen under its name, and leaves nothing behind."""
    target = somewhere / "report.json"
    target.write_text("old")

    def fail() -> None:
        with replacing(target) as new:
            new.write_text("half of the ")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [(path.name, path.read_text()) for path in somewhere.iterdir()] == [("report.json", "old")]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    """What it leads to is replaced, wherever that is."""
    target, link = tmp_path / "real.csv", tmp_path / "link.csv"
    target.write_text("old")
    link.symlink_to(target.name)
    with replacing(link) as new:
        new.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"
    assert sorted(tmp_path.iterdir()) == [link, target]


@pytest.mark.skipif(sys.platform == "win32", reason="it has no pipes among its files")
def test_what_is_no_file_is_written_to(tmp_path: Path) -> None:
    """A pipe that somebody reads, or a device, which a file in its place would destroy."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        with replacing(pipe) as new:
            new.write_text("new")
        assert os.read(reader, 99) == b"new"
    finally:
        os.close(reader)
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


@pytest.mark.skipif(sys.platform != "linux", reason="it has no such name for what is written to")
def test_standard_output_is_written_to(tmp_path: Path) -> None:
    """Whatever it leads to: a pipe, or a file that others write to as well."""
    program = "from pathlib import Path; from vl_ingest.atomic import replacing\nwith replacing(Path('/dev/stdout')) as new: new.write_text('new')"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert told.stdout == "new"
    log = tmp_path / "log"
    with log.open("w") as out:
        subprocess.run([sys.executable, "-c", program], stdout=out, check=True)
    assert log.read_text() == "new"
    assert list(tmp_path.iterdir()) == [log]


def test_two_writers_do_not_mix(tmp_path: Path) -> None:
    """Each writes a file of its own; the one that ends last stands."""
    target = tmp_path / "report.json"
    with replacing(target) as one, replacing(target) as other:
        one.write_text("one")
        other.write_text("other")
    assert target.read_text() == "one"
    assert list(tmp_path.iterdir()) == [target]
