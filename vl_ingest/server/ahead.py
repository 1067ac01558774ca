"""One body of many files: one thread reads, one hashes what was read before, and one sends what was hashed before that.

Where one request carries everything, reading, hashing and sending would wait for each other; the first round has several
requests for that.
"""

import queue
import threading
from collections.abc import Sequence
from typing import NamedTuple, Self

from vl_ingest.domain.errors import OutcomeUnknown
from vl_ingest.server.body import Digests, FilesBody
from vl_ingest.server.limits import ENDED

BUFFERS = 8  # one is sent, one is hashed, one is filled, and some wait
BUFFER_BYTES = 512 * 1024


class _Piece(NamedTuple):
    """What was read at once, how far the files were then, and what of it is to be hashed; `hashes` were whole by its end."""

    buffer: memoryview
    size: int
    file_bytes: int
    noted: "Sequence[memoryview | None]"
    hashes: int = 0


class _Notes(Digests):
    """What is to be hashed; None where a file ends."""

    def __init__(self) -> None:
        super().__init__()
        self.noted: list[memoryview | None] = []

    def update(self, piece: memoryview) -> None:
        self.noted.append(piece)

    def end(self) -> None:
        self.noted.append(None)

    def take(self) -> list[memoryview | None]:
        """Return what was noted since the last time."""
        taken, self.noted = self.noted, []
        return taken


class ReadAhead:
    """Hands out what `body` holds, and counts, of that, what it has handed out; for one thread, but for `cancel`.

    Attributes:
        content_type: as of the body.
        bytes_out: bytes handed out so far, framing included.
        file_bytes_out: those of them that are the files'.

    """

    def __init__(self, body: FilesBody) -> None:
        self.content_type = body.content_type
        self.bytes_out = 0
        self.file_bytes_out = 0
        self._body = body
        self._notes = body.digests = _Notes()
        self._digests = Digests()
        self._hashes = 0
        self._left = memoryview(b"")
        self._given: _Piece | None = None  # what is handed out
        self._free: queue.SimpleQueue[memoryview | None] = queue.SimpleQueue()
        self._filled: queue.SimpleQueue[_Piece | BaseException] = queue.SimpleQueue()
        self._full: queue.SimpleQueue[_Piece | BaseException] = queue.SimpleQueue()
        self._cancelled = False
        self._threads: list[threading.Thread] = []

    def __len__(self) -> int:
        return len(self._body)

    @property
    def sha256s(self) -> list[str]:
        """Hex digests of the files that were handed out whole, in order."""
        return self._digests.done[: self._hashes]

    def read(self, size: int = -1) -> memoryview:
        """Return up to `size` bytes, empty at the end; valid until the next call, which reuses the memory.

        Raises `FileTrouble` for a file that is not what was promised, when everything before it was handed out.
        """
        if self._cancelled:
            raise OutcomeUnknown(ENDED)
        if not self._threads:
            for task, name in ((self._read, "read ahead"), (self._hash, "hash ahead")):
                thread = threading.Thread(target=task, name=name, daemon=True)
                thread.start()
                self._threads.append(thread)
            for _buffer in range(BUFFERS):
                self._free.put(memoryview(bytearray(BUFFER_BYTES)))
        if not self._left:
            self._next()
        piece = self._left if size < 0 else self._left[:size]
        self._left = self._left[len(piece) :]
        self.bytes_out += len(piece)
        return piece

    def cancel(self) -> None:
        """Let the next read raise `OutcomeUnknown`, so that the request stays incomplete; from any thread."""
        self._cancelled = True
        self._body.cancel()

    def close(self) -> None:
        """End the threads, and close the file that is open, if any."""
        self.cancel()
        self._free.put(None)
        for thread in self._threads:
            thread.join()
        self._body.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def _next(self) -> None:
        """Go on to the next piece; the one before has been sent by now, or else nobody would ask."""
        if self._given is not None:
            self._free.put(self._given.buffer)
            self.file_bytes_out, self._hashes, self._given = self._given.file_bytes, self._given.hashes, None
        got = self._full.get()
        if isinstance(got, BaseException) or not got.size:
            self._full.put(got)  # and so for ever
        if isinstance(got, BaseException):
            raise got
        if got.size:
            self._given = got
        else:
            self.file_bytes_out, self._hashes = got.file_bytes, got.hashes
        self._left = got.buffer[: got.size]

    def _read(self) -> None:
        """Fill one free buffer after the other, to the end of the body or to its first trouble."""
        body = self._body
        try:
            while (buffer := self._free.get()) is not None:
                count = body.readinto(buffer)
                self._filled.put(_Piece(buffer, count, body.file_bytes_out, self._notes.take()))
                if not count:
                    return
            raise OutcomeUnknown(ENDED)
        except BaseException as error:  # noqa: BLE001  # handed to the thread that sends, which raises it
            self._filled.put(error)

    def _hash(self) -> None:
        """Hash what was read, in its order, and hand it on; the end and any trouble, too, which are the last."""
        digests = self._digests
        try:
            while isinstance(got := self._filled.get(), _Piece):
                for piece in got.noted:
                    if piece is None:
                        digests.end()
                    else:
                        digests.update(piece)
                self._full.put(got._replace(hashes=len(digests.done)))
                if not got.size:
                    return
            self._full.put(got)
        except BaseException as error:  # noqa: BLE001  # as the reader's
            self._full.put(error)
