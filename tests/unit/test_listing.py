"""What the server lists is read item by item, or said not to be a list."""

import contextlib
import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from benchmarks.scale import write_export
from vl_ingest.domain.errors import NotAvailable
from vl_ingest.domain.remote import ListedMedium, MediumKind
from vl_ingest.proof.listing import csv_media, export_media, export_total
from world import CLEAN

ITEMS = [
    {"media_id": "m1", "media_type": "image", "file_name": "a.png", "file_path": "a.png", "uniqueness_score": 0.5},
    {"media_id": "m2", "media_type": "video_frame", "file_name": "output_000001.jpg",
     "file_path": "clip.mp4/output_000001.jpg", "metadata_items": [{"type": "label", "properties": {"x": 1}}]},
    {"media_id": 3, "media_type": "hologram", "file_name": "ü.png", "file_path": "x/ü.png"},
]  # fmt: skip


def export(content: Any, name: str = "metadata.json") -> io.BytesIO:
    """Return a ZIP that holds `content` as JSON, or as it is if it is bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("readme.txt", "x")
        archive.writestr(name, content if isinstance(content, bytes) else json.dumps(content))
    return out


@pytest.mark.parametrize("name", ["metadata.json", "export/metadata.json"])
def test_an_export_lists_images_and_frames(name: str) -> None:
    """Name, id, path and kind of each, in order, whatever else is there."""
    found = list(export_media(export({"info": {"total_media_items": 3}, "media_items": ITEMS}, name)))
    assert found == [
        ListedMedium("a.png", "m1", "a.png", MediumKind.IMAGE),
        ListedMedium("output_000001.jpg", "m2", "clip.mp4/output_000001.jpg", MediumKind.FRAME),
        ListedMedium("ü.png", "3", "x/ü.png", MediumKind.UNKNOWN),
    ]
    assert [medium.video for medium in found] == [None, "clip.mp4", None]


def test_an_export_may_list_nothing() -> None:
    """An empty list is a list."""
    assert list(export_media(export({"info": {}, "media_items": []}))) == []


@pytest.mark.parametrize(
    "file",
    [
        io.BytesIO(b"no zip"),
        io.BytesIO(b""),
        io.BytesIO(export({"media_items": ITEMS}).getvalue()[:-30]),
        export({"media_items": ITEMS}, "other.json"),
        export({"info": {}}),
        export({"items": ITEMS}),
        export([]),
        export({"media_items": {"a": 1}}),
        export({"media_items": ["a.png"]}),
        export({"media_items": [{"name": "a.png"}]}),
        export({"media_items": [{"media_id": None, "file_path": "a.png"}]}),
        export(json.dumps({"media_items": ITEMS}).encode()[:-20]),
        export(b"<html>"),
        export(b'{"media_items": [{"media_id": "\xff", "file_path": "a"}]}'),
        export(b""),
    ],
)
def test_what_is_no_export_is_said(file: io.BytesIO) -> None:
    """Another file, another JSON, a torn one, items of another form: not available, never a list that is too short."""
    with pytest.raises(NotAvailable):
        list(export_media(file))


def test_a_damaged_export_is_said() -> None:
    """Whatever byte is another, or bytes in a row, and wherever it is torn: the same list, or not available."""
    whole = export({"info": {"total_media_items": 3}, "media_items": ITEMS}).getvalue()
    damaged = [whole[:at] + bytes([255 ^ whole[at]]) + whole[at + 1 :] for at in range(len(whole))]
    damaged += [whole[:at] + b"\xff" * 20 + whole[at + 20 :] for at in range(0, len(whole), 10)]
    damaged += [whole[:at] for at in range(0, len(whole), 10)]
    for content in damaged:
        file = io.BytesIO(content)
        with contextlib.suppress(NotAvailable):
            assert len(list(export_media(file))) == 3
        with contextlib.suppress(NotAvailable):
            assert export_total(file) in (3, None)


@pytest.mark.parametrize("number", ["-", "1e", "9" * 5000, "1e999999", "NaN"])
def test_a_number_that_is_none_is_said(number: str) -> None:
    """Also what the parser itself can't turn into a value."""
    total = export(f'{{"info": {{"total_media_items": {number}}}, "media_items": []}}'.encode())
    with pytest.raises(NotAvailable):
        export_total(total)
    with pytest.raises(NotAvailable):
        list(export_media(export(f'{{"media_items": [{{"media_id": {number}}}]}}'.encode())))


def test_the_csv_of_ids_is_read_by_its_columns() -> None:
    """In any order, with others beside them, with and without a byte order mark, quoted names too."""
    plain = b'filename,media_id\r\na.png,m1\r\n"x/the, best.png",m2\r\n'
    other = b'\xef\xbb\xbfmedia_id,size,filename\nm1,3,a.png\nm2,4,"x/the, best.png"\n'
    for content in (plain, other):
        file = io.BytesIO(content)
        assert list(csv_media(file)) == [
            ListedMedium("a.png", "m1", "a.png", MediumKind.UNKNOWN),
            ListedMedium("the, best.png", "m2", "x/the, best.png", MediumKind.UNKNOWN),
        ]
        assert not file.closed
    assert list(csv_media(io.BytesIO(b"filename,media_id\n"))) == []


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"name,id\na.png,m1\n",
        b'{"filename": "media_id"}',
        b"filename,media_id\na.png\n",
        b"filename,media_id\na.png,m1,more\n",
        b"filename,media_id\n\xff.png,m1\n",
        b'filename,media_id\n"a.png,m1\n',
    ],
)
def test_what_is_no_csv_of_ids_is_said(content: bytes) -> None:
    """Other columns, torn lines, other bytes."""
    with pytest.raises(NotAvailable):
        list(csv_media(io.BytesIO(content)))


PEAK = (
    "import resource, sys; from vl_ingest.proof.listing import export_media; "
    "print(sum(1 for _ in export_media(sys.argv[1])), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
)


def test_memory_does_not_grow_with_the_list(tmp_path: Path) -> None:
    """Twenty times as many items take about the same memory."""
    peaks = []
    for count in (2_000, 40_000):
        path = tmp_path / f"{count}.zip"
        write_export(path, count)
        done = subprocess.run(
            [sys.executable, "-c", PEAK, str(path)], env=CLEAN, capture_output=True, text=True, check=True
        )
        counted, peak_kib = map(int, done.stdout.split())
        assert counted == count
        peaks.append(peak_kib)
    assert peaks[1] - peaks[0] < 4096, peaks
