"""`help`: the manual, a page a topic."""

import io
import os
import re
import shutil
import sys
from functools import cache
from importlib.resources import files

import click
from click.shell_completion import CompletionItem

from vl_ingest.cli.commands import COMMANDS, PROGRAM
from vl_ingest.domain.errors import UsageError

# In the order of the list; a test holds it equal to the folder.
TOPICS = (
    "getting-started",
    "credentials",
    "settings",
    "filters",
    "problems",
    "exit-codes",
    "unattended",
    "growing",
    "speed",
    "page",
    "audit",
    "guarantees",
    "moving",
    "library",
    "server",
    "developing",
    "changes",
)
WIDEST = 100  # columns of text, however wide the terminal is
_LINK = re.compile(r"\[([^\]]+)\]\(([a-z-]+)\.md\)")
_PICTURE = re.compile(r"^!\[[^\]]*\]\([^)]*\)\n\n", re.MULTILINE)


@cache
def page(topic: str) -> str:
    """Return a page as Markdown for a terminal: links are the commands that show the page, pictures are left out."""
    text = (files("vl_ingest") / "help" / f"{topic}.md").read_text(encoding="utf-8")
    return _PICTURE.sub("", _LINK.sub(rf"`{PROGRAM} help \2`", text))


def summary(topic: str) -> str:
    """Return what a page is about: its title after the colon."""
    return page(topic).partition("\n")[0].partition(": ")[2]


def _topics(_context: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Return the topics that begin so, with what they are about."""
    return [CompletionItem(topic, help=summary(topic)) for topic in TOPICS if topic.startswith(begun)]


@click.command()
@click.argument("topic", required=False, shell_complete=_topics)
def help(topic: str | None) -> None:  # noqa: A001  # a command is called as it is named
    """Show the manual: its topics, or the page on one.

    Example:  vl-ingest help problems
    """
    if topic is None:
        click.echo(_list())
    elif topic in TOPICS:
        _show(page(topic))
    else:
        raise UsageError(_unknown(topic))


def _list() -> str:
    formatter = click.HelpFormatter(width=WIDEST)
    with formatter.section("Topics"):
        formatter.write_dl([(topic, summary(topic)) for topic in TOPICS])
    return f"{formatter.getvalue()}\n`{PROGRAM} help TOPIC` shows a page, `{PROGRAM} COMMAND --help` the options of a command."


def _unknown(topic: str) -> str:
    from difflib import get_close_matches

    if topic in COMMANDS:
        return f"{topic!r} is a command, not a topic: `{PROGRAM} {topic} --help` describes it."
    near = get_close_matches(topic, TOPICS, n=1)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    return f"There is no topic {topic!r}.{meant} `{PROGRAM} help` lists them."


def _show(text: str) -> None:
    """Write a page: as it is, or on a terminal laid out and through the pager."""
    if not sys.stdout.isatty():
        click.echo(text, nl=False)
        return
    from rich.console import Console
    from rich.markdown import Markdown
    from rich.theme import Theme

    width = min(WIDEST, shutil.get_terminal_size().columns)
    colours = Theme({"markdown.code": "bold cyan"})  # on whatever background the terminal has
    console = Console(file=io.StringIO(), force_terminal=True, width=width, theme=colours)
    with console.capture() as drawn:
        console.print(Markdown(text, code_theme="ansi_dark"))
    # As git does: leave the page on the screen, and do not wait for a short one.
    os.environ.setdefault("LESS", "-FRX")
    click.echo_via_pager(drawn.get())
