"""A source is whatever can be walked, looked at and opened: one without a disk goes all the way."""

import hashlib
import io
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image

from vl_ingest import job as jobs
from vl_ingest.domain.choices import OnUnknown
from vl_ingest.domain.errors import FilesHeld, FileTrouble, Undecided
from vl_ingest.domain.model import Facts, FileState, Found
from vl_ingest.domain.naming import path_to_text
from vl_ingest.domain.settings import Settings
from vl_ingest.ledger import Ledger
from vl_ingest.ledger.summary import Summary
from vl_ingest.proof.rehash import verify_files
from vl_ingest.server.api import Api
from vl_ingest.server.tokens import Tokens
from vl_ingest.source import LeftOut, Source
from vl_ingest.source import folder as folders
from vl_ingest.source.filters import Filters
from vl_ingest.source.folder import Folder
from vl_ingest.upload.preview import Preview, Previewer
from world import World


class Memory:
    """A source that lies on no disk: path -> bytes, and the number of the change that made them."""

    address = "memory:pictures"
    folder = None

    def __init__(self) -> None:
        self.files: dict[str, tuple[bytes, int]] = {}
        self.opened: list[str] = []
        self.before_open: Callable[[str], None] = self.opened.append
        self._changes = 0

    def put(self, path: str, content: bytes) -> None:
        """Write a file."""
        self._changes += 1
        self.files[path] = (content, self._changes)

    def picture(self, path: str, color: int) -> None:
        """Write a small real picture."""
        written = io.BytesIO()
        Image.new("RGB", (4, 4), (color, 7, 7)).save(written, "PNG")
        self.put(path, written.getvalue())

    def is_there(self) -> bool:
        """It always is."""
        return True

    def walk(self, filters: Filters) -> Iterator[Found | LeftOut]:
        """Yield what is there by now."""
        for path in sorted(self.files):
            facts = self._facts(path)
            reason = filters.file(path, facts)
            yield Found(path, facts) if reason is None else LeftOut(path, reason)

    def look(self, path: str) -> Facts:
        """Say what is there now."""
        if path not in self.files:
            raise FileTrouble(path, FileState.MISSING, "was taken out of memory")
        return self._facts(path)

    def open(self, path: str) -> "MemoryFile":
        """Open what is there now."""
        facts = self.look(path)
        content = self.files[path][0]
        self.before_open(path)
        return MemoryFile(self, path, facts, content)

    def path_of(self, name: str) -> str | None:
        """All names are paths."""
        return None if name.startswith("../") else name

    def _facts(self, path: str) -> Facts:
        content, change = self.files[path]
        return Facts(len(content), change)


class MemoryFile:
    """A file as it was when it was opened."""

    def __init__(self, memory: Memory, path: str, facts: Facts, content: bytes) -> None:
        self._memory, self._path, self._facts, self._rest = memory, path, facts, content

    def readinto(self, target: memoryview) -> int:
        """Read on."""
        piece, self._rest = self._rest[: len(target)], self._rest[len(target) :]
        target[: len(piece)] = piece
        return len(piece)

    def check(self, promised: Facts) -> None:
        """Compare the three: promised, opened, and what is there by now."""
        if not promised == self._facts == self._memory.look(self._path):
            raise FileTrouble(self._path, FileState.CHANGED, "was written to in memory")

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def memory() -> Memory:
    """Return a source with twelve pictures, two of one name, and three files that do not join."""
    memory = Memory()
    for number in range(11):
        memory.picture(f"trip/p{number:02}.png", number)
    memory.picture("p00.png", 99)
    memory.put("notes.txt", b"no picture")
    memory.put(".hidden/p.png", b"not looked at")
    memory.picture("private/p.png", 42)
    return memory


def settings(**more: object) -> Settings:
    """Return what a run is told here."""
    told = {"batch_size": 4, "workers": 2, "settle_s": 0.3, "exclude": ("private/",), **more}
    return Settings.from_record(told)


def run(world: World, source: Source, **more: object) -> Summary:
    """Run the job."""
    with Ledger(world.ledger_path, create=True) as ledger:
        return jobs.run(ledger, Api(world.box.url, Tokens(None)), source, "job", settings(**more))


