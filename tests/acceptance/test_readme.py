"""The README and the manual are true: their commands exist and run, and what they show is what these print."""

import configparser
import json
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import platformdirs.macos
import platformdirs.unix
import platformdirs.windows
import pytest
from prometheus_client.parser import text_string_to_metric_families

from vl_ingest.cli import cli
from vl_ingest.cli.commands import PROGRAM
from vl_ingest.cli.configfile import default_file
from vl_ingest.domain import errors
from vl_ingest.domain.model import FileState
from vl_ingest.domain.timetable import Timetable
from vl_ingest.ledger.database import default_path
from vl_ingest.observers.hooks import PREFIX
from vl_ingest.server.credentials import default_file as default_credentials
from world import COMMAND, World, call

TOP = Path(__file__).parents[2]
README = (TOP / "README.md").read_text(encoding="utf-8")
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in (TOP / "vl_ingest" / "help").glob("*.md")}
TEXT = "\n".join([README, *PAGES.values()])


def _blocks(text: str) -> list[tuple[str, str]]:
    """Return language and text of each block of code."""
    return re.findall(r"^```(\w+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


BLOCKS = _blocks(TEXT)


def _block(language: str, holding: str = "") -> str:
    """Return the one block of that language, on whatever page, that holds the text."""
    (text,) = [text for of, text in BLOCKS if of == language and holding in text]
    return text


def _commands(command: click.Command) -> list[click.Command]:
    inner = command.commands.values() if isinstance(command, click.Group) else ()
    return [command, *(found for part in inner for found in _commands(part))]


EVERY_OPTION = [
    option for command in _commands(cli) for option in command.params if isinstance(option, click.Option)
]


def _accepted(line: str) -> dict[str, object]:
    """Let the command's own parser read a command line; return what it understood."""
    program, name, *arguments = shlex.split(line)
    assert Path(program).name == PROGRAM
    parent = click.Context(cli, info_name=PROGRAM)
    return cli.commands[name].make_context(name, arguments, parent=parent).params


def _mentioned() -> Iterator[list[str]]:
    """Yield the words of every `vl-ingest COMMAND ...` that the page mentions."""
    code = [text for language, text in BLOCKS if language != "text"] + re.findall(r"`([^`\n]+)`", TEXT)
    for text in code:
        for line in text.splitlines():
            if match := re.search(r"(?:^|[ /])vl-ingest ([a-z-]+.*)", line.split(" #")[0]):
                yield match[1].split()


def test_the_first_two_blocks_are_the_two_commands() -> None:
    """Each is one self-contained line: install and demo, install and tests."""
    first, second = [text for language, text in _blocks(README) if language == "bash"]
    for line in (first, second):
        assert line.count("\n") == 1
        assert line.startswith("python3 -m venv .venv && .venv/bin/python -m pip install ")
    assert first.strip().endswith("&& .venv/bin/vl-ingest demo")
    assert second.strip().endswith("&& .venv/bin/python -m pytest")


def test_the_output_shown_is_the_demos(tmp_path: Path) -> None:
    """The demo proves itself, cleans up, and tells what the README shows, but for numbers, ids and the weather."""
    shown = _block("text", "vl-ingest-demo")
    done = call(*COMMAND, "demo", environment={"TMPDIR": str(tmp_path)})
    assert done.returncode == 0, done.stdout + done.stderr
    assert "processing was started exactly once" in done.stdout
    assert list(tmp_path.iterdir()) == []
    assert _story(shown) == _story(done.stdout)
    weather = {_blurred(line) for line in shown.splitlines()} - {
        _blurred(line) for line in done.stdout.splitlines()
    }
    assert all(
        line.startswith(("warning:", "#", "An earlier", "Waiting", "The server answers")) for line in weather
    ), weather


@pytest.mark.parametrize("words", list(_mentioned()), ids=" ".join)
def test_each_command_mentioned_exists(words: list[str]) -> None:
    """Commands and options that the page names are there."""
    command = cli.commands[words[0]]
    if isinstance(command, click.Group) and len(words) > 1:
        command = command.commands[words[1]]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    for word in words[1:]:
        if word.startswith("--"):
            assert word in known | {"--help"}


def test_each_option_mentioned_exists() -> None:
    """Also those that stand alone, without their command."""
    known = {name for option in EVERY_OPTION for name in (*option.opts, *option.secondary_opts)}
    for span in re.findall(r"`([^`\n]+)`", TEXT):
        if not span.startswith(("systemctl", "python")):
            assert set(re.findall(r"(?<!\S)--[a-z][a-z-]*", span)) <= known | {"--help"}, span


def test_each_value_mentioned_is_one() -> None:
    """What stands behind an option on the page is what it takes; so is each timetable."""
    tried = 0
    for span in re.findall(r"`([^`\n]+)`", TEXT):
        for name, value in re.findall(r"(?<!\S)(--[a-z-]+) ([^-A-Z\s]\S*)", span):
            options = [option for option in EVERY_OPTION if name in option.opts and not option.is_flag]
            for option in options:
                option.type.convert(value.strip("'"), option, None)
                tried += 1
    assert tried > 10
    tables = re.findall(r'`"([^`]+)"`', TEXT)
    assert len(tables) == 2
    for table in tables:
        assert not Timetable(table).unlimited


def test_each_exit_code_is_listed() -> None:
    """The table of exit codes is that of the error classes, and each has its advice."""
    rows = re.findall(r"^\| ([\d, ]+) \|", PAGES["exit-codes"], re.MULTILINE)
    listed = {int(code) for row in rows for code in row.split(",")}
    headed = re.findall(r"^## ([\d, ]+):", PAGES["problems"], re.MULTILINE)
    classes = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.VlIngestError)
    ]
    assert listed == {kind.exit_code for kind in classes} | {0, 129, 130, 143}
    assert listed - {0} == {int(code) for row in headed for code in row.split(",")}


