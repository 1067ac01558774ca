"""The stand-in server's optional endpoints follow the public facts too: tasks, exports, lists, custom metadata."""

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jwt
import pytest
import requests

from vl_ingest.sandbox import Sandbox

SECRET = "s" * 40


class Clock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Server:
    """A sandbox and what a test asks of it."""

    def __init__(self, box: Sandbox, clock: Clock) -> None:
        self.box = box
        self.clock = clock

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        """Send a request below `/api/v1`."""
        return requests.request(method, f"{self.box.url}/api/v1/{path}", timeout=30, **more)

    def get(self, path: str, **params: Any) -> Any:
        """Return what a reading answers."""
        answer = self.ask("GET", path, params=params)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def processed(self, *names: str) -> str:
        """Make a dataset of files with these names, start its processing, and return its id."""
        dataset = str(self.get("ingestion/new_dataset", dataset_name="x")["dataset_id"])
        transaction = self.get(f"ingestion/{dataset}/data_files")["trans_id"]
        files = [("files", (name, name.encode(), "image/png")) for name in names]
        sent = self.ask("POST", f"ingestion/{dataset}/data_files/{transaction}", files=files)
        assert sent.status_code == 202, sent.text
        assert self.ask("POST", f"ingestion/{dataset}/process_files/{transaction}").status_code == 202
        return dataset

    def task(self, dataset: str) -> Any:
        """Return the newest task of a dataset."""
        return self.get("tasks", dataset_id=dataset)["tasks"][0]

    def word(self, dataset: str) -> str:
        """Return the status of a dataset."""
        return str(self.get(f"dataset/{dataset}")["status_new"])

    def listed(self, dataset: str) -> list[dict[str, Any]]:
        """Return what an export lists."""
        export = self.get(f"dataset/{dataset}/export_context_async", file_name="e")["id"]
        uri = self.get(f"dataset/{dataset}/export_status", export_task_id=export)["download_uri"]
        found = requests.get(self.box.url + uri, timeout=30)
        with zipfile.ZipFile(io.BytesIO(found.content)) as archive:
            return list(json.loads(archive.read("metadata.json"))["media_items"])


