"""What the server lists in a dataset, read item by item: memory does not grow with the list.

Source: the vendor's public pages on exports (`metadata.json`, schema 1.1) and its own scripts (the CSV of ids).
Raises `NotAvailable` for what has another form.
"""

import csv
import io
import lzma
import os
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO

from vl_ingest.domain.errors import NotAvailable
from vl_ingest.domain.remote import ListedMedium, MediumKind

METADATA = "metadata.json"


# What the reading of a ZIP that is damaged, or of JSON in it, raises besides the errors that are about that alone.
DAMAGED = (
    zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, lzma.LZMAError, struct.error, RuntimeError, EOFError, OSError,
    OverflowError,
)  # fmt: skip


def export_media(file: str | BinaryIO) -> Iterator[ListedMedium]:
    """Yield the media that an export, a ZIP with `metadata.json`, lists."""
    import ijson

    with _readable(), zipfile.ZipFile(file) as archive:
        found = False
        with _metadata(archive) as content:
            for item in ijson.items(content, "media_items.item", use_float=True):
                found = True
                yield _medium(item)
        if not found:
            with _metadata(archive) as content:
                _check_empty(content)


def export_total(file: str | BinaryIO) -> int | None:
    """Return how many media an export says that it lists; None where it does not say."""
    import ijson

    # Without `use_float`, a number of very many digits is the end of the whole process.
    with _readable(), zipfile.ZipFile(file) as archive, _metadata(archive) as content:
        for prefix, event, value in ijson.parse(content, use_float=True):
            if (prefix, event) == ("info.total_media_items", "number"):
                return int(value)
            if prefix == "media_items":  # what comes after it, nobody reads a million items for
                return None
    return None


@contextmanager
def _readable() -> Iterator[None]:
    """Raise `NotAvailable` where what is read is damaged."""
    import ijson

    try:
        yield
    except (ijson.JSONError, ValueError) as exc:
        raise NotAvailable(f"the export's {METADATA} is not JSON: {exc}") from exc
    except DAMAGED as exc:
        raise NotAvailable(f"the export is not a ZIP: {exc}") from exc


def csv_media(file: BinaryIO) -> Iterator[ListedMedium]:
    """Yield the media that the CSV of ids lists: columns `filename` and `media_id`, of no known kind."""
    try:
        text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
        try:
            rows = csv.reader(text, strict=True)
            columns = next(rows, [])
            if "filename" not in columns or "media_id" not in columns:
                raise NotAvailable("the list of ids has other columns")
            path_at, id_at = columns.index("filename"), columns.index("media_id")
            for row in rows:
                if len(row) != len(columns):
                    raise NotAvailable(f"line {rows.line_num} of the list of ids has other columns")
                path = row[path_at]
                yield ListedMedium(path.rpartition("/")[2], row[id_at], path, MediumKind.UNKNOWN)
        finally:
            text.detach()  # it is the caller's to close
    except (csv.Error, UnicodeDecodeError) as exc:
        raise NotAvailable(f"the list of ids is not a CSV: {exc}") from exc


def _metadata(archive: zipfile.ZipFile) -> Any:
    name = next((n for n in archive.namelist() if os.path.basename(n) == METADATA), None)
    if name is None:
        raise NotAvailable(f"the export holds no {METADATA}")
    return archive.open(name)


def _check_empty(content: BinaryIO) -> None:
    """Tell a list of nothing from no list."""
    import ijson

    for prefix, event, _ in ijson.parse(content, use_float=True):
        if (prefix, event) == ("media_items", "start_array"):
            return
    raise NotAvailable(f"the export's {METADATA} lists no media items")


def _medium(item: Any) -> ListedMedium:
    try:
        media_id, kind, name = item["media_id"], item.get("media_type"), item.get("file_name")
        path = item.get("file_path", name)
    except (KeyError, TypeError, AttributeError) as exc:
        raise NotAvailable("a media item of the export has another form") from exc
    if not isinstance(path, str) or isinstance(media_id, bool) or not isinstance(media_id, str | int):
        raise NotAvailable("a media item of the export has another form")
    known = MediumKind(kind) if kind in ("image", "video_frame") else MediumKind.UNKNOWN
    return ListedMedium(
        name if isinstance(name, str) else path.rpartition("/")[2], str(media_id), path, known
    )
