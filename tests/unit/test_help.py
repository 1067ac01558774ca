"""What `--help` says of each command: an example that works, options under headings, and no more than a screen."""

import re
import shlex
from collections import Counter
from collections.abc import Iterator

import click
import pytest

from vl_ingest.cli import cli
from vl_ingest.cli.commands import COMMANDS, HEADINGS, PROGRAM
from vl_ingest.cli.layout import SCREEN, Heading, Option
from vl_ingest.cli.manual import TOPICS
from world import COMMAND, call

WIDTH = 78  # click leaves two of 80 columns free


def _contexts(context: click.Context) -> Iterator[click.Context]:
    yield context
    if isinstance(context.command, click.Group):
        for name, command in context.command.commands.items():
            yield from _contexts(click.Context(command, info_name=name, parent=context))


def _every() -> list[click.Context]:
    return list(_contexts(click.Context(cli, info_name=PROGRAM, terminal_width=WIDTH)))


@pytest.mark.parametrize("context", _every(), ids=lambda context: context.command_path)
def test_the_help_of_a_command_fits_a_screen(context: click.Context) -> None:
    """With one example, which its parser takes."""
    text = context.get_help()
    lines = text.splitlines()
    assert len(lines) <= SCREEN
    assert max(map(len, lines)) <= WIDTH
    (example,) = re.findall(r"^  Example:  (.*)$", text, re.MULTILINE)
    program, *words = shlex.split(example)
    assert program == PROGRAM
    reached = click.Context(cli, info_name=PROGRAM)
    while words and isinstance(reached.command, click.Group) and words[0] in reached.command.commands:
        name = words.pop(0)
        reached = click.Context(reached.command.commands[name], info_name=name, parent=reached)
    reached.command.make_context(reached.info_name, words, parent=reached.parent)


def test_each_option_has_a_heading() -> None:
    """Nobody reads ten options under one; and what a run takes stands under what it is about, or is rare."""
    for context in _every()[1:]:
        options = [param for param in context.command.params if isinstance(param, click.Option)]
        usual = [option for option in options if not (isinstance(option, Option) and option.rare)]
        under = Counter(option.heading if isinstance(option, Option) else None for option in usual)
        assert None not in under, f"{context.command_path}: an option without cls=Option"
        assert max(under.values(), default=0) <= 8, (context.command_path, under)
        if Heading.FILES in under:
            named = [option.opts[0] for option in usual if getattr(option, "heading", None) is Heading.OWN]
            assert named == [], (
                f"{context.command_path}: give these a heading (of_job, ...), or make them rare"
            )


def test_each_command_has_a_heading() -> None:
    """In the list of all; once."""
    assert sorted(name for names in HEADINGS.values() for name in names) == sorted(COMMANDS)
    listed = call(*COMMAND, "--help").stdout
    for name, (_module, sentence) in COMMANDS.items():
        assert re.search(rf"^  {name} +{re.escape(sentence)}$", listed, re.MULTILINE)


def test_what_help_only_names_the_manual_describes() -> None:
    """Rare options of a large command: named on its screen, described by `vl-ingest help`, which has all of them."""
    brief, full = call(*COMMAND, "run", "--help").stdout, call(*COMMAND, "help", "run").stdout
    assert "Rare options, described by `vl-ingest help run`:" in brief
    for option in cli.commands["run"].params:
        if isinstance(option, Option):
            assert option.opts[0] in brief
            assert re.search(rf"^  (-\w, )?{option.opts[-1]}( |$)", full, re.MULTILINE), option.opts
    assert "How long to keep trying without success." not in brief
    assert "How long to keep trying without success." in full
    assert "--older-than DURATION" in call(*COMMAND, "help", "jobs", "prune").stdout


def test_no_topic_is_called_like_a_command() -> None:
    """`vl-ingest help NAME` means one thing."""
    assert not set(TOPICS) & set(COMMANDS)
