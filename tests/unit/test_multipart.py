"""The body of an upload: exactly what was promised, or visibly incomplete; and servers read the right names.

Servers' own parsers are the judges here: Starlette's (FastAPI), Django's and Werkzeug's (Flask).
"""

import asyncio
import hashlib
import io
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from itertools import cycle
from pathlib import Path

import pytest
from django.conf import settings as django_settings  # type: ignore[import-untyped]  # no stubs in the project
from django.core.files.uploadhandler import MemoryFileUploadHandler  # type: ignore[import-untyped]  # as above
from django.http.multipartparser import MultiPartParser  # type: ignore[import-untyped]  # as above
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.types import Message
from werkzeug.formparser import parse_form_data

from vl_ingest.domain.errors import FileTrouble, OutcomeUnknown
from vl_ingest.domain.model import Facts, FileRow, FileState
from vl_ingest.domain.naming import wire_name
from vl_ingest.domain.promised import CHANGED, MISSING, UNREADABLE
from vl_ingest.server.form import body_bytes
from vl_ingest.server.multipart import MultipartBody
from vl_ingest.source.folder import Folder

if not django_settings.configured:
    django_settings.configure()

Parsed = list[tuple[str | None, bytes]]
SMALL = 4096  # one read of this many bytes leaves most of a test's file unread
PROMISED = bytes(range(256)) * 256  # 64 KiB: several reads long


def put(folder: Path, path: str, content: bytes) -> FileRow:
    """Write a file below `folder` and return its row, with the facts that it has now."""
    full = os.path.join(folder, path)
    with open(full, "wb") as file:
        file.write(content)
    seen = os.stat(full)
    return FileRow(1, path, wire_name(path), Facts(seen.st_size, seen.st_mtime_ns), FileState.IN_FLIGHT)


def drain(body: MultipartBody, sizes: Sequence[int] = (SMALL,)) -> bytes:
    """Read a body to its end, with reads of these sizes in turn."""
    out = bytearray()
    for size in cycle(sizes):
        piece = body.read(size)
        assert size < 0 or len(piece) <= size
        if not piece:
            break
        out += piece
    return bytes(out)


def read_until_trouble(body: MultipartBody) -> tuple[bytes, FileTrouble]:
    """Read in small pieces until the trouble comes; return what was handed out before, and the trouble."""
    out = bytearray()
    try:
        while piece := body.read(SMALL):
            out += piece
    except FileTrouble as trouble:
        return bytes(out), trouble
    pytest.fail("the body came to its end without trouble")


def boundary_of(body: MultipartBody) -> bytes:
    """Return the boundary that the Content-Type names."""
    return body.content_type.partition("boundary=")[2].encode()


def open_below(folder: Path) -> list[str]:
    """Return the files below `folder` that this process has open, once for each descriptor."""
    targets = []
    for number in os.listdir("/proc/self/fd"):
        try:
            targets.append(os.readlink(f"/proc/self/fd/{number}"))
        except FileNotFoundError:
            continue  # the descriptor of the listing itself
    return [target for target in targets if target.startswith(f"{folder}/")]


def assert_incomplete(body: MultipartBody, out: bytes) -> None:
    """Check that a body in trouble is short by its own length, has no closing boundary, and stays so."""
    out += drain(body)  # somebody who reads on gets nothing that would complete it
    assert len(out) < len(body)
    assert b"--" + boundary_of(body) + b"--" not in out


# ---- what is promised


@settings(deadline=None)  # files are written and read; a busy disk is no failure
@given(
    contents=st.lists(st.binary(max_size=400), max_size=4),
    sizes=st.lists(st.integers(1, 700) | st.just(-1), min_size=1, max_size=5),
)
@example(contents=[], sizes=[1])
@example(contents=[b""], sizes=[1])
@example(contents=[b"\r\n--", b"x" * 400], sizes=[1])
@example(contents=[b"x" * 400] * 4, sizes=[-1])
def test_the_body_is_as_long_as_promised_for_any_read_size(contents: list[bytes], sizes: list[int]) -> None:
    """However it is read, the body is the same bytes, as many as its length says, and knows their hashes."""
    with tempfile.TemporaryDirectory() as name:
        files = [put(Path(name), f"{number}.png", content) for number, content in enumerate(contents)]
        body = MultipartBody(Folder(name), files)
        out = drain(body, sizes)
    boundary = boundary_of(body)
    expected = b"".join(
        b"--" + boundary + b'\r\nContent-Disposition: form-data; name="files"; filename="%d.png"\r\n' % number
        + b"Content-Type: image/png\r\n\r\n" + content + b"\r\n"
        for number, content in enumerate(contents)
    )  # fmt: skip
    assert out == expected + b"--" + boundary + b"--\r\n"
    assert len(body) == body.bytes_out == len(out)
    assert body.sha256s == [hashlib.sha256(content).hexdigest() for content in contents]


