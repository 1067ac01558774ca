"""The small world that tests play in: a folder, a ledger, a real server, and the real command."""

import contextlib
import hashlib
import io
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

from PIL import Image

from forker import Forker
from vl_ingest.cli import command_line
from vl_ingest.domain.errors import LedgerError, UsageError
from vl_ingest.domain.events import EventKind
from vl_ingest.domain.model import FileRow, FileState, Job
from vl_ingest.ledger import Ledger
from vl_ingest.proof.verify import verify_record
from vl_ingest.sandbox import Sandbox

CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(("VL_INGEST_", "VISUAL_LAYER_"))}
CLEAN["VL_INGEST_CONFIG"] = os.devnull
CLEAN["PYTHON_KEYRING_BACKEND"] = NO_KEYRING = "keyring.backends.null.Keyring"  # not the developer's own
COMMAND = (sys.executable, "-m", "vl_ingest")
PATIENCE_S = 120.0  # for what must happen; reached only when the code is broken
DECISIONS = frozenset({"waive", "retry", "settle", "cancel"})


def call(
    *command: str, cwd: Path | None = None, environment: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run a program to its end, whatever that is; of our settings it is told only those named."""
    told = {**CLEAN, **(environment or {})}
    return subprocess.run(
        command, env=told, cwd=cwd, capture_output=True, encoding="utf-8", errors="replace", check=False
    )


@dataclass(frozen=True)
class Ended:
    """A command that has ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What it wrote for programs."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def summary(self) -> dict[str, Any]:
        """The last of these lines."""
        return self.lines[-1]


def check_facts(ledger_path: Path) -> None:
    """See that each event of a ledger is of a known kind and carries the facts that it declares."""
    with contextlib.closing(sqlite3.connect(ledger_path)) as connection:
        events = connection.execute("SELECT kind, facts FROM events").fetchall()
    for word, facts in events:
        kind = EventKind.known(word)
        assert kind is not None, word
        declared, given = set(kind.facts.split()), set(json.loads(facts))
        needed = {name for name in declared if not name.endswith("?")}
        if "*" not in declared:
            assert needed <= given <= {name.rstrip("?") for name in declared}, f"{word}: {given}"


class World:
    """One test's world. `folder` is what is uploaded, `box` the server."""

    processes: str | None = None  # what runs are told, if anything

    def __init__(self, place: Path, box: Sandbox) -> None:
        self.place = place
        self.box = box
        self.folder = place / "pictures"
        self.folder.mkdir(exist_ok=True)
        self.ledger_path = place / "ledger.db"

    def picture(self, path: str, color: int = 0) -> Path:
        """Write a small real picture; equal colors give equal bytes."""
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        rgb = (color % 256, color // 256 % 256, 77)
        Image.new("RGB", (4, 4), rgb).save(target, {".jpg": "JPEG"}.get(target.suffix.lower(), "PNG"))
        return target

    def pictures(self, count: int, prefix: str = "p") -> list[Path]:
        """Write `count` different pictures."""
        return [self.picture(f"{prefix}{index:04}.png", index) for index in range(count)]

    def cli(self, *arguments: str) -> Ended:
        """Carry out a command in this process, on this world's ledger."""
        out, err = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = command_line([*arguments, "--ledger", str(self.ledger_path)])
        done = code not in (UsageError.exit_code, LedgerError.exit_code) and "--dry-run" not in arguments
        if done and arguments[0] in DECISIONS | {"run", "reprocess"}:
            check_facts(self.ledger_path)
        return Ended(code, out.getvalue(), err.getvalue())

    def plain(self, text: str) -> str:
        """Return a text without the `--ledger` that completes the commands in it."""
        return text.replace(f" --ledger {self.ledger_path}", "")

    def arguments(self, *more: str, name: str = "job") -> list[str]:
        """Return what `run` is called with."""
        settings = ["--settle", "0.3s", "--workers", "2", "--batch-size", "5", "--json", *more]
        if self.processes is not None:
            settings += ["--processes", self.processes]
        return ["run", str(self.folder), "--name", name, "--base-url", self.box.url, *settings]

    def run(self, *more: str, name: str = "job") -> Ended:
        """Run the job."""
        return self.cli(*self.arguments(*more, name=name))

    def start(self, *more: str, name: str = "job", **options: Any) -> "subprocess.Popen[str]":
        """Start the same as a process of its own."""
        command = [*COMMAND, *self.arguments(*more, name=name), "--ledger", str(self.ledger_path)]
        return Popen(command, env=CLEAN, stdout=PIPE, stderr=PIPE, text=True, **options)

    def carry_out(self, forker: Forker, arguments: list[str], die_at: Any) -> int:
        """Carry out a command in a child that dies at a point; return its exit code. `log.out` has what it wrote."""
        return forker.carry_out(
            [*arguments, "--ledger", str(self.ledger_path)], die_at, str(self.place / "log")
        )

    def warm_up(self, forker: Forker, arguments: list[str]) -> None:
        """Have the process that forks carry out a command itself, once."""
        forker.warm_up([*arguments, "--ledger", str(self.ledger_path)])

    def until(
        self, condition: Callable[[], object], what: str, process: "subprocess.Popen[str] | None" = None
    ) -> None:
        """Wait until `condition` is true; fail when it is not for long, or when `process` has ended without it."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if process is not None and process.poll() is not None and not condition():
                raise AssertionError(f"ended before {what}: {process.communicate()}")
            if time.monotonic() > deadline:
                if process is not None:
                    process.kill()  # nobody else will, and its test would wait for it
                raise AssertionError(f"not within {PATIENCE_S:.0f} s: {what}")
            time.sleep(0.02)

    def job(self, name: str = "job") -> Job:
        """Return the newest job of that name."""
        with self.ledger() as ledger:
            return [job for job in ledger.jobs.all() if job.name == name][-1]

    def ledger(self) -> Ledger:
        """Open the ledger; close it."""
        return Ledger(self.ledger_path, create=False)

    def files(self, *states: FileState, name: str = "job") -> list[FileRow]:
        """Return the files of a job."""
        job = self.job(name)
        with self.ledger() as ledger:
            return list(ledger.files.rows(job.id, *states))

    def states(self, name: str = "job") -> dict[str, str]:
        """Return path -> state."""
        return {file.path: str(file.state) for file in self.files(name=name)}

    def states_by_now(self) -> set[str]:
        """Return the states of all files while a run works; none before it has made a ledger."""
        if not self.ledger_path.exists():
            return set()
        with self.ledger() as ledger:
            return {str(state) for job in ledger.jobs.all() for state in ledger.files.counts(job.id).files}

    def kinds(self, name: str = "job") -> list[str]:
        """Return the kinds of a job's events, in order."""
        job = self.job(name)
        with self.ledger() as ledger:
            return [event.kind for event in ledger.events.history(job.id)]

    def settle_addition(self) -> None:
        """Decide on the addition that is in doubt, or does not show, as a person does who looks at the dataset."""
        job = self.job()
        with self.ledger() as ledger:
            adding = job.state == "adding"
            batch = ledger.additions.wanted(job.id)[0] if adding else ledger.rounds.batch(job.id)
        held = {(name, size) for name, size, _ in self.held()}
        began = any((file.sent_as, file.facts.size_bytes) in held for file in batch.files)
        assert self.cli("settle", job.id, "--began" if began else "--not-begun").code in (
            0,
            *([] if adding else [2]),
        )

    def held(self, name: str = "job") -> "Counter[tuple[str, int, str]]":
        """Return (name, size, SHA-256) -> how often the job's dataset on the server holds it."""
        arrivals = self.box.record.files(self.job(name).dataset_id or "none")
        return Counter((a.name, a.size_bytes, a.sha256) for a in arrivals)

    def check_promises(self, name: str = "job", *, done: bool = True) -> None:
        """Compare both sides, and the record with itself: nothing lost, nothing twice without a doubt, processing once."""
        job, sent, held = self.job(name), self.files(FileState.SENT, name=name), self.held(name)
        hashed = [f for f in sent if f.sha256 is not None]  # of the others, nobody knows what was sent
        promised = {(f.sent_as, f.facts.size_bytes, f.sha256 or "") for f in hashed}
        assert len({f.sent_as for f in sent}) == len(sent), "two files were sent under one name"
        assert {f.sent_as for f in sent} <= {name for name, _, _ in held}, "the server knows no such file"
        assert promised <= set(held), "the ledger says sent, the server does not have it"
        doubted = {(f.sent_as, f.facts.size_bytes, f.sha256 or "") for f in sent if f.unknown_attempts}
        twice = {key for key, count in held.items() if count > 1}
        assert twice & promised <= doubted, "delivered twice, and the ledger does not suspect it"
        for file in sent:
            path = self.folder / file.path
            if path.exists() and path.stat().st_mtime_ns == file.facts.mtime_ns:
                assert hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256 or file not in hashed
        with self.ledger() as ledger:
            wrong = [check.text for check in verify_record(ledger, job.id) if check.held is False]
        assert not wrong, wrong
        triggers = self.box.record.triggers_accepted(job.dataset_id or "none")
        if done:
            assert triggers == 1, f"processing was started {triggers} times"
            assert job.state == "ready"
            assert not [f for f in self.files(name=name) if f.state not in ("sent", "waived")]
        else:
            assert triggers <= 1
