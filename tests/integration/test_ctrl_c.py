"""Ctrl-C, and what is said of it: at once, while answers are awaited, and on leaving without them."""

import json
import os
import re
import signal
import struct
import subprocess
import threading

import pytest

from world import CLEAN, COMMAND, PATIENCE_S, World

POSIX = pytest.mark.skipif(os.name != "posix", reason="signals and terminals are POSIX's")
COLUMNS, ROWS = 80, 24


@POSIX
@pytest.mark.parametrize(
    ("number", "again"), [(signal.SIGINT, "press Ctrl-C again"), (signal.SIGTERM, "send the signal again")]
)
def test_a_signal_is_answered_at_once_and_the_second_is_told_what_it_means(
    world: World, number: signal.Signals, again: str
) -> None:
    """How many requests are awaited is said in the first line, and to programs as it becomes less."""
    world.box.add_fault("upload:slow:seconds=120")
    world.pictures(20)
    inherited = signal.signal(number, signal.SIG_DFL)  # under nohup a run would rightly go on
    try:
        with world.start("--workers", "2") as process:
            assert process.stderr is not None
            assert process.stdout is not None
            world.until(lambda: len(world.box.record.files()) == 10, "two batches are on their way", process)
            process.send_signal(number)
            said = next(line for line in process.stderr if line.startswith("Stopping"))
            assert said == f"Stopping: waiting up to 8 s for 2 requests; {again} to leave now.\n"
            told = (json.loads(line).get("stopping") for line in process.stdout)
            assert next(count for count in told if count is not None) == 2
            process.send_signal(number)
            _, rest = process.communicate(timeout=PATIENCE_S)
    finally:
        signal.signal(number, inherited)
    assert process.returncode == 128 + number
    assert (
        "Stopped at once. The outcome of 2 unanswered requests is unknown; the next run settles it." in rest
    )
    world.box.clear_faults()
    assert world.run().code == 0
    world.check_promises()


@POSIX
def test_ctrl_c_on_a_terminal_leaves_no_second_progress_line(world: World) -> None:
    """The terminal writes ^C into the live display, which is then drawn in its place all the same."""
    world.box.add_fault("upload:slow:seconds=120")
    world.pictures(20)
    screen, terminal = _Screen(), _start_on_a_terminal(world)
    reading = threading.Thread(target=screen.read, args=(terminal.leader,))
    reading.start()
    with terminal.process as process:
        world.until(lambda: "of 20 files" in screen.text, "the display is drawn", process)
        world.until(lambda: len(world.box.record.files()) == 10, "two batches are on their way", process)
        os.write(terminal.leader, b"\x03")
        world.until(lambda: "Stopping: waiting up to" in screen.text, "Ctrl-C is answered", process)
        world.until(lambda: "; stopping: 2" in screen.text, "the answers are counted", process)
        world.box.clear_faults()
        assert process.wait(PATIENCE_S) == 128 + signal.SIGINT
    reading.join(PATIENCE_S)
    os.close(terminal.leader)
    assert "━" not in screen.text
    assert "of 20 files," not in screen.text
    assert "Stopped by SIGINT" in screen.text
    assert any("stopping: 2 requests without an answer" in " ".join(shown.split()) for shown in screen.shown)
    for shown in screen.shown:
        assert len(re.findall(r"of 20 files,", shown)) <= 1, shown
        assert len(re.findall("^━", shown, re.MULTILINE)) <= 1, shown


class _Terminal:
    """A process on a terminal of its own, and the other end of that."""

    def __init__(self, process: "subprocess.Popen[str]", leader: int) -> None:
        self.process = process
        self.leader = leader


def _start_on_a_terminal(world: World) -> _Terminal:
    import fcntl
    import pty
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    takes_terminal = (
        "import fcntl, os, signal, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
        "signal.signal(signal.SIGINT, signal.SIG_DFL);"  # as in a shell, also where these tests run under nohup
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    arguments = [word for word in world.arguments("--workers", "2") if word != "--json"]
    command = [COMMAND[0], "-c", takes_terminal, *COMMAND, *arguments, "--ledger", str(world.ledger_path)]
    plain = {
        k: v
        for k, v in CLEAN.items()
        if k not in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE")
    }
    environment = {**plain, "TERM": "xterm"}
    process = subprocess.Popen(
        command,
        env=environment,
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
        text=True,
    )
    os.close(follower)
    return _Terminal(process, leader)


class _Screen:
    """What stands on a terminal: of its controls, those that a live display uses."""

    CONTROL = re.compile(r"\x1b\[([0-9;?]*)([A-Za-z])|(.)", re.DOTALL)

    def __init__(self) -> None:
        self.shown: list[str] = []  # each time that something was written
        self._lines = [""]
        self._row = self._column = 0

    @property
    def text(self) -> str:
        """All lines, as a person sees them."""
        return "\n".join(line.rstrip() for line in list(self._lines))

    def read(self, leader: int) -> None:
        """Follow what a process writes until it has ended."""
        rest = b""
        while True:
            try:
                rest += os.read(leader, 65536)
            except OSError:  # the last writer has gone: Linux's way to say so
                return
            whole = re.match(
                rb"(?:\x1b\[[0-9;?]*[A-Za-z]|[\x00-\x1a\x1c-\x7f]|[\xc0-\xff][\x80-\xbf]+(?![\x80-\xbf]))*",
                rest,
            )
            taken = whole.end() if whole else 0
            for match in self.CONTROL.finditer(rest[:taken].decode()):
                self._take(*match.groups())
            rest = rest[taken:]
            self.shown.append(self.text)

    def _take(self, numbers: str | None, control: str | None, char: str | None) -> None:
        match control or char:
            case "A" if control:
                self._row -= int(numbers or 1)
            case "K" if control:
                self._lines[self._row] = ""
            case _ if control:  # colours, and the cursor shown or hidden
                pass
            case "\r":
                self._column = 0
            case "\n":
                self._down()
            case str(letter):
                if self._column == COLUMNS:
                    self._down()
                    self._column = 0
                line = self._lines[self._row].ljust(self._column)
                self._lines[self._row] = line[: self._column] + letter + line[self._column + 1 :]
                self._column += 1

    def _down(self) -> None:
        self._row += 1
        if self._row == len(self._lines):
            self._lines.append("")
