"""The stand-in server takes more media into a dataset as documented: each request is upload and trigger in one."""

import io
import tarfile
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image

from vl_ingest.sandbox import Sandbox


def _png(color: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (4, 4), (color, 0, 0)).save(out, "PNG")
    return out.getvalue()


PICTURE, OTHER = _png(1), _png(2)
ADDING_S = 10.0


class Ready:
    """A sandbox with one dataset that is READY, on a clock that stands."""

    def __init__(self, root: Path, *, draft_s: float = 0.0) -> None:
        self.now = 0.0
        self.box = Sandbox(
            root=root, clock=lambda: self.now, draft_s=draft_s, adding_s=ADDING_S, reindexing_s=ADDING_S
        )

    def make(self) -> None:
        """Make the dataset."""
        made = requests.get(f"{self.box.url}/api/v1/ingestion/new_dataset?dataset_name=x", timeout=10)
        self.id = made.json()["dataset_id"]
        steps = f"{self.box.url}/api/v1/ingestion/{self.id}"
        opened = requests.get(f"{steps}/data_files", timeout=10).json()["trans_id"]
        files = [("files", ("first.png", PICTURE, "image/png"))]
        assert requests.post(f"{steps}/data_files/{opened}", files=files, timeout=10).status_code == 202
        assert requests.post(f"{steps}/process_files/{opened}", timeout=10).status_code == 202
        self.now += 1000

    def add(
        self, *files: tuple[str, Any], auto_reindex: str | None = "true", **data: str
    ) -> requests.Response:
        """Add media: (field, (name, content)) each."""
        if auto_reindex is not None:
            data["auto_reindex"] = auto_reindex
        forms: list[tuple[str, Any]] = [(name, (None, value)) for name, value in data.items()]
        return requests.post(self.path("add_media"), files=[*forms, *files], timeout=30)

    def path(self, what: str) -> str:
        """Return an address of the dataset."""
        return f"{self.box.url}/api/v1/dataset/{self.id}/{what}"

    @property
    def facts(self) -> Any:
        """What the status answers."""
        return requests.get(self.path("")[:-1], timeout=10).json()

    @property
    def word(self) -> str:
        """The status."""
        return str(self.facts["status_new"])

    @property
    def tasks(self) -> list[tuple[str, str]]:
        """Types and statuses of the dataset's tasks, the newest first."""
        found = requests.get(f"{self.box.url}/api/v1/tasks?dataset_id={self.id}", timeout=10).json()["tasks"]
        return [(task["task_type"], task["status"]) for task in found]


@pytest.fixture
def ready(tmp_path: Path) -> Iterator[Ready]:
    """Return a server with a dataset that is READY."""
    dataset = Ready(tmp_path / "server")
    with dataset.box:
        dataset.make()
        yield dataset


def one(name: str, content: bytes = OTHER) -> tuple[str, tuple[str, bytes]]:
    """Return a file of an addition."""
    return ("files", (name, content))


def tar(*members: tuple[str, bytes], mode: Any = "w") -> bytes:
    """Return an archive."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return out.getvalue()


def zipped(*members: tuple[str, bytes]) -> bytes:
    """Return a ZIP archive."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members:
            archive.writestr(name, content)
    return out.getvalue()


def test_an_addition_goes_through_the_documented_statuses(ready: Ready) -> None:
    """READY, READ ONLY, PARTIAL INDEX, and by a reindex READ ONLY, INDEXING, READY; each with its task."""
    added = ready.add(one("a.png"), one("b.png"), auto_reindex="false")
    assert (added.status_code, added.content) == (202, b"")
    assert (ready.word, ready.facts["n_images"]) == ("READ ONLY", 1)
    assert ready.tasks[0] == ("MEDIA_ADDITION", "RUNNING")
    ready.now += ADDING_S
    assert (ready.word, ready.facts["n_images"]) == ("PARTIAL INDEX", 3)
    assert ready.tasks[0] == ("MEDIA_ADDITION", "COMPLETED")
    ready.now += 1000
    assert ready.word == "PARTIAL INDEX"
    assert requests.post(ready.path("reindex"), timeout=10).status_code == 202
    words = []
    for _ in range(3):
        words.append(ready.word)
        ready.now += ADDING_S / 2
    assert words == ["READ ONLY", "INDEXING", "READY"]
    assert ready.tasks[0] == ("REINDEX", "COMPLETED")
    assert requests.post(ready.path("reindex"), timeout=10).status_code == 409
    assert (ready.box.record.additions_accepted(ready.id), ready.box.record.reindexes_accepted()) == (1, 1)
    assert ready.box.held(ready.id) == {"first.png": 1, "a.png": 1, "b.png": 1}


