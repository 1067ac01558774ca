"""What a command is started in: closed streams, full disks, odd locales, terminals, names; never a traceback."""

import os
import re
import shlex
import struct
import subprocess
import sys

import pytest

from world import CLEAN, COMMAND, World, call

POSIX = pytest.mark.skipif(os.name != "posix", reason="a shell and byte names are POSIX's")
VL_INGEST = shlex.join(COMMAND)


def shell(world: World, line: str, **environment: str) -> tuple[int, str]:
    """Carry out a shell's line, in which `vl-ingest` is the command; return its exit code and all that it wrote."""
    defined = f'vl() {{ {VL_INGEST} "$@" --ledger "{world.ledger_path}"; }}'
    done = call("/bin/sh", "-c", f"{defined}; {line}", cwd=world.place, environment=environment)
    said = done.stdout + done.stderr
    assert "mistake of this program" not in said
    assert "Traceback" not in said
    assert "Exception ignored" not in said
    return done.returncode, said


@pytest.fixture
def done(world: World) -> World:
    """Return a world with a job whose files have awkward names."""
    world.picture("grün.png")
    world.picture("日本.png", 1)
    if os.name == "posix":
        world.picture("two\nlines.png", 2)
    if sys.platform == "linux":  # other file systems take text alone
        os.rename(os.fsencode(world.picture("x.png", 3)), os.fsencode(world.folder) + b"/not \xff utf-8.png")
    assert world.run(name="jöb").code == 0
    return world


@POSIX
@pytest.mark.parametrize(
    "command", ["status", "files", "events", "report", "verify --offline", "report --format csv"]
)
def test_every_name_can_be_shown_in_every_encoding(done: World, command: str) -> None:
    """A stream that has no such letter gets an escape instead."""
    for encoding in ("ascii", "latin-1", "utf-8"):
        code, said = shell(done, f"vl {command} jöb", PYTHONIOENCODING=encoding)
        assert code == 0, said


@POSIX
@pytest.mark.parametrize(
    "command", ["status jöb", "status jöb --watch", "jobs", "files jöb", "report jöb --format html"]
)
def test_closed_streams_are_no_trouble(done: World, command: str) -> None:
    """Nobody reads, so there is nobody to tell."""
    assert shell(done, f"vl {command} >&- 2>&- <&-") == (0, "")
    assert shell(done, f"vl {command} | :")[1] == ""


@POSIX
@pytest.mark.parametrize("command", ["files many", "report many --format csv"])
def test_a_reader_that_leaves_early_is_no_trouble(world: World, command: str) -> None:
    """`| head` closes the pipe while more is written than fits into it."""
    world.pictures(1000)
    with world.box.offline():
        assert world.run("--give-up-after", "0.1s", name="many").code == 5
    assert shell(world, f"(vl {command}; echo $? >&2) | head -n 1")[1].splitlines()[1:] == ["0"]


@POSIX
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no disk here is always full")
@pytest.mark.parametrize("command", ["jobs", "files jöb", "report jöb --format csv", "status --help"])
def test_output_to_a_full_disk(done: World, command: str) -> None:
    """Temporary (5), and said."""
    code, said = shell(done, f"vl {command} >/dev/full")
    assert code == 5
    assert "disk is full" in said


@POSIX
def test_a_run_with_every_stream_closed(world: World) -> None:
    """As from a badly written cron line; none of the streams' numbers becomes a file of ours."""
    world.pictures(3)
    arguments = " ".join(f"'{word}'" for word in world.arguments() if word != "--json")
    assert shell(world, f"vl {arguments} --log-file log >&- 2>&- <&-") == (0, "")
    world.check_promises()
    assert (world.place / "log").read_text().startswith('{"at": ')


@POSIX
def test_a_folder_that_is_gone_while_one_stands_in_it(done: World) -> None:
    """Only what asks for the current folder needs it."""
    assert shell(done, "mkdir gone; cd gone; rmdir ../gone; vl status jöb")[0] == 0
    code, said = shell(done, "mkdir gone; cd gone; rmdir ../gone; vl run . --name x --no-auth")
    assert code == 2
    assert "(`cd`)" in said


@POSIX
def test_no_home_and_no_terminal(done: World) -> None:
    """As a service has it."""
    code, said = shell(done, f"env -i {VL_INGEST} status jöb --ledger '{done.ledger_path}'")
    assert (code, "READY" in said) == (0, True)


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["run", "", "--name", "x"], 2, "Write `.` for the current one"),
        (["run", "nowhere", "--name", "x"], 2, "There is no folder nowhere"),
        (["run", "{file}", "--name", "x"], 2, "Name its folder"),
        (["run", ".", "--name", " "], 2, "is not a name"),
        (["run", ".", "--name", "two\nlines"], 2, "is not a name"),
        (["run", ".", "--name", "not \udcff utf-8"], 2, "is not a name"),
        (["run", ".", "--name", "x", "--files-from", "nowhere"], 2, "does not exist"),
        (["run", ".", "--name", "x", "--max-duration", "99999999d"], 2, "more than a hundred years"),
        (["status", "\udcff"], 2, "is not a name"),
        (["status", ""], 2, "is not a name"),
        (["events", "x", "--since", "99999999d"], 2, "more than a hundred years"),
        (["sandbox", "--root", "{file}/x"], 2, "--root"),
        (["jobs"], 4, "The first `vl-ingest run --ledger {ledger}` creates it"),
        (["jobs", "--ledger", "{file}/x"], 4, "There is no ledger"),
        (
            ["run", ".", "--name", "x", "--no-auth", "--ledger", "{file}/x"],
            4,
            "name another ledger with `--ledger`",
        ),
        (
            ["run", ".", "--name", "x", "--no-auth", "--ledger", "{folder}"],
            4,
            "name another ledger with `--ledger`",
        ),
        (["jobs", "--ledger", "nosuch://x"], 2, "A ledger is an SQLite file: nosuch is not supported."),
        (
            ["run", ".", "--name", "x", "--no-auth", "--ledger", "postgresql://ann:secret@db/vl"],
            2,
            "postgresql is not supported. Name a file with `--ledger PATH`.",
        ),
        (
            ["run", ".", "--name", "x", "--no-auth", "--ledger", "sqlite+nosuch:///{folder}/x"],
            4,
            "No database driver",
        ),
        (["jobs", "--ledger", "://"], 4, "is not a database URL"),
    ],
)
def test_what_cannot_be_is_said_with_what_to_do(
    world: World, arguments: list[str], code: int, said: str
) -> None:
    """Before the server is asked for anything."""
    file = world.picture("a.png")
    words = [word.format(file=file, folder=world.folder) for word in arguments]
    if "--ledger" not in words and words[0] != "sandbox":
        words += ["--ledger", str(world.ledger_path)]
    done = call(*COMMAND, *words, cwd=world.folder, environment={"VL_INGEST_BASE_URL": world.box.url})
    assert done.returncode == code, done.stderr
    assert said.replace("{ledger}", str(world.ledger_path)) in done.stderr
    assert "Traceback" not in done.stderr
    assert world.box.record.requests() == []


