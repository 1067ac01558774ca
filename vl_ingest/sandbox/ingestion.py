"""The documented steps: create, open, upload, trigger, watch."""

from pathlib import Path
from typing import Any

from starlette.requests import Request

from vl_ingest.sandbox.endpoint import Call, Endpoint, Entry, Happens
from vl_ingest.sandbox.media import misfortunes
from vl_ingest.sandbox.receive import Body, Part, Receiver, check_files
from vl_ingest.sandbox.record import Record
from vl_ingest.sandbox.rules import Rules
from vl_ingest.sandbox.store import Refusal, Store

INGESTION = "/api/v1/ingestion"


class Ingestion:
    """The first upload of a dataset. What arrives lies in `incoming`, and in `kept` if it is to be kept."""

    def __init__(
        self, record: Record, store: Store, rules: Rules, happens: Happens, incoming: Path, kept: Path
    ) -> None:
        self._record = record
        self._store = store
        self._rules = rules
        self._happens = happens
        self._incoming = incoming
        self._kept = kept

    def endpoints(self) -> list[Endpoint]:
        """Return the addresses."""
        transaction = "{transaction:int}"
        return [
            Endpoint("create", "GET", f"{INGESTION}/new_dataset", 200, self._create),
            Endpoint("open", "GET", f"{INGESTION}/{{dataset}}/data_files", 200, self._open),
            Endpoint(
                "upload", "POST", f"{INGESTION}/{{dataset}}/data_files/{transaction}", 202, self._upload,
                receive=self._receive, check=self._check, names=_names,
            ),
            Endpoint("trigger", "POST", f"{INGESTION}/{{dataset}}/process_files/{transaction}", 202, self._trigger),
            Endpoint("status", "GET", "/api/v1/dataset/{dataset}", 200, self._status),
        ]  # fmt: skip

    def _create(self, call: Call) -> tuple[list[Entry], Any]:
        name = call.query("dataset_name")
        if not name:
            raise Refusal(
                422, [{"loc": ["query", "dataset_name"], "msg": "field required", "type": "missing"}]
            )
        entry = self._store.new_dataset(name)
        return [entry], {"dataset_id": entry["dataset_id"]}

    def _open(self, call: Call) -> tuple[list[Entry], Any]:
        entry = self._store.new_transaction(call.dataset_id)
        return [entry], {"trans_id": entry["transaction_id"]}

    def _receive(self, request: Request) -> Receiver:
        return Receiver(
            request.headers.get("content-type", ""), self._incoming,
            images=self._rules.check_images, keep=self._rules.keep_files,
        )  # fmt: skip

    def _check(self, call: Call) -> None:
        self._store.check_upload(call.dataset_id, call.request.path_params["transaction"])
        assert isinstance(call.body, Receiver)  # noqa: S101  # as `_receive` makes it
        check_files(call.body, images=self._rules.check_images)

    def _upload(self, call: Call) -> tuple[list[Entry], Any]:
        assert call.body is not None  # noqa: S101  # an upload is always received first
        where = {
            "dataset_id": call.dataset_id,
            "transaction_id": call.request.path_params["transaction"],
            "request": call.number,
        }
        self._store.check_upload(where["dataset_id"], where["transaction_id"])
        entries = [
            {
                "kind": "file_received", **where, "name": part.file_name, "size_bytes": part.size_bytes,
                "sha256": part.digest.hexdigest(),
            }
            for part in call.body.parts
        ]  # fmt: skip
        if self._rules.keep_files:
            keep(call.body.parts, self._kept, call.number)
        return [*entries, {"kind": "batch_accepted", **where, "files": len(entries)}], {"status": "accepted"}

    def _trigger(self, call: Call) -> tuple[list[Entry], Any]:
        transaction = call.request.path_params["transaction"]
        entry = self._store.trigger(call.dataset_id, transaction)
        if (fault := self._happens("processing", "")) is not None:
            entry["failure"] = fault.message
        arrivals = (
            arrival
            for arrival in self._record.entries("file_received")
            if arrival["dataset_id"] == call.dataset_id and arrival["transaction_id"] == transaction
        )
        return [entry, *misfortunes(arrivals, self._happens)], {"status": "accepted"}

    def _status(self, call: Call) -> tuple[list[Entry], Any]:
        return [], self._store.status(call.dataset_id)


def _names(body: Body) -> list[str]:
    return [part.file_name for part in body.parts if part.file_name is not None]


def keep(parts: list[Part], folder: Path, number: int) -> None:
    """Keep the files of a request."""
    folder.mkdir(exist_ok=True)
    for index, part in enumerate(parts):
        if part.path is not None:
            part.path.rename(folder / f"{number:06}-{index:04}")
