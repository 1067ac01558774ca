"""What is written of a run: the log, the lines of `-q`, `-v` and `-vv`, and what is left of a mistake of ours."""

import json
import logging
import os
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from conftest import MakeWorld
from vl_ingest import job
from world import World

KEY, SECRET = "key-of-the-tests", "secret-of-the-tests-that-nobody-may-read"


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _human(world: World, *more: str) -> list[str]:
    return [word for word in world.arguments(*more) if word != "--json"]


def test_each_line_says_when_who_and_what(world: World) -> None:
    """UTC, level, run, job, event and facts in every line, from the beginning to the end."""
    world.pictures(7)
    assert world.run("--log-file", str(world.place / "log")).code == 0
    lines = _lines(world.place / "log")
    for line in lines:
        assert list(line) == ["at", "level", "run", "job", "event", "text", "facts"]
        assert datetime.fromisoformat(line["at"]).utcoffset() is not None
        assert (line["run"], line["job"]) == (1, world.job().id)
    assert lines[0]["event"] == "job_started"
    assert lines[-1]["event"] == "run_ended"
    assert lines[-1]["facts"]["exit_code"] == 0
    assert {"step", "progress", "batch_sent"} <= {line["event"] for line in lines}
    assert sum(line["facts"]["files"] for line in lines if line["event"] == "batch_sent") == 7


def test_trouble_that_is_tried_again_is_a_warning_and_what_is_final_an_error(world: World) -> None:
    """A lost answer is a warning; a rejected file, and the end that it makes, are errors."""
    world.pictures(3)
    (world.folder / "torn.png").write_bytes(b"no picture")
    world.box.add_fault("open:503:times=1")
    assert world.run("--log-file", str(world.place / "log")).code == 3
    levels = {line["event"]: line["level"] for line in _lines(world.place / "log")}
    assert levels["warning"] == "warning"
    assert levels["file_error"] == "error"
    assert levels["run_ended"] == "error"
    assert levels["batch_sent"] == "info"


def test_an_outage_is_a_warning_with_a_beginning(world: World) -> None:
    """Waiting for the server is told once; giving up is an error."""
    world.pictures(3)
    world.box.add_fault("upload:reset-before")
    ended = world.run("--give-up-after", "2s", "--log-file", str(world.place / "log"))
    assert ended.code == 5
    levels = {line["event"]: line["level"] for line in _lines(world.place / "log")}
    assert levels["run_ended"] == "error"
    assert levels["waiting"] == "warning"


def test_resume_goes_on_in_the_same_log(world: World) -> None:
    """A second run appends; its lines have its own number."""
    world.pictures(2)
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run("--log-file", str(world.place / "log")).code == 3
    assert world.cli("waive", "job", "--all").code == 0
    assert world.cli("resume", "job", "--log-file", str(world.place / "log")).code == 0
    assert {line["run"] for line in _lines(world.place / "log")} == {1, 2}


def test_a_log_that_can_not_be_opened_ends_the_run_before_it_begins(world: World) -> None:
    """Exit code 2, and the server has not been asked for anything."""
    world.pictures(1)
    ended = world.run("--log-file", str(world.place / "nowhere" / "log"))
    assert ended.code == 2
    assert "--log-file" in ended.err
    assert world.box.record.requests() == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no disk here is always full")
def test_a_log_whose_disk_is_full_stops_nothing(world: World) -> None:
    """One warning, however many lines are lost; the upload goes on to its end."""
    world.pictures(12)
    ended = world.run("--log-file", "/dev/full")
    assert ended.code == 0
    assert ended.err.count("can't be written") == 1
    assert "continues without it" in ended.err
    world.check_promises()


