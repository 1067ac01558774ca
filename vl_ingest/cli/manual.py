"""`help`: the manual, a page a topic; and a command with all of its options."""

import io
import os
import re
import shutil
import sys
from functools import cache
from typing import TYPE_CHECKING

import click

from vl_ingest.cli.commands import COMMANDS, PROGRAM
from vl_ingest.cli.layout import IN_FULL, Command
from vl_ingest.domain.errors import UsageError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

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
    "hosts",
    "page",
    "audit",
    "guarantees",
    "moving",
    "library",
    "server",
    "developing",
    "changes",
)
FOLDER = os.path.join(os.path.dirname(os.path.dirname(__file__)), "help")
WIDEST = 100  # columns of text, however wide the terminal is
_LINK = re.compile(r"\[([^\]]+)\]\(([a-z-]+)\.md\)")
_PICTURE = re.compile(r"^!\[[^\]]*\]\([^)]*\)\n\n", re.MULTILINE)


@cache
def page(topic: str) -> str:
    """Return a page as Markdown for a terminal: links are the commands that show the page, pictures are left out."""
    with open(os.path.join(FOLDER, f"{topic}.md"), encoding="utf-8") as file:
        text = file.read()
    return _PICTURE.sub("", _LINK.sub(rf"`{PROGRAM} help \2`", text))


def summary(topic: str) -> str:
    """Return what a page is about: its title after the colon."""
    return page(topic).partition("\n")[0].partition(": ")[2]


def _topics(_context: click.Context, _parameter: click.Parameter, begun: str) -> "list[CompletionItem]":
    """Return the topics that begin so, with what they are about, and the commands."""
    from click.shell_completion import CompletionItem

    known = {topic: summary(topic) for topic in TOPICS} | {
        name: about for name, (_, about) in COMMANDS.items()
    }
    return [CompletionItem(name, help=about) for name, about in known.items() if name.startswith(begun)]


@click.command(cls=Command)
@click.argument("words", metavar="[TOPIC|COMMAND]", nargs=-1, shell_complete=_topics)
@click.pass_context
def help(context: click.Context, /, words: tuple[str, ...]) -> None:  # noqa: A001  # a command is called as it is named
    """Show the manual, or all options of a command.

    Without a topic or command, the topics are listed.

    Example:  vl-ingest help problems
    """
    if not words:
        click.echo(_list())
    elif words[0] in TOPICS and len(words) == 1:
        _show(page(words[0]))
    else:
        _page(_in_full(context.find_root(), words))


def _in_full(context: click.Context, words: tuple[str, ...]) -> str:
    """Return the help of a command with all of its options, also the rare ones. Raises `UsageError` where there is none."""
    for word in words:
        command = (
            context.command.get_command(context, word) if isinstance(context.command, click.Group) else None
        )
        if command is None:
            raise UsageError(_unknown(" ".join(words)))
        context = click.Context(command, info_name=word, parent=context)
    context.meta[IN_FULL] = True
    return f"{context.get_help()}\n"


def _list() -> str:
    formatter = click.HelpFormatter(width=WIDEST)
    with formatter.section("Topics"):
        formatter.write_dl([(topic, summary(topic)) for topic in TOPICS])
    return f"{formatter.getvalue()}\n`{PROGRAM} help TOPIC` shows a page, `{PROGRAM} help COMMAND` a command with all its options."


def _unknown(topic: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(topic, (*TOPICS, *COMMANDS), n=1)
    meant = f" Did you mean {near[0]!r}?" if near else ""
    return f"There is no topic or command {topic!r}.{meant} `{PROGRAM} help` lists them."


def _show(text: str) -> None:
    """Write Markdown: as it is, or on a terminal laid out and through the pager."""
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
    _page(drawn.get())


def _page(text: str) -> None:
    """Write text, on a terminal through the pager."""
    # As git does: leave the page on the screen, and do not wait for a short one.
    os.environ.setdefault("LESS", "-FRX")
    click.echo_via_pager(text.rstrip("\n"))
