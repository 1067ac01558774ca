"""Around a run: the user's own commands, figures for Prometheus, and the library that the command is made of."""

import json
import os
import shlex
import sys
import threading
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

import vl_ingest
from vl_ingest import Ingest, Observer, Progress, Settings
from vl_ingest.domain.errors import FilesHeld, Stopped, UsageError
from vl_ingest.domain.model import FileState, Job, Run
from world import PATIENCE_S, World, call

NOTE = "import json, os, sys; open(sys.argv[1], 'a').write(json.dumps(dict(os.environ)) + chr(10)); print('noted')"


def noting(world: World) -> tuple[str, Path]:
    """Return a command that notes its environment, and the file of these notes."""
    file = world.place / "notes.jsonl"
    return shlex.join([sys.executable, "-c", NOTE, str(file)]), file


def told(file: Path) -> list[dict[str, str]]:
    """Return what each call was told, by its short names."""
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    prefix = "VL_INGEST_HOOK_"
    return [{k.removeprefix(prefix): v for k, v in line.items() if k.startswith(prefix)} for line in lines]


def test_a_command_at_the_end_is_told_how_it_ended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the facts in its environment, and no secret; standard output stays for programs."""
    monkeypatch.setenv("VISUAL_LAYER_TOKEN", "s3cret")
    world.pictures(3)
    command, file = noting(world)
    ended = world.run("--on-finish", command)
    assert ended.code == 0
    assert all(isinstance(line, dict) for line in ended.lines)
    (facts,) = told(file)
    job = world.job()
    assert (facts["EVENT"], facts["EXIT_CODE"], facts["STATE"]) == ("finish", "0", "ready")
    assert (facts["JOB"], facts["NAME"], facts["DATASET_ID"]) == (job.id, "job", job.dataset_id)
    assert (facts["FILES_SENT"], facts["FILES_REJECTED"]) == ("3", "0")
    assert int(facts["SENT_BYTES"]) > 0
    assert "s3cret" not in file.read_text(encoding="utf-8")


def test_a_command_is_called_after_a_failure_and_a_signal(world: World) -> None:
    """Its message is the one that people see."""
    world.pictures(3)
    command, file = noting(world)
    world.box.add_fault("trigger:403:times=1")
    assert world.run("--on-finish", command).code == 7
    asked = len(world.box.record.requests("status"))
    world.box.add_fault("status:hang:seconds=0.5")
    with world.start("--on-finish", command) as process:
        world.until(
            lambda: len(world.box.record.requests("status")) > asked, "the status was asked for", process
        )
        process.terminate()
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 143
    first, second = told(file)
    assert first["EXIT_CODE"] == "7"
    assert "403" in first["MESSAGE"]
    assert (first["FILES_SENT"], first["STATE"]) == ("3", "uploaded"), "where it stands, though it failed"
    assert first["DATASET_ID"] == world.job().dataset_id, "which was not there when the run began"
    assert second["EXIT_CODE"] == "143"
    assert "SIGTERM" in second["MESSAGE"]


def test_trouble_calls_its_command_once(world: World) -> None:
    """A file that can't be sent, told once though there are two."""
    world.pictures(3)
    for name in ("a.png", "b.png"):
        (world.folder / name).write_bytes(b"no picture")
    command, file = noting(world)
    assert world.run("--on-trouble", command).code == 3
    (facts,) = told(file)
    assert facts["EVENT"] == "rejected"
    assert facts["DATASET_ID"] == world.job().dataset_id
    assert "HTTP 400" in facts["MESSAGE"]


def test_waiting_calls_the_command_of_trouble(world: World) -> None:
    """An outage is told when it begins."""
    world.pictures(3)
    world.box.add_fault("upload:503")
    command, file = noting(world)
    with world.start("--on-trouble", command, "--workers", "1") as process:
        world.until(file.exists, "the command of trouble was called", process)
        world.box.clear_faults()
        process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert told(file)[0]["EVENT"] == "waiting"


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (shlex.join([sys.executable, "-c", "raise SystemExit(3)"]), "command ended with 3."),
    ],
)
def test_a_command_that_fails_is_a_warning(world: World, command: str, said: str) -> None:
    """The exit code stays that of the run."""
    world.pictures(1)
    ended = world.run("--on-finish", command)
    assert ended.code == 0
    assert "warning: The --on-finish command " in ended.err
    assert said in ended.err


@pytest.mark.parametrize("command", ["", "'unbalanced", "/nowhere/at/all"])
def test_what_is_no_command_is_refused(world: World, command: str) -> None:
    """Before anything is sent."""
    world.pictures(1)
    assert world.run("--on-finish", command).code == 2
    assert world.box.record.requests() == []


def figures(path: Path) -> dict[tuple[str, str], float]:
    """Return (name, state) -> value, as Prometheus reads it."""
    families = text_string_to_metric_families(path.read_text(encoding="utf-8"))
    return {(s.name, s.labels.get("state", "")): s.value for family in families for s in family.samples}