Serve = Callable[..., Server]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Return what starts a server that looks at names, not into pictures, on a clock that stands."""
    boxes: list[Sandbox] = []

    def start(**options: Any) -> Server:
        clock = Clock()
        root = tmp_path / f"server{len(boxes)}"
        box = Sandbox(root=root, check_images=False, clock=clock, **options)
        box.start_listening()
        boxes.append(box)
        return Server(box, clock)

    yield start
    for box in boxes:
        box.close()


def test_the_task_of_a_dataset_goes_on_with_its_processing(serve: Serve) -> None:
    """Type, status, times and progress follow the work; before the trigger there is no task."""
    server = serve(draft_s=5, indexing_s=100)
    dataset = server.get("ingestion/new_dataset", dataset_name="x")["dataset_id"]
    assert server.get("tasks", dataset_id=dataset)["tasks"] == []
    dataset = server.processed("a.png")
    told = []
    for seconds in (0, 5, 50, 60):
        server.clock.now += seconds
        task = server.task(dataset)
        told.append((task["task_type"], task["status"], task["progress_percentage"], bool(task["end_time"])))
    assert told == [
        ("DATASET_CREATION", "INITIALIZING", 0, False),
        ("DATASET_CREATION", "RUNNING", 0, False),
        ("DATASET_CREATION", "RUNNING", 50, False),
        ("DATASET_CREATION", "COMPLETED", 100, True),
    ]


def test_tasks_are_listed_in_pages_the_newest_first(serve: Serve) -> None:
    """`page_size` is 5 to 50, filters count before paging."""
    server = serve()
    made = [server.processed("a.png") for _ in range(7)]
    pages = [server.get("tasks", page=page, page_size=5) for page in (1, 2, 3)]
    assert [task["dataset_id"] for page in pages for task in page["tasks"]] == made[::-1]
    assert {page["total"] for page in pages} == {7}
    assert server.get("tasks", dataset_id=made[3])["total"] == 1
    assert server.get("tasks", task_type="REINDEX")["total"] == 0
    assert server.get("tasks", task_status="COMPLETED")["total"] == 7
    newest = pages[0]["tasks"][0]["start_time"]
    assert server.get("tasks", start_time_from=newest)["tasks"][0]["dataset_id"] == made[-1]
    for size in (4, 51):
        assert server.ask("GET", "tasks", params={"page_size": size}).status_code == 422


@pytest.mark.parametrize(
    ("tasks", "before", "after"),
    [
        ("trigger", [], ["COMPLETED"]),
        ("create", ["INITIALIZING"], ["COMPLETED"]),
        ("waiting", ["INITIALIZING"], ["INITIALIZING"]),
        ("never", [], []),
    ],
)
def test_nobody_knows_when_a_task_appears(
    serve: Serve, tasks: str, before: list[str], after: list[str]
) -> None:
    """With the trigger, with the dataset, only to lie in the harmless direction, or not at all."""
    server = serve(tasks=tasks)
    dataset = server.get("ingestion/new_dataset", dataset_name="x")["dataset_id"]
    assert [task["status"] for task in server.get("tasks", dataset_id=dataset)["tasks"]] == before
    dataset = server.processed("a.png")
    assert [task["status"] for task in server.get("tasks", dataset_id=dataset)["tasks"]] == after


def test_tasks_may_lag(serve: Serve) -> None:
    """They are shown as they were some time ago, while the status is as it is."""
    server = serve(tasks_lag_s=10)
    dataset = server.processed("a.png")
    assert server.word(dataset) == "READY"
    assert server.get("tasks")["tasks"] == []
    server.clock.now += 10
    assert server.task(dataset)["status"] == "COMPLETED"


def test_processing_that_failed_can_be_retried(serve: Serve) -> None:
    """The same task processes again what was uploaded; nothing else can be retried."""
    server = serve(indexing_s=10, faults=["processing:failed:times=2:message=Out of memory"])
    dataset = server.processed("a.png", "b.png")
    task = server.task(dataset)
    assert server.ask("POST", f"tasks/{task['task_id']}/retry").status_code == 400
    assert server.ask("POST", "tasks/none/retry").status_code == 404
    for _ in range(2):
        server.clock.now += 10
        assert (server.word(dataset), server.task(dataset)["error_message"]) == ("ERROR", "Out of memory")
        retried = server.ask("POST", f"tasks/{task['task_id']}/retry")
        assert (retried.status_code, retried.json()["status"]) == (200, "INITIALIZING")
        assert server.word(dataset) == "INDEXING"
        assert server.ask("POST", f"tasks/{task['task_id']}/retry").status_code == 400
    server.clock.now += 10
    assert (server.word(dataset), server.get(f"dataset/{dataset}")["n_images"]) == ("READY", 2)
    assert (server.box.record.retries_accepted(dataset), server.box.record.triggers_accepted()) == (2, 1)


def test_processing_can_be_aborted_until_its_last_step(serve: Serve) -> None:
    """409 when it is nearly or quite over; an aborted one can be retried."""
    server = serve(indexing_s=100)
    late, dataset = server.processed("a.png"), server.processed("b.png")
    task = server.task(dataset)["task_id"]
    server.clock.now += 50
    aborted = server.ask("POST", f"tasks/{task}/abort")
    assert (aborted.status_code, aborted.json()["status"]) == (200, "ABORTED")
    assert (server.word(dataset), server.task(dataset)["status"]) == ("ERROR", "ABORTED")
    server.clock.now += 45
    assert server.ask("POST", f"tasks/{server.task(late)['task_id']}/abort").status_code == 409
    assert server.ask("POST", f"tasks/{task}/abort").status_code == 409
    assert server.ask("POST", "tasks/none/abort").status_code == 404
    assert server.ask("POST", f"tasks/{task}/retry").status_code == 200
    assert (server.box.record.aborts_accepted(dataset), server.box.record.aborts_accepted(late)) == (1, 0)


def test_an_export_lists_images_and_the_frames_of_videos(serve: Serve) -> None:
    """The ZIP's metadata.json and the CSV of ids tell the same media, videos by their frames."""
    server = serve()
    dataset = server.processed("a.png", "clip.mp4")
    items = server.listed(dataset)
    assert [(item["media_type"], item["file_path"]) for item in items] == [
        ("image", "a.png"),
        *(("video_frame", f"clip.mp4/output_{number:06}.jpg") for number in (1, 2, 3)),
    ]
    text = server.ask("GET", f"dataset/{dataset}/export_media_id").text
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [(row["filename"], row["media_id"]) for row in rows] == [
        (item["file_path"], item["media_id"]) for item in items
    ]
    assert len({row["media_id"] for row in rows}) == 4


