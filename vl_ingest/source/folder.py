"""A folder on a disk: the one source there is."""

import errno
import io
import itertools
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import attrgetter

from vl_ingest.domain.errors import FileTrouble, UsageError
from vl_ingest.domain.model import UNSEEN, Facts, FileState, Found
from vl_ingest.domain.naming import path_to_text
from vl_ingest.domain.opening import OpenedFile
from vl_ingest.domain.promised import (
    ANYBODY_READS,
    OPEN_FLAGS,
    deviation,
    forbidden,
    inaccessible,
    irregular,
)
from vl_ingest.source import LeftOut
from vl_ingest.source.filters import Filters, is_hidden

# Entries of one folder, so that memory stays flat: the first soon, and then as many as may be. The ledger looks files up
# by name; where those that come together lie far apart, each costs it a page of its own.
SORTED_FIRST, SORTED_TOGETHER = 10_000, 50_000


@dataclass(frozen=True)
class Folder:
    """A folder by its real path, which is its address. Links are followed."""

    address: str
    _identity: tuple[int, int] | None = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_identity", _identity(self.address))

    @classmethod
    def at(cls, name: str) -> "Folder":
        """Return the folder that a person names. Raises `UsageError` if there is none."""
        if not name:  # an unset variable of a script, not the current folder
            raise UsageError("The name of the folder is empty. Write `.` for the current one.")
        folder = cls(os.path.realpath(os.path.expanduser(name)))
        if os.path.isfile(folder.address):
            raise UsageError(
                f"{path_to_text(name)} is a file. Name its folder, and pick the file with `--include NAME`."
            )
        if not folder.is_there():
            raise UsageError(
                f"There is no folder {path_to_text(name)}. Check its name, and whether its disk is mounted. If it has "
                "moved, run `vl-ingest resume JOB --source PATH`."
            )
        return folder

    @property
    def folder(self) -> str:
        """Its address: whoever knows that can open the files."""
        return self.address

    def is_there(self) -> bool:
        """Return whether there is such a folder now, and none that has taken the place of the first."""
        now = _identity(self.address)
        return now is not None and self._identity in (None, now)

    def walk(self, filters: Filters) -> Iterator[Found | LeftOut]:
        """Yield what lies in it, folder after folder; only huge folders (`SORTED_TOGETHER`) come in blocks."""
        waiting: list[tuple[str, tuple[tuple[int, int], ...]]] = [("", ())]  # folders, with those around them
        while waiting:
            folder, around = waiting.pop()
            place, below = f"{self.address}/{folder}", []
            try:
                seen = os.stat(place)
                identity = (seen.st_dev, seen.st_ino)
                if identity in around:
                    yield LeftOut(folder, "links that go round in circles")
                    continue
                for entry in _entries(place):
                    path = f"{folder}/{entry.name}" if folder else entry.name
                    if not _is_folder(entry, filters):
                        reason = filters.file(path)
                        yield _seen(entry, path, filters) if reason is None else LeftOut(path, reason)
                    elif reason := filters.folder(path):
                        yield LeftOut(path, reason)
                    elif entry.is_symlink() and self._is_in_here(path):
                        yield LeftOut(path, "links to folders that are in it anyway")
                    else:
                        below.append((path, (*around, identity)))
            except OSError as exc:
                if not self._was_removed(folder, around):
                    yield LeftOut(folder, exc.strerror or str(exc), unread=True)
            waiting.extend(reversed(below))

    def _was_removed(self, folder: str, around: Sequence[tuple[int, int]]) -> bool:
        """Return whether a folder that was listed is gone, out of one on the same disk that is the same still."""
        place = f"{self.address}/{folder}"
        if not folder or os.path.lexists(place):
            return False
        for identity in reversed(around):
            place = os.path.dirname(place)
            if os.path.lexists(place):
                return _identity(place) == identity and identity[0] == around[-1][0]
        return False

    def _is_in_here(self, link: str) -> bool:
        """Return whether a link's folder is one of this folder's, and not hidden: then it counts as that, whatever filters say."""
        path = self.path_of(os.path.realpath(f"{self.address}/{link}"))
        return path is not None and not is_hidden(path)  # "." is this folder itself

    def look(self, path: str) -> Facts:
        """Return what a file is now, from its entry alone: only opening it tells for sure whether it can be read."""
        place = f"{self.address}/{path}"
        try:
            seen = os.stat(place)
        except OSError as exc:
            raise self._trouble(path, exc) from exc
        if broken := irregular(path, seen):
            raise FileTrouble(*broken)
        facts = Facts(seen.st_size, seen.st_mtime_ns)
        if seen.st_mode & ANYBODY_READS != ANYBODY_READS and not os.access(place, os.R_OK):
            raise FileTrouble(*forbidden(path), facts)
        if seen.st_size == 0:
            raise FileTrouble(path, FileState.EMPTY, "has no bytes", facts)
        return facts

    def open(self, path: str) -> OpenedFile:
        """Open a file to read it once."""
        try:
            return _OpenedFile(path, os.open(f"{self.address}/{path}", OPEN_FLAGS))
        except OSError as exc:
            raise self._trouble(path, exc) from exc

    def _trouble(self, path: str, error: OSError) -> FileTrouble:
        return FileTrouble(*inaccessible(path, error, is_link=os.path.islink(f"{self.address}/{path}")))

    def path_of(self, name: str) -> str | None:
        """Return the relative path of a file that is named in any way; None for one that is not in here."""
        path = os.path.relpath(os.path.normpath(os.path.join(self.address, name)), self.address)
        outside = path == os.pardir or path.startswith(os.pardir + os.sep)
        return None if outside else path.replace(os.sep, "/")


