"""An addition as one archive: exactly what `tarfile` would have written, made while it is sent."""

import hashlib
import io
import os
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from werkzeug.formparser import parse_form_data

from vl_ingest.domain.errors import FileTrouble, OutcomeUnknown
from vl_ingest.domain.model import Facts, FileRow, FileState
from vl_ingest.domain.naming import wire_name
from vl_ingest.server import archive
from vl_ingest.server.ahead import ReadAhead
from vl_ingest.server.archive import ArchiveBody, tar_header
from vl_ingest.server.body import Digests
from vl_ingest.source.folder import Folder

NAMES = st.text(
    st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=120
).map(wire_name)
SMALL = 700  # one read of this many bytes leaves most of a test's file unread
PROMISED = bytes(range(256)) * 64


def put(folder: Path, path: str, content: bytes, sent_as: str | None = None) -> FileRow:
    """Write a file below `folder` and return its row, with the facts that it has now."""
    target = folder / path
    target.write_bytes(content)
    seen = target.stat()
    facts = Facts(seen.st_size, seen.st_mtime_ns)
    return FileRow(1, path, sent_as or wire_name(path), facts, FileState.IN_FLIGHT)


def body_of(folder: Path, *files: FileRow, auto_reindex: bool = True) -> ArchiveBody:
    """Return the body of these files."""
    return ArchiveBody(Folder(str(folder)), files, auto_reindex=auto_reindex)


def drain(body: ArchiveBody | ReadAhead, size: int = SMALL, into: bytearray | None = None) -> bytes:
    """Read a body to its end."""
    out = bytearray() if into is None else into
    while piece := body.read(size):
        out += piece
    return bytes(out)


def received(body: ArchiveBody, content: bytes) -> tuple[dict[str, str], str | None, bytes]:
    """Return fields, name and content of the archive as Werkzeug (Flask) reads them."""
    environment = {
        "wsgi.input": io.BytesIO(content), "CONTENT_LENGTH": str(len(content)), "CONTENT_TYPE": body.content_type,
        "REQUEST_METHOD": "POST",
    }  # fmt: skip
    _, fields, files = parse_form_data(environment)
    archive = files["archive"]
    held = archive.read()
    archive.close()
    return fields.to_dict(), archive.filename, held