def test_an_export_takes_its_time_and_wants_a_dataset_that_is_ready(serve: Serve) -> None:
    """409 while processing; then INIT without an address, and COMPLETED with one."""
    server = serve(indexing_s=10, exporting_s=10)
    dataset = server.processed("a.png")
    for path in ("export_context_async", "export_media_id"):
        assert server.ask("GET", f"dataset/{dataset}/{path}").status_code == 409
    server.clock.now += 10
    export = server.get(f"dataset/{dataset}/export_context_async")["id"]
    server.clock.now += 5
    told = server.get(f"dataset/{dataset}/export_status", export_task_id=export)
    assert (told["status"], told["progress"], told["download_uri"]) == ("INIT", 50, None)
    server.clock.now += 5
    told = server.get(f"dataset/{dataset}/export_status", export_task_id=export)
    assert (told["status"], told["entities_count"]) == ("COMPLETED", 1)
    assert server.box.record.exports_started(dataset) == 1


@pytest.mark.parametrize(("fault", "word"), [("rejected", "REJECTED"), ("failed", "FAILED")])
def test_an_export_may_come_to_nothing(serve: Serve, fault: str, word: str) -> None:
    """It ends REJECTED or FAILED without an address; the next one may not."""
    server = serve(faults=[f"exporting:{fault}:times=1"])
    dataset = server.processed("a.png")
    export = server.get(f"dataset/{dataset}/export_context_async")["id"]
    told = server.get(f"dataset/{dataset}/export_status", export_task_id=export)
    assert (told["status"], told["download_uri"]) == (word, None)
    assert len(server.listed(dataset)) == 1


def test_the_indexer_may_swallow_and_double_media(serve: Serve) -> None:
    """What was accepted is then missing, or there twice, in exports, counts, and for the test."""
    server = serve(faults=["medium:swallow:name=b*", "medium:double:name=c*"])
    dataset = server.processed("a.png", "b.png", "c.mp4")
    assert [item["file_path"] for item in server.listed(dataset)] == [
        "a.png",
        *[f"c.mp4/output_{number:06}.jpg" for number in (1, 2, 3)] * 2,
    ]
    assert server.box.held(dataset) == {"a.png": 1, "c.mp4": 2}
    status = server.get(f"dataset/{dataset}")
    assert (status["n_images"], status["n_videos"]) == (1, 2)
    held = requests.get(f"{server.box.url}/sandbox/media?dataset_id={dataset}", timeout=10).json()
    assert held == server.box.held(dataset)


@contextmanager
def _cloud(tmp_path: Path) -> Iterator[tuple[Server, dict[str, str]]]:
    claims = {"sub": "key", "iss": "sdk", "iat": 1, "exp": 4_000_000_000}
    token = jwt.encode(claims, SECRET, algorithm="HS256", headers={"kid": "key"})
    clock = Clock()
    with Sandbox(
        root=tmp_path / "server", credentials=("key", SECRET), check_images=False, object_store=True, clock=clock
    ) as box:  # fmt: skip
        yield Server(box, clock), {"Authorization": f"Bearer {token}"}


