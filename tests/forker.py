"""Runs commands in forked children that die at a named point, with no clean-up.

A point lies between any two effects: before and after each commit of the ledger, before each request, behind
its headers, inside its body, behind it, and behind its answer. A process of its own (`python forker.py`), so
that forking happens where there is only one thread.

Each line of standard input is a command: `{"arguments": [...], "die_at": [label, occurrence] | null, "log":
PATH}`; each line of standard output its exit code. `log` gets the points that were passed, a line each. A command without
a `log` is carried out in the process itself: what costs time once is paid there, before the forks.

`Forker` is the side that asks.
"""

import contextlib
import http.client
import io
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from typing import Any, Self

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite.pysqlite import SQLiteDialect_pysqlite

from compiled import share_compiled_statements
from vl_ingest import job  # noqa: F401  # before the forks, as above
from vl_ingest.cli import command_line
from vl_ingest.run import backoff

DIED = 77
ENDPOINTS = {  # a part of the address -> what it is called
    "new_dataset": "create", "process_files": "trigger", "/add_media": "addition", "/reindex": "reindex", "/retry": "retry", "/abort": "abort", "/tasks": "tasks",
    "export_context": "export", "export_status": "export's progress", "export_media_id": "ids", "/exports/": "download",
    "/datasets": "list", "/dataset/": "status",
}  # fmt: skip
ANY = "any"  # as a label: the occurrence counts all points


class Points:
    """Counts the points that a process passes, and dies at one."""

    def __init__(self, die_at: tuple[str, int] | None, log: str) -> None:
        self._die_at = die_at
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._passed: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._written = threading.local()  # what this thread's transaction has done so far

    def passing(self, label: str) -> None:
        """Note a point; if it is the one, die as if the power went."""
        with self._lock:
            self._passed[label] += 1
            os.write(self._log, f"{json.dumps([label, self._passed[label]])}\n".encode())
            if self._die_at in ((label, self._passed[label]), (ANY, self._passed.total())):
                os._exit(DIED)

    def watch_commits(self) -> None:
        """Make a point before and after each commit, labelled by what it makes durable."""
        commit = SQLiteDialect_pysqlite.do_commit

        def noted(_c: Any, _cursor: Any, statement: str, parameters: Any, *_rest: Any) -> None:
            words = statement.split()
            if words[0] == "INSERT" and words[2] == "events":
                kind = statement[statement.index("(") + 1 : statement.index(")")].split(", ").index("kind")
                rows = parameters if isinstance(parameters, list) else [parameters]
                done = " and ".join(sorted({str(row[kind]) for row in rows}))
            elif words[0] in ("INSERT", "UPDATE"):
                done = f"{words[0].lower()} {words[2] if words[0] == 'INSERT' else words[1]}"
            else:
                return
            self._written.now = [*getattr(self._written, "now", []), done]

        def do_commit(dialect: SQLiteDialect_pysqlite, connection: Any) -> None:
            done = list(dict.fromkeys(getattr(self._written, "now", [])))
            self._written.now = []
            label = ", ".join(done) or "nothing"
            self.passing(f"before commit of {label}")
            commit(dialect, connection)  # type: ignore[no-untyped-call]  # so in SQLAlchemy
            self.passing(f"after commit of {label}")

        sa.event.listen(sa.Engine, "before_cursor_execute", noted)
        SQLiteDialect_pysqlite.do_commit = do_commit  # type: ignore[method-assign, assignment]  # this process is made for it

    def watch_requests(self) -> None:
        """Make a point before, inside and behind each request, and behind its answer."""
        send, getresponse = http.client.HTTPConnection.send, http.client.HTTPConnection.getresponse
        current = threading.local()

        def watched_send(connection: http.client.HTTPConnection, data: Any) -> None:
            block = memoryview(data)
            if bytes(block[:4]) in (b"GET ", b"POST"):
                method, path = bytes(block[:200]).split(b" ")[:2]
                current.label = _endpoint(method.decode(), path.decode())
                self.passing(f"before {current.label}")
                send(connection, data)
                self.passing(f"behind the headers of {current.label}")
            else:
                send(connection, block[: len(block) // 2])
                self.passing(f"inside the body of {current.label}")
                send(connection, block[len(block) // 2 :])

        def watched_getresponse(connection: http.client.HTTPConnection) -> Any:
            self.passing(f"behind {current.label}")
            response = getresponse(connection)
            self.passing(f"behind the answer to {current.label}")
            return response

        http.client.HTTPConnection.send = watched_send  # type: ignore[method-assign, assignment]  # as above
        http.client.HTTPConnection.getresponse = watched_getresponse  # type: ignore[method-assign, assignment]  # as above


def _endpoint(method: str, path: str) -> str:
    for sign, name in ENDPOINTS.items():
        if sign in path:
            return name
    return "upload" if method == "POST" else "open"


def _child(arguments: list[str], die_at: list[Any] | None, log: str) -> int:
    """Carry out one command, and return its exit code unless it dies."""
    sink = os.open(log + ".out", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    points = Points((die_at[0], die_at[1]) if die_at else None, log)
    points.watch_commits()
    points.watch_requests()
    return command_line(arguments)


def _here(arguments: list[str]) -> int:
    """Carry out one command in this process, which has one thread again afterwards."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        code = command_line(arguments)
    for thread in threading.enumerate():
        if thread is not threading.current_thread():
            thread.join()
    return code


def main() -> None:
    """Serve commands until standard input ends."""
    backoff.BACKOFF = backoff.Backoff(first_s=0.02, most_s=0.1)
    share_compiled_statements()
    for line in sys.stdin:
        asked = json.loads(line)
        code = _forked(asked) if "log" in asked else _here(asked["arguments"])
        sys.stdout.write(f"{code}\n")
        sys.stdout.flush()


def _forked(asked: dict[str, Any]) -> int:
    """Carry out one command in a child; return its exit code."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = _child(asked["arguments"], asked["die_at"], asked["log"])
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)


class Forker:
    """A process that forks, for as long as the context lasts; `environment` is all that it is told."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def warm_up(self, arguments: list[str]) -> None:
        """Carry out a command in the process itself, so that its forks need not compile and import again."""
        self._ask(arguments=arguments)

    def carry_out(self, arguments: list[str], die_at: Any, log: str) -> int:
        """Carry out a command in a child that dies at a point; return its exit code."""
        return self._ask(arguments=arguments, die_at=die_at, log=log)

    def _ask(self, **asked: Any) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


if __name__ == "__main__":
    main()
