"""Responses as a courier's process reads them, held against the standard library's reading."""

import io
from collections.abc import Callable
from http.client import HTTPException, HTTPResponse
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vl_ingest.couriers.response import NO_CONTENT, Garbled, Response, read_response

MOST = 1000
LONG_S = 60.0
LAST = b"0\r\nTrailer: x\r\n\r\n"  # of the chunks
PLAIN = b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}"


def coming(*pieces: bytes) -> Callable[[], bytes]:
    """Return what receives these pieces, and then the end."""
    left = iter(pieces)
    return lambda: next(left, b"")


def read(*pieces: bytes) -> Response:
    """Read what comes in these pieces."""
    return read_response(coming(*pieces), MOST, LONG_S)


class Received:
    """A connection over which everything has come."""

    def __init__(self, everything: bytes) -> None:
        self._everything = everything

    def makefile(self, _mode: str) -> io.BytesIO:
        """Return what has come."""
        return io.BytesIO(self._everything)


def as_the_library_reads(everything: bytes) -> Response:
    """Return what `http.client` makes of it."""
    response = HTTPResponse(cast("Any", Received(everything)), method="POST")
    response.begin()
    content, whole, is_over = bytearray(), True, False
    try:
        while piece := response.read1(65536):
            content += piece
            if len(content) > MOST:
                break
        else:
            whole = response.length in (None, 0)
            is_over = response.length == 0 or (response.chunked and response.isclosed())
    except HTTPException:
        whole = False
    fields = {name.lower(): response.headers[name] for name in response.headers}
    keeps = bool(is_over) and whole and not response.will_close
    return Response(response.status, response.reason, fields, bytes(content), whole, keeps)


def chunked(content: bytes, sizes: list[int]) -> bytes:
    """Return content in chunks."""
    told = b""
    for size in sizes:
        part, content = content[:size], content[size:]
        if part:
            told += b"%x;ext=1\r\n%b\r\n" % (len(part), part)
    if content:
        told += b"%X\r\n%b\r\n" % (len(content), content)
    return told + LAST


WORDS = st.text(st.characters(codec="ascii", min_codepoint=33, max_codepoint=126), min_size=1, max_size=8)


@given(
    version=st.sampled_from(["HTTP/1.1", "HTTP/1.0"]),
    status=st.sampled_from([200, 202, 204, 304, 400, 429, 503]),
    reason=WORDS,
    fields=st.dictionaries(st.sampled_from(["Date", "LOCATION", "retry-after", "Content-Type"]), WORDS),
    wish=st.sampled_from([None, "close", "keep-alive", "Keep-Alive", "Close"]),
    content=st.binary(max_size=MOST * 2),
    way=st.sampled_from(["length", "chunked", "until the end"]),
    sizes=st.lists(st.integers(1, 300), max_size=5),
    missing=st.integers(0, 30),
    cuts=st.lists(st.integers(1, 400), max_size=8),
    ending=st.sampled_from(["\r\n", "\n"]),
)
def test_a_response_is_read_as_the_library_reads_it(
    version: str, status: int, reason: str, fields: dict[str, str], wish: str | None, content: bytes, way: str,
    sizes: list[int], missing: int, cuts: list[int], ending: str,
) -> None:  # fmt: skip
    """However it comes in pieces, and wherever its content is cut off."""
    if wish is not None:
        fields = {**fields, "Connection": wish}
    body = content
    if way == "length":
        fields = {**fields, "Content-Length": str(len(content))}
    elif way == "chunked" and status not in NO_CONTENT:
        fields, body = {**fields, "Transfer-Encoding": "Chunked"}, chunked(content, sizes)
    if status in NO_CONTENT:
        body = b""
    lines = [
        f"{version} {status} {reason}",
        *(f"{name}:  {value}" for name, value in fields.items()),
        "",
        "",
    ]
    head = ending.join(lines).encode()
    everything = head + body[: max(0, len(body) - missing)]
    pieces, at = [], 0
    for size in cuts:
        pieces.append(everything[at : at + size])
        at += size
    seen = read(*filter(None, [*pieces, everything[at:]]))
    expected = as_the_library_reads(everything)
    if len(expected.content) > MOST:  # of what is beyond that, who reads in pieces has another amount
        assert len(seen.content) > MOST
        seen, expected = (one._replace(content=one.content[:MOST]) for one in (seen, expected))
    elif way == "chunked" and body and 0 < missing < len(LAST):  # the library would keep it
        expected = expected._replace(keeps=False)
    assert seen == expected


