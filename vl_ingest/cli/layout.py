"""How `--help` is laid out: options under headings, rare ones last, and all of it on one screen.

Where that is too much, rare options are only named; `vl-ingest help COMMAND` describes them.
"""

from enum import StrEnum
from textwrap import wrap
from typing import Any

import click

SCREEN = 48  # lines
IN_FULL = "vl_ingest.in_full"  # in a context's `meta`: describe rare options, however many there are
WIDEST_TERM = 26  # columns for an option and its value; what is wider has a line of its own

Row = tuple[str, str]


class Heading(StrEnum):
    """What an option stands under, in this order."""

    OWN = "Options"
    JOB = "The job"
    FILES = "What is sent"
    PACE = "Speed and time"
    SERVER = "Server and credentials"
    TELLING = "Progress, log, alarms"
    EVERY = "In every command"


class Option(click.Option):
    """An option under a heading; a `rare` one is what few people ever need."""

    def __init__(
        self, *names: Any, heading: Heading = Heading.OWN, rare: bool = False, **attributes: Any
    ) -> None:
        super().__init__(*names, **attributes)
        self.heading = heading
        self.rare = rare


class Command(click.Command):
    """A command whose help is laid out so."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options: usual ones under their headings, then the rare ones."""
        usual: dict[Heading, list[Row]] = {heading: [] for heading in Heading}
        rare: list[Row] = []
        names: list[str] = []
        for param in self.get_params(ctx):
            row = None if isinstance(param, click.Argument) else param.get_help_record(ctx)
            if row is None:
                continue
            if isinstance(param, Option) and param.rare:
                rare.append(row)
                names.append("/".join(param.opts + param.secondary_opts))
            else:
                usual[param.heading if isinstance(param, Option) else Heading.EVERY].append(row)
        width = min(WIDEST_TERM, max(len(row[0]) for rows in (*usual.values(), rare) for row in rows))
        for heading, rows in usual.items():
            _section(formatter, heading, rows, width)
        before = len(formatter.buffer)
        _section(formatter, "Rare options", rare, width)
        if formatter.getvalue().count("\n") > SCREEN and IN_FULL not in ctx.meta:
            del formatter.buffer[before:]
            program, _, command = ctx.command_path.partition(" ")
            with formatter.section(f"Rare options, described by `{program} help {command}`"):
                _paragraph(formatter, ", ".join(names))


class Group(click.Group, Command):
    """A command with commands of its own, laid out so."""

    command_class = Command


def _section(formatter: click.HelpFormatter, heading: str, rows: list[Row], width: int) -> None:
    """Write options, if there are any, so that their descriptions stand under those of the other sections."""
    if rows:
        with formatter.section(heading):
            formatter.write_dl([(name.ljust(width), text) for name, text in rows], col_max=width)


def _paragraph(formatter: click.HelpFormatter, text: str) -> None:
    """Write text that is broken between its words only, so that an option stays whole."""
    indent = " " * formatter.current_indent
    lines = wrap(
        text, formatter.width, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
    formatter.write("".join(f"{line}\n" for line in lines))
