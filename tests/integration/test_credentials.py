"""Credentials from a file that is one's own, and from the system keyring; completion of what is known."""

import importlib.metadata
import io
import os
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.errors import KeyringError

from vl_ingest.cli import command_line
from vl_ingest.domain.errors import Refused, UsageError
from vl_ingest.server.credentials import OF_A_SESSION, default_file, find
from world import COMMAND, World, call

KEY, SECRET = "key-123", "a-secret-of-more-than-thirty-two-bytes"
FILE = f'api-key = "{KEY}"\napi-secret = "{SECRET}"\n'


class Memory(KeyringBackend):
    """A keyring that ends with the test."""

    priority = 1.0

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # keyring's own
        self.kept: dict[tuple[str, str], str] = {}
        self.locked = False

    def _look(self) -> None:
        if self.locked:
            raise KeyringError("it is locked")

    def get_password(self, service: str, username: str) -> str | None:
        """Return what is kept."""
        self._look()
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep it."""
        self._look()
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        """Forget it."""
        self._look()
        del self.kept[service, username]


@pytest.fixture
def memory() -> Iterator[Memory]:
    """Let such a keyring be the system's."""
    before, backend = keyring.get_keyring(), Memory()
    keyring.set_keyring(backend)
    try:
        yield backend
    finally:
        keyring.set_keyring(before)


@pytest.fixture
def guarded(make_world: Callable[..., World]) -> World:
    """Return a world whose server wants that key."""
    world = make_world(credentials=(KEY, SECRET))
    world.pictures(2)
    return world


def test_a_run_with_a_credentials_file(guarded: World) -> None:
    """Named, or in its default place; without one the server says no."""
    assert guarded.run().code == 7
    file = default_file()
    assert str(guarded.place) in str(file)
    file.parent.mkdir(parents=True)
    file.write_text(FILE, encoding="utf-8")
    file.chmod(0o600)
    named = guarded.place / "mine.toml"
    named.write_text(FILE.replace(SECRET, "another"), encoding="utf-8")
    named.chmod(0o600)
    assert guarded.run("--credentials-file", str(named)).code == 7
    ended = guarded.run()
    assert ended.code == 0
    assert "can read" not in ended.err
    for path in guarded.place.glob("ledger.db*"):
        if path.is_dir():
            continue
        assert SECRET.encode() not in path.read_bytes()


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX's")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_file_that_others_can_read_is_warned_of(guarded: World, mode: int) -> None:
    """It is used all the same."""
    file = guarded.place / "mine.toml"
    file.write_text(FILE, encoding="utf-8")
    file.chmod(mode)
    ended = guarded.run("--credentials-file", str(file))
    assert ended.code == 0
    assert f"Other users of this machine can read {file}. Protect it: chmod 600" in ended.err


@pytest.mark.parametrize(
    "text", ['api-key = "k"', 'api-key = "k"\napi-secret = ""', f"{SECRET}", FILE + "more = 1"]
)
def test_a_wrong_credentials_file_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    """What is wanted is said instead."""
    file = tmp_path / "mine.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match="xpected") as caught:
        find("", {}, credentials_file=str(file))
    assert SECRET not in str(caught.value)
    with pytest.raises(Refused, match="Can't read the credentials file"):
        find("", {}, credentials_file=str(tmp_path / "nowhere"))


