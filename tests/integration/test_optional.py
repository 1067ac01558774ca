"""The client's side of the optional endpoints, against the sandbox: one request each, and what its answer means."""

import hashlib
import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from vl_ingest.domain.errors import (
    BadRequest,
    Conflict,
    CredentialsRefused,
    FileTrouble,
    NotAvailable,
    NotDelivered,
    OutcomeUnknown,
    Throttled,
)
from vl_ingest.domain.model import Facts, FileRow, FileState
from vl_ingest.proof.listing import csv_media, export_media
from vl_ingest.sandbox import Sandbox
from vl_ingest.server import tokens
from vl_ingest.server.api import Api
from vl_ingest.server.archive import ArchiveBody
from vl_ingest.server.multipart import MultipartBody
from vl_ingest.server.optional import Extras
from vl_ingest.source.folder import Folder

KEY, SECRET = "key-of-the-tests", "s" * 40


class Dataset:
    """A dataset on a sandbox of its own, and the client that asks about it."""

    def __init__(self, place: Path, box: Sandbox, *, cloud: bool = False) -> None:
        self.place = place
        self.box = box
        self.tokens = tokens.from_key(KEY, SECRET) if cloud else tokens.Tokens(None)
        self.extras = Extras(box.url, self.tokens)
        self.files: list[FileRow] = []

    def process(self, count: int = 2) -> str:
        """Upload so many pictures, start their processing, and return the dataset's id."""
        api = Api(self.box.url, self.tokens)
        self.id = api.create_dataset("x")
        transaction = api.open_transaction(self.id)
        files = [self.picture(f"first{number}.png", number) for number in range(count)]
        path = api.upload_path(self.id, transaction)
        api.upload(path, MultipartBody(Folder(str(self.place)), files))
        api.trigger(self.id, transaction)
        return self.id

    def picture(self, name: str, color: int = 0) -> FileRow:
        """Write a picture and return its row."""
        path = self.place / name
        Image.new("RGB", (4, 4), (color, 0, 0)).save(path, "PNG")
        return self.row(path)

    def row(self, path: Path) -> FileRow:
        """Return a file's row."""
        seen = path.stat()
        return FileRow(1, path.name, path.name, Facts(seen.st_size, seen.st_mtime_ns), FileState.IN_FLIGHT)

    def archive(self, *files: FileRow, auto_reindex: bool = True) -> ArchiveBody:
        """Return an addition as an archive."""
        return ArchiveBody(Folder(str(self.place)), files, auto_reindex=auto_reindex)

    def task(self) -> Any:
        """Return the newest task."""
        return self.extras.tasks(self.id).tasks[0]

    def requests(self, endpoint: str) -> int:
        """Return how many requests came to an endpoint, once all are on record; nothing more can be asked."""
        self.box.stop_listening()
        return len(self.box.record.requests(endpoint))

    def export(self) -> io.BytesIO:
        """Return an export."""
        export = self.extras.start_export(self.id, "e")
        status = self.extras.export_status(self.id, export)
        assert status.uri is not None
        target = io.BytesIO()
        self.extras.download(status.uri, target)
        return target


MakeDataset = Callable[..., Dataset]


@pytest.fixture
def make_dataset(tmp_path: Path) -> Iterator[MakeDataset]:
    """Return what makes a dataset; its arguments are the sandbox's."""
    boxes: list[Sandbox] = []

    def make(*, cloud: bool = False, **options: Any) -> Dataset:
        credentials = (KEY, SECRET) if cloud else None
        box = Sandbox(root=tmp_path / f"server{len(boxes)}", credentials=credentials, **options)
        box.start_listening()
        boxes.append(box)
        place = tmp_path / "pictures"
        place.mkdir(exist_ok=True)
        return Dataset(place, box, cloud=cloud)

    yield make
    for box in boxes:
        box.close()


@pytest.fixture
def dataset(make_dataset: MakeDataset) -> Dataset:
    """Return a dataset that has been processed."""
    made = make_dataset()
    made.process()
    return made


