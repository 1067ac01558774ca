"""`multipart/form-data` bodies: of files as they lie on disk, and of what is there already."""

from collections.abc import Generator, Mapping, Sequence

from vl_ingest.domain.model import FileRow
from vl_ingest.domain.opening import Opener
from vl_ingest.server.body import BytesBody, FilesBody
from vl_ingest.server.form import content_type as type_with
from vl_ingest.server.form import frames, new_boundary, part_head
from vl_ingest.server.pace import Pace


class MultipartBody(FilesBody):
    """Every file in the field `files`, after the plain `fields`."""

    def __init__(
        self,
        source: Opener,
        files: Sequence[FileRow],
        pace: Pace | None = None,
        fields: Mapping[str, str] | None = None,
        until: float | None = None,
    ) -> None:
        super().__init__(source, files, pace, until)
        plain = b"".join(plain_field(self.boundary, name, text) for name, text in (fields or {}).items())
        first, *others = frames(self.boundary, [file.sent_as for file in files])
        self._frames = [plain + first, *others]  # before, between and after the files
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
    boundary = new_boundary()
    head = part_head(boundary, field, file_name, content_type)
    return BytesBody(head + content + f"\r\n--{boundary}--\r\n".encode(), type_with(boundary))


def plain_field(boundary: str, name: str, text: str) -> bytes:
    """Return a field that is no file, whole."""
    return f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{text}\r\n'.encode()
