"""`verify` asks the server for each file: what it lists is held against the ledger, kept, and reported without it."""

import csv
import io
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import vl_ingest.report
from conftest import MakeWorld
from vl_ingest import Ingest
from vl_ingest.domain.remote import ListedMedium, MediumKind
from vl_ingest.ledger import Ledger
from vl_ingest.proof.dataset import place
from vl_ingest.server import variables
from world import Ended, World

MOVIE = b"\0\0\0\x18ftypisom" + b"x" * 100
SCHEMA = json.loads((Path(vl_ingest.report.__file__).parent / "schema.json").read_text(encoding="utf-8"))


def verify(world: World, *options: str) -> tuple[Ended, dict[str, Any], dict[str, str]]:
    """Verify; return how it ended, what the check `dataset` says, and path -> reason of what differs."""
    ended = world.cli("verify", "job", "--no-files", "--json", *options)
    (line,) = [line for line in ended.lines if line.get("name") == "dataset"]
    differing = {line["path"]: line["reason"] for line in ended.lines if line["type"] == "difference"}
    return ended, line, differing


def table(world: World) -> dict[str, dict[str, str]]:
    """Return path -> row of the report as CSV."""
    rows = csv.DictReader(io.StringIO(world.cli("report", "job", "--format", "csv").out))
    return {row["path"]: row for row in rows}


def done(world: World, count: int = 6) -> World:
    """Return a world whose job is done."""
    world.pictures(count)
    assert world.run().code == 0
    return world


def test_every_file_is_asked_for_and_what_was_found_is_kept(world: World) -> None:
    """Each is there once: the check holds; the report says so without the server, with the ids that it gave."""
    done(world)
    before = table(world)
    assert {(row["in_dataset"], row["media_id"]) for row in before.values()} == {("", "")}
    assert "asks the server for each file" in world.cli("report", "job").out
    ended, line, differing = verify(world)
    assert (ended.code, line["held"], differing) == (0, True, {})
    assert (line["in_dataset"], line["items"], line["by"]) == (6, 6, "export")
    assert line["text"] == "6 files in the dataset by the server's own list, each once."
    with world.box.offline():
        after = table(world)
        assert {row["in_dataset"] for row in after.values()} == {"yes"}
        assert len({row["media_id"] for row in after.values()}) == 6
        facts = json.loads(world.cli("report", "job", "--format", "json").out)
        jsonschema.Draft202012Validator(SCHEMA).validate(facts)
        assert (facts["listed"]["files"], facts["listed"]["digest"]) == (6, line["digest"])
        page = world.cli("report", "job", "--format", "html").out
        assert "<dt>in the dataset</dt>" in page
        assert "each once (asked" in page
        assert "6, 0 missing" in world.cli("status", "job").out
    assert world.kinds()[-3:] == ["export_intended", "export_started", "dataset_listed"]
    assert world.box.record.exports_started() == 1
    assert world.cli("verify", "job", "--offline").code == 0


def test_what_the_server_swallowed_or_doubled_is_named(make_world: MakeWorld) -> None:
    """Both differ, each by name; the report has them as exceptions."""
    world = make_world(faults=["medium:swallow:name=p0001.png", "medium:double:name=p0003.png"])
    done(world)
    ended, line, differing = verify(world)
    assert (ended.code, line["held"]) == (3, False)
    assert differing == {
        "p0001.png": "is missing from the dataset",
        "p0003.png": "is in the dataset twice",
    }
    assert (line["in_dataset"], line["missing"], line["twice"]) == (5, 1, 1)
    rows = table(world)
    assert [rows[f"p000{n}.png"]["in_dataset"] for n in range(4)] == ["yes", "no", "yes", "twice"]
    facts = json.loads(world.cli("report", "job", "--format", "json").out)
    assert [row["path"] for row in facts["exceptions"]] == ["p0001.png", "p0003.png"]
    page = world.cli("report", "job", "--format", "html").out
    assert "missing from the dataset" in page
    assert "twice in the dataset" in page
    assert "missing from the dataset" in world.cli("files", "job").out


def test_what_was_not_sent_by_the_job_is_named(world: World) -> None:
    """Somebody else has added a medium to the dataset."""
    done(world)
    world.box.add_fault("add:elsewhere:seconds=0:times=1")
    import requests

    url = f"{world.box.url}/api/v1/dataset/{world.job().dataset_id}"
    assert requests.post(f"{url}/add_media", files={"s3_uri": "x"}, timeout=10).status_code >= 400
    assert requests.post(f"{url}/reindex", timeout=10).status_code < 500
    ended, line, differing = verify(world)
    assert (ended.code, line["unexpected"]) == (3, 1)
    assert differing == {"somebody-elses.jpg": "is in the dataset, and was not sent by this job"}


