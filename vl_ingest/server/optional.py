"""What the server can be asked afterwards: a method an endpoint, exactly one request each, all of them optional.

Source of every protocol fact: the vendor's public pages and its public Python SDK; what they leave open stands beside
the method. `NotAvailable` says that this server has no such endpoint for us; everything has to work without it. What
has an effect goes over a fresh connection and is never repeated here.
"""

import json
from collections.abc import Callable
from typing import Any, BinaryIO, TypeVar
from urllib.parse import urlencode, urlsplit

from vl_ingest.domain.errors import (
    Answered,
    Conflict,
    CredentialsRefused,
    Denied,
    NotAvailable,
    OutcomeUnknown,
    Undocumented,
)
from vl_ingest.domain.remote import ExportStatus, FieldStatus, ListedDataset, Task, TaskPage, Values
from vl_ingest.server.answers import count, identifier, json_object, json_value, number, said
from vl_ingest.server.api import segment
from vl_ingest.server.body import Body, BytesBody
from vl_ingest.server.limits import ANSWER_BYTES
from vl_ingest.server.multipart import one_part
from vl_ingest.server.transport import Received, Transport
from vl_ingest.server.wire import Session

LARGEST_PAGE = 50
LIST_BYTES = 64 * 1024 * 1024  # the list of datasets has no pages
_MISSING = (405, 501)  # there is no such endpoint

T = TypeVar("T")


class Extras(Transport):
    """The optional endpoints, for any number of threads."""

    # Readings: harmless to repeat

    def health(self) -> str:
        """Return what the server says of its health; whether that wants a token is unknown."""
        return self._read("healthcheck", lambda answer: said(answer["status"]) or "")

    def datasets(self) -> list[ListedDataset]:
        """Return the datasets there are; whether drafts are among them is unknown."""
        params = {"sort_by": "date", "include_hidden": "false"}
        return self._read("datasets", _datasets, params, answer_bytes=LIST_BYTES)

    def creation_status(self, dataset_id: str) -> tuple[str, float | None]:
        """Return the status word of a dataset's creation, and its progress; the words are not documented."""
        return self._read(
            f"datasets/{segment(dataset_id)}/creation-status",
            lambda answer: (said(answer["status"]) or "", number(answer.get("progress"))),
        )

    def tasks(
        self,
        dataset_id: str | None = None,
        *,
        task_type: str | None = None,
        status: str | None = None,
        page: int = 1,
        page_size: int = LARGEST_PAGE,
    ) -> TaskPage:
        """Return a page (from 1, of 5 to 50) of the tasks, the newest first. History may end after 14 days."""
        params = {
            "dataset_id": dataset_id, "task_type": task_type, "task_status": status,
            "page": str(page), "page_size": str(page_size),
        }  # fmt: skip
        given = {name: value for name, value in params.items() if value is not None}
        return self._read("tasks", lambda answer: _page(answer, page), given)

    def export_status(self, dataset_id: str, export_id: str) -> ExportStatus:
        """Return how far an export is. Words seen: INIT, COMPLETED, FAILED, REJECTED; there may be others."""
        path = f"dataset/{segment(dataset_id)}/export_status"
        return self._read(path, _export, {"export_task_id": export_id})

    def field_status(self, dataset_id: str, task_id: str) -> FieldStatus:
        """Return how far a field's task is. Words seen: INIT, COMPLETED, COMPLETED_WITH_ERRORS."""
        return self._read(f"{_field_tasks(dataset_id)}/{segment(task_id)}/status", _field)

    def download(self, uri: str, target: BinaryIO) -> Received:
        """Read an export from where `export_status` says it lies into `target`; any size, nothing held in memory.

        A token goes with it only to the base URL's own origin; redirects are not followed.
        """
        url = self._resolved(uri)
        ours = _origin(url) == _origin(self.base_url)
        try:
            return _reading(lambda: self._receive(url, target, self.tokens.current() if ours else None))
        except CredentialsRefused as exc:
            if ours:
                raise
            raise NotAvailable(exc.detail, exc.http_status) from exc  # no token of ours is at fault

    def media_ids(self, dataset_id: str, target: BinaryIO) -> Received:
        """Read the CSV of a dataset's media (`filename`, `media_id`) into `target`; 409 unless `READY`."""
        url = f"{self.base_url}/api/v1/dataset/{segment(dataset_id)}/export_media_id"
        return _reading(lambda: self._receive(url, target, self.tokens.current()))

    # Effects: sent once, never repeated on a guess

    def retry_task(self, task_id: str) -> Task:
        """Let the server process again what was uploaded; return the task. 400: not one that can be retried."""
        return self._effect("POST", f"tasks/{segment(task_id)}/retry", 200, _task)

    def abort_task(self, task_id: str) -> Task:
        """Let the server stop processing; return the task. 409: too late."""
        return self._effect("POST", f"tasks/{segment(task_id)}/abort", 200, _task)

    def start_export(self, dataset_id: str, file_name: str) -> str:
        """Let the server begin an export, and return its id. A GET with a side effect. 409: not `READY`."""
        params = {"file_name": file_name, "export_format": "json", "include_images": "false"}
        path = f"dataset/{segment(dataset_id)}/export_context_async?{urlencode(params)}"
        return self._effect("GET", path, 200, lambda answer: identifier(answer, "id"))

    def add_media(self, dataset_id: str, body: Body) -> int:
        """Add media, which is upload and trigger in one; return the status of the receipt.

        `body` is a `MultipartBody` or an `ArchiveBody`, with the field `auto_reindex`; what it raises passes through.
        400: one file refuses all (or the dataset can't take any); 403: the feature is off; 409: not now.
        """
        path = f"dataset/{segment(dataset_id)}/add_media"

        def send() -> int:
            with Session() as session:
                return self._send_files(session, path, body)

        return _changing(send)

    def reindex(self, dataset_id: str) -> int:
        """Let the server index anew what was added; return the status of the receipt. 409: not `PARTIAL INDEX`."""
        _changing(lambda: self._fresh("POST", f"dataset/{segment(dataset_id)}/reindex", 202))
        return 202

    def create_field(self, dataset_id: str, name: str) -> str:
        """Make a custom metadata field of text, and return the id of its task. A name can be used once."""
        wanted = json.dumps({"field_name": name, "field_type": "string"}).encode()
        body = BytesBody(wanted, "application/json")
        return self._effect(
            "POST",
            _field_tasks(dataset_id),
            (200, 201, 202),
            lambda answer: identifier(answer, "task_id"),
            body,
        )

    def set_values(self, dataset_id: str, task_id: str, values: Values) -> None:
        """Give media (by id) their values, of up to `LONGEST_VALUE` characters; they can't be changed later."""
        rows = [{"media_id": media_id, "value": value} for media_id, value in values.items()]
        body = one_part("file", "values.json", json.dumps(rows).encode(), "application/json")
        path = f"{_field_tasks(dataset_id)}/{segment(task_id)}"
        _changing(lambda: self._fresh("POST", path, (200, 202), body=body))

    def _read(
        self,
        path: str,
        parse: Callable[[Any], T],
        params: dict[str, str] | None = None,
        answer_bytes: int = ANSWER_BYTES,
    ) -> T:
        def read() -> T:
            answer = self._send(self._session(), "GET", path, 200, params=params, answer_bytes=answer_bytes)
            value = json_value(answer)
            try:
                return parse(value)
            except (KeyError, TypeError, AttributeError) as exc:
                raise Undocumented("the answer has an unexpected form", 200) from exc

        return _reading(read)

    def _effect(
        self,
        method: str,
        path: str,
        receipt: int | tuple[int, ...],
        parse: Callable[[dict[str, Any]], T],
        body: Body | None = None,
    ) -> T:
        return _changing(lambda: parse(json_object(self._fresh(method, path, receipt, body=body))))

    def _resolved(self, uri: str) -> str:
        """Return the address of an export: absolute as it is, any other below the base URL."""
        if not urlsplit(uri).scheme and not uri.startswith("//"):
            return f"{self.base_url}/{uri.lstrip('/')}"
        if urlsplit(uri).scheme not in ("http", "https") or not urlsplit(uri).hostname:
            raise NotAvailable("the export lies where it can't be fetched from")
        return uri


