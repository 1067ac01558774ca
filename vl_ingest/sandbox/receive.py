"""One body, streamed and hashed as it arrives; only what is needed again goes to disk."""

import hashlib
import os
import tempfile
from collections.abc import Container
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, BinaryIO

import python_multipart
from PIL import Image, UnidentifiedImageError
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header

from vl_ingest.sandbox.store import IMAGES, VIDEOS, Refusal, extension

VALUE_BYTES = 64 * 1024  # of a plain field
TEXT_BYTES = 64 * 1024 * 1024  # of a body that is not multipart


@dataclass
class Part:
    """One part of the body; its bytes lie in `path`, if they are needed again."""

    field_name: str
    file_name: str | None  # None: no file, but a plain field
    path: Path | None = None
    file: BinaryIO | None = None
    size_bytes: int = 0
    digest: Any = field(default_factory=hashlib.sha256)
    value: bytearray = field(default_factory=bytearray)  # of a plain field


class Text:
    """Takes a body of text, in memory."""

    def __init__(self) -> None:
        self.content = bytearray()
        self.parts: list[Part] = []

    @property
    def size_bytes(self) -> int:
        """The bytes that have come."""
        return len(self.content)

    def write(self, piece: bytes) -> None:
        """Take the next piece. Raises `Refusal` for too much."""
        self.content += piece
        if len(self.content) > TEXT_BYTES:
            raise Refusal(413, "The request is too large.")

    def discard(self) -> None:
        """Forget it."""
        self.content.clear()


class Receiver:
    """Takes a multipart body in pieces.

    Parts that are to be kept (all with `keep`, and the fields `kept`), or opened as `images`, lie in `folder` until
    `discard`. No file is held in memory.
    """

    def __init__(
        self, content_type: str, folder: Path, *, images: bool, keep: bool, kept: Container[str] = ()
    ) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise invalid("body", "expected multipart/form-data with a boundary")
        self.parts: list[Part] = []
        self.ended = False
        self.size_bytes = 0
        self._folder = folder
        self._images = images
        self._keep = keep
        self._kept = kept
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
        try:
            self._parser = python_multipart.MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": self._header_field,
                    "on_header_value": self._header_value,
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._data,
                    "on_part_end": self._end,
                    "on_end": self._all,
                },
            )
        except FormParserError as exc:
            raise invalid("body", str(exc)) from exc

    @property
    def names(self) -> list[str]:
        """The names of the files, in order."""
        return [part.file_name for part in self.parts if part.file_name is not None]

    def write(self, piece: bytes) -> None:
        """Take the next piece. Raises `Refusal` for what is no multipart body."""
        self.size_bytes += len(piece)
        try:
            self._parser.write(piece)
        except FormParserError as exc:
            raise Refusal(400, f"The body is malformed: {exc}") from exc

    def discard(self) -> None:
        """Forget the parts."""
        for part in self.parts:
            if part.file is not None:
                part.file.close()
            if part.path is not None:
                part.path.unlink(missing_ok=True)

    def check(self) -> None:
        """Refuse what is not whole."""
        if not self.ended:
            raise Refusal(400, "The body ends too early.")

    def _begin(self) -> None:
        self._headers = {}

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        raw = options.get(b"filename")
        name = None if raw is None else raw.decode("utf-8", "replace")
        part = Part(options.get(b"name", b"").decode("utf-8", "replace"), name)
        needed = self._keep or part.field_name in self._kept
        if name is not None and (needed or (self._images and extension(name) in IMAGES)):
            # The name that was sent is never a name on this disk.
            handle, path = tempfile.mkstemp(dir=self._folder, prefix="part-")
            part.path, part.file = Path(path), os.fdopen(handle, "wb")
        self.parts.append(part)

    def _data(self, data: bytes, start: int, end: int) -> None:
        part, piece = self.parts[-1], memoryview(data)[start:end]
        part.digest.update(piece)
        part.size_bytes += len(piece)
        if part.file is not None:
            part.file.write(piece)
        elif part.file_name is None:
            part.value += piece
            if len(part.value) > VALUE_BYTES:
                raise Refusal(413, f"The field {part.field_name} is too large.")

    def _end(self) -> None:
        file = self.parts[-1].file
        if file is not None:
            file.close()

    def _all(self) -> None:
        self.ended = True


Body = Receiver | Text


def check_files(body: Receiver, *, images: bool) -> None:
    """Refuse a whole batch for one part that may not be in it."""
    body.check()
    if not body.parts:
        raise invalid("files", "field required")
    for part in body.parts:
        if part.field_name != "files":
            raise invalid(part.field_name, "unexpected field; every file belongs in 'files'")
        check_is_file(part)
    for part in body.parts:
        check_part(part, images=images)


def check_is_file(part: Part) -> None:
    """Refuse a plain field in a file's place."""
    if part.file_name is None:
        raise invalid(part.field_name, "expected a file; a part without a filename is none")


def check_part(part: Part, *, images: bool) -> None:
    """Refuse a part that is no medium."""
    name = part.file_name or ""
    if part.path is None:
        check_medium(name, part.size_bytes)
        return
    with part.path.open("rb") as file:
        check_medium(name, part.size_bytes, file if images else None)


def check_medium(name: str, size_bytes: int, file: IO[bytes] | None = None) -> None:
    """Refuse what is no medium; an image is decoded if `file` is given."""
    kind = extension(name)
    if kind not in IMAGES | VIDEOS:
        raise Refusal(400, f"Unsupported file format: {name}")
    if not size_bytes:
        raise Refusal(400, f"Empty file: {name}")
    if file is None or kind not in IMAGES:
        return
    try:
        with Image.open(file) as image:
            image.load()  # all of it: a cut file may have a sound head
    except Exception as exc:  # Pillow's decoders raise whatever they like; all mean the same
        why = (
            "it is no image" if isinstance(exc, UnidentifiedImageError) else exc
        )  # whose words name the file here
        raise Refusal(400, f"Can't decode {name}: {why}") from exc


def invalid(place: str, message: str) -> Refusal:
    """Return what FastAPI answers to a parameter that is not as it should be."""
    return Refusal(422, [{"loc": ["body", place], "msg": message, "type": "value_error"}])