def test_readinto_fills_the_whole_target_until_the_end(tmp_path: Path) -> None:
    """A target is filled across headers and files, so that every block but the last is full."""
    files = [put(tmp_path, f"{number}.jpg", b"x" * 1000) for number in range(5)]
    body = MultipartBody(Folder(str(tmp_path)), files)
    target = memoryview(bytearray(701))
    counts = []
    while count := body.readinto(target):
        counts.append(count)
    assert set(counts[:-1]) == {701}
    assert sum(counts) == len(body)


def test_a_hash_is_known_only_when_its_file_has_passed_whole(tmp_path: Path) -> None:
    """A half-read file has no hash yet, so none can be recorded for it."""
    body = MultipartBody(
        Folder(str(tmp_path)), [put(tmp_path, "a.jpg", PROMISED), put(tmp_path, "b.jpg", PROMISED)]
    )
    body.read(len(PROMISED))
    assert body.sha256s == []
    body.read(len(PROMISED))
    assert body.sha256s == [hashlib.sha256(PROMISED).hexdigest()]
    body.close()


@pytest.mark.parametrize(
    ("name", "media_type"),
    [
        ("a.jpg", b"image/jpeg"),
        ("a.JPEG", b"image/jpeg"),
        ("a.png", b"image/png"),
        ("a.webp", b"image/webp"),
        ("a.MP4", b"video/mp4"),
        ("a.mov", b"video/quicktime"),
        ("a.heic", b"application/octet-stream"),
        ("jpg", b"application/octet-stream"),
    ],
)
def test_each_file_says_its_media_type(name: str, media_type: bytes, tmp_path: Path) -> None:
    """The part's Content-Type follows the extension, in either case; an unknown one is plain bytes."""
    out = drain(MultipartBody(Folder(str(tmp_path)), [put(tmp_path, name, b"x")]))
    assert b"\r\nContent-Type: " + media_type + b"\r\n\r\nx\r\n" in out


def test_every_body_has_a_boundary_of_its_own(tmp_path: Path) -> None:
    """No file can hold the boundary by being made to: nobody can know it before."""
    assert len({MultipartBody(Folder(str(tmp_path)), []).content_type for _ in range(50)}) == 50


# ---- descriptors


def test_at_most_one_file_is_open_at_a_time(tmp_path: Path) -> None:
    """However many files a batch has, one descriptor does; none is open before, nor at the end."""
    files = [put(tmp_path, f"{number}.jpg", b"x" * 5000) for number in range(20)]
    body = MultipartBody(Folder(str(tmp_path)), files)
    assert open_below(tmp_path) == []
    seen = set()
    while body.read(1000):
        now_open = open_below(tmp_path)
        assert len(now_open) <= 1
        seen.update(now_open)
    assert seen == {f"{tmp_path}/{file.path}" for file in files}
    assert open_below(tmp_path) == []


def test_an_abandoned_body_closes_its_file(tmp_path: Path) -> None:
    """Leaving the body in the middle of a file, as a cut connection does, closes that file."""
    with MultipartBody(Folder(str(tmp_path)), [put(tmp_path, "a.jpg", PROMISED)]) as body:
        body.read(SMALL)
        assert open_below(tmp_path) == [f"{tmp_path}/a.jpg"]
    assert open_below(tmp_path) == []


# ---- files that are not what was promised, when their turn comes


def write_anew(path: str) -> None:
    """Write other bytes of the same number over the file, visibly later."""
    promised = os.stat(path)
    with open(path, "r+b") as file:
        file.write(b"other")
    os.utime(path, ns=(promised.st_atime_ns, promised.st_mtime_ns + 1))


def cut(path: str) -> None:
    """Take the last byte away, and keep the time."""
    promised = os.stat(path)
    os.truncate(path, promised.st_size - 1)
    os.utime(path, ns=(promised.st_atime_ns, promised.st_mtime_ns))