class _OpenedFile:
    __slots__ = ("_changed_ns", "_descriptor", "_path")

    def __init__(self, path: str, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor
        self._changed_ns: int | None = None  # st_ctime_ns at the first check

    def readinto(self, target: memoryview) -> int:
        try:
            if hasattr(os, "readv"):
                return os.readv(self._descriptor, (target,))
            with io.FileIO(self._descriptor, closefd=False) as reader:  # Windows
                return reader.readinto(target) or 0
        except OSError as exc:
            raise FileTrouble(*inaccessible(self._path, exc)) from exc

    def check(self, promised: Facts) -> None:
        try:
            now = os.fstat(self._descriptor)
        except OSError as exc:
            raise FileTrouble(*inaccessible(self._path, exc)) from exc
        if broken := deviation(self._path, *promised, now, self._changed_ns):
            raise FileTrouble(*broken)
        self._changed_ns = now.st_ctime_ns

    def close(self) -> None:
        os.close(self._descriptor)


def _identity(place: str) -> tuple[int, int] | None:
    """Return what tells a folder from another one at the same place: device and inode; None where there is none."""
    try:
        seen = os.stat(place)
    except OSError:
        return None
    return (seen.st_dev, seen.st_ino) if stat.S_ISDIR(seen.st_mode) else None


def _entries(place: str) -> Iterator[os.DirEntry[str]]:
    """Yield what lies in a folder, to be looked at until the next one is asked for."""
    # Relative to a descriptor of the folder a look costs less.
    folder = (
        os.open(place, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) if os.scandir in os.supports_fd else None
    )
    try:
        with os.scandir(place if folder is None else folder) as entries:
            size = SORTED_FIRST
            while block := sorted(itertools.islice(entries, size), key=attrgetter("name"), reverse=True):
                while block:
                    yield block.pop()  # one that has been looked at holds more than its name
                size = SORTED_TOGETHER
    finally:
        if folder is not None:
            os.close(folder)


def _is_folder(entry: os.DirEntry[str], filters: Filters) -> bool:
    """Return whether the walk has to go into it; what can't be told is a folder unless its name is a file's."""
    try:
        return entry.is_dir()
    except OSError as exc:
        return exc.errno != errno.ELOOP and not filters.is_wanted_type(entry.name)


def _seen(entry: os.DirEntry[str], path: str, filters: Filters) -> Found | LeftOut:
    try:
        seen = entry.stat()
    except OSError:
        # Listed but not to be looked at (a dangling link, say): it joins, and its turn will tell.
        return Found(path, UNSEEN)
    if not stat.S_ISREG(seen.st_mode):
        return LeftOut(path, "not a regular file")
    facts = Facts(seen.st_size, seen.st_mtime_ns)
    reason = filters.facts(facts)
    return Found(path, facts) if reason is None else LeftOut(path, reason)
