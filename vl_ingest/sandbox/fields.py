"""Custom metadata: fields of a dataset's media, each made and filled by a task of its own."""

import json
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from starlette.requests import Request

from vl_ingest.sandbox.endpoint import Call, Endpoint, Entry
from vl_ingest.sandbox.receive import Body, Receiver, Text, check_is_file, invalid
from vl_ingest.sandbox.record import Record
from vl_ingest.sandbox.rules import Processing
from vl_ingest.sandbox.store import Refusal, Store, replay
from vl_ingest.sandbox.works import METADATA, Work

LONGEST_VALUE = 255  # characters
SAMPLES = 10  # of the errors


@dataclass
class Field:
    """One field, and the task that fills it; `values` by media id."""

    task_id: str
    dataset_id: str
    name: str
    made_at: str
    values: dict[str, str] = field(default_factory=dict)
    errors: list[dict[str, Any]] = field(default_factory=list)
    work: Work | None = None  # what was begun with the values that came last


class Fields:
    """The fields of all datasets. `media_ids` returns those of a dataset."""

    def __init__(
        self, record: Record, store: Store, processing: Processing, media_ids: Callable[[str], set[str]],
        incoming: Path,
    ) -> None:  # fmt: skip
        self._store = store
        self._takes_s = processing.values_s
        self._media_ids = media_ids
        self._incoming = incoming
        self._fields: dict[str, Field] = {}
        replay(self.apply, record.entries("field_created", "values_accepted"))

    def apply(self, entry: Entry, age_s: float = 0.0) -> None:
        """Take up one entry of the record, which was written `age_s` ago."""
        if entry["kind"] == "field_created":
            self._fields[entry["task_id"]] = Field(
                entry["task_id"], entry["dataset_id"], entry["field_name"], entry["at"]
            )
        elif entry["kind"] == "values_accepted":
            made = self._fields[entry["task_id"]]
            made.values |= entry["values"]
            made.errors += entry["errors"]
            made.work = Work(
                made.task_id, METADATA, self._store.clock() - age_s, datetime.fromisoformat(entry["at"]),
                before="READY", lag_s=0.0, phases=(("READY", self._takes_s),), after="READY", after_failure="READY",
            )  # fmt: skip

    def tasks(self, dataset_id: str) -> Iterator[tuple[str, Work | None, str]]:
        """Yield the tasks of a dataset's fields."""
        for made in self._fields.values():
            if made.dataset_id == dataset_id:
                yield made.task_id, made.work, made.made_at

    def endpoints(self) -> list[Endpoint]:
        """Return the addresses."""
        tasks = "/api/v1/datasets/{dataset}/custom_metadata/tasks"
        return [
            Endpoint("field", "POST", tasks, 200, self._create, receive=_text, feature="metadata"),
            Endpoint(
                "values", "POST", f"{tasks}/{{task}}", 202, self._fill, receive=self._receive, feature="metadata"
            ),
            Endpoint("field-status", "GET", f"{tasks}/{{task}}/status", 200, self._status, feature="metadata"),
        ]  # fmt: skip

    def _create(self, call: Call) -> tuple[list[Entry], Any]:
        assert isinstance(call.body, Text)  # noqa: S101  # as `_text` makes it
        self._store.dataset(call.dataset_id)
        wanted = _parsed(call.body.content)
        name = wanted.get("field_name") if isinstance(wanted, dict) else None
        if not isinstance(name, str) or not name:
            raise invalid("field_name", "field required")
        if wanted.get("field_type") != "string":
            raise Refusal(400, "Only fields of the type string can be made here.")
        if any(made.name == name for made in self._fields.values() if made.dataset_id == call.dataset_id):
            raise Refusal(409, f"There is a field {name} already.")
        entry = {
            "kind": "field_created",
            "dataset_id": call.dataset_id,
            "task_id": str(uuid.uuid4()),
            "field_name": name,
        }
        return [entry], {"task_id": entry["task_id"], "status": "INIT"}

    def _receive(self, request: Request) -> Body:
        content_type = request.headers.get("content-type", "")
        if content_type.startswith("multipart/"):
            return Receiver(content_type, self._incoming, images=False, keep=False, kept=("file",))
        return Text()

    def _fill(self, call: Call) -> tuple[list[Entry], Any]:
        made = self._find(call)
        if made.work is not None and not made.work.over(self._store.clock()):
            raise Refusal(409, "The task is running.")
        assert call.body is not None  # noqa: S101  # as `_receive` makes it
        rows = _parsed(_content(call.body))
        if not isinstance(rows, list):
            raise invalid("file", "expected an array")
        known = self._media_ids(call.dataset_id)
        values: dict[str, str] = {}
        errors = []
        for row in rows:
            wrong = _wrong(row, known)
            if wrong is None and (row["media_id"] in made.values or row["media_id"] in values):
                wrong = "has a value already"
            if wrong is None:
                values[row["media_id"]] = row["value"]
            else:
                errors.append({"row": row, "error": wrong})
        entry = {"kind": "values_accepted", "dataset_id": call.dataset_id, "task_id": made.task_id}
        return [{**entry, "field_name": made.name, "values": values, "errors": errors}], {
            "status": "accepted"
        }

    def _status(self, call: Call) -> tuple[list[Entry], Any]:
        made = self._find(call)
        now = self._store.clock()
        if made.work is None:
            word = "INIT"
        elif not made.work.over(now):
            word = "RUNNING"
        else:
            word = "COMPLETED_WITH_ERRORS" if made.errors else "COMPLETED"
        return [], {
            "task_id": made.task_id,
            "status": word,
            "progress": 0 if made.work is None else made.work.progress(now),
            "inserted_rows": len(made.values),
            "error_count": len(made.errors),
            "sample_errors": made.errors[:SAMPLES],
        }

    def _find(self, call: Call) -> Field:
        made = self._fields.get(call.request.path_params["task"])
        if made is None or made.dataset_id != call.dataset_id:
            raise Refusal(404, "Task not found.")
        return made


def _text(_request: Request) -> Text:
    return Text()


def _content(body: Body) -> bytes | bytearray:
    if isinstance(body, Text):
        return body.content
    body.check()
    if [part.field_name for part in body.parts] != ["file"]:
        raise invalid("file", "field required")
    part = body.parts[0]
    check_is_file(part)
    return part.path.read_bytes() if part.path is not None else b""


def _parsed(content: bytes | bytearray) -> Any:
    try:
        return json.loads(content)
    except ValueError as exc:
        raise invalid("body", f"not JSON: {exc}") from exc


def _wrong(row: Any, known: set[str]) -> str | None:
    """Return what is wrong with a row."""
    if not isinstance(row, dict) or not isinstance(row.get("value"), str):
        return "media_id and value are wanted"
    if row.get("media_id") not in known:
        return "unknown media_id"
    return "value too long" if len(row["value"]) > LONGEST_VALUE else None