def test_the_object_store_refuses_a_token(tmp_path: Path) -> None:
    """An export lies at an absolute address on another port; the link alone opens it, and a token is refused."""
    with _cloud(tmp_path) as (server, headers):
        made = server.ask("GET", "ingestion/new_dataset", params={"dataset_name": "x"}, headers=headers)
        dataset = made.json()["dataset_id"]
        opened = server.ask("GET", f"ingestion/{dataset}/data_files", headers=headers).json()["trans_id"]
        upload, trigger = (f"ingestion/{dataset}/{step}/{opened}" for step in ("data_files", "process_files"))
        server.ask("POST", upload, headers=headers, files=[("files", ("a.png", b"x", "image/png"))])
        assert server.ask("POST", trigger, headers=headers).status_code == 202
        export = server.ask("GET", f"dataset/{dataset}/export_context_async", headers=headers).json()["id"]
        status = f"dataset/{dataset}/export_status?export_task_id={export}"
        uri = server.ask("GET", status, headers=headers).json()["download_uri"]
        assert not uri.startswith(server.box.url)
        assert requests.get(uri, timeout=10).status_code == 200
        assert requests.get(uri, headers=headers, timeout=10).status_code == 400
        assert requests.get(uri.partition("?")[0], timeout=10).status_code == 403
        asked = server.box.record.requests("download")
        assert [request["authorization"] for request in asked] == [False, True, False]


def test_the_list_of_datasets_holds_them_all_or_all_but_drafts(serve: Serve) -> None:
    """A bare array, without pages."""
    for list_drafts, expected in ((True, 2), (False, 1)):
        server = serve(list_drafts=list_drafts)
        server.get("ingestion/new_dataset", dataset_name="draft")
        dataset = server.processed("a.png")
        listed = server.get("datasets", sort_by="date", include_hidden="false")
        assert len(listed) == expected
        assert (listed[0]["id"], listed[0]["display_name"], listed[0]["n_images"]) == (dataset, "x", 1)


def test_a_deleted_dataset_is_gone(serve: Serve) -> None:
    """404 for everything about it."""
    server = serve()
    dataset = server.processed("a.png")
    assert server.ask("DELETE", f"dataset/{dataset}").status_code == 200
    assert server.ask("GET", f"dataset/{dataset}").status_code == 404
    assert server.ask("DELETE", f"dataset/{dataset}").status_code == 404
    assert server.get("datasets") == []


def test_health_and_the_status_of_a_creation_are_told(serve: Serve) -> None:
    """As the vendor's examples have them."""
    server = serve(indexing_s=10)
    assert server.get("healthcheck") == {"status": "healthy"}
    dataset = server.processed("a.png")
    server.clock.now += 5
    assert server.get(f"datasets/{dataset}/creation-status") == {"status": "INDEXING", "progress": 50}


def test_values_of_a_field_come_in_parts_and_stay(serve: Serve) -> None:
    """As a multipart field or as JSON; unknown media, long values and second values are counted errors."""
    server = serve(values_s=10)
    dataset = server.processed("a.png", "b.png")
    ids = [item["media_id"] for item in server.listed(dataset)]
    path = f"datasets/{dataset}/custom_metadata/tasks"
    field = {"field_name": "original_path", "field_type": "string"}
    task = server.ask("POST", path, json=field).json()
    assert task["status"] == "INIT"
    assert server.ask("POST", path, json=field).status_code == 409
    one = f"{path}/{task['task_id']}"
    first = json.dumps([{"media_id": ids[0], "value": "x/a.png"}])
    assert server.ask("POST", one, files={"file": ("values.json", first)}).status_code == 202
    assert server.get(f"{one}/status")["status"] == "RUNNING"
    assert server.ask("POST", one, json=[]).status_code == 409
    server.clock.now += 10
    assert server.get(f"{one}/status")["status"] == "COMPLETED"
    second = [
        {"media_id": ids[0], "value": "other"},
        {"media_id": "none", "value": "x"},
        {"media_id": ids[1], "value": "v" * 256},
    ]
    assert server.ask("POST", one, json=second).status_code == 202
    server.clock.now += 10
    told = server.get(f"{one}/status")
    assert (told["status"], told["inserted_rows"], told["error_count"]) == ("COMPLETED_WITH_ERRORS", 1, 3)
    assert [error["error"] for error in told["sample_errors"]] == [
        "has a value already",
        "unknown media_id",
        "value too long",
    ]
    assert server.box.record.values(dataset) == {"original_path": {ids[0]: "x/a.png"}}
    types = [task["task_type"] for task in server.get("tasks", dataset_id=dataset)["tasks"]]
    assert types == ["CUSTOM_METADATA", "DATASET_CREATION"]


