"""What is sent after a request's headers: bodies of known length, and the pass over files that some of them make.

One pass does everything: the bytes are read into one buffer, hashed there and sent from there. A file is opened when
its turn comes and closed after its last byte; a check of the open file then decides, before the body goes on, whether
it is still what was promised. If not, the body ends in a `FileTrouble` and the request is incomplete by its own
Content-Length: no server can take it for whole.
"""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator, Sequence
from typing import Protocol, Self

from vl_ingest import clock
from vl_ingest.domain.errors import FileTrouble, OutcomeUnknown
from vl_ingest.domain.model import FileRow
from vl_ingest.domain.opening import Opener
from vl_ingest.domain.promised import shortened
from vl_ingest.server.form import content_type, new_boundary
from vl_ingest.server.limits import ENDED, OVERDUE
from vl_ingest.server.pace import Pace

BLOCK_BYTES = 1024 * 1024  # one read, one hash update and one send move up to this much


class Body(Protocol):
    """What a request carries. `bytes_out` counts what has been handed out."""

    content_type: str
    bytes_out: int

    def __len__(self) -> int: ...

    def read(self, size: int = -1) -> memoryview:
        """Return up to `size` bytes, empty at the end."""


class Digests:
    """SHA-256 of one file after the other.

    Attributes:
        done: hex digests of those that have ended, in order.

    """

    def __init__(self) -> None:
        self.done: list[str] = []
        self._now = hashlib.sha256()

    def update(self, piece: memoryview) -> None:
        """Take up the next bytes of a file."""
        self._now.update(piece)

    def end(self) -> None:
        """Take what comes next for the next file's."""
        self.done.append(self._now.hexdigest())
        self._now = hashlib.sha256()


class FilesBody(ABC):
    """A `multipart/form-data` body of known length that holds none of its files in memory.

    After `until`, on the monotonic clock, no more of it is handed out.

    Attributes:
        content_type: value of the Content-Type header, with the boundary.
        bytes_out: bytes handed out so far, framing included.
        file_bytes_out: those of them that are the files'.
        digests: of the files that pass.

    """

    def __init__(
        self, source: Opener, files: Sequence[FileRow], pace: Pace | None = None, until: float | None = None
    ) -> None:
        self.boundary = new_boundary()
        self.content_type = content_type(self.boundary)
        self.bytes_out = 0
        self.file_bytes_out = 0
        self.digests = Digests()
        self.files = tuple(files)
        self._source = source
        self._pace = pace
        self._until = until
        self._cancelled = False
        self._buffer = memoryview(bytearray(0))
        self._target = self._buffer  # where the next piece goes
        self._pieces = self._run()

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    def sha256s(self) -> list[str]:
        """Hex digests of the files that have passed whole, in order."""
        return self.digests.done

    @abstractmethod
    def _run(self) -> Generator[int, None, None]:
        """Write the body piece by piece into `_target`; each yield is the number of bytes just written."""

    def read(self, size: int = -1) -> memoryview:
        """Return up to `size` bytes, empty at the end; valid until the next call, which reuses the memory.

        Raises `FileTrouble` for a file that is not what was promised.
        """
        wanted = BLOCK_BYTES if size < 0 else size
        if self._pace is not None:
            wanted = self._pace.piece(wanted)
        if len(self._buffer) < wanted:
            self._buffer = memoryview(bytearray(wanted))
        count = self.readinto(self._buffer[:wanted])
        if self._pace is not None:
            self._pace.spend(count, lambda: self._cancelled)
        return self._buffer[:count]

    def readinto(self, target: memoryview) -> int:
        """Fill `target` as far as the body goes; return the number of bytes."""
        if self._cancelled:
            raise OutcomeUnknown(ENDED)
        if self._until is not None and clock.monotonic() > self._until:
            raise OutcomeUnknown(OVERDUE)
        filled = 0
        while filled < len(target):
            self._target = target[filled:]
            count = next(self._pieces, 0)
            if count == 0:
                break
            filled += count
        self.bytes_out += filled
        return filled

    def cancel(self) -> None:
        """Let the next read raise `OutcomeUnknown`, so that the request stays incomplete; from any thread."""
        self._cancelled = True

    def close(self) -> None:
        """Close the file that is open, if any."""
        self._pieces.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _write(self, data: bytes) -> Iterator[int]:
        left = memoryview(data)
        while left:
            count = min(len(left), len(self._target))
            self._target[:count] = left[:count]
            left = left[count:]
            yield count

    def _send_file(self, file: FileRow) -> Iterator[int]:
        opened = self._source.open(file.path)
        try:
            opened.check(file.facts)
            left = file.facts.size_bytes
            while left:
                piece = self._target[:left]
                count = opened.readinto(piece)
                if not count:
                    raise FileTrouble(*shortened(file.path))
                self.digests.update(piece[:count])
                self.file_bytes_out += count
                left -= count
                yield count
            opened.check(file.facts)
        finally:
            opened.close()
        self.digests.end()


class BytesBody:
    """A body that is there already, of any type."""

    def __init__(self, content: bytes, content_type: str) -> None:
        self.content_type = content_type
        self.bytes_out = 0
        self._content = memoryview(content)

    def __len__(self) -> int:
        return len(self._content)

    def read(self, size: int = -1) -> memoryview:
        """Return up to `size` bytes, empty at the end."""
        begin = self.bytes_out
        self.bytes_out = len(self) if size < 0 else min(len(self), begin + size)
        return self._content[begin : self.bytes_out]
