"""What a file is by its first bytes."""

import io

import pytest
from PIL import Image

from vl_ingest.domain.formats import FIRST_BYTES, kind, mismatch


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("JPEG", "JPEG"),
        ("PNG", "PNG"),
        ("WEBP", "WebP"),
        ("GIF", "GIF"),
        ("BMP", "BMP"),
        ("TIFF", "TIFF"),
    ],
)
def test_real_pictures_are_known(form: str, name: str) -> None:
    """What an encoder writes is recognised, from as many bytes as are read."""
    written = io.BytesIO()
    Image.new("RGB", (3, 3)).save(written, form)
    assert kind(written.getvalue()[:FIRST_BYTES]) == name


@pytest.mark.parametrize(
    ("first", "name"),
    [
        (b"\0\0\0\x20ftypisom\0\0\x02\0", "MP4/MOV"),
        (b"\0\0\0\x14ftypqt  \0\0\0\0", "MP4/MOV"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "MP4/MOV"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIF/AVIF"),
        (b"RIFF\0\0\0\0WAVEfmt ", "RIFF"),
        (b"hello", None),
        (b"", None),
    ],
)
def test_containers_are_told_apart(first: bytes, name: str | None) -> None:
    """Films, pictures in the same boxes, and sounds in the same RIFF."""
    assert kind(first) == name


@pytest.mark.parametrize(
    ("path", "first", "words"),
    [
        ("a/b.JPG", b"\xff\xd8\xff\xe0", None),
        ("b.jpeg", b"\x89PNG\r\n\x1a\n", "begins as PNG, not as JPEG"),
        ("c.mov", b"\0\0\0\x20ftypisom", None),
        ("d.mp4", b"text", "does not begin as MP4/MOV"),
        ("e.png", b"\0" * 32, "begins with nothing but zeros, not as PNG"),
        ("f.bmp", b"text", None),
    ],
)
def test_names_that_promise_something_else(path: str, first: bytes, words: str | None) -> None:
    """A documented extension is a promise; another one is not."""
    assert mismatch(path, first) == words
