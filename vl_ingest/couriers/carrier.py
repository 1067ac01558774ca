"""Carries parcels over one connection of its own; for a process that does only this.

An answer that comes before the body is out is seen between two blocks. What an answer means is not decided here.
"""

import contextlib
import os
import select
import socket
import ssl
from collections.abc import Generator, Sequence
from typing import NamedTuple, Protocol
from urllib.parse import urlsplit

from vl_ingest import clock
from vl_ingest.couriers.content import BLOCK_BYTES, BrokenPromise, Content
from vl_ingest.couriers.response import read_response
from vl_ingest.domain.promised import Broken, Promised
from vl_ingest.server.form import content_type, frames, new_boundary
from vl_ingest.server.limits import ANSWER_BYTES, ENDED, KEPT_S, OVERDUE, RECEIPT_OF_UPLOAD
from vl_ingest.server.pace import Pace

PIECE_BYTES = 65536  # of an answer, read at once


class Terms(NamedTuple):
    """What all requests of a process have in common."""

    headers: tuple[tuple[str, str], ...]
    authorities: str  # a file or folder of certificates
    connect_timeout_s: float
    read_timeout_s: float


class Task(NamedTuple):
    """A parcel as a courier's process gets it."""

    number: int
    folder: str
    files: Sequence[tuple[str, str, int, int]]
    address: str
    token: str | None
    deadline_s: float | None
    until_wall_s: float | None = (
        None  # the same on the other clock, in seconds since 1970, for where that one may stand still
    )


class Trust:
    """The TLS context of a process, and the session that its next connection resumes."""

    def __init__(self, authorities: str) -> None:
        folder = os.path.isdir(authorities)
        self.context = ssl.create_default_context(
            cafile=None if folder else authorities, capath=authorities if folder else None
        )
        self.context.set_alpn_protocols(["http/1.1"])
        self.session: ssl.SSLSession | None = None


class Begun(Protocol):
    """Where it is noted what has begun."""

    def begin(self, line: int, parcel: int) -> None:
        """Note that the first byte of a parcel is about to leave."""

    def move(self, line: int, bytes_out: int) -> None:
        """Note how much of its files is out."""


class _Answered(Exception):
    """Something came from the server before the body was out."""