def test_what_is_said_beforehand_is_skipped() -> None:
    """Interim answers, as many as there are."""
    seen = read(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n", PLAIN)
    assert seen == (202, "Accepted", {"content-length": "2"}, b"{}", True, True)
    assert read(b"HTTP/1.1 101 Switching\r\n\r\n", PLAIN).status == 101
    with pytest.raises(Garbled, match="never comes"):
        read_response(lambda: b"HTTP/1.1 102 Processing\r\n\r\n", MOST, LONG_S)


def test_a_field_may_go_on_in_the_next_line() -> None:
    """As it could in older versions of the protocol: a page is no receipt, however its type is written."""
    seen = read(
        b"HTTP/1.1 202 x\r\nContent-Type:\r\n text/html;\r\n\tcharset=x\r\nConnection:\r\n close\r\n\r\n"
    )
    assert seen.fields == {"content-type": "text/html; charset=x", "connection": "close"}
    assert not seen.keeps


def test_what_any_of_several_fields_says_of_the_connection_counts() -> None:
    """It is closed where one of them says so."""
    head = b"HTTP/1.1 202 x\r\nConnection: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
    assert not read(head).keeps


def test_a_chunk_that_is_longer_than_it_says_ends_the_content() -> None:
    """What follows could be taken for the next answer."""
    seen = read(b"HTTP/1.1 202 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabMORE\r\n0\r\n\r\n")
    assert seen[3:] == (b"ab", False, False)


@pytest.mark.parametrize("ending", [b"0", b"0\r\n", b"0\r\nField: x\r\n", b"0\r\n" + b"a: b\r\n" * 200])
def test_content_is_whole_with_its_last_chunk(ending: bytes) -> None:
    """Some servers end there, and this is a receipt; another request does not go over what they leave."""
    seen = read(b"HTTP/1.1 202 x\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n" + ending)
    assert seen[3:] == (b"{}", True, False)


def test_the_first_of_two_fields_counts() -> None:
    """As for the library."""
    assert read(b"HTTP/1.1 429 Wait\r\nRetry-After: 7\r\nretry-after: 9\r\n\r\n").fields == {
        "retry-after": "7"
    }


def test_a_connection_over_which_more_came_is_not_kept() -> None:
    """It would be taken for the next answer."""
    assert read(PLAIN).keeps
    assert not read(PLAIN + b"HTTP").keeps


@pytest.mark.parametrize("size", range(len(PLAIN) - 2))
def test_a_head_that_is_cut_off_says_nothing(size: int) -> None:
    """Not even a status, which might be that of the receipt."""
    with pytest.raises(Garbled, match="closed connection without response"):
        read(*([PLAIN[:size]] if size else []))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"SSH-2.0-x",
        b"HTTP/2 202 x",
        b"HTTP/1.1",
        b"HTTP/1.1 20 x",
        b"HTTP/1.1 2020 x",
        b"HTTP/1.1 2x2 x",
        b"HTTP/1.1 099 x",
    ],
)
def test_what_is_no_response_is_said_to_be_none(line: bytes) -> None:
    """Whatever listens there."""
    with pytest.raises(Garbled, match="not an HTTP response"):
        read(line + b"\r\n\r\n")


@pytest.mark.parametrize("size", [b"", b"-5", b"0x5", b"5_0", b"+5", b"g"])
def test_a_chunk_without_a_size_ends_the_content(size: bytes) -> None:
    """The status stands, and the connection is not kept."""
    seen = read(
        b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n" + size + b"\r\nx\r\n"
    )
    assert seen[3:] == (b"ab", False, False)


@pytest.mark.parametrize("length", ["-1", "+2", "²", "2 2", "9" * 5000])
def test_a_length_that_is_none_leaves_the_end_to_say_it(length: str) -> None:
    """As for the library."""
    seen = read(f"HTTP/1.1 202 Accepted\r\nContent-Length: {length}\r\n\r\nab".encode("latin-1"))
    assert seen[3:] == (b"ab", True, False)


def test_a_server_that_says_too_much_is_not_listened_to() -> None:
    """Lines without an end, heads without one, and content that nobody wants."""
    with pytest.raises(Garbled, match="too long"):
        read_response(lambda: b"x" * 1000, MOST, LONG_S)
    with pytest.raises(Garbled, match="more than 100 lines"):
        read_response(coming(b"HTTP/1.1 202 Accepted\r\n" + b"a: b\r\n" * 101), MOST, LONG_S)
    head = b"HTTP/1.1 202 Accepted\r\nContent-Length: 1000000\r\n\r\n"
    said = iter([head])
    seen = read_response(lambda: next(said, b"x" * 600), MOST, LONG_S)
    assert len(seen.content) == 1200
    assert (seen.whole, seen.keeps) == (True, False)


def test_trouble_in_the_content_leaves_the_status() -> None:
    """A connection that breaks, or a time-out."""

    def receive() -> bytes:
        if said:
            return said.pop()
        raise TimeoutError

    said = [PLAIN[:-1]]
    assert read_response(receive, MOST, LONG_S) == (
        202,
        "Accepted",
        {"content-length": "2"},
        b"{",
        False,
        False,
    )
    with pytest.raises(TimeoutError):
        read_response(receive, MOST, LONG_S)


def test_what_never_ends_is_given_up() -> None:
    """However slowly it comes, and however patient each wait is."""
    assert read_response(coming(PLAIN), MOST, -1.0).whole
    with pytest.raises(TimeoutError):
        read_response(coming(PLAIN[:5], PLAIN[5:]), MOST, -1.0)
    head = b"HTTP/1.1 202 Accepted\r\nContent-Length: 100\r\n\r\n"
    said = iter([head])
    seen = read_response(lambda: next(said, b"x"), MOST, -1.0)
    assert seen[3:] == (b"", False, False)