def plan(world: World, source: Source) -> tuple[Preview, list[str]]:
    """Make a dry run of the job; return what it would do, and what it doubts."""
    with Ledger(world.ledger_path, create=True) as ledger:
        job = ledger.jobs.find_by_identity(source.address, "job", world.box.url, new=False)
        previewer = Previewer(source, settings(), ledger, job, world.box.url)
        doubts = [f"{path_to_text(doubt.path)}: {doubt.state}" for doubt in previewer.doubts(lambda _: None)]
    return previewer.plan, doubts


def differing(world: World, source: Source, *, hashed: bool) -> list[str]:
    """Compare what was sent with the source; return the paths that differ."""
    told: list[str] = []
    with world.ledger() as ledger:
        check = verify_files(
            ledger, world.job(), source, hashed=hashed, differs=lambda path, _: told.append(path), progress=lambda _: None
        )  # fmt: skip
    assert check.held is not bool(told)
    return told


def test_it_is_scanned_sent_and_processed(world: World, memory: Memory) -> None:
    """All its files arrive with the bytes that it has, processing starts once, and what was left out is counted."""
    assert run(world, memory).sent == 12
    world.check_promises()
    for file in world.files():
        assert file.sha256 == hashlib.sha256(memory.files[file.path][0]).hexdigest()
    assert world.job().source == memory.address
    assert world.job().left_out == {"hidden": 1, "excluded": 1, "unsupported type (.txt)": 1}
    memory.picture("late.png", 100)
    assert run(world, memory).not_in_dataset == 1


def test_its_dry_run_says_what_the_run_then_does(world: World, memory: Memory) -> None:
    """The plan looks at it and opens it, and finds the files, the names and the doubts of the run."""
    memory.put("trip/torn.png", b"no picture")
    planned, doubts = plan(world, memory)
    assert (planned.found, planned.files, planned.renamed) == (13, 13, 1)
    assert doubts == ["trip/torn.png: wrong_type"]
    assert set(memory.opened) == {file for file in memory.files if file.startswith(("p0", "trip/"))}
    with pytest.raises(FilesHeld):
        run(world, memory)
    assert world.states() == {
        path: "rejected" if path == "trip/torn.png" else "sent" for path in set(memory.opened)
    }


def test_a_file_that_changes_while_it_is_sent_is_sent_as_it_is_then(world: World, memory: Memory) -> None:
    """The body's check asks the source; the file goes out again with its new bytes."""
    wrote: list[str] = []

    def write(path: str) -> None:
        if path == "trip/p03.png" and not wrote:
            wrote.append(path)
            memory.picture(path, 200)

    memory.before_open = write
    assert run(world, memory).sent == 12
    world.check_promises()
    row = next(file for file in world.files() if file.path == "trip/p03.png")
    assert row.sha256 == hashlib.sha256(memory.files["trip/p03.png"][0]).hexdigest()
    assert row.changes == 1


def test_what_is_unknown_is_settled_by_a_look_at_it(world: World, memory: Memory) -> None:
    """After lost answers a run looks again: what changed goes out as it is, what is gone holds the job."""
    world.box.add_fault("upload:lost-answer")
    with pytest.raises(Undecided):
        run(world, memory, on_unknown=OnUnknown.HOLD)
    assert set(world.states().values()) == {"unknown"}
    world.box.clear_faults()
    memory.picture("trip/p05.png", 201)
    del memory.files["trip/p06.png"]
    with pytest.raises(FilesHeld, match=r"trip/p06\.png: missing"):
        run(world, memory)
    rows = {file.path: file for file in world.files()}
    assert rows["trip/p05.png"].sha256 == hashlib.sha256(memory.files["trip/p05.png"][0]).hexdigest()
    assert {path for path, row in rows.items() if row.state == "missing"} == {"trip/p06.png"}
    assert sum(row.state == "sent" for row in rows.values()) == 11
    with world.ledger() as ledger:
        settled = {
            event.facts["path"]: event.facts["state"]
            for event in ledger.events.history(world.job().id, "unknown_settled")
        }
    assert {settled.pop("trip/p05.png"), settled.pop("trip/p06.png")} == {"changed", "missing"}
    assert set(settled.values()) == {"pending"}