@pytest.mark.parametrize("frame_folder", ["name", "stem"])
def test_videos_are_listed_by_their_frames(make_world: MakeWorld, frame_folder: str) -> None:
    """Below the name or below the name without extension; swallowed and doubled ones are told as well."""
    world = make_world(
        frame_folder=frame_folder, faults=["medium:swallow:name=b.mov", "medium:double:name=c.mp4"]
    )
    world.pictures(2)
    for name in ("a.mp4", "b.mov", "c.mp4"):
        (world.folder / name).write_bytes(MOVIE + name.encode())
    assert world.run().code == 0
    ended, line, differing = verify(world)
    assert ended.code == 3
    assert differing == {"b.mov": "is missing from the dataset", "c.mp4": "is in the dataset twice"}
    assert (line["in_dataset"], line["unclear"]) == (4, 0)


def test_two_videos_of_one_stem_are_told_apart_only_where_both_are_there(make_world: MakeWorld) -> None:
    """One set of frames below a name that two may have: nobody can say whose, and nobody does."""
    world = make_world(frame_folder="stem", faults=["medium:swallow:name=a.mov"])
    for name in ("a.mp4", "a.mov", "b.mp4", "b.mov"):
        (world.folder / name).write_bytes(MOVIE + name.encode())
    assert world.run().code == 0
    ended, line, differing = verify(world)
    assert (ended.code, differing, line["unclear"], line["in_dataset"]) == (0, {}, 2, 2)
    assert "of 2 videos the list does not say" in line["text"]
    assert {path: row["in_dataset"] for path, row in table(world).items()} == {
        "a.mov": "", "a.mp4": "", "b.mov": "yes", "b.mp4": "yes",
    }  # fmt: skip


def test_the_list_of_ids_stands_in_for_an_export(make_world: MakeWorld) -> None:
    """Where there is no export; of videos it need not say anything."""
    world = make_world(
        without=["export"], faults=["medium:swallow:name=p0001.png", "medium:swallow:name=a.mp4"]
    )
    (world.folder / "a.mp4").write_bytes(MOVIE)
    done(world)
    ended, line, differing = verify(world)
    assert (ended.code, line["by"]) == (3, "ids")
    assert differing == {"p0001.png": "is missing from the dataset"}
    assert line["unclear"] == 1


KINDS = ["404", "403", "405", "500", "html-lost", "reset-after"]


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_list_everything_is_as_before(world: World, kind: str) -> None:
    """Missing, forbidden, broken, a page of HTML: no answer, no difference; noted once in the record."""
    done(world)
    for endpoint in ("export", "export-ids", "export-status", "tasks", "list", "health", "download"):
        world.box.add_fault(f"{endpoint}:{kind}")
    if kind == "reset-after":
        world.box.clear_faults()
        world.box.add_fault("export:reset-after")
        world.box.add_fault("export-ids:404")
    for _ in range(2):
        ended, line, differing = verify(world)
        assert (ended.code, line["held"], differing) == (0, None, {})
        assert line["text"].startswith("The server does not list what is in the dataset")
    assert world.kinds().count("endpoint_not_available") == (1 if kind == "reset-after" else 2), (
        "each endpoint once"
    )
    assert "dataset_listed" not in world.kinds()
    assert {row["in_dataset"] for row in table(world).values()} == {""}


@pytest.mark.parametrize("end", ["failed", "rejected"])
def test_an_export_that_comes_to_nothing_is_replaced_by_the_list_of_ids(world: World, end: str) -> None:
    """It is started once, and its end goes on record."""
    done(world)
    world.box.add_fault(f"exporting:{end}")
    ended, line, _ = verify(world)
    assert (ended.code, line["by"], line["in_dataset"]) == (0, "ids", 6)
    assert world.box.record.exports_started() == 1
    assert "export_ended" in world.kinds()


def test_an_export_whose_receipt_is_lost_is_not_asked_for_again(world: World) -> None:
    """One may be under way; the list of ids answers."""
    done(world)
    world.box.add_fault("export:lost-answer")
    _, line, _ = verify(world)
    assert line["by"] == "ids"
    assert world.box.record.exports_started() == 1
    assert "export_unknown" in world.kinds()


