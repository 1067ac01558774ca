"""The manual: every page is there, is found, is readable without a terminal, and is said once."""

import os
import pty
import re
import shlex
from collections import Counter
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from vl_ingest.cli.manual import TOPICS
from vl_ingest.report.table import COLUMNS
from world import CLEAN, COMMAND, call

TOP = Path(__file__).parents[2]
FOLDER = TOP / "vl_ingest" / "help"
README = TOP / "README.md"
TEXTS = {path: path.read_text(encoding="utf-8") for path in (README, *sorted(FOLDER.glob("*.md")))}


def test_each_page_is_a_topic() -> None:
    """In the list of the command and in that of the README, in one order."""
    assert sorted(TOPICS) == [path.stem for path in TEXTS if path != README]
    assert re.findall(
        r"^\| \[[a-z-]+\]\(vl_ingest/help/([a-z-]+)\.md\)", TEXTS[README], re.MULTILINE
    ) == list(TOPICS)


def test_the_readme_is_short() -> None:
    """What takes longer has a page of its own."""
    assert len(TEXTS[README].splitlines()) <= 180


def test_links_lead_somewhere() -> None:
    """Between pages, to pictures, and from the README; a link within the manual is called as its page."""
    for path, text in TEXTS.items():
        for name, target in re.findall(r"\[([^\]]*)\]\(([^)]+)\)", text):
            if not target.startswith("https:"):
                assert (path.parent / target).is_file(), (path.name, target)
            if target.endswith(".md"):
                assert name == Path(target).stem, (path.name, name)


def test_each_column_of_the_report_is_described() -> None:
    """And in the order in which they stand."""
    described = TEXTS[FOLDER / "audit.md"].partition("## The columns of the CSV\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?`) \|", described, re.MULTILINE)
    assert re.findall(r"`(\w+)`", " ".join(cells)) == list(COLUMNS)


def test_each_room_is_described() -> None:
    """The table of rooms has all that hold code, and the pages themselves."""
    described = re.findall(r"^\| (`.*?/`) \|", TEXTS[FOLDER / "developing.md"], re.MULTILINE)
    rooms = {path.parent.name for path in FOLDER.parent.glob("*/__init__.py")}
    assert set(re.findall(r"`(\w+)/`", " ".join(described))) == rooms | {"help"}


def test_pictures_are_small_and_described() -> None:
    """Each is shown in the README and on its page, with words for who can't see it; the wheel stays light."""
    for picture in FOLDER.glob("*.png"):
        assert picture.stat().st_size < 64 * 1024
        shown = [
            text for text in TEXTS.values() if re.search(rf"!\[[^\]]{{10,}}\]\([^)]*{picture.name}\)", text)
        ]
        assert len(shown) == 2
    assert {path.suffix for path in FOLDER.iterdir()} == {".md", ".png"}


def test_nothing_is_said_twice() -> None:
    """No sentence, row or command of some length stands on two pages."""
    said: Counter[str] = Counter()
    for text in TEXTS.values():
        prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
        joined = re.sub(r"\n(?![\n|#-])", " ", prose).lower()
        said.update({part.strip() for line in joined.splitlines() for part in re.split(r"(?<=[.|]) ", line)})
    assert [text for text, count in said.items() if count > 1 and len(text) > 40] == []


def test_the_messages_quoted_are_messages() -> None:
    """What stands in italics among the problems is said by the program, in these words."""
    code = "".join(path.read_text(encoding="utf-8") for path in (TOP / "vl_ingest").rglob("*.py"))
    joined = re.sub(r'"\s*\n\s*f?"', "", code).lower()
    quoted = re.findall(r"(?<![\w*])\*([A-Z.][^*\n]+)\*(?!\*)", TEXTS[FOLDER / "problems.md"])
    assert len(quoted) > 5
    for message in quoted:
        for part in filter(None, map(str.strip, message.split("..."))):
            assert part.lower() in joined, message


@pytest.mark.parametrize("topic", TOPICS)
def test_a_page_is_shown_as_it_is_without_a_terminal(topic: str) -> None:
    """With the commands that show its links; and it says in the list what it is about."""
    done = call(*COMMAND, "help", topic)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("# ")
    assert "\x1b" not in done.stdout
    assert ".md)" not in done.stdout
    links = re.findall(r"\]\(([a-z-]+)\.md\)", TEXTS[FOLDER / f"{topic}.md"])
    for link in links:
        assert f"`vl-ingest help {link}`" in done.stdout
    about = done.stdout.splitlines()[0].partition(": ")[2]
    assert re.search(rf"^  {topic} +{re.escape(about)}$", call(*COMMAND, "help").stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("credentails", "Did you mean 'credentials'?"),
        ("zzz", "There is no topic or command 'zzz'. `vl-ingest help` lists them."),
        ("verfy", "Did you mean 'verify'?"),
    ],
)
def test_an_unknown_topic_is_an_error_that_helps(word: str, said: str) -> None:
    """Exit code 2, nothing on standard output, and what was perhaps meant."""
    done = call(*COMMAND, "help", word)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


def test_on_a_terminal_a_page_goes_laid_out_through_the_pager(tmp_path: Path) -> None:
    """Through the one that the user has chosen, without the marks of Markdown, and no wider than the terminal."""
    seen = tmp_path / "seen"
    told = {**CLEAN, "PAGER": shlex.join(["tee", str(seen)]), "COLUMNS": "60", "TERM": "xterm"}
    ours, theirs = pty.openpty()
    with Popen([*COMMAND, "help", "growing"], stdin=theirs, stdout=theirs, stderr=PIPE, env=told) as process:
        os.close(theirs)
        with suppress(OSError):  # how Linux says that the other end is closed
            while os.read(ours, 4096):
                pass
        os.close(ours)
        assert process.wait() == 0, process.stderr and process.stderr.read()
    lines = seen.read_text(encoding="utf-8").splitlines()
    assert any("Growing folders: files that come later" in line for line in lines[:3])
    assert "vl-ingest run photos --name holidays --add" in " ".join(lines)
    assert not [line for line in lines if "**" in line or "`" in line or len(line) > 60]