def test_what_was_sent_is_compared_with_it(world: World, memory: Memory) -> None:
    """By size and time of change, and by reading its bytes again."""
    run(world, memory)
    assert differing(world, memory, hashed=False) == differing(world, memory, hashed=True) == []
    content, change = memory.files["trip/p01.png"]
    memory.files["trip/p01.png"] = (content[::-1], change)  # its facts do not tell
    memory.put("trip/p02.png", memory.files["trip/p02.png"][0])  # only its time does
    del memory.files["p00.png"]
    assert sorted(differing(world, memory, hashed=False)) == ["p00.png", "trip/p02.png"]
    assert sorted(differing(world, memory, hashed=True)) == ["p00.png", "trip/p01.png"]


def remove(place: Path) -> None:
    """Remove a folder with all that is in it."""
    shutil.rmtree(place)


def drop(place: Path) -> None:
    """Let a folder be as one whose disk is away."""
    place.rename(f"{place}-away")
    place.mkdir()


def take_away(place: Path) -> None:
    """Let a link that is there lead to nothing."""
    place.resolve().rename(f"{place}-away")


@pytest.mark.parametrize(
    ("does", "name", "unread"),
    [
        (remove, "deep/er/1", set()),
        (remove, "deep/er", set()),
        (remove, "deep", set()),
        (drop, ".", {"deep/er/1", "deep/er/2"}),
        (drop, "deep", {"deep/er/1", "deep/er/2"}),
        (drop, "deep/er", {"deep/er/1", "deep/er/2"}),
        (take_away, "deep/er", {"deep/er/1", "deep/er/2"}),
    ],
)
def test_a_folder_that_is_removed_during_the_walk_is_gone_and_a_disk_is_not(
    tmp_path: Path, does: Callable[[Path], None], name: str, unread: set[str]
) -> None:
    """Of the one, nothing is left to read; of the other, nobody knows."""
    place, disk = tmp_path / "pictures", tmp_path / "disk"
    for number in range(3):
        (disk / str(number)).mkdir(parents=True)
        (disk / f"{number}/{number}.png").touch()
    (place / "deep").mkdir(parents=True)
    if does is take_away:
        (place / "deep/er").symlink_to(disk)
    else:
        disk.rename(place / "deep/er")
    walk = Folder(str(place)).walk(Filters(Settings()))
    assert next(walk).path == "deep/er/0/0.png"
    does(place / name)
    assert {item.path for item in walk if isinstance(item, LeftOut) and item.unread} == unread


def test_a_huge_folder_comes_in_blocks_each_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first one is small, so that sending begins; in those behind it as many names are neighbours as may be."""
    monkeypatch.setattr(folders, "SORTED_FIRST", 5)
    monkeypatch.setattr(folders, "SORTED_TOGETHER", 20)
    names = [f"{number:03}.jpg" for number in range(50)]
    for name in names:
        (tmp_path / name).write_bytes(b"content")
    found = [item.path for item in Folder(str(tmp_path)).walk(Filters(Settings()))]
    blocks = [found[:5], found[5:25], found[25:45], found[45:]]
    assert sorted(found) == names
    assert blocks == [sorted(block) for block in blocks]


@pytest.mark.skipif(not os.path.isdir("/dev/shm"), reason="there is no second disk")
def test_a_disk_that_takes_its_mount_point_with_it_is_missed(tmp_path: Path) -> None:
    """As a desktop does with a stick that is pulled out."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as disk:
        if os.stat(disk).st_dev == os.stat(tmp_path).st_dev:
            pytest.skip("there is no second disk")
        for number in range(3):
            Path(disk, f"{number}").mkdir()
            Path(disk, f"{number}/{number}.png").touch()
        stick = tmp_path / "stick"
        stick.symlink_to(disk)
        walk = Folder(str(tmp_path)).walk(Filters(Settings()))
        assert next(walk).path == "stick/0/0.png"
        stick.unlink()
        assert [item.path for item in walk if isinstance(item, LeftOut) and item.unread] == [
            "stick/1",
            "stick/2",
        ]