def grow(path: str) -> None:
    """Add a byte, and keep the time."""
    promised = os.stat(path)
    os.truncate(path, promised.st_size + 1)
    os.utime(path, ns=(promised.st_atime_ns, promised.st_mtime_ns))


def swap(path: str) -> None:
    """Put another file of the same size in its place, the way editors save."""
    promised = os.stat(path)
    with open(path + ".new", "wb") as file:
        file.write(b"n" * promised.st_size)
    os.utime(path + ".new", ns=(promised.st_atime_ns, promised.st_mtime_ns + 1))
    os.replace(path + ".new", path)


def vanish(path: str) -> None:
    """Delete the file."""
    os.unlink(path)


def become_a_folder(path: str) -> None:
    """Put a folder in the file's place."""
    os.unlink(path)
    os.mkdir(path)


def become_a_pipe(path: str) -> None:
    """Put a named pipe in the file's place, which nobody ever writes to."""
    os.unlink(path)
    os.mkfifo(path)


def become_a_loop(path: str) -> None:
    """Put a link in the file's place that leads to itself."""
    os.unlink(path)
    os.symlink(path, path)


def become_a_dangling_link(path: str) -> None:
    """Put a link in the file's place that leads nowhere."""
    os.unlink(path)
    os.symlink(path + ".gone", path)


