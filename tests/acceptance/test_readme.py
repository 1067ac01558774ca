"""The README is true: its commands exist and run, and what it shows is what they print."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from vl_ingest import errors
from vl_ingest.cli import cli
from world import CLEAN, World

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def _mentioned() -> Iterator[list[str]]:
    """Yield the words of every `vl-ingest COMMAND ...` that the page mentions."""
    code = [text for language, text in BLOCKS if language != "text"] + re.findall(r"`([^`\n]+)`", README)
    for text in code:
        for line in text.splitlines():
            if match := re.search(r"(?:^|[ /])vl-ingest ([a-z-]+.*)", line.split(" #")[0]):
                yield match[1].split()


def test_the_first_two_blocks_are_the_two_commands() -> None:
    """Each is one self-contained line: install and demo, install and tests."""
    first, second = [text for language, text in BLOCKS if language == "bash"][:2]
    for line in (first, second):
        assert line.count("\n") == 1
        assert line.startswith("python3 -m venv .venv && .venv/bin/python -m pip install ")
    assert first.strip().endswith("&& .venv/bin/vl-ingest demo")
    assert second.strip().endswith("&& .venv/bin/python -m pytest")


def test_the_output_shown_is_the_demos(tmp_path: Path) -> None:
    """The demo proves itself, cleans up, and tells what the README shows, but for numbers, ids and the weather."""
    shown = next(text for language, text in BLOCKS if language == "text")
    done = subprocess.run(
        [sys.executable, "-m", "vl_ingest", "demo"],
        env={**CLEAN, "TMPDIR": str(tmp_path)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
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


def test_each_exit_code_is_listed() -> None:
    """The table of exit codes is that of the error classes."""
    listed = {
        int(code) for row in re.findall(r"^\| ([\d, ]+) \|", README, re.MULTILINE) for code in row.split(",")
    }
    classes = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.VlIngestError)
    ]
    assert listed == {kind.exit_code for kind in classes} | {0, 129, 130, 143}


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
    shown = next(text for language, text in BLOCKS if language == "text" and text.startswith("Plan for"))
    ended = world.cli("run", str(world.folder), "--name", "holidays", "--dry-run")
    assert ended.code == 3
    assert ended.out.replace(str(world.folder), "/home/ann/photos") == shown


def test_the_commands_after_a_bad_file_work(world: World) -> None:
    """retry, waive and resume as the page writes them."""
    world.pictures(3)
    (world.folder / "broken.jpg").write_bytes(b"no picture")
    assert world.run(name="holidays").code == 3
    lines = next(text for language, text in BLOCKS if language == "sh" and "retry" in text).splitlines()
    codes = [world.cli(*line.split(" #")[0].split()[1:]).code for line in lines if line]
    assert codes == [0, 2, 3], "retried, so there is nothing to waive yet, and it is refused again"
    assert world.cli("waive", "holidays", "broken.jpg").code == 0
    assert world.cli("resume", "holidays").code == 0
    world.check_promises("holidays")


def _blurred(line: str) -> str:
    line = re.sub(r"[0-9a-f]{64}", "HASH", line)
    line = re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "UUID", line)
    line = re.sub(r"[^ ]*/vl-ingest-demo-\w+", "PLACE", line)
    line = re.sub(r"(job|Job|retry|waive|resume|of) [a-z0-9]{6}\b", r"\1 JOB", line)
    return re.sub(r"[\d.,]+", "#", line)


def _story(text: str) -> list[str]:
    """Return the lines that the demo itself says."""
    return [_blurred(line) for line in text.splitlines() if line.startswith(("*", "$", "    "))]