def test_an_export_takes_its_time_and_outlives_small_trouble(make_world: MakeWorld) -> None:
    """Readings are repeated: progress and download may fail in between."""
    world = done(make_world(exporting_s=1.0))
    world.box.add_fault("export-status:503:times=2")
    world.box.add_fault("download:cut-answer:times=1")
    ended, line, _ = verify(world)
    assert (ended.code, line["by"]) == (0, "export")
    assert world.box.record.exports_started() == 1


def test_an_export_that_nobody_read_is_waited_for_by_the_next(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process is killed while it waits: the next one waits for the same export."""
    from vl_ingest.sandbox import exports

    world = done(make_world(exporting_s=3600.0))
    with world.ledger() as ledger:
        export = _start_export(world)
        ledger.jobs.note(world.job().id, None, _kind("export_started"), export_id=export)
    monkeypatch.setattr(exports.Exports, "_word", lambda *_export: ("COMPLETED", 100))
    _, line, _ = verify(world)
    assert line["by"] == "export"
    assert world.box.record.exports_started() == 1


def test_a_list_that_is_cut_is_no_list(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """An export that names fewer media than it says: nothing is called missing on its word."""
    from vl_ingest.sandbox import exports

    done(world)
    write = exports.write_export

    def cut(path: Path, dataset: str, listed: Any) -> None:
        write(path, dataset, listed)
        _drop_last_item(path)

    monkeypatch.setattr(exports, "write_export", cut)
    _, line, differing = verify(world)
    assert (line["by"], differing) == ("ids", {})


def test_files_that_were_possibly_sent_twice_are_asked_about(world: World) -> None:
    """In words: asked, once; asked, twice."""
    world.pictures(10)
    world.box.add_fault("upload:lost-answer:times=1")
    world.box.add_fault("medium:swallow:name=p0001.png:times=1")
    assert world.run("--workers", "1").code == 0
    assert "possibly delivered twice" in world.cli("report", "job").out
    verify(world)
    told = world.cli("report", "job").out
    assert "5 sent again after a request without a receipt" in told
    assert "(asked: 1 once, 4 twice or more)" in told
    assert told.count("sent, asked: twice") == 4
    page = world.cli("report", "job", "--format", "html").out
    assert "asked: once" in page
    assert "asked: twice" in page


def test_an_older_report_is_not_contradicted_by_what_was_asked_since(world: World) -> None:
    """A table from before, and one of an earlier version's columns, are older; a changed answer contradicts."""
    done(world)
    report = world.place / "report.csv"
    assert world.cli("report", "job", "--output", str(report)).code == 0
    earlier = world.place / "earlier.csv"
    lines = report.read_text().splitlines()
    earlier.write_text("\n".join(line.rsplit(",", 4)[0] for line in lines) + "\n")
    verify(world)

    def held(path: Path) -> object:
        ended = world.cli("verify", "job", "--offline", "--no-files", "--json", "--report", str(path))
        return next(line["held"] for line in ended.lines if line.get("name") == "report")

    assert held(report) is None
    assert held(earlier) is True
    assert world.cli("report", "job", "--output", str(report)).code == 0
    assert held(report) is True
    report.write_text(report.read_text().replace(",yes,", ",no,", 1))
    assert held(report) is False


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE files SET listed = 2 WHERE path = 'p0003.png'",
        "UPDATE files SET listed = NULL WHERE path = 'p0003.png'",
        "UPDATE files SET media_id = 'other' WHERE path = 'p0003.png'",
    ],
)
def test_an_answer_that_was_touched_is_found(world: World, statement: str) -> None:
    """What the rows keep of the list is sealed by the event."""
    done(world)
    verify(world)
    with closing(sqlite3.connect(world.ledger_path)) as connection:
        connection.executescript(statement)
    ended = world.cli("verify", "job", "--offline", "--no-files", "--json")
    assert [line["name"] for line in ended.lines if line.get("held") is False] == ["requests"]


def test_a_ledger_that_can_not_be_written_to_is_verified_without(world: World) -> None:
    """Nothing is asked whose answer can't be kept; everything else is checked."""
    done(world)
    with Ledger(world.ledger_path, readonly=True) as book:
        made = {check.name: check.held for check in Ingest(book).verify("job")}
    assert made["dataset"] is None
    assert made["server"] is True
    assert world.box.record.exports_started() == 0