def test_auto_reindex_does_not_stop_in_between(ready: Ready) -> None:
    """From READ ONLY to READY in one go."""
    ready.add(one("a.png"))
    words = []
    for _ in range(5):
        words.append(ready.word)
        ready.now += ADDING_S / 2
    assert words == ["READ ONLY", "READ ONLY", "READ ONLY", "INDEXING", "READY"]
    assert [kind for kind, _ in ready.tasks] == ["REINDEX", "MEDIA_ADDITION", "DATASET_CREATION"]
    assert ready.box.record.reindexes_accepted(ready.id) == 1


def test_one_addition_at_a_time(ready: Ready) -> None:
    """409 for the next until the dataset is READY or PARTIAL INDEX again; 404 where there is none."""
    assert ready.add(one("a.png"), auto_reindex=None).status_code == 202
    assert ready.add(one("b.png")).status_code == 409
    ready.now += ADDING_S
    assert ready.add(one("b.png")).status_code == 202
    assert requests.post(ready.path("reindex"), timeout=10).status_code == 409
    ready.now += ADDING_S
    assert ready.add(one("c.png")).status_code == 409, "the reindex is running"
    ready.id = "none"
    assert ready.add(one("c.png")).status_code == 404


def test_the_status_may_lag_behind_an_addition(tmp_path: Path) -> None:
    """The old word stays for a while, and the next addition is refused all the same."""
    dataset = Ready(tmp_path / "server", draft_s=5)
    with dataset.box:
        dataset.make()
        assert dataset.add(one("a.png")).status_code == 202
        assert (dataset.word, dataset.add(one("b.png")).status_code) == ("READY", 409)
        dataset.now += 5
        assert dataset.word == "READ ONLY"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("more.tar", tar(("a.png", PICTURE), ("x/b.png", OTHER))),
        ("more.tar.gz", tar(("a.png", PICTURE), ("x/b.png", OTHER), mode="w:gz")),
        ("more.zip", zipped(("a.png", PICTURE), ("x/", b""), ("x/b.png", OTHER))),
    ],
)
def test_an_archive_is_as_good_as_its_files(ready: Ready, name: str, content: bytes) -> None:
    """Each member is received by its name, size and hash."""
    assert ready.add(("archive", (name, content))).status_code == 202
    ready.now += ADDING_S
    assert ready.box.held(ready.id) == {"first.png": 1, "a.png": 1, "x/b.png": 1}
    sizes = [(file.name, file.size_bytes) for file in ready.box.record.files(ready.id)[1:]]
    assert sizes == [("a.png", len(PICTURE)), ("x/b.png", len(OTHER))]


@pytest.mark.parametrize(
    ("files", "status"),
    [
        ([("auto_reindex", (None, "true"))], 400),
        ([one("a.png"), ("archive", ("x.tar", tar(("b.png", PICTURE))))], 400),
        ([("s3_uri", (None, "s3://bucket/x"))], 400),
        ([("archive", ("x.tar", b"no archive"))], 400),
        ([("archive", ("x.rar", tar(("b.png", PICTURE))))], 400),
        ([("archive", ("x.tar", tar()))], 400),
        ([("archive", ("x.tar", tar(("b.png", PICTURE)))), ("archive", ("y.tar", tar(("c.png", PICTURE))))], 400),
        ([("archive", ("x.tar", tar(("b.png", PICTURE), ("torn.png", b"torn"))))], 400),
        ([("archive", ("x.tar", tar(("b.png", PICTURE), ("notes.txt", b"x"))))], 400),
        ([("archive", ("x.tar", tar(("b.png", PICTURE), ("empty.png", b""))))], 400),
        ([one("a.png"), one("torn.png", b"torn")], 400),
        ([("files[]", ("a.png", PICTURE))], 422),
        ([one("a.png"), ("auto_reindex", (None, "perhaps"))], 422),
    ],
)  # fmt: skip
def test_an_addition_that_is_refused_adds_nothing(ready: Ready, files: list[Any], status: int) -> None:
    """No source or several, an address, what is no archive, one bad file in it."""
    assert ready.add(*files, auto_reindex=None).status_code == status
    assert ready.box.record.additions_accepted() == 0
    assert ready.word == "READY"


def test_a_refusal_names_the_file_in_the_archive(ready: Ready) -> None:
    """As for a batch, so that the culprit can be looked for."""
    refused = ready.add(("archive", ("x.tar", tar(("b.png", PICTURE), ("torn.png", b"torn")))))
    assert "torn.png" in refused.json()["detail"]


