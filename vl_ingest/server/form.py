"""The frame of an upload: a `multipart/form-data` body is this, with the files' bytes in between.

Light: couriers of their own process import it.
"""

import os
from collections.abc import Iterable

from vl_ingest.domain.formats import media_type

_BOUNDARY_BYTES = 42


def new_boundary() -> str:
    """Return a boundary that no file holds."""
    return "vl-ingest-" + os.urandom(16).hex()


def content_type(boundary: str) -> str:
    """Return the value of the header."""
    return f"multipart/form-data; boundary={boundary}"


def frames(boundary: str, names: Iterable[str]) -> list[bytes]:
    """Return what stands before, between and after files with these names on the wire, all in the field `files`."""
    heads = [part_head(boundary, "files", name, media_type(name)) for name in names]
    first, *others = [*heads, f"--{boundary}--\r\n".encode()]
    return [first, *(b"\r\n" + frame for frame in others)]


def body_bytes(names: Iterable[str], files_bytes: int) -> int:
    """Return the length of a body that holds files with these names, and so many bytes together."""
    return sum(map(len, frames("-" * _BOUNDARY_BYTES, names))) + files_bytes


def part_head(boundary: str, field: str, file_name: str, content_type: str) -> bytes:
    """Return what stands before a file's bytes; `file_name` as `domain.naming` writes it."""
    return (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{file_name}"\r\n'
        f"Content-Type: {content_type}\r\n\r\n"
    ).encode()
