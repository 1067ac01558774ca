"""`multipart/form-data` bodies: of files as they lie on disk, and of what is there already."""

import secrets
from collections.abc import Generator, Mapping, Sequence

from vl_ingest.domain.formats import media_type
from vl_ingest.domain.model import FileRow
from vl_ingest.domain.opening import Opener
from vl_ingest.server.body import BytesBody, FilesBody
from vl_ingest.server.pace import Pace


class MultipartBody(FilesBody):
    """Every file in the field `files`, after the plain `fields`."""

    def __init__(
        self,
        source: Opener,
        files: Sequence[FileRow],
        pace: Pace | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(source, files, pace)
        plain = b"".join(plain_field(self.boundary, name, text) for name, text in (fields or {}).items())
        heads = [part_head(self.boundary, "files", file.sent_as, media_type(file.sent_as)) for file in files]
        first, *others = [*heads, f"--{self.boundary}--\r\n".encode()]
        self._frames = [
            plain + first,
            *(b"\r\n" + frame for frame in others),
        ]  # before, between and after the files
        self._length = sum(map(len, self._frames)) + sum(file.facts.size_bytes for file in files)

    def __len__(self) -> int:
        return self._length

    def _run(self) -> Generator[int, None, None]:
        for frame, file in zip(self._frames, self.files, strict=False):
            yield from self._write(frame)
            yield from self._send_file(file)
        yield from self._write(self._frames[-1])


def one_part(field: str, file_name: str, content: bytes, content_type: str) -> BytesBody:
    """Return a body of one file that is there already."""
    boundary = "vl-ingest-" + secrets.token_hex(16)
    head = part_head(boundary, field, file_name, content_type)
    return BytesBody(
        head + content + f"\r\n--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
    )


def part_head(boundary: str, field: str, file_name: str, content_type: str) -> bytes:
    """Return what stands before a file's bytes; `file_name` as `domain.naming` writes it."""
    return (
        f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="{file_name}"\r\n'
        f"Content-Type: {content_type}\r\n\r\n"
    ).encode()


def plain_field(boundary: str, name: str, text: str) -> bytes:
    """Return a field that is no file, whole."""
    return f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