@pytest.mark.parametrize(
    ("fault", "carried_out"), [("lost-answer", 1), ("cut-answer", 1), ("reset-after", 0), ("reset-inside", 0)]
)
def test_the_answer_to_an_addition_may_be_lost(ready: Ready, fault: str, carried_out: int) -> None:
    """Before or after it was carried out."""
    ready.box.add_fault(f"add:{fault}")
    with pytest.raises(requests.RequestException):
        ready.add(one("a.png"))
    assert ready.box.record.additions_accepted(ready.id) == carried_out


def test_an_addition_may_be_carried_out_late(ready: Ready) -> None:
    """The connection is lost, and the media are there when nobody waits for them any more; cleared, it comes at once."""
    ready.box.add_fault("add:late:seconds=3600:times=1")
    with pytest.raises(requests.ConnectionError):
        ready.add(("files", ("late.png", OTHER)))
    assert ready.box.record.additions_accepted() == 0
    ready.box.clear_faults()
    deadline = time.monotonic() + 60
    while not ready.box.record.additions_accepted():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    ready.now += 1000
    assert ready.box.held(ready.id)["late.png"] == 1


def test_an_export_lists_what_there_was_when_it_was_begun(ready: Ready) -> None:
    """However much later it is fetched, and whatever has been added since."""
    begun = requests.get(ready.path("export_context_async"), timeout=10).json()["id"]
    assert ready.add(("files", ("later.png", OTHER))).status_code == 202
    ready.now += 1000
    told = requests.get(ready.path("export_status"), params={"export_task_id": begun}, timeout=10).json()
    assert (told["status"], told["entities_count"]) == ("COMPLETED", 1)
    content = requests.get(f"{ready.box.url}{told['download_uri']}", timeout=10).content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert b"later.png" not in archive.read("metadata.json")


def test_a_fault_may_mean_additions_that_hold_a_file(ready: Ready) -> None:
    """By the names of files, and of the members of an archive."""
    ready.box.add_fault("add:413:name=big*")
    assert ready.add(("archive", ("x.tar", tar(("big.png", PICTURE))))).status_code == 413
    assert ready.add(one("big.png")).status_code == 413
    assert ready.add(one("small.png")).status_code == 202


def test_somebody_else_may_add_media(ready: Ready) -> None:
    """A running addition of theirs means 409, and its medium is in the dataset; it is not counted as ours."""
    ready.box.add_fault("add:elsewhere:times=1:seconds=5")
    assert ready.add(one("a.png")).status_code == 409
    ready.now += 5
    assert ready.add(one("a.png")).status_code == 409, "it is reindexed"
    ready.now += ADDING_S
    assert ready.add(one("a.png")).status_code == 202
    ready.now += 1000
    assert ready.box.held(ready.id) == {"first.png": 1, "somebody-elses.jpg": 1, "a.png": 1}
    assert (ready.box.record.additions_accepted(), ready.box.record.reindexes_accepted()) == (1, 1)


def test_an_addition_may_fail(ready: Ready) -> None:
    """The task says why, the dataset is as it was."""
    ready.box.add_fault("addition:failed:times=1:message=No space left")
    assert ready.add(one("a.png")).status_code == 202
    ready.now += ADDING_S
    assert (ready.word, ready.tasks[0]) == ("READY", ("MEDIA_ADDITION", "FAILED"))
    assert ready.box.held(ready.id) == {"first.png": 1}


def test_a_reindex_may_fail(ready: Ready) -> None:
    """The status stays PARTIAL INDEX; the next one may do."""
    ready.box.add_fault("reindexing:failed:times=1")
    ready.add(one("a.png"))
    ready.now += 2 * ADDING_S
    assert (ready.word, ready.tasks[0]) == ("PARTIAL INDEX", ("REINDEX", "FAILED"))
    requests.post(ready.path("reindex"), timeout=10)
    ready.now += ADDING_S
    assert ready.word == "READY"


def test_the_indexer_may_swallow_what_is_added(ready: Ready) -> None:
    """As with the first upload."""
    ready.box.add_fault("medium:swallow:times=1")
    ready.add(one("a.png"), one("b.png"))
    ready.now += ADDING_S
    assert ready.box.held(ready.id) == {"first.png": 1, "b.png": 1}


def test_additions_outlive_a_restart(ready: Ready, tmp_path: Path) -> None:
    """They are in the record."""
    ready.add(one("a.png"), auto_reindex="false")
    with Sandbox(root=tmp_path / "server") as again:
        facts = requests.get(f"{again.url}/api/v1/dataset/{ready.id}", timeout=10).json()
        assert (facts["status_new"], facts["n_images"]) == ("PARTIAL INDEX", 2)
        assert again.held(ready.id) == {"first.png": 1, "a.png": 1}
