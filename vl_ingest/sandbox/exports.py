"""What is in a dataset, as a CSV of ids or as a ZIP that is made on demand and fetched from elsewhere.

An export lists what was in the dataset when it was begun, however much later it is fetched.
"""

import csv
import io
import json
import uuid
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from starlette.responses import Response

from vl_ingest.sandbox.endpoint import Call, Endpoint, Entry, Happens
from vl_ingest.sandbox.media import Medium, media
from vl_ingest.sandbox.record import Record
from vl_ingest.sandbox.rules import Processing, Rules
from vl_ingest.sandbox.store import Refusal, Store, replay

BUCKET = "/bucket"  # on the object store's port


@dataclass
class Export:
    """One export; `began` is on the store's clock. `ends` is its last status."""

    id: str
    dataset_id: str
    began: float
    created_at: str
    file_name: str
    media: int
    ends: str


class Exports:
    """The exports of all datasets. `bucket` returns the address of the object store, if there is one."""

    def __init__(
        self, record: Record, store: Store, rules: Rules, processing: Processing, happens: Happens,
        folder: Path, bucket: Callable[[], str | None],
    ) -> None:  # fmt: skip
        self._record = record
        self._store = store
        self._rules = rules
        self._takes_s = processing.exporting_s
        self._happens = happens
        self._folder = folder
        self._bucket = bucket
        self._exports: dict[str, Export] = {}
        replay(self.apply, record.entries("export_started"))

    def apply(self, entry: Entry, age_s: float = 0.0) -> None:
        """Take up one entry of the record, which was written `age_s` ago."""
        if entry["kind"] == "export_started":
            self._exports[entry["export_id"]] = Export(
                entry["export_id"], entry["dataset_id"], self._store.clock() - age_s, entry["at"],
                entry["file_name"], entry["media"], entry["ends"],
            )  # fmt: skip

    def endpoints(self) -> list[Endpoint]:
        """Return the addresses."""
        one = "/api/v1/dataset/{dataset}"
        return [
            Endpoint("export-ids", "GET", f"{one}/export_media_id", 200, self._ids, feature="export-ids"),
            Endpoint(
                "export", "GET", f"{one}/export_context_async", 200, self._start, check=self._snapshot, feature="export"
            ),
            Endpoint("export-status", "GET", f"{one}/export_status", 200, self._status, feature="export"),
            Endpoint(
                "download", "GET", f"{one}/exports/{{export}}/{{file}}", 200, self._download,
                check=self._written, feature="export",
            ),
        ]  # fmt: skip

    def bucket_endpoint(self) -> Endpoint:
        """Return the address in the object store, where the link alone is what allows a request."""
        return Endpoint(
            "download", "GET", f"{BUCKET}/{{export}}/{{file}}", 200, self._download,
            check=self._written_for_link, guarded=False,
        )  # fmt: skip

    def _ids(self, call: Call) -> tuple[list[Entry], Any]:
        self._ready(call.dataset_id)
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(("filename", "media_id"))
        writer.writerows((medium.file_path, medium.media_id) for medium in self._media(call.dataset_id))
        return [], Response(text.getvalue(), media_type="text/csv")

    def _snapshot(self, call: Call) -> tuple[str, int]:
        """Write the ZIP of an export that is begun now; return its id, and how many media it lists."""
        if call.query("export_format", "json") != "json":
            raise Refusal(422, [{"loc": ["query", "export_format"], "msg": "unknown", "type": "value_error"}])
        self._ready(call.dataset_id)
        listed, export_id = list(self._media(call.dataset_id)), str(uuid.uuid4())
        self._folder.mkdir(exist_ok=True)
        write_export(self._file(export_id), self._store.dataset(call.dataset_id).name, listed)
        return export_id, len(listed)

    def _start(self, call: Call) -> tuple[list[Entry], Any]:
        self._ready(call.dataset_id)
        fault = self._happens("exporting", "")
        export_id, count = call.checked
        entry = {
            "kind": "export_started",
            "export_id": export_id,
            "dataset_id": call.dataset_id,
            "file_name": call.query("file_name", "export"),
            "media": count,
            "ends": "COMPLETED" if fault is None else fault.kind.upper(),
        }
        return [entry], {"id": entry["export_id"]}

    def _status(self, call: Call) -> tuple[list[Entry], Any]:
        export = self._find(call.query("export_task_id"), call.dataset_id)
        word, progress = self._word(export)
        done = word == "COMPLETED"
        return [], {
            "id": export.id,
            "dataset_id": export.dataset_id,
            "created_at": export.created_at,
            "download_uri": self._uri(export) if done else None,
            "progress": progress,
            "status": word,
            "entities_count": export.media if done else None,
            "result_message": None if word in ("INIT", "COMPLETED") else f"The export ended {word}.",
        }

    def _download(self, call: Call) -> tuple[list[Entry], Any]:
        return [], Response(call.checked.read_bytes(), media_type="application/zip")

    def _written_for_link(self, call: Call) -> Path:
        if "authorization" in call.request.headers:
            raise Refusal(400, "Only one auth mechanism allowed.")
        if call.query("X-Amz-Signature") != _signature(call.request.path_params["export"]):
            raise Refusal(403, "The signature does not match.")
        return self._written(call)

    def _written(self, call: Call) -> Path:
        """Return the ZIP, once the export is done."""
        export = self._find(call.request.path_params["export"], call.request.path_params.get("dataset"))
        if self._word(export)[0] != "COMPLETED":
            raise Refusal(404, "The export is not there.")
        return self._file(export.id)

    def _file(self, export_id: str) -> Path:
        return self._folder / f"{export_id}.zip"

    def _uri(self, export: Export) -> str:
        bucket = self._bucket()
        if bucket is None:
            return f"/api/v1/dataset/{export.dataset_id}/exports/{export.id}/{export.file_name}.zip"
        return f"{bucket}{BUCKET}/{export.id}/{export.file_name}.zip?X-Amz-Signature={_signature(export.id)}"

    def _word(self, export: Export) -> tuple[str, int]:
        gone_s = self._store.clock() - export.began
        if gone_s >= self._takes_s:
            return export.ends, 100
        return "INIT", int(100 * gone_s / self._takes_s)

    def _media(self, dataset_id: str) -> Iterator[Medium]:
        return media(self._record, self._store, dataset_id, self._rules.frame_folder)

    def _ready(self, dataset_id: str) -> None:
        word = self._store.word(dataset_id)
        if word != "READY":
            raise Refusal(409, f"The dataset is {word}, not READY.")

    def _find(self, export_id: str, dataset_id: str | None) -> Export:
        export = self._exports.get(export_id)
        if export is None or dataset_id not in (None, export.dataset_id):
            raise Refusal(404, "Export not found.")
        return export


def write_export(path: Path, dataset: str, listed: Sequence[Medium]) -> None:
    """Write an export as the server does: a ZIP with `metadata.json`."""
    info = {
        "schema_version": "1.1",
        "dataset": dataset,
        "export_time": datetime.now(UTC).isoformat(),
        "total_media_items": len(listed),
    }
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("metadata.json", "w", force_zip64=True) as file,
    ):
        file.write(json.dumps({"info": info})[:-1].encode() + b', "media_items": [')
        for number, medium in enumerate(listed):
            file.write((",\n" if number else "\n").encode() + json.dumps(_item(medium)).encode())
        file.write(b"]}")


def _item(medium: Medium) -> dict[str, Any]:
    return {
        "media_id": medium.media_id,
        "media_type": medium.kind,
        "file_name": medium.file_name,
        "file_path": medium.file_path,
        "file_size": f"{medium.size_bytes / 1024:.2f}KB",
        "height": 480,
        "width": 640,
        "url": f"https://media.example.com/{medium.media_id}.jpg",
        "cluster_id": None,
        "uniqueness_score": 0.5,
        "metadata_items": [],
    }


def _signature(export_id: str) -> str:
    return uuid.uuid5(uuid.NAMESPACE_URL, export_id).hex