class Carrier:
    """One connection, kept from parcel to parcel; `line` is its number on the board."""

    def __init__(self, terms: Terms, board: Begun, line: int, pace: Pace | None) -> None:
        self._terms, self._board, self._line, self.pace = terms, board, line, pace
        self._content = Content()
        self._socket: socket.socket | None = None
        self._origin: tuple[str, str, int] | None = None
        self._used_at = 0.0
        self._is_session_kept = False  # of this connection's TLS, for the next one to resume
        self._stopped = False  # by `cut`
        self._body_is_out = False

    def close(self) -> None:
        """Give back the connection and the folder."""
        self._drop()
        self._content.close()

    def cut(self) -> None:
        """Leave the request incomplete if its body is not out yet, and begin no other; from any thread."""
        self._stopped = True
        connection = self._socket
        if connection is not None and not self._body_is_out:
            with contextlib.suppress(OSError):  # not connected any more
                socket.socket.shutdown(
                    connection, socket.SHUT_RDWR
                )  # not TLS's own: another thread may be in it

    def carry(self, task: Task, trust: Trust | None) -> tuple[object, ...]:
        """Send a parcel once; return the fields of `parcel.Carried`."""
        began = clock.monotonic()
        self._until = None if task.deadline_s is None else began + task.deadline_s
        self._until_wall_s = task.until_wall_s
        self._number, self._started, self._body_is_out, self._is_cut = task.number, False, False, False
        self._written = 0
        files = [Promised(*file) for file in task.files]
        boundary = new_boundary()
        framing = frames(boundary, [file.sent_as for file in files])
        length = sum(map(len, framing)) + sum(file.size_bytes for file in files)
        answer: tuple[object, ...] | None = None
        lost: tuple[str, bool, str | None] | None = None
        broken: tuple[Broken, ...] = ()
        keep = False
        head = self._head(task, content_type(boundary), length)
        self._head_bytes = len(head)
        pieces = self._content.pieces(files, framing, head)
        try:
            self._content.enter(task.folder, files)
            if length > BLOCK_BYTES:
                self._content.see_to(files)
            answer, keep = self._exchange(task, trust, pieces)
        except BrokenPromise as promise:
            broken = promise.broken
        except OSError as exc:
            distrust = exc.verify_message if isinstance(exc, ssl.SSLCertVerificationError) else None
            lost = (ENDED if self._stopped else str(exc) or type(exc).__name__, self._started, distrust)
        finally:
            pieces.close()
            if not keep:
                self._drop()
        self._used_at = clock.monotonic()
        return (
            answer, lost, tuple(map(tuple, broken)), bytes(self._content.digests), self._bytes_out, length, self._is_cut,
            began, self._used_at, clock.cpu(),
        )  # fmt: skip

    @property
    def _bytes_out(self) -> int:
        return max(0, self._written - self._head_bytes)

    def _head(self, task: Task, kind: str, length: int) -> bytes:
        url = urlsplit(task.address)
        lines = [
            f"POST {url.path} HTTP/1.1", f"Host: {url.netloc}", *map(": ".join, self._terms.headers),
            f"Content-Type: {kind}", f"Content-Length: {length}",
            *([] if task.token is None else [f"Authorization: Bearer {task.token}"]), "", "",
        ]  # fmt: skip
        return "\r\n".join(lines).encode("latin-1")

    def _exchange(
        self, task: Task, trust: Trust | None, pieces: Generator[memoryview, None, None]
    ) -> tuple[tuple[object, ...], bool]:
        """Return the fields of the answer, and whether the connection can be kept."""
        first = next(pieces)
        self._connect(task.address, trust)
        connection = self._socket
        assert connection is not None  # noqa: S101  # made just now
        connection.setblocking(False)
        self._board.begin(self._line, self._number)
        try:
            self._push(connection, first)
            for piece in pieces:
                self._push(connection, piece)
            self._body_is_out = True
        except _Answered:
            self._is_cut = True
        except (BrokenPipeError, ConnectionResetError) as exc:
            self._is_cut = True
            if self._stopped:
                raise
            try:
                return self._answer(connection, trust)
            except OSError:
                raise exc from None
        return self._answer(connection, trust)

    def _connect(self, address: str, trust: Trust | None) -> None:
        url = urlsplit(address)
        origin = (url.scheme, url.hostname or "", url.port or (443 if url.scheme == "https" else 80))
        if self._socket is not None and (
            origin != self._origin
            or clock.monotonic() - self._used_at > KEPT_S
            or self._is_readable(self._socket)
        ):
            self._drop()
        if self._socket is not None:
            return
        connection = socket.create_connection(origin[1:], self._terms.connect_timeout_s)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if trust is not None:
                connection = trust.context.wrap_socket(
                    connection, server_hostname=origin[1], session=trust.session
                )
        except BaseException:
            connection.close()
            raise
        self._socket, self._origin, self._is_session_kept = connection, origin, False

    def _push(self, connection: socket.socket, piece: memoryview) -> None:
        """Hand a piece to the network, as fast as it may go."""
        while piece:
            part = piece
            if self.pace is not None:
                part = piece[: self.pace.piece(len(piece))]
                self.pace.spend(len(part), self._may_not_send)
            piece = piece[len(part) :]
            if self._origin is not None and self._origin[0] == "http" and self._is_readable(connection):
                raise _Answered
            while part:
                if self._may_not_send():
                    raise ConnectionAbortedError(ENDED if self._stopped else OVERDUE)
                self._started = True
                try:
                    count = connection.send(part)
                except (BlockingIOError, ssl.SSLWantWriteError):
                    self._wait(connection, select.POLLOUT)
                except ssl.SSLWantReadError:
                    self._wait(connection, select.POLLIN)
                else:
                    self._written += count
                    self._board.move(self._line, min(self._bytes_out, self._content.file_bytes))
                    part = part[count:]

    def _may_not_send(self) -> bool:
        if self._stopped or (self._until is not None and clock.monotonic() > self._until):
            return True
        return self._until_wall_s is not None and clock.now().timestamp() > self._until_wall_s

    def _wait(self, connection: socket.socket, events: int) -> None:
        """Wait until it goes on. Raises `_Answered` where an answer comes first, `TimeoutError`."""
        plain = self._origin is not None and self._origin[0] == "http"
        poll = select.poll()
        poll.register(connection, events | select.POLLIN if plain else events)
        wait_s = self._terms.read_timeout_s
        if self._until is not None:
            wait_s = max(0.0, min(wait_s, self._until - clock.monotonic()))
        found = poll.poll(wait_s * 1000)
        if not found and not self._may_not_send():
            raise TimeoutError("timed out")
        if plain and found and found[0][1] & select.POLLIN:
            raise _Answered

    def _is_readable(self, connection: socket.socket) -> bool:
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        return bool(poll.poll(0))

    def _answer(self, connection: socket.socket, trust: Trust | None) -> tuple[tuple[object, ...], bool]:
        connection.settimeout(self._terms.read_timeout_s)
        response = read_response(
            lambda: connection.recv(PIECE_BYTES), ANSWER_BYTES, self._terms.read_timeout_s
        )
        if trust is not None and isinstance(connection, ssl.SSLSocket) and not self._is_session_kept:
            trust.session = connection.session  # a copy, each time it is read
            self._is_session_kept = True
        field = response.fields.get
        answer = (
            response.status, response.reason, field("content-type", ""), field("location"), field("retry-after"),
            field("date"), response.content, response.whole,
        )  # fmt: skip
        return answer, response.keeps and response.status == RECEIPT_OF_UPLOAD and self._body_is_out

    def _drop(self) -> None:
        """Close the connection, if there is one."""
        connection, self._socket = self._socket, None
        if connection is not None:
            connection.close()
