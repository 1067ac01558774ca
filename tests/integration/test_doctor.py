"""`doctor`: each check says what is the case, and the doctor changes nothing."""

import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from conftest import MakeWorld
from world import Ended, World

OLD_LEDGER = Path(__file__).parents[1] / "ledgers" / "0001.sql"
Check = Callable[..., dict[str, Any]]


def _doctor(world: World, *more: str) -> Ended:
    return world.cli("doctor", "--base-url", world.box.url, "--json", *more)


def _grades(ended: Ended) -> dict[str, str]:
    return {line["name"]: line["grade"] for line in ended.lines if line["type"] == "check"}


def _finding(ended: Ended, name: str) -> dict[str, Any]:
    return next(line for line in ended.lines if line.get("name") == name)


def _tree(place: Path) -> dict[Path, bytes | None]:
    return {
        path: path.read_bytes() if path.is_file() else None
        for path in place.rglob("*")
        if place / "server" not in path.parents
    }


def test_all_is_well(world: World) -> None:
    """Every check by its name, exit code 0, and the same for people."""
    ended = _doctor(world)
    assert ended.code == 0
    assert ended.summary == {"type": "summary", "exit_code": 0}
    grades = _grades(ended)
    assert list(grades) == [
        "program", "ledger", "ledger folder", "disk space", "open files", "proxy", "DNS", "TCP", "credentials", "clock",
        "optional",
    ]  # fmt: skip
    assert set(grades.values()) <= {"ok", "warning"}
    human = world.cli("doctor", "--base-url", world.box.url)
    assert human.code == 0
    for name in grades:
        assert name in human.out


def test_a_doctor_creates_and_changes_nothing(world: World) -> None:
    """Neither here, where a ledger is or is not, nor on the server."""
    before = _tree(world.place)
    _doctor(world, "--log-file", str(world.place / "log"))
    assert _tree(world.place) == before
    world.pictures(2)
    assert world.run().code == 0
    before, requests = _tree(world.place), len(world.box.record.requests())
    assert _doctor(world).code == 0
    assert _tree(world.place) == before
    asked = world.box.record.requests()[requests:]
    assert [request["endpoint"] for request in asked] == [
        "status",
        "tasks",
        "export-status",
        "export-ids",
        "list",
    ]
    assert {request["method"] for request in asked} == {"GET"}


def test_a_ledger_that_a_run_has_open_can_be_looked_at(world: World) -> None:
    """The doctor sees what is committed, and does not stand in the way."""
    world.pictures(1)
    assert world.run().code == 0
    with world.ledger() as ledger, ledger.db.write():
        ended = _doctor(world, "--offline")
    assert _finding(ended, "ledger")["jobs"] == 1