def test_a_log_begins_a_new_file_and_keeps_five(world: World) -> None:
    """By `--log-size`; every line is whole, whatever file it stands in."""
    world.pictures(40)
    path = world.place / "logs" / "log"
    path.parent.mkdir()
    assert world.run("--batch-size", "1", "--log-file", str(path), "--log-size", "1k").code == 0
    assert {file.name for file in path.parent.iterdir()} == {"log", *(f"log.{n}" for n in range(1, 6))}
    for file in path.parent.iterdir():
        assert _lines(file)


def test_a_log_that_can_not_begin_a_new_file_goes_on_in_the_old_one(world: World) -> None:
    """Folders stand where the old logs would go: one warning, and no line is lost."""
    world.pictures(12)
    path = world.place / "logs" / "log"
    for number in range(1, 6):
        (path.parent / f"log.{number}" / "in the way").mkdir(parents=True)
    ended = world.run("--batch-size", "1", "--log-file", str(path), "--log-size", "1k")
    assert ended.code == 0
    assert ended.err.count("can't be written") == 1
    assert sum(line["event"] == "batch_sent" for line in _lines(path)) == 12


def test_requests_are_shown_and_logged_without_secrets(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`-vv`: method, address, status, time and bytes of each; neither key, secret nor token occurs anywhere."""
    monkeypatch.setenv("VISUAL_LAYER_API_KEY", KEY)
    monkeypatch.setenv("VISUAL_LAYER_API_SECRET", SECRET)
    world = make_world(credentials=(KEY, SECRET))
    world.pictures(3)
    world.box.add_fault("upload:503:times=1")
    ended = world.run("-vv", "--log-file", str(world.place / "log"))
    assert ended.code == 0, ended.err
    requests = [line for line in _lines(world.place / "log") if line["event"] == "request"]
    assert len(requests) == len(world.box.record.requests())
    assert {line["job"] for line in requests} == {world.job().id}
    upload = next(line["facts"] for line in requests if line["facts"]["method"] == "POST")
    assert set(upload) == {"method", "url", "status", "ms", "bytes_out", "bytes_in"}
    assert upload["status"] == 503
    assert upload["bytes_out"] > 0
    assert f"GET {world.box.url}/api/v1/ingestion/new_dataset: 200, " in ended.err
    everything = ended.out + ended.err + (world.place / "log").read_text()
    for hidden in (KEY, SECRET, "eyJ", "Bearer", "Authorization"):
        assert hidden not in everything


def test_requests_without_an_answer_are_shown_too(world: World) -> None:
    """With the network's words."""
    world.pictures(1)
    with world.box.offline():
        ended = world.run("-vv", "--give-up-after", "0.1s")
    assert ended.code == 5
    assert f"GET {world.box.url}/api/v1/ingestion/new_dataset: [Errno" in ended.err


def test_verbose_shows_each_receipt_and_no_request(world: World) -> None:
    """`-v` is for people who want to see it move."""
    world.pictures(7)
    ended = world.cli(*_human(world, "--verbose", "--batch-size", "7"))
    assert "7 files" in ended.err
    assert "HTTP 202 after" in ended.err
    assert "/api/v1/" not in ended.err
    assert "HTTP 202" not in world.cli(*_human(world, "--new")).err


def test_quiet_says_warnings_and_how_it_ended(world: World) -> None:
    """`-q` leaves the steps out, and what programs read as it is."""
    world.pictures(3)
    (world.folder / "torn.png").write_bytes(b"no picture")
    world.box.add_fault("open:503:times=1")
    ended = world.cli(*_human(world, "-q"))
    assert ended.code == 3
    first, *rest = ended.err.splitlines()
    assert first.startswith("warning: ")
    assert "Starting job" not in ended.err
    assert "is created" not in ended.err
    assert any(line.startswith("torn.png: rejected") for line in rest)
    assert "vl-ingest waive" in rest[-1]
    assert world.run("--quiet").lines[0]["type"] == "job_started"


@pytest.mark.parametrize("command", ["status", "jobs", "files", "events", "report", "verify"])
def test_each_command_takes_quiet_and_verbose(world: World, command: str) -> None:
    """They change nothing of what a command was asked for."""
    world.pictures(1)
    assert world.run().code == 0
    arguments = [command] if command == "jobs" else [command, "job"]
    arguments += ["--no-dataset"] if command == "verify" else []  # which is on record, each time
    plain = world.cli(*arguments)
    assert plain.code == 0
    assert world.cli(*arguments, "-q").out == plain.out
    assert world.cli(*arguments, "-v").out == plain.out


def test_nothing_of_the_logging_is_left_behind(world: World) -> None:
    """A command puts everything back: nobody else's log changes, and requests cost nothing again."""
    world.pictures(1)
    names = ("vl_ingest", "vl_ingest.batch", "vl_ingest.request")

    def state() -> list[tuple[int, int]]:
        return [(logging.getLogger(n).level, len(logging.getLogger(n).handlers)) for n in names]

    world.run("-vv", "--log-file", str(world.place / "log"))
    before = state()
    world.run("-vv", "--log-file", str(world.place / "log"))
    assert state() == before
    assert not logging.getLogger("vl_ingest.request").isEnabledFor(logging.DEBUG)


def _break(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a mistake into the program, with a secret in its words."""

    def mistaken(*_args: object, **_values: object) -> None:
        local = "value-of-a-variable"
        raise KeyError(f"{SECRET} and {len(local)}")

    monkeypatch.setattr(job, "run", mistaken)
    monkeypatch.setenv("VISUAL_LAYER_API_KEY", KEY)
    monkeypatch.setenv("VISUAL_LAYER_API_SECRET", SECRET)


def test_a_mistake_of_ours_is_one_line_and_a_file(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Exit code 1; the file has the traceback and the versions, and neither variables nor secrets."""
    _break(monkeypatch)
    ended = world.run()
    assert ended.code == 1
    (line,) = ended.err.splitlines()
    (file,) = (tmp_path / "state" / "vl-ingest" / "log").iterdir()
    assert str(file) in line
    assert "KeyError" in line
    text = file.read_text()
    assert "in mistaken" in text
    assert "Python 3." in text
    for hidden in (SECRET, "value-of-a-variable\n"):
        assert hidden not in text + ended.err
    if os.name == "posix":
        assert file.stat().st_mode & 0o077 == 0


def test_a_mistake_of_ours_is_shown_where_it_can_not_be_kept(
    world: World, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """With `-vv`, or where the file can't be written, the traceback is on standard error."""
    _break(monkeypatch)
    assert "Traceback" in world.run("-vv").err
    (tmp_path / "no folder").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "no folder"))
    ended = world.run()
    assert ended.code == 1
    assert "Traceback" in ended.err
    assert SECRET not in ended.err


def test_a_token_that_the_server_repeats_is_kept_nowhere(
    make_world: MakeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its words go on record and to people, but not the token among them, of whatever kind."""
    from vl_ingest.sandbox import endpoint, ingestion, store

    token, real = "opaque/4711-of-the-tests", ingestion.Ingestion._upload
    asked: list[int] = []

    def repeat(self: ingestion.Ingestion, call: endpoint.Call) -> Any:
        asked.append(call.number)
        if len(asked) == 1:
            raise store.Refusal(503, "x" * 290 + call.request.headers["authorization"])
        return real(self, call)

    monkeypatch.setattr(ingestion.Ingestion, "_upload", repeat)
    world = make_world()
    place = world.place / "token"
    place.write_text(token, encoding="utf-8")
    place.chmod(0o600)
    world.pictures(2)
    ended = world.run("-vv", "--token-file", str(place), "--log-file", str(world.place / "log"))
    assert ended.code == 0
    assert len(asked) > 1
    kept = b"".join(path.read_bytes() for path in world.place.glob("l*") if path.is_file())
    for text in (ended.out, ended.err, kept.decode("utf-8", "replace")):
        assert "xxx" in text
        assert token[:6] not in text
