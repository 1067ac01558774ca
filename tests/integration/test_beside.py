"""A large folder is walked through by a process of its own, which tells the same as a walk in this one."""

import os
import pickle
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vl_ingest import clock, program
from vl_ingest.domain.model import Found
from vl_ingest.domain.settings import Settings
from vl_ingest.source import LeftOut, Source, beside, scanner
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


def told(*what: object) -> str:
    """Return the code of a program that says this when it has been asked."""
    said = b"".join(map(pickle.dumps, what))
    return f"import sys; sys.stdin.buffer.read(); sys.stdout.buffer.write({said!r})"


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


def tell(folder: Folder, settings: Settings, *, by_two: bool) -> Told:
    """Scan, and return what was found and what was not."""
    scan = Scanner(folder, settings, clock.now())
    scan.beside = by_two
    return list(scan.found()), scan.left_out, scan.unread


SETTINGS = (Settings(), Settings(recursive=False), Settings(min_size_bytes=7, newer_than_s=3600.0))


@pytest.mark.parametrize("settings", SETTINGS)
def test_it_tells_the_same(
    folder: Folder, settings: Settings, started: list["subprocess.Popen[bytes]"]
) -> None:
    """The same files in the same order, with what they are, and the same reasons for the others."""
    found, left_out, unread = tell(folder, settings, by_two=True)
    assert len(started) == 1
    assert (found, left_out, unread) == tell(folder, settings, by_two=False)
    assert len(found) > BEGINNING
    assert left_out


def test_a_small_folder_needs_none(tmp_path: Path, started: list["subprocess.Popen[bytes]"]) -> None:
    """A process is started only where there is more."""
    for number in range(BEGINNING):
        (tmp_path / f"{number}.png").touch()
    assert len(tell(Folder(str(tmp_path)), Settings(), by_two=True)[0]) == BEGINNING
    assert started == []