def _reading(request: Callable[[], T]) -> T:
    """Make a request without an effect; any answer but the documented one, a 401 or a 409 means `NotAvailable`."""
    try:
        return request()
    except (CredentialsRefused, Conflict):
        raise
    except (Answered, Undocumented) as exc:
        unavailable = NotAvailable(exc.detail, exc.http_status)
        unavailable.in_form = exc.in_form
        raise unavailable from exc
    except OutcomeUnknown as exc:
        if exc.http_status in _MISSING:
            raise NotAvailable(exc.detail, exc.http_status) from exc
        raise


def _changing(request: Callable[[], T]) -> T:
    """Make a request with an effect; only an answer that says it was not carried out means `NotAvailable`."""
    try:
        return request()
    except (Denied, OutcomeUnknown) as exc:
        if exc.http_status in (403, 404, *_MISSING):
            raise NotAvailable(exc.detail, exc.http_status) from exc
        raise


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _field_tasks(dataset_id: str) -> str:
    return f"datasets/{segment(dataset_id)}/custom_metadata/tasks"


def _datasets(answer: Any) -> list[ListedDataset]:
    if not isinstance(answer, list):
        raise TypeError(answer)
    return [
        ListedDataset(
            identifier(item, "id"), said(item.get("display_name")),
            said(item.get("status_new") or item.get("status")), said(item.get("created_at")),
        )
        for item in answer
    ]  # fmt: skip


def _page(answer: Any, page: int) -> TaskPage:
    if not isinstance(answer["tasks"], list):
        raise TypeError(answer)
    return TaskPage(tuple(map(_task, answer["tasks"])), count(answer.get("total")), page)


def _task(item: dict[str, Any]) -> Task:
    return Task(
        id=identifier(item, "task_id"),
        dataset_id=said(item.get("dataset_id")),
        type=said(item.get("task_type")) or "",
        status=said(item.get("status")) or "",
        progress=number(item.get("progress_percentage")),
        message=said(item.get("status_message")),
        error=said(item.get("error_message")),
        start_time=said(item.get("start_time")),
        end_time=said(item.get("end_time")),
        created_by=said(item.get("created_by")),
    )


def _export(answer: Any) -> ExportStatus:
    uri = answer.get("download_uri")
    return ExportStatus(
        status=said(answer["status"]) or "",
        progress=number(answer.get("progress")),
        uri=uri if isinstance(uri, str) and uri else None,
        count=count(answer.get("entities_count")),
        message=said(answer.get("result_message")),
    )


def _field(answer: Any) -> FieldStatus:
    samples = answer.get("sample_errors")
    return FieldStatus(
        status=said(answer["status"]) or "",
        progress=number(answer.get("progress")),
        inserted=count(answer.get("inserted_rows")),
        errors=count(answer.get("error_count")),
        samples=tuple(said(sample) or "" for sample in samples) if isinstance(samples, list) else (),
    )