def on_a_terminal(world: World, columns: int, *more: str, term: str = "xterm") -> list[str]:
    """Run a job on a terminal of so many columns; return the lines that it was sent, also those of a moment."""
    import fcntl
    import pty
    import termios

    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    arguments = [word for word in world.arguments(*more) if word != "--json"]
    plain = {
        k: v
        for k, v in CLEAN.items()
        if k not in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE")
    }
    seen = bytearray()
    command = [*COMMAND, *arguments, "--ledger", str(world.ledger_path)]
    environment = {**plain, "TERM": term}
    with subprocess.Popen(command, env=environment, stdin=follower, stdout=follower, stderr=follower):
        os.close(follower)
        while True:
            try:
                more_seen = os.read(leader, 65536)
            except OSError:  # the last writer has gone: Linux's way to say so
                break
            if not more_seen:
                break
            seen += more_seen
    os.close(leader)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode())
    return [line.rstrip() for line in re.split(r"[\r\n]+", text)]


@POSIX
@pytest.mark.parametrize("columns", [40, 80, 200])
def test_a_live_display_fits_its_terminal(world: World, columns: int) -> None:
    """Figures and the last trouble while it runs; no line is longer than the screen, and none ends inside a word."""
    world.pictures(20)
    (world.folder / "torn.png").write_bytes(b"no picture")
    world.box.add_fault("upload:503:times=1")
    world.box.add_fault("upload:slow:seconds=0.6")
    lines = on_a_terminal(world, columns, "--workers", "1")
    assert max(map(len, lines)) <= columns
    everything = " ".join(lines)
    for said in (
        "of 21 files",
        "1 attempt failed",
        "last trouble: Batch",
        "Starting job",
        "Fix the files and run",
    ):
        assert said in everything
    assert columns in [len(line) for line in lines if re.fullmatch("[━╸╺]+", line)], "a bar as wide as that"
    assert "then run `vl-ingest resume" in everything
    assert "503.." not in everything


@POSIX
def test_a_terminal_that_cannot_go_back_up_gets_lines(world: World) -> None:
    """As where there is none: one every `--stats`."""
    world.pictures(20)
    world.box.add_fault("upload:slow:seconds=0.6")
    lines = on_a_terminal(world, 80, "--workers", "1", "--stats", "0.5s", term="dumb")
    assert any(re.match(r"\d+ of 20 files, ", line) for line in lines)
    assert not any("━" in line for line in lines)


@POSIX
def test_what_a_hook_says_does_not_tear_the_display(world: World) -> None:
    """It stands above, in lines of its own."""
    world.pictures(5)
    world.box.add_fault("upload:slow:seconds=2")
    told = shlex.join([sys.executable, "-c", "print('a hook begins'); print('a hook ends', end='')"])
    lines = on_a_terminal(world, 80, "--workers", "1", "--stall-after", "0.5s", "--on-trouble", told)
    assert "a hook begins" in lines
    assert any(line.startswith("a hook ends") for line in lines)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="this user may go everywhere")
@pytest.mark.parametrize("command", ["status", "doctor --offline", "run . --name x --no-auth"])
def test_a_folder_that_one_may_not_enter(world: World, command: str) -> None:
    """A ledger there can't be used (4); the platform's configuration there is as if there were none."""
    closed = world.place / "closed"
    closed.mkdir(mode=0)
    code, said = shell(world, f"{VL_INGEST} {command} --ledger closed/ledger.db", XDG_CONFIG_HOME=str(closed))
    assert (code, "closed" in said) == (4, True)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="this user may write everywhere")
def test_a_ledger_that_cannot_be_written_to_can_be_looked_at(done: World) -> None:
    """As on a backup's medium; a run says that it can't."""
    place = done.place / "medium"
    place.mkdir()
    done.ledger_path.rename(place / "ledger.db").chmod(0o444)
    place.chmod(0o555)
    for command in ("status jöb", "jobs", "files jöb", "events jöb", "report jöb"):
        assert shell(done, f"{VL_INGEST} {command} --ledger medium/ledger.db")[0] == 0
    assert shell(done, f"{VL_INGEST} resume jöb --ledger medium/ledger.db")[0] == 4
    place.chmod(0o755)