def test_figures_for_prometheus(world: World) -> None:
    """They are those of the ledger, with the job's id and name as labels; the last success stays a fact of its time."""
    world.pictures(4)
    (world.folder / "torn.png").write_bytes(b"no picture")
    path = world.place / "vl.prom"
    assert world.run("--metrics-file", str(path)).code == 3
    first = figures(path)
    assert first["vl_ingest_run_exit_code", ""] == 3
    assert (first["vl_ingest_files", "sent"], first["vl_ingest_files", "rejected"]) == (4, 1)
    assert ("vl_ingest_last_success_timestamp_seconds", "") not in first
    assert world.cli("waive", "job", "--all").code == 0
    assert world.run("--metrics-file", str(path)).code == 0
    values = figures(path)
    counts = world.states()
    for state in FileState:
        assert values["vl_ingest_files", state] == list(counts.values()).count(str(state))
    assert values["vl_ingest_run_exit_code", ""] == 0
    assert values["vl_ingest_job_state", "ready"] == 1
    assert values["vl_ingest_job_state", "uploaded"] == 0
    assert values["vl_ingest_last_success_timestamp_seconds", ""] > time.time() - 3600
    assert f'job="{world.job().id}",name="job"' in path.read_text(encoding="utf-8")


def test_metrics_that_cannot_be_written(world: World) -> None:
    """At first: nothing is sent. Later: a warning, and the upload goes on."""
    world.pictures(2)
    assert world.run("--metrics-file", str(world.place / "nowhere" / "vl.prom")).code == 2
    pipe = world.place / "pipe"
    os.mkfifo(pipe)
    ended = world.run("--metrics-file", str(pipe))
    assert ended.code == 2, "it would wait for somebody who reads"
    assert "not a regular file" in ended.err
    assert pipe.is_fifo()
    assert world.box.record.requests() == []
    folder = world.place / "figures"
    folder.mkdir()
    world.box.add_fault("upload:503")
    with world.start("--metrics-file", str(folder / "vl.prom")) as process:
        world.until(lambda: world.box.record.requests("upload"), "a batch was tried", process)
        folder.rename(world.place / "away")
        world.box.clear_faults()
        _out, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert said.count("The metrics can't be written") == 1


class Listening(Observer):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.ends: list[object] = []

    def job_started(self, job: Job, run: Run) -> None:
        """Keep it."""
        assert run.job_id == job.id
        self.started.append(job.id)

    def finished(self, summary: object) -> None:
        """Keep it."""
        self.ends.append(summary)

    def ended(self, error: Exception) -> None:
        """Keep it."""
        self.ends.append(error)


def test_the_library_does_what_the_command_does(world: World) -> None:
    """Run, look, resume after a decision; progress and results are objects."""
    world.pictures(3)
    (world.folder / "torn.png").write_bytes(b"no picture")
    seen: list[Progress] = []
    ears = Listening()
    settings = Settings(workers=2, settle_s=0.3)
    with Ingest(
        world.ledger_path, base_url=world.box.url, observers=[ears], on_progress=seen.append
    ) as ingest:
        with pytest.raises(FilesHeld) as caught:
            ingest.run(world.folder, "job", settings)
        assert caught.value.exit_code == 3
        assert world.cli("waive", "job", "--all").code == 0
        result = ingest.resume()
        assert (result.sent, result.job.state) == (3, "ready")
        assert result.dataset_id == world.job().dataset_id
        assert ingest.summary("job") == result
        assert [job.name for job in ingest.jobs()] == ["job"]
        with pytest.raises(UsageError, match="Unfinished: none"):
            ingest.resume()
    assert ears.started == [result.job.id] * 2
    assert ears.ends == [caught.value, result]
    assert seen[-1].counts[FileState.SENT] == 3
    world.check_promises()


def test_a_program_stops_a_run_from_another_thread(world: World) -> None:
    """It raises `Stopped` there, and the same call goes on."""
    world.pictures(20)
    world.box.add_fault("upload:slow:seconds=60")
    ended: list[BaseException] = []
    with Ingest(world.ledger_path, base_url=world.box.url) as ingest:

        def work() -> None:
            try:
                ingest.run(world.folder, "job", Settings(workers=1, batch_size=2))
            except Stopped as exc:
                ended.append(exc)

        thread = threading.Thread(target=work)
        thread.start()
        world.until(world.box.record.files, "a batch arrived")
        ingest.stop()
        world.box.clear_faults()
        thread.join(PATIENCE_S)
        assert [type(exc) for exc in ended] == [Stopped]
        assert ingest.run(world.folder, "job", Settings(settle_s=0.3)).sent == 20
    world.check_promises()


def test_the_package_is_light_until_it_is_used() -> None:
    """`import vl_ingest` costs nothing; what is public is there, and typed."""
    program = (
        "import sys, vl_ingest; assert 'sqlalchemy' not in sys.modules; print(vl_ingest.Ingest.__module__)"
    )
    done = call(sys.executable, "-c", program)
    assert done.stdout.strip() == "vl_ingest.ingest"
    for name in vl_ingest.__all__:
        assert getattr(vl_ingest, name) is not None
    with pytest.raises(AttributeError, match="nothing_like_it"):
        _ = vl_ingest.nothing_like_it
    assert (Path(os.path.dirname(vl_ingest.__file__)) / "py.typed").is_file()