def test_what_the_server_says_is_read(dataset: Dataset) -> None:
    """Health, datasets, tasks, an export's progress, the status of a creation."""
    extras = dataset.extras
    assert extras.health() == "healthy"
    listed = extras.datasets()
    assert [(one.id, one.name, one.status) for one in listed] == [(dataset.id, "x", "READY")]
    assert extras.creation_status(dataset.id) == ("READY", 100)
    page = extras.tasks(dataset.id)
    assert (page.total, page.page, len(page.tasks)) == (1, 1, 1)
    task = page.tasks[0]
    assert (task.type, task.status, task.dataset_id, task.progress) == (
        "DATASET_CREATION", "COMPLETED", dataset.id, 100,
    )  # fmt: skip
    assert task.began_at is not None
    export = extras.start_export(dataset.id, "e")
    status = extras.export_status(dataset.id, export)
    assert (status.status, status.count) == ("COMPLETED", 2)
    assert (status.uri or "no address") not in repr(status)


def test_tasks_come_in_pages(make_dataset: MakeDataset) -> None:
    """Each request is one page; filters go to the server."""
    dataset = make_dataset(check_images=False)
    made = [dataset.process(1) for _ in range(6)]
    pages = [dataset.extras.tasks(page=number, page_size=5) for number in (1, 2)]
    assert [task.dataset_id for page in pages for task in page.tasks] == made[::-1]
    assert len(dataset.box.record.requests("tasks")) == 2
    assert dataset.extras.tasks(made[0], task_type="REINDEX").tasks == ()
    assert dataset.extras.tasks(made[0], status="COMPLETED").total == 1


