"""What a parcel's request is made of: the files of a folder, read with as little work a file as can be.

A small file is read straight into the buffer that is sent, and hashed there in one call.
"""

import contextlib
import hashlib
import os
import stat
from collections.abc import Generator, Sequence

from vl_ingest.domain.promised import (
    ANYBODY_READS,
    OPEN_FLAGS,
    Broken,
    Promised,
    deviation,
    forbidden,
    inaccessible,
    shortened,
)

BLOCK_BYTES = 512 * 1024  # one read, one hash update and one send move up to this much


class BrokenPromise(Exception):
    """Files are not as promised."""

    def __init__(self, *broken: Broken) -> None:
        self.broken = broken


class Content:
    """Reads the files of one request after the other, into one buffer.

    Attributes:
        file_bytes: bytes of files in the blocks so far.
        digests: SHA-256 of the files that have passed whole, in order, one behind the other.

    """

    def __init__(self) -> None:
        self.digests = bytearray()
        self._buffer = memoryview(bytearray(BLOCK_BYTES))
        self.file_bytes = 0
        self._is_begun = False  # a block of the request has been taken
        self._entered: tuple[str, int, int] | None = None  # the folder that `_folder` is a descriptor of
        self._folder = -1

    def enter(self, folder: str, files: Sequence[Promised]) -> None:
        """Begin with a request; hold a descriptor of the folder that is there now under this name."""
        self.digests = bytearray()
        self.file_bytes = 0
        self._is_begun = False
        try:
            seen = os.stat(folder)
            entered = (folder, seen.st_dev, seen.st_ino)
            if entered != self._entered:
                self.close()
                self._folder = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                self._entered = entered
        except OSError as exc:
            raise BrokenPromise(*(inaccessible(file.path, exc) for file in files)) from exc

    def close(self) -> None:
        """Give the folder back."""
        if self._folder >= 0:
            os.close(self._folder)
            self._folder, self._entered = -1, None

    def see_to(self, files: Sequence[Promised]) -> None:
        """Look at all files before the first byte leaves: what is not as promised then costs no doubt."""
        broken = [found for file in files if (found := self._glance(file)) is not None]
        if broken:
            raise BrokenPromise(*broken)

    def _glance(self, file: Promised) -> Broken | None:
        path, folder = file.path, self._folder
        try:
            seen = os.stat(path, dir_fd=folder)
            if seen.st_mode & ANYBODY_READS != ANYBODY_READS and not os.access(path, os.R_OK, dir_fd=folder):
                return forbidden(path)
        except OSError as exc:
            return self._inaccessible(path, exc)
        return deviation(path, file.size_bytes, file.mtime_ns, seen)

    def _inaccessible(self, path: str, error: OSError) -> Broken:
        is_link = False
        with contextlib.suppress(OSError):
            is_link = stat.S_ISLNK(os.lstat(path, dir_fd=self._folder).st_mode)
        return inaccessible(path, error, is_link=is_link)

    def pieces(
        self, files: Sequence[Promised], framing: Sequence[bytes], head: bytes
    ) -> Generator[memoryview, None, None]:
        """Yield the request in blocks, each valid until the next. Raises `BrokenPromise`.

        Where one is not as promised before the first block is taken, that names all that are not.
        """
        buffer, folder, at = self._buffer, self._folder, len(head)
        buffer[:at] = head
        for file, frame in zip(files, framing, strict=False):
            path, _, size_bytes, mtime_ns = file
            if at + len(frame) > BLOCK_BYTES:
                yield self._block(at)
                at = 0
            start = at + len(frame)
            buffer[at:start] = frame
            at = start + size_bytes
            try:
                descriptor = os.open(path, OPEN_FLAGS, dir_fd=folder)
                try:
                    seen = os.fstat(descriptor)
                    if (broken := deviation(path, size_bytes, mtime_ns, seen)) is not None:
                        self._hold(broken, files)
                    changed_ns = seen.st_ctime_ns
                    if at <= BLOCK_BYTES:
                        part = buffer[start:at]
                        self._fill(path, descriptor, part, files)
                        self.digests += hashlib.sha256(part).digest()
                    else:
                        at = start
                        digest, left = hashlib.sha256(), size_bytes
                        while left:
                            if at == BLOCK_BYTES:
                                yield self._block(at)
                                at = 0
                            part = buffer[at : at + left]
                            self._fill(path, descriptor, part, files)
                            digest.update(part)
                            at += len(part)
                            left -= len(part)
                        self.digests += digest.digest()
                    seen = os.fstat(descriptor)
                    if (broken := deviation(path, size_bytes, mtime_ns, seen, changed_ns)) is not None:
                        self._hold(broken, files)
                finally:
                    os.close(descriptor)
            except OSError as exc:
                self._hold(inaccessible(path, exc), files)
        end = framing[-1]
        if at + len(end) > BLOCK_BYTES:
            yield self._block(at)
            at = 0
        buffer[at : at + len(end)] = end
        yield self._block(at + len(end))

    def _block(self, size: int) -> memoryview:
        self._is_begun = True
        return self._buffer[:size]

    def _fill(self, path: str, descriptor: int, part: memoryview, files: Sequence[Promised]) -> None:
        while part:
            count = os.readv(descriptor, (part,))
            if not count:
                self._hold(shortened(path), files)
            self.file_bytes += count
            part = part[count:]

    def _hold(self, broken: Broken | None, files: Sequence[Promised]) -> None:
        """Raise `BrokenPromise` for a file that is not as promised; with what else is not, if nothing has been sent."""
        if broken is None:
            return
        if not self._is_begun:
            self.see_to(files)
        raise BrokenPromise(broken)