def by_tarfile(files: list[FileRow], contents: list[bytes]) -> bytes:
    """Return what `tarfile` makes of the same files."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for file, content in zip(files, contents, strict=True):
            info = tarfile.TarInfo(file.sent_as)
            info.size, info.mtime = len(content), file.facts.mtime_ns // 10**9
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


@settings(deadline=None, max_examples=50)  # files are written and read; a busy disk is no failure
@given(
    named=st.lists(
        st.tuples(NAMES, st.integers(0, 1600)), max_size=5, unique_by=lambda pair: os.path.normpath(pair[0])
    ),
    size=st.integers(1, 3000),
    auto_reindex=st.booleans(),
)
@example(named=[], size=1, auto_reindex=True)
@example(named=[("a.jpg", 0), ("b.jpg", 512), ("c.jpg", 513)], size=1, auto_reindex=False)
@example(named=[("x" * 99, 1), ("x" * 100, 1), ("x" * 101, 1), ("x" * 255, 1)], size=512, auto_reindex=True)
@example(named=[("für Oma.jpg", 3), ("ü" * 127, 20000), ("图片.png", 7), ("%22q%22.png", 1)], size=4096, auto_reindex=True)  # fmt: skip
def test_the_archive_is_what_tarfile_would_have_written(
    named: list[tuple[str, int]], size: int, auto_reindex: bool
) -> None:
    """However it is read, as long as promised; names of any length and letters and sizes from nothing come back."""
    with tempfile.TemporaryDirectory() as name:
        contents = [os.urandom(length) for _, length in named]
        files = [
            put(Path(name), f"{number}.jpg", content, sent_as)
            for number, ((sent_as, _), content) in enumerate(zip(named, contents, strict=True))
        ]
        body = body_of(Path(name), *files, auto_reindex=auto_reindex)
        out = drain(body, size)
    assert len(body) == body.bytes_out == len(out)
    assert body.sha256s == [hashlib.sha256(content).hexdigest() for content in contents]
    fields, archive_name, archive = received(body, out)
    assert (fields, archive_name) == ({"auto_reindex": "true" if auto_reindex else "false"}, "media.tar")
    assert archive == by_tarfile(files, contents)
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        read = [(member.name, opened.extractfile(member)) for member in opened]
        assert [(name, file and file.read()) for name, file in read] == [
            (file.sent_as, content) for file, content in zip(files, contents, strict=True)
        ]


@pytest.mark.parametrize("size", [8 * 1024**3 - 1, 8 * 1024**3, 10**12])
def test_a_file_of_any_size_has_a_header(size: int) -> None:
    """Beyond what the old format can write too."""
    header = tar_header(FileRow(1, "a.mp4", "a.mp4", Facts(size, -(10**9)), FileState.IN_FLIGHT))
    with tarfile.open(fileobj=io.BytesIO(header), mode="r|") as archive:
        member = archive.next()
    assert member is not None
    assert (member.size, member.mtime) == (size, -1)


def shorter(path: Path) -> None:
    """Cut a file."""
    with path.open("r+b") as file:
        file.truncate(len(PROMISED) // 2)


def longer(path: Path) -> None:
    """Write more to a file."""
    with path.open("ab") as file:
        file.write(b"more")


def other(path: Path) -> None:
    """Write other bytes into a file."""
    with path.open("r+b") as file:
        file.write(b"other")
    os.utime(path, ns=(1, 1))


@pytest.mark.parametrize("change", [shorter, longer, other])
@pytest.mark.parametrize("when", ["before", "within"])
def test_a_file_that_changes_ends_the_archive_before_its_end(
    tmp_path: Path, change: Callable[[Path], None], when: str
) -> None:
    """The request is incomplete by its own length, and stays so; what had passed whole keeps its hash."""
    files = [put(tmp_path, name, PROMISED) for name in ("a.jpg", "b.jpg", "c.jpg")]
    body = body_of(tmp_path, *files)
    out = bytearray()
    if when == "within":
        while len(out) < 1.5 * len(PROMISED):
            out += body.read(SMALL)
    change(tmp_path / "b.jpg")
    with pytest.raises(FileTrouble) as caught:
        drain(body, into=out)
    assert (caught.value.path, caught.value.state) == ("b.jpg", FileState.CHANGED)
    assert len(out) + len(drain(body)) < len(body)
    assert f"--{body.boundary}--".encode() not in out
    assert body.sha256s == [hashlib.sha256(PROMISED).hexdigest()]


def test_a_file_that_vanished_ends_the_archive(tmp_path: Path) -> None:
    """It is missing, and nothing after it is sent."""
    files = [put(tmp_path, name, PROMISED) for name in ("a.jpg", "b.jpg")]
    (tmp_path / "a.jpg").unlink()
    body = body_of(tmp_path, *files)
    with pytest.raises(FileTrouble) as caught:
        drain(body)
    assert caught.value.state == FileState.MISSING
    assert body.sha256s == []


def test_an_archive_can_be_cancelled(tmp_path: Path) -> None:
    """From any thread, as an upload can: the next read raises."""
    body = body_of(tmp_path, put(tmp_path, "a.jpg", PROMISED))
    body.read(SMALL)
    body.cancel()
    with pytest.raises(OutcomeUnknown):
        body.read(SMALL)
    body.close()


def test_what_is_read_ahead_is_the_same(tmp_path: Path) -> None:
    """Whatever is read at once: the same bytes, and hashes only of what was handed out whole."""
    files = [put(tmp_path, f"{n}.jpg", bytes([n]) * (n * 700_000)) for n in range(5)]
    for size in (100_000, 1_048_576, -1):
        with ReadAhead(body_of(tmp_path, *files)) as ahead:
            out = bytearray()
            while piece := ahead.read(size):
                assert len(ahead.sha256s) <= sum(out.count(bytes([n]) * 700_000) >= 1 for n in range(5)) + 1
                out += piece
            assert (ahead.bytes_out, len(ahead)) == (len(out), len(out))
            assert ahead.file_bytes_out == sum(file.facts.size_bytes for file in files)
            assert ahead.sha256s == [
                hashlib.sha256((tmp_path / file.path).read_bytes()).hexdigest() for file in files
            ]
            assert not ahead.read(size), "the end stays the end"
        _, _, archive = received(ahead._body, bytes(out))  # type: ignore[arg-type]  # it is one
        assert archive == by_tarfile(files, [(tmp_path / file.path).read_bytes() for file in files])


def test_trouble_ahead_is_raised_in_its_turn(tmp_path: Path) -> None:
    """The file that has changed is named, there are hashes only of what was handed out whole, and the body stays incomplete."""
    files = [put(tmp_path, f"{n}.jpg", bytes([n]) * 3_000_000) for n in range(1, 4)]
    (tmp_path / "3.jpg").write_bytes(b"other")
    with ReadAhead(body_of(tmp_path, *files)) as ahead:
        assert ahead.read()
        assert ahead.sha256s == [], "read ahead, and not handed out"
        with pytest.raises(FileTrouble) as caught:
            drain(ahead, -1)
        assert caught.value.path == "3.jpg"
        assert 1 <= len(ahead.sha256s) <= ahead.bytes_out // 3_000_000
        assert ahead.bytes_out < len(ahead)
        with pytest.raises(FileTrouble):
            ahead.read()


def test_what_is_read_ahead_can_be_cancelled(tmp_path: Path) -> None:
    """At any moment, also before it has begun; the threads end."""
    for reads in range(3):
        with ReadAhead(body_of(tmp_path, put(tmp_path, "a.jpg", bytes(9_000_000)))) as ahead:
            for _read in range(reads):
                assert ahead.read()
            ahead.cancel()
            with pytest.raises(OutcomeUnknown):
                ahead.read()
        assert not any(thread.is_alive() for thread in ahead._threads)


def test_a_mistake_while_hashing_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the bytes are asked for: nobody waits for a thread that is no more."""

    def exhausted(_self: object, _piece: memoryview) -> None:
        raise MemoryError

    monkeypatch.setattr(Digests, "update", exhausted)
    with (
        ReadAhead(body_of(tmp_path, put(tmp_path, "a.jpg", bytes(9_000_000)))) as body,
        pytest.raises(MemoryError),
    ):
        drain(body, -1)


@pytest.mark.parametrize("name", ["a.jpg", "x" * 100, "x" * 101, "für.jpg"])
@pytest.mark.parametrize("size", [0, 8**11 - 1, 8**11])
@pytest.mark.parametrize("mtime_s", [-1, 0, 8**11 - 1, 8**11])
def test_the_length_is_known_before_a_header_is_made(name: str, size: int, mtime_s: int) -> None:
    """Whatever makes `tarfile` write more than one block: a long name, letters, a size or a time."""
    file = FileRow(1, name, name, Facts(size, mtime_s * 10**9), FileState.IN_FLIGHT)
    assert archive._header_bytes(file) == len(tar_header(file))