def test_damage_is_found(world: World) -> None:
    """A page of nonsense in the middle: exit code 4, and what to do."""
    world.pictures(300)
    assert world.run().code == 0
    content = bytearray(world.ledger_path.read_bytes())
    for page in range(8, len(content) // 4096):
        content[page * 4096 : page * 4096 + 4096] = b"\xa5" * 4096
    world.ledger_path.write_bytes(content)
    ended = _doctor(world, "--offline")
    assert ended.code == 4
    assert "Restore it from a copy" in _finding(ended, "ledger")["text"]


def test_something_that_is_no_ledger(world: World) -> None:
    """Exit code 4; it is left as it is."""
    world.ledger_path.write_text("shopping list, much longer than a header of SQLite would be ..." * 4)
    assert _doctor(world, "--offline").code == 4


def test_an_older_ledger_is_a_warning_and_is_not_upgraded(world: World) -> None:
    """The next run does that."""
    with sqlite3.connect(world.ledger_path) as connection:
        connection.executescript(OLD_LEDGER.read_text())
    connection.close()
    content = world.ledger_path.read_bytes()
    ended = _doctor(world)
    assert ended.code == 0
    assert _grades(ended)["ledger"] == "warning"
    assert world.ledger_path.read_bytes() == content


class _Disk(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.parametrize(("free", "grade", "code"), [(10**7, "failed", 4), (5 * 10**8, "warning", 0)])
def test_a_disk_that_is_nearly_full(
    world: World, monkeypatch: pytest.MonkeyPatch, free: int, grade: str, code: int
) -> None:
    """Little space is a warning, hardly any a failure."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _place: _Disk(10**12, 0, free))
    ended = _doctor(world, "--offline")
    assert ended.code == code
    assert _grades(ended)["disk space"] == grade


def test_folders_that_can_not_be_written_to(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ledger's is a failure of the ledger, the log's one of the options."""
    monkeypatch.setattr(os, "access", lambda _path, mode: not mode & os.W_OK)
    ended = _doctor(world, "--offline", "--log-file", str(world.place / "log"))
    assert ended.code == 4
    assert _grades(ended)["ledger folder"] == "failed"
    assert _grades(ended)["log"] == "failed"


def test_a_log_in_a_folder_that_is_not_there(world: World) -> None:
    """A run would end with 2."""
    assert _doctor(world, "--offline", "--log-file", str(world.place / "no" / "log")).code == 2
    (world.place / "log").touch()
    assert _doctor(world, "--offline", "--log-file", str(world.place / "log")).code == 0


@pytest.mark.skipif(os.name != "posix", reason="no such limit here")
def test_few_open_files_are_a_warning(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the number that would do."""
    import resource

    monkeypatch.setattr(resource, "getrlimit", lambda _what: (100, 100))
    ended = _doctor(world, "--offline")
    assert ended.code == 0
    assert "ulimit -n" in _finding(ended, "open files")["text"]


def test_a_server_that_is_away(world: World) -> None:
    """Temporary (5); what can't be asked then is not asked."""
    with world.box.offline():
        ended = _doctor(world)
    assert ended.code == 5
    assert _grades(ended)["TCP"] == "failed"
    assert "credentials" not in _grades(ended)


def test_a_name_without_an_address(world: World) -> None:
    """Temporary (5)."""
    ended = world.cli("doctor", "--base-url", "http://server.invalid", "--json")
    assert ended.code == 5
    assert _grades(ended)["DNS"] == "failed"


def test_a_server_that_does_not_answer_as_it_should(world: World) -> None:
    """Temporary (5): a run would try again."""
    world.box.add_fault("status:503")
    ended = _doctor(world)
    assert ended.code == 5
    assert _grades(ended)["credentials"] == "failed"


@pytest.mark.parametrize(
    ("status", "content_type", "body"),
    [
        (404, "text/html", b"<html><h1>404 Not Found</h1></html>"),  # a plain web server
        (200, "text/html", b"<html><form action=login></form></html>"),  # a captive portal
        (302, "text/html", b""),  # one that leads elsewhere
        (404, "application/json", b'{"message": "no such project"}'),  # another product's API
        (404, "application/json", b'{"detail": "Not Found"}'),  # one made with the same framework
        (200, "application/json", b'{"version": 7}'),
    ],
)
def test_something_else_at_that_address_is_no_all_clear(
    world: World, status: int, content_type: str, body: bytes
) -> None:
    """Only an answer in the API's form is one of the API: `doctor` and `auth check` refuse the others (7)."""

    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Type", content_type)
            self.send_header("Location", "/login")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_words: object) -> None:
            """Say nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever).start()
        address = ("--base-url", f"http://127.0.0.1:{server.server_address[1]}", "--json")
        doctor, check = world.cli("doctor", *address), world.cli("auth", "check", *address)
        server.shutdown()
    assert doctor.code == check.code == 7
    assert "not as the Visual Layer API does" in _finding(doctor, "credentials")["text"]
    assert "not as the Visual Layer API does" in check.summary["text"]


def test_credentials_that_are_refused(make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """None, wrong ones, right ones; no value is ever shown."""
    world = make_world(credentials=("key-of-the-tests", "secret-of-the-tests-that-is-long-enough"))
    ended = _doctor(world)
    assert ended.code == 7
    assert "requires credentials" in _finding(ended, "credentials")["text"]
    monkeypatch.setenv("VISUAL_LAYER_API_KEY", "key-of-the-tests")
    monkeypatch.setenv("VISUAL_LAYER_API_SECRET", "another-secret-than-that-long-enough-too")
    ended = _doctor(world)
    assert ended.code == 7
    assert "refuses the credentials" in _finding(ended, "credentials")["text"]
    assert "another-secret" not in ended.out + ended.err
    monkeypatch.setenv("VISUAL_LAYER_API_SECRET", "secret-of-the-tests-that-is-long-enough")
    assert _doctor(world).code == 0


def test_credentials_that_contradict_each_other(world: World) -> None:
    """A run would end with 2."""
    ended = _doctor(world, "--no-auth", "--token-file", str(world.place / "token"))
    assert ended.code == 2
    assert _grades(ended)["credentials"] == "failed"


def test_a_token_that_is_not_to_be_had(world: World) -> None:
    """A run would end with 7."""
    ended = _doctor(world, "--token-file", str(world.place / "nowhere"))
    assert ended.code == ended.summary["exit_code"] == 7
    assert "Can't read a token" in _finding(ended, "credentials")["text"]


def test_the_dataset_of_a_job_is_asked_for(world: World) -> None:
    """Where the ledger knows one, its status is the better proof."""
    world.pictures(1)
    assert world.run().code == 0
    finding = _finding(_doctor(world), "credentials")
    assert finding["status"] == "READY"
    assert str(world.job().dataset_id) in finding["text"]
