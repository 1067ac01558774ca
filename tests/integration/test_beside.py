"""A large folder is walked through by a process of its own, which tells the same as a walk in this one."""

import os
import pickle
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from vl_ingest import clock, program
from vl_ingest.domain.model import Found
from vl_ingest.domain.settings import Settings
from vl_ingest.source import LeftOut, scanner
from vl_ingest.source import beside as the_program
from vl_ingest.source.filters import Filters
from vl_ingest.source.folder import Folder
from vl_ingest.source.scanner import Scanner
from world import World

BEGINNING = 4
Told = tuple[list[Found], Counter[str], list[str]]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a folder of a few files be a large one."""
    monkeypatch.setattr(scanner, "BEGINNING", BEGINNING)


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Return the processes that are started; they must have ended in the end."""
    all_of_them: list[subprocess.Popen[bytes]] = []
    start = program.start

    def noting(*args: Any, **kwargs: Any) -> "subprocess.Popen[bytes]":
        all_of_them.append(start(*args, **kwargs))
        return all_of_them[-1]

    monkeypatch.setattr(program, "start", noting)
    yield all_of_them
    assert all(process.returncode is not None for process in all_of_them)


def plain(item: Found | LeftOut) -> object:
    """Return an item as it travels."""
    return item if isinstance(item, LeftOut) else (item.path, *item.facts)


def instead(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    """Let the process be one that does something else."""
    monkeypatch.setattr(
        program, "start", lambda *_, **files: subprocess.Popen([sys.executable, "-c", code], **files)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """Return a folder with files of all kinds."""
    place = tmp_path / "pictures"
    for name in (
        *(f"{number:02}.png" for number in range(9)),
        "00.txt", ".hidden.png", "deep/er/a.jpg", "deep/b.JPG", "deep/c.pdf", "private/d.png", "zoë \n.png",
    ):  # fmt: skip
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(name.encode())
    Path(os.fsdecode(os.fsencode(place) + b"/\xff.png")).write_bytes(b"no UTF-8")
    (place / "again").symlink_to("deep")
    (place / "gone.png").symlink_to("nowhere")
    return Folder(str(place))


def tell(folder: Folder, settings: Settings, *, beside: bool) -> Told:
    """Scan, and return what was found and what was not."""
    scan = Scanner(folder, settings, clock.now())
    scan.beside = beside
    return list(scan.found()), scan.left_out, scan.unread


SETTINGS = (
    Settings(),
    Settings(exclude=("private/", "*2.png"), include=("*.png", "*.pdf")),
    Settings(min_size_bytes=7, newer_than_s=3600.0),
)


@pytest.mark.parametrize("settings", SETTINGS)
def test_it_tells_the_same(
    folder: Folder, settings: Settings, started: list["subprocess.Popen[bytes]"]
) -> None:
    """The same files in the same order, with what they are, and the same reasons for the others."""
    told = tell(folder, settings, beside=True)
    assert len(started) == 1
    assert told == tell(folder, settings, beside=False)
    assert len(told[0]) > BEGINNING
    assert told[1]


def test_a_small_folder_needs_none(tmp_path: Path, started: list["subprocess.Popen[bytes]"]) -> None:
    """A process is started only where there is more."""
    for number in range(BEGINNING):
        (tmp_path / f"{number}.png").touch()
    assert len(tell(Folder(str(tmp_path)), Settings(), beside=True)[0]) == BEGINNING
    assert started == []


@pytest.mark.parametrize("code", ["", "import sys; sys.stdin.buffer.read()", "print('nonsense')"])
def test_one_that_dies_at_once_is_done_without(
    folder: Folder, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The walk goes on in this process."""
    instead(monkeypatch, code)
    assert tell(folder, Settings(), beside=True) == tell(folder, Settings(), beside=False)


def test_no_program_at_all(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not known where Python is: the walk goes on in this process."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert tell(folder, Settings(), beside=True) == tell(folder, Settings(), beside=False)


def test_one_that_dies_later_leaves_nothing_out(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it had told is told again; what does not join is counted once."""
    found, left_out, _ = tell(folder, Settings(), beside=False)
    items = [*folder.walk(Filters(Settings()))]
    lists = b"".join(pickle.dumps([plain(item)]) for item in items[:-1])
    instead(monkeypatch, f"import sys; sys.stdin.buffer.read(); sys.stdout.buffer.write({lists!r})")
    told, left_out_then, _ = tell(folder, Settings(), beside=True)
    assert set(told) == set(found)
    assert len(told) > len(found), "some have been told twice"
    assert left_out_then == left_out


def test_nobody_listens_any_more(folder: Folder, started: list["subprocess.Popen[bytes]"]) -> None:
    """A scan that is broken off ends the process."""
    scan = Scanner(folder, Settings(), clock.now())
    scan.beside = True
    items = scan.found()
    for _ in range(BEGINNING + 1):
        next(items)
    del items
    assert [process.returncode is not None for process in started] == [True]


def test_it_ends_without_a_word_when_nobody_reads_any_more(folder: Folder) -> None:
    """The process that it tells is killed: nobody is to see a traceback."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with program.start([], the_program.__file__, **pipes) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, said = process.communicate(pickle.dumps((folder, Filters(Settings()))))
    assert said == b""
    assert process.returncode == 0


def test_each_file_is_sent_once(world: World, started: list["subprocess.Popen[bytes]"]) -> None:
    """Whoever walks."""
    world.pictures(15)
    assert world.run("--processes", "1").code == 0
    assert len(started) == 1
    world.check_promises()


def test_each_file_is_sent_once_whatever_becomes_of_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells of some files, of one what that is not, and is no more."""
    told = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in world.pictures(15)[6:9]]
    told[0] = (told[0][0], 1, 1)
    instead(
        monkeypatch, f"import sys; sys.stdin.buffer.read(); sys.stdout.buffer.write({pickle.dumps(told)!r})"
    )
    assert world.run("--processes", "1").code == 0
    world.check_promises()


def test_threads_alone_need_no_process(world: World, started: list["subprocess.Popen[bytes]"]) -> None:
    """`--processes 0` starts none; nor does a run that knows the files."""
    world.pictures(15)
    assert world.run("--processes", "0").code == 0
    assert world.run("--processes", "1").code == 0
    assert started == []


def test_one_core_has_no_time_for_a_process(
    world: World, started: list["subprocess.Popen[bytes]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is nothing beside the one that sends."""
    monkeypatch.setattr(os, "cpu_count", lambda: 1)
    world.pictures(15)
    assert world.run().code == 0
    assert started == []
