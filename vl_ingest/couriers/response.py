"""Reads an HTTP/1.1 response. Source: RFC 9112.

The standard library's `http.client` reads each head with its parser for e-mail. Where a request carries a few small files, that
takes a sixth of the time of the process that sends them, and half of the time that such a process needs to start.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from vl_ingest import clock

LINE_BYTES = 65536
MOST_FIELDS = 100
MOST_INTERIM = 100  # answers that only say that there will be one
SWITCHING = 101  # is one itself
MOST_DIGITS = 18  # of a length
NO_CONTENT = (204, 304)
HEX_DIGITS = b"0123456789abcdefABCDEF"


class Garbled(ConnectionError):
    """What came is no response, or not all of one."""


class Response(NamedTuple):
    """What a server said.

    Attributes:
        fields: of the head, by names in lower case; the first of each name.
        content: the beginning of the content.
        whole: nothing is missing of that.
        keeps: the connection is ready for another request.

    """

    status: int
    reason: str
    fields: Mapping[str, str]
    content: bytes
    whole: bool
    keeps: bool


def read_response(receive: Callable[[], bytes], most: int, most_s: float) -> Response:
    """Read one response. Nobody wants more than `most` bytes of its content, or waits longer than `most_s` for that.

    `receive` returns what has come since, and nothing at the end; how long the first byte may take is its affair, the head
    then may take `most_s`, too. What goes wrong after the head only leaves the content incomplete. Raises `Garbled`,
    `TimeoutError`, and what `receive` raises before the end of the head.
    """
    incoming = _Incoming(receive, most_s)
    for _ in range(MOST_INTERIM):
        version, status, reason = _first(incoming.line())
        fields = _fields(incoming)
        is_final = status >= 200 or status == SWITCHING
        incoming.give_time(begun=is_final)
        if is_final:
            break
    else:
        raise Garbled("the answer never comes, though it is announced")
    content = bytearray()
    is_over = whole = False
    try:
        for piece in _content(incoming, status, fields):
            content += piece
            if len(content) > most:
                break
        else:
            is_over = True
        whole = True
    except OSError:  # the status is known all the same
        pass
    wish = fields.get("connection", "").lower()
    may_keep = "keep-alive" in wish if version == b"HTTP/1.0" else "close" not in wish
    return Response(
        status, reason, fields, bytes(content), whole, is_over and may_keep and not incoming.is_used_up
    )


class _Incoming:
    """What comes, by lines and by bytes."""

    def __init__(self, receive: Callable[[], bytes], most_s: float) -> None:
        self._receive = receive
        self._most_s = most_s
        self._held = bytearray()
        self._is_over = False
        self._until = math.inf

    def give_time(self, *, begun: bool) -> None:
        """Let what comes next take its time anew, from now or from its first byte."""
        self._until = clock.monotonic() + self._most_s if begun else math.inf

    @property
    def is_used_up(self) -> bool:
        """Whether the connection is at its end, or more came than was asked for."""
        return self._is_over or bool(self._held)

    def give_up(self) -> None:
        """Let nothing more be expected."""
        self._is_over = True

    def line(self, *, may_be_last: bool = False) -> bytes:
        """Return a line, without its end. Raises `Garbled` where it has none, unless it `may_be_last`."""
        while (end := self._held.find(b"\n")) < 0:
            if len(self._held) > LINE_BYTES:
                raise Garbled("a line of the answer is too long")
            if not self._more():
                if not may_be_last:
                    raise Garbled("Remote end closed connection without response")
                end = len(self._held)
                break
        line = bytes(self._held[:end])
        del self._held[: end + 1]
        return line.removesuffix(b"\r")

    def exactly(self, count: int) -> Iterator[bytes]:
        """Yield so many bytes, as they come. Raises `Garbled` where there are fewer."""
        while count:
            if not self._held and not self._more():
                raise Garbled("the answer is cut off")
            piece = bytes(self._held[:count])
            del self._held[:count]
            count -= len(piece)
            yield piece

    def rest(self) -> Iterator[bytes]:
        """Yield what comes until the end."""
        while self._held or self._more():
            piece = bytes(self._held)
            self._held.clear()
            yield piece

    def _more(self) -> bool:
        if clock.monotonic() > self._until:
            raise TimeoutError("timed out")
        self._is_over = True  # also where it raises
        piece = self._receive()
        self._held += piece
        self._is_over = not piece
        self._until = min(self._until, clock.monotonic() + self._most_s)
        return bool(piece)


def _first(line: bytes) -> tuple[bytes, int, str]:
    """Return version, status and reason."""
    version, _, rest = line.partition(b" ")
    status, _, reason = rest.strip().partition(b" ")
    if not version.startswith(b"HTTP/1.") or len(status) != 3 or not status.isdigit() or status < b"100":
        raise Garbled(f"not an HTTP response: {line[:80]!r}")
    return version, int(status), reason.strip().decode("latin-1")


def _fields(incoming: _Incoming) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for _ in range(MOST_FIELDS):
        line = incoming.line().decode("latin-1")
        if not line:
            return fields
        if line[0] in " \t":  # of the field before
            fields[name] = f"{fields.get(name, '')} {line.strip()}".strip()
            continue
        name, _, value = line.partition(":")
        name = name.lower()
        if name == "connection" and name in fields:
            value = f"{fields.pop(name)}, {value}"
        fields.setdefault(name, value.strip())
    raise Garbled(f"the head of the answer has more than {MOST_FIELDS} lines")


def _content(incoming: _Incoming, status: int, fields: Mapping[str, str]) -> Iterator[bytes]:
    length = fields.get("content-length", "")
    if status in NO_CONTENT:
        return
    if fields.get("transfer-encoding", "").lower() == "chunked":
        while size := _chunk_size(incoming.line(may_be_last=True)):
            yield from incoming.exactly(size)
            if incoming.line():
                raise Garbled("a chunk of the answer is longer than it says")
        try:
            _fields(incoming)
        except OSError:  # there are servers that end here
            incoming.give_up()
    elif length.isascii() and length.isdigit() and len(length) <= MOST_DIGITS:
        yield from incoming.exactly(int(length))
    else:
        yield from incoming.rest()


def _chunk_size(line: bytes) -> int:
    size = line.partition(b";")[0].strip()
    if not size or size.strip(HEX_DIGITS):
        raise Garbled(f"no size of a chunk: {line[:80]!r}")
    return int(size, 16)