@pytest.mark.parametrize(
    ("spoil", "state"),
    [
        (write_anew, FileState.CHANGED),
        (cut, FileState.CHANGED),
        (grow, FileState.CHANGED),
        (swap, FileState.CHANGED),
        (vanish, FileState.MISSING),
        (become_a_dangling_link, FileState.MISSING),
        (become_a_folder, FileState.UNREADABLE),
        (become_a_pipe, FileState.UNREADABLE),
        (become_a_loop, FileState.UNREADABLE),
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_file_spoilt_before_its_turn_leaves_the_body_incomplete(
    spoil: Callable[[str], None], state: FileState, place: int, tmp_path: Path
) -> None:
    """The trouble names the file and the state it belongs in, and none of its bytes are sent."""
    files = [put(tmp_path, f"{number}.jpg", PROMISED) for number in range(3)]
    body = MultipartBody(Folder(str(tmp_path)), files)
    spoil(str(tmp_path / files[place].path))
    out, trouble = read_until_trouble(body)
    assert (trouble.path, trouble.state) == (files[place].path, state)
    assert len(body.sha256s) == place
    assert len(out) < (place + 1) * len(PROMISED)
    assert_incomplete(body, out)


# ---- files that change while they are read


def let_the_clock_tick(path: str) -> None:
    """Wait until a change of the file would show in its entry's time: the kernel's clock is coarse."""
    ticker = path + ".tick"
    while not os.path.exists(ticker) or os.stat(ticker).st_ctime_ns <= os.stat(path).st_ctime_ns:
        with open(ticker, "wb"):
            os.utime(ticker)


def write_anew_unseen(path: str) -> None:
    """Write other bytes over the end and put the time back; only the entry's own time tells."""
    let_the_clock_tick(path)
    promised = os.stat(path)
    with open(path, "r+b") as file:
        file.seek(-5, os.SEEK_END)
        file.write(b"other")
    os.utime(path, ns=(promised.st_atime_ns, promised.st_mtime_ns))


def cut_deep(path: str) -> None:
    """Take everything away that has not been read yet."""
    os.truncate(path, 1)


def swap_unseen(path: str) -> None:
    """Put another file of the same size and time in its place; the open one loses its name."""
    let_the_clock_tick(path)
    promised = os.stat(path)
    with open(path + ".new", "wb") as file:
        file.write(b"n" * promised.st_size)
    os.utime(path + ".new", ns=(promised.st_atime_ns, promised.st_mtime_ns))
    os.replace(path + ".new", path)


@pytest.mark.parametrize(
    "spoil",
    [write_anew, write_anew_unseen, cut, cut_deep, grow, swap_unseen],
    ids=lambda spoil: spoil.__name__,
)
@pytest.mark.parametrize("place", [0, 1])
def test_a_file_spoilt_while_it_is_read_leaves_the_body_incomplete(
    spoil: Callable[[str], None], place: int, tmp_path: Path
) -> None:
    """A file that changes under the reading hand is changed, its hash is not kept, and the body is cut."""
    files = [put(tmp_path, f"{number}.jpg", PROMISED) for number in range(2)]
    body = MultipartBody(Folder(str(tmp_path)), files)
    out = bytes(body.read(place * len(PROMISED) + SMALL))  # well into the file, and far from its end
    assert open_below(tmp_path) == [str(tmp_path / files[place].path)]
    spoil(str(tmp_path / files[place].path))
    rest, trouble = read_until_trouble(body)
    assert (trouble.path, trouble.state) == (files[place].path, FileState.CHANGED)
    assert len(body.sha256s) == place
    assert open_below(tmp_path) == []
    assert_incomplete(body, out + rest)


def test_a_file_deleted_while_it_is_read_is_not_taken_for_sent(tmp_path: Path) -> None:
    """The open file still has its bytes, but it is not what was promised any more once its name is gone."""
    body = MultipartBody(Folder(str(tmp_path)), [put(tmp_path, "a.jpg", PROMISED)])
    out = bytes(body.read(SMALL))
    path = str(tmp_path / "a.jpg")
    let_the_clock_tick(path)
    os.unlink(path)
    rest, trouble = read_until_trouble(body)
    assert trouble.state == FileState.CHANGED
    assert_incomplete(body, out + rest)


def test_the_trouble_says_which_file_and_why(tmp_path: Path) -> None:
    """The text of a trouble is for people: the path in the job, and what has happened to it."""
    body = MultipartBody(Folder(str(tmp_path)), [put(tmp_path, "a.jpg", PROMISED)])
    os.unlink(tmp_path / "a.jpg")
    _, trouble = read_until_trouble(body)
    assert str(trouble) == "a.jpg: is not there"
    assert isinstance(trouble.__cause__, FileNotFoundError)


# ---- what servers make of it


def read_by_starlette(content_type: str, content: bytes) -> Parsed:
    """Parse a body the way Starlette and FastAPI do."""

    async def receive() -> Message:
        return {"type": "http.request", "body": content, "more_body": False}

    async def parse() -> Parsed:
        request = Request({"type": "http", "headers": [(b"content-type", content_type.encode())]}, receive)
        async with request.form() as form:
            files = [file for file in form.getlist("files") if isinstance(file, UploadFile)]
            return [(file.filename, await file.read()) for file in files]

    return asyncio.run(parse())


def read_by_django(content_type: str, content: bytes) -> Parsed:
    """Parse a body the way Django does."""
    meta = {"CONTENT_TYPE": content_type, "CONTENT_LENGTH": str(len(content))}
    _, files = MultiPartParser(meta, io.BytesIO(content), [MemoryFileUploadHandler()], "utf-8").parse()
    return [(file.name, file.read()) for file in files.getlist("files")]


def read_by_werkzeug(content_type: str, content: bytes) -> Parsed:
    """Parse a body the way Flask does."""
    environ: Mapping[str, object] = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": content_type,
        "CONTENT_LENGTH": str(len(content)),
        "wsgi.input": io.BytesIO(content),
    }
    _, _, files = parse_form_data(dict(environ))
    parsed: Parsed = []
    for file in files.getlist("files"):
        parsed.append((file.filename, file.read()))
        file.close()
    return parsed


PARSERS = pytest.mark.parametrize("parser", [read_by_starlette, read_by_django, read_by_werkzeug])
ODD_NAMES = [
    "with several  spaces.jpg",
    " a space at both ends.jpg ",
    "new\nline.jpg",
    "carriage\rreturn.jpg",
    "a\r\nX-Header: of its own\r\n\r\nand a body.jpg",
    "tab\tand bell\x07.jpg",
    "grün.jpg",
    "gru\u0308n.jpg",
    "日本.jpg",
    "😀.jpg",
    "back\\slash.jpg",
    "C:\\fakepath\\photo.jpg",
    "ends with a backslash\\",
    os.fsdecode(b"latin-\xfc\xff.jpg"),
    os.fsdecode(b"\xed\xa0\x80.jpg"),
    "100%.jpg",
    "%41%0A%.jpg",
    "semi;colon; name=other.jpg",
    "'single', comma=equals.jpg",
    "utf-8''rfc5987.jpg",
    "=?utf-8?q?mime?=.jpg",
    "boundary--.jpg",
    "x" * 196 + ".jpg",
    "ü" * 120 + ".jpg",
]  # fmt: skip
QUOTED_NAMES = ['say "hi".jpg', '"', 'quote";filename="other.jpg', "written%22out.jpg"]


def sent_and_parsed(folder: Path, name: str, parser: Callable[[str, bytes], Parsed]) -> tuple[Parsed, bytes]:
    """Send a file of that name between two others and return what a parser makes of it, and its bytes."""
    content = b'\r\n--vl-ingest-\r\n\r\n"' + os.fsencode(name) + b"\r\n"
    files = [put(folder, f, b) for f, b in (("first.jpg", b"first"), (name, content), ("last.jpg", b"\r\n"))]
    body = MultipartBody(Folder(str(folder)), files)
    return parser(body.content_type, drain(body)), content


@PARSERS
@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_servers_read_odd_names_as_they_were_sent(
    name: str, parser: Callable[[str, bytes], Parsed], tmp_path: Path
) -> None:
    """A file of any name arrives whole, under the name on the wire, between its neighbours."""
    parsed, content = sent_and_parsed(tmp_path, name, parser)
    assert parsed == [("first.jpg", b"first"), (wire_name(name), content), ("last.jpg", b"\r\n")]


@pytest.mark.parametrize("parser", [read_by_starlette, read_by_django])
@pytest.mark.parametrize("name", QUOTED_NAMES, ids=ascii)
def test_servers_read_names_with_quotes_as_they_were_sent(
    name: str, parser: Callable[[str, bytes], Parsed], tmp_path: Path
) -> None:
    """A quote arrives as browsers write it, `%22`."""
    parsed, content = sent_and_parsed(tmp_path, name, parser)
    assert parsed == [("first.jpg", b"first"), (wire_name(name), content), ("last.jpg", b"\r\n")]


@pytest.mark.parametrize("name", QUOTED_NAMES, ids=ascii)
def test_werkzeug_turns_an_escaped_quote_back(name: str, tmp_path: Path) -> None:
    """Werkzeug alone undoes the browsers' `%22`; the bytes and the neighbours are right all the same."""
    parsed, content = sent_and_parsed(tmp_path, name, read_by_werkzeug)
    read = wire_name(name).replace("%22", '"')
    assert parsed == [("first.jpg", b"first"), (read, content), ("last.jpg", b"\r\n")]


@PARSERS
def test_servers_read_large_files_whole(parser: Callable[[str, bytes], Parsed], tmp_path: Path) -> None:
    """Files longer than any parser's own buffers arrive byte for byte, in order."""
    contents = [os.urandom(300_000), b"\r\n" * 100_000, b"-" * 150_001]
    body = MultipartBody(
        Folder(str(tmp_path)), [put(tmp_path, f"{n}.mp4", c) for n, c in enumerate(contents)]
    )
    parsed = parser(body.content_type, drain(body, [65_536]))
    assert parsed == [(f"{number}.mp4", content) for number, content in enumerate(contents)]


def test_a_folder_in_a_files_place_leaves_no_descriptor_open(tmp_path: Path) -> None:
    """Whatever stands where the file was, nothing stays open."""
    (tmp_path / "a.png").mkdir()
    file = FileRow(1, "a.png", "a.png", Facts(10, 0), FileState.IN_FLIGHT)
    before = os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []
    for _ in range(3):
        with pytest.raises(FileTrouble), MultipartBody(Folder(str(tmp_path)), [file]) as body:
            body.read()
    assert len(os.listdir("/proc/self/fd") if before else []) == len(before)


def test_a_cancelled_body_stays_incomplete(tmp_path: Path) -> None:
    """Nothing more is handed out once somebody has given the request up, however much was before."""
    with MultipartBody(Folder(str(tmp_path)), [put(tmp_path, "a.png", PROMISED)]) as body:
        body.read(SMALL)
        body.cancel()
        for _ in range(2):
            with pytest.raises(OutcomeUnknown):
                body.read(SMALL)
        assert body.bytes_out == SMALL < len(body)


def test_a_broken_promise_is_named_by_the_state_the_file_belongs_in() -> None:
    """The words that couriers use are those of the ledger."""
    assert (CHANGED, MISSING, UNREADABLE) == (FileState.CHANGED, FileState.MISSING, FileState.UNREADABLE)


def test_the_length_of_a_body_is_known_without_the_body(tmp_path: Path) -> None:
    """So that a batch which is known to be too large need not be begun."""
    files = [put(tmp_path, "a.jpg", PROMISED), put(tmp_path, "b.png", PROMISED)]
    length = body_bytes([file.sent_as for file in files], sum(file.facts.size_bytes for file in files))
    assert length == len(MultipartBody(Folder(str(tmp_path)), files))
