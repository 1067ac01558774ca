"""What lies in the folder: the walk, its filters, and a look at one file."""

import errno
import itertools
import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from vl_ingest.domain.errors import UsageError
from vl_ingest.domain.model import MEDIA_TYPES, Facts, FileState, Found
from vl_ingest.domain.naming import path_to_text
from vl_ingest.domain.settings import Settings

SORTED_TOGETHER = (
    10_000  # entries of one folder; larger ones come sorted in blocks, so that memory stays flat
)

_ANYBODY_READS = stat.S_IRUSR | stat.S_IRGRP | stat.S_IROTH
_NAME = attrgetter("name")


@dataclass(frozen=True)
class Trouble:
    """Why a file can't be sent: the state it belongs in, and a reason in words."""

    state: FileState
    reason: str


def look(source: str, path: str) -> Facts | Trouble:
    """Look at one file on disk, following links."""
    place = os.path.join(source, path)
    try:
        seen = os.stat(place)
    except OSError as exc:
        if exc.errno in (errno.ENOENT, errno.ENOTDIR):
            return Trouble(FileState.MISSING, "is no longer there")
        return Trouble(FileState.UNREADABLE, exc.strerror or str(exc))
    if not stat.S_ISREG(seen.st_mode):
        kind = "a folder" if stat.S_ISDIR(seen.st_mode) else "not a regular file"
        return Trouble(FileState.UNREADABLE, f"is {kind} now")
    if seen.st_mode & _ANYBODY_READS != _ANYBODY_READS and not os.access(place, os.R_OK):
        return Trouble(FileState.UNREADABLE, "may not be read by this user")
    if seen.st_size == 0:
        return Trouble(FileState.EMPTY, "has no bytes")
    return Facts(seen.st_size, seen.st_mtime_ns)