def test_the_plan_shown_is_what_a_dry_run_prints(world: World) -> None:
    """The folder of the example, planned: the same lines, but for where it lies and how fast it is."""
    world.picture("photo.png", 1)
    world.picture("trip/photo.png", 2)
    world.picture("trip/p.png", 3).rename(world.folder / "trip" / "beach.jpg")
    for name in ("a", "b", "c"):
        (world.folder / f"{name}.mov").write_bytes(b"\0\0\0\x20ftypqt  " + bytes(8 * 1024**2))
    (world.folder / "trip" / "half.mp4").touch()
    (world.folder / ".hidden").touch()
    (world.folder / "notes.txt").touch()
    shown = _block("text", "Plan for")
    ended = world.cli("run", str(world.folder), "--name", "holidays", "--dry-run")
    assert ended.code == 3
    assert ended.out.replace(str(world.folder), "/home/ann/photos") == shown


def test_the_commands_after_a_bad_file_work(world: World) -> None:
    """retry, waive and resume as the page writes them."""
    world.pictures(3)
    (world.folder / "broken.jpg").write_bytes(b"no picture")
    assert world.run(name="holidays").code == 3
    lines = _block("sh", "retry").splitlines()
    codes = [world.cli(*line.split(" #")[0].split()[1:]).code for line in lines if line]
    assert codes == [0, 2, 3], "retried, so there is nothing to waive yet, and it is refused again"
    assert world.cli("waive", "holidays", "broken.jpg").code == 0
    assert world.cli("resume", "holidays").code == 0
    world.check_promises("holidays")


