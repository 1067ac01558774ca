"""One multipart body, streamed to disk and hashed as it arrives."""

import hashlib
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import python_multipart
from PIL import Image
from python_multipart.multipart import parse_options_header

from vl_ingest.sandbox.store import Refusal

IMAGES = frozenset({".jpg", ".jpeg", ".png", ".webp"})
VIDEOS = frozenset({".mp4", ".mov"})


@dataclass
class Part:
    """One part of the body; its bytes lie in `path`."""

    field_name: str
    file_name: str
    path: Path
    file: BinaryIO
    size_bytes: int = 0
    digest: Any = field(default_factory=hashlib.sha256)


class Receiver:
    """Takes a body in pieces; the parts lie in `folder` until `discard`."""

    def __init__(self, content_type: str, folder: Path) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise _invalid("body", "expected multipart/form-data with a boundary")
        self.parts: list[Part] = []
        self.ended = False
        self._folder = folder
        self._headers: dict[bytes, bytes] = {}
        self._name = self._value = b""
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

    def write(self, piece: bytes) -> None:
        """Take the next piece. Raises `Refusal` for what is no multipart body."""
        try:
            self._parser.write(piece)
        except python_multipart.exceptions.FormParserError as exc:
            raise Refusal(400, f"The body is malformed: {exc}") from exc

    def discard(self) -> None:
        """Forget the parts."""
        for part in self.parts:
            part.file.close()
            part.path.unlink(missing_ok=True)

    def check(self, *, images: bool) -> None:
        """Refuse the whole batch for one part that may not be in it; `images` are opened too."""
        if not self.ended:
            raise Refusal(400, "The body ends too early.")
        if not self.parts:
            raise _invalid("files", "field required")
        for part in self.parts:
            if part.field_name != "files":
                raise _invalid(part.field_name, "unexpected field; every file belongs in 'files'")
        for part in self.parts:
            extension = os.path.splitext(part.file_name)[1].lower()
            if extension not in IMAGES | VIDEOS:
                raise Refusal(400, f"Unsupported file format: {part.file_name}")
            if not part.size_bytes:
                raise Refusal(400, f"Empty file: {part.file_name}")
            if images and extension in IMAGES:
                _check_image(part)

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
        handle, path = tempfile.mkstemp(dir=self._folder, prefix="part-")
        self.parts.append(
            Part(
                field_name=options.get(b"name", b"").decode("utf-8", "replace"),
                file_name=options.get(b"filename", b"").decode("utf-8", "replace"),
                path=Path(path),
                file=os.fdopen(handle, "wb"),
            )
        )

    def _data(self, data: bytes, start: int, end: int) -> None:
        part, piece = self.parts[-1], memoryview(data)[start:end]
        part.digest.update(piece)
        part.size_bytes += len(piece)
        part.file.write(piece)

    def _end(self) -> None:
        self.parts[-1].file.close()

    def _all(self) -> None:
        self.ended = True


def _check_image(part: Part) -> None:
    try:
        with Image.open(part.path) as image:
            image.verify()
    except Exception as exc:  # Pillow's decoders raise whatever they like; all mean the same
        raise Refusal(400, f"Can't decode {part.file_name}: {exc}") from exc


def _invalid(place: str, message: str) -> Refusal:
    return Refusal(422, [{"loc": ["body", place], "msg": message, "type": "value_error"}])