def test_an_export_is_read_into_a_file(dataset: Dataset) -> None:
    """Size and hash are those of what was written; the list is that of the CSV."""
    export = dataset.extras.start_export(dataset.id, "e")
    uri = dataset.extras.export_status(dataset.id, export).uri
    assert uri is not None
    target, ids = io.BytesIO(), io.BytesIO()
    received = dataset.extras.download(uri, target)
    content = target.getvalue()
    assert (received.size_bytes, received.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    dataset.extras.media_ids(dataset.id, ids)
    ids.seek(0)
    media = list(export_media(target))
    assert [medium.path for medium in media] == ["first0.png", "first1.png"]
    assert [(medium.path, medium.media_id) for medium in csv_media(ids)] == [
        (medium.path, medium.media_id) for medium in media
    ]


def test_a_token_goes_to_no_other_address(make_dataset: MakeDataset) -> None:
    """An export in an object store is fetched without; all else has one."""
    dataset = make_dataset(cloud=True, object_store=True)
    dataset.process()
    assert len(list(export_media(dataset.export()))) == 2
    assert {(request["endpoint"], request["authorization"]) for request in dataset.box.record.requests()} >= {
        ("download", False),
        ("export", True),
        ("export-status", True),
    }
    dataset.extras.media_ids(dataset.id, io.BytesIO())
    assert dataset.box.record.requests("export-ids")[0]["authorization"]
    assert [r["status"] for r in dataset.box.record.requests("download")] == [200]


def test_a_token_goes_to_an_export_below_the_base_url(make_dataset: MakeDataset) -> None:
    """On premises with credentials the server wants one there too."""
    dataset = make_dataset(cloud=True)
    dataset.process()
    assert len(list(export_media(dataset.export()))) == 2
    assert dataset.box.record.requests("download")[0]["authorization"]


def test_a_download_follows_no_redirect(make_dataset: MakeDataset) -> None:
    """Neither with a token nor without: what lies there is not available."""
    dataset, other = make_dataset(cloud=True), make_dataset()
    dataset.process()
    dataset.box.add_fault(f"download:redirect:to={other.box.url}/api/v1/healthcheck")
    with pytest.raises(NotAvailable):
        dataset.export()
    assert other.box.record.requests() == []


@pytest.mark.parametrize(
    "uri", ["file:///etc/passwd", "ftp://127.0.0.1/x", "//", "http:///x", "javascript:alert(1)"]
)
def test_an_export_that_lies_somewhere_odd_is_not_fetched(dataset: Dataset, uri: str) -> None:
    """Only HTTP addresses are followed."""
    with pytest.raises(NotAvailable):
        dataset.extras.download(uri, io.BytesIO())


def test_a_refusal_by_an_object_store_is_no_refusal_of_the_token(make_dataset: MakeDataset) -> None:
    """Its 401 renews no token, as none was sent."""
    dataset, store = make_dataset(cloud=True), make_dataset(faults=["health:401"])
    with pytest.raises(NotAvailable):
        dataset.extras.download(f"{store.box.url}/api/v1/healthcheck", io.BytesIO())
    dataset.box.add_fault("tasks:401")
    with pytest.raises(CredentialsRefused):
        dataset.extras.tasks()


def test_a_download_that_is_cut_can_be_repeated(dataset: Dataset) -> None:
    """Its outcome is unknown, which for a reading means: again."""
    dataset.box.add_fault("download:cut-answer:times=1")
    with pytest.raises(OutcomeUnknown):
        dataset.export()
    assert len(list(export_media(dataset.export()))) == 2


def test_a_disk_that_is_full_is_no_trouble_of_the_network(dataset: Dataset) -> None:
    """What can't be written is raised as it is."""

    class Full(io.BytesIO):
        def write(self, _data: Any) -> int:
            raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        dataset.extras.media_ids(dataset.id, Full())


READINGS: dict[str, Callable[[Dataset], object]] = {
    "list": lambda d: d.extras.datasets(),
    "health": lambda d: d.extras.health(),
    "creation-status": lambda d: d.extras.creation_status(d.id),
    "tasks": lambda d: d.extras.tasks(d.id),
    "export-status": lambda d: d.extras.export_status(d.id, "x"),
    "export-ids": lambda d: d.extras.media_ids(d.id, io.BytesIO()),
    "download": lambda d: d.extras.download(f"/api/v1/dataset/{d.id}/exports/x/e.zip", io.BytesIO()),
    "field-status": lambda d: d.extras.field_status(d.id, "x"),
}
EFFECTS: dict[str, Callable[[Dataset], object]] = {
    "retry": lambda d: d.extras.retry_task("x"),
    "abort": lambda d: d.extras.abort_task("x"),
    "export": lambda d: d.extras.start_export(d.id, "e"),
    "add": lambda d: d.extras.add_media(d.id, d.archive(d.picture("new.png"))),
    "reindex": lambda d: d.extras.reindex(d.id),
    "field": lambda d: d.extras.create_field(d.id, "f"),
    "values": lambda d: d.extras.set_values(d.id, "x", {"a": "b"}),
}
BOTH = {**READINGS, **EFFECTS}


@pytest.mark.parametrize("endpoint", BOTH)
@pytest.mark.parametrize("kind", ["403", "404", "405", "501"])
def test_an_endpoint_that_is_missing_or_forbidden_is_not_available(
    dataset: Dataset, endpoint: str, kind: str
) -> None:
    """One kind of error for all of them, with the status, after one request."""
    dataset.box.add_fault(f"{endpoint}:{kind}")
    with pytest.raises(NotAvailable) as caught:
        BOTH[endpoint](dataset)
    assert caught.value.http_status == int(kind)
    assert dataset.requests(endpoint) == 1


@pytest.mark.parametrize("endpoint", BOTH)
def test_a_server_without_what_is_optional_has_none_of_it(make_dataset: MakeDataset, endpoint: str) -> None:
    """404 for all of it."""
    dataset = make_dataset(without=["all"])
    dataset.process()
    with pytest.raises(NotAvailable):
        BOTH[endpoint](dataset)


@pytest.mark.parametrize("endpoint", sorted(READINGS.keys() - {"export-ids", "download"}))
@pytest.mark.parametrize(
    "shape", ["[1]", '{"data": []}', '"text"', "7", "null", '{"tasks": [1]}', '{"tasks": 1}']
)
def test_a_reading_in_another_form_is_not_available(dataset: Dataset, endpoint: str, shape: str) -> None:
    """Whatever JSON it is; files are judged by those who read them."""
    export = dataset.extras.start_export(dataset.id, "e")
    field = dataset.extras.create_field(dataset.id, "f")
    dataset.box.add_fault(f"{endpoint}:shape:body={shape}")
    readings: dict[str, Callable[[Dataset], object]] = {
        **READINGS,
        "export-status": lambda d: d.extras.export_status(d.id, export),
        "field-status": lambda d: d.extras.field_status(d.id, field),
    }
    with pytest.raises(NotAvailable):
        readings[endpoint](dataset)


@pytest.mark.parametrize("endpoint", READINGS)
def test_a_page_in_place_of_a_reading_is_not_available(dataset: Dataset, endpoint: str) -> None:
    """A proxy's, or a web application's that answers to every address."""
    dataset.box.add_fault(f"{endpoint}:html-lost")
    with pytest.raises(NotAvailable):
        READINGS[endpoint](dataset)


@pytest.mark.parametrize("endpoint", BOTH)
@pytest.mark.parametrize("kind", ["500", "503", "reset-after", "reset-before"])
def test_an_outage_is_an_unknown_outcome(dataset: Dataset, endpoint: str, kind: str) -> None:
    """As everywhere; readings may be repeated, effects are settled by who asked for them."""
    dataset.box.add_fault(f"{endpoint}:{kind}")
    with pytest.raises(OutcomeUnknown):
        BOTH[endpoint](dataset)
    assert dataset.requests(endpoint) == 1


@pytest.mark.parametrize("endpoint", EFFECTS)
def test_a_page_in_place_of_a_receipt_leaves_the_outcome_unknown(dataset: Dataset, endpoint: str) -> None:
    """An effect may have been carried out: that it is not available would be a guess."""
    dataset.box.add_fault(f"{endpoint}:html-lost")
    with pytest.raises(OutcomeUnknown):
        EFFECTS[endpoint](dataset)


@pytest.mark.parametrize("endpoint", BOTH)
def test_a_server_that_is_away_was_asked_nothing(dataset: Dataset, endpoint: str) -> None:
    """Refused connections are not delivered; a 429 is neither."""
    dataset.box.add_fault(f"{endpoint}:429:retry-after=7")
    with pytest.raises(Throttled) as caught:
        BOTH[endpoint](dataset)
    assert caught.value.retry_after_s == 7
    with dataset.box.offline(), pytest.raises(NotDelivered):
        BOTH[endpoint](dataset)


def test_failed_processing_is_retried_once(make_dataset: MakeDataset) -> None:
    """The task says why it failed; a second retry is a bad request."""
    dataset = make_dataset(faults=["processing:failed:times=1:message=Out of memory"])
    dataset.process()
    task = dataset.task()
    assert (task.status, task.error) == ("FAILED", "Out of memory")
    assert dataset.extras.retry_task(task.id).status == "INITIALIZING"
    with pytest.raises(BadRequest):
        dataset.extras.retry_task(task.id)
    assert dataset.box.record.retries_accepted(dataset.id) == 1


def test_processing_is_aborted_unless_it_is_too_late(make_dataset: MakeDataset) -> None:
    """409 is a conflict: too late."""
    dataset = make_dataset(indexing_s=3600)
    dataset.process()
    task = dataset.task()
    assert dataset.extras.abort_task(task.id).status == "ABORTED"
    with pytest.raises(Conflict):
        dataset.extras.abort_task(task.id)
    assert dataset.box.record.aborts_accepted(dataset.id) == 1


def test_media_are_added_as_files_and_as_an_archive(dataset: Dataset) -> None:
    """Each file arrives with its name, size and hash; with `auto_reindex` or without."""
    files = [dataset.picture(name, 9 + len(name)) for name in ("a.png", "für Oma.png", "x" * 120 + ".png")]
    body = dataset.archive(*files)
    assert dataset.extras.add_media(dataset.id, body) == 202
    more = dataset.picture("more.png", 77)
    plain = MultipartBody(Folder(str(dataset.place)), [more], fields={"auto_reindex": "false"})
    assert dataset.extras.add_media(dataset.id, plain) == 202
    arrived = dataset.box.record.files(dataset.id)[2:]
    assert [(one.name, one.size_bytes, one.sha256) for one in arrived] == [
        (file.sent_as, file.facts.size_bytes, digest)
        for file, digest in zip([*files, more], [*body.sha256s, *plain.sha256s], strict=True)
    ]
    asked = dataset.box.record.entries("addition_accepted")
    assert [entry["auto_reindex"] for entry in asked] == [True, False]
    assert dataset.extras.reindex(dataset.id) == 202
    with pytest.raises(Conflict):
        dataset.extras.reindex(dataset.id)


def test_one_bad_file_refuses_the_archive(dataset: Dataset) -> None:
    """A bad request that names it, for splitting."""
    torn = dataset.place / "torn.png"
    torn.write_bytes(b"torn")
    with pytest.raises(BadRequest, match=r"torn\.png"):
        dataset.extras.add_media(dataset.id, dataset.archive(dataset.picture("a.png"), dataset.row(torn)))


def test_an_addition_while_another_runs_is_a_conflict(dataset: Dataset) -> None:
    """Somebody else's, too."""
    dataset.box.add_fault("add:elsewhere:seconds=60")
    with pytest.raises(Conflict):
        dataset.extras.add_media(dataset.id, dataset.archive(dataset.picture("a.png")))
    assert dataset.box.record.additions_accepted() == 0


def test_a_file_that_changes_under_the_archive_abandons_the_request(dataset: Dataset) -> None:
    """The server takes nothing of it."""
    files = [dataset.picture("a.png"), dataset.picture("b.png")]
    (dataset.place / "b.png").write_bytes(b"changed")
    with pytest.raises(FileTrouble):
        dataset.extras.add_media(dataset.id, dataset.archive(*files))
    assert dataset.box.record.additions_accepted() == 0
    assert dataset.extras.tasks(dataset.id).total == 1


@pytest.mark.parametrize(("kind", "accepted"), [("lost-answer", 1), ("cut-answer", 1), ("reset-inside", 0)])
def test_the_outcome_of_an_addition_may_be_unknown(dataset: Dataset, kind: str, accepted: int) -> None:
    """It was carried out or not; one request either way."""
    dataset.box.add_fault(f"add:{kind}")
    with pytest.raises(OutcomeUnknown):
        dataset.extras.add_media(dataset.id, dataset.archive(dataset.picture("a.png")))
    assert dataset.box.record.additions_accepted() == accepted
    assert dataset.requests("add") == 1


def test_values_are_given_to_media_by_their_ids(dataset: Dataset) -> None:
    """A field, its values, and how far they are; errors that the server counts are told."""
    ids = [medium.media_id for medium in export_media(dataset.export())]
    task = dataset.extras.create_field(dataset.id, "original_path")
    dataset.extras.set_values(dataset.id, task, {ids[0]: "für Oma/a.png", "unknown": "x"})
    status = dataset.extras.field_status(dataset.id, task)
    assert (status.status, status.inserted, status.errors) == ("COMPLETED_WITH_ERRORS", 1, 1)
    assert "unknown media_id" in status.samples[0]
    assert dataset.box.record.values(dataset.id) == {"original_path": {ids[0]: "für Oma/a.png"}}
    with pytest.raises(Conflict):
        dataset.extras.create_field(dataset.id, "original_path")


def test_a_signature_is_logged_nowhere(make_dataset: MakeDataset, caplog: pytest.LogCaptureFixture) -> None:
    """The address of an export in an object store is a credential; it is written without."""
    caplog.set_level("DEBUG", logger="vl_ingest.request")
    dataset = make_dataset(object_store=True)
    dataset.process()
    dataset.export()
    assert "/bucket/" in caplog.text
    assert "Signature" not in caplog.text


def test_the_sandbox_is_asked_in_vain_for_what_does_not_exist(dataset: Dataset) -> None:
    """A task or export that is not there is a 404 like an endpoint that is not: nobody can tell them apart."""
    with pytest.raises(NotAvailable):
        dataset.extras.retry_task("none")
    assert requests.get(f"{dataset.box.url}/api/v1/nowhere", timeout=10).status_code == 404
