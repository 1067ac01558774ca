"""An addition as one archive: an uncompressed tar that is made while it is sent.

The format is `tarfile`'s own (POSIX.1-2001, PAX): headers are made by it, and the whole is byte for byte what it
would have written. Nothing is copied to disk, and memory grows neither with a file nor with their number.
"""

import tarfile
from collections.abc import Generator, Sequence

from vl_ingest.domain.model import FileRow
from vl_ingest.domain.opening import Opener
from vl_ingest.server.body import FilesBody
from vl_ingest.server.form import part_head
from vl_ingest.server.multipart import plain_field
from vl_ingest.server.pace import Pace

ARCHIVE_NAME = "media.tar"
MOST_OCTAL = 8**11 - 1  # what a number of a header holds


class ArchiveBody(FilesBody):
    """Every file in a tar, under the name it is sent under, in the field `archive`; `auto_reindex` before it."""

    def __init__(
        self, source: Opener, files: Sequence[FileRow], pace: Pace | None = None, *, auto_reindex: bool
    ) -> None:
        super().__init__(source, files, pace)
        self._head = plain_field(
            self.boundary, "auto_reindex", "true" if auto_reindex else "false"
        ) + part_head(self.boundary, "archive", ARCHIVE_NAME, "application/x-tar")
        self._tail = f"\r\n--{self.boundary}--\r\n".encode()
        entries = sum(
            _header_bytes(file) + _padded(file.facts.size_bytes, tarfile.BLOCKSIZE) for file in files
        )
        archive = _padded(entries + 2 * tarfile.BLOCKSIZE, tarfile.RECORDSIZE)
        self._end_bytes = archive - entries
        self._length = len(self._head) + archive + len(self._tail)

    def __len__(self) -> int:
        return self._length

    def _run(self) -> Generator[int, None, None]:
        yield from self._write(self._head)
        for file in self.files:
            yield from self._write(tar_header(file))
            yield from self._send_file(file)
            size = file.facts.size_bytes
            yield from self._write(bytes(_padded(size, tarfile.BLOCKSIZE) - size))
        yield from self._write(bytes(self._end_bytes) + self._tail)


def tar_header(file: FileRow) -> bytes:
    """Return what stands before a file's bytes: a function of its name, size and time alone."""
    info = tarfile.TarInfo(file.sent_as)
    info.size = file.facts.size_bytes
    info.mtime = file.facts.mtime_ns // 1_000_000_000
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "strict")


def _header_bytes(file: FileRow) -> int:
    """Return the length of a file's header, which is made only where it needs more than one block (PAX)."""
    name, mtime_s = file.sent_as, file.facts.mtime_ns // 1_000_000_000
    numbers_fit = 0 <= mtime_s <= MOST_OCTAL and file.facts.size_bytes <= MOST_OCTAL
    if name.isascii() and len(name) <= tarfile.LENGTH_NAME and numbers_fit:
        return tarfile.BLOCKSIZE
    return len(tar_header(file))


def _padded(size_bytes: int, block_bytes: int) -> int:
    """Return the size of the whole blocks that so many bytes take."""
    return -(-size_bytes // block_bytes) * block_bytes