class Scanner:
    """One walk of a job's folder.

    Attributes:
        left_out: why files did not join -> how many.
        unread: folders that could not be read, with the reason; with any, the walk is not complete.

    """

    def __init__(self, source: str, settings: Settings) -> None:
        self.left_out: Counter[str] = Counter()
        self.unread: list[str] = []
        self._source = source
        self._settings = settings
        self._included = _matcher(settings.include)
        self._excluded = _matcher(settings.exclude)
        # A type that an --include names by its extension is wanted, whatever the documented formats.
        named = (os.path.splitext(pattern)[1].lower() for pattern in settings.include)
        self._types = {*MEDIA_TYPES, *(extension for extension in named if extension.isascii() and extension)}

    def found(self) -> Iterator[Found]:
        """Yield the files that join, in an order that depends on their names alone (but for huge folders)."""
        if self._settings.files_from is not None:
            yield from self._listed(self._settings.files_from)
        else:
            yield from self._walk()

    def _walk(self) -> Iterator[Found]:
        folders: list[tuple[str, tuple[tuple[int, int], ...]]] = [("", (_identity(self._source),))]
        while folders:
            folder, ancestors = folders.pop()
            below: list[tuple[str, tuple[tuple[int, int], ...]]] = []
            for entry in self._entries(folder):
                path = f"{folder}/{entry.name}" if folder else entry.name
                if entry.name.startswith("."):
                    self.left_out["hidden"] += 1
                elif self._is_folder(entry):
                    identity = self._enterable(entry, path, ancestors)
                    if identity is not None:
                        below.append((path, (*ancestors, identity)))
                elif self._joins(path):
                    item = self._see(entry, path)
                    if item is not None:
                        yield item
            folders.extend(reversed(below))

    def _entries(self, folder: str) -> Iterator[os.DirEntry[str]]:
        try:
            with os.scandir(os.path.join(self._source, folder)) as entries:
                block: list[os.DirEntry[str]] = []
                for entry in entries:
                    block.append(entry)
                    if len(block) == SORTED_TOGETHER:
                        yield from sorted(block, key=_NAME)
                        block.clear()
                yield from sorted(block, key=_NAME)
        except OSError as exc:
            self.unread.append(f"{path_to_text(folder) or '.'} ({exc.strerror})")

    def _is_folder(self, entry: os.DirEntry[str]) -> bool:
        """Say whether the walk has to go into it; what can't be told is a folder unless its name is a file's."""
        try:
            return entry.is_dir()
        except OSError as exc:
            return exc.errno != errno.ELOOP and not self._wanted(entry.name)

    def _enterable(
        self, entry: os.DirEntry[str], path: str, ancestors: tuple[tuple[int, int], ...]
    ) -> tuple[int, int] | None:
        """Return the identity of a folder that the walk goes into, else None and count why not."""
        if not self._settings.recursive:
            self.left_out["in folders (--no-recursive)"] += 1
            return None
        if self._excluded is not None and self._excluded(path + "/"):
            self.left_out["excluded"] += 1
            return None
        if entry.is_symlink() and self._walked(os.path.realpath(os.path.join(self._source, path))):
            self.left_out["links to folders that are in it anyway"] += 1
            return None
        try:
            identity = _identity(os.path.join(self._source, path))
        except OSError as exc:
            self.unread.append(f"{path_to_text(path)} ({exc.strerror})")
            return None
        if identity in ancestors:
            self.left_out["links that go round in circles"] += 1
            return None
        return identity

    def _walked(self, folder: str) -> bool:
        """Say whether the walk comes to a folder without a link: it is below the source, and nothing hides it."""
        names = os.path.relpath(folder, self._source).split(os.sep)
        if any(name.startswith(".") for name in names):  # hidden; "..": elsewhere; ".": the source
            return False
        paths = itertools.accumulate(names, "{}/{}".format)
        return self._excluded is None or not any(self._excluded(f"{path}/") for path in paths)

    def _wanted(self, name: str) -> bool:
        return os.path.splitext(name)[1].lower() in self._types

    def _joins(self, path: str) -> bool:
        if self._excluded is not None and self._excluded(path):
            self.left_out["excluded"] += 1
        elif self._included is not None and not self._included(path):
            self.left_out["not included"] += 1
        elif not self._wanted(path):
            extension = os.path.splitext(path)[1].lower()
            short = extension if len(extension) <= 10 and extension.isprintable() else "other"
            self.left_out[f"unsupported type ({short or 'no extension'})"] += 1
        else:
            return True
        return False

    def _see(self, entry: os.DirEntry[str], path: str) -> Found | None:
        try:
            seen = entry.stat()
        except OSError:
            # Listed but not to be looked at (a dangling link, say): it joins, and its turn will tell.
            return Found(path, Facts(0, 0))
        if not stat.S_ISREG(seen.st_mode):
            self.left_out["not a regular file"] += 1
            return None
        return Found(path, Facts(seen.st_size, seen.st_mtime_ns))

    def _listed(self, list_path: str) -> Iterator[Found]:
        for name in read_list(list_path):
            path = _inside(self._source, name)
            if self._joins(path):
                facts = look(self._source, path)
                yield Found(path, facts if isinstance(facts, Facts) else Facts(0, 0))


def read_list(path: str) -> Iterator[str]:
    """Yield the names in a list file (`-`: standard input): one a line, or separated by NUL bytes."""
    try:
        with open(0 if path == "-" else path, "rb", closefd=path != "-") as file:
            rest, separator = b"", b""
            while more := file.read1(65536):  # what is there, without waiting for the rest
                rest += more
                separator = separator or (b"\0" if b"\0" in rest else b"\n" if b"\n" in rest else b"")
                if separator:
                    *names, rest = rest.split(separator)
                    yield from (os.fsdecode(name.removesuffix(b"\r")) for name in names if name.strip())
            if rest.strip():
                yield os.fsdecode(rest.removesuffix(b"\r"))
    except OSError as exc:
        raise UsageError(f"Can't read the list {path}: {exc.strerror}.") from exc


def _inside(source: str, name: str) -> str:
    path = os.path.relpath(os.path.normpath(os.path.join(source, name)), source)
    if path == os.pardir or path.startswith(os.pardir + os.sep):
        raise UsageError(f"The list names {path_to_text(name)}, which is not in {path_to_text(source)}.")
    return path.replace(os.sep, "/")


def _matcher(patterns: tuple[str, ...]) -> Callable[[str], Any] | None:
    """Return a test of relative paths against globs, in the way of .gitignore; None without any."""
    if not patterns:
        return None
    from pathspec import GitIgnoreSpec

    return GitIgnoreSpec.from_lines(patterns).match_file


def _identity(path: str) -> tuple[int, int]:
    seen = os.stat(path)
    return seen.st_dev, seen.st_ino