def test_the_settings_shown_are_settings(world: World) -> None:
    """The file of the example, in its place: shown, worked with, and stood over by a flag; a slip is met with the key that was meant."""
    text = _block("toml")
    file = default_file()
    file.parent.mkdir(parents=True)
    file.write_text(text, encoding="utf-8")
    lines = {line["option"]: line for line in world.cli("config", "show", "--json").lines}
    for key, value in tomllib.loads(text).items():
        assert lines[key]["source"] == f"file: {file}"
        assert lines[key]["value"] == (32 * 1024**2 if key == "batch-bytes" else value)
    world.picture("a.jpg", 1)
    world.picture("b.tmp.jpg", 2)
    world.picture("raw/c.jpg", 3)
    assert world.cli("run", str(world.folder), "--name", "job", "--base-url", world.box.url).code == 0
    assert world.states() == {"a.jpg": "sent"}
    for slip, said in (("bwlimt = 1", "Did you mean 'bwlimit'?"), ('api-key = "k"', "secrets don't belong")):
        file.write_text(f"{slip}\n", encoding="utf-8")
        ended = world.cli("jobs")
        assert (ended.code, said in ended.err) == (2, True)


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="the page shows the places of other systems")
def test_the_places_are_those(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of configuration, credentials and ledger, and what they are called on other systems."""
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.delenv("XDG_CONFIG_HOME")
    for path in (default_file(), default_credentials(), default_path()):
        assert f"`~/{path.relative_to(Path.home())}`" in TEXT
    mac = platformdirs.macos.MacOS("vl-ingest", appauthor=False)
    assert mac.user_config_path == mac.user_state_path
    assert f"`~/{mac.user_config_path.relative_to(Path.home())}`" in TEXT
    windows = platformdirs.windows.Windows("vl-ingest", appauthor=False, roaming=False)
    monkeypatch.setattr(
        platformdirs.windows, "get_win_folder", lambda name: {"CSIDL_LOCAL_APPDATA": "%LOCALAPPDATA%"}[name]
    )
    assert windows.user_config_dir == windows.user_state_dir
    assert "`" + windows.user_config_dir.replace("/", "\\") + "`" in TEXT


def test_the_line_shown_is_what_a_run_writes(world: World) -> None:
    """Off a terminal, as often as --stats says, but for the numbers."""
    shown = _block("text", "at once").strip()
    for number in range(8):
        (world.folder / f"{number}.mov").write_bytes(b"\0\0\0\x20ftypqt  " + bytes(256 * 1024))
    slowly = ["--batch-size", "1", "--bwlimit", "400K", "--stats", "0.5s"]
    ended = world.cli(
        "run", str(world.folder), "--name", "job", "--base-url", world.box.url, "--workers", "2", *slowly
    )
    assert ended.code == 0

    def shape(line: str) -> str:
        return re.sub(
            r"\d+ (s|min|h)\b[^,]*", "TIME", re.sub(r"[\d.,]*\d ([KM]i)?B", "SIZE", line)
        ).translate(dict.fromkeys(map(ord, "0123456789")))

    assert shape(shown) in {shape(line) for line in ended.err.splitlines()}, ended.err


def test_the_variables_of_the_hooks_are_listed(world: World) -> None:
    """Those that a command really gets, one for one."""
    page = PAGES["unattended"]
    table = page[page.index("| ...variable |") : page.index("`--metrics-file PATH`")]
    listed = {
        name
        for row in re.findall(r"^\| (`[A-Z].*?) \|", table, re.MULTILINE)
        for name in row.replace("`", "").split(", ")
    } - {"..."}
    note = "import json, os, sys; open(sys.argv[1], 'a').write(json.dumps(dict(os.environ)) + chr(10))"
    hook = shlex.join([sys.executable, "-c", note, str(world.place / "told")])
    world.picture("a.png")
    (world.folder / "torn.png").write_bytes(b"no picture")
    assert world.run("--on-finish", hook, "--on-trouble", hook).code == 3
    trouble, finish = [
        {key.removeprefix(PREFIX) for key in json.loads(line) if key.startswith(PREFIX)}
        for line in (world.place / "told").read_text(encoding="utf-8").splitlines()
    ]
    states = {f"FILES_{state.upper()}" for state in FileState}
    assert trouble < finish
    assert finish == listed | states
    assert listed - trouble == {name for name in listed if name in states} | {
        "EXIT_CODE",
        "STATE",
        "FILES_ACKNOWLEDGED",
        "FILES_TAKEN_AS_DELIVERED",
        "FILES_POSSIBLY_TWICE",
        "SENT_BYTES",
    }


def test_the_figures_named_are_written(world: World) -> None:
    """Each name of a figure on the page is in the file."""
    world.picture("a.png")
    file = world.place / "vl.prom"
    assert world.run("--metrics-file", str(file)).code == 0
    families = text_string_to_metric_families(file.read_text(encoding="utf-8"))
    named = set(re.findall(r"`(vl_ingest_[a-z_]+)`", TEXT))
    assert named
    assert named <= {family.name for family in families}


def test_the_unit_restarts_what_time_mends(tmp_path: Path) -> None:
    """Its command is one; it restarts on exit code 5 and a kill, and calls no failure what is none."""
    units = {}
    for text in (text for language, text in BLOCKS if language == "ini"):
        name = Path(text.splitlines()[0].removeprefix("# ")).name
        (tmp_path / name).write_text(
            re.sub(r"/home/ann/\S*/vl-ingest", sys.executable, text), encoding="utf-8"
        )
        units[name] = configparser.ConfigParser(interpolation=None)
        units[name].optionxform = str  # type: ignore[assignment,method-assign]  # as its documentation has it
        units[name].read_string(text)
    assert set(units) == {"vl-ingest.service", "vl-ingest.timer"}
    service = units["vl-ingest.service"]["Service"]
    assert _accepted(service["ExecStart"])["name"] == "holidays"
    assert service["Type"] == "exec", "older systemd takes no RestartForceExitStatus for a oneshot"
    assert service["Restart"] == "on-abnormal", "no exit code restarts it but those that are listed"
    restarts, fine = (
        {int(code) for code in service[key].split()}
        for key in ("RestartForceExitStatus", "SuccessExitStatus")
    )
    assert restarts == {errors.GaveUp.exit_code}
    assert fine == {kind.exit_code for kind in (errors.DurationReached, errors.JobHeld, errors.Stopped)}
    if shutil.which("systemd-analyze") is None:
        return  # what can be known without it is known
    done = call("systemd-analyze", "verify", *(str(tmp_path / name) for name in units))
    assert not [line for line in done.stderr.splitlines() if "vl-ingest." in line], done.stderr


def test_the_line_of_cron_is_a_window() -> None:
    """Five fields and a command, which ends when the window does."""
    minute, hour, *every, command = _block("crontab").strip().split(maxsplit=5)
    assert every == ["*", "*", "*"]
    assert "%" not in command, "cron takes it for a newline"
    understood = _accepted(command)
    telling = understood["max_duration_s"]
    assert isinstance(telling, float)
    assert (int(hour) * 60 + int(minute) + telling / 60) % (24 * 60) == 6 * 60, "from eight to six"


def test_the_container_has_what_it_needs() -> None:
    """What is copied makes the package, its settings are options, and what it is called with is a command."""
    steps = [line.split(maxsplit=1) for line in _block("dockerfile").splitlines()]
    order = ["FROM", "WORKDIR", "COPY", "COPY", "COPY", "RUN", "USER", "ENV", "VOLUME", "ENTRYPOINT"]
    assert [name for name, _rest in steps] == order
    copied = {path for name, rest in steps if name == "COPY" for path in rest.split()[:-1]}
    with (TOP / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert copied == {
        "pyproject.toml",
        project["project"]["readme"],
        *wheel["packages"],
        *wheel["force-include"],
    }
    assert all((TOP / path).exists() for path in copied)
    given = dict(steps[-4:])
    variable, ledger = given["ENV"].split("=")
    assert variable in [option.envvar for option in EVERY_OPTION]
    assert Path(ledger).parent == Path(given["VOLUME"])
    build, run = _block("sh", "docker run").replace("\\\n", " ").splitlines()
    image = shlex.split(build)[-2]
    before, _image, arguments = run.partition(f" {image} ")
    understood = _accepted(shlex.join([*json.loads(given["ENTRYPOINT"]), *shlex.split(arguments)]))
    mounted = re.findall(r"-v [^:]+:([^: ]+)", before)
    assert mounted == [understood["source"], given["VOLUME"]]
    assert re.findall(r"-e (\S+)", before) == ["VISUAL_LAYER_API_KEY", "VISUAL_LAYER_API_SECRET"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_is_given_its_script(shell: str) -> None:
    """The commands of the page print what the shell is to read."""
    assert f"vl-ingest completion {shell}" in _block("sh", "completion")
    done = call(*COMMAND, "completion", shell)
    assert done.returncode == 0, done.stderr
    assert "_vl_ingest_completion" in done.stdout
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=done.stdout, text=True, check=True)


def test_a_job_moves_to_another_machine(world: World) -> None:
    """The commands of the page, in another folder: nothing is sent twice, and processing starts once."""
    world.pictures(20)
    world.box.add_fault("upload:503:after=2")
    assert world.run("--give-up-after", "0s", name="holidays").code == 5
    already = len(world.box.record.files())
    assert 0 < already < 20
    world.box.clear_faults()
    elsewhere = world.place / "mnt" / "photos"
    exported = world.place / "holidays.db"
    moved = [
        line.split(" #")[0].replace("/mnt/photos", str(elsewhere)).replace("holidays.db", str(exported))
        for line in _block("sh", "vl-ingest export").splitlines()
        if not line.startswith("#")
    ]
    assert [world.cli(*shlex.split(line)[1:]).code for line in moved[:2]] == [0, 0]
    elsewhere.parent.mkdir()
    world.folder.rename(elsewhere)
    world.folder, world.ledger_path = elsewhere, exported
    assert world.cli(*shlex.split(moved[2])[1:]).code == 0
    world.check_promises("holidays")
    assert set(world.held("holidays").values()) == {1}


def test_the_example_for_python_runs(world: World) -> None:
    """As a program of its own, on a real folder and server."""
    world.folder.rename(world.place / "photos")
    world.folder = world.place / "photos"
    world.pictures(3)
    text = _block("python").replace("https://vl.example.org", world.box.url)
    for _again in range(2):
        done = call(sys.executable, "-c", text, cwd=world.place)
        assert done.returncode == 0, done.stderr
        last = done.stdout.splitlines()[-1]
        assert re.fullmatch(r"3 files are in dataset [0-9a-f-]{36}, which is READY\.", last), done.stdout
    world.ledger_path = world.place / "holidays.db"
    world.check_promises("holidays")


def _blurred(line: str) -> str:
    line = re.sub(r"[0-9a-f]{64}", "HASH", line)
    line = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "UUID", line)
    line = re.sub(r"[^ ]*/vl-ingest-demo-\w+", "PLACE", line)
    line = re.sub(r"(job|Job|retry|waive|resume|verify|of) [a-z0-9]{6}\b", r"\1 JOB", line)
    return re.sub(r"[\d.,]+", "#", line)


def _story(text: str) -> list[str]:
    """Return the lines that the demo itself says."""
    return [_blurred(line) for line in text.splitlines() if line.startswith(("*", "$", "    "))]