@pytest.mark.parametrize(
    "code",
    [
        "",
        "import sys; sys.stdin.buffer.read()",
        "print('nonsense')",
        "print('I beg your pardon?')",
        told(None),
        told([], [], 3),
        told([()], 1),
        "import time; time.sleep(600)",
    ],
)
def test_one_that_dies_or_makes_no_sense_is_done_without(
    folder: Folder, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The walk goes on in this process."""
    monkeypatch.setattr(beside, "UP_AFTER_S", 0.5)
    instead(monkeypatch, code)
    assert tell(folder, Settings(), by_two=True) == tell(folder, Settings(), by_two=False)


@pytest.mark.parametrize("python", ["/nowhere/python", "", None])
def test_no_program_at_all(folder: Folder, python: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not known where Python is: the walk goes on in this process."""
    monkeypatch.setattr(sys, "executable", python)
    assert tell(folder, Settings(), by_two=True) == tell(folder, Settings(), by_two=False)


def test_names_that_would_be_others_there(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that reads names in another encoding says nothing."""
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "koi8-r")
    assert tell(folder, Settings(), by_two=True) == tell(folder, Settings(), by_two=False)


def test_one_that_dies_later_leaves_nothing_out(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it had told is told again; what does not join is counted once."""
    found, left_out, _ = tell(folder, Settings(), by_two=False)
    items = [*folder.walk(Filters(Settings()))]
    instead(monkeypatch, told(*([plain(item)] for item in items[:-1])))
    found_then, left_out_then, _ = tell(folder, Settings(), by_two=True)
    assert set(found_then) == set(found)
    assert len(found_then) > len(found), "some have been told twice"
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
    with program.start(beside.__file__, os.getpid(), **pipes) as process:
        assert process.stdout is not None
        process.stdout.close()
        _, said = process.communicate(
            pickle.dumps((sys.getfilesystemencoding(), folder, Filters(Settings())))
        )
    assert said == b""
    assert process.returncode == 0


class Between:
    """Does something before the second walk, and something else after it."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, before: Callable[[], object], after: Callable[[], object]
    ) -> None:
        self._walk, self._before, self._after = beside.walk, before, after
        monkeypatch.setattr(beside, "walk", self)

    def __call__(self, source: Source, filters: Filters) -> Iterator[Found | LeftOut]:
        self._before()
        items = list(self._walk(source, filters))
        self._after()
        yield from items


def drop(place: Path) -> None:
    """Let a folder be as one whose disk is away."""
    place.rename(f"{place}-away")
    place.mkdir()


def come_back(place: Path) -> None:
    """Let it be there again."""
    place.rmdir()
    Path(f"{place}-away").rename(place)


def test_a_disk_that_is_away_for_a_moment_is_not_an_empty_folder(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has been seen and is not come to again says so; the first walk goes on."""
    place = Path(folder.address)
    Between(monkeypatch, lambda: drop(place), lambda: come_back(place))
    assert tell(folder, Settings(), by_two=True) == tell(folder, Settings(), by_two=False)


@pytest.mark.parametrize("name", [".", "deep", "deep/er"])
@pytest.mark.parametrize(("files", "to_come"), [(0, [2]), (BEGINNING, [1, 2])])
def test_a_disk_that_stays_away_is_missed(
    tmp_path: Path, name: str, files: int, to_come: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The folder's own, or one in it; whether the walk has seen a file of it, or is about to."""
    place = tmp_path / "pictures"
    for number in range(9):
        for path in (place / f"{number}.png", place / f"deep/er/{number % 3}/{number}.png"):
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.parent != place or number < files:
                path.touch()
    disk = place / name
    Between(monkeypatch, lambda: drop(disk), lambda: None)
    unread = tell(Folder(str(place)), Settings(), by_two=True)[2]
    assert unread == [f"deep/er/{number} (No such file or directory)" for number in to_come]


def test_what_is_deleted_meanwhile_is_gone(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was seen and removed is no reason to hold anything."""
    Between(monkeypatch, Path(folder.address, "00.png").unlink, lambda: None)
    found, left_out, unread = tell(folder, Settings(), by_two=True)
    found_later, left_out_later, _ = tell(folder, Settings(), by_two=False)
    assert unread == []
    assert left_out == left_out_later
    assert {item.path for item in found} == {"00.png", *(item.path for item in found_later)}


def test_a_folder_that_can_not_be_read_is_told_of_once(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though both walks come to it, or only the second one under a name that was a file's."""
    unread = LeftOut("00.png", "Permission denied", unread=True)

    def walk(source: Source, filters: Filters) -> Iterator[Found | LeftOut]:
        yield from (unread if item.path == unread.path else item for item in source.walk(filters))

    monkeypatch.setattr(beside, "walk", walk)
    assert tell(folder, Settings(), by_two=True)[2] == ["00.png (Permission denied)"]


@pytest.mark.parametrize("comes_back", [True, False])
def test_nothing_is_processed_of_a_folder_that_was_away(
    world: World, monkeypatch: pytest.MonkeyPatch, *, comes_back: bool
) -> None:
    """The run sends all if it can, or holds."""
    for number in range(15):
        world.picture(f"{number % 3}/{number:02}.png", number)
    Between(monkeypatch, lambda: drop(world.folder), lambda: come_back(world.folder) if comes_back else None)
    ended = world.run("--processes", "1")
    assert ended.code == (0 if comes_back else 3), ended.err
    if not comes_back:
        assert world.box.record.triggers_accepted(world.job().dataset_id or "none") == 0
        come_back(world.folder)
        assert world.run().code == 0
    world.check_promises()
    assert len(world.files()) == 15


def test_patterns_need_what_such_a_process_does_not_find(
    world: World, started: list["subprocess.Popen[bytes]"]
) -> None:
    """With them this process walks."""
    world.pictures(15)
    assert world.run("--processes", "1", "--exclude", "*7.png").code == 0
    assert started == []
    assert len(world.files()) == 14


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it ends when it has something to tell")
def test_it_ends_with_the_process_that_follows_it(tmp_path: Path) -> None:
    """Even if it is waiting for a disk."""
    asked, kept_open = os.pipe()  # its standard input, which nobody closes
    parent = (
        "import os, sys; from vl_ingest import program;"
        f"process = program.start({beside.__file__!r}, os.getpid(), stdin={asked});"
        "print(process.pid, flush=True); sys.stdin.read(); os._exit(0)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", parent],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path, pass_fds=(asked,),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        time.sleep(1)  # it waits for the request by now
        assert Path(f"/proc/{pid}").exists()
        assert process.stdin is not None
        process.stdin.close()
    deadline = time.monotonic() + 30
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    for descriptor in (asked, kept_open):
        os.close(descriptor)
    assert time.monotonic() < deadline


def test_each_file_is_sent_once(world: World, started: list["subprocess.Popen[bytes]"]) -> None:
    """Whoever walks."""
    world.pictures(15)
    assert world.run("--processes", "1").code == 0
    assert len(started) == 1
    world.check_promises()


def test_each_file_is_sent_once_whatever_becomes_of_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """It tells of some files, of one what that is not, and is no more."""
    files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in world.pictures(15)[6:9]]
    files[0] = (files[0][0], 1, 1)
    instead(monkeypatch, told(files))
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