def test_a_token_goes_to_the_server_alone(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """The export lies in an object store, which refuses any other credential than its own address."""
    monkeypatch.setenv(variables.KEY, "key")
    monkeypatch.setenv(variables.SECRET, "s" * 40)
    world = done(make_world(credentials=("key", "s" * 40), object_store=True))
    ended, line, _ = verify(world)
    assert (ended.code, line["by"]) == (0, "export")
    assert [request["authorization"] for request in world.box.record.requests("download")] == [False]
    with closing(sqlite3.connect(world.ledger_path)) as connection:
        assert not any("Signature" in row for row in connection.iterdump())


def test_a_job_whose_dataset_is_ready_is_asked_for_though_nobody_watched(world: World) -> None:
    """The run did not wait; one that is not processed yet is not asked for."""
    world.pictures(3)
    assert world.run("--no-wait").code == 0
    ended, line, _ = verify(world)
    assert (ended.code, line["held"]) == (0, True)
    world.box.add_fault("status:word:to=INDEXING")
    ended = world.cli("verify", "job", "--json")
    assert [line["name"] for line in ended.lines if line["type"] == "check"][-1] == "server"


KNOWN = {"a.png": 1, "clip.mp4": 2, "clip.MOV": 3, "film.webm": 4, "output_000001.jpg": 5}


@pytest.mark.parametrize(
    ("path", "kind", "whose"),
    [
        ("a.png", MediumKind.IMAGE, 1),
        ("some/where/a.png", MediumKind.IMAGE, 1),
        ("b.png", MediumKind.IMAGE, "b.png"),
        ("clip.mp4/output_000001.jpg", MediumKind.FRAME, (2,)),
        ("x/clip/output_000001.jpg", MediumKind.FRAME, (2, 3)),
        ("film/output_000009.jpg", MediumKind.FRAME, (4,)),
        ("other.mp4/output_000009.jpg", MediumKind.FRAME, "other.mp4"),
        ("output_000001.jpg", MediumKind.FRAME, None),
        ("a.png", MediumKind.UNKNOWN, 1),
        ("clip.mp4", MediumKind.UNKNOWN, 2),
        ("clip.mp4/output_000001.jpg", MediumKind.UNKNOWN, (2,)),
        ("film/output_000009.jpg", MediumKind.UNKNOWN, (4,)),
        ("film/output_000001.jpg", MediumKind.UNKNOWN, 5),
        ("nowhere/z.png", MediumKind.UNKNOWN, "nowhere/z.png"),
    ],
)
def test_whose_a_medium_is(path: str, kind: MediumKind, whose: object) -> None:
    """By the last part of its path, or as a frame by the folder it lies in."""
    assert place(ListedMedium(path.rpartition("/")[2], "id", path, kind), KNOWN) == whose


def test_the_servers_own_file_name_counts_where_the_path_is_another() -> None:
    """A server may keep a file under a path of its own."""
    assert place(ListedMedium("a.png", "id", "store/0a1b.bin", MediumKind.IMAGE), KNOWN) == 1


def _kind(word: str) -> Any:
    from vl_ingest.domain.events import EventKind

    return EventKind.known(word)


def _start_export(world: World) -> str:
    import requests

    url = f"{world.box.url}/api/v1/dataset/{world.job().dataset_id}/export_context_async"
    return str(requests.get(url, params={"file_name": "x"}, timeout=10).json()["id"])


def _drop_last_item(path: Path) -> None:
    """Write the export again without its last medium."""
    import zipfile

    with zipfile.ZipFile(path) as archive:
        facts = json.loads(archive.read("metadata.json"))
    facts["media_items"].pop()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("metadata.json", json.dumps(facts))


def test_a_job_whose_files_are_missing_is_not_called_complete(world: World) -> None:
    """Once the record holds that, nobody says that nothing is left to do."""
    world.pictures(5)
    world.box.add_fault("medium:swallow:name=p0001.png:times=1")
    assert world.run().code == 0
    assert "Nothing is left to do." in world.cli("status").out
    assert world.cli("verify", "job").code == 3
    report, status, run = world.cli("report", "job"), world.cli("status"), world.run()
    assert "Ready, but 1 file missing from the dataset: 5 files acknowledged" in report.out
    for said in (status.out, run.err):
        assert "The server has acknowledged 1 file and does not list it" in said
        assert "othing is left to do" not in said
    assert "Complete" not in report.out