@pytest.mark.parametrize(
    ("fault", "status", "begins"),
    [
        ("tasks:403", 403, '{"detail"'),
        ("tasks:405", 405, '{"detail"'),
        ("tasks:500", 500, '{"detail"'),
        ("tasks:html", 200, "<!doctype html>"),
        ("tasks:shape", 200, '{"data": []}'),
        ("tasks:shape:body=[1, 2]", 200, "[1, 2]"),
    ],
)
def test_an_optional_endpoint_may_answer_in_another_form(
    serve: Serve, fault: str, status: int, begins: str
) -> None:
    """Forbidden, not allowed, broken, a page, other JSON."""
    answer = serve(faults=[fault]).ask("GET", "tasks")
    assert (answer.status_code, answer.text[: len(begins)]) == (status, begins)


def test_a_server_may_lack_what_is_optional(serve: Serve) -> None:
    """404 for the features that it is without, and nothing else changes."""
    server = serve(without=["tasks,export", "list"])
    dataset = server.processed("a.png")
    assert server.word(dataset) == "READY"
    for method, path in (
        ("GET", "tasks"), ("POST", "tasks/x/retry"), ("POST", "tasks/x/abort"), ("GET", "datasets"),
        ("GET", f"dataset/{dataset}/export_context_async"), ("GET", f"dataset/{dataset}/export_status"),
    ):  # fmt: skip
        answer = server.ask(method, path)
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
    assert server.ask("GET", f"dataset/{dataset}/export_media_id").status_code == 200
    with pytest.raises(ValueError, match="Unknown feature: 'taks'"):
        serve(without=["taks"])


def test_the_status_may_have_a_word_that_nobody_knows(serve: Serve) -> None:
    """In both fields, whatever the state."""
    server = serve(faults=["status:word:to=MELLOW"])
    status = server.get(f"dataset/{server.processed('a.png')}")
    assert (status["status_new"], status["status"]) == ("MELLOW", "MELLOW")


@pytest.mark.parametrize("fault", ["lost-answer", "cut-answer", "reset-after"])
def test_the_answer_to_a_retry_may_be_lost_before_or_after_it_was_carried_out(
    serve: Serve, fault: str
) -> None:
    """The faults of the first steps are those of the optional endpoints."""
    server = serve(indexing_s=10, faults=["processing:failed:times=1", f"retry:{fault}"])
    dataset = server.processed("a.png")
    server.clock.now += 10
    with pytest.raises(requests.RequestException):
        server.ask("POST", f"tasks/{server.task(dataset)['task_id']}/retry").json()
    carried_out = fault != "reset-after"
    assert server.box.record.retries_accepted() == carried_out
    assert server.word(dataset) == ("INDEXING" if carried_out else "ERROR")


def test_a_sandbox_that_is_started_again_remembers_what_was_asked_afterwards(tmp_path: Path) -> None:
    """Retries, exports and fields outlive the process, as the first steps do."""
    root = tmp_path / "server"
    with Sandbox(root=root, check_images=False, faults=["processing:failed:times=1"]) as box:
        server = Server(box, Clock())
        dataset = server.processed("a.png")
        assert server.ask("POST", f"tasks/{server.task(dataset)['task_id']}/retry").status_code == 200
        export = server.get(f"dataset/{dataset}/export_context_async")["id"]
        path = f"datasets/{dataset}/custom_metadata/tasks"
        task = server.ask("POST", path, json={"field_name": "f", "field_type": "string"}).json()["task_id"]
    with Sandbox(root=root, check_images=False) as box:
        server = Server(box, Clock())
        assert (server.word(dataset), server.task(dataset)["status"]) == ("READY", "INITIALIZING")
        told = server.get(f"dataset/{dataset}/export_status", export_task_id=export)
        assert told["status"] == "COMPLETED"
        assert server.get(f"{path}/{task}/status")["status"] == "INIT"