def test_the_keyring_keeps_them(memory: Memory, guarded: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """`auth login` asks, a run finds, `auth logout` forgets; nothing is echoed."""
    assert guarded.run().code == 7
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{KEY}\n{SECRET}\n"))
    ended = guarded.cli("auth", "login")
    assert ended.code == 0
    assert SECRET not in ended.out + ended.err
    assert memory.kept == {("vl-ingest", KEY): SECRET, ("vl-ingest", "api-key"): KEY}
    assert guarded.run().code == 0
    assert find("", {}).origin == "the system keyring"
    assert "its secret in the system keyring" in find("", {"VISUAL_LAYER_API_KEY": KEY}).origin
    assert "Removed the credentials" in guarded.cli("auth", "logout").err
    assert memory.kept == {}
    assert "held no credentials" in guarded.cli("auth", "logout").err


def test_a_locked_keyring_is_no_reason_to_fail(
    memory: Memory, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where no credentials are wanted; storing into it says what is wrong."""
    memory.locked = True
    world.pictures(1)
    assert world.run().code == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{KEY}\n{SECRET}\n"))
    ended = world.cli("auth", "login")
    assert ended.code == 2
    assert "it is locked" in ended.err


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere there is always one")
@pytest.mark.parametrize(
    ("variable", "file", "backend", "asked"),
    [
        (None, None, "keyring.backends.kwallet", False),
        ("DISPLAY", None, "keyring.backends.kwallet", True),
        ("PYTHON_KEYRING_BACKEND", None, "keyring.backends.kwallet", True),
        (None, "run/bus", "keyring.backends.kwallet", True),
        (None, "config/python_keyring/keyringrc.cfg", "keyring.backends.kwallet", True),
        (None, None, "somebody.elses", True),
    ],
)
def test_a_server_without_a_session_is_not_searched_for_keyrings(
    variable: str | None,
    file: str | None,
    backend: str,
    asked: bool,  # a parameter of the test
    memory: Memory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """There can be none; but whatever hints at one is followed."""
    memory.kept |= {("vl-ingest", "api-key"): KEY, ("vl-ingest", KEY): SECRET}
    for name in (*OF_A_SESSION, "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / "run"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.delitem(sys.modules, "keyring")
    found = [EntryPoint("it", backend, "keyring.backends")]
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda **_: found)
    if variable is not None:
        monkeypatch.setenv(variable, "here")
    if file is not None:
        (tmp_path / file).parent.mkdir(parents=True)
        (tmp_path / file).touch()
    assert (find("", {}).origin == "the system keyring") is asked


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_gets_its_script(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    """It names the program and the variable by which the shell asks."""
    assert command_line(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert "_VL_INGEST_COMPLETE" in script
    assert "vl-ingest" in script


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("vl-ingest sta", "status"),
        ("vl-ingest run x --bwl", "--bwlimit"),
        ("vl-ingest status hol", "holidays"),
    ],
)
def test_bash_completes_commands_options_and_jobs(world: World, typed: str, offered: str) -> None:
    """Asked as bash asks."""
    world.pictures(1)
    assert world.run(name="holidays").code == 0
    words = typed.split()
    asked = {
        "_VL_INGEST_COMPLETE": "bash_complete",
        "COMP_WORDS": typed,
        "COMP_CWORD": str(len(words) - 1),
        "VL_INGEST_LEDGER": str(world.ledger_path),
    }
    done = call(*COMMAND, environment=asked)
    assert f"plain,{offered}" in done.stdout.split()


@pytest.mark.usefixtures("memory")
def test_auth_check_says_whose_credentials_and_whether_they_work(
    guarded: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By one request that changes nothing; never a value of theirs."""

    def checked(*more: str) -> tuple[int, str]:
        ended = guarded.cli("auth", "check", "--base-url", guarded.box.url, *more)
        assert SECRET not in ended.out + ended.err
        return ended.code, ended.out + ended.err

    code, said = checked()
    assert (code, "Credentials: none." in said, "requires credentials" in said) == (7, True, True)
    monkeypatch.setenv("VISUAL_LAYER_API_KEY", KEY)
    monkeypatch.setenv("VISUAL_LAYER_API_SECRET", "wrong" * 8)
    code, said = checked()
    assert (code, "VISUAL_LAYER_API_KEY and VISUAL_LAYER_API_SECRET." in said) == (7, True)
    assert "refuses the credentials" in said
    monkeypatch.setenv("VISUAL_LAYER_API_SECRET", SECRET)
    assert checked()[0] == 0
    assert guarded.box.record.datasets() == []
    ended = guarded.cli("auth", "check", "--base-url", guarded.box.url, "--json")
    assert (ended.summary["exit_code"], ended.summary["grade"]) == (0, "ok")
    assert guarded.cli("auth", "check", "--base-url", "http://127.0.0.1:9").code == 5


def test_a_token_from_a_file_or_a_command(guarded: World) -> None:
    """One that is right is taken; it is told of others who may read the file, and shown nowhere."""
    token = find("", {"VISUAL_LAYER_API_KEY": KEY, "VISUAL_LAYER_API_SECRET": SECRET}).tokens.current()
    assert token is not None
    file = guarded.place / "token"
    file.write_text(token.value + "\n", encoding="utf-8")
    file.chmod(0o600)
    command = shlex.join([sys.executable, "-c", f"print(open({str(file)!r}).read())"])
    for name, option in (("a", ("--token-file", str(file))), ("b", ("--token-command", command))):
        ended = guarded.run(*option, name=name)
        assert ended.code == 0, ended.err
        assert token.value not in ended.out + ended.err
    failing = shlex.join([sys.executable, "-c", "raise SystemExit(3)"])
    assert guarded.run("--token-command", failing, name="c").code == 7


def test_login_wants_two_lines(memory: Memory, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no terminal to ask, their end is said."""
    monkeypatch.setattr(sys, "stdin", io.StringIO(KEY))
    ended = world.cli("auth", "login")
    assert (ended.code, "expected two lines" in ended.err, memory.kept) == (2, True, {})
