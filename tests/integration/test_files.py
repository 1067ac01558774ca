"""Files that are not what they were: each has its state, none stops the others, no mixture is ever sent."""

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from vl_ingest.domain.model import FileState
from world import World

MakeWorld = Callable[..., World]


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Callable[[Path], None]], None]:
    """Return a function that arranges for something to happen to a file when half of it has been read."""

    def arrange(name: str, happens: Callable[[Path], None]) -> None:
        read, really_open = os.readv, os.open
        opened: dict[int, Path] = {}
        lock = threading.Lock()

        def note(path: str, *arguments: Any, **options: Any) -> int:
            descriptor = really_open(path, *arguments, **options)
            opened[descriptor] = Path(path)
            return descriptor

        def read_half(descriptor: int, buffers: Sequence[memoryview]) -> int:
            path = opened[descriptor]
            if path.name != name or os.lseek(descriptor, 0, os.SEEK_CUR) or len(buffers[0]) < 2:
                return read(descriptor, buffers)
            count = read(descriptor, [buffers[0][: os.fstat(descriptor).st_size // 2]])
            with lock:
                happens(path)
            return count

        monkeypatch.setattr(os, "open", note)
        monkeypatch.setattr(os, "readv", read_half)

    return arrange


def _truncate(path: Path) -> None:
    os.truncate(path, 10)


def _grow(path: Path) -> None:
    with path.open("ab") as file:
        file.write(b"more")


def _rewrite(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    with path.open("r+b") as file:
        file.write(content)


@pytest.mark.parametrize("happens", [_truncate, _grow, _rewrite])
def test_a_file_that_always_changes_while_it_is_read_is_held(
    world: World, between: Callable[[str, Callable[[Path], None]], None], happens: Callable[[Path], None]
) -> None:
    """It is requeued three times, then `changed` holds it; the others of its batches arrive whole."""
    world.pictures(6)
    between("p0003.png", happens)
    ended = world.run()
    assert ended.code == 3
    states = world.states()
    assert states.pop("p0003.png") == "changed"
    assert set(states.values()) == {"sent"}
    assert all(name != "p0003.png" for name, _, _ in world.held())
    world.check_promises(done=False)


def test_a_name_that_is_no_text_may_be_in_trouble_too(
    world: World, between: Callable[[str, Callable[[Path], None]], None]
) -> None:
    """What is recorded of it is its escaped path."""
    world.pictures(2)
    world.picture("odd.png", 7).rename(world.folder / "odd\udcff.png")
    between("odd\udcff.png", _grow)
    ended = world.run()
    assert ended.code == 3
    assert world.states()["odd\udcff.png"] == "changed"
    assert "odd\\xff.png" in ended.err
    world.check_promises(done=False)


def test_a_file_that_changes_once_while_it_is_read_is_sent_whole_in_the_end(
    world: World, between: Callable[[str, Callable[[Path], None]], None]
) -> None:
    """The first attempt is abandoned; what arrives is the new version, never a mixture."""
    world.pictures(6)
    changed: list[Path] = []

    def once(path: Path) -> None:
        if not changed:
            changed.append(path)
            world.picture("p0003.png", 54321)

    between("p0003.png", once)
    assert world.run().code == 0
    assert changed
    world.check_promises()
    assert {key[2] for key in world.held() if key[0] == "p0003.png"} == {
        file.sha256 for file in world.files() if file.path == "p0003.png"
    }
    assert {"attempt_not_delivered", "file_changed"} <= set(world.kinds())


def test_a_file_that_vanishes_between_scan_and_send(make_world: MakeWorld) -> None:
    """It is `missing`, named, and holds the job; waived, the job goes on."""
    world = make_world(faults=["upload:slow:seconds=60"])
    paths = world.pictures(30)
    with world.start("--workers", "1") as process:
        world.until(world.box.record.files, "a batch arrived", process)
        paths[-1].unlink()
        os.replace(paths[0], paths[-2])
        paths[-3].unlink()
        paths[-3].mkdir()
        world.box.clear_faults()
        out, _ = process.communicate()
    assert process.returncode == 3, out
    states = world.states()
    assert states[paths[-1].name] == "missing"
    assert states[paths[-2].name] == "sent"
    assert states[paths[-3].name] == "unreadable"
    assert world.cli("waive", "job", "--all").code == 0
    assert world.cli("resume", "job").code == 0


def test_a_file_that_was_replaced_between_scan_and_send_is_sent_as_it_is(world: World) -> None:
    """A pending file's new facts are taken up when its turn comes."""
    world.pictures(4)
    with world.box.offline():
        assert world.run("--give-up-after", "0.2s").code == 5
    world.picture("p0002.png", 4711)
    assert world.run().code == 0
    world.check_promises()


def test_a_file_changed_after_it_was_sent_is_flagged(world: World) -> None:
    """It is neither sent again nor does it hold the job; the summary says so."""
    world.pictures(4)
    (world.folder / "torn.png").write_bytes(b"no picture")
    world.run()
    world.picture("p0001.png", 9999)
    world.cli("waive", "job", "--all")
    ended = world.run()
    assert ended.code == 0
    assert ended.summary["changed_after"] == 1
    assert len(world.held()) == 4
    assert "file_changed_after" in world.kinds()


def test_a_renamed_file_is_two_files(world: World) -> None:
    """Its old path, unsent, is missing and holds the job; its new one is sent."""
    world.pictures(3)
    with world.box.offline():
        world.run("--give-up-after", "0.2s")
    (world.folder / "p0000.png").rename(world.folder / "new.png")
    assert world.run().code == 3
    assert world.states() == {
        "p0000.png": "missing",
        "p0001.png": "sent",
        "p0002.png": "sent",
        "new.png": "sent",
    }


def test_unknown_files_that_changed_since_are_sent_as_they_are_now(world: World) -> None:
    """Both versions may have arrived; both hashes are on record."""
    world.pictures(2)
    world.box.add_fault("upload:lost-answer")
    assert world.run("--give-up-after", "0.3s", "--batch-size", "2").code == 5
    before = {file.path: file.unknown_attempts for file in world.files()}
    assert all(before.values())
    world.picture("p0000.png", 777)
    world.box.clear_faults()
    assert world.run().code == 0
    with world.ledger() as ledger:
        told = [e.facts for e in ledger.events.history(world.job().id, "attempt_unknown")]
        settled = [e.facts for e in ledger.events.history(world.job().id, "unknown_settled")]
    assert "p0000.png" in told[0]["sha256"]
    assert told[0]["sha256"]["p0000.png"] != next(f.sha256 for f in world.files() if f.path == "p0000.png")
    assert any(facts["path"] == "p0000.png" for facts in settled)


def test_an_unreadable_folder_holds_the_trigger_only(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What can be read is sent; what is in there nobody knows, so processing is not started."""
    world.pictures(3)
    world.picture("locked/one.png", 50)
    scandir = os.scandir

    def guarded(path: str) -> object:
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    ended = world.run()
    assert ended.code == 3
    assert "locked" in ended.err
    assert len(world.held()) == 3
    assert world.box.record.triggers_accepted() == 0
    monkeypatch.undo()
    assert world.run().code == 0
    assert len(world.files(FileState.SENT)) == 4


def test_what_may_be_a_folder_holds_the_trigger(world: World) -> None:
    """A link that can't be followed is no file left out in silence, unless it is named like a file or excluded."""
    world.pictures(3)
    too_long = "../" + "x" * 300
    (world.folder / "album").symlink_to(too_long)
    ended = world.run()
    assert ended.code == 3
    assert "album" in ended.err
    assert world.box.record.triggers_accepted() == 0
    (world.folder / "album").rename(world.folder / "odd.png")
    (world.folder / "circle").symlink_to("circle")
    assert world.run("--exclude", "odd.png").code == 0
    assert set(world.states()) == {"p0000.png", "p0001.png", "p0002.png"}


def test_a_folder_that_can_not_be_told_may_be_excluded(world: World) -> None:
    """Leaving it out by name lets the job go on without it."""
    world.pictures(3)
    (world.folder / "album").symlink_to("../" + "x" * 300)
    assert world.run("--exclude", "album").code == 0


def test_many_empty_and_odd_things_do_not_stop_the_rest(world: World) -> None:
    """Pipes, empty files, dangling links and folders named like pictures, all at once."""
    world.pictures(3)
    os.mkfifo(world.folder / "pipe.png")
    (world.folder / "empty.jpg").touch()
    (world.folder / "dangling.jpg").symlink_to("nowhere")
    (world.folder / "folder.png").mkdir()
    ended = world.run()
    assert ended.code == 3
    assert world.states()["empty.jpg"] == "empty"
    assert world.states()["dangling.jpg"] == "missing"
    assert "pipe.png" not in world.states()
    assert len(world.held()) == 3
